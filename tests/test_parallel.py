"""Many processes, here or in a Dask cluster, one result."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from emodag import parallel, params
from emodag.errors import EmodagError
from emodag.params import Compute

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = params.load(ROOT / "params.yaml").featurize
DASK = Compute(backend="dask", device="cpu", jobs=2, address="")


@pytest.fixture(scope="module")
def cluster():
    """A Dask cluster of two local workers, which ``backend`` makes the ambient one."""
    with parallel.workers(DASK):
        shared = parallel._cluster.get()
        parallel._cluster.set(None)
        yield shared


@pytest.fixture(params=["local", "dask"])
def backend(request, cluster):
    """Both backends in turn."""
    token = parallel._cluster.set(cluster if request.param == "dask" else None)
    yield request.param
    parallel._cluster.reset(token)


def draw(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=5)


def where(_: int) -> tuple[int, str | None, str, str]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS"), parallel.__file__, str(Path.cwd())


def fail(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def slow_first(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0)
    return number


def when(_: int) -> tuple[float, float]:
    start = time.time()
    time.sleep(0.2)
    return start, time.time()


def first_of(number: int, values: np.ndarray, nothing: np.ndarray) -> tuple[float, bool]:
    return float(values[number]) + len(nothing), values.flags.writeable


def features(seed: int, pause: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Features of a second of voiced sound in noise, each seed another."""
    # Here, because each worker imports this module, and most need none of it.
    from emodag.audio import SAMPLE_RATE
    from emodag.features import extract

    time.sleep(pause)
    rng = np.random.default_rng(seed)
    phase = np.cumsum(rng.uniform(90, 250) * np.ones(SAMPLE_RATE)) / SAMPLE_RATE
    samples = 0.3 * np.sign(np.sin(2 * np.pi * phase)) * rng.uniform(0.1, 1) + rng.normal(size=SAMPLE_RATE, scale=0.01)
    found = extract(samples.astype(np.float32), SETTINGS)
    return found.frames, found.functionals


def digest(results) -> list[bytes]:
    return [part.tobytes() for result in results for part in result]


