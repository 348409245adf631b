from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.optimize import minimize

from emodag import params as parameters
from emodag.errors import DataError
from emodag.evaluation.calibration import fit_temperature, tempered
from emodag.features.extraction import names as feature_names
from emodag.models import Clips, create, needs, typical
from emodag.models.base import balanced_log_loss
from emodag.models.ensemble import columns_of, fit_weights, normalised
from emodag.params import Ensemble, Member
from emodag.speech import Speech, sequences_of

ROOT = Path(__file__).resolve().parents[2]
CLASSES = 3
NAMES = (*(f"rms_{number}" for number in range(6)), *(f"embedding_{number:04d}" for number in range(4)))


@pytest.fixture(scope="module")
def params():
    """Of an ensemble whose members train quickly."""
    loaded = parameters.load(ROOT / "params.yaml")
    models = loaded.models.model_copy(
        update={
            "mlp": loaded.models.mlp.model_copy(
                update={"max_epochs": 30, "hidden": [16], "alpha": 0.1, "learning_rate": 0.01}
            ),
            "logistic": loaded.models.logistic.model_copy(update={"C": 0.1}),
            "xgboost": loaded.models.xgboost.model_copy(update={"max_rounds": 15, "colsample_bytree": 1.0}),
            "cnn": loaded.models.cnn.model_copy(update={"groups": ["mfcc"], "filters": [4]}),
        }
    )
    neural = loaded.train.neural.model_copy(update={"max_epochs": 1})
    train = loaded.train.model_copy(update={"neural": neural})
    return loaded.model_copy(update={"model": "ensemble", "models": models, "train": train})


def with_members(params, *members, temperatures="validation", weights="validation"):
    section = Ensemble(
        members=[Member(model=model, inputs=inputs) for model, inputs in members],
        temperatures=temperatures,
        weights=weights,
    )
    return params.model_copy(update={"models": params.models.model_copy(update={"ensemble": section})})


def clips(seed: int, count: int = 150, columns: int = 0) -> Clips:
    """Gaussian classes: features tell them apart half by the first six, half by the last four; so do ``columns``."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    centres = np.random.default_rng(7).normal(size=(CLASSES, len(NAMES)))
    features = (centres[labels] + rng.normal(size=(count, len(NAMES)))).astype(np.float32)
    frames = None
    if columns:
        lengths = rng.integers(5, 30, count)
        shifts = np.random.default_rng(8).normal(size=(CLASSES, columns))
        frames = sequences_of(
            [shifts[label] + rng.normal(size=(length, columns)) for label, length in zip(labels, lengths, strict=True)],
            [f"mfcc_{number:02d}" for number in range(columns)],
        )
    return Clips(Speech(features, NAMES, frames), labels)


def run_onnx(path: Path, speech: Speech) -> np.ndarray:
    """Probabilities of each clip by itself."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = {given.name for given in session.get_inputs()}
    found = []
    for clip in range(len(speech)):
        feeds = {"features": speech.features[[clip]]}
        if speech.frames is not None:
            feeds["frames"] = speech.frames[clip][None]
        found.append(session.run(["probabilities"], {name: feeds[name] for name in wanted})[0])
    return np.concatenate(found)


TWO = (("mlp", "functionals"), ("logistic", "embedding"))
LINEAR = (("lda", "functionals"), ("logistic", "embedding"))


def test_it_is_the_weighted_mean_of_calibrated_members_that_see_their_own_inputs(params):
    training, validation, test = clips(0), clips(1), clips(2)
    model = create(with_members(params, *TWO), classes=CLASSES, seed=0).fit(training, validation)
    assert [member.scaler.n_features_in_ for member in model.models] == [6, 4]
    parts = [
        Speech(test.speech.features[:, columns], tuple(np.array(NAMES)[columns]))
        for columns in (slice(0, 6), slice(6, 10))
    ]
    expected = sum(
        weight * tempered(member.predict_proba(part), temperature)
        for weight, member, part, temperature in zip(
            model.weights, model.models, parts, model.temperatures, strict=True
        )
    )
    found = model.predict_proba(test.speech)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_together_members_are_better_than_alone(params):
    training, validation, test = clips(0), clips(1), clips(2, 600)
    model = create(with_members(params, *TWO), classes=CLASSES, seed=0).fit(training, validation)
    losses = [
        balanced_log_loss(tempered(model._predict(number, test.speech), model.temperatures[number]), test.labels)
        for number in range(2)
    ]
    assert balanced_log_loss(model.predict_proba(test.speech), test.labels) < min(losses)


