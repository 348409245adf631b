from __future__ import annotations

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
from emodag.speech import Speech
from emodag.splits import split
from emodag.training import CrossValidation, cross_validate, fit_final

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def data(synthetic_corpus) -> Dataset:
    index, functionals = synthetic_corpus.make("alpha", 4)
    return synthetic_corpus.data(index, functionals)


def cross_validated(data: Dataset, params) -> CrossValidation:
    """What a cross-validation of small models of the data gave."""
    train = params.train.model_copy(update={"folds": 2, "keep_folds": False})
    mlp = params.models.mlp.model_copy(update={"hidden": [4], "max_epochs": 3})
    small = params.model_copy(
        update={"train": train, "model": "mlp", "models": params.models.model_copy(update={"mlp": mlp})}
    )
    small = small.model_copy(update={"compute": params.compute.model_copy(update={"jobs": 1})})
    return cross_validate(data, split(data.index, train, 0), small)


@pytest.fixture(scope="module", params=["mlp", "xgboost"])
def shipped(request, data, tmp_path_factory):
    """A model, its bundle and the folder it was saved in."""
    params = parameters.load(ROOT / "params.yaml").model_copy(update={"model": request.param})
    model = fit_final(data, params, {"rounds" if request.param == "xgboost" else "epochs": 3})
    made = bundle.make(model, data, params, cross_validated(data, params), {"alpha": 0.5})
    folder = tmp_path_factory.mktemp(request.param)
    made.save(folder)
    return model, made, folder


def test_a_saved_bundle_is_read_back_whole(shipped):
    _, made, folder = shipped
    assert bundle.load(folder) == made
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.onnx"]


def test_the_description_says_what_the_model_expects_and_where_it_comes_from(shipped, data):
    description = read_json(shipped[2] / "bundle.json")
    assert description["format"] == 5
    assert description["classes"] == ["neutral", "happy", "sad", "angry"]
    assert description["names"] == list(data.speech.names)
    assert description["settings"] == data.settings
    assert description["inputs"] == "all"
    assert description["adaptation"] == {"by": "none", "prior": 2.0, "features": {"mean": [], "std": []}}
    assert description["groups"] == description["columns"] == description["embedding_columns"] == []
    assert 0.1 <= description["temperature"] <= 20
    assert 0.25 <= description["unknown"] <= 1
    assert description["corpora"] == ["alpha"]
    assert description["clips"] == len(data.index)
    assert description["chosen"] == {"epochs": 3}
    assert description["scores"] == {"alpha": {"uar": 0.5, "leaky": False}}


