"""What is judged of each turn, featurized once for whatever model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from emodag import schema
from emodag.calls import contracts
from emodag.calls.store import Calls, annotation_of, channels_of
from emodag.conversation.cutting import Stretch, parts_of
from emodag.features import encoders, names
from emodag.features.encoders import Embedding, EncoderFacts
from emodag.features.extraction import ClipFeatures
from emodag.features.store import FeatureWriter
from emodag.featurizer import Featurizer
from emodag.parallel import parallel_map
from emodag.params import Analyze, Diarize, Featurize

INDEX = "index.parquet"

#: Parts that a worker takes at once: some minutes of sound, for which it reads the recording.
_AT_ONCE = 64


class FeaturizedCalls(NamedTuple):
    """How much was featurized."""

    turns: int
    parts: int
    frames: int
    seconds: float  #: of all parts; windows share sound


class _Work(NamedTuple):
    """Parts of one recording, and the channel of each speaker who has one."""

    name: str
    parts: list[Stretch]
    channels: dict[str, int]


def featurize_calls(
    organized: Path,
    turns: Path,
    out: Path,
    settings: Featurize,
    diarize: Diarize,
    analyze: Analyze,
    *,
    jobs: int = 0,
) -> FeaturizedCalls:
    """Write the features of what :func:`emodag.conversation.cutting.parts_of` finds in each recording.

    They go the way of training clips: cut to speech, featurized. Where nothing can be judged, only the index is
    written, and it is empty.

    Args:
        organized: by :func:`emodag.calls.organization.organize_calls`.
        turns: by :func:`emodag.calls.diarization.diarize_calls`.
        out: an empty folder.
        settings: the section ``featurize`` of the params.
        diarize: the section ``diarize``, by which the clips of the corpora were cut to speech.
        analyze: the section ``analyze``; what of it says how turns are cut.
        jobs: processes; 0 for one per core.

    Raises:
        ParamsError: the encoder of the settings cannot be had.
    """
    calls = Calls(organized)
    found = schema.read(turns / "turns.parquet", contracts.TURNS)
    work, rows, count = [], [], 0
    for name in calls.names:
        own = found[found["name"] == name]
        channels = channels_of(own)
        its_turns, parts = parts_of(annotation_of(own), analyze, apart=bool(channels))
        units = list(chain.from_iterable(parts))
        count += len(its_turns)
        rows += [
            (f"{name}/{number:05d}", name, unit.speaker, unit.start, unit.end) for number, unit in enumerate(units)
        ]
        work += [_Work(name, units[at : at + _AT_ONCE], channels) for at in range(0, len(units), _AT_ONCE)]
    table = pd.DataFrame(rows, columns=list(contracts.PARTS.columns)[:5])
    encoder = encoders.describe(settings.encoder)
    if table.empty:
        empty = table.assign(**dict.fromkeys(list(contracts.PARTS.columns)[5:], pd.Series(dtype="int64")))
        schema.write(empty, contracts.PARTS, out / INDEX)
        return FeaturizedCalls(count, 0, 0, 0.0)
    job = partial(_features, calls=calls, settings=settings, diarize=diarize, encoder=encoder)
    results = parallel_map(job, work, jobs=jobs, description=f"featurize {organized.name}", batch=1)
    with FeatureWriter(out, table, names(settings), settings, encoder, contracts.PARTS) as writer:
        for features, embedding in chain.from_iterable(results):
            writer.add(features, embedding)
        return FeaturizedCalls(count, len(table), writer.frames, float((table["end"] - table["start"]).sum()))


def _features(
    work: _Work, *, calls: Calls, settings: Featurize, diarize: Diarize, encoder: EncoderFacts | None
) -> list[tuple[ClipFeatures, Embedding | None]]:
    featurizer = Featurizer(settings, diarize, encoder)
    sound = calls.sound(work.name)
    if not work.channels:
        sound = sound.mixed()
    clips = [
        featurizer.spoken(sound.between(part.start, part.end, work.channels.get(part.speaker))) for part in work.parts
    ]
    embeddings: Sequence[Embedding | None] = featurizer.embeddings(clips) or [None] * len(clips)
    return list(zip(featurizer.features(clips), embeddings, strict=True))
