"""How fast and how good an ONNX encoder is on RAVDESS: ``make bench-encoder CORPORA=PATH ENCODER=FILE``.

Speed: clips per second on two processes of one thread each, from files to embeddings (decoding, front end, network),
of whole clips and of clips cut to speech; the start of the processes is left out. Quality: a logistic regression on the
embeddings of clips cut to speech, over EmoBox's folds; its regularisation is chosen by cross-validation over the
speakers that a fold trains on. The table is printed and written to
``bench/results/encoder.json``.
"""

from __future__ import annotations

import os
import sys

# Before NumPy reads it: work is spread over processes.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from _checkout import ROOT, corpora_in
from emodag import corpora, params
from emodag.adaptation import Groups, Normaliser, groups_of
from emodag.datasets import Dataset
from emodag.diarization.corpus import diarize_corpus
from emodag.errors import EmodagError
from emodag.evaluation import confusion_matrix, unweighted_average_recall
from emodag.features import encoders
from emodag.features.corpus import Clip, Source, chunks, clips_of, read_source, speech
from emodag.files import write_json
from emodag.organization import organize_corpus
from emodag.parallel import parallel_map
from emodag.params import Adaptation, Params
from emodag.speech import Speech
from emodag.splits import split
from emodag.training import parts_of

PROCESSES = 2
CHUNK = 60.0  # s of audio that a process is handed at a time
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3)  # C of the logistic regression
INNER_FOLDS = 5  # over which C is chosen
KNOWN = (1, 3, 6, 12)  # clips of a test speaker that are known together


class Speed(NamedTuple):
    """Clips per second: as they went by, and per second of work of one core, which other work cannot disturb."""

    per_second: float
    per_core_second: float


def embeddings_of(
    clips: list[Clip], *, facts: encoders.EncoderFacts, settings: params.Encoder
) -> tuple[list[np.ndarray], float]:
    """The embedding of each clip, and the CPU time that they took, in seconds."""
    session = encoders.open_encoder(facts, settings)
    start = time.process_time()
    embeddings = session.embed([speech(clip)[0] for clip in clips])
    return [each.clip for each in embeddings], time.process_time() - start


def embed(source: Source, settings: params.Encoder, *, trim: bool) -> tuple[np.ndarray, Speed]:
    """Embeddings [clips, dims] of a source, and how fast they came."""
    clips = clips_of(source, trim=trim)
    work = partial(embeddings_of, facts=encoders.describe(settings), settings=settings)
    # A few clips for each process, so that all have started before the clock does.
    list(parallel_map(work, [[clip] for clip in clips[: 4 * PROCESSES]], jobs=PROCESSES))
    start = time.perf_counter()
    done = list(parallel_map(work, chunks(clips, CHUNK), jobs=PROCESSES, batch=1))
    seconds = time.perf_counter() - start
    rows = [row for chunk, _ in done for row in chunk]
    return np.stack(rows), Speed(len(rows) / seconds, len(rows) / sum(spent for _, spent in done))


class Probe(NamedTuple):
    """UAR over all folds, the C that was chosen in each, and the UAR where few clips of a test speaker are known."""

    uar: float
    chosen: list[float]
    uar_by_known: dict[int, float]


def probe(data: Dataset, settings: Params, by: str) -> Probe:
    """A linear classifier on adapted features, over EmoBox's folds."""
    adaptation = Adaptation(by=by, prior=settings.adaptation.prior)
    folds = split(data.index, settings.train.model_copy(update={"protocol": "emobox"}), settings.seed)
    predicted = {known: np.full(len(data.labels), -1) for known in (None, *KNOWN)}
    chosen = []
    for fold in parts_of(data, folds):
        training = np.sort(np.concatenate([fold.training, fold.validation]))
        strength = max(STRENGTHS, key=partial(score_inside, data, training, adaptation))
        for known, its_predicted in predicted.items():
            its_predicted[fold.test] = predictions(data, training, fold.test, adaptation, strength, known)
        chosen.append(strength)
    scores = {
        known: unweighted_average_recall(confusion_matrix(data.labels, each, len(data.classes)))
        for known, each in predicted.items()
    }
    return Probe(scores.pop(None), chosen, scores)


def score_inside(data: Dataset, rows: np.ndarray, adaptation: Adaptation, strength: float) -> float:
    """UAR of cross-validation by speaker within the training rows of a fold."""
    speakers = data.index["speaker"].to_numpy()[rows]
    predicted = np.full(len(rows), -1)
    for training, tested in GroupKFold(INNER_FOLDS).split(rows, groups=speakers):
        predicted[tested] = predictions(data, rows[training], rows[tested], adaptation, strength)
    return unweighted_average_recall(confusion_matrix(data.labels[rows], predicted, len(data.classes)))


