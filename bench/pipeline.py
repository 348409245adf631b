"""How long the pipeline takes and how much memory each stage needs: ``make bench [CORPORA=PATH]``.

Runs this checkout's HEAD in an empty clone, on the demo corpora or on the real ones that lie in PATH (EmoDB as test),
then once more with nothing to do. Times and peak resident memory of the stages are those that tracking logs. The table
is printed and written to ``bench/results/pipeline.json``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient

from _checkout import ROOT, Checkout, corpora_in
from emodag.files import write_json
from emodag.parallel import processes


def stage_runs(uri: str) -> list[dict]:
    """What each executed stage took, in the order of execution."""
    client = MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`emodag.stage` != ''", order_by=["attributes.start_time"])
    return [
        {
            "stage": run.data.tags["emodag.stage"],
            "seconds": round(run.data.metrics["seconds"], 1),
            "peak_rss_mb": round(run.data.metrics["peak_rss_mb"]),
        }
        for run in runs
    ]


def main() -> None:
    present = corpora_in(Path(sys.argv[1])) if sys.argv[1:] and sys.argv[1] else {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        checkout = Checkout(Path(folder) / "checkout")
        for corpus, path in present.items():
            checkout.add(corpus, path)
        roles = {corpus: "test" if corpus == "emodb" else "train" for corpus in present}
        changes = {"corpora": roles} if roles else {}
        seconds = []
        for _ in ("everything", "nothing"):
            start = time.monotonic()
            checkout.repro(changes)
            seconds.append(round(time.monotonic() - start, 1))
        stages = stage_runs(f"sqlite:///{checkout.place / 'mlflow.db'}")
    for row in stages:
        print(f"{row['stage']:<24} {row['seconds']:>7.1f} s {row['peak_rss_mb']:>6} MB")
    print(f"{'everything':<24} {seconds[0]:>7.1f} s\n{'nothing to do':<24} {seconds[1]:>7.1f} s")
    name = "pipeline_corpora.json" if present else "pipeline.json"
    write_json(
        ROOT / "bench" / "results" / name,
        {"processes": processes(0), "everything_s": seconds[0], "nothing_to_do_s": seconds[1], "stages": stages},
    )


if __name__ == "__main__":
    main()
