"""Score real corpora: ``make results CORPORA=PATH [ENCODER=FILE]`` writes ``metrics/results.json`` and what shows it.

PATH holds one folder per corpus, as its publisher laid it out; FILE is an ONNX encoder that fits the front end of the
params. Every run is the pipeline of this checkout at its committed params, with only what its rows say changed. Rows
are written as they come, each with the commit that made it, and rows that are there are not scored again, so a call
goes on where the last one stopped; ``FRESH=1`` scores all anew. Every run is tracked in this checkout's MLflow store
and kept as a DVC experiment: ``dvc exp show --all-commits``.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from _checkout import ROOT, Checkout, corpora_in
from emodag import params as parameters
from emodag import tracking
from emodag.corpora import REGISTRY
from emodag.files import atomic_file, read_json, write_json

PICTURES = ROOT / "docs" / "images"
RESULTS, HEADLINES = ROOT / "metrics" / "results.json", ROOT / "metrics" / "headlines.json"
START, END = "<!-- results: written by make results -->\n", "<!-- end of results -->"

#: What tells rows of ``metrics/results.json`` apart.
KEY = ("corpus", "protocol", "model", "adaptation", "encoder", "inputs", "cleaning", "copies", "trained_on")

#: What the committed params do to every clip, and how many augmented copies of it train.
COMMITTED = parameters.load(ROOT / "params.yaml")
DEFAULT_CLEANING, DEFAULT_COPIES = tuple(COMMITTED.featurize.clean.steps), COMMITTED.augment.copies


@dataclass(frozen=True)
class Setting:
    """One protocol on one set of corpora; each of the ``scored`` ones becomes a row."""

    scored: tuple[str, ...]
    protocol: str
    corpora: dict[str, str]

    @property
    def trained_on(self) -> list[str]:
        return [corpus for corpus, role in self.corpora.items() if role == "train"]


@dataclass(frozen=True)
class Run:
    """A run of the pipeline: a setting, a model, and what else differs from the committed params."""

    setting: Setting
    model: str
    adaptation: str = "none"
    inputs: str = "functionals"  #: which features models of clips see
    encoder: str = "none"  #: whose embeddings they see, if they see any
    cleaning: tuple[str, ...] = DEFAULT_CLEANING
    copies: int = DEFAULT_COPIES  #: augmented, of each training clip

    @property
    def name(self) -> str:
        """As a DVC experiment."""
        setting = self.setting
        parts = ["_".join(setting.trained_on), setting.protocol, self.model]
        parts += [self.encoder, self.inputs] if self.encoder != "none" else []
        parts += ["adapted"] if self.adaptation == "speaker" else []
        parts += ["_".join(self.cleaning) or "raw"] if self.cleaning != DEFAULT_CLEANING else []
        parts += [f"copies_{self.copies}"] if self.copies != DEFAULT_COPIES else []
        return re.sub(r"[^\w-]", "_", "-".join(parts))  # the name of a git reference

    def changes(self, encoder: Path | None) -> dict:
        """The params of this run, by dotted key; ``encoder`` is the file of runs that name one."""
        changes = {
            "corpora": self.setting.corpora,
            "calls": {},
            "train.protocol": self.setting.protocol,
            "model": self.model,
            "adaptation.by": self.adaptation,
            "featurize.clean.steps": list(self.cleaning),
            "augment.copies": self.copies,
            "train.inputs": self.inputs,
            # What follows changes no score; it would cost minutes a run.
            "train.keep_folds": False,
            "evaluate.robustness.clips": 0,
            "evaluate.matrix": False,
            "evaluate.importance.clips": 0,
            "evaluate.examples": 0,
        }
        if encoder:  # for all runs, so that features are computed once
            changes |= {"featurize.encoder.kind": "onnx", "featurize.encoder.model": str(encoder)}
        if self.model == "ensemble":
            seen = ("functionals", "embedding") if self.inputs == "all" else (self.inputs,)
            members = [{"model": model, "inputs": inputs} for inputs in seen for model in ENSEMBLE]
            changes |= {"models.ensemble.members": members}
        return changes

    def row_keys(self) -> list[tuple]:
        """What tells its rows from others."""
        setting = self.setting
        told = [
            (corpus, setting.protocol if setting.corpora.get(corpus) != "test" else "cross_corpus")
            for corpus in setting.scored
        ]
        about = (self.model, self.adaptation, self.encoder, self.inputs, self.cleaning, self.copies)
        return [(*each, *about, tuple(setting.trained_on)) for each in told]


def _alone(corpus: str, protocol: str) -> Setting:
    return Setting((corpus,), protocol, {corpus: "train"})


RAVDESS, EMODB, SAVEE = _alone("ravdess", "emobox"), _alone("emodb", "loso"), _alone("savee", "loso")
CREMA_D, TESS = _alone("crema_d", "speaker_kfold"), _alone("tess", "loso")
POOL = dict.fromkeys(("ravdess", "crema_d", "savee", "tess"), "train")
POOLED = Setting((*POOL, "emodb"), "speaker_kfold", POOL | {"emodb": "test"})
LEAKY = _alone("ravdess", "random")
ADAPTATIONS = ("none", "speaker")

ENSEMBLE = ("logistic", "lda")  # members, on functionals and, with an encoder, again on its embedding
NETWORKS = ("cnn", "cnn2d", "lstm", "gru", "cnn_lstm", "cnn_gru", "attention", "multihead")
SMALL, LARGE = (RAVDESS, EMODB, SAVEE, TESS), (CREMA_D, POOLED)

#: Models, on what, and whether what they see holds embeddings; the cheap ones first, so that a call that is cut short
#: leaves most rows. Boosting would take hours, and most networks days, on the large corpora; SAVEE and TESS have four
#: and two speakers, whose intervals could not tell networks apart.
PLAN = (
    (("ensemble", "mlp"), SMALL, ("functionals", "all")),
    (("svm",), SMALL, ("functionals", "embedding")),
    (("logistic", "lda", "xgboost", "mlp_deep"), SMALL, ("functionals",)),
    (("svm",), LARGE, ("functionals", "embedding")),
    (("ensemble",), LARGE, ("functionals", "all")),
    (("mlp", "logistic", "lda", "mlp_deep"), LARGE, ("functionals",)),
    (NETWORKS, (RAVDESS, EMODB), ("functionals",)),
    (("cnn_gru",), (SAVEE, TESS, *LARGE), ("functionals",)),
)


@dataclass(frozen=True)
class Headline:
    """What others claim of a model on a random split of clips and augmented copies, audited on some folds of ours."""

    setting: Setting
    model: str
    claimed: str  #: accuracy, %
    folds: int

    @property
    def corpora(self) -> str:
        """The corpora as one, as the claim takes them."""
        return ", ".join(map(_title, self.setting.trained_on))

    def changes(self, encoder: Path | None) -> dict:
        """The params: such work does little that keeps a network from learning its clips by heart."""
        return Run(self.setting, self.model).changes(encoder) | {
            "train.refit": False,
            "train.neural.max_epochs": 16,
            "train.neural.label_smoothing": 0.0,
            "train.neural.weight_decay": 0.0,
            "train.neural.spec_augment.time_masks": 0,
            "train.neural.spec_augment.column_masks": 0,
            f"models.{self.model}.dropout": 0.0,
        }


CLAIMS = (
    Headline(RAVDESS, "cnn2d", "70", 5),
    *(Headline(POOLED, model, "88.0 to 90.9", 1) for model in ("cnn", "cnn_lstm", "cnn_gru", "attention", "multihead")),
)


def runs(encoder: Path | None) -> list[Run]:
    """All runs, in the order in which they are made."""
    name = encoder.stem if encoder else "none"
    # What loudness is worth where all clips were recorded at one gain, what augmented copies are (on validation
    # speakers they help on RAVDESS, and cost on EmoDB), and what cleaning costs.
    wanted = [
        Run(setting, "ensemble", adaptation, inputs, "none" if inputs == "functionals" else name, (), copies)
        for setting, copies in ((RAVDESS, DEFAULT_COPIES), (EMODB, DEFAULT_COPIES), (EMODB, 0))
        for inputs in ("functionals", "all")
        for adaptation in ADAPTATIONS
    ]
    wanted += [Run(RAVDESS, "mlp", cleaning=steps) for steps in ((), ("gate", "level"), ("denoise", "level"))]
    wanted += [
        Run(setting, model, adaptation, inputs, "none" if inputs == "functionals" else name)
        for models, settings, seen in PLAN
        for setting in settings
        for model in models
        for inputs in seen
        for adaptation in ADAPTATIONS
    ]
    wanted += [Run(LEAKY, model) for model in ("mlp", "xgboost", "cnn2d")]
    return [run for run in wanted if run.inputs == "functionals" or run.encoder != "none"]


def score(checkout: Checkout, run: Run, encoder: Path | None) -> list[dict]:
    """Run the pipeline; its entries in ``metrics/results.json``."""
    setting = run.setting
    checkout.repro(run.changes(encoder), MLFLOW_TRACKING_URI=tracking.store_uri())
    checkout.keep(run.name)
    results = read_json(checkout.place / "metrics" / "evaluate.json")
    rows = []
    for corpus, *_ in run.row_keys():
        result = results[corpus]
        row = {
            "corpus": corpus,
            "protocol": result["protocol"],
            "model": run.model,
            "adaptation": result["adaptation"],
            "encoder": Path(result["encoder"]).stem,
            "inputs": run.inputs,
            "cleaning": list(run.cleaning),
            "copies": run.copies,
            **{key: result[key] for key in ("uar", "uar_low", "uar_high", "wa", "f1", "clips", "speakers", "leaky")},
            "trained_on": setting.trained_on,
            "classes": result["classes"],
            "ece": result["ece"],
            "commit": checkout.commit[:12],
        }
        # An encoder that is stored but that the model does not see is none.
        if key_of(row) not in run.row_keys():
            raise RuntimeError(f"asked for {run}; evaluate reports {row}")
        is_default = run == Run(setting, "mlp")
        if is_default and not row["leaky"] and key_of(row)[0:2] + key_of(row)[-1:] in {each[:3] for each in COLUMNS}:
            PICTURES.mkdir(parents=True, exist_ok=True)
            picture = checkout.place / "plots" / f"confusion_{corpus}.png"
            shutil.copyfile(picture, PICTURES / f"{corpus}_{row['protocol']}.png")
        rows.append(row)
    return rows


def key_of(row: dict) -> tuple:
    """What tells a row from others."""
    row = {"inputs": "all" if row["encoder"] != "none" else "functionals", "copies": DEFAULT_COPIES} | row
    return tuple(tuple(row[name]) if isinstance(row[name], list) else row[name] for name in KEY)


#: The columns of the summary: what was tested, after which training -> their title.
COLUMNS = (
    ("ravdess", "emobox", ("ravdess",), "RAVDESS, 8 classes, EmoBox folds"),
    ("emodb", "loso", ("emodb",), "EmoDB, 7, each speaker left out"),
    ("savee", "loso", ("savee",), "SAVEE, 7, each speaker left out"),
    ("crema_d", "speaker_kfold", ("crema_d",), "CREMA-D, 6, 5 folds by speaker"),
    ("tess", "loso", ("tess",), "TESS, 7, one speaker on the other"),
    ("emodb", "cross_corpus", tuple(POOL), "EmoDB, 6, trained on the four English corpora"),
)


def summary(scored: list[dict], adaptation: str) -> str:
    """UAR with its interval, models in rows and settings in columns, as Markdown; the best of a column is bold."""
    found = {
        (model_of(row), row["corpus"], row["protocol"], tuple(row["trained_on"])): row
        for row in scored
        if row["adaptation"] == adaptation and tuple(row["cleaning"]) in (DEFAULT_CLEANING, ())
    }
    columns = [column for column in COLUMNS if any(key[1:] == column[:3] for key in found)]
    wanted = {column[:3] for column in columns}
    models = list(dict.fromkeys(key[0] for key in found if key[1:] in wanted))
    best = {column[:3]: max(row["uar"] for key, row in found.items() if key[1:] == column[:3]) for column in columns}
    lines = [f"| model | {' | '.join(title for *_, title in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for model in sorted(models, key=place_of):
        cells = []
        for column in columns:
            row = found.get((model, *column[:3]))
            cell = (
                ""
                if row is None
                else f"{_percent(row['uar'])} ({_percent(row['uar_low'])}-{_percent(row['uar_high'])})"
            )
            cells.append(f"**{cell}**" if row and row["uar"] == best[column[:3]] else cell)
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def model_of(row: dict) -> str:
    """The model, and what it saw beside or instead of functionals."""
    model = row["model"]
    if row["encoder"] != "none":
        model += f" {'on' if row.get('inputs') == 'embedding' else '+'} {row['encoder']}"
    if not row.get("copies", DEFAULT_COPIES):
        model += ", no augmented copies"
    return model if row["cleaning"] else f"{model}, clips as loud as they are"


def place_of(model: str) -> tuple[int, str]:
    """Where a model stands in a table: with an encoder last, else as in ``params.yaml``."""
    names = list(parameters.Models.model_fields)
    name = re.match(r"\w+", model)[0]
    encoded = "+" in model or " on " in model
    return len(names) * encoded + names.index(name), model


def whole_table(scored: list[dict]) -> str:
    """Every row as Markdown: speaker-independent ones first, then by what was tested."""
    head = ("corpus", "classes", "protocol", "trained on", "model", "adapted by", "cleaning")
    head += ("UAR, 95 % interval", "WA", "ECE", "clips", "speakers", "commit")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in sorted(scored, key=order_of):
        protocol = f"{row['protocol']} (**leaky**: speakers shared)" if row["leaky"] else row["protocol"]
        ece = _percent(row["ece"]) if "ece" in row else ""
        cells = (
            _title(row["corpus"]), row["classes"], protocol, ", ".join(map(_title, row["trained_on"])), model_of(row),
            row["adaptation"], ", ".join(row["cleaning"]) or "none", _interval(row), _percent(row["wa"]), ece,
            row["clips"], row["speakers"], row.get("commit", ""),
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def order_of(row: dict) -> tuple:
    """Where a row stands in the whole table."""
    corpora = [*POOL, "emodb", "esd"]
    tested = corpora.index(row["corpus"]), row["protocol"], len(row["trained_on"])
    return row["leaky"], *tested, row["adaptation"], *place_of(model_of(row))


def cleaning_table(scored: list[dict]) -> str:
    """What cleaning does to RAVDESS, as Markdown."""
    lines = ["| `featurize.clean.steps` | UAR, 95 % interval | WA |", "|---|---|---|"]
    plain = {"corpus": "ravdess", "protocol": "emobox", "model": "mlp", "adaptation": "none", "encoder": "none"}
    for row in scored:
        if plain.items() <= row.items():
            lines.append(f"| `{row['cleaning']}` | {_interval(row)} | {_percent(row['wa'])} |".replace("'", ""))
    return "\n".join(lines)


def headlines_table(audited: list[dict]) -> str:
    """What a leaky split claims beside what is true, as Markdown."""
    head = ("corpora as one", "model", "claimed elsewhere, accuracy", "accuracy, leaky", "accuracy, speakers apart")
    head += ("UAR, leaky", "UAR, speakers apart", "folds", "commit")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in audited:
        sides = row["leaky"], row["speakers_apart"]
        cells = (
            row["corpora"], row["model"], row["claimed"], *(_percent(side["wa"]) for side in sides),
            *(_interval(side) for side in sides), f"{row['tested']} of {row['folds']}", row["commit"],
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


def insert(text: str, page: Path) -> None:
    """Replace what stands between the marks of a page."""
    before, start, rest = page.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise RuntimeError(f"{page}: no place for results")
    with atomic_file(page) as file:
        file.write_text(f"{before}{start}{text}\n{end}{after}", encoding="utf-8")


def publish(scored: list[dict]) -> None:
    """Write the rows, and the tables that show them."""
    write_json(RESULTS, scored)
    plain, adapted = (summary(scored, adaptation) for adaptation in ("none", "speaker"))
    insert(
        f"**Nothing known of the test speakers**\n\n{plain}\n\n"
        f"**Adapted to each test speaker by that speaker's own unlabelled clips**\n\n{adapted}",
        ROOT / "README.md",
    )
    insert(whole_table(scored), ROOT / "docs" / "results.md")
    insert(cleaning_table(scored), ROOT / "docs" / "augmentation.md")


def audit_claims(checkout: Checkout, encoder: Path | None, audited: list[dict]) -> None:
    """Audit what is claimed of models and not audited yet; every finding is written as it comes."""
    for claim in CLAIMS:
        if any((row["corpora"], row["model"]) == (claim.corpora, claim.model) for row in audited):
            continue
        found = checkout.audit(claim.changes(encoder), claim.folds)
        row = {"corpora": claim.corpora, "claimed": claim.claimed}
        row |= {key: found[key] for key in ("model", "folds", "tested", "copies")}
        row |= {"commit": checkout.commit[:12], **found["together"]}
        audited.append(row)
        write_json(HEADLINES, audited)
        insert(headlines_table(audited), ROOT / "docs" / "audit.md")
        apart, leaky = (_interval(row[side]) for side in ("speakers_apart", "leaky"))
        print(f"{claim.corpora}, {claim.model}: UAR {leaky} leaky, {apart} with speakers apart", flush=True)


def main() -> None:
    arguments = [Path(argument) for argument in sys.argv[1:] if argument]
    if len(arguments) not in (1, 2) or not arguments[0].is_dir() or not all(path.exists() for path in arguments):
        sys.exit(
            "usage: make results CORPORA=PATH [ENCODER=FILE]; PATH holds ravdess/, cremad/, savee/, tess/ and emodb/"
        )
    place, encoder = arguments[0], arguments[1].resolve() if arguments[1:] else None
    present = corpora_in(place)
    wanted = runs(encoder)
    for setting in (*SMALL, *LARGE):
        if absent := ", ".join(sorted(set(setting.corpora) - set(present))):
            print(f"left out: {' '.join(setting.scored)} by {setting.protocol}: no folder for {absent} in {place}")
    wanted = [run for run in wanted if set(run.setting.corpora) <= set(present)]
    if not wanted:
        sys.exit(f"{place}: no corpus found; expected folders such as ravdess, cremad, savee, tess, emodb")
    known = [] if os.environ.get("FRESH") else read_json(RESULTS)
    rows = {key_of(row): row for row in known}
    missing = [run for run in wanted if not rows.keys() >= set(run.row_keys())]
    print(f"{len(missing)} of {len(wanted)} runs are to be scored")
    publish(list(rows.values()))
    checkout = Checkout(ROOT / ".results" / "checkout")
    for corpus in sorted({corpus for run in missing for corpus in run.setting.corpora}):
        checkout.add(corpus, present[corpus])
    audited = [] if os.environ.get("FRESH") or not HEADLINES.exists() else read_json(HEADLINES)
    # What takes longest comes last.
    networks = [run for run in missing if run.model in NETWORKS]
    score_all(checkout, [run for run in missing if run not in networks], encoder, rows)
    if set(POOLED.corpora) <= set(present):
        audit_claims(checkout, encoder, audited)
    score_all(checkout, networks, encoder, rows)


def score_all(checkout: Checkout, wanted: list[Run], encoder: Path | None, rows: dict[tuple, dict]) -> None:
    """Score runs one after the other, adding to the ``rows`` and publishing them as they come."""
    for run in wanted:
        for row in score(checkout, run, encoder):
            rows[key_of(row)] = row
            mark = " leaky" if row["leaky"] else ""
            about = f"{model_of(row)}, adaptation {row['adaptation']}"
            print(f"{row['corpus']:>8} {row['protocol']:<14} {about}: UAR {_interval(row)}{mark}", flush=True)
        publish(list(rows.values()))


if __name__ == "__main__":
    main()
