"""How far a diarization is from the truth.

The diarization error rate (NIST 2009) is the time that is wrong, over the time that speakers speak: missed speech,
false alarm and confusion of speakers, each speaker of overlapping speech counted. The Jaccard error rate (DIHARD II,
Ryant et al. 2019) is one less the mean over reference speakers of the intersection over the union of their own speech
and that of the speaker found for them, so that who says little weighs as much. Both are pyannote.metrics'.

A collar leaves out the time around each reference boundary, where people who mark speech by hand disagree. It is given
here as what is left out on *each side*; pyannote.metrics' own argument is both sides together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emodag.errors import DataError

if TYPE_CHECKING:
    from pyannote.core import Annotation, Timeline


@dataclass(frozen=True)
class Errors:
    """How one recording was diarized. Times are in seconds, of speech: two who speak at once count twice."""

    uri: str
    speech: float  #: in the reference, within what is scored
    false_alarm: float
    miss: float
    confusion: float
    jaccard: float  #: Jaccard error rate, 0 to 1
    reference_speakers: int
    found_speakers: int

    @property
    def rate(self) -> float:
        """Diarization error rate, which may exceed 1; where nobody speaks, 1 with false alarm and 0 without."""
        return _rate(self.false_alarm + self.miss + self.confusion, self.speech)

    @property
    def speaker_count_error(self) -> int:
        """Speakers found, less those there are."""
        return self.found_speakers - self.reference_speakers

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON and tables; the parts of the error rate are shares of the reference's speech."""
        return {
            "uri": self.uri,
            "speech": self.speech,
            "der": self.rate,
            "false_alarm": _rate(self.false_alarm, self.speech),
            "miss": _rate(self.miss, self.speech),
            "confusion": _rate(self.confusion, self.speech),
            "jer": self.jaccard,
            "reference_speakers": self.reference_speakers,
            "found_speakers": self.found_speakers,
            "speaker_count_error": self.speaker_count_error,
        }


def evaluate(reference: Annotation, found: Annotation, *, collar: float = 0.0, uem: Timeline | None = None) -> Errors:
    """Score one recording.

    Args:
        reference: who speaks when, in truth.
        found: who speaks when, as diarized; its labels need not be those of the reference.
        collar: seconds on each side of every reference boundary that are not scored.
        uem: what of the recording is scored; None for everything from the first to the last turn of either.

    Raises:
        DataError: the collar is negative.
    """
    from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

    if collar < 0:
        raise DataError(f"{reference.uri}: a collar of {collar} s: expected 0 or more")
    if uem is None:
        uem = _extent(reference, found)
    # `support` joins what one speaker's turns cover twice: speech is not counted twice for one voice.
    reference, found = reference.support(), found.support()
    parts = DiarizationErrorRate(collar=2 * collar)(reference, found, uem=uem, detailed=True)
    jaccard = JaccardErrorRate(collar=2 * collar)(reference, found, uem=uem)
    return Errors(
        uri=str(reference.uri),
        speech=float(parts["total"]),
        false_alarm=float(parts["false alarm"]),
        miss=float(parts["missed detection"]),
        confusion=float(parts["confusion"]),
        jaccard=float(jaccard),
        reference_speakers=len(reference.crop(uem).labels()),
        found_speakers=len(found.crop(uem).labels()),
    )


def overall(errors: Iterable[Errors]) -> dict[str, Any]:
    """All recordings together: rates of the summed times; mean Jaccard error rate; how often the count is right.

    Raises:
        DataError: there is no recording.
    """
    errors = list(errors)
    if not errors:
        raise DataError("no recording to sum up: a folder with references that match recordings is needed")
    speech = sum(each.speech for each in errors)
    false_alarm, miss, confusion = (
        sum(getattr(each, part) for each in errors) for part in ("false_alarm", "miss", "confusion")
    )
    return {
        "recordings": len(errors),
        "speech": speech,
        "der": _rate(false_alarm + miss + confusion, speech),
        "false_alarm": _rate(false_alarm, speech),
        "miss": _rate(miss, speech),
        "confusion": _rate(confusion, speech),
        "jer": float(np.mean([each.jaccard for each in errors])),
        "speaker_count_error": float(np.mean([abs(each.speaker_count_error) for each in errors])),
        "speaker_count_right": float(np.mean([each.speaker_count_error == 0 for each in errors])),
    }


def read_rttm(path: str | Path) -> dict[str, Annotation]:
    """The turns of an RTTM file by the recording's uri, as :func:`~emodag.diarization.turns.rttm_uri` encoded it.

    Raises:
        DataError: the file cannot be read, or a line of it is no turn.
    """
    from urllib.parse import unquote

    from pyannote.core import Annotation, Segment

    found: dict[str, Annotation] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as RTTM: {error}") from None
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue  # comments, and RTTM's lines about words and speakers
        try:
            uri, start, duration, speaker = unquote(fields[1]), float(fields[3]), float(fields[4]), unquote(fields[7])
        except (IndexError, ValueError):
            raise DataError(
                f"{path}, line {number}: {line!r}: expected SPEAKER uri channel start duration <NA> <NA> speaker"
            ) from None
        if not (np.isfinite([start, duration]).all() and duration >= 0):
            raise DataError(f"{path}, line {number}: a turn from {start} s for {duration} s")
        annotation = found.setdefault(uri, Annotation(uri=uri))
        segment = Segment(start, start + duration)
        if segment:
            annotation[segment, annotation.new_track(segment)] = speaker
    return found


def _extent(*annotations: Annotation) -> Timeline:
    from pyannote.core import Timeline

    extents = Timeline([annotation.get_timeline().extent() for annotation in annotations if annotation])
    return Timeline([extents.extent()] if extents else [])


def _rate(time: float, speech: float) -> float:
    if speech > 0:
        return float(time / speech)
    return 0.0 if time == 0 else 1.0
