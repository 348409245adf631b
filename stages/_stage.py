"""What surrounds the one job of every stage: this checkout's library, threads, telemetry, params, MLflow, clear errors.

Imported first by each stage script, before anything that reads the environment.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

# A queued experiment runs in a copy of the checkout: its own library must win over the installed one.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from emodag.parallel import ONE_THREAD, workers

os.environ.update(ONE_THREAD)
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from emodag import layout, tracking
from emodag import params as parameters
from emodag.errors import EmodagError
from emodag.interpreter import collect_seldom

collect_seldom()


def stage(job: Callable[..., None]) -> None:
    """Run ``job(params, run, *arguments of the command line)`` as the stage that bears its name.

    ``run`` is the stage's MLflow run. An :class:`EmodagError` ends the process with its message and status 1. Features
    of corpora that left ``params.yaml`` are removed first, so that no stage reads them (DVC's cache keeps them).
    """
    arguments = sys.argv[1:]
    wanted = list(inspect.signature(job).parameters)[2:]
    if len(arguments) != len(wanted):
        sys.exit(f"usage: python stages/{job.__name__}.py {' '.join(map(str.upper, wanted))}; see dvc.yaml")
    name = "@".join([job.__name__, *arguments[:1]])
    try:
        params = parameters.load()
        for folder in layout.prune(params.corpora):
            print(f"{folder} is removed: params.yaml no longer lists that corpus with that role")
        # The run is the inner one: it measures the workers' memory too, while they live.
        with workers(params.compute), tracking.stage_run(params, name) as run:
            job(params, run, *arguments)
    except EmodagError as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; none of its outputs is kept")
