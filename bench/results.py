"""Score real corpora: ``make results CORPORA=PATH [ENCODER=FILE]`` writes ``metrics/results.json`` and what shows it.

PATH holds one folder per corpus, as its publisher laid it out; FILE is an ONNX encoder that fits the front end of the
params. Every run is the pipeline of this checkout at its committed params, with only what its rows say changed. Rows
are written as they come, each with the commit that made it, and rows that are there are not scored again while the
history holds that commit, so a call goes on where the last one stopped; ``FRESH=1`` scores all anew. Every run is
tracked in this checkout's MLflow store and kept as a DVC experiment: ``dvc exp show --all-commits``. What is chosen
among runs is chosen by what each recognised, which ``metrics/recognised`` keeps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import _recognised as recognised
from _checkout import ROOT, Checkout, corpora_in
from _plan import (
    ADAPTATIONS,
    CHOSEN,
    CLAIMS,
    COLUMNS,
    COMMITTED,
    DEFAULT_CLEANING,
    DEFAULT_COPIES,
    LARGE,
    NETWORKS,
    POOLED,
    SMALL,
    TOGETHER,
    Run,
    column_of,
    is_shown,
    key_of,
    runs,
)
from _tables import beside_published, cited, cleaning_table, headlines_table, interval, model_of, summary, whole_table
from emodag import choosing, revisions, tracking
from emodag.files import atomic_file, read_json, write_json
from emodag.splits import CROSS_CORPUS

PICTURES = ROOT / "docs" / "images"
RESULTS, HEADLINES = ROOT / "metrics" / "results.json", ROOT / "metrics" / "headlines.json"
START, END = "<!-- results: written by make results -->\n", "<!-- end of results -->"

#: What the tables say of each of :data:`ADAPTATIONS`.
KNOWN = {
    "none": "Nothing known of the test speakers",
    "speaker": "Adapted to each test speaker by that speaker's own unlabelled clips",
}


def score(checkout: Checkout, run: Run, encoder: Path | None) -> list[dict]:
    """Run the pipeline; its entries in ``metrics/results.json``."""
    setting = run.setting
    checkout.repro(run.changes(encoder), MLFLOW_TRACKING_URI=tracking.store_uri())
    checkout.keep(run.name)
    for corpus in setting.trained_on:
        if (corpus, setting.protocol, tuple(setting.trained_on)) in {each[:3] for each in COLUMNS}:
            recognised.add(revisions.read_folder(checkout.place, run.name, "a run of make results"), corpus)
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
            "members": list(run.members),
            **{key: result[key] for key in ("uar", "uar_low", "uar_high", "wa", "f1", "clips", "speakers", "leaky")},
            "trained_on": setting.trained_on,
            "classes": result["classes"],
            "ece": result["ece"],
            "uar_validation": result.get("uar_validation"),
            "commit": checkout.commit[:12],
        }
        # An encoder that is stored but that the model does not see is none.
        if key_of(row) not in run.row_keys():
            raise RuntimeError(f"asked for {run}; evaluate reports {row}")
        is_default = run == Run(setting, "mlp")
        if is_default and not row["leaky"] and column_of(row) in {each[:3] for each in COLUMNS}:
            PICTURES.mkdir(parents=True, exist_ok=True)
            picture = checkout.place / "plots" / f"confusion_{corpus}.png"
            shutil.copyfile(picture, PICTURES / f"{corpus}_{row['protocol']}.png")
        rows.append(row)
    return rows


def chosen(rows: list[tuple[str, dict]], column: tuple, adaptation: str, *, encoded: bool) -> dict | None:
    """The row of what validation speakers choose among a column's rows, each with its run; none if nobody can.

    Models that are tested on folds are chosen fold by fold. A corpus that is never trained on is tested by one shipped
    model, which the validation speakers of the corpora that it trains on choose.
    """
    corpus, protocol, *_ = column
    shown = {name: row for name, row in rows if is_shown(row, column, adaptation, encoded=encoded)}
    among = {name: row for name, row in shown.items() if row.get("uar_validation") is not None}
    if len(among) < 2:
        return None
    which = f"{corpus} by {protocol}, adaptation {adaptation}, {'with' if encoded else 'without'} an encoder"
    if unrated := sorted(shown.keys() - among.keys()):
        print(f"{which}: validation speakers said nothing of {', '.join(unrated)}, so these cannot be chosen")
    best = max(among.values(), key=lambda row: row["uar_validation"])
    told = best | {
        "model": CHOSEN,
        "inputs": "all" if encoded else "functionals",
        "cleaning": list(DEFAULT_CLEANING),
        "copies": DEFAULT_COPIES,
        "members": [],
        "uar_validation": None,
        "commit": "",
        "candidates": len(among),
    }
    if protocol == CROSS_CORPUS:
        return told
    kept = recognised.candidates(corpus, protocol)
    if lost := among.keys() - kept.keys():
        print(f"{which}: not chosen anew, for what {len(lost)} of {len(among)} runs recognised is not kept")
        return None
    found = choosing.choose(corpus, [kept[name] for name in among], COMMITTED.evaluate, COMMITTED.seed)
    scores = found.scores.summary()
    return told | {key: scores[key] for key in ("uar", "uar_low", "uar_high", "wa", "f1")} | {"ece": None}


def with_chosen(rows: dict[tuple, dict], wanted: list[Run]) -> dict[tuple, dict]:
    """All rows, and those of what is chosen among them as far as they are scored."""
    # A run can have several rows.
    named = [(run.name, rows[key]) for run in wanted for key in run.row_keys() if key in rows]
    found = [
        row
        for column in COLUMNS
        for adaptation in ADAPTATIONS
        for encoded in (False, True)
        if (row := chosen(named, column, adaptation, encoded=encoded))
    ]
    return rows | {key_of(row): row for row in found}


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
    sections = [beside_published(scored), cited(scored)]
    for about, columns in (("All models", COLUMNS), ("Trained on four English corpora together, five folds", TOGETHER)):
        for adaptation in ADAPTATIONS:
            told = f"{about}. {KNOWN[adaptation]}"
            sections += [f"<details><summary>{told}</summary>", summary(scored, adaptation, columns), "</details>"]
    insert("\n\n".join(sections), ROOT / "README.md")
    insert(whole_table(scored), ROOT / "docs" / "results.md")
    insert(cleaning_table(scored), ROOT / "docs" / "augmentation.md")


def audit_claims(checkout: Checkout, encoder: Path | None, audited: list[dict]) -> None:
    """Audit what is claimed of models and not audited yet; every finding is written as it comes."""
    for claim in CLAIMS:
        if claim.told in [{key: row.get(key) for key in claim.told} for row in audited]:
            continue
        found = checkout.audit(claim.changes(encoder), claim.folds)
        row = claim.told | {"claimed": claim.claimed}
        row |= {key: found[key] for key in ("folds", "tested", "copies")}
        row |= {"commit": checkout.commit[:12], **found["together"]}
        audited[:] = [each for each in audited if (each["corpora"], each["model"]) != (claim.corpora, claim.model)]
        audited.append(row)
        write_json(HEADLINES, audited)
        insert(headlines_table(audited), ROOT / "docs" / "audit.md")
        apart, leaky = (interval(row[side]) for side in ("speakers_apart", "leaky"))
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
    # Rows from before a column was added are scored again, and those of commits that this history does not hold.
    history = {line[:12] for line in subprocess.check_output(("git", "rev-list", "HEAD"), cwd=ROOT, text=True).split()}
    whole = {key for key, row in rows.items() if "uar_validation" in row and row["commit"] in history}
    missing = [run for run in wanted if not whole.issuperset(run.row_keys())]
    print(f"{len(missing)} of {len(wanted)} runs are to be scored")
    rows = with_chosen(rows, wanted)
    publish(list(rows.values()))
    checkout = Checkout(ROOT / ".results" / "checkout", shares_cache=True)
    for corpus in sorted({corpus for run in missing for corpus in run.setting.corpora}):
        checkout.add(corpus, present[corpus])
    audited = [] if os.environ.get("FRESH") or not HEADLINES.exists() else read_json(HEADLINES)
    # What takes longest comes last; of networks, those without adaptation first, so that one table is whole early.
    networks = [run for run in missing if {run.model, *run.members} & set(NETWORKS)]
    networks.sort(key=lambda run: (run.setting in LARGE, run.adaptation != "none"))
    score_all(checkout, [run for run in missing if run not in networks], encoder, rows)
    if set(POOLED.corpora) <= set(present):
        audit_claims(checkout, encoder, audited)
    score_all(checkout, networks, encoder, rows)
    publish(list(with_chosen(rows, wanted).values()))


def score_all(checkout: Checkout, wanted: list[Run], encoder: Path | None, rows: dict[tuple, dict]) -> None:
    """Score runs one after the other, adding to the ``rows`` and publishing them as they come."""
    for run in wanted:
        for row in score(checkout, run, encoder):
            rows[key_of(row)] = row
            mark = " leaky" if row["leaky"] else ""
            about = f"{model_of(row)}, adaptation {row['adaptation']}"
            print(f"{row['corpus']:>8} {row['protocol']:<14} {about}: UAR {interval(row)}{mark}", flush=True)
        publish(list(rows.values()))


if __name__ == "__main__":
    main()
