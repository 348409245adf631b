"""Two runs of the pipeline compared: found in a small repository with git, DVC and MLflow, and told in words."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from emodag import cli, comparing, params, revisions, schema
from emodag.errors import DataError
from emodag.revisions import CROSS_CORPUS, Predicted, Revision

ROOT = Path(__file__).resolve().parents[1]
EMOTIONS = ("neutral", "happy", "sad")


def table(corpus="demo_en", speakers=8, takes=6, right=0.6, seed=0, emotions=EMOTIONS, model_seed=0) -> pd.DataFrame:
    """Predictions of which about a share ``right`` is right; those of another seed are of the same clips."""
    rng = np.random.default_rng(seed)
    rows = []
    for speaker in range(speakers):
        for emotion in emotions:
            for take in range(takes):
                hit = rng.random() < right
                best = emotion if hit else emotions[(emotions.index(emotion) + 1) % len(emotions)]
                facts = {
                    "clip_id": f"{corpus}/{speaker}_{emotion}_{take}", "speaker": f"{corpus}/{speaker}", "fold": 1,
                    "seed": model_seed, "temperature": 1.0, "emotion": emotion,
                }  # fmt: skip
                rows.append(facts | {each: 0.6 if each == best else 0.4 / (len(emotions) - 1) for each in emotions})
    return pd.DataFrame(rows)


def revision(name: str, predicted: pd.DataFrame, protocol="speaker_kfold", leaky=False, **changes: str) -> Revision:
    classes = tuple(emotion for emotion in schema.EMOTIONS if emotion in predicted)
    corpus = predicted["clip_id"][0].split("/")[0]
    tested = {corpus: Predicted(predicted, classes, protocol, leaky)}
    return Revision(name, f"revision {name}", {"model": "mlp", "train.calm": "keep"} | changes, tested)


@pytest.fixture(scope="module")
def settings():
    return params.load(ROOT / "params.yaml").evaluate


def only(first: Revision, second: Revision, settings) -> comparing.Pair:
    (found,) = comparing.pairs(first, second, settings, 0)
    return found


def test_a_large_difference_is_unlikely_to_be_chance(settings):
    found = only(revision("old", table(right=0.4)), revision("new", table(right=0.9, seed=1)), settings)
    assert found.comparison.is_clear
    assert found.conclusion.startswith("new recognises ")
    assert "points more than old (95% interval " in found.conclusion
    assert found.conclusion.endswith("over 8 speakers): the difference is unlikely to be chance.")
    assert found.warnings == []
    back = only(revision("new", table(right=0.9, seed=1)), revision("old", table(right=0.4)), settings)
    assert "points less than new" in back.conclusion


def test_a_small_difference_is_not_told_from_chance(settings):
    found = only(revision("old", table(seed=3)), revision("new", table(seed=4)), settings)
    low, high = found.comparison.interval
    assert low < 0 < high
    assert found.conclusion.endswith("the difference cannot be told from chance.")


def test_few_speakers_are_not_enough_however_they_agree(settings):
    runs = revision("old", table(speakers=4, right=0.0)), revision("new", table(speakers=4, right=1.0))
    found = only(*runs, settings)
    assert found.conclusion.endswith("too few speakers agree to tell it from chance (p 0.125 by swapping them).")
    assert "4 speakers are too few: intervals over them are too narrow, and p cannot be below 0.12" in found.warnings


def test_only_clips_in_common_are_compared_and_the_others_counted(settings):
    whole = table()
    first, second = whole.iloc[5:].reset_index(drop=True), whole.iloc[:-7].reset_index(drop=True)
    found = only(revision("old", first), revision("new", second), settings)
    assert found.left_out == (7, 5)
    assert found.comparison.clips == len(whole) - 12
    assert found.comparison.difference == 0
    assert "left out: 7 of old and 5 of new" in found.warnings[0]


def test_seeds_are_averaged(settings):
    seeds = [table(right=0.7, seed=seed, model_seed=seed) for seed in range(3)]
    other = table(right=0.5, seed=9)
    found = only(revision("old", other), revision("new", pd.concat(seeds, ignore_index=True)), settings)
    alone = [only(revision("old", other), revision("new", each), settings) for each in seeds]
    assert found.seeds == (1, 3)
    assert found.comparison.clips == len(other)
    assert found.comparison.difference == pytest.approx(np.mean([each.comparison.difference for each in alone]))
    assert "means of 1 and 3 seeds" in found.notes


def test_the_policy_for_calm_stands_in_the_title(settings):
    first, second = revision("old", table()), revision("new", table(), **{"train.calm": "drop"})
    found = only(first, first, settings)
    assert {"calm: keep", f"{len(found.comparison.classes)} classes"} <= set(found.notes)
    assert "calm: keep and drop" in only(first, second, settings).notes


def test_a_class_that_a_model_does_not_know_is_never_recognised(settings):
    small = table(right=1.0).drop(columns="sad")
    found = only(revision("small", small), revision("whole", table(right=1.0)), settings)
    assert found.comparison.recalls.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert "small does not know sad, so it recognises no clip of that" in found.warnings
    assert "small chose among 2 emotions, whole among 3: the fewer, the easier" in found.warnings


def test_leaks_and_other_protocols_are_warned_of(settings):
    runs = revision("old", table()), revision("new", table(seed=2), protocol="random", leaky=True)
    found = only(*runs, settings)
    assert found.warnings[0] == "LEAKY: new was tested on speakers that it had trained on (random)"
    assert "the protocols differ (speaker_kfold and random)" in found.warnings[1]
    assert found.summary()["second"]["leaky"]


def test_other_labels_are_an_error_that_names_the_policies(settings):
    kept = table(emotions=("neutral", "calm", "sad"))
    merged = kept.drop(columns="calm").replace({"emotion": {"calm": "neutral"}})
    first, second = revision("old", kept), revision("new", merged, **{"train.calm": "neutral"})
    told = (
        r"48 of 144 clips have another emotion in old than in new, as demo_en/0_calm_0: calm and neutral; "
        "train.calm is keep there and neutral here"
    )
    with pytest.raises(DataError, match=told):
        only(first, second, settings)
    moved = table().replace({"speaker": {"demo_en/0": "demo_en/1"}})
    with pytest.raises(DataError, match="another speaker in old than in new"):
        only(revision("old", table()), revision("new", moved), settings)


def test_what_has_nothing_in_common_is_told(settings):
    first, second = revision("old", table()), revision("new", table("ravdess"))
    with pytest.raises(DataError, match="old predicted demo_en and new ravdess: no corpus in common"):
        comparing.pairs(first, second, settings, 0)
    with pytest.raises(DataError, match=r"'demo_em' was not predicted by both .* did you mean 'demo_en'"):
        comparing.pairs(first, first, settings, 0, "demo_em")
    halves = [revision(name, table().iloc[rows].reset_index(drop=True)) for name, rows in
              (("old", slice(0, 70)), ("new", slice(70, None)))]  # fmt: skip
    with pytest.raises(DataError, match="need two predicted clips in common; found: none"):
        comparing.pairs(*halves, settings, 0)


def test_params_differ_where_their_values_do():
    first = revision("old", table(), **{"models.mlp.alpha": "10", "compute.jobs": "1", "gone": "1"})
    second = revision("new", table(), **{"models.mlp.alpha": "10.0", "compute.jobs": "2", "model": "svm"})
    assert revisions.differing(first, second) == {"gone": ("1", "absent"), "model": ("mlp", "svm")}


def test_writes_what_it_says_and_takes_old_pictures_away(settings, tmp_path):
    first, second = revision("old", table()), revision("new", table(seed=1))
    for stale in ("comparison_ravdess.png", "mine.png"):
        (tmp_path / stale).write_bytes(b"old")
    found = comparing.pairs(first, second, settings, 0)
    content = comparing.write(found, first, second, tmp_path)
    assert json.loads((tmp_path / "comparison.json").read_text()) == content
    assert content["corpora"]["demo_en"]["conclusion"] == found[0].conclusion
    assert sorted(path.name for path in tmp_path.iterdir()) == ["comparison.json", "comparison_demo_en.png", "mine.png"]
    assert (tmp_path / "comparison_demo_en.png").read_bytes().startswith(b"\x89PNG")


# --- found by name, in a repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Two commits, an experiment and an MLflow run, each with other predictions; the first commit's are not cached."""
    from dvc.repo import Repo
    from mlflow import MlflowClient

    place = tmp_path_factory.mktemp("repository")
    with pytest.MonkeyPatch.context() as patch:
        for who, what in product(("AUTHOR", "COMMITTER"), ("NAME", "EMAIL")):
            patch.setenv(f"GIT_{who}_{what}", "tests@localhost")
        patch.chdir(place)
        git("init", "--quiet", "--initial-branch=main")
        shutil.copy(ROOT / "params.yaml", place)
        with Repo.init() as repo:
            for name, right in (("lost", 0.3), ("plain", 0.5)):
                write(right)
                repo.add("predictions")
                repo.add("report")
                git("add", ".")
                git("commit", "--quiet", "--message", name)
                git("tag", name)
                if name == "lost":
                    lost = [path for path in Path(repo.cache.local.path).rglob("*") if path.is_file()]
            content = yaml.safe_load(Path("params.yaml").read_text())
            Path("params.yaml").write_text(yaml.safe_dump(content | {"model": "svm"}))
            write(0.9)
            repo.add("predictions")
            repo.experiments.save(name="better-bag")
            git("checkout", "--quiet", "--force", "plain")
            repo.checkout(force=True)
        for path in lost:
            path.unlink()
        uri = f"sqlite:///{place / 'mlflow.db'}"
        client = MlflowClient(uri)
        experiment = client.create_experiment("emodag", artifact_location=(place / "mlartifacts").as_uri())
        parent = client.create_run(experiment, tags={"mlflow.runName": "svm on demo_en"})
        client.log_param(parent.info.run_id, "train.protocol", "loso")
        for part in ("predictions", "validation"):
            client.log_artifact(parent.info.run_id, f"predictions/{part}.parquet", "predictions")
        stage = client.create_run(experiment, tags={"mlflow.parentRunId": parent.info.run_id})
        empty = client.create_run(experiment)
    return place, {"parent": parent.info.run_id, "stage": stage.info.run_id, "empty": empty.info.run_id}


