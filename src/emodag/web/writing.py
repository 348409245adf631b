"""Words for the service: what was said, and what the evidence comes to.

Transcribing takes longer than all else, and a language model may be far away. So where either is configured, clips are
written about by workers of their own, which load what they need when they are first asked.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emodag.errors import EmodagError
from emodag.interpretation.base import interpret
from emodag.interpretation.evidence import clip
from emodag.transcription.base import Transcript, create, transcript
from emodag.transcription.turns import with_words

if TYPE_CHECKING:
    from emodag.conversation.timeline import Timeline
    from emodag.conversation.voices import Voices
    from emodag.params import Params
    from emodag.transcription.base import KeepGoing, Transcriber

#: Of the time that a job may take, transcribing stops after this share, so that what is there can be told.
_SHARE = 0.8


class Writer:
    """Transcribes and interprets, as the sections ``transcribe`` and ``interpret`` of the params say."""

    def __init__(self, params: Params, classes: Sequence[str], model: dict[str, Any]):
        """Take the params, the classes of the model, and what timelines say of it."""
        self._transcribe, self._interpret = params.transcribe, params.interpret
        self._classes, self._model = classes, model
        self._serve = params.serve

    @property
    def is_light(self) -> bool:
        """Whether it takes next to no time."""
        return self._transcribe.backend == "none" and not self._interpret.llm.base_url

    def of_clip(self, answer: dict[str, Any], samples: np.ndarray) -> dict[str, Any]:
        """``transcription`` and ``interpretation`` of a clip.

        Args:
            answer: by :meth:`emodag.hearing.Answer.described`.
            samples: that it is about, float32 [samples] at 16 kHz.
        """
        if answer["emotion"] is None:
            told = _interpretation("No speech was found.", "evidence")
            return {"transcription": _transcription(self._backend), "interpretation": told}
        said, note = self._said(samples)
        timeline = clip(
            answer["file"],
            answer["duration"],
            self._classes,
            [answer["probabilities"][name] for name in self._classes],
            answer["emotion"],
            said.text,
            answer["notes"],
            self._model,
        )
        words = [{"start": round(each.start, 2), "end": round(each.end, 2), "text": each.text} for each in said.words]
        return {
            "transcription": _transcription(self._backend, said.text, words, note),
            "interpretation": self._interpreted(timeline),
        }

    def of_call(self, timeline: Timeline, voices: Voices) -> tuple[Timeline, dict[str, Any]]:
        """A conversation with what was said in its turns, and its ``interpretation``."""
        try:
            if self._transcriber is not None:
                enough = self._has_time("call")
                timeline = with_words(timeline, voices, self._transcriber, self._transcribe.piece, enough)
        except EmodagError as error:
            timeline = replace(timeline, notes=(*timeline.notes, str(error)))
        return timeline, self._interpreted(timeline)

    @property
    def _backend(self) -> str:
        return self._transcribe.backend

    @cached_property
    def _transcriber(self) -> Transcriber | None:
        return create(self._transcribe)

    def _said(self, samples: np.ndarray) -> tuple[Transcript, str]:
        """What was said, and what people should know of that."""
        try:
            if self._transcriber is None:
                return Transcript(""), ""
            said = transcript(self._transcriber, samples, self._transcribe.piece, self._has_time("words"))
        except EmodagError as error:
            return Transcript("", complete=False), str(error)
        return said, "" if said.complete else "transcription was stopped: it took too long"

    def _has_time(self, kind: Literal["words", "call"]) -> KeepGoing:
        """Whether the job has time left, of which decoding and analysing have taken their part already.

        A worker bounds each job by the processor time at which the system ends it.
        """
        seconds = self._serve.job(kind).seconds
        limit, _ = resource.getrlimit(resource.RLIMIT_CPU)
        end = time.process_time() + seconds if limit == resource.RLIM_INFINITY else limit
        end -= (1 - _SHARE) * seconds
        return lambda: time.process_time() < end

    def _interpreted(self, timeline: Timeline) -> dict[str, Any]:
        found = interpret(timeline, self._interpret, self._transcribe.language)
        return _interpretation(found.text, found.source, found.model, found.fallback)


def _transcription(
    backend: str, text: str = "", words: Sequence[dict[str, Any]] = (), note: str = ""
) -> dict[str, Any]:
    return {"text": text, "backend": backend, "words": list(words), "note": note}


def _interpretation(text: str, source: str, model: str = "", fallback: str = "") -> dict[str, Any]:
    note = f"the language model that is configured did not write it: {fallback}" if fallback else ""
    return {"text": text, "source": source, "model": model, "note": note}
