"""MLflow, in one place: one parent run per pipeline run, one nested run per stage that executes.

The parent carries every param, the scores and the pictures, so two experiments compare on one page. The stages of one
pipeline run are separate processes, which find their parent by a key: the experiment's name where DVC gives one, else
the commit, both with a digest of the params.

A stage that DVC restores from its cache runs no code and so logs nothing. Its earlier run is found by what it made:
DVC's lock file names the digest of every output, each stage run is tagged with the digests of its outputs, and the
parent links to the run whose tags fit. Nothing of this is an output of the pipeline, so outputs stay deterministic.

Tracking never decides the fate of a stage: where the store cannot be reached, the stage says so once and goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from emodag.params import Params

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

    from emodag.bundle import Bundle

#: The stage whose results are those of the whole pipeline: what it logs goes to the parent too.
FINAL_STAGE = "evaluate"

#: The stages behind which DVC runs no other that is not of their kind; they link the parent with what ran before them.
_LAST_STAGES = (FINAL_STAGE, "score_calls")

_LOCK = Path("dvc.lock")
_METRICS_AT_ONCE = 1000  # MLflow takes no more in a batch
_MODEL = "model"  # among the artifacts of a run
_STAGE, _OUTPUTS, _KEY = "emodag.stage", "emodag.outputs", "emodag.key"


def home() -> Path:
    """The checkout that people work in, also when called from the copy that DVC runs a queued experiment in."""
    here = Path.cwd().resolve()
    for place in (here, *here.parents):
        if place.parts[-3:] == (".dvc", "tmp", "exps"):
            return place.parents[2]
    return here


def store_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or the SQLite database at the root of the checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def commit() -> str:
    """The commit that is checked out, or, in an experiment, the one that it started from; ``none`` outside of git."""
    return os.environ.get("DVC_EXP_BASELINE_REV") or _git("rev-parse", "HEAD")


def page(params: Params, address: str) -> str:
    """Where MLflow's server at ``address`` shows the runs of this checkout."""
    from mlflow import MlflowClient

    experiment = MlflowClient(tracking_uri=store_uri()).get_experiment_by_name(params.tracking.experiment)
    # Without the type, MLflow's pages open as a tool for language models.
    place = f"#/experiments/{experiment.experiment_id}/runs" if experiment else "#/experiments"
    return f"{address}/{place}?workflowType=machine_learning"


