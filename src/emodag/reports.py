"""What evaluate says about each corpus: scores, the text of titles, and the files that DVC and people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emodag import plots, schema
from emodag.adaptation import TOLD, unnamed
from emodag.bundle import Bundle
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.evaluation import (
    Calibration,
    Fairness,
    Human,
    Rejection,
    Scores,
    age_groups,
    calibration_of,
    confusion_matrix,
    evaluate,
    fairness_of,
    human_baseline,
    rejection_of,
    tempered,
    told_interval,
    unweighted_average_recall,
)
from emodag.files import atomic_directory, write_json
from emodag.labels import CalmPolicy, apply_calm, in_order, shared_classes
from emodag.params import Evaluate
from emodag.predict import corpora_of, decisions, over_shared, predict, uar_by
from emodag.robustness import Robustness
from emodag.splits import CROSS_CORPUS, is_leaky

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Facts of clips that fairness looks at, by their columns in :data:`emodag.schema.INDEX`; ages go by groups.
_ATTRIBUTES = ("sex", "age", "language", "intensity")


@dataclass(frozen=True)
class Report:
    """One corpus's scores and how they came about."""

    corpus: str
    protocol: str
    leaky: bool
    scores: Scores
    calibration: Calibration
    rejection: Rejection
    fairness: Fairness
    human: Human | None  #: nothing where nobody knows what listeners heard
    robustness: Robustness | None  #: nothing where no sound was spoilt
    predictions: pd.DataFrame  #: a row per clip and seed, by :func:`emodag.schema.predictions` over ``scores.classes``
    seeds: tuple[float, ...]  #: UAR of each seed
    uar_validation: float | None  #: by :func:`with_validation`, to choose models by; nothing if nobody was held out
    truth: np.ndarray  #: int [rows], positions in ``scores.classes``
    predicted: np.ndarray  #: int [rows]
    dropped: dict[str, int]  #: emotions that the model does not know -> their clips, which were not scored
    known: int  #: emotions that the shipped model answers, whatever ``scores.classes``; ``rejection`` is among these
    unnamed: bool  #: whether nobody knows who speaks
    model: str
    adaptation: str  #: by which unlabelled speech the features were normalised: ``adaptation.by``
    inputs: str  #: which of the stored features the model saw
    encoder: str  #: the pretrained encoder whose embeddings are among them; or ``none``
    calm: str
    confidence: float

    def summary(self) -> dict[str, Any]:
        """The corpus's entry in ``metrics/evaluate.json``."""
        calibration, rejection = self.calibration, self.rejection
        return (
            self.scores.summary()
            | {
                "protocol": self.protocol,
                "leaky": self.leaky,
                "adaptation": self.adaptation,
                "inputs": self.inputs,
                "encoder": self.encoder,
                "interval": self.scores.intervals.unit,
                "classes": len(self.scores.present),
                "dropped": sum(self.dropped.values()),
                "seeds": len(self.seeds),
            }
            | ({"uar_spread": float(np.std(self.seeds, ddof=1))} if len(self.seeds) > 1 else {})
            | ({} if self.uar_validation is None else {"uar_validation": self.uar_validation})
            | {
                "temperature": calibration.temperature,
                "ece": calibration.calibrated.ece,
                "ece_raw": calibration.raw.ece,
                "brier": calibration.calibrated.brier,
                "log_loss": calibration.calibrated.log_loss,
                "aurc": rejection.area,
                "coverage": rejection.answered,
                "accuracy_answered": rejection.accuracy,
                "speaker_spread": self.fairness.spread,
            }
            | self._of_listeners()
            | {f"uar_{each.condition}": each.uar for each in (self.robustness.conditions if self.robustness else ())}
        )

    def numbers(self) -> dict[str, float]:
        """Those values of the summary that are numbers."""
        return {
            name: value
            for name, value in self.summary().items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
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
            "seeds": list(self.seeds),
            "calibration": _plain(self.calibration),
            "rejection": _plain(self.rejection),
            "fairness": {
                "subgroups": _plain(self.fairness.subgroups),
                "worst_speakers": _plain(self.fairness.worst),
                "speaker_spread": self.fairness.spread,
            },
            "human": self._of_listeners() or None,
            "robustness": _plain(self.robustness),
        }

    def _of_listeners(self) -> dict[str, Any]:
        if self.human is None:
            return {}
        listeners, model = self.human.listeners.summary(), self.human.model.summary()
        return {
            "human_uar": listeners["uar"],
            "human_uar_low": listeners["uar_low"],
            "human_uar_high": listeners["uar_high"],
            "human_wa": listeners["wa"],
            "human_clips": listeners["clips"],
            "human_undecided": self.human.undecided,
            "human_model_uar": model["uar"],
            "human_agreement": self.human.agreement,
        }

    def __str__(self) -> str:
        """For the log: the title, the policies, and each emotion's recall."""
        recalls = ", ".join(f"{emotion} {row['recall']:.0%}" for emotion, row in self.scores.per_class().items())
        mark = "LEAKY: " if self.leaky else ""
        return "\n    ".join([mark + self.title, " · ".join(self.notes), f"recall: {recalls}", *self._told()])

    def _told(self) -> list[str]:
        """A line each of calibration, rejection, fairness and, where they are known, listeners and robustness."""
        calibration, rejection = self.calibration, self.rejection
        answered = "none" if rejection.accuracy is None else f"{rejection.accuracy:.1%} of them right"
        worst = self.fairness.speakers[0]
        lines = [
            f"calibration: ECE {calibration.raw.ece:.1%}, at temperature {calibration.temperature:.2f} "
            f"{calibration.calibrated.ece:.1%}",
            f"answers {rejection.answered:.0%} of clips, those at {rejection.threshold:.0%} or more: {answered}",
            f"worst speaker: {worst.speaker}, UAR {worst.uar:.1%} on {worst.clips} clips",
        ]
        for part in self.fairness.subgroups:
            if part.stands_out:
                low, high = part.difference_interval
                lines.append(
                    f"{part.attribute} {part.value}: {100 * part.difference:+.1f} points beside the others "
                    f"[{100 * low:.1f}, {100 * high:.1f}]"
                )
        if self.human is not None:
            listeners, model = (each.uar for each in (self.human.listeners, self.human.model))
            lines.append(
                f"listeners on {self.human.listeners.clips} clips: UAR {listeners:.1%}, the model {model:.1%}; both "
                f"agree on {self.human.agreement:.1%}"
            )
        if self.robustness is not None:
            spoilt = ", ".join(f"{each.label} {each.uar:.1%}" for each in self.robustness.conditions)
            lines.append(f"UAR on {self.robustness.clips} clips: {spoilt}")
        return lines

    @property
    def title(self) -> str:
        """The corpus, the protocol and the score with its interval."""
        low, high = self.scores.intervals.uar
        return f"{self.corpus}, {self.protocol}: UAR {self.scores.uar:.1%} [{100 * low:.1f}, {100 * high:.1f}]"

    @property
    def notes(self) -> list[str]:
        """Under which policies, on how much, and what the guard found."""
        notes = [self.model]
        if self.encoder != "none":
            notes.append(self.encoder if self.inputs == "embedding" else f"functionals and {self.encoder}")
        if self.adaptation == "speaker" and self.unnamed:
            notes.append("adapted by nobody's clips: nobody knows who speaks")
        elif self.adaptation != "none":
            notes.append(TOLD[self.adaptation])
        plural = "s" * (self.scores.speakers != 1)
        speakers = "speakers unknown" if self.unnamed else f"{self.scores.speakers} speaker{plural}"
        notes += [f"{self.scores.clips} clips", speakers]
        if len(self.seeds) > 1:
            notes.append(f"mean over {len(self.seeds)} seeds")
        notes.append(f"{len(self.scores.present)} classes")
        if self.protocol == CROSS_CORPUS:
            notes[-1] += " shared with the training corpora"
            notes += [f"not scored: {count} {emotion}" for emotion, count in self.dropped.items()]
        notes.append(f"calm: {self.calm}")
        notes.append(self.interval)
        notes.append("speakers on both sides of each fold" if self.leaky else "no leak found")
        return notes

    @property
    def interval(self) -> str:
        """What the interval is over, and whether that is too few to trust it."""
        if self.unnamed:
            return f"{100 * self.confidence:g}% interval over clips: nobody knows how many speak"
        return told_interval(self.confidence, self.scores.intervals.unit, self.scores.speakers)

    @property
    def among(self) -> str:
        """Among which emotions the shipped model answers, where they are more than the scored ones."""
        return f"among all {self.known} emotions that it knows" if self.known > len(self.scores.classes) else ""

    def pictures(self) -> dict[str, Figure]:
        """Kind of picture -> picture."""
        scores = self.scores
        titles = {"title": self.title, "notes": self.notes, "leaky": self.leaky}
        per_class = scores.per_class()
        uar, chance = scores.uar, 1 / len(scores.classes)
        drawn = {
            "confusion": plots.confusion_figure(scores.counts, scores.classes, **titles),
            "recall": plots.recall_figure(
                np.array([row["recall"] for row in per_class.values()]),
                np.array([(row["recall_low"], row["recall_high"]) for row in per_class.values()]),
                list(per_class),
                chance=chance,
                uar=uar,
                **titles,
            ),
            "reliability": plots.reliability_figure(self.calibration, **titles),
            "coverage": plots.coverage_figure(self.rejection, among=self.among, **titles),
            "fairness": plots.fairness_figure(self.fairness, uar=uar, chance=chance, **titles),
        }
        if self.robustness is not None:
            drawn["robustness"] = plots.robustness_figure(self.robustness, chance=chance, **titles)
        return drawn

    def figures(self) -> dict[str, Figure]:
        """File name -> picture."""
        return {f"{kind}_{self.corpus}.png": figure for kind, figure in self.pictures().items()}

    def tables(self) -> dict[str, pd.DataFrame]:
        """Kind of plot -> what ``dvc plots`` draws it of."""
        names = np.array(self.scores.classes)
        curve, rejection = self.calibration.calibrated.curve, self.rejection
        recalls = pd.DataFrame.from_dict(self.scores.per_class(), orient="index")
        tables = {
            "confusion": pd.DataFrame({"actual": names[self.truth], "predicted": names[self.predicted]}),
            "recall": recalls.rename_axis("emotion").reset_index(),
            "reliability": pd.DataFrame(
                {"confidence": curve.confidence, "accuracy": curve.accuracy, "share": curve.share}
            ),
            "coverage": pd.DataFrame(
                {"coverage": rejection.coverages, "accuracy": rejection.accuracies, "uar": rejection.uars}
            ),
        }
        if self.robustness is not None:
            tables["robustness"] = pd.DataFrame(
                [(each.label, each.uar, *each.interval) for each in self.robustness.conditions],
                columns=["condition", "uar", "uar_low", "uar_high"],
            )
        return tables


