"""The same function over many items, in local processes; results come in order and equal the serial ones."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_SECONDS_BETWEEN_LOG_LINES = 60


def processes(jobs: int) -> int:
    """How many processes ``compute.jobs`` means here: itself, or one per available core where it is 0."""
    return jobs or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def parallel_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int = 0,
    description: str = "",
    batch: int | str = "auto",
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, as results arrive.

    Workers are processes with one BLAS thread each, so that a result does not depend on how many there are. A terminal
    shows a bar; a log gets one line per minute.
    """
    jobs = min(processes(jobs), max(1, len(items)))
    if jobs == 1:
        results: Iterable[Result] = map(function, items)
    else:
        from joblib import Parallel, delayed, parallel_config

        with parallel_config(backend="loky", inner_max_num_threads=1):
            # Batches of generator results are handed back whole, so memory is bounded by jobs x batch.
            results = Parallel(n_jobs=jobs, return_as="generator", batch_size=batch, pre_dispatch="3*n_jobs")(
                delayed(function)(item) for item in items
            )
    return progress(results, total=len(items), description=description)


def progress(results: Iterable[Result], *, total: int, description: str) -> Iterator[Result]:
    """Pass results on while telling how far the work has come."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(results, total=total, desc=description, leave=False)
        return
    start = last = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LOG_LINES:
            last = now
            remaining = (now - start) / done * (total - done)
            print(f"{description}: {done} of {total}, about {remaining:.0f} s left", file=sys.stderr, flush=True)
