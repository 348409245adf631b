"""Two runs of the pipeline on the same clips: what differs, by how much, and whether that may be chance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emodag import plots, revisions
from emodag.errors import DataError
from emodag.evaluation import FEWEST_SPEAKERS, told_interval
from emodag.evaluation.comparison import Comparison, compare
from emodag.files import write_json
from emodag.labels import in_order
from emodag.params import Evaluate
from emodag.revisions import Predicted, Revision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARAMS_SHOWN = 20


@dataclass(frozen=True)
class Pair:
    """Two runs compared on one corpus."""

    corpus: str
    names: tuple[str, str]
    tested: tuple[Predicted, Predicted]
    comparison: Comparison
    left_out: tuple[int, int]  #: clips that only the first, or only the second, predicted
    calm: tuple[str, ...]  #: the policies for it, ``train.calm``: one if they agree

    @property
    def seeds(self) -> tuple[int, int]:
        """Under how many seeds each was trained; scores are means over them."""
        return tuple(tested.table["seed"].nunique() for tested in self.tested)

    @property
    def conclusion(self) -> str:
        """What this says, in a sentence."""
        first, second = self.names
        found = self.comparison
        low, high = 100 * np.array(found.interval)
        points = 100 * found.difference
        how = (
            f"{second} recognises {abs(points):.1f} points {'more' if points > 0 else 'less'} than {first}"
            if abs(points) >= 0.05
            else f"{second} and {first} recognise equally much"
        )
        over = f"over {found.speakers} speakers" if found.unit == "speakers" else "over clips of one speaker"
        bounds = " to ".join(map(_points, found.interval))
        how += f" ({100 * found.confidence:g}% interval {bounds}, {over})"
        if found.is_clear:
            return f"{how}: the difference is unlikely to be chance."
        if low > 0 or high < 0:
            return f"{how}: too few {found.unit} agree to tell it from chance (p {_p(found.p)} by swapping them)."
        return f"{how}: the difference cannot be told from chance."

    @property
    def warnings(self) -> list[str]:
        """What to mind before believing it."""
        told = []
        first, second = self.tested
        told += [
            f"LEAKY: {name} was tested on speakers that it had trained on ({tested.protocol})"
            for name, tested in zip(self.names, self.tested, strict=True)
            if tested.leaky
        ]
        if first.protocol != second.protocol:
            told.append(
                f"the protocols differ ({first.protocol} and {second.protocol}), so the models learnt from other clips"
            )
        if any(self.left_out):
            told.append(
                f"only {self.comparison.clips} clips that both predicted are compared; left out: "
                f"{self.left_out[0]} of {self.names[0]} and {self.left_out[1]} of {self.names[1]}"
            )
        for name, tested in zip(self.names, self.tested, strict=True):
            if unknown := [emotion for emotion in self.comparison.classes if emotion not in tested.classes]:
                told.append(f"{name} does not know {', '.join(unknown)}, so it recognises no clip of that")
        if first.classes != second.classes:
            told.append(
                f"{self.names[0]} chose among {len(first.classes)} emotions, {self.names[1]} among "
                f"{len(second.classes)}: the fewer, the easier"
            )
        if self.comparison.speakers == 1:
            told.append("one speaker only: nothing is said about other voices")
        elif self.comparison.speakers < FEWEST_SPEAKERS:
            told.append(
                f"{self.comparison.speakers} speakers are too few: intervals over them are too narrow, and p cannot be "
                f"below {0.5 ** (self.comparison.speakers - 1):.2f}"
            )
        return told

    @property
    def title(self) -> str:
        """The corpus and the difference with its interval."""
        low, high = map(_points, self.comparison.interval)
        points = _points(self.comparison.difference, "+")
        first, second = revisions.short_names(*self.names)
        return f"{self.corpus}: {second} against {first}: UAR {points} [{low}, {high}]"

    @property
    def notes(self) -> list[str]:
        """How it was found."""
        found = self.comparison
        protocols = dict.fromkeys(tested.protocol for tested in self.tested)
        seeds = "" if self.seeds == (1, 1) else f"means of {self.seeds[0]} and {self.seeds[1]} seeds"
        notes = [" and ".join(protocols), f"{found.clips} clips", f"{found.speakers} speakers", seeds]
        notes += [f"{len(found.classes)} classes", f"calm: {' and '.join(self.calm)}"]
        notes.append(told_interval(found.confidence, found.unit, found.speakers, several=True))
        notes.append(f"p {_p(found.p)} by swapping {found.unit}")
        notes.append(f"McNemar mid-p {_p(found.mcnemar.mid_p)}")
        return [note for note in notes if note]

    def summary(self) -> dict[str, Any]:
        """The corpus's entry in ``comparison.json``; shares of 1, and differences are second less first."""
        found = self.comparison
        models = {
            which: {
                "name": name,
                "protocol": tested.protocol,
                "leaky": tested.leaky,
                "uar": found.uar[number],
                "uar_low": float(found.uar_intervals[number, 0]),
                "uar_high": float(found.uar_intervals[number, 1]),
                "seeds": self.seeds[number],
                "left_out": self.left_out[number],
            }
            for number, (which, name, tested) in enumerate(
                zip(("first", "second"), self.names, self.tested, strict=True)
            )
        }
        return models | {
            "difference": found.difference,
            "difference_low": found.interval[0],
            "difference_high": found.interval[1],
            "superiority": found.superiority,
            "p": found.p,
            "mcnemar": found.mcnemar._asdict(),
            "unlikely_chance": found.is_clear,
            "confidence": found.confidence,
            "interval": found.unit,
            "clips": found.clips,
            "speakers": found.speakers,
            "classes": {
                emotion: {
                    "first": float(found.recalls[0, number]),
                    "second": float(found.recalls[1, number]),
                    "difference_low": float(found.recall_intervals[number, 0]),
                    "difference_high": float(found.recall_intervals[number, 1]),
                    "support": int(found.support[number]),
                }
                for number, emotion in enumerate(found.classes)
            },
            "conclusion": self.conclusion,
            "warnings": self.warnings,
        }

    def __str__(self) -> str:
        """For the terminal."""
        found = self.comparison
        lines = [f"{self.corpus} ({', '.join(self.notes)})"]
        width = max(map(len, self.names))
        for name, uar, (low, high) in zip(self.names, found.uar, found.uar_intervals, strict=True):
            lines.append(f"  {name:<{width}}  UAR {uar:.1%} [{100 * low:.1f}, {100 * high:.1f}]")
        lines.append(f"  {self.conclusion}")
        lines.append(
            f"  {self.names[1]} is ahead in {found.ahead} of the resamples of {found.unit}. Clips that only "
            f"one recognises: {found.mcnemar.first_only} {self.names[0]}, {found.mcnemar.second_only} {self.names[1]}."
        )
        recalls = [
            f"{emotion} {_points(after - before, '+')} [{_points(low)}, {_points(high)}]"
            for emotion, before, after, (low, high) in zip(
                found.classes, *found.recalls, found.recall_intervals, strict=True
            )
        ]
        lines.append(f"  recall, points: {', '.join(recalls)}")
        return "\n".join(lines + [f"  warning: {warning}" for warning in self.warnings])

    def figure(self) -> Figure:
        """The two scores, the bootstrap's differences, and the emotions."""
        leaky = any(tested.leaky for tested in self.tested)
        names = revisions.short_names(*self.names)
        return plots.comparison_figure(self.comparison, names, title=self.title, notes=self.notes, leaky=leaky)


