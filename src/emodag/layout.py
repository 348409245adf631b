"""Where each stage keeps what it makes, relative to the root of the checkout."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
FEATURES = Path("data/features")
CALLS = Path("data/calls")
MODELS = Path("models")
PREDICTIONS = Path("predictions")
METRICS = Path("metrics")
PLOTS = Path("plots")
REPORT = Path("report")
TIMELINES = Path("timelines")

#: What a training keeps of finished folds until it is complete; neither git nor DVC sees it.
TRAINING = Path(".emodag/training")


def raw(corpus: str) -> Path:
    """The files of a corpus as its publisher named them."""
    return RAW / corpus


def organized(corpus: str) -> Path:
    """``manifest.parquet``, ``rejected.csv``, ``notes.csv``, ``clips/<emotion>/*.flac``."""
    return Path("data/organized") / corpus


def turns(corpus: str) -> Path:
    """``turns.parquet`` and one RTTM for the corpus."""
    return Path("data/turns") / corpus


def augmented(corpus: str) -> Path:
    """``manifest.parquet`` and the clips of the training variants."""
    return Path("data/augmented") / corpus


def features(corpus: str, role: str) -> Path:
    """``frames.npy``, ``functionals.npy``, ``index.parquet``, ``features.json``."""
    return FEATURES / role / corpus


def organized_calls(name: str) -> Path:
    """``recordings.parquet``, ``recordings/*.flac``, ``rejected.csv``, ``notes.csv``, and what is known of them."""
    return CALLS / "organized" / name


def turns_of_calls(name: str) -> Path:
    """``turns.parquet`` and one RTTM for the folder."""
    return CALLS / "turns" / name


def features_of_calls(name: str) -> Path:
    """As :func:`features`, a row of the index for each part of a turn that is judged."""
    return CALLS / "features" / name


def timelines(name: str) -> Path:
    """``RECORDING.json``, ``.csv``, ``.rttm``, ``.html`` and ``.png``, and ``summary.csv``."""
    return TIMELINES / name


def metrics_of_calls(name: str) -> Path:
    """What ``dvc metrics`` tells of a folder of conversations."""
    return METRICS / "calls" / f"{name}.json"


def prune(roles: Mapping[str, str], root: Path = Path()) -> list[Path]:
    """Delete features that lie under a role which their corpus does not have (any more); says which, sorted.

    ``root`` is that of the checkout whose params give the ``roles``.

    Whoever reads all corpora of a role would read them too. ``dvc exp run`` takes away what its params do not list,
    ``dvc repro`` does not. DVC's cache keeps what is deleted.
    """
    found = (path for path in (root / FEATURES).glob("*/*") if path.is_dir() and not path.name.startswith("."))
    left_over = sorted(path for path in found if roles.get(path.name) != path.parent.name)
    for folder in left_over:
        shutil.rmtree(folder)
    return left_over
