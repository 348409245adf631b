"""A corpus of clips: every one has a turn, those without speech are named, and the bytes never vary."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from pyannote.database.util import load_rttm

from emodag import audio, layout, params, schema
from emodag.diarization.corpus import diarize_corpus
from emodag.errors import AudioError, DataError

ROOT = Path(__file__).resolve().parents[2]


def organize(folder: Path, clips: dict[str, np.ndarray]) -> pd.DataFrame:
    """Write clips as ``organize`` would, in this order."""
    rows = []
    for number, (stem, samples) in enumerate(clips.items()):
        path = f"clips/neutral/{stem}.flac"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        audio.write_flac(folder / path, audio.to_pcm16(samples))
        rows.append(
            {
                "clip_id": f"mine/{stem}",
                "corpus": "mine",
                "path": path,
                "speaker": "mine/a",
                "sex": None,
                "age": None,
                "language": "en",
                "emotion": "neutral",
                "perceived": None,
                "native_label": "neutral",
                "intensity": None,
                "text_id": None,
                "duration": len(samples) / audio.SAMPLE_RATE,
                "source_rate": 16000,
                "md5": str(number),
                "parent_id": None,
                "augmentation": None,
            }
        )
    manifest = schema.validate(pd.DataFrame(rows, columns=list(schema.MANIFEST.columns)), schema.MANIFEST, "test")
    schema.write(manifest, schema.MANIFEST, folder / "manifest.parquet")
    return manifest


@pytest.fixture(scope="module")
def clips(phrase) -> dict[str, np.ndarray]:
    pause = np.zeros(12000, np.float32)
    square = np.sign(np.sin(np.arange(16000) / 5)).astype(np.float32)
    return {
        "z last by name": np.r_[pause, phrase, pause],
        "zwei Sätze": np.r_[phrase, pause, phrase],
        "silent": np.zeros(16000, np.float32),
        "square": square,
        "short": phrase[:300],
        "a plain one": phrase,
    }


@pytest.fixture(scope="module")
def done(clips, settings, tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("organized"), tmp_path_factory.mktemp("turns")
    manifest = organize(folder, clips)
    return manifest, diarize_corpus(manifest, folder, out, settings, jobs=1), out, folder


def test_turns_come_by_clip_in_the_manifest_s_order_then_by_start(done):
    manifest, corpus, out, _ = done
    turns = schema.read(out / "turns.parquet", schema.TURNS)
    pd.testing.assert_frame_equal(turns, corpus.turns, check_dtype=False)
    assert list(dict.fromkeys(turns["clip_id"])) == list(manifest["clip_id"])
    for _, of_clip in turns.groupby("clip_id"):
        assert of_clip["start"].is_monotonic_increasing


def test_turns_lie_within_their_clips(done):
    manifest, corpus, _, _ = done
    ends = corpus.turns["clip_id"].map(manifest.set_index("clip_id")["duration"])
    assert (corpus.turns["start"] >= 0).all()
    assert (corpus.turns["end"] <= ends + 1e-6).all()


def test_silence_around_speech_is_cut_off(done, phrase):
    _, corpus, _, _ = done
    [turn] = corpus.turns[corpus.turns["clip_id"] == "mine/z last by name"].itertuples()
    assert turn.start == pytest.approx(0.75, abs=0.15)
    assert turn.end == pytest.approx(0.75 + len(phrase) / audio.SAMPLE_RATE, abs=0.15)
    assert len(corpus.turns[corpus.turns["clip_id"] == "mine/zwei Sätze"]) == 2


def test_clips_without_speech_are_kept_whole_and_named(done, clips):
    _, corpus, out, _ = done
    assert {"mine/silent", "mine/square"} <= set(corpus.without_speech)
    assert "mine/a plain one" not in corpus.without_speech
    assert (out / "without_speech.txt").read_text(encoding="utf-8").splitlines() == corpus.without_speech
    for clip_id in corpus.without_speech:
        [turn] = corpus.turns[corpus.turns["clip_id"] == clip_id].itertuples()
        assert (turn.start, turn.end) == (0, len(clips[clip_id.removeprefix("mine/")]) / audio.SAMPLE_RATE)
        assert clip_id in corpus.summary()


def test_figures_count_speech_that_was_found(done):
    manifest, corpus, _, _ = done
    found = corpus.turns[~corpus.turns["clip_id"].isin(corpus.without_speech)]
    assert corpus.speech == pytest.approx((found["end"] - found["start"]).sum())
    assert corpus.duration == pytest.approx(manifest["duration"].sum())
    assert (corpus.clips, corpus.overlap, corpus.speakers_per_clip) == (len(manifest), 0, 1)


def test_the_rttm_holds_the_same_turns(done):
    _, corpus, out, _ = done
    rttm = load_rttm(out / "turns.rttm")
    assert sorted(map(unquote, rttm)) == sorted(set(corpus.turns["clip_id"]))
    for uri, annotation in rttm.items():
        rows = corpus.turns[corpus.turns["clip_id"] == unquote(uri)]
        turns = [(segment.start, segment.end) for segment in annotation.itersegments()]
        assert np.allclose(turns, rows[["start", "end"]], atol=1.1e-3)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_same_bytes_whatever_the_number_of_processes(done, settings, tmp_path, jobs):
    manifest, _, out, folder = done
    diarize_corpus(manifest, folder, tmp_path, settings, jobs=jobs)
    names = {path.name for path in out.iterdir()}
    assert names == {"turns.parquet", "turns.rttm", "without_speech.txt"}
    for name in names:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_a_missing_clip_is_an_error_that_names_it(done, settings, tmp_path):
    manifest, _, _, _ = done
    with pytest.raises(AudioError, match=manifest["path"][0]):
        diarize_corpus(manifest, tmp_path, tmp_path, settings, jobs=1)


def test_an_empty_manifest_is_an_error(done, settings, tmp_path):
    manifest, _, _, folder = done
    with pytest.raises(DataError, match="no clip"):
        diarize_corpus(manifest.head(0), folder, tmp_path, settings, jobs=1)


class Recorder:
    """Keeps what a stage logs."""

    def __init__(self):
        self.metrics, self.artifacts = {}, []

    def log_metrics(self, metrics):
        self.metrics |= metrics

    def log_artifact(self, path, folder=None):
        assert Path(path).is_file()
        self.artifacts.append((Path(path).name, folder))


def test_the_stage(done, clips, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "stages")
    monkeypatch.setattr(sys, "path", sys.path[:])
    spec = importlib.util.spec_from_file_location("stage_diarize", ROOT / "stages" / "diarize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    monkeypatch.chdir(tmp_path)
    organize(layout.organized("mine"), clips)
    stale = layout.turns("mine") / "stale.txt"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier run")
    run = Recorder()
    everything = params.load(ROOT / "params.yaml")
    module.diarize(everything, run, "mine")

    _, corpus, out, _ = done
    assert sorted(path.name for path in layout.turns("mine").iterdir()) == sorted(path.name for path in out.iterdir())
    assert (layout.turns("mine") / "turns.parquet").read_bytes() == (out / "turns.parquet").read_bytes()
    assert run.metrics["clips"] == len(clips)
    assert run.metrics["clips_without_speech"] == len(corpus.without_speech)
    assert run.metrics["share_of_speech"] == pytest.approx(corpus.speech / corpus.duration)
    assert all(np.isfinite(value) for value in run.metrics.values())
    assert "mine/silent" in capsys.readouterr().out
