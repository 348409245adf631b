"""How far probabilities can be believed, and how they are made believable.

A model is calibrated if, of all clips for which it says 70 %, it is right on 70 %. Temperature scaling divides the
logits by one number that is fitted to held-out clips (Guo et al. 2017, arXiv 1706.04599), so decisions stay.

The expected calibration error of a perfect model is not 0: in a bin of few clips accuracy strays from confidence by
chance. Compare it between models on the same clips, and read it beside Brier score and log-loss, which need no bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emodag.errors import DataError

_SMALLEST = float(np.finfo(np.float32).tiny)

#: Log-temperatures that are considered: from ten times sharper than the model says to nearly uniform.
_LOG_RANGE = (np.log(0.1), np.log(20.0))


def tempered(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """``p ** (1 / temperature)``, normalised: float64 [clips, classes].

    Args:
        probabilities: [clips, classes].
        temperature: above 0, one for all clips or [clips].
    """
    temperature = np.reshape(np.asarray(temperature, np.float64), (-1, 1))
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature under which the mean negative log-probability of the truth is least.

    Args:
        probabilities: of clips that the model did not learn from, [clips, classes].
        labels: int [clips].

    Returns:
        1 where there is no clip.
    """
    from scipy.optimize import minimize_scalar

    if len(labels) == 0:
        return 1.0
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(np.log(np.maximum(tempered(probabilities, np.exp(log_temperature))[rows, labels], 1e-300)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded").x))


@dataclass(frozen=True)
class Curve:
    """A reliability curve: per bin of confidence that holds clips, float [bins]."""

    confidence: np.ndarray  #: mean probability of the most probable class
    accuracy: np.ndarray  #: share that is right
    share: np.ndarray  #: of all clips

    @property
    def error(self) -> float:
        """Expected calibration error: ``sum(share * |accuracy - confidence|)`` (Naeini et al. 2015, AAAI)."""
        return float(np.sum(self.share * np.abs(self.accuracy - self.confidence)))


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int) -> Curve:
    """The reliability curve over bins of equal width (Guo et al. 2017).

    A bin holds the confidences from its lower edge up to, not with, its upper one; 1 has a bin of its own. Edges are
    met in float32. Both are as in torchmetrics.

    Args:
        confidence: probability of the most probable class, [clips].
        right: whether it was spoken, bool [clips].
        bins: how many there are from 0 to 1.
    """
    edges = np.linspace(0, 1, bins + 1, dtype=np.float32)
    return _curve(confidence, right, np.searchsorted(edges, confidence.astype(np.float32), side="right") - 1)


def reliability_of_equal_mass(confidence: np.ndarray, right: np.ndarray, bins: int) -> Curve:
    """The same over bins that hold the same number of clips, give or take one (Nguyen and O'Connor 2015, D15-1182).

    Few confidences are low, so bins of equal width judge them by few clips; these bins do not.
    """
    rank = np.argsort(np.argsort(confidence, kind="stable"), kind="stable")
    return _curve(confidence, right, rank * bins // len(confidence))


def _curve(confidence: np.ndarray, right: np.ndarray, bin_of_clip: np.ndarray) -> Curve:
    counts = np.bincount(bin_of_clip)
    held = counts > 0
    sums = (np.bincount(bin_of_clip, values)[held] for values in (confidence, right))
    mean_confidence, accuracy = (each / counts[held] for each in sums)
    return Curve(mean_confidence, accuracy, counts[held] / len(confidence))


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """``mean over clips of sum over classes of (probability - truth)^2``, from 0 to 2 (Brier 1950).

    Args:
        probabilities: [clips, classes].
        labels: int [clips].
    """
    missed = np.array(probabilities, np.float64)
    missed[np.arange(len(labels)), labels] -= 1
    return float(np.square(missed).sum(axis=1).mean())


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean negative natural logarithm of the probability of the truth, in nats; see :func:`brier_score`."""
    of_truth = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return -float(np.log(np.maximum(of_truth, _SMALLEST)).mean())


@dataclass(frozen=True)
class Reliability:
    """How far a table of probabilities can be believed."""

    curve: Curve
    ece: float  #: over bins of equal width
    ece_equal_mass: float
    brier: float
    log_loss: float  #: nats


@dataclass(frozen=True)
class Calibration:
    """Probabilities as the model gives them (``raw``), and after temperature scaling."""

    temperature: float  #: the geometric mean over clips
    raw: Reliability
    calibrated: Reliability


def calibration_of(probabilities: np.ndarray, labels: np.ndarray, temperature: np.ndarray, bins: int) -> Calibration:
    """Reliability before and after temperature scaling.

    Args:
        probabilities: the model's own, [clips, classes].
        labels: int [clips].
        temperature: of each clip's model, [clips].
        bins: of confidence.

    Raises:
        DataError: there is no clip.
    """
    if len(labels) == 0:
        raise DataError("no truth: the test set is empty, so there is nothing to calibrate")
    calibrated = tempered(probabilities, temperature)
    return Calibration(
        temperature=float(np.exp(np.log(temperature).mean())),
        raw=_reliability(np.asarray(probabilities, np.float64), labels, bins),
        calibrated=_reliability(calibrated, labels, bins),
    )


def _reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> Reliability:
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    curve = reliability(confidence, right, bins)
    return Reliability(
        curve=curve,
        ece=curve.error,
        ece_equal_mass=reliability_of_equal_mass(confidence, right, bins).error,
        brier=brier_score(probabilities, labels),
        log_loss=log_loss(probabilities, labels),
    )
