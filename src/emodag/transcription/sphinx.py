"""Transcription by CMU Sphinx: small, offline, for one voice close to the microphone, and often wrong.

Gaussian mixtures over MFCC and a trigram language model, by PocketSphinx (Huggins-Daines et al. 2006, "Pocketsphinx: A
free, real-time continuous speech recognition system for hand-held devices", ICASSP; doi 10.1109/ICASSP.2006.1659988).
The pocketsphinx package brings a model of American English. Further languages are folders as the SpeechRecognition
package lays them out: ``<language>/acoustic-model/``, ``language-model.lm.bin`` and ``pronounciation-dictionary.dict``.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emodag.audio import SAMPLE_RATE, to_pcm16
from emodag.conversation.transcripts import Line
from emodag.errors import TranscriptionError, did_you_mean
from emodag.transcription.base import Transcript

BUNDLED = "en-US"  #: the language whose model comes with the package

_FRAME = 480  # samples that WebRTC's voice activity detector judges at once
_LEAST_SPEECH = 3  # such frames; about the shortest word

# Sphinx marks silence and noise so, and numbers the pronunciations of a word: read(2).
_NO_WORD = re.compile(r"<.*>|\[.*\]|\+\+.*\+\+")
_PRONUNCIATION = re.compile(r"\(\d+\)$")


class _Model(NamedTuple):
    """Files of a language, as the decoder calls them."""

    hmm: str
    lm: str
    dict: str

    @classmethod
    def in_folder(cls, folder: Path) -> _Model:
        return cls(
            str(folder / "acoustic-model"),
            str(folder / "language-model.lm.bin"),
            # Misspelt so in every such folder.
            str(folder / "pronounciation-dictionary.dict"),
        )


class SphinxTranscriber:
    """Decodes with PocketSphinx.

    Decoding holds the interpreter's lock: other threads stand still for a third to two thirds of a piece's duration. A
    service should keep a transcriber in a process of its own. Threads may share one, and then take turns.
    """

    def __init__(self, language: str, models: str = ""):
        """Load the model of a language.

        Args:
            language: as ``en-US``; ``en`` means the only kind of English there is.
            models: a folder with further languages; empty for none.

        Raises:
            TranscriptionError: pocketsphinx is not installed, there is no such language, or its files are unusable.
        """
        try:
            import pocketsphinx
        except ImportError:
            raise TranscriptionError(
                "transcribe.backend: sphinx needs the package pocketsphinx: pip install pocketsphinx; or set it to none"
            ) from None
        self.language, model = _chosen(language, models)
        files = model._asdict() if model else {}
        if missing := [file for file in files.values() if not Path(file).exists()]:
            raise TranscriptionError(f"transcribe.sphinx.models: {missing[0]} is missing")
        try:
            self._decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", **files)
        except RuntimeError as error:
            raise TranscriptionError(f"transcribe.sphinx.models: {language}: {error}") from None
        self._rate = self._decoder.config["frate"]
        self._lock = threading.Lock()

    def transcribe(self, samples: np.ndarray) -> Transcript:
        """See :class:`emodag.transcription.base.Transcriber`.

        Noise and cepstral mean are those of the piece, so that its transcript depends on no piece before it. Sphinx
        hears words even in digital silence: where WebRTC's voice activity detector finds no speech, none is sought.
        """
        pcm = to_pcm16(samples)
        if not self._speaks(pcm):
            return Transcript("")
        with self._lock:
            # Forgets the noise that the front end has learnt to take away.
            self._decoder.reinit_feat()
            self._decoder.start_utt()
            self._decoder.process_raw(pcm.tobytes(), full_utt=True)
            self._decoder.end_utt()
            # Without a hypothesis, the decoder still gives the segments of a path that reached no end.
            segments = list(self._decoder.seg() or ()) if self._decoder.hyp() is not None else []
        words = tuple(
            Line(each.start_frame / self._rate, (each.end_frame + 1) / self._rate, _PRONUNCIATION.sub("", each.word))
            for each in segments
            if not _NO_WORD.fullmatch(each.word)
        )
        return Transcript(" ".join(word.text for word in words), words)

    def _speaks(self, pcm: np.ndarray) -> bool:
        from pocketsphinx import Vad

        detector = Vad(Vad.LOOSE, SAMPLE_RATE, _FRAME / SAMPLE_RATE)
        frames = (pcm[start : start + _FRAME].tobytes() for start in range(0, len(pcm) - _FRAME + 1, _FRAME))
        return sum(detector.is_speech(frame) for frame in frames) >= _LEAST_SPEECH


def languages(models: str = "") -> dict[str, _Model | None]:
    """The languages there are, with their files; None for what the package brings.

    A folder of the same name replaces that.

    Raises:
        TranscriptionError: ``models`` is no folder.
    """
    found: dict[str, _Model | None] = {BUNDLED: None}
    if models:
        folder = Path(models)
        if not folder.is_dir():
            raise TranscriptionError(f"transcribe.sphinx.models: {models} is no folder")
        found |= {
            each.name: _Model.in_folder(each)
            for each in sorted(folder.iterdir())
            if each.is_dir() and not each.name.startswith(".")
        }
    return found


def _chosen(language: str, models: str) -> tuple[str, _Model | None]:
    """The language that is meant, and its files; ``en`` is any that starts so, if there is but one."""
    known = languages(models)
    named = {name.lower(): name for name in known}
    meant = [named[language.lower()]] if language.lower() in named else []
    meant = meant or [name for name in known if name.lower().split("-")[0] == language.lower()]
    if len(meant) != 1:
        raise TranscriptionError(
            f"transcribe.language: sphinx has no model of {language!r}; accepted: {', '.join(known)}"
            f"{did_you_mean(language, known)}; others go into the folder transcribe.sphinx.models, "
            "or set transcribe.backend to whisper"
        )
    return meant[0], known[meant[0]]
