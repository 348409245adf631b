"""Fixtures that several test modules share."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import schema
from emodag.datasets import Dataset
from emodag.files import write_json
from emodag.labels import EMOTIONS
from emodag.speech import Speech

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora, folds and recordings; tests that need it skip where it is absent."""
    place = Path(os.environ.get("EMODAG_SHARED", ROOT.parent / "shared"))
    if not place.is_dir():
        pytest.skip(f"no real corpora at {place}: set EMODAG_SHARED to the folder that holds corpora/ and diarization/")
    return place


@pytest.fixture(scope="session")
def stage_job():
    """``stage_job(name)``: the function of a stage script, as the script itself would call it."""

    def load(name: str):
        sys.path.insert(0, str(ROOT / "stages"))
        try:
            spec = importlib.util.spec_from_file_location(f"stage_{name}", ROOT / "stages" / f"{name}.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(ROOT / "stages"))
        return getattr(module, name)

    return load


@pytest.fixture(scope="session")
def synthetic_corpus():
    """``make(corpus, ...)``: an index and functionals [clips, functionals] of Gaussian classes with speaker offsets.

    Speakers are ``01``, ``02``, ... (or those given), female and male in turn; every speaker has ``takes`` clips of
    each emotion and each clip ``copies`` augmented copies beside it. ``write(folder, ...)`` writes them as featurize
    does, ``data(index, functionals)`` makes a data set of them.
    """

    class Synthetic:
        names = [f"feature_{number:02d}" for number in range(12)]  # noqa: RUF012
        settings = {"n_fft": 512, "mfcc": {"n_mfcc": 4}}  # noqa: RUF012

        @staticmethod
        def make(
            corpus="alpha",
            speakers=6,
            emotions=("neutral", "happy", "sad", "angry"),
            takes=4,
            copies=1,
            seed=0,
            spread=1.0,
        ):
            names = [f"{n:02d}" for n in range(1, speakers + 1)] if isinstance(speakers, int) else list(speakers)
            rng = np.random.default_rng([seed, sum(map(ord, corpus))])
            # The classes lie alike in every corpus, else nothing could be learnt in one and tested in another.
            centres = {e: np.random.default_rng(sum(map(ord, e))).normal(size=12) for e in EMOTIONS}
            rows, functionals = [], []
            for number, speaker in enumerate(names):
                offset = rng.normal(size=12, scale=0.5)
                for emotion in emotions:
                    for take in range(takes):
                        clip_id = f"{corpus}/{speaker}_{emotion}_{take}"
                        value = centres[emotion] + offset + rng.normal(size=12, scale=spread)
                        row = {
                            "clip_id": clip_id, "corpus": corpus, "speaker": f"{corpus}/{speaker}",
                            "sex": ("female", "male")[number % 2], "age": 20 + 10 * number, "language": "en",
                            "emotion": emotion, "perceived": None, "native_label": emotion, "intensity": None,
                            "duration": 2.0, "parent_id": None,
                        }  # fmt: skip
                        rows.append(row)
                        functionals.append(value)
                        for copy in range(copies):
                            rows.append(row | {"clip_id": f"{clip_id}+{copy}", "parent_id": clip_id})
                            functionals.append(value + rng.normal(size=12, scale=0.1))
            functionals = np.array(functionals, np.float32) + 3
            index = pd.DataFrame(rows)
            index["md5"] = [hashlib.md5(clip_id.encode()).hexdigest() for clip_id in index["clip_id"]]
            index["first_row"], index["frames"] = np.arange(len(index)) * 10, 10
            index["first_embedding"], index["embeddings"] = 0, 0
            return index[list(schema.INDEX.columns)], functionals

        @classmethod
        def data(cls, index, functionals, names=None) -> Dataset:
            return Dataset(index, Speech(functionals, tuple(names or cls.names)), cls.settings, "synthetic")

        @classmethod
        def write(cls, folder, index, functionals):
            folder.mkdir(parents=True, exist_ok=True)
            schema.write(index, schema.INDEX, folder / "index.parquet")
            np.save(folder / "functionals.npy", functionals)
            np.save(folder / "frames.npy", np.zeros((10 * len(index), 3), np.float32))
            write_json(
                folder / "features.json",
                {"frames": {"group": ["a", "b", "c"]}, "names": cls.names, "embedding": [], "settings": cls.settings},
            )

    return Synthetic
