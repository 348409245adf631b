"""Adaptation: whose statistics count, how few clips are treated, and that training and the bundle do the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import audio, bundle, training
from emodag import params as parameters
from emodag.adaptation import (
    UNKNOWN,
    Adapter,
    FrameNormaliser,
    Groups,
    Normaliser,
    OwnFrames,
    by_own_frames,
    each_alone,
    groups_of,
)
from emodag.corpora.folder import UNKNOWN_SPEAKER
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.features import extraction, prosody
from emodag.features import functionals as statistics
from emodag.features.encoders import EncoderFacts
from emodag.params import Adaptation
from emodag.predict import predict
from emodag.speech import Sequences, sequences_of
from emodag.splits import split

ROOT = Path(__file__).resolve().parents[1]
BY = ["none", "recording", "speaker"]


def adaptation(by: str = "speaker", prior: float = 2.0) -> Adaptation:
    return Adaptation(by=by, prior=prior)


@pytest.fixture
def params():
    loaded = parameters.load(ROOT / "params.yaml")
    mlp = loaded.models.mlp.model_copy(update={"hidden": [16], "alpha": 0.01, "max_epochs": 15, "batch_size": 32})
    return loaded.model_copy(
        update={
            "models": loaded.models.model_copy(update={"mlp": mlp}),
            "train": loaded.train.model_copy(update={"folds": 3}),
            "compute": loaded.compute.model_copy(update={"jobs": 1}),
        }
    )


def under(params, by: str, prior: float = 2.0):
    return params.model_copy(update={"adaptation": adaptation(by, prior)})


@pytest.fixture(scope="module")
def data(synthetic_corpus) -> Dataset:
    index, features = synthetic_corpus.make("alpha", 6, spread=0.5)
    names = [f"{name}_{statistic}" for statistic in ("mean", "std", "slope") for name in ("a", "b", "c", "d")]
    return synthetic_corpus.data(index, features, names)


def fitted(data: Dataset, settings: Adaptation) -> tuple[Normaliser, Groups]:
    groups = groups_of(data.index, settings)
    return Normaliser.fit(data.speech.features, groups, settings, data.speech.names), groups


def test_none_changes_nothing(data):
    normaliser, groups = fitted(data, adaptation("none"))
    np.testing.assert_array_equal(normaliser(data.speech.features, groups), data.speech.features)


def test_training_statistics_are_those_of_original_training_clips(data):
    normaliser, groups = fitted(data, adaptation())
    originals = data.originals().speech.features.astype(np.float64)
    np.testing.assert_allclose(normaliser.mean, originals.mean(axis=0))
    np.testing.assert_allclose(normaliser.std, originals.std(axis=0))
    assert groups.originals.sum() == len(originals) < len(data.index)


def test_with_prior_0_a_speakers_originals_get_mean_0_and_spread_1(data):
    normaliser, groups = fitted(data, adaptation(prior=0))
    values = normaliser(data.speech.features, groups)
    for speaker in data.index["speaker"].unique():
        own = values[(data.index["speaker"] == speaker) & data.index["parent_id"].isna()]
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-5)


def test_shifting_and_scaling_one_speaker_changes_nothing_under_prior_0(data):
    normaliser, groups = fitted(data, adaptation(prior=0))
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(0.3, 5, 12).astype(np.float32), rng.uniform(-9, 9, 12).astype(np.float32)
    other = (data.index["speaker"] == "alpha/03").to_numpy()
    moved = np.where(other[:, None], data.speech.features * scale + shift, data.speech.features)
    np.testing.assert_allclose(normaliser(moved, groups), normaliser(data.speech.features, groups), atol=1e-4)


def test_copies_are_normalised_by_their_parents_group_and_count_for_nothing(data):
    normaliser, groups = fitted(data, adaptation())
    copies = data.index["parent_id"].notna().to_numpy()
    spoilt = np.where(copies[:, None], data.speech.features + 100, data.speech.features)
    before, after = normaliser(data.speech.features, groups), normaliser(spoilt, groups)
    np.testing.assert_array_equal(after[~copies], before[~copies])
    assert (after[copies] - before[copies] > 10).all()
    again = Normaliser.fit(spoilt, groups, adaptation())
    np.testing.assert_array_equal(again.mean, normaliser.mean)


def test_own_clips_weigh_as_the_relevance_factor_says():
    """Seven clips of one voice under prior 2: the mean weighs 7/9, the variance 6/8."""
    rng = np.random.default_rng(0)
    training, own = rng.normal(size=(50, 3)), rng.normal(4, 2, size=(7, 3))
    normaliser = Normaliser.fit(training, each_alone(50), adaptation())
    found = normaliser(own, Groups(np.zeros(7, int), np.full(7, True)))
    mean = 7 / 9 * own.mean(axis=0) + 2 / 9 * training.mean(axis=0)
    std = np.sqrt(6 / 8 * own.var(axis=0) + 2 / 8 * training.var(axis=0))
    np.testing.assert_allclose(found, (own - mean) / std, rtol=1e-5)


@pytest.mark.parametrize("prior", [0.0, 2.0, 10.0])
def test_a_single_clip_keeps_the_training_statistics(prior):
    rng = np.random.default_rng(1)
    training, clip = rng.normal(3, 2, size=(50, 4)), rng.normal(size=(1, 4))
    normaliser = Normaliser.fit(training, each_alone(50), adaptation(prior=prior))
    expected = (clip - training.mean(axis=0)) / training.std(axis=0)
    np.testing.assert_allclose(normaliser(clip, each_alone(1)), expected, rtol=1e-5)


def test_copies_without_their_parent_keep_the_training_statistics():
    rng = np.random.default_rng(2)
    training, copies = rng.normal(size=(50, 4)), rng.normal(size=(3, 4))
    normaliser = Normaliser.fit(training, each_alone(50), adaptation())
    found = normaliser(copies, Groups(np.zeros(3, int), np.full(3, False)))
    np.testing.assert_allclose(found, (copies - training.mean(axis=0)) / training.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize("prior", [0.0, 2.0])
@pytest.mark.parametrize("constant", [0.0, 7.0, 1e6])
def test_constant_features_do_not_blow_up(constant, prior):
    rng = np.random.default_rng(3)
    training = np.column_stack([np.full(40, constant), rng.normal(size=40)]).astype(np.float32)
    own = np.column_stack([np.full(5, constant), np.full(5, 0.5)]).astype(np.float32)
    own[4] += 1e-6
    normaliser = Normaliser.fit(training, each_alone(40), adaptation(prior=prior))
    found = normaliser(own, Groups(np.zeros(5, int), np.full(5, True)))
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 2


def test_one_clip_far_from_the_others_changes_other_groups_not_at_all(data):
    normaliser, groups = fitted(data, adaptation())
    moved = data.speech.features.copy()
    moved[0] += 50
    same = groups.keys != groups.keys[0]
    np.testing.assert_array_equal(normaliser(moved, groups)[same], normaliser(data.speech.features, groups)[same])


def test_the_order_of_clips_does_not_matter(data):
    normaliser, groups = fitted(data, adaptation())
    order = np.random.default_rng(0).permutation(len(data.index))
    shuffled = Normaliser.fit(data.speech.features[order], groups.of(order), adaptation())
    expected = normaliser(data.speech.features, groups)[order]
    np.testing.assert_allclose(shuffled(data.speech.features[order], groups.of(order)), expected, rtol=1e-4, atol=1e-5)


def test_groups_are_speakers_or_recordings_with_their_copies(data):
    index = data.index
    speakers, recordings = (groups_of(index, adaptation(by)) for by in ("speaker", "recording"))
    assert len(set(speakers.keys)) == 6
    assert len(set(recordings.keys)) == len(data.originals().index)
    parent_of = dict(zip(index["clip_id"], recordings.keys, strict=True))
    for row, key in zip(index.itertuples(), recordings.keys, strict=True):
        assert pd.isna(row.parent_id) or parent_of[row.parent_id] == key


def test_clips_of_an_unknown_speaker_are_not_adapted_as_one_voice(data):
    assert UNKNOWN == UNKNOWN_SPEAKER
    nobody = (data.index["speaker"] == "alpha/02").to_numpy()
    index = data.index.assign(speaker=data.index["speaker"].where(~nobody, "alpha/unknown"))
    groups = groups_of(index, adaptation())
    pd.testing.assert_series_equal(
        pd.Series(groups.keys[nobody])
        .groupby(index.loc[nobody, "parent_id"].fillna(index["clip_id"]).to_numpy())
        .nunique(),
        pd.Series(1, index=sorted(index.loc[nobody & groups.originals, "clip_id"])),
    )
    assert len(set(groups.keys[nobody])) == (nobody & groups.originals).sum()
    known = groups_of(data.index, adaptation())
    np.testing.assert_array_equal(pd.factorize(groups.keys[~nobody])[0], pd.factorize(known.keys[~nobody])[0])
    assert not set(groups.keys[nobody]) & set(groups.keys[~nobody])
    normaliser = Normaliser.fit(data.speech.features, known, adaptation())
    found = normaliser(data.speech.features, groups)[nobody]
    np.testing.assert_allclose(
        found, (data.speech.features[nobody] - normaliser.mean) / normaliser.std, rtol=1e-4, atol=1e-5
    )


def test_labels_never_enter(data):
    relabelled = data.index.assign(emotion=data.index["emotion"].sample(frac=1, random_state=0).to_numpy())
    for by in BY:
        normaliser, groups = fitted(data, adaptation(by))
        other, its_groups = fitted(replace(data, index=relabelled), adaptation(by))
        np.testing.assert_array_equal(normaliser(data.speech.features, groups), other(data.speech.features, its_groups))


def test_training_statistics_need_an_original():
    groups = Groups(np.zeros(3, int), np.full(3, False))
    with pytest.raises(DataError, match="no original clip"):
        Normaliser.fit(np.zeros((3, 2)), groups, adaptation())


@pytest.mark.parametrize("by", BY)
def test_an_adapter_survives_its_description_bit_by_bit(data, by):
    groups = groups_of(data.index, adaptation(by))
    speech = replace(data.speech, frames=frames_of(data))
    adapter = Adapter.fit(speech, groups, adaptation(by))
    described = json.loads(json.dumps(adapter.describe()))
    again = Adapter.from_description(described, speech.names, {"frames": 2})
    before, after = adapter(speech, groups), again(speech, groups)
    np.testing.assert_array_equal(after.features, before.features)
    for clip in range(len(speech)):
        np.testing.assert_array_equal(after.frames[clip], before.frames[clip])


@pytest.mark.parametrize("by", BY)
def test_the_bundle_predicts_as_training_does(data, params, tmp_path, by):
    params = under(params, by)
    final = training.fit_final(data, params, {"epochs": 8})
    done = training.cross_validate(data, split(data.index, params.train, 0), params)
    bundle.make(final, data, params, done, {"alpha": 0.5}).save(tmp_path)
    shipped = bundle.load(tmp_path)
    assert shipped.adaptation["by"] == by
    originals = data.originals()
    groups = groups_of(originals.index, params.adaptation)
    adapted = final.adapter(originals.speech, groups)
    np.testing.assert_array_equal(shipped.adapter(originals.speech, groups).features, adapted.features)
    expected = final.predict_proba(originals.speech, groups)
    assert bundle.check_export(shipped, adapted, expected) < 1e-5
    np.testing.assert_allclose(predict(shipped, originals)[list(data.classes)], expected, atol=1e-5)


def test_without_groups_the_bundle_takes_each_clip_alone(data, params):
    params = under(params, "speaker")
    done = training.cross_validate(data, split(data.index, params.train, 0), params)
    shipped = bundle.make(training.fit_final(data, params, {"epochs": 8}), data, params, done, {"alpha": 0.5})
    five = data.speech.of(slice(5))
    together = shipped.predict_proba(five)
    alone = np.concatenate([shipped.predict_proba(data.speech.of(slice(row, row + 1))) for row in range(5)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.abs(together - shipped.predict_proba(five, Groups(np.zeros(5), np.full(5, True)))).max() > 0.01


def test_folds_fit_on_their_training_part_and_adapt_test_speakers_by_their_own_clips(data, params):
    """A test speaker whose features are shifted and scaled is recognised as before; without adaptation not."""
    folds = split(data.index, params.train, params.seed)
    fold = next(training.parts_of(data, folds))
    tested = np.isin(np.arange(len(data.index)), fold.test)
    moved = np.where(tested[:, None], 2 * data.speech.features - 5, data.speech.features).astype(np.float32)
    changes = {}
    for by in ("none", "speaker"):
        its_params = under(params, by, prior=0)
        material = training.Material.of(data, its_params)
        found = [
            training.fit_fold(
                training.Attempt(0, fold),
                material._replace(speech=replace(data.speech, features=features)),
                its_params,
            ).test
            for features in (data.speech.features, moved)
        ]
        changes[by] = np.abs(found[0] - found[1]).max()
    assert changes["speaker"] < 1e-3 < 0.1 < changes["none"]


def test_adaptation_by_speaker_takes_voices_away(data, params):
    """Voices that lie far apart hide the emotions; their own means bring these back."""
    offsets = dict(zip(data.index["speaker"].unique(), np.random.default_rng(0).normal(0, 6, (6, 12)), strict=True))
    voiced = (data.speech.features + np.stack([offsets[s] for s in data.index["speaker"]])).astype(np.float32)
    apart = replace(data, speech=replace(data.speech, features=voiced))
    folds = split(data.index, params.train, params.seed)
    correct = {}
    for by in ("none", "speaker"):
        table = training.cross_validate(apart, folds, under(params, by)).predictions
        correct[by] = np.mean(table[list(data.classes)].idxmax(axis=1) == table["emotion"])
    assert correct["speaker"] > correct["none"] + 0.15


# Frames


def frames_of(data: Dataset, seed: int = 0) -> Sequences:
    """Two columns of 3 to 12 frames for each clip, around a level of its speaker's own."""
    rng = np.random.default_rng(seed)
    levels = {speaker: rng.normal(0, 8, 2) for speaker in sorted(set(data.index["speaker"]))}
    clips = [levels[speaker] + rng.normal(0, 2, (rng.integers(3, 13), 2)) for speaker in data.index["speaker"]]
    return sequences_of(clips, ("a", "b"))


