"""What every model is: something that is fitted, gives probabilities, and can be shipped as ONNX."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from emodag.errors import DataError
from emodag.params import ClassWeights
from emodag.speech import Speech

#: Names in the ONNX graph: its inputs, float32 [clips, features] and [clips, frames, columns] (clips of equal length),
#: and its output, float32 [clips, classes].
FEATURES, FRAMES, EMBEDDING_FRAMES = "features", "frames", "embedding_frames"
OUTPUT = "probabilities"

#: From sharper than the model says to nearly uniform.
TEMPERATURES = np.geomspace(0.5, 10, 14)

_SMALLEST = np.finfo(np.float32).tiny


class Clips(NamedTuple):
    """Clips to learn from or to validate on."""

    speech: Speech
    labels: np.ndarray  #: int [clips], positions in the classes
    voices: np.ndarray | None = None  #: int [clips], equal for clips of one voice; nothing if nobody knows


#: What validation clips decided about a model, for models that have none: JSON, such as ``{"epochs": 34}``.
Chosen = dict[str, Any]


class Classifier(Protocol):
    """A model of one family. It is made by :func:`emodag.models.create`, untrained."""

    #: What the validation clips decided when the model was fitted; ``{}`` where a family has nothing to decide.
    chosen: Chosen

    #: A row per epoch or boosting round: numbers by name (``loss``, ``validation_loss``, ...); empty if none are known.
    history: list[dict[str, float]]

    #: Probabilities of the validation clips, float32 [clips, classes], each voice's by the state that the other voices
    #: would have chosen (:mod:`emodag.models.stopping`); nothing where there were none.
    held_out: np.ndarray | None

    def fit(self, training: Clips, validation: Clips | None = None, chosen: Chosen | None = None) -> Self:
        """Learn from the training clips, each class weighing the same unless the params say otherwise.

        With ``validation``, training stops when its loss no longer falls and the best state is kept. Without, it goes
        by what was ``chosen`` before, or as far as the settings allow.

        Raises:
            DataError: a class has no training clip.
        """

    def predict_proba(self, speech: Speech) -> np.ndarray:
        """Probabilities, float32 [clips, classes]."""

    def export_onnx(self, path: Path) -> None:
        """Write the fitted model, with those of the inputs that it needs: :data:`FEATURES`, :data:`FRAMES` and so on.

        The same model gives the same bytes.
        """


def typical(chosen: Sequence[Chosen]) -> Chosen:
    """What several fits decided, as one: the median of each number, rounded where all are whole."""
    return _typical(list(chosen)) if chosen else {}


def told(values: Mapping[str, Any]) -> str:
    """What was chosen, or settings, for people to read: ``epochs 11, weights [0.25, 0.75]``; empty if nothing."""
    return ", ".join(f"{key} {_plain(value)}" for key, value in values.items())


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return " ".join(f"{key} {_plain(each)}" for key, each in value.items()) or "–"
    return str(value)


def _typical(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {key: _typical([value[key] for value in values]) for key in first}
    if isinstance(first, list):
        return [_typical(list(each)) for each in zip(*values, strict=True)]
    median = float(np.median(values))
    return round(median) if all(isinstance(value, int) for value in values) else median


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """A weight per clip, float32 [clips], such that every class weighs the same and the mean weight is 1.

    Classes that do not occur weigh nothing: n / (classes present * clips of the class), as scikit-learn's ``balanced``.
    """
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (np.count_nonzero(counts) * counts[labels])).astype(np.float32)


def class_weights(labels: np.ndarray, classes: int, weighting: ClassWeights) -> np.ndarray:
    """A weight per clip, float32 [clips]: :func:`balanced_weights`, or 1 for each where ``weighting`` is ``none``."""
    return balanced_weights(labels, classes) if weighting == "balanced" else np.ones(len(labels), np.float32)


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The negative log-probability of each clip's truth in nats, float64 [clips]."""
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels].astype(np.float64), _SMALLEST))


def balanced_log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the classes present of their clips' mean negative log-probability of the truth, in nats."""
    weights = balanced_weights(labels, probabilities.shape[1])
    return float(np.average(log_losses(probabilities, labels), weights=weights))


def require_every_class(labels: np.ndarray, classes: int) -> None:
    """Raise :class:`DataError` unless each of ``classes`` labels occurs."""
    missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if missing.size:
        raise DataError(f"classes {', '.join(map(str, missing))} of {classes} have no training clip")


def save_probabilities_only(model, path: Path) -> None:
    """Write an ONNX classifier with its probabilities as the only output, and its parts in one fixed order."""
    import onnx

    probabilities = [output for output in model.graph.output if output.name == OUTPUT]
    needed, nodes = {OUTPUT}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.insert(0, node)
    weights = [weight for weight in model.graph.initializer if weight.name in needed]
    for field, kept in (("node", nodes), ("initializer", weights), ("output", probabilities)):
        kept = copy.deepcopy(kept)
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(kept)
    # The converters collect the operator sets in a Python set, ordered by memory address.
    operators = sorted((item.domain, item.version) for item in model.opset_import)
    model.ClearField("opset_import")
    model.opset_import.extend(onnx.helper.make_opsetid(*operator) for operator in operators)
    onnx.checker.check_model(model)
    Path(path).write_bytes(model.SerializeToString(deterministic=True))
