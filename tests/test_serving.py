"""The MLflow model: what it takes, what it gives, that it needs no other code, and that MLflow's server answers."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile
from mlflow.exceptions import MlflowException

from emodag import audio, serving
from emodag.recognition import UNKNOWN, Recogniser, kept, read

ROOT = Path(__file__).resolve().parents[1]

#: Of new processes: MLflow finds uvicorn, and kernels of the copied library are not compiled for a few short clips.
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "NUMBA_DISABLE_JIT": "1",
}


@pytest.fixture(scope="module")
def folder(hearing_bundle, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("served") / "model"
    serving.save(hearing_bundle, place)
    return place


@pytest.fixture(scope="module")
def model(folder):
    return mlflow.pyfunc.load_model(str(folder))


@pytest.fixture(scope="module")
def files(spoken, tmp_path_factory) -> list[str]:
    place = tmp_path_factory.mktemp("recordings")
    paths = [place / "neutral.wav", place / "angry.flac"]
    for path in paths:
        soundfile.write(path, spoken(path.stem, 93), 16_000)
    return [str(path) for path in paths]


def as_samples(files: list[str]) -> pd.DataFrame:
    read_in = [soundfile.read(path) for path in files]
    return pd.DataFrame(
        {"samples": [samples.tolist() for samples, _ in read_in], "rate": [rate for _, rate in read_in]}
    )


def test_files_and_samples_give_the_calibrated_probabilities_of_the_bundle(model, hearing_bundle, files):
    expected = Recogniser(hearing_bundle)([read(path) for path in files])
    for sent in (pd.DataFrame({"path": files}), as_samples(files)):
        found = model.predict(sent)
        assert list(found.columns) == [*hearing_bundle.classes, "emotion"]
        np.testing.assert_allclose(found[list(hearing_bundle.classes)], expected.probabilities, atol=1e-6)
        assert tuple(found["emotion"]) == expected.emotions
    assert expected.emotions == ("neutral", "angry")


def test_another_rate_is_resampled(model, hearing_bundle, spoken):
    samples = audio.resample(spoken("angry", 93), 16_000, 44_100)
    found = model.predict(pd.DataFrame({"samples": [samples.tolist()], "rate": [44_100]}))
    recognise = Recogniser(hearing_bundle)
    resampled, as_it_is = recognise([kept(samples, 44_100), samples]).probabilities
    np.testing.assert_allclose(found[list(hearing_bundle.classes)].to_numpy()[0], resampled, atol=1e-6)
    assert np.abs(resampled - as_it_is).max() > 0.01


def test_what_the_model_is_not_sure_of_is_unknown(hearing_bundle, files, tmp_path):
    serving.save(replace(hearing_bundle, unknown=1.1), tmp_path / "model")
    found = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(pd.DataFrame({"path": files}))
    assert set(found["emotion"]) == {UNKNOWN}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "/no/such.wav"}, "row 0: .*such.wav"),
        ({"rate": 16_000}, "row 0: give either `path` or `samples`, found neither"),
        ({"path": "/no/such.wav", "samples": [0.1]}, "row 0: give either `path` or `samples`, found both"),
        ({"samples": [0.1, 0.2]}, "row 0: `samples` need their `rate` in Hz"),
        ({"samples": [0.1, 0.2], "rate": 0}, "row 0: `samples` need their `rate` in Hz, found 0"),
        ({"samples": [0.1, 0.2], "rate": True}, "row 0: `samples` need their `rate` in Hz, found True"),
        ({"samples": [0.1] * 100, "rate": 1e300}, "row 0: bad_rate: the recording is said to be at 1000.* 768000 Hz"),
        ({"samples": [0.1] * 100, "rate": 1}, "row 0: bad_rate: the recording is said to be at 1 Hz; accepted: 1000"),
        ({"samples": [0.1], "rate": 192_000}, "row 0: `samples` are shorter than one sample at 16000 Hz"),
        ({"samples": [], "rate": 16_000}, "row 0: `samples` are empty"),
        ({"samples": [0.1, 0.2], "rate": 16_000.5}, "row 0: `samples` need their `rate` in Hz, found 16000.5"),
        ({"samples": [0.1, 0.2], "rate": "16 kHz"}, "row 0: `samples` need their `rate` in Hz"),
        ({"samples": [0.1, float("nan")], "rate": 16_000}, "row 0: `samples` are not finite"),
        ({"samples": [[0.1], [0.2]], "rate": 16_000}, "row 0: `samples` are no list of numbers"),
        ({"samples": ["loud"], "rate": 16_000}, "row 0: `samples` are no list of numbers"),
        ({"samples": [0.0, -12_000.0], "rate": 16_000}, "row 0: too_loud: the recording: samples reach 1.2e.04;"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_row(model, row, message):
    with pytest.raises(MlflowException, match=message):
        model.predict(pd.DataFrame([row]))


@pytest.mark.parametrize("table", [pd.DataFrame(), pd.DataFrame({"path": []})])
def test_no_recording_at_all_is_refused(hearing_bundle, table):
    model = serving.SpeechEmotion()
    model._recogniser = Recogniser(hearing_bundle)
    with pytest.raises(MlflowException, match="there is no row"):
        model.predict(table)


def test_the_folder_holds_no_pickle_and_no_model_of_a_fold(folder):
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert sorted(path.name for path in (folder / "artifacts").rglob("*")) == ["bundle", "bundle.json", "model.onnx"]
    assert (folder / "code" / "emodag" / "documents" / "templates" / "page.html").is_file()


def test_requirements_hold_what_recognition_imports(folder, files):
    # In a process of its own, which has the served copy of the library and no other.
    script = (
        "import sys, mlflow, pandas\n"
        f"model = mlflow.pyfunc.load_model({str(folder)!r})\n"
        f"model.predict(pandas.DataFrame({{'path': {files!r}}}))\n"
        "import emodag\n"
        "print(emodag.__file__)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder.parent, env=ENVIRONMENT
    )
    place, modules = run.stdout.strip().splitlines()[-2:]
    assert Path(place).is_relative_to(folder)
    owners = importlib.metadata.packages_distributions()
    imported = {_canonical(owner) for module in modules.split() for owner in owners.get(module, ())}
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = {_canonical(name) for name in tomllib.load(file)["project"]["dependencies"]}
    pinned = (folder / "requirements.txt").read_text().split()
    assert all(re.fullmatch(r"[\w.-]+==\S+", line) for line in pinned)
    # FastAPI, which MLflow brings, imports it where it happens to be installed.
    by_chance = {"python-multipart"}
    missing = imported & declared - by_chance - _needed([line.partition("==")[0] for line in pinned])
    assert not missing


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needed(names: list[str]) -> set[str]:
    """Distributions, and all that they need."""
    found, waiting = set(), [_canonical(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting += [_canonical(re.match(r"[\w.-]+", need)[0]) for need in needs if "extra ==" not in need]
    return found


@contextmanager
def served(folder: Path, place: Path):
    """MLflow's own server of a model, on loopback; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mlflow_command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder)]
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with (place / "server.log").open("wb") as log:
        process = subprocess.Popen(
            mlflow_command + options, stdout=log, stderr=log, cwd=place, env=ENVIRONMENT, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, (place / "server.log").read_text()
                assert time.monotonic() < deadline, (place / "server.log").read_text()
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def ask(address: str, rows: pd.DataFrame | list[dict]) -> tuple[int, dict]:
    records = rows if isinstance(rows, list) else rows.to_dict("records")
    body = json.dumps({"dataframe_records": records}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_server_of_mlflow_answers_for_files_and_samples(folder, model, files, tmp_path):
    with served(folder, tmp_path) as address:
        for sent in (pd.DataFrame({"path": files}), as_samples(files)):
            status, answer = ask(address, sent)
            assert status == 200
            pd.testing.assert_frame_equal(pd.DataFrame(answer["predictions"]), model.predict(sent), atol=1e-4)
        # Row by row, as docs/serving.md says, and with whole numbers among them.
        mixed = [{"path": files[0]}, {"samples": [0, 2, -1, *as_samples(files)["samples"][1]], "rate": 16_000}]
        status, answer = ask(address, pd.DataFrame({"path": files[:1]}))
        alone = answer["predictions"][0]
        status, answer = ask(address, mixed)
        assert status == 200
        assert answer["predictions"][0] == pytest.approx(alone, abs=1e-4)
        assert answer["predictions"][1]["emotion"] == "angry"
        assert ask(address, [{"samples": [0, 1, 2, -1] * 4000, "rate": 16_000}])[0] == 200
        status, answer = ask(address, pd.DataFrame({"path": ["/no/such.wav"]}))
        assert status == 400
        assert "row 0" in answer["message"]
