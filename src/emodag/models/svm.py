"""Support vector machines on standardised features (Cortes and Vapnik 1995), by scikit-learn's LIBSVM.

One machine tells each pair of classes apart. What they decide, ``d[i, j]`` in units of the margin and above 0 for class
``i``, becomes one distribution by the closed form of Price, Knerr, Personnaz and Dreyfus (NIPS 1994),

    p[i] ~ 1 / (1 + sum over the other classes j of exp(-slope * d[i, j])),

where each pair's probability is a logistic function of its decision (Platt 1999). The slope is one for all pairs, and
validation clips choose it. LIBSVM's own probabilities are of no use here: they come from a random cross-validation over
clips, with the same speakers on both sides.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Self

import numpy as np

from emodag.models.base import Chosen, Clips, balanced_log_loss, class_weights, require_every_class
from emodag.models.graph import Graph
from emodag.models.standardisation import standardised_input, standardiser
from emodag.models.stopping import by_others
from emodag.params import Params
from emodag.speech import Speech

#: LIBSVM's cache of the kernel values that it was given, a matter of speed alone; MB.
_CACHE = 500

#: Log-slopes that are considered: from nearly uniform probabilities to nearly certain ones.
_LOG_RANGE = (np.log(0.1), np.log(100.0))

#: The slope where no clip was held out to choose it: a pair's clip at the margin is of its class with 73 %.
_SLOPE = 1.0

#: Clips whose kernel values are computed at once.
_BLOCK = 1024


class Svm:
    """Standardisation fitted on the training clips, then a support vector machine for each pair of classes."""

    def __init__(self, params: Params, *, classes: int, seed: int):  # noqa: ARG002
        self.settings = params.models.svm
        self.weighting = params.train.class_weights
        self.classes = classes

    def fit(self, training: Clips, validation: Clips | None = None, chosen: Chosen | None = None) -> Self:
        """See :meth:`emodag.models.base.Classifier.fit`; ``slope`` turns decisions into probabilities."""
        require_every_class(training.labels, self.classes)
        self.scaler = standardiser(training.speech.features)
        # LIBSVM computes in double precision.
        features = self.scaler.transform(training.speech.features).astype(np.float64)
        self.gamma = self.settings.gamma
        if self.gamma == "scale":
            # Of features that are all constant, any width tells as little.
            self.gamma = float(1 / (features.shape[1] * (features.var() or 1.0)))
        self._fit_machines(features, training.labels)
        self.chosen, self.history = {"slope": chosen["slope"] if chosen else _SLOPE}, []
        self.held_out = None
        if validation is not None:
            decisions, labels = self.decisions(validation.speech), validation.labels
            self.chosen["slope"] = _fit_slope(decisions, labels, self.classes)

            def judged(others: np.ndarray, own: np.ndarray) -> np.ndarray:
                return _coupled(
                    decisions[own], _fit_slope(decisions[others], labels[others], self.classes), self.classes
                )

            self.held_out = by_others(validation, judged)
        return self

    def _fit_machines(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Fit each pair's machine; keep the support vectors or, of a linear kernel, the planes alone.

        LIBSVM is given the kernel's values: matrix products compute them many times faster than it does, and those of
        one pair fit into memory where those of all clips would not.
        """
        from sklearn.svm import SVC

        clip_weights = class_weights(labels, self.classes, self.weighting)
        pairs = list(combinations(range(self.classes), 2))
        self.weights, self.offsets = np.zeros((len(features), len(pairs))), np.zeros(len(pairs))
        for number, pair in enumerate(pairs):
            rows = np.flatnonzero(np.isin(labels, pair))
            machine = SVC(C=self.settings.C, kernel="precomputed", cache_size=_CACHE)
            kernel = self._kernel(features[rows], features[rows])
            machine.fit(kernel, labels[rows], sample_weight=clip_weights[rows])
            # Of two classes scikit-learn's decisions are above 0 for the second.
            self.weights[rows[machine.support_], number] = -machine.dual_coef_[0]
            self.offsets[number] = -machine.intercept_[0]
        used = self.weights.any(axis=1)
        self.vectors, self.weights = features[used], self.weights[used]
        if self.settings.kernel == "linear":
            self.weights = self.vectors.T @ self.weights

    def decisions(self, speech: Speech) -> np.ndarray:
        """Those of the machines of the pairs (0, 1), (0, 2), ..., (1, 2), ...: float64 [clips, pairs]."""
        features = self.scaler.transform(speech.features).astype(np.float64)
        blocks = np.array_split(features, range(_BLOCK, len(features), _BLOCK))
        if self.settings.kernel == "rbf":
            blocks = [self._kernel(block, self.vectors) for block in blocks]
        return np.concatenate([block @ self.weights + self.offsets for block in blocks])

    def _kernel(self, features: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """The kernel of each of the features and each of the vectors, [features, vectors]."""
        products = features @ vectors.T
        if self.settings.kernel == "linear":
            return products
        squares = np.square(features).sum(axis=1, keepdims=True) + np.square(vectors).sum(axis=1)
        return np.exp(-self.gamma * np.maximum(squares - 2 * products, 0))

    def predict_proba(self, speech: Speech) -> np.ndarray:
        """See :meth:`emodag.models.base.Classifier.predict_proba`."""
        return _coupled(self.decisions(speech), self.chosen["slope"], self.classes).astype(np.float32)

    def export_onnx(self, path: Path) -> None:
        """See :meth:`emodag.models.base.Classifier.export_onnx`."""
        graph = Graph()
        values = standardised_input(graph, self.scaler)
        if self.settings.kernel == "rbf":
            squares = graph("Add", graph("ReduceSumSquare", values, [1]), np.square(self.vectors).sum(axis=1))
            distances = graph("Relu", graph("Sub", squares, graph("MatMul", values, 2 * self.vectors.T)))
            values = graph("Exp", graph("Mul", distances, np.array(-self.gamma)))
        decisions = graph("Add", graph("MatMul", values, self.weights), self.offsets)
        against = graph("MatMul", decisions, -self.chosen["slope"] * _of_each_class(self.classes))
        against = graph("Reshape", against, [-1, self.classes, self.classes])
        graph.save(graph("Neg", graph("ReduceLogSumExp", against, [2], keepdims=0)), self.classes, path)


def _of_each_class(classes: int) -> np.ndarray:
    """What turns decisions [clips, pairs] into those of each class against each, 0 against itself.

    Float64 [pairs, classes * classes]: the decision for class ``i`` against class ``j`` stands at ``i * classes + j``.
    """
    signs = np.zeros((classes * (classes - 1) // 2, classes, classes))
    for number, (first, second) in enumerate(combinations(range(classes), 2)):
        signs[number, first, second], signs[number, second, first] = 1, -1
    return signs.reshape(len(signs), -1)


def _coupled(decisions: np.ndarray, slope: float, classes: int) -> np.ndarray:
    """Probabilities, float64 [clips, classes], of decisions [clips, pairs]."""
    from scipy.special import logsumexp, softmax

    against = (-slope * decisions @ _of_each_class(classes)).reshape(-1, classes, classes)
    return softmax(-logsumexp(against, axis=2), axis=1)


def _fit_slope(decisions: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """The slope with the least balanced log-loss."""
    from scipy.optimize import minimize_scalar

    def loss(log_slope: float) -> float:
        return balanced_log_loss(_coupled(decisions, np.exp(log_slope), classes), labels)

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded").x))
