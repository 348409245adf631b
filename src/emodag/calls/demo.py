"""The embedded demo conversations: clips of a demo corpus put together, with turns and emotions known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from emodag import audio, corpora
from emodag.calls.contracts import TOLD_EMOTIONS
from emodag.conversation.simulation import Conversation, Utterance, simulate
from emodag.corpora import files_in
from emodag.diarization.turns import write_rttm
from emodag.params import Simulate

#: The corpus whose voices speak: one that the demo model is not trained on.
CORPUS = "demo_de"


def simulate_calls(raw: Path, out: Path, settings: Simulate) -> list[Conversation]:
    """Write ``call_01.flac``, ``call_01.rttm`` and so on, and ``emotions.csv``, as a user's folder may hold them.

    Args:
        raw: the files of :data:`CORPUS`.
        out: an empty folder.
        settings: the section ``simulate`` of the params.
    """
    clips = utterances(raw)
    made, tables = [], []
    for number in range(1, settings.conversations + 1):
        talk = simulate(clips, settings.conversation, settings.seed + number, f"call_{number:02d}")
        audio.write_flac(out / f"{talk.name}.flac", audio.to_pcm16(talk.samples))
        write_rttm(out / f"{talk.name}.rttm", [talk.annotation()])
        tables.append(talk.turns.assign(name=talk.name))
        made.append(talk)
    columns = ["name", "start", "end", "speaker", "emotion"]
    told = pd.concat(tables, ignore_index=True)[columns]
    told.to_csv(out / TOLD_EMOTIONS, index=False, float_format="%.6f")
    return made


def utterances(raw: Path) -> list[Utterance]:
    """The clips of the demo corpus in a raw folder."""
    parse = corpora.get(CORPUS).parser(raw)
    clips = []
    for path in files_in(raw):
        clip = parse(path)
        recording = audio.read(raw / path)
        samples = audio.resample(recording.samples, recording.rate)
        clips.append(Utterance(clip.speaker, clip.emotion, clip.stem, samples))
    return clips
