"""What a model says of recordings that people hand over, one clip each, and how it is told to them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emodag import listening
from emodag.conversation.telling import likely
from emodag.errors import EmodagError
from emodag.listening import Sound

if TYPE_CHECKING:
    from emodag.featurizer import Spoken
    from emodag.recognition import Recogniser

#: Longer recordings hold more than one emotion, and most hold more than one voice; s.
_LONG = 60.0


@dataclass(frozen=True)
class Answer:
    """What is said of one recording."""

    file: str
    duration: float  #: s
    emotion: str | None  #: the most probable, or ``unknown``; nothing where there is no speech
    probabilities: dict[str, float]  #: calibrated, the most probable first; empty where there is no speech
    notes: tuple[str, ...] = ()  #: what to mind

    def described(self) -> dict[str, Any]:
        """As JSON."""
        rounded = {emotion: round(value, 4) for emotion, value in self.probabilities.items()}
        return vars(self) | {"duration": round(self.duration, 3), "probabilities": rounded, "notes": list(self.notes)}

    def told(self) -> list[str]:
        """Lines for people."""
        width = max(map(len, self.probabilities), default=0)
        return [
            f"{self.file}: {self.emotion or 'no speech'}",
            *(f"  {emotion:{width}}  {100 * value:5.1f} %" for emotion, value in self.probabilities.items()),
            *(f"  {note}" for note in self.notes),
        ]


def hear(
    recogniser: Recogniser, names: Sequence[str], left_out: Callable[[str, EmodagError], None] | None = None
) -> list[Answer]:
    """What the model says of recordings of one voice, each as one clip; a model that adapts to speakers adapts to it.

    Args:
        recogniser: the model.
        names: of the recordings.
        left_out: takes which one cannot be judged and why, and the others are judged without it; by default, that is
            raised.

    Raises:
        AudioError: one cannot be read; see :func:`emodag.listening.read`.
    """
    found: list[tuple[str, Sound, Spoken]] = []
    for name in names:
        try:
            sound = listening.read(name, mono=True)
            found.append((name, sound, recogniser.spoken(sound.samples())))
        except EmodagError as error:
            if left_out is None:
                raise
            left_out(name, error)
    names, sounds, spoken = zip(*found, strict=True) if found else ((), (), ())
    return _answers(recogniser, names, sounds, spoken)


def judged(recogniser: Recogniser, sounds: Sequence[Sound], names: Sequence[str]) -> list[Answer]:
    """What the model says of sounds of one voice, read under these names; see :func:`hear`."""
    return _answers(recogniser, names, sounds, [recogniser.spoken(sound.samples()) for sound in sounds])


def _answers(
    recogniser: Recogniser, names: Sequence[str], sounds: Sequence[Sound], spoken: Sequence[Spoken]
) -> list[Answer]:
    heard = [number for number, each in enumerate(spoken) if each.is_speech]
    answers = [_silent(name, sound) for name, sound in zip(names, sounds, strict=True)]
    if heard:
        found = recogniser.recognised([spoken[number] for number in heard], ["voice"] * len(heard))
        for number, row, emotion in zip(heard, found.probabilities.tolist(), found.emotions, strict=True):
            ordered = dict(likely(recogniser.bundle.classes, row))
            sound = sounds[number]
            answers[number] = Answer(names[number], sound.duration, emotion, ordered, tuple(_notes(sound)))
    return answers


def _silent(name: str, sound: Sound) -> Answer:
    return Answer(name, sound.duration, None, {}, (*sound.notes, "no speech was found, so there is nothing to judge"))


def _notes(sound: Sound) -> Iterator[str]:
    yield from sound.notes
    if sound.duration > _LONG:
        yield f"judged as one clip of {sound.duration:.0f} s; `emodag analyze` follows the emotions over time"


def as_csv(answers: Sequence[Answer], classes: Sequence[str]) -> str:
    """A row for each recording, a column for each class in the model's order."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("file", "duration", "emotion", *classes, "notes"))
    for each in answers:
        values = [f"{each.probabilities[name]:.4f}" if each.probabilities else "" for name in classes]
        writer.writerow((each.file, f"{each.duration:.3f}", each.emotion or "", *values, "; ".join(each.notes)))
    return out.getvalue()
