"""How much a leaky split flatters: the same model on the same features, tested honestly and as it should not be.

The honest side is the protocol ``speaker_kfold``. The leaky one deals clips to folds at random and lets everything
train that a fold neither tests nor validates: other clips of the tested voices, clips with the very same samples, and
the augmented copies of the tested clips themselves. Work that augments first and splits afterwards is scored so.

The leaky split lives here alone. No protocol of ``train.protocol`` makes it, and the leakage guard refuses it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emodag import datasets, layout, models, plots, schema
from emodag.adaptation import TOLD
from emodag.comparing import clip_hits
from emodag.datasets import Dataset
from emodag.errors import DataError, LeakageError
from emodag.evaluation import Scores, told_interval
from emodag.evaluation.comparison import Comparison, compare
from emodag.files import write_json
from emodag.leakage import Leaks, check_leakage, leaks
from emodag.params import Params, Train
from emodag.predict import corpora_of, scores_of
from emodag.splits import split
from emodag.training import cross_validate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HONEST = "speaker_kfold"


@dataclass(frozen=True)
class Side:
    """One way to split, and what came out."""

    predictions: pd.DataFrame  #: by :func:`emodag.schema.predictions`
    leaks: Leaks
    verdict: str  #: of the leakage guard, if the folds were called speaker-independent; empty if it found nothing
    scores: dict[str, Scores]  #: by corpus
    together: Scores  #: of all corpora as one, as such work reports

    @property
    def guard(self) -> str:
        """What the guard says, in a line."""
        found = (
            f"{len(self.leaks.speakers)} speakers, {len(self.leaks.copies)} augmented copies and "
            f"{len(self.leaks.audio)} byte-equal clips stand on both sides of folds"
        )
        return f"refused: {found}" if self.verdict else "no leak found"


@dataclass(frozen=True)
class Audit:
    """Both sides, and by how much the leaky one flatters."""

    honest: Side
    leaky: Side
    flattered: dict[str, Comparison]  #: by corpus, leaky less honest on the clips that both tested
    model: str
    adaptation: str
    calm: str
    folds: int
    tested: int  #: of the folds
    copies: int  #: augmented, in all

    @property
    def title(self) -> str:
        """What the leaky split would claim."""
        points = {corpus: round(100 * found.difference, 1) + 0.0 for corpus, found in self.flattered.items()}
        if len(points) > 1:
            few, many = min(points.values()), max(points.values())
            return f"{len(points)} corpora: a leaky split would claim {few:.1f} to {many:.1f} points more"
        ((corpus, found),) = self.flattered.items()
        low, high = (100 * bound for bound in found.interval)
        return f"{corpus}: a leaky split would claim {points[corpus]:.1f} points more [{low:.1f}, {high:.1f}]"

    @property
    def notes(self) -> list[str]:
        """Under which policies, on how much."""
        clips = sum(found.clips for found in self.flattered.values())
        speakers = sum(found.speakers for found in self.flattered.values())
        notes = [self.model, self._folds, f"{clips} clips and {self.copies} augmented copies"]
        emotions = {emotion for found in self.flattered.values() for emotion in found.classes}
        notes += [f"{speakers} speakers", f"{len(emotions)} classes", f"calm: {self.calm}"]
        if self.adaptation != "none":
            notes.append(TOLD[self.adaptation])
        told = {
            corpus: told_interval(found.confidence, found.unit, found.speakers, several=True)
            for corpus, found in self.flattered.items()
        }
        if len(set(told.values())) == 1:
            notes.append(next(iter(told.values())))
        else:
            notes += [f"{corpus}: {interval}" for corpus, interval in told.items()]
        return [*notes, f"leakage guard on the leaky split: {self.leaky.guard}"]

    @property
    def _folds(self) -> str:
        return f"{self.folds} folds" if self.tested == self.folds else f"{self.tested} of {self.folds} folds"

    def summary(self) -> dict[str, Any]:
        """The content of ``audit.json``; shares of 1."""
        sides = {"speakers_apart": self.honest, "leaky": self.leaky}
        return {
            "model": self.model,
            "adaptation": self.adaptation,
            "calm": self.calm,
            "folds": self.folds,
            "tested": self.tested,
            "copies": self.copies,
            "guard": {
                name: {"refuses": bool(side.verdict), "says": side.verdict}
                | {kind: len(found) for kind, found in side.leaks._asdict().items()}
                for name, side in sides.items()
            },
            "together": {name: side.together.summary() for name, side in sides.items()},
            "corpora": {
                corpus: {name: side.scores[corpus].summary() for name, side in sides.items()}
                | {
                    "flattered": found.difference,
                    "flattered_low": found.interval[0],
                    "flattered_high": found.interval[1],
                    "p": found.p,
                }
                for corpus, found in self.flattered.items()
            },
        }

    def figure(self) -> Figure:
        """Both scores of each corpus, with their intervals."""
        return plots.audit_figure(self, title=self.title, notes=self.notes)

    def __str__(self) -> str:
        """For the terminal."""
        lines = [", ".join(self.notes[:-1])]
        lines += [
            f"  leakage guard, {name}: {side.guard}"
            for name, side in (("speakers apart", self.honest), ("leaky", self.leaky))
        ]
        for corpus, found in self.flattered.items():
            for name, side in (("speakers apart", self.honest), ("leaky", self.leaky)):
                facts = side.scores[corpus].summary()
                bounds = f"[{100 * facts['uar_low']:.1f}, {100 * facts['uar_high']:.1f}]"
                lines.append(f"  {corpus}, {name:<15} UAR {facts['uar']:.1%} {bounds}")
            low, high = (100 * bound for bound in found.interval)
            lines.append(
                f"  {corpus}: the leaky split flatters by {100 * found.difference:+.1f} points "
                f"({100 * found.confidence:g}% interval {low:.1f} to {high:.1f}, over {_counted(found)})"
            )
        return "\n".join(lines)


def _counted(found: Comparison) -> str:
    """What an interval is over, and how many of them."""
    return f"{found.speakers} speakers" if found.unit == "speakers" else f"{found.clips} clips of one speaker"


def run(params: Params, tested: int | None = None, root: Path = layout.FEATURES) -> Audit:
    """Train and test the model of the params under both splits of the train corpora; see :func:`audit`.

    Raises:
        CorpusError: the features of a corpus are missing.
        DataError: the corpora cannot be split by speaker, or a fold lacks an emotion.
    """
    corpora = datasets.corpora_with(params, "train", root)
    data = datasets.load(corpora, "train", models.needs(params), root, params.train.inputs)
    return audit(data.with_calm(params.train.calm), params, tested)


def audit(data: Dataset, params: Params, tested: int | None = None) -> Audit:
    """Both sides of a data set, whose augmented copies are among its clips.

    Args:
        data: clips as the model sees them.
        params: under which both sides are trained.
        tested: how many folds of either side are trained and tested; all of them if it is not given. With fewer, the
            sides test different clips; what the leak is worth is then taken from those that both test.

    Raises:
        DataError: no clip of some corpus is tested by both sides.
    """
    if tested is None:
        tested = params.train.folds
    train = _under(_HONEST, params.train)
    splits = [
        folds[folds["fold"] <= tested]
        for folds in (split(data.index, train, params.seed), leaky_folds(data.index, train, params.seed))
    ]
    # All at once: where one fold of either side is tested, each takes a core. The leaky ones are numbered on.
    beyond = train.folds
    together = pd.concat([splits[0], splits[1].assign(fold=splits[1]["fold"] + beyond)], ignore_index=True)
    print(f"{tested} of {train.folds} folds with speakers apart, as many leaky", file=sys.stderr, flush=True)
    found = cross_validate(data, together, params.model_copy(update={"train": train})).predictions
    of_leaky = found["fold"] > beyond
    predicted = found[~of_leaky], found[of_leaky].assign(fold=lambda rows: rows["fold"] - beyond)
    honest, leaky = (
        _side(data, folds, predictions, params) for folds, predictions in zip(splits, predicted, strict=True)
    )
    return Audit(
        honest,
        leaky,
        {corpus: _flattered(honest, leaky, corpus, data.classes, params) for corpus in honest.scores},
        params.model,
        params.adaptation.by,
        params.train.calm,
        params.train.folds,
        tested,
        int(data.index["parent_id"].notna().sum()),
    )


def leaky_folds(index: pd.DataFrame, train: Train, seed: int) -> pd.DataFrame:
    """Folds over clips in which all that is neither tested nor validated trains, by :data:`emodag.schema.FOLDS`."""
    tables = []
    for number, fold in split(index, _under("random", train), seed).groupby("fold", sort=True):
        held_out = fold.set_index("clip_id")["part"].replace("train", np.nan).dropna()
        parts = index["clip_id"].map(held_out).fillna("train")
        tables.append(pd.DataFrame({"fold": number, "clip_id": index["clip_id"], "part": parts}))
    return schema.validate(pd.concat(tables).sort_values(["fold", "clip_id"]), schema.FOLDS, "the leaky folds")


def write(found: Audit, folder: Path) -> None:
    """Write ``audit.json`` and ``audit.png`` into a folder."""
    plots.save_into(folder, {"audit.png": found.figure()}, stale="audit.png")
    write_json(folder / "audit.json", found.summary())


def _under(protocol: str, train: Train) -> Train:
    return train.model_copy(update={"protocol": protocol, "keep_folds": False})


def _side(data: Dataset, folds: pd.DataFrame, predictions: pd.DataFrame, params: Params) -> Side:
    try:
        check_leakage(folds, predictions, data.index, _HONEST)
        verdict = ""
    except LeakageError as error:
        verdict = str(error)
    scores = {
        str(corpus): scores_of(rows, data.classes, params.evaluate, params.seed)
        for corpus, rows in predictions.groupby(corpora_of(predictions), sort=True)
    }
    together = scores_of(predictions, data.classes, params.evaluate, params.seed)
    return Side(predictions, leaks(folds, data.index), verdict, scores, together)


def _flattered(honest: Side, leaky: Side, corpus: str, classes: tuple[str, ...], params: Params) -> Comparison:
    sides = [clip_hits(side.predictions[corpora_of(side.predictions) == corpus], classes) for side in (honest, leaky)]
    both = sides[0].index.intersection(sides[1].index)
    if both.empty:
        raise DataError(f"{corpus}: no clip is tested by both sides; test more folds")
    sides = [side.loc[both] for side in sides]
    position = {emotion: number for number, emotion in enumerate(classes)}
    settings = params.evaluate
    return compare(
        sides[0]["emotion"].map(position).to_numpy(np.int64),
        np.stack([side["hit"] for side in sides]),
        sides[0]["speaker"].to_numpy(),
        classes,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=params.seed,
    )