def stacked(sequences: Sequences, clips: np.ndarray) -> np.ndarray:
    return np.concatenate([sequences[clip] for clip in np.flatnonzero(clips)]).astype(np.float64)


def test_frames_of_a_speakers_originals_get_mean_0_and_spread_1_under_prior_0(data):
    sequences, groups = frames_of(data), groups_of(data.index, adaptation(prior=0))
    found = FrameNormaliser.fit(sequences, groups, adaptation(prior=0))(sequences, groups)
    for speaker in set(data.index["speaker"]):
        own = stacked(found, ((data.index["speaker"] == speaker) & data.index["parent_id"].isna()).to_numpy())
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-5)


def test_training_statistics_of_frames_are_those_of_original_clips(data):
    sequences, groups = frames_of(data), groups_of(data.index, adaptation())
    normaliser = FrameNormaliser.fit(sequences, groups, adaptation())
    own = stacked(sequences, groups.originals)
    np.testing.assert_allclose(normaliser.mean, own.mean(axis=0))
    np.testing.assert_allclose(normaliser.std, own.std(axis=0))


def test_frames_weigh_by_the_clips_they_come_from():
    """Three clips of one voice under prior 2: the mean weighs 3/5, the variance 2/4, however many frames they have."""
    rng = np.random.default_rng(0)
    training = sequences_of([rng.normal(size=(9, 2)) for _ in range(20)], ("a", "b"))
    clips = [rng.normal(3, 2, (length, 2)) for length in (4, 50, 7)]
    normaliser = FrameNormaliser.fit(training, each_alone(20), adaptation())
    found = normaliser(sequences_of(clips, ("a", "b")), Groups(np.zeros(3, int), np.full(3, True)))
    own, every = np.concatenate(clips), stacked(training, np.full(20, True))
    mean = 3 / 5 * own.mean(axis=0) + 2 / 5 * every.mean(axis=0)
    std = np.sqrt(2 / 4 * own.var(axis=0) + 2 / 4 * every.var(axis=0))
    np.testing.assert_allclose(found[1], (clips[1] - mean) / std, rtol=1e-4, atol=1e-4)


