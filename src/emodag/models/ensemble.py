"""The weighted mean of the probabilities of several models.

Validation clips can give each member a temperature first (Guo et al. 2017, arXiv 1706.04599), where the surest would
drown the others. They can also choose the weights: those of a mixture under which these clips are most likely, every
class weighing the same, found by expectation maximisation (Dempster, Laird and Rubin 1977).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from emodag.errors import DataError
from emodag.evaluation.calibration import fit_temperature, tempered
from emodag.features.encoders.base import PREFIX
from emodag.files import atomic_file
from emodag.models.base import FEATURES, OUTPUT, Chosen, Classifier, Clips, balanced_weights
from emodag.models.stopping import by_others
from emodag.params import Inputs, Params
from emodag.speech import Speech

if TYPE_CHECKING:
    import onnx

#: The search for weights ends when none changes by more, or after so many steps.
_PRECISION, _STEPS = 1e-7, 20_000

_SMALLEST = float(np.finfo(np.float32).tiny)


class Ensemble:
    """Models that are fitted on the same clips, each under a seed and on inputs of its own."""

    def __init__(self, families: Mapping[str, Callable[..., Classifier]], params: Params, *, classes: int, seed: int):
        """``families``: the name of a model -> what makes one."""
        self.settings = params.models.ensemble
        self.classes = classes
        # A model that is a member twice is two, if it depends on a seed.
        seeds = np.random.SeedSequence(seed).generate_state(len(self.settings.members)) >> 1
        self.models = [
            families[member.model](params, classes=classes, seed=int(its_seed))
            for member, its_seed in zip(self.settings.members, seeds, strict=True)
        ]
        self._of_frames = [bool(params.frame_groups(member.model)) for member in self.settings.members]

    def fit(self, training: Clips, validation: Clips | None = None, chosen: Chosen | None = None) -> Self:
        """See :meth:`emodag.models.base.Classifier.fit`.

        What is ``chosen`` are that of each of the ``members``, their ``temperatures`` and their ``weights``, as far as
        members have something to decide and the params leave the others to validation clips.

        Raises:
            DataError: nothing is left of the features that a member sees.
        """
        self.columns = [
            None if of_frames else columns_of(training.speech.names, member.inputs)
            for member, of_frames in zip(self.settings.members, self._of_frames, strict=True)
        ]
        self._features = len(training.speech.names)
        given = chosen or {}
        theirs = given.get("members", [None] * len(self.models))
        for number, (model, columns) in enumerate(zip(self.models, self.columns, strict=True)):
            learnt, held_out = (
                None if clips is None else clips._replace(speech=_seen(clips.speech, columns))
                for clips in (training, validation)
            )
            model.fit(learnt, held_out, theirs[number])
        self.temperatures = list(given.get("temperatures", [1.0] * len(self.models)))
        self.weights = normalised(given.get("weights", [1.0] * len(self.models)))
        self.held_out = None
        if validation is not None:
            found = np.stack([model.held_out for model in self.models])
            if "validation" in (self.settings.temperatures, self.settings.weights):
                self.held_out = by_others(validation, lambda others, own: self._judged(found, validation, others, own))
                self.temperatures, self.weights = self._decided(found, validation.labels)
            else:
                self.held_out = _mean(found, self.temperatures, self.weights)
        members = [model.chosen for model in self.models]
        self.chosen = {"members": members} if any(members) else {}
        if self.settings.temperatures == "validation":
            self.chosen["temperatures"] = self.temperatures
        if self.settings.weights == "validation":
            self.chosen["weights"] = self.weights
        self.history = self._history()
        return self

    def predict_proba(self, speech: Speech) -> np.ndarray:
        """See :meth:`emodag.models.base.Classifier.predict_proba`."""
        found = np.stack([self._predict(number, speech) for number in range(len(self.models))])
        return _mean(found, self.temperatures, self.weights)

    def _predict(self, number: int, speech: Speech) -> np.ndarray:
        return self.models[number].predict_proba(_seen(speech, self.columns[number]))

    def _judged(self, found: np.ndarray, clips: Clips, others: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Probabilities of a voice's ``own`` clips, by temperatures and weights that the ``others`` decide."""
        return _mean(found[:, own], *self._decided(found[:, others], clips.labels[others]))

    def _decided(self, found: np.ndarray, labels: np.ndarray) -> tuple[list[float], list[float]]:
        """The temperatures and weights of members that say ``found``, [members, clips, classes], of these clips."""
        temperatures, weights = self.temperatures, self.weights
        if self.settings.temperatures == "validation":
            temperatures = [fit_temperature(each, labels) for each in found]
        if self.settings.weights == "validation":
            weights = fit_weights(_tempered(found, temperatures), labels)
        return temperatures, weights

    def _history(self) -> list[dict[str, float]]:
        """The members' rows side by side, each measure under its member's name and place: ``mlp_1_loss``."""
        places = [f"{member.model}_{number}" for number, member in enumerate(self.settings.members, start=1)]
        return [
            {
                f"{place}_{measure}": value
                for place, row in zip(places, rows, strict=True)
                for measure, value in row.items()
            }
            for rows in zip_longest(*(model.history for model in self.models), fillvalue={})
        ]

    def export_onnx(self, path: Path) -> None:
        """See :meth:`emodag.models.base.Classifier.export_onnx`; the members' graphs become one."""
        import onnx

        graphs = []
        with tempfile.TemporaryDirectory() as folder:
            for number, model in enumerate(self.models):
                model.export_onnx(Path(folder) / f"{number}.onnx")
                graphs.append(onnx.load(Path(folder) / f"{number}.onnx"))
        merged = merge(graphs, self.columns, self._features, self.temperatures, self.weights)
        onnx.checker.check_model(merged, full_check=True)
        with atomic_file(path) as partial:
            partial.write_bytes(merged.SerializeToString(deterministic=True))


