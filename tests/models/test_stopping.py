from __future__ import annotations

import numpy as np
import pytest

from emodag.errors import DataError
from emodag.evaluation.calibration import tempered
from emodag.models import Clips
from emodag.models.base import TEMPERATURES, balanced_log_loss
from emodag.models.stopping import EarlyStopping
from emodag.speech import Speech

CLASSES, VOICES, CLIPS, ROUNDS = 3, 4, 48, 30


def validation(voices: np.ndarray | None) -> Clips:
    labels = np.arange(CLIPS) % CLASSES
    return Clips(Speech(np.zeros((CLIPS, 1), np.float32), ("feature",)), labels, voices)


@pytest.fixture
def rounds():
    """Probabilities after each round, [rounds, clips, classes], that have nothing to do with what was spoken."""
    return np.random.default_rng(0).dirichlet(np.ones(CLASSES), (ROUNDS, CLIPS)).astype(np.float32)


@pytest.fixture
def voices():
    return np.random.default_rng(1).permutation(CLIPS) % VOICES


def seen(clips: Clips, rounds: np.ndarray, **settings) -> EarlyStopping:
    stopping = EarlyStopping(clips, patience=ROUNDS, **settings)
    for probabilities in rounds:
        stopping.see(probabilities)
    return stopping


def loss_of(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return min(balanced_log_loss(tempered(probabilities, temperature), labels) for temperature in TEMPERATURES)


def test_the_best_round_has_the_least_loss_at_its_own_temperature(rounds):
    clips = validation(None)
    losses = [loss_of(each, clips.labels) for each in rounds]
    stopping = EarlyStopping(clips, patience=ROUNDS)
    for probabilities, loss in zip(rounds, losses, strict=True):
        is_best = stopping.see(probabilities)
        assert stopping.loss == pytest.approx(loss)
        assert is_best == (stopping.loss == pytest.approx(min(losses[: len(stopping._losses)])))
    assert stopping.best == 1 + np.argmin(losses)


def test_more_confidence_alone_is_no_worse_round(rounds):
    sure = tempered(rounds[0], 0.2)
    plain = seen(validation(None), np.stack([rounds[0], sure]), temperatures=[1.0])
    assert balanced_log_loss(sure, validation(None).labels) > balanced_log_loss(rounds[0], validation(None).labels)
    assert plain.best == 1
    first, second = (loss_of(each, validation(None).labels) for each in (rounds[0], sure))
    assert second == pytest.approx(first, abs=0.02)


def test_training_ends_after_rounds_without_a_better_one(rounds):
    clips = validation(None)
    stopping = EarlyStopping(clips, patience=3)
    told = []
    for quality in (0.1, 0.5, 0.4, 0.4, 0.3, 0.2):
        truth = np.eye(CLASSES, dtype=np.float32)[clips.labels]
        stopping.see(quality * truth + (1 - quality) * rounds[0])
        told.append(stopping.over)
    assert told == [False, False, False, False, True, True]
    assert stopping.best == 2


def test_what_is_said_of_a_voice_is_by_the_round_that_other_voices_choose(rounds, voices):
    clips = validation(voices)
    found = seen(clips, rounds).held_out()
    chosen = set()
    for voice in range(VOICES):
        own = voices == voice
        best = int(np.argmin([loss_of(each[~own], clips.labels[~own]) for each in rounds]))
        chosen.add(best)
        np.testing.assert_array_equal(found[own], rounds[best][own])
    assert len(chosen) > 1


@pytest.mark.parametrize("known", [np.zeros(CLIPS, int), None], ids=["one voice", "nobody knows whose"])
def test_a_voice_alone_goes_by_itself(rounds, known):
    stopping = seen(validation(known), rounds)
    np.testing.assert_array_equal(stopping.held_out(), rounds[stopping.best - 1])


def test_rounds_of_pure_chance_are_not_flattered(voices):
    """The best of many meaningless rounds looks better than chance on the clips that chose it, and on no others."""
    rng = np.random.default_rng(2)
    chosen, held_out = [], []
    for _ in range(100):
        rounds = rng.dirichlet(np.ones(CLASSES), (ROUNDS, CLIPS))
        clips = validation(voices)
        stopping = seen(clips, rounds)
        chosen.append(np.mean(rounds[stopping.best - 1].argmax(axis=1) == clips.labels))
        held_out.append(np.mean(stopping.held_out().argmax(axis=1) == clips.labels))
    assert np.mean(chosen) > 1 / CLASSES + 0.08
    # The mean of 4800 draws strays by 0.007.
    assert np.mean(held_out) == pytest.approx(1 / CLASSES, abs=0.03)


def test_a_model_that_diverges_is_an_error_and_no_best_round(rounds):
    stopping = seen(validation(None), rounds[:4])
    broken = rounds[4].copy()
    broken[7, 1] = np.nan
    with pytest.raises(DataError, match=r"training diverged: after round 5 .* are no numbers"):
        stopping.see(broken)
    assert stopping.best <= 4
