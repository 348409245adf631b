"""The report as a whole: that it tells what was found, is well-formed, loads nothing and is always the same."""

from __future__ import annotations

import base64
import re
from collections import Counter
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from emodag import layout, plots, reports
from emodag.documents import page
from emodag.documents import report as report_module
from emodag.documents.report import report_page
from emodag.errors import DataError
from emodag.evaluation import Human, tempered
from emodag.evaluation.fairness import Subgroup
from emodag.predict import predict
from emodag.robustness import Robustness, Spoilt


@pytest.fixture
def findings(found, monkeypatch):
    monkeypatch.chdir(found.place)
    return found.findings


@pytest.fixture(scope="module")
def html(found) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found.place)
        return page.render(report_page(found.findings))


@pytest.fixture(scope="module")
def read(html, read_html):
    return read_html(html)


def test_the_page_is_well_formed_and_its_links_lead_somewhere(read):
    assert not read.open
    names = Counter(attributes["id"] for _, attributes in read.elements if "id" in attributes)
    # What pictures name by its look may be there twice; sections may not.
    sections = [attributes["id"] for attributes in read.of("section")]
    assert all(names[section] == 1 for section in sections)
    assert {link["href"] for link in read.of("a")} <= {f"#{name}" for name in names}
    assert [link["href"].removeprefix("#") for link in read.of("a")][1 : len(sections) + 1] == sections


def test_the_page_loads_nothing_and_runs_nothing(html, read):
    assert not {"script", "iframe", "link", "object", "embed", "img"} & {tag for tag, _ in read.elements}
    for _, attributes in read.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "url(" not in html.replace("url(#", "")
    assert "@import" not in html


def test_the_same_findings_give_the_same_bytes(html, findings):
    assert page.render(report_page(findings)) == html


def test_every_score_stands_beside_its_protocol_interval_and_chance(read, findings):
    text = read.seen
    for report in findings.reports:
        low, high = report.scores.intervals.uar
        assert f"{report.corpus} {report.protocol} {100 * report.summary()['uar']:.1f} % UAR chance 100" in text
        assert f"{100 * low:.1f}% to {100 * high:.1f}% 95% interval over speakers" in text
    assert "leaky" not in text
    assert "beta: 12 of bored were not scored" in text
    assert "0123abc" in text


@pytest.mark.parametrize(
    ("speakers", "told"),
    [
        (1, "95% interval over clips: one speaker only"),
        (2, "no interval: the range over two speakers"),
        (4, "95% interval over speakers, too narrow: 4 are few"),
        (6, "95% interval over speakers"),
    ],
)
def test_an_interval_over_few_speakers_is_told_as_such(findings, speakers, told):
    report = findings.reports[0]
    unit = "clips" if speakers == 1 else "speakers"
    scores = replace(report.scores, speakers=speakers, intervals=replace(report.scores.intervals, unit=unit))
    report = replace(report, scores=scores)
    assert told in report.notes
    assert f"{told}</p>" in page.render(report_page(replace(findings, reports=[report])))


def test_a_leaky_score_is_told_in_every_place(findings):
    leaky = replace(findings.reports[0], leaky=True, protocol="random")
    made = report_page(replace(findings, reports=[leaky, findings.reports[1]]))
    html = page.render(made)
    assert '<article class="score leaky">' in html
    assert html.count("leaky</strong>") == 2
    assert 'class="leaky">alpha</a>' in html
    assert html.count("The same voices train and are tested") >= 2


def test_voices_that_train_are_not_called_validation_speakers(findings, html, monkeypatch):
    assert "validation speakers" in html
    told = {}
    drawn = plots.learning_figure
    monkeypatch.setattr(plots, "learning_figure", lambda *args, **rest: told.update(rest) or drawn(*args, **rest))
    shipped = replace(findings.bundle, protocol="random", scores={"alpha": {"uar": 0.9, "leaky": True}})
    leaky = page.render(report_page(replace(findings, bundle=shipped)))
    assert "validation speakers" not in leaky
    assert "UAR on validation clips of known voices" in leaky
    assert told["leaky"]
    assert told["notes"][-1].startswith("validation clips of known voices: held out of the training part")


def test_where_nobody_is_held_out_nothing_is_called_fitted(findings):
    html = page.render(report_page(replace(findings, validated={}, bundle=replace(findings.bundle, chosen={}))))
    assert "nobody was held out to fit it to" in html
    assert "; nobody was held out to fit a temperature to." in html
    assert "at the temperature that was found" not in html
    assert "Decided by" not in html


