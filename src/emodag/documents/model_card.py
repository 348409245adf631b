"""The model card: what a model is, what it is for, what was measured of it, and what was not.

After Mitchell et al. (2019), Model Cards for Model Reporting, doi:10.1145/3287560.3287596.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from emodag import models
from emodag.bundle import FORMAT, Bundle
from emodag.corpora import get
from emodag.documents import words
from emodag.documents.page import environment
from emodag.evaluation.fairness import Subgroup
from emodag.files import atomic_file
from emodag.params import Params
from emodag.reports import Report


def model_card(
    bundle: Bundle,
    reports: Sequence[Report],
    params: Params,
    validated: Mapping[str, float] = MappingProxyType({}),
    commit: str = "",
) -> str:
    """The card as Markdown; the same model and scores give the same text.

    Args:
        bundle: the shipped model.
        reports: of all corpora.
        params: of the run.
        validated: UAR on validation speakers by train corpus, as :func:`emodag.reports.validated` says.
        commit: of the checkout; not told if empty.
    """
    tested = [report.corpus for report in reports if report.corpus not in bundle.corpora]
    surroundings = environment()
    surroundings.filters |= {"percent": lambda share: f"{100 * share:.1f}", "listed": words.listed}
    return surroundings.get_template("model_card.md").render(
        bundle=bundle,
        format=FORMAT,
        corpora=bundle.corpora,
        confidence=params.evaluate.confidence,
        settings=words.model_settings(params),
        chosen=models.told(bundle.chosen),
        validated=words.by_corpus(validated),
        jury=words.jury(bundle),
        temperature=words.temperature(validated, bundle),
        sees=words.sees(bundle),
        adaptation=words.adaptation(bundle.adaptation["by"]),
        commit=commit,
        misuse=words.MISUSE,
        limits=words.limits([*bundle.corpora, *tested]),
        data=[_corpus(name, "trained on") for name in bundle.corpora] + [_corpus(name, "tested") for name in tested],
        citations=words.citations([*bundle.corpora, *tested]),
        reports=[_scores(report) for report in reports],
        human=[_listeners(report) for report in reports if report.human is not None],
        registered=params.tracking.model or "NAME",
        graph=graph(bundle),
        licences=words.bound_by(bundle.corpora),
    )


def write(path: str | Path, card: str) -> None:
    """Write a card, atomically."""
    with atomic_file(path) as partial:
        partial.write_text(card, encoding="utf-8")


def graph(bundle: Bundle) -> list[tuple[str, str, str, str]]:
    """The inputs and outputs of the ONNX graph: side, name, shape, type; outputs last."""
    import onnx

    model = onnx.load_from_string(bundle.onnx).graph
    rows = []
    for side, values in (("input", model.input), ("output", model.output)):
        for value in values:
            kind = value.type.tensor_type
            sizes = [size.dim_param or (str(size.dim_value) if size.dim_value else "any") for size in kind.shape.dim]
            rows.append(
                (side, value.name, f"[{', '.join(sizes)}]", onnx.TensorProto.DataType.Name(kind.elem_type).lower())
            )
    return rows


def _corpus(name: str, role: str) -> dict[str, Any]:
    corpus = get(name)
    facts = {key: getattr(corpus, key) for key in ("name", "title", "languages", "licence")}
    return facts | {"role": role}


def _scores(report: Report) -> dict[str, Any]:
    summary, calibration = report.summary(), report.calibration
    per_class = report.scores.per_class()
    speakers = report.fairness.speakers
    return {
        "corpus": report.corpus,
        "protocol": report.protocol,
        "leaky": report.leaky,
        "meaning": words.meaning(report.protocol, leaky=report.leaky),
        "interval": report.interval,
        "uar": summary["uar"],
        "low": summary["uar_low"],
        "high": summary["uar_high"],
        "among": report.among,
        "chance": 1 / len(report.scores.classes),
        "wa": summary["wa"],
        "clips": summary["clips"],
        "speakers": summary["speakers"],
        "emotions": len(report.scores.present),
        "seeds": len(report.seeds),
        "dropped": words.listed([f"{count} of {emotion}" for emotion, count in report.dropped.items()]),
        "recalls": {
            emotion: f"{100 * row['recall']:.0f} ({100 * row['recall_low']:.0f} to {100 * row['recall_high']:.0f})"
            for emotion, row in per_class.items()
        },
        "ece_raw": calibration.raw.ece,
        "ece": calibration.calibrated.ece,
        "brier": calibration.calibrated.brier,
        "log_loss": calibration.calibrated.log_loss,
        "answered": report.rejection.answered,
        "right": report.rejection.accuracy,
        "groups": [_group(each) for each in report.fairness.subgroups],
        "worst": speakers[0].uar,
        "best": speakers[-1].uar,
        "spread": report.fairness.spread,
        "spoilt": report.robustness,
    }


def _group(group: Subgroup) -> dict[str, Any]:
    low, high = group.interval or (None, None)
    difference = "–" if group.difference is None else f"{100 * group.difference:+.1f} points"
    if group.stands_out:
        difference = f"**{difference}**"
    return {
        "name": _cell(f"{group.attribute}: {group.value}"),
        "clips": group.clips,
        "speakers": group.speakers,
        "uar": group.uar,
        "interval": "one speaker" if low is None else f"{100 * low:.1f} to {100 * high:.1f}",
        "difference": difference,
    }


def _cell(text: str) -> str:
    """Text of a user that may stand in a table."""
    return " ".join(text.replace("|", r"\|").split())


def _listeners(report: Report) -> dict[str, Any]:
    human = report.human
    return {
        "corpus": report.corpus,
        "clips": human.listeners.clips,
        "listeners": human.listeners.uar,
        "model": human.model.uar,
        "more": words.beyond(human, report.scores.classes),
    }
