"""What the networks are built of. Each block can be built in Keras, once, and then be written to ONNX with its weights.

Padding never changes what a network says of a clip: what lies behind a clip's end is zero wherever a convolution sees
it, as it would be behind the end of the unpadded clip; averages, maxima, attention and the statistics of batch
normalisation leave it out, and recurrent layers skip it. ONNX models are given clips of equal length and need no mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from emodag.models.graph import Graph

#: Of the moving averages of batch normalisation. Keras's 0.99 would still be half its initial value after 69 batches,
#: more than an epoch of a small corpus.
_MOMENTUM = 0.9

#: Added to variances before a root is taken.
_EPSILON = 1e-3


class Flow(NamedTuple):
    """Tensors on their way through a Keras model."""

    values: Any  #: [clips, features] or [clips, frames, ..., channels]
    mask: Any = None  #: bool [clips, frames]; ``None`` where there are no frames


class Block(Protocol):
    """A part of a network."""

    #: How many frames become one.
    stride: int

    def __call__(self, flow: Flow) -> Flow:
        """Build the block's Keras layers and apply them."""

    def write(self, graph: Graph, values: str) -> str:
        """Add the block, once built, to an ONNX graph; the name of its output."""


class Dense:
    """A dense layer with batch normalisation, ReLU and dropout, on vectors."""

    stride = 1

    def __init__(self, units: int, dropout: float):
        self.units, self.dropout = units, dropout

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers

        self._dense = layers.Dense(self.units, use_bias=False)
        self._normalisation = layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON)
        values = layers.ReLU()(self._normalisation(self._dense(flow.values)))
        return Flow(layers.Dropout(self.dropout)(values))

    def write(self, graph: Graph, values: str) -> str:
        scale, offset = _affine(self._normalisation)
        return graph("Relu", graph("Add", graph("MatMul", values, _array(self._dense.kernel) * scale), offset))


class Convolution:
    """A convolution over time with batch normalisation, ReLU, maxima of two frames, and dropout."""

    stride = 2

    def __init__(self, filters: int, kernel: int, dropout: float):
        self.filters, self.kernel, self.dropout = filters, kernel, dropout

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers, ops

        self._convolution = layers.Conv1D(self.filters, self.kernel, padding="same", use_bias=False)
        self._normalisation = layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON)
        values = self._normalisation(self._convolution(_silenced(flow)), mask=flow.mask)
        values = ops.max_pool(layers.ReLU()(values), 2, strides=2)
        return Flow(layers.Dropout(self.dropout)(values), _whole_windows(flow.mask, 2))

    def write(self, graph: Graph, values: str) -> str:
        scale, offset = _affine(self._normalisation)
        kernel = (_array(self._convolution.kernel) * scale).transpose(2, 1, 0)
        values = graph("Transpose", values, perm=(0, 2, 1))
        values = graph("Relu", graph("Conv", values, kernel, offset, pads=_same(self.kernel, axes=1)))
        values = graph("MaxPool", values, kernel_shape=(2,), strides=(2,))
        return graph("Transpose", values, perm=(0, 2, 1))


class Image:
    """Two groups of columns side by side become two channels of as many bands as the second has.

    The first is projected to so many by a learned matrix: cepstra (MFCC) have no axis of frequency, a projection of
    them can have.
    """

    stride = 1

    def __init__(self, columns: tuple[int, int]):
        self.columns = columns

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers, ops

        first, bands = self.columns
        self._projection = layers.Dense(bands, use_bias=False)
        channels = [self._projection(flow.values[:, :, :first]), flow.values[:, :, first:]]
        return Flow(ops.stack(channels, axis=-1), flow.mask)

    def write(self, graph: Graph, values: str) -> str:
        first, bands = self.columns
        cepstra = graph("Gather", values, np.arange(first), axis=2)
        spectrum = graph("Gather", values, np.arange(first, first + bands), axis=2)
        projected = graph("MatMul", cepstra, _array(self._projection.kernel))
        return graph("Concat", *(graph("Unsqueeze", channel, [3]) for channel in (projected, spectrum)), axis=3)


class Convolution2d:
    """A convolution over time and bands with batch normalisation, ReLU, maxima of two by two, and dropout."""

    stride = 2

    def __init__(self, filters: int, kernel: int, dropout: float):
        self.filters, self.kernel, self.dropout = filters, kernel, dropout

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers, ops

        self._convolution = layers.Conv2D(self.filters, self.kernel, padding="same", use_bias=False)
        self._normalisation = layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON)
        mask = ops.repeat(flow.mask[:, :, None], flow.values.shape[2], axis=2)
        values = self._normalisation(self._convolution(_silenced(flow)), mask=mask)
        values = ops.max_pool(layers.ReLU()(values), 2, strides=2)
        return Flow(layers.Dropout(self.dropout)(values), _whole_windows(flow.mask, 2))

    def write(self, graph: Graph, values: str) -> str:
        scale, offset = _affine(self._normalisation)
        kernel = (_array(self._convolution.kernel) * scale).transpose(3, 2, 0, 1)
        values = graph("Transpose", values, perm=(0, 3, 1, 2))
        values = graph("Relu", graph("Conv", values, kernel, offset, pads=_same(self.kernel, axes=2)))
        values = graph("MaxPool", values, kernel_shape=(2, 2), strides=(2, 2))
        return graph("Transpose", values, perm=(0, 2, 3, 1))


