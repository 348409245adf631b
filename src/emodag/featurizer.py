"""From the sound of one speaker to features, through the very steps that the pipeline's stages take clips."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from emodag import audio
from emodag.cleaning import clean
from emodag.features import encoders
from emodag.features.corpus import cut, span_of
from emodag.features.encoders import Embedding, EncoderFacts
from emodag.features.extraction import ClipFeatures, extract
from emodag.params import Diarize, Featurize


class Spoken(NamedTuple):
    """The speech of a recording."""

    samples: np.ndarray  #: float32 [samples] at 16 kHz
    start: float  #: s, where they begin in the recording
    turns: list[tuple[float, float]]  #: s, within the samples
    is_speech: bool = True  #: whether any was found; if not, this is all of the recording

    @classmethod
    def cut_from(
        cls,
        samples: np.ndarray,
        span: tuple[float, float] | None,
        turns: list[tuple[float, float]],
        *,
        is_speech: bool = True,
    ) -> Self:
        """What a span keeps of a recording; see :func:`emodag.features.corpus.cut`."""
        kept, within = cut(samples, span, turns)
        return cls(kept, span[0] if span else 0.0, within, is_speech)


class Featurizer:
    """What the stages diarize and featurize do to a clip, without their files."""

    def __init__(self, featurize: Featurize, diarize: Diarize, encoder: EncoderFacts | None):
        """``encoder`` is what ``featurize.encoder`` describes; see :func:`emodag.features.encoders.describe`."""
        self.featurize = featurize
        self.diarize = diarize
        self.encoder = encoder

    def spoken(self, samples: np.ndarray) -> Spoken:
        """The speech of a recording, cut as ``featurize.trim`` says; all of it where no speech is found.

        Args:
            samples: float32 [samples] at 16 kHz.

        Raises:
            AudioError: the samples are not one channel of finite numbers.
        """
        turns = self._turns(samples)
        is_speech = bool(turns)
        turns = turns or [(0.0, round(len(samples) / audio.SAMPLE_RATE, 6))]
        span = span_of(turns) if self.featurize.trim else None
        return Spoken.cut_from(samples, span, turns, is_speech=is_speech)

    def features(self, clips: Sequence[Spoken]) -> list[ClipFeatures]:
        """Frame features and functionals of each."""
        return [extract(clip.samples, self.featurize, clip.turns) for clip in clips]

    def embeddings(self, clips: Sequence[Spoken]) -> list[Embedding]:
        """The pretrained encoder's embedding of each; empty without an encoder."""
        if self.encoder is None:
            return []
        session = encoders.open_encoder(self.encoder, self.featurize.encoder)
        return session.embed([clean(clip.samples, self.featurize.clean) for clip in clips])

    def _turns(self, samples: np.ndarray) -> list[tuple[float, float]]:
        """When somebody speaks in a recording, s, by start."""
        if self.diarize.backend == "bundled" and self.diarize.speakers in ("one", 1):
            # What the diarizer does for one speaker, without pyannote.core, which imports matplotlib.
            from emodag.diarization.base import check_samples

            check_samples(samples)
            regions = self._voice_activity.regions(samples) / audio.SAMPLE_RATE
            return [(round(start, 6), round(end, 6)) for start, end in regions.tolist()]
        from emodag.diarization.turns import to_turns

        annotation = self._diarizer.diarize(samples, uri="recording")
        return [(turn.start, turn.end) for turn in to_turns(annotation, "recording").itertuples()]

    @cached_property
    def _voice_activity(self):
        from emodag.diarization.voice_activity import VoiceActivityDetector

        return VoiceActivityDetector(self.diarize.vad)

    @cached_property
    def _diarizer(self):
        from emodag.diarization.base import create

        return create(self.diarize)
