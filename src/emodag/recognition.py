"""From sound to emotions with a shipped model, through the very steps that its training clips went through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from pydantic import ValidationError

from emodag import audio
from emodag.adaptation import Groups
from emodag.bundle import Bundle
from emodag.errors import AudioError, DataError
from emodag.evaluation.calibration import tempered
from emodag.features import encoders
from emodag.features.encoders import Embedding
from emodag.features.extraction import ClipFeatures, names
from emodag.features.store import described
from emodag.featurizer import Featurizer, Spoken
from emodag.labels import UNKNOWN
from emodag.params import Diarize, Encoder, Featurize, Section
from emodag.speech import Sequences, Speech, sequences_of

_Section = TypeVar("_Section", bound=Section)


class Recognition(NamedTuple):
    """What a model makes of clips."""

    raw: np.ndarray  #: the model's own probabilities, float32 [clips, classes]
    probabilities: np.ndarray  #: calibrated, float64 [clips, classes]
    emotions: tuple[str, ...]  #: the most probable class of each, or :data:`~emodag.labels.UNKNOWN`


class Recogniser:
    """Recognises emotions in recordings, one clip each."""

    def __init__(self, bundle: Bundle, encoder: Encoder | None = None):
        """Take a bundle, and where the pretrained encoder lies if it sees embeddings.

        Args:
            bundle: the model.
            encoder: whose ``model`` and ``folder`` say where it lies, which no bundle knows; without it, the file or
                folder of the bundle's ``model`` is looked for in the bundle's ``folder``.

        Raises:
            DataError: the bundle's settings are not of this version, or the encoder is another than the model's.
            ParamsError: the encoder is missing or cannot be used.
        """
        self.bundle = bundle
        featurize = _section(Featurize, {key: bundle.settings.get(key) for key in Featurize.model_fields})
        where = featurize.encoder if encoder is None else encoder
        kind = "none" if bundle.encoder == "none" else featurize.encoder.kind
        placed = featurize.encoder.model_copy(update={"kind": kind, "model": where.model, "folder": where.folder})
        self.featurize = featurize.model_copy(update={"encoder": placed})
        self._encoder = encoders.describe(placed)
        self._featurizer = Featurizer(self.featurize, _section(Diarize, bundle.diarize), self._encoder)
        self._check_settings()

    def _check_settings(self) -> None:
        """Make sure that this version computes what the model was trained on."""
        stored = names(self.featurize)
        computed = {*stored.functionals, *stored.columns}
        if self._encoder:
            computed |= {*self._encoder.names(self.featurize.encoder.pooling), *self._encoder.columns}
        seen = (*self.bundle.names, *self.bundle.columns, *self.bundle.embedding_columns)
        if missing := [name for name in seen if name not in computed]:
            raise DataError(
                f"the model sees {', '.join(missing[:5])}, and the settings that it was trained with do not give that; "
                "run train again"
            )
        frames = sequences_of([np.empty((0, len(self.bundle.columns)))], self.bundle.columns)
        speech = Speech(None, self.bundle.names, frames if self.bundle.columns else None)
        self.bundle.check_features(speech, described(self.featurize, self._encoder), "this version of emodag")

    def __call__(self, recordings: Sequence[np.ndarray], speakers: Sequence[str] | None = None) -> Recognition:
        """Recognise recordings, float32 [samples] at 16 kHz each, as :func:`read` gives them.

        Args:
            recordings: one clip each.
            speakers: who speaks in each, for a model that adapts to speakers; without them, each is a voice alone.

        Raises:
            AudioError: samples are not one channel of finite numbers.
            DataError: a recording has no sample or is far beyond full scale, or there are more or fewer speakers.
        """
        return self.recognised([self.spoken(samples) for samples in recordings], speakers)

    def recognised(self, clips: Sequence[Spoken], speakers: Sequence[str] | None = None) -> Recognition:
        """Recognise the speech of recordings; see :meth:`__call__`."""
        speech = self.speech(clips)
        return self.of_speech(speech, None if speakers is None else _voices(speakers, len(speech)))

    def of_speech(self, speech: Speech, groups: Groups | None = None) -> Recognition:
        """Recognise clips that are featurized; see :meth:`emodag.bundle.Bundle.predict_proba`."""
        raw = self.bundle.predict_proba(speech, groups)
        probabilities = tempered(raw, self.bundle.temperature)
        emotions = tuple(
            self.bundle.classes[row.argmax()] if row.max() >= self.bundle.unknown else UNKNOWN for row in probabilities
        )
        return Recognition(raw, probabilities, emotions)

    def spoken(self, samples: np.ndarray) -> Spoken:
        """The speech of a recording; see :meth:`emodag.featurizer.Featurizer.spoken`."""
        return self._featurizer.spoken(samples)

    def speech(self, clips: Sequence[Spoken]) -> Speech:
        """Clips as the model sees them, before adaptation."""
        found, embeddings = self._featurizer.features(clips), self._featurizer.embeddings(clips)
        return Speech(
            self._features(found, embeddings) if self.bundle.names else None,
            self.bundle.names,
            self._frames([each.frames for each in found]) if self.bundle.columns else None,
            sequences_of([each.frames for each in embeddings], self.bundle.embedding_columns)
            if self.bundle.embedding_columns
            else None,
        )

    def _features(self, found: Sequence[ClipFeatures], embeddings: Sequence[Embedding]) -> np.ndarray:
        stored = names(self.featurize).functionals
        rows = [each.functionals for each in found]
        if self._encoder:
            stored += self._encoder.names(self.featurize.encoder.pooling)
            rows = [np.concatenate([row, each.clip]) for row, each in zip(rows, embeddings, strict=True)]
        place = {name: number for number, name in enumerate(stored)}
        return np.stack(rows)[:, [place[name] for name in self.bundle.names]]

    def _frames(self, frames: Sequence[np.ndarray]) -> Sequences:
        place = {name: number for number, name in enumerate(names(self.featurize).columns)}
        columns = [place[name] for name in self.bundle.columns]
        return sequences_of([each[:, columns] for each in frames], self.bundle.columns)


#: Hz, of what is resampled: what makes sound has such a rate, and what claims another would grow past all memory.
_RATES = (1000, 768_000)


def read(path: str | Path) -> np.ndarray:
    """The samples of a recording of any format as the pipeline keeps them: float32 [samples], mono, 16 kHz, 16 bit.

    Raises:
        AudioError: the file cannot be decoded, is far beyond full scale, has no rate that sound has, or nothing is
            left of it at 16 kHz.
    """
    recording = audio.read(path)
    samples = kept(recording.samples, recording.rate, Path(path).name)
    if not len(samples):
        raise AudioError("too_short", f"{Path(path).name} is shorter than one sample at {audio.SAMPLE_RATE} Hz")
    return samples


def kept(samples: np.ndarray, rate: int, name: str = "the recording") -> np.ndarray:
    """Samples [samples] at ``rate`` Hz as the pipeline keeps them: float32 [samples] at 16 kHz, rounded to 16 bit.

    Raises:
        AudioError: they are far beyond full scale, so that nothing but clipping would be left; or no recording has
            such a rate, and resampling would take all memory or for ever.
    """
    if not _RATES[0] <= rate <= _RATES[1]:
        raise AudioError("bad_rate", f"{name} is said to be at {rate} Hz; accepted: {_RATES[0]} to {_RATES[1]} Hz")
    audio.check_loudness(samples, name)
    return audio.as_kept(audio.resample(samples, rate))


def _voices(speakers: Sequence[str], clips: int) -> Groups:
    if len(speakers) != clips:
        raise DataError(f"{len(speakers)} speakers are given for {clips} recordings")
    return Groups(np.unique(np.asarray(speakers, str), return_inverse=True)[1], np.full(clips, True))


def _section(kind: type[_Section], values: dict) -> _Section:
    """A section of the params that a bundle keeps."""
    try:
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise DataError(f"the bundle's settings: {place}: {fault['msg']}; run train again") from None
