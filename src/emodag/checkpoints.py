"""What finished folds gave, kept until the training that they belong to is complete, so that a killed one goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from emodag import models
from emodag.files import atomic_file
from emodag.params import Params
from emodag.speech import names_of

if TYPE_CHECKING:
    from emodag.training import Material

_SECONDS_KEPT = 30 * 24 * 3600
_ARRAYS = ("test", "validation")
#: As their distributions are called; one of each pair is installed.
_LIBRARIES = (
    *("numpy", "scipy", "scikit-learn", "xgboost", "xgboost-cpu", "keras", "tensorflow", "tensorflow-cpu", "torch"),
    *("jax", "onnx", "onnxmltools", "skl2onnx"),
)


class Checkpoints(NamedTuple):
    """The folder of one training, named by a digest of all that its results depend on."""

    folder: Path

    @classmethod
    def open(cls, kept: Path, material: Material, folds: pd.DataFrame, params: Params) -> Self:
        """The checkpoints of a training on this material with these folds, params and this code.

        Those of other trainings that nobody went on with for a month are deleted.
        """
        kept = kept.absolute()  # workers may stand elsewhere
        folder = kept / _digest(material, folds, params)
        folder.mkdir(parents=True, exist_ok=True)
        for other in kept.iterdir():
            if other != folder and time.time() - other.stat().st_mtime > _SECONDS_KEPT:
                shutil.rmtree(other, ignore_errors=True)
        return cls(folder)

    def write(self, seed: int, fold: int, outcome: dict[str, Any]) -> None:
        """Keep what a fold gave; on another machine than the one that opened this, nothing is kept."""
        if not self.folder.is_dir():
            return
        facts = {key: value for key, value in outcome.items() if key not in (*_ARRAYS, "onnx")}
        with atomic_file(self._path(seed, fold)) as path, path.open("wb") as file:
            np.savez(
                file,
                **{name: outcome[name] for name in _ARRAYS},
                onnx=np.frombuffer(outcome["onnx"], np.uint8),
                facts=np.array(json.dumps(facts)),
            )

    def read(self, seed: int, fold: int) -> dict[str, Any] | None:
        """What a fold gave, bit by bit; nothing if it is not finished."""
        path = self._path(seed, fold)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                return (
                    {name: stored[name] for name in _ARRAYS}
                    | {"onnx": stored["onnx"].tobytes()}
                    | json.loads(str(stored["facts"]))
                )
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            # A full disk or a power cut can leave a file that is named and not whole.
            print(f"{path}: not whole ({error}), so this fold is trained again", file=sys.stderr)
            path.unlink()
            return None

    def close(self) -> None:
        """Delete them: the training is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, seed: int, fold: int) -> Path:
        return self.folder / f"seed-{seed}-fold-{fold}.npz"


def _digest(material: Material, folds: pd.DataFrame, params: Params) -> str:
    digest = hashlib.sha256()
    speech = material.speech
    arrays = [speech.features, material.labels, material.voices, material.groups.keys, material.groups.originals]
    for sequences in (speech.frames, speech.embedding_frames):
        arrays += [] if sequences is None else [sequences.values, sequences.starts, sequences.counts]
    for array in arrays:
        if array is not None:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    members = {name: getattr(params.models, name).model_dump() for name in (*params.members(), params.model)}
    settings = [members, params.model, params.seed, params.train.model_dump(), params.adaptation.model_dump()]
    # Another device, backend or version of a library gives other digits.
    settings += [models.on_gpu(params), os.environ.get("KERAS_BACKEND", "tensorflow"), list(map(_version, _LIBRARIES))]
    digest.update(json.dumps([settings, material.classes, names_of(speech)], sort_keys=True).encode())
    digest.update(folds.to_csv(index=False).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
