"""A small checkout with git and DVC, for tests that bring corpora in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    from dvc.repo import Repo

    place = tmp_path_factory.mktemp("template") / "checkout"
    place.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=place, check=True)
    Repo.init(str(place)).close()
    for name in ("params.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, place / name)
    return place


@pytest.fixture
def checkout(template, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    shutil.copytree(template, tmp_path / "checkout")
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path / "checkout"
