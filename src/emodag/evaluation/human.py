"""What people make of the same clips: how often most listeners heard the emotion that was meant.

The listeners' answer is the emotion that most of them chose, so it is a crowd that is scored, not a person; and clips
on which no emotion led are left out, for the model as for the listeners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emodag.evaluation.scores import Scores, evaluate
from emodag.labels import in_order


@dataclass(frozen=True)
class Human:
    """Listeners and the model on the same clips."""

    listeners: Scores
    model: Scores
    agreement: float  #: share of the clips that the model takes for what most listeners heard
    undecided: int  #: clips that were scored, but of which it is not known what most listeners heard
    heard: tuple[str, ...]  #: the emotions that most listeners heard in some clip


def human_baseline(
    truth: np.ndarray,
    predicted: np.ndarray,
    perceived: np.ndarray,
    speakers: np.ndarray,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    repeats: int = 1,
) -> Human | None:
    """Scores of listeners beside those of a model.

    Args:
        truth: the emotions that were meant, [rows].
        predicted: what the model says, [rows].
        perceived: what most listeners heard, object [rows]; ``None`` where that is not known. It may be an emotion that
            the model does not know.
        speakers: [rows].
        confidence: of the intervals.
        resamples: how many are drawn.
        seed: of the draws.
        repeats: rows of each clip, one after the other.

    Returns:
        Nothing where it is known of no clip.
    """
    known = np.array([emotion is not None for emotion in perceived])
    if not known.any():
        return None
    truth, predicted, perceived = (np.asarray(each)[known].astype(str) for each in (truth, predicted, perceived))
    classes = in_order({*truth, *predicted, *perceived})
    position = {emotion: number for number, emotion in enumerate(classes)}
    as_numbers = [np.array([position[emotion] for emotion in each]) for each in (truth, perceived, predicted)]
    listeners, model = (
        evaluate(
            as_numbers[0],
            answers,
            speakers[known],
            classes,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
            repeats=repeats,
        )
        for answers in as_numbers[1:]
    )
    return Human(
        listeners,
        model,
        float(np.mean(predicted == perceived)),
        int((~known).sum()) // repeats,
        in_order(perceived),
    )
