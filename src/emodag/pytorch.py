"""PyTorch's companion torchaudio beside a PyTorch without CUDA."""

from __future__ import annotations

import sys
from types import ModuleType


def import_torchaudio() -> None:
    """Import torchaudio, without its compiled extension where that cannot be loaded.

    The package registry's torchaudio links CUDA's libraries, which a PyTorch for CPUs lacks. Filter banks and
    resampling, all that pyannote.audio and transformers take from it, are written in Python; the extension adds forced
    alignment.
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
