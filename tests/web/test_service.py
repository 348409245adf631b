"""What the service answers, rightly asked and wrongly."""

from __future__ import annotations

import asyncio
import io
import json
import resource
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import requests
import soundfile
from starlette.datastructures import UploadFile
from starlette.testclient import TestClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from emodag import bundle, hearing, listening, params
from emodag.conversation.live import Listener
from emodag.recognition import Recogniser
from emodag.transcription.base import Transcript
from emodag.web import answers, examples, writing
from emodag.web.app import create_app
from emodag.web.nursery import Worker
from emodag.web.team import Busy, Team
from emodag.web.wire import Message

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "webm", "aac", "aiff", "au", "caf")


@pytest.fixture(scope="module")
def recogniser(model):
    return Recogniser(bundle.load(model))


def refused(response, status, code):
    """What a refusal says is accepted."""
    assert response.status_code == status, response.text
    error = answers.Refusal.model_validate(response.json()).error
    assert error.code == code
    assert error.message
    return error.accepted


def wav(samples, rate=16_000):
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_answered_whatever_it_is_called(service, encoded, kind):
    response = service.post("/api/predict", encoded(kind), "holiday.jpg")
    assert response.status_code == 200, response.text
    found = response.json()
    assert found["duration"] == pytest.approx(3, abs=0.15)
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=0.001)


def test_the_answer_is_that_of_the_command_line(service, encoded, recogniser, tmp_path):
    content = encoded("flac")
    (tmp_path / "clip.flac").write_bytes(content)
    (expected,) = hearing.hear(recogniser, [str(tmp_path / "clip.flac")])
    found = service.post("/api/predict", content, "clip.flac").json()
    context = found.pop("model")
    assert found == expected.described() | {"file": "clip.flac"}
    assert list(found["probabilities"]) == list(expected.probabilities)
    assert context["trained_on"] == ["demo_en"]
    assert context["scores"][0]["uar"] == 0.5


def test_process_audio_has_the_three_plain_answers(service, encoded):
    found = service.post("/process_audio", encoded("wav")).json()
    assert set(found) == {"Emotion Probabilities", "Transcription", "LLM Interpretation", "Details"}
    assert found["Emotion Probabilities"] == service.post("/api/predict", encoded("wav")).json()["probabilities"]
    assert found["Transcription"] == found["Details"]["transcription"]["text"]
    assert found["LLM Interpretation"] == found["Details"]["interpretation"]["text"]
    assert found["Details"]["transcription"]["backend"] == "none"
    assert found["Details"]["interpretation"]["source"] == "evidence"
    assert "What is said is not known" in found["LLM Interpretation"]


def test_what_is_said_is_written_down_and_interpreted(running, encoded, samples):
    pytest.importorskip("pocketsphinx")
    with running(backend="sphinx") as service:
        found = service.post("/process_audio", encoded("flac")).json()
        details = found["Details"]["transcription"]
        assert details["backend"] == "sphinx"
        assert details["note"] == ""
        assert found["Transcription"] == " ".join(each["text"] for each in details["words"]) != ""
        assert all(0 <= each["start"] < each["end"] <= 3.01 for each in details["words"])
        assert "oice" in found["LLM Interpretation"]
        assert "is not known" not in found["LLM Interpretation"]
        assert service.post("/process_audio", wav(np.zeros(16_000))).json()["Transcription"] == ""
        plain = service.post("/api/analyze", wav(samples)).json()
        assert plain["interpretation"] is None
        assert not any(turn["text"] for turn in plain["turns"])
        told = answers.Analysis.model_validate(service.post("/api/analyze?words=true", wav(samples)).json())
        assert any(turn.text for turn in told.turns)
        assert told.interpretation.source == "evidence"


