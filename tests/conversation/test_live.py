"""Listening to a voice while it speaks, with blocks of samples in the place of a microphone."""

from __future__ import annotations

import builtins
import contextlib
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from pyannote.core import Annotation

from emodag.audio import SAMPLE_RATE
from emodag.conversation import live
from emodag.conversation.analysis import Featurized, timeline_of
from emodag.conversation.cutting import Stretch
from emodag.conversation.live import Listener
from emodag.conversation.voices import Voices
from emodag.errors import AudioError, DataError
from emodag.listening import Sound

BLOCK = 1600


def blocks(samples):
    return iter(np.array_split(samples, range(BLOCK, len(samples), BLOCK)))


@pytest.fixture(scope="module")
def speech(clips):
    """Ten seconds and more of one voice."""
    return np.concatenate(clips[sorted(clips)[0]][:6])


def heard(listener, samples):
    return [each for each in map(listener.hear, blocks(samples)) if each.is_judged]


def test_every_hop_the_last_window_is_judged(adapting, settings, speech):
    found = heard(Listener(adapting, settings), speech)
    assert [each.time for each in found] == pytest.approx(
        np.arange(settings.hop, len(speech) / SAMPLE_RATE, settings.hop), abs=0.11
    )
    for each in found:
        assert each.feeling.end == pytest.approx(each.time)
        assert each.feeling.end - each.feeling.start == pytest.approx(min(each.time, settings.window))
        assert sum(each.feeling.probabilities) == pytest.approx(1)


def test_the_first_window_is_recognised_as_a_clip(adapting, settings, speech):
    first = heard(Listener(adapting, settings), speech)[0]
    samples = speech[: round(first.time * SAMPLE_RATE)]
    np.testing.assert_allclose(first.feeling.probabilities, adapting([samples]).probabilities[0], atol=1e-6)


def test_a_model_that_adapts_to_voices_does_so_as_the_voice_goes_on(adapting, plain, settings, speech):
    for recogniser, adapts in ((adapting, True), (plain, False)):
        last = heard(Listener(recogniser, settings), speech)[-1].feeling
        alone = recogniser([speech[round(last.start * SAMPLE_RATE) : round(last.end * SAMPLE_RATE)]])
        difference = np.abs(np.array(last.probabilities) - alone.probabilities[0]).max()
        assert (difference > 0.01) == adapts


def test_silence_is_not_judged(adapting, settings):
    silence = np.zeros(5 * SAMPLE_RATE, np.float32)
    found = heard(Listener(adapting, settings), silence)
    assert [each.feeling for each in found] == [None, None]
    assert found[0].level == -100


def test_a_long_block_is_judged_at_every_hop_of_it(adapting, settings, speech):
    at_once = Listener(adapting, settings).hear(speech)
    last = heard(Listener(adapting, settings), speech)[-1]
    assert (at_once.time, at_once.is_judged) == (len(speech) / SAMPLE_RATE, True)
    assert at_once.feeling == last.feeling


def test_a_block_without_sound_has_the_lowest_level(adapting, settings):
    found = Listener(adapting, settings).hear(np.empty(0, np.float32))
    assert (found.time, found.level, found.is_judged) == (0, -100, False)


def test_what_was_felt_before_counts(plain, settings, speech):
    raw = [each.feeling.probabilities for each in heard(Listener(plain, settings), speech)]
    slow = settings.model_copy(update={"smoothing": 60.0})
    smooth = [each.feeling.probabilities for each in heard(Listener(plain, slow), speech)]
    np.testing.assert_allclose(raw[0], smooth[0])
    assert np.abs(np.diff(smooth[1:], axis=0)).sum() < np.abs(np.diff(raw[1:], axis=0)).sum()


def test_a_voice_is_heard_as_in_a_recording_that_is_analysed_as_it_goes(adapting, settings, speech):
    live_settings = settings.model_copy(update={"adaptation": "past", "smoothing": 5.0})
    found = [each.feeling for each in heard(Listener(adapting, live_settings), speech)]
    units = [Stretch("voice", each.start, each.end, 0.0) for each in found]
    samples = [speech[round(each.start * SAMPLE_RATE) : round(each.end * SAMPLE_RATE)] for each in found]
    shares = np.append(
        np.minimum(1, np.diff([unit.start for unit in units]) / [unit.duration for unit in units[:-1]]), 1
    )
    clips = adapting.speech([adapting.spoken(each) for each in samples])
    turns = [replace(unit, share=share) for unit, share in zip(units, shares, strict=True)]
    voices = Voices(Annotation(), Sound("live", np.zeros((len(speech), 1), np.int16), SAMPLE_RATE))
    expected = timeline_of(Featurized(voices, turns, [[turn] for turn in turns], clips), adapting.bundle, live_settings)
    np.testing.assert_allclose([each.probabilities for each in found], expected.probabilities(), atol=1e-6)


