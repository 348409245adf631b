"""The report: what evaluate found, in the order in which people ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emodag import plots, projection
from emodag.adaptation import groups_of
from emodag.bundle import Bundle
from emodag.datasets import Dataset
from emodag.documents import words
from emodag.documents.listening import confident_mistakes, examples
from emodag.documents.page import (
    Block,
    Code,
    Confusion,
    Examples,
    Page,
    Picture,
    Recalls,
    Score,
    Section,
    Table,
    Text,
)
from emodag.params import Params
from emodag.reports import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Clips that the map shows at most: beyond, it takes longer than the scores.
_MAPPED = 1000

#: What the page draws itself instead of taking the picture.
_NATIVE = frozenset({"confusion", "recall"})

#: Kind of picture -> its heading and what it shows. A kind that is not listed is headed by its name.
_PICTURES = {
    "reliability": (
        "Can its probabilities be believed?",
        "Of clips that get a probability, the share that is right, before and after temperature scaling.",
    ),
    "coverage": (
        "What if it may say that it does not know?",
        "Accuracy over the share of clips that are answered, the surest first.",
    ),
    "fairness": ("For whom does it work?", "UAR of groups of speakers, with intervals."),
    "robustness": ("What spoils it?", "UAR on the same clips, their sound spoilt."),
    "importance": ("What it listens to", "How much UAR drops when a family of features is shuffled among clips."),
    "matrix": ("From corpus to corpus", "UAR of training on the corpus of a row and testing on that of a column."),
}


@dataclass(frozen=True)
class Findings:
    """All that a report tells of."""

    params: Params
    bundle: Bundle
    reports: Sequence[Report]
    predictions: Mapping[str, pd.DataFrame]  #: corpus -> the rows that its report was made of
    data: Sequence[Dataset]  #: what was trained on and tested, for the map
    curves: pd.DataFrame  #: by :data:`emodag.schema.CURVES`
    figures: Mapping[str, Mapping[str, Figure]]  #: corpus -> kind of picture -> picture
    tables: Mapping[str, Sequence[Table]] = field(default_factory=dict)  #: corpus -> tables
    sections: Sequence[Section] = ()  #: of all corpora together: matrix, importance
    commit: str = ""  #: of the checkout; not told if empty


def report_page(found: Findings) -> Page:
    """The whole report as a page."""
    bundle = found.bundle
    trained = words.listed(bundle.corpora)
    best = "" if len(found.reports) == 1 else f" and tested on {len(found.reports)} corpora"
    return Page(
        title=f"{bundle.model} on {trained}",
        summary=(
            f"A classifier of {words.listed(bundle.classes)} in speech, trained on {trained}{best}. Each score stands "
            "beside the protocol that it was measured by and an interval that says how far other voices may differ."
        ),
        scores=tuple(score(report) for report in found.reports),
        facts=facts(found),
        sections=(
            *(corpus_section(found, report) for report in found.reports),
            *found.sections,
            learning_section(found),
            map_section(found),
            limits_section(found),
            sources_section(found),
        ),
    )


def score(report: Report) -> Score:
    """The headline of a corpus."""
    low, high = report.scores.intervals.uar
    unit = report.scores.intervals.unit
    return Score(
        corpus=report.corpus,
        key=_key(report),
        protocol=report.protocol,
        meaning=words.meaning(report.protocol, leaky=report.leaky),
        uar=report.summary()["uar"],
        low=low,
        high=high,
        chance=1 / len(report.scores.classes),
        interval=f"{report.confidence:.0%} interval over {unit}" + (": one speaker only" if unit == "clips" else ""),
        notes=(
            f"{report.scores.clips} clips",
            f"{report.scores.speakers} speakers",
            f"{len(report.scores.present)} emotions",
            f"accuracy {report.summary()['wa']:.1%}",
        ),
        leaky=report.leaky,
    )


def facts(found: Findings) -> tuple[tuple[str, str], ...]:
    """How the model and its scores were made."""
    bundle, params = found.bundle, found.params
    per_corpus = {report.corpus: report.scores for report in found.reports if report.corpus in bundle.corpora}
    speakers = sum(scores.speakers for scores in per_corpus.values())
    listed = (
        ("Model", bundle.model),
        ("Its settings", words.model_settings(params)),
        ("Decided by validation speakers", words.chosen(bundle)),
        ("Sees", _sees(bundle)),
        ("Trained on", f"{bundle.clips} clips, augmented copies included, of {words.listed(bundle.corpora)}"),
        ("Scored out of fold", f"{sum(s.clips for s in per_corpus.values())} clips of {speakers} speakers"),
        ("Adaptation", words.adaptation(bundle.adaptation["by"])),
        ("Calm", f"{bundle.calm} (train.calm)"),
        ("Seeds", f"{params.train.seeds}, from {bundle.seed}"),
        ("Temperature", f"{bundle.temperature:.2f}, fitted to validation speakers"),
        ("Unknown below", f"{bundle.unknown:.1%} calibrated probability"),
        ("Training data", bundle.fingerprint[:16]),
        ("Commit", found.commit),
    )
    return tuple((what, which) for what, which in listed if which)


def corpus_section(found: Findings, report: Report) -> Section:
    """All of one corpus: recalls, confusions, further pictures and tables, and mistakes to listen to."""
    per_class = report.scores.per_class()
    chance = 1 / len(report.scores.classes)
    blocks: list[Block] = [
        Recalls(
            title="Recall of each emotion",
            emotions=tuple(per_class),
            recall=tuple(row["recall"] for row in per_class.values()),
            intervals=tuple((row["recall_low"], row["recall_high"]) for row in per_class.values()),
            support=tuple(row["support"] for row in per_class.values()),
            uar=report.summary()["uar"],
            chance=chance,
        ),
        Confusion("What was taken for what", report.scores.classes, report.scores.confusion),
    ]
    blocks += pictures(found.figures.get(report.corpus, {}))
    blocks += found.tables.get(report.corpus, ())
    if found.params.evaluate.examples:
        blocks.append(_mistakes(found, report))
    return Section(
        key=_key(report),
        title=report.corpus,
        lead=f"{report.title.partition(', ')[2]}. {' · '.join(report.notes)}.",
        blocks=tuple(blocks),
        leaky=report.leaky,
    )


def pictures(figures: Mapping[str, Figure], captions: Mapping[str, str] | None = None) -> list[Picture]:
    """Figures by kind as blocks, without those that the page draws itself."""
    made = []
    for kind, figure in figures.items():
        if kind in _NATIVE:
            continue
        title, description = _PICTURES.get(kind, (kind.replace("_", " ").capitalize(), ""))
        wide = figure.get_size_inches()[0] > 9
        caption = (captions or {}).get(kind, "")
        made.append(Picture(title, plots.svg(figure), description or title, caption, wide))
    return made


def learning_section(found: Findings) -> Section:
    """How training went, fold by fold."""
    title, lead = "Learning", "What training minimised, and what speakers outside it said, epoch by epoch."
    if found.curves.empty:
        nothing = Text("No curves", (f"{found.bundle.model} is not trained in epochs or rounds.",))
        return Section("learning", title, lead, (nothing,))
    folds = found.curves[["seed", "fold"]].drop_duplicates()
    figure = plots.learning_figure(
        found.curves,
        title=f"{found.bundle.model}: learning curves",
        notes=[
            f"{len(folds)} trainings",
            "faint: each",
            "strong: their mean, as far as all of them got",
            "validation: speakers held out of the training part, never those tested",
        ],
    )
    description = "Measures of training by epoch, a line for each fold and one for their mean."
    return Section("learning", title, lead, (Picture("Learning curves", plots.svg(figure), description, wide=True),))


def map_section(found: Findings) -> Section:
    """Where clips lie among each other in the space of what the model sees."""
    vectors, labels = [], []
    corpora = np.concatenate([data.originals().index["corpus"] for data in found.data])
    chosen = projection.some_of(corpora, _MAPPED)
    first = 0
    for data in found.data:
        data = data.originals()
        adapted = found.bundle.adapter(data.speech, groups_of(data.index, found.bundle.adapter.settings))
        rows = chosen[(chosen >= first) & (chosen < first + len(data.index))] - first
        vectors.append(projection.vectors_of(adapted.of(rows)))
        labels.append(data.index.iloc[rows])
        first += len(data.index)
    index = pd.concat(labels, ignore_index=True)
    components = projection.principal(np.concatenate(vectors))
    kinds = {kind: index[kind].to_numpy() for kind in ("emotion", "speaker", "corpus") if len(set(index[kind])) > 1}
    shares = {kind: projection.shared_by_neighbours(components, labels) for kind, labels in kinds.items()}
    figure = plots.embedding_figure(
        projection.project(components, found.params.seed),
        kinds,
        title="What the model sees of clips",
        notes=[f"{len(index)} clips", "t-SNE of 50 principal components", "axes and distances of groups mean nothing"],
    )
    told = words.listed(
        [f"{share:.0%} the {kind} (by chance {chance:.0%})" for kind, (share, chance) in shares.items()]
    )
    return Section(
        "map",
        "Map",
        "Each dot is a clip, near those that look like it before the model decides. Where the colours of emotions gather, "
        "emotions are easy to tell apart; where those of speakers or corpora do, voices and rooms stand out.",
        (
            Picture(
                "Clips by emotion, voice and corpus",
                plots.svg(figure),
                "The same map of clips, coloured by emotion, by speaker and by corpus.",
                f"Of a clip's ten nearest neighbours among the principal components, {words.listed(told)}.",
                wide=True,
            ),
        ),
    )


def limits_section(found: Findings) -> Section:
    """What the scores do not say."""
    lines = [*words.LIMITS]
    for report in found.reports:
        if report.leaky:
            lines.insert(0, f"{report.corpus}: {words.meaning(report.protocol, leaky=True)}")
        if report.dropped:
            dropped = words.listed([f"{count} of {emotion}" for emotion, count in report.dropped.items()])
            lines.append(f"{report.corpus}: {dropped} were not scored, since the model does not know these emotions.")
    return Section(
        "limits",
        "Limits",
        "What these numbers do not say.",
        (
            Text("Read the scores with this in mind", tuple(lines), listed=True),
            Text("What it is not for", words.MISUSE, listed=True),
        ),
    )


def sources_section(found: Findings) -> Section:
    """Licences, references, and how to make the page again."""
    corpora = list(dict.fromkeys([*found.bundle.corpora, *(report.corpus for report in found.reports)]))
    commands = [f"git checkout {found.commit}"] if found.commit else []
    return Section(
        "sources",
        "Sources",
        "Whose recordings these are, and how to come to the same numbers.",
        (
            Text("Licences of what it was trained on", words.bound_by(found.bundle.corpora), listed=True),
            Code("Made by", (*commands, "make repro")),
            Text(
                "Please cite",
                (*words.citations(corpora), "emodag: CITATION.cff in its repository"),
                listed=True,
                wide=True,
            ),
        ),
    )


def _mistakes(found: Findings, report: Report) -> Examples | Text:
    title = "Mistakes to listen to"
    rows, classes = found.predictions[report.corpus], report.scores.classes
    wrong = confident_mistakes(rows, classes, found.params.evaluate.examples)
    if wrong.empty:
        return Text(title, ("Every clip was recognised.",))
    return Examples(
        title,
        examples(report.corpus, wrong),
        "The clips it got most confidently wrong: what was spoken → what it heard, with calibrated probabilities.",
    )


def _sees(bundle: Bundle) -> str:
    parts = []
    if bundle.names:
        parts.append(f"{len(bundle.names)} features of a clip ({bundle.inputs})")
    if bundle.columns:
        parts.append(f"{len(bundle.columns)} features of each frame ({', '.join(bundle.groups)})")
    if bundle.embedding_columns:
        parts.append(f"{len(bundle.embedding_columns)} dimensions of the encoder's frames")
    if bundle.encoder != "none":
        parts.append(f"encoder {bundle.encoder}")
    return "; ".join(parts)


def _key(report: Report) -> str:
    return f"corpus-{report.corpus}"