def test_equal_weights_stay_equal(params):
    changed = with_members(params, *TWO, weights="equal")
    model = create(changed, classes=CLASSES, seed=0).fit(clips(0), clips(1))
    assert model.weights == [0.5, 0.5]
    assert model.temperatures != [1.0, 1.0]


def test_members_can_be_left_as_they_are(params):
    changed = with_members(params, *TWO, temperatures="none", weights="equal")
    test = clips(2)
    model = create(changed, classes=CLASSES, seed=0).fit(clips(0), clips(1))
    assert model.temperatures == [1.0, 1.0]
    found = [model._predict(number, test.speech) for number in range(2)]
    np.testing.assert_allclose(model.predict_proba(test.speech), np.mean(found, axis=0), atol=1e-6)


def test_without_validation_clips_weights_are_equal_and_nothing_is_tempered(params):
    model = create(with_members(params, *TWO), classes=CLASSES, seed=0).fit(clips(0))
    assert (model.temperatures, model.weights) == ([1.0, 1.0], [0.5, 0.5])
    assert model.chosen["members"] == [{"epochs": 30}, {}]


def test_what_is_not_left_to_validation_clips_is_not_among_what_they_chose(params):
    undecided = with_members(params, *LINEAR, temperatures="none", weights="equal")
    assert create(undecided, classes=CLASSES, seed=0).fit(clips(0), clips(1)).chosen == {}
    tempered = with_members(params, *LINEAR, temperatures="validation", weights="equal")
    model = create(tempered, classes=CLASSES, seed=0).fit(clips(0), clips(1))
    assert model.chosen == {"temperatures": model.temperatures}
    again = create(tempered, classes=CLASSES, seed=0).fit(clips(0), chosen=model.chosen)
    assert again.temperatures == model.temperatures


@pytest.mark.parametrize(("temperatures", "weights"), [("validation", "equal"), ("validation", "validation")])
def test_what_is_said_of_a_voice_is_by_what_other_voices_decide(params, temperatures, weights):
    voices = np.random.default_rng(5).permutation(150) % 3
    validation = clips(1)._replace(voices=voices)
    changed = with_members(params, *LINEAR, temperatures=temperatures, weights=weights)
    model = create(changed, classes=CLASSES, seed=0).fit(clips(0), validation)
    found = np.stack([member.held_out for member in model.models])
    for voice in range(3):
        own = voices == voice
        theirs = [fit_temperature(each[~own], validation.labels[~own]) for each in found]
        assert theirs != model.temperatures
        others = np.stack([tempered(each, value) for each, value in zip(found, theirs, strict=True)])
        shares = fit_weights(others[:, ~own], validation.labels[~own]) if weights == "validation" else [0.5, 0.5]
        expected = np.tensordot(shares, others[:, own], axes=1)
        np.testing.assert_allclose(model.held_out[own], expected, atol=1e-6)


def test_a_refit_goes_by_what_several_folds_chose(params):
    changed = with_members(params, *TWO)
    folds = [create(changed, classes=CLASSES, seed=0).fit(clips(seed), clips(seed + 1)).chosen for seed in (0, 2, 4)]
    chosen = typical(folds)
    model = create(changed, classes=CLASSES, seed=0).fit(clips(6), chosen=chosen)
    assert model.chosen["members"] == chosen["members"]
    assert model.temperatures == chosen["temperatures"]
    assert sum(model.weights) == pytest.approx(1)
    np.testing.assert_allclose(model.weights, np.array(chosen["weights"]) / sum(chosen["weights"]))


def test_medians_of_weights_that_vanish_become_equal_ones():
    assert normalised([0.0, 0.0]) == [0.5, 0.5]
    assert normalised([0.2, 0.2, 0.1]) == pytest.approx([0.4, 0.4, 0.2])


