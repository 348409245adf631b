"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora, folds and recordings; tests that need it skip where it is absent."""
    place = Path(os.environ.get("EMODAG_SHARED", ROOT.parent / "shared"))
    if not place.is_dir():
        pytest.skip(f"no real corpora at {place}: set EMODAG_SHARED to the folder that holds corpora/ and diarization/")
    return place
