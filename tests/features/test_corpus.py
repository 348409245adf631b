"""Features of a corpus and its copies: cut to speech, in order, the same bytes however many processes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from emodag import audio, params, schema
from emodag.cleaning import clean
from emodag.errors import AudioError, ParamsError
from emodag.features import encoders, extract, featurize_corpus, open_features
from emodag.features.corpus import Clip, Source, chunks, read_source

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
                "age": 40, "language": "en", "emotion": "sad", "perceived": None, "native_label": "s",
                "intensity": None, "text_id": None,
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
            first, last = int(spans[0][0] * RATE), int(spans[-1][1] * RATE)
            samples = samples[first:last]
            spans = [(start - first / RATE, min(end, 1.0) - first / RATE) for start, end in spans]
        expected = extract(samples, SETTINGS, spans)
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


@pytest.fixture
def encoder(tmp_path) -> dict:
    """The settings of a graph whose frames are means over 8 steps of each mel band."""
    kernel = np.zeros((64, 64, 8), np.float32)
    kernel[np.arange(64), np.arange(64)] = 1 / 8
    nodes = [
        helper.make_node("Conv", ["log_mel", "kernel"], ["steps"], kernel_shape=[8], strides=[8]),
        helper.make_node("Transpose", ["steps"], ["frames"], perm=[0, 2, 1]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])]
        for name, shape in (("log_mel", [64, "time"]), ("frames", ["time", 64]))
    )
    graph = helper.make_graph(nodes, "bands", inputs, outputs, [numpy_helper.from_array(kernel, "kernel")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "b.onnx")
    changes = {"kind": "onnx", "model": "b.onnx", "folder": str(tmp_path)}
    return {"encoder": SETTINGS.encoder.model_copy(update=changes)}


@pytest.mark.parametrize("trim", [True, False])
def test_embeddings_are_stored_beside_the_features(source, tmp_path, encoder, trim):
    plain = made([source], tmp_path / "plain", trim=trim)
    beside = made([source], tmp_path / "out", trim=trim, **encoder)
    for name in ("frames.npy", "functionals.npy"):
        assert beside[name] == plain[name]
    assert set(beside) - set(plain) == {"embeddings.npy", "embedding_frames.npy"}
    stored = open_features(tmp_path / "out")
    opened = encoders.open_encoder(encoders.describe(encoder["encoder"]), encoder["encoder"])
    for number, spans in SPEECH.items():
        samples = audio.load(source.folder / f"clips/sad/{number}.flac")
        if trim and spans:
            samples = samples[int(spans[0][0] * RATE) : int(spans[-1][1] * RATE)]
        (expected,) = opened.embed([clean(samples, SETTINGS.clean)])
        np.testing.assert_allclose(stored.embedding_frames_of(number), expected.frames, atol=1e-5)
        np.testing.assert_allclose(stored.embeddings[number], expected.clip, atol=1e-5)
    assert stored.embedding_columns == tuple(f"embedding_{number:04d}" for number in range(64))
    assert stored.embeddings.shape[1] == len(stored.embedding_names) == 2 * 64
    digest = hashlib.sha256((tmp_path / "b.onnx").read_bytes()).hexdigest()
    assert stored.settings["encoder_sha256"] == digest


def test_embeddings_are_of_the_cleaned_clip(source, tmp_path, encoder):
    gate = SETTINGS.clean.model_copy(update={"steps": ["gate"], "gate_db": 1.0, "gate_window": 0.001})
    made([source], tmp_path / "plain", **encoder)
    made([source], tmp_path / "clean", clean=gate, **encoder)
    plain, cleaned = (open_features(tmp_path / name).embedding_frames.mean() for name in ("plain", "clean"))
    assert cleaned < plain - 0.5


def test_bytes_with_an_encoder_do_not_depend_on_the_number_of_processes(source, tmp_path, encoder):
    many = Source(source.folder, pd.concat([source.manifest] * 4, ignore_index=True), source.turns)
    many.manifest["clip_id"] = [f"x/{number}" for number in range(20)]
    many.manifest["path"] = np.roll(many.manifest["path"], 2)
    short = {"encoder": encoder["encoder"].model_copy(update={"batch_seconds": 1.0})}
    one, two = (made([many], tmp_path / str(jobs), jobs=jobs, **short) for jobs in (1, 2))
    assert one == two


def test_chunks_are_consecutive_clips_up_to_a_length():
    clips = [Clip(str(number), duration, None, []) for number, duration in enumerate([3, 3, 3, 9, 1, 1, 1, 2, 5])]
    found = chunks(clips, 6)
    assert [clip for chunk in found for clip in chunk] == clips
    assert [[clip.duration for clip in chunk] for chunk in found] == [[3, 3], [3], [9], [1, 1, 1, 2], [5]]
    assert [len(chunk) for chunk in chunks(clips, 0)] == [1] * 9


def test_a_missing_encoder_ends_the_stage_before_any_clip(source, tmp_path, encoder):
    (tmp_path / "b.onnx").unlink()
    with pytest.raises(ParamsError, match=r"b\.onnx"):
        made([source], tmp_path / "out", **encoder)
    assert not list((tmp_path / "out").iterdir())


def test_a_missing_clip_ends_the_stage_with_its_name(source, tmp_path):
    (source.folder / "clips/sad/3.flac").unlink()
    with pytest.raises(AudioError, match=r"3\.flac"):
        made([source], tmp_path / "out")
