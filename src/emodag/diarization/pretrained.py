"""Diarization by a pretrained pyannote pipeline, from the Hugging Face hub or from a folder.

pyannote.audio reads its checkpoints as pickles, which can run any code. Here they are loaded with ``weights_only``:
tensors, plain values and the few types that pyannote.audio itself writes; anything else in a checkpoint is refused.
A ``config.yaml`` names Python classes, so only pyannote.audio's own are accepted.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from pyannote.core import Annotation, Segment

from emodag.audio import SAMPLE_RATE
from emodag.diarization.base import as_float, check_samples
from emodag.diarization.runtime import import_pyannote_audio
from emodag.errors import DiarizationError

CONFIG = "config.yaml"
_OWN_CLASSES = "pyannote.audio."


class PretrainedDiarizer:
    """A pretrained pipeline, on a GPU if there is one."""

    def __init__(self, pipeline: str, speakers: int | None = None):
        """Load a pipeline.

        Args:
            pipeline: a folder that holds ``config.yaml``, that file itself, or a name on the hub
                (``pyannote/speaker-diarization-community-1``). The environment variable ``HF_TOKEN`` may hold a token.
            speakers: how many a recording has where ``diarize`` is not told; None to find out.

        Raises:
            DiarizationError: there is no such pipeline, it cannot be fetched, or it cannot be loaded safely.
        """
        import_pyannote_audio()
        import torch

        self.speakers = speakers
        self._pipeline = _load(pipeline)
        if torch.cuda.is_available():
            self._pipeline.to(torch.device("cuda"))

    def diarize(self, samples: np.ndarray, *, speakers: int | None = None, uri: str | None = None) -> Annotation:
        """See :class:`emodag.diarization.base.Diarizer`."""
        import torch

        check_samples(samples, pcm=True)
        if len(samples) == 0:
            return Annotation(uri=uri)
        waveform = torch.tensor(as_float(samples))[None]
        output = self._pipeline(
            {"waveform": waveform, "sample_rate": SAMPLE_RATE, "uri": uri or "recording"},
            num_speakers=speakers or self.speakers,
        )
        annotation = getattr(output, "speaker_diarization", output)
        # Frames of the last chunk may reach past the end.
        annotation = annotation.crop(Segment(0, len(samples) / SAMPLE_RATE))
        annotation.uri = uri
        return annotation


def _load(name: str):
    from pyannote.audio import Pipeline
    from pyannote.audio.pipelines import SpeakerDiarization

    place = Path(name)
    local = place.exists()
    config = _local_config(place) if local else _hub_config(name)
    _check_config(config)
    try:
        with _safe_unpickling():
            pipeline = Pipeline.from_pretrained(place if local else name, token=os.environ.get("HF_TOKEN"))
    except pickle.UnpicklingError as error:
        raise DiarizationError(f"{name}: a checkpoint holds more than weights and is not loaded: {error}") from None
    except Exception as error:
        # Whatever a pipeline's classes raise on a config or a checkpoint that does not fit them.
        raise DiarizationError(f"{name}: pyannote.audio cannot load this pipeline: {error}") from error
    if not isinstance(pipeline, SpeakerDiarization):
        raise DiarizationError(f"{name}: a {type(pipeline).__name__} pipeline does not tell speakers apart")
    return pipeline


def _local_config(place: Path) -> Path:
    config = place / CONFIG if place.is_dir() else place
    if not config.is_file():
        found = ", ".join(sorted(path.name for path in place.iterdir())[:5]) or "nothing"
        raise DiarizationError(f"{place}: a pipeline's folder holds {CONFIG}; found {found}")
    return config


def _hub_config(name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, CONFIG, token=os.environ.get("HF_TOKEN")))
    except HFValidationError:
        raise DiarizationError(
            f"{name}: neither a folder nor a name on the hub (like pyannote/speaker-diarization-community-1)"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise DiarizationError(
            f"{name}: cannot be fetched ({type(error).__name__}: {reason}). If it is gated, accept its conditions at "
            f"https://hf.co/{name} and set HF_TOKEN to a token of that account; "
            f"or let diarize.pipeline be a local folder that holds {CONFIG}"
        ) from None


def _check_config(path: Path) -> None:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        pipeline = config["pipeline"]["name"]
        preprocessors = (config.get("preprocessors") or {}).values()
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise DiarizationError(f"{path}: not a pipeline's {CONFIG}: expected YAML with pipeline.name") from None
    for name in [pipeline, *(each.get("name") for each in preprocessors if isinstance(each, dict))]:
        if not str(name).startswith(_OWN_CLASSES):
            raise DiarizationError(f"{path}: names {name!r}; only pyannote.audio's own classes are loaded")


_LOADING = threading.Lock()


@contextmanager
def _safe_unpickling() -> Iterator[None]:
    """Let ``torch.load`` make nothing but tensors, plain values and pyannote.audio's own records.

    pyannote.audio asks for ``weights_only=False`` in so many words; PyTorch's environment variable overrules it.
    """
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications

    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    with (
        _LOADING,
        torch.serialization.safe_globals([Problem, Resolution, Specifications, torch.torch_version.TorchVersion]),
    ):
        before = os.environ.get(variable)
        os.environ[variable] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[variable]
            else:
                os.environ[variable] = before