class Run:
    """What a stage logs to. Failures of the store are told once and never reach the stage."""

    def __init__(self, client: MlflowClient | None, run_id: str = "", parent_id: str = "", *, final: bool = False):
        self._client = client
        self._run_id = run_id
        self._both = [run_id, parent_id] if final else [run_id]
        self._artifacts = parent_id if final else run_id

    @property
    def is_tracked(self) -> bool:
        """Whether what is logged arrives anywhere; where it does not, costly pictures need not be drawn."""
        return self._client is not None

    def log_metrics(self, metrics: dict[str, float]) -> None:
        """Numbers by name; a value that is no finite number is left out, since no store takes it."""
        self._log_series([(name, 0, value) for name, value in metrics.items()])

    def log_curves(self, curves: pd.DataFrame) -> None:
        """Learning curves by :data:`emodag.schema.CURVES`.

        Each measure by epoch: the mean over the folds and seeds that got so far, and that of every fold of the first
        seed.
        """
        first = curves[curves["seed"] == curves["seed"].min()]
        means = curves.groupby(["measure", "epoch"], sort=True)["value"].mean()
        series = [(measure, epoch, value) for (measure, epoch), value in means.items()]
        series += [(f"fold_{row.fold}/{row.measure}", row.epoch, row.value) for row in first.itertuples()]
        self._log_series(series)

    def _log_series(self, series: list[tuple[str, int, float]]) -> None:
        if self._client is None:
            return
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        entries = [Metric(name, float(value), now, int(step)) for name, step, value in series if _is_finite(value)]
        for run_id in self._both:
            for start in range(0, len(entries), _METRICS_AT_ONCE):
                self._attempt("log_batch", run_id, metrics=entries[start : start + _METRICS_AT_ONCE])

    def log_artifact(self, path: str | Path, folder: str | None = None) -> None:
        """A file, or everything in a folder, under ``folder`` of the run's artifacts."""
        method = "log_artifacts" if Path(path).is_dir() else "log_artifact"
        self._attempt(method, self._artifacts, str(path), folder)

    def log_model(self, shipped: Bundle, params: Params, uar: dict[str, float]) -> None:
        """Keep the shipped model under ``model`` so that MLflow can load and serve it; a new version in its registry.

        The name in the registry is ``tracking.model``; where that is empty, nothing is registered. A run has one
        version however often its stage runs again.

        Args:
            shipped: the model.
            params: of the run.
            uar: corpus -> UAR; versions are tagged with these, the protocol, what they were trained on and the commit.
        """
        if self._client is None:
            return
        from emodag import serving

        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / _MODEL
            try:
                serving.save(shipped, folder, params.featurize.encoder)
            except Exception as error:  # whatever MLflow or the disk says: evaluate has done its work
                print(f"the model is not logged for serving: {error}", file=sys.stderr)
                return
            self._attempt("log_artifacts", self._artifacts, str(folder), _MODEL)
        tags = {
            "model": shipped.model,
            "corpora": ", ".join(shipped.corpora),
            "protocol": shipped.protocol,
            "leaky": any(scores["leaky"] for scores in shipped.scores.values()),
            "commit": commit(),
            **{f"uar.{corpus}": f"{value:.4f}" for corpus, value in uar.items()},
        }
        if self._client is not None and params.tracking.model:
            try:
                _register(self._client, params.tracking.model, self._artifacts, tags)
            except Exception as error:
                self._client = None
                _tell(error)

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Tags by name, as text."""
        if self._client is None:
            return
        from mlflow.entities import RunTag

        for run_id in self._both:
            self._attempt("log_batch", run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])

    def _attempt(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self._client is None:
            return
        try:
            getattr(self._client, method)(*args, **kwargs)
        except Exception as error:
            self._client = None
            _tell(error)


@contextmanager
def stage_run(params: Params, stage: str) -> Iterator[Run]:
    """The nested run of a stage (``organize@demo_en``) below its pipeline's parent run.

    On leaving, the run is marked finished or failed and gets the stage's wall time (s) and peak resident memory (MB).
    """
    start = time.monotonic()
    try:
        client, parent_id, run_id = _open(params, stage)
    except Exception as error:
        _tell(error)
        client, parent_id, run_id = None, "", ""
    run = Run(client, run_id, parent_id, final=stage == FINAL_STAGE)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    finally:
        for name, value in {"seconds": time.monotonic() - start, "peak_rss_mb": peak_rss_mb()}.items():
            run._attempt("log_metric", run_id, name, value)
        if stage.partition("@")[0] in _LAST_STAGES and run._client is not None:
            try:
                _link_stages(client, params, parent_id)
                if stage != FINAL_STAGE:  # whose results the parent has itself
                    _link(client, parent_id, stage, run_id)
            except Exception as error:
                _tell(error)
        for each in (run_id, parent_id):
            run._attempt("set_terminated", each, status)


def peak_rss_mb() -> float:
    """Resident memory in MB: the peaks of this process and of its live workers, added up.

    More than was ever resident at once, so a bound that holds. Where the system tells no peaks (other than Linux), this
    process's own.
    """
    import psutil

    peaks = []
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            continue
        peaks += [int(line.split()[1]) / 2**10 for line in status.splitlines() if line.startswith("VmHWM")]
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss: bytes on macOS, KiB elsewhere
    return sum(peaks) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _open(params: Params, stage: str) -> tuple[MlflowClient, str, str]:
    """The client, the parent's id and the id of a new run for the stage."""
    # A server that does not answer must not hold a stage up for the minutes that MLflow would keep trying.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    from filelock import FileLock
    from mlflow import MlflowClient
    from mlflow.entities import Param

    for logger in ("alembic", "mlflow"):  # after the import, which sets their levels
        logging.getLogger(logger).setLevel(logging.WARNING)

    uri = store_uri()
    # Two queue workers may be the first to arrive at once: one creates the database, the experiment, the parent.
    with FileLock(home() / ".mlflow.lock"):
        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, params.tracking.experiment, uri)
        revision = commit()
        name = os.environ.get("DVC_EXP_NAME")
        experiment = {"dvc.exp_name": name} if name else {}
        key = f"{name or revision}-{_digest(params.flat())}"
        found = client.search_runs([experiment_id], f"tags.`{_KEY}` = '{key}'", max_results=1)
        if found:
            parent_id = found[0].info.run_id
            client.update_run(parent_id, status="RUNNING")
        else:
            tags = {
                _KEY: key,
                "mlflow.runName": name or _title(params),
                "mlflow.source.name": "dvc",
                "mlflow.source.git.commit": revision,
                "dvc.baseline": revision,
                "git.branch": _git("rev-parse", "--abbrev-ref", "HEAD"),
                **experiment,
            }
            parent_id = client.create_run(experiment_id, tags=tags).info.run_id
            entries = [Param(key, str(value)) for key, value in params.flat().items()]
            for first in range(0, len(entries), 100):
                client.log_batch(parent_id, params=entries[first : first + 100])
    job, _, corpus = stage.partition("@")
    tags = {
        "mlflow.parentRunId": parent_id,
        "mlflow.runName": stage,
        "mlflow.source.name": f"stages/{job}.py",
        "mlflow.source.git.commit": revision,
        _STAGE: stage,
        **experiment,
    }
    if corpus:
        tags["corpus"] = corpus
    return client, parent_id, client.create_run(experiment_id, tags=tags).info.run_id


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return experiment.experiment_id
    # A local store's default would be a folder below the working directory, which a queued experiment loses, and which
    # another checkout that logs to the same store need not keep.
    database = uri.partition("sqlite:///")[2].partition("?")[0]
    location = (Path(database).resolve().parent / "mlartifacts").as_uri() if database else None
    # The kind makes MLflow's pages open on runs rather than on traces of language models.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    return client.create_experiment(name, artifact_location=location, tags=tags)


