"""Features of a corpus and its copies: cut to speech, in order, the same bytes however many processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import audio, params, schema
from emodag.errors import AudioError
from emodag.features import extract, featurize_corpus, open_features
from emodag.features.corpus import Source, read_source

RATE = audio.SAMPLE_RATE
SETTINGS = params.load(Path(__file__).resolve().parents[2] / "params.yaml").featurize
SPEECH = {0: [(0.2, 0.5), (0.6, 0.9)], 1: [(0.0, 1.0)], 2: [], 3: [(0.25, 0.75)], 4: [(0.9, 1.5)]}


@pytest.fixture
def source(tmp_path) -> Source:
    """Five clips of one second, speech in them as ``SPEECH`` says; the last turn ends after its clip."""
    folder = tmp_path / "organized"
    rows, turns = [], []
    for number, spans in SPEECH.items():
        path = f"clips/sad/{number}.flac"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pcm = audio.to_pcm16(0.1 * np.random.default_rng(number).standard_normal(RATE))
        audio.write_flac(folder / path, pcm)
        rows.append(
            {
                "clip_id": f"x/{number}", "corpus": "x", "path": path, "speaker": "x/a", "sex": "male",
                "language": "en", "emotion": "sad", "native_label": "s", "intensity": None, "text_id": None,
                "duration": 1.0, "source_rate": RATE, "md5": audio.md5(pcm), "parent_id": None, "augmentation": None,
            }
        )  # fmt: skip
        turns += [(f"x/{number}", start, end, "x/a", False) for start, end in spans]
    schema.write(pd.DataFrame(rows), schema.MANIFEST, folder / "manifest.parquet")
    schema.write(pd.DataFrame(turns, columns=list(schema.TURNS.columns)), schema.TURNS, folder / "turns.parquet")
    return read_source(folder, folder)


def made(sources, out: Path, *, jobs: int = 1, **changes) -> dict[str, bytes]:
    out.mkdir()
    featurize_corpus(sources, out, SETTINGS.model_copy(update=changes), jobs=jobs)
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("trim", [True, False])
def test_clips_are_cut_from_first_to_last_speech_where_asked(source, tmp_path, trim):
    made([source], tmp_path / "out", trim=trim)
    stored = open_features(tmp_path / "out")
    assert list(stored.index["clip_id"]) == list(source.manifest["clip_id"])
    for number, spans in SPEECH.items():
        samples = audio.load(source.folder / f"clips/sad/{number}.flac")
        if trim and spans:
            samples = samples[int(spans[0][0] * RATE) : int(spans[-1][1] * RATE)]
        expected = extract(samples, SETTINGS)
        np.testing.assert_array_equal(stored.frames_of(number), expected.frames)
        np.testing.assert_array_equal(stored.functionals[number], expected.functionals)


def test_copies_follow_the_originals(source, tmp_path):
    copies = source.manifest.head(2).assign(
        clip_id=["x/0~aug1", "x/1~aug1"], parent_id=["x/0", "x/1"], augmentation="[]"
    )
    moved = pd.DataFrame([("x/0~aug1", 0.1, 0.4, "x/a", False)], columns=list(schema.TURNS.columns))
    made([source, Source(source.folder, copies, moved)], tmp_path / "out")
    index = open_features(tmp_path / "out").index
    assert list(index["clip_id"]) == [*source.manifest["clip_id"], "x/0~aug1", "x/1~aug1"]
    assert list(index["parent_id"][-2:]) == ["x/0", "x/1"]
    assert index["frames"].iloc[-2] == 1 + int(0.3 * RATE) // SETTINGS.hop_length


def test_bytes_do_not_depend_on_the_number_of_processes(source, tmp_path):
    assert made([source], tmp_path / "one") == made([source], tmp_path / "two", jobs=2)


def test_a_missing_clip_ends_the_stage_with_its_name(source, tmp_path):
    (source.folder / "clips/sad/3.flac").unlink()
    with pytest.raises(AudioError, match=r"3\.flac"):
        made([source], tmp_path / "out")