def test_who_was_held_out_in_a_corpus_that_was_not_tested_is_told(findings):
    """Under `holdout`, the speakers who stop the training need not be of a corpus that is tested."""
    of_tested = [replace(report, uar_validation=None) for report in findings.reports]
    html = page.render(report_page(replace(findings, reports=of_tested, validated={"gamma": 0.5})))
    assert "fitted to validation speakers" in html
    assert "gamma 50.0%" in html


def test_clips_are_counted_once_under_several_seeds(findings, read_html):
    report = findings.reports[0]
    thrice = replace(report.scores, confusion=3 * report.scores.confusion, repeats=3)
    once, often = (
        next(
            block
            for section in report_page(replace(findings, reports=[each])).sections
            for block in section.blocks
            if block.kind == "confusion"
        ).rows
        for each in (report, replace(report, scores=thrice, seeds=(0.5,) * 3))
    )
    assert once == often
    assert sum(float(row["clips"]) for row in once) == report.scores.clips


def test_the_map_knows_the_policy_for_calm(findings, synthetic_corpus, monkeypatch):
    drawn = {}

    def map_of(places, labels, **rest):
        drawn.update(labels, notes=rest["notes"])
        return plots.embedding_figure(places, labels, **rest)

    calm = findings.data[1].index.assign(emotion=findings.data[1].index["emotion"].replace("bored", "calm"))
    data = [findings.data[0], replace(findings.data[1], index=calm)]
    monkeypatch.setattr(report_module, "plots", SimpleNamespace(**vars(plots) | {"embedding_figure": map_of}))
    for policy, expected in (("keep", True), ("neutral", False), ("drop", False)):
        report_module.map_section(replace(findings, data=data, bundle=replace(findings.bundle, calm=policy)))
        assert ("calm" in set(drawn["emotion"])) == expected
        assert f"calm: {policy}" in drawn["notes"]


def subgroup(**changes) -> Subgroup:
    facts = {"attribute": "sex", "value": "female", "clips": 20, "speakers": 3, "uar": 0.5, "interval": (0.4, 0.6)}
    return Subgroup(**(facts | {"difference": 0.1, "difference_interval": None, "stands_out": False} | changes))


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ((), "Nothing is known by which its speakers or clips could be grouped."),
        ((subgroup(),), "Its groups have too few speakers to tell them apart from the others."),
        (
            (subgroup(difference_interval=(-0.1, 0.2)),),
            "No group can be told apart from the others by more than chance",
        ),
        (
            (subgroup(difference_interval=(0.05, 0.2), stands_out=True),),
            "Told apart from all others by more than chance: sex female (+10 points).",
        ),
    ],
)
def test_of_fairness_no_more_is_said_than_was_looked_at(findings, groups, told):
    report = findings.reports[0]
    html = page.render(
        report_page(replace(findings, reports=[replace(report, fairness=replace(report.fairness, subgroups=groups))]))
    )
    assert told in html


def test_one_speaker_does_not_differ_from_others(findings):
    report = findings.reports[0]
    alone = replace(report.fairness, speakers=report.fairness.speakers[:1])
    html = page.render(report_page(replace(findings, reports=[replace(report, fairness=alone)])))
    assert "between speakers" not in html


def test_listeners_who_could_answer_more_are_told_of(findings):
    scores = findings.reports[0].scores
    human = Human(scores, scores, 0.5, 3, ("neutral", "happy", "bored"))
    html = page.render(report_page(replace(findings, reports=[replace(findings.reports[0], human=human)])))
    assert ("Listeners also heard bored" in html) == ("bored" not in scores.classes)
    known = replace(human, heard=scores.classes)
    html = page.render(report_page(replace(findings, reports=[replace(findings.reports[0], human=known)])))
    assert "Listeners also heard" not in html


def test_mistakes_can_be_heard(read, findings):
    clips = read.of("audio")
    assert len(clips) == 2 * findings.params.evaluate.examples
    for clip in clips:
        kind, _, content = clip["src"].partition(";base64,")
        assert kind == "data:audio/flac"
        samples, rate = soundfile.read(BytesIO(base64.b64decode(content)))
        assert rate == 16_000
        assert len(samples) in (8_000, 160_000)  # as it is, or the first ten seconds


def test_without_examples_no_sound_is_needed(findings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"manifest\.parquet: no such table"):
        report_page(findings)
    without = findings.params.evaluate.model_copy(update={"examples": 0})
    made = report_page(replace(findings, params=findings.params.model_copy(update={"evaluate": without})))
    assert "<audio" not in page.render(made)
    assert not layout.organized("alpha").exists()


