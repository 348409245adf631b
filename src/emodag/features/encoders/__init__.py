"""Frozen pretrained encoders: a clip's samples become embeddings, of frames and of the whole clip."""

from emodag.features.encoders.base import Embedding, Encoder, EncoderFacts
from emodag.features.encoders.registry import describe, open_encoder

__all__ = ["Embedding", "Encoder", "EncoderFacts", "describe", "open_encoder"]
