"""The features of every clip of a corpus and of its augmented copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from emodag import audio, schema
from emodag.features.extraction import ClipFeatures, extract, names
from emodag.features.store import FeatureWriter
from emodag.parallel import parallel_map
from emodag.params import Featurize


@dataclass(frozen=True)
class Source:
    """Clips to featurize: a manifest, the folder that its paths are relative to, and the turns of the clips."""

    folder: Path
    manifest: pd.DataFrame
    turns: pd.DataFrame


def read_source(folder: Path, turns: Path) -> Source:
    """The clips of a folder with ``manifest.parquet``, and their ``turns.parquet``."""
    return Source(
        folder,
        schema.read(folder / "manifest.parquet", schema.MANIFEST),
        schema.read(turns / "turns.parquet", schema.TURNS),
    )


def featurize_corpus(
    sources: Sequence[Source], out: Path, settings: Featurize, *, jobs: int = 0, description: str = "featurize"
) -> tuple[int, int]:
    """Write the features of all clips of the sources, in their order, as :mod:`emodag.features.store` says.

    With ``settings.trim``, a clip is cut to the stretch from its first turn's start to its last turn's end; pauses
    inside stay. Memory does not grow with the corpus.

    Returns:
        The numbers of clips and frames.
    """
    clips = []
    for source in sources:
        spans = source.turns.groupby("clip_id").agg(start=("start", "min"), end=("end", "max"))
        for clip in source.manifest.to_dict("records"):
            span = tuple(spans.loc[clip["clip_id"]]) if settings.trim and clip["clip_id"] in spans.index else None
            clips.append((clip, source.folder / clip["path"], span))
    columns = [column for column in schema.INDEX.columns if column in schema.MANIFEST.columns]
    results = parallel_map(
        partial(_extract, settings=settings),
        [(path, span) for _, path, span in clips],
        jobs=jobs,
        description=description,
    )
    with FeatureWriter(out, names(settings), settings) as writer:
        for (clip, _, _), features in zip(clips, results, strict=True):
            writer.add({column: clip[column] for column in columns}, features)
        return len(clips), writer.frames


def _extract(item: tuple[Path, tuple[float, float] | None], *, settings: Featurize) -> ClipFeatures:
    path, span = item
    samples = audio.load(path)
    return extract(samples if span is None else trimmed(samples, *span), settings)


def trimmed(samples: np.ndarray, start: float, end: float) -> np.ndarray:
    """Samples from ``start`` to ``end``, in seconds; at least one."""
    first = min(int(start * audio.SAMPLE_RATE), len(samples) - 1)
    return samples[first : max(first + 1, math.ceil(end * audio.SAMPLE_RATE))]
