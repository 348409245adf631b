from __future__ import annotations

from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import bundle, checkpoints, training
from emodag import params as parameters
from emodag.checkpoints import Checkpoints
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.evaluation import fit_temperature, tempered
from emodag.leakage import check_leakage
from emodag.models import typical
from emodag.splits import split

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def params():
    loaded = parameters.load(ROOT / "params.yaml")
    mlp = loaded.models.mlp.model_copy(update={"hidden": [20], "alpha": 0.01, "max_epochs": 30, "batch_size": 16})
    xgboost = loaded.models.xgboost.model_copy(update={"max_rounds": 20, "max_depth": 2})
    return loaded.model_copy(
        update={
            "models": loaded.models.model_copy(update={"mlp": mlp, "xgboost": xgboost}),
            "train": loaded.train.model_copy(update={"folds": 3}),
            "compute": loaded.compute.model_copy(update={"jobs": 1}),
        }
    )


def refeatured(data: Dataset, features: np.ndarray) -> Dataset:
    return replace(data, speech=replace(data.speech, features=features))


@pytest.fixture
def data(synthetic_corpus) -> Dataset:
    index, functionals = synthetic_corpus.make("alpha", 6, spread=0.5)
    return synthetic_corpus.data(index, functionals)


@pytest.mark.parametrize("model", ["mlp", "xgboost"])
def test_every_recording_is_predicted_by_a_fold_that_held_it_out(data, params, model):
    params = params.model_copy(update={"model": model})
    folds = split(data.index, params.train, params.seed)
    done = training.cross_validate(data, folds, params)
    check_leakage(folds, done.predictions, data.index, "speaker_kfold")
    assert sorted(done.predictions["clip_id"]) == sorted(data.originals().index["clip_id"])
    assert sorted(done.outcomes) == [(0, 1), (0, 2), (0, 3)]
    probabilities = done.predictions[list(data.classes)].to_numpy()
    truth = done.predictions["emotion"].map({emotion: n for n, emotion in enumerate(data.classes)})
    assert np.mean(probabilities.argmax(axis=1) == truth) > 0.6


def test_the_number_of_processes_changes_nothing(data, params):
    folds = split(data.index, params.train, params.seed)
    serial = training.cross_validate(data, folds, params)
    two = params.model_copy(update={"compute": params.compute.model_copy(update={"jobs": 2})})
    parallel = training.cross_validate(data, folds, two)
    pd.testing.assert_frame_equal(serial.predictions, parallel.predictions, check_exact=True)
    assert [each.chosen for each in serial.outcomes.values()] == [each.chosen for each in parallel.outcomes.values()]