def _register(client: MlflowClient, name: str, run_id: str, tags: dict[str, Any]) -> None:
    """Make a run's model the newest version of a registered model, or tag the version that it is already."""
    from mlflow.exceptions import MlflowException

    tags = {key: str(value) for key, value in tags.items()}
    try:
        client.get_registered_model(name)
    except MlflowException:
        with suppress(MlflowException):  # another pipeline run was quicker
            client.create_registered_model(name)
    if found := client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'"):
        for key, value in tags.items():
            client.set_model_version_tag(name, found[0].version, key, value)
    else:
        # Not as `runs:/`, which MLflow would look up in the store of the process and not in the client's.
        source = f"{client.get_run(run_id).info.artifact_uri}/{_MODEL}"
        client.create_model_version(name, source, run_id, tags=tags)


def _link_stages(client: MlflowClient, params: Params, parent_id: str) -> None:
    """Tag this pipeline's stage runs with what they made, and the parent with the run of each of its stages."""
    if not _LOCK.exists():
        return
    locked = yaml.safe_load(_LOCK.read_text(encoding="utf-8")).get("stages", {})
    experiment_id = client.get_run(parent_id).info.experiment_id
    query = f"tags.`mlflow.parentRunId` = '{parent_id}' AND attributes.status = 'FINISHED'"
    own = client.search_runs([experiment_id], query, max_results=1000)
    newest = {}
    for run in sorted(own, key=lambda run: run.info.start_time):
        newest[run.data.tags.get(_STAGE)] = run
    for stage, entry in locked.items():
        corpus = stage.partition("@")[2]
        if stage == FINAL_STAGE or (corpus and corpus not in params.corpora | params.calls):
            continue
        made = _digest([(out["path"], out.get("md5")) for out in entry.get("outs", [])])
        run = newest.get(stage)
        if run is not None:
            client.set_tag(run.info.run_id, _OUTPUTS, made)
        else:
            query = f"tags.`{_STAGE}` = '{stage}' AND tags.`{_OUTPUTS}` = '{made}'"
            earlier = client.search_runs([experiment_id], query, max_results=1)
            if not earlier:
                continue
            run = earlier[0]
        _link(client, parent_id, stage, run.info.run_id)


def _link(client: MlflowClient, parent_id: str, stage: str, run_id: str) -> None:
    client.set_tag(parent_id, f"stage.{stage.replace('@', '.')}", run_id)


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(("git", *arguments), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _title(params: Params) -> str:
    return f"{params.model} on {' + '.join(params.with_role('train'))} by {params.train.protocol}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _tell(error: Exception) -> None:
    reason = " ".join(str(error).split())[:300]
    print(f"MLflow at {store_uri()} cannot be used; this stage is not tracked: {reason}", file=sys.stderr)
