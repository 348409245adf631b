"""The networks: which blocks each is a chain of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from emodag.models.neural.blocks import (
    AttentionPooling,
    Average,
    Block,
    Convolution,
    Convolution2d,
    Dense,
    Flatten,
    Gru,
    Image,
    Lstm,
    MeanAndMaximum,
    SelfAttention,
)
from emodag.params import Cnn, Cnn2d, CnnRecurrent, MlpDeep, Multihead, Recurrent


def mlp_deep(settings: MlpDeep) -> list[Block]:
    """Dense layers on the features of clips."""
    return [Dense(units, settings.dropout) for units in settings.hidden]


def _convolutions(settings: Cnn | CnnRecurrent) -> list[Block]:
    return [Convolution(filters, settings.kernel, settings.dropout) for filters in settings.filters]


def cnn(settings: Cnn) -> list[Block]:
    """Convolutions over time."""
    return [*_convolutions(settings), MeanAndMaximum()]


def cnn2d(settings: Cnn2d, columns: tuple[int, int]) -> list[Block]:
    """Convolutions over time and frequency of two groups of so many ``columns``, MFCC and log-mel, as channels."""
    convolutions = [Convolution2d(filters, settings.kernel, settings.dropout) for filters in settings.filters]
    return [Average(settings.stride), Image(columns), *convolutions, Flatten(), MeanAndMaximum()]


def lstm(settings: Recurrent) -> list[Block]:
    """LSTM layers over averaged frames."""
    layers = [Lstm(units, settings.dropout) for units in settings.units]
    return [Average(settings.stride), *layers, MeanAndMaximum()]


def gru(settings: Recurrent) -> list[Block]:
    """GRU layers over averaged frames."""
    layers = [Gru(units, settings.dropout) for units in settings.units]
    return [Average(settings.stride), *layers, MeanAndMaximum()]


def cnn_lstm(settings: CnnRecurrent) -> list[Block]:
    """Convolutions, then an LSTM."""
    return [*_convolutions(settings), Lstm(settings.units, settings.dropout), MeanAndMaximum()]


def cnn_gru(settings: CnnRecurrent) -> list[Block]:
    """Convolutions, then a GRU."""
    return [*_convolutions(settings), Gru(settings.units, settings.dropout), MeanAndMaximum()]


def _recurrent(settings: CnnRecurrent) -> list[Block]:
    return [Lstm(settings.units, settings.dropout), Gru(settings.units, settings.dropout)]


def attention(settings: CnnRecurrent) -> list[Block]:
    """Convolutions, an LSTM and a GRU, and attention over time."""
    return [*_convolutions(settings), *_recurrent(settings), AttentionPooling(settings.units)]


def multihead(settings: Multihead) -> list[Block]:
    """Convolutions, multi-head attention, an LSTM and a GRU."""
    heads = SelfAttention(settings.heads, settings.dropout)
    return [*_convolutions(settings), heads, *_recurrent(settings), MeanAndMaximum()]


#: Name in ``params.yaml`` -> its blocks but the last, from its section there.
NETWORKS: Mapping[str, Callable[..., list[Block]]] = MappingProxyType(
    {
        "mlp_deep": mlp_deep,
        "cnn": cnn,
        "cnn2d": cnn2d,
        "lstm": lstm,
        "gru": gru,
        "cnn_lstm": cnn_lstm,
        "cnn_gru": cnn_gru,
        "attention": attention,
        "multihead": multihead,
    }
)