def test_a_model_without_curves_says_so(findings):
    html = page.render(report_page(replace(findings, curves=findings.curves.iloc[:0])))
    assert "mlp is not trained in epochs or rounds" in html


def test_names_are_escaped(findings):
    odd = replace(findings.reports[0], corpus="alpha", model="<b>bold</b>")
    html = page.render(report_page(replace(findings, reports=[odd])))
    assert "<b>bold</b>" not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html


def test_pictures_follow_the_inks_that_plots_draw_with(html):
    from emodag.plots.base import ALARM, FAINT, INK

    for ink in (INK, FAINT, ALARM):
        assert f'[style*="fill: {ink}"]' in html
    drawn = html[html.index("</style>") :]
    assert re.search(rf'style="[^"]*fill: {INK}', drawn)
    assert "<metadata" not in drawn
    assert 'id="figure_1"' not in drawn


def test_writing_replaces_the_file_whole(findings, tmp_path):
    path = tmp_path / "report" / "index.html"
    page.write(path, report_page(findings))
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [each.name for each in path.parent.iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("conditions", "speakers", "told"),
    [
        ([], 4, "Nothing was tried: evaluate.robustness names no condition."),
        (
            [Spoilt("noise_20", "white noise at 20 dB", 0.8, (0.7, 0.9), 0.0, (-0.09, 0.11))],
            12,
            "No loss was found on these clips; white noise at 20 dB comes closest to one "
            "(points lost: -9 to 11, over 12 speakers).",
        ),
        (
            [
                Spoilt("telephone", "telephone", 0.6, (0.5, 0.7), 0.2, (0.1, 0.3)),
                Spoilt("noise_0", "white noise at 0 dB", 0.3, (0.2, 0.4), 0.5, (0.41, 0.59)),
            ],
            4,
            "Most harm comes of white noise at 0 dB: 50 points of UAR are lost on the same clips "
            "(41 to 59, over 4 speakers, which are too few to trust it).",
        ),
        (
            [Spoilt("noise_0", "white noise at 0 dB", 0.3, (0.2, 0.4), 0.5, (0.4, 0.6))],
            1,
            "Most harm comes of white noise at 0 dB: 50 points of UAR are lost on the same clips "
            "(40 to 60, over clips of one speaker).",
        ),
    ],
)
def test_robustness_is_told_with_what_its_interval_leaves_open(findings, conditions, speakers, told):
    clean = Spoilt("clean", "clean", 0.8, (0.7, 0.9), 0.0, (0.0, 0.0))
    report = replace(findings.reports[0], robustness=Robustness(70, speakers, (clean, *conditions)))
    assert told in page.render(report_page(replace(findings, reports=[report])))


def test_what_is_rejected_of_a_test_corpus_is_what_the_shipped_model_answers(findings):
    """It may answer emotions that the corpus lacks, and is then wrong; scores go by the shared ones alone."""
    report, shipped, data = findings.reports[1], findings.bundle, findings.data[1]
    answers = predict(shipped, data.originals())
    scored = answers[answers["emotion"].isin(report.scores.classes)]
    probabilities = tempered(scored[list(shipped.classes)].to_numpy(), scored["temperature"].to_numpy())
    right = np.array(shipped.classes)[probabilities.argmax(axis=1)] == scored["emotion"]
    answered = probabilities.max(axis=1) >= shipped.unknown
    assert report.rejection.answered == pytest.approx(answered.mean())
    assert report.rejection.accuracy == pytest.approx(right[answered].mean())
    assert report.rejection.accuracies[-1] == pytest.approx(right.mean())
    assert right.mean() < report.scores.summary()["wa"]
    html = page.render(report_page(findings))
    assert html.count("It chooses among all 4 emotions that it knows, so it can answer others here too.") == 1


def test_nobody_known_is_no_speaker(synthetic_corpus, findings):
    index, functionals = synthetic_corpus.make("gamma", 3, copies=0)
    data = synthetic_corpus.data(index.assign(speaker="gamma/unknown"), functionals)
    data = replace(data, settings=findings.data[0].settings)
    report = reports.cross_corpus(data, "gamma", findings.bundle, findings.params.evaluate, 0)
    assert "speakers unknown" in report.notes
    assert report.interval == "95% interval over clips: nobody knows how many speak"
    adapted = replace(report, adaptation="speaker")
    assert "adapted by nobody's clips: nobody knows who speaks" in adapted.notes