def worker_pids() -> list[int]:
    """The processes of a local Dask cluster."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if any("spawn_main" in word for word in child.cmdline())]


def test_features_are_those_of_one_process_bit_for_bit_and_in_order(backend):
    items = list(range(12))
    assert digest(parallel.parallel_map(features, items, jobs=2)) == digest(map(features, items))


def test_an_item_that_takes_long_does_not_change_the_order(backend):
    assert list(parallel.parallel_map(slow_first, range(100), jobs=2)) == list(range(100))


def test_workers_are_other_processes_with_one_thread_this_library_and_this_folder(backend):
    results = list(parallel.parallel_map(where, list(range(20)), jobs=2))
    assert os.getpid() not in {pid for pid, *_ in results}
    assert {about[1:] for about in results} == {("1", parallel.__file__, str(Path.cwd()))}


def threads_and_product(seed: int) -> tuple[int, bytes]:
    values = np.random.default_rng(seed).normal(size=(300, 300)).astype(np.float32)
    return max(library["num_threads"] for library in threadpool_info()), (values @ values).tobytes()


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_thread_adds_up_wherever_the_work_runs_and_the_caller_keeps_its_own(jobs):
    with threadpool_limits(2):
        found = list(parallel.parallel_map(threads_and_product, range(3), jobs=jobs))
        assert threads_and_product(0)[0] == 2
    with threadpool_limits(1):
        assert found == [threads_and_product(seed) for seed in range(3)]


def test_local_workers_follow_to_another_folder(tmp_path, monkeypatch):
    list(parallel.parallel_map(where, range(4), jobs=2))
    monkeypatch.chdir(tmp_path)
    assert {folder for *_, folder in parallel.parallel_map(where, range(4), jobs=2)} == {str(tmp_path)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_a_worker_reaches_the_caller(backend, jobs):
    with pytest.raises(ValueError, match="three"):
        list(parallel.parallel_map(fail, list(range(6)), jobs=jobs))


@pytest.mark.parametrize("jobs", [0, 1, 4])
def test_nothing_to_do_is_no_error(backend, jobs):
    assert list(parallel.parallel_map(draw, [], jobs=jobs)) == []


def test_arrays_of_the_function_reach_the_workers(backend):
    values = np.arange(300_000, dtype=np.float32)
    work = partial(first_of, values=values, nothing=np.empty(0, np.float32))
    assert [value for value, _ in parallel.parallel_map(work, range(8), jobs=2, batch=1)] == list(range(8))


def test_local_workers_share_the_arrays_of_the_function():
    work = partial(first_of, values=np.arange(300_000.0), nothing=np.empty(0))
    results = list(parallel.parallel_map(work, range(8), jobs=2, batch=1))
    assert not any(writeable for _, writeable in results)  # mapped from one file, not copied


def test_items_are_taken_only_as_results_are_read(backend):
    class Counted(list):
        taken = 0

        def __iter__(self):
            for item in list.__iter__(self):
                self.taken += 1
                yield item

    items = Counted(range(200))
    results = parallel.parallel_map(draw, items, jobs=2, batch=1)
    for read in range(1, 30):
        next(results)
        time.sleep(0.005)  # a slow reader: the workers finish long before
        assert items.taken <= read + 2 * parallel._TASKS_PER_WORKER
    results.close()


def test_quick_items_share_a_task_and_slow_ones_do_not():
    class Done:
        def __init__(self, items, seconds_each):
            self.items, self.seconds = items, seconds_each * len(items)

        def result(self):
            return self.items, self.seconds

    def sizes(seconds_each):
        sent = []
        list(parallel._stream(lambda some: sent.append(len(some)) or Done(some, seconds_each), range(500), 1, None))
        return sent

    assert max(sizes(0.01)) == 20
    assert max(sizes(1e-6)) == parallel._LARGEST_TASK
    assert set(sizes(3.0)) == {1}


@pytest.mark.parametrize("backend", ["dask"], indirect=True)
def test_a_killed_dask_worker_changes_nothing(backend, capfd):
    results = parallel.parallel_map(partial(features, pause=0.05), range(24), jobs=2)
    found = [next(results) for _ in range(5)]
    os.kill(worker_pids()[0], signal.SIGKILL)
    found += results
    assert digest(found) == digest(map(features, range(24)))
    assert "Traceback" not in capfd.readouterr().err


def test_a_task_that_kills_every_dask_worker_is_an_error():
    import dask

    one_more = {"distributed.scheduler.allowed-failures": 1}
    with (
        dask.config.set(one_more),
        parallel.workers(DASK),
        pytest.raises(EmodagError, match="killed several Dask workers"),
    ):
        list(parallel.parallel_map(kill_itself, [1]))


def kill_itself(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_local_worker_is_one_clear_error():
    with pytest.raises(EmodagError, match=r"a worker process was killed.*lower compute.jobs \(now 2 processes\)"):
        list(parallel.parallel_map(kill_itself, [1, 2, 3], jobs=2))
    assert len(list(parallel.parallel_map(draw, range(5), jobs=2))) == 5  # and the next map has workers again


def test_no_process_and_no_file_outlives_the_block(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(worker_pids())
    with parallel.workers(Compute(backend="dask", device="cpu", jobs=1, address="")):
        assert set(worker_pids()) == before  # nothing is started before it is needed
        list(parallel.parallel_map(draw, [1]))
        assert len(worker_pids()) == len(before) + 1
        assert list(tmp_path.iterdir())
        listening = [
            connection.laddr.ip
            for process in (psutil.Process(), *map(psutil.Process, worker_pids()))
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}
    assert set(worker_pids()) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "somewhere"])
def test_a_scheduler_that_does_not_answer_is_told_by_its_address(address, monkeypatch):
    monkeypatch.setattr(parallel, "_SECONDS_TO_CONNECT", 0.3)
    start = time.monotonic()
    with pytest.raises(EmodagError, match=rf"^compute\.address: .*'{address}'"):  # noqa: SIM117
        with parallel.workers(Compute(backend="dask", device="cpu", jobs=2, address=address)):
            list(parallel.parallel_map(draw, [1, 2]))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_what_answers_and_is_no_scheduler_is_told_by_its_address(greeting, monkeypatch, capfd):
    monkeypatch.setattr(parallel, "_SECONDS_TO_CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=lambda: server.accept()[0].send(greeting), daemon=True).start()
        start = time.monotonic()
        with (
            pytest.raises(EmodagError, match=rf"no Dask scheduler answers at '{address}' \(\S"),
            parallel.workers(Compute(backend="dask", device="cpu", jobs=0, address=address)),
        ):
            list(parallel.parallel_map(draw, [1]))
    assert time.monotonic() - start < 5
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("backend", ["local", "dask"])
def test_an_interrupt_ends_every_process(backend):
    script = (
        # Tests that run in the background inherit that the signal is ignored.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import time\nfrom emodag import parallel\nfrom emodag.params import Compute\n"
        f"with parallel.workers(Compute(backend='{backend}', device='cpu', jobs=2, address='')):\n"
        "    for _ in parallel.parallel_map(time.sleep, [0.02] * 5000, jobs=2, batch=1):\n"
        "        print('one', flush=True)\n"
    )
    # A group of its own, all of which gets the signal: what Ctrl-C in a terminal does.
    started = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # So many that both workers are at work.
        assert [started.stdout.readline() for _ in range(40)] == ["one\n"] * 40
        children = psutil.Process(started.pid).children(recursive=True)
        assert len(children) >= 2
        os.killpg(started.pid, signal.SIGINT)
        _, said = started.communicate(timeout=20)
        assert psutil.wait_procs(children, timeout=5)[1] == []
    finally:
        started.kill()
    assert said.count("Traceback") == 1  # that of this script, which does not catch the interrupt


def test_an_interrupt_before_dask_has_begun_to_wait_is_no_fault(python):
    script = (
        "import asyncio, os, signal, threading, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from emodag import parallel\nfrom emodag.params import Compute\n"
        "with parallel.workers(Compute(backend='dask', device='cpu', jobs=1, address='')):\n"
        "    list(parallel.parallel_map(abs, [-1]))\n"
        "    client = parallel._cluster.get()._client\n"
        "    client.loop.add_callback(time.sleep, 1.5)\n"
        "    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    client.sync(asyncio.sleep, 10)\n"
    )
    done = python(script, timeout=60)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert done.stderr.count("Traceback") == 1


@pytest.fixture
def scheduler(tmp_path):
    """``start(folder)``: a scheduler with one worker in a folder, as a person starts them; gives its address."""
    started = []

    def start(folder: Path, **changes: str) -> str:
        port = free_port()
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"} | changes
        address = f"tcp://127.0.0.1:{port}"
        common = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
        started.append(subprocess.Popen([*dask, "--no-dashboard"], **common))
        dask = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
        started.append(subprocess.Popen([*dask, "--no-nanny", "--local-directory", str(tmp_path)], **common))
        return address

    start.processes = started
    yield start
    for process in reversed(started):
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_cluster_by_address_gives_the_same_results(scheduler):
    with parallel.workers(Compute(backend="dask", device="cpu", jobs=0, address=scheduler(Path.cwd()))):
        found = list(parallel.parallel_map(threads_and_product, range(4)))
    with threadpool_limits(1):
        assert found == [threads_and_product(seed) for seed in range(4)]


def test_a_worker_elsewhere_or_of_many_threads_is_refused(scheduler, tmp_path):
    elsewhere, threaded = scheduler(tmp_path), scheduler(Path.cwd(), OMP_NUM_THREADS="4")
    for address, said in ((elsewhere, f"the folder .* is {tmp_path}"), (threaded, "OMP.* is 4")):
        compute = Compute(backend="dask", device="cpu", jobs=0, address=address)
        with parallel.workers(compute), pytest.raises(EmodagError, match=said):
            list(parallel.parallel_map(draw, [1]))


def test_a_scheduler_that_dies_is_one_clear_error(scheduler):
    compute = Compute(backend="dask", device="cpu", jobs=0, address=scheduler(Path.cwd()))
    with parallel.workers(compute), pytest.raises(EmodagError, match=r"the Dask cluster at .* was lost"):
        for _ in parallel.parallel_map(slow_first, range(500), batch=1):
            scheduler.processes[0].kill()


def test_a_stage_works_where_its_params_say(tmp_path):
    content = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert "backend: local " in content
    (tmp_path / "params.yaml").write_text(content.replace("backend: local ", "backend: dask "), encoding="utf-8")
    script = (
        "import os, operator\nfrom _stage import stage\nfrom emodag import parallel\n"
        "def probe(params, run):\n"
        "    print(*parallel.parallel_map(operator.neg, range(5)), parallel._cluster.get() is not None)\n"
        "stage(probe)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "stages"), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "0 -1 -2 -3 -4 True\n", done.stderr
    assert done.returncode == 0


def test_zero_means_one_process_per_available_core():
    assert parallel.processes(0) == len(os.sched_getaffinity(0))
    assert parallel.processes(3) == 3


def test_a_log_gets_a_line_when_the_work_takes_long(backend, monkeypatch, capsys):
    monkeypatch.setattr(parallel, "_SECONDS_BETWEEN_LOG_LINES", 0)
    assert list(parallel.parallel_map(slow_first, range(3), jobs=2, description="organize")) == [0, 1, 2]
    assert "organize: 2 of 3" in capsys.readouterr().err


def test_what_shares_a_gpu_takes_turns_on_a_cluster_too(backend):
    turns = list(parallel.parallel_map(when, range(6), jobs=2, batch=1, alone=True))
    assert all(end <= start for (_, end), (start, _) in pairwise(turns))
    at_once = list(parallel.parallel_map(when, range(6), jobs=2, batch=1))
    assert any(end > start for (_, end), (start, _) in pairwise(at_once))
