"""What evaluate says about each corpus: scores, the text of titles, and the files that DVC and people read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emodag import plots
from emodag.adaptation import TOLD
from emodag.bundle import Bundle
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.evaluation import Scores, evaluate
from emodag.files import atomic_directory, write_json
from emodag.labels import in_order, shared_classes
from emodag.params import Evaluate
from emodag.predict import decisions, predict, restrict
from emodag.splits import CROSS_CORPUS, is_leaky

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Report:
    """One corpus's scores and how they came about."""

    corpus: str
    protocol: str
    leaky: bool
    scores: Scores
    truth: np.ndarray  #: int [clips], positions in ``scores.classes``
    predicted: np.ndarray  #: int [clips]
    dropped: dict[str, int]  #: emotions that the model does not know -> their clips, which were not scored
    model: str
    adaptation: str  #: by which unlabelled speech the features were normalised: ``adaptation.by``
    inputs: str  #: which of the stored features the model saw
    encoder: str  #: the pretrained encoder whose embeddings are among them; or ``none``
    calm: str
    confidence: float

    def summary(self) -> dict[str, Any]:
        """The corpus's entry in ``metrics/evaluate.json``."""
        return self.scores.summary() | {
            "protocol": self.protocol,
            "leaky": self.leaky,
            "adaptation": self.adaptation,
            "inputs": self.inputs,
            "encoder": self.encoder,
            "interval": self.scores.intervals.unit,
            "classes": len(self.scores.present),
            "dropped": sum(self.dropped.values()),
        }

    def details(self) -> dict[str, Any]:
        """The corpus's entry in ``metrics/report.json``."""
        return {
            "model": self.model,
            "adaptation": self.adaptation,
            "inputs": self.inputs,
            "encoder": self.encoder,
            "calm": self.calm,
            "classes": self.scores.per_class(),
            "dropped": self.dropped,
            "confusion": {"labels": list(self.scores.classes), "counts": self.scores.confusion.tolist()},
        }

    def __str__(self) -> str:
        """For the log: the title, the policies, and each emotion's recall."""
        recalls = ", ".join(f"{emotion} {row['recall']:.0%}" for emotion, row in self.scores.per_class().items())
        mark = "LEAKY: " if self.leaky else ""
        return "\n    ".join([mark + self.title, " · ".join(self.notes), f"recall: {recalls}"])

    @property
    def title(self) -> str:
        """The corpus, the protocol and the score with its interval."""
        low, high = self.scores.intervals.uar
        uar = self.summary()["uar"]
        return f"{self.corpus}, {self.protocol}: UAR {uar:.1%} [{100 * low:.1f}, {100 * high:.1f}]"

    @property
    def notes(self) -> list[str]:
        """Under which policies, on how much, and what the guard found."""
        notes = [self.model]
        if self.encoder != "none":
            notes.append(self.encoder if self.inputs == "embedding" else f"functionals and {self.encoder}")
        if self.adaptation != "none":
            notes.append(TOLD[self.adaptation])
        notes += [f"{self.scores.clips} clips", f"{self.scores.speakers} speakers"]
        notes.append(f"{len(self.scores.present)} classes")
        if self.protocol == CROSS_CORPUS:
            notes[-1] += " shared with the training corpora"
            notes += [f"not scored: {count} {emotion}" for emotion, count in self.dropped.items()]
        notes.append(f"calm: {self.calm}")
        unit = self.scores.intervals.unit
        notes.append(f"{self.confidence:.0%} interval over {unit}" + (": one speaker only" if unit == "clips" else ""))
        notes.append("speakers on both sides of each fold" if self.leaky else "no leak found")
        return notes

    def figures(self) -> dict[str, Figure]:
        """File name -> picture."""
        scores = self.scores
        titles = {"title": self.title, "notes": self.notes, "leaky": self.leaky}
        per_class = scores.per_class()
        return {
            f"confusion_{self.corpus}.png": plots.confusion_figure(scores.confusion, scores.classes, **titles),
            f"recall_{self.corpus}.png": plots.recall_figure(
                np.array([row["recall"] for row in per_class.values()]),
                np.array([(row["recall_low"], row["recall_high"]) for row in per_class.values()]),
                list(per_class),
                chance=1 / len(scores.classes),
                uar=self.summary()["uar"],
                **titles,
            ),
        }


