"""Functionals against their definitions, and defined on clips too short or too even for them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from emodag.features.functionals import STATISTICS, functionals, names

FRAME_RATE = 100.0


def of(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Each statistic of all features: [features]."""
    frames = np.asarray(frames, dtype=np.float32).reshape(len(frames), -1)
    return dict(zip(STATISTICS, functionals(frames, FRAME_RATE).reshape(len(STATISTICS), -1), strict=True))


def test_each_column_has_a_name_of_feature_and_statistic():
    found = names(["rms", "mfcc_00"])
    assert len(found) == len(set(found)) == 2 * len(STATISTICS)
    assert found[:3] == ("rms_mean", "mfcc_00_mean", "rms_std")
    assert len(functionals(np.zeros((5, 2), np.float32), FRAME_RATE)) == len(found)


@pytest.mark.parametrize("count", [17, 18, 50, 400])
def test_statistics_follow_their_definitions(count):
    frames = np.random.default_rng(count).gamma(2.0, size=(count, 6)).astype(np.float32) * 10 - 60
    found = of(frames)
    exact = frames.astype(np.float64)
    expected = {
        "mean": exact.mean(axis=0),
        "std": exact.std(axis=0),
        "skewness": scipy.stats.skew(exact),
        "slope": np.polyfit(np.arange(count) / FRAME_RATE, exact, 1)[0],
        "std_difference": np.diff(exact, axis=0).std(axis=0),
        "std_delta_05": scipy.signal.savgol_filter(exact, 5, 1, deriv=1, axis=0)[2:-2].std(axis=0),
        "std_delta_17": scipy.signal.savgol_filter(exact, 17, 1, deriv=1, axis=0)[8 : count - 8].std(axis=0),
    }
    assert list(expected) == list(STATISTICS)
    for statistic, values in expected.items():
        np.testing.assert_allclose(found[statistic], values, rtol=1e-5, atol=1e-6, err_msg=statistic)


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
        for statistic in STATISTICS[1:]:
            np.testing.assert_allclose(found[statistic], 0, atol=1e-5, err_msg=statistic)


def test_frames_are_not_changed():
    frames = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    kept = frames.copy()
    functionals(frames, FRAME_RATE)
    np.testing.assert_array_equal(frames, kept)
