"""Where each stage keeps what it makes, relative to the root of the checkout."""

from __future__ import annotations

from pathlib import Path

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
FEATURES = Path("data/features")
MODELS = Path("models")
PREDICTIONS = Path("predictions")
METRICS = Path("metrics")
PLOTS = Path("plots")


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
