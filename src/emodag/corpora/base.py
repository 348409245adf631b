"""What every corpus module provides: facts about the corpus, and a parser from file names to clips."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from emodag.errors import DataError
from emodag.labels import emotion_of

#: What libsndfile or PyAV decodes, by suffix.
AUDIO_SUFFIXES = frozenset(
    {
        ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".wma", ".aif", ".aiff",
        ".aifc", ".au", ".caf", ".w64", ".sph", ".amr",
    }
)  # fmt: skip

#: What accompanies audio in official downloads and is no recording.
SIDE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".md", ".pdf", ".html", ".json", ".xml", ".xlsx", ".docx", ".zip"})


class NotAClip(Exception):
    """A file that a parser will not take, for a known reason: ``reason`` is an identifier, ``detail`` is for people."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Clip:
    """What a file's name, and what lies beside it, say.

    ``stem`` identifies the clip within its corpus and names its file; ``age`` is the speaker's, in years; ``perceived``
    is the emotion that most listeners heard in the sound alone, where one was heard more often than any other;
    ``note`` tells of an oddity that was mended while parsing (an irregular name, say), for the list of what is kept but
    worth knowing.
    """

    stem: str
    speaker: str
    emotion: str
    native_label: str
    language: str
    sex: str | None = None
    age: int | None = None
    perceived: str | None = None
    intensity: str | None = None
    text_id: str | None = None
    note: str | None = None


#: What a corpus's ``missing`` reports: path, reason, detail, as a row of ``rejected.csv``.
Rejection = tuple[str, str, str]

#: What a corpus's ``notes`` reports: clip or corpus, note, detail, as a row of ``notes.csv``.
Note = tuple[str, str, str]


@dataclass(frozen=True)
class Corpus:
    """A corpus: facts that do not depend on a copy of it, and how its files are read.

    ``parse`` takes a path relative to the corpus's folder and raises :class:`NotAClip` for a file that is none of its
    clips. ``open`` is set where parsing needs to look into the folder first (tables, layouts): it takes the folder and
    returns the parser. ``find_missing`` lists the recordings that a table of the corpus names and the folder lacks, and
    ``find_notes`` what else is worth knowing of a folder, such as tables that are not there.
    """

    name: str
    title: str
    languages: tuple[str, ...]
    emotions: tuple[str, ...]
    licence: str
    citation: str
    source: str
    clips: int | None = None
    speakers: int | None = None
    instructions: str | None = None
    parse: Callable[[PurePosixPath], Clip] | None = field(default=None, repr=False)
    open: Callable[[Path], Callable[[PurePosixPath], Clip]] | None = field(default=None, repr=False)
    find_missing: Callable[[Path], list[Rejection]] | None = field(default=None, repr=False)
    find_notes: Callable[[Path], list[Note]] | None = field(default=None, repr=False)

    def parser(self, folder: Path) -> Callable[[PurePosixPath], Clip]:
        """The parser for a copy of the corpus that lies in ``folder``.

        Raises:
            CorpusError: a table of the corpus contradicts itself or points outside the folder.
        """
        parse = self.open(folder) if self.open else self.parse

        def parse_audio(path: PurePosixPath) -> Clip:
            if path.suffix.lower() not in AUDIO_SUFFIXES:
                raise NotAClip("not_audio", f"{path}: {path.suffix or 'a name without suffix'} is no audio format")
            return parse(path)

        return parse_audio

    def missing(self, folder: Path) -> list[Rejection]:
        """Recordings that a table in ``folder`` names but the folder lacks, as (path, reason, detail)."""
        return self.find_missing(folder) if self.find_missing else []

    def notes(self, folder: Path) -> list[Note]:
        """What is worth knowing of a copy of the corpus as a whole."""
        return self.find_notes(folder) if self.find_notes else []


def all_files(folder: Path) -> Iterator[PurePosixPath]:
    """Every file below ``folder`` but hidden ones and DVC's, relative to it, in one fixed order.

    Links to folders are followed, each folder once, so that a corpus gathered by links loses nothing.
    """
    found = []
    entered = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        # Sorted, because of two links to one folder the first is followed.
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        relative = PurePosixPath(Path(place).relative_to(folder).as_posix())
        found += [relative / name for name in names if not name.startswith(".") and not name.endswith(".dvc")]
    yield from sorted(found)


def files_in(folder: Path) -> Iterator[PurePosixPath]:
    """Every file below ``folder`` that could be a recording, relative to it, in one fixed order.

    Hidden files, DVC's own files and what accompanies audio in the official downloads (tables, notes) are passed over.
    """
    return (path for path in all_files(folder) if path.suffix.lower() not in SIDE_SUFFIXES)


def matched(pattern: re.Pattern[str], path: PurePosixPath, example: str) -> re.Match[str]:
    """The match of the whole stem of ``path``.

    Raises:
        NotAClip: the name is of another form than ``example``.
    """
    match = pattern.fullmatch(path.stem)
    if match is None:
        raise NotAClip("unknown_name", f"{path}: expected a name like {example}")
    return match


def emotion_from(corpus: str, native_label: str, path: PurePosixPath) -> str:
    """The emotion that a corpus means by a label in a file's name.

    Raises:
        NotAClip: the corpus has no such label.
    """
    try:
        return emotion_of(corpus, native_label)
    except DataError as error:
        raise NotAClip("unknown_emotion", f"{path}: {error}") from None


def as_text(path: PurePosixPath | str) -> str:
    """A path with bytes that are no UTF-8 escaped, so that it can be shown and written to a table."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def is_text(path: PurePosixPath | str) -> bool:
    """Whether a path is valid UTF-8."""
    return as_text(path) == str(path)