def _mean(probabilities: np.ndarray, temperatures: Sequence[float], weights: Sequence[float]) -> np.ndarray:
    """The members' probabilities, [members, clips, classes], as one: float32 [clips, classes]."""
    return np.tensordot(weights, _tempered(probabilities, temperatures), axes=1).astype(np.float32)


def _tempered(probabilities: np.ndarray, temperatures: Sequence[float]) -> np.ndarray:
    """Those of each member at its temperature: float64 [members, clips, classes]."""
    return np.stack([tempered(*each) for each in zip(probabilities, temperatures, strict=True)])


def columns_of(names: Sequence[str], inputs: Inputs) -> np.ndarray:
    """Which features a member with these ``inputs`` sees, as positions, int64 [columns].

    Raises:
        DataError: it sees none of them.
    """
    kept = [inputs == "all" or name.startswith(PREFIX) == (inputs == "embedding") for name in names]
    if not any(kept):
        stored = "those of an encoder" if inputs == "functionals" else "functionals"
        raise DataError(
            f"models.ensemble.members: a member's inputs are `{inputs}`, and all {len(names)} features are {stored}; "
            "mind train.inputs and featurize.encoder, or choose other inputs"
        )
    return np.flatnonzero(kept)


def _seen(speech: Speech, columns: np.ndarray | None) -> Speech:
    """The speech with these features alone; as it is, for a model of frames."""
    if columns is None or len(columns) == len(speech.names):
        return speech
    return speech.with_features(columns)


def normalised(weights: Sequence[float]) -> list[float]:
    """Weights whose sum is 1; equal ones if they are all 0, as the medians over folds may be."""
    total = sum(weights)
    return [weight / total if total > 0 else 1 / len(weights) for weight in weights]


def fit_weights(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    """The weights of members, of sum 1, under which their mean has the least balanced log-loss.

    Args:
        probabilities: of each member, [members, clips, classes].
        labels: int [clips].
    """
    of_truth = np.maximum(probabilities[:, np.arange(len(labels)), labels].astype(np.float64), _SMALLEST)
    shares = balanced_weights(labels, probabilities.shape[2]).astype(np.float64)
    shares /= shares.sum()
    weights = np.full(len(of_truth), 1 / len(of_truth))
    for _ in range(_STEPS):
        # Who is how likely to have said the truth of each clip; the convex loss falls with every step.
        before, joint = weights, weights[:, None] * of_truth
        weights = (joint / joint.sum(axis=0)) @ shares
        if np.abs(weights - before).max() < _PRECISION:
            break
    return normalised(weights.tolist())


def merge(
    graphs: Sequence[onnx.ModelProto],
    columns: Sequence[np.ndarray | None],
    features: int,
    temperatures: Sequence[float],
    weights: Sequence[float],
) -> onnx.ModelProto:
    """One graph of several: they share inputs of one name, and the weighted mean of their outputs is the output.

    Args:
        graphs: of the members.
        columns: the features that each sees, as positions; ``None`` if it sees none.
        features: how many there are.
        temperatures: of each member's probabilities.
        weights: of the members, of sum 1.
    """
    from onnx import TensorProto, compose, helper, numpy_helper

    inputs, nodes, constants, operators, summands = {}, [], [], {}, []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    for number, (graph, its_columns) in enumerate(zip(graphs, columns, strict=True)):
        prefix = f"member_{number}_"
        for given in graph.graph.input:
            own = f"{prefix}{given.name}"
            inputs.setdefault(given.name, given)
            if given.name == FEATURES:
                positions = constant(f"{own}_columns", its_columns)
                nodes.append(helper.make_node("Gather", [FEATURES, positions], [own], axis=1))
            else:
                nodes.append(helper.make_node("Identity", [given.name], [own]))
        member = compose.add_prefix(graph, prefix)
        nodes.extend(member.graph.node)
        constants.extend(member.graph.initializer)
        operators |= {item.domain: max(item.version, operators.get(item.domain, 0)) for item in member.opset_import}
        # p ** (1 / temperature), normalised, is the softmax of log p / temperature.
        steps = (
            ("Max", "smallest", np.array(_SMALLEST, np.float32)),
            ("Log", "", None),
            ("Div", "temperature", np.array(temperatures[number], np.float32)),
            ("Softmax", "", None),
            ("Mul", "weight", np.array(weights[number], np.float32)),
        )
        value = f"{prefix}{OUTPUT}"
        for operator, name, operand in steps:
            given = [value] if operand is None else [value, constant(f"{prefix}{name}", operand)]
            value = f"{prefix}{operator.lower()}_out"
            nodes.append(helper.make_node(operator, given, [value]))
        summands.append(value)
    nodes.append(helper.make_node("Sum", summands, [OUTPUT]))
    if FEATURES in inputs:
        inputs[FEATURES] = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ("clips", features))
    classes = graphs[0].graph.output[0].type.tensor_type.shape.dim[1].dim_value
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ("clips", classes))
    return helper.make_model(
        helper.make_graph(nodes, "emodag", [inputs[name] for name in sorted(inputs)], [output], constants),
        opset_imports=[helper.make_opsetid(*operator) for operator in sorted(operators.items())],
        ir_version=max(graph.ir_version for graph in graphs),
        producer_name="emodag",
    )
