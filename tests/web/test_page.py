"""The page, driven in Chromium as people drive it: a service of its own, no network, a microphone that plays a file."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from PIL import Image

from emodag import listening
from emodag.plots import COLOURS
from emodag.web import app

ROOT = Path(__file__).resolve().parents[2]
RATE = 16_000

#: What browsers say of an answer that is a refusal; the page tells it in words.
_REFUSED = "Failed to load resource: the server responded with a status of"


@pytest.fixture(scope="module")
def conversation(spoken_corpus):
    """About 13 s in which two voices speak in turn: float32 [samples]."""
    pause = np.zeros(RATE // 2, np.float32)
    pieces = [listening.read(path, mono=True).samples() for path in spoken_corpus.clips]
    heard, total = [], 0
    for piece in (pieces[0], pieces[-1], pieces[1], pieces[-2], *pieces[2:]):
        heard += [piece, pause]
        total += len(piece) + len(pause)
        if total > 12 * RATE:
            break
    return np.concatenate(heard)


@pytest.fixture(scope="module")
def files(tmp_path_factory, samples, conversation):
    """Files to upload: ``clip.wav``, ``a call.wav``, ``silence.wav`` and ``diary.txt``."""
    folder = tmp_path_factory.mktemp("page")
    soundfile.write(folder / "clip.wav", samples, RATE)
    soundfile.write(folder / "a call.wav", conversation, RATE)
    soundfile.write(folder / "silence.wav", np.zeros(2 * RATE), RATE)
    (folder / "diary.txt").write_text("No recording, but a diary.\n" * 20, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser(files):
    """Chromium, whose microphone plays the conversation."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright: pip install it")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("the page is tested in Chromium, and none is installed: apt install chromium")
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    microphone.append(f"--use-file-for-fake-audio-capture={files / 'a call.wav'}")
    sound = ["--mute-audio", "--autoplay-policy=no-user-gesture-required"]
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=found, args=[*microphone, *sound])
        yield started
        started.close()


@pytest.fixture(scope="module")
def written(running):
    """A service that writes down what is said."""
    with running(backend="sphinx") as started:
        yield started


