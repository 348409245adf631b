from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import datasets, schema
from emodag import params as parameters
from emodag.errors import CorpusError, DataError
from emodag.files import read_json, write_json
from emodag.speech import Needs

ROOT = Path(__file__).resolve().parents[1]
CLIPS = Needs(features=True)


@pytest.fixture
def root(tmp_path, synthetic_corpus):
    """Features of two train corpora and a test corpus."""
    for role, corpus in (("train", "alpha"), ("train", "beta"), ("test", "gamma")):
        synthetic_corpus.write(tmp_path / role / corpus, *synthetic_corpus.make(corpus, 3))
    return tmp_path


def params(**corpora):
    return parameters.load(ROOT / "params.yaml").model_copy(update={"corpora": corpora})


def test_the_corpora_of_a_role_are_those_of_params(root):
    given = params(beta="train", alpha="train", gamma="test")
    assert datasets.corpora_with(given, "train", root) == ["beta", "alpha"]
    assert datasets.corpora_with(given, "test", root) == ["gamma"]


def test_no_corpus_of_a_role_needs_no_folder(tmp_path):
    assert datasets.corpora_with(params(alpha="train"), "test", tmp_path) == []


@pytest.mark.parametrize(
    "corpora", [{"alpha": "train", "gamma": "test"}, {"alpha": "train", "beta": "test", "gamma": "test"}]
)
def test_features_that_were_left_over_are_an_error(root, corpora):
    with pytest.raises(CorpusError, match=r"train/beta.*left over.*run `emodag prune`"):
        datasets.corpora_with(params(**corpora), "train", root)


def test_left_over_test_features_are_an_error_too(root):
    with pytest.raises(CorpusError, match="test/gamma"):
        datasets.corpora_with(params(alpha="train", beta="train"), "test", root)


def test_missing_features_are_an_error(root):
    with pytest.raises(CorpusError, match=r"train/delta: the features of delta are missing.*featurize@delta"):
        datasets.corpora_with(params(alpha="train", beta="train", delta="train"), "train", root)


def test_files_and_outputs_in_the_making_are_no_corpora(root):
    (root / "train" / ".gitignore").write_text("/alpha\n")
    (root / "train" / ".alpha.partial").mkdir()
    assert datasets.corpora_with(params(alpha="train", beta="train"), "train", root) == ["alpha", "beta"]


def test_corpora_are_joined_row_by_row(root):
    alpha, beta = (datasets.load([corpus], "train", CLIPS, root) for corpus in ("alpha", "beta"))
    both = datasets.load(["alpha", "beta"], "train", CLIPS, root)
    np.testing.assert_array_equal(both.speech.features, np.vstack([alpha.speech.features, beta.speech.features]))
    assert list(both.index["clip_id"]) == [*alpha.index["clip_id"], *beta.index["clip_id"]]
    assert [both.classes[label] for label in both.labels] == list(both.index["emotion"])


@pytest.mark.parametrize("key", ["names", "settings"])
def test_corpora_with_other_features_are_not_joined(root, key):
    path = root / "train" / "beta" / "features.json"
    content = read_json(path)
    content[key] = {"n_fft": 1024} if key == "settings" else content[key][::-1]
    write_json(path, content)
    with pytest.raises(DataError, match=r"beta.*alpha.*different features"):
        datasets.load(["alpha", "beta"], "train", CLIPS, root)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(root, value):
    path = root / "train" / "alpha" / "functionals.npy"
    functionals = np.load(path)
    functionals[5, 3] = value
    np.save(path, functionals)
    with pytest.raises(DataError, match=r"alpha: feature_03 of alpha/01_neutral_2\+0 is .*1 values"):
        datasets.load(["alpha"], "train", CLIPS, root)


@pytest.mark.parametrize(
    ("policy", "emotions"),
    [("keep", ("neutral", "calm", "sad")), ("neutral", ("neutral", "sad")), ("drop", ("neutral", "sad"))],
)
def test_the_policy_for_calm_reaches_clips_and_copies(tmp_path, synthetic_corpus, policy, emotions):
    index, functionals = synthetic_corpus.make("alpha", 2, emotions=("neutral", "calm", "sad"))
    synthetic_corpus.write(tmp_path / "train" / "alpha", index, functionals)
    data = datasets.load(["alpha"], "train", CLIPS, tmp_path).with_calm(policy)
    assert data.classes == emotions
    kept = index["emotion"] != "calm" if policy == "drop" else np.full(len(index), True)
    np.testing.assert_array_equal(data.speech.features, functionals[kept])
    expected = index["emotion"].replace({"calm": "neutral"} if policy == "neutral" else {})[kept]
    assert list(data.index["emotion"]) == list(expected)


def test_description_counts_recordings_copies_and_emotions(root):
    text = datasets.describe(datasets.load(["alpha"], "train", CLIPS, root))
    assert text.startswith("48 clips and 48 augmented copies of 3 speakers: neutral 12, happy 12")


def add_embeddings(folder: Path, dims: int = 3) -> np.ndarray:
    """Embeddings beside stored features, two frames a clip."""
    index = pd.read_parquet(folder / "index.parquet")
    index["first_embedding"], index["embeddings"] = 2 * np.arange(len(index)), 2
    schema.write(index, schema.INDEX, folder / "index.parquet")
    embeddings = np.random.default_rng(0).standard_normal((len(index), dims)).astype(np.float32)
    np.save(folder / "embeddings.npy", embeddings)
    np.save(folder / "embedding_frames.npy", np.repeat(embeddings, 2, axis=0))
    content = read_json(folder / "features.json")
    content["embedding"] = content["embedding_frames"] = [f"embedding_{number:04d}" for number in range(dims)]
    write_json(folder / "features.json", content)
    return embeddings


