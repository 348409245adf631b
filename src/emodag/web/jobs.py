"""What a worker does with a recording: decode it, judge it, analyse it; or listen to a voice while it speaks."""

from __future__ import annotations

import importlib
import io
import pkgutil
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emodag import audio, bundle, hearing, layout, listening
from emodag import params as settings_of
from emodag.conversation import analysis, live, tables, telling
from emodag.corpora import get
from emodag.corpora.demo import CORPORA as SYNTHETIC
from emodag.documents import words
from emodag.errors import AudioError
from emodag.recognition import Recogniser
from emodag.web.samples import ENCODINGS
from emodag.web.sniffing import kind_of
from emodag.web.writing import Writer

if TYPE_CHECKING:
    from emodag.listening import Sound
    from emodag.params import Params

#: Parts of PyAV that run a program, and fetch examples.
_NOT_OF_DECODING = ("av.__main__", "av.datasets")

#: A live sample beyond so many times full scale is a mistaken encoding.
_LOUDEST = 8.0


class Jobs:
    """What can be asked of a worker, with the model loaded."""

    def __init__(self, recogniser: Recogniser, params: Params, metrics: Path):
        """Take the model, the whole of the params, and where ``evaluate.json`` lies."""
        self.recogniser = recogniser
        self.params = params
        self.scores = analysis.intervals(metrics, recogniser.bundle)
        model = analysis.model_of(recogniser.bundle, params.analyze, self.scores)
        self.writer = Writer(params, recogniser.bundle.classes, model)

    @classmethod
    def load(cls, models: Path, params_file: Path) -> Jobs:
        """Load the model of a folder, with the settings of a checkout.

        Raises:
            EmodagError: the model, its encoder or the params cannot be used.
        """
        params = settings_of.load(params_file)
        shipped = bundle.load(models)
        encoder = params.featurize.encoder.below(params_file.parent)
        recogniser = Recogniser(shipped, None if shipped.encoder == "none" else encoder)
        return cls(recogniser, params, params_file.parent / layout.METRICS / "evaluate.json")

    def warm_up(self) -> None:
        """Do once what is slow the first time, so that no request waits for it and every worker shares it."""
        import av
        import soxr  # noqa: F401

        # They import their parts when they meet them; a worker that decodes can open no file for that.
        for part in pkgutil.walk_packages(av.__path__, "av."):
            if part.name not in _NOT_OF_DECODING:
                importlib.import_module(part.name)
        time = np.arange(audio.SAMPLE_RATE) / audio.SAMPLE_RATE
        buzz = sum(np.sin(2 * np.pi * 140 * each * time) / each for each in range(1, 9))
        tone = (0.1 * buzz * (1 + np.sin(2 * np.pi * 4 * time))).astype(np.float32)
        self.recogniser([tone])

    def predict(self, content: bytes, name: str, *, with_words: bool) -> dict[str, Any]:
        """The emotions of a recording as one clip; see :class:`emodag.hearing.Answer`.

        Args:
            content: of the file.
            name: that it is answered under.
            with_words: interpret it too, where that takes no time; elsewhere :meth:`write` does.

        Raises:
            AudioError: it cannot be read, is far beyond full scale, or too long.
        """
        sound = self._decoded(content, name, self.params.serve.clip.longest, mono=True)
        (answer,) = hearing.judged(self.recogniser, [sound], [name])
        found = answer.described()
        if with_words and self.writer.is_light:
            found |= self.writer.of_clip(found, sound.samples())
        return found

    def write(self, content: bytes, answer: dict[str, Any]) -> dict[str, Any]:
        """What is said in a recording that was predicted, and what both come to.

        Raises:
            AudioError: it cannot be read, or is too long.
        """
        sound = self._decoded(content, answer["file"], self.params.serve.words.longest, mono=True)
        return self.writer.of_clip(answer, sound.samples())

    def analyze(self, content: bytes, name: str, speakers: int | None, *, with_words: bool) -> dict[str, Any]:
        """The emotions of a conversation over time; see :func:`emodag.conversation.tables.described`, and ``finding``.

        Args:
            content: of the file.
            name: that it is answered under.
            speakers: how many there are; None to find out.
            with_words: transcribe and interpret it too; ``interpretation`` is null without.

        Raises:
            AudioError: it cannot be read, or is too long.
        """
        from emodag.conversation.voices import voices
        from emodag.diarization.base import for_conversations

        diarizer = for_conversations(self.params.diarize)
        # Nothing else holds the sound, so its channels go once they are mixed.
        heard = voices(self._decoded(content, name, self.params.serve.call.longest, mono=False), diarizer, speakers)
        found = analysis.analyse(heard, self.recogniser, self.params.analyze, scores=self.scores)
        interpretation = None
        if with_words:
            found, interpretation = self.writer.of_call(found, heard)
        return tables.described(found) | {"finding": telling.finding(found), "interpretation": interpretation}

    def listen(self, rate: int, encoding: str) -> Voice:
        """Begin to listen to a live client."""
        return Voice(self, rate, encoding)

    def _decoded(self, content: bytes, name: str, longest: float, *, mono: bool) -> Sound:
        if kind_of(content) is None:
            raise AudioError("not_audio", f"{name} is no audio of a kind that is accepted")
        try:
            with no_files():
                return listening.decode(io.BytesIO(content), name, mono=mono, longest=longest)
        except (AudioError, MemoryError):
            raise
        except Exception as error:
            # What a decoder makes of content that is made to confuse it is no fault of the service.
            raise AudioError("not_audio", f"{name}: decoding it fails ({type(error).__name__})") from None

    def card(self) -> dict[str, Any]:
        """What the model is, what it was trained on, what is known of its scores, and what it is not for."""
        shipped = self.recogniser.bundle
        chance = 1 / len(shipped.classes)
        return {
            "name": shipped.model,
            "emotions": list(shipped.classes),
            "trained_on": [_corpus(name) for name in shipped.corpora],
            "clips": shipped.clips,
            "protocol": shipped.protocol,
            "adaptation": words.adaptation(shipped.adapter.settings.by),
            "encoder": shipped.encoder,
            "unknown_below": shipped.unknown,
            "confidence": self.params.evaluate.confidence,
            "transcription": self.params.transcribe.backend,
            "language_model": self.params.interpret.llm.model if self.params.interpret.llm.base_url else "",
            "scores": [
                {
                    "corpus": corpus,
                    "chance": chance,
                    "meaning": words.meaning(shipped.protocol, leaky=score["leaky"]),
                    "low": None,
                    "high": None,
                    **score,
                    **self.scores.get(corpus, {}),
                }
                for corpus, score in shipped.scores.items()
            ],
            "limits": list(words.limits(shipped.corpora)),
            "misuse": list(words.MISUSE),
            "fingerprint": shipped.fingerprint,
        }


