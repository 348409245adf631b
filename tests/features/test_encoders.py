"""Encoders: the front end, batches that change nothing, odd lengths, and clear words about what is missing."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emodag import audio, params
from emodag.errors import ParamsError
from emodag.features import encoders
from emodag.features.encoders import onnx_encoder
from emodag.features.encoders.base import batches, cut

ROOT = Path(__file__).resolve().parents[2]
NONE = params.load(ROOT / "params.yaml").featurize.encoder
BYOL = "encoders/byol_s_512.onnx"
RATE = audio.SAMPLE_RATE
DIMS, STRIDE = 6, 8


def onnx_settings(path: Path, **changes) -> params.Encoder:
    return NONE.model_copy(update={"kind": "onnx", "model": path.name, "folder": str(path.parent), **changes})


def noise(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(length)).astype(np.float32) for length in lengths]


def write_graph(path: Path, *, bands: int = 64, source: str = "log_mel", stride: int = STRIDE) -> Path:
    """A graph of one convolution over time: [batch, bands, time] to [batch, time // stride, DIMS]."""
    weights = np.random.default_rng(1).standard_normal((DIMS, bands, stride)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", [source, "weights"], ["steps"], kernel_shape=[stride], strides=[stride]),
        helper.make_node("Transpose", ["steps"], ["frames"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", bands, "time"])],
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", "frames", DIMS])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Path:
    return write_graph(tmp_path_factory.mktemp("encoders") / "tiny.onnx")


def opened(settings: params.Encoder):
    return encoders.open_encoder(encoders.describe(settings), settings)


def assert_batches_change_nothing(encoder, clips: list[np.ndarray], tolerance: float = 1e-5) -> None:
    together = encoder.embed(clips)
    for clip, embedding in zip(clips, together, strict=True):
        alone = encoder.embed([clip])[0]
        assert alone.frames.shape == embedding.frames.shape
        scale = np.abs(alone.frames).max()
        np.testing.assert_allclose(embedding.frames, alone.frames, atol=tolerance * scale)
        np.testing.assert_allclose(embedding.clip, alone.clip, atol=tolerance * scale)


def test_without_an_encoder_nothing_of_it_is_imported(python):
    script = (
        "import sys; from emodag import params; from emodag.features import encoders, featurize_corpus;"
        f"settings = params.load({str(ROOT / 'params.yaml')!r}).featurize.encoder;"
        "assert encoders.describe(settings) is None;"
        "print(sorted({'onnxruntime', 'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = python(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("pads", [True, False])
def test_batches_hold_every_item_once_and_stay_within_the_limit(pads):
    lengths = np.random.default_rng(0).choice([3, 5, 5, 8, 20, 31], 60).tolist()
    found = list(batches(lengths, 30, pads))
    assert sorted(position for batch in found for position in batch) == list(range(60))
    for batch in found:
        longest = max(lengths[position] for position in batch)
        assert len(batch) * longest <= 30 or len(batch) == 1
        assert pads or len({lengths[position] for position in batch}) == 1
    assert len(found) < 60


@pytest.mark.parametrize(("length", "expected"), [(1, [4]), (4, [4]), (10, [10]), (12, [10]), (25, [10, 10, 5])])
def test_pieces_are_long_enough_and_follow_each_other(length, expected):
    values = np.arange(1, length + 1, dtype=np.float32)
    parts = cut(values, longest=10, shortest=4, silence=-1)
    assert [len(part) for part in parts] == expected
    joined = np.concatenate(parts)
    np.testing.assert_array_equal(joined[:length], values[: len(joined)])
    assert (joined[length:] == -1).all()


def test_the_front_end_is_librosas_log_mel(shared):
    import librosa

    front_end = NONE.front_end
    for path in ("ravdess/Actor_07/03-01-06-01-02-01-07.flac", "emodb/03a01Fa.flac"):
        samples = audio.read(shared / "corpora" / path).samples
        mel = librosa.feature.melspectrogram(
            y=samples,
            sr=RATE,
            n_fft=front_end.n_fft,
            win_length=front_end.win_length,
            hop_length=front_end.hop_length,
            n_mels=front_end.n_mels,
            fmin=front_end.fmin,
            fmax=front_end.fmax,
            pad_mode="constant",
        )
        expected = (np.log(mel.T + onnx_encoder.EPSILON) - front_end.mean) / front_end.std
        np.testing.assert_allclose(onnx_encoder.log_mel(samples, front_end), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean_std", lambda frames: np.concatenate([frames.mean(axis=0), frames.std(axis=0)])),
        ("max_plus_mean", lambda frames: frames.max(axis=0) + frames.mean(axis=0)),
        ("mean", lambda frames: frames.mean(axis=0)),
    ],
)
def test_the_embedding_of_a_clip_is_pooled_from_its_frames(graph, pooling, expected):
    settings = onnx_settings(graph, pooling=pooling)
    (clip,) = noise(RATE)
    embedding = opened(settings).embed([clip])[0]
    np.testing.assert_allclose(embedding.clip, expected(embedding.frames), rtol=1e-6)
    names = encoders.describe(settings).names(pooling)
    assert len(names) == len(set(names)) == len(embedding.clip)
    assert names[0] == ("embedding_0000_mean" if pooling == "mean_std" else f"embedding_0000_{pooling}")


def test_the_frames_are_what_the_graph_makes_of_the_log_mel(graph):
    encoder = opened(onnx_settings(graph))
    (clip,) = noise(RATE)
    embedding = encoder.embed([clip])[0]
    assert embedding.frames.dtype == embedding.clip.dtype == np.float32
    assert embedding.frames.shape == (101 // STRIDE, DIMS)
    weights = numpy_helper.to_array(onnx.load(graph).graph.initializer[0])
    steps = onnx_encoder.log_mel(clip, NONE.front_end)[: 12 * STRIDE].reshape(12, STRIDE, 64)
    np.testing.assert_allclose(embedding.frames, np.einsum("fsb,dbs->fd", steps, weights), rtol=1e-3, atol=1e-3)


def test_batches_of_a_graph_change_nothing(graph):
    clips = noise(RATE, 9000, RATE, 1, RATE + 50, 100, RATE)
    assert_batches_change_nothing(opened(onnx_settings(graph)), clips)


@pytest.mark.parametrize("length", [1, 159, 160, 1119])
def test_a_clip_too_short_for_a_frame_is_followed_by_silence(graph, length):
    encoder = opened(onnx_settings(graph))
    (clip,) = noise(length)
    padded = encoder.pieces(clip)[0]
    assert padded.shape == (STRIDE, 64)
    silence = (np.log(onnx_encoder.EPSILON) - NONE.front_end.mean) / NONE.front_end.std
    np.testing.assert_allclose(padded[1 + length // 160 :], silence, rtol=1e-6)
    embedding = encoder.embed([clip])[0]
    assert embedding.frames.shape == (1, DIMS)
    assert np.isfinite(embedding.clip).all()


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_silence_and_full_scale_stay_finite(graph, level):
    embedding = opened(onnx_settings(graph)).embed([np.full(RATE, level, np.float32)])[0]
    assert np.isfinite(embedding.frames).all()


def test_a_long_recording_is_encoded_in_pieces_that_leave_no_gap(graph):
    """This graph looks at no neighbours, so pieces and the whole agree."""
    encoder = opened(onnx_settings(graph))
    (clip,) = noise(45 * RATE)
    pieces = encoder.pieces(clip)
    assert [len(piece) for piece in pieces] == [2000, 2000, 501]
    found = encoder.embed([clip])[0].frames
    whole = encoder.encode([np.concatenate(pieces)])[0]
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-4)


def test_a_batch_is_as_long_as_the_settings_allow(graph, monkeypatch):
    encoder = opened(onnx_settings(graph, batch_seconds=3.1))
    sizes, encode = [], encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda pieces: sizes.append(len(pieces)) or encode(pieces))
    encoder.embed(noise(*[RATE] * 7))
    assert sizes == [3, 3, 1]


def test_the_digest_is_the_files(graph):
    facts = encoders.describe(onnx_settings(graph))
    assert facts.sha256 == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert facts.columns == tuple(f"embedding_{number:04d}" for number in range(DIMS))


def test_a_path_of_its_own_needs_no_folder(graph):
    settings = NONE.model_copy(update={"kind": "onnx", "model": str(graph), "folder": "absent"})
    assert encoders.describe(settings).path == graph


def test_a_missing_file_is_named_with_what_is_accepted(tmp_path):
    with pytest.raises(ParamsError, match=r"absent\.onnx.*accepted: the name of an ONNX file in featurize\.encoder"):
        encoders.describe(onnx_settings(tmp_path / "absent.onnx"))


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ParamsError, match=r"text\.onnx is no ONNX model"):
        encoders.describe(onnx_settings(tmp_path / "text.onnx"))


def test_a_graph_with_another_input_is_named(tmp_path):
    path = write_graph(tmp_path / "other.onnx", source="waveform")
    with pytest.raises(ParamsError, match=r"\['waveform'\] to \['frames'\]; accepted: log_mel \[batch, 64, time\]"):
        encoders.describe(onnx_settings(path))


def test_a_graph_for_other_bands_is_named(tmp_path):
    path = write_graph(tmp_path / "bands.onnx", bands=40)
    with pytest.raises(ParamsError, match=r"does not fit the front end \(n_mels 64\)"):
        encoders.describe(onnx_settings(path))


def test_a_graph_whose_frames_do_not_divide_time_names_the_stride(tmp_path):
    with pytest.raises(ParamsError, match=r"makes 341 frames of 1024 steps; accepted: .*a stride that divides 1024"):
        encoders.describe(onnx_settings(write_graph(tmp_path / "thirds.onnx", stride=3)))


def test_byol_s_embeds_real_speech_alike_in_any_batch(shared):
    if not (shared / BYOL).exists():
        pytest.skip(f"no {BYOL} in {shared}")
    settings = onnx_settings(shared / BYOL)
    facts = encoders.describe(settings)
    assert facts.dims == 512
    assert facts.sha256 == hashlib.sha256((shared / BYOL).read_bytes()).hexdigest()
    paths = sorted((shared / "corpora/ravdess/Actor_02").glob("*.flac"))[:6]
    clips = [audio.read(path).samples for path in paths]
    clips += [clips[0][:32000], clips[1][:32000], clips[2][:3], np.zeros(5000, np.float32)]
    encoder = opened(settings)
    assert [len(each.frames) for each in encoder.embed(clips)] == [max(1, (1 + len(c) // 160) // 8) for c in clips]
    assert_batches_change_nothing(encoder, clips)


# transformers: tiny random models, saved by the tests


def small(**changes) -> dict:
    return {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "conv_dim": [8, 8, 8, 8], "conv_kernel": [10, 4, 4, 4], "conv_stride": [5, 4, 4, 4],
        "num_feat_extract_layers": 4, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, **changes,
    }  # fmt: skip


def save_model(kind: str, folder: Path) -> Path:
    """A model with random weights, as transformers saves one."""
    from emodag.features.encoders.transformers_encoder import _transformers

    transformers = _transformers()
    import torch

    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    match kind:
        case "wav2vec2":
            config = transformers.Wav2Vec2Config(**small(feat_extract_norm="layer", do_stable_layer_norm=True))
        case "hubert":
            config = transformers.HubertConfig(**small(feat_extract_norm="group"))
        case "wavlm":
            config = transformers.WavLMConfig(**small(feat_extract_norm="layer"))
        case "whisper":
            config = transformers.WhisperConfig(
                vocab_size=50, d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
                decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=80, pad_token_id=0,
                bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
            )  # fmt: skip
    model = transformers.AutoModel.from_config(config)
    torch.random.set_rng_state(generator_state)
    extractor = (
        transformers.WhisperFeatureExtractor()
        if kind == "whisper"
        else transformers.Wav2Vec2FeatureExtractor(return_attention_mask=config.feat_extract_norm == "layer")
    )
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """``models(kind)``: the folder of a tiny model of a kind."""
    pytest.importorskip("transformers", reason="needs `pip install -r requirements-options.txt`")
    place, made = tmp_path_factory.mktemp("models"), {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_model(kind, place / kind)
        return made[kind]

    return get


def transformers_settings(folder: Path, **changes) -> params.Encoder:
    return NONE.model_copy(
        update={"kind": "transformers", "model": folder.name, "folder": str(folder.parent), **changes}
    )


KINDS = ["wav2vec2", "hubert", "wavlm", "whisper"]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_embedding(models, kind):
    encoder = opened(transformers_settings(models(kind)))
    clips = noise(RATE, 9000, 1, RATE, 12345)
    assert_batches_change_nothing(encoder, clips, tolerance=1e-4)
    frames = [len(embedding.frames) for embedding in encoder.embed(clips)]
    assert frames[0] == pytest.approx(50, abs=2)
    assert frames[2] == 1


def test_models_that_would_hear_padding_get_batches_of_one_length(models):
    assert opened(transformers_settings(models("wav2vec2"))).pads
    assert not opened(transformers_settings(models("hubert"))).pads


def test_a_long_recording_is_read_in_pieces_of_half_a_minute(models):
    encoder = opened(transformers_settings(models("whisper")))
    (clip,) = noise(31 * RATE)
    assert [len(piece) for piece in encoder.pieces(clip)] == [30 * RATE, RATE]
    assert len(encoder.embed([clip])[0].frames) == 31 * 50


def test_layers_are_the_models_own_and_their_average(models):
    import torch
    from transformers import AutoModel

    folder = models("hubert")
    (clip,) = noise(RATE)
    values = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
    with torch.inference_mode():
        model = AutoModel.from_pretrained(folder).eval()
        states = [s[0].numpy() for s in model(torch.tensor(values)[None], output_hidden_states=True).hidden_states]
    assert len(states) == 3
    for layer, expected in [(0, states[0]), (1, states[1]), (-1, states[2]), ("average", np.mean(states, axis=0))]:
        embedding = opened(transformers_settings(folder, layer=layer)).embed([clip])[0]
        np.testing.assert_allclose(embedding.frames, expected, atol=1e-4)
        np.testing.assert_allclose(embedding.clip[: expected.shape[1]], expected.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_named(models, layer):
    with pytest.raises(ParamsError, match=rf"layer: {layer} is no layer.*to 2, or counted from the end"):
        encoders.describe(transformers_settings(models("wavlm"), layer=layer))


def test_the_digest_covers_weights_and_configuration(models, tmp_path):
    folder = save_model("whisper", tmp_path / "whisper")
    first = encoders.describe(transformers_settings(folder)).sha256
    assert first == encoders.describe(transformers_settings(models("whisper"))).sha256
    config = folder / "preprocessor_config.json"
    config.write_text(config.read_text() + "\n")
    assert encoders.describe(transformers_settings(folder)).sha256 != first


def test_weights_in_a_pickle_are_refused(models, tmp_path):
    folder = save_model("hubert", tmp_path / "hubert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ParamsError, match=r"holds no \*\.safetensors.*pickles are not read"):
        encoders.describe(transformers_settings(folder))


@pytest.mark.parametrize("kind", ["hubert", "custom"])
@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_a_model_with_code_of_its_own_is_refused_unasked(models, tmp_path, monkeypatch, kind, file):
    folder, ran = save_model("hubert", tmp_path / "hubert"), tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: ...\n")
    classes = {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoFeatureExtractor": "own.Own"}
    for name in ("config.json", "preprocessor_config.json"):
        content = json.loads((folder / name).read_text())
        changes = {"auto_map": classes} if name == file else {}
        if kind == "custom":
            changes |= {"model_type": "own"} if name == "config.json" else {"feature_extractor_type": "Own"}
        (folder / name).write_text(json.dumps(content | changes))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    settings = transformers_settings(folder)
    with pytest.raises(ParamsError, match=rf"{file} asks for code that comes with the model \(auto_map\)"):
        encoders.describe(settings)
    if kind == "custom" and file == "config.json":
        # The second lock, of transformers itself.
        with pytest.raises(ParamsError, match="cannot be loaded"):
            encoders.open_encoder(encoders.EncoderFacts(folder, 16, ""), settings)
    assert not ran.exists()


def test_weights_of_another_model_are_refused_not_drawn_at_random(models, tmp_path):
    folder = save_model("hubert", tmp_path / "hubert")
    (folder / "model.safetensors").write_bytes((models("whisper") / "model.safetensors").read_bytes())
    with pytest.raises(ParamsError, match=r"lacks \d+ weights of its hubert encoder, which would be random"):
        opened(transformers_settings(folder))


def test_a_model_of_another_kind_is_named(models, tmp_path):
    folder = save_model("hubert", tmp_path / "other")
    from transformers import BertConfig

    BertConfig().save_pretrained(folder)
    with pytest.raises(ParamsError, match="is of type 'bert'; accepted: models that read the waveform"):
        encoders.describe(transformers_settings(folder))


def test_a_name_that_cannot_be_had_is_named(models, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ParamsError, match=r"'nobody/nothing' is no folder in .*cannot be had from the hub"):
        encoders.describe(transformers_settings(tmp_path).model_copy(update={"model": "nobody/nothing"}))


def test_a_missing_package_is_told_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ParamsError, match=r"pip install -r requirements-options\.txt"):
        encoders.describe(transformers_settings(tmp_path))