class Flatten:
    """The bands and channels of a frame as one axis."""

    stride = 1

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers

        _, _, bands, channels = flow.values.shape
        return Flow(layers.Reshape((-1, bands * channels))(flow.values), flow.mask)

    def write(self, graph: Graph, values: str) -> str:
        shape = graph("Concat", graph("Shape", values, start=0, end=2), [-1], axis=0)
        return graph("Reshape", values, shape)


class Average:
    """The averages of ``stride`` frames; those at the end that are fewer are left out."""

    def __init__(self, stride: int):
        self.stride = stride

    def __call__(self, flow: Flow) -> Flow:
        from keras import ops

        return Flow(
            ops.average_pool(flow.values, self.stride, strides=self.stride), _whole_windows(flow.mask, self.stride)
        )

    def write(self, graph: Graph, values: str) -> str:
        values = graph("Transpose", values, perm=(0, 2, 1))
        values = graph("AveragePool", values, kernel_shape=(self.stride,), strides=(self.stride,))
        return graph("Transpose", values, perm=(0, 2, 1))


class _Recurrent(ABC):
    """A recurrent layer in both directions, whose outputs lie side by side, and dropout."""

    stride = 1
    #: Keras's name of the layer, which is ONNX's too.
    operator: str
    #: Where the gates lie in Keras's weights, in ONNX's order.
    gates: tuple[int, ...]
    #: Of the ONNX operator, beyond those that every recurrent layer has.
    attributes: ClassVar[dict[str, int]] = {}

    def __init__(self, units: int, dropout: float):
        self.units, self.dropout = units, dropout

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers

        layer = getattr(layers, self.operator)(self.units, return_sequences=True)
        self._layer = layers.Bidirectional(layer)
        return Flow(layers.Dropout(self.dropout)(self._layer(flow.values, mask=flow.mask)), flow.mask)

    def write(self, graph: Graph, values: str) -> str:
        cells = self._layer.forward_layer.cell, self._layer.backward_layer.cell
        kernel, recurrent = (
            np.stack([self._in_order(_array(getattr(cell, name))) for cell in cells])
            for name in ("kernel", "recurrent_kernel")
        )
        bias = np.stack([self._biases(_array(cell.bias)) for cell in cells])
        values = graph(
            self.operator,
            graph("Transpose", values, perm=(1, 0, 2)),
            kernel.transpose(0, 2, 1),
            recurrent.transpose(0, 2, 1),
            bias,
            direction="bidirectional",
            hidden_size=self.units,
            **self.attributes,
        )
        values = graph("Transpose", values, perm=(2, 0, 1, 3))  # from [frames, directions, clips, units]
        return graph("Reshape", values, [0, 0, 2 * self.units])

    def _in_order(self, weights: np.ndarray) -> np.ndarray:
        """Weights [..., gates * units] with the gates in ONNX's order."""
        gates = np.split(weights, len(self.gates), axis=-1)
        return np.concatenate([gates[gate] for gate in self.gates], axis=-1)

    @abstractmethod
    def _biases(self, bias: np.ndarray) -> np.ndarray:
        """Of the input and of the recurrence, one behind the other."""


