from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from emodag import params as parameters
from emodag.errors import LeakageError
from emodag.leakage import check_disjoint, check_leakage
from emodag.splits import split

ROOT = Path(__file__).resolve().parents[1]
TRAIN = parameters.load(ROOT / "params.yaml").train.model_copy(update={"folds": 3, "validation": 0.25})


def folded(index, protocol="speaker_kfold"):
    train = TRAIN.model_copy(update={"protocol": protocol})
    folds = split(index, train, seed=0)
    tested = folds[folds["part"] == "test"]
    predictions = tested[["clip_id", "fold"]].merge(index[["clip_id", "emotion"]], on="clip_id").assign(seed=0)
    return folds, predictions


@pytest.fixture
def tables(synthetic_corpus):
    """Index, folds and predictions without a leak."""
    index, _ = synthetic_corpus.make("alpha", 6)
    return index, *folded(index)


def move(folds: pd.DataFrame, part: str, **where) -> pd.DataFrame:
    """The folds with one row put into another part."""
    chosen = (folds[list(where)] == pd.Series(where)).all(axis=1)
    assert chosen.sum() == 1
    return folds.assign(part=folds["part"].mask(chosen, part))


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso", "random"])
def test_clean_tables_pass(synthetic_corpus, protocol):
    index, _ = synthetic_corpus.make("alpha", 6, copies=2)
    index.loc[index["clip_id"].isin(["alpha/01_happy_0", "alpha/02_sad_1"]), "md5"] = "0" * 32
    folds, predictions = folded(index, protocol)
    check_leakage(folds, predictions, index, protocol)


@pytest.mark.parametrize(
    ("source", "target"), [("test", "train"), ("test", "validation"), ("validation", "train"), ("train", "validation")]
)
def test_a_speaker_in_two_parts_is_found(tables, source, target):
    index, folds, predictions = tables
    row = folds[(folds["part"] == source) & (folds["fold"] == 1) & ~folds["clip_id"].str.contains("+", regex=False)]
    clip = row["clip_id"].iloc[0]
    planted = move(folds, target, fold=1, clip_id=clip)
    planted = planted[~planted["clip_id"].str.startswith(f"{clip}+")]
    speaker = index.set_index("clip_id").loc[clip, "speaker"]
    with pytest.raises(LeakageError, match=rf"speakers stand in two parts.*{speaker} \(fold 1"):
        check_leakage(planted, predictions, index, "speaker_kfold")


def test_speakers_may_be_shared_only_under_a_leaky_protocol(synthetic_corpus):
    index, _ = synthetic_corpus.make("alpha", 6)
    folds, predictions = folded(index, "random")
    check_leakage(folds, predictions, index, "random")
    for protocol in ("speaker_kfold", "loso", "emobox"):
        with pytest.raises(LeakageError, match="speakers stand in two parts"):
            check_leakage(folds, predictions, index, protocol)


def test_beside_a_leaky_corpus_the_others_are_still_guarded(synthetic_corpus):
    """EmoBox's folds share speakers in EmoDB but not in SAVEE."""
    tables = [synthetic_corpus.make("savee", ["JE", "KL", "DC"])[0], synthetic_corpus.make("emodb", 3)[0]]
    index = pd.concat(tables, ignore_index=True)
    train = TRAIN.model_copy(update={"protocol": "random"})
    folds = pd.concat([split(tables[0], train.model_copy(update={"protocol": "loso"}), 0), split(tables[1], train, 0)])
    predictions = folds[folds["part"] == "test"].merge(index[["clip_id", "emotion"]], on="clip_id").assign(seed=0)
    check_leakage(folds, predictions, index, "emobox")
    held = folds.loc[(folds["fold"] == 1) & (folds["part"] == "validation"), "clip_id"]
    clip = held[held.str.startswith("savee")].iloc[0]
    with pytest.raises(LeakageError, match=r"speakers stand in two parts.*savee"):
        check_leakage(move(folds, "train", fold=1, clip_id=clip), predictions, index, "emobox")


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_copy_that_is_held_out_is_found(tables, part):
    index, folds, predictions = tables
    held = folds[(folds["fold"] == 2) & (folds["part"] == part)]["clip_id"].iloc[0]
    planted = pd.concat([folds, pd.DataFrame({"fold": [2], "clip_id": [f"{held}+0"], "part": [part]})])
    with pytest.raises(LeakageError, match=r"copies are validated or tested.*\+0 \(fold 2\)"):
        check_leakage(planted, predictions, index, "speaker_kfold")


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_copy_that_trains_while_its_parent_is_held_out_is_found(synthetic_corpus, part):
    index, _ = synthetic_corpus.make("alpha", 6)
    folds, predictions = folded(index, "random")
    held = folds[(folds["fold"] == 1) & (folds["part"] == part)]["clip_id"].iloc[0]
    planted = pd.concat([folds, pd.DataFrame({"fold": [1], "clip_id": [f"{held}+0"], "part": ["train"]})])
    with pytest.raises(LeakageError, match=r"copies train in a fold in which the clip they came from does not.*\+0"):
        check_leakage(planted, predictions, index, "random")


