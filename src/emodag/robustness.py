"""What noise, rooms, telephones and levels do to a model: the sound of tested clips is spoilt and predicted once more.

The same clips are predicted under every condition, each by the model that did not learn from its speaker. All
conditions go the whole way from the audio on, the clean one too. Where a clip's speech lies is found before it is
spoilt; a recording whose speech must first be found in the noise can do worse than shown here.

Spoilt sound is what :mod:`emodag.augmentation` makes of it, as 16 bits at 16 kHz. What noise and rooms push beyond full
scale is turned down to it; what gain pushes beyond is cut off, as by an input that is driven too hard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from emodag import audio
from emodag.adaptation import groups_of
from emodag.augmentation import augment
from emodag.augmentation.recordings import Recordings
from emodag.augmentation.transforms import applies, apply, draw
from emodag.bundle import Bundle
from emodag.evaluation import confusion_matrix, percentiles, resample, unweighted_average_recall
from emodag.features.corpus import Located, located
from emodag.featurizer import Spoken
from emodag.parallel import parallel_map
from emodag.params import Encoder, Evaluate, Gain, Noise, Params, Reverb, Telephone, Transform
from emodag.params import Robustness as Settings
from emodag.predict import decisions
from emodag.recognition import Recogniser
from emodag.speech import Speech, joined

if TYPE_CHECKING:
    from emodag.reports import Report

CLEAN = "clean"

#: How many clips stand for a voice where models adapt to speakers, as far as it has them: of fewer, the adaptation
#: itself would be what fails; of more, there would be too few voices for an interval.
_CLIPS_OF_VOICE = 10


class Condition(NamedTuple):
    """One way to spoil sound."""

    name: str
    label: str  #: for people
    transform: Transform | None  #: nothing leaves the sound as it is


@dataclass(frozen=True)
class Spoilt:
    """UAR under one condition, beside that of the same clips as they are."""

    condition: str
    label: str
    uar: float
    interval: tuple[float, float]
    drop: float  #: clean UAR less this one
    drop_interval: tuple[float, float]  #: paired: both of the same resampled speakers


@dataclass(frozen=True)
class Robustness:
    """What each condition does to a corpus; the first is :data:`CLEAN`."""

    clips: int
    speakers: int
    conditions: tuple[Spoilt, ...]


def conditions(settings: Settings) -> list[Condition]:
    """The clean condition, and those that the params ask for."""
    found = [Condition(CLEAN, "clean", None)]
    for snr in settings.noise:
        noise = Noise(kind="noise", p=1.0, source="white", min_snr=snr, max_snr=snr)
        found.append(Condition(f"noise_{snr:g}", f"white noise at {snr:g} dB", noise))
    for rt60 in settings.reverb:
        reverb = Reverb(kind="reverb", p=1.0, source="room", min_rt60=rt60, max_rt60=rt60)
        found.append(Condition(f"reverb_{rt60:g}", f"room of {rt60:g} s RT60", reverb))
    if settings.telephone:
        found.append(Condition("telephone", "telephone", Telephone(kind="telephone", p=1.0)))
    for db in settings.gain:
        found.append(Condition(f"gain_{db:g}", f"gain of {db:+g} dB", Gain(kind="gain", p=1.0, min_db=db, max_db=db)))
    return found


def with_robustness(report: Report, index: pd.DataFrame, models: Mapping[int, Bundle], params: Params) -> Report:
    """A corpus's report with what spoilt sound does to the models; as it is where that cannot or shall not be known.

    Args:
        report: of one corpus.
        index: of its clips at least.
        models: those of the folds that tested its clips, by number; the one that ships is 0.
        params: of the run.
    """
    if params.evaluate.robustness.clips == 0:
        return report
    if not models:
        print(f"{report.corpus}: train.keep_folds is false, so robustness is not measured")
        return report
    found = robustness_of(
        report.predictions,
        report.scores.classes,
        index,
        models,
        params.evaluate,
        params.featurize.encoder,
        seed=params.seed,
        jobs=params.compute.jobs,
    )
    return replace(report, robustness=found)


def robustness_of(
    predictions: pd.DataFrame,
    classes: tuple[str, ...],
    index: pd.DataFrame,
    models: Mapping[int, Bundle],
    settings: Evaluate,
    encoder: Encoder,
    *,
    seed: int,
    jobs: int = 0,
) -> Robustness:
    """UAR of one corpus under every condition.

    Args:
        predictions: the clips that were scored, by :func:`emodag.schema.predictions` over ``classes``.
        classes: over which they were.
        index: of these clips at least, by :data:`emodag.schema.INDEX`.
        models: the model of each fold; that of 0 ships.
        settings: the section ``evaluate`` of the params.
        encoder: where the pretrained encoder lies, if the models see embeddings.
        seed: of the choice of clips and of what spoils them.
        jobs: processes.

    Raises:
        DataError: the corpus's audio or turns are missing, or lack a clip.
    """
    clips = settings.robustness.clips
    adapts = next(iter(models.values())).adapter.settings.by == "speaker"
    some = choose(predictions, clips, seed, speakers=max(2, clips // _CLIPS_OF_VOICE) if adapts else None)
    index = index.set_index("clip_id", drop=False).loc[some["clip_id"]].reset_index(drop=True)
    spoilt = conditions(settings.robustness)
    probabilities = predict_spoilt(some, index, models, spoilt, encoder, seed=seed, jobs=jobs)
    known = next(iter(models.values())).classes
    probabilities = probabilities[:, :, [known.index(emotion) for emotion in classes]]
    truth, _ = decisions(some, classes)
    predicted = probabilities.argmax(axis=2)

    speakers = some["speaker"].nunique()
    drawn = resample(some["speaker"].to_numpy(), resamples=settings.resamples, seed=seed)
    uars = [drawn.uar(truth, each, len(classes)) for each in predicted]
    points = [unweighted_average_recall(confusion_matrix(truth, each, len(classes))) for each in predicted]
    return Robustness(
        clips=len(some),
        speakers=speakers,
        conditions=tuple(
            Spoilt(
                condition=condition.name,
                label=condition.label,
                uar=point,
                interval=percentiles(of_condition, settings.confidence),
                drop=points[0] - point,
                drop_interval=percentiles(
                    uars[0] - of_condition, settings.confidence, units=speakers if speakers > 1 else None
                ),
            )
            for condition, point, of_condition in zip(spoilt, points, uars, strict=True)
        ),
    )


def choose(predictions: pd.DataFrame, clips: int, seed: int, speakers: int | None = None) -> pd.DataFrame:
    """Some of the clips: as many of each emotion as there are, and of each its speakers in turn.

    Args:
        predictions: the clips, in any order; where models of several seeds predicted them, the rows of the first seed
            are taken.
        clips: how many are taken at most.
        seed: of the choice.
        speakers: of so many speakers at most; of all without it.
    """
    table = predictions[predictions["seed"] == predictions["seed"].min()].sort_values("clip_id", ignore_index=True)
    generator = np.random.default_rng([seed, len(table)])
    voices = generator.permutation(np.unique(table["speaker"]))[:speakers]
    table = table[table["speaker"].isin(voices)]
    table = table.iloc[generator.permutation(len(table))]
    turn = table.groupby(["emotion", "speaker"]).cumcount()
    table = table.iloc[np.argsort(turn.to_numpy(), kind="stable")]
    of_emotion = table.groupby("emotion").cumcount().to_numpy()
    chosen = table.iloc[np.argsort(of_emotion, kind="stable")[:clips]]
    return chosen.sort_values("clip_id", ignore_index=True)


def predict_spoilt(
    clips: pd.DataFrame,
    index: pd.DataFrame,
    models: Mapping[int, Bundle],
    spoilt: Sequence[Condition],
    encoder: Encoder,
    *,
    seed: int,
    jobs: int = 0,
) -> np.ndarray:
    """Probabilities of clips under each condition, float32 [conditions, clips, classes of the models].

    The clips of a condition are adapted together, those of each fold apart. Only these clips stand for their voices.

    Args:
        clips: with the columns ``clip_id`` and ``fold``.
        index: of just these clips, in their order.
        models: the model of each fold.
        spoilt: the conditions.
        encoder: where the pretrained encoder lies, if the models see embeddings.
        seed: of what spoils the clips.
        jobs: processes.
    """
    model = next(iter(models.values()))
    # A model that has predicted holds a session, which no worker can be sent; what it sees needs none.
    recogniser = Recogniser(replace(model, onnx=b""), encoder)
    hear = partial(_hear, recogniser=recogniser, spoilt=spoilt, seed=seed)
    heard = located(index, trim=recogniser.featurize.trim)
    speech = joined(list(parallel_map(hear, heard, jobs=jobs, description="robustness")))
    probabilities = np.empty((len(spoilt), len(clips), len(model.classes)), np.float32)
    for fold, rows in clips.groupby("fold").indices.items():
        groups = groups_of(index.iloc[rows], models[fold].adapter.settings)
        for number in range(len(spoilt)):
            of_condition = speech.of(rows * len(spoilt) + number)
            probabilities[number, rows] = models[fold].predict_proba(of_condition, groups)
    return probabilities


def spoil(samples: np.ndarray, transform: Transform | None, clip_id: str, seed: int) -> np.ndarray:
    """The sound of a clip under a condition, float32 [samples]; the same for the same clip and seed.

    Of one kind of transform, a clip draws the same noise and the same room, however strong that is.
    """
    if transform is None or not applies(transform, samples):
        return samples
    digest = hashlib.md5(f"{transform.kind} {clip_id}".encode(), usedforsecurity=False).digest()
    generator = np.random.default_rng([seed, int.from_bytes(digest, "big")])
    if transform.kind == "gain":
        # Not by `augment`, which would turn it down again.
        variant = apply(draw(transform, samples, generator, Recordings()), samples, Recordings())
    else:
        variant, _ = augment(samples, [transform], generator)
    return audio.as_kept(variant)


def _hear(clip: Located, *, recogniser: Recogniser, spoilt: Sequence[Condition], seed: int) -> Speech:
    """What the models see of one clip, a row for each condition."""
    clip_id, where = clip
    samples = audio.load(where.path)
    return recogniser.speech(
        [
            Spoken.cut_from(spoil(samples, condition.transform, clip_id, seed), where.span, where.turns)
            for condition in spoilt
        ]
    )
