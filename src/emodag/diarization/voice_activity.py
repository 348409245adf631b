"""Where there is speech: silero-vad's probabilities, and hysteresis over them.

silero-vad (https://github.com/snakers4/silero-vad) ships its weights in its wheel, among them a graph that takes a
whole sequence of frames in one call. It is run through onnxruntime directly, because importing the package itself
imports PyTorch, which takes longer than finding the speech in ten minutes of audio.
"""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.diarization.base import as_float
from emodag.inference import onnx_session
from emodag.params import VoiceActivity

if TYPE_CHECKING:
    from pyannote.core import Timeline

#: Samples from one probability to the next: 32 ms at 16 kHz.
FRAME = 512

# Each frame is shown to the network after the last samples of the one before it, zeros before the first.
_CONTEXT = 64
# 16 s in one call, for which the network takes 20 MB; more take more and are no faster. The state is carried over.
_FRAMES_PER_CALL = 512
_STATE = (1, 1, 128)


def _weights() -> Path:
    package = importlib.util.find_spec("silero_vad")
    return Path(package.submodule_search_locations[0]) / "data" / "silero_vad_16k_sequence.onnx"


class VoiceActivityDetector:
    """Finds speech in a recording. The network is loaded at the first use, so that a detector can be pickled."""

    def __init__(self, settings: VoiceActivity):
        self.settings = settings

    def __reduce__(self):
        return type(self), (self.settings,)

    @cached_property
    def _session(self):
        return onnx_session(_weights())

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """The probability of speech in each frame of 512 samples, the last one filled up with zeros.

        Args:
            samples: ``[samples]`` at 16 kHz, float32 of at most 1 in magnitude or int16.

        Returns:
            float32 ``[frames]``, ``frames = ceil(samples / 512)``; what silero's own streaming model gives frame by
            frame.
        """
        frames = -(-len(samples) // FRAME)
        hidden = cell = np.zeros(_STATE, dtype=np.float32)
        found = np.empty(frames, np.float32)
        for first in range(0, frames, _FRAMES_PER_CALL):
            block = _windows(samples, first, min(frames, first + _FRAMES_PER_CALL))
            probabilities, hidden, cell = self._session.run(
                ["speech_probs", "hn", "cn"], {"input": block, "h": hidden, "c": cell}
            )
            found[first : first + len(block)] = probabilities
        return found

    def detect(self, samples: np.ndarray) -> Timeline:
        """Speech as disjoint segments (s), in order, within the recording; empty where there is none."""
        from pyannote.core import Segment, Timeline

        regions = self.regions(samples)
        return Timeline([Segment(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in regions.tolist()])

    def regions(self, samples: np.ndarray) -> np.ndarray:
        """The same as samples, int64 [regions, 2]: the first, and one past the last."""
        return hysteresis(self.probabilities(samples), len(samples), self.settings)


def _windows(samples: np.ndarray, first: int, end: int) -> np.ndarray:
    """What the network sees of the frames from ``first`` to one before ``end``: float32 ``[frames, 64 + 512]``."""
    start = first * FRAME - _CONTEXT
    part = as_float(samples[max(0, start) : end * FRAME])
    padded = np.zeros(end * FRAME - start, np.float32)
    before = max(0, -start)
    padded[before : before + len(part)] = part
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + FRAME)[::FRAME])


def hysteresis(probabilities: np.ndarray, length: int, settings: VoiceActivity) -> np.ndarray:
    """Regions of speech from its probability in each frame.

    Speech begins with the frame whose probability rises above ``onset`` and ends before the frame whose probability
    falls below ``offset``; the recording begins outside speech. Then, in this order: pauses shorter than ``min_off``
    are filled, speech shorter than ``min_on`` is dropped, each region is widened by ``pad`` at both ends (within the
    recording), and regions that now touch become one. The two-threshold scheme is that of Gelly and Gauvain (2015),
    "Minimum word error training of RNN-based voice activity detection", Interspeech.

    Args:
        probabilities: ``[frames]``, one per 512 samples.
        length: of the recording, in samples.

    Returns:
        int64 ``[regions, 2]``: first sample, and one past the last.
    """
    above, below = probabilities > settings.onset, probabilities < settings.offset
    # A frame between the thresholds keeps the state of the last frame that was outside them.
    decided = np.where(above | below, np.arange(len(above)), -1)
    last = np.maximum.accumulate(decided) if len(decided) else decided
    active = np.where(last >= 0, above[last], False)

    edges = np.flatnonzero(np.diff(active, prepend=False, append=False))
    regions = np.minimum(edges.reshape(-1, 2).astype(np.int64) * FRAME, length)
    regions = _merge(regions, round(settings.min_off * SAMPLE_RATE))
    regions = regions[regions[:, 1] - regions[:, 0] >= round(settings.min_on * SAMPLE_RATE)]
    pad = round(settings.pad * SAMPLE_RATE)
    return _merge(np.clip(regions + np.array([-pad, pad]), 0, length), 1)


def _merge(regions: np.ndarray, shortest_gap: int) -> np.ndarray:
    """Join neighbours ``[regions, 2]`` whose gap is shorter than ``shortest_gap`` samples."""
    if len(regions) == 0:
        return regions
    apart = regions[1:, 0] - regions[:-1, 1] >= shortest_gap
    return np.column_stack([regions[np.r_[True, apart], 0], regions[np.r_[apart, True], 1]])
