"""ONNX models, run one way wherever they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def onnx_session(model: bytes | Path) -> InferenceSession:
    """A model, as its bytes or a file, on one thread of the processor: processes share the cores, not networks."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
