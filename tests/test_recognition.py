"""Sound through a shipped model: the same probabilities as the pipeline has for the same clip."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from emodag import audio, bundle
from emodag.adaptation import groups_of
from emodag.errors import AudioError, DataError, ParamsError
from emodag.files import read_json
from emodag.recognition import UNKNOWN, Recogniser, read

SHIPPED = {
    "functionals": ("mlp", {"train__inputs": "functionals"}),
    "functionals and embedding": ("logistic", {}),
    "embedding by speaker": ("logistic", {"train__inputs": "embedding", "adaptation__by": "speaker"}),
    "functionals by recording": ("logistic", {"train__inputs": "functionals", "adaptation__by": "recording"}),
    "frames": ("cnn", {}),
    "frames of the encoder": ("cnn", {"models__cnn__groups": ["embedding"]}),
}


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request, spoken_corpus):
    """The folder of a bundle, and the data that its model was trained on."""
    model, changes = SHIPPED[request.param]
    changed = spoken_corpus.params.changed(
        {"model": model} | {key.replace("__", "."): value for key, value in changes.items()}
    )
    return spoken_corpus.ship(model, **changes), spoken_corpus.data(changed)


def encoder(spoken_corpus):
    return spoken_corpus.params.featurize.encoder


def test_probabilities_are_those_of_the_pipeline(shipped, spoken_corpus):
    folder, data = shipped
    model = bundle.load(folder)
    speakers = data.index["speaker"].tolist()
    found = Recogniser(model, encoder(spoken_corpus))([read(path) for path in spoken_corpus.clips], speakers)
    expected = model.predict_proba(data.speech, groups_of(data.index, model.adapter.settings))
    np.testing.assert_allclose(found.raw, expected, atol=1e-6)
    assert found.raw.dtype == np.float32
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-9)


@pytest.fixture(scope="module")
def plain(spoken_corpus):
    """A bundle that knows neither encoder nor frames."""
    return bundle.load(spoken_corpus.ship("logistic", train__inputs="functionals", models__logistic__C=0.1))


def test_features_are_bit_by_bit_those_of_the_pipeline(plain, spoken_corpus):
    data = spoken_corpus.data(spoken_corpus.params.changed({"model": "logistic", "train.inputs": "functionals"}))
    recogniser = Recogniser(plain)
    spoken = [recogniser.spoken(read(path)) for path in spoken_corpus.clips[:6]]
    np.testing.assert_array_equal(recogniser.speech(spoken).features, data.speech.features[:6])


def test_probabilities_are_calibrated_by_the_bundles_temperature(plain, spoken_corpus):
    samples = [read(path) for path in spoken_corpus.clips[:4]]
    found = Recogniser(replace(plain, temperature=2.0))(samples)
    expected = np.sqrt(found.raw.astype(float))
    np.testing.assert_allclose(found.probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-9)


def test_what_the_model_is_not_sure_of_is_unknown(plain, spoken_corpus):
    samples = [read(path) for path in spoken_corpus.clips[:12]]
    surest = Recogniser(plain)(samples).probabilities.max(axis=1)
    limit = float(np.median(surest))
    emotions = Recogniser(replace(plain, unknown=limit))(samples).emotions
    assert [emotion == UNKNOWN for emotion in emotions] == (surest < limit).tolist()
    assert 0 < emotions.count(UNKNOWN) < len(emotions)
    assert {emotion for emotion in emotions if emotion != UNKNOWN} <= set(plain.classes)


def test_silence_around_speech_changes_little_and_speech_is_found_behind_it(plain, spoken_corpus):
    samples = read(spoken_corpus.clips[0])
    silence = np.zeros(audio.SAMPLE_RATE, np.float32)
    recogniser = Recogniser(plain)
    alone, within = recogniser.spoken(samples), recogniser.spoken(np.concatenate([silence, samples, silence]))
    assert within.start == pytest.approx(1 + alone.start, abs=0.1)
    assert len(within.samples) == pytest.approx(len(alone.samples), abs=0.3 * audio.SAMPLE_RATE)
    assert len(within.samples) < len(samples) + len(silence)


def test_a_recording_without_speech_is_kept_whole(plain):
    samples = np.zeros(8000, np.float32)
    spoken = Recogniser(plain).spoken(samples)
    assert len(spoken.samples) == 8000
    assert spoken.turns == [(0.0, 0.5)]
    assert np.isfinite(Recogniser(plain)([samples]).probabilities).all()


def test_files_of_another_rate_and_format_are_read_as_the_pipeline_keeps_them(plain, spoken_corpus, tmp_path):
    samples = read(spoken_corpus.clips[0])
    soundfile.write(tmp_path / "stereo.wav", np.stack([samples, samples], axis=1), audio.SAMPLE_RATE, subtype="PCM_16")
    np.testing.assert_array_equal(read(tmp_path / "stereo.wav"), samples)
    soundfile.write(tmp_path / "fast.wav", audio.resample(samples, 16000, 44100), 44100, subtype="FLOAT")
    found = read(tmp_path / "fast.wav")
    assert found.dtype == np.float32
    assert abs(len(found) - len(samples)) <= 1
    np.testing.assert_array_equal(found * 32768, np.rint(found * 32768))


def test_a_file_that_leaves_no_sample_is_an_error(tmp_path):
    soundfile.write(tmp_path / "click.wav", np.ones(1), 192000)
    with pytest.raises(AudioError, match=r"click\.wav is shorter than one sample"):
        read(tmp_path / "click.wav")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 8000), np.float32), "wrong_format"),
        (np.full(8000, np.nan, np.float32), "not_finite"),
        (np.zeros(8000, np.int16), "wrong_format"),
    ],
)
def test_what_is_no_sound_is_an_error(plain, samples, message):
    with pytest.raises(AudioError, match=message):
        Recogniser(plain)([samples])


def test_speakers_without_a_recording_are_an_error(plain, spoken_corpus):
    with pytest.raises(DataError, match="2 speakers are given for 1 recordings"):
        Recogniser(plain)([read(spoken_corpus.clips[0])], ["a", "b"])


def test_another_encoder_than_the_models_is_refused(spoken_corpus, tmp_path):
    model = bundle.load(spoken_corpus.ship("logistic", train__inputs="embedding"))
    with pytest.raises(ParamsError, match=r"bands\.onnx"):
        Recogniser(model, encoder(spoken_corpus).model_copy(update={"folder": str(tmp_path)}))
    stored = (spoken_corpus.folder / "bands.onnx").read_bytes()
    import onnx

    other = onnx.load_model_from_string(stored)
    other.producer_name = "another"
    onnx.save(other, tmp_path / "bands.onnx")
    with pytest.raises(DataError, match="encoder_sha256"):
        Recogniser(model, encoder(spoken_corpus).model_copy(update={"folder": str(tmp_path)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, "version: trained with 1"),
        ({"n_mfcc": "many"}, r"the bundle's settings: n_mfcc"),
        ({"functionals": None}, r"the bundle's settings: functionals"),
    ],
)
def test_a_bundle_of_other_settings_is_refused(plain, change, message):
    with pytest.raises(DataError, match=message):
        Recogniser(replace(plain, settings=plain.settings | change))


def test_features_that_the_settings_do_not_give_are_an_error(plain):
    frames = plain.settings["frames"] | {"mfcc": False}
    with pytest.raises(DataError, match="the model sees mfcc_00_mean"):
        Recogniser(replace(plain, settings=plain.settings | {"frames": frames}))


def test_recognition_needs_no_training_library(spoken_corpus):
    folder = spoken_corpus.ship("logistic", train__inputs="functionals")
    script = (
        "import sys; from emodag import bundle; from emodag.recognition import Recogniser, read;"
        "Recogniser(bundle.load(sys.argv[1]))([read(sys.argv[2])]);"
        "print(sorted({'sklearn', 'xgboost', 'skl2onnx', 'keras', 'tensorflow', 'torch', 'mlflow', 'shap'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, folder, spoken_corpus.clips[0]], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_bundle_holds_all_that_recognition_asks(plain, spoken_corpus):
    assert set(plain.diarize) == set(type(spoken_corpus.params.diarize).model_fields)
    assert read_json(spoken_corpus.folder / "features/train/demo_en/features.json")["settings"] == plain.settings
