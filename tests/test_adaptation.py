"""Adaptation: whose statistics count, how few clips are treated, and that training and the bundle do the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import bundle, training
from emodag import params as parameters
from emodag.adaptation import Groups, Normaliser, each_alone, groups_of
from emodag.datasets import Dataset
from emodag.errors import DataError
from emodag.params import Adaptation
from emodag.predict import predict
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
    return Dataset(index, features, synthetic_corpus.names, synthetic_corpus.settings, "synthetic")


def fitted(data: Dataset, settings: Adaptation) -> tuple[Normaliser, Groups]:
    groups = groups_of(data.index, settings)
    return Normaliser.fit(data.features, groups, settings), groups


def test_none_changes_nothing(data):
    normaliser, groups = fitted(data, adaptation("none"))
    np.testing.assert_array_equal(normaliser(data.features, groups), data.features)


def test_training_statistics_are_those_of_original_training_clips(data):
    normaliser, groups = fitted(data, adaptation())
    originals = data.originals().features.astype(np.float64)
    np.testing.assert_allclose(normaliser.mean, originals.mean(axis=0))
    np.testing.assert_allclose(normaliser.std, originals.std(axis=0))
    assert groups.originals.sum() == len(originals) < len(data.index)


def test_with_prior_0_a_speakers_originals_get_mean_0_and_spread_1(data):
    normaliser, groups = fitted(data, adaptation(prior=0))
    values = normaliser(data.features, groups)
    for speaker in data.index["speaker"].unique():
        own = values[(data.index["speaker"] == speaker) & data.index["parent_id"].isna()]
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-5)


def test_shifting_and_scaling_one_speaker_changes_nothing_under_prior_0(data):
    normaliser, groups = fitted(data, adaptation(prior=0))
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(0.3, 5, 12).astype(np.float32), rng.uniform(-9, 9, 12).astype(np.float32)
    other = (data.index["speaker"] == "alpha/03").to_numpy()
    moved = np.where(other[:, None], data.features * scale + shift, data.features)
    np.testing.assert_allclose(normaliser(moved, groups), normaliser(data.features, groups), atol=1e-4)


def test_copies_are_normalised_by_their_parents_group_and_count_for_nothing(data):
    normaliser, groups = fitted(data, adaptation())
    copies = data.index["parent_id"].notna().to_numpy()
    spoilt = np.where(copies[:, None], data.features + 100, data.features)
    before, after = normaliser(data.features, groups), normaliser(spoilt, groups)
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


@pytest.mark.parametrize("by", ["recording", "speaker"])
@pytest.mark.parametrize("prior", [0.0, 2.0, 10.0])
def test_a_single_clip_keeps_the_training_statistics(by, prior):
    rng = np.random.default_rng(1)
    training, clip = rng.normal(3, 2, size=(50, 4)), rng.normal(size=(1, 4))
    normaliser = Normaliser.fit(training, each_alone(50), adaptation(by, prior))
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
    moved = data.features.copy()
    moved[0] += 50
    same = groups.keys != groups.keys[0]
    np.testing.assert_array_equal(normaliser(moved, groups)[same], normaliser(data.features, groups)[same])


def test_the_order_of_clips_does_not_matter(data):
    normaliser, groups = fitted(data, adaptation())
    order = np.random.default_rng(0).permutation(len(data.index))
    shuffled = Normaliser.fit(data.features[order], groups.of(order), adaptation())
    expected = normaliser(data.features, groups)[order]
    np.testing.assert_allclose(shuffled(data.features[order], groups.of(order)), expected, rtol=1e-4, atol=1e-5)


def test_groups_are_speakers_or_recordings_with_their_copies(data):
    index = data.index
    speakers, recordings = (groups_of(index, adaptation(by)) for by in ("speaker", "recording"))
    assert len(set(speakers.keys)) == 6
    assert len(set(recordings.keys)) == len(data.originals().index)
    parent_of = dict(zip(index["clip_id"], recordings.keys, strict=True))
    for row, key in zip(index.itertuples(), recordings.keys, strict=True):
        assert pd.isna(row.parent_id) or parent_of[row.parent_id] == key


def test_labels_never_enter(data):
    relabelled = data.index.assign(emotion=data.index["emotion"].sample(frac=1, random_state=0).to_numpy())
    for by in BY:
        normaliser, groups = fitted(data, adaptation(by))
        other, its_groups = fitted(Dataset(relabelled, *_rest(data)), adaptation(by))
        np.testing.assert_array_equal(normaliser(data.features, groups), other(data.features, its_groups))


def _rest(data: Dataset) -> tuple:
    return data.features, data.names, data.settings, data.source


def test_training_statistics_need_an_original():
    groups = Groups(np.zeros(3, int), np.full(3, False))
    with pytest.raises(DataError, match="no original clip"):
        Normaliser.fit(np.zeros((3, 2)), groups, adaptation())


@pytest.mark.parametrize("by", BY)
def test_a_normaliser_survives_its_description_bit_by_bit(data, by):
    normaliser, groups = fitted(data, adaptation(by))
    again = Normaliser.from_description(normaliser.describe())
    np.testing.assert_array_equal(again(data.features, groups), normaliser(data.features, groups))


@pytest.mark.parametrize("by", BY)
def test_the_bundle_predicts_as_training_does(data, params, tmp_path, by):
    params = under(params, by)
    final = training.fit_final(data, params, rounds=8)
    bundle.make(final, data, params, {"alpha": 0.5}).save(tmp_path)
    shipped = bundle.load(tmp_path)
    assert shipped.adaptation["by"] == by
    originals = data.originals()
    groups = groups_of(originals.index, params.adaptation)
    np.testing.assert_array_equal(
        shipped.normaliser(originals.features, groups), final.normaliser(originals.features, groups)
    )
    expected = final.predict_proba(originals.features, groups)
    assert bundle.check_export(shipped, originals.features, groups, expected) < 1e-5
    np.testing.assert_allclose(predict(shipped, originals)[list(data.classes)], expected, atol=1e-5)


def test_without_groups_the_bundle_takes_each_clip_alone(data, params):
    params = under(params, "speaker")
    shipped = bundle.make(training.fit_final(data, params, rounds=8), data, params, {"alpha": 0.5})
    together = shipped.predict_proba(data.features[:5])
    alone = np.concatenate([shipped.predict_proba(data.features[row : row + 1]) for row in range(5)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert (
        np.abs(together - shipped.predict_proba(data.features[:5], Groups(np.zeros(5), np.full(5, True)))).max() > 0.01
    )


def test_folds_fit_on_their_training_part_and_adapt_test_speakers_by_their_own_clips(data, params):
    """A test speaker whose features are shifted and scaled is recognised as before; without adaptation not."""
    folds = split(data.index, params.train, params.seed)
    fold = next(training.parts_of(data, folds))
    tested = np.isin(np.arange(len(data.index)), fold.test)
    moved = np.where(tested[:, None], 2 * data.features - 5, data.features).astype(np.float32)
    changes = {}
    for by in ("none", "speaker"):
        its_params = under(params, by, prior=0)
        groups = groups_of(data.index, its_params.adaptation)
        found = [
            training.fit_fold(
                fold, features=features, groups=groups, labels=data.labels, classes=data.classes, params=its_params
            )[0]
            for features in (data.features, moved)
        ]
        changes[by] = np.abs(found[0] - found[1]).max()
    assert changes["speaker"] < 1e-3 < 0.1 < changes["none"]


def test_adaptation_by_speaker_takes_voices_away(data, params):
    """Voices that lie far apart hide the emotions; their own means bring these back."""
    offsets = dict(zip(data.index["speaker"].unique(), np.random.default_rng(0).normal(0, 6, (6, 12)), strict=True))
    voiced = (data.features + np.stack([offsets[s] for s in data.index["speaker"]])).astype(np.float32)
    apart = Dataset(data.index, voiced, data.names, data.settings, data.source)
    folds = split(data.index, params.train, params.seed)
    correct = {}
    for by in ("none", "speaker"):
        table = training.cross_validate(apart, folds, under(params, by)).predictions
        correct[by] = np.mean(table[list(data.classes)].idxmax(axis=1) == table["emotion"])
    assert correct["speaker"] > correct["none"] + 0.15
