from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.metrics import log_loss
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

from emodag import params as parameters
from emodag.errors import DataError
from emodag.models import REGISTRY, Clips, create, typical
from emodag.models.base import balanced_log_loss, balanced_weights, save_probabilities_only
from emodag.models.mlp import standardiser
from emodag.speech import Speech

ROOT = Path(__file__).resolve().parents[2]

#: The models of scikit-learn and XGBoost; tests/models/test_neural.py and test_ensemble.py have the others.
CLASSICAL = ("mlp", "svm", "logistic", "lda", "xgboost")

#: Those that learn in rounds, which validation clips limit, and the settings that limit them otherwise.
IN_ROUNDS = {"mlp": "max_epochs", "xgboost": "max_rounds"}
#: What of it the validation clips decide.
CHOSEN = {name: most.removeprefix("max_") for name, most in IN_ROUNDS.items()}

QUICK = {"mlp": {"max_epochs": 20}, "xgboost": {"max_rounds": 40, "patience": 3, "learning_rate": 0.5}}


@pytest.fixture(scope="module")
def params():
    return parameters.load(ROOT / "params.yaml")


def clips_of(features: np.ndarray, labels: np.ndarray) -> Clips:
    names = tuple(f"feature_{number:02d}" for number in range(features.shape[1]))
    return Clips(Speech(features.astype(np.float32), names), labels)


def gaussian(classes: int, clips: int = 240, seed: int = 0, spread: float = 2.0) -> Clips:
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % classes
    centres = np.random.default_rng(99).normal(size=(classes, 10))
    return clips_of(centres[labels] + rng.normal(size=(clips, 10), scale=spread), labels)


def build(params, name, classes, seed=0, **settings):
    section = getattr(params.models, name).model_copy(update=settings)
    changed = params.model_copy(update={"model": name, "models": params.models.model_copy(update={name: section})})
    return create(changed, classes=classes, seed=seed)


@pytest.fixture(params=CLASSICAL)
def name(request):
    return request.param


