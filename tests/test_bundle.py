from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import bundle
from emodag import params as parameters
from emodag.adaptation import groups_of
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.files import read_json, write_json
from emodag.predict import predict, restrict, uar_by
from emodag.training import fit_final

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def data(synthetic_corpus) -> Dataset:
    index, functionals = synthetic_corpus.make("alpha", 4)
    return Dataset(index, functionals, synthetic_corpus.names, synthetic_corpus.settings, "synthetic")


@pytest.fixture(scope="module", params=["mlp", "xgboost"])
def shipped(request, data, tmp_path_factory):
    """A model, its bundle and the folder it was saved in."""
    params = parameters.load(ROOT / "params.yaml").model_copy(update={"model": request.param})
    model = fit_final(data, params, rounds=10)
    made = bundle.make(model, data, params, {"alpha": 0.5})
    folder = tmp_path_factory.mktemp(request.param)
    made.save(folder)
    return model, made, folder


def test_a_saved_bundle_is_read_back_whole(shipped):
    _, made, folder = shipped
    assert bundle.load(folder) == made
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.onnx"]


def test_the_description_says_what_the_model_expects_and_where_it_comes_from(shipped, data):
    description = read_json(shipped[2] / "bundle.json")
    assert description["format"] == 2
    assert description["classes"] == ["neutral", "happy", "sad", "angry"]
    assert description["names"] == data.names
    assert description["settings"] == data.settings
    assert description["inputs"] == "all"
    assert description["adaptation"] == {"by": "none", "prior": 2.0, "mean": [], "std": []}
    assert description["corpora"] == ["alpha"]
    assert description["clips"] == len(data.index)
    assert description["rounds"] == 10
    assert description["scores"] == {"alpha": {"uar": 0.5, "leaky": False}}


def test_saving_twice_gives_the_same_bytes(shipped, tmp_path):
    _, made, folder = shipped
    made.save(tmp_path)
    for name in ("bundle.json", "model.onnx"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_predictions_equal_the_trained_models(shipped, data):
    model, made, folder = shipped
    groups = groups_of(data.index, made.normaliser.settings)
    expected = model.predict_proba(data.features, groups)
    np.testing.assert_allclose(bundle.load(folder).predict_proba(data.features), expected, atol=1e-5)
    assert bundle.check_export(made, data.features, groups, expected) < 1e-5


def test_an_export_that_differs_is_refused(shipped, data):
    model, made, _ = shipped
    groups = groups_of(data.index, made.normaliser.settings)
    expected = model.predict_proba(data.features, groups)
    expected[3, 1] += 2e-4
    with pytest.raises(DataError, match=r"differs from the trained model by 0\.0002"):
        bundle.check_export(made, data.features, groups, expected)
    expected[3, 1] = np.nan
    with pytest.raises(DataError, match="differs from the trained model by nan"):
        bundle.check_export(made, data.features, groups, expected)


def test_many_clips_are_predicted_in_batches(shipped, data, monkeypatch):
    _, made, _ = shipped
    whole = made.predict_proba(data.features)
    monkeypatch.setattr(bundle, "_BATCH", 7)
    np.testing.assert_allclose(made.predict_proba(data.features), whole, atol=1e-6)
    assert made.predict_proba(data.features[:0]).shape == (0, 4)


def test_prediction_needs_no_training_library(shipped):
    script = (
        "import sys, numpy; from emodag import bundle; b = bundle.load(sys.argv[1]);"
        "b.predict_proba(numpy.zeros((2, len(b.names))));"
        "print(sorted({'sklearn', 'xgboost', 'skl2onnx', 'onnx', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, shipped[2]],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("functionals", "message"),
    [
        (np.zeros((2, 5)), r"takes \[clips, 12\], found \[2, 5\]"),
        (np.zeros(12), r"found \[12\]"),
        (np.where(np.eye(12) > 0, np.nan, 0), "feature_00 of clip number 0 is nan"),
        (np.full((1, 12), 1e300), "feature_00 of clip number 0 is inf"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_no_functionals_is_an_error(shipped, functionals, message):
    with pytest.raises(DataError, match=message):
        shipped[1].predict_proba(functionals)


def test_features_of_other_settings_are_refused(shipped, data):
    older = replace(data, settings=data.settings | {"n_fft": 1024, "hop": 160})
    with pytest.raises(DataError, match=r"hop: trained with none, found 160; n_fft: trained with 512, found 1024"):
        predict(shipped[1], older)


@pytest.mark.parametrize("names", [["other"], None])
def test_features_of_other_names_are_refused(shipped, data, names):
    names = data.names[:-1] + names if names else data.names[::-1]
    with pytest.raises(DataError, match="other features than the model's"):
        predict(shipped[1], replace(data, names=names))


def test_data_that_changed_since_training_are_refused(shipped, data):
    made = shipped[1]
    bundle.check_data(made, data)
    bundle.check_data(made, data.where(np.full(len(data.index), True)))
    fewer = data.where(data.index["clip_id"] != data.index["clip_id"][0])
    altered = replace(data, index=data.index.assign(md5=data.index["md5"].where(data.index.index != 3, "0")))
    for changed in (fewer, altered):
        with pytest.raises(DataError, match="not those that the model was trained on"):
            bundle.check_data(made, changed)


def test_the_fingerprint_does_not_depend_on_the_order(data):
    shuffled = data.index.sample(frac=1, random_state=0)
    assert bundle.fingerprint(data.index) == bundle.fingerprint(shuffled)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "model.onnx").unlink(), "model.onnx: no such file"),
        (lambda f: (f / "bundle.json").unlink(), "bundle.json: no such file"),
        (lambda f: (f / "bundle.json").write_text("{"), "bundle.json: not JSON"),
        (lambda f: write_json(f / "bundle.json", []), "format None, this version reads 2"),
        (lambda f: write_json(f / "bundle.json", read_json(f / "bundle.json") | {"format": 0}), "format 0"),
        (lambda f: write_json(f / "bundle.json", {"format": 2, "model": "mlp"}), "not the fields of format 2"),
        (lambda f: write_json(f / "bundle.json", read_json(f / "bundle.json") | {"mood": 1}), "not the fields"),
    ],
)
def test_a_broken_bundle_is_a_clear_error(shipped, tmp_path, spoil, message):
    shipped[1].save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        bundle.load(tmp_path)


def test_predictions_are_a_table_of_fold_0(shipped, data):
    table = predict(shipped[1], data)
    assert list(table.columns) == ["clip_id", "fold", "emotion", *data.classes]
    assert set(table["fold"]) == {0}
    np.testing.assert_allclose(table[list(data.classes)].sum(axis=1), 1, atol=1e-5)


def test_restricting_renormalises_over_the_shared_classes():
    table = pd.DataFrame(
        {"clip_id": ["a", "b"], "neutral": [0.5, 0.0], "happy": [0.3, 1.0], "sad": [0.2, 0.0]}, index=[4, 9]
    )
    found = restrict(table, ("neutral", "happy", "sad"), ("neutral", "sad"))
    assert list(found.columns) == ["clip_id", "neutral", "sad"]
    np.testing.assert_allclose(found[["neutral", "sad"]], [[5 / 7, 2 / 7], [0.5, 0.5]])


def test_uar_by_group():
    table = pd.DataFrame({"emotion": ["happy", "sad", "sad", "happy"], "happy": [0.9, 0.6, 0.2, 0.1]})
    table["sad"] = 1 - table["happy"]
    assert uar_by(table, pd.Series(["x", "x", "y", "y"]), ("happy", "sad")) == {"x": 0.5, "y": 0.5}
