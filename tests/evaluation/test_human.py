from __future__ import annotations

import numpy as np
import pytest

from emodag import evaluation

OPTIONS = {"confidence": 0.95, "resamples": 200, "seed": 0}
TRUTH = np.array(["happy", "happy", "sad", "sad", "angry", "angry"])
SPEAKERS = np.array(list("ababab"))


def test_listeners_and_the_model_are_scored_on_the_same_clips():
    perceived = np.array(["happy", "sad", "sad", "sad", None, "happy"], object)
    predicted = np.array(["happy", "happy", "sad", "happy", "happy", "happy"])
    found = evaluation.human_baseline(TRUTH, predicted, perceived, SPEAKERS, **OPTIONS)
    assert found.listeners.clips == found.model.clips == 5
    assert found.undecided == 1
    assert found.listeners.summary()["uar"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found.model.summary()["uar"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.agreement == pytest.approx(3 / 5)
    low, high = found.listeners.intervals.uar
    assert low <= found.listeners.summary()["uar"] <= high


def test_listeners_may_hear_what_the_model_does_not_know():
    perceived = np.array(["bored", "happy", "sad", "sad", "angry", "angry"], object)
    found = evaluation.human_baseline(TRUTH, TRUTH, perceived, SPEAKERS, **OPTIONS)
    assert found.listeners.summary()["uar"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found.model.summary()["uar"] == 1
    assert found.heard == ("happy", "sad", "angry", "bored")


def test_without_listeners_there_is_no_baseline():
    nobody = np.full(6, None, object)
    assert evaluation.human_baseline(TRUTH, TRUTH, nobody, SPEAKERS, **OPTIONS) is None


def test_rows_of_several_seeds_count_each_clip_once():
    perceived = np.array(["happy", None, "sad", "sad", "angry", "happy"], object)
    found = evaluation.human_baseline(
        *(np.repeat(each, 3) for each in (TRUTH, TRUTH, perceived, SPEAKERS)), **OPTIONS, repeats=3
    )
    assert (found.listeners.clips, found.model.clips, found.undecided) == (5, 5, 1)
