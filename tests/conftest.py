"""Fixtures that several test modules share."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from emodag.parallel import ONE_THREAD

# Before any library that reads it: several processes test at once, and threads that spin while they wait for each
# other would take the cores from them.
os.environ.update(ONE_THREAD)

import numpy as np
import pandas as pd
import pytest

from emodag import schema
from emodag.datasets import Dataset
from emodag.files import write_json
from emodag.interpreter import collect_seldom
from emodag.labels import EMOTIONS
from emodag.speech import Speech

ROOT = Path(__file__).resolve().parents[1]

collect_seldom()


def pytest_collection_modifyitems(items):
    """The longest file first: it is one piece of work, and would keep one process busy when all others are done."""
    items.sort(key=lambda item: item.get_closest_marker("dvc") is None)


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
        settings = {"n_fft": 512, "mfcc": {"n_mfcc": 4}, "version": 2}  # noqa: RUF012

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
                {
                    "frames": {"group": ["a", "b", "c"]},
                    "names": cls.names,
                    "embedding_frames": [],
                    "embedding": [],
                    "settings": cls.settings,
                },
            )

    return Synthetic


@pytest.fixture(scope="session")
def spoken_corpus(tmp_path_factory):
    """28 clips that eSpeak NG speaks, through organize, diarize and featurize, with embeddings of a tiny encoder.

    ``ship(model, ...)`` trains on all of them and gives the folder of a bundle with its background.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from emodag import bundle, corpora, datasets, models, params, synthesis, training
    from emodag.adaptation import groups_of
    from emodag.background import Background
    from emodag.diarization.corpus import diarize_corpus
    from emodag.features import featurize_corpus
    from emodag.features.corpus import read_source
    from emodag.organization import organize_corpus

    root = tmp_path_factory.mktemp("spoken")
    # Frames are means over 8 steps of each fourth mel band.
    kernel = np.zeros((16, 64, 8), np.float32)
    kernel[np.arange(16), 4 * np.arange(16)] = 1 / 8
    nodes = [
        helper.make_node("Conv", ["log_mel", "kernel"], ["steps"], kernel_shape=[8], strides=[8]),
        helper.make_node("Transpose", ["steps"], ["frames"], perm=[0, 2, 1]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])]
        for name, shape in (("log_mel", [64, "time"]), ("frames", ["time", 16]))
    )
    graph = helper.make_graph(nodes, "bands", inputs, outputs, [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, root / "bands.onnx")

    default = params.load(ROOT / "params.yaml").changed(
        {
            "featurize.encoder.kind": "onnx",
            "featurize.encoder.model": "bands.onnx",
            "featurize.encoder.folder": str(root),
            "models.mlp.hidden": [16],
            "models.cnn.filters": [4, 8],
            "train.neural.max_epochs": 3,
        }
    )
    organized, turns, features = root / "organized", root / "turns", root / "features" / "train" / "demo_en"
    for folder in (organized, turns, features):
        folder.mkdir(parents=True)
    synthesis.synthesize("demo_en", root / "raw", speakers=4, takes=1, seed=0, jobs=1)
    organize_corpus(corpora.get("demo_en"), root / "raw", organized, default.organize, jobs=1)
    manifest = schema.read(organized / "manifest.parquet", schema.MANIFEST)
    diarize_corpus(manifest, organized, turns, default.diarize, jobs=1)
    featurize_corpus([read_source(organized, turns)], features, default.featurize, jobs=1)

    class Spoken:
        folder = root
        params = default
        clips = [organized / path for path in manifest["path"]]  # noqa: RUF012

        @staticmethod
        def data(changed):
            """The data set as the model of the params sees it; its clips are in the order of ``clips``."""
            needs = models.needs(changed)
            return datasets.load(["demo_en"], "train", needs, root / "features", changed.train.inputs)

        @classmethod
        def ship(cls, model, **changes):
            """The folder of a model trained with changed params, keys with ``__`` for dots."""
            changed = default.changed({"model": model} | {key.replace("__", "."): changes[key] for key in changes})
            data = cls.data(changed)
            chosen = {"mlp": {"epochs": 30}}.get(model)
            fitted = training.fit_final(data, changed, chosen)
            of_clip = np.ones((1, 1), np.float32)
            outcome = training.Outcome(of_clip, of_clip, 1.5, {}, [], {}, b"")
            done = training.CrossValidation(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), {(0, 1): outcome})
            folder = tmp_path_factory.mktemp(model)
            bundle.make(fitted, data, changed, done, {"demo_en": 0.5}).save(folder)
            adapted = fitted.adapter(data.speech, groups_of(data.index, changed.adaptation))
            Background.of(adapted, data.labels).save(folder)
            return folder

    return Spoken


