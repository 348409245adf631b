from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from emodag import models
from emodag import params as parameters
from emodag.errors import DataError, ParamsError
from emodag.evaluation.calibration import tempered
from emodag.features import names as feature_names
from emodag.models import REGISTRY, Clips, create
from emodag.models.base import TEMPERATURES, balanced_log_loss
from emodag.models.neural import NETWORKS
from emodag.models.neural.classifier import learning_rate
from emodag.models.neural.runtime import sees_gpu
from emodag.params import Params
from emodag.speech import Speech, sequences_of

ROOT = Path(__file__).resolve().parents[2]

#: These tests pass on others, too: KERAS_BACKEND=torch .venv/bin/pytest tests/models
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")

OF_FRAMES = sorted(set(NETWORKS) - {"mlp_deep"})

#: Networks small enough to train in seconds, and not as regular as those in params.yaml: two groups of columns, kernels
#: of even length, a stride that divides nothing.
SMALL = {
    "mlp_deep": {"hidden": [24, 12], "dropout": 0.1},
    "cnn": {"groups": ["mfcc", "rms"], "filters": [12, 16], "kernel": 4, "dropout": 0.1},
    "cnn2d": {"stride": 2, "filters": [6, 8], "kernel": 4, "dropout": 0.1},
    "lstm": {"groups": ["rms", "log_mel"], "stride": 3, "units": [10, 8], "dropout": 0.1},
    "gru": {"groups": ["rms", "log_mel"], "stride": 3, "units": [10], "dropout": 0.1},
    "cnn_lstm": {"groups": ["log_mel"], "filters": [12], "kernel": 3, "units": 8, "dropout": 0.1},
    "cnn_gru": {"groups": ["log_mel"], "filters": [12], "kernel": 3, "units": 8, "dropout": 0.1},
    "attention": {"groups": ["log_mel"], "filters": [12, 12], "kernel": 3, "units": 8, "dropout": 0.1},
    "multihead": {"groups": ["log_mel"], "filters": [14, 14], "kernel": 3, "units": 8, "heads": 4, "dropout": 0.1},
}

#: Learning that is quick and as regular as can be.
QUICK = {
    "max_epochs": 12,
    "patience": 12,
    "batch_size": 16,
    "learning_rate": 0.02,
    "warmup": 1,
    "mixup": 0.0,
    "label_smoothing": 0.0,
    "spec_augment": {"time_masks": 0, "time_share": 0.1, "column_masks": 0, "column_share": 0.1},
}


def settings(model: str, device: str = "cpu", frames: dict | None = None, **training) -> Params:
    content = parameters.load(ROOT / "params.yaml").model_dump()
    content["model"] = model
    content["models"][model] = SMALL[model] | (frames or {})
    content["train"]["neural"] |= QUICK | training
    content["compute"]["device"] = device
    content["featurize"] |= {"n_mels": 8, "n_mfcc": 5}
    content["featurize"]["encoder"]["kind"] = "onnx"
    return Params.model_validate(content)


def moving(clips: int, seed: int, shortest: int = 10, longest: int = 40) -> Clips:
    """Three classes: noise whose mean rises, falls or stays while a clip lasts, by frames of several lengths.

    Features tell the classes apart, too. Everything is far from standardised.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % 3
    columns = feature_names(settings("cnn").featurize).columns
    scale, offset = np.random.default_rng(7).uniform(0.5, 20, (2, len(columns)))
    frames, embeddings = [], []
    for label, length in zip(labels, rng.integers(shortest, longest + 1, clips), strict=True):
        slope = (-1, 0, 1)[label] * np.linspace(-2, 2, length)[:, None]
        frames.append((slope + rng.normal(size=(length, len(columns)))) * scale + offset)
        embeddings.append(slope[::4] + rng.normal(size=(len(slope[::4]), 6)))
    features = rng.normal(size=(clips, 7)) + 2.5 * np.eye(3, 7)[labels]
    speech = Speech(
        features=(features * 5 + 100).astype(np.float32),
        frames=sequences_of(frames, columns),
        embedding_frames=sequences_of(embeddings, [f"dim_{number}" for number in range(6)]),
    )
    return Clips(speech, labels)


def fit(params: Params, seed: int = 0, clips: int = 96, validation: Clips | None = None, **more):
    return create(params, classes=3, seed=seed).fit(moving(clips, 0), validation, **more)


@pytest.fixture(scope="module")
def fitted():
    """Each network trained once: made when it is first asked for."""
    made = {}

    def get(name: str):
        if name not in made:
            made[name] = fit(settings(name))
        return made[name]

    return get


@pytest.fixture(params=sorted(NETWORKS))
def name(request):
    return request.param


def one_by_one(speech: Speech):
    return [speech.of(slice(row, row + 1)) for row in range(len(speech))]


def run_onnx(path: Path, speech: Speech) -> np.ndarray:
    """Probabilities of the clips, each run alone."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
    [given] = session.get_inputs()
    values = getattr(speech, given.name)
    return np.concatenate([session.run(None, {given.name: values[row][None]})[0] for row in range(len(speech))])


