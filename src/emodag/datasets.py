"""What models see of all corpora of a role, as one labelled data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emodag import layout, schema
from emodag.errors import CorpusError, DataError
from emodag.features.store import StoredFeatures, open_features
from emodag.labels import CalmPolicy, apply_calm, in_order
from emodag.params import Inputs, Params, Role
from emodag.speech import Needs, Sequences, Speech, joined, names_of


@dataclass(frozen=True)
class Dataset:
    """Clips with their features and emotions; augmented copies are clips with a ``parent_id``."""

    index: pd.DataFrame  #: by :data:`emodag.schema.INDEX`, a row per clip
    speech: Speech  #: those parts of it that were asked for
    settings: dict[str, Any]  #: under which features were computed
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
        return replace(self, index=self.index[mask].reset_index(drop=True), speech=self.speech.of(np.flatnonzero(mask)))

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


def load(corpora: list[str], role: Role, needs: Needs, root: Path = layout.FEATURES, inputs: Inputs = "all") -> Dataset:
    """Read what a model needs of corpora as one data set, checked to be alike and finite.

    Args:
        corpora: their names; their order is no matter.
        role: under which their features lie.
        needs: which parts of speech are read.
        root: the folder of all features.
        inputs: which features of clips: ``functionals``, the encoder's ``embedding``, or ``all`` that is stored.

    Raises:
        DataError: a table or array breaks its contract, corpora have different features, a value is not finite, or
            something is needed that is not stored.
    """
    parts = [_read(root / role / corpus, needs, inputs) for corpus in sorted(corpora)]
    if not parts:
        raise DataError(f"{root / role}: no corpus to read")
    first = parts[0]
    for part in parts[1:]:
        if names_of(part.speech) != names_of(first.speech) or part.settings != first.settings:
            raise DataError(f"{part.source} and {first.source} have different features; run featurize for both again")
    if len(parts) == 1:
        return first
    index = pd.concat([part.index for part in parts], ignore_index=True)
    source = ", ".join(part.source for part in parts)
    return Dataset(
        index=schema.validate(index, schema.INDEX, source),
        speech=joined([part.speech for part in parts]),
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


def _read(folder: Path, needs: Needs, inputs: Inputs) -> Dataset:
    stored = open_features(folder)
    return Dataset(stored.index, speech_in(folder, stored, needs, inputs), stored.settings, str(folder))


def speech_in(folder: Path, stored: StoredFeatures, needs: Needs, inputs: Inputs) -> Speech:
    """Those parts of stored features that are needed; see :func:`load`, and ``folder`` is for messages."""
    # Arrays stay mapped, but as plain ones: a `memmap` would be pickled whole for every worker instead of shared.
    return Speech(
        **(_features(folder, stored, inputs) if needs.features else {}),
        frames=_frames(folder, stored, needs.groups) if needs.groups else None,
        embedding_frames=_embedding_frames(folder, stored) if needs.embedding_frames else None,
    )


def _features(folder: Path, stored: StoredFeatures, inputs: Inputs) -> dict[str, Any]:
    chosen = []
    if inputs != "embedding":
        chosen.append((np.asarray(stored.functionals), stored.names.functionals))
    if inputs != "functionals" and stored.embeddings is not None:
        chosen.append((np.asarray(stored.embeddings), stored.embedding_names))
    if not chosen:
        raise _without_encoder(folder, "train.inputs is `embedding`")
    features = chosen[0][0] if len(chosen) == 1 else np.concatenate([array for array, _ in chosen], axis=1)
    names = tuple(name for _, names in chosen for name in names)
    finite = np.isfinite(features)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{folder}: {names[column]} of {stored.index['clip_id'][row]} is {features[row, column]}, and "
            f"{np.count_nonzero(~finite)} values in all are not finite; run featurize again"
        )
    return {"features": features, "names": names}


def _frames(folder: Path, stored: StoredFeatures, groups: Sequence[str]) -> Sequences:
    if missing := [group for group in groups if group not in stored.names.frames]:
        raise DataError(
            f"{folder}: no frames of {', '.join(missing)} are stored, but of {', '.join(stored.names.frames)}; set "
            f"featurize.frames.{missing[0]} to true"
        )
    wanted = {name for group in groups for name in stored.names.frames[group]}
    columns = [number for number, name in enumerate(stored.names.columns) if name in wanted]
    values = stored.frames if len(columns) == stored.frames.shape[1] else stored.frames[:, columns]
    names = tuple(stored.names.columns[number] for number in columns)
    return _sequences(folder, values, stored.index[["first_row", "frames"]], names)


def _embedding_frames(folder: Path, stored: StoredFeatures) -> Sequences:
    if stored.embedding_frames is None:
        raise _without_encoder(folder, "the model sees the encoder's frames")
    counts = stored.index[["first_embedding", "embeddings"]]
    return _sequences(folder, stored.embedding_frames, counts, stored.embedding_columns)


def _sequences(folder: Path, values: np.ndarray, places: pd.DataFrame, columns: tuple[str, ...]) -> Sequences:
    if not np.isfinite(values).all():
        raise DataError(f"{folder}: frames hold values that are not finite; run featurize again")
    starts, counts = places.to_numpy(np.int64).T
    return Sequences(np.asarray(values), starts, counts, columns)


def _without_encoder(folder: Path, why: str) -> DataError:
    return DataError(
        f"{folder}: {why}, and no encoder's embeddings are stored; set featurize.encoder.kind to onnx or transformers, "
        "or choose other inputs"
    )
