"""Is a recording of several channels one party per channel, as call centres record, or one sound several times over?"""

from __future__ import annotations

import numpy as np

from emodag.audio import SAMPLE_RATE

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
        channels: float32 ``[samples, channels]`` at 16 kHz.
    """
    if channels.ndim != 2 or channels.shape[1] < 2:
        return False
    window = round(_WINDOW * SAMPLE_RATE)
    count = len(channels) // window
    if count == 0:
        return False
    blocks = channels[: count * window].reshape(count, window, channels.shape[1])
    # One channel at a time: squares of an hour of all of them would not fit where the samples just did.
    power = np.stack([np.einsum("ij,ij->i", block, block) for block in np.moveaxis(blocks, 2, 0)], axis=1) / window
    level = 10 * np.log10(power + 1e-12)
    loudest = level.max(axis=1)
    sound = loudest > max(_QUIET, float(np.percentile(loudest, 95)) - _BELOW_LOUDEST)
    if not sound.any():
        return False
    ordered = np.sort(level[sound], axis=1)
    alone = ordered[:, -1] - ordered[:, -2] > _ALONE
    share = np.bincount(level[sound].argmax(axis=1)[alone], minlength=channels.shape[1]) / len(alone)
    return bool(alone.mean() > _MOSTLY_ALONE and np.count_nonzero(share > _TAKES_PART) >= 2)
