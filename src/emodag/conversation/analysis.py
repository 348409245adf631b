"""From who speaks when to who felt what when.

**Turns.** A turn is what one speaker says between pauses or other speakers. It goes the way of a training clip: cut to
speech, featurized, recognised. A turn longer than a window is judged in windows that overlap, each as if it were a
clip, because an emotion may change within it and because the models were trained on sentences; what is said of the
whole turn is then the mean over its windows.

**Voices.** A model that adapts to speakers takes all turns of a diarized speaker for that voice's unlabelled clips (see
:mod:`emodag.adaptation`), from the whole call or from what was said so far. Windows that share half their sound are
counted once there.

**Smoothing.** A speaker's emotion is a hidden Markov chain: after ``t`` seconds it is still the same with probability
``exp(-t / smoothing)``, and else any emotion, all alike. What the model says of each window is the evidence, and the
forward-backward algorithm (Rabiner 1989, "A tutorial on hidden Markov models", Proceedings of the IEEE 77) gives the
probabilities of each window under all of them; only those before it where the call is heard as it goes. Probabilities
stand for likelihoods, as in hybrid models (Bourlard and Morgan 1994), which is right for models that were trained with
balanced classes. Windows that share their sound are no independent evidence: to the others, each counts by the share of
its sound that the next one does not hear again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emodag.adaptation import Groups
from emodag.conversation.affect import affect
from emodag.conversation.cutting import Stretch, parts_of
from emodag.conversation.timeline import Feeling, Speaker, Timeline, Turn, TurningPoint
from emodag.conversation.transcripts import Line, with_text
from emodag.conversation.voices import Voices
from emodag.evaluation.calibration import tempered
from emodag.labels import UNKNOWN
from emodag.recognition import Recogniser
from emodag.speech import Speech, joined

if TYPE_CHECKING:
    from emodag.bundle import Bundle
    from emodag.params import Analyze

#: Stretches that are featurized before their sound is let go.
_AT_ONCE = 32
#: A narrower recording holds nothing in the upper half of what the models were trained on; Hz.
_NARROW = 11_025


def analyse(
    voices: Voices,
    recogniser: Recogniser,
    settings: Analyze,
    *,
    lines: Sequence[Line] = (),
    scores: Mapping[str, Mapping[str, Any]] | None = None,
) -> Timeline:
    """The emotions of each speaker of a conversation over time.

    Args:
        voices: the recording, and who speaks when.
        recogniser: with the model.
        settings: the section ``analyze`` of the params.
        lines: of a transcript.
        scores: corpus -> what is known of the model's score there beyond what its bundle knows: ``low`` and ``high`` of
            the interval of ``uar``.

    Raises:
        DataError: the sound cannot be featurized.
    """
    found = featurized(voices, recogniser, settings)
    return timeline_of(found, recogniser.bundle, settings, lines=lines, scores=scores)


@dataclass(frozen=True)
class Featurized:
    """A conversation whose turns are featurized, for any model that sees these features."""

    voices: Voices
    turns: list[Stretch]  #: by start
    parts: list[list[Stretch]]  #: of each turn, what of it is judged: all, windows, or nothing
    speech: Speech | None  #: the parts one after the other, as models see clips, before adaptation; nothing without any

    @property
    def units(self) -> list[Stretch]:
        """The parts of all turns."""
        return [part for parts in self.parts for part in parts]


def featurized(voices: Voices, recogniser: Recogniser, settings: Analyze) -> Featurized:
    """Cut a conversation into what is judged, and featurize that; see :func:`analyse`."""
    turns, parts = parts_of(voices.annotation, settings, apart=voices.apart)
    units = [part for its_parts in parts for part in its_parts]
    return Featurized(voices, turns, parts, _speech(voices, units, recogniser) if units else None)


def timeline_of(
    conversation: Featurized,
    bundle: Bundle,
    settings: Analyze,
    *,
    lines: Sequence[Line] = (),
    scores: Mapping[str, Mapping[str, Any]] | None = None,
) -> Timeline:
    """What a model makes of a conversation; see :func:`analyse`."""
    voices, units = conversation.voices, conversation.units
    found = np.empty((0, len(bundle.classes)))
    if conversation.speech is not None:
        found = _smoothed(units, _recognised(conversation.speech, units, bundle, settings.adaptation), settings)
    feelings = iter(feeling_of(unit, row, bundle) for unit, row in zip(units, found, strict=True))
    turns = with_text(
        [
            _turn(turn, [next(feelings) for _ in parts], bundle)
            for turn, parts in zip(conversation.turns, conversation.parts, strict=True)
        ],
        lines,
    )
    return Timeline(
        recording=voices.sound.name,
        duration=voices.sound.duration,
        classes=bundle.classes,
        turns=turns,
        speakers=speakers_in(turns),
        turning_points=turning_points(turns, settings.turning),
        notes=(*voices.sound.notes, *voices.notes(), *_notes(voices, turns)),
        model=model_of(bundle, settings, scores or {}),
    )


def _speech(voices: Voices, units: Sequence[Stretch], recogniser: Recogniser) -> Speech:
    """Each unit as the model sees a clip."""
    parts = []
    for first in range(0, len(units), _AT_ONCE):
        samples = (
            voices.sound.between(unit.start, unit.end, voices.channels.get(unit.speaker))
            for unit in units[first : first + _AT_ONCE]
        )
        parts.append(recogniser.speech([recogniser.spoken(each) for each in samples]))
    return joined(parts)


def _recognised(
    speech: Speech, units: Sequence[Stretch], bundle: Bundle, adaptation: Literal["call", "past", "none"]
) -> np.ndarray:
    """Calibrated probabilities of each unit by itself, float64 [units, classes], adapted to its voice."""
    if adaptation == "none":
        raw = bundle.predict_proba(speech)
    elif adaptation == "call" or bundle.adapter.settings.by != "speaker":
        raw = bundle.predict_proba(speech, _groups(units))
    else:
        raw = _as_heard(speech, units, bundle)
    return tempered(raw, bundle.temperature)


def _groups(units: Sequence[Stretch]) -> Groups:
    """Whose voice each unit is; one that shares half its sound with the last stays out of the voice's statistics."""
    keys = np.unique([unit.speaker for unit in units], return_inverse=True)[1]
    telling = np.zeros(len(units), bool)
    last: dict[int, float] = {}
    for number in sorted(range(len(units)), key=lambda each: units[each].start):
        unit, key = units[number], int(keys[number])
        telling[number] = (unit.start + unit.end) / 2 > last.get(key, -np.inf)
        if telling[number]:
            last[key] = unit.end
    return Groups(keys, telling)


