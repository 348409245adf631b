"""The pipeline through DVC, in a copy of this checkout, on small demo corpora."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from mlflow import MlflowClient
from ruamel.yaml import YAML

from emodag.labels import EMOTIONS

ROOT = Path(__file__).resolve().parents[1]
STAGES = ["synthesize", "organize", "diarize", "augment", "featurize", "train", "evaluate"]
OF_CALLS = ["organize_calls", "diarize_calls", "featurize_calls", "score_calls"]
OUTPUTS = ["data", "models", "predictions", "metrics", "plots", "report", "timelines"]

#: Reads the model and its scores.
SCORED_AGAIN = "score_calls@demo_calls"

pytestmark = pytest.mark.dvc


class Checkout:
    """A checkout with its own DVC cache and MLflow store."""

    def __init__(self, place: Path):
        self.place = place
        keep = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "GIT_"))}
        self.environment = keep | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(place.parent / "site-cache"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **{f"GIT_{who}_{what}": "tests@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def call(self, *command: str, status: int | None = 0) -> str:
        """Run a command; its standard output and error together."""
        done = subprocess.run(
            command, cwd=self.place, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert status is None or done.returncode == status, done.stdout
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout

    def edit(self, **changes: object) -> None:
        """Change keys of params.yaml; a dictionary is merged into its section."""
        path, form = self.place / "params.yaml", YAML()
        content = form.load(path)
        _merge(content, changes)
        form.dump(content, path)

    def digests(self) -> dict[str, str]:
        """The content of everything that the pipeline made."""
        files = (path for folder in OUTPUTS for path in (self.place / folder).rglob("*"))
        return {
            str(path.relative_to(self.place)): hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            for path in sorted(files)
            if path.is_file() and path.name != ".gitignore"
        }

    def parents(self) -> list:
        """The parent runs of the store, oldest first."""
        client = MlflowClient(f"sqlite:///{self.place / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("emodag").experiment_id
        runs = [run for run in client.search_runs([experiment]) if "mlflow.parentRunId" not in run.data.tags]
        return sorted(runs, key=lambda run: run.info.start_time)


def _merge(content: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and key in content:
            _merge(content[key], value)
        else:
            content[key] = value


def ran(output: str) -> list[str]:
    """The stages that DVC says it ran, in order."""
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Checkout:
    """A commit of this working tree with small demo corpora; nothing has run."""
    checkout = Checkout(tmp_path_factory.mktemp("source") / "checkout")
    listed = subprocess.check_output(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), cwd=ROOT, text=True
    )
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (checkout.place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout.place / name)
    # Hashes of the full-size corpora would only be noise here.
    (checkout.place / "dvc.lock").unlink(missing_ok=True)
    little = {"clips": 7, "noise": [10.0], "reverb": [], "telephone": False, "gain": []}
    checkout.edit(
        synthesize={"speakers": 10, "takes": 1},
        simulate={"conversations": 1, "conversation": {"min_duration": 8.0, "max_duration": 8.0}},
        evaluate={"resamples": 100, "examples": 1, "matrix": False, "robustness": little},
        train={"folds": 2},
        compute={"jobs": 2},
    )
    checkout.call("git", "init", "--quiet")
    checkout.call("git", "add", "--all")
    checkout.call("git", "commit", "--quiet", "--message", "small")
    return checkout


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory) -> Checkout:
    """The same with the pipeline run once and its lock file committed."""
    checkout = Checkout(tmp_path_factory.mktemp("finished") / "checkout")
    shutil.copytree(source.place, checkout.place, symlinks=True)
    checkout.call("dvc", "repro")
    checkout.call("git", "add", "--all")
    checkout.call("git", "commit", "--quiet", "--message", "finished")
    return checkout


@pytest.fixture
def copy(finished, tmp_path) -> Checkout:
    """A finished checkout to spoil."""
    checkout = Checkout(tmp_path / "checkout")
    shutil.copytree(finished.place, checkout.place, symlinks=True)
    return checkout


def voices(folder: Path, emotions: tuple[str, ...] = ("angry", "happy", "sad"), speakers: int = 4) -> None:
    """A corpus of a user: `<emotion>/<speaker>/<file>`, harmonic sounds."""
    for speaker in range(speakers):
        for number, emotion in enumerate(emotions):
            for take in range(2):
                seconds = np.arange(16000) / 16000
                pitch = 100 + 25 * speaker + 40 * number + 3 * take
                wave = sum(np.sin(2 * np.pi * pitch * k * seconds) / k for k in range(1, 9))
                path = folder / emotion / f"s{speaker}" / f"{take}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, 0.1 * wave * np.minimum(1, 20 * seconds * (1 - seconds)), 16000)


def test_the_pipeline_ends_with_scores_of_both_corpora(finished):
    scores = json.loads((finished.place / "metrics" / "evaluate.json").read_text())
    assert {name: score["protocol"] for name, score in scores.items()} == {
        "demo_en": "speaker_kfold",
        "demo_de": "cross_corpus",
    }
    for score in scores.values():
        assert 0 <= score["uar_low"] <= score["uar"] <= score["uar_high"] <= 1
        assert score["leaky"] is False
        assert (score["clips"], score["speakers"]) == (70, 10)


def test_the_report_shows_why_the_surest_mistake_of_each_corpus_was_made(finished):
    table = pd.read_parquet(finished.place / "report/predictions.parquet")
    emotions = [column for column in table.columns if column in EMOTIONS]
    wrong = table[emotions].idxmax(axis=1) != table["emotion"]
    html = (finished.place / "report/index.html").read_text()
    assert html.count("<h3>Why it took ") == table["corpus"][wrong].nunique() > 0


def test_a_folder_of_conversations_ends_with_timelines_and_errors(finished):
    found = json.loads((finished.place / "metrics" / "calls" / "demo_calls.json").read_text())
    assert (found["recordings"], found["speakers"]) == (1, 2)
    assert 0 <= found["diarization"]["collar_0"]["der"] < 0.5
    assert found["emotions"]["eder"] > 0
    names = {path.name for path in (finished.place / "timelines" / "demo_calls").iterdir()}
    assert names == {"summary.csv", *(f"call_01.{suffix}" for suffix in ("json", "csv", "rttm", "html", "png"))}


def test_nothing_is_left_behind_that_git_does_not_know(finished):
    assert finished.call("git", "status", "--short") == ""


def test_nothing_runs_when_nothing_changed(copy):
    assert ran(copy.call("dvc", "repro")) == []


def test_the_parent_run_carries_scores_pictures_and_links(finished):
    (parent,) = finished.parents()
    assert parent.info.status == "FINISHED"
    assert any("uar" in name for name in parent.data.metrics)
    linked = {tag.removeprefix("stage.") for tag in parent.data.tags if tag.startswith("stage.")}
    per_corpus = [f"{stage}.{corpus}" for stage in STAGES[1:5] for corpus in ("demo_en", "demo_de")]
    of_calls = [f"{stage}.demo_calls" for stage in OF_CALLS]
    assert linked == {"synthesize", "simulate", "train", *per_corpus, *of_calls}
    client = MlflowClient(f"sqlite:///{finished.place / 'mlflow.db'}")

    def below(folder: str | None = None) -> list[str]:
        entries = client.list_artifacts(parent.info.run_id, folder)
        return [name for entry in entries for name in (below(entry.path) if entry.is_dir else [entry.path])]

    names = [Path(name).name for name in below()]
    assert "model.onnx" in names
    assert any(name.endswith(".png") for name in names)


def test_another_model_trains_and_evaluates_only(copy):
    output = copy.call("dvc", "exp", "run", "-S", "model=xgboost")
    assert ran(output) == ["train", "evaluate", SCORED_AGAIN]
    first, second = copy.parents()
    assert {key for key in first.data.params if first.data.params[key] != second.data.params[key]} == {"model"}
    assert second.data.tags["dvc.exp_name"]
    organized = {parent.data.tags["stage.organize.demo_en"] for parent in (first, second)}
    assert len(organized) == 1


def test_an_experiment_that_changes_nothing_has_a_run_of_its_own(copy):
    output = copy.call("dvc", "exp", "run", "--temp", "-S", "model=mlp")
    assert ran(output) == ["evaluate"]
    first, second = copy.parents()
    assert first.data.params == second.data.params
    assert second.data.tags["dvc.exp_name"]
    assert first.data.metrics == second.data.metrics


def test_a_role_changed_to_and_fro_ends_where_it_began(copy):
    before = copy.digests()
    copy.edit(corpora={"demo_de": "train"})
    assert "train" in ran(copy.call("dvc", "repro"))
    copy.call("emodag", "corpora", "add", "demo_de", "--role", "test")
    copy.call("dvc", "repro")
    assert copy.digests() == before


def test_queued_experiments_of_two_workers_are_two_runs_in_one_store(copy, tmp_path):
    voices(tmp_path / "voices")
    copy.call("emodag", "corpora", "add", "my_voices", str(tmp_path / "voices"))
    copy.edit(corpora={"my_voices": "test"})
    copy.call("dvc", "exp", "run", "--queue", "-S", "model=mlp,xgboost")
    copy.call("dvc", "queue", "start", "-j", "2")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        status = copy.call("dvc", "queue", "status")
        if status.count("Success") + status.count("Failed") == 2:
            break
        time.sleep(2)
    assert status.count("Success") == 2, status
    first, second = copy.parents()[-2:]
    assert {key for key in first.data.params if first.data.params[key] != second.data.params[key]} == {"model"}
    names = {parent.data.tags["dvc.exp_name"] for parent in (first, second)}
    shown = json.loads(copy.call("dvc", "exp", "show", "--json"))
    listed = {experiment["name"] for entry in shown for experiment in entry.get("experiments") or []}
    assert names <= listed
    scored = {name for parent in (first, second) for name in parent.data.metrics if "my_voices" in name}
    assert scored


def test_a_test_corpus_added_for_one_experiment_runs_its_stages_and_evaluate_only(copy, tmp_path):
    voices(tmp_path / "voices")
    before = (copy.place / "params.yaml").read_text()
    copy.call("emodag", "corpora", "add", "my_voices", str(tmp_path / "voices"))
    assert (copy.place / "params.yaml").read_text() == before
    output = copy.call("dvc", "exp", "run", "-S", "+corpora.my_voices=test")
    mine = [f"{stage}@my_voices" for stage in STAGES[1:5]]
    assert sorted(ran(output)) == sorted([*mine, "evaluate", SCORED_AGAIN])
    scores = json.loads((copy.place / "metrics" / "evaluate.json").read_text())
    assert scores["my_voices"]["clips"] == 24

    # Audio replaced under the same name must not meet features of the old.
    features = copy.place / "data" / "features" / "test" / "my_voices"
    stale = np.load(features / "functionals.npy")
    replaced = copy.place / "data" / "raw" / "my_voices" / "sad" / "s0" / "0.wav"
    replaced.unlink()
    shutil.copy(tmp_path / "voices" / "happy" / "s3" / "1.wav", replaced)
    assert set(mine) <= set(ran(copy.call("dvc", "repro")))
    fresh = np.load(features / "functionals.npy")
    assert (stale != fresh).any(axis=1).sum() == 1


def test_a_corpus_that_left_params_by_hand_is_not_trained_on_in_silence(copy, tmp_path):
    before = copy.digests()
    voices(tmp_path / "voices")
    copy.call("emodag", "corpora", "add", "my_voices", str(tmp_path / "voices"), "--role", "train")
    copy.call("dvc", "repro")
    content = yaml.safe_load((copy.place / "params.yaml").read_text())
    del content["corpora"]["my_voices"]
    (copy.place / "params.yaml").write_text(yaml.safe_dump(content))
    output = copy.call("dvc", "repro", status=255)
    assert "data/features/train/my_voices is removed: params.yaml no longer lists" in output
    assert "run `dvc repro` to train again" in output
    copy.call("dvc", "repro")
    copy.call("emodag", "corpora", "remove", "my_voices")
    assert copy.digests() == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"modle": "xgboost"}, "modle: unknown key"),
        ({"train": {"protocl": "loso"}}, "train.protocl: unknown key"),
        ({"model": "cnnn"}, "cnnn"),
        ({"corpora": {"demo_de": "tset"}}, "'tset' is not accepted"),
        ({"corpora": {"ravdes": "test"}}, "ravdes"),
        ({"corpora": {"demo_en": "test"}}, "none has the role 'train'"),
        ({"train": {"protocol": "emobox"}}, "demo_en"),
    ],
)
def test_wrong_params_end_dvc_repro_with_a_clear_message(copy, change, told):
    copy.edit(**change)
    output = copy.call("dvc", "repro", status=255)
    assert told in output


def test_killing_any_stage_and_running_again_gives_the_same_outputs(source, finished, tmp_path):
    checkout = Checkout(tmp_path / "checkout")
    shutil.copytree(source.place, checkout.place, symlinks=True)
    for stage in (*STAGES, "featurize_calls", "score_calls"):
        _kill_when_it_works(checkout, stage)
    checkout.call("dvc", "repro")
    assert checkout.digests() == finished.digests()


def _kill_when_it_works(checkout: Checkout, stage: str) -> None:
    """Start the pipeline and kill the stage's processes once it has begun to write or has worked for a while."""
    pipeline = subprocess.Popen(
        ("dvc", "repro"),
        cwd=checkout.place,
        env=checkout.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    started = None
    while pipeline.poll() is None:
        pids = _processes_of(f"stages/{stage}.py", checkout.place)
        if pids:
            started = started or time.monotonic()
            partial = [path for folder in OUTPUTS for path in (checkout.place / folder).rglob(".*.partial")]
            if partial or time.monotonic() - started > 3:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                break
        time.sleep(0.01)
    assert pipeline.wait(timeout=120) != 0, f"{stage} was not caught at work"


def _processes_of(script: str, place: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            inside = (entry / "cwd").resolve() == place.resolve()
        except OSError:
            continue
        if inside and script.encode() in command and b"-c" not in command:
            found.append(int(entry.name))
    return found
