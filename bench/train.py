"""How long neural networks train: ``make bench-train CORPORA=PATH``, on an idle machine with two cores.

On all 1440 clips of RAVDESS, cut to speech, with the settings of ``params.yaml`` and two threads: seconds per epoch,
from features on disk to updated weights, beside the same network fed naively, by a Python generator whose batches are
drawn at random and padded to the longest clip of the corpus. The start, in which TensorFlow compiles the network, is
told apart: it differs by seconds from one time to the next, so an epoch is an average of twelve. The table is
printed and written to ``bench/results/train.json``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from _checkout import ROOT, corpora_in
from emodag import corpora, params
from emodag.diarization.corpus import diarize_corpus
from emodag.features import featurize_corpus, open_features
from emodag.features.corpus import read_source
from emodag.files import write_json
from emodag.labels import in_order
from emodag.models import Clips, create
from emodag.models.neural import Neural, runtime
from emodag.models.neural.batches import Batch
from emodag.organization import organize_corpus
from emodag.params import Params
from emodag.speech import Sequences, Speech

NETWORKS = ("cnn", "cnn_gru", "attention")
EPOCHS = 12
THREADS = 2


def clips_of(corpus: Path, settings: Params, folder: Path) -> tuple[Clips, int]:
    """RAVDESS with its frames as a memory map, and the number of its classes."""
    organized, turns, features = (folder / name for name in ("organized", "turns", "features"))
    for empty in (turns, features):
        empty.mkdir()
    done = organize_corpus(corpora.get("ravdess"), corpus, organized, settings.organize, jobs=THREADS)
    diarize_corpus(done.manifest, organized, turns, settings.diarize, jobs=THREADS)
    featurize_corpus([read_source(organized, turns)], features, settings.featurize, jobs=THREADS)
    stored = open_features(features)
    index, columns = stored.index, stored.names.columns
    classes = in_order(index["emotion"])
    frames = Sequences(stored.frames, index["first_row"].to_numpy(), index["frames"].to_numpy(), columns)
    return Clips(Speech(frames=frames), index["emotion"].map(classes.index).to_numpy(np.int64)), len(classes)


def seconds_to_fit(model: Neural, clips: Clips, epochs: int) -> float:
    """How long so many epochs take, the start included."""
    start = time.perf_counter()
    model.fit(clips, chosen={"rounds": epochs})
    return time.perf_counter() - start


def seconds_fed_naively(model: Neural, clips: Clips, epochs: int) -> float:
    """The same, with batches as a first attempt would make them."""
    import keras

    start = time.perf_counter()
    keras.utils.clear_session()
    with runtime.keras_ready(model.device):
        model._build(clips.speech)
        model._compile()
        size = model.training.batch_size
        model._network.fit(
            naive_batches(model, clips, size),
            steps_per_epoch=-(-len(clips.labels) // size),
            epochs=epochs,
            shuffle=False,  # they come shuffled
            verbose=0,
        )
    return time.perf_counter() - start


def naive_batches(model: Neural, clips: Clips, size: int) -> Iterator[tuple[tuple[np.ndarray, ...], np.ndarray]]:
    """Random batches for ever, each padded to the longest clip of all."""
    rng = np.random.default_rng(0)
    targets = np.eye(model.classes, dtype=np.float32)[clips.labels]
    longest = int(clips.speech.frames.counts.max())
    while True:
        order = rng.permutation(len(targets))
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            batch: Batch = model._inputs.batch(clips.speech, rows)
            missing = longest - batch.values.shape[1]
            values, mask = (
                np.pad(batch.values, ((0, 0), (0, missing), (0, 0))),
                np.pad(batch.mask, ((0, 0), (0, missing))),
            )
            yield (values, mask), targets[rows]


def measure(corpus: Path) -> dict:
    """Everything that goes into the table."""
    runtime.THREADS = THREADS
    settings = params.load(ROOT / "params.yaml")
    with tempfile.TemporaryDirectory() as folder:
        clips, classes = clips_of(corpus, settings, Path(folder))
        counts = clips.speech.frames.counts
        results = {
            "clips": len(counts),
            "frames": {"mean": round(float(counts.mean()), 1), "longest": int(counts.max())},
            "threads": THREADS,
            "batch_size": settings.train.neural.batch_size,
            "seconds_per_epoch": {},
        }
        # The first network of a process also pays for importing TensorFlow.
        seconds_to_fit(create(settings.model_copy(update={"model": "cnn"}), classes=classes, seed=0), clips, 1)
        for name in NETWORKS:
            chosen = settings.model_copy(update={"model": name})
            row = results["seconds_per_epoch"][name] = {}
            for way, seconds in (("emodag", seconds_to_fit), ("naive", seconds_fed_naively)):
                once, often = (
                    seconds(create(chosen, classes=classes, seed=0), clips, many) for many in (1, 1 + EPOCHS)
                )
                row[way] = round((often - once) / EPOCHS, 2)
                row[f"{way}_start"] = round(once - row[way], 2)
    return results


def main() -> None:
    found = corpora_in(Path(sys.argv[1])) if len(sys.argv) == 2 and sys.argv[1] else {}
    if "ravdess" not in found:
        sys.exit("usage: make bench-train CORPORA=PATH, a folder that holds RAVDESS")
    results = measure(found["ravdess"])
    for name, row in results["seconds_per_epoch"].items():
        print(f"{name:12} {row['emodag']:6.2f} s an epoch, fed naively {row['naive']:6.2f} s; "
              f"starts in {row['emodag_start']:.1f} s and {row['naive_start']:.1f} s")  # fmt: skip
    write_json(ROOT / "bench" / "results" / "train.json", results)


if __name__ == "__main__":
    main()
