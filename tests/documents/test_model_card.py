"""The model card: that it holds what a card must, and that licences and leaks are told."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from emodag.documents import words
from emodag.documents.model_card import graph, model_card
from emodag.evaluation.fairness import Subgroup
from emodag.robustness import Robustness, Spoilt


@pytest.fixture
def findings(found):
    return found.findings


def card(findings, **changes) -> str:
    shipped = replace(findings.bundle, **changes)
    return model_card(shipped, findings.reports, findings.params, findings.validated, findings.commit)


def test_every_part_of_a_card_is_there_and_no_table_is_torn(findings):
    text = card(findings)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == [
        "What it is", "What it is for", "What it is not for", "Data", "How well it works", "Limits", "How to use it",
        "Licence",
    ]  # fmt: skip
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        rows = table.splitlines()
        assert len(rows) > 2
        assert len({row.count("|") for row in rows}) == 1
        assert set(rows[1]) == {"|", "-"}
    assert "\n\n\n" not in text
    assert card(findings) == text


def test_scores_stand_with_their_intervals(findings):
    text = card(findings)
    for report in findings.reports:
        told = report.summary()
        interval = f"{100 * told['uar_low']:.1f} to {100 * told['uar_high']:.1f}"
        assert f"| {report.corpus} | {report.protocol} | {100 * told['uar']:.1f} | {interval} |" in text
    assert "12 of bored" in text
    assert "leaky" not in text


def test_what_an_interval_is_over_stands_with_each_corpus(findings):
    assert card(findings).count("95% interval over speakers") == len(findings.reports)
    report = findings.reports[0]
    scores = replace(report.scores, speakers=1, intervals=replace(report.scores.intervals, unit="clips"))
    alone = replace(report.fairness, speakers=report.fairness.speakers[:1])
    text = model_card(findings.bundle, [replace(report, scores=scores, fairness=alone)], findings.params)
    assert "95% interval over clips: one speaker only." in text
    assert "over speakers" not in text
    assert "UAR of single speakers" not in text


def test_spoilt_sound_has_intervals_and_a_number_of_clips(findings):
    conditions = (
        Spoilt("clean", "clean", 0.8, (0.7, 0.9), 0.0, (0.0, 0.0)),
        Spoilt("telephone", "telephone", 0.6, (0.5, 0.75), 0.2, (0.1, 0.3)),
    )
    spoilt = replace(findings.reports[0], robustness=Robustness(20, 4, conditions))
    text = model_card(findings.bundle, [spoilt], findings.params)
    assert "20 clips of 4 speakers, a part of those above:" in text
    assert "| telephone | 60.0 | 50.0 to 75.0 | 20.0 |" in text


def test_what_users_call_their_groups_tears_no_table(findings):
    report = findings.reports[0]
    group = Subgroup("intensity", "loud|shouted\nout", 12, 3, 0.5, (0.4, 0.6), 0.1, None, False)
    odd = replace(report, fairness=replace(report.fairness, subgroups=(group,)))
    assert r"| intensity: loud\|shouted out | 12 |" in model_card(findings.bundle, [odd], findings.params)


def test_a_leaky_score_is_called_so(findings):
    leaky = replace(findings.reports[0], leaky=True, protocol="random")
    text = model_card(findings.bundle, [leaky], findings.params)
    assert "| alpha | random (**leaky**) |" in text
    assert "The same voices train and are tested" in text


def test_who_decided_about_it_is_told_as_what_they_are(findings):
    assert "fitted to validation speakers" in card(findings)
    assert "| UAR on validation clips of known voices, by which models are chosen |" in card(
        findings, protocol="random"
    )
    text = model_card(findings.bundle, findings.reports, findings.params)
    assert "The temperature: nobody was held out to fit it to." in text


def test_what_goes_into_the_graph_is_told(findings):
    assert graph(findings.bundle)[0][:2] == ("input", "features")
    assert graph(findings.bundle)[-1][:2] == ("output", "probabilities")
    assert "| input | `features` | [any, 12] | float |" in card(findings)


@pytest.mark.parametrize(
    ("corpora", "told"),
    [
        (("demo_en",), "None of these licences restricts what the model is used for."),
        (("demo_en", "crema_d"), "None of these licences restricts what the model is used for."),
        (("ravdess", "crema_d"), "The model was trained on ravdess, whose terms allow research and no commerce."),
        (("ravdess", "emodb", "tess"), "trained on ravdess, emodb and tess"),
        (("own_recordings",), "Of own_recordings only its owner knows what it may be used for."),
    ],
)
def test_a_model_is_bound_by_what_it_was_trained_on(corpora, told):
    assert told in " ".join(words.bound_by(corpora))


def test_scores_on_synthetic_speech_are_called_so():
    assert "A synthesiser speaks in demo_en" in words.limits(["demo_en", "emodb"])[0]
    assert "synthesiser" not in " ".join(words.limits(["ravdess"]))


def test_every_protocol_and_adaptation_has_its_words():
    from typing import get_args

    from emodag.params import Adaptation, Train
    from emodag.splits import CROSS_CORPUS

    for protocol in (*get_args(Train.model_fields["protocol"].annotation), CROSS_CORPUS):
        leaky = protocol == "random"
        assert words.meaning(protocol, leaky=leaky)
    for by in get_args(Adaptation.model_fields["by"].annotation):
        assert words.adaptation(by)
