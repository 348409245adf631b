from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import params as parameters
from emodag.errors import DataError, ParamsError
from emodag.params import Train
from emodag.splits import EMOBOX_CLIPS, EMOBOX_SPEAKERS, describe, is_leaky, split

ROOT = Path(__file__).resolve().parents[1]
TRAIN = parameters.load(ROOT / "params.yaml").train.model_copy(update={"folds": 3, "validation": 0.25})


def settings(protocol="speaker_kfold", **changes) -> Train:
    return TRAIN.model_copy(update={"protocol": protocol} | changes)


def parts(folds: pd.DataFrame, fold: int) -> dict[str, set[str]]:
    rows = folds[folds["fold"] == fold]
    return {part: set(rows.loc[rows["part"] == part, "clip_id"]) for part in ("train", "validation", "test")}


def with_facts(folds: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    return folds.merge(index, on="clip_id")


@pytest.fixture
def pooled(synthetic_corpus) -> pd.DataFrame:
    tables = [synthetic_corpus.make("alpha", 6)[0], synthetic_corpus.make("beta", 9, copies=2)[0]]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def emobox_file(tmp_path):
    """Writes clip lists in the layout of EmoBox's facts."""

    def write(**corpora: list[list[str]]) -> str:
        content = {
            name: {"folds": {str(n): {"test_utterances": stems} for n, stems in enumerate(folds, start=1)}}
            for name, folds in corpora.items()
        }
        (tmp_path / "folds.json").write_text(json.dumps({"corpora": content}))
        return str(tmp_path / "folds.json")

    return write


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso"])
def test_speakers_stand_on_one_side(pooled, protocol):
    rows = with_facts(split(pooled, settings(protocol), seed=0), pooled)
    assert rows.groupby(["fold", "speaker"])["part"].nunique().max() == 1
    assert set(rows["part"]) == {"train", "validation", "test"}


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso", "random"])
def test_every_original_is_tested_once_and_no_copy_is_ever_held_out(pooled, protocol):
    rows = with_facts(split(pooled, settings(protocol), seed=0), pooled)
    tested = rows.loc[rows["part"] == "test", "clip_id"]
    assert sorted(tested) == sorted(pooled.loc[pooled["parent_id"].isna(), "clip_id"])
    assert set(rows.loc[rows["parent_id"].notna(), "part"]) == {"train"}


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso", "random"])
def test_copies_train_exactly_where_their_parent_trains(pooled, protocol):
    folds = split(pooled, settings(protocol), seed=0)
    copies = pooled[pooled["parent_id"].notna()]
    for fold in folds["fold"].unique():
        training = parts(folds, fold)["train"]
        assert set(copies.loc[copies["parent_id"].isin(training), "clip_id"]) == training & set(copies["clip_id"])


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso", "random"])
def test_the_same_seed_gives_the_same_folds_in_any_order_of_the_index(pooled, protocol):
    shuffled = pooled.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(split(pooled, settings(protocol), 7), split(shuffled, settings(protocol), 7))


@pytest.mark.parametrize("protocol", ["speaker_kfold", "random"])
def test_another_seed_gives_other_folds(pooled, protocol):
    assert not split(pooled, settings(protocol), 7).equals(split(pooled, settings(protocol), 8))


@pytest.mark.parametrize("folds", [2, 3, 4, 5])
def test_speaker_folds_are_balanced_over_sex_and_corpora(pooled, folds):
    rows = with_facts(split(pooled, settings(folds=folds), seed=3), pooled)
    tested = rows[rows["part"] == "test"].drop_duplicates("speaker")
    for columns in (["corpus"], ["corpus", "sex"]):
        table = pd.crosstab(tested["fold"], [tested[column] for column in columns])
        assert len(table) == folds
        assert (table.max() - table.min() <= 1).all()


def test_speaker_folds_need_no_sex(pooled):
    rows = with_facts(split(pooled.assign(sex=None), settings(), seed=0), pooled)
    assert sorted(rows["fold"].unique()) == [1, 2, 3]


@pytest.mark.parametrize(("share", "wanted"), [(0.1, 1), (0.25, 2), (0.5, 4)])
def test_validation_holds_out_a_share_of_the_training_speakers_of_both_sexes(synthetic_corpus, share, wanted):
    index, _ = synthetic_corpus.make("alpha", 12)
    rows = with_facts(split(index, settings(validation=share), seed=0), index)
    for _, fold in rows[rows["part"] == "validation"].groupby("fold"):
        assert fold["speaker"].nunique() == wanted
        assert fold["sex"].nunique() == min(wanted, 2)


def test_validation_leaves_the_last_speaker_of_a_corpus_and_of_an_emotion(synthetic_corpus):
    small, _ = synthetic_corpus.make("small", 2)
    large, _ = synthetic_corpus.make("large", 6)
    large = large[(large["emotion"] != "sad") | (large["speaker"] == "large/03")]
    index = pd.concat([small.replace({"emotion": {"sad": "happy"}}), large])
    for seed in range(5):
        rows = with_facts(split(index, settings(folds=2, validation=0.5), seed), index)
        training = rows[rows["part"] == "train"].groupby("fold")
        assert (training["corpus"].nunique() == 2).all()
        for fold, group in rows.groupby("fold"):
            available = set(group.loc[group["part"] != "test", "emotion"])
            assert set(training.get_group(fold)["emotion"]) == available


def test_two_speakers_train_without_validation(synthetic_corpus):
    index, _ = synthetic_corpus.make("alpha", 2)
    folds = split(index, settings("loso"), seed=0)
    assert [parts(folds, fold)["validation"] for fold in (1, 2)] == [set(), set()]


def test_loso_has_a_fold_per_speaker(pooled):
    rows = with_facts(split(pooled, settings("loso"), seed=0), pooled)
    assert rows[rows["part"] == "test"].groupby("fold")["speaker"].nunique().max() == 1
    assert rows["fold"].max() == 15


def test_random_folds_hold_every_emotion_and_mix_speakers(pooled):
    rows = with_facts(split(pooled, settings("random"), seed=0), pooled)
    tested = rows[rows["part"] == "test"]
    counts = pd.crosstab(tested["fold"], [tested["corpus"], tested["emotion"]])
    assert (counts.max() - counts.min() <= 1).all()
    assert (rows[rows["part"] != "test"].groupby("fold")["speaker"].nunique() == 15).all()


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso", "random"])
def test_byte_equal_clips_stay_on_one_side_and_test_parts_stay_complete(synthetic_corpus, protocol):
    index, _ = synthetic_corpus.make("alpha", 6)
    twins = ["alpha/01_happy_0", "alpha/02_sad_1", "alpha/05_angry_2", "alpha/01_happy_1"]
    copy = "alpha/03_sad_3+0"
    index.loc[index["clip_id"].isin([*twins, copy]), "md5"] = "0" * 32
    folds = split(index, settings(protocol), seed=0)
    rows = with_facts(folds, index)
    parents = index.set_index("clip_id")["md5"]
    rows["sources"] = rows["parent_id"].map(parents).fillna(rows["md5"])
    for column in ("md5", "sources"):
        equal = rows[rows[column] == "0" * 32]
        assert equal.groupby("fold")["part"].nunique().max() == 1
    assert set(twins) <= set(rows.loc[rows["part"] == "test", "clip_id"])
    assert set(rows.loc[rows["clip_id"] == copy, "part"]) <= {"train"}


def test_more_folds_than_speakers_is_an_error(synthetic_corpus):
    index, _ = synthetic_corpus.make("alpha", 4)
    with pytest.raises(DataError, match=r"5 folds by speaker and there are 4 speakers.*at most 4"):
        split(index, settings(folds=5), seed=0)


def test_more_folds_than_clips_is_an_error(synthetic_corpus):
    index, _ = synthetic_corpus.make("alpha", 1, emotions=("happy", "sad"), takes=1)
    with pytest.raises(DataError, match="5 folds and there are 2 clips"):
        split(index, settings("random", folds=5), seed=0)


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso"])
def test_one_speaker_is_an_error_where_speakers_must_differ(synthetic_corpus, protocol):
    index, _ = synthetic_corpus.make("alpha", 1)
    with pytest.raises(DataError, match="needs at least two speakers; alpha has one"):
        split(index, settings(protocol), seed=0)


@pytest.mark.parametrize("rows", ["none", "copies"])
def test_no_original_is_an_error(synthetic_corpus, rows):
    index, _ = synthetic_corpus.make("alpha", 4)
    index = index[index["parent_id"].notna()] if rows == "copies" else index[:0]
    with pytest.raises(DataError, match="no recording to split"):
        split(index, settings(), seed=0)


@pytest.mark.parametrize("corpus", ["ravdess", "savee"])
def test_emobox_tests_the_published_speakers(synthetic_corpus, corpus):
    published = EMOBOX_SPEAKERS[corpus]
    index, _ = synthetic_corpus.make(corpus, sorted(sum(published, ())), takes=1)
    rows = with_facts(split(index, settings("emobox"), seed=0), index)
    for number, speakers in enumerate(published, start=1):
        tested = rows.loc[(rows["fold"] == number) & (rows["part"] == "test"), "speaker"]
        assert set(tested) == {f"{corpus}/{speaker}" for speaker in speakers}
    assert rows.groupby(["fold", "speaker"])["part"].nunique().max() == 1


def test_emobox_folds_of_absent_speakers_are_left_out_and_told(synthetic_corpus):
    english = [f"{number:04d}" for number in range(11, 21)]
    index, _ = synthetic_corpus.make("esd", english, takes=1)
    folds = split(index, settings("emobox"), seed=0)
    assert sorted(folds["fold"].unique()) == [1, 2, 4, 5]
    assert "EmoBox's folds of esd name 10 that are not in the data: esd/0001" in describe(
        folds, index, settings("emobox")
    )


def test_emobox_pools_corpora_fold_by_fold(synthetic_corpus):
    tables = [
        synthetic_corpus.make(corpus, sorted(sum(EMOBOX_SPEAKERS[corpus], ())), takes=1)[0]
        for corpus in ("ravdess", "savee")
    ]
    index = pd.concat(tables, ignore_index=True)
    rows = with_facts(split(index, settings("emobox"), seed=0), index)
    tested = rows[rows["part"] == "test"].groupby("fold")["speaker"].unique()
    assert {"savee/JE", "ravdess/01"} <= set(tested[1])
    assert set(tested[6]) == {f"ravdess/{actor}" for actor in EMOBOX_SPEAKERS["ravdess"][5]}
    sixth = rows[(rows["fold"] == 6) & (rows["corpus"] == "savee")]
    assert set(sixth["part"]) <= {"train", "validation"}


def test_emobox_clip_lists_are_tested_with_speakers_on_both_sides(synthetic_corpus, emobox_file):
    index, _ = synthetic_corpus.make("emodb", 4, takes=4)
    originals = index.loc[index["parent_id"].isna(), "clip_id"].str.removeprefix("emodb/")
    lists = [sorted(originals[number::2]) for number in (0, 1)]
    train = settings("emobox", emobox_folds=emobox_file(emodb=lists))
    folds = split(index, train, seed=0)
    for number, stems in enumerate(lists, start=1):
        found = parts(folds, number)
        assert found["test"] == {f"emodb/{stem}" for stem in stems}
        speakers = {part: {clip[:8] for clip in clips} for part, clips in found.items()}
        assert speakers["validation"] <= speakers["train"] == speakers["test"]
    assert is_leaky("emodb", "emobox")


def test_emobox_clips_outside_the_lists_only_train(synthetic_corpus, emobox_file):
    index, _ = synthetic_corpus.make("crema_d", 3, takes=2)
    stem = "01_happy_0"
    folds = split(index, settings("emobox", emobox_folds=emobox_file(cremad=[[stem, "1040_ITH_SAD_X"]])), seed=0)
    assert parts(folds, 1)["test"] == {f"crema_d/{stem}"}


def test_emobox_without_folds_for_a_corpus_says_which_have_them(synthetic_corpus):
    index, _ = synthetic_corpus.make("demo_en", 3)
    with pytest.raises(DataError, match="no folds for demo_en; it has them for ravdess, savee, esd, emodb, crema_d"):
        split(index, settings("emobox"), seed=0)


def test_emobox_with_an_unknown_speaker_names_them(synthetic_corpus):
    index, _ = synthetic_corpus.make("savee", ["JE", "KL", "XX"])
    with pytest.raises(DataError, match="do not know: savee/XX"):
        split(index, settings("emobox"), seed=0)


@pytest.mark.parametrize("corpus", EMOBOX_CLIPS)
def test_emobox_clip_lists_must_be_given(synthetic_corpus, corpus):
    index, _ = synthetic_corpus.make(corpus, 3)
    with pytest.raises(ParamsError, match=rf"train.emobox_folds.*{corpus}.*test_utterances"):
        split(index, settings("emobox"), seed=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("not json", "does not list clips"),
        ("[]", "does not list clips"),
        ('{"corpora": {"ravdess": {}}}', "does not list clips under corpora.emodb"),
        ('{"corpora": {"emodb": {"folds": {"one": {"test_utterances": []}}}}}', "does not list clips"),
        ('{"corpora": {"emodb": {"folds": {"1": {"test_utterances": ["elsewhere"]}}}}}', "no clip that EmoBox"),
    ],
)
def test_emobox_file_that_holds_no_folds_is_an_error(synthetic_corpus, tmp_path, content, message):
    index, _ = synthetic_corpus.make("emodb", 3)
    path = tmp_path / "folds.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises((ParamsError, DataError), match=message):
        split(index, settings("emobox", emobox_folds=str(path)), seed=0)


