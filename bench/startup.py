"""How long the command line takes from nothing: ``make bench-startup``; writes ``bench/results/startup.json``.

Needs what ``make repro`` leaves. Every command runs in a process of its own, once unmeasured (files are read from disk
and kernels compiled) and then some times; medians count. Beside them stands what it would take to import the parts of
libraries that the features do without, see ``emodag.features.spectral``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from _checkout import ROOT
from emodag import layout
from emodag.files import write_json

TIMES = 7
CLIPS = ROOT / "data" / "organized"


def seconds(*command: str) -> float:
    """Median wall time of a command."""
    taken = []
    for _ in range(TIMES + 1):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def main() -> None:
    """Measure, print and write."""
    clip = next(iter(sorted(CLIPS.rglob("*.flac"))), None)
    if clip is None or not (ROOT / layout.MODELS).is_dir():
        sys.exit("no clips or no model: run `make repro` first")
    emodag = str(Path(sys.executable).with_name("emodag"))
    python = [sys.executable, "-c"]
    needed = "import numpy, scipy.fft, numba, pandas"
    rows = {
        "emodag --help": seconds(emodag, "--help"),
        "emodag predict CLIP": seconds(emodag, "predict", str(clip)),
        "importing librosa.filters": seconds(*python, f"{needed}, librosa.filters") - seconds(*python, needed),
        "importing scipy.signal": seconds(*python, f"{needed}, scipy.signal") - seconds(*python, needed),
        "importing pyannote.core": seconds(*python, f"{needed}, pyannote.core") - seconds(*python, needed),
    }
    for name, taken in rows.items():
        print(f"{name:<28}{taken:6.2f} s")
    write_json(ROOT / "bench" / "results" / "startup.json", {"median_seconds": rows, "times": TIMES})


if __name__ == "__main__":
    main()
