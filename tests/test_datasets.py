from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import datasets, schema
from emodag import params as parameters
from emodag.errors import CorpusError, DataError
from emodag.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]


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
    alpha, beta = (datasets.load([corpus], "train", root) for corpus in ("alpha", "beta"))
    both = datasets.load(["alpha", "beta"], "train", root)
    np.testing.assert_array_equal(both.features, np.vstack([alpha.features, beta.features]))
    assert list(both.index["clip_id"]) == [*alpha.index["clip_id"], *beta.index["clip_id"]]
    assert [both.classes[label] for label in both.labels] == list(both.index["emotion"])


@pytest.mark.parametrize("key", ["names", "settings"])
def test_corpora_with_other_features_are_not_joined(root, key):
    path = root / "train" / "beta" / "features.json"
    content = read_json(path)
    content[key] = {"n_fft": 1024} if key == "settings" else content[key][::-1]
    write_json(path, content)
    with pytest.raises(DataError, match=r"beta.*alpha.*different features"):
        datasets.load(["alpha", "beta"], "train", root)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(root, value):
    path = root / "train" / "alpha" / "functionals.npy"
    functionals = np.load(path)
    functionals[5, 3] = value
    np.save(path, functionals)
    with pytest.raises(DataError, match=r"alpha: feature_03 of alpha/01_neutral_2\+0 is .*1 values"):
        datasets.load(["alpha"], "train", root)


@pytest.mark.parametrize(
    ("policy", "emotions"),
    [("keep", ("neutral", "calm", "sad")), ("neutral", ("neutral", "sad")), ("drop", ("neutral", "sad"))],
)
def test_the_policy_for_calm_reaches_clips_and_copies(tmp_path, synthetic_corpus, policy, emotions):
    index, functionals = synthetic_corpus.make("alpha", 2, emotions=("neutral", "calm", "sad"))
    synthetic_corpus.write(tmp_path / "train" / "alpha", index, functionals)
    data = datasets.load(["alpha"], "train", tmp_path).with_calm(policy)
    assert data.classes == emotions
    kept = index["emotion"] != "calm" if policy == "drop" else np.full(len(index), True)
    np.testing.assert_array_equal(data.features, functionals[kept])
    expected = index["emotion"].replace({"calm": "neutral"} if policy == "neutral" else {})[kept]
    assert list(data.index["emotion"]) == list(expected)


def test_description_counts_recordings_copies_and_emotions(root):
    text = datasets.describe(datasets.load(["alpha"], "train", root))
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
    content["embedding"] = [f"embedding_{number:04d}" for number in range(dims)]
    write_json(folder / "features.json", content)
    return embeddings


def test_models_see_functionals_embeddings_or_both(root):
    functionals = datasets.load(["alpha"], "train", root)
    embeddings = add_embeddings(root / "train" / "alpha")
    loaded = {inputs: datasets.load(["alpha"], "train", root, inputs) for inputs in ("all", "functionals", "embedding")}
    np.testing.assert_array_equal(loaded["functionals"].features, functionals.features)
    np.testing.assert_array_equal(loaded["embedding"].features, embeddings)
    np.testing.assert_array_equal(loaded["all"].features, np.hstack([functionals.features, embeddings]))
    assert loaded["functionals"].names == functionals.names
    assert loaded["embedding"].names == ["embedding_0000", "embedding_0001", "embedding_0002"]
    assert loaded["all"].names == functionals.names + loaded["embedding"].names


def test_embeddings_that_nobody_stored_are_an_error(root):
    with pytest.raises(DataError, match=r"train\.inputs is `embedding`.*featurize\.encoder\.kind"):
        datasets.load(["alpha"], "train", root, "embedding")


def test_corpora_with_and_without_embeddings_are_not_joined(root):
    add_embeddings(root / "train" / "alpha")
    with pytest.raises(DataError, match="different features"):
        datasets.load(["alpha", "beta"], "train", root)


def test_an_embedding_that_is_not_finite_is_named(root):
    folder = root / "train" / "alpha"
    embeddings = add_embeddings(folder)
    embeddings[4, 1] = np.nan
    np.save(folder / "embeddings.npy", embeddings)
    with pytest.raises(DataError, match="embedding_0001 of alpha/01_neutral_2 is nan"):
        datasets.load(["alpha"], "train", root)
