"""Prosody of sounds whose F0, perturbation, noise, formants, syllables and pauses are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from emodag import audio, params
from emodag.features import prosody

RATE = audio.SAMPLE_RATE
SETTINGS = params.load(Path(__file__).resolve().parents[2] / "params.yaml").featurize
HOP = SETTINGS.hop_length


def analysed(samples: np.ndarray, settings=SETTINGS, turns=None) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The frame features by name, ``voiced`` among them, and the values of the clip by name."""
    count = 1 + len(samples) // settings.hop_length
    found = prosody.analyse(np.asarray(samples, np.float32), settings, count, turns)
    columns = [name for group in prosody.names(settings).values() for name in group]
    assert found.frames.dtype == found.clip.dtype == np.float32
    assert found.frames.shape == (count, len(columns))
    assert found.clip.shape == (len(prosody.clip_names(settings)),)
    assert np.isfinite(found.frames).all()
    assert np.isfinite(found.clip).all()
    frames = dict(zip(columns, found.frames.T, strict=True)) | {"voiced": found.voiced}
    return frames, dict(zip(prosody.clip_names(settings), found.clip.tolist(), strict=True))


def hertz(semitones: np.ndarray) -> np.ndarray:
    return prosody.SEMITONE_REFERENCE * 2 ** (semitones / 12)


def buzz(f0: np.ndarray | float, duration: float) -> np.ndarray:
    """A harmonic sound with all partials below 4 kHz, falling by 6 dB an octave, at an F0 in Hz [samples]."""
    f0 = np.broadcast_to(f0, round(duration * RATE))
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    partials = np.arange(1, int(4000 / f0.max()) + 1)
    return 0.1 * sum(np.sin(number * phase) / number for number in partials)


