"""A service that runs as people run it: a process of its own, asked over HTTP."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import requests
import soundfile
import yaml

from emodag import listening

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a token of the tests"


class Service:
    """``emodag serve`` on a free port, in a folder with its own ``params.yaml``."""

    def __init__(self, folder: Path, models: Path, token: str):
        self.folder, self.models = folder, models
        (folder / "tmp").mkdir()
        surroundings = os.environ | {"TMPDIR": str(folder / "tmp"), "EMODAG_TOKEN": token}
        command = [Path(sys.executable).with_name("emodag"), "serve", "--models", models, "--port", "0"]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=surroundings, stdout=subprocess.PIPE, stderr=log, text=True
            )
        line = self.process.stdout.readline()
        assert line.startswith("open http://127.0.0.1:"), (folder / "log").read_text()
        self.url = line.split()[1]
        self.port = int(self.url.rpartition(":")[2])

    def post(self, path: str, content: bytes, name: str = "clip.wav", **options) -> requests.Response:
        return requests.post(self.url + path, files={"file": (name, content)}, timeout=60, **options)

    def log(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def processes(self) -> list[psutil.Process]:
        """The one that speaks HTTP, then the nursery, then workers."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(), *(each for child in first.children() for each in child.children())]

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="session")
def model(spoken_corpus):
    """The folder of a model that knows how a synthesiser speaks."""
    return spoken_corpus.ship("logistic", train__inputs="functionals", adaptation__by="speaker")


@pytest.fixture(scope="session")
def running(tmp_path_factory, model):
    """``running(token, backend, **serve)``: a service with changed limits, for the time of a ``with`` block.

    It transcribes only where a backend is named, for that takes longer than all else.
    """

    @contextmanager
    def start(token="", backend="none", **changes):
        folder = tmp_path_factory.mktemp("service")
        content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        content["serve"] |= changes
        content["transcribe"]["backend"] = backend
        (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        service = Service(folder, model, token)
        try:
            yield service
        finally:
            service.end()

    return start


@pytest.fixture(scope="session")
def service(running):
    """One that asks for no token, with limits that tests can reach."""
    limits = {"longest": 60.0, "seconds": 5.0, "memory": 256.0}
    with running(largest=3.0, stall=1.5, upload=6.0, live=1, clip=limits) as started:
        yield started


@pytest.fixture(scope="session")
def samples(spoken_corpus):
    """About three seconds that somebody says: float32 [samples] at 16 kHz."""
    return np.concatenate([listening.read(path, mono=True).samples() for path in spoken_corpus.clips[:2]])[:48_000]


@pytest.fixture(scope="session")
def encoded(samples):
    """``encoded(kind)``: the speech as the bytes of a file of that kind."""
    of_libsndfile = {
        "wav": ("WAV", "PCM_16"),
        "flac": ("FLAC", "PCM_16"),
        "mp3": ("MP3", "MPEG_LAYER_III"),
        "ogg": ("OGG", "VORBIS"),
        "opus": ("OGG", "OPUS"),
        "aiff": ("AIFF", "PCM_16"),
        "au": ("AU", "PCM_16"),
        "caf": ("CAF", "PCM_16"),
    }
    of_ffmpeg = {"m4a": ("mp4", "aac"), "webm": ("webm", "libopus"), "aac": ("adts", "aac")}

    def encode(kind: str) -> bytes:
        content = io.BytesIO()
        if kind in of_libsndfile:
            container, subtype = of_libsndfile[kind]
            soundfile.write(content, samples, 16_000, format=container, subtype=subtype)
            return content.getvalue()
        container, codec = of_ffmpeg[kind]
        with av.open(content, "w", format=container) as file:
            stream = file.add_stream(codec, rate=48_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.repeat(samples, 3)[np.newaxis], format="fltp", layout="mono")
            frame.rate = 48_000
            resampler = av.AudioResampler(format=stream.format, rate=48_000, layout="mono", frame_size=1024)
            pieces = [*resampler.resample(frame), *resampler.resample(None)]
            for piece in pieces:
                if codec == "libopus":
                    piece.pts = None
            for packet in (packet for piece in [*pieces, None] for packet in stream.encode(piece)):
                file.mux(packet)
        return content.getvalue()

    return encode