def test_every_network_can_be_chosen():
    assert set(NETWORKS) <= set(REGISTRY)


def test_a_network_learns_what_moves(fitted, name):
    test = moving(90, 1)
    probabilities = fitted(name).predict_proba(test.speech)
    assert probabilities.shape == (90, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == test.labels) > 0.8


def test_padding_changes_nothing(fitted, name):
    """Clips alone and clips beside longer ones, down to one frame and through each remainder of the strides."""
    model = fitted(name)
    speech = moving(32, 2, shortest=1, longest=45).speech
    together = model.predict_proba(speech)
    alone = np.concatenate([model.predict_proba(clip) for clip in one_by_one(speech)[:12]])
    assert np.ptp(together[:12], axis=0).max() > 0.1
    np.testing.assert_allclose(together[:12], alone, atol=1e-5)


def test_what_lies_in_the_padding_is_not_seen(fitted):
    """Were only zeros ignored, standardised frames would be mistaken for them, or other values let through."""
    for name in OF_FRAMES:
        model = fitted(name)
        batch = model._inputs.batch(moving(6, 3, shortest=5, longest=30).speech, np.arange(6))
        spoilt = np.where(batch.mask[:, :, None], batch.values, 1e3).astype(np.float32)
        expected, found = (model._network.predict_on_batch([values, batch.mask]) for values in (batch.values, spoilt))
        if name in ("lstm", "gru"):  # averages are taken before anything is masked, of whole windows alone
            assert (batch.mask.sum(axis=1) % 3 != 0).any()
        np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=name)


def test_training_does_not_see_padding_either(fitted):
    """Batch normalisation takes its statistics of real frames alone."""
    network = fitted("cnn")._network
    batch = fitted("cnn")._inputs.batch(moving(6, 3, shortest=5, longest=9).speech, np.arange(6))
    longer = np.pad(batch.values, ((0, 0), (0, 50), (0, 0))), np.pad(batch.mask, ((0, 0), (0, 50)))
    kept = network.get_weights()
    moved = []
    for given in (batch.values, batch.mask), longer:
        network.set_weights(kept)
        network(list(given), training=True)
        moved.append(network.get_weights())
    network.set_weights(kept)
    assert any(not np.array_equal(*pair) for pair in zip(kept, moved[0], strict=True))
    # The first layer's, before dropout can differ.
    statistics = [index for index, pair in enumerate(zip(kept, moved[0], strict=True)) if not np.array_equal(*pair)]
    for index in statistics[:2]:
        np.testing.assert_allclose(moved[0][index], moved[1][index], rtol=1e-5, atol=1e-6)


def test_onnx_gives_the_same_probabilities(fitted, name, tmp_path):
    model = fitted(name)
    model.export_onnx(tmp_path / "model.onnx")
    speech = moving(40, 4, shortest=1, longest=50).speech
    found = run_onnx(tmp_path / "model.onnx", speech)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict_proba(speech), atol=1e-5)


def test_onnx_takes_batches_and_has_no_mask(fitted, name, tmp_path):
    fitted(name).export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    speech = moving(5, 5, shortest=21, longest=21).speech
    if name == "mlp_deep":
        assert (given.name, given.shape) == ("features", ["clips", 7])
        values = speech.features
    else:
        assert (given.name, given.shape) == ("frames", ["clips", "frames", len(speech.frames.columns)])
        values = np.stack([speech.frames[row] for row in range(5)])
    found = session.run(None, {given.name: values})[0]
    np.testing.assert_allclose(found, fitted(name).predict_proba(speech), atol=1e-5)


def test_onnx_needs_only_standard_operators_and_gives_equal_bytes(fitted, name, tmp_path):
    for file in ("first.onnx", "again.onnx"):
        fitted(name).export_onnx(tmp_path / file)
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    model = onnx.load(tmp_path / "first.onnx")
    assert [(used.domain, used.version) for used in model.opset_import] == [("", 18)]
    assert "Loop" not in {node.op_type for node in model.graph.node}


def test_a_network_sees_the_columns_of_its_groups_alone(fitted):
    speech = moving(6, 6).speech
    columns = speech.frames.columns
    before = fitted("cnn").predict_proba(speech)
    for group, seen in (("log_mel", False), ("mfcc", True)):
        values = speech.frames.values.copy()
        values[:, [number for number, column in enumerate(columns) if column.startswith(group)]] += 30
        changed = Speech(frames=sequences_of(np.split(values, speech.frames.starts[1:]), columns))
        assert np.allclose(fitted("cnn").predict_proba(changed), before) != seen


