"""Encoders of the transformers package: wav2vec 2.0, HuBERT, WavLM and their kin, and the encoder of Whisper.

Models are read from a folder, or fetched by name from the Hugging Face hub into its cache. Only safetensors are read:
weights in pickles could run code; and a model that brings code of its own is refused. Nothing is trained: the model is
in evaluation mode, without gradients, on one thread.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.errors import ParamsError
from emodag.features.encoders.base import GUIDE, Encoder, EncoderFacts, cut, sha256
from emodag.files import read_json
from emodag.params import Encoder as Settings
from emodag.pytorch import import_torchaudio

if TYPE_CHECKING:
    import torch

#: What is fetched of a model of the hub, read, and digested.
FILES = ("*.safetensors", "config.json", "preprocessor_config.json", "model.safetensors.index.json")

#: Attention grows with the square of a piece's length (s).
_LONGEST = 30

# Neither the network nor code that comes with a model, which transformers would otherwise ask about on the terminal.
_LOCAL = {"local_files_only": True, "trust_remote_code": False}

_INSTALL = "pip install -r requirements-options.txt"


class TransformersEncoder(Encoder):
    """A pretrained speech model, its own feature extractor before it."""

    rate = SAMPLE_RATE

    def __init__(self, extractor, model, settings: Settings):
        super().__init__(settings)
        self.extractor = extractor
        self.model = model.eval().requires_grad_(False)
        self._layer = settings.layer

    def encode(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        """See :meth:`emodag.features.encoders.base.Encoder.encode`."""
        import torch

        with _one_thread(), torch.inference_mode(), warnings.catch_warnings():
            # WavLM mixes two kinds of masks, which PyTorch deprecates.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            states, counts = self._states(pieces)
            chosen = torch.stack(states).mean(dim=0) if self._layer == "average" else states[self._layer]
        return [frames[:count] for frames, count in zip(chosen.numpy(), counts, strict=True)]

    @abstractmethod
    def _states(self, pieces: list[np.ndarray]) -> tuple[tuple[torch.Tensor, ...], list[int]]:
        """Hidden states, [batch, frames, dims] each, and how many frames belong to each piece."""


class WaveformEncoder(TransformersEncoder):
    """wav2vec 2.0 and its kin, which read samples.

    Pieces are padded where the model masks what is padded, in its convolutions too; a model with a group norm over time
    (``feat_extract_norm: group``) would hear the padding, so its batches have one length.
    """

    def __init__(self, extractor, model, settings: Settings):
        super().__init__(extractor, model, settings)
        self.pads = model.config.feat_extract_norm == "layer"

    def pieces(self, samples: np.ndarray) -> list[np.ndarray]:
        """See :meth:`emodag.features.encoders.base.Encoder.pieces`: samples."""
        return cut(samples, _LONGEST * SAMPLE_RATE, _receptive_field(self.model.config))

    def _states(self, pieces: list[np.ndarray]) -> tuple[tuple[torch.Tensor, ...], list[int]]:
        import torch

        lengths = torch.tensor([len(piece) for piece in pieces])
        batch = torch.zeros(len(pieces), int(lengths.max()))
        for row, piece in zip(batch, pieces, strict=True):
            # One by one: the extractor's own normalisation must see the piece without its padding.
            row[: len(piece)] = self.extractor(piece, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values[0]
        mask = (torch.arange(batch.shape[1]) < lengths[:, None]).long() if self.pads else None
        states = self.model(batch, attention_mask=mask, output_hidden_states=True).hidden_states
        return states, self.model._get_feat_extract_output_lengths(lengths).tolist()


class WhisperEncoder(TransformersEncoder):
    """The encoder of Whisper, which always reads 30 s: silence fills the rest, and its frames are left out."""

    pads = True

    def __init__(self, extractor, model, settings: Settings):
        super().__init__(extractor, model.get_encoder(), settings)
        self.reads = extractor.n_samples

    def pieces(self, samples: np.ndarray) -> list[np.ndarray]:
        """See :meth:`emodag.features.encoders.base.Encoder.pieces`: samples."""
        return cut(samples, self.reads, self._samples_of_frame)

    @property
    def _samples_of_frame(self) -> int:
        return self.reads // self.model.config.max_source_positions

    def _states(self, pieces: list[np.ndarray]) -> tuple[tuple[torch.Tensor, ...], list[int]]:
        features = self.extractor(pieces, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        states = self.model(features, output_hidden_states=True).hidden_states
        return states, [len(piece) // self._samples_of_frame for piece in pieces]


def load(folder: Path, settings: Settings) -> TransformersEncoder:
    """The encoder in a folder that :func:`describe` gave.

    Raises:
        ParamsError: the weights cannot be read, or are not those of the model.
    """
    transformers = _transformers()
    import torch

    try:
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, **_LOCAL)
        model, report = transformers.AutoModel.from_pretrained(
            folder, **_LOCAL, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ParamsError(f"featurize.encoder.model: {folder} cannot be loaded: {reason}") from None
    whisper = _is_whisper(model.config)
    # Whisper's decoder is not used, nor is the vector that masks parts of the input in pretraining.
    missing = sorted(
        key
        for key in report["missing_keys"]
        if not key.endswith("masked_spec_embed") and (not whisper or key.startswith("encoder."))
    )
    if missing:
        raise ParamsError(
            f"featurize.encoder.model: {folder} lacks {len(missing)} weights of its {model.config.model_type} encoder, "
            f"which would be random: {', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
        )
    return (WhisperEncoder if whisper else WaveformEncoder)(extractor, model, settings)


def describe(settings: Settings) -> EncoderFacts:
    """What features say of a model, which is fetched if the settings name one of the hub that is not at hand.

    Raises:
        ParamsError: a package or the model is missing, it is of another kind, or has no such layer.
    """
    transformers = _transformers()
    folder = _folder(settings)
    _refuse_code(folder)
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **_LOCAL)
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, **_LOCAL)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ParamsError(f"featurize.encoder.model: {folder} is no model of transformers: {reason}") from None
    if not (_is_whisper(config) or hasattr(config, "feat_extract_norm")):
        raise ParamsError(
            f"featurize.encoder.model: {folder} is of type {config.model_type!r}; accepted: models that read the "
            f"waveform as wav2vec 2.0 does (wav2vec2, hubert, wavlm, ...), and whisper ({GUIDE})"
        )
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ParamsError(
            f"featurize.encoder.model: {folder} reads {extractor.sampling_rate} Hz; accepted: {SAMPLE_RATE} Hz"
        )
    _check_layer(settings, config.encoder_layers if _is_whisper(config) else config.num_hidden_layers)
    return EncoderFacts(folder, config.hidden_size, _digest(folder))


def _refuse_code(folder: Path) -> None:
    """Make sure that a model does not ask for classes of its own, even where transformers has others of that name."""
    for name in ("config.json", "preprocessor_config.json"):
        try:
            content = read_json(folder / name)
        except ValueError as error:
            raise ParamsError(f"featurize.encoder.model: {folder / name} is not JSON: {error}") from None
        if "auto_map" in content:
            raise ParamsError(
                f"featurize.encoder.model: {folder / name} asks for code that comes with the model (auto_map), and "
                f"none is run; accepted: models that transformers itself has, or an export to ONNX ({GUIDE})"
            )


def _check_layer(settings: Settings, layers: int) -> None:
    if settings.layer != "average" and not -layers - 1 <= settings.layer <= layers:
        raise ParamsError(
            f"featurize.encoder.layer: {settings.layer} is no layer of {settings.model}; accepted: `average`, 0 (the "
            f"input of the first layer) to {layers}, or counted from the end, -1 to {-layers - 1}"
        )


def _is_whisper(config) -> bool:
    return config.model_type == "whisper"


def _receptive_field(config) -> int:
    """Samples that give the convolutions one frame."""
    samples = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def _transformers():
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import transformers
    except ImportError:
        raise ParamsError(
            f"featurize.encoder.kind is transformers, and that package is not installed; run `{_INSTALL}`"
        ) from None
    import_torchaudio()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _folder(settings: Settings) -> Path:
    """The model's folder: in the folder of encoders, a path of its own, or the hub's cache."""
    places = [Path(settings.folder) / settings.model, Path(settings.model)]
    for place in places:
        if place.is_dir():
            break
    else:
        place = _fetched(settings)
    for wanted in ("config.json", "preprocessor_config.json", "*.safetensors"):
        if not list(place.glob(wanted)):
            raise ParamsError(
                f"featurize.encoder.model: {place} holds no {wanted}; accepted: a folder that transformers saved, with "
                f"its feature extractor, and weights as safetensors (pickles are not read; {GUIDE})"
            )
    return place


def _fetched(settings: Settings) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(settings.model, allow_patterns=list(FILES)))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ParamsError(
            f"featurize.encoder.model: {settings.model!r} is no folder in {settings.folder}, no path, and cannot be "
            f"had from the hub: {reason}"
        ) from None


def _digest(folder: Path) -> str:
    """The digest of a folder's files that are read: of lines as ``sha256sum`` prints them, sorted by name."""
    files = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    lines = "".join(f"{sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """How many threads add up changes the last bits of a sum."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
