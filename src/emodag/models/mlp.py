"""Multilayer perceptron on standardised functionals, by scikit-learn."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Self

import numpy as np

from emodag.errors import DataError
from emodag.models.base import (
    FEATURES,
    Chosen,
    Clips,
    class_weights,
    require_every_class,
    save_probabilities_only,
)
from emodag.models.standardisation import standardiser
from emodag.models.stopping import EarlyStopping
from emodag.params import Params
from emodag.speech import Speech


class Mlp:
    """Standardisation fitted on the training clips, then a perceptron stopped early by validation loss."""

    def __init__(self, params: Params, *, classes: int, seed: int):
        self.settings = params.models.mlp
        self.weighting = params.train.class_weights
        self.classes = classes
        self.seed = seed

    def fit(self, training: Clips, validation: Clips | None = None, chosen: Chosen | None = None) -> Self:
        """See :meth:`emodag.models.base.Classifier.fit`; ``epochs`` of Adam are what is chosen."""
        from sklearn.neural_network import MLPClassifier

        require_every_class(training.labels, self.classes)
        self.scaler = standardiser(training.speech.features)
        features = self.scaler.transform(training.speech.features)
        weights = class_weights(training.labels, self.classes, self.weighting)
        self.network = MLPClassifier(
            hidden_layer_sizes=self.settings.hidden,
            alpha=self.settings.alpha,
            batch_size=min(self.settings.batch_size, len(features)),
            learning_rate_init=self.settings.learning_rate,
            # An integer would shuffle every epoch alike, because each partial_fit starts from it anew.
            random_state=np.random.RandomState(self.seed),
        )
        stopping = EarlyStopping(validation, self.settings.patience) if validation else None
        epochs = chosen["epochs"] if chosen else self.settings.max_epochs
        self.chosen, self.history = {"epochs": epochs}, []
        for epoch in range(epochs):
            try:
                self.network.partial_fit(features, training.labels, classes=range(self.classes), sample_weight=weights)
            except ValueError as error:
                if np.isfinite(np.concatenate([each.ravel() for each in self.network.coefs_])).all():
                    raise
                raise DataError(
                    f"mlp: training diverged in epoch {epoch + 1} ({error}); lower models.mlp.learning_rate "
                    f"({self.settings.learning_rate:g})"
                ) from None
            self.history.append({"loss": float(self.network.loss_)})
            if stopping is None:
                continue
            if stopping.see(self.predict_proba(validation.speech)):
                best = copy.deepcopy((self.network.coefs_, self.network.intercepts_))
            self.history[-1]["validation_loss"] = stopping.loss
            if stopping.over:
                break
        if stopping is not None:
            self.chosen["epochs"] = stopping.best
            self.network.coefs_, self.network.intercepts_ = best
        self.held_out = stopping.held_out() if stopping else None
        return self

    def predict_proba(self, speech: Speech) -> np.ndarray:
        """See :meth:`emodag.models.base.Classifier.predict_proba`."""
        return self.network.predict_proba(self.scaler.transform(speech.features)).astype(np.float32)

    def export_onnx(self, path: Path) -> None:
        """See :meth:`emodag.models.base.Classifier.export_onnx`."""
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType
        from sklearn.pipeline import make_pipeline

        pipeline = make_pipeline(self.scaler, self.network)
        model = convert_sklearn(
            pipeline,
            name="emodag",
            initial_types=[(FEATURES, FloatTensorType([None, self.scaler.n_features_in_]))],
            options={id(pipeline): {"zipmap": False}},
            target_opset=18,
        )
        save_probabilities_only(model, path)
