"""Whose unlabelled clips stand for a voice: the groups that adaptation goes by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from emodag.errors import DataError
from emodag.params import Adaptation

#: What titles and logs say of scores with each kind of adaptation.
TOLD = {
    "recording": "adapted by each clip's own frames",
    "speaker": "adapted by each speaker's own unlabelled clips",
}

#: A speaker ``<corpus>/unknown`` is nobody: corpora call clips so of which nobody knows who speaks.
UNKNOWN = "unknown"


class Groups(NamedTuple):
    """Who or what each clip belongs to."""

    keys: np.ndarray  #: [clips], equal for clips of one group
    originals: np.ndarray  #: bool [clips]; only these enter statistics, augmented copies do not

    def of(self, rows: np.ndarray | slice) -> Groups:
        """The groups of some clips, as positions [rows] or a slice."""
        return Groups(self.keys[rows], self.originals[rows])

    def rows(self) -> list[np.ndarray]:
        """The clips of each group, as positions that ascend; groups by their key."""
        order = np.argsort(self.keys, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.keys[order])) + 1)

    def require_originals(self) -> None:
        """Raise :class:`DataError` if all clips are copies: training statistics are of originals."""
        if not self.originals.any():
            raise DataError("adaptation by speaker needs training statistics, and there is no original clip")


def groups_of(index: pd.DataFrame, settings: Adaptation) -> Groups:
    """The groups of the clips of an index (:data:`emodag.schema.INDEX`): speakers, or else recordings.

    A copy belongs to the group of its parent.
    """
    keys = voices_of(index) if settings.by == "speaker" else pd.factorize(_recordings(index))[0]
    return Groups(keys, index["parent_id"].isna().to_numpy())


def voices_of(index: pd.DataFrame) -> np.ndarray:
    """Who speaks in the clips of an index (:data:`emodag.schema.INDEX`): int [clips], equal for clips of one voice.

    Clips of an unknown speaker are no voice in common: each is one of its own, with its copies.
    """
    voices = pd.MultiIndex.from_arrays([index["speaker"], _recordings(index).where(unnamed(index), "")])
    return pd.factorize(voices)[0]


def unnamed(index: pd.DataFrame) -> pd.Series:
    """Of which clips of an index (:data:`emodag.schema.INDEX`) nobody knows who speaks: bool, by its rows."""
    return index["speaker"] == index["corpus"] + f"/{UNKNOWN}"


def _recordings(index: pd.DataFrame) -> pd.Series:
    """The clip that each clip of an index is a copy of, or itself."""
    return index["parent_id"].where(index["parent_id"].notna(), index["clip_id"])


def each_alone(clips: int) -> Groups:
    """Groups for clips of which nobody knows who speaks: each is a group of its own."""
    return Groups(np.arange(clips), np.full(clips, True))
