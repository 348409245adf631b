"""Variants of every clip of a corpus, with their own manifest and turns."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from emodag import audio, schema
from emodag.augmentation.chain import augment, carry
from emodag.augmentation.recordings import Recordings
from emodag.parallel import parallel_map
from emodag.params import Augment


def augment_corpus(
    manifest: pd.DataFrame,
    turns: pd.DataFrame,
    organized: Path,
    out: Path,
    settings: Augment,
    *,
    seed: int,
    jobs: int = 0,
    description: str = "augment",
) -> pd.DataFrame:
    """Write ``settings.copies`` variants of each clip: ``clips/``, ``manifest.parquet`` and ``turns.parquet``.

    A copy of ``C/x`` is called ``C/x~aug1`` and so on. What it draws depends on the seed, its parent's id and its
    number alone. Its turns are its parent's, moved along with the audio.

    Args:
        manifest: the clips by :data:`emodag.schema.MANIFEST`; empty, or ``copies`` of 0, gives empty tables.
        turns: of these clips, by :data:`emodag.schema.TURNS`.
        organized: the folder that the manifest's paths are relative to.
        out: the folder to write to.
        settings: how many copies, by which chain, and where the recordings lie that it draws from.
        seed: of every draw.
        jobs: processes; 0 for one per core.
        description: for the progress bar.

    Returns:
        The copies' manifest.

    Raises:
        ParamsError: recordings that the chain draws from are missing or cannot be used; nothing is written.
    """
    parents = manifest.to_dict("records")
    turns_of = {clip_id: group.to_dict("records") for clip_id, group in turns.groupby("clip_id")}
    tasks = [
        (parent, number, turns_of.get(parent["clip_id"], []))
        for parent in parents
        for number in range(1, settings.copies + 1)
    ]
    recordings = Recordings.of(settings.chain if tasks else (), Path(settings.recordings))
    for emotion in sorted(set(manifest["emotion"])) if tasks else ():
        (out / "clips" / emotion).mkdir(parents=True)
    make = partial(_copy, organized=organized, out=out, settings=settings, seed=seed, recordings=recordings)
    made = list(parallel_map(make, tasks, jobs=jobs, description=description))
    copies = pd.DataFrame([copy for copy, _ in made], columns=list(schema.MANIFEST.columns))
    carried = pd.DataFrame([turn for _, moved in made for turn in moved], columns=list(schema.TURNS.columns))
    schema.write(copies, schema.MANIFEST, out / "manifest.parquet")
    schema.write(carried, schema.TURNS, out / "turns.parquet")
    return copies


def _copy(
    task: tuple[dict[str, Any], int, list[dict[str, Any]]],
    *,
    organized: Path,
    out: Path,
    settings: Augment,
    seed: int,
    recordings: Recordings,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write one copy; its row of the manifest and its turns."""
    parent, number, turns = task
    clip_id = f"{parent['clip_id']}~aug{number}"
    digest = hashlib.md5(clip_id.encode(), usedforsecurity=False).digest()
    generator = np.random.default_rng([seed, int.from_bytes(digest, "big")])
    variant, drawn = augment(audio.load(organized / parent["path"]), settings.chain, generator, recordings)
    pcm = audio.to_pcm16(variant)
    path = PurePosixPath(parent["path"]).with_name(f"{PurePosixPath(parent['path']).stem}~aug{number}.flac")
    audio.write_flac(out / path, pcm)
    row = parent | {
        "clip_id": clip_id,
        "path": str(path),
        "duration": len(pcm) / audio.SAMPLE_RATE,
        "md5": audio.md5(pcm),
        "parent_id": parent["clip_id"],
        "augmentation": json.dumps(drawn),
    }
    moved = []
    for turn in turns:
        for start, end in carry([(turn["start"], turn["end"])], drawn, parent["duration"]):
            moved.append(turn | {"clip_id": clip_id, "start": start, "end": min(end, row["duration"])})
    return row, [turn for turn in moved if turn["end"] > turn["start"]]
