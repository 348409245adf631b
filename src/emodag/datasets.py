"""The features of all corpora of a role, as one labelled data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emodag import layout, schema
from emodag.errors import CorpusError, DataError
from emodag.features.store import open_features
from emodag.labels import CalmPolicy, apply_calm, in_order
from emodag.params import Inputs, Params, Role


@dataclass(frozen=True)
class Dataset:
    """Clips with their features and emotions; augmented copies are clips with a ``parent_id``."""

    index: pd.DataFrame  #: by :data:`emodag.schema.INDEX`, a row per clip
    features: np.ndarray  #: float32 [clips, features]: functionals, embeddings or both
    names: list[str]  #: of the features
    settings: dict[str, Any]  #: of the features
    source: str  #: the folder or folders it was read from, for messages

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The emotions that occur, in the order of :data:`emodag.labels.EMOTIONS`."""
        return in_order(self.index["emotion"])

    @cached_property
    def labels(self) -> np.ndarray:
        """Each clip's emotion as its position in ``classes``: int64 [clips]."""
        return self.index["emotion"].map({emotion: i for i, emotion in enumerate(self.classes)}).to_numpy(np.int64)

    def where(self, mask: np.ndarray) -> Dataset:
        """The clips that a boolean mask [clips] selects."""
        mask = np.asarray(mask, dtype=bool)
        if mask.all():
            return self
        return replace(self, index=self.index[mask].reset_index(drop=True), features=self.features[mask])

    def originals(self) -> Dataset:
        """The clips that are no augmented copies."""
        return self.where(self.index["parent_id"].isna())

    def with_calm(self, policy: CalmPolicy) -> Dataset:
        """The data set after the policy for ``calm``: kept, called ``neutral``, or without those clips."""
        emotions = self.index["emotion"].map(lambda emotion: apply_calm(emotion, policy))
        kept = emotions.notna()
        return replace(self, index=self.index.assign(emotion=emotions.where(kept, "calm"))).where(kept)


def corpora_with(params: Params, role: Role, root: Path = layout.FEATURES) -> list[str]:
    """The corpora that have a role, made sure that exactly their features lie under it.

    Raises:
        CorpusError: the features of one are missing, or those of another corpus lie there.
    """
    listed = params.with_role(role)
    folder = root / role
    found = {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."} if folder.is_dir() else ()
    if left_over := sorted(set(found) - set(listed)):
        raise CorpusError(
            f"{folder / left_over[0]}: params.yaml lists no corpus {left_over[0]!r} with the role {role!r}, so these "
            f"features are left over; run `emodag prune`"
        )
    if missing := [corpus for corpus in listed if corpus not in found]:
        raise CorpusError(
            f"{folder / missing[0]}: the features of {missing[0]} are missing; run `dvc repro featurize@{missing[0]}`"
        )
    return listed


def load(corpora: list[str], role: Role, root: Path = layout.FEATURES, inputs: Inputs = "all") -> Dataset:
    """Read the features of corpora as one data set, checked to be alike and finite; the order of names is no matter.

    Args:
        corpora: their names.
        role: under which their features lie.
        root: the folder of all features.
        inputs: ``functionals``, the encoder's ``embedding``, or ``all`` that is stored.

    Raises:
        DataError: a table or array breaks its contract, corpora have different features, a value is not finite, or
            embeddings are asked for and none are stored.
    """
    parts = [_read(root / role / corpus, inputs) for corpus in sorted(corpora)]
    if not parts:
        raise DataError(f"{root / role}: no corpus to read")
    first = parts[0]
    for part in parts[1:]:
        if part.names != first.names or part.settings != first.settings:
            raise DataError(f"{part.source} and {first.source} have different features; run featurize for both again")
    if len(parts) == 1:
        return first
    index = pd.concat([part.index for part in parts], ignore_index=True)
    source = ", ".join(part.source for part in parts)
    return Dataset(
        index=schema.validate(index, schema.INDEX, source),
        features=np.concatenate([part.features for part in parts]),
        names=first.names,
        settings=first.settings,
        source=source,
    )


def describe(data: Dataset) -> str:
    """One line: clips, copies, speakers and emotions."""
    originals = data.originals()
    emotions = Counter(originals.index["emotion"])
    return (
        f"{len(originals.index)} clips and {len(data.index) - len(originals.index)} augmented copies of "
        f"{originals.index['speaker'].nunique()} speakers: "
        + ", ".join(f"{emotion} {emotions[emotion]}" for emotion in originals.classes)
    )


def _read(folder: Path, inputs: Inputs) -> Dataset:
    stored = open_features(folder)
    chosen = []
    if inputs != "embedding":
        chosen.append((stored.functionals, stored.names.functionals))
    if inputs != "functionals" and stored.embeddings is not None:
        chosen.append((stored.embeddings, stored.embedding_names))
    if not chosen:
        raise DataError(
            f"{folder}: train.inputs is `embedding`, and no encoder's embeddings are stored; set "
            "featurize.encoder.kind to onnx or transformers, or train.inputs to functionals"
        )
    features = chosen[0][0] if len(chosen) == 1 else np.concatenate([array for array, _ in chosen], axis=1)
    names = [name for _, names in chosen for name in names]
    data = Dataset(stored.index, features, names, stored.settings, str(folder))
    finite = np.isfinite(data.features)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{folder}: {data.names[column]} of {data.index['clip_id'][row]} is {data.features[row, column]}, and "
            f"{np.count_nonzero(~finite)} values in all are not finite; run featurize again"
        )
    return data