def test_saving_twice_gives_the_same_bytes(shipped, tmp_path):
    _, made, folder = shipped
    made.save(tmp_path)
    for name in ("bundle.json", "model.onnx"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_predictions_equal_the_trained_models(shipped, data):
    model, made, folder = shipped
    groups = groups_of(data.index, made.adapter.settings)
    expected = model.predict_proba(data.speech, groups)
    np.testing.assert_allclose(bundle.load(folder).predict_proba(data.speech), expected, atol=1e-5)
    assert bundle.check_export(made, model.adapter(data.speech, groups), expected) < 1e-5


def test_an_export_that_differs_is_refused(shipped, data):
    model, made, _ = shipped
    groups = groups_of(data.index, made.adapter.settings)
    adapted, expected = model.adapter(data.speech, groups), model.predict_proba(data.speech, groups)
    expected[3, 1] += 2e-4
    with pytest.raises(DataError, match=r"differs from the trained model by 0\.0002"):
        bundle.check_export(made, adapted, expected)
    expected[3, 1] = np.nan
    with pytest.raises(DataError, match="differs from the trained model by nan"):
        bundle.check_export(made, adapted, expected)


def test_many_clips_are_predicted_in_batches(shipped, data, monkeypatch):
    _, made, _ = shipped
    whole = made.predict_proba(data.speech)
    monkeypatch.setattr(bundle, "_BATCH", 7)
    np.testing.assert_allclose(made.predict_proba(data.speech), whole, atol=1e-6)
    assert made.predict_proba(data.speech.of(slice(0))).shape == (0, 4)


def test_prediction_needs_no_training_library(shipped, python):
    script = (
        "import sys, numpy; from emodag import bundle; from emodag.speech import Speech; b = bundle.load(sys.argv[1]);"
        "b.predict_proba(Speech(numpy.zeros((2, len(b.names)))));"
        "print(sorted({'sklearn', 'xgboost', 'skl2onnx', 'onnx', 'torch', 'keras', 'tensorflow'} & set(sys.modules)))"
    )
    done = python(script, shipped[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("functionals", "message"),
    [
        (np.zeros((2, 5)), r"takes features \[clips, 12\], found \[2, 5\]"),
        (np.zeros(12), r"found \[12\]"),
        (np.where(np.eye(12) > 0, np.nan, 0), "feature_00 of row 0 is nan"),
        (np.full((1, 12), np.inf), "feature_00 of row 0 is inf"),
    ],
)
def test_what_is_no_functionals_is_an_error(shipped, functionals, message):
    with pytest.raises(DataError, match=message):
        shipped[1].predict_proba(Speech(functionals))


def test_features_of_other_settings_are_refused(shipped, data):
    older = replace(data, settings=data.settings | {"n_fft": 1024, "hop": 160})
    with pytest.raises(DataError, match=r"hop: trained with none, found 160; n_fft: trained with 512, found 1024"):
        predict(shipped[1], older)


ENCODER = {
    "kind": "onnx",
    "model": "/home/someone/models/tiny.onnx",
    "folder": "/home/someone/encoders",
    "layer": "average",
    "batch_seconds": 20.0,
    "front_end": {"n_mels": 64},
}


def with_encoder(data: Dataset, *, embedded: bool = True, sha256: str | None = "0123", **changes) -> Dataset:
    """The data as features of an encoder; ``embedded`` says whether its embeddings are among what the model sees."""
    embedding = tuple(f"embedding_{number:04d}" for number in range(4))
    names = data.speech.names[:8] + embedding if embedded else data.speech.names
    settings = data.settings | {"encoder": ENCODER | changes, "encoder_sha256": sha256}
    return replace(data, speech=replace(data.speech, names=names), settings=settings)


def bundle_of(data: Dataset) -> bundle.Bundle:
    params = parameters.load(ROOT / "params.yaml")
    mlp = params.models.mlp.model_copy(update={"hidden": [4]})
    params = params.model_copy(update={"models": params.models.model_copy(update={"mlp": mlp})})
    final = fit_final(data, params, {"epochs": 1})
    return bundle.make(final, data, params, cross_validated(data, params), {"alpha": 0.5})


@pytest.mark.parametrize("changes", [{"model": "other/tiny.onnx"}, {"folder": "else"}, {"batch_seconds": 5.0}])
def test_where_an_encoder_lies_and_how_it_is_batched_is_no_matter(data, changes):
    made = bundle_of(with_encoder(data))
    assert len(predict(made, with_encoder(data, **changes))) == len(data.index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "transformers"}, "encoder.kind: trained with onnx, found transformers"),
        ({"layer": 3}, "encoder.layer: trained with average, found 3"),
        ({"front_end": {"n_mels": 40}}, r"encoder.front_end: trained with {'n_mels': 64}, found {'n_mels': 40}"),
        ({"sha256": "4567"}, "encoder_sha256: trained with 0123, found 4567"),
    ],
)
def test_embeddings_of_another_encoder_are_refused(data, changes, message):
    with pytest.raises(DataError, match=message):
        predict(bundle_of(with_encoder(data)), with_encoder(data, **changes))


def test_a_model_that_sees_no_embedding_does_not_ask_for_the_encoder(data):
    made = bundle_of(with_encoder(data, embedded=False))
    for other in (
        with_encoder(data, embedded=False, kind="none", sha256=None),
        with_encoder(data, embedded=False, sha256="4567", model="other.onnx", layer=3),
    ):
        assert len(predict(made, other)) == len(data.index)
    assert made.encoder == "none"


def test_no_path_of_the_machine_is_in_the_bundle(data, tmp_path):
    made = bundle_of(with_encoder(data))
    made.save(tmp_path)
    assert "/home" not in (tmp_path / "bundle.json").read_text()
    assert made.encoder == "tiny.onnx"
    assert made.settings["encoder"] == ENCODER | {"model": "tiny.onnx", "folder": "encoders"}


