"""Multilayer perceptron on standardised functionals, by scikit-learn."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Self

import numpy as np

from emodag.models.base import (
    INPUT,
    Clips,
    balanced_weights,
    require_every_class,
    save_probabilities_only,
    tempered_log_loss,
)
from emodag.params import Mlp as Settings

#: A feature whose spread is below this share of its mean carries rounding errors of float32 rather than speech.
_RESOLUTION = 1e-4


class Mlp:
    """Standardisation fitted on the training clips, then a perceptron stopped early by validation loss."""

    def __init__(self, settings: Settings, *, classes: int, seed: int):
        self.settings = settings
        self.classes = classes
        self.seed = seed
        self.rounds = 0

    def fit(self, training: Clips, validation: Clips | None = None, rounds: int | None = None) -> Self:
        """See :meth:`emodag.models.base.Classifier.fit`; a round is an epoch of Adam."""
        from sklearn.neural_network import MLPClassifier

        require_every_class(training.labels, self.classes)
        self.scaler = standardiser(training.features)
        features = self.scaler.transform(training.features)
        weights = balanced_weights(training.labels, self.classes)
        self.network = MLPClassifier(
            hidden_layer_sizes=self.settings.hidden,
            alpha=self.settings.alpha,
            batch_size=min(self.settings.batch_size, len(features)),
            learning_rate_init=self.settings.learning_rate,
            # An integer would shuffle every epoch alike, because each partial_fit starts from it anew.
            random_state=np.random.RandomState(self.seed),
        )
        best_loss, best = np.inf, None
        for epoch in range(1, (rounds or self.settings.max_epochs) + 1):
            self.network.partial_fit(features, training.labels, classes=range(self.classes), sample_weight=weights)
            self.rounds = epoch
            if validation is None:
                continue
            loss = tempered_log_loss(self.predict_proba(validation.features), validation.labels)
            if loss < best_loss:
                best_loss = loss
                best = epoch, copy.deepcopy(self.network.coefs_), copy.deepcopy(self.network.intercepts_)
            elif epoch - best[0] >= self.settings.patience:
                break
        if best:
            self.rounds, self.network.coefs_, self.network.intercepts_ = best
        return self

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """See :meth:`emodag.models.base.Classifier.predict_proba`."""
        return self.network.predict_proba(self.scaler.transform(features)).astype(np.float32)

    def export_onnx(self, path: Path) -> None:
        """See :meth:`emodag.models.base.Classifier.export_onnx`."""
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType
        from sklearn.pipeline import make_pipeline

        pipeline = make_pipeline(self.scaler, self.network)
        model = convert_sklearn(
            pipeline,
            name="emodag",
            initial_types=[(INPUT, FloatTensorType([None, self.scaler.n_features_in_]))],
            options={id(pipeline): {"zipmap": False}},
            target_opset=18,
        )
        save_probabilities_only(model, path)


def standardiser(features: np.ndarray):
    """A fitted ``StandardScaler`` that does not blow up the noise of features that are all but constant."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    scaler.scale_ = np.maximum(scaler.scale_, _RESOLUTION * np.abs(scaler.mean_))
    return scaler
