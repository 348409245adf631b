"""How pyannote.audio is imported here: quietly, without telemetry, and beside a PyTorch without CUDA."""

from __future__ import annotations

import os
import warnings
from types import ModuleType

from emodag.pytorch import import_torchaudio


def import_pyannote_audio() -> ModuleType:
    """Import pyannote.audio (seconds; PyTorch with it) and return it.

    Its telemetry is switched off unless ``PYANNOTE_METRICS_ENABLED`` is set. PyTorch is kept to one thread: with more,
    processes that share cores slow each other down many times over.
    """
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "false")
    import torch

    torch.set_num_threads(1)
    import_torchaudio()
    with warnings.catch_warnings():
        # Recordings are handed over as samples in memory, so the decoder that it fails to find is never needed.
        warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly")
        import pyannote.audio
    return pyannote.audio
