"""What a model makes of a folder of conversations: a timeline of each, and how right it is where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emodag import schema
from emodag.bundle import Bundle
from emodag.calls import contracts
from emodag.calls.featurization import INDEX
from emodag.calls.store import Calls, voices_of
from emodag.conversation import references
from emodag.conversation.analysis import Featurized, timeline_of
from emodag.conversation.cutting import Stretch, parts_of
from emodag.conversation.error_rate import EmotionErrors, emotion_errors, emotions_in, emotions_of
from emodag.conversation.timeline import Timeline
from emodag.datasets import speech_in
from emodag.diarization.evaluation import Errors, overall
from emodag.documents import timelines
from emodag.errors import DataError
from emodag.features.store import open_features
from emodag.files import atomic_file
from emodag.labels import UNKNOWN
from emodag.parallel import parallel_map
from emodag.params import Analyze
from emodag.speech import Speech


@dataclass(frozen=True)
class Scored:
    """A recording: its timeline, and its errors where the truth is known."""

    name: str
    timeline: Timeline
    diarization: dict[float, Errors] | None  #: by collar, s
    emotions: EmotionErrors | None


def score_calls(
    organized: Path,
    turns: Path,
    features: Path,
    out: Path,
    bundle: Bundle,
    settings: Analyze,
    *,
    scores: Mapping[str, Mapping[str, Any]],
    jobs: int = 0,
) -> list[Scored]:
    """Write ``NAME.json``, ``.csv``, ``.rttm``, ``.html`` and ``.png`` for each recording, and ``summary.csv``.

    Args:
        organized: by :func:`emodag.calls.organization.organize_calls`.
        turns: by :func:`emodag.calls.diarization.diarize_calls`.
        features: by :func:`emodag.calls.featurization.featurize_calls`.
        out: an empty folder.
        bundle: the model.
        settings: the section ``analyze`` of the params.
        scores: as :func:`emodag.conversation.analysis.analyse` takes them.
        jobs: processes; 0 for one per core.

    Raises:
        DataError: the features are not those that the model was trained on, or not of these turns.
    """
    calls = Calls(organized)
    index = schema.read(features / INDEX, contracts.PARTS)
    work = partial(
        _score,
        calls=calls,
        turns=schema.read(turns / "turns.parquet", contracts.TURNS),
        features=features,
        index=index,
        speech=_speech(features, bundle) if len(index) else None,
        out=out,
        bundle=bundle,
        settings=settings,
        scores=scores,
    )
    found = list(parallel_map(work, calls.names, jobs=jobs, description=f"score {organized.name}", batch=1))
    with atomic_file(out / "summary.csv") as file:
        summary(found).to_csv(file, index=False, float_format="%.4f")
    return found


def summary(found: list[Scored]) -> pd.DataFrame:
    """A row for each speaker of each recording: speech (s), turns, valence, arousal, and each emotion's share.

    Of a speaker of whom nothing was judged, the last three are missing.
    """
    rows = [
        {
            "recording": each.timeline.recording,
            "speaker": speaker.name,
            "speech": speaker.speech,
            "turns": speaker.turns,
            "valence": speaker.valence,
            "arousal": speaker.arousal,
            "turning_points": sum(point.speaker == speaker.name for point in each.timeline.turning_points),
        }
        | {
            emotion: speaker.shares.get(emotion, 0.0 if speaker.shares else None)
            for emotion in (*each.timeline.classes, UNKNOWN)
        }
        for each in found
        for speaker in each.timeline.speakers
    ]
    return pd.DataFrame(rows)


def metrics(found: list[Scored]) -> dict[str, Any]:
    """What is told of a folder, for ``dvc metrics``; ``der`` and the like by collar, where references are known."""
    timelines = [each.timeline for each in found]
    judged = [turn.feeling for each in timelines for turn in each.turns if turn.feeling]
    told: dict[str, Any] = {
        "recordings": len(found),
        "hours": sum(each.duration for each in timelines) / 3600,
        "speakers": sum(len(each.speakers) for each in timelines),
        "turns": sum(len(each.turns) for each in timelines),
        "judged": len(judged),
        "unknown": sum(feeling.emotion == UNKNOWN for feeling in judged),
        "turning_points": sum(len(each.turning_points) for each in timelines),
    }
    if known := [each.diarization for each in found if each.diarization]:
        told["diarization"] = {
            f"collar_{collar:g}": overall([each[collar] for each in known]) for collar in references.COLLARS
        }
        told["diarization"]["recordings"] = len(known)
    if of_emotions := [each.emotions for each in found if each.emotions]:
        total = reduce(add, of_emotions)
        told["emotions"] = {"eder": total.rate, "recordings": len(of_emotions)}
    return told


def _score(
    name: str,
    *,
    calls: Calls,
    turns: pd.DataFrame,
    features: Path,
    index: pd.DataFrame,
    speech: Speech | None,
    out: Path,
    bundle: Bundle,
    settings: Analyze,
    scores: Mapping[str, Mapping[str, Any]],
) -> Scored:
    voices = voices_of(calls.sound(name), turns[turns["name"] == name])
    its_turns, parts = parts_of(voices.annotation, settings, apart=voices.apart)
    rows = np.flatnonzero(index["name"] == name)
    _check_parts(name, [part for its in parts for part in its], index.iloc[rows], features)
    conversation = Featurized(voices, its_turns, parts, speech.of(rows) if len(rows) else None)
    timeline = timeline_of(conversation, bundle, settings, lines=calls.lines(name), scores=scores)
    for form in timelines.FORMS:
        timelines.write(timeline, voices.sound.pcm, form, out / f"{name}{form}")
    truth, emotions = calls.references.get(name), calls.emotions(name)
    return Scored(
        name,
        timeline,
        None if truth is None else references.errors(truth, voices.annotation, calls.scopes.get(name)),
        None
        if emotions is None
        else emotion_errors(emotions_in(emotions), emotions_of(timeline), voices.sound.duration),
    )


def _check_parts(name: str, parts: Sequence[Stretch], featurized: pd.DataFrame, features: Path) -> None:
    """Make sure that what is judged of a recording is what was featurized of it."""
    stored = list(zip(featurized["speaker"], featurized["start"].round(6), featurized["end"].round(6), strict=True))
    if stored != [(part.speaker, round(part.start, 6), round(part.end, 6)) for part in parts]:
        raise DataError(f"{features}: not the features of the turns of {name}; run `dvc repro` again")


def _speech(features: Path, bundle: Bundle) -> Speech:
    """The stored features of all parts, as the model sees them."""
    found = open_features(features, contracts.PARTS)
    speech = speech_in(features, found, bundle.needs, bundle.inputs)
    bundle.check_features(speech, found.settings, features)
    return speech
