"""Conversations put together from single utterances, with turns and emotions known exactly.

For development and measurement: nobody has to mark by hand who speaks when. Speakers take turns as people do in
telephone conversations, where the next speaker starts within a second, before the last one has ended in a third of all
cases, and two speak at once for a few per cent of the time (Heldner and Edlund 2010, "Pauses, gaps and overlaps in
conversations", Journal of Phonetics 38; Levinson and Torreira 2015, "Timing in turn-taking and its implications for
processing models of language", Frontiers in Psychology 6). Gaps, pauses and overlaps are exponentially distributed,
each with a mean of its own. Training and testing of diarization on such conversations, rather than on voices that are
mixed without regard to each other, goes back to Landini et al. (2022), "From simulated mixtures to simulated
conversations as training data for end-to-end neural diarization", Interspeech.

What counts as speech: a clip holds silence before and after its words, so :func:`speech_in` takes silero-vad's word for
where about speech lies and the sound's level for where exactly it starts, stops and pauses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emodag import audio
from emodag.audio import SAMPLE_RATE
from emodag.augmentation import replay
from emodag.errors import DataError
from emodag.params import Simulation, VoiceActivity

if TYPE_CHECKING:
    from pyannote.core import Annotation

    from emodag.diarization.voice_activity import VoiceActivityDetector

#: Where about there is speech in a clean clip. Its bounds are settled by the level, so it may be generous.
_ABOUT = VoiceActivity(onset=0.5, offset=0.3, min_on=0.05, min_off=0.3, pad=0.1)
#: Sound this far below the clip's loud parts is no speech, nor is what hardly rises above its quietest parts; dB.
_BELOW_LOUD, _ABOVE_FLOOR = 35.0, 8.0
#: Level is taken over so long (s), every so often.
_LEVEL_WINDOW, _LEVEL_STEP = 0.02, 0.005
#: A shorter pause within an utterance (the closure of a plosive, say) belongs to it, and a shorter sound is a click; s.
_SHORTEST_PAUSE, _SHORTEST_SPEECH = 0.25, 0.08

#: Root mean square of a speaker's speech, dB of full scale, before each one's own offset.
_SPEECH_DB = -26.0


@dataclass(frozen=True)
class Utterance:
    """One clip of one speaker: a file that the pipeline wrote, or its samples (float32 at 16 kHz)."""

    speaker: str
    emotion: str
    clip_id: str
    source: Path | np.ndarray

    def samples(self) -> np.ndarray:
        """Float32 ``[samples]`` at 16 kHz."""
        return self.source if isinstance(self.source, np.ndarray) else audio.load(self.source)


@dataclass(frozen=True)
class Conversation:
    """A simulated conversation.

    ``turns`` has the columns ``start``, ``end`` (s), ``speaker``, ``emotion`` and ``clip_id``, by start: a row for each
    stretch of speech between pauses, so an utterance may have several.
    """

    name: str
    samples: np.ndarray  #: float32 ``[samples]`` at 16 kHz, within [-1, 1]
    turns: pd.DataFrame

    @property
    def duration(self) -> float:
        """In seconds."""
        return len(self.samples) / SAMPLE_RATE

    def annotation(self) -> Annotation:
        """Who speaks when, as pyannote keeps it."""
        from pyannote.core import Annotation, Segment

        annotation = Annotation(uri=self.name)
        for track, turn in enumerate(self.turns.itertuples()):
            annotation[Segment(turn.start, turn.end), track] = turn.speaker
        return annotation


def utterances(manifest: pd.DataFrame, folder: Path) -> list[Utterance]:
    """The clips of an organized corpus, augmented copies left out.

    Args:
        manifest: by ``schema.MANIFEST``, paths relative to ``folder``.
    """
    clips = manifest[manifest["parent_id"].isna()]
    return [
        Utterance(clip.speaker, clip.emotion, clip.clip_id, folder / clip.path)
        for clip in clips.itertuples(index=False)
    ]


def speech_in(samples: np.ndarray) -> np.ndarray:
    """Where there is speech in a clean clip of one speaker.

    silero-vad says where about; there, 20 ms count as speech whose level lies within 35 dB of the loud parts (95th
    percentile) and at least 8 dB above the quiet ones (5th). Pauses below 0.25 s are speech, sounds below 0.08 s not.

    Args:
        samples: float32 ``[samples]`` at 16 kHz.

    Returns:
        int64 ``[stretches, 2]``: first sample, and one past the last; empty where there is no speech.
    """
    about = [
        (round(region.start * SAMPLE_RATE), round(region.end * SAMPLE_RATE)) for region in _detector().detect(samples)
    ]
    step, window = round(_LEVEL_STEP * SAMPLE_RATE), round(_LEVEL_WINDOW * SAMPLE_RATE)
    if not about or len(samples) < window:
        return np.empty((0, 2), np.int64)
    power = np.square(samples, dtype=np.float64)
    sums = np.concatenate(([0.0], np.cumsum(power)))
    starts = np.arange(0, len(samples) - window + 1, step)
    level = 10 * np.log10((sums[starts + window] - sums[starts]) / window + 1e-12)
    centres = starts + window // 2
    inside = np.zeros(len(starts), bool)
    for start, end in about:
        inside |= (centres >= start) & (centres < end)
    quiet, loud = np.percentile(level, (5, 95))
    spoken = inside & (level > max(loud - _BELOW_LOUD, min(quiet + _ABOVE_FLOOR, loud - _ABOVE_FLOOR)))
    edges = np.flatnonzero(np.diff(spoken, prepend=False, append=False)).reshape(-1, 2)
    stretches = np.column_stack([centres[edges[:, 0]] - step // 2, centres[edges[:, 1] - 1] + step // 2])
    joined: list[list[int]] = []
    for start, end in stretches.tolist():
        if joined and start - joined[-1][1] < _SHORTEST_PAUSE * SAMPLE_RATE:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    kept = [stretch for stretch in joined if stretch[1] - stretch[0] >= _SHORTEST_SPEECH * SAMPLE_RATE]
    return np.array(kept, np.int64).reshape(-1, 2)


@cache
def _detector() -> VoiceActivityDetector:
    from emodag.diarization.voice_activity import VoiceActivityDetector

    return VoiceActivityDetector(_ABOUT)


def simulate(clips: Sequence[Utterance], settings: Simulation, seed: int, name: str = "conversation") -> Conversation:
    """Draw a conversation; the same clips, settings and seed give the same samples.

    Its speakers are drawn from those of ``clips``, and each says a clip at most once before all of theirs have been
    heard. It goes on until the drawn duration is reached and everybody has spoken.

    Raises:
        DataError: there are fewer speakers than asked for, or one has no clip with speech.
    """
    generator = np.random.default_rng(seed)
    voices = _voices(clips, settings.speakers, generator)
    duration = generator.uniform(settings.min_duration, settings.max_duration)
    placed = _take_turns(voices, settings, duration, generator)
    samples, turns = _mix(placed, settings, generator)
    return Conversation(name, _line(samples, settings, generator), turns)


class _Voice:
    """A speaker's clips, handed out in random order."""

    def __init__(self, clips: list[Utterance], generator: np.random.Generator):
        self.clips = clips
        self.generator = generator
        self.left: list[Utterance] = []
        self.emotion: str | None = None

    def next(self, persistence: float) -> tuple[Utterance, np.ndarray, np.ndarray]:
        """A clip, its samples from first to last speech, and where in them speech lies."""
        for _ in range(2 * len(self.clips)):
            if not self.left:
                self.left = [self.clips[index] for index in self.generator.permutation(len(self.clips))]
            keeps = self.generator.random() < persistence
            same = [index for index, clip in enumerate(self.left) if clip.emotion == self.emotion]
            clip = self.left.pop(same[-1] if keeps and same else -1)
            samples = clip.samples()
            speech = speech_in(samples)
            if len(speech):
                self.emotion = clip.emotion
                first, last = speech[0, 0], speech[-1, 1]
                return clip, samples[first:last], speech - first
        raise DataError(f"no clip of {self.clips[0].speaker} holds speech; give the simulator speakers that have some")


