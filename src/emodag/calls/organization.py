"""From a folder of recordings as people keep them to recordings of one form, with what is known of them.

A folder may hold, in any folders below it, recordings of any format; RTTM files that tell who speaks when, and UEM
files that tell what of it counts; transcripts that are named as their recording (``.srt``, ``.vtt``, ``.json``,
``.csv``), one for each; and ``emotions.csv`` with the columns ``name``, ``start``, ``end``, ``speaker`` and
``emotion``. Every recording ends in the table of recordings or in ``rejected.csv`` with a reason.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import soundfile

from emodag import audio, listening, schema
from emodag.calls import contracts
from emodag.conversation import references, transcripts
from emodag.corpora.base import all_files, as_text, is_text
from emodag.errors import AudioError, CorpusError, DataError
from emodag.files import atomic_file
from emodag.parallel import parallel_map

REJECTED, NOTES = ["path", "reason", "detail"], ["name", "note"]

#: What no recording can be called: the folder's own summary.csv lies beside the tables of the recordings.
_SUMMARY = "summary"

#: FLAC holds no more.
_MOST_CHANNELS = 8


@dataclass
class OrganizedCalls:
    """What became of a folder."""

    recordings: pd.DataFrame
    rejected: pd.DataFrame
    notes: pd.DataFrame
    referenced: int  #: recordings that an RTTM file tells the turns of
    transcribed: int  #: recordings with a transcript
    passed_over: Counter[str] = field(default_factory=Counter)  #: suffixes of what is neither recording nor told of one

    def summary(self) -> str:
        """Counts for people, and each file that was rejected."""
        hours = self.recordings["duration"].sum() / 3600
        lines = [
            f"{len(self.recordings)} recordings, {hours:.2f} h; turns known of {self.referenced}, transcripts of "
            f"{self.transcribed}; {len(self.rejected)} rejected"
        ]
        lines += [f"  rejected: {row.path}: {row.reason}: {row.detail}" for row in self.rejected.itertuples()]
        lines += [f"  {row.name}: {row.note}" for row in self.notes.itertuples(index=False)]
        if self.passed_over:
            kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in self.passed_over.items())
            lines.append(f"  passed over: {kinds}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Converted:
    """What a worker says of a recording, or why it is none."""

    duration: float = 0.0
    channels: int = 1
    source_rate: int = 0
    md5: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""


def organize_calls(raw: Path, out: Path, *, jobs: int = 0) -> OrganizedCalls:
    """Read every recording below ``raw``; write ``recordings/*.flac``, the tables, and what is known of them.

    Raises:
        CorpusError: the folder is missing, or holds no recording that can be read.
        DataError: an RTTM, UEM or transcript file, or ``emotions.csv``, cannot be read.
    """
    if not raw.is_dir():
        raise CorpusError(f"{raw}: no such folder; bring it in with `emodag calls add {raw.name} PATH`")
    files = sorted(all_files(raw))
    rejected = [
        (as_text(path), "bad_name", "the file's name is not valid UTF-8") for path in files if not is_text(path)
    ]
    files = [path for path in files if is_text(path)]
    named: dict[str, PurePosixPath] = {}
    for path in filter(listening.is_recording, files):
        if path.stem.casefold() == _SUMMARY:
            rejected.append((str(path), "reserved_name", "summary.csv is of the whole folder: rename the recording"))
        elif path.stem in named:
            rejected.append((str(path), "duplicate_name", f"{named[path.stem]} is called {path.stem}, too"))
        else:
            named[path.stem] = path
    (out / "recordings").mkdir(parents=True)
    convert = partial(_converted, raw=raw, out=out)
    rows, notes = [], []
    for (name, path), done in zip(
        named.items(),
        parallel_map(convert, list(named.items()), jobs=jobs, description=f"organize {raw.name}"),
        strict=True,
    ):
        if done.reason:
            rejected.append((str(path), done.reason, done.detail))
            continue
        measures = (done.duration, done.channels, done.source_rate, done.md5)
        rows.append((name, str(path), f"recordings/{name}.flac", *measures))
        notes += [(name, note) for note in done.notes]
    if not rows:
        first = f"; the first: {rejected[0][0]}: {rejected[0][2]}" if rejected else ""
        raise CorpusError(
            f"{raw}: no recording that can be read among {len(files)} files{first}; looked for "
            f"{' '.join(sorted(listening.SUFFIXES))}"
        )
    recordings = pd.DataFrame(rows, columns=list(contracts.RECORDINGS.columns))
    schema.write(recordings, contracts.RECORDINGS, out / contracts.RECORDINGS_FILE)
    names = list(recordings["name"])
    known = [path for path in files if not listening.is_recording(path)]
    out_of_use = {PurePosixPath(path).stem for path, *_ in rejected} - set(names)
    referenced, lost = _keep_references(raw, known, names, out_of_use, out)
    sources = dict(zip(names, map(PurePosixPath, recordings["source"]), strict=True))
    transcribed, of_lines, doubled = _keep_lines(raw, known, sources, out)
    of_emotions, unheard = _keep_emotions(raw, known, names, out_of_use, out)
    used = of_lines | of_emotions
    notes += lost + doubled + unheard
    tables = {
        "rejected.csv": pd.DataFrame(sorted(rejected), columns=REJECTED),
        "notes.csv": pd.DataFrame(notes, columns=NOTES),
    }
    for place, table in tables.items():
        with atomic_file(out / place) as file:
            table.to_csv(file, index=False)
    of_no_use = [path for path in known if path not in used and path.suffix.lower() not in (".rttm", ".uem")]
    return OrganizedCalls(
        recordings,
        tables["rejected.csv"],
        tables["notes.csv"],
        referenced,
        transcribed,
        Counter(path.suffix.lower() for path in of_no_use),
    )


def _converted(item: tuple[str, PurePosixPath], *, raw: Path, out: Path) -> _Converted:
    """Write a recording as FLAC at 16 kHz, with all its channels."""
    name, path = item
    try:
        sound = listening.read(raw / path)
    except AudioError as error:
        return _Converted(reason=error.reason, detail=error.detail)
    if (channels := sound.pcm.shape[1]) > _MOST_CHANNELS:
        return _Converted(reason="too_many_channels", detail=f"{channels} channels: expected {_MOST_CHANNELS} at most")
    soundfile.write(out / "recordings" / f"{name}.flac", sound.pcm, audio.SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    digest = audio.md5(np.ascontiguousarray(sound.pcm))
    return _Converted(sound.duration, sound.pcm.shape[1], sound.rate, digest, sound.notes)


def _keep_references(
    raw: Path, known: list[PurePosixPath], names: list[str], rejected: set[str], out: Path
) -> tuple[int, list[tuple[str, str]]]:
    """Write who speaks when, and what of it counts, under the recordings' names; how many, and what fits none."""
    from emodag.diarization.turns import rttm_uri, write_rttm

    told = references.references([raw / path for path in known if path.suffix.lower() == ".rttm"])
    scopes = references.scopes([raw / path for path in known if path.suffix.lower() == ".uem"])
    only = len(names) == 1
    known_names = rejected.union(names)
    found = {name: references.of_recording(name, _for(name, known_names, told), only=only) for name in names}
    found = {name: annotation for name, annotation in found.items() if annotation is not None}
    takers = Counter(map(id, found.values()))
    for name, annotation in found.items():
        if takers[id(annotation)] > 1:
            raise DataError(f"{raw}: the turns of {annotation.uri} may be of {name} or of another recording alike")
        annotation.uri = name
    if found:
        write_rttm(out / contracts.REFERENCE_FILE, found.values())
    counted = {name: references.of_recording(name, _for(name, known_names, scopes), only=only) for name in found}
    lines = [
        f"{rttm_uri(name)} 1 {segment.start:.3f} {segment.end:.3f}\n"
        for name, scope in counted.items()
        for segment in scope or ()
    ]
    if lines:
        (out / contracts.SCOPE_FILE).write_text("".join(lines), encoding="utf-8")
    used = {id(each) for each in (*found.values(), *counted.values())}
    lost = [
        (name, "turns are told of it, and there is no such recording") for name in told if id(told[name]) not in used
    ]
    lost += [
        (name, "what is scored is told of it, and there is no such recording whose turns are known")
        for name in scopes
        if id(scopes[name]) not in used
    ]
    return len(found), lost


def _for(name: str, names: set[str], known: dict) -> dict:
    """What may be told of a recording: what bears the very name of another is that one's alone."""
    return {each: value for each, value in known.items() if each == name or each not in names}


def _keep_lines(
    raw: Path, known: list[PurePosixPath], sources: dict[str, PurePosixPath], out: Path
) -> tuple[int, set[PurePosixPath], list[tuple[str, str]]]:
    """Write what the transcript of each recording says; how many have one, all that are named so, and which are left.

    Several of one name are the same words in other formats, or of another recording of that name: the one beside the
    recording goes first, then the order of :data:`emodag.conversation.transcripts.ACCEPTED`.
    """
    files: dict[str, list[PurePosixPath]] = {}
    for path in known:
        is_transcript = path.suffix.lower() in transcripts.ACCEPTED and path.name != contracts.TOLD_EMOTIONS
        if is_transcript and path.stem in sources:
            files.setdefault(path.stem, []).append(path)
    rows, left = [], []
    for name, its in files.items():
        order = transcripts.ACCEPTED.index
        ranked = sorted((path.parent != sources[name].parent, order(path.suffix.lower()), path) for path in its)
        first, *others = [path for *_, path in ranked]
        rows += [(name, *line) for line in transcripts.read(raw / first)]
        left += [(name, f"{path} is left out, for {first} is its transcript") for path in others]
    if files:
        table = pd.DataFrame(rows, columns=list(contracts.LINES.columns))
        schema.write(table, contracts.LINES, out / contracts.LINES_FILE)
    return len(files), {path for its in files.values() for path in its}, left


def _keep_emotions(
    raw: Path, known: list[PurePosixPath], names: list[str], rejected: set[str], out: Path
) -> tuple[set[PurePosixPath], list[tuple[str, str]]]:
    """Write which emotions are known; the files that told so, and what is told of recordings that were rejected."""
    files = [path for path in known if path.name == contracts.TOLD_EMOTIONS]
    parts = []
    for path in files:
        try:
            table = pd.read_csv(raw / path, dtype={"name": str, "speaker": str})
        except (ValueError, OSError) as error:
            raise DataError(f"{raw / path}: no readable table: {error}") from None
        columns = list(contracts.EMOTIONS.columns)
        if missing := [column for column in columns if column not in table]:
            raise DataError(f"{raw / path}: no column {', '.join(missing)}; expected {', '.join(columns)}")
        if unknown := sorted(set(table["name"].astype(str)) - rejected.union(names)):
            raise DataError(f"{raw / path}: no recording is called {', '.join(unknown[:5])}")
        parts.append(schema.validate(table[columns], contracts.EMOTIONS, raw / path))
    if not parts:
        return set(), []
    table = pd.concat(parts, ignore_index=True)
    lost = sorted(set(table["name"]) & rejected)
    table = table[~table["name"].isin(rejected)]
    if len(table):
        schema.write(table, contracts.EMOTIONS, out / contracts.EMOTIONS_FILE)
    return set(files), [(name, "emotions are told of it, and it was rejected") for name in lost]
