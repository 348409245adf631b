"""Transcription by Whisper: many languages, far better than Sphinx, and large: hundreds of megabytes to download.

Whisper (Radford et al. 2022, "Robust speech recognition via large-scale weak supervision", arXiv 2212.04356) as
faster-whisper runs it on CTranslate2. Decoding is greedy in temperature, so that the same sound gives the same text:
Whisper's own fallback to sampling where it is unsure is left out.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from emodag.conversation.transcripts import Line
from emodag.errors import TranscriptionError, did_you_mean
from emodag.params import Whisper
from emodag.transcription.base import Transcript

_INSTALL = (
    "transcribe.backend: whisper needs the package faster-whisper: pip install faster-whisper; or set it to sphinx"
)


class WhisperTranscriber:
    """Decodes with faster-whisper.

    Whisper looks at 30 s at once, however short a piece is. CTranslate2 lets other threads run while it computes.
    """

    def __init__(self, language: str, settings: Whisper):
        """Load a model.

        Args:
            language: as ``de``; of ``en-US`` only ``en`` counts; ``auto`` to find out for each piece.
            settings: of the section ``transcribe.whisper``. A name that is no folder is fetched from the Hugging Face
                hub into its cache, unless it lies there.

        Raises:
            TranscriptionError: faster-whisper is not installed, the model does not exist, cannot be fetched or is
                broken, or it does not know the language.
        """
        try:
            import faster_whisper
        except ImportError:
            raise TranscriptionError(_INSTALL) from None
        place = Path(settings.model)
        if place.is_dir() and not (place / "model.bin").is_file():
            raise TranscriptionError(f"transcribe.whisper.model: {place} holds no model.bin, so it is no such model")
        try:
            self._model = faster_whisper.WhisperModel(
                settings.model,
                device=settings.device,
                compute_type=settings.precision,
                cpu_threads=settings.threads,
            )
        except Exception as error:  # of the hub, of HTTP, of CTranslate2: too many kinds to name
            told = " ".join(str(error).split())[:300]
            raise TranscriptionError(f"transcribe.whisper.model: {settings.model}: {told}") from None
        self._beam = settings.beam
        self.language = None if language == "auto" else language.split("-")[0].lower()
        known = self._model.supported_languages
        if self.language is not None and self.language not in known:
            raise TranscriptionError(
                f"transcribe.language: {settings.model} does not know {language!r}; accepted: auto, {', '.join(known)}"
                f"{did_you_mean(self.language, known)}"
            )
        self._lock = threading.Lock()

    def transcribe(self, samples: np.ndarray) -> Transcript:
        """See :class:`emodag.transcription.base.Transcriber`. Where silero-vad finds no speech, nothing is decoded."""
        with self._lock:
            segments, _ = self._model.transcribe(
                samples,
                language=self.language,
                beam_size=self._beam,
                temperature=0.0,
                # A piece is often less than one window: what was made of the last one would only mislead.
                condition_on_previous_text=False,
                word_timestamps=True,
                vad_filter=True,
            )
            words = tuple(
                Line(float(word.start), float(word.end), word.word.strip())
                for segment in segments
                for word in segment.words or ()
                if word.word.strip()
            )
        return Transcript(" ".join(word.text for word in words), words)