def test_frames_by_recording_are_standardised_clip_by_clip(data):
    sequences = frames_of(data)
    sequences.values[sequences.starts[4] : sequences.starts[4] + sequences.counts[4], 1] = 5.0
    normaliser = FrameNormaliser.fit(sequences, each_alone(len(sequences)), adaptation("recording"))
    found = normaliser(sequences, each_alone(len(sequences)))
    own = sequences[2].astype(np.float64)
    np.testing.assert_allclose(found[2], (own - own.mean(axis=0)) / own.std(axis=0), atol=1e-4)
    np.testing.assert_array_equal(found[4][:, 1], 0)


def test_frames_of_a_single_clip_keep_the_training_statistics(data):
    sequences, groups = frames_of(data), groups_of(data.index, adaptation())
    normaliser = FrameNormaliser.fit(sequences, groups, adaptation())
    found = normaliser(sequences.of(slice(1)), each_alone(1))[0]
    np.testing.assert_allclose(found, (sequences[0] - normaliser.mean) / normaliser.std, rtol=1e-4, atol=1e-5)


def test_frames_stay_without_adaptation(data):
    sequences, groups = frames_of(data), groups_of(data.index, adaptation("none"))
    assert FrameNormaliser.fit(sequences, groups, adaptation("none"))(sequences, groups) is sequences


