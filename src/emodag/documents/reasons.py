"""Why a model took clips for what they are not: its surest mistakes, explained by the model that made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from emodag import audio
from emodag.adaptation import voices_of
from emodag.background import Background
from emodag.bundle import Bundle
from emodag.datasets import Dataset
from emodag.documents.listening import confident_mistakes
from emodag.explanation import Explanation, explain_speech
from emodag.features.corpus import located
from emodag.featurizer import Spoken
from emodag.params import Params
from emodag.recognition import Recogniser
from emodag.reports import Report
from emodag.speech import Speech, gathered


class Reason(NamedTuple):
    """A mistake, and what it rests on."""

    clip_id: str
    spoken: str  #: the emotion
    explanation: Explanation  #: of what was recognised instead


def reasons(
    report: Report, data: Dataset, models: Mapping[int, Bundle], background: Background, params: Params
) -> list[Reason]:
    """Explain the surest mistakes in a corpus, each by the model that made it; none where that was not kept.

    Args:
        report: of the corpus.
        data: its clips at least.
        models: those of the folds that tested them, by number; the one that ships is 0.
        background: of the one that ships.
        params: of the run.

    Raises:
        DataError: the corpus's audio or turns are missing, or lack a clip.
        ParamsError: the encoder that a model sees is missing or cannot be used.
    """
    classes, count = report.scores.classes, min(params.evaluate.explanations, params.evaluate.examples)
    if not (models and count):
        return []
    data = data.originals()
    tested = report.predictions.groupby("clip_id")["fold"].first()
    index = data.index.set_index("clip_id", drop=False)
    mistakes = confident_mistakes(report.predictions, classes, count).set_index("clip_id")
    found = []
    for clip_id, clip in located(index.loc[mistakes.index], trim=params.featurize.trim):
        model, mistake = models[tested[clip_id]], mistakes.loc[clip_id]
        told = explain_speech(
            Recogniser(model, params.featurize.encoder),
            background,
            Spoken.cut_from(audio.load(clip.path), clip.span, clip.turns),
            emotion=mistake["predicted"],
            beside=_beside(clip_id, tested, data) if model.adapter.settings.by == "speaker" else None,
        )
        found.append(Reason(clip_id, mistake["emotion"], told))
    return found


def _beside(clip_id: str, tested: pd.Series, data: Dataset) -> Speech | None:
    """The other clips of its voice, of its fold if it was tested in one, by which its model adapted to that voice."""
    ids, fold = data.index["clip_id"].to_numpy(), tested[clip_id]
    voices = voices_of(data.index)
    others = (voices == voices[ids == clip_id]) & (ids != clip_id)
    # A corpus that is only tested is adapted to whole, clips of emotions that the model does not know included.
    known = others if fold == 0 else others & (tested.reindex(ids).to_numpy() == fold)
    return gathered(data.speech.of(np.flatnonzero(known))) if known.any() else None
