"""The report: what evaluate found, in the order in which people ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emodag import models, plots, projection
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
from emodag.documents.reasons import Reason
from emodag.evaluation import FEWEST_SPEAKERS, Human
from emodag.matrix import Matrix
from emodag.params import Params
from emodag.reports import Report
from emodag.robustness import CLEAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Clips that the map shows at most: beyond, it takes longer than the scores.
_MAPPED = 1000

#: Kind of picture -> its heading, and what it shows, for those who do not see it.
_PICTURES = {
    "reliability": (
        "Can its probabilities be believed?",
        "Of clips that get a probability, the share that is right, before and after temperature scaling.",
    ),
    "coverage": (
        "What if it may say that it does not know?",
        "Accuracy over the share of clips that are answered, the surest first.",
    ),
    "fairness": ("For whom does it work?", "UAR of groups of speakers and of each speaker, with intervals."),
    "robustness": ("What spoils it?", "UAR on the same clips as their sound is spoilt, with intervals."),
}


@dataclass(frozen=True)
class Findings:
    """All that a report tells of."""

    params: Params
    bundle: Bundle
    reports: Sequence[Report]  #: of all corpora, robustness included where it was measured
    data: Sequence[Dataset]  #: what was trained on and tested, for the map
    curves: pd.DataFrame  #: by :data:`emodag.schema.CURVES`
    #: UAR on validation speakers by train corpus, as :func:`emodag.reports.validated` says
    validated: Mapping[str, float] = field(default_factory=dict)
    importance: pd.DataFrame | None = None  #: by :func:`emodag.importance.importances`
    reasons: Mapping[str, Sequence[Reason]] = field(default_factory=dict)  #: corpus -> why clips were mistaken
    matrix: Matrix | None = None  #: every corpus against every other
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
            *([] if found.matrix is None else [matrix_section(found.matrix)]),
            *([] if found.importance is None else [importance_section(found, found.importance)]),
            map_section(found),
            learning_section(found),
            limits_section(found),
            sources_section(found),
        ),
    )


def score(report: Report) -> Score:
    """The headline of a corpus."""
    low, high = report.scores.intervals.uar
    return Score(
        corpus=report.corpus,
        key=_key(report),
        protocol=report.protocol,
        meaning=words.meaning(report.protocol, leaky=report.leaky),
        uar=report.scores.uar,
        low=low,
        high=high,
        chance=1 / len(report.scores.classes),
        interval=report.interval,
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
        (f"Decided by {words.jury(bundle)}", models.told(bundle.chosen)),
        (f"UAR on {words.jury(bundle)}", words.by_corpus(found.validated)),
        ("Sees", words.sees(bundle)),
        ("Trained on", f"{bundle.clips} clips, augmented copies included, of {words.listed(bundle.corpora)}"),
        ("Scored out of fold", f"{sum(s.clips for s in per_corpus.values())} clips of {speakers} speakers"),
        ("Adaptation", words.adaptation(bundle.adaptation["by"])),
        ("Calm", f"{bundle.calm} (train.calm)"),
        ("Seeds", f"{params.train.seeds}, from {bundle.seed}"),
        ("Temperature", f"{bundle.temperature:.2f}, {words.temperature(found.validated, bundle)}"),
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
            uar=report.scores.uar,
            chance=chance,
        ),
        Confusion("What was taken for what", report.scores.classes, report.scores.counts),
    ]
    blocks += pictures(report, found.validated)
    if report.human is not None:
        blocks.append(listeners(report.human, report.scores.classes))
    if found.params.evaluate.examples:
        blocks.append(_mistakes(found, report))
    blocks += [_reason(found.bundle, report, each) for each in found.reasons.get(report.corpus, ())]
    return Section(
        key=_key(report),
        title=report.corpus,
        lead=f"{report.protocol}. {words.meaning(report.protocol, leaky=report.leaky)}",
        blocks=tuple(blocks),
        notes=tuple(report.notes),
        leaky=report.leaky,
    )


def pictures(report: Report, validated: Mapping[str, float]) -> list[Picture]:
    """The pictures of a corpus, without those that the page draws itself; ``validated`` as in :class:`Findings`."""
    captions = {
        "reliability": _of_calibration(report, validated),
        "coverage": _of_rejection(report),
        "fairness": _of_fairness(report),
        "robustness": _of_robustness(report),
    }
    drawn = {kind: figure for kind, figure in report.pictures().items() if kind in _PICTURES}
    # What their headers say is what the section's says.
    return [picture(*_heading(kind, figure), captions[kind], header=False) for kind, figure in drawn.items()]


def listeners(human: Human, known: Sequence[str]) -> Table:
    """What people made of the same clips as a model that knows some emotions."""
    rows = []
    more = words.beyond(human, known)
    for who, scores in (("most listeners", human.listeners), ("the model", human.model)):
        told = scores.summary()
        interval = f"{told['uar_low']:.1%} to {told['uar_high']:.1%}"
        rows.append((who, f"{told['uar']:.1%}", interval, f"{told['wa']:.1%}"))
    return Table(
        "Beside human listeners",
        ("", "UAR", "interval", "accuracy"),
        tuple(rows),
        f"On the {human.listeners.clips} clips of which it is known what most listeners heard from the sound alone, "
        f"against what the speaker meant. The model agrees with the listeners on {human.agreement:.0%}; "
        f"{human.undecided} clips on which no emotion led are left out.{more}",
    )


def matrix_section(matrix: Matrix) -> Section:
    """Training on each corpus and testing on every other."""
    figure, description = matrix.figure(), "A heat map of UAR: a row per training corpus, a column per tested one."
    return Section(
        "matrix",
        "Across corpora",
        "The same model trained on one corpus (rows) and tested on another (columns), over the emotions of both.",
        (picture("From corpus to corpus", figure, description, on_white=True),),
    )


def importance_section(found: Findings, importance: pd.DataFrame) -> Section:
    """Which families of features the model relies on."""
    settings = found.params.evaluate.importance
    figure = plots.importance_figure(
        importance,
        title=f"{found.bundle.model}: what it relies on",
        notes=[
            words.listed(found.bundle.corpora),
            f"{found.bundle.protocol}, each clip by a model that did not learn from it",
            f"mean and standard deviation over {settings.repeats} draws",
        ],
        leaky=found.bundle.leaky,
    )
    return Section(
        "importance",
        "Evidence",
        "How much UAR falls when one family of features is dealt anew among clips, so that it tells nothing. Families "
        "that say the same can stand in for each other: a small fall does not mean that a family is of no use.",
        (picture("What the model relies on", figure, "The fall of UAR without each family of features, as bars."),),
    )


def picture(
    title: str, figure: Figure, description: str, caption: str = "", *, on_white: bool = False, header: bool = True
) -> Picture:
    """A figure as a block, without its own header if that would say again what stands around it."""
    drawn = plots.svg(figure, header=header)
    return Picture(title, drawn, description, float(figure.get_size_inches()[0]), caption, on_white)


def learning_section(found: Findings) -> Section:
    """How training went, fold by fold."""
    title, lead = "Learning", "What training minimised, and what clips held out of it said, epoch by epoch."
    if found.curves.empty:
        nothing = Text("No curves", (f"{found.bundle.model} is not trained in epochs or rounds.",))
        return Section("learning", title, lead, (nothing,))
    folds = found.curves[["seed", "fold"]].drop_duplicates()
    notes = [f"{len(folds)} trainings", "faint: each", "strong: their mean, as far as all of them got"]
    if found.validated:
        notes.append(f"{words.jury(found.bundle)}: held out of the training part, never those that its fold tests")
    figure = plots.learning_figure(
        found.curves,
        title=f"{found.bundle.model}: learning curves",
        notes=notes,
        leaky=found.bundle.leaky,
    )
    description = "Measures of training by epoch, a line for each fold and one for their mean."
    return Section("learning", title, lead, (picture("Learning curves", figure, description),))


def map_section(found: Findings) -> Section:
    """Where clips lie among each other in the space of what the model sees."""
    vectors, labels = [], []
    originals = [data.originals().with_calm(found.bundle.calm) for data in found.data]
    corpora = np.concatenate([data.index["corpus"] for data in originals])
    chosen = projection.some_of(corpora, _MAPPED)
    first = 0
    for data in originals:
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
        notes=[
            f"{len(index)} clips",
            f"calm: {found.bundle.calm}",
            "t-SNE of 50 principal components",
            "axes and distances of groups mean nothing",
        ],
    )
    told = [f"{share:.0%} are of its {kind} (by chance {chance:.0%})" for kind, (share, chance) in shares.items()]
    return Section(
        "map",
        "Map",
        "Each dot is a clip, near those that look like it before the model decides. Where colours of emotions gather, "
        "emotions are easy to tell apart; where those of speakers or corpora do, voices and rooms stand out.",
        (
            picture(
                "Clips by emotion, voice and corpus",
                figure,
                "The same map of clips, coloured by emotion, by speaker and by corpus.",
                f"Of a clip's ten nearest neighbours among the principal components, {words.listed(told)}.",
            ),
        ),
    )


def limits_section(found: Findings) -> Section:
    """What the scores do not say."""
    lines = [*words.limits(_corpora(found))]
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
                (*words.citations(_corpora(found)), "emodag: CITATION.cff in its repository"),
                listed=True,
                wide=True,
            ),
        ),
    )


def _heading(kind: str, figure: Figure) -> tuple[str, Figure, str]:
    title, description = _PICTURES[kind]
    return title, figure, description


def _of_calibration(report: Report, validated: Mapping[str, float]) -> str:
    raw, calibrated = report.calibration.raw, report.calibration.calibrated
    scores = f"Brier score {calibrated.brier:.3f}, log-loss {calibrated.log_loss:.3f}."
    if not validated:
        return f"Expected calibration error: {raw.ece:.1%}; nobody was held out to fit a temperature to. {scores}"
    worse = " Here that made it worse." if calibrated.ece > raw.ece else ""
    return (
        f"Expected calibration error: {raw.ece:.1%} as the model says, {calibrated.ece:.1%} at the temperature that "
        f"was found without the tested clips ({report.calibration.temperature:.2f}).{worse} Calibrated {scores}"
    )


def _of_rejection(report: Report) -> str:
    rejection = report.rejection
    right = "none of them is answered" if rejection.accuracy is None else f"{rejection.accuracy:.1%} of these are right"
    among = f" It chooses {report.among}, so it can answer others here too." if report.among else ""
    return (
        f"Where no emotion reaches {rejection.threshold:.0%}, the model calls it unknown: it answers "
        f"{rejection.answered:.0%} of these clips, and {right}.{among} Area under risk and coverage: "
        f"{rejection.area:.3f}."
    )


def _of_fairness(report: Report) -> str:
    fairness = report.fairness
    apart = [
        f"{part.attribute} {part.value} ({100 * part.difference:+.0f} points)"
        for part in fairness.subgroups
        if part.stands_out
    ]
    if not fairness.subgroups:
        told = "Nothing is known by which its speakers or clips could be grouped."
    elif apart:
        told = f"Told apart from all others by more than chance: {words.listed(apart)}."
    elif all(part.difference_interval is None for part in fairness.subgroups):
        told = "Its groups have too few speakers to tell them apart from the others."
    else:
        told = "No group can be told apart from the others by more than chance."
    if len(fairness.speakers) == 1:
        return told
    worst = ", ".join(f"{each.speaker} {each.uar:.0%}" for each in fairness.worst)
    spread = f"UAR differs by {100 * fairness.spread:.0f} points (standard deviation) between speakers"
    return f"{told} {spread}; worst: {worst}."


def _of_robustness(report: Report) -> str:
    if report.robustness is None:
        return ""
    spoilt = [each for each in report.robustness.conditions if each.condition != CLEAN]
    if not spoilt:
        return "Nothing was tried: evaluate.robustness names no condition."
    worst = max(spoilt, key=lambda each: each.drop)
    low, high = (round(100 * bound) + 0 for bound in worst.drop_interval)
    speakers = report.robustness.speakers
    over = "over clips of one speaker" if speakers == 1 else f"over {speakers} speakers"
    few = ", which are too few to trust it" if 1 < speakers < FEWEST_SPEAKERS else ""
    interval = f"{low} to {high}, {over}{few}"
    if worst.drop <= 0:
        return f"No loss was found on these clips; {worst.label} comes closest to one (points lost: {interval})."
    lost = f"{100 * worst.drop:.0f} points of UAR are lost on the same clips ({interval})"
    return f"Most harm comes of {worst.label}: {lost}."


def _mistakes(found: Findings, report: Report) -> Examples | Text:
    title = "Mistakes to listen to"
    wrong = confident_mistakes(report.predictions, report.scores.classes, found.params.evaluate.examples)
    if wrong.empty:
        told = "Every clip was recognised"
        return Text(title, (f"{told}." if len(report.seeds) == 1 else f"{told} by the mean over the seeds.",))
    return Examples(
        title,
        examples(report.corpus, wrong),
        "The clips it got most confidently wrong: what was spoken → what it heard, with calibrated probabilities.",
    )


def _reason(bundle: Bundle, report: Report, reason: Reason) -> Picture:
    told = reason.explanation
    figure = plots.explanation_figure(
        told,
        title=f"{reason.clip_id}: {reason.spoken} → {told.explained}, {told.probabilities[told.explained]:.0%}",
        notes=[
            bundle.model,
            *([f"probabilities {report.among}"] if report.among else []),
            f"what speaks for {told.explained} in its colour, what speaks against it hatched",
            "waveform: what silence there would cost",
        ],
    )
    return picture(
        f"Why it took {reason.spoken} for {told.explained}",
        figure,
        "A clip's waveform and spectrogram, and how much groups of features add to the probability of what it was "
        "taken for.",
        on_white=True,
    )


def _corpora(found: Findings) -> list[str]:
    """All that were trained on or tested."""
    return list(dict.fromkeys([*found.bundle.corpora, *(report.corpus for report in found.reports)]))


def _key(report: Report) -> str:
    return f"corpus-{report.corpus}"
