"""The process that loads the model once and forks workers: ``python -m emodag.web.nursery SOCKET MODELS PARAMS``.

A worker starts within milliseconds and shares the memory of what is loaded. Only this process forks, and it has one
thread; the one that speaks HTTP never does. Over its socket goes the model's card (or ``{"error": ...}``) once, then
an answer to each command; to fork, the end of a socket comes along, over which the service will talk to the worker::

    {"fork": "clip" | "words" | "call" | "live"}  ->  {"pid": 123}
    {"end": 123}                        ->  {"ended": true}

It ends with all workers when the service closes the socket.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from emodag.errors import AudioError, EmodagError
from emodag.web import wire
from emodag.web.wire import Message

if TYPE_CHECKING:
    from emodag.params import Job
    from emodag.web.jobs import Jobs, Voice

#: No command is longer; bytes.
_COMMAND = 4096

#: Analyses take long and may wait; clips and live clients are answered first.
_PATIENT = 10


def main(arguments: list[str]) -> None:
    """Load the model, tell its card, and fork workers until the service ends."""
    descriptor, models, params_file = arguments
    control = socket.socket(fileno=int(descriptor))
    # Ctrl-C reaches all processes of a terminal; these end with the service, and not in the middle of an answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _without("pyarrow"):
            from emodag.web.jobs import Jobs

            jobs = Jobs.load(Path(models), Path(params_file))
            jobs.warm_up()
    except EmodagError as error:
        wire.send(control, Message({"error": str(error)}))
        return
    wire.send(control, Message({"card": jobs.card()}))
    # What is loaded stays where it is: a collection in a worker would touch, and so copy, all of it.
    gc.collect()
    gc.freeze()
    _fork_until_closed(control, jobs)


@contextmanager
def _without(package: str) -> Iterator[None]:
    """As if a package were not installed: pandas loads pyarrow where it is, and no table is read here (34 MB)."""
    sys.modules[package] = None
    try:
        yield
    finally:
        del sys.modules[package]


def _fork_until_closed(control: socket.socket, jobs: Jobs) -> None:
    children: set[int] = set()
    while True:
        content, sockets, _, _ = socket.recv_fds(control, _COMMAND, 1)
        children -= set(_reaped(children))
        if not content:
            break
        command = wire.parsed(content)
        if kind := command.get("fork"):
            connection = socket.socket(fileno=sockets[0])
            child = os.fork()
            if child == 0:
                control.close()
                _work(connection, kind, jobs)
            connection.close()
            children.add(child)
            wire.send(control, Message({"pid": child}))
        else:
            if command["end"] in children:
                os.kill(command["end"], signal.SIGKILL)
                os.waitpid(command["end"], 0)
                children.remove(command["end"])
            wire.send(control, Message({"ended": True}))
    for child in children:
        os.kill(child, signal.SIGKILL)


def _reaped(children: set[int]) -> list[int]:
    """The children that have ended; until they are asked for, the system keeps their numbers from others."""
    return [child for child in children if os.waitpid(child, os.WNOHANG)[0]]


def _work(connection: socket.socket, kind: str, jobs: Jobs) -> NoReturn:
    """Answer what comes until the service closes the connection; this is the whole life of a worker."""
    status = 1
    try:
        _quiet()
        limits = jobs.params.serve.job(kind)
        _bind_memory(limits)
        if kind in ("words", "call"):
            os.nice(_PATIENT)
        worker = Worker(jobs)
        with suppress(wire.BrokenMessage, ConnectionError):
            while message := wire.receive(connection):
                _bind_time(limits)
                for part in worker.answered(message):
                    connection.sendall(part)
        status = 0
    finally:
        # Without the interpreter's end, which is the nursery's own to go through.
        os._exit(status)


def _quiet() -> None:
    """What decoders print of damaged files is nobody's business."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _bind_memory(limits: Job) -> None:
    """Let this process hold so much more than it does now, and dump no core."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + round(limits.memory * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bind_time(limits: Job) -> None:
    """Let the next job take so many seconds of the processor, after which the system ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + limits.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


class Worker:
    """Answers messages; a live one remembers the voice that it listens to."""

    def __init__(self, jobs: Jobs):
        """Take what it can do."""
        self._jobs = jobs
        self._voice: Voice | None = None

    def answered(self, message: Message) -> list[bytes]:
        """What to send: ``{"answer": ...}``, ``{"refused": code, ...}`` or ``{"failed": kind, "where": [...]}``.

        An answer that is no JSON, such as one with NaN in it, is a fault as any other.
        """
        try:
            return wire.packed(Message({"answer": self._done(message)}))
        except AudioError as error:
            found = {"refused": error.reason, "message": error.detail}
        except EmodagError as error:
            found = {"refused": "not_usable", "message": str(error)}
        except MemoryError:
            found = {"refused": "too_much_memory", "message": "the recording takes more memory than one may"}
        except Exception as error:
            # No message: it may quote what was uploaded.
            steps = traceback.extract_tb(error.__traceback__)
            found = {
                "failed": type(error).__name__,
                "where": [f"{Path(step.filename).name}:{step.lineno}" for step in steps],
            }
        return wire.packed(Message(found))

    def _done(self, message: Message) -> Any:
        header = message.header
        match header["job"]:
            case "predict":
                return self._jobs.predict(message.content, header["name"], with_words=header["with_words"])
            case "analyze":
                return self._jobs.analyze(
                    message.content, header["name"], header["speakers"], with_words=header["with_words"]
                )
            case "write":
                return self._jobs.write(message.content, header["answer"])
            case "listen":
                self._voice = self._jobs.listen(header["rate"], header["encoding"])
                return None
            case "hear":
                return self._voice.hear(message.content)


if __name__ == "__main__":
    main(sys.argv[1:])
