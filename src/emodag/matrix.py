"""Every corpus against every other: what a model that was trained on one recognises in another.

Off the diagonal, a model learns from the whole of one corpus and is tested on the recordings of another, over the
classes that both have after the policy for ``calm``. On the diagonal, where nothing else is left to be tested on, it is
cross-validated by speaker within the corpus. Augmented copies train where there are some; only corpora with the role
``train`` have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from emodag import datasets, layout, models, plots
from emodag.adaptation import TOLD, groups_of
from emodag.datasets import Dataset
from emodag.errors import DataError, EmodagError, LeakageError, ParamsError
from emodag.evaluation import FEWEST_SPEAKERS, Scores
from emodag.files import atomic_file, write_json
from emodag.labels import in_order, shared_classes
from emodag.leakage import check_disjoint, check_leakage
from emodag.models import Chosen, typical
from emodag.params import Params, Role, Train
from emodag.predict import over_shared, prediction_table, scores_of
from emodag.speech import names_of
from emodag.splits import CROSS_CORPUS, is_leaky, split
from emodag.training import Fitted, Material, cross_validate, each_fitted, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from emodag.bundle import Bundle
    from emodag.reports import Report


@dataclass(frozen=True)
class Cell:
    """One training corpus and one tested corpus."""

    trained: str
    tested: str
    protocol: str  #: ``cross_corpus``, or the protocol of the cross-validation within a corpus
    scores: Scores | None  #: over the classes of both; ``None`` where there are none
    reason: str = ""  #: why there are none
    brief: str = ""  #: the same in a few words, as a picture has room for

    def row(self) -> dict[str, Any]:
        """A row of ``matrix.csv``; shares of 1."""
        facts = {"trained": self.trained, "tested": self.tested, "protocol": self.protocol}
        if self.scores is None:
            return facts | {"reason": self.reason}
        classes = self.scores.present
        return facts | self.scores.summary() | {"chance": 1 / len(self.scores.classes), "classes": " ".join(classes)}


@dataclass(frozen=True)
class Matrix:
    """All cells, and how they came about."""

    corpora: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]  #: by trained and tested corpus
    model: str
    adaptation: str
    calm: str
    augmented: tuple[str, ...]  #: corpora whose augmented copies train too
    confidence: float
    decided_by: tuple[str, ...] = ()  #: corpora whose validation clips decided how all models train; else each its own

    @property
    def title(self) -> str:
        """What is shown."""
        return f"UAR of {self.model} across corpora, calm: {self.calm}"

    @property
    def notes(self) -> list[str]:
        """Under which policies."""
        within = dict.fromkeys(
            cell.protocol for cell in self.cells.values() if cell.trained == cell.tested and cell.scores is not None
        )
        notes = ["classes that both corpora have"]
        if self.adaptation != "none":
            notes.append(TOLD[self.adaptation])
        if within:
            notes.append(f"diagonal: cross-validated ({', '.join(within)}), speakers apart")
        notes.append(
            f"augmented copies train too: {', '.join(self.augmented)}" if self.augmented else "no augmented copies"
        )
        if self.decided_by:
            decided = ", ".join(self.decided_by)
            notes.append(f"trained as decided on {decided}, so scores on {decided} are slightly optimistic")
        tested = {cell.tested: cell.scores for cell in self.cells.values() if cell.scores is not None}
        units = {scores.intervals.unit for scores in tested.values()}
        notes.append(f"{100 * self.confidence:g}% intervals over {' or '.join(sorted(units, reverse=True))}")
        few = [
            f"{corpus} ({scores.speakers})" for corpus, scores in tested.items() if scores.speakers < FEWEST_SPEAKERS
        ]
        if few:
            notes.append(f"too few speakers to trust them: {', '.join(few)}")
        return [*notes, "colour: the way from chance to perfect"]

    def table(self) -> pd.DataFrame:
        """A row per cell."""
        return pd.DataFrame([cell.row() for cell in self.cells.values()])

    def summary(self) -> dict[str, Any]:
        """The content of ``matrix.json``."""
        facts = {"model": self.model, "adaptation": self.adaptation, "calm": self.calm}
        facts |= {"augmented": list(self.augmented), "confidence": self.confidence, "corpora": list(self.corpora)}
        return facts | {"cells": [cell.row() for cell in self.cells.values()]}

    def figure(self) -> Figure:
        """The heat map: a row per training corpus, a column per tested one."""
        return plots.matrix_figure(self, title=self.title, notes=self.notes)

    def __str__(self) -> str:
        """For the terminal: the cells in words, a line each."""
        lines = [f"{self.title} ({'; '.join(self.notes[:-1])})"]
        for cell in self.cells.values():
            line = f"  {cell.trained} -> {cell.tested}: "
            if cell.scores is None:
                lines.append(f"{line}none: {cell.reason}")
                continue
            low, high = (100 * bound for bound in cell.scores.intervals.uar)
            facts = cell.scores.summary()
            lines.append(
                f"{line}UAR {facts['uar']:.1%} [{low:.1f}, {high:.1f}], {len(cell.scores.classes)} classes, "
                f"{facts['clips']} clips, {facts['speakers']} speakers ({cell.protocol})"
            )
        return "\n".join(lines)


def load(params: Params, root: Path = layout.FEATURES) -> dict[str, Dataset]:
    """The features of every corpus that the params list, those to train on first; augmented copies are included.

    Raises:
        CorpusError: those of one are missing.
        DataError: corpora have different features, or :func:`emodag.datasets.load` raises it.
    """
    roles: tuple[Role, ...] = get_args(Role)
    found = {
        corpus: datasets.load([corpus], role, models.needs(params), root, params.train.inputs)
        for role in roles
        for corpus in sorted(datasets.corpora_with(params, role, root))
    }
    first, *others = found.values()
    for other in others:
        if names_of(other.speech) != names_of(first.speech) or other.settings != first.settings:
            raise DataError(f"{first.source} and {other.source} have different features; run `dvc repro` to make both")
    return found


def cross(
    corpora: Mapping[str, Dataset],
    params: Params,
    chosen: Chosen | None = None,
    within: Mapping[str, Cell] | None = None,
) -> Matrix:
    """The matrix of some corpora; fits run in parallel.

    Models are trained under the first seed. How long is found by cross-validation within the training corpus; one of
    so few speakers that none can be held out for validation goes by what the others found.

    Args:
        corpora: name -> its clips with augmented copies, as :func:`load` gives them.
        params: ``model`` and its section, ``adaptation``, ``train``, ``evaluate``, ``seed`` and ``compute``.
        chosen: what validation clips decided elsewhere, as a bundle keeps it. Then nothing is cross-validated: one
            model per corpus is trained, and the diagonal has no cells but those of ``within``.
        within: cells of the diagonal that are known already, by corpus; only used beside ``chosen``.
    """
    # Nothing but scores is kept of a fold.
    params = params.model_copy(update={"train": params.train.model_copy(update={"seeds": 1, "keep_folds": False})})
    diagonal: dict[str, Cell] = {}
    decided: dict[str, Chosen] = {}
    for corpus, data in corpora.items():
        if chosen is not None:
            unknown = Cell(corpus, corpus, "none", None, "not cross-validated here")
            diagonal[corpus] = (within or {}).get(corpus, unknown)
            decided[corpus] = chosen
            continue
        diagonal[corpus], found = _within(corpus, data.with_calm(params.train.calm), params)
        if found:
            decided[corpus] = found
    elsewhere = typical(list(decided.values()))
    fits = [_Fit(corpus, decided.get(corpus, elsewhere)) for corpus in corpora]
    work = partial(_across, corpora=corpora, params=params)
    rows = each_fitted(work, fits, params, "train on each corpus")
    cells = {}
    for trained, row in zip(corpora, rows, strict=True):
        for tested in corpora:
            cells[trained, tested] = diagonal[trained] if tested == trained else row[tested]
    return Matrix(
        tuple(corpora),
        cells,
        params.model,
        params.adaptation.by,
        params.train.calm,
        tuple(corpus for corpus, data in corpora.items() if data.index["parent_id"].notna().any()),
        params.evaluate.confidence,
    )


def beside(reports: Sequence[Report], data: Sequence[Dataset], shipped: Bundle, params: Params) -> Matrix | None:
    """The matrix beside scores that are known: every corpus alone trains a model as the shipped one was trained.

    Args:
        reports: of all corpora.
        data: all corpora, before any policy for ``calm``, with augmented copies; one may hold several.
        shipped: the model that ships.
        params: of the run.

    Returns:
        ``None`` where the params ask for none, or there is one corpus only.
    """
    if not params.evaluate.matrix or len(params.corpora) < 2:
        return None
    # With other corpora in training, a score within a corpus is another one than the diagonal's.
    known = {
        report.corpus: Cell(report.corpus, report.corpus, report.protocol, _of_first_seed(report, params))
        for report in reports
        if shipped.corpora == (report.corpus,) and not report.leaky
    }
    corpora = {
        corpus: each.where(each.index["corpus"] == corpus)
        for each in data
        for corpus in sorted(set(each.index["corpus"]))
    }
    found = cross(corpora, params, shipped.chosen, known)
    return replace(found, decided_by=shipped.corpora if shipped.chosen else ())


def _of_first_seed(report: Report, params: Params) -> Scores:
    """The scores of a report's first seed alone, as all other cells have them."""
    if len(report.seeds) == 1:
        return report.scores
    rows = report.predictions
    return scores_of(rows[rows["seed"] == rows["seed"].min()], report.scores.classes, params.evaluate, params.seed)