def described_by(by: str, **changes):
    """A change of a saved bundle: an adaptation of these values where those of 12 features are due."""
    settings = {"by": by, "prior": 2.0} | {key: changes.pop(key) for key in ("prior", "mood") if key in changes}
    statistics = {"mean": [0.0] * 12, "std": [1.0] * 12} | changes
    settings["features"] = {key: value for key, value in statistics.items() if value is not None}

    def spoil(folder: Path) -> None:
        kept = {key: value for key, value in settings.items() if value is not None}
        write_json(folder / "bundle.json", read_json(folder / "bundle.json") | {"adaptation": kept})

    return spoil


def test_a_bundle_with_statistics_of_all_features_is_read(shipped, tmp_path):
    shipped[1].save(tmp_path)
    described_by("speaker")(tmp_path)
    assert bundle.load(tmp_path).adapter.settings.by == "speaker"


@pytest.mark.parametrize(
    ("by", "changes", "message"),
    [
        ("speaker", {"mean": [0.0] * 11}, r"adaptation\.features\.mean: \[11\] values.*needed are 12"),
        ("speaker", {"std": [1.0] * 13}, r"adaptation\.features\.std: \[13\] values"),
        ("speaker", {"mean": ["a"] * 12}, "could not convert"),
        ("speaker", {"std": [1.0] * 11 + [0.0]}, r"adaptation\.features\.std: 0\.0 is no standard deviation"),
        ("speaker", {"std": None}, "adaptation has no 'std'"),
        ("speaker", {"prior": None}, r"adaptation: .*prior"),
        ("speaker", {"prior": -1.0}, r"adaptation: .*prior"),
        ("voice", {}, r"adaptation: .*'none', 'recording' or 'speaker'"),
        ("speaker", {"mood": 1}, r"adaptation: .*mood"),
        ("none", {}, "needed are 0"),
        ("recording", {"mean": [], "std": []}, r"set featurize\.functionals\.mean"),
    ],
)
def test_a_broken_adaptation_is_named_with_the_file(shipped, tmp_path, by, changes, message):
    shipped[1].save(tmp_path)
    described_by(by, **changes)(tmp_path)
    with pytest.raises(DataError, match=rf"bundle\.json: .*{message}"):
        bundle.load(tmp_path)


def test_statistics_that_are_not_finite_are_named_with_the_file(shipped, tmp_path):
    """Our own writer refuses what is not finite, so a foreign one wrote it."""
    shipped[1].save(tmp_path)
    described_by("speaker", mean=[0.0] * 11 + [123456.0])(tmp_path)
    text = (tmp_path / "bundle.json").read_text()
    (tmp_path / "bundle.json").write_text(text.replace("123456.0", "1e999"))
    with pytest.raises(DataError, match=r"bundle\.json: adaptation\.features\.mean: .*not finite"):
        bundle.load(tmp_path)


def test_statistics_of_what_the_model_does_not_see_are_refused(shipped, tmp_path):
    shipped[1].save(tmp_path)
    description = read_json(tmp_path / "bundle.json")
    description["adaptation"]["frames"] = {"mean": [], "std": []}
    write_json(tmp_path / "bundle.json", description)
    with pytest.raises(DataError, match="adaptation describes features, frames, the model sees features"):
        bundle.load(tmp_path)


@pytest.mark.parametrize("names", [["other"], None])
def test_features_of_other_names_are_refused(shipped, data, names):
    names = data.speech.names[:-1] + tuple(names) if names else data.speech.names[::-1]
    with pytest.raises(DataError, match="other features than the model's"):
        predict(shipped[1], replace(data, speech=replace(data.speech, names=names)))


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
        (lambda f: write_json(f / "bundle.json", []), "format None, this version reads 5"),
        (lambda f: write_json(f / "bundle.json", read_json(f / "bundle.json") | {"format": 0}), "format 0"),
        (lambda f: write_json(f / "bundle.json", {"format": 5, "model": "mlp"}), "not the file that"),
        (lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:200]), "not the file that bundle"),
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
    assert list(table.columns) == ["clip_id", "speaker", "fold", "seed", "temperature", "emotion", *data.classes]
    assert set(table["fold"]) == {0}
    assert set(table["temperature"]) == {shipped[1].temperature}
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
