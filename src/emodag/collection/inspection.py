"""What a folder holds when it is read as a corpus: counts, what is rejected and why, before anything is computed."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from emodag.corpora import REGISTRY
from emodag.corpora.base import Clip, Corpus, NotAClip, as_text, files_in, is_text
from emodag.errors import AudioError, CorpusError
from emodag.labels import EMOTIONS

_EXAMPLES = 3
_WIDTH = 100


@dataclass
class Report:
    """What became of the files of a folder."""

    corpus: Corpus
    folder: Path
    files: int = 0
    clips: list[Clip] = field(default_factory=list)
    rejected: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # reason -> details
    notes: list[str] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        """Whether any file is a clip of the corpus."""
        return bool(self.clips)

    def __str__(self) -> str:
        expected = f" of {self.corpus.clips}" if self.corpus.clips else ""
        rejected = sum(map(len, self.rejected.values()))
        lines = [
            f"{self.corpus.name}: {self.corpus.title}",
            f"{self.folder}: {self.files} files, {len(self.clips)}{expected} clips, {rejected} rejected",
        ]
        emotions = Counter(clip.emotion for clip in self.clips)
        speakers = Counter(clip.speaker for clip in self.clips)
        sexes = Counter({clip.speaker: clip.sex or "unknown" for clip in self.clips}.values())
        lines += _listed("emotions", {emotion: emotions[emotion] for emotion in EMOTIONS if emotion in emotions})
        lines += _listed("speakers", dict(sorted(speakers.items())))
        lines += _listed("sexes", dict(sorted(sexes.items())))
        lines += _listed("languages", dict(sorted(Counter(clip.language for clip in self.clips).items())))
        for reason, details in sorted(self.rejected.items()):
            lines.append(f"  rejected as {reason}: {len(details)}")
            lines += [f"    {detail}" for detail in details[:_EXAMPLES]]
            if len(details) > _EXAMPLES:
                lines.append("    ...")
        lines += [f"  noted: {note}" for note in self.notes]
        return "\n".join(lines)


def _listed(what: str, counts: dict[str, int]) -> list[str]:
    if not counts:
        return []
    # A name and its count stay on one line: textwrap does not break at no-break spaces.
    text = ", ".join(f"{name}\xa0{count}" for name, count in counts.items())
    lines = textwrap.wrap(f"{what} ({len(counts)}): {text}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
    return [line.replace("\xa0", " ") for line in lines]


def inspect(corpus: Corpus, folder: Path, *, decode: bool = False, jobs: int = 0) -> Report:
    """Read every file's name, and its header or, with ``decode``, all of its audio.

    Raises:
        CorpusError: the folder is missing or holds no file that could be a recording.
    """
    if folder.is_file():
        raise CorpusError(f"{folder}: a file, not a folder; unpack it first if it is an archive")
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder")
    files = list(files_in(folder))
    if not files:
        raise CorpusError(f"{folder}: no recording in this folder; expected the files of {corpus.title}")
    report = Report(corpus, folder, files=len(files))
    parsed: list[tuple[PurePosixPath, Clip]] = []
    parse = corpus.parser(folder)
    for path in files:
        try:
            if not is_text(path):
                raise NotAClip("bad_name", f"{as_text(path)}: the file's name is not valid UTF-8")
            parsed.append((path, parse(path)))
        except NotAClip as error:
            report.rejected[error.reason].append(error.detail)
    report.notes += [detail for _, _, detail in corpus.notes(folder)]
    for _, reason, detail in corpus.missing(folder):
        report.rejected[reason].append(detail)
    taken: dict[str, PurePosixPath] = {}
    for (path, clip), fault in zip(parsed, _faults(folder, parsed, decode, jobs), strict=True):
        if fault:
            report.rejected[fault.reason].append(f"{path}: {fault.detail}")
        elif clip.stem in taken:
            report.rejected["duplicate_name"].append(f"{path}: {taken[clip.stem]} has the same name")
        else:
            taken[clip.stem] = path
            report.clips.append(clip)
            report.notes += [clip.note] if clip.note else []
    return report


def _faults(folder: Path, parsed: list[tuple[PurePosixPath, Clip]], decode: bool, jobs: int):
    from emodag.parallel import parallel_map

    paths = [folder / path for path, _ in parsed]
    if decode:
        return parallel_map(partial(_fault, decode=True), paths, jobs=jobs, description="decode")
    return (_fault(path, decode=False) for path in paths)


def _fault(path: Path, *, decode: bool) -> AudioError | None:
    """Why a file is no audio, or None; a header that libsndfile understands is enough unless ``decode``."""
    import soundfile

    from emodag import audio

    try:
        if decode or not _has_header(path, soundfile):
            audio.read(path)
    except AudioError as error:
        return error
    return None


def _has_header(path: Path, soundfile) -> bool:
    try:
        return soundfile.info(path).frames > 0
    except (soundfile.LibsndfileError, OSError):
        return False


def likely_corpora(folder: Path) -> dict[str, int]:
    """The published corpora whose file names are found in the folder, with the number of files, most first."""
    files = list(files_in(folder))
    counts = {}
    for name, corpus in REGISTRY.items():
        parse = corpus.parser(folder)
        counts[name] = sum(_is_clip(parse, path) for path in files)
    return {name: count for name, count in sorted(counts.items(), key=lambda item: -item[1]) if count}


def _is_clip(parse, path: PurePosixPath) -> bool:
    try:
        parse(path)
    except NotAClip:
        return False
    return True
