from __future__ import annotations

import numpy as np
import pytest

from emodag import plots
from emodag.labels import EMOTIONS

CLASSES = ("neutral", "happy", "sad", "bored")
CONFUSION = np.array([[8, 2, 0, 0], [1, 9, 0, 0], [0, 0, 0, 0], [3, 0, 1, 6]])


def confusion(**changes):
    return plots.confusion_figure(
        CONFUSION, CLASSES, **{"title": "alpha, loso: UAR 77%", "notes": ["mlp", "9 clips"]} | changes
    )


def recall(**changes):
    return plots.recall_figure(
        np.array([0.8, 0.9, 0.6]),
        np.array([[0.5, 0.9], [0.8, 1.0], [0.6, 0.6]]),
        ("neutral", "happy", "bored"),
        **{"chance": 0.25, "uar": 0.77, "title": "alpha, loso: UAR 77%", "notes": ["mlp", "9 clips"]} | changes,
    )


def texts(figure) -> list[str]:
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]


def test_every_emotion_has_its_own_colour():
    assert tuple(plots.COLOURS) == EMOTIONS
    assert len(set(plots.COLOURS.values())) == len(EMOTIONS)


@pytest.mark.parametrize("draw", [confusion, recall])
def test_titles_tell_what_is_leaky(draw):
    assert "alpha, loso: UAR 77%" in texts(draw())
    assert "LEAKY: alpha, loso: UAR 77%" in texts(draw(leaky=True))


@pytest.mark.parametrize("draw", [confusion, recall])
def test_notes_stay_inside_the_figure(draw):
    figure = draw(notes=[f"a note of some length, number {number}" for number in range(7)])
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height


def test_confusion_shows_shares_and_counts_of_the_classes_that_occur():
    figure = confusion()
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["neutral  (10)", "happy  (10)", "bored  (10)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CLASSES)
    assert {"80%", "8", "90%", "9", "60%", "6"} <= set(texts(figure))
    np.testing.assert_allclose(axes.images[0].get_array().sum(axis=1), 1)


def test_bars_have_the_colours_of_their_emotions():
    from matplotlib.colors import to_hex

    bars = recall().axes[0].patches
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [plots.COLOURS[e] for e in ("neutral", "happy", "bored")]
    assert [bar.get_width() for bar in bars] == [0.8, 0.9, 0.6]


@pytest.mark.parametrize("draw", [confusion, recall])
def test_the_same_figure_gives_the_same_bytes(draw, tmp_path):
    for name in ("first.png", "again.png"):
        plots.save(draw(), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG")
