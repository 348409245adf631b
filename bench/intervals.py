"""How often intervals hold the truth, and how often groups that are equal are told apart: ``make bench-intervals``.

Speakers are drawn from a population whose skill, the share of a speaker's clips that is recognised, is spread by 15
points (a beta distribution), with 24 clips each in three classes, and scored as `evaluate` and `emodag compare` score.
Known is what is true of the population, so that it can be counted how often

- a 95 % interval of UAR holds the UAR of the population,
- a 95 % interval of the difference between two models holds theirs, where what speakers gain is spread by 5 points,
- a subgroup stands out though all are alike: two sexes and three ages over the same population.

Counts are of 1000 trials, so good to a point or two. The tables are printed and written to
``bench/results/intervals.json``.
"""

from __future__ import annotations

import os

# Before NumPy reads it: work is spread over processes.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

from collections.abc import Callable
from functools import partial

import numpy as np

from _checkout import ROOT
from emodag.evaluation import bootstrap_intervals
from emodag.evaluation.comparison import compare
from emodag.evaluation.fairness import fairness_of
from emodag.files import write_json
from emodag.parallel import parallel_map

TRIALS, ASKED = 1000, {"resamples": 1000, "confidence": 0.95}
CLIPS, CLASSES = 24, ("neutral", "happy", "angry")
MEAN, SPREAD = 0.6, 0.15  # of skill
GAIN, GAIN_SPREAD = 0.02, 0.05  # of the second model over the first
SPEAKERS = (2, 3, 4, 5, 6, 10, 12, 24, 91)
COMPARED = (3, 4, 6, 24)
GROUPED = (10, 24, 91)


class Trial:
    """Speakers of a population, and what a model makes of their clips."""

    def __init__(self, speakers: int, seed: int):
        self.rng = np.random.default_rng([speakers, seed])
        self.speakers = np.repeat(np.arange(speakers), CLIPS)
        self.truth = np.tile(np.arange(CLIPS) % len(CLASSES), speakers)
        concentration = MEAN * (1 - MEAN) / SPREAD**2 - 1  # the sum of a beta distribution's two parameters
        self.skill = self.rng.beta(MEAN * concentration, (1 - MEAN) * concentration, speakers)

    def hits(self, skill: np.ndarray) -> np.ndarray:
        """Which clips a model of this skill [speakers] recognises, bool [clips]."""
        return self.rng.random(len(self.speakers)) < skill[self.speakers]

    def predicted(self) -> np.ndarray:
        """Classes, int [clips]; wrong ones are drawn evenly."""
        wrong = (self.truth + self.rng.integers(1, len(CLASSES), len(self.truth))) % len(CLASSES)
        return np.where(self.hits(self.skill), self.truth, wrong)


def score_is_held(seed: int, speakers: int) -> bool:
    """Whether the interval of UAR holds that of the population."""
    trial = Trial(speakers, seed)
    scored = trial.truth, trial.predicted(), trial.speakers
    low, high = bootstrap_intervals(*scored, len(CLASSES), **ASKED, seed=seed).uar
    return bool(low <= MEAN <= high)


def difference_is_held(seed: int, speakers: int) -> bool:
    """Whether the interval of what the second model gains holds the gain in the population."""
    trial = Trial(speakers, seed)
    better = trial.skill + trial.rng.normal(GAIN, GAIN_SPREAD, speakers)
    hits = np.stack([trial.hits(trial.skill), trial.hits(better)]).astype(float)
    names = trial.speakers.astype(str)
    found = compare(trial.truth, hits, names, CLASSES, **ASKED, seed=seed)
    return bool(found.interval[0] <= GAIN <= found.interval[1])


def some_group_stands_out(seed: int, speakers: int) -> bool:
    """Whether any of two sexes and three ages, none of which matters, is told apart."""
    trial = Trial(speakers, seed)
    sexes, ages = np.array(["female", "male"], object), np.array(["under 30", "30 to 49", "50 and over"], object)
    attributes = {"sex": sexes[trial.speakers % 2], "age": ages[trial.speakers % 3]}
    scored = trial.truth, trial.predicted(), trial.speakers.astype(str)
    found = fairness_of(*scored, attributes, len(CLASSES), **ASKED, seed=seed)
    return any(part.stands_out for part in found.subgroups)


def share(happens: Callable[..., bool], speakers: int, what: str) -> float:
    """In what share of trials something happens, which is printed too."""
    happened = parallel_map(partial(happens, speakers=speakers), range(TRIALS), description=f"{what}, {speakers}")
    found = float(np.mean(list(happened)))
    print(f"{what}, {speakers:2} speakers: {found:.1%}", flush=True)
    return found


def main() -> None:
    simulations = {
        "score_held": (score_is_held, SPEAKERS, "the interval of UAR holds the truth"),
        "difference_held": (difference_is_held, COMPARED, "the interval of a difference holds the truth"),
        "equal_groups_told_apart": (some_group_stands_out, GROUPED, "a group stands out though all are alike"),
    }
    found = {
        name: {str(speakers): share(happens, speakers, told) for speakers in counts}
        for name, (happens, counts, told) in simulations.items()
    }
    settings = {"trials": TRIALS, **ASKED, "clips_per_speaker": CLIPS, "mean": MEAN, "spread": SPREAD}
    write_json(ROOT / "bench" / "results" / "intervals.json", settings | found)


if __name__ == "__main__":
    main()