def git(*arguments: str) -> None:
    subprocess.run(("git", *arguments), check=True)


def write(right: float) -> None:
    """What train and evaluate write: a train corpus out of fold, and a test corpus that shares two emotions."""
    for folder in ("predictions", "report"):
        shutil.rmtree(folder, ignore_errors=True)
        Path(folder).mkdir()
    trained, tested = table(right=right), table("demo_de", right=right, emotions=("neutral", "happy"))
    schema.write(trained, schema.predictions(EMOTIONS), "predictions/predictions.parquet")
    held_out = table(right=right, seed=1, takes=2)
    schema.write(held_out, schema.predictions(EMOTIONS), "predictions/validation.parquet")
    tested = tested.assign(fold=0, sad=None)
    facts = {"corpus": ["demo_en"] * len(trained) + ["demo_de"] * len(tested)}
    facts["protocol"] = ["speaker_kfold"] * len(trained) + [CROSS_CORPUS] * len(tested)
    scored = pd.concat([pd.DataFrame(facts), pd.concat([trained, tested], ignore_index=True)], axis=1)
    schema.write(scored, schema.scored(EMOTIONS), "report/predictions.parquet")


@pytest.fixture
def inside(repository, monkeypatch):
    place, runs = repository
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return runs


def share_right(tested: Predicted) -> float:
    return comparing.clip_hits(tested.table, tested.classes)["hit"].mean()


