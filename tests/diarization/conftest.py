"""A recording of two speakers that is always there, and a pretrained pipeline made on the spot."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from emodag import audio, params

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def settings() -> params.Diarize:
    return params.load(ROOT / "params.yaml").diarize


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """What pyannote.audio's wheel holds to try it out on: 30 s of two people, and who speaks when."""
    # Looking up the subpackage itself would import pyannote.audio.
    [place] = importlib.util.find_spec("pyannote").submodule_search_locations
    return Path(place) / "audio" / "sample"


@pytest.fixture(scope="session")
def conversation(sample_folder) -> np.ndarray:
    """Float32 ``[samples]``, 30 s at 16 kHz, two speakers from 6.7 s on."""
    samples, rate = soundfile.read(sample_folder / "sample.wav", dtype="float32")
    assert rate == audio.SAMPLE_RATE
    return samples


@pytest.fixture(scope="session")
def phrase(conversation) -> np.ndarray:
    """0.65 s of one person's speech, from its first sound to its natural end."""
    return conversation[round(7.65 * 16000) : round(8.3 * 16000)]


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory) -> Path:
    """A folder that pyannote.audio's ``Pipeline.from_pretrained`` reads: real architectures, untrained weights."""
    from emodag.diarization.runtime import import_pyannote_audio

    import_pyannote_audio()
    import lightning.pytorch
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import XVectorMFCC
    from pyannote.audio.models.segmentation import PyanNet

    folder = tmp_path_factory.mktemp("pipeline")

    def save(model, name: str) -> None:
        checkpoint = {
            "state_dict": model.state_dict(),
            "hyper_parameters": dict(model.hparams),
            "pytorch-lightning_version": lightning.pytorch.__version__,
            "epoch": 0,
            "global_step": 0,
        }
        model.on_save_checkpoint(checkpoint)
        (folder / name).mkdir()
        torch.save(checkpoint, folder / name / "pytorch_model.bin")

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_layers": 1}
    segmentation = PyanNet(lstm=small, linear=small)
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=3.0,
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    segmentation.build()
    # An untrained network is of one mind about every frame; this makes it tell frames apart, most for one speaker.
    with torch.no_grad():
        segmentation.classifier.weight *= 20
        segmentation.classifier.bias.copy_(torch.tensor([-1.0, 0.5, 0.5, 0.5, -0.5, -0.5, -0.5]))
    save(segmentation, "segmentation")

    embedding = XVectorMFCC(dimension=128, mfcc={"melkwargs": {"n_mels": 64}})
    embedding.specifications = Specifications(problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=3.0)
    embedding.build()
    save(embedding, "embedding")

    generator = np.random.default_rng(0)
    (folder / "plda").mkdir()
    np.savez(
        folder / "plda" / "xvec_transform.npz",
        mean1=np.zeros(128),
        mean2=np.zeros(64),
        lda=np.linalg.qr(generator.normal(size=(128, 64)))[0],
    )
    np.savez(folder / "plda" / "plda.npz", mu=np.zeros(64), tr=np.eye(64), psi=np.linspace(5, 0.1, 64))
    config = {
        "pipeline": {
            "name": "pyannote.audio.pipelines.SpeakerDiarization",
            "params": {
                "segmentation": "$model/segmentation",
                "embedding": "$model/embedding",
                "plda": "$model/plda",
                "clustering": "AgglomerativeClustering",
                "segmentation_step": 0.5,
                "segmentation_batch_size": 8,
                "embedding_batch_size": 8,
            },
        },
        "params": {
            "segmentation": {"min_duration_off": 0.0},
            "clustering": {"method": "centroid", "min_cluster_size": 1, "threshold": 0.7},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder
