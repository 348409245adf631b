"""The same function over many items, in local processes or on a Dask cluster; results equal the serial ones, in order.

Where the work runs is ambient: :func:`workers` opens what ``compute`` of the params asks for, and every
:func:`parallel_map` inside the block uses it. Results stream. Not through joblib's generator, on either backend: it
submits as fast as workers finish, so the results of a whole corpus pile up behind a slower reader (200 of 200 tasks
were submitted when 11 results had been read). Here a bounded number of tasks is under way or waits to be read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import mmap
import os
import pickle
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from emodag.errors import EmodagError
from emodag.interpreter import collect_seldom

if TYPE_CHECKING:
    from distributed import Client

    from emodag.params import Compute

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Work is spread over processes, so each has one thread: results do not depend on how many cores there are.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

_SECONDS_BETWEEN_LOG_LINES = 60
_SECONDS_TO_CONNECT = 5
_TASK_SECONDS = 0.2  # long enough that handing a task over costs nothing beside it
_LARGEST_TASK = 64  # items
_TASKS_PER_WORKER = 3  # under way or waiting to be read: one that takes long does not leave the others idle


class _Future(Protocol):
    def result(self) -> Any: ...

    def cancel(self) -> Any: ...


def processes(jobs: int) -> int:
    """How many processes ``compute.jobs`` means here: itself, or one per available core where it is 0."""
    return jobs or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def parallel_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int = 0,
    description: str = "",
    batch: int | None = None,
    alone: bool = False,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, as results arrive.

    Every worker has one BLAS thread, so a result does not depend on how many there are. A terminal shows a bar; a log
    gets one line per minute. On a Dask cluster, a task whose worker dies runs again on another.

    Args:
        function: what a worker can be sent: a function of a module, or a ``functools.partial`` of one. Arrays in it
            reach each worker once.
        items: taken as workers become free.
        jobs: local processes; 0 for one per core, 1 for this one. A Dask cluster has as many as it has.
        description: of the work, for the progress bar.
        batch: items in a task; by default as many as take about 0.2 s.
        alone: whether one task at a time is under way, on a cluster too.

    Raises:
        EmodagError: a worker was killed (on Dask: the same task killed several), or the cluster cannot be had.
    """
    cluster = _cluster.get()
    if cluster is not None:
        results: Iterable[Result] = cluster.map(function, items, batch, alone=alone)
    elif alone or (jobs := min(processes(jobs), max(1, len(items)))) == 1:
        results = _map_here(function, items)
    else:
        results = _map_in_processes(function, items, jobs, batch)
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


@contextmanager
def workers(compute: Compute) -> Iterator[None]:
    """Within the block, :func:`parallel_map` runs where the params' ``compute`` section says.

    A Dask cluster is started, or connected to, by the first map that needs it and is left when the block ends.
    """
    with ExitStack() as stack:
        token = _cluster.set(_Cluster(compute, stack) if compute.backend == "dask" else None)
        stack.callback(_cluster.reset, token)
        yield


def _stream(
    submit: Callable[[list[Item]], _Future], items: Iterable[Item], tasks: int, batch: int | None
) -> Iterator[Result]:
    """Results in order, while at most ``tasks`` tasks are under way or wait to be read."""
    remaining = iter(items)
    waiting: deque[_Future] = deque()
    size = batch or 1
    try:
        while True:
            while len(waiting) < tasks and (some := list(islice(remaining, size))):
                waiting.append(submit(some))
            if not waiting:
                return
            results, seconds = waiting.popleft().result()
            if batch is None:
                wanted = round(_TASK_SECONDS * len(results) / max(seconds, 1e-6))
                size = max(1, min(wanted, 2 * size, _LARGEST_TASK))
            yield from results
    finally:
        for future in waiting:
            future.cancel()


def _run(function: Callable[[Item], Result], items: list[Item]) -> tuple[list[Result], float]:
    """What a worker does: the results of a task and the seconds that it took."""
    start = time.perf_counter()
    return [function(item) for item in items], time.perf_counter() - start


# --- this process


def _map_here(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """With one BLAS thread as in a worker, since more add up in another order; the caller keeps its own."""
    from threadpoolctl import ThreadpoolController

    for number, item in enumerate(items):
        if number < 2:  # the first call may have loaded further libraries
            controller = ThreadpoolController()
        with controller.limit(limits=1):
            result = function(item)
        yield result


# --- local processes


def _map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, batch: int | None
) -> Iterator[Result]:
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky import get_reusable_executor

    # Workers live on from map to map, but where they started: PWD makes another folder ask for new ones.
    executor = get_reusable_executor(
        max_workers=jobs, timeout=60, initializer=collect_seldom, env=ONE_THREAD | {"PWD": str(Path.cwd())}
    )
    with tempfile.TemporaryDirectory(prefix="emodag-") as folder:
        _store(function, Path(folder))
        try:
            yield from _stream(
                lambda some: executor.submit(_run_stored, folder, some), items, jobs * _TASKS_PER_WORKER, batch
            )
        except BrokenProcessPool:
            raise EmodagError(
                "a worker process was killed, because memory ran out or because a library crashed on one of the items: "
                f"lower compute.jobs (now {jobs} processes) or free memory, and run again"
            ) from None


def _run_stored(folder: str, items: list[Item]) -> tuple[list[Result], float]:
    return _run(_stored(folder), items)


def _store(function: Callable, folder: Path) -> None:
    """Pickle a function into a folder, its arrays as files beside it that all workers map instead of copying."""
    from cloudpickle import dumps

    buffers: list[pickle.PickleBuffer] = []
    (folder / "function").write_bytes(dumps(function, protocol=5, buffer_callback=buffers.append))
    for number, buffer in enumerate(buffers):
        (folder / f"{number:04d}.buffer").write_bytes(buffer.raw())


@lru_cache(maxsize=1)
def _stored(folder: str) -> Callable:
    buffers = []
    for path in sorted(Path(folder).glob("*.buffer")):
        with path.open("rb") as file:
            # An empty file cannot be mapped.
            empty = not path.stat().st_size
            buffers.append(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return pickle.loads((Path(folder) / "function").read_bytes(), buffers=buffers)


# --- Dask


class _Cluster:
    """A Dask cluster: one started here for the block, or the one at ``compute.address``."""

    def __init__(self, compute: Compute, stack: ExitStack):
        self._compute = compute
        self._stack = stack
        self._client: Client | None = None

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], batch: int | None, *, alone: bool
    ) -> Iterator[Result]:
        if not len(items):
            return
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError

        if self._client is None:
            self._client = _connect(self._compute, self._stack)
        client = self._client
        # As the result of a task and not as scattered data, which would be lost with the worker that holds it.
        sent = client.submit(_itself, function, pure=False)
        tasks = 1 if alone else sum(client.nthreads().values()) * _TASKS_PER_WORKER
        try:
            yield from _stream(lambda some: client.submit(_run, sent, some, pure=False), items, tasks, batch)
        except KilledWorker as error:
            raise EmodagError(
                f"the same task killed several Dask workers, most likely because memory ran out: {error}"
            ) from None
        except (FutureCancelledError, CommClosedError) as error:
            raise EmodagError(f"the Dask cluster at {client.scheduler.address} was lost: {error}") from None


_cluster: ContextVar[_Cluster | None] = ContextVar("cluster", default=None)


def _itself(value: Item) -> Item:
    return value


