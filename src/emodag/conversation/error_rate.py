"""How wrong a timeline is about which emotion appears when: the emotion diarization error rate.

EDER (Wang, Ravanelli, Nfissi and Yacoubi 2023, "Speech emotion diarization: which emotion appears when?", ASRU, arXiv
2306.12991) is the time that is told wrong, divided by all time that is scored:

    EDER = (false alarm + missed + confusion + overlap) / duration

- false alarm: no emotion is there, one is told;
- missed: an emotion is there, none is told;
- confusion: one is there, another is told;
- overlap: beside those that are there, more are told.

``neutral`` is no emotion, and neither is silence; ``unknown`` and what is too short to be judged tell none. The paper
scores utterances of one speaker. Here speakers may talk at once: each of them adds an emotion, two may be angry
together, and time counts once for each. Who is who does not matter; that is what the diarization error rate is for.

Matching is that of pyannote.metrics.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pandas as pd

from emodag.conversation.timeline import Timeline
from emodag.errors import DataError
from emodag.labels import UNKNOWN

if TYPE_CHECKING:
    from pyannote.core import Annotation

#: What is no emotion.
NOTHING = frozenset({"neutral", UNKNOWN})


@dataclass(frozen=True)
class EmotionErrors:
    """Seconds that are told wrong, by kind, and how many are scored. Sum them over recordings with ``+``."""

    false_alarm: float
    missed: float
    confusion: float
    overlap: float
    duration: float

    @property
    def rate(self) -> float:
        """EDER; 0 is best, and it may exceed 1 where speakers talk at once."""
        return (self.false_alarm + self.missed + self.confusion + self.overlap) / self.duration

    def __add__(self, other: EmotionErrors) -> EmotionErrors:
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return EmotionErrors(*(one + another for one, another in pairs))


def emotion_errors(truth: Annotation, told: Annotation, duration: float) -> EmotionErrors:
    """What is wrong with the emotions that are told of a recording.

    Args:
        truth: segments (s) labelled by their emotion, one track for each speaker.
        told: the same.
        duration: of the recording (s); all of it is scored, and nothing beyond.

    Raises:
        DataError: the duration is not above 0.
    """
    if not duration > 0:
        raise DataError(f"a recording of {duration} s cannot be scored")
    from pyannote.core import Segment
    from pyannote.core import Timeline as Scope
    from pyannote.metrics.identification import IdentificationErrorRate

    everything = Segment(0, duration)
    truth, told = (_emotional(each).crop(everything) for each in (truth, told))
    metric = IdentificationErrorRate()
    parts = metric.compute_components(truth, told, uem=Scope([everything]))
    beside = 0.0
    if truth:
        beside = metric.compute_components(truth, told, uem=truth.get_timeline().support())["false alarm"]
    return EmotionErrors(
        false_alarm=parts["false alarm"] - beside,
        missed=parts["missed detection"],
        confusion=parts["confusion"],
        overlap=beside,
        duration=duration,
    )


def _emotional(annotation: Annotation) -> Annotation:
    return annotation.subset(NOTHING, invert=True)


def emotions_of(timeline: Timeline) -> Annotation:
    """What a timeline tells, as :func:`emotion_errors` takes it: each moment of a turn has one emotion."""
    from pyannote.core import Annotation, Segment

    told = Annotation(uri=timeline.recording)
    for number, turn in enumerate(timeline.turns):
        for each in turn.stretches:
            told[Segment(each.start, each.end), number] = each.emotion
    return told


def emotions_in(turns: pd.DataFrame) -> Annotation:
    """Known emotions as :func:`emotion_errors` takes them.

    Args:
        turns: columns ``start``, ``end`` (s) and ``emotion``; each row is a track of its own.
    """
    from pyannote.core import Annotation, Segment

    truth = Annotation()
    for number, turn in enumerate(turns.itertuples()):
        truth[Segment(turn.start, turn.end), number] = turn.emotion
    return truth