@pytest.mark.parametrize(
    ("name", "right", "model"), [("workspace", 0.5, "mlp"), ("main", 0.5, "mlp"), ("better-bag", 0.9, "svm")]
)
def test_a_revision_an_experiment_and_the_workspace_are_found(inside, name, right, model):
    found = revisions.read(name)
    assert list(found.corpora) == ["demo_en", "demo_de"]
    assert found.params["model"] == model
    assert share_right(found.corpora["demo_en"]) == pytest.approx(right, abs=0.08)
    assert found.corpora["demo_en"].protocol == "speaker_kfold"
    assert list(found.validation) == ["demo_en"]
    pd.testing.assert_frame_equal(found.validation["demo_en"], table(right=right, seed=1, takes=2))
    of_test = found.corpora["demo_de"]
    assert (of_test.protocol, of_test.leaky, of_test.classes) == (CROSS_CORPUS, False, ("neutral", "happy"))


def test_reading_leaves_the_workspace_as_it_is(inside):
    before = {path: path.read_bytes() for path in Path().glob("pre*/*")} | {"": Path("params.yaml").read_bytes()}
    revisions.read("better-bag")
    assert {path: path.read_bytes() for path in Path().glob("pre*/*")} | {
        "": Path("params.yaml").read_bytes()
    } == before


