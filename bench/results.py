"""Score real corpora: ``make results CORPORA=PATH [ENCODER=FILE]`` writes ``metrics/results.json`` and what shows it.

PATH holds one folder per corpus, as its publisher laid it out; FILE is an ONNX encoder that fits the front end of the
params. Every row is one run of this checkout's pipeline at its committed params, with only what the row says changed.
What was computed is kept in ``.results``, so an interrupted run goes on where it stopped; runs are tracked in this
checkout's MLflow store.
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
RESULTS = ROOT / "metrics" / "results.json"
END = "<!-- end of results -->"


@dataclass(frozen=True)
class Setting:
    """One protocol on one set of corpora; ``scored`` is the corpus whose score becomes the row."""

    scored: str
    protocol: str
    corpora: dict[str, str]


@dataclass(frozen=True)
class Row:
    """A run of the pipeline: a setting, a model, and what else differs from the committed params."""

    setting: Setting
    model: str
    adaptation: str = "none"
    encoder: str = "none"
    cleaning: tuple[str, ...] = ()

    def changes(self, encoder: Path | None) -> dict:
        """The params of this row, by dotted key; ``encoder`` is the file of rows that name one."""
        crosses = self.setting.protocol == "cross_corpus"
        changes = {
            "corpora": self.setting.corpora,
            "train.protocol": "speaker_kfold" if crosses else self.setting.protocol,
            "model": self.model,
            "adaptation.by": self.adaptation,
            "featurize.clean.steps": list(self.cleaning),
        }
        if self.encoder != "none":
            changes |= {"featurize.encoder.kind": "onnx", "featurize.encoder.model": str(encoder)}
        return changes


def _alone(corpus: str, protocol: str) -> Setting:
    return Setting(corpus, protocol, {corpus: "train"})


RAVDESS = _alone("ravdess", "emobox")
HONEST = (
    RAVDESS,
    _alone("emodb", "loso"),
    _alone("savee", "loso"),
    _alone("crema_d", "speaker_kfold"),
    Setting(
        "emodb",
        "cross_corpus",
        {"ravdess": "train", "crema_d": "train", "savee": "train", "tess": "train", "emodb": "test"},
    ),
)
LEAKY = _alone("ravdess", "random")


def rows(encoder: Path | None) -> list[Row]:
    """All rows, those that share features one after the other."""
    wanted = [Row(LEAKY, model) for model in MODELS]
    for setting in HONEST:
        wanted += [Row(setting, model, adaptation) for adaptation in ("none", "speaker") for model in MODELS]
    wanted += [Row(RAVDESS, "mlp", cleaning=(step,)) for step in ("gate", "denoise")]
    if encoder:
        for setting in HONEST[:3]:
            wanted += [Row(setting, "mlp", adaptation, encoder.stem) for adaptation in ("none", "speaker")]
    return [row for row in wanted if not _takes_long(row)]


def _takes_long(row: Row) -> bool:
    """Boosting takes minutes a fold where clips are many, so there it stands once, or not at all."""
    many = row.setting.protocol == "cross_corpus" or (row.setting.scored == "crema_d" and row.adaptation != "none")
    return row.model == "xgboost" and many


def score(checkout: Checkout, row: Row, encoder: Path | None) -> dict:
    """Run the pipeline for one row; its entry in ``metrics/results.json``."""
    setting = row.setting
    checkout.repro(row.changes(encoder), MLFLOW_TRACKING_URI=tracking.store_uri())
    result = read_json(checkout.place / "metrics" / "evaluate.json")[setting.scored]
    found = result["protocol"], result["adaptation"], Path(result["encoder"]).stem
    if found != (setting.protocol, row.adaptation, row.encoder):
        raise RuntimeError(f"asked for {row}; evaluate reports {found}")
    if row == Row(setting, MODELS[0]) and not result["leaky"]:
        PICTURES.mkdir(parents=True, exist_ok=True)
        picture = checkout.place / "plots" / f"confusion_{setting.scored}.png"
        shutil.copyfile(picture, PICTURES / f"{setting.scored}_{setting.protocol}.png")
    return {
        "corpus": setting.scored,
        "protocol": setting.protocol,
        "model": row.model,
        "adaptation": row.adaptation,
        "encoder": row.encoder,
        "cleaning": list(row.cleaning),
        **{key: result[key] for key in ("uar", "uar_low", "uar_high", "wa", "f1", "clips", "speakers", "leaky")},
        "trained_on": [corpus for corpus, role in setting.corpora.items() if role == "train"],
        "classes": result["classes"],
    }


def table(scored: list[dict]) -> str:
    """The uncleaned rows as Markdown: speaker-independent ones first, then by what was tested."""
    head = ("corpus", "classes", "protocol", "trained on", "model", "adapted by")
    head += ("UAR, 95 % interval", "WA", "clips", "speakers")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    place = {(setting.scored, setting.protocol): number for number, setting in enumerate((*HONEST, LEAKY))}
    uncleaned = [row for row in scored if not row["cleaning"]]
    for row in sorted(uncleaned, key=lambda row: (place[row["corpus"], row["protocol"]], row["adaptation"])):
        protocol = f"{row['protocol']} (**leaky**: speakers shared)" if row["leaky"] else row["protocol"]
        trained_on = "other folds" if row["protocol"] != "cross_corpus" else ", ".join(map(_title, row["trained_on"]))
        model = row["model"] if row["encoder"] == "none" else f"{row['model']} + {row['encoder']}"
        cells = (
            _title(row["corpus"]), row["classes"], protocol, trained_on, model, row["adaptation"], _interval(row),
            _percent(row["wa"]), row["clips"], row["speakers"],
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def cleaning_table(scored: list[dict]) -> str:
    """What cleaning does to RAVDESS, as Markdown."""
    lines = ["| `featurize.clean.steps` | UAR, 95 % interval | WA |", "|---|---|---|"]
    plain = {"corpus": "ravdess", "protocol": "emobox", "model": "mlp", "adaptation": "none", "encoder": "none"}
    for row in scored:
        if plain.items() <= row.items():
            lines.append(f"| `{row['cleaning']}` | {_interval(row)} | {_percent(row['wa'])} |".replace("'", ""))
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(row: dict) -> str:
    return f"{_percent(row['uar'])} ({_percent(row['uar_low'])} to {_percent(row['uar_high'])})"


def _title(corpus: str) -> str:
    """The name that the literature uses, which each title has in brackets."""
    return re.search(r"\(([^()]+)\)", REGISTRY[corpus].title)[1]


def insert(text: str, page: Path) -> None:
    """Replace what stands between the marks of a page."""
    before, start, rest = page.read_text(encoding="utf-8").partition("<!-- results: written by make results -->\n")
    _, end, after = rest.partition(END)
    if not start or not end:
        raise RuntimeError(f"{page}: no place for results")
    with atomic_file(page) as file:
        file.write_text(f"{before}{start}{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    arguments = [Path(argument) for argument in sys.argv[1:] if argument]
    if len(arguments) not in (1, 2) or not arguments[0].is_dir() or not all(path.exists() for path in arguments):
        sys.exit(
            "usage: make results CORPORA=PATH [ENCODER=FILE]; PATH holds ravdess/, cremad/, savee/, tess/ and emodb/"
        )
    place, encoder = arguments[0], arguments[1].resolve() if arguments[1:] else None
    present = corpora_in(place)
    for setting in (*HONEST, LEAKY):
        if absent := ", ".join(sorted(set(setting.corpora) - set(present))):
            print(f"left out: {setting.scored} by {setting.protocol}: no folder for {absent} in {place}")
    wanted = [row for row in rows(encoder) if set(row.setting.corpora) <= set(present)]
    if not wanted:
        sys.exit(f"{place}: no corpus found; expected folders such as ravdess, cremad, savee, tess, emodb")
    checkout = Checkout(ROOT / ".results" / "checkout")
    for corpus in sorted({corpus for row in wanted for corpus in row.setting.corpora}):
        checkout.add(corpus, present[corpus])
    scored = []
    for row in wanted:
        scored.append(result := score(checkout, row, encoder))
        what = (
            f"{row.model} adaptation={row.adaptation} encoder={row.encoder} cleaning={','.join(row.cleaning) or 'none'}"
        )
        mark = " leaky" if result["leaky"] else ""
        print(f"{result['corpus']:>8} {result['protocol']:<14} {what}: UAR {_interval(result)}{mark}", flush=True)
    if wanted != rows(encoder) or encoder is None:
        sys.exit(f"{RESULTS} and the tables stay: only all rows replace them, so every corpus and ENCODER are needed")
    write_json(RESULTS, scored)
    insert(table(scored), ROOT / "README.md")
    insert(cleaning_table(scored), ROOT / "docs" / "augmentation.md")


if __name__ == "__main__":
    main()