def predictions(
    data: Dataset,
    training: np.ndarray,
    tested: np.ndarray,
    adaptation: Adaptation,
    strength: float,
    known: int | None = None,
) -> np.ndarray:
    """Classes of some clips by a classifier trained on others, both as rows of the data.

    ``known`` clips of a tested speaker adapt each other; all that are tested if it is not given.
    """
    groups = groups_of(data.index, adaptation)
    features = data.speech.features
    normaliser = Normaliser.fit(features[training], groups.of(training), adaptation)
    inputs = normaliser(features[training], groups.of(training))
    others = normaliser(features[tested], in_parts(groups.of(tested), known or len(tested)))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
    return classifier.fit(inputs, data.labels[training]).predict(others)


def in_parts(groups: Groups, size: int) -> Groups:
    """Groups cut, in random order, into groups of at most ``size`` clips."""
    order = np.random.default_rng(0).permutation(len(groups.keys))
    place = pd.Series(groups.keys[order]).groupby(groups.keys[order]).cumcount().to_numpy()
    keys = np.empty_like(groups.keys)
    keys[order] = groups.keys[order] * len(order) + place // size
    return Groups(keys, groups.originals)


def measure(corpus: Path, encoder: Path) -> dict:
    """Everything that goes into the table."""
    settings = params.load(ROOT / "params.yaml")
    model = settings.featurize.encoder.model_copy(update={"kind": "onnx", "model": str(encoder.resolve())})
    with tempfile.TemporaryDirectory() as folder:
        organized, turns = Path(folder) / "organized", Path(folder) / "turns"
        turns.mkdir()
        done = organize_corpus(corpora.get("ravdess"), corpus, organized, settings.organize, jobs=1)
        diarize_corpus(done.manifest, organized, turns, settings.diarize, jobs=1)
        source = read_source(organized, turns)
        _, whole = embed(source, model, trim=False)
        features, cut = embed(source, model, trim=True)
    facts = encoders.describe(model)
    data = Dataset(source.manifest, Speech(features, facts.names(model.pooling)), {}, "ravdess")
    found = {by: probe(data, settings, by) for by in ("none", "speaker")}
    return {
        "encoder": encoder.name,
        "sha256": facts.sha256,
        "clips": len(features),
        "seconds": round(float(source.manifest["duration"].sum()), 1),
        "processes": PROCESSES,
        "clips_per_second": {"whole": round(whole.per_second, 1), "cut_to_speech": round(cut.per_second, 1)},
        "clips_per_core_second": {
            "whole": round(whole.per_core_second, 1),
            "cut_to_speech": round(cut.per_core_second, 1),
        },
        "probe_uar": {by: round(each.uar, 4) for by, each in found.items()},
        "probe_uar_by_known_clips": {known: round(score, 4) for known, score in found["speaker"].uar_by_known.items()},
        "probe_c": {by: each.chosen for by, each in found.items()},
        "prior": settings.adaptation.prior,
    }


def main() -> None:
    if len(sys.argv) != 3 or not Path(sys.argv[2]).is_file():
        sys.exit(
            "usage: make bench-encoder CORPORA=PATH ENCODER=FILE, a folder that holds ravdess/ and an ONNX encoder"
        )
    found = corpora_in(Path(sys.argv[1]))
    if "ravdess" not in found:
        sys.exit(f"no RAVDESS in {sys.argv[1]}: make bench-encoder CORPORA=PATH ENCODER=FILE")
    try:
        results = measure(found["ravdess"], Path(sys.argv[2]))
    except EmodagError as error:
        sys.exit(f"bench-encoder: {error}")
    for name, value in results["clips_per_second"].items():
        print(f"{value:8.1f} clips/s {name}, {results['clips_per_core_second'][name]} per second of a core")
    for by, value in results["probe_uar"].items():
        print(f"{100 * value:8.1f} % UAR, adaptation by {by}, C {results['probe_c'][by]}")
    for known, value in results["probe_uar_by_known_clips"].items():
        print(f"{100 * value:8.1f} % UAR, adaptation by speaker, {known} clips of a test speaker known")
    write_json(ROOT / "bench" / "results" / "encoder.json", results)


if __name__ == "__main__":
    main()
