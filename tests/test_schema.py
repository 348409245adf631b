"""The contracts of tables."""

from __future__ import annotations

import pandas as pd
import pytest

from emodag import schema
from emodag.errors import DataError


@pytest.fixture
def turns() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip_id": ["a/1", "a/1"],
            "start": [0.0, 1.0],
            "end": [0.5, 2.0],
            "speaker_label": ["A", "B"],
            "is_overlap": [False, True],
        }
    )


def test_a_table_comes_back_as_it_was_written_and_has_fixed_bytes(tmp_path, turns):
    for name in ("a", "b"):
        schema.write(turns, schema.TURNS, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    pd.testing.assert_frame_equal(schema.read(tmp_path / "a", schema.TURNS), turns, check_dtype=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.assign(end=[0.5, 0.7]), "end after start"),
        (lambda t: t.assign(start=[-1.0, 0.0]), "start"),
        (lambda t: t.drop(columns="end"), "end"),
        (lambda t: t.assign(mood="good"), "mood"),
        (lambda t: t[["start", "clip_id", "end", "speaker_label", "is_overlap"]], "turns"),
        (lambda t: t.assign(clip_id=[None, "a"]), "clip_id"),
    ],
)
def test_a_broken_table_is_neither_written_nor_accepted(tmp_path, turns, change, told):
    with pytest.raises(DataError, match=told) as error:
        schema.write(change(turns), schema.TURNS, tmp_path / "turns.parquet")
    assert "turns.parquet: breaks the contract of turns" in str(error.value)
    assert not (tmp_path / "turns.parquet").exists()
    change(turns).to_parquet(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match=told):
        schema.read(tmp_path / "broken.parquet", schema.TURNS)


def test_a_missing_and_an_unreadable_table_are_told(tmp_path):
    with pytest.raises(DataError, match="no such table"):
        schema.read(tmp_path / "none.parquet", schema.TURNS)
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        schema.read(tmp_path / "text.parquet", schema.TURNS)


def test_predictions_hold_one_probability_per_class():
    table = pd.DataFrame({"clip_id": ["a"], "speaker": ["x/1"], "fold": [1], "seed": [0], "temperature": [1.5]})
    table = table.assign(emotion="sad", happy=0.4, sad=0.6)
    schema.validate(table, schema.predictions(("happy", "sad")), "predictions")
    with pytest.raises(DataError, match="sad"):
        schema.validate(table.assign(sad=1.5), schema.predictions(("happy", "sad")), "predictions")
    with pytest.raises(DataError, match="temperature"):
        schema.validate(table.assign(temperature=0.0), schema.predictions(("happy", "sad")), "predictions")
    with pytest.raises(DataError, match="clip_id"):
        schema.validate(pd.concat([table, table]), schema.predictions(("happy", "sad")), "predictions")
    both = pd.concat([table, table.assign(seed=1)])
    assert len(schema.validate(both, schema.predictions(("happy", "sad")), "predictions")) == 2


def test_scored_predictions_may_lack_classes_and_stand_once_per_seed():
    classes = ("happy", "sad", "bored")
    row = {
        "corpus": "a", "protocol": "cross_corpus", "clip_id": "a/1", "speaker": "a/x", "fold": 0, "seed": 0,
        "temperature": 1.0, "emotion": "sad", "happy": 0.4, "sad": 0.6, "bored": None,
    }  # fmt: skip
    table = schema.validate(pd.DataFrame([row, row | {"seed": 1}]), schema.scored(classes), "scores")
    assert table["bored"].isna().all()
    with pytest.raises(DataError, match="breaks the contract of scored predictions"):
        schema.validate(pd.DataFrame([row, row]), schema.scored(classes), "scores")
