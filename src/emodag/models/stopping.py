"""When training ends, and what validation clips say of a model without flattering it.

Validation clips that choose how long a model is trained are scored by the state that suits them best. On few voices
that flatters by points: the more states there are to choose from, the more. So what a model says of a validation clip
comes from the state at which all voices but the clip's own would have stopped it: cross-validation within the
validation part. Temperatures, thresholds and the comparison of models rest on that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from emodag.errors import DataError
from emodag.evaluation.calibration import tempered
from emodag.models.base import TEMPERATURES, Clips, balanced_weights, log_losses


class EarlyStopping:
    """Validation clips after each round of training: which round was best, and whether another is worth its time.

    The loss of a round is the balanced log-loss at that of the ``temperatures`` which suits the clips best (Guo et al.
    2017, arXiv 1706.04599). On new voices a network grows too confident long before its decisions stop getting better,
    and its plain loss rises with it. Confidence can be mended afterwards, decisions cannot.
    """

    def __init__(self, validation: Clips, patience: int, temperatures: Sequence[float] = TEMPERATURES):
        """``patience``: rounds without a better one after which training is over."""
        self._clips = validation
        self._patience = patience
        self._temperatures = temperatures
        self._probabilities: list[np.ndarray] = []
        self._losses: list[np.ndarray] = []  #: of each round, float32 [temperatures, clips]
        self.best = 0  #: round, counted from 1
        self.loss = self._least = np.inf

    def see(self, probabilities: np.ndarray) -> bool:
        """Whether the round after which the clips have these probabilities, [clips, classes], is the best so far.

        Raises:
            DataError: they are no numbers.
        """
        if not np.isfinite(probabilities).all():
            raise DataError(
                f"training diverged: after round {len(self._losses) + 1} the model's probabilities of validation clips "
                "are no numbers; a lower learning rate keeps it from that"
            )
        labels = self._clips.labels
        losses = np.stack([log_losses(tempered(probabilities, each), labels) for each in self._temperatures])
        self._probabilities.append(np.asarray(probabilities, np.float32))
        self._losses.append(losses.astype(np.float32))
        weights = balanced_weights(labels, probabilities.shape[1])
        self.loss = float(np.average(losses, axis=1, weights=weights).min())
        if self.loss >= self._least:
            return False
        self.best, self._least = len(self._losses), self.loss
        return True

    @property
    def over(self) -> bool:
        """Whether the best round lies so far back that training ends."""
        return len(self._losses) - self.best >= self._patience

    def held_out(self) -> np.ndarray:
        """Probabilities of the clips, float32 [clips, classes]: each voice's after the round best for the others."""
        losses, classes = np.stack(self._losses), self._probabilities[0].shape[1]

        def judged(others: np.ndarray, own: np.ndarray) -> np.ndarray:
            if others.all():
                return self._probabilities[self.best - 1]
            weights = balanced_weights(self._clips.labels[others], classes)
            best = (losses[:, :, others] @ weights).min(axis=1).argmin()
            return self._probabilities[best][own]

        return by_others(self._clips, judged)


def by_others(clips: Clips, judged: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Probabilities of clips, float32 [clips, classes], each voice's by what all other voices decide.

    A voice that is the only one has nobody else to go by; nor has any where voices are not known. Then all clips
    decide about all.

    Args:
        clips: their voices above all.
        judged: of those who decide and those who are judged, bool [clips] each: the probabilities of the latter.
    """
    everyone = np.full(len(clips.labels), True)
    if clips.voices is None or (known := np.unique(clips.voices)).size < 2:
        return judged(everyone, everyone).astype(np.float32)
    parts = {voice: judged(clips.voices != voice, clips.voices == voice) for voice in known}
    found = np.empty((len(everyone), next(iter(parts.values())).shape[1]), np.float32)
    for voice, part in parts.items():
        found[clips.voices == voice] = part
    return found