def _voices(clips: Sequence[Utterance], speakers: int, generator: np.random.Generator) -> list[_Voice]:
    by_speaker: dict[str, list[Utterance]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    if len(by_speaker) < speakers:
        raise DataError(f"a conversation of {speakers} speakers needs clips of so many; got {len(by_speaker)}")
    names = sorted(by_speaker)
    return [_Voice(by_speaker[names[index]], generator) for index in generator.permutation(len(names))[:speakers]]


@dataclass(frozen=True)
class _Placed:
    clip: Utterance
    samples: np.ndarray
    speech: np.ndarray
    start: int  # sample of the conversation

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


def _take_turns(
    voices: list[_Voice], settings: Simulation, duration: float, generator: np.random.Generator
) -> list[_Placed]:
    """Who says what from which sample on."""
    placed: list[_Placed] = []
    silent = set(range(len(voices)))
    current = int(generator.integers(len(voices)))
    while not placed or placed[-1].end < duration * SAMPLE_RATE or silent:
        goes_on = not placed or len(voices) == 1 or generator.random() < settings.hold
        if not goes_on:
            others = [index for index in range(len(voices)) if index != current]
            current = others[generator.integers(len(others))]
        clip, samples, speech = voices[current].next(settings.persistence)
        placed.append(_Placed(clip, samples, speech, _start(placed, len(samples), goes_on, settings, generator)))
        silent.discard(current)
    return placed


def _start(
    placed: list[_Placed], length: int, goes_on: bool, settings: Simulation, generator: np.random.Generator
) -> int:
    if not placed:
        return round(generator.exponential(settings.pause) * SAMPLE_RATE)
    last = placed[-1]
    if goes_on:
        return last.end + round(generator.exponential(settings.pause) * SAMPLE_RATE)
    if generator.random() >= settings.overlap:
        return last.end + round(generator.exponential(settings.gap) * SAMPLE_RATE)
    most = min(length, len(last.samples)) // 2
    start = last.end - min(most, round(generator.exponential(settings.overlap_length) * SAMPLE_RATE))
    # At most two speak at once, and nobody over themselves.
    return max(start, max((earlier.end for earlier in placed[:-1]), default=0))


def _mix(
    placed: list[_Placed], settings: Simulation, generator: np.random.Generator
) -> tuple[np.ndarray, pd.DataFrame]:
    end = max(utterance.end for utterance in placed) + round(generator.exponential(settings.pause) * SAMPLE_RATE)
    mixture = np.zeros(end, np.float32)
    speakers = sorted({utterance.clip.speaker for utterance in placed})
    offsets = dict(
        zip(speakers, generator.uniform(-settings.level_spread, settings.level_spread, len(speakers)), strict=True)
    )
    gains = _gains(placed, offsets)
    rows = []
    for utterance in placed:
        clip = utterance.clip
        mixture[utterance.start : utterance.end] += gains[clip.speaker] * utterance.samples
        rows += [
            (first / SAMPLE_RATE, last / SAMPLE_RATE, clip.speaker, clip.emotion, clip.clip_id)
            for first, last in (utterance.speech + utterance.start).tolist()
        ]
    turns = pd.DataFrame(sorted(rows), columns=["start", "end", "speaker", "emotion", "clip_id"])
    return mixture, turns


def _gains(placed: list[_Placed], offsets: Mapping[str, float]) -> dict[str, np.float32]:
    """One factor per speaker: loudness tells emotions, so utterances of one keep their levels beside each other."""
    gains = {}
    for speaker, offset in offsets.items():
        spoken = np.concatenate([each.samples for each in placed if each.clip.speaker == speaker])
        level = np.sqrt(np.mean(np.square(spoken, dtype=np.float64)))
        gains[speaker] = np.float32(10 ** ((_SPEECH_DB + offset) / 20) / level)
    return gains


def _line(samples: np.ndarray, settings: Simulation, generator: np.random.Generator) -> np.ndarray:
    """What noise and telephone leave of a mixture, within full scale."""
    steps = []
    if settings.min_snr is not None:
        snr = float(generator.uniform(settings.min_snr, settings.max_snr))
        steps.append({"kind": "noise", "source": "pink", "snr": snr, "seed": int(generator.integers(2**32))})
    if settings.telephone:
        steps.append({"kind": "telephone"})
    samples = replay(samples, steps)
    return samples / np.float32(max(1.0, float(np.abs(samples).max(initial=0.0))))
