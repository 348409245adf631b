"""Cross-validation and the final fit. Whatever is fitted is fitted inside the training part of a fold."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emodag import models, schema
from emodag.adaptation import Adapter, Groups, groups_of
from emodag.checkpoints import Checkpoints
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.evaluation import fit_temperature, tempered
from emodag.models import Chosen, Classifier, Clips, typical
from emodag.parallel import Item, Result, parallel_map
from emodag.params import Params
from emodag.predict import prediction_table
from emodag.speech import Speech

#: What else than other clips helps a fold that lacks training clips of an emotion, by protocol.
_REMEDIES = {
    "speaker_kfold": "use more train.folds or train.protocol loso, so that fewer of its speakers are tested at once, ",
    "random": "use more train.folds, so that fewer of its clips are tested at once, ",
    "holdout": "name others in train.holdout, ",
}


class Parts(NamedTuple):
    """One fold as rows of the data set, int [clips] each."""

    number: int
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class Attempt(NamedTuple):
    """A fold and the seed of the model that is trained in it."""

    seed: int
    fold: Parts


class Outcome(NamedTuple):
    """What one fold gave."""

    test: np.ndarray  #: probabilities of its test clips, float32 [clips, classes]
    validation: np.ndarray  #: of its validation clips, as :attr:`emodag.models.Classifier.held_out`
    temperature: float  #: fitted to these
    chosen: Chosen  #: what they decided; ``{}`` where there are none
    history: list[dict[str, float]]  #: of the model that they stopped
    adaptation: dict[str, Any]  #: of the tested model, as :meth:`emodag.adaptation.Adapter.describe` says
    onnx: bytes  #: the tested model; empty unless models of folds are kept


@dataclass(frozen=True)
class CrossValidation:
    """What all folds gave."""

    predictions: pd.DataFrame  #: out of fold, by :func:`emodag.schema.predictions`, sorted by clip and seed
    validation: pd.DataFrame  #: of validation clips, in the same form; several folds may hold one out
    curves: pd.DataFrame  #: by :data:`emodag.schema.CURVES`
    outcomes: dict[tuple[int, int], Outcome]  #: by seed and fold
    checkpoints: Checkpoints | None = None  #: to be closed once all that follows is written; nothing if none were kept

    @property
    def chosen(self) -> Chosen:
        """What the model that ships, which has no validation clips, goes by; ``{}`` where no fold had any."""
        return typical([outcome.chosen for outcome in self._validated])

    @property
    def temperature(self) -> float:
        """Of the model that ships: the geometric mean over folds with validation clips; 1 where there are none."""
        fitted = [outcome.temperature for outcome in self._validated]
        return float(np.exp(np.mean(np.log(fitted)))) if fitted else 1.0

    @property
    def _validated(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes.values() if len(outcome.validation)]

    def confidence_for(self, coverage: float, classes: tuple[str, ...]) -> float:
        """The calibrated probability that the most probable class of this share of validation clips reaches.

        0, so that all are answered, where nobody was held out for validation.
        """
        if self.validation.empty:
            return 0.0
        probabilities = tempered(self.validation[list(classes)].to_numpy(), self.validation["temperature"].to_numpy())
        return float(np.quantile(probabilities.max(axis=1), 1 - coverage))


def cross_validate(data: Dataset, folds: pd.DataFrame, params: Params, kept: Path | None = None) -> CrossValidation:
    """Train on each fold's training part and predict its test part, folds in parallel.

    Args:
        data: clips as the model sees them, augmented copies included.
        folds: by :data:`emodag.schema.FOLDS`, as :func:`emodag.splits.split` makes them.
        params: ``model`` and its section, ``adaptation``, ``train``, ``seed`` and ``compute``.
        kept: a folder for what finished folds gave, so that a killed training goes on there until the result's
            ``checkpoints`` are closed.

    Raises:
        DataError: there are no folds, a fold tests nothing, or it lacks training clips of some class.
    """
    if len(data.classes) < 2:
        raise DataError(f"{data.source}: a classifier needs two emotions at least; found: {', '.join(data.classes)}")
    parts = list(parts_of(data, folds))
    if not parts:
        raise DataError("there is no fold, so nothing can be cross-validated")
    material = Material.of(data, params)
    for fold in parts:
        require_every_emotion(fold, material, params)
    checkpoints = None if kept is None else Checkpoints.open(kept, material, folds, params)
    attempts = [Attempt(params.seed + number, fold) for number in range(params.train.seeds) for fold in parts]
    work = partial(fit_fold, material=material, params=params, checkpoints=checkpoints)
    results = each_fitted(work, attempts, params, f"train {params.model}")
    outcomes = dict(zip([(seed, fold.number) for seed, fold in attempts], results, strict=True))
    tables: dict[str, list[pd.DataFrame]] = {"test": [], "validation": []}
    for seed, fold in attempts:
        outcome = outcomes[seed, fold.number]
        for part, of_part in tables.items():
            of_part.append(
                prediction_table(
                    data.index.iloc[getattr(fold, part)],
                    getattr(outcome, part),
                    data.classes,
                    fold=fold.number,
                    seed=seed,
                    temperature=outcome.temperature,
                )
            )
    contract = schema.predictions(data.classes)
    joined = {part: pd.concat(of_part).sort_values(["clip_id", "seed", "fold"]) for part, of_part in tables.items()}
    return CrossValidation(
        schema.validate(joined["test"], contract, "the predictions"),
        schema.validate(joined["validation"], contract, "the predictions of validation clips"),
        curves_of({attempt: outcome.history for attempt, outcome in outcomes.items()}),
        outcomes,
        checkpoints,
    )


def each_fitted(
    work: Callable[[Item], Result], items: Sequence[Item], params: Params, description: str
) -> Iterator[Result]:
    """What ``work`` makes of each item, which is a fit: in parallel, or in turns where they share a GPU."""
    alone = models.on_gpu(params)
    return parallel_map(work, items, jobs=params.compute.jobs, description=description, batch=1, alone=alone)


class Material(NamedTuple):
    """All that models of a data set learn from, a row per clip; folds take rows of it."""

    speech: Speech
    groups: Groups
    voices: np.ndarray  #: int [clips], equal for clips of one speaker
    labels: np.ndarray  #: int [clips], positions in ``classes``
    classes: tuple[str, ...]

    @classmethod
    def of(cls, data: Dataset, params: Params) -> Material:
        """That of a data set, grouped as the params adapt."""
        groups = groups_of(data.index, params.adaptation)
        voices = pd.factorize(data.index["speaker"])[0]  # nobody known is a voice too: its clips may be of one
        return cls(data.speech, groups, voices, data.labels, data.classes)


class Fitted(NamedTuple):
    """A model and the normalisation that speech passes through before it, both fitted on the same clips."""

    adapter: Adapter
    model: Classifier

    def predict_proba(self, speech: Speech, groups: Groups) -> np.ndarray:
        """Probabilities, float32 [clips, classes]; the clips are adapted to their groups as they stand here."""
        return self.model.predict_proba(self.adapter(speech, groups))

    def onnx(self) -> bytes:
        """The model as ONNX, without the normalisation."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            self.model.export_onnx(path)
            return path.read_bytes()


