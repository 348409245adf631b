"""What adaptation by diarized speaker gains: ``make bench-conversations CORPORA=PATH``, with CREMA-D in PATH.

The model of the params is trained on CREMA-D's actors 1001 to 1045, once adapted to speakers and once not.
Conversations of two are simulated from actors 1046 to 1091, whom it never heard. Each is analysed

- with the turns and speakers that are true, and with those that the bundled diarizer finds, speaker count not given;
- by the model that adapts to nobody, and by the one that adapts to voices: by the whole call, and by what was said so
  far.

Scored is each utterance: what is told during most of it, against its label. UAR comes with a bootstrap interval over
conversations, and so does its gain over no adaptation, paired. EDER and calibration are of the same timelines.
Training takes no augmented copies. Writes ``bench/results/conversations.json``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd

from _checkout import ROOT, corpora_in
from emodag import audio, bundle, corpora, datasets, models, schema
from emodag import params as parameters
from emodag.conversation.analysis import featurized as featurize_talk
from emodag.conversation.analysis import timeline_of
from emodag.conversation.error_rate import EmotionErrors, emotion_errors, emotions_in, emotions_of
from emodag.conversation.simulation import Conversation, Simulation, simulate, utterances
from emodag.conversation.timeline import Timeline
from emodag.conversation.voices import Voices
from emodag.diarization.base import for_conversations
from emodag.diarization.corpus import diarize_corpus
from emodag.evaluation import confusion_matrix, unweighted_average_recall
from emodag.features import featurize_corpus
from emodag.features.corpus import Source
from emodag.files import write_json
from emodag.listening import Sound
from emodag.organization import organize_corpus
from emodag.recognition import Recogniser
from emodag.splits import split
from emodag.training import cross_validate, fit_final

CORPUS = "crema_d"
LAST_TRAINED = f"{CORPUS}/1045"

TALK = Simulation(
    speakers=2,
    min_duration=60.0,
    max_duration=90.0,
    hold=0.3,
    pause=0.5,
    overlap=0.3,
    overlap_length=0.4,
    gap=0.4,
    persistence=0.5,
    level_spread=3.0,
    telephone=False,
    min_snr=20.0,
    max_snr=40.0,
)


@dataclass(frozen=True)
class Way:
    """One way to analyse a conversation."""

    turns: str  #: true | diarized
    adaptation: str  #: none | past | call
    smoothing: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("corpora", type=Path, help="a folder that holds CREMA-D")
    arguments.add_argument("--conversations", type=int, default=50)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "conversations.json")
    chosen = arguments.parse_args()
    raw = corpora_in(chosen.corpora).get(CORPUS)
    if raw is None:
        sys.exit(f"{chosen.corpora}: no folder of {CORPUS} there")
    settings = parameters.load(ROOT / "params.yaml").changed({"compute.jobs": 1, "train.keep_folds": False})
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        place = Path(folder)
        organize_corpus(corpora.get(CORPUS), raw.resolve(), place / "organized", settings.organize, jobs=1)
        manifest = schema.read(place / "organized" / "manifest.parquet", schema.MANIFEST)
        trained = manifest["speaker"] <= LAST_TRAINED
        featurized(manifest[trained].reset_index(drop=True), place, settings)
        recognisers = {by: Recogniser(shipped(by, place, settings)) for by in ("none", "speaker")}
        clips = utterances(manifest[~trained], place / "organized")
        talks = [simulate(clips, TALK, seed, f"talk_{seed:02d}") for seed in range(chosen.conversations)]
    write_json(chosen.out, measured(talks, recognisers, settings))
    print(chosen.out.read_text(encoding="utf-8"))


def featurized(manifest: pd.DataFrame, place: Path, settings: parameters.Params) -> None:
    """Turns and features of the clips that are trained on."""
    (place / "turns").mkdir()
    diarize_corpus(manifest, place / "organized", place / "turns", settings.diarize, jobs=1)
    turns = schema.read(place / "turns" / "turns.parquet", schema.TURNS)
    features = place / "features" / "train" / CORPUS
    features.mkdir(parents=True)
    featurize_corpus([Source(place / "organized", manifest, turns)], features, settings.featurize, jobs=1)


def shipped(by: str, place: Path, settings: parameters.Params) -> bundle.Bundle:
    """The model of the params that adapts to speakers or to nobody; it answers all, so that all is scored."""
    changed = settings.changed({"adaptation.by": by})
    data = datasets.load([CORPUS], "train", models.needs(changed), place / "features", changed.train.inputs)
    done = cross_validate(data, split(data.index, changed.train, changed.seed), changed)
    made = bundle.make(fit_final(data, changed, done.chosen), data, changed, done, {})
    return replace(made, unknown=0.0)


def measured(talks: Sequence[Conversation], recognisers: dict[str, Recogniser], settings: parameters.Params) -> dict:
    """Scores of every way over all conversations."""
    diarizer = for_conversations(settings.diarize)
    sounds = [Sound(talk.name, audio.to_pcm16(talk.samples)[:, None], audio.SAMPLE_RATE) for talk in talks]
    start = time.process_time()
    known = {
        "true": [Voices(talk.annotation(), sound) for talk, sound in zip(talks, sounds, strict=True)],
        "diarized": [Voices(diarizer.diarize(sound.samples()), sound) for sound in sounds],
    }
    diarizing = time.process_time() - start
    truth = [labelled(talk) for talk in talks]
    classes = recognisers["none"].bundle.classes
    lengths = [0.0, settings.analyze.smoothing]
    ways = [Way(turns, by, each) for turns in known for each in lengths for by in ("none", "past", "call")]
    found: dict[Way, list[Timeline]] = {}
    start = time.process_time()
    # Both models see the same features.
    featurized_talks = {
        turns: [featurize_talk(each, recognisers["none"], settings.analyze) for each in voices]
        for turns, voices in known.items()
    }
    featurizing = (time.process_time() - start) / len(known)
    for way in ways:
        changed = settings.analyze.model_copy(update={"adaptation": way.adaptation, "smoothing": way.smoothing})
        model = recognisers["none" if way.adaptation == "none" else "speaker"].bundle
        found[way] = [timeline_of(each, model, changed) for each in featurized_talks[way.turns]]
    told = {way: [told_of(timeline, rows) for timeline, rows in zip(found[way], truth, strict=True)] for way in ways}
    seconds = sum(talk.duration for talk in talks)
    return {
        "conversations": len(talks),
        "utterances": sum(map(len, truth)),
        "seconds": seconds,
        "times_real_time": {"diarize": seconds / diarizing, "featurize": seconds / featurizing},
        "talk": TALK.model_dump(),
        "ways": [asdict(way) | scores(way, told, truth, classes) | emotion_rate(found[way], talks) for way in ways],
    }


def labelled(talk: Conversation) -> pd.DataFrame:
    """The utterances of a conversation, from their first speech to their last."""
    return talk.turns.groupby("clip_id", sort=False).agg(
        start=("start", "min"), end=("end", "max"), emotion=("emotion", "first")
    )


def told_of(timeline: Timeline, rows: pd.DataFrame) -> np.ndarray:
    """The mean probabilities told during each utterance, float64 [utterances, classes]; all alike where nothing is."""
    parts = [part for turn in timeline.turns for part in turn.stretches]
    starts, ends = np.array([part.start for part in parts]), np.array([part.end for part in parts])
    probabilities = np.array([part.probabilities for part in parts])
    found = np.full((len(rows), len(timeline.classes)), 1 / len(timeline.classes))
    for number, row in enumerate(rows.itertuples()):
        shared = np.maximum(0, np.minimum(ends, row.end) - np.maximum(starts, row.start))
        if shared.sum() > 0:
            found[number] = shared @ probabilities / shared.sum()
    return found


def scores(way: Way, told: dict[Way, list[np.ndarray]], truth: list[pd.DataFrame], classes: tuple[str, ...]) -> dict:
    """UAR of a way and its gain over no adaptation, with 95 % intervals; accuracy beside mean confidence."""
    labels = [np.array([classes.index(emotion) for emotion in rows["emotion"]]) for rows in truth]
    plain = told[replace(way, adaptation="none")]
    generator = np.random.default_rng(0)
    draws = [generator.integers(len(truth), size=len(truth)) for _ in range(1000)]
    whole = np.arange(len(truth))

    def uar(of: list[np.ndarray], rows: np.ndarray) -> float:
        true = np.concatenate([labels[row] for row in rows])
        said = np.concatenate([of[row].argmax(axis=1) for row in rows])
        return unweighted_average_recall(confusion_matrix(true, said, len(classes)))

    resampled = np.array([(uar(told[way], rows), uar(plain, rows)) for rows in draws])
    low, high = np.quantile(resampled[:, 0], (0.025, 0.975))
    gain = np.quantile(resampled[:, 0] - resampled[:, 1], (0.025, 0.975))
    flat, true = np.concatenate(told[way]), np.concatenate(labels)
    return {
        "uar": uar(told[way], whole),
        "low": low,
        "high": high,
        "gain": uar(told[way], whole) - uar(plain, whole),
        "gain_low": gain[0],
        "gain_high": gain[1],
        "accuracy": float(np.mean(flat.argmax(axis=1) == true)),
        "confidence": float(np.mean(flat.max(axis=1))),
    }


def emotion_rate(timelines: list[Timeline], talks: Sequence[Conversation]) -> dict:
    """EDER of all conversations together, and its parts."""
    each = [
        emotion_errors(emotions_in(talk.turns), emotions_of(timeline), talk.duration)
        for timeline, talk in zip(timelines, talks, strict=True)
    ]
    whole: EmotionErrors = reduce(add, each)
    parts = {name: value / whole.duration for name, value in asdict(whole).items() if name != "duration"}
    return {"eder": whole.rate, "eder_parts": parts}


if __name__ == "__main__":
    main()
