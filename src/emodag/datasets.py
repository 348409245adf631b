"""The features of all corpora of a role, as one labelled data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emodag import layout, schema
from emodag.errors import CorpusError, DataError
from emodag.features.store import open_features
from emodag.labels import CalmPolicy, apply_calm, in_order
from emodag.params import Params, Role


@dataclass(frozen=True)
class Dataset:
    """Clips with their features and emotions; augmented copies are clips with a ``parent_id``."""

    index: pd.DataFrame  #: by :data:`emodag.schema.INDEX`, a row per clip
    functionals: np.ndarray  #: float32 [clips, functionals]
    names: list[str]  #: of the functionals
    settings: dict[str, Any]  #: of the features
    source: str  #: the folder or folders it was read from, for messages

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The emotions that occur, in the order of :data:`emodag.labels.EMOTIONS`."""
        return in_order(self.index["emotion"])

    @cached_property
    def labels(self) -> np.ndarray:
        """Each clip's emotion as its position in ``classes``: int64 [clips]."""
        return self.index["emotion"].map({emotion: i for i, emotion in enumerate(self.classes)}).to_numpy(np.int64)

    def where(self, mask: np.ndarray) -> Dataset:
        """The clips that a boolean mask [clips] selects."""
        mask = np.asarray(mask, dtype=bool)
        if mask.all():
            return self
        return replace(self, index=self.index[mask].reset_index(drop=True), functionals=self.functionals[mask])

    def originals(self) -> Dataset:
        """The clips that are no augmented copies."""
        return self.where(self.index["parent_id"].isna())

    def with_calm(self, policy: CalmPolicy) -> Dataset:
        """The data set after the policy for ``calm``: kept, called ``neutral``, or without those clips."""
        emotions = self.index["emotion"].map(lambda emotion: apply_calm(emotion, policy))
        kept = emotions.notna()
        return replace(self, index=self.index.assign(emotion=emotions.where(kept, "calm"))).where(kept)


def corpora_with(params: Params, role: Role, root: Path = layout.FEATURES) -> list[str]:
    """The corpora that have a role, made sure that exactly their features lie under it.

    Raises:
        CorpusError: the features of one are missing, or those of another corpus lie there.
    """
    listed = params.with_role(role)
    folder = root / role
    found = {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."} if folder.is_dir() else ()
    if left_over := sorted(set(found) - set(listed)):
        raise CorpusError(
            f"{folder / left_over[0]}: params.yaml lists no corpus {left_over[0]!r} with the role {role!r}, so these "
            f"features are left over; run `emodag prune`"
        )
    if missing := [corpus for corpus in listed if corpus not in found]:
        raise CorpusError(
            f"{folder / missing[0]}: the features of {missing[0]} are missing; run `dvc repro featurize@{missing[0]}`"
        )
    return listed


def load(corpora: list[str], role: Role, root: Path = layout.FEATURES) -> Dataset:
    """Read the features of corpora as one data set, checked to be alike and finite; the order of names is no matter.

    Raises:
        DataError: a table or array breaks its contract, corpora have different features, or a value is not finite.
    """
    parts = [_read(root / role / corpus) for corpus in sorted(corpora)]
    if not parts:
        raise DataError(f"{root / role}: no corpus to read")
    first = parts[0]
    for part in parts[1:]:
        if part.names != first.names or part.settings != first.settings:
            raise DataError(f"{part.source} and {first.source} have different features; run featurize for both again")
    if len(parts) == 1:
        return first
    index = pd.concat([part.index for part in parts], ignore_index=True)
    source = ", ".join(part.source for part in parts)
    return Dataset(
        index=schema.validate(index, schema.INDEX, source),
        functionals=np.concatenate([part.functionals for part in parts]),
        names=first.names,
        settings=first.settings,
        source=source,
    )


def describe(data: Dataset) -> str:
    """One line: clips, copies, speakers and emotions."""
    originals = data.originals()
    emotions = Counter(originals.index["emotion"])
    return (
        f"{len(originals.index)} clips and {len(data.index) - len(originals.index)} augmented copies of "
        f"{originals.index['speaker'].nunique()} speakers: "
        + ", ".join(f"{emotion} {emotions[emotion]}" for emotion in originals.classes)
    )


def _read(folder: Path) -> Dataset:
    stored = open_features(folder)
    data = Dataset(stored.index, stored.functionals, list(stored.names.functionals), stored.settings, str(folder))
    finite = np.isfinite(data.functionals)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{folder}: {data.names[column]} of {data.index['clip_id'][row]} is {data.functionals[row, column]}, and "
            f"{np.count_nonzero(~finite)} values in all are not finite; run featurize again"
        )
    return data
