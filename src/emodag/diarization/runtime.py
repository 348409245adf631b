"""How pyannote.audio is imported here: quietly, without telemetry, and beside a PyTorch without CUDA."""

from __future__ import annotations

import os
import sys
import warnings
from types import ModuleType


def import_pyannote_audio() -> ModuleType:
    """Import pyannote.audio (seconds; PyTorch with it) and return it.

    Its telemetry is switched off unless ``PYANNOTE_METRICS_ENABLED`` is set. PyTorch is kept to one thread: with more,
    processes that share cores slow each other down many times over.
    """
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "false")
    import torch

    torch.set_num_threads(1)
    _import_torchaudio()
    with warnings.catch_warnings():
        # Recordings are handed over as samples in memory, so the decoder that it fails to find is never needed.
        warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly")
        import pyannote.audio
    return pyannote.audio


def _import_torchaudio() -> None:
    """Import torchaudio, without its compiled extension where that cannot be loaded.

    The package registry's torchaudio links CUDA's libraries, which a PyTorch for CPUs lacks. Filter banks and
    resampling, all that pyannote.audio takes from it, are written in Python; the extension adds forced alignment.
    """
    try:
        import torchaudio
    except OSError:
        extension = ModuleType("torchaudio._extension")
        extension.__path__ = []
        extension._IS_TORCHAUDIO_EXT_AVAILABLE = extension._IS_ALIGN_AVAILABLE = False
        extension._check_cuda_version = lambda: None
        extension.fail_if_no_align = _without_alignment
        sys.modules["torchaudio._extension"] = extension
        import torchaudio  # noqa: F401


def _without_alignment(function):
    def unavailable(*_args, **_kwargs):
        raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension, which cannot be loaded here")

    return unavailable