def test_weights_minimise_the_balanced_log_loss():
    rng = np.random.default_rng(0)
    labels = rng.choice(4, size=90, p=[0.5, 0.3, 0.1, 0.1])
    truth = np.eye(4)[labels]
    members = np.stack([0.6 * rng.dirichlet(np.ones(4), 90) + 0.4 * truth, rng.dirichlet(np.ones(4), 90), truth])
    members[2] = 0.5 * truth[rng.permutation(90)] + 0.5 * rng.dirichlet(np.ones(4), 90)
    found = fit_weights(members, labels)

    def loss(logits):
        weights = np.exp(logits) / np.exp(logits).sum()
        return balanced_log_loss(np.tensordot(weights, members, axes=1), labels)

    best = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"maxiter": 5000, "fatol": 1e-12})
    assert loss(np.log(np.maximum(found, 1e-12))) <= best.fun + 1e-6
    assert sum(found) == pytest.approx(1)


def test_a_member_that_knows_nothing_weighs_nothing():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    knowing = 0.8 * np.eye(3)[labels] + 0.2 / 3
    weights = fit_weights(np.stack([knowing, np.full((300, 3), 1 / 3)]), labels)
    assert weights[0] > 0.99


@pytest.mark.parametrize(
    "members",
    [
        TWO,
        (("svm", "all"), ("xgboost", "functionals"), ("mlp", "all")),
        (("mlp", "all"), ("mlp", "all")),
        (("logistic", "embedding"), ("cnn", "all")),
        (("cnn", "all"), ("cnn", "all")),
    ],
    ids=lambda members: "+".join(model for model, _ in members),
)
def test_onnx_is_one_graph_with_the_same_probabilities(params, members, tmp_path):
    changed = with_members(params, *members)
    columns = len(feature_names(params.featurize).frames["mfcc"]) if needs(changed).groups else 0
    model = create(changed, classes=CLASSES, seed=0).fit(clips(0, 60, columns), clips(1, 30, columns))
    model.export_onnx(tmp_path / "model.onnx")
    test = clips(2, 20, columns).speech
    found = run_onnx(tmp_path / "model.onnx", test)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict_proba(test), atol=1e-5)
    inputs = {given.name for given in onnx.load(tmp_path / "model.onnx").graph.input}
    assert inputs == ({"features"} if needs(changed).features else set()) | ({"frames"} if columns else set())
    model.export_onnx(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


def test_a_model_that_is_a_member_twice_is_two(params):
    model = create(with_members(params, ("mlp", "all"), ("mlp", "all")), classes=CLASSES, seed=0).fit(clips(0))
    first, second = (member.predict_proba(clips(1).speech) for member in model.models)
    assert not np.array_equal(first, second)


def test_the_history_says_whose_each_number_is(params):
    model = create(with_members(params, *TWO), classes=CLASSES, seed=0).fit(clips(0), clips(1))
    assert len(model.history) == len(model.models[0].history)
    assert model.history[0] == {
        "mlp_1_loss": model.models[0].history[0]["loss"],
        "mlp_1_validation_loss": model.models[0].history[0]["validation_loss"],
    }


@pytest.mark.parametrize(
    ("inputs", "names", "message"),
    [
        ("embedding", NAMES[:6], "inputs are `embedding`, and all 6 features are functionals"),
        ("functionals", NAMES[6:], "inputs are `functionals`, and all 4 features are those of an encoder"),
    ],
)
def test_a_member_that_sees_nothing_is_an_error(params, inputs, names, message):
    training = clips(0)
    rows = [NAMES.index(name) for name in names]
    blind = Clips(training.speech.with_features(np.array(rows)), training.labels)
    model = create(with_members(params, ("logistic", "all"), ("logistic", inputs)), classes=CLASSES, seed=0)
    with pytest.raises(DataError, match=message):
        model.fit(blind)


def test_columns_are_chosen_by_their_names():
    np.testing.assert_array_equal(columns_of(NAMES, "embedding"), np.arange(6, 10))
    np.testing.assert_array_equal(columns_of(NAMES, "functionals"), np.arange(6))
    np.testing.assert_array_equal(columns_of(NAMES, "all"), np.arange(10))
