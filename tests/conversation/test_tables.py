"""A timeline as text for people and programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from emodag.conversation import tables
from emodag.conversation.timeline import Feeling, Speaker, Timeline, Turn, TurningPoint

CLASSES = ("neutral", "angry")


def felt(start, end, angry, emotion):
    return Feeling(start, end, (1 - angry, angry), emotion, 0.59 * angry, -0.51 * angry)


@pytest.fixture
def timeline() -> Timeline:
    windows = (felt(6, 10, 0.3, "neutral"), felt(8, 12, 0.9, "angry"))
    turns = (
        Turn(0, 5.00049, "a", 0.5, felt(0, 5.00049, 0.2, "neutral"), text='He said "no", twice'),
        Turn(6, 12, "b", 0.0, felt(6, 12, 0.6, "angry"), windows),
        Turn(13, 13.2, "a", 0.0, None),
    )
    speakers = (
        Speaker("a", 5.2, 2, {"neutral": 1.0}, 0.1, -0.1),
        Speaker("b", 6, 1, {"angry": 0.5, "neutral": 0.5}, 0, 0),
    )
    return Timeline(
        "call.wav", 14.0, CLASSES, turns, speakers, (TurningPoint(9.0, "b", "neutral", "angry"),), ("mind",)
    )


def test_an_emotion_that_comes_back_is_told_again(timeline):
    emotions = ("angry", "neutral", "neutral", "angry")
    windows = tuple(felt(6 + start, 10 + start, 0.5, emotion) for start, emotion in enumerate(emotions))
    turns = (replace(timeline.turns[1], windows=windows),)
    lines = tables.told(replace(timeline, turns=turns, speakers=timeline.speakers[1:]))
    assert any("(angry, then neutral, then angry)" in line for line in lines)
    assert any("s in one turn, angry and neutral most often (50% each)" in line for line in lines)


def test_json_holds_all_with_the_most_probable_first(timeline):
    found = json.loads(json.dumps(tables.described(timeline), allow_nan=False))
    assert found["turns"][0]["feeling"]["probabilities"] == {"neutral": 0.8, "angry": 0.2}
    assert list(found["turns"][1]["feeling"]["probabilities"]) == ["angry", "neutral"]
    assert found["turns"][0]["end"] == 5.0
    assert found["turns"][2]["feeling"] is None
    assert [each["emotion"] for each in found["turns"][1]["windows"]] == ["neutral", "angry"]
    assert found["turning_points"] == [{"time": 9.0, "speaker": "b", "before": "neutral", "after": "angry"}]
    assert found["speakers"][0] == {
        "name": "a", "speech": 5.2, "turns": 2, "shares": {"neutral": 1.0}, "arousal": 0.1, "valence": -0.1
    }  # fmt: skip
    assert found["notes"] == ["mind"]


def test_csv_has_a_row_for_each_turn_and_window(timeline):
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(timeline))))
    assert [(row["kind"], row["start"], row["emotion"]) for row in rows] == [
        ("turn", "0", "neutral"), ("turn", "6", "angry"), ("window", "6", "neutral"), ("window", "8", "angry"),
        ("turn", "13", ""),
    ]  # fmt: skip
    assert rows[0]["text"] == 'He said "no", twice'
    assert (rows[0]["neutral"], rows[0]["angry"], rows[0]["overlap"]) == ("0.8", "0.2", "0.5")
    assert {rows[4][column] for column in ("confidence", "neutral", "angry", "valence")} == {""}


def test_lines_for_people_tell_turns_speakers_and_turning_points(timeline):
    lines = tables.told(timeline)
    assert lines[0].startswith("call.wav: ")
    assert any(line.split()[:5] == ["0:06", "b", "6.0", "s", "angry"] for line in lines)
    assert any("(neutral, then angry)" in line for line in lines)
    assert any("(not judged)" in line for line in lines)
    assert "  0:09  b turns from neutral to angry" in lines
    assert "mind" in lines


def test_an_empty_timeline_is_told_too():
    empty = Timeline("s.wav", 3.0, CLASSES, (), (), (), ("no speech was found",))
    assert tables.told(empty)[0] == "s.wav: No speech was found"
    assert tables.as_csv(empty).count("\n") == 1
    assert tables.described(empty)["turns"] == []


def test_who_speaks_when_survives_as_an_annotation(timeline):
    found = tables.speakers_of(timeline)
    assert [(segment.start, label) for segment, _, label in found.itertracks(yield_label=True)] == [
        (0, "a"), (6, "b"), (13, "a")
    ]  # fmt: skip
