"""What a room does to sound: simulated shoebox rooms of a given reverberation time, and measured responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emodag.audio import SAMPLE_RATE

SPEED_OF_SOUND = 343.0  # m/s

#: Reflections of a higher order are left to the diffuse tail. In a room 2.4 m high the lower ones are complete for
#: some 60 ms, long after the mixing time of living rooms (about the root of the volume in m³, in ms).
_MAX_ORDER = 8
#: The tail takes over here (s) and is as loud there as the reflections were over the last stretch before.
_TAIL_START, _TAIL_MATCH = 0.05, 0.02


@dataclass(frozen=True)
class Room:
    """A shoebox room: its size and where talker and microphone are, ``(x, y, z)`` in metres; ``rt60`` in seconds."""

    rt60: float
    size: Sequence[float]
    talker: Sequence[float]
    microphone: Sequence[float]

    @classmethod
    def drawn(cls, rt60: float, generator: np.random.Generator) -> Room:
        """A room the size of an office to a classroom; positions to the centimetre, 0.5 m or more off every wall."""
        size = generator.uniform((3.0, 2.5, 2.4), (10.0, 8.0, 3.5))
        # Each in its own half of the room, so that they never coincide.
        low, middle, high = np.full(3, 0.5), size[0] / 2, size - 0.5
        talker = generator.uniform(low, (middle - 0.2, *high[1:]))
        microphone = generator.uniform((middle + 0.2, *low[1:]), high)
        return cls(rt60, *(np.round(place, 2).tolist() for place in (size, talker, microphone)))

    def impulse_response(self, seed: int) -> np.ndarray:
        """float32 ``[samples]`` at 16 kHz; sample 0 is the arrival of the direct sound.

        Direct sound and early reflections by the image-source method (Allen and Berkley 1979; pyroomacoustics), then a
        diffuse tail of exponentially decaying Gaussian noise (Moorer 1979), as in Lehmann and Johansson (2010): images
        alone take 0.1 s for a decay of 0.6 s, and ever longer for more. The walls absorb by Eyring's formula for
        ``rt60``; what the decay then misses is corrected, so that its reverberation time (T30) is ``rt60``.

        Args:
            seed: of the tail.
        """
        early = self._early_reflections()
        length = round((self.rt60 * 1.2 + _TAIL_START) * SAMPLE_RATE)
        response = np.zeros(length)
        response[: min(len(early), length)] = early[:length]
        response = self._with_tail(response, seed)
        time = np.arange(length) / SAMPLE_RATE
        for _ in range(3):
            measured = reverberation_time(response)
            response *= 10 ** (3 * time * (1 / measured - 1 / self.rt60))
        return response.astype(np.float32)

    def _early_reflections(self) -> np.ndarray:
        import pyroomacoustics

        # Its threads would add up the images in another order wherever there are more or fewer of them.
        pyroomacoustics.constants.set("num_threads", 1)
        length, width, height = self.size
        volume = length * width * height
        surface = 2 * (length * width + length * height + width * height)
        absorption = 1 - np.exp(-24 * np.log(10) * volume / (SPEED_OF_SOUND * surface * self.rt60))
        room = pyroomacoustics.ShoeBox(
            self.size, fs=SAMPLE_RATE, materials=pyroomacoustics.Material(absorption), max_order=_MAX_ORDER
        )
        room.add_source(self.talker)
        room.add_microphone(self.microphone)
        room.compute_rir()
        return from_direct_sound(room.rir[0][0])

    def _with_tail(self, response: np.ndarray, seed: int) -> np.ndarray:
        start, before = round(_TAIL_START * SAMPLE_RATE), round((_TAIL_START - _TAIL_MATCH) * SAMPLE_RATE)
        time = np.arange(len(response) - before) / SAMPLE_RATE
        tail = np.random.default_rng(seed).standard_normal(len(time)) * 10 ** (-3 * time / self.rt60)
        level = np.sqrt(np.sum(response[before:start] ** 2) / np.sum(tail[: start - before] ** 2))
        return np.concatenate((response[:start], level * tail[start - before :]))


def reverberation_time(response: np.ndarray) -> float:
    """The time of a decay by 60 dB, in seconds, from its slope between -5 and -35 dB (T30 of ISO 3382).

    Args:
        response: an impulse response ``[samples]`` at 16 kHz, integrated backwards (Schroeder 1965).
    """
    energy = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    decay = 10 * np.log10(energy[energy > 0] / energy[0])
    first, last = np.searchsorted(-decay, (5, 35))
    time, level = np.arange(first, last) / SAMPLE_RATE, decay[first:last]
    # The slope of the least-squares line, summed and not multiplied as matrices: whose order depends on BLAS's threads.
    time = time - time.mean()
    return float(-60 * np.sum(time**2) / np.sum(time * level))


def from_direct_sound(response: np.ndarray) -> np.ndarray:
    """An impulse response without the time before its onset: where it comes within 20 dB of its peak (ISO 3382)."""
    level = np.abs(response)
    return response[int(np.argmax(level >= 0.1 * level.max())) :]


def convolve(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Sound in a room, at the length and the level (root mean square) it had before.

    Args:
        samples: float32 ``[samples]``, not silent.
        response: float32 ``[samples']`` from its direct sound on, so that speech stays where it was.
    """
    from scipy.signal import oaconvolve

    wet = oaconvolve(samples, response)[: len(samples)].astype(np.float32, copy=False)
    dry_energy, wet_energy = (np.sum(np.square(sound, dtype=np.float64)) for sound in (samples, wet))
    return wet * np.float32(np.sqrt(dry_energy / wet_energy))