def test_models_see_functionals_embeddings_or_both(root):
    functionals = datasets.load(["alpha"], "train", CLIPS, root)
    embeddings = add_embeddings(root / "train" / "alpha")
    loaded = {
        inputs: datasets.load(["alpha"], "train", CLIPS, root, inputs) for inputs in ("all", "functionals", "embedding")
    }
    np.testing.assert_array_equal(loaded["functionals"].speech.features, functionals.speech.features)
    np.testing.assert_array_equal(loaded["embedding"].speech.features, embeddings)
    np.testing.assert_array_equal(loaded["all"].speech.features, np.hstack([functionals.speech.features, embeddings]))
    assert loaded["functionals"].speech.names == functionals.speech.names
    assert loaded["embedding"].speech.names == ("embedding_0000", "embedding_0001", "embedding_0002")
    assert loaded["all"].speech.names == functionals.speech.names + loaded["embedding"].speech.names


def test_embeddings_that_nobody_stored_are_an_error(root):
    with pytest.raises(DataError, match=r"train\.inputs is `embedding`.*featurize\.encoder\.kind"):
        datasets.load(["alpha"], "train", CLIPS, root, "embedding")


def test_corpora_with_and_without_embeddings_are_not_joined(root):
    add_embeddings(root / "train" / "alpha")
    with pytest.raises(DataError, match="different features"):
        datasets.load(["alpha", "beta"], "train", CLIPS, root)


def test_an_embedding_that_is_not_finite_is_named(root):
    folder = root / "train" / "alpha"
    embeddings = add_embeddings(folder)
    embeddings[4, 1] = np.nan
    np.save(folder / "embeddings.npy", embeddings)
    with pytest.raises(DataError, match="embedding_0001 of alpha/01_neutral_2 is nan"):
        datasets.load(["alpha"], "train", CLIPS, root)


def write_frames(folder: Path, seed: int) -> np.ndarray:
    """Frames of three columns in two groups, ten a clip."""
    frames = np.random.default_rng(seed).standard_normal((10 * len(pd.read_parquet(folder / "index.parquet")), 3))
    np.save(folder / "frames.npy", frames.astype(np.float32))
    write_json(
        folder / "features.json",
        read_json(folder / "features.json") | {"frames": {"log_mel": ["mel_0", "mel_1"], "f0": ["f0"]}},
    )
    return frames.astype(np.float32)


def test_only_the_frames_that_are_needed_are_read(root):
    frames = {corpus: write_frames(root / "train" / corpus, seed) for seed, corpus in enumerate(("alpha", "beta"))}
    both = datasets.load(["alpha", "beta"], "train", Needs(features=False, groups=("f0",)), root)
    assert both.speech.features is None
    assert both.speech.frames.columns == ("f0",)
    first = len(frames["alpha"]) // 10
    np.testing.assert_array_equal(both.speech.frames[1], frames["alpha"][10:20, 2:])
    np.testing.assert_array_equal(both.speech.frames[first + 1], frames["beta"][10:20, 2:])
    whole = datasets.load(["beta"], "train", Needs(features=True, groups=("f0", "log_mel")), root)
    assert whole.speech.frames.columns == ("mel_0", "mel_1", "f0")
    np.testing.assert_array_equal(whole.speech.frames[2], frames["beta"][20:30])


def test_frames_that_nobody_stored_are_an_error(root):
    write_frames(root / "train" / "alpha", 0)
    with pytest.raises(DataError, match=r"no frames of chroma are stored, but of log_mel, f0; set featurize"):
        datasets.load(["alpha"], "train", Needs(False, ("chroma",)), root)
    with pytest.raises(DataError, match="the model sees the encoder's frames"):
        datasets.load(["alpha"], "train", Needs(False, (), embedding_frames=True), root)


def test_frames_that_are_not_finite_are_an_error(root):
    frames = write_frames(root / "train" / "alpha", 0)
    frames[7, 0] = np.inf
    np.save(root / "train" / "alpha" / "frames.npy", frames)
    with pytest.raises(DataError, match="alpha: frames hold values that are not finite"):
        datasets.load(["alpha"], "train", Needs(False, ("log_mel",)), root)


def test_frames_of_an_encoder_are_read(root):
    embeddings = add_embeddings(root / "train" / "alpha")
    speech = datasets.load(["alpha"], "train", Needs(False, (), embedding_frames=True), root).speech
    np.testing.assert_array_equal(speech.embedding_frames[3], np.repeat(embeddings[3:4], 2, axis=0))


def test_workers_share_the_arrays_that_are_mapped(root):
    add_embeddings(root / "train" / "alpha")
    needs = Needs(True, ("group",), embedding_frames=True)
    speech = datasets.load(["alpha"], "train", needs, root, "functionals").speech
    shared = []
    sent = pickle.dumps(speech, protocol=5, buffer_callback=shared.append)
    arrays = speech.features, speech.frames.values, speech.embedding_frames.values
    assert len(sent) < min(array.nbytes for array in arrays)
    assert sum(len(buffer.raw()) for buffer in shared) > sum(array.nbytes for array in arrays)
