"""Permutation importance: what a model does not go by costs nothing, what it goes by costs all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emodag import bundle
from emodag.adaptation import groups_of
from emodag.errors import DataError
from emodag.evaluation.scores import confusion_matrix, unweighted_average_recall
from emodag.feature_groups import Player
from emodag.importance import dealt, importances
from emodag.params import Importance
from emodag.plots import importance_figure, save
from emodag.speech import Speech, sequences_of

ALL = Importance(clips=1000, repeats=3)


@pytest.fixture(scope="module", params=["none", "speaker"])
def adaptation(request):
    return request.param


@pytest.fixture(scope="module")
def shipped(spoken_corpus, adaptation):
    """A bundle, its data, and a table that says which of two folds tested a clip."""
    changes = {"train__inputs": "functionals", "models__logistic__C": 0.1, "adaptation__by": adaptation}
    model = bundle.load(spoken_corpus.ship("logistic", **changes))
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    data = spoken_corpus.data(spoken_corpus.params.changed({"model": "logistic"} | changed))
    speakers = sorted(data.index["speaker"].unique())
    folds = 1 + data.index["speaker"].isin(speakers[2:]).astype(int)
    return model, data, pd.DataFrame({"clip_id": data.index["clip_id"], "fold": folds, "seed": 0})


def only(model, kept: str):
    """The bundle blind for all features but those whose name starts so: their weights in the graph are 0."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(model.onnx)
    for weight in graph.graph.initializer:
        values = numpy_helper.to_array(weight).copy()
        if values.shape == (len(model.names), len(model.classes)):
            values[[not name.startswith(kept) for name in model.names]] = 0
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return replace(model, onnx=graph.SerializeToString())


def test_only_what_the_models_go_by_matters(shipped):
    model, data, predictions = shipped
    blind = only(model, "log_mel_")
    table = importances({1: blind, 2: blind}, data, predictions, ALL, seed=0)
    assert list(table.columns) == ["group", "words", "drop", "spread"]
    assert table["group"][0] == "log_mel"
    assert table["drop"][0] > 0.3
    assert (table["drop"][1:] == 0).all()
    assert (table["spread"][1:] == 0).all()


def test_what_falls_is_the_uar_of_the_folds_models_down_to_chance(shipped):
    model, data, predictions = shipped
    blind = only(model, "log_mel_")
    truths, predicted = [], []
    for fold in (1, 2):
        rows = np.flatnonzero(predictions["fold"] == fold)
        groups = groups_of(data.index.iloc[rows], blind.adapter.settings)
        predicted.append(blind.run(blind.adapter(data.speech.of(rows), groups)).argmax(axis=1))
        truths.append(data.labels[rows])
    uar = unweighted_average_recall(confusion_matrix(np.concatenate(truths), np.concatenate(predicted), 7))
    table = importances({1: blind, 2: blind}, data, predictions, Importance(clips=1000, repeats=40), seed=0)
    assert uar > 0.5
    assert uar - table["drop"][0] == pytest.approx(1 / 7, abs=0.06)


def test_the_same_seed_gives_the_same_table(shipped):
    model, data, predictions = shipped
    few = Importance(clips=14, repeats=5)
    first, again = (importances({1: model, 2: model}, data, predictions, few, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(importances({1: model, 2: model}, data, predictions, few, seed=4))


def test_seeds_do_not_count_a_clip_twice(shipped):
    model, data, predictions = shipped
    twice = pd.concat([predictions, predictions.assign(seed=1)])
    once = importances({1: model, 2: model}, data, predictions, ALL, seed=0)
    pd.testing.assert_frame_equal(importances({1: model, 2: model}, data, twice, ALL, seed=0), once)


def test_a_clip_drawn_alone_of_its_fold_is_given_the_values_of_others(shipped):
    model, data, predictions = shipped
    blind = only(model, "log_mel_")
    table = importances({1: blind, 2: blind}, data, predictions, Importance(clips=2, repeats=20), seed=0)
    assert table["group"][0] == "log_mel"
    assert table["drop"][0] > 0.3


def test_a_missing_model_or_clip_is_an_error(shipped):
    model, data, predictions = shipped
    with pytest.raises(DataError, match=r"the model of fold 2 is missing; set train\.keep_folds"):
        importances({1: model}, data, predictions, ALL, seed=0)
    with pytest.raises(DataError, match="was tested and is not there"):
        importances({1: model, 2: model}, data.where(np.arange(28) > 0), predictions, ALL, seed=0)


def test_dealing_gives_every_clip_the_values_of_one(shipped):
    speech = Speech(np.arange(40, dtype=np.float32).reshape(10, 4), tuple("abcd"))
    found = dealt(speech, speech, Player("x", "x", "features", np.array([1, 2])), np.random.default_rng(0)).features
    np.testing.assert_array_equal(found[:, [0, 3]], speech.features[:, [0, 3]])
    np.testing.assert_array_equal(np.sort(found[:, 1]), speech.features[:, 1])
    np.testing.assert_array_equal(found[:, 2], found[:, 1] + 1)
    assert not np.array_equal(found, speech.features)


def test_dealt_frames_keep_the_clips_own_length():
    clips = [np.full((length, 3), length, np.float32) for length in (5, 9, 2, 7)]
    frames = sequences_of(clips, "abc")
    speech, player = Speech(frames=frames), Player("x", "x", "frames", np.array([1]))
    found = dealt(speech, speech, player, np.random.default_rng(1)).frames
    givers = [int(found[clip][0, 1]) for clip in range(4)]
    assert sorted(givers) == [2, 5, 7, 9]
    for clip, giver in enumerate(givers):
        assert found[clip].shape == clips[clip].shape
        np.testing.assert_array_equal(found[clip][:, 1], giver)
        np.testing.assert_array_equal(found[clip][:, [0, 2]], clips[clip][:, [0, 2]])
    rising = Speech(frames=sequences_of([np.arange(5.0)[:, None], np.arange(9.0)[:, None]], "a"))
    stretched = dealt(rising, rising, player._replace(columns=np.array([0])), np.random.default_rng(1)).frames
    longest = max((stretched[clip][:, 0] for clip in range(2)), key=len)
    assert (np.diff(longest) >= 0).all()


def test_the_picture_has_a_bar_for_each_group(tmp_path):
    table = pd.DataFrame(
        {"group": ["f0", "mfcc", "rms"], "words": ["pitch", "timbre", "energy"], "drop": [0.02, 0.3, -0.01],
         "spread": [0.01, 0.02, 0.005]}
    )  # fmt: skip
    figure = importance_figure(table, title="demo_en", notes=["speaker_kfold"], leaky=True)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["mfcc", "f0", "rms"]
    np.testing.assert_allclose([bar.get_width() for bar in figure.axes[0].patches], [30, 2, -1])
    assert figure.texts[0].get_text() == "LEAKY: demo_en"
    save(figure, tmp_path / "importance.png")
    assert (tmp_path / "importance.png").stat().st_size > 5000
