"""The shipped model: ``model.onnx`` and ``bundle.json``, which says what it expects and where it comes from.

Loading and predicting need onnxruntime only, not the library that trained the model.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emodag.adaptation import Groups, Normaliser, each_alone
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.features.encoders.base import PREFIX, without_places
from emodag.files import read_json, write_json
from emodag.models.base import INPUT, OUTPUT
from emodag.params import Params
from emodag.splits import is_leaky

if TYPE_CHECKING:
    from emodag.training import Fitted

FORMAT = 2
MODEL, DESCRIPTION = "model.onnx", "bundle.json"

#: How far the exported model's probabilities may lie from those of the one it was made from.
TOLERANCE = 1e-4

_BATCH = 4096


@dataclass(frozen=True)
class Bundle:
    """A trained model with everything that is needed to use it and to tell where it comes from."""

    model: str  #: the family's name
    classes: tuple[str, ...]  #: in the order of the probabilities
    inputs: str  #: which of the stored features the model sees
    names: tuple[str, ...]  #: of these features, in their order
    settings: dict[str, Any]  #: of the features
    adaptation: dict[str, Any]  #: by whose clips features are normalised, and the training statistics
    calm: str  #: what became of 'calm'
    corpora: tuple[str, ...]  #: trained on
    protocol: str  #: of the cross-validation that gave ``rounds`` and ``scores``
    clips: int  #: trained on, augmented copies included
    rounds: int  #: epochs or boosting rounds
    seed: int
    fingerprint: str  #: of the training data
    scores: dict[str, dict[str, Any]]  #: corpus -> out-of-fold ``uar`` and whether it is ``leaky``
    onnx: bytes

    def save(self, folder: Path) -> None:
        """Write ``model.onnx`` and ``bundle.json`` into a folder that exists."""
        description = {"format": FORMAT} | {key: value for key, value in asdict(self).items() if key != "onnx"}
        (folder / MODEL).write_bytes(self.onnx)
        write_json(folder / DESCRIPTION, description)

    def check_features(self, names: list[str], settings: dict[str, Any], source: str | Path) -> None:
        """Make sure that features are those that the model was trained on.

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
        if tuple(names) != self.names:
            only_here, only_there = sorted(set(names) - set(self.names)), sorted(set(self.names) - set(names))
            raise DataError(
                f"{source}: other features than the model's: {len(names)} instead of {len(self.names)}, "
                f"unknown {only_here[:5]}, missing {only_there[:5]}; run featurize and train again"
            )

    def predict_proba(self, features: np.ndarray, groups: Groups | None = None) -> np.ndarray:
        """Probabilities, float32 [clips, classes], of ``features`` [clips, features].

        Args:
            features: of all clips that are known of their groups, as the bundle's adaptation uses them.
            groups: of the clips, by :func:`emodag.adaptation.groups_of`; without them each clip is alone.

        Raises:
            DataError: the shape does not fit the model, or a value is not finite.
        """
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != len(self.names):
            raise DataError(f"the model takes [clips, {len(self.names)}], found {list(features.shape)}")
        features = np.ascontiguousarray(features, dtype=np.float32)
        if not np.isfinite(features).all():
            row, column = np.argwhere(~np.isfinite(features))[0]
            raise DataError(f"feature {self.names[column]} of clip number {row} is {features[row, column]}")
        features = self.normaliser(features, each_alone(len(features)) if groups is None else groups)
        batches = [
            self._session.run([OUTPUT], {INPUT: features[start : start + _BATCH]})[0]
            for start in range(0, len(features), _BATCH)
        ]
        return np.concatenate(batches) if batches else np.empty((0, len(self.classes)), np.float32)

    @property
    def encoder(self) -> str:
        """The pretrained encoder whose embeddings the model sees, or ``none``."""
        return Path(self.settings["encoder"]["model"]).name if self._sees_embeddings else "none"

    @cached_property
    def normaliser(self) -> Normaliser:
        """What features pass through before the model: the very one that was used in training.

        Raises:
            DataError: its description is broken.
        """
        return Normaliser.from_description(self.adaptation, self.names)

    @property
    def _sees_embeddings(self) -> bool:
        return any(name.startswith(PREFIX) for name in self.names)

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
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(self.onnx, options, providers=["CPUExecutionProvider"])


_ABSENT = object()
_OF_ENCODER = frozenset({"encoder", "encoder_sha256"})


def load(folder: str | Path) -> Bundle:
    """Read a bundle.

    Raises:
        DataError: a file is missing, is broken, or has another format than this version reads.
    """
    folder = Path(folder)
    try:
        description = read_json(folder / DESCRIPTION)
        onnx = (folder / MODEL).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: no such file; a bundle is written by the train stage") from None
    except ValueError as error:
        raise DataError(f"{folder / DESCRIPTION}: not JSON: {error}") from None
    found = description.pop("format", None) if isinstance(description, dict) else None
    if found != FORMAT:
        raise DataError(f"{folder / DESCRIPTION}: format {found!r}, this version reads {FORMAT}; run train again")
    for key in ("classes", "names", "corpora"):
        description[key] = tuple(description.get(key, ()))
    try:
        bundle = Bundle(**description, onnx=onnx)
    except TypeError as error:
        raise DataError(f"{folder / DESCRIPTION}: not the fields of format {FORMAT}: {error}") from None
    try:
        _ = bundle.normaliser  # kept, so that it is made and checked once
    except DataError as error:
        raise DataError(f"{folder / DESCRIPTION}: {error}; run train again") from None
    return bundle


def make(fitted: Fitted, data: Dataset, params: Params, uar: dict[str, float]) -> Bundle:
    """Bundle a model that was trained on all of a data set.

    Args:
        fitted: the model and its normalisation.
        data: after the policy for ``calm``.
        params: that it was trained under.
        uar: of each corpus, out of fold.
    """
    model = fitted.model
    with tempfile.TemporaryDirectory() as folder:
        model.export_onnx(Path(folder) / MODEL)
        onnx = (Path(folder) / MODEL).read_bytes()
    protocol = params.train.protocol
    return Bundle(
        model=params.model,
        classes=data.classes,
        inputs=params.train.inputs,
        names=tuple(data.names),
        settings=without_places(data.settings),
        adaptation=fitted.normaliser.describe(),
        calm=params.train.calm,
        corpora=tuple(uar),
        protocol=protocol,
        clips=len(data.index),
        rounds=model.rounds,
        seed=params.seed,
        fingerprint=fingerprint(data.index),
        scores={corpus: {"uar": value, "leaky": is_leaky(corpus, protocol)} for corpus, value in uar.items()},
        onnx=onnx,
    )


def check_data(bundle: Bundle, data: Dataset) -> None:
    """Make sure that a bundle was trained on just these clips.

    Raises:
        DataError: clips came, went or changed since.
    """
    bundle.check_features(data.names, data.settings, data.source)
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


def check_export(bundle: Bundle, features: np.ndarray, groups: Groups, expected: np.ndarray) -> float:
    """The largest difference between the bundle's probabilities and the trained model's, [clips, classes].

    Raises:
        DataError: it exceeds ``TOLERANCE``.
    """
    difference = float(np.max(np.abs(bundle.predict_proba(features, groups) - expected), initial=0.0))
    if not difference <= TOLERANCE:
        raise DataError(
            f"the ONNX export of {bundle.model} differs from the trained model by {difference:.2g} in probability on "
            f"{len(features)} clips; at most {TOLERANCE:g} is accepted"
        )
    return difference
