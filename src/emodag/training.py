"""Cross-validation and the final fit. Whatever is fitted is fitted inside the training part of a fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from emodag import schema
from emodag.adaptation import Groups, Normaliser, groups_of
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.models import Classifier, Clips, create
from emodag.parallel import parallel_map
from emodag.params import Params
from emodag.predict import prediction_table


@dataclass(frozen=True)
class CrossValidation:
    """What the folds gave: predictions of clips by models that never saw them, and how long each was trained."""

    predictions: pd.DataFrame  #: by :func:`emodag.schema.predictions`, sorted by clip
    rounds: dict[int, int]  #: fold -> epochs or boosting rounds of its model

    @property
    def median_rounds(self) -> int:
        """What the final model, which has no validation clips, is trained for."""
        return max(1, round(float(np.median(list(self.rounds.values())))))


class Parts(NamedTuple):
    """One fold as rows of the data set, int [clips] each."""

    number: int
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def cross_validate(data: Dataset, folds: pd.DataFrame, params: Params) -> CrossValidation:
    """Train on each fold's training part and predict its test part, folds in parallel.

    Args:
        data: clips with their features, augmented copies included.
        folds: by :data:`emodag.schema.FOLDS`, as :func:`emodag.splits.split` makes them.
        params: ``model`` and its section, ``adaptation``, ``seed`` and ``compute``.

    Raises:
        DataError: there are no folds, a fold tests nothing, or it lacks training clips of some class.
    """
    if len(data.classes) < 2:
        raise DataError(f"{data.source}: a classifier needs two emotions at least; found: {', '.join(data.classes)}")
    parts = list(parts_of(data, folds))
    if not parts:
        raise DataError("there is no fold, so nothing can be cross-validated")
    work = partial(fit_fold, material=Material.of(data, params), params=params)
    results = parallel_map(work, parts, jobs=params.compute.jobs, description="train", batch=1)
    tables, rounds = [], {}
    for fold, (probabilities, its_rounds) in zip(parts, results, strict=True):
        tables.append(prediction_table(data.index.iloc[fold.test], fold.number, probabilities, data.classes))
        rounds[fold.number] = its_rounds
    table = pd.concat(tables).sort_values("clip_id")
    return CrossValidation(schema.validate(table, schema.predictions(data.classes), "the predictions"), rounds)


class Material(NamedTuple):
    """All that models of a data set learn from, a row per clip; folds take rows of it."""

    features: np.ndarray  #: float32 [clips, features]
    names: Sequence[str]  #: of the features
    groups: Groups
    labels: np.ndarray  #: int [clips], positions in ``classes``
    classes: tuple[str, ...]

    @classmethod
    def of(cls, data: Dataset, params: Params) -> Material:
        """That of a data set, grouped as the params adapt."""
        return cls(data.features, data.names, groups_of(data.index, params.adaptation), data.labels, data.classes)


class Fitted(NamedTuple):
    """A model and the normalisation that its features pass through, both fitted on the same clips."""

    normaliser: Normaliser
    model: Classifier

    def predict_proba(self, features: np.ndarray, groups: Groups) -> np.ndarray:
        """Probabilities, float32 [clips, classes]; the clips are adapted to their groups as they stand here.

        Args:
            features: [clips, features].
            groups: of these clips.
        """
        return self.model.predict_proba(self.normaliser(features, groups))


def fit_fold(fold: Parts, material: Material, params: Params) -> tuple[np.ndarray, int]:
    """Probabilities of one fold's test clips, float32 [clips, classes], and the rounds that its model rests on.

    The validation speakers say how long to train; then the model that is tested is trained that long on them too, as
    the one that ships is (:func:`fit_final`): where speakers are few, every one counts.
    """
    fitted = fit_training_part(fold, material, params)
    if len(fold.validation):
        everyone = np.sort(np.concatenate([fold.training, fold.validation]))
        fitted = _fit(material, params, everyone, rounds=fitted.model.rounds)
    return fitted.predict_proba(material.features[fold.test], material.groups.of(fold.test)), fitted.model.rounds


def fit_training_part(fold: Parts, material: Material, params: Params) -> Fitted:
    """A model fitted on one fold's training part, and stopped by its validation part where it has one."""
    missing = sorted(set(range(len(material.classes))) - set(material.labels[fold.training]))
    if missing:
        raise DataError(
            f"fold {fold.number} has no training clip of {', '.join(material.classes[number] for number in missing)}; "
            "use fewer train.folds or another train.protocol, or drop the class"
        )
    return _fit(material, params, fold.training, fold.validation if len(fold.validation) else None)


def fit_final(data: Dataset, params: Params, rounds: int) -> Fitted:
    """The model that ships: trained on every clip and copy, for the number of rounds that the folds found good."""
    return _fit(Material.of(data, params), params, slice(None), rounds=rounds)


def _fit(
    material: Material,
    params: Params,
    training: np.ndarray | slice,
    validation: np.ndarray | None = None,
    rounds: int | None = None,
) -> Fitted:
    """Normalisation and model of the training rows; see :meth:`emodag.models.Classifier.fit` for the rest."""
    features, names, groups, labels, classes = material
    normaliser = Normaliser.fit(features[training], groups.of(training), params.adaptation, names)
    learnt, held_out = (
        None if rows is None else Clips(normaliser(features[rows], groups.of(rows)), labels[rows])
        for rows in (training, validation)
    )
    model = create(params, classes=len(classes), seed=params.seed)
    return Fitted(normaliser, model.fit(learnt, held_out, rounds))


def parts_of(data: Dataset, folds: pd.DataFrame) -> Iterator[Parts]:
    """Each fold of a table by :data:`emodag.schema.FOLDS`, as rows of the data set."""
    row_of = pd.Series(np.arange(len(data.index)), index=data.index["clip_id"])
    for number, fold in folds.groupby("fold", sort=True):
        rows = {part: np.sort(row_of.loc[clips].to_numpy()) for part, clips in fold.groupby("part")["clip_id"]}
        none = np.empty(0, int)
        if "test" not in rows:
            raise DataError(f"fold {number} tests no clip")
        yield Parts(int(number), rows.get("train", none), rows.get("validation", none), rows["test"])
