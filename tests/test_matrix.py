"""Corpora against each other, on synthesised corpora in which the classes lie alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import cli, matrix, models
from emodag import params as parameters
from emodag.errors import CorpusError, DataError
from emodag.matrix import Cell, cross
from emodag.splits import CROSS_CORPUS
from emodag.training import fit_final

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def params():
    mlp = {"hidden": [12], "alpha": 0.01, "batch_size": 16, "learning_rate": 0.01, "max_epochs": 25}
    changes = {f"models.mlp.{key}": value for key, value in mlp.items()}
    changes |= {"train.folds": 3, "compute.jobs": 1, "evaluate.resamples": 100}
    return parameters.load(ROOT / "params.yaml").changed(changes)


@pytest.fixture
def corpora(synthetic_corpus):
    """Two corpora that share three emotions, of which only the first has augmented copies."""
    made = {
        "alpha": synthetic_corpus.make("alpha", 6, spread=0.4),
        "beta": synthetic_corpus.make("beta", 4, ("happy", "sad", "angry", "bored"), copies=0, spread=0.4),
    }
    return {name: synthetic_corpus.data(*each) for name, each in made.items()}


@pytest.fixture
def found(corpora, params):
    return cross(corpora, params)


def test_every_corpus_is_tested_by_every_other_over_the_classes_of_both(found):
    assert list(found.cells) == [("alpha", "alpha"), ("alpha", "beta"), ("beta", "alpha"), ("beta", "beta")]
    for (trained, tested), cell in found.cells.items():
        assert (cell.trained, cell.tested) == (trained, tested)
        inside = trained == tested
        assert cell.protocol == ("speaker_kfold" if inside else CROSS_CORPUS)
        assert len(cell.scores.classes) == (4 if inside else 3)
        assert cell.scores.summary()["uar"] > 0.6
    # Clips of the classes that the other lacks are left out: 4 takes of one emotion of each speaker.
    assert found.cells["alpha", "beta"].scores.clips == 4 * 4 * 3
    assert found.cells["beta", "alpha"].scores.clips == 6 * 4 * 3
    assert found.augmented == ("alpha",)


def test_a_cell_is_what_the_shipped_model_would_score(corpora, params, found):
    """The same fit as the pipeline's last one, scored as a test corpus is, arrives at the same number."""
    from emodag import training
    from emodag.adaptation import groups_of
    from emodag.splits import split

    data, tested = corpora["alpha"], corpora["beta"]
    chosen = training.cross_validate(data, split(data.index, params.train, params.seed), params).chosen
    fitted = fit_final(data, params, chosen)
    probabilities = fitted.predict_proba(tested.speech, groups_of(tested.index, params.adaptation))
    shared = [data.classes.index(emotion) for emotion in ("happy", "sad", "angry")]
    known = tested.index["emotion"] != "bored"
    best = np.array(("happy", "sad", "angry"))[probabilities[:, shared].argmax(axis=1)]
    recalls = (tested.index["emotion"] == best)[known].groupby(tested.index["emotion"]).mean()
    assert found.cells["alpha", "beta"].scores.summary()["uar"] == pytest.approx(recalls.mean())


def test_what_was_chosen_before_costs_one_fit_per_corpus_and_leaves_the_diagonal(corpora, params, monkeypatch):
    fits = []
    fit = matrix.fit
    monkeypatch.setattr(matrix, "fit", lambda *args, **rest: fits.append(rest["chosen"]) or fit(*args, **rest))
    known = Cell("alpha", "alpha", "loso", None, "known")
    some = cross(corpora, params, {"epochs": 7}, {"alpha": known})
    assert fits == [{"epochs": 7}] * 2
    assert some.cells["alpha", "alpha"] is known
    assert some.cells["beta", "beta"].reason == "not cross-validated here"
    assert some.cells["alpha", "beta"].scores is not None


def test_empty_cells_say_why(synthetic_corpus, params):
    made = {
        "alpha": synthetic_corpus.make("alpha", 6, ("happy", "sad", "angry")),
        "lone": synthetic_corpus.make("lone", 1, ("happy", "sad"), copies=0),
        "other": synthetic_corpus.make("other", 3, ("neutral", "bored"), copies=0),
        "nearly": synthetic_corpus.make("nearly", 3, ("happy", "bored"), copies=0),
        "single": synthetic_corpus.make("single", 3, ("happy",), copies=0),
    }
    found = cross({name: synthetic_corpus.data(*each) for name, each in made.items()}, params)
    reasons = {key: cell.reason for key, cell in found.cells.items() if cell.scores is None}
    assert reasons["lone", "lone"] == "1 speaker: nobody is left to train on"
    assert "no class is shared" in reasons["alpha", "other"]
    assert "only happy is in both" in reasons["alpha", "nearly"]
    assert "one emotion only" in reasons["single", "alpha"]
    assert "needs two emotions" in reasons["single", "single"]
    # A lone speaker still trains, for as long as other corpora found good.
    assert found.cells["lone", "alpha"].scores is not None
    assert found.cells["alpha", "lone"].scores.intervals.unit == "clips"
    drawn = " ".join(text.get_text() for text in found.figure().axes[0].texts).replace("\n", " ")
    assert "1 speaker: nobody is left to train on" in drawn
    table = found.table()
    assert table["reason"].notna().sum() == table["uar"].isna().sum() == len(reasons)