def in_corpus(
    predictions: pd.DataFrame, data: Dataset, corpus: str, bundle: Bundle, settings: Evaluate, seed: int
) -> Report:
    """Scores of one train corpus from its out-of-fold predictions, over all classes of the model.

    Raises:
        DataError: no clip of the corpus was predicted.
    """
    protocol = bundle.protocol
    rows = predictions[corpora_of(predictions) == corpus]
    if rows.empty:
        raise DataError(f"{corpus}: none of its clips is tested by {protocol}, so there is nothing to score")
    return _report(corpus, protocol, rows, bundle.classes, {}, data.index, bundle, settings, seed)


def cross_corpus(data: Dataset, corpus: str, bundle: Bundle, settings: Evaluate, seed: int) -> Report:
    """Scores of the shipped model on a test corpus, over the classes that both know after the model's policy for calm.

    Probabilities are those given that the truth is one of the shared classes, but for what is rejected: there they are
    those of the shipped model, which may answer anything. Clips of other classes are not scored but counted.

    Raises:
        DataError: the corpus has no recording, shares no class with the model or has other features.
    """
    data = data.originals()
    index = data.with_calm(bundle.calm).index
    if index.empty:
        raise DataError(f"{corpus}: the test corpus holds no clip, so there is nothing to score")
    emotions = in_order(index["emotion"])
    try:
        shared = shared_classes(bundle.classes, emotions)
    except DataError as error:
        raise DataError(f"{corpus}: {error}; give this corpus no role") from None
    counts = index.loc[~index["emotion"].isin(shared), "emotion"].value_counts()
    dropped = {emotion: int(counts[emotion]) for emotion in emotions if emotion in counts}
    if left_out := len(data.index) - len(index):
        dropped["calm"] = left_out
    answers = predict(bundle, data)
    rows = over_shared(answers, index, bundle.classes, shared)
    return _report(corpus, CROSS_CORPUS, rows, shared, dropped, index, bundle, settings, seed, answers)


