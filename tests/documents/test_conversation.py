"""The page of a conversation: what it shows, that it plays, that it loads nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import av
import numpy as np
import pytest

from emodag.conversation.timeline import Speaker, Turn, TurningPoint
from emodag.documents import conversation
from emodag.errors import DataError
from emodag.plots import COLOURS

RATE = 16_000
MODEL = {
    "name": "ensemble",
    "adaptation": "speaker",
    "unknown": 0.45,
    "protocol": "speaker_kfold",
    "scores": {"crema_d": {"uar": 0.714, "low": 0.70, "high": 0.73, "chance": 1 / 6, "leaky": False}},
}
EVIL = "</script><script>document.documentElement.dataset.broken = 'yes'</script><img src=x onerror=alert(1)>\"'`&amp;"


def sound(duration: float, rate: int = RATE) -> np.ndarray:
    """A tone of 440 Hz that swells in the second half, float32 [samples]."""
    time = np.arange(round(duration * rate)) / rate
    return (np.where(time < duration / 2, 0.02, 0.4) * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def decoded(content: bytes) -> tuple[np.ndarray, int]:
    with av.open(io.BytesIO(content)) as container:
        assert container.streams[0].codec_context.name in ("opus", "libopus")
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        assert {len(frame) for frame in frames} == {1}
        return np.concatenate(frames, axis=1)[0], container.streams[0].rate


@pytest.fixture(scope="module")
def timeline(conversations):
    return conversations(60, 16, 3, model=MODEL, notes=("Made for a test.",))


@pytest.fixture(scope="module")
def html(timeline) -> str:
    return conversation.render(timeline, conversation.encoded(sound(timeline.duration), RATE))


@pytest.fixture(scope="module")
def read(html, read_html):
    return read_html(html)


@pytest.fixture(scope="module")
def hostile(timeline) -> str:
    """A page of which every name and text is an attack."""
    turns = tuple(replace(turn, speaker=EVIL + turn.speaker, text=EVIL) for turn in timeline.turns)
    speakers = tuple(replace(speaker, name=EVIL + speaker.name) for speaker in timeline.speakers)
    points = tuple(replace(point, speaker=EVIL + point.speaker) for point in timeline.turning_points)
    changed = {"turns": turns, "speakers": speakers, "turning_points": points, "recording": EVIL, "notes": (EVIL,)}
    return conversation.render(replace(timeline, **changed), conversation.encoded(sound(60), RATE))


@pytest.fixture(scope="module")
def in_chromium(tmp_path_factory):
    """``in_chromium(html, script)``: what a browser makes of a page; the script may fill ``document.title``."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to open pages with")

    def opened(html: str, script: str = "") -> str:
        folder = tmp_path_factory.mktemp("chromium")
        if script:
            html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
            html = html.replace("</body>", f"<script>{script}</script></body>")
        (folder / "page.html").write_text(html, encoding="utf-8")
        flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--virtual-time-budget=4000")
        flags += ("--autoplay-policy=no-user-gesture-required", f"--user-data-dir={folder / 'profile'}", "--dump-dom")
        done = subprocess.run(
            [browser, *flags, (folder / "page.html").as_uri()], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    return opened


def test_the_page_is_well_formed_and_its_links_lead_to_turns(read, timeline):
    assert not read.open
    names = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(names) == len(set(names))
    assert {f"turn-{number}" for number in range(len(timeline.turns))} <= set(names)
    assert {link["href"] for link in read.of("a")} <= {f"#{name}" for name in names}


def test_the_page_loads_nothing_and_allows_its_own_script_only(html, read):
    assert not {"iframe", "link", "object", "embed", "img"} & {tag for tag, _ in read.elements}
    assert [each.get("type") for each in read.of("script")] == ["application/json", None]
    for _, attributes in read.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    policy = next(each["content"] for each in read.of("meta") if "http-equiv" in each)
    digest = base64.b64encode(hashlib.sha256(read.scripts[1].encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; ")
    assert "url(" not in html
    assert "@import" not in html


def test_each_speaker_has_a_lane_with_each_turn_where_it_is_heard(read, timeline):
    assert len(read.of("div", "lane")) == len(timeline.speakers)
    buttons = {int(each["data-turn"]): each for each in read.of("button", "turn")}
    assert sorted(buttons) == list(range(len(timeline.turns)))
    for number, turn in enumerate(timeline.turns):
        left, width = (float(each) for each in re.findall(r"(?:left|width):([\d.]+)%", buttons[number]["style"]))
        assert left == pytest.approx(100 * turn.start / timeline.duration, abs=1e-3)
        assert width == pytest.approx(100 * (turn.end - turn.start) / timeline.duration, abs=1e-3)
        wanted = "unjudged" if turn.feeling is None else turn.feeling.emotion
        assert f"of-{wanted}" in buttons[number]["class"].split()
        assert turn.speaker in buttons[number]["aria-label"]


def test_windows_of_long_turns_fill_them(html, timeline):
    long = [number for number, turn in enumerate(timeline.turns) if turn.windows]
    assert long
    for number in long:
        box = re.search(rf'data-turn="{number}" tabindex.*?</button>', html)[0]
        pieces = re.findall(r'<i class="of-\w+" style="left:([\d.]+)%;width:([\d.]+)%', box)
        assert len(pieces) == len(timeline.turns[number].windows)
        assert sum(float(width) for _, width in pieces) == pytest.approx(100, abs=0.1)


def test_colours_are_those_of_all_pictures_and_not_knowing_has_none(html, timeline):
    for name in {turn.feeling.emotion for turn in timeline.turns if turn.feeling} - {"unknown"}:
        assert f".of-{name} {{ --colour: {COLOURS[name]}; }}" in html
    assert ".of-unknown { --colour: var(--open); }" in html


def test_the_script_is_given_what_was_found(read, timeline):
    assert read.data["classes"] == list(timeline.classes)
    for told, turn in zip(read.data["turns"], timeline.turns, strict=True):
        assert (told["speaker"], told["text"]) == (turn.speaker, turn.text)
        assert (told["feeling"] is None) == (turn.feeling is None)
        if turn.feeling:
            assert told["feeling"]["probabilities"] == pytest.approx(turn.feeling.probabilities, abs=5e-4)
        assert len(told["windows"]) == len(turn.windows)


def test_no_probability_without_its_context(read, timeline, read_html):
    for part in ("UAR 71% (70% to 73%) on crema_d", "chance 17%", "adapted to each voice", "unknown below 45%"):
        assert part in read.seen
        assert part in read.data["context"]
    assert "Made for a test." in read.seen
    assert "Categories are few and the corpora acted." in read.seen
    assert "Judging a person" in read.seen
    silent = read_html(conversation.render(replace(timeline, model={}), b""))
    assert "Nothing is known of the model's scores" in silent.seen


def test_turning_points_are_links_to_the_turn_and_its_time(read, timeline):
    (point,) = timeline.turning_points
    links = [each for each in read.of("a") if "data-time" in each]
    assert len(links) == 2  # in the lane and in the list
    for link in links:
        assert float(link["data-time"]) == pytest.approx(point.time, abs=1e-3)
        turn = timeline.turns[int(link["href"].removeprefix("#turn-"))]
        assert turn.speaker == point.speaker
        assert turn.start <= point.time < turn.end


def test_names_and_texts_stay_text(hostile, timeline, read_html):
    read = read_html(hostile)
    assert not read.open
    assert [each.get("type") for each in read.of("script")] == ["application/json", None]
    assert not read.of("img")
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert {turn["text"] for turn in read.data["turns"]} == {EVIL}
    assert read.seen.count("document.documentElement.dataset.broken") >= len(timeline.turns)


def test_the_sound_is_that_of_the_recording(html, read, timeline):
    address = read.of("audio")[0]["src"]
    assert address.startswith("data:audio/webm;base64,")
    heard, rate = decoded(base64.b64decode(address.partition(",")[2]))
    assert len(heard) / rate == pytest.approx(timeline.duration, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.fft.rfftfreq(len(heard), 1 / rate)[spectrum.argmax()] == pytest.approx(440, abs=1)
    halves = [np.sqrt(np.mean(half**2)) for half in np.array_split(heard, 2)]
    assert 20 * np.log10(halves[1] / halves[0]) == pytest.approx(26, abs=2)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_any_rate_and_both_channels_are_heard(rate):
    tone = sound(2, rate)
    heard, decoded_rate = decoded(conversation.encoded(np.stack([tone, np.zeros_like(tone)], axis=1), rate))
    assert len(heard) / decoded_rate == pytest.approx(2, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.fft.rfftfreq(len(heard), 1 / decoded_rate)[spectrum.argmax()] == pytest.approx(440, abs=2)


def test_samples_of_16_bit_sound_like_the_same_as_floats():
    pcm = np.rint(sound(2) * 32768).astype(np.int16)
    assert conversation.encoded(pcm[:, None], RATE) == conversation.encoded(pcm / np.float32(32768), RATE)


def test_a_longer_recording_gets_fewer_bits_a_second(monkeypatch):
    noise = np.random.default_rng(0).normal(size=30 * RATE, scale=0.1).astype(np.float32)
    full = len(conversation.encoded(noise, RATE))
    monkeypatch.setattr(conversation, "_SOUND", 40_000)
    assert len(conversation.encoded(noise, RATE)) < 44_000 < full


def test_an_hour_of_talk_makes_a_small_page(conversations):
    page = conversation.render(conversations(3600, 800, 2, model=MODEL), b"")
    assert len(page.encode()) + 4 / 3 * conversation._SOUND < 15e6


def test_the_samples_of_another_recording_are_refused(timeline, tmp_path):
    with pytest.raises(DataError, match=r"call\.wav: the timeline lasts 60\.0 s, the samples at 16000 Hz 30\.0 s"):
        conversation.write(timeline, sound(30), RATE, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_the_page_is_written_and_always_the_same(conversations, tmp_path):
    short = conversations(20, 4, 2)
    for name in ("one.html", "other.html"):
        conversation.write(short, sound(20), RATE, tmp_path / name)
    one, other = ((tmp_path / name).read_bytes() for name in ("one.html", "other.html"))
    assert one == other


def test_silence_has_a_page(conversations, in_chromium, read_html):
    empty = replace(conversations(20, 4, 2), turns=(), speakers=(), turning_points=())
    html = conversation.render(empty, conversation.encoded(sound(20), RATE))
    assert "No speech was found in this recording." in read_html(html).seen
    assert 'data-ready="yes"' in in_chromium(html)


def test_turns_that_nobody_judged_have_a_page(conversations, read_html):
    made = conversations(20, 4, 1)
    turns = tuple(Turn(turn.start, turn.end, turn.speaker, 0.0, None) for turn in made.turns)
    html = conversation.render(
        replace(made, turns=turns, speakers=(Speaker("speaker_1", 9.0, 4, {}, 0.0, 0.0),), turning_points=()), b""
    )
    assert "no turn could be judged" in read_html(html).seen
    assert html.count(": not judged") >= 2 * len(turns)  # in the lane and in the transcript


def test_a_turning_point_after_the_last_turn_still_has_a_link(timeline, read_html):
    late = TurningPoint(59.9, "speaker_2", "neutral", "sad")
    read = read_html(conversation.render(replace(timeline, turning_points=(late,)), b""))
    (number,) = {each["href"].removeprefix("#turn-") for each in read.of("a") if "data-time" in each}
    assert timeline.turns[int(number)].speaker == "speaker_2"


def test_a_browser_runs_the_script_and_nothing_else(hostile, in_chromium):
    root = re.search(r"<html[^>]*>", in_chromium(hostile))[0]
    assert 'data-ready="yes"' in root
    assert "broken" not in root


def test_a_click_plays_a_turn_and_keys_move_between_turns(html, timeline, in_chromium):
    script = """
    const boxes = [...document.querySelectorAll(".turn")], sound = document.getElementById("sound"), told = {};
    const pressed = (key) => new KeyboardEvent("keydown", {key, bubbles: true});
    const key = (name) => document.activeElement.dispatchEvent(pressed(name));
    const number = () => Number(document.activeElement.dataset.turn);
    told.reachable = document.querySelectorAll('.turn[tabindex="0"]').length;
    boxes.find((box) => box.dataset.turn === "0").focus();
    key("ArrowRight"); told.next = number();
    key("End"); told.last = number();
    key("Home"); key("ArrowDown"); told.below = document.activeElement.closest(".lane").ariaLabel;
    told.tip = !document.getElementById("tip").hidden && document.getElementById("tip").textContent;
    const before = document.getElementById("canvas").offsetWidth;
    key("+"); told.wider = document.getElementById("canvas").offsetWidth / before;
    told.silent = sound.paused;
    boxes.find((box) => box.dataset.turn === "5").click();
    told.playing = !sound.paused;
    told.time = sound.currentTime;
    told.now = document.getElementById("now").textContent;
    document.title = JSON.stringify(told);
    """
    told = json.loads(re.search(r"<title>(.*?)</title>", in_chromium(html, script))[1])
    assert told["silent"]
    assert told["playing"]
    assert told["time"] == pytest.approx(timeline.turns[5].start, abs=0.01)
    assert timeline.turns[5].speaker in told["now"]
    assert told["reachable"] == 1
    assert (told["next"], told["last"]) == (1, len(timeline.turns) - 1)
    assert told["below"] == f"Turns of {timeline.speakers[1].name}"
    assert "%" in told["tip"]
    assert told["wider"] == pytest.approx(1.5, abs=0.01)
