"""The model that validation speakers choose among several runs, and what that choice is worth on tested ones.

Whoever tries many models and reports the best test score reports some luck as well (Cawley and Talbot 2010, JMLR 11,
2079-2107). Here the voices that a fold tests have no say in which model tests them: the others choose, each judged
in the folds that held it out for validation. The score of all folds together is that of the whole procedure, the choice
included.

The models that judge those others may have learnt from the tested voices, as the models of all candidates have. A
fold's own validation speakers, whose models have not, would be a stricter jury and a poor one: with two to four voices,
luck chooses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emodag import revisions
from emodag.errors import DataError
from emodag.evaluation import Scores, told_interval
from emodag.files import write_json
from emodag.params import Evaluate
from emodag.predict import scores_of, uar_of
from emodag.revisions import Predicted, Revision


class Candidate(NamedTuple):
    """A run whose model may be chosen, on one corpus."""

    name: str
    tested: Predicted  #: out of fold
    validation: pd.DataFrame  #: predictions of the validation clips of each fold, by :func:`emodag.schema.predictions`
    remarks: tuple[str, ...] = ()  #: what of it is out of date
    calm: str = "unknown"  #: the policy for it, ``train.calm``


@dataclass(frozen=True)
class Choice:
    """Which candidate was chosen for each fold of a corpus, and the score of the folds together."""

    corpus: str
    candidates: tuple[Candidate, ...]
    folds: tuple[int, ...]
    validated: np.ndarray  #: UAR on validation clips of all voices but those that a fold tests, [candidates, folds]
    together: np.ndarray  #: UAR on all validation clips, [candidates]
    scores: Scores
    confidence: float  #: of the interval

    @cached_property
    def by_fold(self) -> dict[int, str]:
        """Fold -> the name of what was chosen for it."""
        return {
            fold: self.candidates[best].name
            for fold, best in zip(self.folds, self.validated.argmax(axis=0), strict=True)
        }

    @property
    def best(self) -> str:
        """The name of what all validation speakers of the corpus choose."""
        return self.candidates[self.together.argmax()].name

    @property
    def notes(self) -> list[str]:
        """How it was found, on how much."""
        scores = self.scores
        notes = [f"{scores.clips} clips", f"{scores.speakers} speakers", f"{len(scores.present)} classes"]
        notes.append(f"calm: {' and '.join(dict.fromkeys(each.calm for each in self.candidates))}")
        return [*notes, told_interval(self.confidence, scores.intervals.unit, scores.speakers)]

    def summary(self) -> dict[str, Any]:
        """The corpus's entry in ``choice.json``; shares of 1."""
        first = self.candidates[0].tested
        return self.scores.summary() | {
            "protocol": first.protocol,
            "leaky": any(each.tested.leaky for each in self.candidates),
            "calm": {each.name: each.calm for each in self.candidates},
            "confidence": self.confidence,
            "interval": self.scores.intervals.unit,
            "best": self.best,
            "folds": {str(fold): name for fold, name in self.by_fold.items()},
            "uar_validation": {
                each.name: uar for each, uar in zip(self.candidates, self.together.tolist(), strict=True)
            },
            "remarks": {each.name: list(each.remarks) for each in self.candidates if each.remarks},
        }

    def __str__(self) -> str:
        """For the terminal."""
        facts, times = self.summary(), Counter(self.by_fold.values())
        mark = "LEAKY: " if facts["leaky"] else ""
        low, high = 100 * facts["uar_low"], 100 * facts["uar_high"]
        lines = [
            f"{mark}{self.corpus}, {facts['protocol']}, chosen among {len(self.candidates)} by other voices than are "
            f"tested: UAR {self.scores.uar:.1%} [{low:.1f}, {high:.1f}]",
            f"  {', '.join(self.notes)}",
        ]
        width = max(len(each.name) for each in self.candidates)
        for place in np.argsort(-self.together, kind="stable"):
            name = self.candidates[place].name
            mean = f"UAR on validation speakers {self.together[place]:.1%}"
            lines.append(f"  {name:<{width}}  {mean}, chosen for {times[name]} of {len(self.folds)} folds")
        lines += [f"  warning: {each.name}: {remark}" for each in self.candidates for remark in each.remarks]
        return "\n".join(lines)


class NoJury(DataError):
    """Nobody was held out who could choose."""


class Undecided(NamedTuple):
    """A corpus on which nothing could be chosen."""

    corpus: str
    reason: str

    def summary(self) -> dict[str, Any]:
        """The corpus's entry in ``choice.json``."""
        return {"undecided": self.reason}

    def __str__(self) -> str:
        """For the terminal."""
        return f"undecided: {self.reason}"