def validated(validation: pd.DataFrame, bundle: Bundle) -> dict[str, float]:
    """UAR on those who were held out for validation, by train corpus; empty if nobody was.

    Args:
        validation: predictions of the validation clips of all folds, by :func:`emodag.schema.predictions`.
        bundle: the shipped model.
    """
    return uar_by(validation, corpora_of(validation), bundle.classes)


def with_validation(reports: list[Report], found: Mapping[str, float]) -> list[Report]:
    """Reports with the UAR on validation speakers, by which models can be compared without a look at tested ones.

    That of a test corpus is the mean over the train corpora: nothing of the test corpus may choose.

    Args:
        reports: of all corpora.
        found: by train corpus, as :func:`validated` says.
    """
    mean = float(np.mean(list(found.values()))) if found else None
    return [
        replace(report, uar_validation=mean if report.protocol == CROSS_CORPUS else found.get(report.corpus))
        for report in reports
    ]


def write_metrics(reports: list[Report], curves: pd.DataFrame, folder: Path) -> None:
    """Write ``evaluate.json``, ``report.json`` and, for ``dvc plots``, the tables of ``plots/``, which it replaces.

    Args:
        reports: of all corpora.
        curves: of training, by :data:`emodag.schema.CURVES`.
        folder: to write to.
    """
    with atomic_directory(folder / "plots") as out:
        # A file per corpus: in one table, bars of the same emotion would be stacked on each other.
        for report in reports:
            for kind, table in report.tables().items():
                (out / kind).mkdir(exist_ok=True)
                table.to_csv(out / kind / f"{report.corpus}.csv", index=False)
        # And one per fold, of the first seed.
        for fold, of_fold in curves[curves["seed"] == curves["seed"].min()].groupby("fold"):
            (out / "learning").mkdir(exist_ok=True)
            by_epoch = of_fold.pivot_table(index="epoch", columns="measure", values="value")
            by_epoch.to_csv(out / "learning" / f"fold_{fold}.csv")
    write_json(folder / "report.json", {report.corpus: report.details() for report in reports})
    write_json(folder / "evaluate.json", {report.corpus: report.summary() for report in reports})


