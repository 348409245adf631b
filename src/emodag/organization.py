"""From a corpus as it was published to clips of one form: mono 16 kHz FLAC by emotion, and a manifest.

Every recording of the raw folder ends in the manifest or in ``rejected.csv`` with a reason. What is kept but worth
knowing (audio that two clips share, an irregular name that was mended, peaks at full scale) stands in ``notes.csv``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd

from emodag import audio, schema
from emodag.corpora.base import SIDE_SUFFIXES, Clip, Corpus, NotAClip, all_files, as_text, files_in, is_text
from emodag.errors import AudioError, CorpusError
from emodag.files import atomic_file
from emodag.parallel import parallel_map
from emodag.params import Organize

REJECTED = ["path", "reason", "detail"]
NOTES = ["clip_id", "note", "detail"]


@dataclass
class Organized:
    """What became of a corpus: the tables that were written."""

    manifest: pd.DataFrame
    rejected: pd.DataFrame
    notes: pd.DataFrame
    passed_over: Counter[str]  # suffixes of what accompanies recordings: tables, notes, archives

    @property
    def files(self) -> int:
        """Recordings: clips kept and files rejected."""
        return len(self.manifest) + len(self.rejected)

    def summary(self) -> str:
        """Counts for people: what was kept, what was not and why."""
        seconds = self.manifest["duration"].sum()
        lines = [
            f"{self.files} files: {len(self.manifest)} clips of {self.manifest['speaker'].nunique()} speakers "
            f"({seconds / 60:.0f} min), {len(self.rejected)} rejected"
        ]
        lines += _counted(self.rejected["reason"], self.rejected["path"], "rejected")
        lines += _counted(self.notes["note"], self.notes["clip_id"], "kept, noted")
        if self.passed_over:
            kinds = ", ".join(f"{count} {suffix}" for suffix, count in self.passed_over.most_common())
            lines.append(f"  passed over, since they are no recordings: {kinds}")
        return "\n".join(lines)


def _counted(kinds: pd.Series, examples: pd.Series, what: str) -> list[str]:
    lines = []
    for kind, count in Counter(kinds).most_common():
        first = list(examples[kinds == kind][:3])
        lines.append(f"  {what} as {kind}: {count} ({', '.join(first)}{', ...' if count > len(first) else ''})")
    return lines


@dataclass(frozen=True)
class _Converted:
    """What a worker says of a file: its digest and measures, or why it is no usable clip."""

    md5: str = ""
    duration: float = 0.0
    source_rate: int = 0
    channels: int = 1
    full_scale: bool = False
    reason: str | None = None
    detail: str | None = None


@dataclass
class _Tables:
    clips: dict[str, dict] = field(default_factory=dict)  # by clip_id
    rejected: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[tuple[str, str, str]] = field(default_factory=list)


def organize_corpus(corpus: Corpus, raw: Path, out: Path, settings: Organize, *, jobs: int = 0) -> Organized:
    """Read every file of ``raw`` and write ``clips/``, ``manifest.parquet``, ``rejected.csv`` and ``notes.csv``.

    Clips with equal audio under two names are both kept, since each is a file of the corpus; they share an ``md5``, by
    which every split keeps them on one side. A second file of the *same* name is rejected: as ``duplicate_file`` where
    the audio is the same, as ``duplicate_name`` where it differs.

    Raises:
        CorpusError: the folder is missing or empty, or none of its files is usable.
    """
    if not raw.is_dir():
        raise CorpusError(f"{raw}: no such folder; bring the corpus in with `emodag corpora add {corpus.name} PATH`")
    files = list(files_in(raw))
    if not files:
        raise CorpusError(f"{raw}: no recording in this folder; expected the files of {corpus.title}")
    tables = _Tables()
    tables.rejected += corpus.missing(raw)
    tables.notes += corpus.notes(raw)
    clips = list(_parsed(corpus, raw, files, tables))
    incoming = out / "incoming"
    incoming.mkdir(parents=True)
    convert = partial(_convert, raw=raw, incoming=incoming, settings=settings)
    results = parallel_map(
        convert, list(enumerate(path for path, _ in clips)), jobs=jobs, description=f"organize {corpus.name}"
    )
    for number, ((path, clip), converted) in enumerate(zip(clips, results, strict=True)):
        _file(corpus, path, clip, converted, incoming / f"{number}.flac", out, tables)
    for leftover in incoming.iterdir():
        leftover.unlink()
    incoming.rmdir()
    if not tables.clips:
        reasons = ", ".join(
            f"{reason}: {count}" for reason, count in Counter(row[1] for row in tables.rejected).items()
        )
        example = tables.rejected[0]
        raise CorpusError(
            f"{raw}: none of {len(files)} files is a usable clip of {corpus.title} ({reasons}); "
            f"the first: {example[0]}: {example[2]}"
        )
    manifest = pd.DataFrame(tables.clips.values(), columns=list(schema.MANIFEST.columns))
    manifest = manifest.sort_values("clip_id", ignore_index=True)
    tables.notes += _shared_audio(manifest)
    rejected = pd.DataFrame(sorted(tables.rejected), columns=REJECTED)
    notes = pd.DataFrame(sorted(tables.notes), columns=NOTES)
    schema.write(manifest, schema.MANIFEST, out / "manifest.parquet")
    for table, name in ((rejected, "rejected.csv"), (notes, "notes.csv")):
        with atomic_file(out / name) as file:
            table.to_csv(file, index=False)
    passed_over = Counter(path.suffix.lower() for path in all_files(raw) if path.suffix.lower() in SIDE_SUFFIXES)
    return Organized(manifest, rejected, notes, passed_over)


def _parsed(
    corpus: Corpus, raw: Path, files: Iterable[PurePosixPath], tables: _Tables
) -> Iterable[tuple[PurePosixPath, Clip]]:
    parse = corpus.parser(raw)
    for path in files:
        try:
            if not is_text(path):
                raise NotAClip("bad_name", "the file's name is not valid UTF-8")
            yield path, parse(path)
        except NotAClip as error:
            tables.rejected.append((as_text(path), error.reason, as_text(error.detail)))


def _convert(item: tuple[int, PurePosixPath], *, raw: Path, incoming: Path, settings: Organize) -> _Converted:
    """Decode one file and, if it is usable, leave it as ``<number>.flac`` in ``incoming``."""
    number, path = item
    try:
        recording = audio.read(raw / path)
        # Before resampling: a header that claims 1 Hz would make 16 000 samples of each.
        duration = len(recording.samples) / recording.rate
        if duration > settings.max_duration:
            raise AudioError("too_long", f"{duration:.1f} s; at most {settings.max_duration} s is accepted")
        samples = audio.resample(recording.samples, recording.rate)
        duration = len(samples) / audio.SAMPLE_RATE
        if duration < settings.min_duration:
            raise AudioError("too_short", f"{duration:.3f} s; at least {settings.min_duration} s is accepted")
        peak = audio.peak_db(samples)
        if peak < settings.silence_db:
            raise AudioError("silent", f"peak at {peak:.1f} dBFS; at least {settings.silence_db} dBFS is accepted")
    except AudioError as error:
        return _Converted(reason=error.reason, detail=error.detail)
    pcm = audio.to_pcm16(samples)
    audio.write_flac(incoming / f"{number}.flac", pcm)
    full_scale = bool((abs(pcm.astype("int32")) >= 32767).any())
    return _Converted(audio.md5(pcm), duration, recording.rate, recording.channels, full_scale)


def _file(
    corpus: Corpus, path: PurePosixPath, clip: Clip, converted: _Converted, flac: Path, out: Path, tables: _Tables
) -> None:
    """Give a converted file its place among the clips, or among the rejected."""
    if converted.reason:
        tables.rejected.append((str(path), converted.reason, converted.detail))
        return
    clip_id = f"{corpus.name}/{clip.stem}"
    place = PurePosixPath("clips") / clip.emotion / f"{clip.stem}.flac"
    if clip_id in tables.clips:
        same = tables.clips[clip_id]["md5"] == converted.md5
        reason = "duplicate_file" if same else "duplicate_name"
        what = "the same audio under the same name" if same else "other audio under the same name"
        tables.rejected.append((str(path), reason, f"{what} was read first as {clip_id}"))
        return
    (out / place).parent.mkdir(parents=True, exist_ok=True)
    flac.rename(out / place)
    tables.clips[clip_id] = {
        "clip_id": clip_id,
        "corpus": corpus.name,
        "path": str(place),
        "speaker": f"{corpus.name}/{clip.speaker}",
        "sex": clip.sex,
        "age": clip.age,
        "language": clip.language,
        "emotion": clip.emotion,
        "perceived": clip.perceived,
        "native_label": clip.native_label,
        "intensity": clip.intensity,
        "text_id": clip.text_id,
        "duration": converted.duration,
        "source_rate": converted.source_rate,
        "md5": converted.md5,
        "parent_id": None,
        "augmentation": None,
    }
    if clip.note:
        tables.notes.append((clip_id, "irregular_name", clip.note))
    if converted.channels > 1:
        tables.notes.append((clip_id, "mixed_to_mono", f"{converted.channels} channels"))
    if converted.full_scale:
        tables.notes.append((clip_id, "full_scale", "peaks at full scale; may be clipped"))


def _shared_audio(manifest: pd.DataFrame) -> list[tuple[str, str, str]]:
    """A note for each clip whose samples another clip has too, with whether they also share the label."""
    notes = []
    for _, group in manifest[manifest["md5"].duplicated(keep=False)].groupby("md5"):
        one_label = len(set(group["emotion"])) == 1
        for row in group.itertuples():
            others = ", ".join(
                f"{other.clip_id} ({other.emotion})" for other in group.itertuples() if other.clip_id != row.clip_id
            )
            note = "same_audio" if one_label else "same_audio_other_label"
            notes.append((row.clip_id, note, f"{row.emotion}; the same samples as {others}"))
    return notes
