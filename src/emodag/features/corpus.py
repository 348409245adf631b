"""The features of every clip of a corpus and of its augmented copies."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emodag import audio, layout, schema
from emodag.cleaning import clean
from emodag.errors import DataError
from emodag.features import encoders
from emodag.features.encoders import Embedding, EncoderFacts
from emodag.features.extraction import ClipFeatures, extract, names
from emodag.features.store import FeatureWriter
from emodag.parallel import parallel_map
from emodag.params import Featurize

#: Batches of an encoder that clips of like length are gathered from.
_BATCHES_IN_CHUNK = 4


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


class Clip(NamedTuple):
    """A clip to featurize, and what is cut from it."""

    path: str
    duration: float  #: s
    span: tuple[float, float] | None  #: s, what is kept; the whole clip without it
    turns: list[tuple[float, float]]  #: s, in the whole clip


def featurize_corpus(
    sources: Sequence[Source], out: Path, settings: Featurize, *, jobs: int = 0, description: str = "featurize"
) -> tuple[int, int]:
    """Write the features of all clips of the sources, in their order, as :mod:`emodag.features.store` says.

    With ``settings.trim``, a clip is cut to the stretch from its first turn's start to its last turn's end; pauses
    inside stay. Memory does not grow with the corpus.

    Returns:
        The numbers of clips and frames.

    Raises:
        ParamsError: the encoder of the settings cannot be had.
    """
    clips = [clip for source in sources for clip in clips_of(source, trim=settings.trim)]
    encoder = encoders.describe(settings.encoder)
    results = parallel_map(
        partial(_features, settings=settings, encoder=encoder),
        # Without an encoder nothing is gained from clips that are worked on together.
        chunks(clips, _BATCHES_IN_CHUNK * settings.encoder.batch_seconds if encoder else 0),
        jobs=jobs,
        description=description,
    )
    columns = [column for column in schema.INDEX.columns if column in schema.MANIFEST.columns]
    table = pd.concat([source.manifest[columns] for source in sources], ignore_index=True)
    with FeatureWriter(out, table, names(settings), settings, encoder) as writer:
        for features, embedding in chain.from_iterable(results):
            writer.add(features, embedding)
        return len(table), writer.frames


def clips_of(source: Source, *, trim: bool) -> list[Clip]:
    """The clips of a source in the order of its manifest, cut to speech where ``trim`` asks for it."""
    turns = defaultdict(list)
    for turn in source.turns.sort_values(["start", "end"]).itertuples():
        turns[turn.clip_id].append((turn.start, turn.end))
    return [
        Clip(
            str(source.folder / row.path),
            row.duration,
            span_of(turns[row.clip_id]) if trim else None,
            turns[row.clip_id],
        )
        for row in source.manifest.itertuples()
    ]


class Located(NamedTuple):
    """A clip and its id."""

    clip_id: str
    clip: Clip


def located(index: pd.DataFrame, *, trim: bool) -> list[Located]:
    """The clips of an index (:data:`emodag.schema.INDEX`), all of one corpus, where organize and diarize left them.

    Raises:
        DataError: the corpus's audio or turns are missing, or lack a clip.
    """
    if index.empty:
        return []
    corpus = index["corpus"].iloc[0]
    source = read_source(layout.organized(corpus), layout.turns(corpus))
    clips = dict(zip(source.manifest["clip_id"], clips_of(source, trim=trim), strict=True))
    if missing := [clip_id for clip_id in index["clip_id"] if clip_id not in clips]:
        raise DataError(
            f"{source.folder}: no audio of {', '.join(missing[:5])}, whose features are stored; run `dvc repro`"
        )
    return [Located(clip_id, clips[clip_id]) for clip_id in index["clip_id"]]


def span_of(turns: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """From the start of the first of some turns (s), sorted, to the end of the last; nothing if there is none."""
    return (turns[0][0], max(end for _, end in turns)) if turns else None


def chunks(clips: Sequence[Clip], seconds: float) -> list[list[Clip]]:
    """Consecutive clips, each chunk as many as ``seconds`` hold, at least one; which ones depends on nothing else."""
    parts: list[list[Clip]] = []
    filled = math.inf
    for clip in clips:
        if filled + clip.duration > seconds:
            parts.append([])
            filled = 0.0
        parts[-1].append(clip)
        filled += clip.duration
    return parts


def _features(
    clips: list[Clip], *, settings: Featurize, encoder: EncoderFacts | None
) -> list[tuple[ClipFeatures, Embedding | None]]:
    """Features and embedding of each clip."""
    cut = [speech(clip) for clip in clips]
    features = [extract(samples, settings, turns) for samples, turns in cut]
    if encoder is None:
        return [(each, None) for each in features]
    session = encoders.open_encoder(encoder, settings.encoder)
    return list(zip(features, session.embed([clean(samples, settings.clean) for samples, _ in cut]), strict=True))


def speech(clip: Clip) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """What is kept of a clip: samples, float32 [samples], and the turns within them, in seconds."""
    return cut(audio.load(clip.path), clip.span, clip.turns)


def cut(
    samples: np.ndarray, span: tuple[float, float] | None, turns: list[tuple[float, float]]
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """The samples within a span (s), or all of them without one, and the turns (s) within these.

    Args:
        samples: float32 [samples] at 16 kHz.
        span: what is kept.
        turns: start and end in the whole clip.
    """
    if span is None:
        return samples, turns
    first = min(int(span[0] * audio.SAMPLE_RATE), len(samples) - 1)
    kept = samples[first : max(first + 1, math.ceil(span[1] * audio.SAMPLE_RATE))]
    shift, duration = first / audio.SAMPLE_RATE, len(kept) / audio.SAMPLE_RATE
    moved = ((max(start - shift, 0.0), min(end - shift, duration)) for start, end in turns)
    return kept, [(start, end) for start, end in moved if end > start]
