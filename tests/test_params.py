"""params.yaml: what is accepted, and how what is not is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from emodag import params
from emodag.errors import ParamsError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def content() -> dict:
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def load(tmp_path: Path, content: object) -> params.Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return params.load(path)


def changed(content: dict, key: str, value: object) -> dict:
    """The content with the value at a dotted key replaced, or added where it is new."""
    *sections, last = key.split(".")
    place = content
    for section in sections:
        place = place[section]
    place[last] = value
    return content


def test_the_shipped_file_is_valid_and_names_every_key(content):
    loaded = params.load(ROOT / "params.yaml")
    assert loaded.flat() == params.flatten(content)
    assert loaded.with_role("train") == ["demo_en"]
    assert loaded.with_role("test") == ["demo_de"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("modle", "xgboost", ["modle: unknown key", "did you mean 'model'"]),
        ("train.protocl", "loso", ["train.protocl: unknown key", "accepted here: protocol", "did you mean 'protocol'"]),
        ("diarize.vad.onzet", 0.3, ["diarize.vad.onzet: unknown key", "onset"]),
        ("models.mlp.hiden", [3], ["models.mlp.hiden: unknown key", "hidden"]),
        ("model", "cnnn", ["model: 'cnnn' is no model", "mlp, mlp_deep, svm", "did you mean 'cnn'"]),
        ("train.protocol", "holdout", ["train: holdout: names no speaker"]),
        ("models.cnn.groups", ["mell"], ["'mell' is no group", "did you mean 'mel'"]),
        ("models.cnn.groups", ["embedding", "log_mel"], ["stands alone"]),
        ("models.ensemble.members", [{"model": "mlp", "inputs": "all"}], ["models.ensemble.members"]),
        ("model", "mpl", ["did you mean 'mlp'"]),
        ("evaluate.robustness.noise", [10.0, 10.0], ["evaluate.robustness: noise: [10.0, 10.0] names a value twice"]),
        ("corpora.demo_de", "tset", ["corpora.demo_de: 'tset' is not accepted", "'train' or 'test'"]),
        ("corpora", {"demo_de": "test"}, ["corpora: none has the role 'train'"]),
        ("corpora", {}, ["corpora: none has the role 'train' (found: no corpus)"]),
        ("corpora", {"Bad Name": "train"}, ["Bad Name", "pattern"]),
        ("seed", "soon", ["seed: 'soon'"]),
        ("train.folds", 1, ["train.folds: 1", "greater than or equal to 2"]),
        ("train.folds", "5", ["train.folds: '5'", "valid integer"]),
        ("seed", True, ["seed: True", "valid integer"]),
        ("models.svm.gamma", 0.0, ["models.svm.gamma", "greater than 0"]),
        ("featurize.trim", "yes", ["featurize.trim: 'yes'", "valid boolean"]),
        ("organize.silence_db", float("nan"), ["organize.silence_db", "finite number"]),
        ("diarize.speakers", "two", ["diarize.speakers: 'two' is not accepted", "'one' or 'auto'"]),
        ("diarize.speakers", 0, ["diarize.speakers: 0", "greater than or equal to 1"]),
        ("train", 5, ["train: 5"]),
        ("train.protocol", "kfold", ["train.protocol: 'kfold' is not accepted", "speaker_kfold"]),
        ("organize.min_duration", 90.0, ["organize: min_duration (90.0 s) must be less than max_duration"]),
        ("featurize.win_length", 4096, ["featurize: win_length (4096) must not exceed n_fft"]),
        ("diarize.vad.offset", 0.9, ["diarize.vad: offset (0.9) must not exceed onset"]),
        ("augment.chain", [], ["augment: copies are asked for, but the chain is empty"]),
        ("augment.chain", [{"kind": "telephone", "p": 0}], ["augment: copies are asked for, but every p of the chain"]),
        ("augment.chain", [{"kind": "nois", "p": 1}], ["augment.chain.0", "noise"]),
        (
            "augment.chain",
            [{"kind": "echo", "p": 1, "delay": 1}],
            ["augment.chain.0.echo.delay: unknown key", "did you mean 'min_delay'"],
        ),
        ("augment.chain", [{"kind": "reverb", "p": 1, "source": "hall"}], ["'hall'", "'room' or 'recordings'"]),
        ("featurize.frames.log_mell", True, ["featurize.frames.log_mell: unknown key", "did you mean 'log_mel'"]),
        ("featurize.frames", dict.fromkeys(params.FrameGroups.model_fields, False), ["at least one group of frames"]),
        ("featurize.f0_min", 700.0, ["featurize: f0_min (700.0 Hz) must be less than f0_max (600.0 Hz)"]),
        ("featurize.functionals.percentiles", [50, 5], ["percentiles must ascend, each once; found [50, 5]"]),
        ("featurize.clean.steps", ["gate", "gate"], ["names a step twice"]),
        ("featurize.encoder.kind", "keras", ["featurize.encoder.kind: 'keras'", "'none', 'onnx' or 'transformers'"]),
        ("adaptation.by", "corpus", ["adaptation.by: 'corpus'", "'none', 'recording' or 'speaker'"]),
        ("compute.backend", "ray", ["compute.backend: 'ray'", "'local' or 'dask'"]),
        (
            "augment.chain",
            [{"kind": "noise", "p": 1, "min_snr": 30, "max_snr": 10}],
            ["noise: min_snr (30.0) exceeds max_snr (10.0)"],
        ),
    ],
)
def test_a_fault_is_told_with_its_place_its_value_and_what_is_accepted(tmp_path, content, key, value, told):
    with pytest.raises(ParamsError) as error:
        load(tmp_path, changed(content, key, value))
    for part in told:
        assert part in str(error.value)


def test_keys_that_do_not_fit_each_other_are_told():
    loaded = params.load(ROOT / "params.yaml")
    for changes, told in (
        ({"seed": 2**32 - 1, "train.seeds": 2}, "seed: 4294967295 and the 1 after it, as train.seeds asks"),
        (
            {"model": "cnn2d", "models.cnn2d.filters": [4] * 7},
            "models.cnn2d.filters: each of 7 blocks halves the bands, and featurize.n_mels has 64; accepted: at most 6",
        ),
    ):
        with pytest.raises(ParamsError, match=re.escape(told)):
            loaded.changed(changes)
    assert loaded.changed({"seed": 2**32 - 1}).seed == 2**32 - 1
    assert loaded.changed({"model": "cnn2d", "models.cnn2d.filters": [4] * 6}).model == "cnn2d"


@pytest.mark.parametrize(
    ("written", "value"), [("1e-05", 1e-5), ("1.5E3", 1500.0), ("-2e+1", -20.0), (".5e0", 0.5), ("1_0e2x", "1_0e2x")]
)
def test_numbers_are_read_as_yaml_1_2_writes_them(written, value):
    assert params.parse(f"key: {written}") == {"key": value}
    assert params.parse(f"key: '{written}'") == {"key": written}


def test_a_small_number_that_dvc_writes_is_accepted(tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    decay = f"weight_decay: {params.load(ROOT / 'params.yaml').train.neural.weight_decay}"
    assert decay in text
    (tmp_path / "params.yaml").write_text(text.replace(decay, "weight_decay: 1e-05"), encoding="utf-8")
    assert params.load(tmp_path / "params.yaml").train.neural.weight_decay == 1e-5


@pytest.mark.parametrize(("model", "is_accepted"), [("mlp", False), ("cnn", True)])
def test_adaptation_by_recording_needs_functionals(tmp_path, content, model, is_accepted):
    content["model"] = model
    content["adaptation"]["by"] = "recording"
    content["train"]["inputs"] = "embedding"
    if is_accepted:
        assert load(tmp_path, content).adaptation.by == "recording"
        return
    with pytest.raises(ParamsError, match=r"adaptation\.by: recording .* train\.inputs: embedding mlp sees none"):
        load(tmp_path, content)


def test_a_missing_key_is_named(tmp_path, content):
    del content["train"]["folds"]
    with pytest.raises(ParamsError, match=r"train\.folds: this key is missing"):
        load(tmp_path, content)


def test_every_fault_is_told_at_once(tmp_path, content):
    content["seed"] = -1
    content["tracking"]["experimnt"] = "x"
    with pytest.raises(ParamsError) as error:
        load(tmp_path, content)
    assert "seed: -1" in str(error.value)
    assert "tracking.experimnt: unknown key" in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", ""])
def test_what_is_no_mapping_is_told(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=r"params\.yaml: (not YAML|expected sections)"):
        params.load(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_a_model_must_find_the_frames_that_it_sees(tmp_path, content):
    content["model"] = "cnn"
    content["models"]["cnn"]["groups"] = ["chroma"]
    assert load(tmp_path, content).frame_groups("cnn") == ("chroma",)
    content["featurize"]["frames"]["chroma"] = False
    with pytest.raises(ParamsError, match=r"models\.cnn sees chroma, and featurize\.frames\.chroma is false"):
        load(tmp_path, content)
    content["models"]["cnn"]["groups"] = ["embedding"]
    with pytest.raises(ParamsError, match=r"models\.cnn\.groups: embedding needs an encoder"):
        load(tmp_path, content)
    content["featurize"]["encoder"]["kind"] = "onnx"
    assert load(tmp_path, content).frame_groups("cnn") == ("embedding",)


def test_members_of_an_ensemble_must_find_what_they_see(tmp_path, content):
    content["model"] = "ensemble"
    content["models"]["ensemble"]["members"] = [{"model": name, "inputs": "all"} for name in ("mlp", "cnn2d")]
    assert load(tmp_path, content).members() == ["mlp", "cnn2d"]
    content["featurize"]["frames"]["mfcc"] = False
    with pytest.raises(ParamsError, match="cnn2d sees mfcc"):
        load(tmp_path, content)
