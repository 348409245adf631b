"""The workers as the service sees them: who is free, who waits, and who has to be ended.

This side runs in the process that speaks HTTP: it imports no numpy, forks nothing and blocks on nothing.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from emodag.errors import EmodagError
from emodag.params import Serve
from emodag.web import wire
from emodag.web.wire import BrokenMessage, Message

Kind = Literal["clip", "words", "call", "live"]

#: Workers of these kinds are kept; others end with what they were asked.
_KEPT = ("clip", "words")

#: One thread each: processes share the cores. Few arenas: what is freed goes back.
_SURROUNDINGS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_SURROUNDINGS |= {"MALLOC_ARENA_MAX": "2"}

#: Wall time beyond the processor time that a job may take, because others use the processor too.
_SLACK = 3.0

#: When to come back while the model is loaded anew, and how long its process may take to end; s.
_UNTIL_LOADED, _PATIENCE = 5, 5.0

#: How long a live client waits for a place; s.
_RETURN = 1.0

#: How fast the mean duration of jobs follows, by which people are told when to come back.
_FORGETTING = 0.1


class Busy(Exception):
    """Nobody is free and too many wait already; ``after`` so many seconds it may be otherwise."""

    def __init__(self, after: int):
        super().__init__(f"busy for about {after} s")
        self.after = after


class Refused(Exception):
    """A worker refused a recording, or was ended over it: the ``code`` is short, the ``message`` for people."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Failed(Exception):
    """A worker met a fault of ours: ``kind`` of the exception and ``where`` it was raised."""

    def __init__(self, kind: str, where: list[str]):
        super().__init__(kind)
        self.kind, self.where = kind, where


class Worker:
    """One worker process."""

    def __init__(self, process: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float):
        """Take its number, the streams to it, and how long (s) a job may take."""
        self.process = process
        self._reader, self._writer = reader, writer
        self._seconds = seconds
        self.is_sound = True  #: whether it may be asked again

    async def ask(self, job: str, content: bytes = b"", **header: Any) -> Any:
        """The answer to a job.

        Raises:
            Refused: of the recording, or it took too long, or ended the worker.
            Failed: by a fault of ours.
        """
        self.is_sound = False
        try:
            async with asyncio.timeout(self._seconds * _SLACK):
                for part in wire.packed(Message({"job": job} | header, content)):
                    self._writer.write(part)
                await self._writer.drain()
                found = (await wire.read(self._reader)).header
        except TimeoutError:
            raise Refused("too_costly", f"judging it takes more than {self._seconds * _SLACK:g} s") from None
        except (BrokenMessage, ConnectionError):
            raise Refused("too_costly", "decoding it went beyond what one recording may take") from None
        if "failed" in found:
            raise Failed(found["failed"], found["where"])
        # A worker that ran out of memory may have lost more than the job.
        self.is_sound = found.get("refused") != "too_much_memory"
        if "refused" in found:
            raise Refused(found["refused"], found["message"])
        return found["answer"]

    def close(self) -> None:
        """End the connection, whereupon the process ends itself."""
        self._writer.close()


