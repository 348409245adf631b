"""Which recordings hold one party per channel."""

from __future__ import annotations

import numpy as np
import pytest

from emodag import audio
from emodag.diarization.tracks import separate_tracks


@pytest.fixture(scope="module")
def parties(conversation) -> np.ndarray:
    """Two parties in turn, a second and a half each: float32 ``[samples, 2]``."""
    speech = conversation[round(6.7 * 16000) : round(27.7 * 16000)]
    turn = (np.arange(len(speech)) // 24000) % 2
    return np.column_stack([speech * (turn == 0), speech * (turn == 1)]).astype(np.float32)


def noise(shape, level: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, level, shape).astype(np.float32)


def test_one_party_per_channel(parties):
    assert separate_tracks(parties)
    assert separate_tracks(parties + noise(parties.shape, 1e-4))
    assert separate_tracks(parties + 0.03 * parties[:, ::-1])  # crosstalk at -30 dB
    assert separate_tracks(np.column_stack([parties, np.zeros(len(parties), np.float32)]))


def test_16_bit_tracks_are_told_alike(parties):
    assert separate_tracks(audio.to_pcm16(parties))
    assert not separate_tracks(audio.to_pcm16(parties + 0.4 * parties[:, ::-1]))


def test_parties_are_heard_however_late_they_speak(parties):
    late = np.zeros((40 * 60 * audio.SAMPLE_RATE, 2), np.int16)
    late[-len(parties) :] = audio.to_pcm16(parties)
    assert separate_tracks(late)


def test_both_parties_in_both_channels(parties):
    mixed = parties.sum(axis=1)
    for channels in ([mixed, mixed], [mixed, 0.3 * mixed], [mixed, -mixed]):
        assert not separate_tracks(np.column_stack(channels))
    assert not separate_tracks(parties + 0.4 * parties[:, ::-1])  # a stereo picture


def test_one_channel_alone_is_no_call(parties):
    assert not separate_tracks(parties[:, :1])
    assert not separate_tracks(np.column_stack([parties.sum(axis=1), np.zeros(len(parties), np.float32)]))


@pytest.mark.parametrize("samples", [0, 100, 16000])
def test_silence_is_no_call(samples):
    assert not separate_tracks(np.zeros((samples, 2), np.float32))


@pytest.mark.corpora
def test_a_real_call(shared):
    calls = shared / "diarization" / "calls"
    tracks = []
    for name in ("agent", "caller", "mix"):
        recording = audio.read(calls / f"Auto_Repairs_40_{name}.flac")
        tracks.append(audio.resample(recording.samples, recording.rate))
    length = min(map(len, tracks))
    agent, caller, mix = (track[:length] for track in tracks)
    assert separate_tracks(np.column_stack([agent, caller]))
    assert not separate_tracks(np.column_stack([mix, mix]))