def run_onnx(path: Path, features: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
    assert [given.name for given in session.get_inputs()] == ["features"]
    return session.run(None, {"features": features})[0]


def recalls(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    predicted = probabilities.argmax(axis=1)
    return [float(np.mean(predicted[labels == label] == label)) for label in np.unique(labels)]


def test_the_registry_is_what_params_accept():
    assert sorted(REGISTRY) == sorted(parameters.Models.model_fields)


def test_params_choose_the_model(params, name):
    chosen = create(params.model_copy(update={"model": name}), classes=3, seed=0)
    assert type(chosen) is REGISTRY[name]
    assert chosen.settings == getattr(params.models, name)


def test_a_model_learns_classes_that_can_be_told_apart(params, name):
    model = build(params, name, 3).fit(gaussian(3, spread=0.7), gaussian(3, seed=1, spread=0.7))
    test = gaussian(3, seed=2, spread=0.7)
    probabilities = model.predict_proba(test.speech)
    assert probabilities.shape == (240, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert min(recalls(probabilities, test.labels)) > 0.85


def test_the_seed_repeats_the_model(params, name):
    first, again = (build(params, name, 3).fit(gaussian(3), gaussian(3, seed=1)) for _ in range(2))
    speech = gaussian(3, seed=2).speech
    np.testing.assert_array_equal(first.predict_proba(speech), again.predict_proba(speech))
    assert first.chosen == again.chosen
    other = build(params, name, 3, seed=1).fit(gaussian(3), gaussian(3, seed=1))
    # What is convex has one optimum, whatever the seed.
    assert np.array_equal(first.predict_proba(speech), other.predict_proba(speech)) == (
        name in ("svm", "logistic", "lda")
    )


def test_validation_clips_are_told_of_as_if_a_voice_alone_had_trained_the_model(params, name):
    """One voice has nobody else to choose by; without validation clips there is nothing to tell."""
    settings = QUICK.get(name, {})
    validation = gaussian(3, seed=1)
    for voices in (None, np.zeros(len(validation.labels), int)):
        model = build(params, name, 3, **settings).fit(gaussian(3), validation._replace(voices=voices))
        assert model.held_out.dtype == np.float32
        np.testing.assert_allclose(model.held_out, model.predict_proba(validation.speech), atol=1e-5)
    assert build(params, name, 3, **settings).fit(gaussian(3)).held_out is None


@pytest.mark.parametrize("name", IN_ROUNDS)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_voice_is_told_of_by_the_rounds_that_the_others_chose(params, name, classes):
    settings = {IN_ROUNDS[name]: 80, "patience": 80, "learning_rate": {"mlp": 0.01, "xgboost": 0.5}[name]}
    training, validation = gaussian(classes), gaussian(classes, clips=60, seed=1)
    voices = np.arange(60) // 20
    model = build(params, name, classes, **settings).fit(training, validation._replace(voices=voices))
    choices = []
    for voice in range(3):
        others, own = np.flatnonzero(voices != voice), np.flatnonzero(voices == voice)
        those = Clips(validation.speech.of(others), validation.labels[others])
        alone = build(params, name, classes, **settings).fit(training, those)
        choices.append(alone.chosen[CHOSEN[name]])
        found = alone.predict_proba(validation.speech.of(own))
        np.testing.assert_allclose(model.held_out[own], found, atol=1e-5)
    assert len(set(choices)) > 1


@pytest.mark.parametrize("name", IN_ROUNDS)
def test_training_stops_at_the_best_validation_loss(params, name):
    settings = {IN_ROUNDS[name]: 120, "patience": 10, "learning_rate": {"mlp": 0.01, "xgboost": 0.3}[name]}
    if name == "mlp":
        settings["alpha"] = 0.0
    training, validation = gaussian(3), gaussian(3, seed=1)
    stopped = build(params, name, 3, **settings).fit(training, validation)
    found = stopped.chosen[CHOSEN[name]]
    losses = {}
    for rounds in (1, found, 120):
        fixed = build(params, name, 3, **settings).fit(training, chosen={CHOSEN[name]: rounds})
        assert fixed.chosen == {CHOSEN[name]: rounds}
        losses[rounds] = balanced_log_loss(fixed.predict_proba(validation.speech), validation.labels)
    assert 1 < found < 110
    best = balanced_log_loss(stopped.predict_proba(validation.speech), validation.labels)
    assert best == pytest.approx(losses[found], abs=1e-6)
    assert best < losses[1]
    assert best < losses[120]


@pytest.mark.parametrize("name", IN_ROUNDS)
def test_without_validation_training_goes_on_for_all_rounds(params, name):
    model = build(params, name, 2, **{IN_ROUNDS[name]: 7}).fit(gaussian(2))
    assert model.chosen == {CHOSEN[name]: 7}
    assert [set(row) for row in model.history] == [{"loss"}] * 7


@pytest.mark.parametrize("name", IN_ROUNDS)
def test_the_history_has_a_row_for_each_round_up_to_the_last(params, name):
    model = build(params, name, 3, **{IN_ROUNDS[name]: 60, "patience": 5}).fit(gaussian(3), gaussian(3, seed=1))
    losses = [row["validation_loss"] for row in model.history]
    best = model.chosen[CHOSEN[name]]
    assert int(np.argmin(losses)) + 1 == best
    assert len(losses) in (60, best + 5, best + 6)
    assert model.history[-1]["loss"] < model.history[0]["loss"]


@pytest.mark.parametrize("name", ["logistic", "lda"])
def test_what_is_not_chosen_on_validation_clips_is_said_to_be_nothing(params, name):
    model = build(params, name, 3).fit(gaussian(3), gaussian(3, seed=1))
    assert model.chosen == {}
    assert model.history == []


def test_a_rare_class_is_learnt_as_well_as_a_frequent_one(params, name):
    clips = gaussian(2, 600, spread=1.5)
    kept = np.flatnonzero((clips.labels == 0) | (np.arange(600) % 10 == 1))
    # Of a kernel machine weights move little where every clip is a support vector.
    settings = {"svm": {"kernel": "linear", "C": 0.01}}.get(name, {})
    rare = Clips(clips.speech.of(kept), clips.labels[kept])
    test = gaussian(2, 600, seed=2, spread=1.5)
    model = build(params, name, 2, **settings).fit(rare, gaussian(2, seed=1, spread=1.5))
    assert min(recalls(model.predict_proba(test.speech), test.labels)) > 0.7
    unweighted = params.model_copy(update={"train": params.train.model_copy(update={"class_weights": "none"})})
    model = build(unweighted, name, 2, **settings).fit(rare, gaussian(2, seed=1, spread=1.5))
    frequent, seldom = recalls(model.predict_proba(test.speech), test.labels)
    assert frequent > seldom + 0.1


def test_constant_and_huge_features_do_no_harm(params, name):
    def with_odd_columns(clips: Clips) -> Clips:
        rng = np.random.default_rng(len(clips.labels))
        odd = [
            np.zeros(len(clips.labels)),
            np.full(len(clips.labels), 1e6),
            1e6 + rng.random(len(clips.labels)) / 8,
            rng.normal(size=len(clips.labels)) * 1e20,
        ]
        return clips_of(np.column_stack([clips.speech.features, *odd]), clips.labels)

    model = build(params, name, 3).fit(
        with_odd_columns(gaussian(3, spread=0.7)), with_odd_columns(gaussian(3, 90, seed=1, spread=0.7))
    )
    test = with_odd_columns(gaussian(3, 300, seed=2, spread=0.7))
    probabilities = model.predict_proba(test.speech)
    assert np.isfinite(probabilities).all()
    assert np.mean(probabilities.argmax(axis=1) == test.labels) > 0.85


def test_a_class_without_training_clips_is_an_error(params, name):
    with pytest.raises(DataError, match="classes 2 of 3 have no training clip"):
        build(params, name, 3).fit(gaussian(2), gaussian(3))


@pytest.mark.parametrize("classes", [2, 3, 8])
@pytest.mark.parametrize("validated", [True, False])
def test_onnx_gives_the_same_probabilities(params, name, classes, validated, tmp_path):
    validation = gaussian(classes, seed=1) if validated else None
    model = build(params, name, classes, **QUICK.get(name, {})).fit(gaussian(classes), validation)
    model.export_onnx(tmp_path / "model.onnx")
    test = gaussian(classes, 500, seed=2)
    speech = clips_of(test.speech.features * 3, test.labels).speech
    found = run_onnx(tmp_path / "model.onnx", speech.features)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict_proba(speech), atol=1e-5)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("classes", [2, 4])
def test_support_vector_machines_decide_as_libsvm_does(params, kernel, classes):
    training, test = gaussian(classes), gaussian(classes, 2500, seed=1)
    model = build(params, "svm", classes, kernel=kernel, C=1.0).fit(training)
    scaled = model.scaler.transform(training.speech.features).astype(float)
    weights = compute_sample_weight("balanced", training.labels)
    libsvm = SVC(kernel=kernel, C=1.0, decision_function_shape="ovo")
    libsvm.fit(scaled, training.labels, sample_weight=weights)
    expected = libsvm.decision_function(model.scaler.transform(test.speech.features).astype(float))
    # Of two classes scikit-learn decides for the second.
    expected = -expected[:, None] if classes == 2 else expected
    np.testing.assert_allclose(model.decisions(test.speech), expected, atol=1e-4)
    assert expected.shape[1] == len(list(combinations(range(classes), 2)))


def test_the_slope_of_support_vector_machines_is_the_one_that_suits_the_validation_clips_best(params):
    training, validation = gaussian(3), gaussian(3, seed=1)
    model = build(params, "svm", 3).fit(training, validation)
    slope = model.chosen["slope"]
    losses = {}
    for factor in (0.8, 1.0, 1.25):
        other = build(params, "svm", 3).fit(training, chosen={"slope": factor * slope})
        losses[factor] = balanced_log_loss(other.predict_proba(validation.speech), validation.labels)
    assert losses[1.0] < min(losses[0.8], losses[1.25])


def test_two_support_vector_classes_are_told_by_a_logistic_function(params):
    model = build(params, "svm", 2).fit(gaussian(2), chosen={"slope": 2.0})
    speech = gaussian(2, seed=1).speech
    expected = 1 / (1 + np.exp(-2.0 * model.decisions(speech)[:, 0]))
    np.testing.assert_allclose(model.predict_proba(speech)[:, 0], expected, atol=1e-6)


def test_an_early_stopped_booster_ships_its_best_rounds_only(params, tmp_path):
    model = build(params, "xgboost", 3, max_rounds=200, patience=10, learning_rate=0.5)
    model.fit(gaussian(3), gaussian(3, seed=1))
    model.export_onnx(tmp_path / "model.onnx")
    trees = next(node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type.startswith("Tree"))
    ids = next(attribute.ints for attribute in trees.attribute if attribute.name == "nodes_treeids")
    assert model.chosen["rounds"] < 100
    assert len(set(ids)) == 3 * model.chosen["rounds"]


def test_onnx_bytes_do_not_depend_on_the_process(tmp_path, python):
    script = """
        import hashlib, sys, numpy as np
        from pathlib import Path
        from emodag import params
        from emodag.models import Clips, create
        from emodag.speech import Speech
        rng = np.random.default_rng(0)
        speech = Speech(rng.normal(size=(60, 5)).astype(np.float32), tuple("abcde"))
        clips = Clips(speech, np.arange(60) % 3)
        chosen = {"mlp": {"epochs": 5}, "svm": None, "logistic": None, "lda": None, "xgboost": {"rounds": 5}}
        chosen["ensemble"] = {
            "members": [{"epochs": 5}, {"slope": 2.0}], "temperatures": [1.2, 0.9], "weights": [0.4, 0.6]
        }
        for name in chosen:
            members = [{"model": "mlp", "inputs": "all"}, {"model": "svm", "inputs": "all"}]
            named = params.load(sys.argv[1]).changed({"model": name, "models.ensemble.members": members})
            path = Path(sys.argv[2])
            create(named, classes=3, seed=0).fit(clips, chosen=chosen[name]).export_onnx(path)
            print(name, hashlib.md5(path.read_bytes()).hexdigest())
        """
    done = [
        python(script, ROOT / "params.yaml", tmp_path / "model.onnx", PYTHONHASHSEED=seed, OMP_NUM_THREADS="1")
        for seed in ("1", "5")
    ]
    assert [each.returncode for each in done] == [0, 0], done[0].stderr + done[1].stderr
    digests = {each.stdout for each in done}
    assert len(digests) == 1
    assert [line.split()[0] for line in digests.pop().splitlines()] == [*CLASSICAL, "ensemble"]


def test_what_folds_decided_becomes_one(params):
    assert typical([]) == {}
    assert typical([{}, {}]) == {}
    assert typical([{"epochs": 3}, {"epochs": 8}, {"epochs": 5}]) == {"epochs": 5}
    found = typical(
        [
            {"members": [{"epochs": 1}, {}], "weights": [0.2, 0.8]},
            {"members": [{"epochs": 4}, {}], "weights": [0.4, 0.6]},
        ]
    )
    assert found["members"] == [{"epochs": 2}, {}]
    np.testing.assert_allclose(found["weights"], [0.3, 0.7])


def test_the_order_of_operator_sets_does_not_reach_the_file(params, tmp_path):
    """The converter orders them by memory address, so that processes differ now and then."""
    build(params, "mlp", 3).fit(gaussian(3), chosen={"epochs": 2}).export_onnx(tmp_path / "model.onnx")
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


def test_features_that_never_differ_tell_nothing(params, name):
    training = clips_of(np.ones((30, 4)), np.arange(30) % 3)
    probabilities = build(params, name, 3, **QUICK.get(name, {})).fit(training).predict_proba(training.speech)
    np.testing.assert_allclose(probabilities, 1 / 3, atol=0.05)


def test_lda_needs_more_clips_than_classes(params):
    few = gaussian(4, clips=4)
    with pytest.raises(DataError, match="lda needs more training clips than its 4 classes; found: 4"):
        build(params, "lda", 4).fit(few)


def test_each_voice_is_told_of_by_the_slope_that_the_others_chose(params):
    training, validation = gaussian(3, spread=2.0), gaussian(3, clips=60, seed=1, spread=2.0)
    voices = np.arange(60) // 20
    model = build(params, "svm", 3).fit(training, validation._replace(voices=voices))
    slopes = []
    for voice in range(3):
        others, own = np.flatnonzero(voices != voice), np.flatnonzero(voices == voice)
        alone = build(params, "svm", 3).fit(training, Clips(validation.speech.of(others), validation.labels[others]))
        slopes.append(alone.chosen["slope"])
        np.testing.assert_allclose(model.held_out[own], alone.predict_proba(validation.speech.of(own)), atol=1e-4)
    assert np.ptp(slopes) > 0.05


@pytest.mark.parametrize("name", IN_ROUNDS)
def test_validation_clips_are_told_of_by_the_model_that_they_chose_whatever_classes_weigh(params, name):
    """Also where many clips are of one class, and training does not mind."""
    unweighted = params.changed({"train.class_weights": "none"})
    validation = gaussian(3, seed=1, spread=1.5)
    rare = np.flatnonzero((validation.labels == 0) | (np.arange(len(validation.labels)) % 8 == 0))
    validation = Clips(validation.speech.of(rare), validation.labels[rare])
    model = build(unweighted, name, 3, **QUICK[name]).fit(gaussian(3, spread=1.5), validation)
    np.testing.assert_allclose(model.held_out, model.predict_proba(validation.speech), atol=1e-5)


def test_a_perceptron_that_diverges_says_what_to_lower(params):
    diverging = build(params, "mlp", 2, learning_rate=1e30)
    with pytest.raises(DataError, match=r"mlp: training diverged in epoch .*models\.mlp\.learning_rate \(1e\+30\)"):
        diverging.fit(gaussian(2))