@pytest.fixture(scope="session")
def spoken():
    """``spoken(emotion, number)``: 0.4 s that stand for speech, float32 [samples] at 16 kHz.

    A buzz over noise, low and soft where it is neutral, high and loud where it is angry; a number makes another one.
    """

    def make(emotion: str, number: int = 0) -> np.ndarray:
        rng = np.random.default_rng([number, len(emotion)])
        pitch, level = {"neutral": (110, 0.08), "angry": (240, 0.4)}[emotion]
        time = np.arange(int(0.4 * 16_000)) / 16_000
        buzz = sum(
            np.sin(2 * np.pi * pitch * (1 + 0.02 * (number % 10)) * harmonic * time) / harmonic
            for harmonic in range(1, 9)
        )
        return (level * (0.4 * buzz + 0.1 * rng.normal(size=len(time)))).clip(-1, 1).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def hearing_bundle(synthetic_corpus, spoken):
    """A bundle that hears recordings: a small model of the real features of ``spoken``, neutral and angry."""
    from emodag import bundle, params
    from emodag.features.extraction import extract, names
    from emodag.features.store import described
    from emodag.splits import split
    from emodag.training import cross_validate, fit_final

    small = {"models.mlp.hidden": [8], "models.mlp.max_epochs": 10, "train.folds": 2, "train.keep_folds": False}
    loaded = params.load(ROOT / "params.yaml").changed(small | {"model": "mlp", "compute.jobs": 1})
    index, _ = synthetic_corpus.make("alpha", 4, ("neutral", "angry"), takes=3, copies=0)
    clips = [extract(spoken(emotion, n), loaded.featurize) for n, emotion in enumerate(index["emotion"])]
    functionals = np.stack([clip.functionals for clip in clips])
    settings = described(loaded.featurize, None)
    data = Dataset(index, Speech(functionals, names(loaded.featurize).functionals), settings, "spoken")
    done = cross_validate(data, split(index, loaded.train, 0), loaded)
    return bundle.make(fit_final(data, loaded, done.chosen), data, loaded, done, {"alpha": 0.5})


@pytest.fixture(scope="session")
def python():
    """``python(script, *arguments, **environment)``: what became of a script in a new process with this library."""

    def run(
        script: str, *arguments: str | Path, timeout: float | None = None, **environment: str
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="session")
def conversations():
    """``conversations(duration, turns, speakers)``: a timeline of people who take turns; a seed makes another one.

    Moods last for several turns; that of the first speaker turns from neutral to angry in the middle. Long turns have
    windows, very short ones no feeling, some turns overlap, and every third has a text.
    """
    from emodag.conversation.analysis import speakers_in
    from emodag.conversation.timeline import Feeling, Timeline, Turn, TurningPoint

    classes = ("neutral", "happy", "sad", "angry", "surprised")
    places = np.array([(0, 0), (0.5, 0.8), (-0.4, -0.6), (0.8, -0.6), (0.7, 0.2)])  # arousal, valence

    def feeling(rng, start, end, mood):
        logits = rng.normal(size=len(classes), scale=0.6)
        logits[classes.index(mood)] += rng.uniform(1.2, 4)
        probabilities = np.exp(logits) / np.exp(logits).sum()
        told = classes[probabilities.argmax()] if probabilities.max() >= 0.45 else "unknown"
        arousal, valence = probabilities @ places
        return Feeling(float(start), float(end), tuple(probabilities.tolist()), told, float(arousal), float(valence))

    def make(duration, turns, speakers, seed=0, **changes) -> Timeline:
        rng = np.random.default_rng(seed)
        names = [f"speaker_{number}" for number in range(1, speakers + 1)]
        moods = dict.fromkeys(names, "neutral")
        lengths = rng.gamma(2, 1, turns)
        bounds = np.concatenate([[0], np.cumsum(lengths) / lengths.sum()]) * 0.98 * duration + 0.01 * duration
        made, points = [], []
        for number in range(turns):
            others = [name for name in names if not made or name != made[-1].speaker] or names
            speaker = names[0] if number in (0, turns // 2) else str(rng.choice(others))
            length = bounds[number + 1] - bounds[number]
            start = bounds[number] + rng.uniform(-0.1, 0.15) * length * (number > 0)
            end = bounds[number + 1] - 0.05 * length
            if number == turns // 2:
                points.append(TurningPoint(float(start), speaker, "neutral", "angry"))
                moods[speaker] = "angry"
            elif speaker != names[0] and rng.random() < 0.15:
                moods[speaker] = str(rng.choice(classes))
            starts = np.linspace(start, end - 3, max(0, int(np.ceil(end - start - 3)))).tolist()
            windows = tuple(feeling(rng, at, at + 3, moods[speaker]) for at in starts)
            made.append(
                Turn(
                    float(start),
                    float(end),
                    speaker,
                    max(0.0, made[-1].end - float(start)) if made and made[-1].speaker != speaker else 0.0,
                    feeling(rng, start, end, moods[speaker]) if end - start > 0.5 else None,
                    windows if len(windows) > 1 else (),
                    "Yes, and I have told you so before." if number % 3 == 0 else "",
                )
            )
        told = {"recording": "call.wav", "duration": float(duration), "classes": classes, "turns": tuple(made)}
        told |= {"speakers": speakers_in(made), "turning_points": tuple(points)}
        return Timeline(**told | changes)

    return make
