"""Why a model says what it says: evidence adds up, and what a model cannot see is no evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from emodag import bundle, explanation
from emodag.adaptation import each_alone
from emodag.background import BACKGROUND, Background
from emodag.cli import app
from emodag.errors import AudioError, DataError
from emodag.explanation import Evidence, explain, explain_speech, shapley, strongest
from emodag.feature_groups import group_of, players_of
from emodag.features.extraction import names
from emodag.params import FrameGroups
from emodag.plots import explanation_figure, save
from emodag.recognition import UNKNOWN, Recogniser, read
from emodag.speech import Speech

MODELS = {
    "features": ("logistic", {"models__logistic__C": 0.01}),
    "frames": ("cnn", {"models__cnn__groups": ["log_mel"]}),
    "both": (
        "ensemble",
        {
            "models__ensemble__members": [{"model": "logistic", "inputs": "all"}, {"model": "cnn", "inputs": "all"}],
            "models__cnn__groups": ["log_mel", "mfcc"],
            "adaptation__by": "speaker",
        },
    ),
}


class Explained:
    """A bundle, what it needs, and the explanation of one clip."""

    def __init__(self, spoken_corpus, folder):
        self.folder = folder
        self.bundle = bundle.load(folder)
        self.background = Background.load(folder, self.bundle)
        self.recogniser = Recogniser(self.bundle, spoken_corpus.params.featurize.encoder)
        self.samples = read(spoken_corpus.clips[3])
        self.found = explain(self.recogniser, self.background, self.samples)


@pytest.fixture(scope="module", params=MODELS)
def explained(request, spoken_corpus):
    model, changes = MODELS[request.param]
    return Explained(spoken_corpus, spoken_corpus.ship(model, **changes))


@pytest.fixture(scope="module")
def of_features(spoken_corpus):
    model, changes = MODELS["features"]
    return Explained(spoken_corpus, spoken_corpus.ship(model, **changes))


def exact_shapley(value, players: int) -> np.ndarray:
    """By the definition: over all coalitions."""
    found = np.zeros(players)
    for player in range(players):
        others = [other for other in range(players) if other != player]
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            for coalition in combinations(others, size):
                members = np.zeros((2, players), bool)
                members[:, list(coalition)] = True
                members[1, player] = True
                without, joined = value(members)
                found[player] += weight * (joined - without)
    return found


def test_shapley_values_are_exact_where_two_players_at_most_act_together():
    rng = np.random.default_rng(0)
    alone, pairs = rng.normal(size=5), rng.normal(size=(5, 5))

    def value(coalitions):
        there = np.asarray(coalitions, float)
        return 0.3 + there @ alone + np.einsum("ni,ij,nj->n", there, pairs, there)

    found, base = shapley(value, 5, 1)
    np.testing.assert_allclose(found, exact_shapley(value, 5), atol=1e-9)
    assert base == pytest.approx(0.3)


def test_shapley_values_come_near_the_exact_ones_where_more_act_together():
    def value(coalitions):
        there = np.asarray(coalitions, float)
        return there[:, 0] * there[:, 1] * there[:, 2] + there[:, 3]

    found, _ = shapley(value, 4, 40)
    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 1 / 3, 1], atol=0.1)
    assert found[3] == pytest.approx(1)


def test_evidence_and_base_add_up_to_the_probability(explained):
    found = explained.found
    whole = found.base + sum(each.points for each in found.groups)
    assert whole == pytest.approx(found.probabilities[found.explained], abs=1e-5)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
    assert next(iter(found.probabilities)) == found.explained


def test_probabilities_are_those_of_recognition(explained):
    expected = explained.recogniser([explained.samples]).probabilities[0]
    np.testing.assert_allclose([explained.found.probabilities[name] for name in explained.bundle.classes], expected)


def test_every_column_that_the_model_sees_belongs_to_one_group(explained):
    model = explained.bundle
    players = players_of(model)
    for part, count in (("features", len(model.names)), ("frames", len(model.columns))):
        columns = [player.columns for player in players if player.part == part]
        assert sorted(np.concatenate([np.empty(0, int), *columns])) == list(range(count))
    assert len({player.name for player in players}) == len(players)
    assert {each.name for each in explained.found.groups} == {player.name for player in players}


def test_explaining_again_gives_the_same(of_features):
    again = explain(of_features.recogniser, of_features.background, of_features.samples)
    assert again.describe() == of_features.found.describe()


def linear(model, feature: int, scale: float):
    """The bundle with a model whose first class's log-odds are one feature alone."""
    weights = np.zeros((len(model.names), len(model.classes)), np.float32)
    weights[feature, 0] = scale
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["clips", columns])]
        for name, columns in (("features", len(model.names)), ("probabilities", len(model.classes)))
    )
    graph = helper.make_graph(nodes, "one", inputs, outputs, [numpy_helper.from_array(weights, "weights")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    return replace(model, onnx=made.SerializeToString())


def test_only_what_the_model_goes_by_is_evidence(of_features):
    model = of_features.bundle
    feature = model.names.index("f0_mean")
    recogniser = Recogniser(linear(model, feature, 0.5), of_features.recogniser.featurize.encoder)
    found = explain(recogniser, of_features.background, of_features.samples)
    assert found.groups[0].name == "f0"
    assert found.groups[0].points != 0
    assert all(each.points == pytest.approx(0, abs=1e-9) for each in found.groups[1:])
    assert found.features[0].name == "f0_mean"
    assert found.features[0].points == pytest.approx(found.groups[0].points, abs=0.15)
    assert all(each.points == pytest.approx(0, abs=1e-9) for each in found.features[1:])


def test_single_features_say_where_the_clip_lies_among_training_clips(of_features):
    speech = of_features.recogniser.speech([of_features.recogniser.spoken(of_features.samples)])
    adapted = of_features.bundle.adapter(speech, each_alone(1))
    for each in of_features.found.features:
        column = of_features.bundle.names.index(each.name)
        usual, value = of_features.background.features[:, column], adapted.features[0, column]
        lower, higher = np.mean(usual < value), np.mean(usual > value)
        if lower >= higher:
            assert each.words == f"higher than in {lower:.0%} of training clips"
        else:
            assert each.words == f"lower than in {higher:.0%} of training clips"


def test_moments_cover_the_speech_and_lie_in_the_recording(explained):
    found, spoken = explained.found, explained.found.spoken
    assert found.moments[0].start == pytest.approx(spoken.start)
    assert found.moments[-1].end == pytest.approx(spoken.start + len(spoken.samples) / 16000)
    for one, following in zip(found.moments[:-1], found.moments[1:], strict=True):
        assert one.end == following.start
    assert 5 <= len(found.moments) <= 12
    assert any(abs(moment.points) > 1e-4 for moment in found.moments)


def test_silencing_what_is_silent_already_changes_nothing(of_features):
    silent = of_features.samples.copy()
    spoken = of_features.recogniser.spoken(silent)
    half = len(spoken.samples) // 2
    quiet = spoken._replace(samples=np.concatenate([spoken.samples[:half], np.zeros(half, np.float32)]))
    silenced = explanation._silenced(quiet.samples, half + 100, half + 3000)
    np.testing.assert_array_equal(silenced, quiet.samples)
    silenced = explanation._silenced(spoken.samples, 1000, 5000)
    assert not silenced[1200:4800].any()
    np.testing.assert_array_equal(silenced[:1000], spoken.samples[:1000])
    np.testing.assert_array_equal(silenced[5000:], spoken.samples[5000:])


def test_only_models_of_frames_have_heat(explained):
    heat = explained.found.heat
    bands = [player.name for player in players_of(explained.bundle) if player.part == "frames"]
    if not bands:
        assert heat is None
        return
    assert list(heat.bands) == bands
    assert heat.points.shape == (len(heat.edges) - 1, len(bands))
    assert np.abs(heat.points).max() > 0
    assert heat.edges[0] == pytest.approx(explained.found.spoken.start)
    assert heat.edges[-1] == pytest.approx(explained.found.moments[-1].end)


def test_mel_bands_meet_and_are_told_in_hertz(spoken_corpus):
    model = bundle.load(spoken_corpus.ship("cnn", models__cnn__groups=["log_mel"]))
    players = players_of(model)
    assert [len(player.columns) for player in players] == [8] * 8
    limits = [player.words.removesuffix(" Hz, over time").split(" to ") for player in players]
    assert [upper for _, upper in limits[:-1]] == [lower for lower, _ in limits[1:]]
    assert 50 <= int(limits[0][0]) < 100
    assert 7500 < int(limits[-1][1]) <= 8000


def test_every_feature_has_a_group_that_featurize_knows(spoken_corpus):
    settings = spoken_corpus.params.featurize
    everything = settings.model_copy(update={"frames": FrameGroups(**dict.fromkeys(FrameGroups.model_fields, True))})
    stored = names(everything)
    for group, columns in stored.frames.items():
        assert {group_of(column)[0] for column in columns} == {group}
    families = {group_of(name)[0] for name in stored.functionals}
    assert families == {*stored.frames, "voice_quality", "rhythm"}
    assert group_of("embedding_0007")[0] == "embedding"
    assert group_of("F0semitoneFrom27.5Hz_sma3nz_amean")[0] == "other"


def test_the_strongest_come_first_and_none_is_told_that_would_round_to_nothing():
    evidence = [
        Evidence(name, name, points) for name, points in zip("abcde", (0.1, -0.3, 0.2, 0.0001, -0.01), strict=True)
    ]
    assert [each.name for each in strongest(evidence, 5)] == ["c", "a", "b", "e"]
    assert [each.name for each in strongest(evidence, 1)] == ["c", "b"]


def test_the_background_has_clips_of_every_emotion_and_is_read_back_whole(of_features, spoken_corpus, tmp_path):
    background = of_features.background
    assert background.features.shape == (28, len(of_features.bundle.names))
    background.save(tmp_path)
    assert (tmp_path / BACKGROUND).read_bytes() == (of_features.folder / BACKGROUND).read_bytes()
    speech = Speech(np.arange(60, dtype=np.float32).reshape(30, 2), ("a", "b"))
    made = Background.of(speech, np.repeat([0, 1, 2], (20, 8, 2)))
    np.testing.assert_array_equal(made.features[:, 0] // 2, [0, 6, 13, 19, 20, 22, 25, 27, 28, 29])


@pytest.mark.parametrize("fault", ["missing", "text", "pickle", "columns", "nan", "cut"])
def test_a_broken_background_is_an_error(of_features, tmp_path, fault):
    path, background = tmp_path / BACKGROUND, of_features.background
    background.save(tmp_path)
    match fault:
        case "missing":
            path.unlink()
        case "text":
            path.write_text("no archive")
        case "cut":
            path.write_bytes(path.read_bytes()[:1000])
        case "pickle":
            np.savez(path, features=np.array([{}], object), frames=np.zeros(0), embedding_frames=np.zeros(0))
        case "columns":
            replace(background, features=background.features[:, 1:]).save(tmp_path)
        case "nan":
            replace(background, features=background.features * np.nan).save(tmp_path)
    with pytest.raises(DataError, match=r"background\.npz.*train"):
        Background.load(tmp_path, of_features.bundle)


def test_an_explanation_is_json_and_told_in_plain_words(explained):
    found = replace(explained.found, emotion=UNKNOWN)
    described = json.loads(json.dumps(found.describe(), allow_nan=False))
    assert described["explained"] == found.explained
    assert described["emotion"] == UNKNOWN
    assert len(described["moments"]) == len(found.moments)
    told = "\n".join(found.told())
    assert f"not sure enough to say {found.explained}, so: unknown" in told
    assert f"{100 * found.probabilities[found.explained]:5.1f} %" in told
    assert strongest(found.groups, 1)[0].words in told


def test_the_picture_shows_sound_and_evidence(explained, tmp_path):
    figure = explanation_figure(explained.found, title="x.wav: angry, 78 %", notes=["mlp trained on demo_en"])
    frames = explained.found.heat is not None
    assert len(figure.axes) == 3 + 2 * frames - frames
    bars = figure.axes[-1 if not frames else 3]
    told = [each.words for each in strongest(explained.found.groups, 8)]
    assert [label.get_text() for label in bars.get_yticklabels()] == told
    save(figure, tmp_path / "one.png")
    again = explanation_figure(explained.found, title="x.wav: angry, 78 %", notes=["mlp trained on demo_en"])
    save(again, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_command_prints_probabilities_and_writes_picture_and_json(spoken_corpus, tmp_path):
    folder = spoken_corpus.ship("logistic", train__inputs="functionals")
    file = spoken_corpus.clips[0]
    done = CliRunner().invoke(app, ["explain", str(file), "--models", str(folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = tmp_path / "out" / f"{file.name}.explanation.json"
    found = json.loads(written.read_text(encoding="utf-8"))
    assert found["file"] == file.name
    assert "nothing but a synthesiser" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split()[0] == found["explained"]
    assert [float(line.split()[1]) for line in lines[1:8]] == [
        pytest.approx(100 * value, abs=0.051) for value in found["probabilities"].values()
    ]
    assert lines[-2:] == [str(written.with_suffix(".png")), str(written)]
    assert written.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_bundle_is_an_error(spoken_corpus, tmp_path):
    done = CliRunner().invoke(app, ["explain", str(spoken_corpus.clips[0]), "--models", str(tmp_path)])
    assert isinstance(done.exception, DataError)
    assert "bundle.json: no such file" in str(done.exception)


def test_a_clip_that_was_kept_without_speech_is_explained_too(of_features):
    """As one of a corpus, which was judged all the same."""
    silence = of_features.recogniser.spoken(np.zeros(1600, np.float32))
    found = explain_speech(of_features.recogniser, of_features.background, silence)
    assert len(found.moments) == 1
    assert np.isfinite([each.points for each in found.groups]).all()


def test_where_no_speech_is_found_nothing_is_explained(spoken_corpus, tmp_path):
    folder = spoken_corpus.ship("logistic", train__inputs="functionals")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(16_000), 16_000)
    done = CliRunner().invoke(app, ["explain", str(silent), "--models", str(folder)])
    assert isinstance(done.exception, AudioError)
    assert str(done.exception) == f"no_speech: {silent}: no speech was found, so there is nothing to explain"
    assert [each.name for each in tmp_path.iterdir()] == ["silent.wav"]
