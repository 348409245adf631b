"""What a model goes by over tested clips: permutation importance of groups of features (Breiman 2001).

Clips are given the values that a group has in others of the clips that their fold tests, so that these no longer belong
to what is spoken; how much UAR falls is how much the model rests on them (Fisher, Rudin and Dominici 2019, arXiv
1801.01489). Each clip is predicted by the model of its fold, which never heard its speaker. Groups that say the same
cover for each other: a small fall does not mean that speech says nothing there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from emodag.adaptation import groups_of
from emodag.background import spaced
from emodag.bundle import Bundle
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.evaluation.scores import confusion_matrix, unweighted_average_recall
from emodag.feature_groups import Player, players_of
from emodag.params import Importance, Params
from emodag.speech import Sequences, Speech, sequences_of


def known(
    models: Mapping[int, Bundle], data: Dataset, predictions: pd.DataFrame, params: Params
) -> pd.DataFrame | None:
    """:func:`importances`, or ``None`` where the params ask for none or the models of the folds were not kept."""
    settings = params.evaluate.importance
    if not models or not settings.clips:
        return None
    return importances(models, data, predictions, settings, params.seed)


def importances(
    models: Mapping[int, Bundle], data: Dataset, predictions: pd.DataFrame, settings: Importance, seed: int
) -> pd.DataFrame:
    """How much UAR falls without each group, on clips that their fold's model did not learn from.

    Args:
        models: those of the folds, by their number.
        data: the clips, without augmented copies; others than the tested ones may be there.
        predictions: by :func:`emodag.schema.predictions`; which fold tested which clip.
        settings: how many clips, and how often values are dealt anew.
        seed: of dealing; the same seed gives the same table.

    Returns:
        ``group``, ``words`` (what it is), ``drop`` (of UAR, from -1 to 1, the mean over repetitions) and ``spread``
        (their standard deviation), the most important group first.

    Raises:
        DataError: a clip or the model of a fold is missing, or the features are not those of the models.
    """
    tests = _tests(models, data, predictions, settings)
    truth = np.concatenate([test.labels for test in tests])

    def uar(change: Callable[[_Test], Speech]) -> float:
        predicted = [test.model.run(change(test)).argmax(axis=1) for test in tests]
        return unweighted_average_recall(confusion_matrix(truth, np.concatenate(predicted), len(data.classes)))

    whole = uar(lambda test: test.some)
    rng = np.random.default_rng(seed)
    rows = []
    for player in players_of(tests[0].model):
        drops = [
            whole - uar(lambda test, player=player: dealt(test.some, test.every, player, rng))
            for _ in range(settings.repeats)
        ]
        rows.append((player.name, player.words, float(np.mean(drops)), float(np.std(drops))))
    table = pd.DataFrame(rows, columns=["group", "words", "drop", "spread"])
    return table.sort_values("drop", ascending=False, kind="stable", ignore_index=True)


class _Test(NamedTuple):
    """What a fold tests, adapted as it was then."""

    model: Bundle
    some: Speech  #: the clips that are predicted once more
    every: Speech  #: all of its clips: of few, dealt among themselves, many would keep their own values
    labels: np.ndarray  #: int [some]


def _tests(models: Mapping[int, Bundle], data: Dataset, predictions: pd.DataFrame, settings: Importance) -> list[_Test]:
    """Those of the folds that some clip is drawn from."""
    tested = predictions[["fold", "clip_id"]].drop_duplicates()
    rows = pd.Series(np.arange(len(data.index)), index=data.index["clip_id"]).reindex(tested["clip_id"]).to_numpy()
    if np.isnan(rows).any():
        raise DataError(f"{data.source}: {tested['clip_id'][np.isnan(rows)].iloc[0]} was tested and is not there")
    if missing := sorted(set(tested["fold"]) - models.keys()):
        raise DataError(f"the model of fold {missing[0]} is missing; set train.keep_folds to true and train again")
    rows = rows.astype(int)
    # Evenly over emotions and, within each, over speakers.
    order = np.lexsort([tested["clip_id"], data.index["speaker"].to_numpy(str)[rows], data.labels[rows]])
    kept = np.zeros(len(rows), bool)
    kept[spaced(order, settings.clips)] = True
    tests = []
    for fold in sorted(set(tested["fold"][kept])):
        model, of_fold = models[fold], (tested["fold"] == fold).to_numpy()
        model.check_features(data.speech, data.settings, data.source)
        groups = groups_of(data.index.iloc[rows[of_fold]], model.adapter.settings)
        adapted = model.adapter(data.speech.of(rows[of_fold]), groups)
        some = np.flatnonzero(kept[of_fold])
        tests.append(_Test(model, adapted.of(some), adapted, data.labels[rows[of_fold]][some]))
    return tests


def dealt(speech: Speech, givers: Speech, player: Player, rng: np.random.Generator) -> Speech:
    """The clips with some columns of a clip each of the givers; frames are brought to the clip's own length."""
    chosen = rng.permutation(len(givers))[: len(speech)]
    if player.part == "features":
        features = speech.features.copy()
        features[:, player.columns] = givers.features[chosen][:, player.columns]
        return replace(speech, features=features)
    parts = (getattr(each, player.part) for each in (speech, givers))
    return replace(speech, **{player.part: _dealt_frames(*parts, player.columns, chosen)})


def _dealt_frames(sequences: Sequences, givers: Sequences, columns: np.ndarray, chosen: np.ndarray) -> Sequences:
    clips = []
    for clip, giver in enumerate(chosen):
        frames, given = sequences[clip].copy(), givers[giver]
        nearest = np.linspace(0, len(given) - 1, len(frames)).round().astype(int)
        frames[:, columns] = given[nearest][:, columns]
        clips.append(frames)
    return sequences_of(clips, sequences.columns)
