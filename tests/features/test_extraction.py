"""From samples to features: every column named once, every value finite, bad samples refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from emodag import audio, params
from emodag.cleaning import clean
from emodag.errors import DataError
from emodag.features import egemaps, extract, names, prosody, spectral

RATE = audio.SAMPLE_RATE
LOADED = params.load(Path(__file__).resolve().parents[2] / "params.yaml").featurize
#: Clips as they are: what cleaning does is seen where it is asked for.
SETTINGS = LOADED.model_copy(update={"clean": LOADED.clean.model_copy(update={"steps": []})})
EVERY_GROUP = dict.fromkeys(type(SETTINGS.frames).model_fields, True)


def changed(settings=SETTINGS, **changes):
    """The settings with others, those of a section as a dict."""
    sections = {
        name: getattr(settings, name).model_copy(update=value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return settings.model_copy(update=sections)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Two syllables of a buzzing voice and a hiss."""
    rng = np.random.default_rng(0)
    clock = np.arange(RATE // 2) / RATE
    voice = sum(np.sin(2 * np.pi * 130 * number * clock * (1 + 0.1 * clock)) / number for number in range(1, 20))
    voice = voice * np.hanning(len(voice))
    hiss = 0.1 * rng.standard_normal(RATE // 4)
    samples = np.concatenate([voice, hiss, voice]) + 1e-3 * rng.standard_normal(len(voice) * 2 + len(hiss))
    return (0.1 * samples).astype(np.float32)


def assert_complete(features, samples, settings):
    found = names(settings)
    assert features.frames.dtype == features.functionals.dtype == np.float32
    assert features.frames.shape == (1 + len(samples) // settings.hop_length, len(found.columns))
    assert features.functionals.shape == (len(found.functionals),)
    assert np.isfinite(features.frames).all()
    assert np.isfinite(features.functionals).all()


@pytest.mark.parametrize("with_egemaps", [False, True])
def test_every_column_has_a_name_of_its_own(with_egemaps, request):
    if with_egemaps:
        request.getfixturevalue("opensmile")
    found = names(changed(frames=EVERY_GROUP, egemaps=with_egemaps))
    assert list(found.frames) == list(EVERY_GROUP)
    assert len(set(found.columns)) == len(found.columns)
    assert len(set(found.functionals)) == len(found.functionals)


def test_columns_hold_what_they_are_named_after(speech):
    settings = changed(frames=EVERY_GROUP)
    features, found = extract(speech, settings), names(settings)
    assert_complete(features, speech, settings)
    count = len(features.frames)
    voice = prosody.analyse(speech, settings, count)
    expected = {"f0": voice.frames[:, :1], "log_mel": spectral.frames(speech, settings)[:, : settings.n_mels]}
    for group, values in expected.items():
        columns = [found.columns.index(name) for name in found.frames[group]]
        np.testing.assert_array_equal(features.frames[:, columns], values)
    functionals = dict(zip(found.functionals, features.functionals, strict=True))
    rms = features.frames[:, found.columns.index("rms")]
    f0 = voice.frames[voice.voiced, 0]
    assert functionals["rms_mean"] == pytest.approx(rms.mean(), rel=1e-5)
    assert functionals["rms_voiced_mean"] == pytest.approx(rms[voice.voiced].mean(), rel=1e-5)
    assert functionals["f0_mean"] == pytest.approx(f0.mean(), rel=1e-5)
    assert functionals["jitter_local"] == voice.clip[0]


def test_the_same_samples_have_the_same_bytes_and_stay_as_they_are(speech):
    before = speech.copy()
    first, second = extract(speech, SETTINGS), extract(speech, SETTINGS)
    assert first.frames.tobytes() == second.frames.tobytes()
    assert first.functionals.tobytes() == second.functionals.tobytes()
    np.testing.assert_array_equal(speech, before)


def test_turns_tell_pauses_and_nothing_else(speech):
    without, with_turns = (extract(speech, SETTINGS, turns) for turns in (None, [(0.0, 0.5), (0.75, 1.25)]))
    np.testing.assert_array_equal(without.frames, with_turns.frames)
    differ = np.flatnonzero(without.functionals != with_turns.functionals)
    found = names(SETTINGS).functionals
    assert {found[column] for column in differ} == {"pauses_per_second", "pause_mean", "pause_share"}


def test_a_clip_is_cleaned_before_anything_is_computed(speech):
    cleaning = changed(clean={"steps": ["gate"], "gate_db": 20.0})
    found, expected = extract(speech, cleaning), extract(clean(speech, cleaning.clean), SETTINGS)
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.functionals, expected.functionals)
    assert not np.array_equal(found.frames, extract(speech, SETTINGS).frames)


def test_egemaps_come_last_where_asked_for(speech, opensmile):
    settings = changed(egemaps=True)
    features = extract(speech, settings)
    assert_complete(features, speech, settings)
    assert names(settings).functionals[-88:] == egemaps.names()
    np.testing.assert_array_equal(features.functionals[-88:], egemaps.functionals(speech))
    np.testing.assert_array_equal(features.functionals[:-88], extract(speech, SETTINGS).functionals)


@pytest.mark.parametrize("group", EVERY_GROUP)
def test_any_group_can_stand_alone(speech, group):
    settings = changed(frames=dict.fromkeys(EVERY_GROUP, False) | {group: True})
    alone, every = extract(speech, settings), extract(speech, changed(frames=EVERY_GROUP))
    assert_complete(alone, speech, settings)
    assert list(names(settings).frames) == [group]
    everything = names(changed(frames=EVERY_GROUP)).columns
    columns = [everything.index(name) for name in names(settings).columns]
    np.testing.assert_allclose(alone.frames, every.frames[:, columns], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [1, 100, 399, 1600, RATE])
def test_degenerate_clips_have_finite_features(degenerate, length):
    samples = degenerate(length)
    settings = changed(frames=EVERY_GROUP)
    assert_complete(extract(samples, settings), samples, settings)


def test_two_hours_have_finite_features_in_bounded_memory(speech):
    samples = np.zeros(2 * 3600 * RATE, np.float32)
    for second in range(0, 7200, 600):
        samples[second * RATE : second * RATE + len(speech)] = speech
    extract(speech, SETTINGS)
    tracemalloc.start()
    features = extract(samples, SETTINGS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * features.frames.nbytes
    assert_complete(features, samples, SETTINGS)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.array([0.0, np.nan, 0.1, np.inf], np.float32), "2 of 4 samples are NaN or infinite"),
        (np.zeros(0, np.float32), r"shape \(0,\)"),
        (np.zeros((2, 100), np.float32), r"shape \(2, 100\)"),
    ],
)
def test_unusable_samples_are_refused(samples, message):
    with pytest.raises(DataError, match=message):
        extract(samples, SETTINGS)


def test_real_clips_have_complete_features(shared):
    for corpus, pattern in (("ravdess", "*.flac"), ("emodb", "*.flac"), ("cremad", "*.ogg")):
        samples = audio.load(sorted((shared / "corpora" / corpus).rglob(pattern))[7])
        features = extract(samples, SETTINGS, [(0.0, len(samples) / RATE)])
        assert_complete(features, samples, SETTINGS)
        functionals = dict(zip(names(SETTINGS).functionals, features.functionals, strict=True))
        assert 0.1 < functionals["voiced_share"] < 0.95
        assert 1 < functionals["speech_rate"] < 10
        assert 12 < functionals["f0_mean"] < 50
        assert (
            300 < functionals["formant_1_mean"] < functionals["formant_2_mean"] < functionals["formant_3_mean"] < 3500
        )