def _within(corpus: str, data: Dataset, params: Params) -> tuple[Cell, Chosen]:
    """The cell on the diagonal, and what the folds decided; an empty one where nothing can be cross-validated."""
    speakers = data.originals().index["speaker"].nunique()
    if speakers < 2:
        why = f"{speakers} speaker: nobody is left to train on"
        return Cell(corpus, corpus, "none", None, why), {}
    reason = ""
    for train in _speaker_independent(corpus, params.train, speakers):
        try:
            folds = split(data.index, train, params.seed)
            done = cross_validate(data, folds, params.model_copy(update={"train": train}))
        except (DataError, ParamsError) as error:
            reason = str(error)
            continue
        check_leakage(folds, done.predictions, data.index, train.protocol)
        scores = scores_of(done.predictions, data.classes, params.evaluate, params.seed)
        return Cell(corpus, corpus, train.protocol, scores), done.chosen
    return Cell(corpus, corpus, "none", None, reason), {}


def _speaker_independent(corpus: str, train: Train, speakers: int) -> Iterator[Train]:
    """The protocol of the params where it keeps speakers apart, then ``speaker_kfold`` with as many folds as can be."""
    if not is_leaky(corpus, train.protocol):
        yield train
    kfold = {"protocol": "speaker_kfold", "folds": min(train.folds, speakers)}
    if train.protocol != "speaker_kfold" or kfold["folds"] != train.folds:
        yield train.model_copy(update=kfold)


