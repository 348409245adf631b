"""How fast the service answers, and what it takes: ``make bench-serve``; writes ``bench/results/serve.json``.

Needs what ``make repro`` leaves. Nothing is transcribed. The clients run on the same cores as the service, and so does
whatever else the machine does: the load average is told, and beside latencies the processor time of a request, which
depends less on it. ``--requests`` and ``--seconds`` make it shorter.

Memory is that of all processes together, where what forked workers share counts once; the resident memory of each
would count it in each.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import soundfile
import yaml

from _checkout import ROOT
from emodag import audio, layout, listening
from emodag.files import write_json

CLIPS = ROOT / "data" / "organized"
SECONDS = 3.0  # of a clip
CLIENTS = 16
STARTS = 5

#: What is asked for, by the figures' names.
LIMITS = {
    "p50_ms": 60.0,
    "p99_ms": 250.0,
    "start_seconds": 2.5,
    "resident_mb": 450.0,
}
LEAST_RATE = 30.0


@dataclass
class Answers:
    """What clients were answered."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def figures(self) -> dict[str, float]:
        """Latencies in ms."""
        p50, p99 = np.percentile(self.seconds, [50, 99]) * 1000
        return {"requests": len(self.seconds), "p50_ms": float(p50), "p99_ms": float(p99)}