def fit_fold(attempt: Attempt, material: Material, params: Params, checkpoints: Checkpoints | None = None) -> Outcome:
    """Train and test one fold.

    The validation speakers say how long to train. Where the params ask for a refit, the model that is tested is then
    trained that long on them too, as the one that ships is (:func:`fit_final`): where speakers are few, every one
    counts.
    """
    if checkpoints is not None and (done := checkpoints.read(*_key(attempt))):
        return Outcome(**done)
    seed, fold = attempt
    fitted = fit_training_part(fold, material, params, seed)
    history = fitted.model.history
    chosen, validation = {}, np.empty((0, len(material.classes)), np.float32)
    if len(fold.validation):
        chosen, validation = fitted.model.chosen, fitted.model.held_out
    temperature = fit_temperature(validation, material.labels[fold.validation])
    if params.train.refit and len(fold.validation):
        everyone = np.sort(np.concatenate([fold.training, fold.validation]))
        fitted = fit(material, params, everyone, seed=seed, chosen=chosen)
    outcome = Outcome(
        test=fitted.predict_proba(material.speech.of(fold.test), material.groups.of(fold.test)),
        validation=validation,
        temperature=temperature,
        chosen=chosen,
        history=history,
        adaptation=fitted.adapter.describe(),
        onnx=fitted.onnx() if params.train.keep_folds and seed == params.seed else b"",
    )
    if checkpoints is not None:
        checkpoints.write(*_key(attempt), outcome._asdict())
    return outcome


