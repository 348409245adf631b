"""Features of clips brought to mean 0 and spread 1, as scikit-learn does it and as ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emodag.models.base import FEATURES
from emodag.models.graph import Graph

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

#: A feature whose spread is below this share of its mean carries rounding errors of float32 rather than speech.
_RESOLUTION = 1e-4


def standardiser(features: np.ndarray) -> StandardScaler:
    """A fitted ``StandardScaler`` that does not blow up the noise of features that are all but constant."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    scaler.scale_ = np.maximum(scaler.scale_, _RESOLUTION * np.abs(scaler.mean_))
    return scaler


def standardised_input(graph: Graph, scaler: StandardScaler) -> str:
    """The input :data:`~emodag.models.base.FEATURES` of a graph, standardised as the scaler does it."""
    values = graph.input(FEATURES, ("clips", scaler.n_features_in_))
    return graph("Div", graph("Sub", values, scaler.mean_), scaler.scale_)
