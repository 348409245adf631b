"""The interpretation of a recording, and who wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emodag.conversation.timeline import Timeline
from emodag.interpretation.evidence import evidence
from emodag.interpretation.telling import text_of
from emodag.params import Interpret


@dataclass(frozen=True)
class Interpretation:
    """What a recording's emotions come to."""

    text: str
    source: Literal["evidence", "llm"]  #: made from the evidence alone, or written by a language model
    model: str = ""  #: the language model that wrote it
    fallback: str = ""  #: why a language model that is configured did not write it

    def told(self) -> str:
        """The text, and after it who wrote it, if that is not as expected."""
        if self.source == "llm":
            return f"{self.text}\n\nWritten by the language model {self.model}, which may be wrong."
        if self.fallback:
            return f"{self.text}\n\nMade without the language model that is configured: {self.fallback}."
        return self.text


def interpret(timeline: Timeline, settings: Interpret, language: str) -> Interpretation:
    """Tell what a timeline comes to.

    Where ``settings.llm.base_url`` names an endpoint, the language model there writes the text; if it does not within
    the time limit, the text is made from the evidence. Nothing leaves the machine where it is empty.

    Args:
        timeline: with words in its turns, where they are known; of one clip, by
            :func:`emodag.interpretation.evidence.clip`.
        settings: the section ``interpret``.
        language: of the words, as ``en-US``.
    """
    found = evidence(timeline, settings, language)
    fallback = ""
    if settings.llm.base_url:
        from emodag.interpretation.llm import LanguageModelError, written

        try:
            return Interpretation(written(found, settings), "llm", settings.llm.model)
        except LanguageModelError as error:
            fallback = str(error)
    return Interpretation(text_of(found, settings), "evidence", fallback=fallback)
