"""The shipped model as MLflow serves it: recordings in, a calibrated probability of each emotion out.

MLflow keeps this file beside the model and runs it to load the model ("models from code"), so nothing is unpickled.
A model that MLflow holds is a folder with the bundle, the library and, where the bundle needs one, its encoder.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

from emodag import audio, bundle
from emodag.bundle import Bundle
from emodag.errors import EmodagError
from emodag.params import Encoder
from emodag.recognition import Recogniser, kept, read

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What recognition imports, beside the library itself; a served model is pinned to the versions it was made with.
REQUIREMENTS = (
    "av",
    "joblib",
    "librosa",
    "mlflow",
    "numba",
    "numpy",
    "onnxruntime",
    "pandas",
    "pandera",
    "psutil",
    "pyannote.audio",
    "pyannote.core",
    "pyarrow",
    "pydantic",
    "PyYAML",
    "scikit-learn",
    "scipy",
    "silero-vad",
    "soundfile",
    "soxr",
    "threadpoolctl",
    "tqdm",
)
_OF_TRANSFORMERS = ("torch", "transformers")

_BUNDLE, _ENCODER = "bundle", "encoder"


class SpeechEmotion(PythonModel):
    """Recognises the emotion of recordings, one a row."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the bundle, and the encoder where it needs one, and recognise something once.

        Where the library is new, its kernels are compiled by that: seconds that no request should wait for.
        """
        shipped = bundle.load(context.artifacts[_BUNDLE])
        place = context.artifacts.get(_ENCODER)
        self._recogniser = Recogniser(shipped, None if place is None else _encoder_at(shipped, Path(place)))
        self.predict(example())

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """The calibrated probability of each emotion, and ``emotion``: the likeliest, or ``unknown``.

        Args:
            model_input: a recording a row: ``path`` of a file that this machine can read, or ``samples`` at ``rate``
                Hz; and, for a model that adapts to voices, who speaks, as ``speaker``.

        Raises:
            MlflowException: a row is no recording; the message says which and why.
        """
        if model_input.empty:
            raise _refused("there is no row; each is a recording, with `path` or with `samples` and their `rate`")
        recordings = [_recording(number, row) for number, row in enumerate(model_input.to_dict("records"))]
        speakers = None
        if "speaker" in model_input and model_input["speaker"].notna().all():
            speakers = model_input["speaker"].astype(str).to_list()
        try:
            found = self._recogniser(recordings, speakers)
        except EmodagError as error:
            raise _refused(str(error)) from None
        table = pd.DataFrame(found.probabilities, columns=list(self._recogniser.bundle.classes))
        return table.assign(emotion=list(found.emotions))


def signature(classes: Sequence[str]) -> ModelSignature:
    """What goes in and comes out, as MLflow checks it.

    Of ``samples`` and ``rate`` it checks nothing: where only some rows have them, it would refuse all. Each row is
    checked when it is read.
    """
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.string, "path", required=False),
                ColSpec(AnyType(), "samples", required=False),
                ColSpec(AnyType(), "rate", required=False),
                ColSpec(DataType.string, "speaker", required=False),
            ]
        ),
        outputs=Schema([*(ColSpec(DataType.double, name) for name in classes), ColSpec(DataType.string, "emotion")]),
    )


def example() -> pd.DataFrame:
    """A row that may be sent: half a second of a falling tone, as samples."""
    time = np.arange(audio.SAMPLE_RATE // 2) / audio.SAMPLE_RATE
    tone = 0.2 * np.sin(2 * np.pi * (220 - 80 * time) * time)
    return pd.DataFrame({"samples": [tone.round(4).tolist()], "rate": [audio.SAMPLE_RATE]})


def requirements(shipped: Bundle) -> list[str]:
    """What has to be installed to serve a bundle, pinned to what is installed here."""
    names = REQUIREMENTS
    if shipped.encoder != "none" and shipped.settings["encoder"]["kind"] == "transformers":
        names += _OF_TRANSFORMERS
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


def save(shipped: Bundle, folder: str | Path, encoder: Encoder | None = None) -> None:
    """Write a bundle as an MLflow model.

    Args:
        shipped: the model.
        folder: that is made.
        encoder: the section ``featurize.encoder`` of the params, which says where the encoder lies that the bundle
            needs; no matter to other bundles.

    Raises:
        DataError: the bundle or its encoder is of another version.
        ParamsError: the encoder is missing.
    """
    import emodag
    from emodag.features import encoders

    with tempfile.TemporaryDirectory() as place:
        # Anew, because the models of the folds lie in the bundle's own folder.
        shipped.save(Path(place) / _BUNDLE)
        artifacts = {_BUNDLE: str(Path(place) / _BUNDLE)}
        if facts := encoders.describe(Recogniser(shipped, encoder).featurize.encoder):
            artifacts[_ENCODER] = str(facts.path)
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=__file__,
            artifacts=artifacts,
            code_paths=[str(Path(emodag.__file__).parent)],
            pip_requirements=requirements(shipped),
            signature=signature(shipped.classes),
            input_example=example(),
        )


def _encoder_at(shipped: Bundle, place: Path) -> Encoder:
    return Encoder.model_validate(shipped.settings["encoder"] | {"model": str(place), "folder": str(place.parent)})


def _recording(number: int, row: dict[str, Any]) -> np.ndarray:
    """The samples of a row: float32 [samples], mono, 16 kHz."""
    path, samples, rate = (row.get(key) for key in ("path", "samples", "rate"))
    has_path, has_samples = isinstance(path, str), isinstance(samples, list | np.ndarray)
    if has_path == has_samples:
        raise _refused(f"row {number}: give either `path` or `samples`, found {'both' if has_path else 'neither'}")
    try:
        if has_path:
            return read(path)
        if isinstance(rate, bool) or not isinstance(rate, Real) or not rate > 0 or rate % 1:
            raise _refused(
                f"row {number}: `samples` need their `rate` in Hz, found {rate!r}; whole numbers above 0 are accepted"
            )
        found = kept(_checked(number, samples), int(rate))
    except EmodagError as error:
        raise _refused(f"row {number}: {error}") from None
    if not len(found):
        raise _refused(f"row {number}: `samples` are shorter than one sample at {audio.SAMPLE_RATE} Hz")
    return found


def _checked(number: int, samples: list | np.ndarray) -> np.ndarray:
    """The samples of a row as float32 [samples]."""
    try:
        values = np.asarray(samples, np.float32)
    except (TypeError, ValueError):
        values = None
    if values is None or values.ndim != 1:
        raise _refused(f"row {number}: `samples` are no list of numbers, which one channel is")
    if not len(values) or not np.isfinite(values).all():
        raise _refused(f"row {number}: `samples` are {'not finite' if len(values) else 'empty'}")
    return values


def _refused(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


# MLflow runs this file to find the model in it.
mlflow.models.set_model(SpeechEmotion())
