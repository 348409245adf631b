"""What the two networks make of sound, with the weights that ship."""

from __future__ import annotations

import numpy as np
import pytest
from pyannote.database.util import load_rttm

from emodag import audio
from emodag.diarization.embedding import DIMENSION, STATISTICS, VoiceEncoder
from emodag.diarization.segmentation import CHUNK, FRAME, STEP, Segmentation, changes, power_spectrum


@pytest.fixture(scope="module")
def segmentation() -> Segmentation:
    return Segmentation()


@pytest.fixture(scope="module")
def encoder() -> VoiceEncoder:
    return VoiceEncoder()


@pytest.mark.parametrize("length", [0, 1, 319, 320, 321, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + STEP, 3 * CHUNK + 77])
def test_every_frame_is_answered(segmentation, conversation, length):
    frames = segmentation.frames(np.resize(conversation, length))
    for values in (frames.speech, frames.overlap, frames.change):
        assert values.shape == (-(-length // FRAME),)
        assert (values >= -1e-5).all()
        assert (values <= 1 + 1e-5).all()


def test_speech_is_where_it_is(segmentation, conversation, sample_folder):
    reference = load_rttm(sample_folder / "sample.rttm")["sample"].get_timeline().support()
    spoken = np.zeros(len(conversation) // FRAME, bool)
    for turn in reference:
        spoken[round(turn.start * 50) : round(turn.end * 50)] = True
    found = segmentation.frames(conversation).speech > 0.5
    assert (found == spoken).mean() > 0.85
    assert segmentation.frames(np.zeros(CHUNK, np.float32)).speech.max() < 0.5


def test_frames_hardly_depend_on_level(segmentation, conversation):
    loud, soft = (segmentation.frames(conversation * np.float32(gain)).speech > 0.5 for gain in (1, 0.1))
    assert (loud == soft).mean() > 0.97


def test_16_bit_samples_are_the_same_sound(segmentation, encoder, conversation):
    forms = (audio.to_pcm16(conversation), audio.as_kept(conversation))
    frames = [segmentation.frames(each, 1.5) for each in forms]
    for name in ("speech", "overlap", "change"):
        assert np.array_equal(*(getattr(each, name) for each in frames))
    stretches = [(112000, 116000), (350000, 410000)]
    assert np.array_equal(*(encoder.statistics(each, stretches, 1.5) for each in forms))


def test_power_is_that_of_a_tone_where_it_sounds():
    time = np.arange(16000) / audio.SAMPLE_RATE
    power = power_spectrum(np.where(time < 0.5, np.sin(2 * np.pi * 1000 * time), 0).astype(np.float32))
    assert power.shape == (100, 257)
    assert set(power[5:45].argmax(axis=1)) == {32}  # of 31.25 Hz each
    assert power[55:].max() < 1e-6


def test_a_change_is_seen_where_one_speaker_follows_another():
    probabilities = np.zeros((100, 7), np.float32)
    probabilities[:50, 1] = probabilities[50:, 2] = 1
    found = changes(probabilities)
    assert int(found.argmax()) == 50
    assert found[50] == pytest.approx(1)
    assert found[:40].max() == found[60:].max() == pytest.approx(0)
    probabilities[:] = np.eye(7)[0]
    assert changes(probabilities).max() == 0


def test_statistics_do_not_depend_on_their_batch(encoder, conversation):
    stretches = [(start, start + length) for start, length in ((112000, 4000), (120000, 25600), (350000, 60000))]
    together = encoder.statistics(conversation, stretches)
    assert together.shape == (3, STATISTICS)
    alone = np.concatenate([encoder.statistics(conversation, [stretch]) for stretch in stretches])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    cut = conversation[340000:420000]
    np.testing.assert_allclose(encoder.statistics(cut, [(10000, 70000)]), together[2:], atol=1e-5)


def test_statistics_at_the_ends_of_a_recording_are_numbers(encoder, conversation):
    stretches = [(0, 160), (0, 8000), (len(conversation) - 8000, len(conversation)), (0, len(conversation))]
    assert np.isfinite(encoder.statistics(conversation, stretches)).all()
    assert np.isfinite(encoder.statistics(np.zeros(8000, np.float32), [(0, 8000)])).all()
    assert encoder.statistics(conversation, []).shape == (0, STATISTICS)


@pytest.mark.parametrize("count", [0, 1, 2, 120, 121, 300])
def test_any_number_of_stretches_is_compared(encoder, count):
    statistics = np.random.default_rng(0).normal(0, 0.3, (count, STATISTICS)).astype(np.float32)
    embeddings = encoder.embeddings(statistics)
    assert embeddings.shape == (count, DIMENSION)
    lengths = np.linalg.norm(embeddings, axis=1)
    np.testing.assert_allclose(lengths, lengths[:1].repeat(count), rtol=1e-4)


def test_voices_lie_nearer_to_themselves(encoder, conversation, sample_folder):
    reference = load_rttm(sample_folder / "sample.rttm")["sample"]
    overlap = reference.get_overlap()
    turns = [
        (segment, speaker)
        for speaker in reference.labels()
        for segment in reference.label_timeline(speaker).extrude(overlap)
        if segment.duration > 0.8
    ]
    places = [(round(segment.start * 16000), round(segment.end * 16000)) for segment, _ in turns]
    likeness = (embeddings := encoder.embeddings(encoder.statistics(conversation, places))) @ embeddings.T
    same = np.array([[one == other for _, other in turns] for _, one in turns])
    others = ~np.eye(len(turns), dtype=bool)
    assert likeness[same & others].mean() > likeness[~same].mean() + 1