def _as_heard(speech: Speech, units: Sequence[Stretch], bundle: Bundle) -> np.ndarray:
    """The model's own probabilities as if each unit were the last that was said, float32 [units, classes]."""
    groups = _groups(units)
    raw = np.empty((len(units), len(bundle.classes)), np.float32)
    ends = np.array([unit.end for unit in units])
    for rows in groups.rows():
        said = rows[np.argsort(ends[rows], kind="stable")]
        for count, row in enumerate(said, start=1):
            adapted = bundle.adapter(speech.of(said[:count]), groups.of(said[:count]))
            raw[row] = bundle.run(adapted.of(slice(count - 1, count)))[0]
    return raw


def _smoothed(units: Sequence[Stretch], probabilities: np.ndarray, settings: Analyze) -> np.ndarray:
    """Probabilities [units, classes] of each unit in view of the others of its speaker."""
    found = probabilities.copy()
    shares = np.array([unit.share for unit in units])
    centres = np.array([(unit.start + unit.end) / 2 for unit in units])
    speakers = np.array([unit.speaker for unit in units])
    for speaker in np.unique(speakers):
        rows = np.flatnonzero(speakers == speaker)
        rows = rows[np.argsort(centres[rows], kind="stable")]
        ahead = settings.adaptation != "past"
        found[rows] = smoothed(probabilities[rows], centres[rows], settings.smoothing, shares[rows], ahead=ahead)
    return found


def smoothed(
    probabilities: np.ndarray, times: np.ndarray, memory: float, shares: np.ndarray, *, ahead: bool = True
) -> np.ndarray:
    """The probabilities of each moment in view of those around it; see the module.

    Args:
        probabilities: of each moment by itself, [moments, classes].
        times: of the moments (s), ascending.
        memory: how long an emotion tends to last (s); with 0 the moments do not tell of each other.
        shares: how much each moment's evidence counts to the others, 0 to 1 [moments].
        ahead: whether what comes later counts too.

    Returns:
        float64 [moments, classes].
    """
    evidence = np.maximum(np.asarray(probabilities, np.float64), np.finfo(float).tiny)
    stay = np.exp(-np.diff(times) / memory) if memory else np.zeros(len(evidence) - 1)
    told = evidence ** shares[:, np.newaxis]
    forward = _passed(told, stay) * evidence
    if ahead:
        forward *= _passed(told[::-1], stay[::-1])[::-1]
    return forward / forward.sum(axis=1, keepdims=True)


def _passed(evidence: np.ndarray, stay: np.ndarray) -> np.ndarray:
    """What all moments before each one say of it, each of sum 1: float64 [moments, classes]."""
    passed = np.full_like(evidence, 1 / evidence.shape[1])
    for number, stays in enumerate(stay):
        believed = passed[number] * evidence[number]
        passed[number + 1] = stays * believed / believed.sum() + (1 - stays) / evidence.shape[1]
    return passed


def feeling_of(stretch: Stretch, probabilities: np.ndarray, bundle: Bundle) -> Feeling:
    """What probabilities [classes] of a stretch come to under a model's threshold."""
    valence, arousal = affect(probabilities, bundle.classes).tolist()
    best = int(probabilities.argmax())
    emotion = bundle.classes[best] if probabilities[best] >= bundle.unknown else UNKNOWN
    return Feeling(stretch.start, stretch.end, tuple(probabilities.tolist()), emotion, arousal, valence)


