"""Functionals against their definitions, and defined on clips too short or too even for them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from emodag import params
from emodag.features.functionals import functionals, names, needs_f0

SETTINGS = params.load(Path(__file__).resolve().parents[2] / "params.yaml").featurize
STATISTICS = dict.fromkeys(params.Statistics.model_fields, True) | {"percentiles": [5, 50, 95]}
USUAL = SETTINGS.model_copy(update={"functionals": params.Statistics(**STATISTICS)})
FRAME_RATE = 16000 / USUAL.hop_length
EVERYWHERE = [
    *("mean", "std", "skewness", "p05", "p50", "p95", "range", "slope"),
    *("std_difference", "std_delta_05", "std_delta_17"),
]


def with_(**changes) -> params.Featurize:
    return params.Featurize.model_validate(
        USUAL.model_dump() | {"functionals": USUAL.functionals.model_dump() | changes}
    )


def of(frames: np.ndarray, settings: params.Featurize = USUAL, voiced=None, group: str = "chroma") -> dict:
    """Each statistic of all features of one group: [features]."""
    frames = np.asarray(frames, dtype=np.float32).reshape(len(frames), -1)
    groups = {group: tuple(f"x{number}" for number in range(frames.shape[1]))}
    voiced = np.ones(len(frames), bool) if voiced is None else voiced
    found: dict[str, list[float]] = {}
    for name, value in zip(names(groups, settings), functionals(frames, groups, settings, voiced), strict=True):
        found.setdefault(name.split("_", 1)[1], []).append(value)
    return {statistic: np.array(values) for statistic, values in found.items()}


def expected_of(frames: np.ndarray) -> dict[str, np.ndarray]:
    exact, count = frames.astype(np.float64), len(frames)
    return {
        "mean": exact.mean(axis=0),
        "std": exact.std(axis=0),
        "skewness": scipy.stats.skew(exact),
        "p05": np.percentile(exact, 5, axis=0),
        "p50": np.median(exact, axis=0),
        "p95": np.percentile(exact, 95, axis=0),
        "range": np.ptp(exact, axis=0),
        "slope": np.polyfit(np.arange(count) / FRAME_RATE, exact, 1)[0],
        "std_difference": np.diff(exact, axis=0).std(axis=0),
        "std_delta_05": scipy.signal.savgol_filter(exact, 5, 1, deriv=1, axis=0)[2:-2].std(axis=0),
        "std_delta_17": scipy.signal.savgol_filter(exact, 17, 1, deriv=1, axis=0)[8 : count - 8].std(axis=0),
    }


def gamma(count: int, features: int = 6) -> np.ndarray:
    return np.random.default_rng(count).gamma(2.0, size=(count, features)).astype(np.float32) * 10 - 60


def test_each_column_has_a_name_of_feature_and_statistic():
    groups = {"rms": ("rms",), "mfcc": ("mfcc_00", "mfcc_01"), "f0": ("f0",)}
    found = names(groups, USUAL)
    assert len(found) == len(set(found)) == 4 * len(EVERYWHERE) + 3 * 2
    assert found[:5] == ("rms_mean", "mfcc_00_mean", "mfcc_01_mean", "f0_mean", "rms_std")
    assert found[-6:] == tuple(f"{name}_voiced_{s}" for s in ("mean", "std") for name in ("rms", "mfcc_00", "mfcc_01"))
    assert len(functionals(np.zeros((5, 4), np.float32), groups, USUAL, np.ones(5, bool))) == len(found)


@pytest.mark.parametrize("count", [17, 18, 50, 400])
def test_statistics_follow_their_definitions(count):
    frames = gamma(count)
    found = of(frames)
    for statistic, values in expected_of(frames).items():
        np.testing.assert_allclose(found[statistic], values, rtol=1e-5, atol=1e-6, err_msg=statistic)


@pytest.mark.parametrize("group", ["f0", "hnr", "formants"])
def test_what_needs_voice_is_described_over_voiced_frames_alone(group):
    frames, voiced = gamma(120), np.random.default_rng(1).random(120) < 0.6
    found = of(frames, voiced=voiced, group=group)
    assert list(found) == EVERYWHERE
    for statistic, values in expected_of(frames[voiced]).items():
        np.testing.assert_allclose(found[statistic], values, rtol=1e-5, atol=1e-6, err_msg=statistic)


def test_other_features_are_described_over_all_frames_and_over_voiced_ones():
    frames, voiced = gamma(120), np.random.default_rng(1).random(120) < 0.6
    found = of(frames, voiced=voiced)
    np.testing.assert_allclose(found["mean"], frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["voiced_mean"], frames[voiced].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["voiced_std"], frames[voiced].std(axis=0), rtol=1e-5)


@pytest.mark.parametrize("group", ["rms", "f0"])
def test_without_voice_what_needs_it_is_zero(group):
    found = of(gamma(30), voiced=np.zeros(30, bool), group=group)
    for statistic in EVERYWHERE if group == "f0" else ("voiced_mean", "voiced_std"):
        assert not found[statistic].any(), statistic
    assert group == "f0" or found["std"].all()


def test_groups_are_described_wherever_they_stand():
    """A voiced group between others takes its own columns, and theirs stay theirs."""
    frames, voiced = gamma(60, 4), np.arange(60) % 3 > 0
    groups = {"rms": ("a",), "f0": ("b",), "flux": ("c",), "hnr": ("d",)}
    found = dict(zip(names(groups, USUAL), functionals(frames, groups, USUAL, voiced), strict=True))
    for column, name in enumerate("abcd"):
        over = frames[voiced] if name in "bd" else frames
        assert found[f"{name}_mean"] == pytest.approx(over[:, column].mean(), rel=1e-5)
        assert found[f"{name}_p95"] == pytest.approx(np.percentile(over[:, column], 95), rel=1e-5)
    assert "c_voiced_mean" in found
    assert "b_voiced_mean" not in found


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"mean": False}, {"mean"}),
        ({"percentiles": []}, {"p05", "p50", "p95"}),
        ({"range": False, "slope": False}, {"range", "slope"}),
        ({"deltas": False}, {"std_difference", "std_delta_05", "std_delta_17"}),
        ({"voiced": False}, {"voiced_mean", "voiced_std"}),
    ],
)
def test_each_statistic_can_be_switched_off(change, lost):
    frames = gamma(40)
    usual, changed = of(frames), of(frames, with_(**change))
    assert set(usual) - set(changed) == lost
    for statistic, values in changed.items():
        np.testing.assert_array_equal(values, usual[statistic])


def test_any_percentile_interpolates_as_numpy_does():
    percents = [0, 1, 25, 33, 99, 100]
    for count in (1, 2, 7, 100):
        frames = gamma(count)
        found = of(frames, with_(percentiles=percents))
        for percent in percents:
            np.testing.assert_allclose(found[f"p{percent:02d}"], np.percentile(frames, percent, axis=0), rtol=1e-6)


def test_pitch_is_analysed_where_anything_asks_for_it():
    quiet = {"f0": False, "hnr": False, "formants": False}
    statistics = {"voiced": False, "voice_quality": False, "rhythm": False}
    base = USUAL.model_dump()

    def settings(**changes):
        groups = base["frames"] | quiet | {key: value for key, value in changes.items() if key in quiet}
        wanted = base["functionals"] | statistics | {k: v for k, v in changes.items() if k in statistics}
        return params.Featurize.model_validate(base | {"frames": groups, "functionals": wanted})

    assert not needs_f0(settings())
    for key in (*quiet, *statistics):
        assert needs_f0(settings(**{key: True})), key
    frames = gamma(20)
    groups = {"chroma": tuple("abcdef")}
    assert len(functionals(frames, groups, settings(), None)) == len(names(groups, settings()))


def test_a_ramp_has_its_slope_per_second_and_no_other_movement():
    found = of(np.arange(50) * 0.3)
    assert found["slope"] == pytest.approx(0.3 * FRAME_RATE, rel=1e-6)
    assert found["skewness"] == pytest.approx(0, abs=1e-6)
    for statistic in ("std_difference", "std_delta_05", "std_delta_17"):
        assert found[statistic] == pytest.approx(0, abs=1e-6)


def test_each_scale_sees_its_own_movement():
    """An oscillation of 4 frames moves between neighbours and has gone from lines over 17 frames."""
    time = np.arange(200)
    fast, slow = of(np.sin(2 * np.pi * time / 4)), of(np.sin(2 * np.pi * time / 60))
    assert fast["std_difference"] > 5 * slow["std_difference"]
    assert slow["std_delta_17"] > 3 * fast["std_delta_17"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17])
@pytest.mark.parametrize("kind", ["constant", "large constant", "random", "zeros"])
def test_short_and_even_clips_are_defined(count, kind):
    frames = {
        "constant": np.full((count, 4), -0.1),
        "large constant": np.full((count, 4), 7999.3),
        "random": np.random.default_rng(0).standard_normal((count, 4)),
        "zeros": np.zeros((count, 4)),
    }[kind]
    found = of(frames)
    assert all(np.isfinite(values).all() for values in found.values())
    np.testing.assert_allclose(found["mean"], frames.mean(axis=0), rtol=1e-5)
    if kind != "random" or count == 1:
        for statistic in set(EVERYWHERE) - {"mean", "p05", "p50", "p95"}:
            np.testing.assert_allclose(found[statistic], 0, atol=1e-5, err_msg=statistic)


def test_frames_are_not_changed():
    frames = gamma(30)
    kept = frames.copy()
    of(frames)
    np.testing.assert_array_equal(frames, kept)


def test_a_long_clip_takes_a_fraction_of_its_frames_in_memory():
    frames = np.random.default_rng(0).standard_normal((200_000, 40), dtype=np.float32)
    groups = {"mfcc": tuple(f"x{n}" for n in range(30)), "formants": tuple(f"y{n}" for n in range(10))}
    voiced = np.arange(len(frames)) % 2 == 0
    functionals(frames[:100], groups, USUAL, voiced[:100])
    tracemalloc.start()
    found = functionals(frames, groups, USUAL, voiced)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * frames.nbytes
    np.testing.assert_allclose(found[:30], frames[:, :30].mean(axis=0), atol=1e-5)