def pairs(first: Revision, second: Revision, settings: Evaluate, seed: int, corpus: str | None = None) -> list[Pair]:
    """Two runs compared on every corpus that both predicted, or on one.

    Raises:
        DataError: there is no such corpus, or :func:`pair` raises it.
    """
    both = revisions.in_common([(run.name, run.corpora) for run in (first, second)], corpus, "predicted by both")
    if not both:
        raise DataError(
            f"{first.name} predicted {', '.join(first.corpora)} and {second.name} {', '.join(second.corpora)}: no "
            "corpus in common, so there is nothing to compare"
        )
    return [pair(first, second, name, settings, seed) for name in both]


def pair(first: Revision, second: Revision, corpus: str, settings: Evaluate, seed: int) -> Pair:
    """Two runs compared on the clips of a corpus that both predicted.

    Each chooses among its own classes: where these differ, a clip whose emotion a model does not know is one that it
    does not recognise.

    Raises:
        DataError: no clip is in common, or clips in common are said to be of different emotions or speakers.
    """
    tested = first.corpora[corpus], second.corpora[corpus]
    before, after = (clip_hits(each.table, each.classes) for each in tested)
    both = before.join(after, how="inner", lsuffix="_first", rsuffix="_second")
    if len(both) < 2:
        found = ", ".join(both.index) or "none"
        raise DataError(f"{corpus}: {first.name} and {second.name} need two predicted clips in common; found: {found}")
    for fact, why in (("emotion", _why_emotions_differ(first, second)), ("speaker", "")):
        other = both[both[f"{fact}_first"] != both[f"{fact}_second"]]
        if len(other):
            clip = other.iloc[0]
            raise DataError(
                f"{corpus}: {len(other)} of {len(both)} clips have another {fact} in {first.name} than in "
                f"{second.name}, as {clip.name}: {clip[f'{fact}_first']} and {clip[f'{fact}_second']}{why}"
            )
    classes = in_order(both["emotion_first"])
    position = {emotion: number for number, emotion in enumerate(classes)}
    found = compare(
        both["emotion_first"].map(position).to_numpy(np.int64),
        both[["hit_first", "hit_second"]].to_numpy().T,
        both["speaker_first"].to_numpy(),
        classes,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
    )
    left_out = len(before) - len(both), len(after) - len(both)
    return Pair(corpus, (first.label, second.label), tested, found, left_out, _policies(first, second))


