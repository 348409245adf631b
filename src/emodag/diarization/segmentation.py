"""Where somebody speaks, where two do, and where the speaker changes: a small network of our own over chunks of 10 s.

The network tells apart up to three speakers within a chunk, two at once, as one class of their powerset per frame
(Plaquet and Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech). Which
of a chunk's speakers is which of another's it does not know. Chunks overlap by half, and what they say of a frame is
averaged. :mod:`emodag.diarization.training` trains it; its weights (1.2 MB) lie beside this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.diarization.base import as_float
from emodag.inference import onnx_session

WEIGHTS = Path(__file__).parent / "weights" / "segmentation.onnx"

#: What the network sees at once and the step from one chunk to the next; samples.
CHUNK, STEP = 10 * SAMPLE_RATE, 5 * SAMPLE_RATE
#: Samples per frame of its answers (20 ms), and frames per chunk.
FRAME = 320
FRAMES = CHUNK // FRAME
#: The speakers of each class: nobody, one of three, two of three.
CLASSES = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
SPEAKERS = 3
#: Class -> speaker, float32 [classes, speakers]: 1 where the speaker speaks.
MEMBERS = np.array([[float(speaker in members) for speaker in range(SPEAKERS)] for members in CLASSES], np.float32)

# Of the power spectrum: 25 ms every 10 ms, two per frame.
_FFT, _WINDOW, _HOP = 512, 400, 160
_CHUNKS_PER_CALL = 4
# Less is heard of what comes before and after at the ends of a chunk: its say there rises from nothing over 2 s.
_RAMP = 2 * SAMPLE_RATE // FRAME
# A change of speaker is seen in the 160 ms before and after it.
_AROUND = 8


@dataclass(frozen=True)
class Frames:
    """What is known of each frame of 20 ms: float32 ``[frames]``, between 0 and 1."""

    speech: np.ndarray  #: probability that somebody speaks
    overlap: np.ndarray  #: probability that two do
    change: np.ndarray  #: how different the speakers before and after the frame are


def power_spectrum(samples: np.ndarray) -> np.ndarray:
    """Power of Hann windows of 25 ms, centred every 10 ms from 5 ms on: float32 ``[samples / 160, 257]``.

    Args:
        samples: float32 ``[samples]`` at 16 kHz, a multiple of 160.
    """
    from scipy.fft import rfft
    from scipy.signal.windows import hann

    padded = np.pad(samples, (_WINDOW - _HOP) // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    spectrum = rfft(windows * hann(_WINDOW, sym=False).astype(np.float32), _FFT, axis=1)
    return spectrum.real**2 + spectrum.imag**2


class Segmentation:
    """The network, loaded at the first use."""

    @cached_property
    def _session(self):
        return onnx_session(WEIGHTS)

    def chunks(self, samples: np.ndarray, gain: float = 1.0) -> Iterator[tuple[int, np.ndarray]]:
        """What the network says of each chunk: its first frame, and float32 ``[frames, classes]`` of sum 1.

        The last chunk is filled up with zeros, and what lies beyond the end left out.
        """
        frames = -(-len(samples) // FRAME)
        starts = range(0, max(1, len(samples) - CHUNK + STEP), STEP)
        for first in range(0, len(starts), _CHUNKS_PER_CALL):
            block = starts[first : first + _CHUNKS_PER_CALL]
            cut = [as_float(samples[start : start + CHUNK]) for start in block]
            power = np.stack([power_spectrum(np.pad(chunk, (0, CHUNK - len(chunk)))) for chunk in cut])
            [logarithms] = self._session.run(None, {"power": power * np.float32(gain**2)})
            for start, probabilities in zip(block, np.exp(logarithms), strict=True):
                yield start // FRAME, probabilities[: frames - start // FRAME]

    def frames(self, samples: np.ndarray, gain: float = 1.0) -> Frames:
        """Speech, overlap and change of speaker in a recording.

        Args:
            samples: ``[samples]`` at 16 kHz, float32 or int16.
            gain: what they are multiplied by first.
        """
        count = -(-len(samples) // FRAME)
        sums = np.zeros((count, 3), np.float32)
        weights = np.full(count, 1e-6, np.float32)
        ramp = np.minimum(np.minimum(np.arange(1, FRAMES + 1), np.arange(FRAMES, 0, -1)) / _RAMP, 1).astype(np.float32)
        for start, probabilities in self.chunks(samples, gain):
            place = slice(start, start + len(probabilities))
            weight = ramp[: len(probabilities)]
            seen = np.column_stack(
                [1 - probabilities[:, 0], probabilities[:, 1 + SPEAKERS :].sum(axis=1), changes(probabilities)]
            )
            sums[place] += weight[:, None] * seen
            weights[place] += weight
        speech, overlap, change = (sums / weights[:, None]).T
        return Frames(speech, overlap, change)


def changes(probabilities: np.ndarray) -> np.ndarray:
    """How different who speaks before and after each frame is: one less the cosine of their mean shares, 0 to 1.

    Args:
        probabilities: of a chunk, ``[frames, classes]``.

    Returns:
        float64 ``[frames]``; 0 where too little is said on either side.
    """
    shares = probabilities @ MEMBERS
    shares *= (1 - probabilities[:, :1]) / np.maximum(shares.sum(axis=1, keepdims=True), 1e-3)
    sums = np.concatenate([np.zeros((1, SPEAKERS)), np.cumsum(shares, axis=0, dtype=np.float64)])
    here = np.arange(len(shares))
    before = sums[here] - sums[np.maximum(here - _AROUND, 0)]
    after = sums[np.minimum(here + _AROUND, len(shares))] - sums[here]
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    said = lengths > 2.0  # frames squared: an eighth of either side at least
    return np.where(said, 1 - (before * after).sum(axis=1) / np.where(said, lengths, 1), 0.0)