def test_scaling_knows_nothing_of_held_out_speakers(data, params):
    """An outlier speaker moves the scaler of exactly those folds that train on them."""
    outlier = (data.index["speaker"] == "alpha/04").to_numpy()
    functionals = data.speech.features + np.where(outlier, 1000, 0).astype(np.float32)[:, None]
    held_out = 0
    material = training.Material.of(refeatured(data, functionals), params)
    for fold in training.parts_of(data, split(data.index, params.train, params.seed)):
        model = training.fit_training_part(fold, material, params, 0).model
        trained = functionals[fold.training].astype(np.float64)
        np.testing.assert_allclose(model.scaler.mean_, trained.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(model.scaler.scale_, trained.std(axis=0), rtol=1e-3)
        if not outlier[fold.training].any():
            held_out += 1
            assert np.abs(model.scaler.mean_).max() < 10
    assert held_out


def test_a_test_fold_changes_no_other_prediction_of_its_fold(data, params):
    folds = split(data.index, params.train, params.seed)
    before = training.cross_validate(data, folds, params)
    tested = set(folds.loc[(folds["fold"] == 1) & (folds["part"] == "test"), "clip_id"])
    first = min(tested)
    changed = data.speech.features.copy()
    changed[(data.index["clip_id"] == first).to_numpy()] += 50
    after = training.cross_validate(refeatured(data, changed), folds[folds["fold"] == 1], params)
    both = before.predictions.merge(after.predictions, on=["clip_id", "fold", "emotion"])
    others = both[both["clip_id"] != first]
    assert len(others) == len(tested) - 1
    for emotion in data.classes:
        np.testing.assert_array_equal(others[f"{emotion}_x"], others[f"{emotion}_y"])


def test_another_split_gives_other_predictions(data, params):
    tables = [training.cross_validate(data, split(data.index, params.train, seed), params) for seed in (0, 1)]
    assert not tables[0].predictions["fold"].equals(tables[1].predictions["fold"])


def test_a_fold_without_training_clips_of_a_class_says_so(data, params):
    index = data.index.copy()
    index.loc[(index["emotion"] == "sad") & (index["speaker"] != "alpha/01"), "emotion"] = "happy"
    data = replace(data, index=index)
    folds = split(index, params.train, params.seed)
    with pytest.raises(DataError, match=r"fold \d has no training clip of sad; use more train.folds or .* loso"):
        training.cross_validate(data, folds, params)


@pytest.mark.parametrize("kept", ["none", "no test"])
def test_folds_that_test_nothing_are_an_error(data, params, kept):
    folds = split(data.index, params.train, params.seed)
    folds = folds[:0] if kept == "none" else folds[folds["part"] != "test"]
    with pytest.raises(DataError, match=r"there is no fold|fold 1 tests no clip"):
        training.cross_validate(data, folds, params)


@pytest.mark.parametrize(("epochs", "median"), [([4, 9, 30], 9), ([4, 7], 6), ([1], 1)])
def test_the_final_model_is_trained_for_the_median_of_the_folds(data, params, epochs, median):
    chosen = typical([{"epochs": each} for each in epochs])
    assert chosen == {"epochs": median}
    final = training.fit_final(data, params, chosen).model
    assert final.chosen == {"epochs": median}
    assert len(final.history) == median
    np.testing.assert_allclose(final.scaler.mean_, data.speech.features.astype(np.float64).mean(axis=0), rtol=1e-5)


def test_where_nobody_is_held_out_nothing_is_decided(synthetic_corpus, params):
    """Of two speakers one trains and one is tested: how long training may last is no finding."""
    data = synthetic_corpus.data(*synthetic_corpus.make("alpha", 2, spread=0.5))
    loso = params.model_copy(update={"train": params.train.model_copy(update={"protocol": "loso"})})
    done = training.cross_validate(data, split(data.index, loso.train, 0), loso)
    assert [outcome.chosen for outcome in done.outcomes.values()] == [{}, {}]
    assert (done.chosen, done.temperature) == ({}, 1.0)
    shipped = bundle.make(training.fit_final(data, loso, done.chosen), data, loso, done, {"alpha": 0.5})
    assert shipped.chosen == {}


def test_what_folds_decided_is_summed_up_place_by_place():
    chosen = [
        {"weights": [0.2, 0.8], "members": [{"epochs": 3}, {}]},
        {"weights": [0.6, 0.4], "members": [{"epochs": 9}, {}]},
        {"weights": [0.5, 0.5], "members": [{"epochs": 4}, {}]},
    ]
    assert typical(chosen) == {"weights": [0.5, 0.5], "members": [{"epochs": 4}, {}]}
    assert typical([]) == {}


def test_validation_clips_are_predicted_by_a_model_that_learnt_nothing_from_their_voice(data, params):
    """Neither what they sound like nor how long to train: a voice's other clips are as silent as its own."""
    params = params.model_copy(update={"train": params.train.model_copy(update={"validation": 0.5})})
    folds = split(data.index, params.train, params.seed)
    done = training.cross_validate(data, folds, params)
    held = folds[folds["part"] == "validation"]
    assert sorted(zip(done.validation["fold"], done.validation["clip_id"], strict=True)) == sorted(
        zip(held["fold"], held["clip_id"], strict=True)
    )
    fold = next(training.parts_of(data, folds))
    material = training.Material.of(data, params)
    found = done.validation[done.validation["fold"] == 1].set_index("clip_id")[list(data.classes)]
    speakers = data.index["speaker"].to_numpy()[fold.validation]
    assert len(set(speakers)) > 1
    for speaker in set(speakers):
        own, others = fold.validation[speakers == speaker], fold.validation[speakers != speaker]
        stopped_by_others = training.fit(material, params, fold.training, others, seed=0)
        expected = stopped_by_others.predict_proba(material.speech.of(own), material.groups.of(own))
        np.testing.assert_allclose(found.loc[data.index["clip_id"].iloc[own]], expected, atol=1e-6)


def test_without_a_refit_the_tested_model_is_the_one_that_was_stopped(data, params):
    params = params.model_copy(update={"train": params.train.model_copy(update={"refit": False})})
    fold = next(training.parts_of(data, split(data.index, params.train, params.seed)))
    material = training.Material.of(data, params)
    outcome = training.fit_fold(training.Attempt(0, fold), material, params)
    fitted = training.fit_training_part(fold, material, params, 0)
    expected = fitted.predict_proba(material.speech.of(fold.test), material.groups.of(fold.test))
    np.testing.assert_array_equal(outcome.test, expected)


def test_the_temperature_of_a_fold_is_fitted_to_its_validation_clips(data, params):
    done = training.cross_validate(data, split(data.index, params.train, params.seed), params)
    for fold in (1, 2, 3):
        held = done.validation[done.validation["fold"] == fold]
        labels = held["emotion"].map({emotion: n for n, emotion in enumerate(data.classes)}).to_numpy()
        expected = fit_temperature(held[list(data.classes)].to_numpy(), labels)
        tested = done.predictions[done.predictions["fold"] == fold]
        np.testing.assert_allclose(tested["temperature"], expected, rtol=1e-3)
    assert min(held["temperature"].min(), 20) <= done.temperature <= done.validation["temperature"].max()


def test_the_shipped_model_answers_the_share_of_validation_clips_that_is_asked(data, params):
    done = training.cross_validate(data, split(data.index, params.train, params.seed), params)
    for coverage in (0.5, 0.9):
        least = done.confidence_for(coverage, data.classes)
        probabilities = tempered(done.validation[list(data.classes)].to_numpy(), done.validation["temperature"])
        assert np.mean(probabilities.max(axis=1) >= least) == pytest.approx(coverage, abs=0.03)


def test_seeds_repeat_the_training_on_the_same_folds(data, params):
    folds = split(data.index, params.train, params.seed)
    once = training.cross_validate(data, folds, params)
    params = params.model_copy(update={"train": params.train.model_copy(update={"seeds": 2})})
    twice = training.cross_validate(data, folds, params)
    check_leakage(folds, twice.predictions, data.index, "speaker_kfold")
    by_seed = {seed: rows.reset_index(drop=True) for seed, rows in twice.predictions.groupby("seed")}
    assert sorted(by_seed) == [0, 1]
    pd.testing.assert_frame_equal(by_seed[0], once.predictions)
    assert by_seed[1]["fold"].equals(by_seed[0]["fold"])
    emotions = list(data.classes)
    assert not np.allclose(by_seed[1][emotions], by_seed[0][emotions])
    assert [bool(outcome.onnx) for outcome in twice.outcomes.values()] == [True] * 3 + [False] * 3


def test_curves_hold_every_epoch_of_every_fold(data, params):
    done = training.cross_validate(data, split(data.index, params.train, params.seed), params)
    assert set(done.curves["measure"]) == {"loss", "validation_loss"}
    last = done.curves.groupby("fold")["epoch"].max()
    for (_, fold), outcome in done.outcomes.items():
        assert last[fold] == len(outcome.history) >= outcome.chosen["epochs"]


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_killed_training_goes_on_at_the_last_finished_fold(data, params, tmp_path, monkeypatch):
    folds = split(data.index, params.train, params.seed)
    whole = training.cross_validate(data, folds, params)
    fitted, real = [], training.fit_training_part

    def fit_two(fold, *arguments):
        if len(fitted) == 2:
            raise Killed
        fitted.append(fold.number)
        return real(fold, *arguments)

    monkeypatch.setattr(training, "fit_training_part", fit_two)
    with pytest.raises(Killed):
        training.cross_validate(data, folds, params, tmp_path)
    assert fitted == [1, 2]
    fitted[:] = [0]
    resumed = training.cross_validate(data, folds, params, tmp_path)
    assert fitted == [0, 3]
    pd.testing.assert_frame_equal(resumed.predictions, whole.predictions, check_exact=True)
    pd.testing.assert_frame_equal(resumed.validation, whole.validation, check_exact=True)
    pd.testing.assert_frame_equal(resumed.curves, whole.curves, check_exact=True)
    for key, outcome in whole.outcomes.items():
        assert resumed.outcomes[key]._replace(test=0, validation=0) == outcome._replace(test=0, validation=0)
    # What follows the folds may be killed, too.
    fitted[:] = [0, 0]
    again = training.cross_validate(data, folds, params, tmp_path)
    assert fitted == [0, 0]
    pd.testing.assert_frame_equal(again.predictions, whole.predictions, check_exact=True)
    again.checkpoints.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 500])