def in_corpus(
    predictions: pd.DataFrame, data: Dataset, corpus: str, bundle: Bundle, settings: Evaluate, seed: int
) -> Report:
    """Scores of one train corpus from its out-of-fold predictions, over all classes of the model.

    Raises:
        DataError: no clip of the corpus was predicted.
    """
    protocol = bundle.protocol
    rows = predictions[predictions["clip_id"].str.startswith(f"{corpus}/")]
    if rows.empty:
        raise DataError(f"{corpus}: none of its clips is tested by {protocol}, so there is nothing to score")
    return _report(corpus, protocol, rows, bundle.classes, {}, bundle, settings, seed)


def cross_corpus(data: Dataset, corpus: str, bundle: Bundle, settings: Evaluate, seed: int) -> Report:
    """Scores of the shipped model on a test corpus, over the classes that both know after the model's policy for calm.

    Probabilities are those given that the truth is one of the shared classes. Clips of other classes are not scored
    but counted.

    Raises:
        DataError: the corpus has no recording, shares no class with the model or has other features.
    """
    data = data.originals()
    index = data.with_calm(bundle.calm).index
    if index.empty:
        raise DataError(f"{corpus}: the test corpus holds no clip, so there is nothing to score")
    emotions = in_order(index["emotion"])
    shared = shared_classes(bundle.classes, emotions)
    if len(shared) < 2:
        raise DataError(
            f"{corpus}: only {shared[0]} is shared with the model ({', '.join(bundle.classes)}), and one class cannot "
            "be told from itself: every score would be 100 %; give this corpus no role"
        )
    known = index["emotion"].isin(shared)
    counts = index.loc[~known, "emotion"].value_counts()
    dropped = {emotion: int(counts[emotion]) for emotion in emotions if emotion in counts}
    # All are predicted before clips are left out by their labels: adaptation must not gain from knowing those.
    predictions = predict(bundle, data).drop(columns="emotion")
    rows = predictions.merge(index.loc[known, ["clip_id", "emotion"]], on="clip_id")
    rows = restrict(rows, bundle.classes, shared)
    return _report(corpus, CROSS_CORPUS, rows, shared, dropped, bundle, settings, seed)


def write_metrics(reports: list[Report], folder: Path) -> None:
    """Write ``evaluate.json``, ``report.json`` and, for ``dvc plots``, the tables of ``plots/``, which it replaces."""
    with atomic_directory(folder / "plots") as out:
        # A file per corpus: in one table, bars of the same emotion would be stacked on each other.
        for kind in ("confusion", "recall"):
            (out / kind).mkdir()
        for report in reports:
            names = np.array(report.scores.classes)
            actual = pd.DataFrame({"actual": names[report.truth], "predicted": names[report.predicted]})
            actual.to_csv(out / "confusion" / f"{report.corpus}.csv", index=False)
            recalls = pd.DataFrame.from_dict(report.scores.per_class(), orient="index").rename_axis("emotion")
            recalls.to_csv(out / "recall" / f"{report.corpus}.csv")
    write_json(folder / "report.json", {report.corpus: report.details() for report in reports})
    write_json(folder / "evaluate.json", {report.corpus: report.summary() for report in reports})


def _report(
    corpus: str,
    protocol: str,
    rows: pd.DataFrame,
    classes: tuple[str, ...],
    dropped: dict[str, int],
    bundle: Bundle,
    settings: Evaluate,
    seed: int,
) -> Report:
    truth, predicted = decisions(rows, classes)
    scores = evaluate(
        truth,
        predicted,
        rows["speaker"].to_numpy(),
        classes,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
    )
    return Report(
        corpus=corpus,
        protocol=protocol,
        leaky=is_leaky(corpus, protocol),
        scores=scores,
        truth=truth,
        predicted=predicted,
        dropped=dropped,
        model=bundle.model,
        adaptation=bundle.adaptation["by"],
        inputs=bundle.inputs,
        encoder=bundle.encoder,
        calm=bundle.calm,
        confidence=settings.confidence,
    )