class Lane:
    """So many at once, so many who wait, and nobody longer than so."""

    def __init__(self, slots: int, queue: int, wait: float):
        """Take how many at once, how many wait, and how long (s)."""
        self._slots, self._queue, self._wait = slots, queue, wait
        self._free = asyncio.Semaphore(slots)
        self.waiting, self.active = 0, 0
        self._mean = 0.0  # s, of a job

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the lane.

        Raises:
            Busy: there is none.
        """
        await self._enter()
        self.active += 1
        start = time.monotonic()
        try:
            yield
        finally:
            self.active -= 1
            self._mean += _FORGETTING * (time.monotonic() - start - self._mean)
            self._free.release()

    async def _enter(self) -> None:
        if self._free.locked() and self.waiting >= self._queue:
            raise Busy(self._after())
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait):
                await self._free.acquire()
        except TimeoutError:
            raise Busy(self._after()) from None
        finally:
            self.waiting -= 1

    def _after(self) -> int:
        """Seconds until the queue is likely to have moved on."""
        return max(1, math.ceil(self._mean * (self.waiting + 1) / max(1, self._slots)))


class Team:
    """The nursery and its workers."""

    def __init__(self, models: Path, params_file: Path, settings: Serve):
        """Take the folder of the model, the ``params.yaml`` and its section ``serve``, and begin to load."""
        self._settings = settings
        self._arguments = (str(models), str(params_file))
        self._one_command = asyncio.Lock()
        self._idle: dict[Kind, list[Worker]] = {kind: [] for kind in _KEPT}
        self.replaced = 0  #: workers that had to be ended
        self.card: dict[str, Any] = {}  #: by :meth:`emodag.web.jobs.Jobs.card`
        self.lanes: dict[Kind, Lane] = {
            "clip": Lane(settings.workers, settings.queue, settings.wait),
            "words": Lane(settings.writers, settings.queue, settings.wait),
            "call": Lane(settings.calls, settings.queue, settings.wait),
            # Whoever comes back at once may find the last connection not yet ended.
            "live": Lane(settings.live, settings.live, _RETURN),
        }
        self._launch()

    def _launch(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "emodag.web.nursery", str(theirs.fileno()), *self._arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | _SURROUNDINGS,
            )
        self._answers: asyncio.StreamReader | None = None

    async def start(self) -> None:
        """Wait until the model is loaded, and fork the workers that clips go to.

        Raises:
            EmodagError: the model cannot be used.
        """
        async with self._one_command:
            await self._load()
        self._idle["clip"] += [await self._fork("clip") for _ in range(self._settings.workers)]

    async def _load(self) -> None:
        self._answers, self._stream = await asyncio.open_connection(sock=self._control.dup())
        try:
            found = (await wire.read(self._answers)).header
        except BrokenMessage:
            raise EmodagError("the process that loads the model ended before it had loaded it") from None
        if "error" in found:
            raise EmodagError(found["error"])
        self.card = found["card"]

    @property
    def is_alive(self) -> bool:
        """Whether workers can be forked."""
        return self._answers is not None and self._nursery.poll() is None

    @asynccontextmanager
    async def worker(self, kind: Kind) -> AsyncIterator[Worker]:
        """A worker, once one is free.

        Raises:
            Busy: none is free, or none can be had.
        """
        lane = self.lanes[kind]
        async with lane.place():
            idle = self._idle.get(kind)
            worker = idle.pop() if idle else await self._fork(kind)
            try:
                yield worker
            finally:
                if idle is not None and worker.is_sound:
                    idle.append(worker)
                else:
                    self.replaced += not worker.is_sound
                    # Also when whoever asked is gone and the task is cancelled.
                    await asyncio.shield(self._end(worker))

    async def _fork(self, kind: Kind) -> Worker:
        """A new worker; even if whoever asked for it leaves meanwhile, the answer of the nursery has to be taken."""
        forking = asyncio.ensure_future(self._forked(kind))
        try:
            return await asyncio.shield(forking)
        except asyncio.CancelledError:
            await asyncio.shield(self._dismiss(forking))
            raise

    async def _dismiss(self, forking: asyncio.Future[Worker]) -> None:
        """End a worker that nobody wants any more; one that only ended itself would stay in the table of processes."""
        with suppress(Busy):
            await self._end(await forking)

    async def _forked(self, kind: Kind) -> Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                found = await self._command({"fork": kind}, [theirs.fileno()])
            except (BrokenMessage, OSError, EmodagError):
                ours.close()
                raise Busy(_UNTIL_LOADED) from None
        reader, writer = await asyncio.open_connection(sock=ours)
        return Worker(found["pid"], reader, writer, self._settings.job(kind).seconds)

    async def _end(self, worker: Worker) -> None:
        worker.close()
        with suppress(BrokenMessage, OSError, EmodagError):
            await self._command({"end": worker.process}, [])

    async def _command(self, command: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        async with self._one_command:
            if not self.is_alive:
                self._close()
                self._launch()
                await self._load()
            socket.send_fds(self._control, [wire.compact(command)], descriptors)
            return (await wire.read(self._answers)).header

    def _close(self) -> None:
        if self._answers is not None:
            self._stream.close()
            self._answers = None
        self._control.close()

    async def stop(self) -> None:
        """End all workers and the nursery."""
        for worker in chain(*self._idle.values()):
            worker.close()
        self._close()
        await asyncio.to_thread(self._wait)

    def _wait(self) -> None:
        try:
            self._nursery.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._nursery.kill()
            self._nursery.wait()
