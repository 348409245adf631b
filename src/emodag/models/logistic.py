"""Multinomial logistic regression on standardised features, by scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from emodag.models.base import FEATURES, Chosen, Clips, class_weights, require_every_class
from emodag.models.mlp import standardiser
from emodag.models.neural.graph import Graph
from emodag.params import Params
from emodag.speech import Speech

#: L-BFGS converges long before; were it cut short, scikit-learn would warn.
_ITERATIONS = 5000


class Logistic:
    """Standardisation fitted on the training clips, then a linear model with an L2 penalty."""

    def __init__(self, params: Params, *, classes: int, seed: int):  # noqa: ARG002
        self.settings = params.models.logistic
        self.weighting = params.train.class_weights
        self.classes = classes

    def fit(self, training: Clips, validation: Clips | None = None, chosen: Chosen | None = None) -> Self:  # noqa: ARG002
        """See :meth:`emodag.models.base.Classifier.fit`; the optimum is unique, so there is nothing to choose."""
        from sklearn.linear_model import LogisticRegression

        require_every_class(training.labels, self.classes)
        self.scaler = standardiser(training.speech.features)
        model = LogisticRegression(C=self.settings.C, max_iter=_ITERATIONS)
        features = self.scaler.transform(training.speech.features)
        weights = class_weights(training.labels, self.classes, self.weighting)
        model.fit(features, training.labels, sample_weight=weights)
        self.slopes, self.offsets = _of_each_class(model.coef_), _of_each_class(model.intercept_)
        self.chosen, self.history = {}, []
        return self

    def predict_proba(self, speech: Speech) -> np.ndarray:
        """See :meth:`emodag.models.base.Classifier.predict_proba`."""
        from scipy.special import softmax

        logits = self.scaler.transform(speech.features) @ self.slopes.T + self.offsets
        return softmax(logits.astype(np.float64), axis=1).astype(np.float32)

    def export_onnx(self, path: Path) -> None:
        """See :meth:`emodag.models.base.Classifier.export_onnx`."""
        graph = Graph()
        values = graph.input(FEATURES, ("clips", self.scaler.n_features_in_))
        values = graph("Div", graph("Sub", values, self.scaler.mean_), self.scaler.scale_)
        graph.save(graph("Add", graph("MatMul", values, self.slopes.T), self.offsets), self.classes, path)


def _of_each_class(values: np.ndarray) -> np.ndarray:
    """Parameters [classes, ...]; for two classes scikit-learn has those of the second alone, the first's being 0."""
    return np.concatenate([np.zeros_like(values), values]) if len(values) == 1 else values
