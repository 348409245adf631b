"""The leakage guard: what the written folds and predictions themselves say about who was tested by whom.

It trusts nothing that made the tables. A leak raises :class:`~emodag.errors.LeakageError` with the offending ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from emodag.adaptation import unnamed
from emodag.errors import LeakageError
from emodag.splits import is_leaky

_SHOWN = 10


def check_leakage(folds: pd.DataFrame, predictions: pd.DataFrame, index: pd.DataFrame, protocol: str) -> None:
    """Make sure that no fold was tested on what it trained on or chose its model by.

    Args:
        folds: by :data:`emodag.schema.FOLDS`.
        predictions: out-of-fold, by :func:`emodag.schema.predictions`.
        index: every clip, by :data:`emodag.schema.INDEX`.
        protocol: of the folds; speakers may stand on both sides only where it is leaky by definition.

    Raises:
        LeakageError: a speaker or byte-equal audio in two parts of a fold; an augmented copy that is validated or
            tested, or that trains where its parent does not; a clip that was predicted outside the test part of its
            fold, not at all or twice.
    """
    _known(folds, predictions, index)
    rows = _with_facts(folds, index)
    _speakers_apart(rows, protocol)
    _copies_train_with_their_parents(rows)
    _audio_apart(rows, index)
    _predicted_where_tested(folds, predictions)


def check_disjoint(index: pd.DataFrame, trained: pd.DataFrame, corpus: str) -> None:
    """Make sure that a test corpus holds no recording, and no speaker, that the shipped model trained on.

    Args:
        index: the test corpus, by :data:`emodag.schema.INDEX`.
        trained: every clip of the train corpora.
        corpus: the test corpus's name, for the message.

    Raises:
        LeakageError: some of its audio is byte-equal to a training clip or its parent, or a speaker is in both.
    """
    same = index.loc[index["md5"].isin(set(trained["md5"])) | index["speaker"].isin(set(trained["speaker"])), "clip_id"]
    _refuse(
        same,
        f"{corpus} cannot be tested by this model: clips of it, or their speakers, are among what the model was "
        "trained on; take one of the corpora out of params.yaml",
    )


class Leaks(NamedTuple):
    """What stands on two sides of a fold, sorted."""

    speakers: list[str]
    copies: list[str]  #: augmented copies that train where the clip they came from is validated or tested
    audio: list[str]  #: clips of which another part of the fold has the very samples


def leaks(folds: pd.DataFrame, index: pd.DataFrame) -> Leaks:
    """What :func:`check_leakage` would refuse in folds, all of it and whatever their protocol."""
    rows = _with_facts(folds, index)
    equal = rows.merge(_in_two_parts(rows, "md5")[["fold", "md5"]], on=["fold", "md5"])
    return Leaks(
        sorted(set(_in_two_parts(rows, "speaker")["speaker"])),
        sorted(set(_without_parent(rows)["clip_id"])),
        sorted(set(equal["clip_id"])),
    )


def _with_facts(folds: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    return folds.merge(index[["clip_id", "corpus", "speaker", "md5", "parent_id"]], on="clip_id", how="left")


def _known(folds: pd.DataFrame, predictions: pd.DataFrame, index: pd.DataFrame) -> None:
    known = set(index["clip_id"])
    for name, table in {"folds": folds, "predictions": predictions}.items():
        _refuse(
            table.loc[~table["clip_id"].isin(known), "clip_id"],
            f"the {name} hold clips that the features do not: they belong to other data; run the train stage again",
        )


def _speakers_apart(rows: pd.DataFrame, protocol: str) -> None:
    leaky = {corpus for corpus in set(rows["corpus"]) if is_leaky(corpus, protocol)}
    shared = _in_two_parts(rows[~rows["corpus"].isin(leaky)], "speaker")
    _refuse(
        [f"{row.speaker} (fold {row.fold}: {row.part})" for row in shared.itertuples()],
        f"speakers stand in two parts of a fold, although {protocol} is speaker-independent",
    )
    of_nobody = rows[unnamed(rows) & ~rows["corpus"].isin(leaky)]
    beside = rows[rows["corpus"].isin(set(of_nobody["corpus"])) & ~unnamed(rows)]
    both = of_nobody.merge(beside[["fold", "corpus", "part"]].drop_duplicates(), on=["fold", "corpus"])
    _refuse(
        _with_fold(both[both["part_x"] != both["part_y"]]),
        f"nobody knows who speaks in clips, and named speakers of their corpora stand in other parts of a fold, "
        f"although {protocol} is speaker-independent",
    )


def _copies_train_with_their_parents(rows: pd.DataFrame) -> None:
    copies = rows[rows["parent_id"].notna()]
    _refuse(
        _with_fold(copies[copies["part"] != "train"]),
        "augmented copies are validated or tested; only original recordings may be",
    )
    _refuse(
        _with_fold(_without_parent(rows)),
        "augmented copies train in a fold in which the clip they came from does not",
    )


def _without_parent(rows: pd.DataFrame) -> pd.DataFrame:
    """Augmented copies in a fold in which the clip they came from does not train."""
    copies = rows[rows["parent_id"].notna()]
    trained = pd.MultiIndex.from_frame(rows.loc[rows["part"] == "train", ["fold", "clip_id"]])
    return copies[~pd.MultiIndex.from_frame(copies[["fold", "parent_id"]]).isin(trained)]


def _audio_apart(rows: pd.DataFrame, index: pd.DataFrame) -> None:
    of_parent = rows.dropna(subset="parent_id")
    of_parent = of_parent.assign(md5=of_parent["parent_id"].map(index.set_index("clip_id")["md5"]))
    audio = pd.concat([rows, of_parent.dropna(subset="md5")])
    shared = _in_two_parts(audio, "md5")[["fold", "md5"]]
    _refuse(
        _with_fold(audio.merge(shared, on=["fold", "md5"])),
        "byte-equal audio, or copies of it, stands in two parts of a fold",
    )


def _predicted_where_tested(folds: pd.DataFrame, predictions: pd.DataFrame) -> None:
    if predictions.empty:
        _predicted_once(folds, predictions)
    for _, of_seed in predictions.groupby("seed", sort=True):
        _predicted_once(folds, of_seed)


def _predicted_once(folds: pd.DataFrame, predictions: pd.DataFrame) -> None:
    _refuse(
        predictions.loc[predictions["clip_id"].duplicated(), "clip_id"],
        "clips were predicted more than once",
    )
    tested = pd.MultiIndex.from_frame(folds.loc[folds["part"] == "test", ["fold", "clip_id"]])
    predicted = pd.MultiIndex.from_frame(predictions[["fold", "clip_id"]])
    _refuse(
        _with_fold(predictions[~predicted.isin(tested)]),
        "clips were predicted by a fold that does not test them",
    )
    _refuse(
        [f"{clip} (fold {fold})" for fold, clip in tested[~tested.isin(predicted)]],
        "clips are in a fold's test part and were not predicted",
    )


def _in_two_parts(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Each fold and value of a column that occurs in more than one part, with those parts."""
    parts = rows[["fold", column, "part"]].drop_duplicates()
    parts = parts[parts.duplicated(["fold", column], keep=False)].sort_values(["fold", column, "part"])
    return parts.groupby(["fold", column], sort=True)["part"].agg(" and ".join).reset_index()


def _with_fold(rows: pd.DataFrame) -> list[str]:
    return [f"{row.clip_id} (fold {row.fold})" for row in rows[["clip_id", "fold"]].drop_duplicates().itertuples()]


def _refuse(offending: Iterable[str], what: str) -> None:
    """Raise if anything offends."""
    offending = list(offending)
    if offending:
        more = f" and {len(offending) - _SHOWN} more" if len(offending) > _SHOWN else ""
        raise LeakageError(f"{what}: {', '.join(offending[:_SHOWN])}{more}")
