"""Runs among which validation speakers choose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from emodag import choosing, cli, params, revisions
from emodag.choosing import Candidate, choose
from emodag.errors import DataError
from emodag.revisions import Predicted, Revision

EMOTIONS = ("neutral", "happy", "sad")
FOLDS, SPEAKERS, TAKES = 4, 8, 6


@pytest.fixture(scope="module")
def settings():
    return params.load(Path(__file__).resolve().parents[1] / "params.yaml").evaluate


def predictions(right: dict[tuple[int, int], float], *, seed: int = 0, model_seed: int = 0) -> pd.DataFrame:
    """Predictions of the clips of some (fold, speaker), of which about a share is right."""
    rng = np.random.default_rng(seed)
    rows = []
    for (fold, speaker), share in right.items():
        for emotion in EMOTIONS:
            for take in range(TAKES):
                hit = rng.random() < share
                best = emotion if hit else EMOTIONS[(EMOTIONS.index(emotion) + 1) % 3]
                facts = {
                    "clip_id": f"ours/{speaker}_{emotion}_{take}", "speaker": f"ours/{speaker}", "fold": fold,
                    "seed": model_seed, "temperature": 1.0, "emotion": emotion,
                }  # fmt: skip
                rows.append(facts | {each: 0.6 if each == best else 0.2 for each in EMOTIONS})
    return pd.DataFrame(rows)


def of_fold(fold: int) -> list[int]:
    return [speaker for speaker in range(SPEAKERS) if speaker % FOLDS == fold - 1]


def candidate(
    name: str, *, tested: float | dict[int, float], held: float | dict[int, float], seed: int = 0, model_seed: int = 0
) -> Candidate:
    """One that is right on such a share of tested and of validation clips, in all folds or by fold."""
    of_folds = [each if isinstance(each, dict) else dict.fromkeys(range(1, FOLDS + 1), each) for each in (tested, held)]
    of_test = {(fold, who): of_folds[0][fold] for fold in of_folds[0] for who in of_fold(fold)}
    of_held = {(fold, who): of_folds[1][fold] for fold in of_folds[1] for who in of_fold(fold % FOLDS + 1)}
    table = predictions(of_test, seed=seed, model_seed=model_seed)
    # What is guessed of validation clips has nothing to do with what is guessed of tested ones.
    validation = predictions(of_held, seed=seed + 1000, model_seed=model_seed)
    return Candidate(name, Predicted(table, EMOTIONS, "speaker_kfold", False), validation)


def test_voices_have_no_say_in_what_tests_them(settings):
    """The voices that fold 3 tests, which fold 2 holds out, speak for the first, all others for the second."""
    first = candidate("first", tested=1.0, held={1: 0.4, 2: 1.0, 3: 0.4, 4: 0.4})
    second = candidate("second", tested=0.0, held={1: 0.6, 2: 0.0, 3: 0.6, 4: 0.6})
    found = choose("ours", [second, first], settings, 0)
    assert found.by_fold == {1: "first", 2: "first", 3: "second", 4: "first"}
    assert found.best == "first"
    assert found.scores.uar == pytest.approx(0.75)
    assert found.scores.clips == SPEAKERS * TAKES * len(EMOTIONS)
    assert "chosen for 3 of 4 folds" in str(found)


def test_scores_of_tested_speakers_choose_nothing(settings):
    """The one that happens to be best on tested speakers is not taken unless validation speakers say so."""
    lucky, sound = candidate("lucky", tested=1.0, held=0.2), candidate("sound", tested=0.6, held=0.9, seed=1)
    found = choose("ours", [lucky, sound], settings, 0)
    assert set(found.by_fold.values()) == {"sound"}
    alone = choose("ours", [sound, sound], settings, 0)
    assert found.scores.uar == alone.scores.uar < 0.75


def test_a_choice_among_equals_is_worth_no_more_than_each(settings):
    """Forty models that guess: the best test score looks like skill, and the choice does not."""
    guessing = [candidate(str(seed), tested=1 / 3, held=1 / 3, seed=seed) for seed in range(40)]
    alone = [choose("ours", [each, each], settings, 0).scores.uar for each in guessing]
    found = choose("ours", guessing, settings, 0)
    assert max(alone) > 0.41
    assert found.scores.uar == pytest.approx(1 / 3, abs=0.08)


def test_seeds_are_averaged(settings):
    seeds = [candidate("both", tested=share, held=share, seed=n, model_seed=n) for n, share in enumerate((1.0, 0.0))]
    tested, held = (pd.concat(each) for each in zip(*((s.tested.table, s.validation) for s in seeds), strict=True))
    both = Candidate("both", Predicted(tested, EMOTIONS, "speaker_kfold", False), held)
    found = choose("ours", [both, both], settings, 0)
    assert found.scores.uar == pytest.approx(0.5)
    assert found.validated[0] == pytest.approx(np.full(FOLDS, 0.5))
    with pytest.raises(DataError, match=r"both tests other clips in its folds than one, or under other seeds"):
        choose("ours", [seeds[0]._replace(name="one"), both], settings, 0)


def test_only_runs_on_the_same_folds_can_be_chosen_among(settings):
    whole = candidate("whole", tested=0.5, held=0.5)
    few = whole._replace(name="few", validation=whole.validation[whole.validation["fold"] != 2])
    with pytest.raises(DataError, match=r"ours: few holds out other clips in its folds than whole"):
        choose("ours", [whole, few], settings, 0)
    itself = whole._replace(name="itself", validation=whole.validation[whole.validation["fold"] == 2])
    with pytest.raises(DataError, match=r"ours: no voice but those that fold 3 tests was held out"):
        choose("ours", [itself, itself], settings, 0)
    alone = whole._replace(name="alone", validation=whole.validation[:0])
    with pytest.raises(DataError, match=r"ours: alone held nobody out for validation"):
        choose("ours", [whole, alone], settings, 0)
    fewer = whole._replace(name="fewer", tested=Predicted(whole.tested.table, EMOTIONS[:2], "speaker_kfold", False))
    with pytest.raises(DataError, match=r"whole tells neutral, happy, sad apart and fewer neutral, happy;"):
        choose("ours", [whole, fewer], settings, 0)


def revision(made: Candidate) -> Revision:
    params = {"train.calm": "keep"}
    return Revision(made.name, f"revision {made.name}", params, {"ours": made.tested}, {"ours": made.validation})


def test_the_command_tells_and_writes_the_choice(settings, tmp_path, monkeypatch):
    runs = {"mlp": candidate("mlp", tested=0.5, held=0.5), "svm": candidate("svm", tested=0.8, held=0.9, seed=1)}
    monkeypatch.setattr(revisions, "read", lambda name: revision(runs[name]))
    out = tmp_path / "choice.json"
    told = CliRunner().invoke(cli.app, ["choose", "mlp", "svm", "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("ours, speaker_kfold, chosen among 2 by other voices than are tested: UAR ")
    content = json.loads(out.read_text())
    assert content["ship"] == content["corpora"]["ours"]["best"] == "svm"
    assert content["corpora"]["ours"]["folds"] == dict.fromkeys("1234", "svm")
    assert content["corpora"]["ours"]["leaky"] is False
    assert list(content["corpora"]["ours"]["uar_validation"]) == ["mlp", "svm"]
    assert content["corpora"]["ours"]["calm"] == {"mlp": "keep", "svm": "keep"}
    assert "\n  144 clips, 8 speakers, 3 classes, calm: keep, 95% interval over speakers\n" in told.output
    assert told.output.endswith("to ship: svm\n")
    assert CliRunner().invoke(cli.app, ["choose", "mlp", "mlp", "--out", str(out)]).exit_code == 2
    with pytest.raises(DataError, match=r"--corpus: 'our' was not .* did you mean 'ours'"):
        choosing.choices([revision(each) for each in runs.values()], settings, 0, "our")


def test_a_corpus_without_a_jury_stands_in_no_other_s_way(settings, tmp_path):
    """Fold 2 alone holds somebody out of the corpus of the mute, and tests them as well."""
    made = [candidate(name, tested=share, held=share) for name, share in (("a", 0.4), ("b", 0.9))]
    mute = [each._replace(validation=each.validation[each.validation["fold"] == 2]) for each in made]
    runs = [
        Revision(each.name, each.name, {}, {"mute": its.tested, "ours": each.tested},
                 {"mute": its.validation, "ours": each.validation}, ("stale",))
        for each, its in zip(made, mute, strict=True)
    ]  # fmt: skip
    found = choosing.choices(runs, settings, 0)
    assert str(found).startswith("undecided: mute: no voice but those that fold")
    assert found.ship == "b"
    assert "warning: b: stale" in str(found)
    content = choosing.write(found, tmp_path / "choice.json")
    assert list(content["corpora"]["mute"]) == ["undecided"]
    assert content["corpora"]["ours"]["remarks"] == {"a": ["stale"], "b": ["stale"]}
    with pytest.raises(DataError, match="mute: no voice but those that fold"):
        choosing.choices(runs, settings, 0, "mute")


def test_a_corpus_that_validates_and_is_not_tested_is_not_chosen_on(settings):
    """As under `holdout`, whose tested speakers may be of one corpus alone."""
    runs = [
        Revision(each.name, each.name, {}, {"ours": each.tested}, {"ours": each.validation, "theirs": each.validation})
        for each in (candidate(name, tested=0.5, held=0.5) for name in ("a", "b"))
    ]
    assert [found.corpus for found in choosing.choices(runs, settings, 0).corpora] == ["ours"]


def test_runs_without_validation_speakers_have_nothing_to_choose_by(settings):
    made = [revision(candidate(name, tested=0.5, held=0.5)) for name in ("a", "b")]
    with pytest.raises(DataError, match=r"a, b have no corpus in common that they cross-validated with validation"):
        choosing.choices([made[0], Revision("b", "b", {}, made[1].corpora)], settings, 0)


def test_one_model_ships_whatever_each_corpus_would_choose(settings):
    """The second is better on the one corpus by less than it is worse on the other."""
    shares = {"first": (0.6, 0.9), "second": (0.7, 0.5)}
    runs = []
    for name, (ours, theirs) in shares.items():
        made = {"ours": candidate(name, tested=ours, held=ours), "theirs": candidate(name, tested=theirs, held=theirs)}
        tested = {corpus: each.tested for corpus, each in made.items()}
        runs.append(Revision(name, name, {}, tested, {corpus: each.validation for corpus, each in made.items()}))
    found = choosing.choices(runs, settings, 0)
    assert [each.best for each in found.corpora] == ["second", "first"]
    assert found.ship == "first"
    assert str(found).count("to ship") == 1
    assert str(found).endswith("to ship: first, by the mean over ours, theirs")
