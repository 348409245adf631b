"""Valence and arousal under the probabilities of emotions."""

from __future__ import annotations

import numpy as np
import pytest

from emodag.conversation.affect import PLACES, affect
from emodag.labels import EMOTIONS


def test_every_emotion_of_the_vocabulary_has_a_place_on_the_plane():
    assert set(PLACES) == set(EMOTIONS)
    assert all(-1 <= value <= 1 for place in PLACES.values() for value in place)


def test_certainty_is_the_place_of_the_emotion_and_doubt_lies_between():
    classes = ("neutral", "happy", "angry")
    found = affect(np.array([[0, 0, 1], [1, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0]]), classes)
    np.testing.assert_allclose(found, [[-0.51, 0.59], [0, 0], [0.15, 0.55], [0.405, 0.255]])


@pytest.mark.parametrize(
    ("quality", "higher", "lower"),
    [("valence", "happy", "calm"), ("valence", "surprised", "angry"), ("arousal", "angry", "sad"),
     ("arousal", "sad", "bored"), ("arousal", "fearful", "calm")],
)  # fmt: skip
def test_places_are_ordered_as_people_order_them(quality, higher, lower):
    assert getattr(PLACES[higher], quality) > getattr(PLACES[lower], quality)
