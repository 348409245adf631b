"""Pictures of calibration, rejection, fairness and robustness: they show what they are given, inside their frame."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from emodag import evaluation, plots
from emodag.evaluation.comparison import compare
from emodag.plots.base import ALARM
from emodag.robustness import Robustness, Spoilt

NOTES = ["mlp", "360 clips", "12 speakers"]
FORMULA = r"a$\frac{b$ c"  # no valid one


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    truth = np.tile(np.arange(3), 120)
    speakers = np.repeat([f"alpha/{number}" for number in range(12)], 30)
    sexes = np.where(np.repeat(np.arange(12), 30) < 6, "female", "male").astype(object)
    logits = rng.normal(size=(360, 3))
    logits[np.arange(360), truth] += np.where(sexes == "female", 4.0, 0.0)
    probabilities = evaluation.tempered(np.exp(logits), 1.0)
    predicted = probabilities.argmax(axis=1)
    drawn = {"confidence": 0.95, "resamples": 300, "seed": 0}
    return {
        "calibration": evaluation.calibration_of(probabilities, truth, np.full(360, 1.5), 10),
        "rejection": evaluation.rejection_of(probabilities.max(axis=1), truth, predicted, 3, 0.5),
        "fairness": evaluation.fairness_of(truth, predicted, speakers, {"sex": sexes}, 3, **drawn),
        "robustness": Robustness(
            120,
            8,
            (
                Spoilt("clean", "clean", 0.8, (0.7, 0.9), 0.0, (0.0, 0.0)),
                Spoilt("noise_0", "white noise at 0 dB", 0.4, (0.3, 0.5), 0.4, (0.3, 0.5)),
            ),
        ),
    }


@pytest.fixture(params=["reliability", "coverage", "fairness", "robustness"])
def draw(request, found):
    def drawn(**changes):
        titles = {"title": "alpha, loso: UAR 77%", "notes": NOTES} | changes
        match request.param:
            case "reliability":
                return plots.reliability_figure(found["calibration"], **titles)
            case "coverage":
                return plots.coverage_figure(found["rejection"], **titles)
            case "fairness":
                return plots.fairness_figure(found["fairness"], uar=0.7, chance=1 / 3, **titles)
        return plots.robustness_figure(found["robustness"], chance=1 / 3, **titles)

    return drawn


def texts(figure) -> list[str]:
    axes = figure.axes[0]
    labels = [*axes.get_yticklabels(), *axes.get_xticklabels(), axes.xaxis.label]
    legend = axes.get_legend().get_texts() if axes.get_legend() else []
    return [text.get_text() for text in [*figure.texts, *axes.texts, *labels, *legend]]


def test_titles_tell_what_is_leaky(draw):
    assert "alpha, loso: UAR 77%" in texts(draw())
    assert "LEAKY: alpha, loso: UAR 77%" in texts(draw(leaky=True))


@pytest.mark.parametrize(
    "title", ["alpha, loso: UAR 77%", "customer_service_en, speaker_kfold: UAR 63.4% [58.1, 68.9]"]
)
def test_all_text_stays_inside_the_figure(draw, title):
    figure = draw(title=title, notes=[f"a note of some length, number {number}" for number in range(6)], leaky=True)
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    axes = figure.axes[0]
    for text in [*figure.texts, *axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels(), axes.xaxis.label]:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height


def test_the_same_figure_gives_the_same_bytes(draw, tmp_path):
    for name in ("first.png", "again.png"):
        plots.save(draw(), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_reliability_shows_both_curves_with_their_errors(found):
    calibration = found["calibration"]
    figure = plots.reliability_figure(calibration, title="", notes=NOTES)
    _, raw, calibrated = figure.axes[0].lines
    np.testing.assert_array_equal(raw.get_ydata(), calibration.raw.curve.accuracy)
    np.testing.assert_array_equal(calibrated.get_xdata(), calibration.calibrated.curve.confidence)
    assert f"as the model says: ECE {calibration.raw.ece:.1%}" in texts(figure)
    assert f"at temperature 1.50: ECE {calibration.calibrated.ece:.1%}" in texts(figure)


def test_coverage_marks_where_the_model_stands(found):
    rejection = found["rejection"]
    figure = plots.coverage_figure(rejection, title="", notes=NOTES)
    accuracy, uar, mark = figure.axes[0].lines
    np.testing.assert_array_equal(accuracy.get_ydata(), rejection.accuracies)
    np.testing.assert_array_equal(uar.get_ydata(), rejection.uars)
    assert set(mark.get_xdata()) == {rejection.answered}
    assert any(f"{rejection.answered:.0%} answered, {rejection.accuracy:.0%} right" in text for text in texts(figure))


def test_a_model_that_answers_nothing_can_be_drawn():
    nothing = evaluation.rejection_of(np.array([0.4, 0.5]), np.array([0, 1]), np.array([0, 1]), 2, 0.9)
    assert any("0% answered, none" in text for text in texts(plots.coverage_figure(nothing, title="", notes=NOTES)))


def test_fairness_shows_what_stands_out_in_another_colour(found):
    figure = plots.fairness_figure(found["fairness"], uar=0.7, chance=1 / 3, title="", notes=NOTES)
    assert {"sex: female  (6)", "sex: male  (6)", "each speaker  (12)"} <= set(texts(figure))
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [part.uar for part in found["fairness"].subgroups]
    assert {to_hex(dot.get_color()) for dot in dots} == {ALARM}
    assert found["fairness"].speakers[0].speaker in texts(figure)
    (speakers,) = figure.axes[0].collections
    assert sorted(speakers.get_offsets()[:, 0]) == pytest.approx([each.uar for each in found["fairness"].speakers])


def test_robustness_shows_every_condition(found):
    figure = plots.robustness_figure(found["robustness"], chance=1 / 3, title="", notes=NOTES)
    assert {"clean", "white noise at 0 dB", "80%", "40%", "clean 80%"} <= set(texts(figure))
    assert "UAR on 120 clips of 8 speakers, as spoilt" in texts(figure)


def test_names_are_no_formulas(found):
    fairness = found["fairness"]
    odd = replace(
        fairness,
        subgroups=tuple(replace(part, value=FORMULA) for part in fairness.subgroups),
        speakers=(replace(fairness.speakers[0], speaker=FORMULA), *fairness.speakers[1:]),
    )
    figure = plots.fairness_figure(odd, uar=0.6, chance=1 / 3, title=FORMULA, notes=[FORMULA])
    figure.canvas.draw()
    told = {text.get_text().replace(r"\$", "$") for text in figure.findobj(Text)}
    assert told >= {FORMULA, f"for whom it works · {FORMULA}", f"sex: {FORMULA}  (6)"}


def test_names_in_a_map_are_no_formulas():
    voices = np.repeat([FORMULA, "d"], 6)
    places = np.random.default_rng(0).normal(size=(12, 2))
    plots.embedding_figure(places, {"speaker": voices}, title="map", notes=NOTES).canvas.draw()


def test_names_of_compared_runs_are_no_formulas():
    rng = np.random.default_rng(0)
    truth, speakers = np.tile(np.arange(3), 20), np.repeat(np.arange(6), 10)
    comparison = compare(truth, rng.random((2, 60)) < 0.6, speakers, ("happy", "sad", "angry"), resamples=50)
    plots.comparison_figure(comparison, (FORMULA, "b"), title=FORMULA, notes=NOTES).canvas.draw()


def test_without_a_header_a_picture_loses_nothing_else(found):
    figure = plots.coverage_figure(found["rejection"], title="corpus, loso: UAR 50 %", notes=NOTES)
    whole, bare, again = (plots.svg(figure, header=header) for header in (True, False, True))
    assert whole == again
    heights = [float(re.search(rb'height="([\d.]+)pt"', each)[1]) / 72 for each in (whole, bare)]
    assert heights[0] - heights[1] == pytest.approx(0.9, abs=0.01)
    assert len(bare) < len(whole)


def test_groups_of_long_names_stay_inside_the_figure(found):
    fairness = found["fairness"]
    long = replace(fairness.subgroups[0], attribute="intensity", value="moderately expressive")
    told = {"uar": 0.7, "chance": 1 / 3, "title": "", "notes": NOTES}
    figure = plots.fairness_figure(replace(fairness, subgroups=(long, *fairness.subgroups)), **told)
    figure.canvas.draw()
    assert min(label.get_window_extent().x0 for label in figure.axes[0].get_yticklabels()) >= 0
    assert "intensity: moderately expressive  (6)" in texts(figure)


def test_what_the_model_answers_among_stands_where_it_is_more_than_what_is_scored(found):
    figure = plots.coverage_figure(
        found["rejection"], among="among all 8 emotions that it knows", title="", notes=NOTES
    )
    assert "what it gains by not answering, among all 8 emotions that it knows" in figure.texts[1].get_text()


def test_a_comparison_of_long_names_stays_inside_the_figure():
    rng = np.random.default_rng(0)
    truth, speakers = np.tile(np.arange(3), 40), np.repeat([str(number) for number in range(8)], 15)
    hits = (rng.random((2, 120)) < np.array([[0.5], [0.9]])).astype(float)
    drawn = {"confidence": 0.95, "resamples": 200, "seed": 0}
    found = compare(truth, hits, speakers, ("neutral", "happy", "sad"), **drawn)
    names = ("speaker_kfold-mlp_deep-a", "speaker_kfold-xgboost-ab")
    title = f"customer_service_en: {names[1]} against {names[0]}: UAR +40.0 [31.2, 48.1]"
    figure = plots.comparison_figure(found, names, title=title, notes=NOTES)
    figure.canvas.draw()
    width, _ = figure.canvas.get_width_height()
    differences = figure.axes[0].child_axes[1]
    for text in [*figure.texts, *differences.texts]:
        assert text.get_window_extent().x0 >= 0
        assert text.get_window_extent().x1 <= width
    assert any("ahead in" in text.get_text() for text in differences.texts)