class Service:
    """``emodag serve`` on a free port, in a folder with params of its own."""

    def __init__(self, folder: Path):
        command = [str(Path(sys.executable).with_name("emodag")), "serve", "--models", str(ROOT / layout.MODELS)]
        self.process = subprocess.Popen(
            [*command, "--port", "0"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def memory(self) -> dict[str, float]:
        """MB of the service and its workers.

        ``all_mb`` is what they take together where nobody else on the machine uses the same libraries: their anonymous
        memory, what forked workers share counted once, and the files of the process that has most of them mapped.
        """
        each = [rolled_up(process.pid) for process in self._processes()]
        return {
            "http_resident_mb": each[0]["Rss"],
            "largest_resident_mb": max(one["Rss"] for one in each),
            "all_proportional_mb": sum(one["Pss"] for one in each),
            "all_mb": sum(one["Pss_Anon"] for one in each) + max(one["Rss"] - one["Anonymous"] for one in each),
            "processes": len(each),
        }

    def processor_seconds(self) -> float:
        """Of all processes."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        service = psutil.Process(self.process.pid)
        return [service, *service.children(recursive=True)]

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def rolled_up(process: int) -> dict[str, float]:
    """What Linux tells of the memory of a process, MB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {name: int(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines)}


def request(clip: bytes) -> bytes:
    """``POST /process_audio`` with a clip."""
    boundary = "emodag-bench"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n\r\n'.encode()
        + clip
        + f"\r\n--{boundary}--\r\n".encode()
    )
    head = (
        "POST /process_audio HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def client(port: int, requests: list[bytes], count: float, until: float, answers: Answers) -> None:
    """Ask one after the other, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while number < count and time.perf_counter() < until:
        start = time.perf_counter()
        writer.write(requests[number % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        await reader.readexactly(length)
        answers.seconds.append(time.perf_counter() - start)
        answers.statuses[int(lines[0].split()[1])] += 1
        number += 1
    writer.close()


def ask(port: int, requests: list[bytes], *, clients: int, count: float = np.inf, seconds: float = np.inf) -> Answers:
    """Let clients ask ``count`` times each, or for so many seconds."""
    answers = Answers()

    async def all_clients() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(port, requests, count, until, answers) for _ in range(clients)))

    asyncio.run(all_clients())
    return answers


def clips() -> list[bytes]:
    """Recordings of 3 s, as WAV: the demo corpus's clips, one after the other."""
    files = sorted(CLIPS.rglob("*.flac"))[:40]
    if not files or not (ROOT / layout.MODELS).is_dir():
        sys.exit("no clips or no model: run `make repro` first")
    samples = np.concatenate([listening.read(file, mono=True).pcm[:, 0] for file in files])
    length = round(SECONDS * audio.SAMPLE_RATE)
    found = []
    for start in range(0, len(samples) - length, length):
        content = io.BytesIO()
        soundfile.write(content, samples[start : start + length], audio.SAMPLE_RATE, format="WAV", subtype="PCM_16")
        found.append(content.getvalue())
    return found


def params_without_words(folder: Path) -> Path:
    """The params of this checkout in a folder of their own, where nothing is transcribed."""
    content = yaml.safe_load((ROOT / layout.PARAMS).read_text(encoding="utf-8"))
    content["transcribe"]["backend"] = "none"
    (folder / layout.PARAMS).write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="over which memory must not grow")
    parser.add_argument("--seconds", type=float, default=30.0, help="that 16 clients ask")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        figures = measured(params_without_words(Path(place)), chosen.requests, chosen.seconds)
    tell(figures)
    write_json(ROOT / "bench" / "results" / "serve.json", figures)


def measured(folder: Path, count: int, seconds: float) -> dict:
    """All figures."""
    requests = [request(clip) for clip in clips()]
    starts = []
    for _ in range(STARTS + 1):
        start = time.perf_counter()
        service = Service(folder)
        ask(service.port, requests, clients=1, count=1)
        starts.append(time.perf_counter() - start)
        service.end()
    figures: dict = {"start_seconds": statistics.median(starts[1:]), "load_before": os.getloadavg()[0]}

    service = Service(folder)
    try:
        ask(service.port, requests, clients=1, count=20)
        figures["memory_at_start"] = service.memory()
        used = service.processor_seconds()
        alone = ask(service.port, requests, clients=1, count=min(500, count))
        used = (service.processor_seconds() - used) / len(alone.seconds)
        figures["one_client"] = alone.figures() | {"processor_ms": 1000 * used, "statuses": dict(alone.statuses)}
        start = time.perf_counter()
        together = ask(service.port, requests, clients=CLIENTS, seconds=seconds)
        rate = len(together.seconds) / (time.perf_counter() - start)
        figures["sixteen_clients"] = together.figures() | {"per_second": rate, "statuses": dict(together.statuses)}
        figures["memory_after"] = {}
        done = len(alone.seconds) + len(together.seconds)
        while done < count:
            figures["memory_after"][str(done)] = service.memory()
            more = min(2500, count - done)
            done += len(ask(service.port, requests, clients=4, count=more // 4 + 1).seconds)
        figures["memory_after"][str(done)] = service.memory()
    finally:
        service.end()
    return figures | {"load_after": os.getloadavg()[0]}


def tell(figures: dict) -> None:
    """Print what was measured beside what is asked for."""
    alone, together = figures["one_client"], figures["sixteen_clients"]
    last = list(figures["memory_after"].items())[-1]
    rows = [
        ("start to first answer", f"{figures['start_seconds']:.2f} s", f"at most {LIMITS['start_seconds']:g} s"),
        ("one client, p50", f"{alone['p50_ms']:.0f} ms", f"at most {LIMITS['p50_ms']:g} ms"),
        ("one client, p99", f"{alone['p99_ms']:.0f} ms", f"at most {LIMITS['p99_ms']:g} ms"),
        ("processor time of a request", f"{alone['processor_ms']:.0f} ms", ""),
        ("16 clients", f"{together['per_second']:.1f}/s", f"at least {LEAST_RATE:g}/s"),
        ("16 clients, p99", f"{together['p99_ms']:.0f} ms", ""),
        ("16 clients, statuses", str(together["statuses"]), "200 alone"),
        (
            "memory at start, all processes",
            f"{figures['memory_at_start']['all_mb']:.0f} MB",
            f"at most {LIMITS['resident_mb']:g} MB",
        ),
        (f"memory after {last[0]} requests", f"{last[1]['all_mb']:.0f} MB", "no more"),
        ("largest process, resident", f"{last[1]['largest_resident_mb']:.0f} MB", f"{LIMITS['resident_mb']:g} MB"),
        ("load of the machine before", f"{figures['load_before']:.1f}", ""),
    ]
    for what, found, wanted in rows:
        print(f"{what:<36}{found:>16}   {wanted}")


if __name__ == "__main__":
    main()
