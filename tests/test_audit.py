"""The leaky split beside the honest one, on a synthesised corpus whose voices differ more than its emotions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
import typer

from emodag import audit, cli
from emodag import params as parameters
from emodag.errors import LeakageError
from emodag.leakage import check_leakage, leaks
from emodag.params import Protocol
from emodag.splits import split

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def params():
    mlp = {"hidden": [20], "alpha": 0.01, "batch_size": 16, "learning_rate": 0.01, "max_epochs": 40}
    changes = {f"models.mlp.{key}": value for key, value in mlp.items()}
    changes |= {"train.folds": 3, "compute.jobs": 1, "evaluate.resamples": 200}
    return parameters.load(ROOT / "params.yaml").changed(changes)


@pytest.fixture(scope="module")
def data(synthetic_corpus):
    """Each take is hard to tell, and its copy is all but the same."""
    index, functionals = synthetic_corpus.make("alpha", 9, takes=4, copies=1, spread=2.5)
    # Two clips with the very same samples, as some corpora have.
    twins = index.index[index["parent_id"].isna()][[0, 40]]
    index.loc[twins[1], "md5"] = index.loc[twins[0], "md5"]
    return synthetic_corpus.data(index, functionals)


@pytest.fixture(scope="module")
def found(data, params):
    return audit.audit(data, params)


def test_the_leaky_split_flatters(found):
    comparison = found.flattered["alpha"]
    honest, leaky = (side.scores["alpha"].summary() for side in (found.honest, found.leaky))
    assert comparison.difference == pytest.approx(leaky["uar"] - honest["uar"])
    assert comparison.uar == pytest.approx((honest["uar"], leaky["uar"]))
    assert comparison.difference > 0.2
    assert comparison.is_clear
    assert honest["clips"] == leaky["clips"] == 9 * 4 * 4


def test_the_guard_finds_nothing_here_and_everything_there(found, data):
    assert found.honest.verdict == ""
    assert found.honest.leaks == ([], [], [])
    assert found.leaky.verdict.startswith("speakers stand in two parts of a fold")
    assert len(found.leaky.leaks.speakers) == 9
    assert set(found.leaky.leaks.copies) == set(data.index["clip_id"][data.index["parent_id"].notna()])
    twins = data.index["clip_id"][data.index["md5"].duplicated(keep=False)]
    assert found.leaky.leaks.audio == sorted(twins)


def test_leaky_folds_let_all_train_that_is_not_held_out(data, params):
    folds = audit.leaky_folds(data.index, params.train, seed=0)
    honest = split(data.index, params.train.model_copy(update={"protocol": "random"}), 0)
    held_out = [table[table["part"] != "train"].reset_index(drop=True) for table in (folds, honest)]
    pd.testing.assert_frame_equal(*held_out)
    assert (folds.groupby("fold").size() == len(data.index)).all()
    tested = folds[folds["part"] == "test"].merge(data.index[["clip_id"]])
    assert tested["clip_id"].is_unique


@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_the_guard_would_stop_the_pipeline_under_every_protocol(found, data, params, protocol):
    folds = audit.leaky_folds(data.index, params.train, params.seed)
    with pytest.raises(LeakageError):
        check_leakage(folds, found.leaky.predictions, data.index, protocol)


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso", "random"])
def test_no_protocol_leaks_copies_or_audio(data, params, protocol):
    train = params.train.model_copy(update={"protocol": protocol})
    found = leaks(split(data.index, train, 0), data.index)
    assert (found.copies, found.audio) == ([], [])
    assert bool(found.speakers) == (protocol == "random")


def test_the_same_seed_audits_alike(found, data, params):
    again = audit.audit(data, params)
    assert again.summary() == found.summary()


def test_some_folds_of_either_side_can_stand_for_all(found, data, params):
    one = audit.audit(data, params, tested=1)
    for side, whole in ((one.honest, found.honest), (one.leaky, found.leaky)):
        of_fold = whole.predictions[whole.predictions["fold"] == 1].reset_index(drop=True)
        pd.testing.assert_frame_equal(side.predictions.reset_index(drop=True), of_fold)
    clips = [set(side.predictions["clip_id"]) for side in (one.honest, one.leaky)]
    assert clips[0] != clips[1]
    assert one.flattered["alpha"].clips == len(clips[0] & clips[1]) > 0
    assert one.summary()["tested"] == 1
    first, *_ = str(one).splitlines()
    assert first == (
        "mlp, 1 of 3 folds, 16 clips and 144 augmented copies, 3 speakers, 4 classes, calm: keep, "
        "95% intervals over speakers, too narrow: 3 are few"
    )


def test_corpora_are_scored_together_too(found):
    together = found.summary()["together"]["leaky"]
    assert together["wa"] == pytest.approx(found.leaky.scores["alpha"].summary()["wa"])


def test_says_and_writes_both_sides(found, tmp_path):
    audit.write(found, tmp_path / "audit")
    content = json.loads((tmp_path / "audit/audit.json").read_text())
    assert content["guard"]["leaky"] | {"says": ""} == {
        "refuses": True, "says": "", "speakers": 9, "copies": 144, "audio": 2
    }  # fmt: skip
    of_corpus = content["corpora"]["alpha"]
    assert of_corpus["flattered"] == pytest.approx(of_corpus["leaky"]["uar"] - of_corpus["speakers_apart"]["uar"])
    assert of_corpus["flattered_low"] < of_corpus["flattered"] < of_corpus["flattered_high"]
    assert (tmp_path / "audit/audit.png").read_bytes().startswith(b"\x89PNG")
    told = str(found)
    assert "over 9 speakers)" in told
    alone = replace(found.flattered["alpha"], unit="clips", speakers=1)
    assert f"over {alone.clips} clips of one speaker)" in str(replace(found, flattered={"alpha": alone}))
    assert "refused: 9 speakers, 144 augmented copies and 2 byte-equal clips stand on both sides of folds" in told
    assert f"a leaky split would claim {100 * of_corpus['flattered']:.1f} points more" in found.title
    assert {f"{len(found.flattered['alpha'].classes)} classes", "calm: keep"} <= set(found.notes)
    other = replace(found.flattered["alpha"], uar=(0.5, 0.515))
    both = replace(found, flattered=found.flattered | {"beta": other})
    assert both.title.startswith("2 corpora: a leaky split would claim 1.5 to ")


def test_more_folds_than_there_are_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.BadParameter, match=r"6 is more than train\.folds \(5\)"):
        cli.app(["audit", "--folds", "6"], standalone_mode=False)


def test_the_command_audits_the_train_corpora(synthetic_corpus, tmp_path, monkeypatch, capsys):
    content = (ROOT / "params.yaml").read_text().replace("demo_en: train", "alpha: train")
    content = content.replace("  demo_de: test\n", "  beta: train\n").replace("hidden: [300]", "hidden: [8]")
    content = content.replace("jobs: 0 ", "jobs: 1 ").replace("max_epochs: 200", "max_epochs: 3")
    (tmp_path / "params.yaml").write_text(content.replace("seeds: 1 ", "seeds: 2 "))
    for corpus in ("alpha", "beta"):
        synthetic_corpus.write(tmp_path / "data/features/train" / corpus, *synthetic_corpus.make(corpus, 6))
    monkeypatch.chdir(tmp_path)
    cli.app(["audit", "--out", "leaks"], standalone_mode=False)
    told = capsys.readouterr()
    assert "alpha: the leaky split flatters by " in told.out
    assert "beta: the leaky split flatters by " in told.out
    assert "5 folds with speakers apart, as many leaky" in told.err
    assert json.loads((tmp_path / "leaks/audit.json").read_text())["corpora"]["beta"]["leaky"]["clips"] == 6 * 4 * 4
