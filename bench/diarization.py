"""How well and how fast the bundled diarizer works: ``make bench-diarization CORPORA=PATH RECORDINGS=PATH``.

50 conversations of two speakers are simulated from CREMA-D's actors 1046 to 1091, wide-band and as a telephone carries
them; nothing was trained or chosen on these actors. ``RECORDINGS`` is a folder of folders with ``.flac`` or ``.wav``
files and RTTM files whose uris are the files' stems; each folder is scored as one set. Everything is diarized without
and with the number of speakers given, beside a baseline of energy, MFCC and agglomerative clustering. Nothing is left
out around the boundaries, and overlap counts. The table is printed and written to ``bench/results/diarization.json``.
"""

from __future__ import annotations

import os
import sys

# Before NumPy reads it: one core means one thread.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

import time
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from pyannote.core import Annotation, Segment, Timeline

from _checkout import ROOT, corpora_in
from emodag import audio, corpora, params
from emodag.audio import SAMPLE_RATE
from emodag.conversation.references import of_recording, references, scopes
from emodag.conversation.simulation import Simulation, Utterance, simulate
from emodag.corpora import NotAClip
from emodag.diarization.bundled import BundledDiarizer
from emodag.diarization.evaluation import evaluate, overall
from emodag.diarization.training import FIRST_TEST_ACTOR
from emodag.files import write_json

CONVERSATIONS = 50
SIMULATION = {
    "speakers": 2,
    "min_duration": 60.0,
    "max_duration": 90.0,
    "hold": 0.3,
    "pause": 0.4,
    "overlap": 0.3,
    "overlap_length": 0.4,
    "gap": 0.4,
    "persistence": 0.0,
    "level_spread": 6.0,
    "min_snr": None,
    "max_snr": None,
}

Recordings = Iterable[tuple[np.ndarray, Annotation, Timeline | None]]
#: Samples, and how many speak or None, to turns.
Way = Callable[[np.ndarray, int | None], Annotation]

HEADER = "{:<22}{:<10}{:<7}{:>6}{:>7}{:>6}{:>7}{:>6}{:>7}{:>8}".format(
    "set", "way", "count", "DER", "false", "miss", "conf.", "JER", "right", "x real"
)


def test_clips(place: Path) -> list[Utterance]:
    """CREMA-D's clips of the actors that nothing was trained or chosen on."""
    found = corpora_in(place)
    if "crema_d" not in found:
        sys.exit(f"no CREMA-D in {place}: make bench-diarization CORPORA=PATH RECORDINGS=PATH")
    parse = corpora.get("crema_d").parser(found["crema_d"])
    clips = []
    for path in sorted(found["crema_d"].rglob("*")):
        try:
            clip = parse(PurePosixPath(path.name))
        except NotAClip:
            continue
        if int(clip.speaker) >= FIRST_TEST_ACTOR:
            clips.append((path, clip))
    return [Utterance(clip.speaker, clip.emotion, clip.stem, decoded(path)) for path, clip in clips]


def decoded(path: Path) -> np.ndarray:
    """Float32 ``[samples]`` at 16 kHz."""
    recording = audio.read(path)
    return audio.resample(recording.samples, recording.rate)


def simulated(clips: list[Utterance], telephone: bool) -> Recordings:
    """Conversations with their turns; the same ones, but for the line."""
    settings = Simulation(**SIMULATION, telephone=telephone)
    for seed in range(CONVERSATIONS):
        conversation = simulate(clips, settings, seed, f"conversation_{seed:02d}")
        yield conversation.samples, conversation.annotation(), None


def recorded(folder: Path) -> Recordings:
    """A folder's recordings that an RTTM file tells the turns of, with what a UEM file says is annotated."""
    turns = references(sorted(folder.glob("*.rttm")))
    scored = scopes(sorted(folder.glob("*.uem")))
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".flac", ".wav") or (truth := of_recording(path.stem, turns)) is None:
            continue
        samples = decoded(path)
        whole = Timeline([Segment(0, len(samples) / SAMPLE_RATE)])
        yield samples, truth, of_recording(path.stem, scored) or whole


