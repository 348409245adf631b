"""Robustness: what spoils sound does so as told, and sound that is not spoilt is predicted as it was from storage."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emodag import audio, bundle, datasets, layout, params, robustness, schema, training
from emodag.adaptation import groups_of
from emodag.errors import DataError
from emodag.evaluation import confusion_matrix, unweighted_average_recall
from emodag.features.corpus import featurize_corpus, read_source
from emodag.files import atomic_directory
from emodag.params import Gain, Noise, Reverb, Telephone
from emodag.predict import decisions, prediction_table, restrict
from emodag.speech import Needs

ROOT = Path(__file__).resolve().parents[1]
EMOTIONS = ("happy", "sad", "angry")
SPEAKERS = ("a", "b", "c", "d")


def voice(speaker: int, emotion: int, take: int) -> np.ndarray:
    """Half a second of a harmonic sound between pauses; pitch and tilt tell the emotion, a little noise the take."""
    rng = np.random.default_rng([speaker, emotion, take])
    time = np.arange(8000) / audio.SAMPLE_RATE
    pitch = (110 + 25 * speaker) * (1.6, 0.9, 1.3)[emotion] * (1 + 0.03 * np.sin(2 * np.pi * 5 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / audio.SAMPLE_RATE
    tilt = (1.0, 2.0, 0.5)[emotion]
    sound = sum(np.sin(number * phase + rng.uniform(0, 6)) / number**tilt for number in range(1, 12))
    sound = 0.25 * sound / np.abs(sound).max() + 0.003 * rng.standard_normal(8000)
    return np.concatenate((np.zeros(2000), sound, np.zeros(2000))).astype(np.float32)


@pytest.fixture(scope="module")
def settings() -> params.Params:
    found = params.load(ROOT / "params.yaml")
    train = found.train.model_copy(update={"folds": 2})
    mlp = found.models.mlp.model_copy(update={"hidden": [16], "max_epochs": 30, "alpha": 0.01})
    compute = found.compute.model_copy(update={"jobs": 1})
    changed = {"train": train, "models": found.models.model_copy(update={"mlp": mlp}), "compute": compute}
    return found.model_copy(update=changed | {"corpora": {"mine": "train"}})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, settings) -> Path:
    """A checkout with sound, turns and features of one corpus."""
    root = tmp_path_factory.mktemp("checkout")
    rows, turns = [], []
    for number, speaker in enumerate(SPEAKERS):
        for emotion, name in enumerate(EMOTIONS):
            for take in range(3):
                clip_id, path = f"mine/{speaker}_{name}_{take}", f"clips/{name}/{speaker}_{take}.flac"
                pcm = audio.to_pcm16(voice(number, emotion, take))
                (root / layout.organized("mine") / path).parent.mkdir(parents=True, exist_ok=True)
                audio.write_flac(root / layout.organized("mine") / path, pcm)
                rows.append(
                    {"clip_id": clip_id, "corpus": "mine", "path": path, "speaker": f"mine/{speaker}", "language": "en",
                     "emotion": name, "native_label": name, "duration": len(pcm) / audio.SAMPLE_RATE,
                     "source_rate": audio.SAMPLE_RATE, "md5": audio.md5(pcm)}
                )  # fmt: skip
                turns.append((clip_id, 0.12, 0.63, "a", False))
    manifest = pd.DataFrame(rows).reindex(columns=list(schema.MANIFEST.columns))
    schema.write(manifest, schema.MANIFEST, root / layout.organized("mine") / "manifest.parquet")
    table = pd.DataFrame(turns, columns=list(schema.TURNS.columns))
    schema.write(table, schema.TURNS, root / layout.turns("mine") / "turns.parquet")
    source = read_source(root / layout.organized("mine"), root / layout.turns("mine"))
    with atomic_directory(root / layout.features("mine", "train")) as out:
        featurize_corpus([source], out, settings.featurize, jobs=1)
    return root


def trained_on_all(data: datasets.Dataset, settings: params.Params) -> bundle.Bundle:
    decided = SimpleNamespace(chosen={"epochs": 30}, temperature=1.0, confidence_for=lambda *_: 0.5)
    fitted = training.fit_final(data, settings, decided.chosen)
    return bundle.make(fitted, data, settings, decided, {"mine": 1.0})


@pytest.fixture(scope="module", params=["none", "speaker"])
def trained(request, corpus, settings):
    """Params, data set, a model of all of it, which is enough to see what reaches a model, and its predictions."""
    by = settings.adaptation.model_copy(update={"by": request.param})
    settings = settings.model_copy(update={"adaptation": by})
    data = datasets.load(["mine"], "train", Needs(features=True), root=corpus / layout.FEATURES)
    shipped = trained_on_all(data, settings)
    probabilities = shipped.predict_proba(data.speech, groups_of(data.index, settings.adaptation))
    return settings, data, shipped, prediction_table(data.index, probabilities, data.classes, fold=1)


@pytest.fixture(autouse=True)
def here(request, monkeypatch):
    """Sound is looked for in the checkout."""
    if "trained" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("corpus"))


def noise(snr: float) -> Noise:
    return Noise(kind="noise", p=1.0, source="white", min_snr=snr, max_snr=snr)


def test_conditions_are_those_of_the_params(settings):
    asked = settings.evaluate.robustness.model_copy(
        update={"noise": [20.0, 0.0], "reverb": [0.5], "telephone": True, "gain": [-20.0, 10.0]}
    )
    found = robustness.conditions(asked)
    assert [condition.name for condition in found] == [
        "clean", "noise_20", "noise_0", "reverb_0.5", "telephone", "gain_-20", "gain_10",
    ]  # fmt: skip
    none = asked.model_copy(update={"noise": [], "reverb": [], "telephone": False, "gain": []})
    assert [condition.name for condition in robustness.conditions(none)] == ["clean"]


def test_clean_sound_is_not_touched():
    samples = voice(0, 0, 0)
    assert robustness.spoil(samples, None, "mine/x", 0) is samples


@pytest.mark.parametrize("snr", [20.0, 10.0, 0.0])
def test_noise_has_the_ratio_that_was_asked_for_and_stays_the_same_noise(snr):
    samples = 0.3 * voice(0, 1, 0)
    difference, loud = (robustness.spoil(samples, noise(each), "mine/x", 0) - samples for each in (snr, 0.0))
    ratio = 20 * np.log10(np.std(samples) / np.std(difference))
    assert ratio == pytest.approx(snr, abs=0.1)
    assert np.corrcoef(difference, loud)[0, 1] > 0.99


def test_gain_beyond_full_scale_is_cut_off():
    samples = audio.to_pcm16(voice(0, 0, 0)).astype(np.float32) / 32768
    louder = robustness.spoil(samples, Gain(kind="gain", p=1.0, min_db=20.0, max_db=20.0), "mine/x", 0)
    assert np.abs(louder).max() <= 1
    assert np.mean(np.abs(louder) > 0.999) > 0.05
    quiet = np.abs(samples) < 0.09
    np.testing.assert_allclose(louder[quiet], 10 * samples[quiet], atol=2e-5)
    softer = robustness.spoil(samples, Gain(kind="gain", p=1.0, min_db=-20.0, max_db=-20.0), "mine/x", 0)
    np.testing.assert_allclose(softer, samples / 10, atol=2e-5)


@pytest.mark.parametrize(
    "transform",
    [
        noise(5.0),
        Reverb(kind="reverb", p=1.0, source="room", min_rt60=0.4, max_rt60=0.4),
        Telephone(kind="telephone", p=1.0),
    ],
    ids=lambda transform: transform.kind,
)
def test_spoilt_sound_repeats_by_clip_and_seed_and_keeps_its_length(transform):
    samples = voice(0, 0, 0)
    first, again = (robustness.spoil(samples, transform, "mine/x", 3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(first) == len(samples)
    assert not np.allclose(first, samples, atol=1e-3)
    np.testing.assert_array_equal(first, np.rint(first * 32768) / 32768)
    if transform.kind != "telephone":  # which draws nothing
        for other in (("mine/y", 3), ("mine/x", 4)):
            assert not np.array_equal(robustness.spoil(samples, transform, *other), first)


def test_silence_stays_silence():
    silence = np.zeros(4000, np.float32)
    np.testing.assert_array_equal(robustness.spoil(silence, noise(0.0), "mine/x", 0), silence)


def predictions(clips: int, seeds: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "clip_id": [f"x/{number:03d}" for number in range(clips)],
            "speaker": [f"x/{number}" for number in rng.integers(0, 5, clips)],
            "emotion": rng.choice(EMOTIONS, clips, p=[0.6, 0.3, 0.1]),
            "fold": 1,
        }
    )
    return pd.concat([table.assign(seed=seed) for seed in range(seeds)], ignore_index=True)


def test_clips_are_chosen_evenly_whatever_the_order_of_rows():
    table = predictions(300, seeds=2)
    chosen = robustness.choose(table, 60, seed=0)
    assert set(chosen["emotion"].value_counts()) == {20}
    # Of a rare emotion, some speakers have too few clips.
    frequent = chosen[chosen["emotion"] != "angry"]
    assert set(frequent.groupby(["emotion", "speaker"]).size()) == {4}
    assert chosen["clip_id"].is_unique
    assert set(chosen["seed"]) == {0}
    pd.testing.assert_frame_equal(chosen, robustness.choose(table.sample(frac=1, random_state=1), 60, seed=0))
    assert list(robustness.choose(table, 60, seed=1)["clip_id"]) != list(chosen["clip_id"])


def test_a_voice_that_is_adapted_to_brings_enough_clips():
    chosen = robustness.choose(predictions(300), 60, seed=0, speakers=2)
    assert chosen["speaker"].nunique() == 2
    assert chosen["speaker"].value_counts().min() >= 20
    others = [set(robustness.choose(predictions(300), 60, seed=seed, speakers=2)["speaker"]) for seed in range(5)]
    assert len({frozenset(each) for each in others}) > 1


def test_a_small_corpus_is_taken_whole():
    assert len(robustness.choose(predictions(30), 120, seed=0)) == 30


def test_what_is_not_spoilt_is_predicted_from_sound_as_from_storage(trained):
    settings, data, shipped, table = trained
    clean = robustness.conditions(settings.evaluate.robustness)[:1]
    found = robustness.predict_spoilt(
        table, data.index, {1: shipped}, clean, settings.featurize.encoder, seed=0, jobs=1
    )
    np.testing.assert_allclose(found[0], table[list(data.classes)].to_numpy(), atol=1e-6)


def test_noise_costs_and_the_drop_is_paired(trained):
    settings, data, shipped, table = trained
    asked = settings.evaluate.robustness.model_copy(
        update={"clips": 24, "noise": [30.0, -10.0], "reverb": [], "telephone": True, "gain": []}
    )
    evaluate = settings.evaluate.model_copy(update={"robustness": asked, "resamples": 200})
    found, again = (
        robustness.robustness_of(
            table, data.classes, data.index, {1: shipped}, evaluate, settings.featurize.encoder, seed=0, jobs=jobs
        )
        for jobs in (1, 2)
    )
    assert found == again
    assert (found.clips, found.speakers) == ((24, 4) if settings.adaptation.by == "none" else (18, 2))
    clean, mild, harsh, _ = found.conditions
    assert clean.uar > 0.9
    assert (clean.drop, clean.drop_interval) == (0, (0, 0))
    assert harsh.uar < mild.uar
    assert harsh.drop == pytest.approx(clean.uar - harsh.uar)
    assert harsh.drop_interval[0] <= harsh.drop <= harsh.drop_interval[1]


def test_each_fold_is_predicted_by_its_own_model(trained):
    settings, data, shipped, table = trained
    other = trained_on_all(data, settings.model_copy(update={"seed": 7}))
    table = table.assign(fold=np.where(table["speaker"] == "mine/a", 2, 1))
    clean = robustness.conditions(settings.evaluate.robustness)[:1]
    found = robustness.predict_spoilt(
        table, data.index, {1: shipped, 2: other}, clean, settings.featurize.encoder, seed=0, jobs=1
    )
    groups = groups_of(data.index, settings.adaptation)
    of_fold = {1: shipped.predict_proba(data.speech, groups), 2: other.predict_proba(data.speech, groups)}
    assert np.abs(of_fold[1] - of_fold[2]).max() > 0.01
    for fold, expected in of_fold.items():
        rows = table["fold"] == fold
        np.testing.assert_allclose(found[0][rows], expected[rows], atol=1e-6)


def test_scores_are_over_the_classes_that_were_scored(trained):
    settings, data, shipped, table = trained
    known = restrict(table[table["emotion"] != "sad"], data.classes, ("happy", "angry"))
    clean = {"clips": 120, "noise": [], "reverb": [], "telephone": False, "gain": []}  # so many that all voices remain
    asked = settings.evaluate.robustness.model_copy(update=clean)
    evaluate = settings.evaluate.model_copy(update={"robustness": asked, "resamples": 100})
    found = robustness.robustness_of(
        known, ("happy", "angry"), data.index, {1: shipped}, evaluate, settings.featurize.encoder, seed=0, jobs=1
    )
    truth, predicted = decisions(known, ("happy", "angry"))
    assert found.clips == 24
    assert found.conditions[0].uar == unweighted_average_recall(confusion_matrix(truth, predicted, 2))


def test_sound_that_is_missing_is_told(trained):
    settings, data, shipped, table = trained
    stranger = data.index.assign(clip_id=data.index["clip_id"].where(data.index.index != 3, "mine/gone"))
    clean = robustness.conditions(settings.evaluate.robustness)[:1]
    with pytest.raises(DataError, match="no audio of mine/gone"):
        robustness.predict_spoilt(table, stranger, {1: shipped}, clean, settings.featurize.encoder, seed=0, jobs=1)
    elsewhere = data.index.assign(corpus="other")
    with pytest.raises(DataError, match=r"organized/other.*has the stage that writes it run"):
        robustness.predict_spoilt(table, elsewhere, {1: shipped}, clean, settings.featurize.encoder, seed=0, jobs=1)
