"""What is judged of each turn, featurized once for whatever model sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from emodag import schema
from emodag.calls import contracts
from emodag.calls.store import Calls, voices_of
from emodag.conversation.cutting import Stretch, parts_of
from emodag.conversation.voices import Voices
from emodag.features import encoders, names
from emodag.features.encoders import Embedding, EncoderFacts
from emodag.features.extraction import ClipFeatures
from emodag.features.store import FeatureWriter
from emodag.featurizer import Featurizer
from emodag.parallel import parallel_map
from emodag.params import Analyze, Diarize, Featurize

INDEX = "index.parquet"

#: Of each recording by name, its turns and what of each is judged.
Found = dict[str, tuple[list[Stretch], list[list[Stretch]]]]

#: Parts that a worker takes at once: some minutes of sound, for which it reads the recording.
_AT_ONCE = 64


class FeaturizedCalls(NamedTuple):
    """How much was featurized."""

    turns: int
    parts: int
    frames: int
    seconds: float  #: of all parts; windows share sound


class _Work(NamedTuple):
    """Parts of one recording."""

    name: str
    parts: list[Stretch]
    channels: list[int | None]


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
    """Write the features of what :func:`emodag.conversation.analysis.parts_of` finds in each recording.

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
    found = {name: parts_of(voices, analyze) for name, voices in heard_in(calls, turns)}
    work = list(_shared_out(turns, found))
    rows = [
        (f"{name}/{number:05d}", name, part.speaker, part.start, part.end)
        for name, (_, parts) in found.items()
        for number, part in enumerate(chain.from_iterable(parts))
    ]
    table = pd.DataFrame(rows, columns=list(contracts.PARTS.columns)[:5])
    encoder = encoders.describe(settings.encoder)
    count = sum(len(its) for its, _ in found.values())
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


def heard_in(calls: Calls, turns: Path) -> Iterator[tuple[str, Voices]]:
    """Each recording by name, with who speaks when in it.

    Raises:
        DataError: a table or a recording is missing.
    """
    table = schema.read(turns / "turns.parquet", contracts.TURNS)
    for name in calls.names:
        yield name, voices_of(calls.sound(name), table[table["name"] == name])


def _shared_out(turns: Path, found: Found) -> Iterator[_Work]:
    table = schema.read(turns / "turns.parquet", contracts.TURNS)
    of_speaker = table.groupby(["name", "speaker"])["channel"].first()
    for name, (_, parts) in found.items():
        units = list(chain.from_iterable(parts))
        for first in range(0, len(units), _AT_ONCE):
            some = units[first : first + _AT_ONCE]
            channels = [of_speaker.loc[name, part.speaker] for part in some]
            yield _Work(name, some, [None if pd.isna(channel) else int(channel) for channel in channels])


def _features(
    work: _Work, *, calls: Calls, settings: Featurize, diarize: Diarize, encoder: EncoderFacts | None
) -> list[tuple[ClipFeatures, Embedding | None]]:
    featurizer = Featurizer(settings, diarize, encoder)
    sound = calls.sound(work.name)
    if None in work.channels:
        sound = sound.mixed()
    clips = [
        featurizer.spoken(sound.between(part.start, part.end, channel))
        for part, channel in zip(work.parts, work.channels, strict=True)
    ]
    embeddings: Sequence[Embedding | None] = featurizer.embeddings(clips) or [None] * len(clips)
    return list(zip(featurizer.features(clips), embeddings, strict=True))