def test_words_have_the_time_that_the_job_has_left(samples, recogniser, monkeypatch):
    settings = params.load(ROOT / "params.yaml")
    spoken = SimpleNamespace(transcribe=lambda _: Transcript("kids are talking"))
    monkeypatch.setattr(writing, "create", lambda _: spoken)
    writer = writing.Writer(settings, recogniser.bundle.classes, {})
    (answer,) = hearing.judged(recogniser, [listening.decode(io.BytesIO(wav(samples)), "a.wav", mono=True)], ["a.wav"])
    before = resource.getrlimit(resource.RLIMIT_CPU)
    # What comes before has left a job of 60 s so many until the system ends it; the last 12 are for telling.
    found = {}
    for left in (9, 20):
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + left, before[1]))
        try:
            found[left] = writer.of_clip(answer.described(), samples)["transcription"]
        finally:
            resource.setrlimit(resource.RLIMIT_CPU, before)
    assert (found[9]["text"], found[9]["note"]) == ("", "transcription was stopped: it took too long")
    assert (found[20]["text"], found[20]["note"]) == ("kids are talking", "")


def test_a_model_of_words_that_is_missing_costs_no_emotion(running, encoded):
    with running(backend="whisper") as service:
        found = service.post("/process_audio", encoded("wav"))
        assert found.status_code == 200, found.text
        assert found.json()["Emotion Probabilities"]
        assert found.json()["Transcription"] == ""
        assert found.json()["Details"]["transcription"]["note"]


def test_without_speech_no_emotion_is_made_up(service):
    found = service.post("/process_audio", wav(np.zeros(16_000))).json()
    assert found["Emotion Probabilities"] == {}
    assert found["Details"]["emotion"] is None
    assert any("no speech" in note for note in found["Details"]["notes"])


def test_a_conversation_is_analysed(service, samples):
    found = service.post("/api/analyze?speakers=1", wav(np.tile(samples, 3)), "call.wav")
    assert found.status_code == 200, found.text
    analysis = answers.Analysis.model_validate(found.json())
    assert analysis.recording == "call.wav"
    assert analysis.duration == pytest.approx(9, abs=0.01)
    assert len(analysis.speakers) == 1
    assert sum(turn.feeling is not None for turn in analysis.turns) > 0


def test_the_model_tells_what_it_is_worth(service, recogniser):
    card = answers.Card.model_validate(requests.get(f"{service.url}/api/model", timeout=10).json())
    assert card.emotions == list(recogniser.bundle.classes)
    assert card.unknown_below == recogniser.bundle.unknown
    assert card.trained_on[0].synthetic
    assert card.scores[0].low is None
    assert "says nothing" in " ".join(card.limits) or "say nothing" in " ".join(card.limits)


def test_health_and_metrics(service, encoded):
    health = requests.get(f"{service.url}/health", timeout=10)
    assert health.json() == {"status": "ready", "waiting": 0, "active": 0}
    before = counted(service, "/api/predict", 200)
    service.post("/api/predict", encoded("wav"))
    assert counted(service, "/api/predict", 200) == before + 1
    requests.get(f"{service.url}/made/up", timeout=10)
    assert "made" not in requests.get(f"{service.url}/metrics", timeout=10).text


