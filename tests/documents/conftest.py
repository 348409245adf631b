"""What evaluate would have found on two synthetic corpora, one trained on and one tested."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import audio, bundle, layout, params, reports, schema
from emodag.documents.report import Findings
from emodag.splits import split
from emodag.training import cross_validate, fit_final

ROOT = Path(__file__).resolve().parents[2]
VOID = frozenset({"meta", "br", "img", "input", "hr", "link"})
LONG = 12.0  # s, more than the page plays


class Reader(HTMLParser):
    """Elements with their attributes, the text of scripts, and the text that people see; ``open`` ends up empty."""

    def __init__(self, html: str):
        super().__init__()
        self.elements, self.scripts, self.text, self.open = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text.append(data)

    def of(self, tag: str, name: str = "") -> list[dict]:
        """The attributes of all such elements, of a class if one is named."""
        found = [attributes for each, attributes in self.elements if each == tag]
        return [each for each in found if not name or name in (each.get("class") or "").split()]

    @property
    def seen(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


@pytest.fixture(scope="session")
def read_html() -> type[Reader]:
    """``read_html(html)``: what a page holds; an element that is closed wrongly fails."""
    return Reader


@dataclass(frozen=True)
class Found:
    """Findings, and the folder that their sound lies in."""

    findings: Findings
    place: Path


@pytest.fixture(scope="session")
def found(synthetic_corpus, tmp_path_factory) -> Found:
    small = {"models.mlp.hidden": [8], "models.mlp.max_epochs": 6, "train.folds": 2, "train.keep_folds": False}
    small |= {"model": "mlp", "compute.jobs": 1, "evaluate.resamples": 100, "evaluate.examples": 3}
    loaded = params.load(ROOT / "params.yaml").changed(small)
    trained = synthetic_corpus.data(*synthetic_corpus.make("alpha", 4, spread=3.0))
    tested = synthetic_corpus.data(
        *synthetic_corpus.make("beta", 3, ("neutral", "happy", "bored"), copies=0, spread=3.0)
    )
    settings = trained.settings | {"version": 2}
    trained, tested = (replace(data, settings=settings) for data in (trained, tested))
    done = cross_validate(trained, split(trained.index, loaded.train, 0), loaded)
    shipped = bundle.make(fit_final(trained, loaded, done.chosen), trained, loaded, done, {"alpha": 0.5})
    made = [
        reports.in_corpus(done.predictions, trained, "alpha", shipped, loaded.evaluate, 0),
        reports.cross_corpus(tested, "beta", shipped, loaded.evaluate, 0),
    ]
    validated = reports.validated(done.validation, shipped)
    made = reports.with_validation(made, validated)
    place = tmp_path_factory.mktemp("checkout")
    for data in (trained, tested):
        organize(place, data.originals().index)
    findings = Findings(loaded, shipped, made, [trained, tested], done.curves, validated, commit="0123abc")
    return Found(findings, place)


def organize(place: Path, index: pd.DataFrame) -> None:
    """Half a second of sound for each clip, but long sound for those of the first speaker."""
    folder = place / layout.organized(index["corpus"][0])
    (folder / "clips").mkdir(parents=True)
    rng = np.random.default_rng(0)
    durations = np.where(index["speaker"] == index["speaker"][0], LONG, 0.5)
    paths = [f"clips/{number}.flac" for number in range(len(index))]
    for path, duration in zip(paths, durations, strict=True):
        audio.write_flac(folder / path, rng.integers(-99, 99, int(duration * audio.SAMPLE_RATE)).astype(np.int16))
    facts = {"path": paths, "duration": durations, "text_id": None, "source_rate": 16_000, "augmentation": None}
    manifest = index.assign(**facts)[list(schema.MANIFEST.columns)]
    schema.write(manifest, schema.MANIFEST, folder / "manifest.parquet")
