"""Many processes, one result."""

from __future__ import annotations

import os

import numpy as np
import pytest

from emodag import parallel


def draw(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=5)


def where(_: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def fail(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def test_results_are_those_of_one_process_in_order():
    items = list(range(40))
    serial = list(parallel.parallel_map(draw, items, jobs=1))
    spread = list(parallel.parallel_map(draw, items, jobs=2))
    np.testing.assert_array_equal(serial, spread)


def test_workers_are_other_processes_with_one_thread_each():
    results = list(parallel.parallel_map(where, list(range(20)), jobs=2))
    assert os.getpid() not in {pid for pid, _ in results}
    assert {threads for _, threads in results} == {"1"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_a_worker_reaches_the_caller(jobs):
    with pytest.raises(ValueError, match="three"):
        list(parallel.parallel_map(fail, list(range(6)), jobs=jobs))


@pytest.mark.parametrize("jobs", [0, 1, 4])
def test_nothing_to_do_is_no_error(jobs):
    assert list(parallel.parallel_map(draw, [], jobs=jobs)) == []


def test_zero_means_one_process_per_available_core():
    assert parallel.processes(0) == len(os.sched_getaffinity(0))
    assert parallel.processes(3) == 3


def test_a_log_gets_a_line_when_the_work_takes_long(monkeypatch, capsys):
    monkeypatch.setattr(parallel, "_SECONDS_BETWEEN_LOG_LINES", 0)
    assert list(parallel.progress(range(3), total=3, description="organize")) == [0, 1, 2]
    assert "organize: 2 of 3" in capsys.readouterr().err
