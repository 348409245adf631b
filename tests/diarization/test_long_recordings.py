"""Hours of sound: from the command line to the turns, and how much memory that takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate

from emodag.audio import SAMPLE_RATE

ROOT = Path(__file__).resolve().parents[2]
#: An hour of one channel as int16, MiB: what a recording itself takes.
HOUR = 3600 * SAMPLE_RATE * 2 / 2**20
#: Where people talk in three hours, s: once at the very end.
STARTS = (600, 5400, 3 * 3600 - 30)

# Peaks by /proc, for what a child process's usage tells begins with all that its parent held.
ANALYZE = """
import sys
from emodag.cli import app
for recording in sys.argv[2:]:
    app(["analyze", recording, "--models", sys.argv[1], "--speakers", "2", "--rttm", f"{recording}.rttm"],
        standalone_mode=False)
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    print("peak", int(peak) / 1024)
"""


@pytest.fixture(scope="module")
def islands(sample_folder):
    """``islands(path, hours, starts)``: a recording of a noise floor, and the same two people talking here and there.

    The answer is who speaks when.
    """
    sample, _ = soundfile.read(sample_folder / "sample.wav", dtype="int16")
    turns = load_rttm(sample_folder / "sample.rttm")["sample"]

    def make(path: Path, hours: float, starts: tuple[int, ...]) -> Annotation:
        floor = np.random.default_rng(0).normal(0, 3, 60 * SAMPLE_RATE)
        pcm = np.resize(np.rint(floor).astype(np.int16), round(3600 * hours * SAMPLE_RATE))
        truth = Annotation()
        for start in starts:
            place = slice(start * SAMPLE_RATE, start * SAMPLE_RATE + len(sample))
            pcm[place] = sample
            for segment, track, speaker in turns.itertracks(yield_label=True):
                truth[Segment(segment.start + start, segment.end + start), f"{start} {track}"] = speaker
        soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16")
        return truth

    return make


@pytest.fixture(scope="module")
def analysed(islands, spoken_corpus, tmp_path_factory):
    """Five minutes, then three hours, by one process: the truth and what was found of the long one, and both peaks."""
    folder = tmp_path_factory.mktemp("long")
    models = spoken_corpus.ship("logistic", train__inputs="functionals")
    short, long = folder / "short.flac", folder / "long.flac"
    islands(short, 5 / 60, (60, 150, 270))
    truth = islands(long, 3, STARTS)
    command = [sys.executable, "-c", ANALYZE, str(models), str(short), str(long)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peaks = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("peak")]
    return truth, load_rttm(f"{long}.rttm")["long"], peaks


def test_three_hours_hold_the_turns_that_are_in_them(analysed):
    truth, found, _ = analysed
    assert len(found.labels()) == 2
    # A voice that had another label on the next island would count as confused; 52 % with one speaker for all.
    assert DiarizationErrorRate()(truth, found, uem=Timeline([Segment(0, 3 * 3600)])) < 0.3
    between = found.get_timeline().extrude(Timeline(Segment(start, start + 30) for start in STARTS))
    assert not between


def test_memory_grows_by_the_recording_itself_and_little_more(analysed):
    short, long = analysed[2]
    assert short < 1000
    # 110 MiB an hour are the recording. As float beside it, it would be another 220.
    assert (long - short) / (3 - 5 / 60) < 1.5 * HOUR
