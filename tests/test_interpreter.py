"""Garbage is searched for seldom."""

from __future__ import annotations

import subprocess
import sys

_SEARCHES = "import gc, pandas; print(sum(generation['collections'] for generation in gc.get_stats()))"


def searches(before: str = "") -> int:
    """How often a new process searches for garbage while it imports pandas."""
    done = subprocess.run([sys.executable, "-c", before + _SEARCHES], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_an_import_searches_for_garbage_a_tenth_as_often():
    assert 0 < searches("from emodag.interpreter import collect_seldom; collect_seldom(); ") < searches() / 10
