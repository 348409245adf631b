"""Reading what the stages of conversations keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import soundfile

from emodag import audio, schema
from emodag.calls import contracts
from emodag.conversation import references
from emodag.conversation.transcripts import Line
from emodag.conversation.voices import Voices
from emodag.errors import DataError
from emodag.listening import Sound

if TYPE_CHECKING:
    from pyannote.core import Annotation


@dataclass(frozen=True)
class Calls:
    """A folder that :func:`emodag.calls.organization.organize_calls` wrote."""

    folder: Path

    @cached_property
    def recordings(self) -> pd.DataFrame:
        """By :data:`emodag.calls.contracts.RECORDINGS`.

        Raises:
            DataError: there is no such table.
        """
        return schema.read(self.folder / contracts.RECORDINGS_FILE, contracts.RECORDINGS)

    @property
    def names(self) -> list[str]:
        """Of the recordings."""
        return list(self.recordings["name"])

    def sound(self, name: str) -> Sound:
        """A recording, with all its channels.

        Raises:
            DataError: its file is missing or is not what organize_calls writes.
        """
        row = self._rows.loc[name]
        try:
            pcm, rate = soundfile.read(self.folder / row["path"], dtype="int16", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise DataError(f"{self.folder / row['path']}: {error}") from None
        if rate != audio.SAMPLE_RATE:
            raise DataError(f"{self.folder / row['path']}: {rate} Hz, expected {audio.SAMPLE_RATE}")
        notes = tuple(self._notes.loc[self._notes["name"] == name, "note"])
        return Sound(Path(row["source"]).name, pcm, int(row["source_rate"]), notes)

    def lines(self, name: str) -> list[Line]:
        """What was said in a recording, as far as a transcript is known."""
        if self._lines is None:
            return []
        own = self._lines[self._lines["name"] == name]
        return [Line(row.start, row.end, row.text) for row in own.itertuples()]

    def emotions(self, name: str) -> pd.DataFrame | None:
        """What was felt in a recording, by :data:`emodag.calls.contracts.EMOTIONS`, where that is known."""
        if self._emotions is None or name not in set(self._emotions["name"]):
            return None
        return self._emotions[self._emotions["name"] == name]

    @cached_property
    def references(self) -> dict:
        """Who speaks when, by recording, as far as that is known: pyannote's ``Annotation``."""
        place = self.folder / contracts.REFERENCE_FILE
        return references.references([place]) if place.is_file() else {}

    @cached_property
    def scopes(self) -> dict:
        """What of a recording is scored, where not all is: pyannote's ``Timeline``, by recording."""
        place = self.folder / contracts.SCOPE_FILE
        return references.scopes([place]) if place.is_file() else {}

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return self.recordings.set_index("name")

    @cached_property
    def _notes(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "notes.csv", dtype=str)

    @cached_property
    def _lines(self) -> pd.DataFrame | None:
        place = self.folder / contracts.LINES_FILE
        return schema.read(place, contracts.LINES) if place.is_file() else None

    @cached_property
    def _emotions(self) -> pd.DataFrame | None:
        place = self.folder / contracts.EMOTIONS_FILE
        return schema.read(place, contracts.EMOTIONS) if place.is_file() else None


def turn_rows(name: str, voices: Voices) -> Iterator[tuple]:
    """Who speaks when in a recording, as rows by :data:`emodag.calls.contracts.TURNS`; times to the microsecond."""
    for segment, _, speaker in voices.annotation.itertracks(yield_label=True):
        yield name, round(segment.start, 6), round(segment.end, 6), str(speaker), voices.channels.get(speaker)


def voices_of(sound: Sound, turns: pd.DataFrame) -> Voices:
    """A recording with who speaks when, of its rows by :data:`emodag.calls.contracts.TURNS`."""
    channels = channels_of(turns)
    return Voices(annotation_of(turns), sound if channels else sound.mixed(), channels)


def annotation_of(turns: pd.DataFrame) -> Annotation:
    """Who speaks when in a recording, of its rows by :data:`emodag.calls.contracts.TURNS`."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for track, turn in enumerate(turns.itertuples()):
        annotation[Segment(turn.start, turn.end), track] = turn.speaker
    return annotation


def channels_of(turns: pd.DataFrame) -> dict[str, int]:
    """The channel of each speaker of a recording, of its rows likewise; empty where all share one."""
    apart = turns.dropna(subset="channel")
    return {speaker: int(channel) for speaker, channel in zip(apart["speaker"], apart["channel"], strict=True)}
