"""From frames to stretches of speech."""

from __future__ import annotations

import numpy as np
import pytest

from emodag.diarization.segmentation import Frames
from emodag.diarization.stretches import runs, stretches


def frames(length: int, speech=(), overlap=(), change=()) -> Frames:
    """Nothing, but for those places: (first frame, one past the last, value)."""
    values = [np.zeros(length, np.float32) for _ in range(3)]
    for array, places in zip(values, (speech, overlap, change), strict=True):
        for start, end, value in places:
            array[start:end] = value
    return Frames(*values)


def found(given: Frames) -> list[tuple[int, int, bool]]:
    return [(stretch.start, stretch.end, stretch.overlap) for stretch in stretches(given)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (frames(0), []),
        (frames(100), []),
        (frames(100, [(0, 100, 0.5)]), []),
        (frames(100, [(20, 70, 0.99)]), [(20, 70, False)]),
        (frames(100, [(0, 40, 0.99), (60, 100, 0.99)]), [(0, 40, False), (60, 100, False)]),
        (frames(100, [(0, 100, 0.99)], change=[(40, 50, 0.3), (45, 46, 0.9)]), [(0, 45, False), (45, 100, False)]),
        (frames(100, [(0, 100, 0.99), (50, 53, 0.7), (51, 52, 0.65)]), [(0, 51, False), (51, 100, False)]),
        (frames(100, [(0, 100, 0.99), (0, 4, 0.7)]), [(0, 100, False)]),
        (frames(90, [(0, 90, 0.99)], [(30, 60, 0.9)]), [(0, 30, False), (30, 60, True), (60, 90, False)]),
        (frames(90, [(0, 30, 0.99)], [(30, 60, 0.9)]), [(0, 30, False)]),
    ],
    ids=[
        "empty",
        "silence",
        "unsure",
        "one",
        "a pause",
        "a change",
        "a dip",
        "a dip at the end",
        "overlap",
        "no speech",
    ],
)
def test_speech_is_cut_where_something_happens(given, expected):
    assert found(given) == expected


@pytest.mark.parametrize("length", [101, 149, 151, 1000, 100_000])
def test_long_stretches_are_cut_and_none_is_lost(length):
    sign = 0.9 if length <= 150 else 0.99
    parts = found(frames(length, [(0, length, sign)]))
    assert [start for start, *_ in parts[1:]] == [end for _, end, _ in parts[:-1]]
    assert (parts[0][0], parts[-1][1]) == (0, length)
    assert max(end - start for start, end, _ in parts) <= 150
    assert min(end - start for start, end, _ in parts) >= 25


def test_a_long_stretch_is_cut_at_its_strongest_sign():
    assert found(frames(120, [(0, 120, 0.99), (70, 72, 0.9)])) == [(0, 70, False), (70, 120, False)]


def test_runs():
    assert runs(np.array([1, 1, 0, 1, 0, 0, 1], bool)).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert runs(np.zeros(0, bool)).shape == (0, 2)