@pytest.mark.parametrize(
    ("corpus", "protocol", "leaky"),
    [
        ("ravdess", "speaker_kfold", False),
        ("ravdess", "loso", False),
        ("ravdess", "emobox", False),
        ("savee", "emobox", False),
        ("esd", "emobox", False),
        ("emodb", "emobox", True),
        ("crema_d", "emobox", True),
        ("tess", "emobox", True),
        ("emodb", "loso", False),
        ("ravdess", "random", True),
        ("emodb", "cross_corpus", False),
    ],
)
def test_what_is_leaky(corpus, protocol, leaky):
    assert is_leaky(corpus, protocol) is leaky


def test_describe_counts_what_a_fold_leaves_out(synthetic_corpus):
    index, _ = synthetic_corpus.make("alpha", 3, emotions=("happy", "sad"), takes=2, copies=1)
    index.loc[index["clip_id"].isin(["alpha/01_happy_0", "alpha/02_sad_1"]), "md5"] = "0" * 32
    text = describe(split(index, settings("loso"), seed=0), index, settings("loso"))
    assert len(text.splitlines()) == 3
    assert "test 4 clips of 1 speakers" in text
    assert "1 clips byte-equal to it" in text


@pytest.mark.corpora
def test_built_in_emobox_folds_equal_the_published_ones(shared):
    published = json.loads((shared / "protocols" / "emobox_folds.json").read_text())["corpora"]
    for corpus, folds in EMOBOX_SPEAKERS.items():
        assert [list(fold) for fold in folds] == [
            published[corpus]["folds"][str(n)]["test_speakers"] for n in range(1, len(folds) + 1)
        ]
        assert published[corpus]["n_folds"] == len(folds)
    for name in EMOBOX_CLIPS.values():
        assert not published[name]["speaker_independent"]