def test_the_frames_of_an_encoder_are_learnt_from(tmp_path):
    model = fit(settings("cnn", frames={"groups": ["embedding"]}))
    test = moving(60, 1)
    found = model.predict_proba(test.speech)
    assert np.mean(found.argmax(axis=1) == test.labels) > 0.8
    model.export_onnx(tmp_path / "model.onnx")
    np.testing.assert_allclose(run_onnx(tmp_path / "model.onnx", test.speech), found, atol=1e-5)


def test_training_that_diverges_says_so():
    params = settings("mlp_deep", learning_rate=1e30, clip_norm=1e30, warmup=0)
    with pytest.raises(
        DataError, match=r"mlp_deep: training diverged in epoch \d+, .* lower train\.neural\.learning_rate"
    ):
        fit(params)


def test_training_stops_at_the_best_validation_loss_and_a_refit_repeats_it():
    validation = moving(60, 8)
    params = settings("mlp_deep", max_epochs=60, patience=5, mixup=0.3)
    stopped = fit(params, validation=validation, clips=30)
    losses = [row["validation_loss"] for row in stopped.history]
    assert stopped.chosen == {"epochs": 1 + int(np.argmin(losses))}
    assert len(losses) == stopped.chosen["epochs"] + 5 < 60
    found = stopped.predict_proba(validation.speech)
    np.testing.assert_allclose(stopped.held_out, found, atol=1e-6)  # whose clips they are was not told
    at_best = (balanced_log_loss(tempered(found, temperature), validation.labels) for temperature in TEMPERATURES)
    assert min(at_best) == pytest.approx(min(losses), abs=1e-6)
    assert set(stopped.history[0]) == {"loss", "learning_rate", "validation_loss", "validation_uar"}
    refitted = fit(params, clips=30, chosen=stopped.chosen)
    assert refitted.chosen == stopped.chosen
    assert len(refitted.history) == stopped.chosen["epochs"]
    for row, earlier in zip(refitted.history, stopped.history, strict=False):
        assert row == {name: earlier[name] for name in ("loss", "learning_rate")}
    np.testing.assert_array_equal(refitted.predict_proba(validation.speech), stopped.predict_proba(validation.speech))


def test_the_seed_repeats_the_weights_bit_by_bit():
    """With dropout, mixup and masks, which all draw."""
    masks = {"time_masks": 1, "time_share": 0.2, "column_masks": 1, "column_share": 0.3}
    params = settings("cnn", max_epochs=2, mixup=0.4, spec_augment=masks)
    first, again, other = (fit(params, seed, clips=48)._network.get_weights() for seed in (0, 0, 1))
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first[0], other[0])


def test_a_rare_class_weighs_as_much_as_a_frequent_one():
    clips = moving(240, 0)
    kept = (clips.labels < 2) | (np.arange(240) % 30 == 2)
    params = settings("mlp_deep")
    test = moving(150, 1)
    recalls = {}
    for weighting in ("balanced", "none"):
        train = params.train.model_copy(update={"class_weights": weighting})
        model = create(params.model_copy(update={"train": train}), classes=3, seed=0)
        model.fit(Clips(clips.speech.of(np.flatnonzero(kept)), clips.labels[kept]))
        predicted = model.predict_proba(test.speech).argmax(axis=1)
        recalls[weighting] = np.mean(predicted[test.labels == 2] == 2)
    assert recalls["balanced"] > recalls["none"] + 0.2


def test_constant_and_huge_columns_do_no_harm():
    def odd(clips: Clips) -> Clips:
        rng = np.random.default_rng(len(clips.labels))
        count = len(clips.labels)
        columns = [np.zeros(count), np.full(count, 1e6), rng.normal(size=count) * 1e20]
        features = np.column_stack([clips.speech.features, *columns]).astype(np.float32)
        return Clips(Speech(features=features), clips.labels)

    model = create(settings("mlp_deep"), classes=3, seed=0).fit(odd(moving(96, 0)), odd(moving(48, 1)))
    test = odd(moving(90, 2))
    probabilities = model.predict_proba(test.speech)
    assert np.isfinite(probabilities).all()
    assert np.mean(probabilities.argmax(axis=1) == test.labels) > 0.7


def test_a_class_without_training_clips_is_an_error():
    with pytest.raises(DataError, match="classes 3 of 4 have no training clip"):
        create(settings("cnn"), classes=4, seed=0).fit(moving(12, 0))


