"""Each transform does what it says, measured on the audio."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from pydantic import ValidationError

from emodag import audio
from emodag.augmentation import augment, replay

RATE = 16000


def pitch_of(samples: np.ndarray) -> float:
    """F0 in Hz by the autocorrelation of the middle half."""
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4].astype(float)
    spectrum = np.fft.rfft(middle, 2 * len(middle))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    lags = np.arange(RATE // 400, RATE // 60)
    best = lags[np.argmax(correlation[lags])]
    left, peak, right = correlation[best - 1 : best + 2]
    return RATE / (best + 0.5 * (left - right) / (left - 2 * peak + right))


def decibels(samples: np.ndarray) -> float:
    """The level, root mean square, in dB of full scale."""
    return 10 * np.log10(np.mean(np.square(samples, dtype=float)))


def band_decibels(samples: np.ndarray, low: float, high: float) -> float:
    """The level of a band of frequencies in Hz, per Hz."""
    power = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    return 10 * np.log10(power[(frequency >= low) & (frequency < high)].mean())


def decay_time(response: np.ndarray) -> float:
    """RT60 in seconds: Schroeder's backward integral crosses -5 and -35 dB; twice the time between (ISO 3382, T30)."""
    remaining = np.cumsum(np.square(response[::-1], dtype=float))[::-1]
    curve = 10 * np.log10(remaining / remaining[0] + 1e-12)
    time = np.flatnonzero((curve <= -5) & (curve >= -35))
    gradient = np.cov(time / RATE, curve[time])[0, 1] / np.var(time / RATE, ddof=1)
    return -60 / gradient


def burst(vowel, start: float, seconds: float = 2.0) -> np.ndarray:
    """Silence with a quarter second of vowel."""
    samples = np.zeros(int(seconds * RATE), np.float32)
    samples[int(start * RATE) :][: RATE // 4] = vowel(300, 0.25)
    return samples


@pytest.fixture
def apply(transforms, recordings):
    """``apply(samples, seed=0, **values)``: the variant and the setting drawn of a single transform."""

    def run(samples: np.ndarray, seed: int = 0, **values) -> tuple[np.ndarray, dict]:
        variant, (setting,) = augment(samples, transforms(values), np.random.default_rng(seed), recordings)
        return variant, setting

    return run


@pytest.mark.parametrize("source", ["white", "pink", "recordings"])
@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 30.0])
@pytest.mark.parametrize(("level", "seconds"), [(0.01, 3), (0.1, 3), (0.1, 0.01)])
@pytest.mark.parametrize("seed", range(3))
def test_noise_has_the_ratio_that_was_asked_for(apply, vowel, source, snr, level, seconds, seed):
    clean = vowel(level=level, seconds=seconds)
    noisy, setting = apply(clean, seed, kind="noise", source=source, min_snr=snr, max_snr=snr)
    assert decibels(clean) - decibels(noisy - clean) == pytest.approx(snr, abs=0.02)
    assert setting["snr"] == snr
    assert setting["source"] == source


@pytest.mark.parametrize(("source", "slope"), [("white", 0.0), ("pink", -3.01)])
def test_noise_has_the_spectrum_of_its_name(apply, vowel, source, slope):
    clean = vowel(seconds=20)
    noisy, _ = apply(clean, kind="noise", source=source, min_snr=10.0, max_snr=10.0)
    octaves = 62.5 * 2.0 ** np.arange(8)
    levels = [band_decibels(noisy - clean, low, 2 * low) for low in octaves[:-1]]
    assert np.polyfit(np.arange(7), levels, 1)[0] == pytest.approx(slope, abs=0.15)


def test_noise_from_a_recording_is_the_stretch_that_was_recorded(apply, vowel, recordings):
    clean, seen = vowel(seconds=1), set()
    for seed in range(12):
        noisy, setting = apply(clean, seed, kind="noise", source="recordings", min_snr=0.0, max_snr=0.0)
        sound = recordings.load("noise", setting["file"])
        start = round(setting["offset"] * RATE)
        looped = np.concatenate([sound[start:], *[sound] * 12])[: len(clean)]
        assert np.corrcoef(noisy - clean, looped)[0, 1] == pytest.approx(1, abs=1e-5)
        seen.add((setting["file"], start))
    assert {file for file, _ in seen} == {"short.flac", "street/long.ogg"}
    assert len(seen) == 12
    # A file that is long enough is never looped.
    assert all(start + len(clean) <= 5 * RATE for file, start in seen if file == "street/long.ogg")


