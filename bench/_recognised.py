"""What each run of `make results` recognised in each clip, kept in git so that choices among runs can be made anew.

A choice asks what each run said of validation clips, and its score what the chosen ones said of tested clips; how sure
they were matters to neither. One table for each corpus and protocol holds that: a row per part (test or validation),
fold, seed and clip, and a column per run. Models take hours to train anew, the tables a second to read.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from _checkout import ROOT
from emodag.choosing import Candidate
from emodag.files import atomic_file
from emodag.labels import in_order
from emodag.predict import decisions
from emodag.revisions import Predicted, Revision
from emodag.splits import is_leaky

FOLDER = ROOT / "metrics" / "recognised"

_ABOUT = ["part", "fold", "seed", "clip_id", "speaker", "emotion"]


def add(run: Revision, corpus: str) -> None:
    """Keep what a run recognised in a corpus that it cross-validated."""
    tested = run.corpora[corpus]
    parts = {"test": tested.table, "validation": run.validation.get(corpus, tested.table[:0])}
    tables = []
    for part, table in parts.items():
        said = np.array(tested.classes)[decisions(table, tested.classes)[1]]
        tables.append(table.assign(part=part, **{run.name: said})[[*_ABOUT, run.name]])
    found = pd.concat(tables)
    path = FOLDER / f"{corpus}_{tested.protocol}.parquet"
    if path.exists():
        found = pd.read_parquet(path).drop(columns=run.name, errors="ignore").merge(found, on=_ABOUT, how="outer")
    found = found.sort_values(_ABOUT, ignore_index=True)
    runs = sorted(found.columns.difference(_ABOUT))
    with atomic_file(path) as partial:
        found[[*_ABOUT, *runs]].astype(dict.fromkeys(["part", "speaker", "emotion", *runs], "category")).to_parquet(
            partial, index=False, compression="zstd"
        )


def candidates(corpus: str, protocol: str) -> dict[str, Candidate]:
    """The runs that are kept of a corpus and a protocol, by name; sure of all that they say."""
    path = FOLDER / f"{corpus}_{protocol}.parquet"
    if not path.exists():
        return {}
    kept = pd.read_parquet(path)
    classes = in_order(kept["emotion"])
    found = {}
    for name in kept.columns.difference(_ABOUT):
        rows = kept[kept[name].notna()].astype({"speaker": str, "emotion": str})
        sure = pd.DataFrame({each: (rows[name] == each).astype(float) for each in classes}, index=rows.index)
        table = pd.concat([rows[_ABOUT], sure], axis=1).assign(temperature=1.0)
        tested, held_out = (table[table["part"] == part].drop(columns="part") for part in ("test", "validation"))
        found[name] = Candidate(name, Predicted(tested, classes, protocol, is_leaky(corpus, protocol)), held_out)
    return found
