"""Is a recording of several channels one party per channel, as call centres record, or one sound several times over?"""

from __future__ import annotations

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.diarization.base import as_float, pieces

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
    window = round(_WINDOW * SAMPLE_RATE)
    count = len(channels) // window
    if count == 0:
        return False
    # Pieces are whole numbers of windows.
    power = np.concatenate([_power(as_float(piece), window) for piece in pieces(channels[: count * window])])
    level = 10 * np.log10(power + 1e-12)
    loudest = level.max(axis=1)
    sound = loudest > max(_QUIET, float(np.percentile(loudest, 95)) - _BELOW_LOUDEST)
    if not sound.any():
        return False
    ordered = np.sort(level[sound], axis=1)
    alone = ordered[:, -1] - ordered[:, -2] > _ALONE
    share = np.bincount(level[sound].argmax(axis=1)[alone], minlength=channels.shape[1]) / len(alone)
    return bool(alone.mean() > _MOSTLY_ALONE and np.count_nonzero(share > _TAKES_PART) >= 2)


def _power(channels: np.ndarray, window: int) -> np.ndarray:
    """The mean power of each channel in windows of so many samples: float32 ``[windows, channels]``."""
    blocks = channels.reshape(-1, window, channels.shape[1])
    return np.stack([np.einsum("ij,ij->i", block, block) for block in np.moveaxis(blocks, 2, 0)], axis=1) / window
