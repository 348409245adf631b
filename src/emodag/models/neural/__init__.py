"""Neural networks over features and frames, in Keras 3 and free of any one backend (``KERAS_BACKEND``).

A network is a chain of :mod:`blocks <emodag.models.neural.blocks>`, listed by name in
:data:`networks.NETWORKS <emodag.models.neural.networks.NETWORKS>`; each block knows how it is built in Keras and how it
is written to ONNX. :class:`Neural` trains one.
"""

from emodag.models.neural.classifier import Neural
from emodag.models.neural.networks import NETWORKS

__all__ = ["NETWORKS", "Neural"]