class Lstm(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735), both directions."""

    operator = "LSTM"
    gates = (0, 3, 1, 2)  # Keras has input, forget, cell, output; ONNX input, output, forget, cell

    def _biases(self, bias: np.ndarray) -> np.ndarray:
        return np.concatenate([self._in_order(bias), np.zeros_like(bias)])


class Gru(_Recurrent):
    """Gated recurrent units (Cho et al. 2014, arXiv 1406.1078), both directions."""

    operator = "GRU"
    gates = (0, 1, 2)  # update, reset, hidden in both
    # Keras resets after the recurrent product, as cuDNN does.
    attributes: ClassVar[dict[str, int]] = {"linear_before_reset": 1}

    def _biases(self, bias: np.ndarray) -> np.ndarray:
        return bias.reshape(-1)


class SelfAttention:
    """Multi-head attention of frames to each other (Vaswani et al. 2017, arXiv 1706.03762), added and normalised."""

    stride = 1

    def __init__(self, heads: int, dropout: float):
        self.heads, self.dropout = heads, dropout

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers

        self._width = max(1, flow.values.shape[-1] // self.heads)
        self._attention = layers.MultiHeadAttention(self.heads, self._width, dropout=self.dropout)
        self._normalisation = layers.LayerNormalization(epsilon=_EPSILON)
        added = self._attention(flow.values, flow.values, attention_mask=flow.mask[:, None, :])
        return Flow(self._normalisation(flow.values + added), flow.mask)

    def write(self, graph: Graph, values: str) -> str:
        attention = self._attention
        query, key, value = (
            self._in_heads(graph, values, layer)
            for layer in (attention.query_dense, attention.key_dense, attention.value_dense)
        )
        scores = graph("MatMul", query, graph("Transpose", key, perm=(0, 1, 3, 2)))
        weights = graph("Softmax", graph("Div", scores, np.sqrt(np.float32(self._width))), axis=-1)
        attended = graph("Transpose", graph("MatMul", weights, value), perm=(0, 2, 1, 3))
        attended = graph("Reshape", attended, [0, 0, self.heads * self._width])
        kernel, bias = _array(attention.output_dense.kernel), _array(attention.output_dense.bias)
        added = graph("Add", graph("MatMul", attended, kernel.reshape(-1, kernel.shape[-1])), bias)
        gamma, beta = _array(self._normalisation.gamma), _array(self._normalisation.beta)
        return graph("LayerNormalization", graph("Add", values, added), gamma, beta, axis=-1, epsilon=_EPSILON)

    def _in_heads(self, graph: Graph, values: str, layer: Any) -> str:
        """[clips, heads, frames, width]."""
        kernel, bias = _array(layer.kernel), _array(layer.bias)
        values = graph("Add", graph("MatMul", values, kernel.reshape(len(kernel), -1)), bias.reshape(-1))
        return graph("Transpose", graph("Reshape", values, [0, 0, self.heads, self._width]), perm=(0, 2, 1, 3))


class MeanAndMaximum:
    """Each channel's mean and maximum over the frames."""

    stride = 1

    def __call__(self, flow: Flow) -> Flow:
        from keras import ops

        real = _as_numbers(flow.mask)
        mean = ops.sum(flow.values * real, axis=1) / ops.sum(real, axis=1)
        maximum = ops.max(ops.where(flow.mask[:, :, None], flow.values, -np.inf), axis=1)
        return Flow(ops.concatenate([mean, maximum], axis=-1))

    def write(self, graph: Graph, values: str) -> str:
        pooled = (graph(operator, values, [1], keepdims=0) for operator in ("ReduceMean", "ReduceMax"))
        return graph("Concat", *pooled, axis=-1)


class AttentionPooling:
    """The mean over the frames, weighted by how much each matters: softmax of ``v . tanh(W frame + b)``
    (Bahdanau et al. 2015, arXiv 1409.0473)."""

    stride = 1

    def __init__(self, units: int):
        self.units = units

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers, ops

        self._hidden, self._score = layers.Dense(self.units, activation="tanh"), layers.Dense(1, use_bias=False)
        scores = ops.where(flow.mask[:, :, None], self._score(self._hidden(flow.values)), -np.inf)
        return Flow(ops.sum(ops.softmax(scores, axis=1) * flow.values, axis=1))

    def write(self, graph: Graph, values: str) -> str:
        hidden = graph("MatMul", values, _array(self._hidden.kernel))
        hidden = graph("Tanh", graph("Add", hidden, _array(self._hidden.bias)))
        weights = graph("Softmax", graph("MatMul", hidden, _array(self._score.kernel)), axis=1)
        return graph("ReduceSum", graph("Mul", weights, values), [1], keepdims=0)


class Logits:
    """The last layer: a number per class, of which softmax makes probabilities."""

    stride = 1

    def __init__(self, classes: int):
        self.classes = classes

    def __call__(self, flow: Flow) -> Flow:
        from keras import layers

        self._dense = layers.Dense(self.classes)
        return Flow(self._dense(flow.values))

    def write(self, graph: Graph, values: str) -> str:
        return graph("Add", graph("MatMul", values, _array(self._dense.kernel)), _array(self._dense.bias))


def _array(variable: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(variable)


def _affine(normalisation: Any) -> tuple[np.ndarray, np.ndarray]:
    """What batch normalisation multiplies each channel by, and what it then adds, once it has been trained."""
    scale = _array(normalisation.gamma) / np.sqrt(_array(normalisation.moving_variance) + normalisation.epsilon)
    return scale, _array(normalisation.beta) - _array(normalisation.moving_mean) * scale


def _as_numbers(mask: Any) -> Any:
    """1 where a frame is real and 0 elsewhere, float32 [clips, frames, 1]."""
    from keras import ops

    return ops.cast(mask, "float32")[:, :, None]


def _silenced(flow: Flow) -> Any:
    """The values, zero behind each clip's end."""
    real = _as_numbers(flow.mask)
    return flow.values * (real if len(flow.values.shape) == 3 else real[..., None])


def _whole_windows(mask: Any, stride: int) -> Any:
    """Which windows of ``stride`` frames consist of real ones: those whose last frame is."""
    return mask[:, stride - 1 :: stride]


def _same(kernel: int, axes: int) -> tuple[int, ...]:
    """Zeros before and after each axis, such that a convolution keeps its length; an even kernel sees more behind."""
    before = (kernel - 1) // 2
    return (before,) * axes + (kernel - 1 - before,) * axes