def scored(reports: list[Report], classes: tuple[str, ...]) -> pd.DataFrame:
    """The rows that all scores were computed from, by :func:`emodag.schema.scored`.

    Args:
        reports: of all corpora.
        classes: of the model; some corpora share but some of them.
    """
    contract = schema.scored(classes)
    tables = [
        report.predictions.assign(corpus=report.corpus, protocol=report.protocol).reindex(
            columns=list(contract.columns)
        )
        for report in reports
    ]
    return schema.validate(pd.concat(tables, ignore_index=True), contract, "the scored predictions")


def _report(
    corpus: str,
    protocol: str,
    rows: pd.DataFrame,
    classes: tuple[str, ...],
    dropped: dict[str, int],
    index: pd.DataFrame,
    bundle: Bundle,
    settings: Evaluate,
    seed: int,
    answers: pd.DataFrame | None = None,
) -> Report:
    # The rows of a clip, one per seed, follow each other, which `repeats` counts on.
    rows = rows.sort_values(["clip_id", "seed"], ignore_index=True)
    seeds = sorted(set(rows["seed"]))
    facts = index.set_index("clip_id").loc[rows["clip_id"]]
    truth, predicted = decisions(rows, classes)
    raw, temperature = rows[list(classes)].to_numpy(), rows["temperature"].to_numpy()
    speakers, names = rows["speaker"].to_numpy(), np.array(classes)
    drawn = {
        "confidence": settings.confidence,
        "resamples": settings.resamples,
        "seed": seed,
        "repeats": len(seeds),
    }
    return Report(
        corpus=corpus,
        protocol=protocol,
        leaky=is_leaky(corpus, protocol),
        scores=evaluate(truth, predicted, speakers, classes, **drawn),
        calibration=calibration_of(raw, truth, temperature, settings.bins),
        rejection=_rejection(rows if answers is None else _over_all(rows, answers), bundle),
        fairness=fairness_of(truth, predicted, speakers, _attributes(facts), len(classes), **drawn),
        human=human_baseline(names[truth], names[predicted], _perceived(facts, bundle.calm), speakers, **drawn),
        robustness=None,
        predictions=rows,
        seeds=tuple(
            unweighted_average_recall(confusion_matrix(truth[of_seed], predicted[of_seed], len(classes)))
            for of_seed in (rows["seed"].to_numpy() == each for each in seeds)
        ),
        uar_validation=None,
        truth=truth,
        predicted=predicted,
        dropped=dropped,
        known=len(bundle.classes),
        unnamed=bool(unnamed(facts).all()),
        model=bundle.model,
        adaptation=bundle.adaptation["by"],
        inputs=bundle.inputs,
        encoder=bundle.encoder,
        calm=bundle.calm,
        confidence=settings.confidence,
    )


