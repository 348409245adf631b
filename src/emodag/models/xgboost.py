"""Gradient-boosted trees on functionals (Chen and Guestrin 2016, arXiv 1603.02754)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from emodag.models.base import (
    FEATURES,
    Chosen,
    Clips,
    balanced_weights,
    class_weights,
    require_every_class,
    save_probabilities_only,
)
from emodag.models.stopping import EarlyStopping
from emodag.params import Params
from emodag.speech import Speech

if TYPE_CHECKING:
    from xgboost import Booster


class XGBoost:
    """Histogram trees, cut back to the round with the best validation loss."""

    def __init__(self, params: Params, *, classes: int, seed: int):
        self.settings = params.models.xgboost
        self.weighting = params.train.class_weights
        self.classes = classes
        self.seed = seed

    def fit(self, training: Clips, validation: Clips | None = None, chosen: Chosen | None = None) -> Self:
        """See :meth:`emodag.models.base.Classifier.fit`; a round adds one tree, or one per class of three and more."""
        from xgboost import XGBClassifier

        require_every_class(training.labels, self.classes)
        settings = self.settings.model_dump(exclude={"max_rounds", "patience"})
        model = XGBClassifier(
            **settings,
            n_estimators=chosen["rounds"] if chosen else self.settings.max_rounds,
            early_stopping_rounds=self.settings.patience if validation else None,
            objective="binary:logistic" if self.classes == 2 else "multi:softprob",
            eval_metric="logloss" if self.classes == 2 else "mlogloss",
            tree_method="hist",
            random_state=self.seed,
            # The order in which threads add gradients would change the last digits.
            nthread=1,
        )
        sets = [training, validation] if validation else [training]
        weights = [class_weights(training.labels, self.classes, self.weighting)]
        weights += [balanced_weights(validation.labels, self.classes)] if validation else []  # as all models stop
        model.fit(
            training.speech.features,
            training.labels,
            sample_weight=weights[0],
            eval_set=[(clips.speech.features, clips.labels) for clips in sets],
            sample_weight_eval_set=weights,
            verbose=False,
        )
        rounds = model.best_iteration + 1 if validation else model.n_estimators
        self.chosen = {"rounds": rounds}
        losses = [next(iter(measures.values())) for measures in model.evals_result().values()]
        names = ("loss", "validation_loss")
        self.history = [dict(zip(names, row, strict=False)) for row in zip(*losses, strict=True)]

        self.held_out = None
        if validation:
            # The library says after how many rounds the loss was least, and not what it thought of each clip before.
            stopping = EarlyStopping(validation, self.settings.patience, temperatures=[1.0])
            for probabilities in _after_each_round(model.get_booster(), validation.speech.features):
                stopping.see(probabilities)
            self.held_out = stopping.held_out()

        # Prediction and the ONNX converter treat the rounds after the best differently; without them, nothing differs.
        booster = model.get_booster()[:rounds]
        booster.set_attr(best_iteration=None, best_score=None)
        self.model = XGBClassifier(nthread=1)
        self.model.load_model(booster.save_raw("ubj"))
        return self

    def predict_proba(self, speech: Speech) -> np.ndarray:
        """See :meth:`emodag.models.base.Classifier.predict_proba`."""
        return self.model.predict_proba(speech.features)

    def export_onnx(self, path: Path) -> None:
        """See :meth:`emodag.models.base.Classifier.export_onnx`."""
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from skl2onnx import convert_sklearn, update_registered_converter
        from skl2onnx.common.data_types import FloatTensorType
        from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
        from xgboost import XGBClassifier

        update_registered_converter(
            XGBClassifier,
            "XGBoostXGBClassifier",
            calculate_linear_classifier_output_shapes,
            convert_xgboost,
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        )
        model = convert_sklearn(
            self.model,
            name="emodag",
            initial_types=[(FEATURES, FloatTensorType([None, self.model.n_features_in_]))],
            options={id(self.model): {"zipmap": False}},
            target_opset={"": 18, "ai.onnx.ml": 3},
        )
        save_probabilities_only(model, path)


def _after_each_round(booster: Booster, features: np.ndarray) -> Iterator[np.ndarray]:
    """Probabilities, [clips, classes], by the trees up to each round."""
    from scipy.special import softmax
    from xgboost import DMatrix

    clips = DMatrix(features, nthread=1)
    for number in range(booster.num_boosted_rounds()):
        margins = booster.predict(clips, output_margin=True, iteration_range=(number, number + 1))
        # Where the next tree starts; a sum of trees from the first for each round would take a square of their number.
        clips.set_base_margin(margins)
        of_each = margins if margins.ndim > 1 else np.stack([np.zeros_like(margins), margins], axis=1)
        yield softmax(of_each, axis=1)