def test_a_fold_that_was_not_written_whole_is_trained_again(data, params, tmp_path, capsys, kept):
    folds = split(data.index, params.train, params.seed)
    whole = training.cross_validate(data, folds, params, tmp_path)
    (broken,) = tmp_path.glob("*/seed-*-fold-2.npz")
    broken.write_bytes(broken.read_bytes()[:kept])
    again = training.cross_validate(data, folds, params, tmp_path)
    pd.testing.assert_frame_equal(again.predictions, whole.predictions, check_exact=True)
    assert f"{broken}: not whole" in capsys.readouterr().err
    assert len(broken.read_bytes()) > 500


def test_every_library_that_makes_digits_is_asked_for_its_version():
    found = {name: checkpoints._version(name) for name in checkpoints._LIBRARIES}
    for module in ("numpy", "scipy", "sklearn", "xgboost", "keras", "tensorflow", "torch", "onnx", "skl2onnx"):
        installed = {name.replace("_", "-") for name in packages_distributions()[module]}
        (name,) = installed & set(found)
        assert found[name]


@pytest.mark.parametrize("changed", ["seed", "model", "features", "folds", "device", "backend", "library"])
def test_folds_of_another_training_are_not_taken_over(data, params, tmp_path, monkeypatch, changed):
    folds = split(data.index, params.train, params.seed)

    def opened(data, folds, params):
        return Checkpoints.open(tmp_path, training.Material.of(data, params), folds, params)

    first = opened(data, folds, params)
    assert opened(data, folds, params) == first
    if changed == "seed":
        params = params.model_copy(update={"seed": 3})
    elif changed == "model":
        params = params.model_copy(update={"model": "xgboost"})
    elif changed == "features":
        data = refeatured(data, data.speech.features + np.float32(1e-3))
    elif changed == "device":
        monkeypatch.setattr("emodag.models.on_gpu", lambda params: True)
    elif changed == "backend":
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    elif changed == "library":
        monkeypatch.setattr("emodag.checkpoints.version", lambda library: "next")
    else:
        folds = split(data.index, params.train, 3)
    assert opened(data, folds, params) != first