def clip_hits(table: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Each clip's ``speaker``, ``emotion`` and ``hit``: the share of its rows, a row per seed, that are right."""
    # By name: the truth may be none of the model's classes.
    predicted = np.array(classes)[table[list(classes)].to_numpy().argmax(axis=1)]
    rows = table[["clip_id", "speaker", "emotion"]].assign(hit=table["emotion"].to_numpy() == predicted)
    return rows.groupby("clip_id", sort=True).agg(
        speaker=("speaker", "first"), emotion=("emotion", "first"), hit=("hit", "mean")
    )


def _policies(*both: Revision) -> tuple[str, ...]:
    """Those for ``calm``: one if they agree."""
    return tuple(dict.fromkeys(revision.calm for revision in both))


def _why_emotions_differ(first: Revision, second: Revision) -> str:
    policies = _policies(first, second)
    if len(policies) == 1:
        return ""
    return f"; train.calm is {' there and '.join(policies)} here: only runs with the same one can be compared"


def write(found: list[Pair], first: Revision, second: Revision, folder: Path) -> dict[str, Any]:
    """Write ``comparison.json`` and a picture for each corpus into a folder; returns the content of the former.

    Pictures of an earlier comparison are taken away, other files stay.
    """
    content = {
        "first": {"name": first.name, "is": first.told, "remarks": list(first.remarks)},
        "second": {"name": second.name, "is": second.told, "remarks": list(second.remarks)},
        "params": {key: list(values) for key, values in revisions.differing(first, second).items()},
        "corpora": {each.corpus: each.summary() for each in found},
    }
    figures = {f"comparison_{each.corpus}.png": each.figure() for each in found}
    plots.save_into(folder, figures, stale="comparison_*.png")
    write_json(folder / "comparison.json", content)
    return content


def describe(found: list[Pair], first: Revision, second: Revision) -> str:
    """For the terminal: what was compared, in which params they differ, and each corpus."""
    lines = [f"{run.label}: {run.told}" for run in (first, second)]
    lines += [f"  warning: {run.label}: {remark}" for run in (first, second) for remark in run.remarks]
    changes = revisions.differing(first, second)
    lines += [f"  {key}: {before} -> {after}" for key, (before, after) in list(changes.items())[:_PARAMS_SHOWN]]
    if len(changes) > _PARAMS_SHOWN:
        lines.append(f"  and {len(changes) - _PARAMS_SHOWN} other params; comparison.json lists them all")
    return "\n".join([*lines, "" if changes else "  the same params", *map(str, found)])


def _points(share: float, sign: str = "") -> str:
    """A share of 1 in points; what rounds to nothing has no minus before it."""
    return f"{round(100 * share, 1) + 0.0:{sign}.1f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
