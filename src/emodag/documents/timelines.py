"""A timeline in the forms that people keep: JSON, CSV, RTTM, a page and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.conversation import tables
from emodag.conversation.timeline import Timeline
from emodag.files import atomic_file

#: The forms, by the suffix that files of theirs have.
FORMS = (".json", ".csv", ".rttm", ".html", ".png")


def as_text(timeline: Timeline, form: str) -> str:
    """A timeline as ``.json`` or ``.csv``."""
    if form == ".csv":
        return tables.as_csv(timeline)
    return json.dumps(tables.described(timeline), indent=2, ensure_ascii=False) + "\n"


def write(timeline: Timeline, pcm: np.ndarray, form: str, place: Path) -> None:
    """Write a timeline in one of :data:`FORMS`, atomically.

    Args:
        timeline: of a recording.
        pcm: the recording at 16 kHz, int16 [samples, channels], which the page plays.
        form: one of them.
        place: the file, whatever its suffix.
    """
    match form:
        case ".html":
            from emodag.documents import conversation

            conversation.write(timeline, pcm, SAMPLE_RATE, place)
        case ".png":
            from emodag.plots.base import save
            from emodag.plots.timeline import timeline_figure

            with atomic_file(place) as partial:
                save(timeline_figure(timeline), partial)
        case ".rttm":
            from emodag.diarization.turns import write_rttm

            write_rttm(place, [tables.speakers_of(timeline)])
        case _:
            with atomic_file(place) as partial:
                partial.write_text(as_text(timeline, form), encoding="utf-8")
