"""Who speaks when in each recording of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from emodag import schema
from emodag.calls import contracts
from emodag.calls.store import Calls, turn_rows
from emodag.conversation.voices import Voices, summary, voices
from emodag.diarization.base import for_conversations
from emodag.diarization.turns import write_rttm
from emodag.parallel import parallel_map
from emodag.params import Diarize


@dataclass(frozen=True)
class DiarizedCalls:
    """What was found, recording by recording: what :func:`emodag.conversation.voices.summary` says of each."""

    found: dict[str, dict[str, Any]]

    def total(self, key: str) -> float:
        """Seconds of ``duration``, ``speech`` or ``overlap`` of all recordings."""
        return sum(each[key] for each in self.found.values())

    @property
    def speakers(self) -> float:
        """How many a recording has in the mean."""
        return sum(len(each["speakers"]) for each in self.found.values()) / len(self.found)

    def summary(self) -> str:
        """Lines for people."""
        lines = [
            f"{len(self.found)} recordings, {self.total('duration') / 60:.1f} min: {self.total('speech') / 60:.1f} min "
            f"of speech, {self.speakers:.1f} speakers each"
        ]
        for name, each in self.found.items():
            parts = ", ".join(f"{speaker} {seconds:.0f} s" for speaker, seconds in each["speakers"].items())
            lines.append(f"  {name}: {'; '.join([parts, *each['notes']] if parts else each['notes'])}")
        return "\n".join(lines)


def diarize_calls(
    organized: Path, out: Path, settings: Diarize, speakers: int | None, *, jobs: int = 0
) -> DiarizedCalls:
    """Write ``turns.parquet`` by :data:`emodag.calls.contracts.TURNS`, and ``turns.rttm``.

    Args:
        organized: by :func:`emodag.calls.organization.organize_calls`.
        out: an empty folder.
        settings: the section ``diarize`` of the params.
        speakers: in each recording; None to find out.
        jobs: processes; 0 for one per core.

    Raises:
        DiarizationError: a pretrained pipeline cannot be had.
    """
    calls = Calls(organized)
    hear = partial(_heard, calls=calls, settings=settings, speakers=speakers)
    rows, annotations, found = [], [], {}
    # A recording is minutes of work: none waits behind another.
    for name, heard in zip(
        calls.names, parallel_map(hear, calls.names, jobs=jobs, description="diarize", batch=1), strict=True
    ):
        rows += heard.rows
        annotations.append(heard.annotation)
        found[name] = heard.summary
    table = pd.DataFrame(rows, columns=list(contracts.TURNS.columns))
    schema.write(table.sort_values(["name", "start", "end", "speaker"]), contracts.TURNS, out / "turns.parquet")
    write_rttm(out / "turns.rttm", annotations)
    return DiarizedCalls(found)


@dataclass(frozen=True)
class _Heard:
    rows: list[tuple]
    annotation: Any
    summary: dict[str, Any]


def _heard(name: str, *, calls: Calls, settings: Diarize, speakers: int | None) -> _Heard:
    heard: Voices = voices(calls.sound(name), for_conversations(settings), speakers)
    heard.annotation.uri = name
    return _Heard(list(turn_rows(name, heard)), heard.annotation, summary(heard))