@pytest.mark.parametrize("rate", [0.7, 0.85, 1.15, 1.5])
def test_stretching_changes_the_duration_and_keeps_pitch_and_end(apply, vowel, rate):
    samples = np.concatenate([vowel(120), np.zeros(RATE // 4, np.float32), vowel(200, 0.5)])
    stretched, setting = apply(samples, kind="time_stretch", min_rate=rate, max_rate=rate)
    assert setting["rate"] == rate
    assert len(samples) / len(stretched) == pytest.approx(rate, rel=0.01)
    assert pitch_of(stretched[: int(1.4 * RATE / rate)]) == pytest.approx(120, rel=0.02)
    assert pitch_of(stretched[-int(0.45 * RATE / rate) :]) == pytest.approx(200, rel=0.03)


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.25, 2.0])
def test_speed_changes_duration_and_pitch_together(apply, vowel, rate):
    samples = vowel(160)
    played, setting = apply(samples, kind="speed", min_rate=rate, max_rate=rate)
    assert setting["rate"] == rate
    assert len(samples) / len(played) == pytest.approx(rate, rel=0.001)
    assert pitch_of(played) == pytest.approx(160 * rate, rel=0.005)
    assert decibels(played) == pytest.approx(decibels(samples), abs=0.2)


@pytest.mark.parametrize("semitones", [-4.0, -1.0, 2.0, 5.0])
def test_shifting_pitch_changes_f0_and_keeps_the_duration(apply, vowel, semitones):
    samples = vowel(150)
    shifted, setting = apply(samples, kind="pitch_shift", min_semitones=semitones, max_semitones=semitones)
    assert setting["semitones"] == semitones
    assert len(shifted) == len(samples)
    assert pitch_of(shifted) / pitch_of(samples) == pytest.approx(2 ** (semitones / 12), rel=0.02)


@pytest.mark.parametrize("shift", [-0.25, 0.1, 0.5])
def test_shifting_in_time_moves_the_samples_and_leaves_silence(apply, vowel, shift):
    samples = vowel()
    shifted, _ = apply(samples, kind="time_shift", min_shift=shift, max_shift=shift)
    moved = round(shift * len(samples))
    assert len(shifted) == len(samples)
    if moved > 0:
        np.testing.assert_array_equal(shifted[moved:], samples[:-moved])
        assert not shifted[:moved].any()
    else:
        np.testing.assert_array_equal(shifted[:moved], samples[-moved:])
        assert not shifted[moved:].any()


@pytest.mark.parametrize(("delay", "level"), [(0.05, -6.0), (0.3, -20.0)])
def test_an_echo_comes_after_its_delay_at_its_level(apply, delay, level):
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    echoed, setting = apply(noise, kind="echo", min_delay=delay, max_delay=delay, min_db=level, max_db=level)
    assert (setting["delay"], setting["db"]) == (delay, level)
    assert len(echoed) == len(noise)
    correlation = np.correlate(echoed.astype(float), noise[:RATE].astype(float), "valid") / np.sum(noise[:RATE] ** 2.0)
    later = 1 + np.argmax(np.abs(correlation[1:]))
    assert correlation[0] == pytest.approx(1, abs=0.05)
    assert later == round(delay * RATE)
    assert 20 * np.log10(correlation[later]) == pytest.approx(level, abs=1)


@pytest.mark.parametrize("rt60", [0.1, 0.2, 0.35, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_room_decays_in_the_time_that_was_asked_for_and_moves_nothing(apply, rt60, seed):
    click = np.zeros(int((rt60 * 1.5 + 0.5) * RATE), np.float32)
    click[1600] = 0.5
    wet, setting = apply(click, seed, kind="reverb", min_rt60=rt60, max_rt60=rt60)
    assert setting["rt60"] == rt60
    assert len(wet) == len(click)
    assert np.argmax(np.abs(wet) > 0.1 * np.abs(wet).max()) == pytest.approx(1600, abs=8)
    assert np.abs(wet[:1590]).max() < 1e-4 * np.abs(wet).max()
    # The ear notices 5 % (ISO 3382).
    assert decay_time(wet[1600:]) == pytest.approx(rt60, rel=0.03)
    assert decibels(wet) == pytest.approx(decibels(click), abs=0.01)


def test_rooms_differ_and_hold_talker_and_microphone_apart(apply, vowel):
    rooms = [apply(vowel(), seed, kind="reverb", min_rt60=0.3, max_rt60=0.3)[1] for seed in range(20)]
    assert len({tuple(room["size"]) for room in rooms}) == 20
    for room in rooms:
        size, talker, microphone = (np.array(room[key]) for key in ("size", "talker", "microphone"))
        for place in (talker, microphone):
            assert (place >= 0.49).all()
            assert (place <= size - 0.49).all()
        assert np.linalg.norm(talker - microphone) > 0.3


def test_a_recorded_response_is_convolved_from_its_direct_sound_on(apply, vowel, recordings):
    samples = burst(vowel, 0.5)
    wet, setting = apply(samples, kind="reverb", source="recordings")
    assert setting == {"kind": "reverb", "source": "recordings", "file": "hall.wav"}
    # The file's direct sound is sample 320.
    expected = np.convolve(samples.astype(float), recordings.load("reverb", "hall.wav")[320:])[: len(samples)]
    np.testing.assert_allclose(wet / np.linalg.norm(wet), expected / np.linalg.norm(expected), atol=1e-6)
    assert decibels(wet) == pytest.approx(decibels(samples), abs=0.01)


@pytest.mark.parametrize("gain", [-30.0, -6.0, 6.0])
def test_gain_changes_the_level_by_its_decibels(apply, vowel, gain):
    louder, setting = apply(vowel(level=0.2), kind="gain", min_db=gain, max_db=gain)
    assert setting == {"kind": "gain", "db": gain}
    assert decibels(louder) - decibels(vowel(level=0.2)) == pytest.approx(gain, abs=1e-3)


def test_gain_beyond_full_scale_is_taken_back_and_said(transforms, vowel):
    samples = vowel(level=0.5)
    chain = transforms({"kind": "gain", "min_db": 20.0, "max_db": 20.0})
    louder, (gain, scale) = augment(samples, chain, np.random.default_rng(0))
    assert (gain["kind"], scale["kind"]) == ("gain", "scale")
    assert gain["db"] + scale["db"] == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert decibels(louder) - decibels(samples) == pytest.approx(gain["db"] + scale["db"], abs=1e-3)
    assert 0.999 < np.abs(louder).max() <= 1
    np.testing.assert_allclose(louder / np.abs(louder).max(), samples / np.abs(samples).max(), atol=1e-6)


def test_a_telephone_passes_its_band_alone(apply):
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * RATE).astype(np.float32)
    narrow, setting = apply(noise, kind="telephone")
    assert setting == {"kind": "telephone"}
    assert len(narrow) == len(noise)
    lost = {
        band: band_decibels(noise, *band) - band_decibels(narrow, *band)
        for band in [(0, 150), (400, 1000), (1000, 3200), (3700, 4000), (4200, 8000)]
    }
    assert lost[400, 1000] == pytest.approx(0, abs=0.2)
    assert lost[1000, 3200] == pytest.approx(0, abs=0.2)
    # Below and above, the noise of the 8-bit codec is all there is.
    assert min(lost[0, 150], lost[3700, 4000]) > 30
    assert lost[4200, 8000] > 45


@pytest.mark.parametrize("length", [RATE, RATE + 1, 1025])
def test_a_telephone_codes_by_mu_law_and_delays_nothing(apply, length):
    time = np.arange(length) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 1013.7 * time)).astype(np.float32)
    coded, _ = apply(tone, kind="telephone")
    assert len(coded) == length
    middle = slice(length // 3, 2 * length // 3)
    basis = np.stack([np.sin(2 * np.pi * 1013.7 * time), np.cos(2 * np.pi * 1013.7 * time)], axis=1)[middle]
    (sine, cosine), *_ = np.linalg.lstsq(basis, coded[middle].astype(float), rcond=None)
    assert np.hypot(sine, cosine) == pytest.approx(0.5, rel=0.02)
    assert np.arctan2(cosine, sine) == pytest.approx(0, abs=0.02)
    residual = coded[middle] - basis @ (sine, cosine)
    # G.711 keeps about 38 dB over a wide range of levels.
    assert 34 < decibels(tone) - decibels(residual) < 44


def test_noise_reduction_lowers_noise_by_its_strength_and_keeps_speech(apply, vowel):
    speech = burst(vowel, 1.0, 3.0)
    noisy = speech + 0.003 * np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    pause, voiced = slice(0, int(0.8 * RATE)), slice(int(1.05 * RATE), int(1.2 * RATE))
    lowered = []
    for strength in (0.0, 0.5, 0.9, 1.0):
        reduced, setting = apply(noisy, kind="denoise", min_strength=strength, max_strength=strength)
        assert setting == {"kind": "denoise", "strength": strength}
        assert len(reduced) == len(noisy)
        lowered.append(decibels(noisy[pause]) - decibels(reduced[pause]))
        assert decibels(reduced[voiced]) == pytest.approx(decibels(speech[voiced]), abs=1)
    assert lowered[0] == pytest.approx(0, abs=0.1)
    assert lowered[1] > 4
    assert lowered[2] > 12
    assert lowered[3] > 15


def test_every_transform_repeats_replays_and_leaves_its_input(every_transform, vowel, recordings):
    samples = vowel(level=0.9)
    kept = samples.copy()
    for number, transform in enumerate(every_transform):
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002
        first, settings = augment(samples, [transform], np.random.default_rng(number), recordings)
        # The global generators, which other code draws from, have no say.
        random.seed(number + 1)
        np.random.seed(number + 1)  # noqa: NPY002
        again, again_settings = augment(samples, [transform], np.random.default_rng(number), recordings)
        np.testing.assert_array_equal(first, again)
        assert settings == again_settings
        assert settings[0]["kind"] == transform.kind
        np.testing.assert_array_equal(first, replay(samples, json.loads(json.dumps(settings)), recordings))
        assert first.dtype == np.float32
        assert len(first) != len(samples) or not np.array_equal(first, samples)
        other, _ = augment(samples, [transform], np.random.default_rng(number + 50), recordings)
        if transform.kind != "telephone" and getattr(transform, "source", None) != "recordings":
            assert len(other) != len(first) or not np.array_equal(other, first)
        np.testing.assert_array_equal(samples, kept)


DEGENERATE = {
    "10 ms": lambda vowel: vowel(seconds=0.01),
    "64 ms": lambda vowel: vowel(seconds=0.064),
    "silence": lambda _: np.zeros(RATE, np.float32),
    "DC": lambda _: np.ones(RATE, np.float32),
    "full-scale square": lambda vowel: np.sign(vowel(100)).astype(np.float32),
    "one sample": lambda _: np.array([0.5], np.float32),
    "one sample of sound": lambda _: np.eye(1, RATE, RATE // 2, dtype=np.float32)[0],
}

#: What a clip of that sort can still get; the others get everything.
POSSIBLE = {
    "10 ms": {"noise", "time_shift", "gain"},
    "one sample": {"noise", "time_shift", "gain"},
    "silence": {"time_stretch", "speed", "pitch_shift", "time_shift"},
    "64 ms": {
        "noise",
        "time_stretch",
        "speed",
        "pitch_shift",
        "time_shift",
        "reverb",
        "gain",
        "telephone",
        "denoise",
    },
}


@pytest.mark.parametrize("sort", DEGENERATE)
def test_degenerate_clips_stay_finite_and_get_only_what_applies(every_transform, vowel, recordings, sort):
    samples = DEGENERATE[sort](vowel)
    for transform in every_transform:
        variant, settings = augment(samples, [transform], np.random.default_rng(0), recordings)
        assert bool(settings) == (transform.kind in POSSIBLE.get(sort, {transform.kind})), transform.kind
        assert np.isfinite(variant).all(), transform.kind
        assert len(variant) > 0
        assert np.abs(variant).max() <= 1
        assert variant.any() == samples.any() or transform.kind == "time_shift"


def test_half_an_hour_is_no_trouble(every_transform, recordings):
    generator = np.random.default_rng(0)
    samples = (0.1 * generator.standard_normal(30 * 60 * RATE, dtype=np.float32)).clip(-1, 1)
    # These work block by block and would take some seconds each.
    slow = {"time_stretch", "pitch_shift", "denoise"}
    one_of_a_kind = {transform.kind: transform for transform in every_transform if transform.kind not in slow}
    chain = list(one_of_a_kind.values())
    variant, settings = augment(samples, chain, np.random.default_rng(0), recordings)
    assert [setting["kind"] for setting in settings if setting["kind"] != "scale"] == [each.kind for each in chain]
    rate = next(setting["rate"] for setting in settings if setting["kind"] == "speed")
    assert len(variant) == pytest.approx(len(samples) / rate, abs=1)
    assert np.isfinite(variant).all()


@pytest.mark.parametrize("rate", [0.5, 0.8, 2.0, 4.0])
def test_stretching_repeats_over_the_whole_range_that_params_accept(apply, vowel, rate):
    samples = vowel() + (0.01 * np.random.default_rng(0).standard_normal(int(1.5 * RATE))).astype(np.float32)
    first, again = (apply(samples, kind="time_stretch", min_rate=rate, max_rate=rate)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("semitones", [-24.0, 24.0])
def test_shifting_pitch_repeats_at_its_extremes(apply, vowel, semitones):
    first, again = (
        apply(vowel(), kind="pitch_shift", min_semitones=semitones, max_semitones=semitones)[0] for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("rate", [0.3, 0.49, 5.0])
def test_stretching_that_could_not_repeat_is_refused(transforms, rate):
    with pytest.raises(ValidationError, match="rate"):
        transforms({"kind": "time_stretch", "min_rate": rate, "max_rate": rate})


@pytest.mark.corpora
@pytest.mark.parametrize("corpus", ["ravdess", "cremad", "emodb"])
def test_real_speech_gets_the_ratios_that_were_drawn(apply, shared, corpus):
    import parselmouth

    files = sorted(path for path in (shared / "corpora" / corpus).rglob("*") if path.suffix in (".flac", ".ogg"))
    recording = audio.read(files[len(files) // 2])
    # Headroom, so that nothing is turned down.
    samples = 0.3 * audio.resample(recording.samples, recording.rate)

    def median_pitch(sound: np.ndarray) -> float:
        frequency = parselmouth.Sound(sound.astype(float), RATE).to_pitch_ac().selected_array["frequency"]
        return float(np.median(frequency[frequency > 0]))

    pitch = median_pitch(samples)
    faster, _ = apply(samples, kind="speed", min_rate=1.2, max_rate=1.2)
    assert median_pitch(faster) / pitch == pytest.approx(1.2, rel=0.05)
    higher, _ = apply(samples, kind="pitch_shift", min_semitones=3.0, max_semitones=3.0)
    assert median_pitch(higher) / pitch == pytest.approx(2**0.25, rel=0.05)
    stretched, _ = apply(samples, kind="time_stretch", min_rate=0.8, max_rate=0.8)
    assert median_pitch(stretched) / pitch == pytest.approx(1, rel=0.05)
    assert len(samples) / len(stretched) == pytest.approx(0.8, rel=0.01)
    noisy, _ = apply(samples, kind="noise", source="pink", min_snr=15.0, max_snr=15.0)
    assert decibels(samples) - decibels(noisy - samples) == pytest.approx(15, abs=0.05)
