"""What runs of `make results` recognised, kept and read back: choices come out as from their predictions."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import params
from emodag.choosing import Candidate, choose
from emodag.errors import DataError
from emodag.revisions import Predicted, Revision

ROOT = Path(__file__).resolve().parents[2]
EMOTIONS = ("neutral", "happy", "sad")


@pytest.fixture
def recognised(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import _recognised

    monkeypatch.setattr(_recognised, "FOLDER", tmp_path / "recognised")
    yield _recognised
    for name in ("_recognised", "_checkout"):
        del sys.modules[name]


def predictions(seed: int, *, shift: int, skill: float) -> pd.DataFrame:
    """Of six speakers in three folds; validation clips of a fold are those that the next tests (``shift`` 1)."""
    rng = np.random.default_rng(seed)
    rows = []
    for speaker in range(6):
        for emotion in EMOTIONS:
            for take in range(4):
                values = rng.dirichlet(np.ones(3))
                best = EMOTIONS.index(emotion) if rng.random() < skill else rng.integers(3)
                values[[values.argmax(), best]] = values[[best, values.argmax()]]
                facts = {
                    "clip_id": f"ours/{speaker}_{emotion}_{take}", "speaker": f"ours/{speaker}", "seed": 0,
                    "fold": (speaker + shift) % 3 + 1, "temperature": 1.7, "emotion": emotion,
                }  # fmt: skip
                rows.append(facts | dict(zip(EMOTIONS, values, strict=True)))
    return pd.DataFrame(rows)


def run(name: str, seed: int, flawless: int = 0) -> Revision:
    """One that half knows; and all, of the validation clips of one fold."""
    tested = Predicted(predictions(seed, shift=0, skill=0.5), EMOTIONS, "loso", False)
    held_out = predictions(seed + 50, shift=1, skill=0.5)
    known = held_out["fold"] == flawless
    for emotion in EMOTIONS:
        held_out.loc[known, emotion] = (held_out["emotion"] == emotion).astype(float)
    return Revision(name, name, {}, {"ours": tested}, {"ours": held_out})


def test_choices_and_scores_are_those_of_the_predictions(recognised):
    settings = params.load(ROOT / "params.yaml").evaluate
    runs = [run(f"run-{seed}", seed, flawless=seed) for seed in range(4)]
    for each in runs:
        recognised.add(each, "ours")
    kept = recognised.candidates("ours", "loso")
    assert list(kept) == [each.name for each in runs]
    whole = choose("ours", [Candidate(r.name, r.corpora["ours"], r.validation["ours"]) for r in runs], settings, 0)
    again = choose("ours", [kept[r.name] for r in runs], settings, 0)
    assert again.by_fold == whole.by_fold
    assert len(set(again.by_fold.values())) > 1
    assert again.scores.summary() == whole.scores.summary()
    np.testing.assert_array_equal(again.validated, whole.validated)


def test_a_run_that_is_made_anew_replaces_what_it_said(recognised):
    for seed in (0, 1):
        recognised.add(run("same", seed), "ours")
    (kept,) = recognised.candidates("ours", "loso").values()
    new = run("same", 1).corpora["ours"].table.sort_values("clip_id")
    said = kept.tested.table.sort_values("clip_id")
    np.testing.assert_array_equal(said[list(EMOTIONS)].to_numpy().argmax(1), new[list(EMOTIONS)].to_numpy().argmax(1))


def test_runs_on_other_folds_are_not_chosen_among(recognised):
    settings = params.load(ROOT / "params.yaml").evaluate
    other = run("other", 1)
    table = other.corpora["ours"].table.assign(fold=lambda rows: rows["fold"] % 3 + 1)
    recognised.add(run("one", 0), "ours")
    recognised.add(
        Revision("other", "", {}, {"ours": Predicted(table, EMOTIONS, "loso", False)}, other.validation), "ours"
    )
    with pytest.raises(DataError, match="other tests other clips in its folds than one"):
        choose("ours", list(recognised.candidates("ours", "loso").values()), settings, 0)


def test_of_voices_too_few_to_validate_the_tested_ones_are_kept(recognised):
    lone = run("lone", 0)
    recognised.add(Revision("lone", "", {}, lone.corpora, {}), "ours")
    (kept,) = recognised.candidates("ours", "loso").values()
    assert kept.validation.empty
    assert len(kept.tested.table) == 72
    assert recognised.candidates("theirs", "loso") == {}
