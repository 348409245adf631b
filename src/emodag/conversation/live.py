"""The emotion of a voice while it speaks: the last seconds that were heard, time and again.

One voice is assumed. The model is adapted to it by what it has said so far, and what was felt before counts as it does
in a recorded conversation that is heard as it goes; see :mod:`emodag.conversation.analysis`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile

from emodag.adaptation import Groups
from emodag.audio import SAMPLE_RATE, as_kept, to_pcm16
from emodag.conversation.analysis import feeling_of, smoothed
from emodag.conversation.cutting import Stretch
from emodag.conversation.telling import likely
from emodag.conversation.timeline import Feeling
from emodag.errors import AudioError, DataError
from emodag.evaluation.calibration import tempered
from emodag.files import atomic_file
from emodag.recognition import Recogniser
from emodag.speech import Speech, joined

if TYPE_CHECKING:
    from emodag.params import Analyze

#: Stretches of the voice that its statistics rest on: the last minutes.
_REMEMBERED = 100

#: Blocks of so many seconds come from the microphone, and longer ones are heard in such pieces.
_BLOCK = 0.1


class Heard(NamedTuple):
    """A block of sound, and what was made of it."""

    time: float  #: s since the start
    level: float  #: root mean square of the block, dB of full scale
    feeling: Feeling | None  #: of the last window that was just completed, where there is speech in it
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
        """Take a block of sound, float32 [samples] at 16 kHz, of any length; a window is judged at every hop of it."""
        block = as_kept(block)
        piece = round(_BLOCK * SAMPLE_RATE)
        feeling, is_judged = None, False
        for start in range(0, len(block), piece):
            if self._take(block[start : start + piece]):
                feeling, is_judged = self._judge(), True
        return Heard(self._heard / SAMPLE_RATE, level(block), feeling, is_judged)

    def _take(self, piece: np.ndarray) -> bool:
        """Whether this piece completes a window."""
        self._heard += len(piece)
        self._window = np.concatenate([self._window, piece])[-self._length :]
        is_due = self._heard >= self._next
        if is_due:
            self._next = self._heard + self._hop
        return is_due

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


def level(samples: np.ndarray) -> float:
    """The root mean square of samples in dB of full scale, -100 at the least and where there are none."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return 10 * np.log10(max(power, 1e-10))


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


class Microphone:
    """A microphone; what went wrong while it was heard is told afterwards, so that what came before is not lost."""

    def __init__(self, device: str | None = None):
        """Make sure that there is one.

        Args:
            device: its number or a part of its name; None for the system's own choice.

        Raises:
            AudioError: ``no_microphone``: sounddevice or PortAudio is not installed, or there is no such device.
        """
        self.overflows = 0  #: blocks before which sound was lost, since it was not taken in time
        self.failure = ""  #: why it ended before its time
        self._name = "no microphone" if device is None else f"no microphone {device!r}"
        self._sounddevice = _sounddevice()
        number = int(device) if device is not None and device.isdecimal() else device
        self._settings = {"samplerate": SAMPLE_RATE, "channels": 1, "dtype": "float32", "device": number}
        try:
            self._sounddevice.check_input_settings(**self._settings)
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise self._refused(error) from None

    def blocks(self, seconds: float | None = None) -> Iterator[np.ndarray]:
        """Blocks of 0.1 s, float32 [samples] at 16 kHz, as they are spoken; they end where it fails.

        Args:
            seconds: after which they end; None for never.

        Raises:
            AudioError: ``no_microphone``: it cannot be opened, or gives nothing.
        """
        length = round(_BLOCK * SAMPLE_RATE)
        try:
            stream = self._sounddevice.InputStream(blocksize=length, **self._settings)
            stream.start()
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise self._refused(error) from None
        with stream:
            for number in count() if seconds is None else range(max(1, round(seconds / _BLOCK))):
                try:
                    block, overflowed = stream.read(length)
                except self._sounddevice.PortAudioError as error:
                    if not number:
                        raise self._refused(error) from None
                    self.failure = " ".join(str(error).split())
                    return
                self.overflows += bool(overflowed)
                yield block[:, 0].copy()

    def _refused(self, error: Exception) -> AudioError:
        return AudioError(
            "no_microphone",
            f"{self._name} can be opened ({' '.join(str(error).split())}); `python -m sounddevice` lists the devices, "
            "and `emodag analyze FILE` takes a recording instead",
        )


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


@contextmanager
def keeping(place: Path | None) -> Iterator[Callable[[np.ndarray], None] | None]:
    """What writes blocks to a FLAC as they come; nothing without a place.

    Whatever ends the listening, what was heard until then is kept, unless that is nothing.

    Raises:
        AudioError: ``empty``: nothing was heard; what lies at the place stays.
        DataError: it cannot be written.
    """
    if place is None:
        yield None
        return
    fault: BaseException | None = None
    with ExitStack() as stack:
        try:
            partial = stack.enter_context(atomic_file(place))
            partial.touch()  # libsndfile would not say why a file cannot be made
        except OSError as error:
            raise DataError(f"{place}: cannot be written: {error.strerror}") from None
        file = stack.enter_context(soundfile.SoundFile(partial, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC"))

        def keep(block: np.ndarray) -> None:
            try:
                file.write(to_pcm16(block))
            except soundfile.LibsndfileError as error:
                raise DataError(f"{place}: cannot be written any further: {error.error_string}") from None

        try:
            yield keep
        except BaseException as error:
            fault = error
        if not file.frames:
            raise fault or AudioError("empty", f"{place} is not written, for nothing was heard")
    if fault is not None:
        raise fault


def listen(
    listener: Listener,
    blocks: Iterable[np.ndarray],
    classes: tuple[str, ...],
    show: Callable[[str], None] | None = None,
    keep: Callable[[np.ndarray], None] | None = None,
) -> tuple[float, list[Feeling]]:
    """Show what is heard until the sound ends or the user interrupts.

    Args:
        listener: that has heard nothing.
        blocks: of sound, float32 [samples].
        classes: of the model.
        show: takes a line for each block; without it, one is printed for each window.
        keep: takes each block; here, none is held.

    Returns:
        How long was listened (s), and the feelings in what was heard.
    """
    seconds = 0.0
    feelings: list[Feeling] = []
    last: Feeling | None = None
    try:
        for block in blocks:
            if keep:
                keep(block)
            heard = listener.hear(block)
            seconds = heard.time
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
    return seconds, feelings


def summary(seconds: float, feelings: Sequence[Feeling]) -> list[str]:
    """What was heard in all, as lines for people."""
    lines = [f"{seconds:.1f} s"]
    counts = Counter(feeling.emotion for feeling in feelings)
    lines += [f"  {emotion}  {count / len(feelings):.0%} of the speech" for emotion, count in counts.most_common()]
    return lines if feelings else [f"{lines[0]}, no speech was found"]