def _corpus(name: str) -> dict[str, Any]:
    corpus = get(name)
    return {
        "name": name,
        "title": corpus.title,
        "languages": list(corpus.languages),
        "licence": corpus.licence,
        "synthetic": name in SYNTHETIC,
    }


class Voice:
    """A live client's voice."""

    def __init__(self, jobs: Jobs, rate: int, encoding: str):
        """Take the rate (Hz) and the encoding of what will come, by :data:`emodag.web.samples.ENCODINGS`."""
        import soxr

        self._classes = jobs.recogniser.bundle.classes
        self._listener = live.Listener(jobs.recogniser, jobs.params.analyze)
        self._encoding = ENCODINGS[encoding]
        self._resampler = None
        if rate != audio.SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, audio.SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def hear(self, content: bytes) -> dict[str, Any]:
        """What is made of the voice once this block is heard, as JSON.

        Raises:
            AudioError: the bytes are no samples of the encoding.
        """
        samples = self._samples(content)
        # A resampler holds short blocks back, so the level is of what came, not of what it gave for it.
        level = live.level(samples)
        heard = self._listener.hear(samples if self._resampler is None else self._resampler.resample_chunk(samples))
        felt = None if heard.feeling is None else tables.felt(heard.feeling, self._classes)
        return {
            "time": round(heard.time, 3),
            "level": round(level, 1),
            "judged": heard.is_judged,
            "feeling": felt,
        }

    def _samples(self, content: bytes) -> np.ndarray:
        """Float32 [samples] at the rate of the client."""
        kind = np.dtype(self._encoding.kind)
        if len(content) % kind.itemsize:
            told = f"{len(content)} bytes are no whole number of samples of {kind.itemsize} bytes"
            raise AudioError("not_samples", told)
        samples = np.frombuffer(content, kind).astype(np.float32) / np.float32(self._encoding.full_scale)
        if not (np.abs(samples) <= _LOUDEST).all():
            raise AudioError("not_samples", "samples are not finite, or far beyond full scale: is the encoding right?")
        return samples


@contextmanager
def no_files() -> Iterator[None]:
    """Whoever decodes may open nothing, neither files nor connections, whatever the content asks for."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
