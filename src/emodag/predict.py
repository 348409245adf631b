"""From probabilities to tables of predictions, and to the classes that a test corpus shares with a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from emodag import schema
from emodag.adaptation import groups_of
from emodag.bundle import Bundle
from emodag.datasets import Dataset
from emodag.evaluation import Scores, confusion_matrix, evaluate, unweighted_average_recall
from emodag.params import Evaluate


def prediction_table(
    index: pd.DataFrame,
    probabilities: np.ndarray,
    classes: tuple[str, ...],
    *,
    fold: int = 0,
    seed: int = 0,
    temperature: float = 1.0,
) -> pd.DataFrame:
    """Predictions of the clips of an index, by :func:`emodag.schema.predictions`.

    Args:
        index: the clips, in the order of the probabilities.
        probabilities: the model's own, [clips, classes].
        classes: in the order of the columns.
        fold: that predicted them; 0 for the shipped model.
        seed: of the model.
        temperature: that calibrates its probabilities.
    """
    columns = {column: index[column].to_numpy() for column in ("clip_id", "speaker")}
    facts = columns | {"fold": fold, "seed": seed, "temperature": temperature, "emotion": index["emotion"].to_numpy()}
    # The last bit of a float32 softmax can exceed 1.
    values = np.clip(np.asarray(probabilities, dtype=np.float64), 0, 1)
    return pd.concat([pd.DataFrame(facts), pd.DataFrame(values, columns=list(classes))], axis=1)


def predict(bundle: Bundle, data: Dataset) -> pd.DataFrame:
    """The shipped model's predictions of a data set's clips, under fold 0.

    Speakers are adapted to by all of their clips in the data set, whatever is said to be spoken in them: leave out
    clips by their label only after this.

    Raises:
        DataError: the features are not those that the model was trained on.
    """
    bundle.check_features(data.speech, data.settings, data.source)
    probabilities = bundle.predict_proba(data.speech, groups_of(data.index, bundle.adapter.settings))
    table = prediction_table(
        data.index, probabilities, bundle.classes, seed=bundle.seed, temperature=bundle.temperature
    )
    return schema.validate(table, schema.predictions(bundle.classes), "the predictions")


def restrict(table: pd.DataFrame, classes: tuple[str, ...], shared: tuple[str, ...]) -> pd.DataFrame:
    """A table of predictions with the probabilities given that the truth is among the ``shared`` classes.

    Clips whose probabilities of all shared classes are 0 get equal ones.
    """
    kept = table[list(shared)].to_numpy()
    total = kept.sum(axis=1, keepdims=True)
    kept = np.divide(kept, total, out=np.full_like(kept, 1 / len(shared)), where=total > 0)
    others = table.drop(columns=list(classes))
    return pd.concat([others, pd.DataFrame(kept, columns=list(shared), index=table.index)], axis=1)


def over_shared(
    predictions: pd.DataFrame, labelled: pd.DataFrame, classes: tuple[str, ...], shared: tuple[str, ...]
) -> pd.DataFrame:
    """Predictions of a test corpus's clips over the classes that it shares with a model.

    Args:
        predictions: of all of its clips, so that adaptation gained nothing from knowing which are scored.
        labelled: the clips with their emotions after the policy for ``calm``; those of other emotions are left out.
        classes: of the model.
        shared: some of these.
    """
    scored = labelled.loc[labelled["emotion"].isin(shared), ["clip_id", "emotion"]]
    rows = restrict(predictions.drop(columns="emotion").merge(scored, on="clip_id"), classes, shared)
    return rows[list(schema.predictions(shared).columns)]


def corpora_of(table: pd.DataFrame) -> pd.Series:
    """The corpus of each row of a table of predictions, by its ``clip_id``."""
    return table["clip_id"].str.split("/").str[0]


def scores_of(table: pd.DataFrame, classes: tuple[str, ...], settings: Evaluate, seed: int) -> Scores:
    """Every score of a table of predictions, in which the rows of a clip, one per seed, follow each other.

    Args:
        table: by :func:`emodag.schema.predictions` over ``classes``.
        classes: that are scored.
        settings: the section ``evaluate`` of the params.
        seed: of the intervals.
    """
    return evaluate(
        *decisions(table, classes),
        table["speaker"].to_numpy(),
        classes,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
        repeats=table["seed"].nunique(),
    )


def decisions(table: pd.DataFrame, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Truth and most probable class of each row of a table of predictions, int64 [clips] each, as positions."""
    position = {emotion: number for number, emotion in enumerate(classes)}
    return table["emotion"].map(position).to_numpy(np.int64), table[list(classes)].to_numpy().argmax(axis=1)


def uar_of(table: pd.DataFrame, classes: tuple[str, ...]) -> float:
    """UAR of all rows of a table of predictions."""
    return unweighted_average_recall(confusion_matrix(*decisions(table, classes), len(classes)))


def uar_by(table: pd.DataFrame, groups: pd.Series, classes: tuple[str, ...]) -> dict[Any, float]:
    """UAR of each group of a table of predictions, groups sorted."""
    return {group: uar_of(rows, classes) for group, rows in table.groupby(groups.to_numpy(), sort=True)}
