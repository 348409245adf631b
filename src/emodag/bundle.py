"""The shipped model: ``model.onnx`` and ``bundle.json``, which says what it expects and where it comes from.

Loading and predicting need onnxruntime only, not the library that trained the model.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emodag import models, schema
from emodag.adaptation import Adapter, Groups, each_alone, groups_of
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.features.encoders.base import PREFIX, without_places
from emodag.files import read_json, write_json
from emodag.inference import onnx_session
from emodag.models.base import EMBEDDING_FRAMES, FEATURES, FRAMES, OUTPUT
from emodag.params import Params
from emodag.speech import Needs, Sequences, Speech
from emodag.splits import is_leaky

if TYPE_CHECKING:
    from emodag.training import CrossValidation, Fitted

FORMAT = 5
MODEL, DESCRIPTION = "model.onnx", "bundle.json"

#: Beside them: what the trained model said of some clips, and the models of the folds.
REFERENCE, FOLDS = "reference.parquet", "folds"

#: How far the exported model's probabilities may lie from those of the one it was made from.
TOLERANCE = 1e-4

#: Clips that are predicted at once: of features, and of frames.
_BATCH, _BATCH_OF_FRAMES = 4096, 32


@dataclass(frozen=True)
class Bundle:
    """A trained model with everything that is needed to use it and to tell where it comes from."""

    model: str  #: the family's name
    classes: tuple[str, ...]  #: in the order of the probabilities
    inputs: str  #: which of the stored features of clips the model sees
    names: tuple[str, ...]  #: of these features, in their order; empty if it sees none
    groups: tuple[str, ...]  #: of frame features that it sees
    columns: tuple[str, ...]  #: of these frames, in their order
    embedding_columns: tuple[str, ...]  #: of the encoder's frames, if it sees them
    settings: dict[str, Any]  #: of the features
    diarize: dict[str, Any]  #: how speech was found in recordings
    adaptation: dict[str, Any]  #: by whose clips speech is normalised, and the training statistics
    calm: str  #: what became of 'calm'
    corpora: tuple[str, ...]  #: trained on
    protocol: str  #: of the cross-validation that gave ``chosen`` and ``scores``
    clips: int  #: trained on, augmented copies included
    chosen: dict[str, Any]  #: what validation clips decided, such as epochs; ``{}`` where there were none
    seed: int
    temperature: float  #: by which calibrated probabilities are made of the model's own
    unknown: float  #: a calibrated probability; where no class reaches it, the emotion is unknown
    fingerprint: str  #: of the training data
    scores: dict[str, dict[str, Any]]  #: corpus -> out-of-fold ``uar`` and whether it is ``leaky``
    onnx: bytes

    def save(self, folder: Path) -> None:
        """Write ``model.onnx`` and ``bundle.json`` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        description = {"format": FORMAT} | {key: value for key, value in asdict(self).items() if key != "onnx"}
        description["onnx_sha256"] = hashlib.sha256(self.onnx).hexdigest()
        (folder / MODEL).write_bytes(self.onnx)
        write_json(folder / DESCRIPTION, description)

    def check_features(self, speech: Speech, settings: dict[str, Any], source: str | Path) -> None:
        """Make sure that features and frames are those that the model was trained on.

        Raises:
            DataError: the names or the settings differ; the message says where.
        """
        trained, found = (self._that_matter(each) for each in (self.settings, settings))
        differing = sorted(
            key for key in trained.keys() | found.keys() if trained.get(key, _ABSENT) != found.get(key, _ABSENT)
        )
        if differing:
            told = "; ".join(
                f"{key}: trained with {trained.get(key, 'none')}, found {found.get(key, 'none')}" for key in differing
            )
            raise DataError(
                f"{source}: other feature settings than the model's ({told}); run featurize and train again"
            )
        for found_names, own in ((speech.names, self.names), (_columns(speech.frames), self.columns)):
            if found_names != own:
                only_here, only_there = sorted(set(found_names) - set(own)), sorted(set(own) - set(found_names))
                raise DataError(
                    f"{source}: other features than the model's: {len(found_names)} instead of {len(own)}, "
                    f"unknown {only_here[:5]}, missing {only_there[:5]}; run featurize and train again"
                )

    @property
    def leaky(self) -> bool:
        """Whether a score of it is of voices that were trained on."""
        return any(score["leaky"] for score in self.scores.values())

    @property
    def needs(self) -> Needs:
        """Which parts of speech the model sees."""
        return Needs(bool(self.names), self.groups, bool(self.embedding_columns))

    def predict_proba(self, speech: Speech, groups: Groups | None = None) -> np.ndarray:
        """The model's own probabilities, float32 [clips, classes]; :func:`emodag.evaluation.tempered` calibrates them.

        Args:
            speech: all clips that are known of their groups, as the bundle's adaptation uses them.
            groups: of the clips, by :func:`emodag.adaptation.groups_of`; without them each clip is alone.

        Raises:
            DataError: the shapes do not fit the model, or a value is not finite.
        """
        self._check(speech)
        return self.run(self.adapter(speech, each_alone(len(speech)) if groups is None else groups))

    def run(self, speech: Speech) -> np.ndarray:
        """Probabilities, float32 [clips, classes], of speech that has passed through the ``adapter``."""
        probabilities = np.empty((len(speech), len(self.classes)), np.float32)
        for rows in self._batches(speech):
            feeds = {FEATURES: np.ascontiguousarray(speech.features[rows], np.float32)} if self.names else {}
            for name, sequences in ((FRAMES, speech.frames), (EMBEDDING_FRAMES, speech.embedding_frames)):
                if sequences is not None:
                    feeds[name] = np.stack([sequences[row] for row in rows])
            probabilities[rows] = self._session.run([OUTPUT], feeds)[0]
        return probabilities

    def _batches(self, speech: Speech) -> list[np.ndarray]:
        """Clips of equal length together, as positions: the graph knows no padding."""
        lengths = [part.counts for part in (speech.frames, speech.embedding_frames) if part is not None]
        if not lengths:
            return np.array_split(np.arange(len(speech)), range(_BATCH, len(speech), _BATCH))
        order = np.lexsort(lengths)
        stacked = np.stack(lengths)[:, order]
        starts = np.flatnonzero(np.any(np.diff(stacked, axis=1), axis=0)) + 1
        return [
            rows[first : first + _BATCH_OF_FRAMES]
            for rows in np.split(order, starts)
            for first in range(0, len(rows), _BATCH_OF_FRAMES)
        ]

    def _check(self, speech: Speech) -> None:
        """Raise :class:`DataError` unless the speech has the shapes that the model takes and is finite."""
        parts = {
            "features": (speech.features, len(self.names)),
            "frames": (speech.frames, len(self.columns)),
            "embedding_frames": (speech.embedding_frames, len(self.embedding_columns)),
        }
        for part, (given, columns) in parts.items():
            if columns == 0:
                continue
            values = given.values if isinstance(given, Sequences) else np.asarray(given if given is not None else 0.0)
            if values.ndim != 2 or values.shape[1] != columns:
                raise DataError(f"the model takes {part} [clips, {columns}], found {list(values.shape)}")
            if not np.isfinite(values).all():
                row, column = np.argwhere(~np.isfinite(values))[0]
                name = self.names[column] if part == "features" else f"{part} column {column}"
                raise DataError(f"{name} of row {row} is {values[row, column]}")

    @property
    def encoder(self) -> str:
        """The pretrained encoder whose embeddings the model sees, or ``none``."""
        return Path(self.settings["encoder"]["model"]).name if self._sees_embeddings else "none"

    @cached_property
    def adapter(self) -> Adapter:
        """What speech passes through before the model: the very one that was used in training.

        Raises:
            DataError: its description is broken.
        """
        sizes = {"frames": len(self.columns), "embedding_frames": len(self.embedding_columns)}
        return Adapter.from_description(
            self.adaptation, self.names, {part: size for part, size in sizes.items() if size}
        )

    @property
    def _sees_embeddings(self) -> bool:
        return bool(self.embedding_columns) or any(name.startswith(PREFIX) for name in self.names)

    def _that_matter(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings that change what the model sees; where an encoder lies is none of them."""
        mattering = {key: value for key, value in settings.items() if key not in _OF_ENCODER}
        if self._sees_embeddings:
            encoder = settings.get("encoder", {})
            mattering |= {f"encoder.{key}": encoder.get(key) for key in ("kind", "layer", "front_end")}
            mattering["encoder_sha256"] = settings.get("encoder_sha256")
        return mattering

    @cached_property
    def _session(self):
        return onnx_session(self.onnx)


_ABSENT = object()
_OF_ENCODER = frozenset({"encoder", "encoder_sha256"})


def load(folder: str | Path) -> Bundle:
    """Read a bundle.

    Raises:
        DataError: a file is missing, is broken, belongs to another bundle, or has another format than this version
            reads.
    """
    folder = Path(folder)
    try:
        description = read_json(folder / DESCRIPTION)
        onnx = (folder / MODEL).read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename}: no such file; run `dvc repro`, whose train stage writes it, or name another folder"
        ) from None
    except ValueError as error:
        raise DataError(f"{folder / DESCRIPTION}: not JSON: {error}") from None
    found = description.pop("format", None) if isinstance(description, dict) else None
    if found != FORMAT:
        raise DataError(f"{folder / DESCRIPTION}: format {found!r}, this version reads {FORMAT}; run train again")
    if description.pop("onnx_sha256", None) != hashlib.sha256(onnx).hexdigest():
        raise DataError(f"{folder / MODEL}: not the file that {DESCRIPTION} was written with; run train again")
    for key in (field.name for field in fields(Bundle) if str(field.type).startswith("tuple")):
        description[key] = tuple(description.get(key, ()))
    try:
        bundle = Bundle(**description, onnx=onnx)
    except TypeError as error:
        raise DataError(f"{folder / DESCRIPTION}: not the fields of format {FORMAT}: {error}") from None
    try:
        _ = bundle.adapter  # kept, so that it is made and checked once
    except DataError as error:
        raise DataError(f"{folder / DESCRIPTION}: {error}; run train again") from None
    return bundle


def make(fitted: Fitted, data: Dataset, params: Params, done: CrossValidation, uar: dict[str, float]) -> Bundle:
    """The bundle of a fitted model.

    Args:
        fitted: the model that ships.
        data: what it was trained on.
        params: of the run.
        done: the cross-validation that decided how it was trained.
        uar: corpus -> out-of-fold UAR, of those that some fold tests.
    """
    protocol = params.train.protocol
    return Bundle(
        model=params.model,
        classes=data.classes,
        inputs=params.train.inputs,
        names=data.speech.names,
        groups=models.needs(params).groups,
        columns=_columns(data.speech.frames),
        embedding_columns=_columns(data.speech.embedding_frames),
        settings=without_places(data.settings),
        diarize=params.diarize.model_dump(),
        adaptation=fitted.adapter.describe(),
        calm=params.train.calm,
        corpora=tuple(sorted(set(data.index["corpus"]))),
        protocol=protocol,
        clips=len(data.index),
        chosen=done.chosen,
        seed=params.seed,
        temperature=done.temperature,
        unknown=done.confidence_for(params.train.coverage, data.classes),
        fingerprint=fingerprint(data.index),
        scores={corpus: {"uar": value, "leaky": is_leaky(corpus, protocol)} for corpus, value in uar.items()},
        onnx=fitted.onnx(),
    )


def _columns(sequences: Sequences | None) -> tuple[str, ...]:
    return () if sequences is None else sequences.columns


def load_folds(folder: str | Path) -> dict[int, Bundle]:
    """The models of the folds beside the bundle in a folder, by their number; none if none were kept."""
    folders = (each for each in (Path(folder) / FOLDS).glob("*") if each.name.isdecimal())
    return {int(each.name): load(each) for each in sorted(folders)}


def check_data(bundle: Bundle, data: Dataset) -> None:
    """Make sure that a bundle was trained on just these clips.

    Raises:
        DataError: clips came, went or changed since.
    """
    bundle.check_features(data.speech, data.settings, data.source)
    if fingerprint(data.index) != bundle.fingerprint:
        raise DataError(
            f"{data.source}: the clips are not those that the model was trained on ({bundle.clips} then, "
            f"{len(data.index)} now); run `dvc repro` to train again"
        )


def fingerprint(index: pd.DataFrame) -> str:
    """A digest of which clips, with which audio, an index holds, whatever their order."""
    digest = hashlib.sha256()
    for clip_id, md5 in sorted(zip(index["clip_id"], index["md5"], strict=True)):
        digest.update(f"{clip_id}\t{md5}\n".encode())
    return digest.hexdigest()


def check_export(bundle: Bundle, speech: Speech, expected: np.ndarray) -> float:
    """The largest difference between the bundle's probabilities and the trained model's.

    Args:
        bundle: with the export.
        speech: that has passed through the ``adapter``.
        expected: of the trained model, [clips, classes].

    Raises:
        DataError: it exceeds ``TOLERANCE``.
    """
    difference = float(np.max(np.abs(bundle.run(speech) - expected), initial=0.0))
    if not difference <= TOLERANCE:
        raise DataError(
            f"the ONNX export of {bundle.model} differs from the trained model by {difference:.2g} in probability on "
            f"{len(speech)} clips; at most {TOLERANCE:g} is accepted"
        )
    return difference


def check_reference(bundle: Bundle, data: Dataset, folder: str | Path) -> None:
    """Make sure that a bundle says of clips what the trained model said of them when it was exported.

    Args:
        bundle: of the folder.
        data: what it was trained on, without augmented copies.
        folder: with the trained model's probabilities of some of these clips.

    Raises:
        DataError: a probability is another, or a clip is missing.
    """
    reference = schema.read(Path(folder) / REFERENCE, schema.predictions(bundle.classes))
    place = pd.Series(np.arange(len(data.index)), index=data.index["clip_id"])
    if missing := sorted(set(reference["clip_id"]) - set(place.index)):
        raise DataError(f"{data.source}: {', '.join(missing[:5])} is not there; run `dvc repro` to train again")
    adapted = bundle.adapter(data.speech, groups_of(data.index, bundle.adapter.settings))
    some = adapted.of(place.loc[reference["clip_id"]].to_numpy())
    check_export(bundle, some, reference[list(bundle.classes)].to_numpy())
