from __future__ import annotations

import numpy as np
import pandas as pd

from emodag import plots


def curves(lengths: dict[int, int], measures=("loss", "validation_loss"), scale=1.0) -> pd.DataFrame:
    """Falling curves of folds of some lengths; fold ``n`` starts at ``n``."""
    rows = [
        (0, fold, epoch, measure, scale * fold / epoch)
        for fold, length in lengths.items()
        for measure in measures
        for epoch in range(1, length + 1)
    ]
    return pd.DataFrame(rows, columns=["seed", "fold", "epoch", "measure", "value"])


def draw(table, **changes):
    return plots.learning_figure(table, **{"title": "mlp", "notes": ["2 folds"]} | changes)


def test_every_measure_has_its_axes_and_every_fold_its_line():
    figure = draw(curves({1: 5, 2: 5}, ("loss", "validation_loss", "validation_uar", "learning_rate")))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "loss", "validation loss", "validation uar", "learning rate",
    ]  # fmt: skip
    assert all(len(axes.lines) == 3 for axes in figure.axes)


def test_the_mean_ends_where_the_first_fold_stopped():
    axes = draw(curves({1: 3, 2: 8})).axes[0]
    mean = axes.lines[-1]
    np.testing.assert_array_equal(mean.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(mean.get_ydata(), [1.5, 0.75, 0.5])
    assert axes.get_xlim() == (1, 8)


def test_one_epoch_can_be_drawn():
    plots.svg(draw(curves({1: 1})))


def test_titles_tell_what_is_leaky():
    assert "LEAKY: mlp" in [text.get_text() for text in draw(curves({1: 2}), leaky=True).texts]


def test_axes_do_not_overlap():
    figure = draw(curves({1: 4}, tuple("abcdefg")))
    boxes = [axes.get_position() for axes in figure.axes]
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_the_same_figure_is_the_same_svg():
    table = curves({1: 4, 2: 6})
    assert plots.svg(draw(table)) == plots.svg(draw(table))
    text = plots.svg(draw(table)).decode()
    assert text.count("<svg") == 1
    assert "<dc:date>" not in text
