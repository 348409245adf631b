"""Linear models of standardised features, by scikit-learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import numpy as np

from emodag.errors import DataError
from emodag.models.base import Chosen, Clips, class_weights, require_every_class
from emodag.models.graph import Graph
from emodag.models.standardisation import standardised_input, standardiser
from emodag.params import Params
from emodag.speech import Speech

#: L-BFGS converges long before; were it cut short, scikit-learn would warn.
_ITERATIONS = 5000


class Linear(ABC):
    """Standardisation fitted on the training clips, then logits that are linear in the features."""

    name: str  #: of the section in ``params.yaml``

    def __init__(self, params: Params, *, classes: int, seed: int):  # noqa: ARG002
        self.settings = getattr(params.models, self.name)
        self.weighting = params.train.class_weights
        self.classes = classes

    def fit(self, training: Clips, validation: Clips | None = None, chosen: Chosen | None = None) -> Self:  # noqa: ARG002
        """See :meth:`emodag.models.base.Classifier.fit`; the optimum is unique, so there is nothing to choose."""
        require_every_class(training.labels, self.classes)
        self.scaler = standardiser(training.speech.features)
        model = self._fitted(self.scaler.transform(training.speech.features), training.labels)
        self.slopes, self.offsets = _of_each_class(model.coef_), _of_each_class(model.intercept_)
        self.chosen, self.history = {}, []
        self.held_out = None if validation is None else self.predict_proba(validation.speech)
        return self

    @abstractmethod
    def _fitted(self, features: np.ndarray, labels: np.ndarray):
        """A fitted linear model of scikit-learn, of standardised features [clips, features]."""

    def predict_proba(self, speech: Speech) -> np.ndarray:
        """See :meth:`emodag.models.base.Classifier.predict_proba`."""
        from scipy.special import softmax

        logits = self.scaler.transform(speech.features) @ self.slopes.T + self.offsets
        return softmax(logits.astype(np.float64), axis=1).astype(np.float32)

    def export_onnx(self, path: Path) -> None:
        """See :meth:`emodag.models.base.Classifier.export_onnx`."""
        graph = Graph()
        values = standardised_input(graph, self.scaler)
        graph.save(graph("Add", graph("MatMul", values, self.slopes.T), self.offsets), self.classes, path)


class Logistic(Linear):
    """Multinomial logistic regression with an L2 penalty."""

    name = "logistic"

    def _fitted(self, features: np.ndarray, labels: np.ndarray):
        from sklearn.linear_model import LogisticRegression

        weights = class_weights(labels, self.classes, self.weighting)
        model = LogisticRegression(C=self.settings.C, max_iter=_ITERATIONS)
        return model.fit(features, labels, sample_weight=weights)


class Lda(Linear):
    """Linear discriminant analysis; the covariance shrinks towards a multiple of the identity (Friedman 1989)."""

    name = "lda"

    def _fitted(self, features: np.ndarray, labels: np.ndarray):
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        if len(labels) <= self.classes:
            raise DataError(f"lda needs more training clips than its {self.classes} classes; found: {len(labels)}")
        balanced = [1 / self.classes] * self.classes if self.weighting == "balanced" else None
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=self.settings.shrinkage, priors=balanced)
        # The covariance of a thousand features loses its last digits in single precision.
        return model.fit(features.astype(np.float64), labels)


def _of_each_class(values: np.ndarray) -> np.ndarray:
    """Parameters [classes, ...]; for two classes scikit-learn has those of the second alone, the first's being 0."""
    return np.concatenate([np.zeros_like(values), values]) if len(values) == 1 else values