def test_a_copy_that_trains_without_its_parent_is_found(tables):
    index, folds, predictions = tables
    copy = folds[(folds["fold"] == 1) & folds["clip_id"].str.endswith("+0")]["clip_id"].iloc[0]
    planted = folds[(folds["fold"] != 1) | (folds["clip_id"] != copy.removesuffix("+0"))]
    with pytest.raises(LeakageError, match="the clip they came from does not"):
        check_leakage(planted, predictions, index, "speaker_kfold")


@pytest.mark.parametrize(("one", "other"), [("train", "test"), ("validation", "test"), ("train", "validation")])
def test_byte_equal_audio_in_two_parts_is_found(tables, one, other):
    index, folds, predictions = tables
    originals = folds[(folds["fold"] == 1) & ~folds["clip_id"].str.contains("+", regex=False)]
    pair = [originals.loc[originals["part"] == part, "clip_id"].iloc[0] for part in (one, other)]
    planted = index.assign(md5=index["md5"].mask(index["clip_id"].isin(pair), "f" * 32))
    with pytest.raises(LeakageError, match="byte-equal audio") as caught:
        check_leakage(folds, predictions, planted, "speaker_kfold")
    assert all(clip in str(caught.value) for clip in pair)


def test_a_copy_byte_equal_to_a_tested_clip_is_found(tables):
    index, folds, predictions = tables
    first = folds[folds["fold"] == 1]
    copy = first.loc[first["clip_id"].str.endswith("+0"), "clip_id"].iloc[0]
    tested = first.loc[first["part"] == "test", "clip_id"].iloc[0]
    planted = index.assign(md5=index["md5"].mask(index["clip_id"].isin([copy, tested]), "f" * 32))
    with pytest.raises(LeakageError, match="byte-equal audio"):
        check_leakage(folds, predictions, planted, "speaker_kfold")


def test_a_clip_predicted_by_a_fold_that_trained_on_it_is_found(tables):
    index, folds, predictions = tables
    wrong = predictions.assign(fold=predictions["fold"].mask(predictions.index == 0, predictions["fold"][0] % 3 + 1))
    with pytest.raises(LeakageError, match=rf"does not test them: {predictions['clip_id'][0]}"):
        check_leakage(folds, wrong, index, "speaker_kfold")


def test_a_clip_predicted_twice_is_found(tables):
    index, folds, predictions = tables
    with pytest.raises(LeakageError, match="more than once"):
        check_leakage(folds, pd.concat([predictions, predictions[:1]]), index, "speaker_kfold")


def test_each_seed_predicts_every_tested_clip_once(tables):
    index, folds, predictions = tables
    check_leakage(folds, pd.concat([predictions, predictions.assign(seed=1)]), index, "speaker_kfold")
    with pytest.raises(LeakageError, match=rf"were not predicted: {predictions['clip_id'][0]}"):
        check_leakage(folds, pd.concat([predictions, predictions[1:].assign(seed=1)]), index, "speaker_kfold")


def test_a_tested_clip_that_was_not_predicted_is_found(tables):
    index, folds, predictions = tables
    with pytest.raises(LeakageError, match=rf"were not predicted: {predictions['clip_id'][0]}"):
        check_leakage(folds, predictions[1:], index, "speaker_kfold")


def test_predictions_of_other_data_are_found(tables):
    index, folds, predictions = tables
    with pytest.raises(LeakageError, match="clips that the features do not"):
        check_leakage(folds, predictions, index[index["speaker"] != "alpha/01"], "speaker_kfold")


def test_the_message_names_ten_and_counts_the_rest(tables):
    index, folds, predictions = tables
    with pytest.raises(LeakageError, match="and 86 more"):
        check_leakage(folds, predictions[:0], index, "speaker_kfold")


@pytest.mark.parametrize("column", ["md5", "speaker"])
def test_a_test_corpus_must_not_hold_training_data(synthetic_corpus, column):
    trained, _ = synthetic_corpus.make("alpha", 3)
    tested, _ = synthetic_corpus.make("beta", 3)
    check_disjoint(tested, trained, "beta")
    planted = tested.assign(**{column: tested[column].mask(tested.index == 4, trained[column][0])})
    with pytest.raises(LeakageError, match=f"beta cannot be tested by this model.*{tested['clip_id'][4]}"):
        check_disjoint(planted, trained, "beta")


def test_clips_of_nobody_known_beside_named_speakers_are_found(tables):
    index, folds, predictions = tables
    clip = folds.loc[(folds["part"] == "train") & (folds["fold"] == 1), "clip_id"].iloc[0]
    index = index.assign(speaker=index["speaker"].mask(index["clip_id"] == clip, "alpha/unknown"))
    with pytest.raises(LeakageError, match=rf"nobody knows who speaks in clips.* {re.escape(clip)} \(fold 1\)"):
        check_leakage(folds, predictions, index, "speaker_kfold")
