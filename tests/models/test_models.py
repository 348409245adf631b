from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from emodag import params as parameters
from emodag.errors import DataError
from emodag.models import REGISTRY, Clips, create
from emodag.models.base import balanced_log_loss, balanced_weights, save_probabilities_only
from emodag.models.mlp import standardiser

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def params():
    return parameters.load(ROOT / "params.yaml")


def gaussian(classes: int, clips: int = 240, seed: int = 0, spread: float = 2.0) -> Clips:
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % classes
    centres = np.random.default_rng(99).normal(size=(classes, 10))
    return Clips((centres[labels] + rng.normal(size=(clips, 10), scale=spread)).astype(np.float32), labels)


def build(params, name, classes, seed=0, **settings):
    section = getattr(params.models, name).model_copy(update=settings)
    return REGISTRY[name](section, classes=classes, seed=seed)


@pytest.fixture(params=sorted(REGISTRY))
def name(request):
    return request.param


def run_onnx(path: Path, features: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
    assert [given.name for given in session.get_inputs()] == ["functionals"]
    return session.run(None, {"functionals": features})[0]


def test_the_registry_is_what_params_accept():
    assert sorted(REGISTRY) == sorted(parameters.Models.model_fields)


def test_params_choose_the_model(params, name):
    chosen = create(params.model_copy(update={"model": name}), classes=3, seed=0)
    assert type(chosen) is REGISTRY[name]
    assert chosen.settings == getattr(params.models, name)


def test_a_model_learns_classes_that_can_be_told_apart(params, name):
    model = build(params, name, 3).fit(gaussian(3, spread=0.7), gaussian(3, seed=1, spread=0.7))
    test = gaussian(3, seed=2, spread=0.7)
    probabilities = model.predict_proba(test.features)
    assert probabilities.shape == (240, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == test.labels) > 0.9


def test_the_seed_repeats_the_model(params, name):
    first, again = (build(params, name, 3).fit(gaussian(3), gaussian(3, seed=1)) for _ in range(2))
    features = gaussian(3, seed=2).features
    np.testing.assert_array_equal(first.predict_proba(features), again.predict_proba(features))
    other = build(params, name, 3, seed=1).fit(gaussian(3), gaussian(3, seed=1))
    assert not np.array_equal(first.predict_proba(features), other.predict_proba(features))


def test_training_stops_at_the_best_validation_loss(params, name):
    longest = {"mlp": "max_epochs", "xgboost": "max_rounds"}[name]
    settings = {longest: 120, "patience": 10, "learning_rate": {"mlp": 0.01, "xgboost": 0.3}[name]}
    if name == "mlp":
        settings["alpha"] = 0.0
    training, validation = gaussian(3), gaussian(3, seed=1)
    stopped = build(params, name, 3, **settings).fit(training, validation)
    losses = {}
    for rounds in (1, stopped.rounds, 120):
        fixed = build(params, name, 3, **settings).fit(training, rounds=rounds)
        assert fixed.rounds == rounds
        losses[rounds] = balanced_log_loss(fixed.predict_proba(validation.features), validation.labels)
    assert 1 < stopped.rounds < 110
    best = balanced_log_loss(stopped.predict_proba(validation.features), validation.labels)
    assert best == pytest.approx(losses[stopped.rounds], abs=1e-6)
    assert best < losses[1]
    assert best < losses[120]


def test_without_validation_training_goes_on_for_all_rounds(params, name):
    longest = {"mlp": "max_epochs", "xgboost": "max_rounds"}[name]
    assert build(params, name, 2, **{longest: 7}).fit(gaussian(2)).rounds == 7


def test_a_rare_class_is_learnt_as_well_as_a_frequent_one(params, name):
    clips = gaussian(2, 600, spread=1.5)
    kept = (clips.labels == 0) | (np.arange(600) % 10 == 1)
    model = build(params, name, 2).fit(Clips(clips.features[kept], clips.labels[kept]), gaussian(2, seed=1, spread=1.5))
    test = gaussian(2, 600, seed=2, spread=1.5)
    predicted = model.predict_proba(test.features).argmax(axis=1)
    recalls = [np.mean(predicted[test.labels == label] == label) for label in (0, 1)]
    assert min(recalls) > 0.7


def test_constant_and_huge_features_do_no_harm(params, name):
    def with_odd_columns(clips: Clips) -> Clips:
        rng = np.random.default_rng(len(clips.labels))
        odd = [
            np.zeros(len(clips.labels)),
            np.full(len(clips.labels), 1e6),
            1e6 + rng.random(len(clips.labels)) / 8,
            rng.normal(size=len(clips.labels)) * 1e20,
        ]
        return Clips(np.column_stack([clips.features, *odd]).astype(np.float32), clips.labels)

    model = build(params, name, 3).fit(
        with_odd_columns(gaussian(3, spread=0.7)), with_odd_columns(gaussian(3, 90, seed=1, spread=0.7))
    )
    test = with_odd_columns(gaussian(3, 300, seed=2, spread=0.7))
    probabilities = model.predict_proba(test.features)
    assert np.isfinite(probabilities).all()
    assert np.mean(probabilities.argmax(axis=1) == test.labels) > 0.85


def test_a_class_without_training_clips_is_an_error(params, name):
    with pytest.raises(DataError, match="classes 2 of 3 have no training clip"):
        build(params, name, 3).fit(gaussian(2), gaussian(3))


@pytest.mark.parametrize("classes", [2, 3, 8])
@pytest.mark.parametrize("validated", [True, False])
def test_onnx_gives_the_same_probabilities(params, name, classes, validated, tmp_path):
    settings = {"xgboost": {"max_rounds": 40, "patience": 3, "learning_rate": 0.5}, "mlp": {"max_epochs": 20}}[name]
    validation = gaussian(classes, seed=1) if validated else None
    model = build(params, name, classes, **settings).fit(gaussian(classes), validation)
    model.export_onnx(tmp_path / "model.onnx")
    features = gaussian(classes, 500, seed=2).features * 3
    found = run_onnx(tmp_path / "model.onnx", features)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict_proba(features), atol=1e-5)