class _Fit(NamedTuple):
    """A corpus to train on, and how."""

    corpus: str
    chosen: Chosen


def _across(item: _Fit, corpora: Mapping[str, Dataset], params: Params) -> dict[str, Cell]:
    """A model trained on one corpus, tested on each other."""
    others = [corpus for corpus in corpora if corpus != item.corpus]
    data = corpora[item.corpus].with_calm(params.train.calm)
    try:
        if len(data.classes) < 2:
            raise DataError(f"{item.corpus} has one emotion only")
        everything = np.arange(len(data.index))
        fitted = fit(Material.of(data, params), params, everything, seed=params.seed, chosen=item.chosen)
    except EmodagError as error:
        return {corpus: Cell(item.corpus, corpus, CROSS_CORPUS, None, str(error)) for corpus in others}
    cells = {}
    for corpus in others:
        try:
            check_disjoint(corpora[corpus].index, data.index, corpus)
        except LeakageError as error:
            brief = f"{corpus} holds clips or speakers of {item.corpus}"
            cells[corpus] = Cell(item.corpus, corpus, CROSS_CORPUS, None, str(error), brief)
            continue
        try:
            scores = _tested(corpora[corpus].originals(), data.classes, fitted, params)
            cells[corpus] = Cell(item.corpus, corpus, CROSS_CORPUS, scores)
        except DataError as error:
            emotions = set(corpora[corpus].with_calm(params.train.calm).originals().index["emotion"])
            brief = f"in common: {', '.join(in_order(emotions & set(data.classes))) or 'no class'}"
            cells[corpus] = Cell(item.corpus, corpus, CROSS_CORPUS, None, str(error), brief)
    return cells


def _tested(data: Dataset, classes: tuple[str, ...], fitted: Fitted, params: Params) -> Scores:
    """Scores of a model on the recordings of a corpus that it was not trained on."""
    labelled = data.with_calm(params.train.calm).index
    shared = shared_classes(classes, in_order(labelled["emotion"]))
    probabilities = fitted.predict_proba(data.speech, groups_of(data.index, params.adaptation))
    table = prediction_table(data.index, probabilities, classes, seed=params.seed)
    return scores_of(over_shared(table, labelled, classes, shared), shared, params.evaluate, params.seed)


def write(matrix: Matrix, folder: Path) -> None:
    """Write ``matrix.json``, ``matrix.csv`` and ``matrix.png`` into a folder."""
    plots.save_into(folder, {"matrix.png": matrix.figure()}, stale="matrix.png")
    with atomic_file(folder / "matrix.csv") as path:
        matrix.table().to_csv(path, index=False)
    write_json(folder / "matrix.json", matrix.summary())