def test_large_offsets_do_not_spoil_the_spread_of_frames():
    rng = np.random.default_rng(0)
    clips = [(1e4 + rng.normal(size=(30, 1))).astype(np.float32) for _ in range(10)]
    normaliser = FrameNormaliser.fit(sequences_of(clips, ("a",)), each_alone(10), adaptation())
    np.testing.assert_allclose(normaliser.std, np.concatenate(clips).astype(np.float64).std(axis=0), rtol=1e-6)


# By recording: functionals as if the frames had been standardised


@pytest.fixture(scope="module")
def featurize() -> parameters.Featurize:
    """The default features with every statistic."""
    loaded = parameters.load(ROOT / "params.yaml").featurize
    loaded = loaded.model_copy(update={"clean": loaded.clean.model_copy(update={"steps": []})})
    wanted = loaded.functionals.model_copy(update={"percentiles": [5, 50, 95], "range": True})
    return loaded.model_copy(update={"functionals": wanted, "frames": loaded.frames.model_copy(update={"mel": True})})


def adapted(samples: np.ndarray, settings: parameters.Featurize) -> tuple[np.ndarray, tuple[str, ...]]:
    names = extraction.names(settings).functionals
    features = extraction.extract(samples, settings).functionals[np.newaxis]
    return by_own_frames(features, OwnFrames.among(names))[0], names