@dataclass(frozen=True)
class Choices:
    """What was chosen on each corpus, and what on all of them."""

    corpora: tuple[Choice | Undecided, ...]  #: one at least is decided

    @property
    def decided(self) -> list[Choice]:
        """Those on which somebody could choose."""
        return [each for each in self.corpora if isinstance(each, Choice)]

    @property
    def ship(self) -> str:
        """The name of the model to ship: the best on validation speakers, each decided corpus counting the same."""
        first, *_ = self.decided
        return first.candidates[np.mean([each.together for each in self.decided], axis=0).argmax()].name

    def summary(self) -> dict[str, Any]:
        """The content of ``choice.json``."""
        return {"ship": self.ship, "corpora": {each.corpus: each.summary() for each in self.corpora}}

    def __str__(self) -> str:
        """For the terminal."""
        names = [each.corpus for each in self.decided]
        over = f", by the mean over {', '.join(names)}" if len(names) > 1 else ""
        return "\n".join([*map(str, self.corpora), f"to ship: {self.ship}{over}"])


def choose(corpus: str, candidates: Sequence[Candidate], settings: Evaluate, seed: int) -> Choice:
    """Choose among candidates that were cross-validated on the same folds; see the module.

    Of candidates that do equally well, the first is chosen.

    Args:
        corpus: whose clips they predicted.
        candidates: two at least.
        settings: the section ``evaluate`` of the params.
        seed: of the interval.

    Raises:
        NoJury: nobody was held out for validation, or for some fold nobody but whom it tests.
        DataError: the candidates differ in folds, seeds or classes.
    """
    first = candidates[0]
    tested, held_out = _places(first.tested.table), _places(first.validation)
    for each in candidates:
        if each.validation.empty:
            raise NoJury(
                f"{corpus}: {each.name} held nobody out for validation, so nobody can choose; use a protocol and a "
                "corpus with more speakers, and train.validation above 0"
            )
        if each.tested.classes != first.tested.classes:
            raise DataError(
                f"{corpus}: {first.name} tells {', '.join(first.tested.classes)} apart and {each.name} "
                f"{', '.join(each.tested.classes)}; only models of the same emotions can be chosen among"
            )
        for part, places, table in (("tests", tested, each.tested.table), ("holds out", held_out, each.validation)):
            if _places(table) != places:
                raise DataError(
                    f"{corpus}: {each.name} {part} other clips in its folds than {first.name}, or under other seeds; "
                    "only runs with the same seed and train.protocol, folds, validation and seeds can be chosen among"
                )
    classes = first.tested.classes
    folds = tuple(int(fold) for fold in sorted(first.tested.table["fold"].unique()))
    found = []
    for fold in folds:
        voices = set(first.tested.table.loc[first.tested.table["fold"] == fold, "speaker"])
        others = [each.validation[~each.validation["speaker"].isin(voices)] for each in candidates]
        if others[0].empty:
            raise NoJury(f"{corpus}: no voice but those that fold {fold} tests was held out, so nobody can choose")
        found.append([uar_of(rows, classes) for rows in others])
    validated = np.array(found).T
    together = np.array([uar_of(each.validation, classes) for each in candidates])
    chosen = [
        table[table["fold"] == fold]
        for fold, best in zip(folds, validated.argmax(axis=0), strict=True)
        for table in [candidates[best].tested.table]
    ]
    table = pd.concat(chosen).sort_values(["clip_id", "seed"], ignore_index=True)
    scores = scores_of(table, classes, settings, seed)
    return Choice(corpus, tuple(candidates), folds, validated, together, scores, settings.confidence)


def _places(table: pd.DataFrame) -> set[tuple]:
    return set(zip(table["fold"], table["clip_id"], table["seed"], strict=True))


def choices(runs: Sequence[Revision], settings: Evaluate, seed: int, corpus: str | None = None) -> Choices:
    """The choice among runs of the pipeline on every corpus that all of them cross-validated, or on one.

    Raises:
        NoJury: on none of the corpora can anything be chosen.
        DataError: there is no such corpus, or :func:`choose` raises it.
    """
    # Under `holdout`, a corpus can hold speakers out for validation and have none tested.
    listed = [(run.name, [name for name in run.validation if name in run.corpora]) for run in runs]
    common = revisions.in_common(listed, corpus, "cross-validated with validation speakers by all of")
    if not common:
        raise DataError(
            f"{', '.join(run.name for run in runs)} have no corpus in common that they cross-validated with validation "
            "speakers, so there is nothing to choose by"
        )
    found: list[Choice | Undecided] = []
    for name in common:
        candidates = [
            Candidate(run.name, run.corpora[name], run.validation[name], run.remarks, run.calm) for run in runs
        ]
        try:
            found.append(choose(name, candidates, settings, seed))
        except NoJury as error:
            found.append(Undecided(name, str(error)))
    if all(isinstance(each, Undecided) for each in found):
        raise NoJury("; ".join(each.reason for each in found))
    return Choices(tuple(found))


def write(found: Choices, path: Path) -> dict[str, Any]:
    """Write ``choice.json`` atomically; returns its content."""
    content = found.summary()
    write_json(path, content)
    return content