@pytest.mark.corpora
def test_published_clip_lists_of_emodb_are_read(shared, synthetic_corpus):
    path = shared / "protocols" / "emobox_folds.json"
    lists = json.loads(path.read_text())["corpora"]["emodb"]["folds"]
    stems = [stem for fold in lists.values() for stem in fold["test_utterances"]]
    index, _ = synthetic_corpus.make("emodb", 5, takes=27, copies=0)
    index = index[: len(stems)].assign(clip_id=[f"emodb/{stem}" for stem in stems])
    folds = split(index, settings("emobox", emobox_folds=str(path)), seed=0)
    sizes = folds[folds["part"] == "test"].groupby("fold").size()
    np.testing.assert_array_equal(sizes, [107] * 5)


def test_holdout_tests_the_speakers_that_are_named(pooled):
    named = ["alpha/02", "beta/05"]
    folds = split(pooled, settings("holdout", holdout=named), seed=0)
    rows = with_facts(folds, pooled)
    assert set(folds["fold"]) == {1}
    assert sorted(set(rows.loc[rows["part"] == "test", "speaker"])) == named
    assert not set(rows.loc[rows["part"] != "test", "speaker"]) & set(named)
    assert set(rows["part"]) == {"train", "validation", "test"}
    assert not is_leaky("alpha", "holdout")


