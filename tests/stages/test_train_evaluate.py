from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from emodag import bundle, datasets, matrix, reports, schema, training
from emodag import params as parameters
from emodag.errors import CorpusError, DataError, LeakageError
from emodag.predict import decisions, uar_by, uar_of
from emodag.tracking import Run

ROOT = Path(__file__).resolve().parents[2]
KEYS = ["uar", "uar_low", "uar_high", "wa", "f1", "clips", "speakers", "protocol", "leaky"]


class Checkout:
    """A folder with params.yaml and features, in which stages run; the run they log to has no store."""

    def __init__(self, folder: Path, synthetic, stage_job):
        self.folder, self.synthetic, self.stage_job = folder, synthetic, stage_job
        self.params = yaml.safe_load((ROOT / "params.yaml").read_text())
        self.params["corpora"] = {}
        self.params["models"]["mlp"] |= {
            "hidden": [16],
            "alpha": 0.01,
            "batch_size": 32,
            "max_epochs": 20,
            "learning_rate": 0.01,
        }
        self.params["models"]["xgboost"] |= {"max_rounds": 15, "max_depth": 2}
        self.params["train"]["folds"] = 3
        self.params["evaluate"]["resamples"] = 200
        # These corpora have no sound to spoil or to listen to; what is left out here has tests of its own.
        self.params["evaluate"] |= {"matrix": False, "examples": 0}
        for part in ("robustness", "importance"):
            self.params["evaluate"][part]["clips"] = 0
        self.params["compute"]["jobs"] = 1

    def add(self, corpus: str, role: str, index=None, functionals=None, **options):
        if index is None:
            index, functionals = self.synthetic.make(corpus, **options)
        self.synthetic.write(self.folder / "data/features" / role / corpus, index, functionals)
        self.params["corpora"][corpus] = role

    def run(self, *stages: str):
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params))
        for stage in stages:
            self.stage_job(stage)(parameters.load(), Run(None))

    def metrics(self, name="evaluate.json"):
        return json.loads((self.folder / "metrics" / name).read_text())

    def predictions(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "predictions/predictions.parquet")

    def contents(self) -> dict[str, bytes]:
        """Every file that the two stages wrote."""
        folders = ("models", "predictions", "metrics", "plots", "report")
        paths = [path for folder in folders for path in (self.folder / folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


@pytest.fixture
def checkout(request, tmp_path, monkeypatch, synthetic_corpus, stage_job):
    monkeypatch.chdir(tmp_path)
    # Drawing takes longer than all else, so pictures are drawn for tests that look at files.
    if not request.node.get_closest_marker("pictures"):
        monkeypatch.setattr(reports.Report, "pictures", lambda _: {})
    return Checkout(tmp_path, synthetic_corpus, stage_job)


@pytest.fixture
def usual(checkout):
    """One train corpus and one test corpus with a class that the model does not know."""
    checkout.add("alpha", "train", speakers=6)
    checkout.add("gamma", "test", speakers=3, emotions=("neutral", "happy", "sad", "bored"), copies=0)
    return checkout


@pytest.mark.pictures
@pytest.mark.parametrize("model", ["mlp", "xgboost"])
def test_scores_in_and_across_corpora(usual, model, capsys):
    usual.params["model"] = model
    usual.run("train", "evaluate")
    found = usual.metrics()
    assert list(found) == ["alpha", "gamma"]
    for corpus, protocol in (("alpha", "speaker_kfold"), ("gamma", "cross_corpus")):
        assert list(found[corpus])[: len(KEYS)] == KEYS
        assert found[corpus]["protocol"] == protocol
        assert found[corpus]["leaky"] is False
        assert 0 <= found[corpus]["uar_low"] <= found[corpus]["uar"] <= found[corpus]["uar_high"] <= 1
        assert found[corpus]["uar"] > 0.4
    assert [found["alpha"][key] for key in ("clips", "speakers", "classes", "dropped")] == [96, 6, 4, 0]
    assert [found["gamma"][key] for key in ("clips", "speakers", "classes", "dropped")] == [36, 3, 3, 12]
    told = capsys.readouterr().out
    assert "fold 3: UAR" in told
    assert "not scored: 12 bored" in told

    report = usual.metrics("report.json")
    assert report["gamma"]["dropped"] == {"bored": 12}
    assert list(report["gamma"]["classes"]) == ["neutral", "happy", "sad"]
    assert np.sum(report["alpha"]["confusion"]["counts"]) == 96
    written = {str(Path(name)) for name in usual.contents()}
    assert written == {
        "models/model.onnx", "models/bundle.json", "models/reference.parquet", "models/background.npz",
        *(f"models/folds/{fold}/{name}" for fold in (1, 2, 3) for name in ("model.onnx", "bundle.json")),
        *(f"predictions/{name}.parquet" for name in ("predictions", "validation", "folds", "curves")),
        "metrics/evaluate.json", "metrics/report.json",
        "report/index.html", "report/model_card.md", "report/predictions.parquet",
        *(f"metrics/plots/learning/fold_{fold}.csv" for fold in (1, 2, 3)),
        *(
            f"metrics/plots/{kind}/{corpus}.csv"
            for kind in ("recall", "confusion", "reliability", "coverage")
            for corpus in found
        ),
        *(
            f"plots/{kind}_{corpus}.png"
            for kind in ("confusion", "recall", "reliability", "coverage", "fairness")
            for corpus in found
        ),
    }  # fmt: skip


def test_every_cell_of_the_matrix_is_of_the_first_seed(usual, monkeypatch):
    kept = []
    beside = matrix.beside
    monkeypatch.setattr(matrix, "beside", lambda *args: kept.append(beside(*args)) or kept[0])
    usual.params["train"]["seeds"] = 2
    usual.params["evaluate"]["matrix"] = True
    usual.run("train", "evaluate")
    cells = [cell for cell in kept[0].cells.values() if cell.scores]
    assert {cell.scores.repeats for cell in cells} == {1}
    rows = usual.predictions()
    first = rows[rows["seed"] == rows["seed"].min()]
    classes = bundle.load("models").classes
    assert kept[0].cells["alpha", "alpha"].scores.uar == uar_of(first, classes)


def test_metrics_can_be_recomputed_from_the_predictions(usual):
    usual.run("train", "evaluate")
    table = usual.predictions()
    classes = list(schema.predictions(()).columns)
    classes = [column for column in table.columns if column not in classes]
    predicted = np.array(classes)[table[classes].to_numpy().argmax(axis=1)]
    recalls = [np.mean(predicted[table["emotion"] == emotion] == emotion) for emotion in classes]
    assert usual.metrics()["alpha"]["uar"] == pytest.approx(np.mean(recalls), abs=1e-12)
    confusion = pd.read_csv("metrics/plots/confusion/alpha.csv")
    assert usual.metrics()["alpha"]["wa"] == pytest.approx((confusion["actual"] == confusion["predicted"]).mean())


def test_models_can_be_chosen_without_a_look_at_tested_speakers(usual):
    usual.add("beta", "train", speakers=5)
    usual.run("train", "evaluate")
    held = pd.read_parquet("predictions/validation.parquet")
    classes = list(bundle.load("models").classes)
    right = np.array(classes)[held[classes].to_numpy().argmax(axis=1)] == held["emotion"]
    by_emotion = right.groupby([held["clip_id"].str.split("/").str[0], held["emotion"]]).mean()
    expected = by_emotion.groupby(level=0).mean()
    found = {corpus: of_corpus["uar_validation"] for corpus, of_corpus in usual.metrics().items()}
    assert found["alpha"] == pytest.approx(expected["alpha"])
    assert found["beta"] == pytest.approx(expected["beta"])
    # Nothing of a test corpus may choose.
    assert found["gamma"] == pytest.approx((expected["alpha"] + expected["beta"]) / 2)
    card = Path("report/model_card.md").read_text()
    assert f"alpha {expected['alpha']:.1%}, beta {expected['beta']:.1%}" in card


def test_where_no_speaker_is_held_out_nothing_is_told_of_validation(checkout):
    checkout.add("alpha", "train", speakers=2)
    checkout.params["train"]["protocol"] = "loso"
    checkout.run("train", "evaluate")
    assert "uar_validation" not in checkout.metrics()["alpha"]
    assert "validation speakers, by which" not in Path("report/model_card.md").read_text()


def test_what_scores_are_worth_stands_beside_them(usual):
    usual.run("train", "evaluate")
    for found in usual.metrics().values():
        assert 0 <= found["ece"] <= 1
        assert 0 <= found["brier"] <= 2
        assert 0 < found["log_loss"] < 5
        assert 0 <= found["aurc"] <= 1 - found["wa"] + 0.2
        assert 0 < found["coverage"] <= 1
        assert 0 < found["accuracy_answered"] <= 1
        assert found["temperature"] > 0
        assert found["seeds"] == 1
        assert "human_uar" not in found
        assert "uar_clean" not in found
    report = usual.metrics("report.json")
    assert {part["attribute"] for part in report["alpha"]["fairness"]["subgroups"]} == {"sex", "age"}
    assert len(report["alpha"]["fairness"]["worst_speakers"]) == 5
    assert report["gamma"]["human"] is None
    assert sum(report["gamma"]["calibration"]["raw"]["curve"]["share"]) == pytest.approx(1)


def test_all_scores_can_be_recomputed_from_one_table(usual):
    usual.run("train", "evaluate")
    classes = bundle.load("models").classes
    table = schema.read("report/predictions.parquet", schema.scored(classes))
    own = usual.predictions()
    alpha, gamma = (table[table["corpus"] == corpus].reset_index(drop=True) for corpus in ("alpha", "gamma"))
    pd.testing.assert_frame_equal(alpha[list(own.columns)], own, check_dtype=False)
    assert set(alpha["protocol"]) == {"speaker_kfold"}
    assert set(gamma["protocol"]) == {"cross_corpus"}
    assert gamma["angry"].isna().all()
    shared = [emotion for emotion in classes if emotion != "angry"]
    np.testing.assert_allclose(gamma[shared].sum(axis=1), 1)
    truth, predicted = decisions(gamma, tuple(shared))
    assert np.mean(truth == predicted) == pytest.approx(usual.metrics()["gamma"]["wa"])


def test_listeners_stand_beside_the_model(usual):
    for role, corpus in (("train", "alpha"), ("test", "gamma")):
        path = Path(f"data/features/{role}/{corpus}/index.parquet")
        index = pd.read_parquet(path)
        # Every third clip of a test corpus was heard as something else, and of some nobody knows.
        heard = index["emotion"].where(np.arange(len(index)) % 3 > 0, "surprised")
        schema.write(index.assign(perceived=heard.where(np.arange(len(index)) % 4 > 0, None)), schema.INDEX, path)
    usual.run("train", "evaluate")
    found = usual.metrics()["gamma"]
    assert found["human_clips"] + found["human_undecided"] == found["clips"] == 36
    assert found["human_uar_low"] <= found["human_uar"] <= found["human_uar_high"]
    assert found["human_wa"] == pytest.approx(2 / 3, abs=0.1)
    assert 0 < found["human_agreement"] < 1
    assert usual.metrics("report.json")["gamma"]["human"]["human_model_uar"] == found["human_model_uar"]


def test_seeds_are_averaged_and_clips_are_counted_once(usual):
    usual.params["train"]["seeds"] = 2
    usual.run("train", "evaluate")
    found, table = usual.metrics()["alpha"], usual.predictions()
    classes = bundle.load("models").classes
    assert (found["clips"], found["seeds"], len(table)) == (96, 2, 192)
    by_seed = list(uar_by(table, table["seed"], classes).values())
    assert found["uar"] == pytest.approx(np.mean(by_seed))
    assert found["uar_spread"] == pytest.approx(np.std(by_seed, ddof=1))
    assert usual.metrics("report.json")["alpha"]["seeds"] == pytest.approx(by_seed)
    assert sum(row["support"] for row in usual.metrics("report.json")["alpha"]["classes"].values()) == 96
    assert "seeds" in usual.metrics()["gamma"]


def test_a_model_that_is_not_the_one_that_was_trained_is_refused(usual):
    usual.run("train")
    reference = pd.read_parquet("models/reference.parquet")
    classes = list(bundle.load("models").classes)
    reference.loc[3, classes] = reference.loc[3, classes].to_numpy()[::-1]
    reference.to_parquet("models/reference.parquet", index=False)
    with pytest.raises(DataError, match=r"the ONNX export of mlp differs .* on 96 clips"):
        usual.run("evaluate")
    assert not Path("metrics/evaluate.json").exists()


def test_a_corpus_that_trains_and_is_never_tested_is_told_and_not_scored(checkout, capsys):
    checkout.add("alpha", "train", speakers=3)
    checkout.add("beta", "train", speakers=3)
    checkout.params["train"] |= {"protocol": "holdout", "holdout": ["alpha/03"]}
    checkout.params["evaluate"]["matrix"] = True
    checkout.run("train", "evaluate")
    assert list(checkout.metrics()) == ["alpha"]
    assert bundle.load("models").corpora == ("alpha", "beta")
    # A score of a model that heard beta, too, says nothing about one that was trained on alpha alone.
    told = capsys.readouterr().out
    assert "alpha -> alpha: none: not cross-validated here" in told
    assert "trained as decided on alpha, beta" in told
    assert list(Path(".emodag/training").iterdir()) == []


def test_a_queued_experiment_keeps_finished_folds_where_the_next_one_looks(
    tmp_path, monkeypatch, synthetic_corpus, stage_job
):
    copy = tmp_path / ".dvc/tmp/exps/tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    queued = Checkout(copy, synthetic_corpus, stage_job)
    queued.add("alpha", "train", speakers=6)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit_final", killed)
    with pytest.raises(KeyboardInterrupt):
        queued.run("train")
    assert len(list((tmp_path / ".emodag/training").rglob("*.npz"))) == 3
    assert not (copy / ".emodag").exists()


def test_a_gpu_is_not_asked_for_in_silence_by_a_model_that_uses_none(usual, capsys):
    usual.params["compute"]["device"] = "gpu"
    usual.run("train")
    assert "compute.device: gpu is for networks; mlp trains on the processor" in capsys.readouterr().out


def test_without_models_of_folds_robustness_is_left_out_and_that_is_told(usual, capsys):
    usual.params["train"]["keep_folds"] = False
    usual.params["evaluate"]["robustness"]["clips"] = 20
    del usual.params["corpora"]["gamma"]
    for path in sorted(Path("data/features/test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    usual.run("train", "evaluate")
    assert "uar_clean" not in usual.metrics()["alpha"]
    assert "alpha: train.keep_folds is false" in capsys.readouterr().out


@pytest.mark.pictures
def test_the_same_inputs_give_the_same_bytes(usual):
    usual.run("train", "evaluate")
    first = usual.contents()
    usual.params["compute"]["jobs"] = 2
    usual.run("train", "evaluate")
    assert usual.contents() == first


@pytest.mark.parametrize("change", [{"folds": 2}, {"protocol": "loso"}, {"protocol": "random"}, {"seed": 5}])
def test_a_changed_split_replaces_the_old_one(usual, change):
    usual.run("train")
    before = usual.predictions()
    if "seed" in change:
        usual.params |= change
    else:
        usual.params["train"] |= change
    usual.run("train")
    after = usual.predictions()
    assert not before["fold"].equals(after["fold"])
    folds = pd.read_parquet("predictions/folds.parquet")
    assert set(folds["fold"]) == set(after["fold"])
    assert json.loads(Path("models/bundle.json").read_text())["protocol"] == usual.params["train"]["protocol"]


def test_a_leaky_protocol_is_labelled_everywhere(usual, capsys):
    usual.params["train"]["protocol"] = "random"
    usual.run("train", "evaluate")
    assert usual.metrics()["alpha"]["leaky"] is True
    assert usual.metrics()["gamma"]["leaky"] is False
    assert "LEAKY: alpha, random" in capsys.readouterr().out
    assert json.loads(Path("models/bundle.json").read_text())["scores"]["alpha"]["leaky"] is True


@pytest.mark.parametrize("by", ["none", "recording", "speaker"])
def test_adaptation_is_told_wherever_a_score_is(usual, capsys, by):
    usual.params["adaptation"]["by"] = by
    for described in usual.folder.glob("data/features/*/*/features.json"):
        names = [f"{name}_{statistic}" for statistic in ("mean", "std", "slope") for name in "abcd"]
        described.write_text(json.dumps(json.loads(described.read_text()) | {"names": names}))
    usual.run("train", "evaluate")
    assert {row["adaptation"] for row in usual.metrics().values()} == {by}
    assert {row["adaptation"] for row in usual.metrics("report.json").values()} == {by}
    assert json.loads(Path("models/bundle.json").read_text())["adaptation"]["by"] == by
    told = capsys.readouterr().out
    # Once by train, once for each corpus by evaluate.
    assert told.count("adapted by each") == (0 if by == "none" else 3)
    text = {
        "recording": "adapted by each clip's own frames",
        "speaker": "adapted by each speaker's own unlabelled clips",
    }
    assert by == "none" or told.count(text[by]) == 3


def test_adaptation_by_speaker_recognises_new_voices_better(checkout):
    index, functionals = checkout.synthetic.make("gamma", 4, copies=0)
    far = functionals + np.repeat(np.random.default_rng(0).normal(0, 4, (4, 12)), 16, axis=0).astype(np.float32)
    checkout.add("alpha", "train", speakers=6)
    checkout.add("gamma", "test", index, far)
    found = {}
    for by in ("none", "speaker"):
        checkout.params["adaptation"]["by"] = by
        checkout.run("train", "evaluate")
        found[by] = checkout.metrics()["gamma"]["uar"]
    assert found["speaker"] > found["none"] + 0.1


def test_labels_of_a_test_corpus_adapt_nothing(usual):
    usual.params["adaptation"]["by"] = "speaker"
    usual.run("train")
    shipped, settings = bundle.load("models"), parameters.load().evaluate
    data = datasets.load(["gamma"], "test", shipped.needs)
    unknown = (data.index["emotion"] == "happy") & (np.arange(len(data.index)) % 2 == 0)
    # So far from the others that their speakers' means would show whether they were left out.
    far = data.speech.features + 30 * unknown.to_numpy(np.float32)[:, None]
    data = replace(data, speech=replace(data.speech, features=far))
    relabelled = replace(data, index=data.index.assign(emotion=data.index["emotion"].mask(unknown, "bored")))
    before, after = (reports.cross_corpus(each, "gamma", shipped, settings, 0) for each in (data, relabelled))
    said = [pd.Series(each.predicted, each.predictions["clip_id"]) for each in (before, after)]
    pd.testing.assert_series_equal(said[0][said[1].index], said[1])
    assert unknown.sum() == after.dropped["bored"] - before.dropped["bored"] > 0


@pytest.mark.parametrize("inputs", ["all", "functionals", "embedding"])
def test_models_see_the_inputs_of_the_params(usual, capsys, inputs):
    for folder in (Path("data/features/train/alpha"), Path("data/features/test/gamma")):
        functionals = np.load(folder / "functionals.npy")
        index = pd.read_parquet(folder / "index.parquet")
        index["first_embedding"], index["embeddings"] = np.arange(len(index)), 1
        schema.write(index, schema.INDEX, folder / "index.parquet")
        for name in ("embeddings.npy", "embedding_frames.npy"):
            np.save(folder / name, functionals[:, :8])
        content = json.loads((folder / "features.json").read_text())
        content["embedding"] = content["embedding_frames"] = [f"embedding_{number:04d}" for number in range(8)]
        content["settings"]["encoder"] = {"kind": "onnx", "model": "/home/someone/tiny.onnx"}
        (folder / "features.json").write_text(json.dumps(content))
    usual.params["train"]["inputs"] = inputs
    usual.run("train", "evaluate")
    described = json.loads(Path("models/bundle.json").read_text())
    assert described["inputs"] == inputs
    assert len(described["names"]) == {"all": 20, "functionals": 12, "embedding": 8}[inputs]
    encoder = "none" if inputs == "functionals" else "tiny.onnx"
    assert {row["encoder"] for row in usual.metrics().values()} == {encoder}
    told = capsys.readouterr().out
    assert ("tiny.onnx" in told) == (inputs != "functionals")
    for place in ("models/bundle.json", "metrics/evaluate.json", "metrics/report.json"):
        assert "/home" not in Path(place).read_text()
    assert "/home" not in told


def test_embeddings_without_an_encoder_are_an_error(usual):
    usual.params["train"]["inputs"] = "embedding"
    with pytest.raises(DataError, match=r"train\.inputs is `embedding`"):
        usual.run("train")
    assert not Path("models").exists()


def test_several_train_corpora_are_scored_one_by_one(checkout):
    checkout.add("alpha", "train", speakers=5)
    checkout.add("beta", "train", speakers=4, emotions=("neutral", "happy"))
    checkout.run("train", "evaluate")
    assert {corpus: row["classes"] for corpus, row in checkout.metrics().items()} == {"alpha": 4, "beta": 2}
    assert json.loads(Path("models/bundle.json").read_text())["corpora"] == ["alpha", "beta"]


@pytest.mark.parametrize(("policy", "classes"), [("keep", 3), ("neutral", 2), ("drop", 2)])
def test_calm_is_treated_alike_in_training_and_test(checkout, policy, classes):
    checkout.add("alpha", "train", emotions=("neutral", "calm", "sad"))
    checkout.add("gamma", "test", emotions=("neutral", "calm", "sad"), copies=0)
    checkout.params["train"]["calm"] = policy
    checkout.run("train", "evaluate")
    clips = {"keep": 72, "neutral": 72, "drop": 48}[policy]
    for corpus in ("alpha", "gamma"):
        assert [checkout.metrics()[corpus][key] for key in ("classes", "clips")] == [classes, clips]


def test_calm_that_is_dropped_still_adapts_the_voices_of_a_test_corpus(checkout):
    """Whether clips are called calm or bored, which the model does not know, must not change by what a voice adapts."""
    emotions = ("neutral", "calm", "sad")
    index, functionals = checkout.synthetic.make("gamma", 3, emotions=emotions, copies=0)
    means = {emotion: functionals[index["emotion"] == emotion].mean(axis=0) for emotion in emotions}
    calm = (index["emotion"] == "calm").to_numpy()
    # So far on the side of `sad` that a voice's mean lies beyond all its other clips.
    functionals = np.where(calm[:, None], functionals + 10 * (means["sad"] - means["neutral"]), functionals)
    checkout.add("alpha", "train", emotions=emotions)
    checkout.add("gamma", "test", index, functionals)
    checkout.params["train"]["calm"] = "drop"
    checkout.params["adaptation"]["by"] = "speaker"
    checkout.run("train", "evaluate")
    scored = pd.read_csv("metrics/plots/confusion/gamma.csv")
    assert len(scored) == (~calm).sum()

    shipped, settings = bundle.load("models"), parameters.load().evaluate
    data = datasets.load(["gamma"], "test", shipped.needs)
    relabelled = replace(data, index=index.assign(emotion=index["emotion"].replace("calm", "bored")))
    bored, without = (
        reports.cross_corpus(each, "gamma", shipped, settings, 0) for each in (relabelled, data.where(~calm))
    )
    dropped = reports.cross_corpus(data, "gamma", shipped, settings, 0)
    assert dropped.dropped == {"calm": calm.sum()}
    assert f"not scored: {calm.sum()} calm" in dropped.notes
    names = np.array(bored.scores.classes)
    assert list(scored["predicted"]) == list(names[bored.predicted])
    assert list(scored["predicted"]) != list(names[without.predicted])


def test_one_test_speaker_gives_numbers_and_says_what_was_drawn(usual):
    usual.add("delta", "test", speakers=1, copies=0)
    usual.run("train", "evaluate")
    assert usual.metrics()["delta"]["interval"] == "clips"
    assert usual.metrics()["gamma"]["interval"] == "speakers"


@pytest.mark.pictures
def test_what_a_removed_corpus_left_in_the_metrics_goes(usual):
    usual.run("train", "evaluate")
    Path("metrics/results.json").write_text("[]")
    del usual.params["corpora"]["gamma"]
    for path in Path("data/features/test/gamma").iterdir():
        path.unlink()
    Path("data/features/test/gamma").rmdir()
    usual.run("evaluate")
    assert list(usual.metrics()) == ["alpha"]
    assert not list(Path("metrics/plots").rglob("gamma.csv"))
    assert set(pd.read_parquet("report/predictions.parquet")["corpus"]) == {"alpha"}
    assert not Path("plots/confusion_gamma.png").exists()
    assert Path("metrics/results.json").exists()


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_left_over_features_stop_both_stages(usual, stage):
    usual.run("train")
    before = usual.contents()
    usual.synthetic.write(Path("data/features/train/stale"), *usual.synthetic.make("stale", 2))
    with pytest.raises(CorpusError, match=r"train/stale.*left over"):
        usual.run(stage)
    assert usual.contents() == before


def test_a_leak_publishes_nothing(usual, monkeypatch):
    usual.run("train")
    before = usual.contents()
    from emodag import splits

    def leaky(originals, train, seed):
        return splits._random(originals, train, seed)

    monkeypatch.setitem(splits._PROTOCOLS, "speaker_kfold", leaky)
    with pytest.raises(LeakageError, match="speakers stand in two parts"):
        usual.run("train")
    assert usual.contents() == before


def test_evaluate_finds_a_leak_in_the_written_tables(usual):
    usual.run("train")
    path = Path("predictions/folds.parquet")
    folds = pd.read_parquet(path)
    row = folds[(folds["part"] == "test") & (folds["fold"] == 1)].index[0]
    folds.loc[row, "part"] = "train"
    folds.to_parquet(path, index=False)
    with pytest.raises(LeakageError, match=r"alpha/.* \(fold 1"):
        usual.run("evaluate")
    assert not Path("metrics/evaluate.json").exists()


def test_evaluate_finds_training_clips_in_a_test_corpus(usual):
    index, functionals = usual.synthetic.make("delta", 2, copies=0)
    trained = pd.read_parquet("data/features/train/alpha/index.parquet")
    usual.add("delta", "test", index.assign(md5=index["md5"].where(index.index != 3, trained["md5"][0])), functionals)
    usual.run("train")
    with pytest.raises(LeakageError, match=f"delta cannot be tested by this model.*{index['clip_id'][3]}"):
        usual.run("evaluate")


def test_evaluate_refuses_a_model_of_other_data(usual):
    usual.run("train")
    usual.add("alpha", "train", speakers=6, takes=5)
    with pytest.raises(DataError, match="not those that the model was trained on"):
        usual.run("evaluate")


def test_no_shared_class_is_an_error(usual):
    usual.add("delta", "test", speakers=2, emotions=("bored", "disgust"), copies=0)
    usual.run("train")
    with pytest.raises(DataError, match=r"^delta: .*: no class is shared, .*; give this corpus no role$"):
        usual.run("evaluate")


@pytest.mark.parametrize("emotions", [("happy",), ("neutral", "calm")])
def test_fewer_than_two_classes_are_an_error(checkout, emotions):
    checkout.params["train"]["calm"] = "drop"
    checkout.add("alpha", "train", emotions=emotions)
    with pytest.raises(DataError, match="two emotions"):
        checkout.run("train")


def process(folder: Path, stage: str) -> subprocess.CompletedProcess:
    # Port 9 answers nothing: the stage has to do without its store.
    environment = os.environ | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    command = [sys.executable, ROOT / "stages" / f"{stage}.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_scripts_end_with_0_and_an_empty_test_set_does_not(usual):
    usual.run()
    for stage in ("train", "evaluate"):
        done = process(usual.folder, stage)
        assert done.returncode == 0, done.stderr
    before = usual.contents()
    index, functionals = usual.synthetic.make("gamma", 3, copies=0)
    usual.add("gamma", "test", index[:0], functionals[:0])
    usual.run()
    done = process(usual.folder, "evaluate")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("evaluate: gamma: the test corpus holds no clip")
    assert "Traceback" not in done.stderr
    assert usual.contents() == before
