"""Score real corpora: ``make results CORPORA=PATH`` writes ``metrics/results.json``, the README's table and pictures.

PATH holds one folder per corpus, as its publisher laid it out. Every row is one run of this checkout's pipeline at its
committed params, with only the corpora, the protocol and the model set as the row says. What was computed is kept in
``.results``, so an interrupted run goes on where it stopped; runs are tracked in this checkout's MLflow store.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from _checkout import ROOT, Checkout, corpora_in
from emodag import tracking
from emodag.corpora import REGISTRY
from emodag.files import atomic_file, read_json, write_json

MODELS = ("mlp", "xgboost")
PICTURES = ROOT / "docs" / "images"
MARKS = ("<!-- results: written by make results -->", "<!-- end of results -->")


@dataclass(frozen=True)
class Setting:
    """One protocol on one set of corpora; ``scored`` is the corpus whose score becomes the row."""

    scored: str
    protocol: str
    corpora: dict[str, str]


def _alone(corpus: str, protocol: str) -> Setting:
    return Setting(corpus, protocol, {corpus: "train"})


SETTINGS = (
    _alone("ravdess", "emobox"),
    _alone("emodb", "loso"),
    _alone("savee", "loso"),
    _alone("crema_d", "speaker_kfold"),
    Setting(
        "emodb",
        "cross_corpus",
        {"ravdess": "train", "crema_d": "train", "savee": "train", "tess": "train", "emodb": "test"},
    ),
    _alone("ravdess", "random"),
)


def score(checkout: Checkout, setting: Setting, model: str) -> dict:
    """Run the pipeline for one row and return it."""
    protocol = "speaker_kfold" if setting.protocol == "cross_corpus" else setting.protocol
    changes = {"corpora": setting.corpora, "train.protocol": protocol, "model": model}
    checkout.repro(changes, MLFLOW_TRACKING_URI=tracking.store_uri())
    result = read_json(checkout.place / "metrics" / "evaluate.json")[setting.scored]
    if result["protocol"] != setting.protocol:
        raise RuntimeError(f"asked for {setting.protocol}, evaluate reports {result['protocol']}")
    if model == MODELS[0] and not result["leaky"]:
        PICTURES.mkdir(parents=True, exist_ok=True)
        picture = checkout.place / "plots" / f"confusion_{setting.scored}.png"
        shutil.copyfile(picture, PICTURES / f"{setting.scored}_{setting.protocol}.png")
    return {
        "corpus": setting.scored,
        "protocol": setting.protocol,
        "model": model,
        "adaptation": "none",
        "encoder": "none",
        **{key: result[key] for key in ("uar", "uar_low", "uar_high", "wa", "f1", "clips", "speakers", "leaky")},
        "trained_on": [corpus for corpus, role in setting.corpora.items() if role == "train"],
        "classes": result["classes"],
    }


def table(rows: list[dict]) -> str:
    """The rows as Markdown, speaker-independent ones first."""
    lines = [
        "| corpus | classes | protocol | trained on | model | UAR, 95 % interval | WA | clips | speakers |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: row["leaky"]):
        protocol = f"{row['protocol']} (**leaky**: speakers shared)" if row["leaky"] else row["protocol"]
        trained_on = "other folds" if row["protocol"] != "cross_corpus" else ", ".join(map(_title, row["trained_on"]))
        cells = (
            _title(row["corpus"]), row["classes"], protocol, trained_on, row["model"], _interval(row),
            _percent(row["wa"]), row["clips"], row["speakers"],
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(row: dict) -> str:
    return f"{_percent(row['uar'])} ({_percent(row['uar_low'])} to {_percent(row['uar_high'])})"


def _title(corpus: str) -> str:
    """The name that the literature uses, which each title has in brackets."""
    return re.search(r"\(([^()]+)\)", REGISTRY[corpus].title)[1]


def write_readme(rows: list[dict]) -> None:
    """Replace what stands between the marks in the README."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    with atomic_file(readme) as file:
        file.write_text(f"{before}{MARKS[0]}\n{table(rows)}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: make results CORPORA=PATH, a folder that holds ravdess/, cremad/, savee/, tess/ and emodb/")
    present = corpora_in(Path(sys.argv[1]))
    settings = [setting for setting in SETTINGS if set(setting.corpora) <= set(present)]
    for setting in SETTINGS:
        if setting not in settings:
            absent = ", ".join(sorted(set(setting.corpora) - set(present)))
            print(f"left out: {setting.scored} by {setting.protocol}: no folder for {absent} in {sys.argv[1]}")
    if not settings:
        sys.exit(f"{sys.argv[1]}: no corpus found; expected folders such as ravdess, cremad, savee, tess, emodb")
    checkout = Checkout(ROOT / ".results" / "checkout")
    for corpus in sorted({corpus for setting in settings for corpus in setting.corpora}):
        checkout.add(corpus, present[corpus])
    rows = []
    for setting in settings:
        for model in MODELS:
            rows.append(score(checkout, setting, model))
            row = rows[-1]
            mark = " leaky" if row["leaky"] else ""
            print(f"{row['corpus']:>8} {row['protocol']:<14} {model:<8} UAR {_interval(row)}{mark}", flush=True)
            write_json(ROOT / "metrics" / "results.json", rows)
    write_readme(rows)


if __name__ == "__main__":
    main()
