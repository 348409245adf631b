"""A whole corpus of clips: the same diarizer over each, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pyannote.core import Annotation, Segment

from emodag import audio, schema
from emodag.diarization.base import shared, speaker_name
from emodag.diarization.turns import to_turns, write_rttm
from emodag.errors import DataError
from emodag.parallel import parallel_map
from emodag.params import Diarize


@dataclass(frozen=True)
class DiarizedCorpus:
    """What was found in a corpus: ``speech`` is the time (s) when anyone speaks, ``overlap`` when several do."""

    turns: pd.DataFrame
    clips: int
    duration: float
    speech: float
    overlap: float
    speakers_per_clip: float
    without_speech: list[str]

    def summary(self) -> str:
        """Lines for people: counts, and each clip in which no speech was found."""
        lines = [
            f"{len(self.turns)} turns in {self.clips} clips: "
            f"{self.speech:.1f} of {self.duration:.1f} s are speech ({self.speech / self.duration:.0%})"
        ]
        if self.without_speech:
            lines.append(
                f"no speech was found in {len(self.without_speech)}, kept whole: {', '.join(self.without_speech)}"
            )
        return "\n".join(lines)


def diarize_corpus(manifest: pd.DataFrame, folder: Path, out: Path, settings: Diarize, *, jobs: int) -> DiarizedCorpus:
    """Diarize the clips of a manifest; write ``turns.parquet``, ``turns.rttm`` and ``without_speech.txt`` to ``out``.

    No clip is left without a turn: one in which no speech is found gets a single turn from end to end, so that later
    stages have something to work on, and stands in ``without_speech.txt``.

    Args:
        manifest: by ``schema.MANIFEST``, paths relative to ``folder``. Turns come in its order, then by start.

    Raises:
        DataError: the manifest holds no clip.
        AudioError: a clip is missing or is not in the pipeline's form.
        DiarizationError: a pretrained pipeline cannot be had.
    """
    if manifest.empty:
        raise DataError(f"{folder}: its manifest holds no clip, so there is nothing to diarize")
    clips = list(zip(manifest["clip_id"], manifest["path"], strict=True))
    job = partial(_diarize_clip, settings, folder)
    annotations, tables, without_speech = [], [], []
    speech = overlap = 0.0
    for annotation in parallel_map(job, clips, jobs=jobs, description="diarize"):
        if annotation:
            speech += annotation.get_timeline().support().duration()
            overlap += annotation.get_overlap().duration()
        else:
            without_speech.append(annotation.uri)
            duration = manifest["duration"].iloc[len(annotations)]
            annotation[Segment(0, duration)] = speaker_name(0)
        annotations.append(annotation)
        tables.append(to_turns(annotation, annotation.uri))
    turns = pd.concat(tables, ignore_index=True)
    schema.write(turns, schema.TURNS, out / "turns.parquet")
    write_rttm(out / "turns.rttm", annotations)
    (out / "without_speech.txt").write_text("".join(f"{clip_id}\n" for clip_id in without_speech), encoding="utf-8")
    return DiarizedCorpus(
        turns=turns,
        clips=len(manifest),
        duration=float(manifest["duration"].sum()),
        speech=speech,
        overlap=overlap,
        speakers_per_clip=float(np.mean([len(annotation.labels()) for annotation in annotations])),
        without_speech=without_speech,
    )


def _diarize_clip(settings: Diarize, folder: Path, clip: tuple[str, str]) -> Annotation:
    clip_id, path = clip
    return shared(settings).diarize(audio.load(folder / path), uri=clip_id)
