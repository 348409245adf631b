from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.colors import to_hex

from emodag import plots

PLACES = np.random.default_rng(0).normal(size=(30, 2))
LABELS = {
    "emotion": np.repeat(["sad", "happy", "neutral"], 10),
    "speaker": np.array([f"alpha/{number:02d}" for number in range(30)]),
    "corpus": np.repeat(["alpha", "beta"], 15),
}


def draw(**changes):
    return plots.embedding_figure(PLACES, LABELS, **{"title": "a map", "notes": ["30 clips"]} | changes)


def test_every_kind_of_label_has_a_panel_with_all_clips():
    figure = draw()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["emotion", "speaker: 30 colours", "corpus"]
    for axes in figure.axes:
        drawn = axes.collections[0].get_offsets()
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(PLACES, axis=0))


def test_emotions_have_the_colours_they_have_everywhere():
    points = draw().axes[0].collections[0]
    colour_at = {
        tuple(place): to_hex(colour) for place, colour in zip(points.get_offsets(), points.get_facecolor(), strict=True)
    }
    for place, emotion in zip(PLACES, LABELS["emotion"], strict=True):
        assert colour_at[tuple(place)] == plots.COLOURS[emotion]


def test_few_labels_have_a_legend_in_the_order_of_emotions_and_many_have_none():
    emotion, speaker, corpus = draw().axes
    assert [text.get_text() for text in emotion.get_legend().get_texts()] == ["neutral", "happy", "sad"]
    assert speaker.get_legend() is None
    assert [text.get_text() for text in corpus.get_legend().get_texts()] == ["alpha", "beta"]


def test_titles_tell_what_is_leaky():
    assert "LEAKY: a map" in [text.get_text() for text in draw(leaky=True).texts]


def test_legends_of_long_names_do_not_lie_over_each_other_or_leave_the_figure():
    labels = {
        "emotion": np.resize(["sad", "happy", "neutral", "angry", "fearful", "disgust", "surprised", "bored"], 30),
        "speaker": np.resize([f"my_voices/anna_maria_{number:02d}" for number in range(8)], 30),
        "corpus": np.repeat(["customer_service_en", "customer_service_de"], 15),
    }
    figure = plots.embedding_figure(PLACES, labels, title="a map", notes=["30 clips"])
    figure.canvas.draw()
    boxes = [axes.get_legend().get_window_extent() for axes in figure.axes]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
    assert boxes[0].x0 >= 0
    assert boxes[-1].x1 <= figure.canvas.get_width_height()[0]
    assert min(box.y0 for box in boxes) >= 0
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()][:2] == [
        "anna_maria_00",
        "anna_maria_01",
    ]
