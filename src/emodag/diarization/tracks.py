"""Is a recording of several channels one party per channel, as call centres record, or one sound several times over?

And where each holds a party: what of the speech in a channel is its own party's?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.diarization.base import as_float, pieces

if TYPE_CHECKING:
    from pyannote.core import Timeline

#: Level is compared over so long (s).
_WINDOW = 0.1
#: A window is sound where its louder channel lies above this, dB of full scale and dB below the loudest windows.
_QUIET, _BELOW_LOUDEST = -60.0, 35.0
#: A channel has a window to itself where it is louder than every other by so much, dB. Two microphones in one room, or
#: the two sides of a stereo picture, differ by less most of the time.
_ALONE = 12.0
#: In such a share of all windows one channel is alone where each holds one party (parties seldom talk at once) ...
_MOSTLY_ALONE = 0.7
#: ... and each channel that holds a party has at least this share of the windows with sound.
_TAKES_PART = 0.05
#: Speech is the other end of the line where another channel is louder by so much (dB). Tracks that count as separate
#: hold it softer than that, and two who speak at once differ by less most of the time.
_CROSSTALK = 10.0
#: For that, level is taken every so often (s), over so long: above the pauses between syllables, below a word.
_STEP, _OVER = 0.02, 0.2
#: A shorter stretch (s) is not cut: it is a pause in what a party says while another speaks.
_PAUSE = 0.3


def separate_tracks(channels: np.ndarray) -> bool:
    """Whether each channel holds a party of its own, so that no clustering is needed to tell them apart.

    The parties of a conversation take turns: while one channel is loud, all others are far softer, and each has its
    share of that. Where all channels hear everybody, they are loud together. A channel that is silent throughout, or
    the same sound in all, is no party.

    Args:
        channels: ``[samples, channels]`` at 16 kHz, float32 or int16.
    """
    if channels.ndim != 2 or channels.shape[1] < 2:
        return False
    if len(channels) < _WINDOW * SAMPLE_RATE:
        return False
    level = _decibels(_powers(channels, _WINDOW))
    loudest = level.max(axis=1)
    sound = loudest > max(_QUIET, float(np.percentile(loudest, 95)) - _BELOW_LOUDEST)
    if not sound.any():
        return False
    ordered = np.sort(level[sound], axis=1)
    alone = ordered[:, -1] - ordered[:, -2] > _ALONE
    share = np.bincount(level[sound].argmax(axis=1)[alone], minlength=channels.shape[1]) / len(alone)
    return bool(alone.mean() > _MOSTLY_ALONE and np.count_nonzero(share > _TAKES_PART) >= 2)


def without_crosstalk(channels: np.ndarray, speech: Sequence[Timeline]) -> list[Timeline]:
    """The speech of each channel, less what is another party's that is heard in it far softer.

    Voice activity of one channel cannot tell its party from the other end of the line. What is far louder in another
    channel that holds speech is left to that; where parties speak at once at similar levels, all are kept. Speech does
    not break at its pauses, and of what is cut nothing is left that is shorter than levels are taken over.

    Args:
        channels: for which :func:`separate_tracks` holds.
        speech: of each channel.
    """
    from pyannote.core import Segment, Timeline

    steps = round(_OVER / _STEP)
    power = np.apply_along_axis(np.convolve, 0, _powers(channels, _STEP), np.full(steps, 1 / steps), "same")
    level = _decibels(power)
    own = []
    for channel, its in enumerate(speech):
        louder = np.delete(level, channel, axis=1).max(axis=1) - level[:, channel] > _CROSSTALK
        edges = np.flatnonzero(np.diff(louder, prepend=False, append=False)).reshape(-1, 2) * _STEP
        others = Timeline([each for other, said in enumerate(speech) if other != channel for each in said])
        cut = Timeline([Segment(*edge) for edge in edges.tolist()]).crop(others.support())
        cut = Timeline([each for each in cut if each.duration >= _PAUSE])
        own.append(Timeline([part for part in its.extrude(cut) if part.duration >= _OVER or part in its]))
    return own


def _powers(channels: np.ndarray, seconds: float) -> np.ndarray:
    """The mean power of each channel in windows of so many seconds: float32 ``[windows, channels]``."""
    window = round(seconds * SAMPLE_RATE)
    # Pieces are whole numbers of windows.
    whole = channels[: len(channels) // window * window]
    return np.concatenate([_power(as_float(piece), window) for piece in pieces(whole)])


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power + 1e-12)


def _power(channels: np.ndarray, window: int) -> np.ndarray:
    """The mean power of each channel in windows of so many samples: float32 ``[windows, channels]``."""
    blocks = channels.reshape(-1, window, channels.shape[1])
    return np.stack([np.einsum("ij,ij->i", block, block) for block in np.moveaxis(blocks, 2, 0)], axis=1) / window
