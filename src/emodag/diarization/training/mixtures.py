"""Chunks of conversations to train the segmentation network on, drawn afresh for every use.

Unlike :mod:`emodag.conversation.simulation`, which is for measuring, everything varies here from chunk to chunk: how
turns are taken, rooms, noise, level, line, and the speed of a voice, which moves its pitch and formants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.augmentation import replay
from emodag.diarization.segmentation import CHUNK, CLASSES, FRAME, FRAMES, SPEAKERS

_SECONDS = CHUNK / SAMPLE_RATE
_CLASS_OF = {sum(1 << speaker for speaker in members): number for number, members in enumerate(CLASSES)}


@dataclass(frozen=True)
class Clip:
    """A clip trimmed to its speech: int16 ``[samples]``, and where in it there is speech (``[stretches, 2]``)."""

    pcm: np.ndarray
    speech: np.ndarray


class Mixer:
    """Draws chunks from the clips of each speaker; speakers are named ``corpus/name``."""

    def __init__(self, clips: dict[str, list[Clip]], seed: int):
        self.clips = clips
        self.names = sorted(clips)
        self.generator = np.random.default_rng(seed)

    def chunk(self) -> tuple[np.ndarray, np.ndarray]:
        """Float32 ``[samples]`` of 10 s, and the class of each frame, int64 ``[frames]``."""
        generator = self.generator
        count = int(generator.choice(SPEAKERS + 1, p=(0.04, 0.15, 0.61, 0.2)))
        mixture = np.zeros(CHUNK, np.float32)
        active = np.zeros((SPEAKERS, FRAMES), bool)
        if count:
            self._talk(self._speakers(count), mixture, active)
        level = float(np.sqrt(np.mean(np.square(mixture)))) if count else 0.03
        mixture += self._background(level, nobody=count == 0)
        mixture /= max(1.0, float(np.abs(mixture).max()))
        if generator.random() < 0.4:
            mixture = replay(mixture * np.float32(generator.uniform(0.3, 1)), [{"kind": "telephone"}])
        mixture *= np.float32(10 ** (generator.uniform(-20, 5) / 20))
        return mixture, _classes(active)

    def _speakers(self, count: int) -> list[str]:
        """Mostly of one corpus: those of several differ by their microphones as much as by their voices."""
        first = self.names[self.generator.integers(len(self.names))]
        one_corpus = self.generator.random() < 0.75
        corpus = first.split("/")[0]
        others = [name for name in self.names if name != first and (not one_corpus or name.split("/")[0] == corpus)]
        return [first, *(others[index] for index in self.generator.permutation(len(others))[: count - 1])]

    def _talk(self, speakers: list[str], mixture: np.ndarray, active: np.ndarray) -> None:
        """Add turns that begin before the chunk and go on past its end."""
        generator = self.generator
        speeds = [1.0 if generator.random() < 0.6 else generator.uniform(0.88, 1.13) for _ in speakers]
        in_a_room = generator.random() < 0.35
        rooms = [_room(generator) if in_a_room else None for _ in speakers]
        spread = generator.uniform(0, 8)
        gains = 10 ** (generator.uniform(-spread, spread, len(speakers)) / 20)
        hold, overlap, overlap_length = (
            generator.uniform(0.05, 0.7),
            generator.uniform(0, 0.6),
            generator.uniform(0.2, 1),
        )
        gap, pause = generator.choice((0.1, 0.3, 0.6, 1.5), 2)
        current = int(generator.integers(len(speakers)))
        ends = [-generator.uniform(0, 4)]
        while ends[-1] < _SECONDS:
            first_turn = len(ends) == 1
            changes = not first_turn and len(speakers) > 1 and generator.random() >= hold
            if changes:
                current = int(generator.choice([other for other in range(len(speakers)) if other != current]))
            samples, speech = self._said(speakers[current], speeds[current])
            duration = len(samples) / SAMPLE_RATE
            if changes and generator.random() < overlap:
                before = min(generator.exponential(overlap_length), 0.7 * duration, 3.0)
                start = max(ends[-1] - before, max(ends[:-1], default=-np.inf))
            else:
                start = ends[-1] + (0 if first_turn else generator.exponential(gap if changes else pause))
            level = float(np.sqrt(np.mean(np.square(samples)))) + 1e-6
            # Emotion is loud or soft, and recordings are more or less levelled.
            samples = samples * np.float32(gains[current] * (0.05 / level) ** generator.uniform(0.3, 1))
            _add(mixture, active[current], samples, speech, round(start * SAMPLE_RATE), rooms[current])
            ends.append(max(start + duration, ends[-1]))

    def _said(self, speaker: str, speed: float) -> tuple[np.ndarray, np.ndarray]:
        clips = self.clips[speaker]
        clip = clips[self.generator.integers(len(clips))]
        samples = clip.pcm.astype(np.float32) / 32768
        if speed == 1:
            return samples, clip.speech
        import soxr

        return soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE / speed, quality="QQ"), (clip.speech / speed).astype(int)

    def _background(self, level: float, *, nobody: bool) -> np.ndarray:
        generator = self.generator
        sound = 10 ** generator.uniform(-5.5, -3.5) * generator.standard_normal(CHUNK, np.float32)
        if nobody and generator.random() < 0.5:
            sound += 0.05 * generator.uniform(0.1, 1) * _tones(generator)
        which, ratio = generator.random(), generator.uniform(3, 35)
        if which < 0.5:
            sound += level * 10 ** (-ratio / 20) * _coloured(generator)
        elif which < 0.6:
            sound += level * 10 ** (-(ratio + 5) / 20) * _tones(generator)
        return sound.astype(np.float32)


def _add(
    mixture: np.ndarray,
    active: np.ndarray,
    samples: np.ndarray,
    speech: np.ndarray,
    start: int,
    room: np.ndarray | None,
) -> None:
    if room is not None:
        from scipy.signal import oaconvolve

        samples = oaconvolve(samples, room)[: len(samples) + SAMPLE_RATE // 5]
    first, last = max(0, -start), min(len(samples), len(mixture) - start)
    if last > first:
        mixture[start + first : start + last] += samples[first:last]
    for begin, end in np.rint((speech + start) / FRAME).astype(int):
        active[max(0, begin) : max(0, end)] = True


def _classes(active: np.ndarray) -> np.ndarray:
    """The class of each frame; never more than two speak at once."""
    members = (active * (1 << np.arange(SPEAKERS))[:, None]).sum(axis=0)
    return np.array([_CLASS_OF.get(int(each), len(CLASSES) - 1) for each in members], np.int64)


def _room(generator: np.random.Generator) -> np.ndarray:
    """An impulse response: the direct sound, and a decaying tail of noise 0 to 15 dB below it (Moorer 1979)."""
    decay = generator.uniform(0.1, 0.6)
    time = np.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = generator.standard_normal(len(time), np.float32) * 10 ** (-3 * time / decay)
    tail[:40] = 0
    tail *= np.sqrt(10 ** (-generator.uniform(0, 15) / 10) / np.sum(tail**2))
    tail[0] = 1
    return tail.astype(np.float32)


def _coloured(generator: np.random.Generator) -> np.ndarray:
    """Noise whose power falls by 0 to 6 dB an octave; root mean square 1."""
    from scipy.fft import irfft, rfft, rfftfreq

    slope = generator.uniform(0, 2)
    shape = np.maximum(rfftfreq(CHUNK, 1 / SAMPLE_RATE), 30).astype(np.float32) ** (-slope / 2)
    noise = irfft(rfft(generator.standard_normal(CHUNK, np.float32)) * shape, CHUNK)
    return noise / np.sqrt(np.mean(np.square(noise)))


def _tones(generator: np.random.Generator) -> np.ndarray:
    """Chords of decaying harmonic tones, as music has them; root mean square 1."""
    sound = np.zeros(CHUNK, np.float32)
    start = 0
    while start < CHUNK:
        end = min(CHUNK, start + int(generator.uniform(0.15, 0.8) * SAMPLE_RATE))
        time = np.arange(end - start) / SAMPLE_RATE
        for _ in range(generator.integers(1, 4)):
            pitch, decay = 110 * 2 ** (generator.integers(0, 36) / 12), generator.uniform(0, 4)
            for harmonic in range(1, 5):
                sound[start:end] += np.sin(2 * np.pi * pitch * harmonic * time) / harmonic * np.exp(-decay * time)
        start = end
    return sound / np.sqrt(np.mean(np.square(sound)) + 1e-9)