def counted(service, path, status):
    text = requests.get(f"{service.url}/metrics", timeout=10).text
    start = f'emodag_requests_total{{method="POST",path="{path}",status="{status}"}} '
    return sum(float(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/openapi.json", "/api/model", "/made/up"])
def test_no_answer_may_be_framed_sniffed_or_scripted_from_elsewhere(service, path):
    response = requests.get(service.url + path, timeout=10)
    policy = response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "server" not in response.headers


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(service, path):
    text = requests.get(service.url + path, timeout=10).text
    assert text.startswith("<!doctype html>")
    assert 'src="http' not in text
    assert 'href="http' not in text


def test_examples_are_what_the_service_would_answer(service):
    described = requests.get(f"{service.url}/openapi.json", timeout=10).json()
    kinds = {
        ("/api/model", "get"): answers.Card,
        ("/health", "get"): answers.Health,
        ("/process_audio", "post"): answers.Processed,
        ("/api/predict", "post"): answers.Prediction,
        ("/api/analyze", "post"): answers.Analysis,
    }
    for (path, method), kind in kinds.items():
        content = described["paths"][path][method]["responses"]["200"]["content"]["application/json"]
        kind.model_validate(content["example"])
    assert examples.PROCESSED["Details"]["probabilities"] == examples.PROCESSED["Emotion Probabilities"]


def test_wrong_requests_are_told_what_is_accepted(service, encoded):
    url = service.url
    assert "wav, flac" in refused(service.post("/api/predict", b"Dear Sir or Madam, " * 9, "a.wav"), 415, "not_audio")
    assert "wav, flac" in refused(service.post("/process_audio", b""), 422, "empty")
    wrong = requests.post(f"{url}/process_audio", files={"recording": encoded("wav")}, timeout=10)
    assert "`file`" in refused(wrong, 422, "not_valid")
    assert "`file`" in refused(requests.post(f"{url}/process_audio", data=b"RIFF", timeout=10), 422, "not_valid")
    broken = requests.post(f"{url}/api/predict", data=b"x", headers={"Content-Type": "multipart/form-data"}, timeout=10)
    assert "multipart" in refused(broken, 400, "not_readable")
    assert "POST" in refused(requests.get(f"{url}/process_audio", timeout=10), 405, "no_such_method")
    assert "/process_audio" in refused(requests.get(f"{url}/process_audios", timeout=10), 404, "no_such_path")
    for speakers in ("0", "21", "two"):
        refused(service.post(f"/api/analyze?speakers={speakers}", encoded("wav")), 422, "not_valid")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    refused(service.post("/api/predict", pointer, "a.flac"), 415, "not_audio")


def test_pages_of_other_sites_may_not_ask(service, encoded):
    for origin in ("https://elsewhere.example", "null", f"http://127.0.0.1:{service.port + 1}"):
        refused(service.post("/api/predict", encoded("wav"), headers={"Origin": origin}), 403, "foreign_origin")
    assert service.post("/api/predict", encoded("wav"), headers={"Origin": service.url}).status_code == 200


def test_what_is_too_large_is_refused_before_and_while_it_comes(service):
    accepted = refused(service.post("/api/predict", b"RIFF" + bytes(4_000_000)), 413, "too_large")
    assert "3 MB" in accepted
    # Without a length in front, so that only counting can tell.
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(b"POST /api/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
        client.sendall(b"Content-Type: multipart/form-data; boundary=b\r\n\r\n")
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
        answer = send_chunks(client, [part, *[bytes(65_536)] * 60])
    assert answer.startswith(b"HTTP/1.1 413 ")


def send_chunks(client, chunks):
    client.settimeout(10)
    try:
        for chunk in chunks:
            client.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        return client.recv(4096)
    except (BrokenPipeError, ConnectionResetError):
        return client.recv(4096)


def test_what_is_too_long_is_refused_however_small_it_is(service):
    content = io.BytesIO()
    soundfile.write(content, np.zeros(16_000 * 3_600), 16_000, format="FLAC")
    assert len(content.getvalue()) < 1_000_000
    assert "at most 60 s" in refused(service.post("/process_audio", content.getvalue()), 413, "too_long")


def test_ten_who_stall_do_not_stop_the_eleventh(service, encoded):
    head = (
        b"POST /process_audio HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    )
    clients = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(10)]
    for client in clients:
        client.sendall(head)
    start = time.monotonic()
    assert service.post("/process_audio", encoded("wav")).status_code == 200
    assert time.monotonic() - start < 1.5
    for client in clients:
        client.settimeout(10)
        assert client.recv(4096).startswith(b"HTTP/1.1 408 ")
        client.close()


def test_a_drip_that_never_ends_is_ended(service):
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(
            b"POST /process_audio HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        )
        client.settimeout(0.2)
        start, answer = time.monotonic(), b""
        while not answer and time.monotonic() - start < 15:
            client.sendall(b"-")
            try:
                answer = client.recv(4096)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - start < 12


def test_nothing_of_a_recording_is_logged_or_kept(service, encoded):
    before = len(service.log())
    service.post("/process_audio", encoded("m4a") + bytes(1_500_000), "my secret.m4a")
    assert service.post("/process_audio", b"my secret", "my secret.wav").status_code == 415
    # Any line of theirs: what clients of other tests did may be logged later.
    wait_until(lambda: 415 in [line.get("status") for line in service.log()[before:]])
    lines = service.log()
    assert all({"time", "level", "event"} <= set(line) for line in lines)
    assert "secret" not in json.dumps(lines)
    assert sorted(path.name for path in service.folder.rglob("*")) == ["log", "params.yaml", "tmp"]


def test_the_answering_processes_load_no_training_library(service):
    http, *others = service.processes()
    for process in (http, *others):
        loaded = {each.path.lower() for each in process.memory_maps()}
        assert not [path for path in loaded if "tensorflow" in path or "torch" in path]
    # What forks has one thread; onnxruntime's telemetry would be another.
    assert [process.num_threads() for process in others] == [1] * len(others)


def test_ended_processes_are_replaced(running, encoded):
    with running() as service:
        _, nursery, *workers = service.processes()
        assert len(workers) == 2
        for worker in workers:
            worker.kill()
        statuses = [service.post("/api/predict", encoded("wav")).status_code for _ in range(3)]
        assert statuses == [413, 413, 200]  # whoever asked an ended one is told
        nursery.kill()
        wait_until(lambda: nursery.status() == psutil.STATUS_ZOMBIE)
        assert service.post("/api/predict", encoded("wav")).status_code == 200
        others = [service.post("/api/analyze", encoded("wav")).status_code for _ in range(1)]
        assert others == [200]
        assert requests.get(f"{service.url}/health", timeout=10).json()["status"] == "ready"
        everyone = service.processes()
        service.end()
        for process in everyone[1:]:
            process.wait(5)
        assert not any(process.is_running() for process in everyone[1:])


def test_more_than_can_wait_are_told_when_to_come_back(running, samples, encoded):
    with running(workers=1, queue=0) as service, ThreadPoolExecutor(6) as pool:
        long = wav(np.tile(samples, 30))
        found = list(pool.map(lambda _: service.post("/api/predict", long), range(6)))
        statuses = sorted(response.status_code for response in found)
        assert statuses[0] == 200
        assert statuses[-1] == 503
        busy = next(response for response in found if response.status_code == 503)
        refused(busy, 503, "busy")
        assert int(busy.headers["Retry-After"]) >= 1
        assert service.post("/api/predict", encoded("wav")).status_code == 200


def test_whoever_waits_is_on_disk_and_not_in_memory(encoded, monkeypatch):
    """Of an upload only its first bytes are read until it has a worker."""
    read, sizes = UploadFile.read, []

    async def counted_read(file, size=-1):
        content = await read(file, size)
        sizes.append(len(content))
        return content

    @asynccontextmanager
    async def none_free(_):
        raise Busy(7)
        yield

    monkeypatch.setattr(UploadFile, "read", counted_read)
    client = TestClient(
        create_app(SimpleNamespace(lanes={}, worker=none_free), params.load(ROOT / "params.yaml").serve)
    )
    response = client.post("/api/predict", files={"file": ("a.wav", encoded("wav"))})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
    assert sizes == [16]


def test_what_costs_too_much_ends_its_process_and_no_other(running, samples, encoded):
    hasty, little = {"longest": 600.0, "seconds": 1.0, "memory": 512.0}, {"seconds": 60.0, "memory": 64.0}
    channels = io.BytesIO()
    soundfile.write(channels, np.zeros((16_000 * 300, 8), np.int16), 16_000, format="FLAC")
    with running(clip=hasty, call=hasty | little) as service:
        refused(service.post("/api/predict", wav(np.tile(samples, 150))), 413, "too_costly")
        refused(service.post("/api/analyze", channels.getvalue()), 413, "too_much_memory")
        assert service.post("/api/predict", encoded("wav")).status_code == 200


def test_the_token_is_asked_of_all_but_the_page(running, encoded, samples):
    token = "open-sesame"
    with running(token) as service:
        for path in ("/", "/health", "/docs", "/openapi.json"):
            assert requests.get(service.url + path, timeout=10).status_code == 200
        for headers in ({}, {"Authorization": f"Bearer {token}x"}, {"Authorization": f"Basic {token}"}):
            refused(service.post("/api/predict", encoded("wav"), headers=headers), 401, "no_token")
            refused(requests.get(f"{service.url}/metrics", headers=headers, timeout=10), 401, "no_token")
        right = {"Authorization": f"Bearer {token}"}
        assert service.post("/api/predict", encoded("wav"), headers=right).status_code == 200
        address = f"ws://127.0.0.1:{service.port}/api/live?rate=16000"
        with pytest.raises(InvalidStatus, match="401"):
            connect(address)
        with connect(address, subprotocols=["emodag", f"bearer.{token}"]) as client:
            assert client.subprotocol == "emodag"
            client.send(pcm(samples[:1600]))
            assert json.loads(client.recv(10))["time"] == 0.1
        assert token not in (service.folder / "log").read_text()


def pcm(samples):
    return np.rint(samples * 32767).astype("<i2").tobytes()


def live(service, query="rate=16000"):
    return connect(f"ws://127.0.0.1:{service.port}/api/live?{query}")


def test_a_live_voice_is_heard_as_by_the_command_line(service, recogniser, samples):
    blocks = np.array_split(np.tile(samples, 2), 60)
    settings = params.load(service.folder / "params.yaml").analyze
    listener = Listener(recogniser, settings)
    expected = [listener.hear(np.frombuffer(pcm(each), "<i2").astype(np.float32) / 32768) for each in blocks]
    found = []
    with live(service) as client:
        for block in blocks:
            client.send(pcm(block))
            found.append(json.loads(client.recv(10)))
    assert [each["judged"] for each in found] == [each.is_judged for each in expected]
    felt = [each["feeling"] for each in found if each["feeling"]]
    known = [each.feeling for each in expected if each.feeling]
    assert len(felt) == len(known) > 1
    for one, other in zip(felt, known, strict=True):
        assert one["emotion"] == other.emotion
        assert max(one["probabilities"].values()) == pytest.approx(max(other.probabilities), abs=1e-4)


def test_a_browser_s_samples_are_heard(service, samples):
    content = np.repeat(samples, 3).astype("<f4").tobytes()
    with live(service, "rate=48000&encoding=f32le") as client:
        for start in range(0, len(content), 48_000):
            client.send(content[start : start + 48_000])
        answered = [json.loads(client.recv(10)) for _ in range(0, len(content), 48_000)]
    assert answered[-1]["time"] == pytest.approx(3, abs=0.05)
    assert any(each["feeling"] for each in answered)


def test_blocks_that_a_resampler_holds_back_are_answered(service, samples):
    content = np.repeat(samples[:16_000], 3).astype("<f4").tobytes()
    block = 960 * 4  # 20 ms
    with live(service, "rate=48000&encoding=f32le") as client:
        client.send(b"")
        assert json.loads(client.recv(10)) == {"time": 0, "level": -100, "judged": False, "feeling": None}
        for start in range(0, len(content), block):
            client.send(content[start : start + block])
        answered = [json.loads(client.recv(10)) for _ in range(0, len(content), block)]
    assert answered[-1]["time"] == pytest.approx(1, abs=0.05)
    loudest = 10 * np.log10(np.square(samples[:16_000]).reshape(-1, 320).mean(axis=1)).max()
    assert max(each["level"] for each in answered) == pytest.approx(loudest, abs=0.1)


def test_an_answer_that_is_no_json_is_a_fault_and_not_the_end_of_the_worker():
    jobs = SimpleNamespace(predict=lambda *_, **__: {"level": float("nan")})
    header, _ = Worker(jobs).answered(Message({"job": "predict", "name": "a.wav", "with_words": False}))
    found = json.loads(header[12:])
    assert found["failed"] == "ValueError"
    assert found["where"][-1].startswith("encoder.py:")


@pytest.mark.parametrize(
    ("query", "told"),
    [("", "rate"), ("rate=7999", "rate"), ("rate=4e9", "rate"), ("rate=16000&encoding=mp3", "encoding")],
)
def test_live_clients_are_told_what_is_accepted(service, query, told):
    with pytest.raises(InvalidStatus) as error:
        live(service, query)
    assert error.value.response.status_code == 422
    assert told in json.loads(error.value.response.body)["error"]["message"]


@pytest.mark.parametrize(
    ("message", "query"),
    [(b"123", ""), ("hello", ""), (np.full(100, np.nan, "<f4").tobytes(), "&encoding=f32le")],
    ids=["odd", "text", "nan"],
)
def test_what_are_no_samples_ends_the_connection(service, message, query):
    with live(service, f"rate=16000{query}") as client:
        client.send(message)
        assert json.loads(client.recv(10))["error"]["code"] == "not_samples"
        with pytest.raises(ConnectionClosed) as error:
            client.recv(10)
    assert error.value.rcvd.code == 4400


def test_live_clients_who_are_silent_or_too_many_are_ended(service, samples):
    with live(service) as client:
        client.send(pcm(samples[:1600]))
        client.recv(10)
        with live(service) as other:
            assert json.loads(other.recv(10))["error"]["code"] == "busy"
        assert json.loads(client.recv(10))["error"]["code"] == "too_slow"
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{service.port}/api/live?rate=16000", origin="https://elsewhere.example")


def test_a_client_who_leaves_gives_its_worker_back(service, samples):
    """What nobody waits for is not computed to its end."""
    content = wav(np.tile(samples, 19))
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content + b"\r\n--b--\r\n"
    head = (
        b"POST /api/analyze HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(head + body)
        wait_until(lambda: len(service.processes()) == 5)
    wait_until(lambda: len(service.processes()) == 4)
    for pause in np.linspace(0, 0.03, 12):  # also whoever leaves while a worker is forked
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(head + body)
            time.sleep(pause)
    assert service.post("/api/analyze", wav(samples)).status_code == 200
    wait_until(lambda: len(service.processes()) == 4)


def test_a_worker_that_nobody_waits_for_any_more_is_ended_and_reaped(model):
    """Also one that is forked only after whoever asked has left."""

    async def found():
        others = psutil.Process().children()
        team = Team(model, ROOT / "params.yaml", params.load(ROOT / "params.yaml").serve)
        await team.start()
        try:
            (nursery,) = [child for child in psutil.Process().children() if child not in others]
            before = nursery.children()
            nursery.suspend()
            asking = asyncio.ensure_future(team.worker("call").__aenter__())
            await asyncio.sleep(0.1)
            asking.cancel()
            nursery.resume()
            await asyncio.wait([asking])
            await asyncio.sleep(0.3)  # for the nursery to fork nonetheless
            return before, asking.cancelled(), nursery.children()
        finally:
            await team.stop()

    before, was_cancelled, after = asyncio.run(found())
    assert was_cancelled
    assert after == before


def wait_until(is_so, seconds=10):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def serve(*arguments):
    command = [str(Path(sys.executable).with_name("emodag")), "serve", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_what_cannot_be_served_is_told_in_a_line(model, tmp_path):
    found = serve("--models", tmp_path, "--port", 0, "--host", "0.0.0.0")
    assert found.returncode == 1
    lines = found.stderr.splitlines()
    assert "EMODAG_TOKEN" in lines[0]
    assert lines[-1].startswith("error: ")
    assert "no such file" in lines[-1]
    assert "Traceback" not in found.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = serve("--models", model, "--port", port)
    assert found.returncode == 1
    assert found.stderr.startswith(f"error: 127.0.0.1:{port} cannot be listened on")


def test_whoever_connects_and_is_silent_is_hung_up_on():
    import uvicorn

    from emodag.web.protocol import Prompt

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=Prompt.within(0.3), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    try:
        with (
            socket.create_connection(listening.getsockname()) as silent,
            socket.create_connection(listening.getsockname()) as slow,
            socket.create_connection(listening.getsockname()) as prompt,
        ):
            slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            prompt.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            for client in (silent, slow, prompt):
                client.settimeout(5)
            assert prompt.recv(100).startswith(b"HTTP/1.1 204")
            assert silent.recv(100) == b""
            assert slow.recv(100) == b""
            prompt.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert prompt.recv(100).startswith(b"HTTP/1.1 204")
    finally:
        server.should_exit = True
        thread.join()
