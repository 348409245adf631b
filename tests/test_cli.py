"""The command line as a person meets it: output, exit status, one-line errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emodag import cli

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def place(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def emodag(*arguments, cwd):
    code = "from emodag.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)


def tone(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(1600) / 5), 16_000)


def test_help_answers_at_once(place):
    fastest = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        done = emodag("--help", cwd=place)
        fastest = min(fastest, time.perf_counter() - start)
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("corpora", "check", "ui"))
    assert fastest < 0.5


def test_help_imports_nothing_heavy(place):
    code = (
        "import sys, typer.testing\nfrom emodag.cli import app\ntyper.testing.CliRunner().invoke(app, ['--help'])\n"
        "print({'numpy', 'pandas', 'dvc', 'mlflow', 'pydantic', 'soundfile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_list_is_one_plain_line_for_each_corpus(place):
    tone(place / "data/raw/mine/angry/1.wav")
    done = emodag("corpora", "list", cwd=place)
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "1440" in lines["ravdess"]
    assert "CC BY-NC-SA 4.0; Zenodo record 1188976" in lines["ravdess"]
    assert "neutral calm happy sad angry fearful disgust surprised" in lines["ravdess"]
    assert lines["demo_en"].split()[1] == "train"
    assert lines["mine"].split()[1:3] == ["-", "1"]
    assert "\x1b" not in done.stdout


def test_check_params(place):
    done = emodag("check", cwd=place)
    assert (done.returncode, done.stdout) == (
        0, "params.yaml: OK (model mlp; train on demo_en; test on demo_de)\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model: mlp", "model: mpl", "did you mean 'mlp'?"),
        ("demo_de: test", "demo_de: tset", "'train' or 'test'"),
        ("demo_en: train", "demo_en: test", "none has the role 'train'"),
        ("demo_de: test", "ravdess: test", "emodag corpora add ravdess PATH"),
        ("  folds:", "  fold:", "did you mean 'folds'?"),
    ],
)
def test_bad_params_are_one_clear_error(place, old, new, said):
    content = (place / "params.yaml").read_text()
    assert old in content
    (place / "params.yaml").write_text(content.replace(old, new, 1))
    done = emodag("check", cwd=place)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [[], ["--decode"]])
def test_check_reports_what_is_usable_and_what_is_not(place, options):
    folder = place / "download"
    for name in ("Actor_01/03-01-05-01-01-01-01", "Actor_02/03-01-01-01-01-01-02", "Actor_01/03-02-05-01-01-01-01"):
        tone(folder / f"{name}.wav")
    shutil.copy(folder / "Actor_01/03-01-05-01-01-01-01.wav", folder)
    (folder / "03-01-06-01-01-01-01.wav").write_text("no audio")
    (folder / "03-01-06-01-01-01-02.wav").touch()
    done = emodag("corpora", "check", "ravdess", folder, *options, cwd=place)
    assert done.returncode == 0
    assert "6 files, 2 of 1440 clips, 4 rejected" in done.stdout
    assert "emotions (2): neutral 1, angry 1" in done.stdout
    assert "speakers (2): 01 1, 02 1" in done.stdout
    assert "sexes (2): female 1, male 1" in done.stdout
    for reason in ("song", "not_audio", "empty", "duplicate_name"):
        assert f"rejected as {reason}: 1" in done.stdout


def test_only_decoding_finds_a_broken_body(place):
    path = place / "download/angry/1.flac"
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    path.write_bytes(path.read_bytes()[:8_000])
    assert emodag("corpora", "check", "mine", "download", cwd=place).returncode == 0
    done = emodag("corpora", "check", "mine", "download", "--decode", cwd=place)
    assert done.returncode == 1
    assert "rejected as truncated: 1" in done.stdout


def test_check_counts_rows_without_files(place):
    tone(place / "own/1.wav")
    (place / "own/labels.csv").write_text("path,emotion,speaker\n1.wav,sad,anna\n2.wav,sad,ben\n")
    done = emodag("corpora", "check", "mine", "own", cwd=place)
    assert "1 files, 1 clips, 1 rejected" in done.stdout
    assert "rejected as missing_file: 1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["corpora", "check", "ravdes"], "data/raw/ravdes: no such folder; did you mean 'ravdess'?"),
        (["corpora", "check", "ravdess", "wrong"], "none of its files is a clip of ravdess; the names look like"),
        (["corpora", "check", "ravdess", "empty"], "no recording in this folder"),
        (["corpora", "add", "ravdess"], "Name the folder to bring in"),
        (["corpora", "add", "ravdess", "wrong"], "not inside of a DVC repository"),
        (["corpora", "remove", "ravdess"], "there is no corpus 'ravdess' here"),
    ],
)
def test_errors_end_with_one_message_and_status_1(place, arguments, said):
    tone(place / "wrong/03a01Fa.wav")
    (place / "empty").mkdir()
    done = emodag(*arguments, cwd=place)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_plot_draws_beside_the_recording_or_where_it_is_told(place, tmp_path_factory, monkeypatch, capsys):
    tone(place / "greeting.wav")
    done = emodag("plot", "greeting.wav", "--only", "waveform", cwd=place)
    assert (done.returncode, done.stdout) == (0, "greeting_waveform.png\n")
    assert (place / "greeting_waveform.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))  # no checkout
    options = ("--out", "pictures", "--only", "mfcc", "--only", "chroma")
    cli.app(["plot", str(place / "greeting.wav"), *options], standalone_mode=False)
    assert capsys.readouterr().out.split() == ["pictures/greeting_mfcc.png", "pictures/greeting_chroma.png"]


def test_plot_uses_the_params_around_it_or_those_beside_the_library(place, monkeypatch, tmp_path_factory):
    below = place / "recordings" / "mine"
    below.mkdir(parents=True)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    other_project = tmp_path_factory.mktemp("other")
    (other_project / "params.yaml").write_text("train:\n  lr: 0.1\n")
    for folder, expected in ((place, place), (below, place), (elsewhere, ROOT), (other_project, ROOT)):
        monkeypatch.chdir(folder)
        assert cli._params_file() == expected / "params.yaml"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.wav"], "missing.wav: No such file"),
        (["params.yaml"], "params.yaml is no audio that can be decoded"),
        (["greeting.wav", "--only", "mel"], "'mel' is no picture; accepted: sheet, waveform, spectrum, spectrogram"),
        (["greeting.wav", "--out", "params.yaml"], "params.yaml: cannot be written"),
    ],
)
def test_what_cannot_be_plotted_is_one_clear_error(place, arguments, said):
    tone(place / "greeting.wav")
    done = emodag("plot", *arguments, cwd=place)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_to_plot_is_a_usage_error(place):
    done = emodag("plot", ".", cwd=place)
    assert done.returncode == 2
    assert "is a directory" in done.stderr


def test_a_wrong_role_is_a_usage_error(place):
    done = emodag("corpora", "add", "ravdess", "x", "--role", "validation", cwd=place)
    assert done.returncode == 2
    assert "'train', 'test'" in done.stderr
