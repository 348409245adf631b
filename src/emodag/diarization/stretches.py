"""From what is known of each frame to stretches of speech, each said by one speaker, or by two at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from emodag.diarization.segmentation import Frames

#: Above this probability there is speech, and two speak at once. Chosen, as all below, on held-out training actors.
SPEECH, OVERLAP = 0.6, 0.5
# Speech is cut where its probability dips below the first, or where who speaks before and after differs by the second.
_DIP, _CHANGE = 0.85, 0.1
# A dip this near to either end of speech (frames) is that end.
_EDGE = 6
# One speaker seldom says more than 2 s without any sign of a pause; a longer stretch is cut at the strongest sign that
# there is, 0.5 s or more from its ends. 3 s are cut in any case. Frames.
_LONGEST, _SURELY_TOO_LONG, _FROM_ENDS = 100, 150, 25
_SIGN = 0.02


@dataclass(frozen=True)
class Stretch:
    """Frames ``start`` to one less than ``end``."""

    start: int
    end: int
    overlap: bool  #: two speak


def stretches(frames: Frames) -> list[Stretch]:
    """Cut speech at pauses, at changes of speaker and where overlap begins and ends; in order of time."""
    speech = frames.speech > SPEECH
    overlap = speech & (frames.overlap > OVERLAP)
    sign = frames.change + 1 - frames.speech
    found = []
    for start, end in runs(speech):
        cuts = {start, end, *runs(overlap[start:end]).ravel() + start}
        for first, last in runs(frames.change[start:end] > _CHANGE) + start:
            cuts.add(first + int(np.argmax(frames.change[first:last])))
        for first, last in runs(frames.speech[start:end] < _DIP) + start:
            lowest = first + int(np.argmin(frames.speech[first:last]))
            if lowest - start >= _EDGE and end - lowest >= _EDGE:
                cuts.add(lowest)
        bounds = sorted(int(cut) for cut in cuts)
        for first, last in pairwise(bounds):
            if overlap[first:last].mean() > 0.5:
                found.append(Stretch(first, last, overlap=True))
            else:
                found += [Stretch(*part, overlap=False) for part in _shorter(first, last, sign)]
    return found


def _shorter(start: int, end: int, sign: np.ndarray) -> list[tuple[int, int]]:
    """Parts of a stretch, none of which is too long."""
    parts, left = [], [(start, end)]
    while left:
        start, end = left.pop()
        if end - start > _LONGEST:
            cut = start + _FROM_ENDS + int(np.argmax(sign[start + _FROM_ENDS : end - _FROM_ENDS]))
            if sign[cut] > _SIGN or end - start > _SURELY_TOO_LONG:
                left += [(cut, end), (start, cut)]
                continue
        parts.append((start, end))
    return parts


def runs(mask: np.ndarray) -> np.ndarray:
    """Where a boolean array ``[frames]`` is true: int64 ``[runs, 2]``, first index and one past the last."""
    return np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2).astype(np.int64)
