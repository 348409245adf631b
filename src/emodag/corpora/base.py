"""What every corpus module provides: facts about the corpus, and a parser from file names to clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

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
    """What a file's name says.

    ``stem`` identifies the clip within its corpus and names its file; ``note`` tells of an oddity that was mended
    while parsing (an irregular name, say), for the list of what is kept but worth knowing.
    """

    stem: str
    speaker: str
    emotion: str
    native_label: str
    language: str
    sex: str | None = None
    intensity: str | None = None
    text_id: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Corpus:
    """A corpus: facts that do not depend on a copy of it, and how its files are read.

    ``parse`` takes a path relative to the corpus's folder and raises :class:`NotAClip` for a file that is none of its
    clips. ``open`` is set where parsing needs to look into the folder first (tables, layouts): it takes the folder and
    returns the parser.
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

    def parser(self, folder: Path) -> Callable[[PurePosixPath], Clip]:
        """The parser for a copy of the corpus that lies in ``folder``."""
        return self.open(folder) if self.open else self.parse


def files_in(folder: Path) -> Iterator[PurePosixPath]:
    """Every file below ``folder`` that could be a recording, relative to it, in one fixed order.

    Hidden files, DVC's own files and what accompanies audio in the official downloads (tables, notes) are passed over.
    """
    found = []
    for path in folder.rglob("*"):
        relative = PurePosixPath(path.relative_to(folder).as_posix())
        if any(part.startswith((".", "__MACOSX")) for part in relative.parts):
            continue
        if path.suffix.lower() in SIDE_SUFFIXES or path.suffix == ".dvc" or not path.is_file():
            continue
        found.append(relative)
    yield from sorted(found)
