"""Voice activity: silero's own probabilities, and hysteresis whose every parameter does what it says."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from emodag import audio
from emodag.audio import SAMPLE_RATE
from emodag.diarization.voice_activity import FRAME, VoiceActivityDetector, hysteresis
from emodag.params import VoiceActivity


def plain(**changes: float) -> VoiceActivity:
    """Thresholds alone, unless told otherwise."""
    return VoiceActivity(**{"onset": 0.5, "offset": 0.3, "min_on": 0.0, "min_off": 0.0, "pad": 0.0} | changes)


def frames(*regions: tuple[int, int], of: int = 100, value: float = 0.9) -> np.ndarray:
    probabilities = np.zeros(of, dtype=np.float32)
    for start, end in regions:
        probabilities[start:end] = value
    return probabilities


def seconds(count: int) -> float:
    return count * FRAME / SAMPLE_RATE


def regions(probabilities, settings=None, length=None) -> list[tuple[float, float]]:
    """In frames, for comparison."""
    found = hysteresis(np.asarray(probabilities, np.float32), length or len(probabilities) * FRAME, settings or plain())
    return [(start / FRAME, end / FRAME) for start, end in found.tolist()]


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([], []),
        ([0.1, 0.2], []),
        ([0.9], [(0, 1)]),
        ([0.9, 0.9], [(0, 2)]),
        ([0.1, 0.6, 0.4, 0.35, 0.2, 0.1], [(1, 4)]),  # lasts between the thresholds
        ([0.4, 0.4, 0.6, 0.1], [(2, 3)]),  # does not begin between them
        ([0.1, 0.5, 0.1], []),  # at onset, not above
        ([0.1, 0.6, 0.3, 0.1], [(1, 3)]),  # at offset, not below
        ([0.6, 0.1, 0.4, 0.6], [(0, 1), (3, 4)]),
    ],
)
def test_thresholds(probabilities, expected):
    assert regions(probabilities) == expected


def test_equal_thresholds_follow_the_probability():
    assert regions([0.4, 0.6, 0.4, 0.6], plain(onset=0.5, offset=0.5)) == [(1, 2), (3, 4)]


@pytest.mark.parametrize("pause", [1, 4, 5, 6, 12])
def test_pauses_shorter_than_min_off_are_filled(pause):
    found = regions(frames((10, 20), (20 + pause, 40)), plain(min_off=seconds(5)))
    assert found == ([(10, 40)] if pause < 5 else [(10, 20), (20 + pause, 40)])


@pytest.mark.parametrize("length", [1, 4, 5, 6])
def test_speech_shorter_than_min_on_is_dropped(length):
    assert regions(frames((10, 10 + length)), plain(min_on=seconds(5))) == ([] if length < 5 else [(10, 10 + length)])


def test_pauses_are_filled_before_short_speech_is_dropped():
    bursts = frames((10, 13), (15, 18))
    assert regions(bursts, plain(min_on=seconds(5), min_off=seconds(3))) == [(10, 18)]
    assert regions(bursts, plain(min_on=seconds(5))) == []


def test_padding_widens_within_the_recording_and_joins_what_touches():
    found = regions(frames((1, 10), (14, 20), (30, 40), of=41), plain(pad=seconds(2)))
    assert found == [(0, 22), (28, 41)]


def test_padding_does_not_save_short_speech():
    assert regions(frames((10, 12)), plain(min_on=seconds(3), pad=seconds(5))) == []


def test_speech_ends_with_the_recording():
    assert regions(frames((5, 10), of=10), length=9 * FRAME + 100) == [(5, 9 + 100 / FRAME)]


def test_probabilities_are_silero_s_own(conversation):
    import torch
    from silero_vad import load_silero_vad

    ours = VoiceActivityDetector(plain()).probabilities(conversation[:-77])
    model = load_silero_vad(onnx=False)
    theirs = model.audio_forward(torch.from_numpy(conversation[:-77].copy())[None], SAMPLE_RATE).numpy()[0]
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_state_is_carried_from_call_to_call(conversation, monkeypatch):
    whole = VoiceActivityDetector(plain()).probabilities(conversation)
    monkeypatch.setattr("emodag.diarization.voice_activity._FRAMES_PER_CALL", 100)
    np.testing.assert_allclose(VoiceActivityDetector(plain()).probabilities(conversation), whole, atol=1e-6)


def test_16_bit_samples_give_the_same_probabilities(conversation):
    pcm = audio.to_pcm16(conversation)
    found, expected = (VoiceActivityDetector(plain()).probabilities(each) for each in (pcm, pcm / np.float32(32768)))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 513, 16000])
def test_one_probability_per_frame_however_short_the_recording(samples):
    probabilities = VoiceActivityDetector(plain()).probabilities(np.zeros(samples, dtype=np.float32))
    assert probabilities.shape == (-(-samples // FRAME),)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize("before", [0.7, 2.0])
@pytest.mark.parametrize("after", [0.5, 1.5])
def test_padded_silence_is_trimmed_to_a_tenth_of_a_second(phrase, settings, before, after):
    noise = np.random.default_rng(0).normal(0, 1e-3, round((before + after) * SAMPLE_RATE) + len(phrase))
    start = round(before * SAMPLE_RATE)
    noise[start : start + len(phrase)] += phrase
    speech = VoiceActivityDetector(settings.vad).detect(noise.astype(np.float32)).extent()
    # The settings widen speech by `pad`, which is meant; what is left is the error.
    assert speech.start + settings.vad.pad == pytest.approx(before, abs=0.1)
    assert speech.end - settings.vad.pad == pytest.approx(before + len(phrase) / SAMPLE_RATE, abs=0.1)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(48000),
        np.full(48000, 0.5),
        np.sign(np.sin(2 * np.pi * 440 * np.arange(48000) / SAMPLE_RATE)),
        np.random.default_rng(0).normal(0, 0.1, 48000),
        np.zeros(160),
        np.zeros(0),
    ],
    ids=["silence", "constant", "square", "noise", "10 ms", "nothing"],
)
def test_what_is_no_speech_is_not_detected(samples, settings):
    assert len(VoiceActivityDetector(settings.vad).detect(samples.astype(np.float32))) == 0


def test_a_detector_can_be_sent_to_another_process(phrase, settings):
    detector = VoiceActivityDetector(settings.vad)
    expected = detector.detect(phrase)
    assert pickle.loads(pickle.dumps(detector)).detect(phrase) == expected


def test_faster_than_150_times_real_time(conversation, settings):
    detector = VoiceActivityDetector(settings.vad)
    detector.detect(conversation)
    start = time.process_time()
    detector.detect(np.tile(conversation, 5))
    assert 5 * 30 / (time.process_time() - start) > 150


def test_a_single_speaker_needs_neither_pytorch_nor_pyannote_audio(settings):
    code = f"""
import sys
import numpy as np
from emodag.diarization.base import create
from emodag.params import Diarize
create(Diarize.model_validate({settings.model_dump()!r})).diarize(np.zeros(16000, np.float32))
print(*sorted({{"torch", "pyannote.audio", "sklearn", "resemblyzer"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
