"""Whose voice it is: numbers for each stretch of speech that lie near each other for one speaker.

Resemblyzer's encoder (Wan et al. 2018, "Generalized end-to-end loss for speaker verification", ICASSP; three LSTM
layers, its weights come in its wheel) was trained on calm speech, and acted emotion moves its embeddings further than
another speaker does. The states of its two upper layers, averaged over time, know more than the embedding made of the
last one (Snyder et al. 2018 pool statistics of states for the same reason). A small network of our own, trained on
emotional speech (:mod:`emodag.diarization.training`), turns them into embeddings; it sees all stretches of a recording
beside each other, because what emotion does to a voice shows only beside what else is said. Its weights (0.5 MB) lie
beside this module.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.diarization.base import as_float
from emodag.inference import onnx_session

WEIGHTS = Path(__file__).parent / "weights" / "voices.onnx"

_UNITS = 256  # of each layer of the encoder
#: Mean and standard deviation over time of the states of two layers.
STATISTICS = 2 * 2 * _UNITS
#: Of an embedding.
DIMENSION = 64

# The encoder's front end: 25 ms every 10 ms, 40 mel bands of power; it was trained on 1.6 s at -30 dBFS or above.
_WINDOW, _HOP, _MELS = 400, 160, 40
_LENGTH = 160  # steps
_LEVEL = 10 ** (-30 / 20)
_BATCH = 64
# So many stretches see each other at once. More cost memory by the square, and the network was trained on up to 80.
_TOGETHER = 120


class VoiceEncoder:
    """Statistics and embeddings of stretches of speech; both networks are loaded at the first use."""

    def statistics(self, samples: np.ndarray, stretches: Sequence[tuple[int, int]], gain: float = 1.0) -> np.ndarray:
        """What the encoder's upper layers make of each stretch: float32 ``[stretches, 1024]``.

        Args:
            samples: ``[samples]`` at 16 kHz, float32 or int16.
            stretches: first sample, and one past the last; 10 ms or more. One longer than 1.6 s is heard in parts of
                1.6 s, which overlap as little as they can, and their statistics are averaged.
            gain: what the samples are multiplied by first.
        """
        import torch

        @lru_cache(maxsize=1)  # the parts of a stretch mostly follow each other
        def mel(stretch: int) -> np.ndarray:
            return self._mel(samples, *stretches[stretch], np.float32(gain))

        by_length = _by_length(stretches)
        sums = np.zeros((len(stretches), STATISTICS), np.float32)
        weights = np.zeros(len(stretches), np.float32)
        for length in sorted(by_length):
            for start in range(0, len(by_length[length]), _BATCH):
                batch = by_length[length][start : start + _BATCH]
                parts = np.stack([mel(stretch)[first : first + length] for stretch, first in batch])
                with torch.inference_mode():
                    pooled = self._pooled(torch.from_numpy(parts)).numpy()
                owners = [stretch for stretch, _ in batch]
                np.add.at(sums, owners, pooled * np.float32(length))
                np.add.at(weights, owners, np.float32(length))
        sums /= weights[:, None]
        return sums

    def embeddings(self, statistics: np.ndarray) -> np.ndarray:
        """Embeddings float32 ``[stretches, 64]`` whose products, less an offset, are log-odds of one speaker for two.

        Where there are many stretches, several interleaved parts of the recording are looked at one by one, each of
        which reaches from its start to its end.

        Args:
            statistics: of the stretches of one recording, in order of time, float32 ``[stretches, 1024]``.
        """
        if len(statistics) == 0:
            return np.empty((0, DIMENSION), np.float32)
        parts = -(-len(statistics) // _TOGETHER)
        embeddings = np.empty((len(statistics), DIMENSION), np.float32)
        for part in range(parts):
            [[its]] = self._comparison.run(None, {"statistics": statistics[None, part::parts]})
            embeddings[part::parts] = its
        return embeddings

    @cached_property
    def _comparison(self):
        return onnx_session(WEIGHTS)

    @cached_property
    def _layers(self):
        """The encoder's three layers, one by one, so that the states of each are seen."""
        import torch
        from resemblyzer import VoiceEncoder as Resemblyzer

        torch.set_num_threads(1)
        whole = Resemblyzer("cpu", verbose=False).eval().lstm
        layers = []
        for number in range(3):
            layer = torch.nn.LSTM(_MELS if number == 0 else _UNITS, _UNITS, batch_first=True)
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            layer.load_state_dict({f"{name}_l0": getattr(whole, f"{name}_l{number}") for name in names})
            layers.append(layer.eval())
        return layers

    def _pooled(self, states):
        """Mean and deviation of each upper layer's states: ``[parts, steps, 40]`` to ``[parts, 1024]``."""
        import torch

        pooled = []
        for number, layer in enumerate(self._layers):
            states, _ = layer(states)
            if number > 0:
                # The deviation of a single step is not defined; of a part this short nothing is known.
                pooled += [states.mean(1), states.std(1, correction=min(1, states.shape[1] - 1))]
        return torch.cat(pooled, 1)

    @cached_property
    def _bands(self) -> np.ndarray:
        from librosa.filters import mel

        return mel(sr=SAMPLE_RATE, n_fft=_WINDOW, n_mels=_MELS).T.astype(np.float32)

    def _mel(self, samples: np.ndarray, start: int, end: int, gain: np.float32) -> np.ndarray:
        """Mel power of a stretch, float32 ``[steps, 40]``, amplified where it is softer than in the training."""
        from scipy.fft import rfft
        from scipy.signal.windows import hann

        steps = _steps(start, end)
        first, last = start - _WINDOW // 2, start - _WINDOW // 2 + (steps - 1) * _HOP + _WINDOW
        cut = np.pad(as_float(samples[max(0, first) : last]), (max(0, -first), max(0, last - len(samples))))
        windows = np.lib.stride_tricks.sliding_window_view(cut, _WINDOW)[::_HOP]
        windows = windows * (gain * hann(_WINDOW, sym=False).astype(np.float32))
        spectrum = rfft(windows, _WINDOW, axis=1)
        mel = (spectrum.real**2 + spectrum.imag**2) @ self._bands
        level = float(np.sqrt(np.mean(np.square(windows, dtype=np.float64)) / 0.375))  # a Hann window's mean square
        return mel * np.float32((_LEVEL / level) ** 2) if 0 < level < _LEVEL else mel


def _by_length(stretches: Sequence[tuple[int, int]]) -> dict[int, list[tuple[int, int]]]:
    """Steps -> the parts of stretches that are so long, which can be heard in one go: a stretch, and its first step."""
    found = defaultdict(list)
    for stretch, bounds in enumerate(stretches):
        steps = _steps(*bounds)
        found[min(steps, _LENGTH)] += [(stretch, first) for first in _parts(steps)]
    return found


def _steps(start: int, end: int) -> int:
    return max(1, (end - start) // _HOP)


def _parts(steps: int) -> list[int]:
    """First steps of as few parts of 1.6 s as cover a stretch."""
    count = max(1, -(-steps // _LENGTH))
    return np.linspace(0, max(0, steps - _LENGTH), count).round().astype(int).tolist()