def _over_all(rows: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The scored rows with what the model answered among all of its classes."""
    scored = rows[["clip_id", "seed", "emotion"]]
    return scored.merge(answers.drop(columns="emotion"), on=["clip_id", "seed"], how="left", validate="one_to_one")


def _rejection(answers: pd.DataFrame, bundle: Bundle) -> Rejection:
    truth, predicted = decisions(answers, bundle.classes)
    raw, temperature = answers[list(bundle.classes)].to_numpy(), answers["temperature"].to_numpy()
    confidence = tempered(raw, temperature).max(axis=1)
    return rejection_of(confidence, truth, predicted, len(bundle.classes), bundle.unknown)


def _attributes(facts: pd.DataFrame) -> dict[str, np.ndarray]:
    attributes = {name: facts[name].astype(object).where(facts[name].notna(), None).to_numpy() for name in _ATTRIBUTES}
    return attributes | {"age": age_groups(attributes["age"])}


def _perceived(facts: pd.DataFrame, calm: CalmPolicy) -> np.ndarray:
    return np.array([None if pd.isna(each) else apply_calm(each, calm) for each in facts["perceived"]], object)


def _plain(content: Any) -> Any:
    """Dataclasses and arrays as what JSON has."""
    if is_dataclass(content):
        return {field.name: _plain(getattr(content, field.name)) for field in fields(content)}
    if isinstance(content, np.ndarray):
        return content.tolist()
    if isinstance(content, tuple):
        return [_plain(each) for each in content]
    return content
