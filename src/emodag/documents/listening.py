"""The clips that a model got most confidently wrong, to be listened to: they teach more than a score does."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from emodag import layout, schema
from emodag.documents.page import Example
from emodag.evaluation import tempered

#: Of longer clips only so much is put into the page; s.
LONGEST = 10.0


def confident_mistakes(predictions: pd.DataFrame, classes: tuple[str, ...], count: int) -> pd.DataFrame:
    """The wrongly recognised clips of which the model was surest, surest first.

    Args:
        predictions: of one corpus, by :func:`emodag.schema.predictions`. Where several seeds predicted a clip, the mean
            of their calibrated probabilities counts.
        classes: the columns of probabilities.
        count: at most so many are returned.

    Returns:
        ``clip_id``, ``speaker``, ``emotion``, ``predicted``, and the calibrated probabilities ``probability`` of what
        was predicted and ``of_spoken`` of what was spoken.
    """
    calibrated = tempered(predictions[list(classes)].to_numpy(), predictions["temperature"].to_numpy())
    rows = pd.DataFrame(calibrated, columns=list(classes)).assign(
        **{key: predictions[key].to_numpy() for key in ("clip_id", "speaker", "emotion")}
    )
    clips = rows.groupby(["clip_id", "speaker", "emotion"], sort=True).mean().reset_index()
    values = clips[list(classes)].to_numpy()
    spoken = clips["emotion"].map({emotion: number for number, emotion in enumerate(classes)}).to_numpy()
    table = clips[["clip_id", "speaker", "emotion"]].assign(
        predicted=np.array(classes)[values.argmax(axis=1)],
        probability=values.max(axis=1),
        of_spoken=values[np.arange(len(values)), spoken],
    )
    wrong = table[table["predicted"] != table["emotion"]]
    return wrong.sort_values(["probability", "clip_id"], ascending=[False, True]).head(count).reset_index(drop=True)


def examples(corpus: str, mistakes: pd.DataFrame) -> tuple[Example, ...]:
    """The clips of :func:`confident_mistakes` with their sound, as the organize stage keeps it.

    Raises:
        DataError: the corpus's manifest is missing or broken.
    """
    folder = layout.organized(corpus)
    manifest = schema.read(folder / "manifest.parquet", schema.MANIFEST).set_index("clip_id")
    return tuple(
        Example(
            clip=row.clip_id,
            speaker=row.speaker,
            spoken=row.emotion,
            predicted=row.predicted,
            probability=row.probability,
            of_spoken=row.of_spoken,
            audio=_sound(folder / manifest.loc[row.clip_id, "path"]),
            note=f"the first {LONGEST:g} s" if manifest.loc[row.clip_id, "duration"] > LONGEST else "",
        )
        for row in mistakes.itertuples()
    )


def _sound(path: Path) -> bytes:
    """A FLAC as it is, or the beginning of a long one."""
    with soundfile.SoundFile(path) as file:
        if file.frames <= LONGEST * file.samplerate:
            return path.read_bytes()
        rate = file.samplerate
        samples = file.read(int(LONGEST * rate), dtype="int16")
    content = BytesIO()
    soundfile.write(content, samples, rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()
