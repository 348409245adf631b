"""A working copy of this checkout's HEAD to measure in, so that nobody's params, data or lock file are touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from emodag.files import read_json

ROOT = Path(__file__).resolve().parents[1]

#: What folders of real corpora are called in the wild.
FOLDERS = {
    "ravdess": ("ravdess", "RAVDESS"),
    "crema_d": ("cremad", "crema_d", "crema-d", "CREMA-D"),
    "savee": ("savee", "SAVEE"),
    "tess": ("tess", "TESS"),
    "esd": ("esd", "ESD"),
    "emodb": ("emodb", "EmoDB", "EMODB"),
}


def corpora_in(place: Path) -> dict[str, Path]:
    """The real corpora that lie in a folder, by name."""
    found = {}
    for corpus, names in FOLDERS.items():
        folder = next((place / name for name in names if (place / name).is_dir()), None)
        if folder is not None:
            found[corpus] = folder
    return found


class Checkout:
    """A clone in which pipelines run; its data and cache stay, so a second call computes only what changed."""

    def __init__(self, place: Path, *, shares_cache: bool = False):
        """``shares_cache``: keep what runs give in this checkout's DVC cache, to compare and apply it here."""
        self.place = place
        if not (place / ".git").exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            self._call("git", "clone", "--quiet", str(ROOT), str(place), cwd=ROOT)
        head = subprocess.check_output(("git", "rev-parse", "HEAD"), cwd=ROOT, text=True).strip()
        self._call("git", "fetch", "--quiet", "origin")
        self._call("git", "checkout", "--quiet", "--force", "--detach", head)
        self.commit = head
        if shares_cache:
            of_root = ("dvc", "cache", "dir")
            cache = subprocess.check_output(of_root, cwd=ROOT, env=self._environment(), text=True).strip()
            self._call("dvc", "config", "--quiet", "--local", "cache.dir", cache)

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": str(self.place / "src"),
            "DVC_NO_ANALYTICS": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def _call(self, *command: str, cwd: Path | None = None, **variables: str) -> None:
        subprocess.run(command, cwd=cwd or self.place, env=self._environment() | variables, check=True)

    def add(self, corpus: str, folder: Path) -> None:
        """Bring a corpus into the clone, if it is not there."""
        self._call("emodag", "corpora", "add", corpus, str(folder.resolve()))

    def repro(self, changes: dict, *stages: str, **variables: str) -> None:
        """``dvc repro`` of these stages, or of all, with the committed params changed by dotted keys."""
        self._set(changes)
        self._call("emodag", "prune")
        self._call("dvc", "repro", "--quiet", *stages, **variables)

    def keep(self, experiment: str) -> None:
        """Keep what was last reproduced as a DVC experiment of this commit; others of its name are deleted."""
        # Under one name at two commits, DVC would find neither.
        for repository in (self.place, ROOT):
            listed = subprocess.check_output(
                ("git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{experiment}"),
                cwd=repository, text=True,
            )  # fmt: skip
            for reference in listed.split():
                self._call("git", "update-ref", "-d", reference, cwd=repository)
        self._call("dvc", "exp", "save", "--quiet", "--name", experiment)
        reference = f"refs/exps/*/{experiment}"
        self._call("git", "fetch", "--quiet", "--no-tags", str(self.place), f"+{reference}:{reference}", cwd=ROOT)

    def audit(self, changes: dict, folds: int) -> dict:
        """What ``emodag audit`` finds with the committed params changed by dotted keys, on some folds of each side."""
        self.repro(changes, *(f"featurize@{corpus}" for corpus in changes["corpora"]))
        self._call("emodag", "audit", "--folds", str(folds), "--out", "audit")
        return read_json(self.place / "audit" / "audit.json")

    def _set(self, changes: dict) -> None:
        yaml = YAML()
        committed = ("git", "show", f"{self.commit}:params.yaml")
        content = yaml.load(subprocess.check_output(committed, cwd=self.place, text=True))
        for key, value in changes.items():
            *sections, last = key.split(".")
            place = content
            for section in sections:
                place = place[section]
            place[last] = value
        with (self.place / "params.yaml").open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