def baseline(samples: np.ndarray, speakers: int | None) -> Annotation:
    """What anybody can write in an afternoon.

    Speech is what lies within 30 dB of the loud parts; windows of 1.5 s every 0.5 s in it are described by mean and
    deviation of 20 MFCC; Ward's method clusters them, and the silhouette chooses the number of speakers from 2 to 6.
    """
    import librosa
    from scipy.cluster.hierarchy import fcluster, linkage
    from sklearn.metrics import silhouette_score

    hop = 160
    coefficients = librosa.feature.mfcc(y=samples, sr=SAMPLE_RATE, n_mfcc=20, hop_length=hop).T
    level = 20 * np.log10(librosa.feature.rms(y=samples, frame_length=400, hop_length=hop)[0] + 1e-9)
    speech = level > np.percentile(level, 95) - 30
    speech = np.convolve(speech, np.ones(31), mode="same") > 15
    places = [start for start in range(0, len(speech), 50) if speech[start : start + 150].mean() > 0.5]
    parts = [coefficients[start : start + 150][speech[start : start + 150]] for start in places]
    voices = np.array([np.r_[part.mean(axis=0), part.std(axis=0)] for part in parts])
    labels = np.ones(len(voices), int)
    if len(voices) > 6 and speakers != 1:
        voices = (voices - voices.mean(axis=0)) / (voices.std(axis=0) + 1e-9)
        tree = linkage(voices, method="ward")
        candidates = [fcluster(tree, count, "maxclust") for count in ([speakers] if speakers else range(2, 7))]
        labels = max(candidates, key=lambda labels: silhouette_score(voices, labels)) if not speakers else candidates[0]
    centres = np.array(places) + 75
    annotation = Annotation()
    edges = np.flatnonzero(np.diff(speech, prepend=False, append=False)).reshape(-1, 2)
    for track, (start, end) in enumerate(edges.tolist()):
        for first in range(start, end, 25):
            nearest = int(np.argmin(np.abs(centres - first))) if len(centres) else 0
            last = min(first + 25, end)
            annotation[Segment(first / 100, last / 100), (track, first)] = labels[nearest] if len(labels) else 1
    return annotation.support()


def score(recordings: Recordings, diarize: Way, *, count_given: bool) -> dict:
    """Rates over a set, and how many times faster than real time it was."""
    errors, seconds, spent = [], 0.0, 0.0
    for samples, reference, uem in recordings:
        start = time.perf_counter()
        found = diarize(samples, len(reference.labels()) if count_given else None)
        spent += time.perf_counter() - start
        seconds += len(samples) / SAMPLE_RATE
        errors.append(evaluate(reference, found, uem=uem))
    return overall(errors) | {"times_real_time": seconds / spent}


def main(place: Path, recordings: Path) -> None:
    """Score everything, print a table and write the file."""
    settings = params.load(ROOT / "params.yaml").diarize
    diarizer = BundledDiarizer(settings.vad)
    ways = {
        "bundled": lambda samples, speakers: diarizer.diarize(samples, speakers=speakers),
        "baseline": baseline,
    }
    clips = test_clips(place)
    sets: dict[str, list] = {
        "simulated": list(simulated(clips, telephone=False)),
        "simulated, telephone": list(simulated(clips, telephone=True)),
    }
    sets |= {folder.name: list(recorded(folder)) for folder in sorted(recordings.iterdir()) if folder.is_dir()}
    diarizer.diarize(sets["simulated"][0][0])  # loads the networks
    rows = []
    print(HEADER)
    for name, its in sets.items():
        for way, diarize in ways.items():
            for given in (False, True):
                row = score(its, diarize, count_given=given)
                rows.append({"set": name, "way": way, "count_given": given} | row)
                print(
                    f"{name:<22}{way:<10}{'given' if given else 'found':<7}{row['der']:>6.3f}{row['false_alarm']:>7.3f}"
                    f"{row['miss']:>6.3f}{row['confusion']:>7.3f}{row['jer']:>6.2f}{row['speaker_count_right']:>7.2f}"
                    f"{row['times_real_time']:>8.0f}",
                    flush=True,
                )
    write_json(ROOT / "bench" / "results" / "diarization.json", {"simulation": SIMULATION, "rows": rows})


if __name__ == "__main__":
    if len(sys.argv) != 3 or not all(Path(argument).is_dir() for argument in sys.argv[1:]):
        sys.exit("make bench-diarization CORPORA=PATH RECORDINGS=PATH")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
