"""Valence and arousal that the probabilities of emotions imply.

Nothing here hears valence or arousal: each emotion has a place on the plane of the two, and what is reported is the
mean of the places under the probabilities. So it says no more than the probabilities do, in two numbers that can be
drawn over time; where the model spreads its belief over opposite emotions, the mean lies near 0, 0.

Places are the mean ratings of pleasure and arousal of the terms happy, sad, angry, fearful, disgusted, surprised and
bored, from -1 to 1, in Russell and Mehrabian 1977, "Evidence for a three-factor theory of emotions", Journal of
Research in Personality 11, 273-294 (doi 10.1016/0092-6566(77)90037-X), as later work quotes them. Two are our own
placement: ``neutral`` is the origin, from which the others depart, and ``calm`` lies in the direction of relaxation,
315 degrees, of Russell 1980, "A circumplex model of affect", Journal of Personality and Social Psychology 39,
1161-1178, as far out as the seven lie in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Affect(NamedTuple):
    """A place on the plane."""

    valence: float  #: -1 (unpleasant) to 1 (pleasant)
    arousal: float  #: -1 (calm) to 1 (excited)


PLACES = {
    "neutral": Affect(0.0, 0.0),
    "calm": Affect(0.57, -0.57),
    "happy": Affect(0.81, 0.51),
    "sad": Affect(-0.63, -0.27),
    "angry": Affect(-0.51, 0.59),
    "fearful": Affect(-0.64, 0.60),
    "disgust": Affect(-0.60, 0.35),
    "surprised": Affect(0.40, 0.67),
    "bored": Affect(-0.65, -0.62),
}


def affect(probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Valence and arousal expected under probabilities.

    Args:
        probabilities: [..., classes], of sum 1.
        classes: emotions of :data:`emodag.labels.EMOTIONS`, in the order of the probabilities.

    Returns:
        float64 [..., 2]: valence, arousal.
    """
    return np.asarray(probabilities, np.float64) @ np.array([PLACES[emotion] for emotion in classes])