def _key(attempt: Attempt) -> tuple[int, int]:
    return attempt.seed, attempt.fold.number


def require_every_emotion(fold: Parts, material: Material, params: Params) -> None:
    """Raise :class:`DataError` unless the training part of a fold has clips of every emotion."""
    missing = sorted(set(range(len(material.classes))) - set(material.labels[fold.training].tolist()))
    if missing:
        raise DataError(
            f"fold {fold.number} has no training clip of {', '.join(material.classes[number] for number in missing)}; "
            f"{_REMEDIES.get(params.train.protocol, '')}add clips of it by other speakers, or take its clips out of "
            "the corpus"
        )


def fit_training_part(fold: Parts, material: Material, params: Params, seed: int) -> Fitted:
    """A model fitted on one fold's training part, and stopped by its validation part where it has one."""
    return fit(material, params, fold.training, fold.validation if len(fold.validation) else None, seed=seed)


def fit_final(data: Dataset, params: Params, chosen: Chosen) -> Fitted:
    """The model that ships: trained on every clip and copy, as the folds found good."""
    return fit(Material.of(data, params), params, np.arange(len(data.index)), seed=params.seed, chosen=chosen)


def fit(
    material: Material,
    params: Params,
    training: np.ndarray,
    validation: np.ndarray | None = None,
    *,
    seed: int,
    chosen: Chosen | None = None,
) -> Fitted:
    """Normalisation and model of the training rows; see :meth:`emodag.models.Classifier.fit` for the rest."""
    adapter = Adapter.fit(material.speech.of(training), material.groups.of(training), params.adaptation)
    learnt, held_out = (
        None
        if rows is None
        else Clips(
            adapter(material.speech.of(rows), material.groups.of(rows)), material.labels[rows], material.voices[rows]
        )
        for rows in (training, validation)
    )
    model = models.create(params, classes=len(material.classes), seed=seed)
    return Fitted(adapter, model.fit(learnt, held_out, chosen))


def curves_of(histories: dict[tuple[int, int], list[dict[str, float]]]) -> pd.DataFrame:
    """Histories by seed and fold as one table by :data:`emodag.schema.CURVES`."""
    rows = [
        (seed, fold, epoch, measure, value)
        for (seed, fold), history in histories.items()
        for epoch, measures in enumerate(history, start=1)
        for measure, value in measures.items()
    ]
    return schema.validate(pd.DataFrame(rows, columns=list(schema.CURVES.columns)), schema.CURVES, "the curves")


def parts_of(data: Dataset, folds: pd.DataFrame) -> Iterator[Parts]:
    """Each fold of a table by :data:`emodag.schema.FOLDS`, as rows of the data set."""
    row_of = pd.Series(np.arange(len(data.index)), index=data.index["clip_id"])
    for number, fold in folds.groupby("fold", sort=True):
        rows = {part: np.sort(row_of.loc[clips].to_numpy()) for part, clips in fold.groupby("part")["clip_id"]}
        none = np.empty(0, int)
        if "test" not in rows:
            raise DataError(f"fold {number} tests no clip")
        yield Parts(int(number), rows.get("train", none), rows.get("validation", none), rows["test"])