@pytest.mark.parametrize("which", ["parent", "stage"])
def test_an_mlflow_run_is_found_by_its_id_or_that_of_a_stage(inside, which):
    found = revisions.read(inside[which])
    assert found.told == "MLflow run svm on demo_en"
    assert found.corpora["demo_en"].protocol == "loso"
    assert len(found.validation["demo_en"]) == 48
    assert found.label == inside[which][:8]


def test_what_is_not_there_is_told(inside, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"lost: the predictions of revision .* are not here; neither DVC's cache"):
        revisions.read("lost")
    with pytest.raises(DataError, match="'beter-bag' is no DVC experiment, no git revision"):
        revisions.read("beter-bag")
    with pytest.raises(DataError, match="no such run in MLflow"):
        revisions.read("0" * 32)
    with pytest.raises(DataError, match="the run did not log them"):
        revisions.read(inside["empty"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="run from the root of the checkout"):
        revisions.read("main")


def test_an_older_table_is_told(inside, tmp_path):
    table().drop(columns="seed").to_parquet(tmp_path / "old.parquet")
    with pytest.raises(DataError, match="no column seed; another version"):
        revisions._by_corpus((tmp_path / "old.parquet").read_bytes(), "old")
    with pytest.raises(DataError, match="no table of predictions"):
        revisions._by_corpus(b"no parquet", "old")


def test_scores_of_an_earlier_training_are_left_out(inside, tmp_path, monkeypatch):
    shutil.copytree(".", tmp_path / "copy", ignore=shutil.ignore_patterns(".dvc", ".git", "ml*"))
    monkeypatch.chdir(tmp_path / "copy")
    table(right=0.7).to_parquet("predictions/predictions.parquet")
    found = revisions.read("workspace")
    assert list(found.corpora) == ["demo_en"]
    (remark,) = found.remarks
    assert "is of an earlier training" in remark
    assert "warning: workspace: report/predictions.parquet" in comparing.describe([], found, found)
    Path("report/predictions.parquet").unlink()
    assert revisions.read("workspace").remarks == ()
    Path("predictions/predictions.parquet").unlink()
    with pytest.raises(DataError, match="are not here; run `dvc repro train`"):
        revisions.read("workspace")


def test_the_command_says_it_in_words_or_as_json(inside, tmp_path, capsys):
    cli.app(["compare", "main", "better-bag", "--out", str(tmp_path)], standalone_mode=False)
    told = capsys.readouterr().out
    assert "model: mlp -> svm" in told
    assert "better-bag recognises" in told
    assert {path.name for path in tmp_path.iterdir()} == {
        "comparison.json", "comparison_demo_en.png", "comparison_demo_de.png"
    }  # fmt: skip
    options = ["--corpus", "demo_de", "--json", "--out", str(tmp_path)]
    cli.app(["compare", "workspace", "better-bag", *options], standalone_mode=False)
    content = json.loads(capsys.readouterr().out)
    assert list(content["corpora"]) == ["demo_de"]
    assert content["corpora"]["demo_de"]["difference"] > 0.2


@pytest.mark.parametrize(
    ("first", "second", "short"),
    [
        ("workspace", "main", ("workspace", "main")),
        ("ravdess-emobox-mlp", "ravdess-emobox-mlp-adapted", ("mlp", "mlp-adapted")),
        ("crema_d-speaker_kfold-svm-on-all", "crema_d-speaker_kfold-lda", ("svm-on-all", "lda")),
        ("a-branch-with-a-very-long-name", "workspace", ("a-branch-with-a-very-lo…", "workspace")),
        ("itisthesameforallofthefirst30chars1", "itisthesameforallofthefirst30chars2", ("the first", "the second")),
        ("the-same-very-long-name-twice", "the-same-very-long-name-twice", ("the-same-very-long-name-twice",) * 2),
    ],
)
def test_pictures_shorten_long_names_to_what_tells_them_apart(first, second, short):
    assert revisions.short_names(first, second) == short


def test_words_keep_long_names_and_the_title_shortens_them(settings):
    runs = [replace(revision("x", table(right=right)), name=f"ravdess-emobox-{right}") for right in (0.3, 0.9)]
    (found,) = comparing.pairs(*runs, settings, 0)
    assert "ravdess-emobox-0.9 recognises" in found.conclusion
    assert f"{'ravdess-emobox-0.3'}  UAR" in str(found)
    longer = replace(found, names=("ravdess-emobox-ensemble-lda", "ravdess-emobox-ensemble-lda-adapted"))
    assert longer.title.startswith("demo_en: lda-adapted against lda: UAR")


def test_predictions_are_told_by_the_params_that_made_them(inside, tmp_path, monkeypatch):
    """Params that changed after train ran must not name its predictions."""
    shutil.copytree(".", tmp_path / "copy", ignore=shutil.ignore_patterns(".dvc", ".git", "ml*"))
    monkeypatch.chdir(tmp_path / "copy")
    content = yaml.safe_load(Path("params.yaml").read_text())
    recorded = {key: content[key] for key in ("adaptation", "diarize", "model", "models", "seed", "train")}
    stages = {
        "train": {"cmd": "python stages/train.py", "params": {"params.yaml": recorded}},
        "featurize@demo_en": {"params": {"params.yaml": {"featurize": content["featurize"]}}},
        "featurize@gone": {"params": {"params.yaml": {"featurize": {}}}},
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    assert revisions.read("workspace").remarks == ()
    leaky = content["train"] | {"protocol": "random"}
    Path("params.yaml").write_text(yaml.safe_dump(content | {"model": "cnn", "train": leaky}))
    found = revisions.read("workspace")
    assert (found.params["model"], found.corpora["demo_en"].protocol) == ("mlp", "speaker_kfold")
    (remark,) = found.remarks
    assert "(model was mlp and is cnn, train.protocol was speaker_kfold and is random)" in remark
    stages["train"]["params"]["params.yaml"]["train"] = leaky
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    assert revisions.read("workspace").corpora["demo_en"].leaky


def test_experiments_of_one_name_are_told_apart_by_their_commits(inside, tmp_path, monkeypatch):
    shutil.copytree(".", tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    (reference,) = subprocess.check_output(
        ("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/better-bag"), text=True
    ).split()
    lost = subprocess.check_output(("git", "rev-parse", "lost"), text=True).strip()
    git("update-ref", f"refs/exps/{lost[:2]}/{lost[2:]}/better-bag", reference)
    git("-c", "user.name=tests", "-c", "user.email=tests@localhost", "commit", "--quiet", "--allow-empty", "-m", "next")
    with pytest.raises(DataError, match=rf"'better-bag': 2 DVC experiments have this name.*of {lost[:7]}") as error:
        revisions.read("better-bag")
    commit = subprocess.check_output(("git", "rev-parse", reference), text=True).strip()
    assert commit[:12] in str(error.value)
    assert revisions.read(commit[:12]).params["model"] == "svm"
