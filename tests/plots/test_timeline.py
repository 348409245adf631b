"""The picture of a conversation: it shows what it is given, short or long, inside its frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from emodag import plots
from emodag.conversation.timeline import TurningPoint
from emodag.plots.timeline import timeline_figure

MODEL = {"name": "mlp", "adaptation": "none", "scores": {"alpha": {"uar": 0.5, "low": 0.4, "high": 0.6}}}


def boxes(figure) -> list[Rectangle]:
    return [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]


def texts(figure) -> list[str]:
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts, *legends]]


@pytest.mark.parametrize(("duration", "turns", "speakers"), [(20, 4, 2), (240, 60, 2), (3600, 800, 2), (120, 40, 10)])
def test_nothing_leaves_the_figure(conversations, duration, turns, speakers):
    figure = timeline_figure(conversations(duration, turns, speakers, model=MODEL))
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    for text in [*figure.texts, *figure.axes[0].texts, *legends]:
        extent = text.get_window_extent()
        assert extent.x0 >= 0, text
        assert extent.x1 <= width, text
        assert 0 <= extent.y0 < extent.y1 <= height, text


def test_turns_are_coloured_by_emotion_and_pale_where_unsure(conversations):
    timeline = conversations(20, 4, 2)
    timeline = replace(timeline, turns=tuple(replace(turn, windows=()) for turn in timeline.turns))
    drawn = boxes(timeline_figure(timeline))
    # Lane by lane, as they are drawn.
    turns = [turn for speaker in timeline.speakers for turn in timeline.turns if turn.speaker == speaker.name]
    assert len(drawn) == len(turns)
    for box, turn in zip(drawn, turns, strict=True):
        assert box.get_x() == pytest.approx(turn.start)
        assert box.get_width() == pytest.approx(turn.end - turn.start)
        known = turn.feeling is not None and turn.feeling.emotion != "unknown"
        assert bool(box.get_hatch()) == (turn.feeling is not None and not known)
        if known:
            assert to_hex(box.get_facecolor()) == plots.COLOURS[turn.feeling.emotion]
            expected = 0.3 + 0.7 * (turn.feeling.confidence - 0.2) / 0.8
            assert box.get_facecolor()[3] == pytest.approx(expected)


def test_windows_are_shown_within_long_turns(conversations):
    timeline = conversations(20, 4, 2)
    expected = sum(len(turn.windows) + 1 if turn.windows else 1 for turn in timeline.turns)
    assert expected > len(timeline.turns)
    assert len(boxes(timeline_figure(timeline))) == expected


def test_a_long_conversation_is_shown_in_parts_of_equal_length(conversations):
    timeline = conversations(3600, 800, 2)
    drawn = boxes(timeline_figure(timeline))
    assert {round(box.get_width()) for box in drawn} == {30}
    # Heights are shares of the part, on a scale that all lanes share.
    by_lane = [sum(box.get_height() for box in drawn if (box.get_y() < 1.4) == first) for first in (True, False)]
    spoken = [speaker.speech for speaker in timeline.speakers]
    assert by_lane[0] / by_lane[1] == pytest.approx(spoken[0] / spoken[1], rel=1e-6)


def test_the_title_is_the_finding_and_the_notes_its_context(conversations):
    found = texts(timeline_figure(conversations(60, 16, 2, model=MODEL)))
    assert any("speaker_1 turns from neutral to angry at 0:" in text for text in found)
    assert any("UAR 50% (40% to 60%) on alpha" in text for text in found)
    assert any("neutral → angry" in text for text in found)


def test_turning_points_are_named_as_far_as_there_is_room(conversations):
    points = tuple(
        TurningPoint(time, "speaker_1", "sad", name) for time, name in ((10, "happy"), (17, "angry"), (18, "sad"))
    )
    found = texts(timeline_figure(replace(conversations(60, 16, 2), turning_points=points)))
    assert [text for text in found if "→" in text] == ["→ happy", "0:18  sad → sad"]


def test_names_are_no_formulas(conversations):
    timeline = conversations(60, 16, 2)
    speakers = tuple(replace(speaker, name="$\\frac{a}{$ " + speaker.name) for speaker in timeline.speakers)
    figure = timeline_figure(replace(timeline, speakers=speakers, recording="a$b$c_{.wav"))
    figure.canvas.draw()
    assert "$\\frac{a}{$ speaker_1" in [text.get_text().replace("\\$", "$") for text in figure.axes[0].texts]


def test_silence_has_a_picture(conversations):
    empty = replace(conversations(20, 4, 2), turns=(), speakers=(), turning_points=())
    figure = timeline_figure(empty)
    figure.canvas.draw()
    assert "No speech was found" in texts(figure)


def test_curves_lie_between_calm_and_excited(conversations):
    timeline = conversations(60, 16, 2)
    loud = tuple(
        replace(turn, windows=(), feeling=turn.feeling and replace(turn.feeling, arousal=1.0, valence=-1.0))
        for turn in timeline.turns
    )
    figure = timeline_figure(replace(timeline, turns=loud))
    lines = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_ydata()) > 2]
    heights = [np.unique(np.round(line[np.isfinite(line)], 6)) for line in lines]
    assert all(len(each) == 1 for each in heights)
    # Lanes run downwards: excitement lies above unpleasantness.
    assert all(excited < unpleasant for excited, unpleasant in zip(heights[::2], heights[1::2], strict=True))