def pulses(periods: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Pulses smooth below 3 kHz, one after the other at intervals of ``periods`` seconds."""
    times = 0.05 + np.cumsum(periods)
    clock = np.arange(round((times[-1] + 0.05) * RATE)) / RATE
    sound = np.zeros(len(clock))
    for time, height in zip(times, heights, strict=True):
        near = slice(int((time - 0.002) * RATE), int((time + 0.002) * RATE) + 2)
        sound[near] += height * np.exp(-(((clock[near] - time) / 1.5e-4) ** 2))
    return 0.5 * sound


@pytest.mark.parametrize(("start", "end"), [(90, 180), (400, 200), (150, 150), (560, 300)])
@pytest.mark.parametrize("snr", [None, 20])
def test_f0_of_a_glide_is_right_within_a_percent(start, end, snr):
    duration = 1.0
    f0 = np.geomspace(start, end, round(duration * RATE))
    samples = buzz(f0, duration)
    if snr is not None:
        noise = np.random.default_rng(start).standard_normal(len(samples))
        samples = samples + noise * samples.std() * 10 ** (-snr / 20)
    frames, clip = analysed(samples)
    inside = slice(5, -5)
    assert frames["voiced"][inside].all()
    expected = f0[np.arange(len(frames["f0"])) * HOP % len(f0)]
    np.testing.assert_allclose(hertz(frames["f0"][inside]), expected[inside], rtol=0.01)
    assert clip["voiced_share"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("hop", [80, 147, 160, 200, 320])
@pytest.mark.parametrize("f0_min", [60.0, 75.0, 110.0])
def test_frames_lie_on_the_grid_of_the_spectral_frames(hop, f0_min):
    """A tone between two silences starts and ends, in every contour, where it does in the clip."""
    settings = SETTINGS.model_copy(update={"hop_length": hop, "f0_min": f0_min})
    start, end = 0.6, 1.3
    samples = np.zeros(2 * RATE)
    samples[int(start * RATE) : int(end * RATE)] = buzz(np.geomspace(150, 300, round(0.7 * RATE)), 0.7)
    frames, clip = analysed(samples, settings)
    time = np.arange(len(frames["f0"])) * hop / RATE
    tolerance = 0.5 * 3 / f0_min + hop / RATE
    voiced = time[frames["voiced"]]
    assert voiced[0] == pytest.approx(start, abs=tolerance)
    assert voiced[-1] == pytest.approx(end, abs=tolerance)
    loud = frames["intensity"] > frames["intensity"].max() - 6
    assert time[loud].mean() == pytest.approx((start + end) / 2, abs=hop / RATE)
    inner = (time > start + 0.05) & (time < end - 0.05)
    np.testing.assert_allclose(
        hertz(frames["f0"][inner]), 150 * 2 ** ((time[inner] - start) / (end - start)), rtol=0.005
    )
    np.testing.assert_array_equal(frames["formant_1"] > 0, frames["voiced"])
    assert clip["voiced_stretches_per_second"] == pytest.approx(0.5, rel=0.01)
    assert clip["voiced_stretch_mean"] == pytest.approx(0.7, abs=2 * tolerance)


def test_f0_is_praats(shared):
    """Against Praat's analysis of the whole clip at the same rate and on the same grid."""
    import parselmouth
    import soxr

    agree, ratio = [], []
    for path in sorted((shared / "corpora/emodb").rglob("*.flac"))[::100]:
        samples = audio.load(path)
        samples = samples[: len(samples) // HOP * HOP]
        frames, _ = analysed(samples)
        half_window = round(1.5 / SETTINGS.f0_min * RATE)
        sound = soxr.resample(np.pad(samples.astype(np.float64), half_window + 1), RATE, RATE // 2)
        praat = parselmouth.Sound(sound, RATE // 2).to_pitch_ac(
            time_step=HOP / RATE, pitch_floor=SETTINGS.f0_min, pitch_ceiling=SETTINGS.f0_max
        )
        f0 = praat.selected_array["frequency"]
        both = frames["voiced"] & (f0 > 0)
        agree.append(frames["voiced"] == (f0 > 0))
        ratio.append(hertz(frames["f0"][both]) / f0[both])
    # The frames lie half a sample apart, which decides at the edges of voiced stretches.
    assert np.mean(np.concatenate(agree)) > 0.98
    assert np.mean(np.abs(np.concatenate(ratio) - 1) < 0.002) > 0.99


def test_skipping_what_is_not_audible_changes_nothing(shared, monkeypatch):
    paths = sorted((shared / "corpora/ravdess").rglob("*.flac"))[::300]
    clips = [audio.load(path) for path in paths]
    skipped = [analysed(samples) for samples in clips]
    monkeypatch.setattr(prosody, "_audible", lambda samples, peak, count, settings: np.ones(count, dtype=bool))
    for samples, (frames, clip) in zip(clips, skipped, strict=True):
        every, every_clip = analysed(samples)
        np.testing.assert_array_equal(frames["voiced"], every["voiced"])
        for name in ("f0", "hnr"):
            np.testing.assert_allclose(frames[name], every[name], rtol=1e-4, atol=1e-3)
        assert clip == pytest.approx(every_clip, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("relative", [0.0, 0.01, 0.03])
def test_jitter_of_pulses_is_that_of_their_periods(relative):
    rng = np.random.default_rng(1)
    periods = 0.008 * (1 + relative * rng.uniform(-1, 1, 200))
    _, clip = analysed(pulses(periods, np.ones(200)))
    inner = periods[1:]
    local = np.abs(np.diff(inner)).mean() / inner.mean()
    thirds = np.convolve(inner, np.ones(3) / 3, "valid")
    rap = np.abs(inner[1:-1] - thirds).mean() / inner.mean()
    assert clip["jitter_local"] == pytest.approx(local, rel=0.1, abs=0.001)
    assert clip["jitter_rap"] == pytest.approx(rap, rel=0.1, abs=0.001)


@pytest.mark.parametrize("relative", [0.0, 0.05, 0.15])
def test_shimmer_of_pulses_is_that_of_their_heights(relative):
    heights = 1 + relative * np.random.default_rng(2).uniform(-1, 1, 200)
    _, clip = analysed(pulses(np.full(200, 0.008), heights))
    decibels = np.abs(20 * np.log10(heights[1:] / heights[:-1])).mean()
    thirds = np.convolve(heights, np.ones(3) / 3, "valid")
    apq3 = np.abs(heights[1:-1] - thirds).mean() / heights.mean()
    assert clip["shimmer_local_db"] == pytest.approx(decibels, rel=0.1, abs=0.01)
    assert clip["shimmer_apq3"] == pytest.approx(apq3, rel=0.1, abs=0.001)


@pytest.mark.parametrize("hnr", [5, 10, 20])
def test_hnr_is_the_ratio_of_harmonics_to_noise_below_4_khz(hnr):
    voice = buzz(140.0, 1.0)
    low = scipy.signal.butter(12, 3900, fs=RATE, output="sos")
    noise = scipy.signal.sosfiltfilt(low, np.random.default_rng(hnr).standard_normal(len(voice)))
    samples = voice + noise * voice.std() / noise.std() * 10 ** (-hnr / 20)
    frames, _ = analysed(samples)
    assert frames["hnr"][5:-5].mean() == pytest.approx(hnr, abs=1.0)


def test_a_pure_voice_has_the_greatest_hnr():
    frames, _ = analysed(buzz(200.0, 0.5))
    assert frames["hnr"].max() <= prosody.HNR_MAX
    assert np.median(frames["hnr"]) > 30


@pytest.mark.parametrize("formants", [(700, 1200, 2500), (300, 2200, 2900), (400, 800, 2400)])
def test_formants_of_a_vowel_are_those_of_its_filter(formants):
    """A source and a filter: pulses at 100 Hz falling by 12 dB an octave through resonances."""
    samples = np.zeros(RATE)
    samples[:: RATE // 100] = 1
    samples = scipy.signal.lfilter([1], [1, -1.9, 0.9025], samples)
    for centre, width in zip((*formants, 3500, 4500), (60, 90, 120, 150, 200), strict=True):
        pole = np.exp(-np.pi * width / RATE + 2j * np.pi * centre / RATE)
        samples = scipy.signal.lfilter([abs(1 - pole) ** 2], np.poly([pole, pole.conj()]).real, samples)
    samples = np.diff(samples, prepend=0)
    frames, _ = analysed(samples / np.abs(samples).max() / 2)
    for number, centre in enumerate(formants, 1):
        assert np.median(frames[f"formant_{number}"][frames["voiced"]]) == pytest.approx(centre, rel=0.05)


def test_formants_are_praats(shared):
    """Against Praat's analysis of every frame of the whole clip; between two analysed frames ours are interpolated."""
    import parselmouth

    ratio, mean = [], []
    half_window = round(0.025 * RATE)
    for path in sorted((shared / "corpora/emodb").rglob("*.flac"))[::100]:
        samples = audio.load(path)
        samples = samples[: len(samples) // HOP * HOP]
        frames, _ = analysed(samples)
        sound = parselmouth.Sound(np.pad(samples.astype(np.float64), half_window + 1), RATE)
        praat = sound.to_formant_burg(HOP / RATE, 5, SETTINGS.max_formant, 0.025, 50)
        voiced = np.flatnonzero(frames["voiced"])
        for number in (1, 2, 3):
            expected = np.array([praat.get_value_at_time(number, praat.xs()[frame]) for frame in voiced])
            found = frames[f"formant_{number}"][voiced]
            ratio.append((found / expected)[voiced % 2 == 0])
            mean.append(found.mean() / expected.mean())
    assert np.mean(np.abs(np.concatenate(ratio) - 1) < 0.02) > 0.9
    assert np.mean(mean) == pytest.approx(1, abs=0.02)


def test_intensity_is_in_decibels_above_the_threshold_of_hearing():
    tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    frames, _ = analysed(tone)
    expected = 20 * np.log10(0.1 / np.sqrt(2) / 2e-5)
    np.testing.assert_allclose(frames["intensity"][10:-10], expected, atol=0.05)
    softer, _ = analysed(tone / 10)
    np.testing.assert_allclose(softer["intensity"][10:-10], expected - 20, atol=0.05)


def test_intensity_agrees_with_praat(shared):
    import parselmouth

    path = sorted((shared / "corpora/ravdess").rglob("*.flac"))[0]
    samples = audio.load(path)
    frames, _ = analysed(samples)
    praat = parselmouth.Sound(samples.astype(np.float64), RATE).to_intensity(SETTINGS.f0_min, HOP / RATE)
    expected = np.interp(np.arange(len(frames["intensity"])) * HOP / RATE, praat.xs(), praat.values[0])
    loud = slice(10, -10), expected[10:-10] > expected.max() - 40
    difference = np.abs(frames["intensity"] - expected)[loud[0]][loud[1]]
    assert np.median(difference) < 0.2
    assert difference.max() < 3  # interpolating Praat's frames at steep onsets


@pytest.mark.parametrize("count", [1, 3, 8])
def test_speech_rate_counts_syllables(count):
    syllable = np.concatenate([buzz(120.0, 0.16) * np.hanning(round(0.16 * RATE)), np.zeros(round(0.09 * RATE))])
    samples = np.concatenate([np.zeros(RATE // 4), *[syllable] * count, np.zeros(RATE // 4)])
    _, clip = analysed(samples)
    assert clip["speech_rate"] * len(samples) / RATE == pytest.approx(count)


def test_bursts_of_noise_are_no_syllables():
    burst = np.random.default_rng(0).standard_normal(round(0.16 * RATE)) * np.hanning(round(0.16 * RATE))
    silence = np.zeros(round(0.09 * RATE))
    _, clip = analysed(0.1 * np.concatenate([burst, silence] * 5))
    assert clip["speech_rate"] == 0


def test_pauses_lie_between_turns():
    samples = np.zeros(4 * RATE)
    _, clip = analysed(samples, turns=[(2.5, 9.0), (0.5, 1.0), (0.6, 1.5), (1.75, 2.0)])
    assert clip["pauses_per_second"] == pytest.approx(2 / 3.5)
    assert clip["pause_mean"] == pytest.approx(0.375)
    assert clip["pause_share"] == pytest.approx(0.75 / 3.5)


@pytest.mark.parametrize("turns", [None, [], [(0.0, 1.0)], [(0.2, 0.2)], [(0.0, 0.5), (0.5, 1.0)], [(3.0, 4.0)]])
def test_without_pauses_their_values_are_zero(turns):
    _, clip = analysed(np.zeros(RATE), turns=turns)
    assert clip["pauses_per_second"] == clip["pause_mean"] == clip["pause_share"] == 0


LENGTHS = [1, 2, 100, 399, 640, 4000, RATE]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    "kind", ["silence", "direct current", "faint", "noise", "square wave", "impulse", "highest tone"]
)
def test_degenerate_clips_have_defined_values(kind, length):
    time = np.arange(length)
    samples = {
        "silence": np.zeros(length),
        "direct current": np.full(length, 0.1),
        "faint": 1e-6 * np.sin(time / 10),
        "noise": np.random.default_rng(0).uniform(-1, 1, length),
        "square wave": np.where(time // 40 % 2, -1.0, 1.0),
        "impulse": (time == length // 2).astype(float),
        "highest tone": np.where(time % 2, -1.0, 1.0),
    }[kind]
    frames, clip = analysed(samples)
    unvoiced = ~frames["voiced"]
    for name in ("f0", "hnr", "formant_1", "formant_2", "formant_3"):
        assert (frames[name][unvoiced] == 0).all()
    if kind in ("silence", "direct current", "faint"):
        assert unvoiced.all()
        assert not any(clip.values())
    if kind == "square wave" and length == RATE:
        np.testing.assert_allclose(hertz(frames["f0"][5:-5]), 200, rtol=0.01)


@pytest.mark.parametrize("hop", [16, 37, 1024, 8192])
def test_any_hop_has_its_frames(hop):
    frames, _ = analysed(buzz(150.0, 0.6), SETTINGS.model_copy(update={"hop_length": hop}))
    inside = slice(1, -1) if hop > RATE // 20 else slice(RATE // 20 // hop, -RATE // 20 // hop)
    np.testing.assert_allclose(hertz(frames["f0"][inside]), 150, rtol=0.01)


def test_an_offset_changes_nothing():
    noise = 3e-4 * np.random.default_rng(0).standard_normal(RATE)
    samples = 0.1 * buzz(np.geomspace(100, 200, RATE), 1.0) + noise
    (frames, clip), (shifted, shifted_clip) = analysed(samples), analysed(samples + 0.25)
    inside = slice(10, -10)
    for name, values in frames.items():
        np.testing.assert_allclose(shifted[name][inside], values[inside], rtol=0.01, atol=0.01, err_msg=name)
    assert shifted_clip == pytest.approx(clip, abs=0.01)


def test_long_clips_are_analysed_in_blocks_without_seams(monkeypatch):
    rng = np.random.default_rng(5)
    words = [
        np.concatenate([level * buzz(np.geomspace(*f0, round(0.4 * RATE)), 0.4), np.zeros(round(0.15 * RATE))])
        for level, f0 in zip(rng.uniform(0.05, 1, 20), rng.uniform(90, 300, (20, 2)), strict=True)
    ]
    samples = np.concatenate(words) + 1e-3 * rng.standard_normal(sum(map(len, words)))
    whole, whole_clip = analysed(samples)
    monkeypatch.setattr(prosody, "BLOCK", 2.0)
    blocks, blocks_clip = analysed(samples)
    assert np.mean(blocks["voiced"] == whole["voiced"]) > 0.998
    both = blocks["voiced"] & whole["voiced"]
    for name in ("f0", "hnr", "intensity", "formant_1", "formant_2", "formant_3"):
        same = np.isclose(blocks[name][both], whole[name][both], rtol=0.01, atol=0.05)
        assert same.mean() > 0.99, name
    for name, value in whole_clip.items():
        assert blocks_clip[name] == pytest.approx(value, rel=0.1, abs=0.002), name


def test_only_what_is_asked_for_is_named_and_computed():
    none = SETTINGS.frames.model_copy(update=dict.fromkeys(("f0", "intensity", "hnr", "formants"), False))
    no_clip = SETTINGS.functionals.model_copy(update={"voice_quality": False, "rhythm": False, "voiced": False})
    settings = SETTINGS.model_copy(update={"frames": none, "functionals": no_clip})
    frames, clip = analysed(buzz(150.0, 0.5), settings)
    assert prosody.names(settings) == {}
    assert not clip
    assert not frames["voiced"].any()
    only = SETTINGS.model_copy(update={"frames": none.model_copy(update={"hnr": True}), "functionals": no_clip})
    frames, _ = analysed(buzz(150.0, 0.5), only)
    assert set(frames) == {"hnr", "voiced"}
    assert frames["voiced"].any()