def of_standardised_frames(samples: np.ndarray, settings: parameters.Featurize) -> np.ndarray:
    """Functionals of frames that are standardised one feature after the other, the long way round."""
    frames = extraction.extract(samples, settings).frames.astype(np.float64)
    voiced = prosody.analyse(samples, settings, len(frames)).voiced
    groups, column = extraction.names(settings).frames, 0
    for group, names in groups.items():
        for _ in names:
            own = frames[voiced if group in statistics.VOICED_GROUPS else slice(None), column]
            constant = not len(own) or own.std() <= 1e-4 * abs(own.mean())
            frames[:, column] = 0 if constant else (frames[:, column] - own.mean()) / own.std()
            column += 1
    return statistics.functionals(frames.astype(np.float32), groups, settings, voiced)


def pulses(seconds: float = 1.0) -> np.ndarray:
    """A voice-like train of pulses whose pitch and level move, with a pause."""
    time = np.arange(int(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    phase = np.cumsum(120 + 60 * time) / audio.SAMPLE_RATE
    voice = np.exp(-40 * (phase % 1)) - 0.025
    hiss = 0.003 * np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * voice * (0.3 + time) * (abs(time - 0.6) > 0.1) + hiss).astype(np.float32)


@pytest.mark.parametrize(
    "kind", ["ravdess/Actor_07/03-01-06-01-02-01-07.flac", "emodb/03a01Fa.flac", "pulses", "noise"]
)
def test_functionals_become_those_of_standardised_frames(featurize, request, kind):
    if kind == "pulses":
        samples = pulses()
    elif kind == "noise":
        samples = (0.05 * np.random.default_rng(1).standard_normal(8000)).astype(np.float32)
    else:
        samples = audio.read(request.getfixturevalue("shared") / "corpora" / kind).samples
    found, names = adapted(samples, featurize)
    expected = of_standardised_frames(samples, featurize)
    of_frames = names[: len(expected)]
    assert of_frames[-1].endswith("_voiced_std")
    # A skewness stays what it was, which calls features of the smallest spread constant.
    compared = [number for number, name in enumerate(of_frames) if not name.endswith("_skewness")]
    np.testing.assert_allclose(found[compared], expected[compared], rtol=1e-3, atol=1e-3)
    assert np.isfinite(found).all()
    if kind == "noise":
        assert not any(found[number] for number in compared if "_voiced_" in of_frames[number])


def test_what_is_no_statistic_of_frames_stays(featurize):
    samples = pulses()
    found, names = adapted(samples, featurize)
    before = extraction.extract(samples, featurize).functionals
    stays = [n for n, name in enumerate(names) if name.endswith("_skewness") or name in prosody.clip_names(featurize)]
    assert [names[number] for number in stays][-1] == "pause_share"
    assert "voiced_stretch_mean" in [names[number] for number in stays]
    np.testing.assert_array_equal(found[stays], before[stays])
    assert (found != before)[[n for n in range(len(names)) if n not in stays]].mean() > 0.99


def test_a_gain_changes_nothing_in_the_functionals_of_levels(featurize):
    samples = pulses()
    (loud, names), (quiet, _) = adapted(samples, featurize), adapted(samples / 8, featurize)
    levels = [
        number
        for number, name in enumerate(names)
        if name.startswith(("log_mel", "mel_", "mfcc", "rms", "intensity")) and not name.endswith("_skewness")
    ]
    assert len(levels) > 1000
    np.testing.assert_allclose(loud[levels], quiet[levels], rtol=2e-3, atol=2e-3)
    raw = [extraction.extract(each, featurize).functionals[levels] for each in (samples, samples / 8)]
    assert np.abs(raw[0] - raw[1]).max() > 10


def test_each_clip_has_its_own_say_only(data):
    normaliser, groups = fitted(data, adaptation("recording"))
    assert len(normaliser.mean) == len(normaliser.std) == 0
    together = normaliser(data.speech.features, groups)
    alone = np.concatenate([normaliser(data.speech.features[row : row + 1], each_alone(1)) for row in range(5)])
    np.testing.assert_array_equal(together[:5], alone)
    means, deviations, slopes = np.split(data.speech.features, 3, axis=1)
    assert (deviations > 0.01 * means).mean() > 0.9
    varies = deviations > 1e-4 * np.abs(means)
    np.testing.assert_allclose(together[:, 8:], np.where(varies, slopes / deviations, 0), rtol=1e-5)


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (["rms_std", "f0_std", "rms_slope", "voiced_stretch_mean", "voiced_stretch_std"], "means"),
        (["rms_mean", "f0_mean", "rms_slope"], "standard deviations"),
        (EncoderFacts(Path("encoder"), 2, "").names("mean_std"), "means"),
        (EncoderFacts(Path("encoder"), 2, "").names("mean"), "means"),
    ],
)
def test_by_recording_without_means_or_deviations_says_what_to_set(names, lacking):
    message = rf"no {lacking} of these; set featurize\.functionals\.mean and featurize\.functionals\.std to true"
    with pytest.raises(DataError, match=message):
        Normaliser.fit(np.ones((3, len(names))), each_alone(3), adaptation("recording"), names)


@pytest.mark.parametrize("by", BY)
def test_no_clip_is_no_error(data, by):
    normaliser, _ = fitted(data, adaptation(by))
    groups = groups_of(data.index[:0], adaptation(by))
    assert normaliser(data.speech.features[:0], groups).shape == (0, 12)