def test_holdout_of_nobody_known_names_the_speakers(pooled):
    with pytest.raises(ParamsError, match=r"nobody is called alpha/2.*alpha/01.*did you mean 'alpha/02'"):
        split(pooled, settings("holdout", holdout=["alpha/2"]), seed=0)


def test_holdout_of_everybody_leaves_nobody_to_train(pooled):
    everybody = sorted(set(pooled["speaker"]))
    with pytest.raises(DataError, match="none left to train on"):
        split(pooled, settings("holdout", holdout=everybody), seed=0)


@pytest.mark.parametrize("protocol", ["speaker_kfold", "loso", "holdout"])
def test_a_corpus_that_names_some_speakers_alone_cannot_be_split_by_speaker(pooled, protocol):
    """A clip of nobody known may be of a voice that has a name elsewhere: it could train where that one is tested."""
    some = pooled["clip_id"].str.startswith("alpha/02_happy")
    pooled.loc[some, "speaker"] = "alpha/unknown"
    train = settings(protocol, holdout=["beta/01"])
    with pytest.raises(DataError, match=rf"{protocol} is .* 4 of the 96 clips of alpha nobody .* as alpha/02_happy_0"):
        split(pooled, train, seed=0)
    assert len(split(pooled, settings("random"), seed=0))
    everybody = pooled.assign(speaker=pooled["speaker"].mask(pooled["corpus"] == "alpha", "alpha/unknown"))
    rows = with_facts(split(everybody, train, seed=0), everybody)
    assert rows.groupby(["fold", "speaker"])["part"].nunique().max() == 1


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ({"0": ["01_happy_0"], "1": ["02_happy_0"]}, r"folds\.json: fold 0 of tess; folds are numbered from 1"),
        ({"1": ["01_happy_0"], "2": ["01_happy_0"]}, r"folds\.json: tess/01_happy_0 is tested more than once"),
    ],
)
def test_emobox_folds_that_would_lose_clips_are_an_error(synthetic_corpus, tmp_path, folds, message):
    index, _ = synthetic_corpus.make("tess", 3, copies=0)
    content = {"corpora": {"tess": {"folds": {n: {"test_utterances": stems} for n, stems in folds.items()}}}}
    (tmp_path / "folds.json").write_text(json.dumps(content))
    with pytest.raises(ParamsError, match=message):
        split(index, settings("emobox", emobox_folds=str(tmp_path / "folds.json")), seed=0)


def test_of_few_clips_one_validates(synthetic_corpus):
    index, _ = synthetic_corpus.make("alpha", 3, takes=1, copies=0)
    folds = split(index, settings("random", validation=0.2), seed=0)
    assert folds.groupby("fold")["part"].agg(lambda parts: (parts == "validation").sum()).tolist() == [1, 1, 1]


def test_who_names_everybody_for_the_holdout_is_told_so(synthetic_corpus):
    index, _ = synthetic_corpus.make("alpha", 3)
    with pytest.raises(DataError, match=r"none left to train on .*name fewer in train\.holdout"):
        split(index, settings("holdout", holdout=["alpha/01", "alpha/02", "alpha/03"]), seed=0)
