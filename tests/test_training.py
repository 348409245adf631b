from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import params as parameters
from emodag import training
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.leakage import check_leakage
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


@pytest.fixture
def data(synthetic_corpus) -> Dataset:
    index, functionals = synthetic_corpus.make("alpha", 6, spread=0.5)
    return Dataset(index, functionals, synthetic_corpus.names, synthetic_corpus.settings, "synthetic")


@pytest.mark.parametrize("model", ["mlp", "xgboost"])
def test_every_recording_is_predicted_by_a_fold_that_held_it_out(data, params, model):
    params = params.model_copy(update={"model": model})
    folds = split(data.index, params.train, params.seed)
    done = training.cross_validate(data, folds, params)
    check_leakage(folds, done.predictions, data.index, "speaker_kfold")
    assert sorted(done.predictions["clip_id"]) == sorted(data.originals().index["clip_id"])
    assert sorted(done.rounds) == [1, 2, 3]
    probabilities = done.predictions[list(data.classes)].to_numpy()
    truth = done.predictions["emotion"].map({emotion: n for n, emotion in enumerate(data.classes)})
    assert np.mean(probabilities.argmax(axis=1) == truth) > 0.6


def test_the_number_of_processes_changes_nothing(data, params):
    folds = split(data.index, params.train, params.seed)
    serial = training.cross_validate(data, folds, params)
    two = params.model_copy(update={"compute": params.compute.model_copy(update={"jobs": 2})})
    parallel = training.cross_validate(data, folds, two)
    pd.testing.assert_frame_equal(serial.predictions, parallel.predictions, check_exact=True)
    assert serial.rounds == parallel.rounds


def test_scaling_knows_nothing_of_held_out_speakers(data, params):
    """An outlier speaker moves the scaler of exactly those folds that train on them."""
    outlier = (data.index["speaker"] == "alpha/04").to_numpy()
    functionals = data.features + np.where(outlier, 1000, 0).astype(np.float32)[:, None]
    held_out = 0
    material = training.Material.of(data, params)._replace(features=functionals)
    for fold in training.parts_of(data, split(data.index, params.train, params.seed)):
        model = training.fit_training_part(fold, material, params).model
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
    changed = data.features.copy()
    changed[(data.index["clip_id"] == first).to_numpy()] += 50
    after = training.cross_validate(
        Dataset(data.index, changed, data.names, data.settings, data.source), folds[folds["fold"] == 1], params
    )
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
    data = Dataset(index, data.features, data.names, data.settings, data.source)
    folds = split(index, params.train, params.seed)
    with pytest.raises(DataError, match=r"fold \d has no training clip of sad"):
        training.cross_validate(data, folds, params)


@pytest.mark.parametrize("kept", ["none", "no test"])
def test_folds_that_test_nothing_are_an_error(data, params, kept):
    folds = split(data.index, params.train, params.seed)
    folds = folds[:0] if kept == "none" else folds[folds["part"] != "test"]
    with pytest.raises(DataError, match=r"there is no fold|fold 1 tests no clip"):
        training.cross_validate(data, folds, params)


@pytest.mark.parametrize(("rounds", "median"), [({1: 4, 2: 9, 3: 30}, 9), ({1: 4, 2: 7}, 6), ({1: 1}, 1)])
def test_the_final_model_is_trained_for_the_median_of_the_folds(data, params, rounds, median):
    done = training.CrossValidation(pd.DataFrame(), rounds)
    assert done.median_rounds == median
    final = training.fit_final(data, params, done.median_rounds).model
    assert final.rounds == median
    np.testing.assert_allclose(final.scaler.mean_, data.features.astype(np.float64).mean(axis=0), rtol=1e-5)
