"""Sounds without speech that every feature must survive."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


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
