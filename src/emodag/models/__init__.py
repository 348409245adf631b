"""The model families, by name: how one is chosen in ``params.yaml`` and made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from emodag.models.base import Chosen, Classifier, Clips, told, typical
from emodag.models.ensemble import Ensemble
from emodag.models.linear import Lda, Logistic
from emodag.models.mlp import Mlp
from emodag.models.neural import NETWORKS, Neural
from emodag.models.neural.runtime import sees_gpu
from emodag.models.svm import Svm
from emodag.models.xgboost import XGBoost
from emodag.params import EMBEDDING, Params
from emodag.speech import Needs

__all__ = ["REGISTRY", "Chosen", "Classifier", "Clips", "Needs", "create", "needs", "told", "typical"]

#: Where a machine lists its devices, and the names of GPUs there: by NVIDIA's driver, AMD's and Windows's for Linux.
_DEVICES, _GPUS = Path("/dev"), ("nvidia[0-9]*", "kfd", "dxg")

_SINGLE: dict[str, Callable[..., Classifier]] = {
    "mlp": Mlp,
    "svm": Svm,
    "logistic": Logistic,
    "lda": Lda,
    "xgboost": XGBoost,
}
_SINGLE |= {name: partial(Neural, name) for name in NETWORKS}

#: The name of a model in ``params.yaml`` -> what makes one from the params, for a number of classes and a seed.
REGISTRY: Mapping[str, Callable[..., Classifier]] = MappingProxyType(_SINGLE | {"ensemble": partial(Ensemble, _SINGLE)})


def create(params: Params, *, classes: int, seed: int) -> Classifier:
    """An untrained model of the family that ``params.model`` names."""
    return REGISTRY[params.model](params, classes=classes, seed=seed)


def on_gpu(params: Params) -> bool:
    """Whether the model, or a member of it, is a network that trains on a GPU; fits then take turns."""
    wanted, networks = params.compute.device, set(params.members()) & set(NETWORKS)
    return bool(networks) and (wanted == "gpu" or (wanted == "auto" and has_gpu() and sees_gpu()))


def has_gpu() -> bool:
    """Whether the machine has a GPU; to ask the backend, which need not see it, takes the seconds of its start."""
    return any(path for name in _GPUS for path in _DEVICES.glob(name))


def needs(params: Params) -> Needs:
    """Which parts of the stored features the model that ``params.model`` names, or its members, ask for."""
    seen = [params.frame_groups(model) for model in params.members()]
    groups = dict.fromkeys(group for each in seen for group in each if group != EMBEDDING)
    return Needs(features=() in seen, groups=tuple(groups), embedding_frames=(EMBEDDING,) in seen)