@pytest.fixture
def opened(browser):
    """``opened(service, **options)``: the page in a window of its own; at the end, it asked and erred nowhere else."""
    contexts, problems = [], []

    def open_page(service, *, width=1280, height=800, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: _must_be_of(service, request.url, problems))
        page.on("websocket", lambda socket: _must_be_of(service, socket.url, problems))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: _must_be_quiet(message, problems))
        page.goto(service.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def _must_be_of(service, url, problems):
    if urlsplit(url).scheme not in ("blob", "data") and urlsplit(url).netloc != urlsplit(service.url).netloc:
        problems.append(f"asked {url}")


def _must_be_quiet(message, problems):
    if message.type in ("error", "warning") and not message.text.startswith(_REFUSED):
        problems.append(message.text)


def give(page, path):
    """Upload a file and wait until all is there."""
    page.set_input_files("#file", path)
    page.wait_for_selector("#status:has-text('Done')")


def saved(page, kind) -> bytes:
    """What the button of a kind of file downloads."""
    with page.expect_download() as waiting:
        page.click(f"[data-save={kind}]")
    assert waiting.value.suggested_filename.endswith(f".{kind}")
    return Path(waiting.value.path()).read_bytes()


def test_a_clip_is_judged_and_its_words_are_told_with_how_often_they_are_wrong(opened, written, files):
    page = opened(written)
    give(page, files / "clip.wav")
    names = page.locator("#bars .name").all_inner_texts()
    shares = [float(text.strip("<>%")) for text in page.locator("#bars .amount").all_inner_texts()]
    assert len(names) == len(shares) > 2
    assert shares == sorted(shares, reverse=True)
    assert page.inner_text("#finding") in (f"Sounds {names[0]}", "Not sure")
    basis = page.inner_text("#result [data-basis]")
    assert re.search(r"UAR \d+% on .+ \(a synthesiser speaks\), chance \d+%", basis)
    assert "a synthesiser speaks" in page.inner_text("#card")
    assert "Judging a person" in page.inner_text("#card")
    assert "Made from the evidence by rules" in page.inner_text("#interpretation")
    assert page.locator("#transcript .said").count() == 1
    measured = json.loads((ROOT / "bench" / "results" / "transcription.json").read_text(encoding="utf-8"))["corpora"]
    for corpus in ("ravdess", "crema_d"):
        for key in ("word_error_rate", "low", "high"):
            assert f"{100 * measured[corpus][key]:.0f}%" in page.inner_text("#transcript .source")

    answer = json.loads(saved(page, "json"))
    assert answer["Details"]["file"] == "clip.wav"
    assert list(answer["Emotion Probabilities"]) == names
    (row,) = csv.DictReader(io.StringIO(saved(page, "csv").decode()))
    assert float(row[names[0]]) == pytest.approx(answer["Emotion Probabilities"][names[0]], abs=1e-4)
    assert row["emotion"] == answer["Details"]["emotion"]
    assert page.locator("[data-save=rttm]:visible").count() == 0
    _is_drawn(saved(page, "png"))


def test_a_conversation_has_lanes_turns_that_play_and_files_as_the_command_writes_them(opened, service, files):
    page = opened(service)
    give(page, files / "a call.wav")
    analysis = json.loads(saved(page, "json"))
    turns = analysis["turns"]
    assert page.locator(".lane").count() == len(analysis["speakers"])
    assert page.locator(".lane .turn").count() == len(turns) > 1
    assert page.locator(".lane .curve path[d^=M]").count() >= len(analysis["speakers"])

    last = max(range(len(turns)), key=lambda number: turns[number]["start"])
    start, end = turns[last]["start"], turns[last]["end"]
    page.locator(f".lane .turn[aria-label*='{_clock(start)} to']").last.click()
    page.wait_for_selector("body.playing")
    heard = float(page.locator("#sound").evaluate("sound => sound.currentTime"))
    assert start - 0.1 <= heard <= end + 0.1
    page.wait_for_selector("body:not(.playing)")
    assert float(page.locator("#sound").evaluate("sound => sound.currentTime")) == pytest.approx(end, abs=0.6)

    rows = list(csv.DictReader(io.StringIO(saved(page, "csv").decode())))
    assert [float(row["start"]) for row in rows if row["kind"] == "turn"] == [turn["start"] for turn in turns]
    judged = next(turn for turn in turns if turn["feeling"])
    row = next(row for row in rows if row["kind"] == "turn" and row["emotion"])
    assert row["emotion"] == judged["feeling"]["emotion"]
    assert float(row["confidence"]) == max(judged["feeling"]["probabilities"].values())
    lines = saved(page, "rttm").decode().splitlines()
    assert len(lines) == len(turns)
    first = min(turns, key=lambda turn: (turn["start"], turn["end"]))
    length = first["end"] - first["start"]
    assert lines[0] == f"SPEAKER a%20call 1 {first['start']:.3f} {length:.3f} <NA> <NA> {first['speaker']} <NA> <NA>"
    _is_drawn(saved(page, "png"))


def test_turning_points_are_listed_and_play_and_most_is_more_than_half(opened, service, files):
    answer = service.post("/api/analyze?words=true", (files / "a call.wav").read_bytes()).json()
    speaker = answer["speakers"][0]
    speaker["shares"] = {"angry": 0.3, "sad": 0.4, "unknown": 0.3}
    answer["turning_points"] = [{"time": 4.2, "speaker": speaker["name"], "before": "sad", "after": "angry"}]
    page = opened(service)
    page.route("**/api/analyze*", lambda route: route.fulfill(json=answer))
    give(page, files / "a call.wav")
    assert page.locator(".lane .who").first.inner_text().endswith("sad most often (40%)")
    assert page.locator(".lane .point").count() == 1
    line = page.get_by_role("button", name=re.compile(r"0:04.*sad → angry"))
    assert line.count() == 1
    line.press("Enter")
    page.wait_for_selector("body.playing")
    assert float(page.locator("#sound").evaluate("sound => sound.currentTime")) == pytest.approx(4.2, abs=0.5)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(_CONTRASTS)["low"] == []


def test_an_answer_that_breaks_off_is_told(opened, service, files):
    page = opened(service)
    page.route("**/process_audio", lambda route: route.fulfill(status=200, body='{"Emotion Probabil'))
    page.set_input_files("#file", files / "clip.wav")
    page.wait_for_selector("#problem:has-text('The answer of the service broke off')")
    assert page.inner_text("#status") == ""


def test_arrows_go_from_turn_to_turn_and_enter_plays(opened, service, files):
    page = opened(service)
    give(page, files / "a call.wav")
    turns = page.locator(".lane .turn")
    page.locator(".lane .turn[tabindex='0']").focus()
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert second != first
    assert second in [each.get_attribute("aria-label") for each in turns.all()]
    page.keyboard.press("Enter")
    page.wait_for_selector("body.playing")


def test_the_options_decide_what_a_recording_is_taken_as(opened, service, files):
    page = opened(service)
    page.click("summary")
    page.select_option("#kind", "conversation")
    page.select_option("#speakers", "1")
    give(page, files / "clip.wav")
    assert page.locator(".lane").count() == 1
    page.select_option("#kind", "clip")
    page.wait_for_selector("#odds:visible")
    assert page.locator("#timeline:visible").count() == 0


def test_a_file_can_be_dropped(opened, service, files):
    page = opened(service)
    content = list((files / "clip.wav").read_bytes())
    dropped = page.evaluate_handle(
        """content => {
          const dropped = new DataTransfer();
          dropped.items.add(new File([new Uint8Array(content)], "dropped.wav"));
          return dropped;
        }""",
        content,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    page.wait_for_selector("#status:has-text('Done')")
    assert page.inner_text("#recording") == "dropped.wav"


def test_silence_is_no_emotion(opened, service, files):
    page = opened(service)
    give(page, files / "silence.wav")
    assert page.inner_text("#finding") == "No speech"
    assert page.locator("#odds:visible").count() == 0


def test_a_text_file_is_refused_in_words(opened, service, files):
    page = opened(service)
    page.set_input_files("#file", files / "diary.txt")
    page.wait_for_selector("#problem:visible")
    told = page.inner_text("#problem")
    assert "does not begin as any recording" in told
    assert "wav, flac, mp3" in told
    assert page.locator("#result:visible").count() == 0
    give(page, files / "clip.wav")
    assert page.locator("#problem:visible").count() == 0


def test_what_the_microphone_hears_is_recorded_and_judged(opened, service):
    page = opened(service)
    page.click("#record")
    page.wait_for_selector("#level:not([aria-valuenow='-60'])")  # it is -60 in pauses too
    page.wait_for_selector("#elapsed:has-text('0:02')")
    page.click("#record")
    page.wait_for_selector("#status:has-text('Done')")
    answer = json.loads(saved(page, "json"))["Details"]
    assert 1.9 < answer["duration"] < 5
    assert answer["emotion"] is not None
    assert page.locator("#player:visible").count() == 1


def test_a_live_voice_is_judged_while_it_speaks_and_as_a_whole_afterwards(opened, service):
    page = opened(service)
    page.click("#live")
    page.wait_for_selector("#moment-bars .amount")
    shares = [float(text.strip("<>%")) for text in page.locator("#moment-bars .amount").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert re.match(r"Sounds \w+|Not sure", page.inner_text("#moment-verdict"))
    assert "UAR" in page.inner_text("#listening [data-basis]")
    page.click("#live")
    page.wait_for_selector("#status:has-text('Done')")
    assert page.locator("#listening:visible").count() == 0
    assert page.locator("#result:visible").count() == 1


def test_a_service_with_a_token_asks_for_it(opened, running, files):
    with running(token="sesame-1") as guarded:
        page = opened(guarded)
        page.wait_for_selector("#access:visible")
        page.fill("#token", "wrong-1")
        page.press("#token", "Enter")
        page.wait_for_selector("#problem:has-text('token')")
        page.fill("#token", "sesame-1")
        page.press("#token", "Enter")
        page.wait_for_selector("#card .score")
        assert page.locator("#access:visible").count() == 0
        page.click("#live")
        page.wait_for_selector("#listening:visible")
        page.wait_for_selector("#elapsed:has-text('0:01')")
        assert page.locator("#problem:visible").count() == 0


def test_a_phone_shows_all_of_it_with_readable_contrast(opened, service, files):
    page = opened(service, width=360, height=740)
    for name in ("clip.wav", "a call.wav"):
        give(page, files / name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            faint = page.evaluate(_CONTRASTS)
            assert faint["checked"] > 40
            assert faint["low"] == []


#: Texts whose contrast with what lies behind them is below WCAG's 4.5 (3 for large ones).
_CONTRASTS = """() => {
  const dot = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = dot.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].map((each) => each / 255);
  };
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [1, 1, 1, 1];
  };
  const linear = (each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const low = [];
  let checked = 0;
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest(":disabled, option")) continue;
    const look = getComputedStyle(node), size = parseFloat(look.fontSize);
    const [one, other] = [luminance(rgba(look.color)), luminance(behind(node))].sort((a, b) => b - a);
    const least = size >= 24 || (size >= 18.6 && look.fontWeight >= 700) ? 3 : 4.5;
    checked += 1;
    if ((one + 0.05) / (other + 0.05) < least) low.push(`${node.className}: ${node.textContent.slice(0, 30)}`);
  }
  return { checked, low };
}"""


def test_motion_stops_where_less_of_it_is_asked(opened, service):
    page = opened(service, reduced_motion="reduce")
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    assert page.locator("#record .lamp").evaluate("lamp => getComputedStyle(lamp).animationName") == "none"


def test_colours_are_those_of_the_pictures():
    style = (app.STATIC / "page.css").read_text(encoding="utf-8")
    assert dict(re.findall(r"\.of-(\w+) { --colour: (#\w+); }", style)) == dict(COLOURS)


def test_nothing_is_loaded_from_elsewhere():
    texts = {path.name: path.read_text(encoding="utf-8") for path in app.STATIC.iterdir()}
    assert {"index.html", "page.css", "main.js", "icon.svg"} <= set(texts)
    for name, text in texts.items():
        assert not re.search(r"https?://(?!www\.w3\.org/(1999|2000)/)", text), name
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script>|eval\(", text), name


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _is_drawn(content: bytes):
    """A picture for a slide, on white, with colours in it."""
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert picture.shape[1] == 2400
    assert (picture[0, 0] == 255).all()
    assert (np.ptp(picture, axis=2) > 60).mean() > 0.002