def test_a_gpu_that_is_not_there_is_an_error():
    if sees_gpu():
        pytest.skip("there is one")
    with pytest.raises(ParamsError, match=r"compute\.device: 'gpu', and Keras sees none"):
        fit(settings("cnn", device="gpu"))


def test_a_gpu_would_not_round_factors_as_tf32_does():
    sees_gpu()
    if BACKEND == "tensorflow":
        import tensorflow as tf

        assert not tf.config.experimental.tensor_float_32_execution_enabled()
    elif BACKEND == "torch":
        import torch

        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    else:
        import jax

        assert jax.config.jax_default_matmul_precision == "highest"


@pytest.mark.parametrize(
    ("model", "device", "names", "sees", "expected"),
    [
        ("cnn", "auto", ["nvidia0"], True, True),
        ("cnn", "auto", ["nvidia3"], True, True),
        ("cnn", "auto", ["nvidia0"], False, False),  # a build for CPUs, as the pinned one
        ("cnn", "auto", ["nvidiactl"], True, False),
        ("cnn", "cpu", ["nvidia0"], True, False),
        ("cnn", "gpu", [], False, True),  # training then says what is wrong
        ("svm", "auto", ["nvidia0"], True, False),
    ],
)
def test_folds_share_a_gpu_only_where_the_backend_sees_it(tmp_path, monkeypatch, model, device, names, sees, expected):
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr("emodag.models._DEVICES", tmp_path)
    monkeypatch.setattr("emodag.models.sees_gpu", lambda: sees)
    params = parameters.load(ROOT / "params.yaml")
    compute = params.compute.model_copy(update={"device": device})
    params = params.model_copy(update={"model": model, "compute": compute})
    assert models.on_gpu(params) == expected


def test_a_backend_that_is_not_known_is_an_error(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(ParamsError, match="'theano' is not accepted; accepted: tensorflow, torch"):
        fit(settings("cnn"))


def test_the_learning_rate_rises_and_falls():
    training = settings("cnn", max_epochs=12, warmup=2, schedule="cosine", learning_rate=0.1).train.neural
    assert 0 < learning_rate(training, 0.0) < 0.001
    assert learning_rate(training, 1.0) == pytest.approx(0.05)
    assert learning_rate(training, 2.0) == pytest.approx(0.1)
    assert learning_rate(training, 7.0) == pytest.approx(0.05)
    assert learning_rate(training, 12.0) == pytest.approx(0.0)
    constant = training.model_copy(update={"schedule": "constant"})
    assert learning_rate(constant, 11.9) == 0.1


def other_process(tmp_path: Path, backend: str, *names: str) -> dict[str, str]:
    """What the networks give that are trained in a fresh process: the digest of each exported file, by name.

    It must say nothing: what libraries chatter about would drown what the stage says.
    """
    script = f"""
        import hashlib, sys
        import numpy as np
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from {Path(__file__).stem} import fit, moving, run_onnx, settings
        from emodag.models.neural import classifier
        classifier._SECONDS_BETWEEN_LOG_LINES = float("inf")  # a slow machine says how far it is
        for name in {names!r}:
            model = fit(settings(name))
            path = Path({str(tmp_path)!r}) / f"{{name}}.onnx"
            model.export_onnx(path)
            test = moving(60, 1, shortest=1, longest=40)
            found = model.predict_proba(test.speech)
            np.testing.assert_allclose(run_onnx(path, test.speech), found, atol=1e-5)
            long = moving(60, 1)
            assert np.mean(model.predict_proba(long.speech).argmax(axis=1) == long.labels) > 0.8
            alone = model.predict_proba(test.speech.of(slice(0, 1)))
            np.testing.assert_allclose(alone, found[:1], atol=1e-5)
            print(name, hashlib.md5(path.read_bytes()).hexdigest())
        import keras
        assert keras.backend.backend() == {backend!r}
        """
    places = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONHASHSEED": "5", "PYTHONPATH": places}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return dict(line.split() for line in done.stdout.splitlines())


def test_another_process_trains_the_same_network_in_silence(fitted, tmp_path):
    fitted("gru").export_onnx(tmp_path / "here.onnx")
    here = hashlib.md5((tmp_path / "here.onnx").read_bytes()).hexdigest()
    assert other_process(tmp_path, BACKEND, "gru") == {"gru": here}


@pytest.mark.parametrize("backend", sorted({"tensorflow", "torch", "jax"} - {BACKEND}))
def test_networks_train_on_another_backend(tmp_path, backend):
    """Four that have every kind of layer between them."""
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    networks = ("mlp_deep", "cnn2d", "attention", "multihead")
    assert set(other_process(tmp_path, backend, *networks)) == set(networks)
