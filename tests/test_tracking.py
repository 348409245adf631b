"""MLflow: parents and children, what they carry, and that a stage never depends on the store."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from emodag import params, serving, tracking

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> Path:
    """A database with MLflow's tables and nothing in them: making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def checkout(tmp_path, monkeypatch, empty_store):
    """A place that looks like a checkout, with no environment of DVC's or MLflow's."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    for variable in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def with_model(model: str) -> params.Params:
    content = yaml.safe_load(Path("params.yaml").read_text()) | {"model": model}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    return params.load()


def runs() -> tuple[list, list]:
    """Parent runs and stage runs of the store, oldest first."""
    client = MlflowClient(tracking.store_uri())
    experiment = client.get_experiment_by_name("emodag").experiment_id
    found = sorted(client.search_runs([experiment]), key=lambda run: run.info.start_time)
    nested = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    return [run for run in found if run not in nested], nested


def locked(stage: str, md5: str) -> None:
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {stage: {"outs": [{"path": "data/x", "md5": md5}]}}}))


def test_stages_of_one_pipeline_run_share_a_parent_that_carries_every_param(checkout):
    loaded = with_model("mlp")
    for stage in ("organize@demo_en", "train"):
        with tracking.stage_run(loaded, stage) as run:
            run.log_metrics({"clips": 3, "undefined": float("nan")})
    (parent,), nested = runs()
    assert parent.data.params == {key: str(value) for key, value in loaded.flat().items()}
    assert [run.data.tags["mlflow.runName"] for run in nested] == ["organize@demo_en", "train"]
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
    assert nested[0].data.tags["corpus"] == "demo_en"
    assert nested[0].data.metrics.keys() == {"clips", "seconds", "peak_rss_mb"}
    assert {run.info.status for run in (parent, *nested)} == {"FINISHED"}


def test_two_experiments_differ_by_exactly_the_param_that_was_changed(checkout, monkeypatch):
    for name, model in (("first-try", "mlp"), ("second-try", "xgboost")):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123456789abcdef")
        with tracking.stage_run(with_model(model), "train"):
            pass
    (first, second), _ = runs()
    differing = {key for key in first.data.params if first.data.params[key] != second.data.params[key]}
    assert differing == {"model"}
    assert [run.data.tags["mlflow.runName"] for run in (first, second)] == ["first-try", "second-try"]
    assert first.data.tags["dvc.baseline"] == "0123456789abcdef"


def test_results_of_the_final_stage_stand_on_the_parent_too(checkout):
    Path("report.txt").write_text("fine")
    with tracking.stage_run(with_model("mlp"), "evaluate") as run:
        run.log_metrics({"uar": 0.5})
        run.set_tags({"leaky": False})
        run.log_artifact("report.txt", "report")
    (parent,), (nested,) = runs()
    assert parent.data.metrics["uar"] == nested.data.metrics["uar"] == 0.5
    assert parent.data.tags["leaky"] == "False"
    client = MlflowClient(tracking.store_uri())
    assert [entry.path for entry in client.list_artifacts(parent.info.run_id, "report")] == ["report/report.txt"]


def test_the_shipped_model_is_registered_once_a_run_and_can_be_loaded(checkout, hearing_bundle, spoken):
    loaded = with_model("mlp")
    for uar in (0.25, 0.5):
        with tracking.stage_run(loaded, "evaluate") as run:
            run.log_model(hearing_bundle, loaded, {"alpha": uar})
    with tracking.stage_run(with_model("xgboost"), "evaluate") as run:
        run.log_model(hearing_bundle, loaded, {"alpha": 0.5})
    client = MlflowClient(tracking.store_uri())
    second, first = client.search_model_versions("name = 'emodag'", order_by=["version_number DESC"])
    assert {version.run_id for version in (first, second)} == {parent.info.run_id for parent in runs()[0]}
    expected = {
        "corpora": "alpha",
        "protocol": "speaker_kfold",
        "leaky": "False",
        "uar.alpha": "0.5000",
        "model": "mlp",
    }
    assert expected.items() <= first.tags.items()
    assert first.tags["commit"] == tracking.commit()
    served = mlflow.pyfunc.load_model(first.source)
    sent = pd.DataFrame({"samples": [spoken("angry").tolist()], "rate": [16_000]})
    assert served.predict(sent)["emotion"].isin([*hearing_bundle.classes, "unknown"]).all()


def test_without_a_name_for_it_no_model_is_registered(checkout, hearing_bundle):
    content = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(content | {"tracking": content["tracking"] | {"model": ""}}))
    with tracking.stage_run(params.load(), "evaluate") as run:
        run.log_model(hearing_bundle, params.load(), {"alpha": 0.5})
    client = MlflowClient(tracking.store_uri())
    assert not client.search_registered_models()
    (parent,), _ = runs()
    assert "model/MLmodel" in [entry.path for entry in client.list_artifacts(parent.info.run_id, "model")]


def test_a_model_that_cannot_be_served_is_told_and_the_run_goes_on(checkout, hearing_bundle, capsys):
    with tracking.stage_run(with_model("mlp"), "evaluate") as run:
        run.log_model(replace(hearing_bundle, names=("unheard_of",)), params.load(), {"alpha": 0.5})
        run.log_metrics({"uar": 0.5})
    assert "the model is not logged for serving" in capsys.readouterr().err
    assert runs()[0][0].data.metrics["uar"] == 0.5


def test_whatever_keeps_a_model_from_being_served_the_run_goes_on(checkout, hearing_bundle, capsys, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(serving, "save", full)
    with tracking.stage_run(with_model("mlp"), "evaluate") as run:
        run.log_model(hearing_bundle, with_model("mlp"), {"demo_en": 0.5})
    assert "the model is not logged for serving: No space left on device" in capsys.readouterr().err


def test_a_stage_restored_from_the_cache_is_linked_to_the_run_that_made_it(checkout):
    with tracking.stage_run(with_model("mlp"), "organize@demo_en"):
        pass
    locked("organize@demo_en", "made-once")
    for model in ("mlp", "xgboost"):
        with tracking.stage_run(with_model(model), "evaluate"):
            pass
    parents, nested = runs()
    assert [parent.data.tags.get("stage.organize.demo_en") for parent in parents] == [nested[0].info.run_id] * 2
    locked("organize@demo_en", "made-otherwise")
    with tracking.stage_run(with_model("mlp").model_copy(update={"seed": 7}), "evaluate"):
        pass
    assert "stage.organize.demo_en" not in runs()[0][-1].data.tags


def test_a_failing_stage_is_marked_failed_and_a_later_one_mends_the_parent(checkout):
    loaded = with_model("mlp")
    with pytest.raises(RuntimeError), tracking.stage_run(loaded, "train"):
        raise RuntimeError
    (parent,), (nested,) = runs()
    assert parent.info.status == nested.info.status == "FAILED"
    with tracking.stage_run(loaded, "train"):
        pass
    assert runs()[0][0].info.status == "FINISHED"


def test_an_unreachable_store_is_told_and_does_not_end_the_stage(checkout, monkeypatch, capsys, hearing_bundle):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    reached = False
    with tracking.stage_run(with_model("mlp"), "evaluate") as run:
        run.log_metrics({"uar": 0.5})
        run.log_artifact("params.yaml")
        run.log_model(hearing_bundle, params.load(), {"alpha": 0.5})
        reached = True
    assert reached
    assert "http://127.0.0.1:9 cannot be used" in capsys.readouterr().err


def test_a_store_that_fails_midway_is_told_once(checkout, capsys):
    with tracking.stage_run(with_model("mlp"), "train") as run:
        run.log_artifact("no/such/file")
        run.log_artifact("no/such/file")
    assert capsys.readouterr().err.count("cannot be used") == 1


def test_a_queued_experiment_uses_the_store_of_the_checkout_it_came_from(checkout, monkeypatch):
    copy = checkout / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert tracking.store_uri() == f"sqlite:///{checkout.resolve()}/mlflow.db"


def test_what_is_logged_lies_beside_the_store_wherever_a_run_comes_from(checkout, monkeypatch):
    elsewhere = checkout / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(checkout / "params.yaml", elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{checkout}/mlflow.db")
    monkeypatch.chdir(elsewhere)
    with tracking.stage_run(params.load(), "evaluate") as run:
        run.log_artifact("params.yaml")
    assert list((checkout / "mlartifacts").rglob("params.yaml"))
    assert not (elsewhere / "mlartifacts").exists()


def test_processes_that_arrive_at_once_share_one_store_and_one_parent(checkout):
    Path("mlflow.db").unlink()
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        "from emodag import params, tracking\n"
        "with tracking.stage_run(params.load(), sys.argv[1]): pass\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, f"organize@c{n}"]) for n in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    parents, nested = runs()
    assert len(parents) == 1
    assert len(nested) == 3