def _turn(stretch: Stretch, feelings: list[Feeling], bundle: Bundle) -> Turn:
    """A turn with what was heard in it: in all of it, or in windows."""
    facts = (stretch.start, stretch.end, stretch.speaker, stretch.overlap)
    if not feelings:
        return Turn(*facts, feeling=None)
    if len(feelings) == 1 and (feelings[0].start, feelings[0].end) == (stretch.start, stretch.end):
        return Turn(*facts, feeling=feelings[0])
    windowed = Turn(*facts, feeling=None, windows=tuple(feelings))
    parts = windowed.stretches
    weights = [part.end - part.start for part in parts]
    mean = np.average([part.probabilities for part in parts], axis=0, weights=weights)
    return Turn(*facts, feeling=feeling_of(stretch, mean, bundle), windows=windowed.windows)


def speakers_in(turns: Sequence[Turn]) -> tuple[Speaker, ...]:
    """Each speaker's part, in the order in which they first speak."""
    names = dict.fromkeys(turn.speaker for turn in turns)
    return tuple(_speaker(name, [turn for turn in turns if turn.speaker == name]) for name in names)


def _speaker(name: str, turns: Sequence[Turn]) -> Speaker:
    parts = [part for turn in turns for part in turn.stretches]
    seconds = np.array([part.end - part.start for part in parts])
    whole = float(seconds.sum())
    shares: dict[str, float] = {}
    for part, length in zip(parts, seconds.tolist(), strict=True):
        shares[part.emotion] = shares.get(part.emotion, 0.0) + length / whole
    means = [
        float(np.average([getattr(part, quality) for part in parts], weights=seconds)) if parts else None
        for quality in ("arousal", "valence")
    ]
    return Speaker(
        name,
        speech=sum(turn.end - turn.start for turn in turns),
        turns=len(turns),
        shares=dict(sorted(shares.items(), key=lambda each: -each[1])),
        arousal=means[0],
        valence=means[1],
    )


def turning_points(turns: Sequence[Turn], lasting: float) -> tuple[TurningPoint, ...]:
    """Where the emotion of a speaker changes and stays changed for a while, by time.

    An emotion counts once the speaker has shown it in ``lasting`` seconds of speech on end; what is ``unknown`` or not
    judged in between neither counts nor interrupts. The moment is that where the speaker began to show it.
    """
    found = []
    for name in dict.fromkeys(turn.speaker for turn in turns):
        before = None
        for emotion, start in _lasting([turn for turn in turns if turn.speaker == name], lasting):
            if before not in (None, emotion):
                found.append(TurningPoint(start, name, before, emotion))
            before = emotion
    return tuple(sorted(found, key=lambda point: point.time))


def _lasting(turns: Sequence[Turn], lasting: float) -> Iterator[tuple[str, float]]:
    """Emotions that one speaker shows for so many seconds on end, and since when."""
    known = (part for turn in turns for part in turn.stretches if part.emotion != UNKNOWN)
    for emotion, run in groupby(known, key=lambda part: part.emotion):
        parts = list(run)
        if sum(part.end - part.start for part in parts) >= lasting:
            yield emotion, parts[0].start


def _notes(voices: Voices, turns: Sequence[Turn]) -> Iterator[str]:
    if voices.sound.rate < _NARROW:
        yield f"recorded at {voices.sound.rate} Hz: what models learn above {voices.sound.rate / 2000:g} kHz is lost"
    if turns and not any(turn.feeling for turn in turns):
        yield "nothing is judged: all turns are too short, or others speak over them"
    overlap = sum(turn.overlap for turn in turns)
    speech = sum(turn.end - turn.start for turn in turns)
    if overlap and not voices.apart:
        yield f"speakers overlap in {overlap / speech:.0%} of the speech; there, both are heard in what is judged"


def model_of(bundle: Bundle, settings: Analyze, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a timeline says of the model; see :attr:`Timeline.model`, and ``scores`` as in :func:`analyse`."""
    by = bundle.adapter.settings.by
    return {
        "name": bundle.model,
        "adaptation": "none" if by == "speaker" and settings.adaptation == "none" else by,
        "adapted_by": settings.adaptation,
        "unknown": bundle.unknown,
        "protocol": bundle.protocol,
        "corpora": list(bundle.corpora),
        "scores": {
            corpus: {"chance": 1 / len(bundle.classes)} | score | dict(scores.get(corpus, {}))
            for corpus, score in bundle.scores.items()
        },
    }


def intervals(metrics: Path, bundle: Bundle) -> dict[str, dict[str, float]]:
    """The intervals of a bundle's scores, from what the ``evaluate`` stage wrote of this very model.

    Empty where there is no such file, or it is of another model.
    """
    from emodag.files import read_json

    try:
        written = read_json(metrics)
    except (OSError, ValueError):
        return {}
    return {
        corpus: {"low": written[corpus]["uar_low"], "high": written[corpus]["uar_high"]}
        for corpus, score in bundle.scores.items()
        if isinstance(written.get(corpus), dict) and written[corpus].get("uar") == score["uar"]
    }
