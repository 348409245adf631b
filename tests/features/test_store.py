"""What is written is read back; what does not fit together is refused; memory stays flat."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from emodag import params
from emodag.errors import DataError
from emodag.features import ClipFeatures, FeatureNames, names, open_features
from emodag.features.store import FeatureWriter

SETTINGS = params.load(Path(__file__).resolve().parents[2] / "params.yaml").featurize
NAMES = FeatureNames({"a": ("a_0", "a_1"), "b": ("b",)}, ("a_0_mean", "b_mean"))


def clip(number: int) -> dict:
    return {
        "clip_id": f"x/{number}", "corpus": "x", "speaker": "x/s", "sex": None, "language": "en", "emotion": "happy",
        "native_label": "h", "duration": 1.0, "md5": f"{number:032x}", "parent_id": None,
    }  # fmt: skip


def features(frames: int, seed: int = 0) -> ClipFeatures:
    rng = np.random.default_rng(seed)
    return ClipFeatures(rng.standard_normal((frames, 3)).astype(np.float32), rng.standard_normal(2).astype(np.float32))


def write(folder: Path, counts: list[int]) -> list[ClipFeatures]:
    folder.mkdir()
    written = [features(count, seed) for seed, count in enumerate(counts)]
    with FeatureWriter(folder, NAMES, SETTINGS) as writer:
        for number, each in enumerate(written):
            writer.add(clip(number), each)
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
    with pytest.raises(DataError, match="x/0"), FeatureWriter(tmp_path, NAMES, SETTINGS) as writer:
        writer.add(clip(0), broken)
    with pytest.raises(DataError):
        open_features(tmp_path)


def test_columns_that_no_name_fits_are_refused(tmp_path):
    with pytest.raises(DataError, match="x/0"), FeatureWriter(tmp_path, NAMES, SETTINGS) as writer:
        writer.add(clip(0), ClipFeatures(np.zeros((4, 5), np.float32), np.zeros(2, np.float32)))


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
    with FeatureWriter(tmp_path, NAMES, SETTINGS) as writer:
        tracemalloc.start()
        for number in range(200):
            writer.add(clip(number), one)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "frames.npy").stat().st_size > 200 * 100_000 * 12
    assert peak < 5e6


def test_names_of_the_usual_features_are_distinct_and_cover_all_columns():
    found = names(SETTINGS)
    assert len(set(found.columns)) == len(found.columns) == SETTINGS.n_mels + SETTINGS.n_mfcc + 12 + 4
    assert len(set(found.functionals)) == len(found.functionals)
    assert {"log_mel_00_mean", "mfcc_19_std", "chroma_11_slope", "rms_skewness"} <= set(found.functionals)