def test_two_speakers_train_as_long_as_other_corpora_found_good(synthetic_corpus, corpora, params, monkeypatch):
    corpora["pair"] = synthetic_corpus.data(*synthetic_corpus.make("pair", 2, copies=0, spread=0.4))
    fits = {}
    fit = matrix.fit
    monkeypatch.setattr(
        matrix, "fit", lambda material, *args, **rest: fits.update({len(material.labels): rest["chosen"]})
        or fit(material, *args, **rest)
    )  # fmt: skip
    found = cross(corpora, params)
    alone, *others = (fits[len(corpora[name].index)] for name in ("pair", "alpha", "beta"))
    assert alone == models.typical(others)
    assert found.cells["pair", "pair"].scores is not None


def test_a_corpus_that_holds_training_audio_is_not_scored(corpora, params):
    index = corpora["beta"].index.copy()
    index.loc[0, "md5"] = corpora["alpha"].index.loc[0, "md5"]
    corpora["beta"] = replace(corpora["beta"], index=index)
    found = cross(corpora, params, {"epochs": 3})
    assert "are among what the model was trained on" in found.cells["alpha", "beta"].reason
    assert found.cells["alpha", "beta"].brief == "beta holds clips or speakers of alpha"


@pytest.mark.parametrize(
    ("protocol", "used"), [("random", "speaker_kfold"), ("loso", "loso"), ("emobox", "speaker_kfold")]
)
def test_the_diagonal_keeps_speakers_apart(corpora, params, protocol, used):
    found = cross(corpora, params.changed({"train.protocol": protocol, "train.folds": 5}))
    assert {found.cells[corpus, corpus].protocol for corpus in corpora} == {used}


def test_calm_is_merged_or_dropped_as_the_params_say(synthetic_corpus, params):
    made = {
        "alpha": synthetic_corpus.make("alpha", 4, ("neutral", "calm", "sad"), copies=0),
        "beta": synthetic_corpus.make("beta", 4, ("neutral", "sad"), copies=0),
    }
    corpora = {name: synthetic_corpus.data(*each) for name, each in made.items()}
    clips = {}
    for policy in ("keep", "neutral", "drop"):
        found = cross(corpora, params.changed({"train.calm": policy}), {"epochs": 3})
        assert f"calm: {policy}" in found.title
        clips[policy] = found.cells["beta", "alpha"].scores.clips
    assert clips == {"keep": 32, "neutral": 48, "drop": 32}


def test_processes_change_nothing(corpora, params):
    serial, parallel = (cross(corpora, params.changed({"compute.jobs": jobs}), {"epochs": 5}) for jobs in (1, 2))
    pd.testing.assert_frame_equal(serial.table(), parallel.table(), check_exact=True)


def test_writes_a_table_and_a_picture(found, tmp_path):
    matrix.write(found, tmp_path / "matrix")
    content = json.loads((tmp_path / "matrix/matrix.json").read_text())
    table = pd.read_csv(tmp_path / "matrix/matrix.csv")
    assert [(cell["trained"], cell["tested"]) for cell in content["cells"]] == list(found.cells)
    assert table["uar"].tolist() == pytest.approx([cell["uar"] for cell in content["cells"]])
    assert (table["uar_low"] <= table["uar"]).all()
    assert (tmp_path / "matrix/matrix.png").read_bytes().startswith(b"\x89PNG")
    told = str(found)
    assert "alpha -> beta: UAR " in told
    assert "augmented copies train too: alpha" in told


# --- from the features that lie in a checkout


@pytest.fixture
def checkout(tmp_path, monkeypatch, synthetic_corpus):
    content = (ROOT / "params.yaml").read_text().replace("demo_en: train", "alpha: train")
    content = content.replace("demo_de: test", "beta: test").replace("hidden: [300]", "hidden: [12]")
    (tmp_path / "params.yaml").write_text(
        content.replace("jobs: 0 ", "jobs: 1 ").replace("max_epochs: 200", "max_epochs: 5")
    )
    synthetic_corpus.write(tmp_path / "data/features/train/alpha", *synthetic_corpus.make("alpha", 5))
    synthetic_corpus.write(tmp_path / "data/features/test/beta", *synthetic_corpus.make("beta", 5, copies=0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_takes_model_and_adaptation(checkout, capsys):
    cli.app(["matrix", "--model", "mlp", "--adapt", "speaker"], standalone_mode=False)
    told = capsys.readouterr().out
    assert "beta -> alpha: UAR " in told
    assert "adapted by each speaker's own unlabelled clips" in told
    assert json.loads((checkout / "matrix/matrix.json").read_text())["adaptation"] == "speaker"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["matrix", "--model", "mpl"], "'mpl' is no model; accepted: mlp, .*did you mean 'mlp'"),
        (["matrix"], "the features of beta are missing; run `dvc repro featurize@beta`"),
        (["audit"], "the features of alpha are missing; run `dvc repro featurize@alpha`"),
    ],
)
def test_wrong_use_is_told(checkout, arguments, told):
    from emodag.errors import EmodagError

    place = "train/alpha" if arguments == ["audit"] else "test/beta"
    (checkout / "data/features" / place).rename(checkout / "elsewhere")
    with pytest.raises(EmodagError, match=told):
        cli.app(arguments, standalone_mode=False)


def test_corpora_with_other_features_are_told(checkout, synthetic_corpus):
    path = checkout / "data/features/test/beta/features.json"
    path.write_text(path.read_text().replace('"n_fft": 512', '"n_fft": 256'))
    with pytest.raises(DataError, match="have different features"):
        matrix.load(parameters.load())


def test_features_left_over_are_told(checkout, synthetic_corpus):
    synthetic_corpus.write(checkout / "data/features/test/gone", *synthetic_corpus.make("gone", 2))
    with pytest.raises(CorpusError, match="emodag prune"):
        matrix.load(parameters.load())
