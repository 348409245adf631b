"""The errors that a person can act on: they end a command with one clear line, never with a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EmodagError(Exception):
    """Something the user can mend: the message names the file, the value and what would be accepted."""


class ParamsError(EmodagError):
    """``params.yaml`` holds an unknown key, an ill-typed value or a contradiction."""


class CorpusError(EmodagError):
    """A corpus is unknown, absent, empty or not what its name promises."""


class AudioError(EmodagError):
    """An audio file cannot be decoded, or what it decodes to is no usable speech.

    ``reason`` is a short identifier (``not_audio``, ``empty``, ``lfs_pointer``, ...); ``detail`` says what was seen.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self):
        # Exceptions pickle by their message alone, which has lost the two parts; workers must return both.
        return type(self), (self.reason, self.detail)


class DataError(EmodagError):
    """A table or array of the pipeline breaks its contract."""


class DiarizationError(EmodagError):
    """A pretrained diarization pipeline is absent, cannot be fetched or cannot be loaded."""


class TranscriptionError(EmodagError):
    """A transcriber is not installed, lacks the language, or its model cannot be had."""


class LeakageError(EmodagError):
    """The same speaker, the same audio or a copy of a clip stands on both sides of a split."""


def did_you_mean(value: str, accepted: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest of ``accepted``, or an empty string."""
    close = difflib.get_close_matches(str(value), list(accepted), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
