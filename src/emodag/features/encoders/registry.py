"""Which encoder the params ask for, and where it lies."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from emodag.errors import ParamsError
from emodag.features.encoders.base import GUIDE, Encoder, EncoderFacts
from emodag.params import Encoder as Settings


def describe(settings: Settings) -> EncoderFacts | None:
    """The encoder of the params, or nothing where there is none; a model of the hub is fetched now.

    Raises:
        ParamsError: the encoder is missing, cannot be fetched, or is none that can be used.
    """
    match settings.kind:
        case "none":
            return None
        case "onnx":
            from emodag.features.encoders import onnx_encoder

            return onnx_encoder.describe(_file(settings), settings)
        case "transformers":
            from emodag.features.encoders import transformers_encoder

            return transformers_encoder.describe(settings)


@lru_cache(maxsize=1)
def open_encoder(facts: EncoderFacts, settings: Settings) -> Encoder:
    """The encoder that :func:`describe` described, loaded once in a process."""
    if settings.kind == "onnx":
        from emodag.features.encoders import onnx_encoder

        return onnx_encoder.OnnxEncoder(facts.path, settings)
    from emodag.features.encoders import transformers_encoder

    return transformers_encoder.load(facts.path, settings)


def _file(settings: Settings) -> Path:
    """The ONNX file: in the folder of encoders, or a path of its own."""
    places = [Path(settings.folder) / settings.model, Path(settings.model)]
    for place in places:
        if place.is_file():
            return place
    raise ParamsError(
        f"featurize.encoder.model: neither {places[0]} nor {places[1]} is a file; accepted: the name of an ONNX file "
        f"in featurize.encoder.folder, or a path ({GUIDE})"
    )
