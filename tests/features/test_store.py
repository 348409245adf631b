"""What is written is read back; what does not fit together is refused; memory stays flat."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import params, schema
from emodag.errors import DataError
from emodag.features import ClipFeatures, FeatureNames, open_features
from emodag.features.encoders import Embedding, EncoderFacts
from emodag.features.encoders.base import pool
from emodag.features.store import FeatureWriter

SETTINGS = params.load(Path(__file__).resolve().parents[2] / "params.yaml").featurize
NAMES = FeatureNames({"a": ("a_0", "a_1"), "b": ("b",)}, ("a_0_mean", "b_mean"))


def clips(count: int) -> pd.DataFrame:
    row = {
        "corpus": "x", "speaker": "x/s", "sex": None, "age": 40, "language": "en", "emotion": "happy",
        "perceived": "sad", "native_label": "h", "intensity": None, "duration": 1.0, "parent_id": None,
    }  # fmt: skip
    columns = [column for column in schema.INDEX.columns if column in schema.MANIFEST.columns]
    rows = [row | {"clip_id": f"x/{number}", "md5": f"{number:032x}"} for number in range(count)]
    return pd.DataFrame(rows, columns=columns)


def features(frames: int, seed: int = 0) -> ClipFeatures:
    rng = np.random.default_rng(seed)
    return ClipFeatures(rng.standard_normal((frames, 3)).astype(np.float32), rng.standard_normal(2).astype(np.float32))


def write(folder: Path, counts: list[int]) -> list[ClipFeatures]:
    folder.mkdir()
    written = [features(count, seed) for seed, count in enumerate(counts)]
    with FeatureWriter(folder, clips(len(counts)), NAMES, SETTINGS) as writer:
        for each in written:
            writer.add(each)
    return written


@pytest.mark.parametrize("counts", [[1], [3, 1, 7], [1] * 12, [1000, 2]])
def test_what_is_written_is_read_back(tmp_path, counts):
    written = write(tmp_path / "x", counts)
    stored = open_features(tmp_path / "x")
    assert isinstance(stored.frames, np.memmap)
    assert stored.frames.dtype == stored.functionals.dtype == np.float32
    assert stored.names == NAMES
    assert stored.settings.items() >= SETTINGS.model_dump().items()
    assert list(stored.index["clip_id"]) == [f"x/{number}" for number in range(len(counts))]
    for position, each in enumerate(written):
        np.testing.assert_array_equal(stored.frames_of(position), each.frames)
        np.testing.assert_array_equal(stored.functionals[position], each.functionals)


@pytest.mark.parametrize("added", [0, 2])
def test_a_clip_without_features_is_an_error(tmp_path, added):
    with (
        pytest.raises(DataError, match=f"features of {added} clips, where 3 are due"),
        FeatureWriter(tmp_path, clips(3), NAMES, SETTINGS) as writer,
    ):
        for _ in range(added):
            writer.add(features(2))


def test_the_same_features_give_the_same_bytes(tmp_path):
    write(tmp_path / "one", [3, 5])
    write(tmp_path / "two", [3, 5])
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_arrays_are_plain_numpy_files_without_pickles(tmp_path):
    write(tmp_path / "x", [3, 5])
    assert np.load(tmp_path / "x/frames.npy", allow_pickle=False).shape == (8, 3)
    assert np.load(tmp_path / "x/functionals.npy", allow_pickle=False).shape == (2, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["frames", "functionals"])
def test_what_is_not_finite_is_never_stored(tmp_path, value, part):
    broken = features(4)
    getattr(broken, part).flat[1] = value
    with pytest.raises(DataError, match="x/0"), FeatureWriter(tmp_path, clips(200), NAMES, SETTINGS) as writer:
        writer.add(broken)
    with pytest.raises(DataError):
        open_features(tmp_path)


def test_columns_that_no_name_fits_are_refused(tmp_path):
    with pytest.raises(DataError, match="x/0"), FeatureWriter(tmp_path, clips(200), NAMES, SETTINGS) as writer:
        writer.add(ClipFeatures(np.zeros((4, 5), np.float32), np.zeros(2, np.float32)))


@pytest.mark.parametrize("missing", ["frames.npy", "functionals.npy", "index.parquet", "features.json"])
def test_a_missing_file_is_named(tmp_path, missing):
    write(tmp_path / "x", [3, 5])
    (tmp_path / "x" / missing).unlink()
    with pytest.raises(DataError, match=missing.replace(".", r"\.")):
        open_features(tmp_path / "x")


@pytest.mark.parametrize("file", ["frames.npy", "functionals.npy"])
@pytest.mark.parametrize("damage", ["fewer rows", "cut off", "object array", "no array"])
def test_arrays_that_do_not_fit_are_refused(tmp_path, file, damage):
    write(tmp_path / "x", [300, 500])
    path = tmp_path / "x" / file
    match damage:
        case "fewer rows":
            np.save(path, np.load(path)[:-1])
        case "cut off":
            path.write_bytes(path.read_bytes()[:-4])
        case "object array":
            np.save(path, np.array([{}], dtype=object))
        case "no array":
            path.write_bytes(b"")
    with pytest.raises(DataError, match="x"):
        open_features(tmp_path / "x")


def test_names_that_do_not_fit_are_refused(tmp_path):
    write(tmp_path / "x", [3, 5])
    path = tmp_path / "x/features.json"
    content = json.loads(path.read_text())
    content["names"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"functionals\.npy"):
        open_features(tmp_path / "x")


def test_writing_keeps_no_frames_in_memory(tmp_path):
    """200 clips of 1.2 MB each pass through; never more than a few of them are held."""
    one = features(100_000)
    with FeatureWriter(tmp_path, clips(200), NAMES, SETTINGS) as writer:
        tracemalloc.start()
        for _ in range(200):
            writer.add(one)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "frames.npy").stat().st_size > 200 * 100_000 * 12
    assert peak < 5e6


FACTS = EncoderFacts(Path("encoder.onnx"), 5, "0123abcd")


def embedding(frames: int, seed: int = 0) -> Embedding:
    values = np.random.default_rng(seed).standard_normal((frames, FACTS.dims)).astype(np.float32)
    return Embedding(pool(values, SETTINGS.encoder.pooling), values)


def write_embeddings(folder: Path, counts: list[int]) -> list[Embedding]:
    folder.mkdir()
    written = [embedding(count, seed) for seed, count in enumerate(counts)]
    with FeatureWriter(folder, clips(len(counts)), NAMES, SETTINGS, FACTS) as writer:
        for each in written:
            writer.add(features(3), each)
    return written


def test_embeddings_are_read_back(tmp_path):
    written = write_embeddings(tmp_path / "x", [4, 1, 9])
    stored = open_features(tmp_path / "x")
    assert isinstance(stored.embedding_frames, np.memmap)
    assert stored.embeddings.shape == (3, 2 * FACTS.dims)
    assert stored.embedding_columns == FACTS.columns
    assert stored.embedding_names == FACTS.names("mean_std")
    assert stored.settings["encoder_sha256"] == "0123abcd"
    assert list(stored.index["embeddings"]) == [4, 1, 9]
    for position, each in enumerate(written):
        np.testing.assert_array_equal(stored.embedding_frames_of(position), each.frames)
        np.testing.assert_array_equal(stored.embeddings[position], each.clip)


def test_where_an_encoder_lies_on_this_machine_is_not_stored(tmp_path):
    encoder = SETTINGS.encoder.model_copy(
        update={"model": str(tmp_path / "tiny.onnx"), "folder": str(tmp_path / "all")}
    )
    settings = SETTINGS.model_copy(update={"encoder": encoder})
    with FeatureWriter(tmp_path, clips(1), NAMES, settings, FACTS) as writer:
        writer.add(features(3), embedding(4))
    assert str(tmp_path) not in (tmp_path / "features.json").read_text()
    stored = open_features(tmp_path).settings["encoder"]
    assert [stored["model"], stored["folder"], stored["layer"]] == ["tiny.onnx", "all", encoder.layer]


def test_without_an_encoder_no_embedding_is_there(tmp_path):
    write(tmp_path / "x", [3, 5])
    stored = open_features(tmp_path / "x")
    assert stored.embeddings is None
    assert stored.embedding_columns == stored.embedding_names == ()
    assert set(stored.index["embeddings"]) == {0}
    assert stored.settings["encoder_sha256"] is None


@pytest.mark.parametrize("part", ["clip", "frames"])
def test_an_embedding_that_is_not_finite_is_never_stored(tmp_path, part):
    broken = embedding(4)
    getattr(broken, part).flat[1] = np.nan
    with pytest.raises(DataError, match="x/0"), FeatureWriter(tmp_path, clips(200), NAMES, SETTINGS, FACTS) as writer:
        writer.add(features(4), broken)


@pytest.mark.parametrize("file", ["embeddings.npy", "embedding_frames.npy"])
def test_embeddings_that_do_not_fit_are_refused(tmp_path, file):
    write_embeddings(tmp_path / "x", [4, 1, 9])
    path = tmp_path / "x" / file
    np.save(path, np.load(path)[:-1])
    with pytest.raises(DataError, match=file.replace(".", r"\.")):
        open_features(tmp_path / "x")


def test_features_of_an_older_version_are_told(tmp_path):
    write(tmp_path / "x", [3, 5])
    path = tmp_path / "x/features.json"
    content = json.loads(path.read_text())
    del content["embedding"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="features of an older version"):
        open_features(tmp_path / "x")
