"""Sounds without speech that every feature must survive."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from emodag.features import egemaps


@pytest.fixture(scope="session")
def opensmile():
    """The package, for tests that need it."""
    if find_spec("opensmile") is None:
        pytest.skip("opensmile is optional: requirements-options.txt")
    egemaps.names()  # loads it in the way that TensorFlow does not disturb
    return import_module("opensmile")


@pytest.fixture(params=["silence", "direct current", "noise", "square wave"])
def degenerate(request) -> Callable[[int], np.ndarray]:
    """``degenerate(length)``: float32 [length] of the kind in turn."""

    def make(length: int) -> np.ndarray:
        return {
            "silence": np.zeros(length),
            "direct current": np.full(length, 0.5),
            "noise": np.random.default_rng(0).uniform(-1, 1, length),
            "square wave": np.where(np.arange(length) // 40 % 2, -1.0, 1.0),
        }[request.param].astype(np.float32)

    return make
