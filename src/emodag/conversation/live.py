"""The emotion of a voice while it speaks: the last seconds that were heard, time and again.

One voice is assumed. The model is adapted to it by what it has said so far, and what was felt before counts as it does
in a recorded conversation that is heard as it goes; see :mod:`emodag.conversation.analysis`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emodag.adaptation import Groups
from emodag.audio import SAMPLE_RATE, as_kept
from emodag.conversation.analysis import feeling_of, smoothed
from emodag.conversation.cutting import Stretch
from emodag.conversation.telling import likely
from emodag.conversation.timeline import Feeling
from emodag.errors import AudioError
from emodag.evaluation.calibration import tempered
from emodag.recognition import Recogniser
from emodag.speech import Speech, joined

if TYPE_CHECKING:
    from emodag.params import Analyze

#: Stretches of the voice that its statistics rest on: the last minutes.
_REMEMBERED = 100

#: Blocks of so many seconds come from the microphone.
_BLOCK = 0.1


class Heard(NamedTuple):
    """A block of sound, and what was made of it."""

    time: float  #: s since the start
    level: float  #: root mean square of the block, dB of full scale
    feeling: Feeling | None  #: of the last window, where one was just completed and there is speech in it
    is_judged: bool  #: whether a window was just completed


@dataclass(frozen=True)
class _Said:
    """A window in which the voice spoke."""

    speech: Speech  #: as the model sees it, before adaptation
    start: float  #: s
    end: float  #: s
    is_telling: bool  #: whether it enters the statistics of the voice
    probabilities: np.ndarray  #: calibrated, of it alone under what was known of the voice then, [classes]


class Listener:
    """Hears sound block by block."""

    def __init__(self, recogniser: Recogniser, settings: Analyze):
        """Take the model, and the section ``analyze`` of the params: ``window``, ``hop``, ``smoothing``."""
        self._recogniser = recogniser
        self._settings = settings
        self._window = np.empty(0, np.float32)  # the last samples, at most a window of them
        self._length, self._hop = (round(seconds * SAMPLE_RATE) for seconds in (settings.window, settings.hop))
        self._heard = 0  # samples, since the start
        self._next = self._hop
        self._said: list[_Said] = []

    def hear(self, block: np.ndarray) -> Heard:
        """Take a block of sound, float32 [samples] at 16 kHz."""
        block = as_kept(block)
        self._heard += len(block)
        self._window = np.concatenate([self._window, block])[-self._length :]
        is_due = self._heard >= self._next
        feeling = None
        if is_due:
            self._next = self._heard + self._hop
            feeling = self._judge()
        level = 10 * np.log10(max(float(np.mean(np.square(block, dtype=np.float64))), 1e-10))
        return Heard(self._heard / SAMPLE_RATE, level, feeling, is_due)

    def _judge(self) -> Feeling | None:
        end = self._heard / SAMPLE_RATE
        stretch = Stretch("voice", end - len(self._window) / SAMPLE_RATE, end, 0.0)
        spoken = self._recogniser.spoken(self._window)
        if not spoken.is_speech or len(spoken.samples) < self._settings.shortest * SAMPLE_RATE:
            return None
        bundle, said = self._recogniser.bundle, self._said
        last_telling = next((each.end for each in reversed(said) if each.is_telling), -np.inf)
        centre = (stretch.start + stretch.end) / 2
        is_telling = centre > last_telling
        speech = self._recogniser.speech([spoken])
        known = joined([*(each.speech for each in said), speech])
        groups = Groups(np.zeros(len(known), np.int64), np.array([*(each.is_telling for each in said), is_telling]))
        raw = bundle.run(bundle.adapter(known, groups).of(slice(len(known) - 1, None)))
        said.append(_Said(speech, stretch.start, end, is_telling, tempered(raw, bundle.temperature)[0]))
        del said[:-_REMEMBERED]
        starts, ends = np.array([(each.start, each.end) for each in said]).T
        shares = np.append(np.minimum(1, np.diff(starts) / (ends - starts)[:-1]), 1.0)
        found = smoothed(
            np.stack([each.probabilities for each in said]),
            (starts + ends) / 2,
            self._settings.smoothing,
            shares,
            ahead=False,
        )
        return feeling_of(stretch, found[-1], bundle)


def meter(level: float, width: int = 20, softest: float = -60.0) -> str:
    """A level (dB of full scale) as a bar of so many characters."""
    share = np.clip((level - softest) / -softest, 0, 1)
    full = round(float(share) * width)
    return "#" * full + "." * (width - full)


def told(heard: Heard, feeling: Feeling | None, classes: tuple[str, ...]) -> str:
    """One line for people: time, level, and the last feeling with its three most probable emotions."""
    line = f"{heard.time:6.1f} s  [{meter(heard.level)}]"
    if feeling is None:
        return f"{line}  no speech yet"
    shares = "  ".join(f"{emotion} {value:.0%}" for emotion, value in likely(classes, feeling.probabilities)[:3])
    return f"{line}  {feeling.emotion}  ({shares})"


def microphone(seconds: float | None, device: str | None = None) -> Iterator[np.ndarray]:
    """Blocks of 0.1 s from a microphone, float32 [samples] at 16 kHz, as they are spoken.

    Args:
        seconds: after which it ends; None for never.
        device: its number or a part of its name; None for the system's own choice.

    Raises:
        AudioError: ``no_microphone``: sounddevice or PortAudio is not installed, or there is no such device.
    """
    sounddevice = _sounddevice()
    number = int(device) if device is not None and device.isdecimal() else device
    length = round(_BLOCK * SAMPLE_RATE)
    try:
        stream = sounddevice.InputStream(
            samplerate=SAMPLE_RATE, channels=1, dtype="float32", blocksize=length, device=number
        )
        with stream:
            count = None if seconds is None else max(1, round(seconds / _BLOCK))
            while count is None or count > 0:
                block, _ = stream.read(length)
                yield block[:, 0].copy()
                count = None if count is None else count - 1
    except (sounddevice.PortAudioError, ValueError) as error:
        named = "no microphone" if device is None else f"no microphone {device!r}"
        raise AudioError(
            "no_microphone",
            f"{named} can be opened ({' '.join(str(error).split())}); `python -m sounddevice` lists the devices, and "
            "`emodag analyze FILE` takes a recording instead",
        ) from None


def _sounddevice():
    try:
        import sounddevice
    except ImportError:
        raise AudioError("no_microphone", "the package sounddevice is missing: pip install sounddevice") from None
    except OSError as error:
        raise AudioError(
            "no_microphone",
            f"sounddevice cannot reach the sound card: {error}; on Debian and Ubuntu: apt install libportaudio2",
        ) from None
    return sounddevice


def listen(
    listener: Listener,
    blocks: Iterator[np.ndarray],
    classes: tuple[str, ...],
    show: Callable[[str], None] | None = None,
) -> tuple[np.ndarray, list[Feeling]]:
    """Show what is heard until the sound ends or the user interrupts.

    Args:
        listener: that has heard nothing.
        blocks: of sound, float32 [samples].
        classes: of the model.
        show: takes a line for each block; without it, one is printed for each window.

    Returns:
        All that was heard, float32 [samples], and the feelings in it.
    """
    kept: list[np.ndarray] = []
    feelings: list[Feeling] = []
    last: Feeling | None = None
    try:
        for block in blocks:
            kept.append(block)
            heard = listener.hear(block)
            if heard.is_judged:
                last = heard.feeling
            if heard.feeling is not None:
                feelings.append(heard.feeling)
            if show:
                show(told(heard, last, classes))
            elif heard.is_judged:
                print(told(heard, last, classes), flush=True)
    except KeyboardInterrupt:
        pass
    return np.concatenate(kept) if kept else np.empty(0, np.float32), feelings


def summary(samples: np.ndarray, feelings: Sequence[Feeling]) -> list[str]:
    """What was heard in all, as lines for people."""
    lines = [f"{len(samples) / SAMPLE_RATE:.1f} s"]
    counts = Counter(feeling.emotion for feeling in feelings)
    lines += [f"  {emotion}  {count / len(feelings):.0%} of the speech" for emotion, count in counts.most_common()]
    return lines if feelings else [f"{lines[0]}, no speech was found"]
