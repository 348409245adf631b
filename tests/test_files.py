"""Atomic writes: whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emodag.files import atomic_directory, atomic_file, read_json, write_json

SOURCE = Path(__file__).resolve().parents[1] / "src"


def test_a_folder_appears_whole_and_replaces_what_stood_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with atomic_directory(tmp_path / "out") as partial:
        (partial / "new").write_text("new")
        assert (tmp_path / "out" / "old").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_leaves_what_stood_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "out") as partial:
        (partial / "new").write_text("new")
        raise RuntimeError
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_is_not_hidden_by_what_cannot_be_removed(tmp_path, monkeypatch):
    def busy(*_, **options):
        if not options.get("ignore_errors"):
            raise OSError("a worker wrote there in the meantime")

    with pytest.raises(RuntimeError, match="the cause"), atomic_directory(tmp_path / "out") as partial:
        (partial / "new").write_text("new")
        monkeypatch.setattr("shutil.rmtree", busy)
        raise RuntimeError("the cause")


def test_a_killed_process_leaves_no_output_and_the_next_attempt_starts_empty(tmp_path):
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(SOURCE)!r})
from emodag.files import atomic_directory
with atomic_directory({str(tmp_path / "out")!r}) as partial:
    (partial / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    with atomic_directory(tmp_path / "out") as partial:
        assert os.listdir(partial) == []
    assert os.listdir(tmp_path) == ["out"]


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder" / "file.txt"
    with pytest.raises(RuntimeError), atomic_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with atomic_file(target) as partial:
        partial.write_text("whole")
    assert target.read_text() == "whole"


def test_json_keeps_its_content_and_refuses_what_json_has_not(tmp_path):
    write_json(tmp_path / "a.json", {"uar": 0.5, "sprecher": "Ü"})
    assert read_json(tmp_path / "a.json") == {"uar": 0.5, "sprecher": "Ü"}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", {"uar": float("nan")})
    assert not (tmp_path / "b.json").exists()