def test_listening_shows_each_block_and_sums_up(plain, settings, speech):
    lines: list[str] = []
    seconds, feelings = live.listen(Listener(plain, settings), blocks(speech), plain.bundle.classes, lines.append)
    assert seconds == len(speech) / SAMPLE_RATE
    assert len(lines) == -(-len(speech) // BLOCK)
    assert lines[0].endswith("no speech yet")
    assert feelings[-1].emotion in lines[-1]
    summed = live.summary(seconds, feelings)
    assert summed[0] == f"{len(speech) / SAMPLE_RATE:.1f} s"
    assert sum(int(line.split("%")[0].split()[-1]) for line in summed[1:]) == pytest.approx(100, abs=3)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_whatever_ends_listening_keeps_what_was_heard(plain, settings, speech, tmp_path, error):
    def ended():
        yield speech[:BLOCK]
        raise error

    place = tmp_path / "kept.flac"
    expected = contextlib.nullcontext() if error is KeyboardInterrupt else pytest.raises(error)
    with expected, live.keeping(place) as keep:
        found = live.listen(Listener(plain, settings), ended(), plain.bundle.classes, lambda line: None, keep)
        assert found == (0.1, [])
        assert live.summary(*found) == ["0.1 s, no speech was found"]
    np.testing.assert_array_equal(soundfile.read(place, dtype="float32")[0], speech[:BLOCK])


def test_where_nothing_was_heard_what_lies_there_stays(tmp_path):
    place = tmp_path / "kept.flac"
    place.write_bytes(b"an earlier one")
    with pytest.raises(AudioError, match=r"kept\.flac is not written, for nothing was heard"), live.keeping(place):
        pass
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"an earlier one"]


def test_a_place_that_cannot_be_written_is_told_before_anything_is_heard(tmp_path):
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "kept.flac"
    with pytest.raises(DataError, match=r"file/kept\.flac: cannot be written: "), live.keeping(place):
        pytest.fail("it was opened")


@pytest.mark.parametrize(
    ("level", "bar"), [(-100, "." * 20), (-60, "." * 20), (-30, "#" * 10 + "." * 10), (3, "#" * 20)]
)
def test_the_meter_is_full_at_full_scale(level, bar):
    assert live.meter(level) == bar


class PortAudioError(Exception):
    """As sounddevice raises it."""


def card(monkeypatch, stream=None, check=lambda **asked: None):
    """Stand in for the sound card."""
    module = SimpleNamespace(InputStream=stream, PortAudioError=PortAudioError, check_input_settings=check)
    monkeypatch.setitem(sys.modules, "sounddevice", module)


class _Stream(contextlib.AbstractContextManager):
    """Gives what it is asked for, and fails after so many blocks."""

    def __init__(self, lasts=100, **asked):
        self.asked, self.left = asked, lasts

    def start(self):
        return None

    def __exit__(self, *_):
        return None

    def read(self, count):
        if not self.left:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.left -= 1
        return np.full((count, self.asked["channels"]), 0.5, np.float32), self.left % 2 == 0


def test_the_microphone_gives_blocks_for_as_long_as_asked(monkeypatch):
    made = []
    card(monkeypatch, lambda **asked: made.append(_Stream(**asked)) or made[-1])
    microphone = live.Microphone("7")
    found = list(microphone.blocks(0.3))
    assert [block.shape for block in found] == [(BLOCK,)] * 3
    assert (made[0].asked["samplerate"], made[0].asked["device"]) == (SAMPLE_RATE, 7)
    assert (microphone.overflows, microphone.failure) == (1, "")


def test_a_microphone_that_is_unplugged_ends_the_sound_and_says_so(monkeypatch):
    card(monkeypatch, lambda **asked: _Stream(lasts=2, **asked))
    microphone = live.Microphone()
    assert len(list(microphone.blocks())) == 2
    assert microphone.failure == "Device unavailable [PaErrorCode -9985]"


def test_without_a_microphone_the_message_says_what_to_do(monkeypatch):
    def refuse(**asked):
        raise PortAudioError("Error querying device -1")

    card(monkeypatch, check=refuse)
    with pytest.raises(AudioError, match=r"no_microphone: no microphone can be opened \(Error querying device -1\)"):
        live.Microphone()
    with pytest.raises(AudioError, match="no microphone 'studio' can be opened"):
        live.Microphone("studio")
    card(monkeypatch, stream=refuse)
    with pytest.raises(AudioError, match="no microphone can be opened"):
        next(live.Microphone().blocks())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("x"), "pip install sounddevice"),
        (OSError("PortAudio library not found"), "apt install libportaudio2"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, error, said):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "sounddevice":
            raise error
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(AudioError, match=said):
        live.Microphone()
