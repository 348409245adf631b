"""The user's own noises and impulse responses, which the chain draws from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from emodag import audio
from emodag.errors import AudioError, ParamsError
from emodag.params import Transform

#: The folder of ``augment.recordings`` that a kind of transform draws from.
FOLDERS = {"noise": "noise", "reverb": "impulse_responses"}

_NOTES = frozenset({".md", ".txt", ".dvc"})


@dataclass(frozen=True)
class Recordings:
    """Audio files by kind of transform and by name: the path below the kind's folder, with ``/`` on every system."""

    paths: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)

    @classmethod
    def of(cls, chain: Iterable[Transform], root: Path) -> Recordings:
        """Those that a chain draws from, each of them decoded once to see that it can be used.

        Raises:
            ParamsError: a folder that the chain needs is missing or empty, or a file in it is no audio or is silent.
        """
        kinds = {transform.kind for transform in chain if getattr(transform, "source", None) == "recordings"}
        return cls({kind: _usable(kind, root / FOLDERS[kind]) for kind in sorted(kinds)})

    def names(self, kind: str) -> Sequence[str]:
        """The names of a kind, sorted."""
        return list(self.paths[kind])

    def load(self, kind: str, name: str) -> np.ndarray:
        """float32 ``[samples]`` at 16 kHz, mono. Not to be changed: the array is kept for the next caller."""
        # Looked up and not joined to the folder, so that no name leads out of it.
        return _decode(self.paths[kind][name])


def _usable(kind: str, folder: Path) -> dict[str, Path]:
    advice = (
        f"put recordings there (WAV, FLAC, OGG, MP3, ...; see recordings/README.md) or set another source of {kind}"
    )
    if not folder.is_dir():
        raise ParamsError(f"augment: {kind} from recordings needs the folder {folder}, which does not exist: {advice}")
    paths = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    if not paths:
        raise ParamsError(f"augment: {kind} from recordings needs audio in {folder}, which holds none: {advice}")
    for path in paths.values():
        try:
            silent = not _decode(path).any()
        except AudioError as error:
            raise ParamsError(f"augment: {path} cannot be used for {kind}, take it away or mend it: {error}") from None
        if silent:
            raise ParamsError(f"augment: {path} cannot be used for {kind}, take it away: it is silent")
    return dict(sorted(paths.items()))


def _files(folder: Path) -> list[Path]:
    """Every file below a folder but hidden ones and notes; links to other folders are not entered."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / name for name in names if not name.startswith(".")]
    return [path for path in found if path.suffix.lower() not in _NOTES]


# A few, since one file serves many clips; not all, since a folder of noise may hold hours.
@lru_cache(maxsize=8)
def _decode(path: Path) -> np.ndarray:
    recording = audio.read(path)
    samples = audio.resample(recording.samples, recording.rate)
    samples.setflags(write=False)
    return samples
