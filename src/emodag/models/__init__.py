"""The model families, by name: how one is chosen in ``params.yaml`` and made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from emodag.models.base import Classifier, Clips
from emodag.models.mlp import Mlp
from emodag.models.xgboost import XGBoost
from emodag.params import Params

__all__ = ["REGISTRY", "Classifier", "Clips", "create"]

#: The name of a model in ``params.yaml`` -> what makes one from its section there.
REGISTRY: Mapping[str, Callable[..., Classifier]] = MappingProxyType({"mlp": Mlp, "xgboost": XGBoost})


def create(params: Params, *, classes: int, seed: int) -> Classifier:
    """An untrained model of the family that ``params.model`` names, with its section as settings."""
    return REGISTRY[params.model](getattr(params.models, params.model), classes=classes, seed=seed)
