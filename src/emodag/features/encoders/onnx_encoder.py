"""Encoders as one ONNX file that takes a log-mel spectrogram, such as BYOL-S (SERAB, arXiv 2110.03414).

The graph's input ``log_mel`` is float32 [batch, n_mels, time], its output ``frames`` float32 [batch, frames, dims],
with a frame for every so many steps of time. The front end is that of ``featurize.encoder.front_end``: mel bands
(Slaney's) of the power spectrum under a periodic Hann window, frame ``t`` centred on sample ``t * hop_length``, zeros
beyond the ends; their natural logarithm; less a fixed mean, divided by a fixed standard deviation. Both are constants,
so an embedding depends on its clip alone.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.errors import ParamsError
from emodag.features.encoders.base import GUIDE, Encoder, EncoderFacts, cut, sha256
from emodag.inference import onnx_session
from emodag.params import Encoder as Settings
from emodag.params import FrontEnd

INPUT, OUTPUT = "log_mel", "frames"

#: Added to the power before the logarithm, as BYOL's own front end does: float32's resolution.
EPSILON = float(np.finfo(np.float32).eps)

#: Output frames in a piece of a long recording (8 steps of 10 ms each: 20 s).
_FRAMES_IN_PIECE = 250

# Frames transformed at a time.
_BLOCK = 512


class OnnxEncoder(Encoder):
    """An encoder run by onnxruntime on one thread. Clips of equally many steps share a batch, so nothing is padded."""

    pads = False

    def __init__(self, path: Path, settings: Settings):
        super().__init__(settings)
        self._front_end = settings.front_end
        self._session = _session(path)
        self._stride, self.dims = _shape(self._session, path, settings.front_end)
        self.rate = SAMPLE_RATE / settings.front_end.hop_length

    def pieces(self, samples: np.ndarray) -> list[np.ndarray]:
        """See :meth:`emodag.features.encoders.base.Encoder.pieces`: log-mel, [time, n_mels]."""
        front_end = self._front_end
        silence = (np.log(EPSILON) - front_end.mean) / front_end.std
        return cut(log_mel(samples, front_end), self._stride * _FRAMES_IN_PIECE, self._stride, silence)

    def encode(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        """See :meth:`emodag.features.encoders.base.Encoder.encode`."""
        batch = np.ascontiguousarray(np.stack(pieces).transpose(0, 2, 1))
        return list(self._session.run([OUTPUT], {INPUT: batch})[0])


def describe(path: Path, settings: Settings) -> EncoderFacts:
    """What features say of the encoder in a file.

    Raises:
        ParamsError: the file holds no encoder that fits the front end.
    """
    return EncoderFacts(path, OnnxEncoder(path, settings).dims, sha256(path))


def log_mel(samples: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The normalised log-mel spectrogram, float32 [1 + samples // hop_length, n_mels], of float32 [samples]."""
    import scipy.fft
    from numpy.lib.stride_tricks import sliding_window_view

    window, mel = _bank(front_end)
    padded = np.pad(samples.astype(np.float32, copy=False), front_end.win_length // 2)
    windows = sliding_window_view(padded, front_end.win_length)[:: front_end.hop_length]
    bands = np.empty((len(windows), front_end.n_mels), np.float32)
    for start in range(0, len(windows), _BLOCK):
        spectrum = scipy.fft.rfft(windows[start : start + _BLOCK] * window, front_end.n_fft, axis=1)
        bands[start : start + _BLOCK] = (spectrum.real**2 + spectrum.imag**2) @ mel
    return (np.log(bands + np.float32(EPSILON)) - np.float32(front_end.mean)) / np.float32(front_end.std)


@lru_cache(maxsize=4)
def _bank(front_end: FrontEnd) -> tuple[np.ndarray, np.ndarray]:
    """The window [win_length] and the mel bands [bins, n_mels], float32."""
    import librosa.filters
    import scipy.signal

    window = scipy.signal.get_window("hann", front_end.win_length, fftbins=True).astype(np.float32)
    mel = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=front_end.n_fft, n_mels=front_end.n_mels, fmin=front_end.fmin, fmax=front_end.fmax
    )
    return window, np.ascontiguousarray(mel.T, np.float32)


def _session(path: Path):
    try:
        # As bytes: weights outside the file, which its digest would not cover, are refused.
        return onnx_session(path.read_bytes())
    except Exception as error:  # onnxruntime's errors share no base class
        reason = " ".join(str(error).split())[:200]
        raise ParamsError(f"featurize.encoder.model: {path} is no ONNX model in one file: {reason}") from None


def _shape(session, path: Path, front_end: FrontEnd) -> tuple[int, int]:
    """Steps of time for a frame, and dimensions of a frame, as the graph answers to a test input."""
    inputs, outputs = ([each.name for each in side] for side in (session.get_inputs(), session.get_outputs()))
    if inputs != [INPUT] or OUTPUT not in outputs:
        raise ParamsError(
            f"featurize.encoder.model: {path} maps {inputs} to {outputs}; accepted: {INPUT} [batch, "
            f"{front_end.n_mels}, time] to {OUTPUT} [batch, frames, dims] ({GUIDE})"
        )
    steps = 1024
    try:
        frames = session.run([OUTPUT], {INPUT: np.zeros((1, front_end.n_mels, steps), np.float32)})[0]
        _, count, dims = frames.shape
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ParamsError(
            f"featurize.encoder.model: {path} does not fit the front end (n_mels {front_end.n_mels}): {reason}"
        ) from None
    if not count or steps % count:
        raise ParamsError(
            f"featurize.encoder.model: {path} makes {count} frames of {steps} steps; accepted: one frame for every so "
            f"many steps, a stride that divides {steps} ({GUIDE})"
        )
    return steps // count, dims