@pytest.mark.parametrize(
    ("protocol", "remedy"),
    [
        ("speaker_kfold", "happy; use more train.folds or train.protocol loso"),
        ("holdout", "happy; name others in train.holdout, add clips"),
        ("loso", "happy; add clips of it by other speakers"),
    ],
)
def test_a_fold_without_an_emotion_is_told_what_helps_under_its_protocol(data, params, protocol, remedy):
    changed = params.changed({"train.protocol": protocol, "train.holdout": ["alpha/01"]})
    fold = next(iter(training.parts_of(data, split(data.index, params.train, 0))))
    lacking = fold._replace(training=fold.training[data.labels[fold.training] != data.classes.index("happy")])
    with pytest.raises(DataError, match=remedy):
        training.require_every_emotion(lacking, training.Material.of(data, changed), changed)


def test_clips_of_nobody_known_are_one_voice_to_who_judges(synthetic_corpus, params):
    """For adaptation each is alone; but they may be of one voice, which has no say in what judges it."""
    index, functionals = synthetic_corpus.make("alpha", 2)
    index["speaker"] = "alpha/unknown"
    material = training.Material.of(synthetic_corpus.data(index, functionals), params)
    assert set(material.voices) == {0}


@pytest.mark.parametrize("shared", [False, True])
def test_fits_that_share_a_gpu_take_turns(params, monkeypatch, shared):
    asked = {}
    monkeypatch.setattr(training, "parallel_map", lambda *_, **rest: asked.update(rest) or iter(()))
    monkeypatch.setattr("emodag.models.on_gpu", lambda params: shared)
    assert list(training.each_fitted(len, [], params.changed({"compute.jobs": 3}), "")) == []
    assert (asked["jobs"], asked["alone"]) == (3, shared)