def test_an_early_stopped_booster_ships_its_best_rounds_only(params, tmp_path):
    model = build(params, "xgboost", 3, max_rounds=200, patience=10, learning_rate=0.5)
    model.fit(gaussian(3), gaussian(3, seed=1))
    model.export_onnx(tmp_path / "model.onnx")
    trees = next(node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type.startswith("Tree"))
    ids = next(attribute.ints for attribute in trees.attribute if attribute.name == "nodes_treeids")
    assert model.rounds < 100
    assert len(set(ids)) == 3 * model.rounds


def test_onnx_bytes_do_not_depend_on_the_process(tmp_path):
    script = """
        import hashlib, sys, numpy as np
        from pathlib import Path
        from emodag import params
        from emodag.models import REGISTRY, Clips, create
        rng = np.random.default_rng(0)
        clips = Clips(rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 3)
        for name in REGISTRY:
            chosen = params.load(sys.argv[1]).model_copy(update={"model": name})
            path = Path(sys.argv[2])
            create(chosen, classes=3, seed=0).fit(clips, rounds=5).export_onnx(path)
            print(name, hashlib.md5(path.read_bytes()).hexdigest())
        """
    digests = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), ROOT / "params.yaml", tmp_path / "model.onnx"],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "5")
    }
    assert len(digests) == 1
    assert len(digests.pop().splitlines()) == len(REGISTRY)


def test_the_order_of_operator_sets_does_not_reach_the_file(params, tmp_path):
    """The converter orders them by memory address, so that processes differ now and then."""
    build(params, "mlp", 3).fit(gaussian(3), rounds=2).export_onnx(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    reverse = list(model.opset_import)[::-1]
    assert len(reverse) == 2
    model.ClearField("opset_import")
    model.opset_import.extend(reverse)
    save_probabilities_only(model, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


def test_balanced_weights_equal_those_of_scikit_learn():
    labels = np.array([0, 0, 0, 2, 2, 5])
    np.testing.assert_allclose(balanced_weights(labels, 7), compute_sample_weight("balanced", labels), rtol=1e-6)


def test_balanced_log_loss_equals_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(4), size=50), rng.choice(4, size=50, p=[0.7, 0.1, 0.1, 0.1])
    weights = compute_sample_weight("balanced", labels)
    assert balanced_log_loss(probabilities, labels) == pytest.approx(
        log_loss(labels, probabilities, labels=range(4), sample_weight=weights), abs=1e-6
    )


def test_balanced_log_loss_of_a_certain_error_is_finite():
    assert np.isfinite(balanced_log_loss(np.array([[1.0, 0.0]], np.float32), np.array([1])))


def test_standardiser_centres_and_scales_but_not_noise():
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(5, 3, 500), np.full(500, 7.0), 1e6 + rng.normal(size=500)])
    found = standardiser(features).transform(features)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=0), [1, 0, 0.01], atol=2e-3)