def _connect(compute: Compute, stack: ExitStack) -> Client:
    import dask

    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="emodag-dask-", ignore_cleanup_errors=True))
    settings = {
        "temporary-directory": scratch,
        "distributed.worker.profile.enabled": False,  # samples the workers' stacks a hundred times a second
        # Dask's hint to scatter large arrays: _Cluster.map says why not.
        "distributed.admin.large-graph-warning-threshold": "10 GB",
    }
    stack.enter_context(dask.config.set(settings))
    logging.getLogger("tornado.application").addFilter(_is_worth_telling)
    return _connect_to(compute.address, stack) if compute.address else _start(processes(compute.jobs), stack)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Whether a fault of a callback is more than Dask's own on Ctrl-C.

    Interrupted before what it waits for has begun, ``distributed.utils.sync`` tries to cancel what is not there yet.
    """
    return "sync.<locals>.cancel" not in record.getMessage()


#: What each worker runs first. Ctrl-C reaches every process of a terminal: this one ends the workers, which would each
#: print a traceback. One that is sending or greeting just then would log another; what matters of what it logs, the
#: error that a task ends with, reaches this process as an exception.
_QUIET = """
import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
logging.getLogger("distributed").setLevel(logging.CRITICAL)
"""


def _start(jobs: int, stack: ExitStack) -> Client:
    """A cluster of ``jobs`` processes on this machine, reachable from it alone and with a key of its own."""
    from distributed import Client, LocalCluster, Security

    source = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    cluster = LocalCluster(
        n_workers=jobs,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",  # None would be port 8787
        worker_dashboard_address=None,
        scheduler_kwargs={"dashboard": False},
        # Whoever reaches a scheduler can run code; other users of this machine lack the key.
        security=Security.temporary(),
        memory_limit=None,
        preload=[_QUIET],
        env=ONE_THREAD | {"PYTHONPATH": path},
    )
    stack.enter_context(cluster)
    return stack.enter_context(Client(cluster, set_as_default=False, direct_to_workers=True))


def _connect_to(address: str, stack: ExitStack) -> Client:
    from distributed import Client

    try:
        # A client of its own would wait without end for an answer to its greeting, and leave a traceback when it gives
        # up.
        answers = asyncio.run(asyncio.wait_for(_what_answers(address), _SECONDS_TO_CONNECT))
        if answers != "Scheduler":
            raise ValueError(f"a {answers} does")
        client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except Exception as error:  # of any kind, since anything may answer there
        reason = " ".join(str(error).split()) or f"nothing said within {_SECONDS_TO_CONNECT} s"
        raise EmodagError(
            f"compute.address: no Dask scheduler answers at {address!r} ({reason}); "
            "tcp://HOST:PORT of a running one is accepted, or nothing for a cluster on this machine"
        ) from None
    stack.enter_context(client)
    try:
        client.wait_for_workers(1, timeout=_SECONDS_TO_CONNECT)
    except TimeoutError:
        raise EmodagError(f"compute.address: the Dask scheduler at {address} has no worker") from None
    try:
        found = client.run(_surroundings)
    except Exception as error:
        raise EmodagError(f"compute.address: {address}: a worker cannot import emodag: {error}") from None
    expected = _surroundings() | {"OMP_NUM_THREADS": "1"}
    for worker, its in found.items():
        for what, value in expected.items():
            if its[what] != value:
                raise EmodagError(
                    f"compute.address: {address}: {what} of worker {worker} is {its[what]}, not {value}; start it "
                    "anew in the root of this checkout, which it must share, with PYTHONPATH=src OMP_NUM_THREADS=1"
                )
    return client


async def _what_answers(address: str) -> str:
    """``Scheduler`` where one does."""
    from distributed import Security
    from distributed.core import rpc

    keys = Security().get_connection_args("client")
    async with rpc(address, timeout=_SECONDS_TO_CONNECT, connection_args=keys) as server:
        return (await server.identity())["type"]


def _surroundings() -> dict[str, str]:
    """What must be alike here and on a worker, or else results might differ."""
    return {
        "the folder": str(Path.cwd()),
        "the code": _code(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }


@cache
def _code() -> str:
    """Where this process has its emodag from, and a digest: once, since later edits do not change what is loaded."""
    source = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{digest.hexdigest()[:12]} of {source}"
