"""An ONNX graph, written node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from emodag.files import atomic_file
from emodag.models.base import OUTPUT

#: Of the operators that :mod:`emodag.models.neural.blocks` writes; as the other models'.
_OPSET = 18


class Graph:
    """What has been written so far. Values are referred to by name; names count up, so equal calls give equal bytes."""

    def __init__(self) -> None:
        self._inputs: list[Any] = []
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def input(self, name: str, shape: tuple[str | int, ...]) -> str:
        """A float32 input of the model; axes of any length are strings."""
        from onnx import TensorProto, helper

        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def weight(self, values: np.ndarray) -> str:
        """A constant: float32, or int64 where the values are whole numbers."""
        from onnx import numpy_helper

        values = np.asarray(values)
        values = values.astype(np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32)
        name = f"weight_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def __call__(self, operator: str, *inputs: str | np.ndarray | list[int], **attributes: Any) -> str:
        """Apply an operator to values, or constants where arrays or lists are given; the name of its first output."""
        from onnx import helper

        names = [given if isinstance(given, str) else self.weight(np.asarray(given)) for given in inputs]
        name = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, names, [name], **attributes))
        return name

    def save(self, logits: str, classes: int, path: Path) -> None:
        """Write the model whose output are the probabilities of ``logits``, [clips, classes]."""
        import onnx
        from onnx import TensorProto, helper

        self._nodes.append(helper.make_node("Softmax", [logits], [OUTPUT], axis=-1))
        output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ("clips", classes))
        operators = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(
            helper.make_graph(self._nodes, "emodag", self._inputs, [output], self._weights),
            opset_imports=operators,
            ir_version=helper.find_min_ir_version_for(operators),
            producer_name="emodag",
        )
        onnx.checker.check_model(model, full_check=True)
        with atomic_file(path) as partial:
            partial.write_bytes(model.SerializeToString(deterministic=True))
