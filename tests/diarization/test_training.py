"""The training makes networks that the diarizer can load, from conversations whose frames are labelled truly."""

from __future__ import annotations

import numpy as np
import pytest

from emodag import audio
from emodag.diarization.embedding import DIMENSION, STATISTICS
from emodag.diarization.segmentation import CHUNK, CLASSES, FRAME, FRAMES, power_spectrum
from emodag.inference import onnx_session

torch = pytest.importorskip("torch")

from emodag.diarization.training.fitting import fit_segmentation, fit_voices  # noqa: E402
from emodag.diarization.training.mixtures import Clip, Mixer  # noqa: E402
from emodag.diarization.training.networks import (  # noqa: E402
    LogMel,
    export_segmentation,
    export_voices,
    permutation_free_loss,
)


@pytest.fixture(scope="module")
def clips(conversation) -> dict[str, list[Clip]]:
    """Four speakers of two corpora, who say parts of the sample recording."""
    made = {}
    for number, name in enumerate(("a/1", "a/2", "b/1", "b/2")):
        starts = 16000 * (7 + 5 * number) + 4000 * np.arange(6)
        parts = [audio.to_pcm16(conversation[start : start + 12000]) for start in starts]
        made[name] = [Clip(part, np.array([[0, 5000], [8000, 12000]])) for part in parts]
    return made


def test_a_chunk_is_what_its_seed_makes_it(clips):
    (first, classes), (again, same), (other, _) = (Mixer(clips, seed).chunk() for seed in (1, 1, 2))
    assert first.shape == (CHUNK,)
    assert classes.shape == (FRAMES,)
    assert np.array_equal(first, again)
    assert np.array_equal(classes, same)
    assert not np.array_equal(first, other)


def test_frames_are_labelled_where_the_sound_is(clips):
    mixer = Mixer(clips, 0)
    louder = 0
    for _ in range(20):
        samples, classes = mixer.chunk()
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 2  # 5 dB above full scale at most
        assert set(classes.tolist()) <= set(range(len(CLASSES)))
        energy = np.square(samples).reshape(-1, FRAME).mean(axis=1)
        if 0 < np.count_nonzero(classes) < FRAMES:
            louder += np.median(energy[classes > 0]) > np.median(energy[classes == 0])
    assert louder > 10


def test_the_order_of_speakers_does_not_matter():
    classes = torch.tensor([[0, 1, 2, 3, 4, 5, 6]])
    swapped = torch.tensor([[0, 2, 1, 3, 4, 6, 5]])  # the first speaker is the second, and the second the first
    sure = torch.log_softmax(20 * torch.nn.functional.one_hot(swapped, 7).float(), -1)
    loss, ordered = permutation_free_loss(sure, classes)
    assert loss < 1e-6
    assert ordered.tolist() == swapped.tolist()
    wrong = torch.log_softmax(20 * torch.nn.functional.one_hot(torch.zeros_like(classes), 7).float(), -1)
    assert permutation_free_loss(wrong, classes)[0] > 10


def test_what_is_exported_says_what_was_trained(clips, tmp_path):
    network = fit_segmentation({name: its[:2] for name, its in clips.items()}, steps=1, seed=0)
    export_segmentation(network, tmp_path / "segmentation.onnx")
    power = np.stack([power_spectrum(Mixer(clips, seed).chunk()[0]) for seed in range(3)])
    [said] = onnx_session(tmp_path / "segmentation.onnx").run(None, {"power": power})
    with torch.inference_mode():
        expected = network(LogMel()(torch.from_numpy(power))).numpy()
    np.testing.assert_allclose(said, expected, atol=1e-3)
    assert said.shape == (3, FRAMES, len(CLASSES))


def test_the_voice_network_takes_any_number_of_stretches(clips, tmp_path):
    network = fit_voices(clips, steps=2, seed=0)
    export_voices(network, tmp_path / "voices.onnx")
    statistics = np.random.default_rng(0).normal(size=(1, 33, STATISTICS)).astype(np.float32)
    [said] = onnx_session(tmp_path / "voices.onnx").run(None, {"statistics": statistics})
    with torch.inference_mode():
        expected = network(torch.from_numpy(statistics)).numpy()
    np.testing.assert_allclose(said, expected, atol=1e-4)
    assert said.shape == (1, 33, DIMENSION)
