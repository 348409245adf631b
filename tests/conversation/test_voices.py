"""Who speaks when, in recordings of one channel and of more, and in those where nobody speaks."""

from __future__ import annotations

import numpy as np
import pytest
from pyannote.core import Annotation, Segment

from emodag import audio
from emodag.conversation.analysis import analyse
from emodag.conversation.voices import summary, told, voices
from emodag.diarization.base import for_conversations
from emodag.diarization.evaluation import evaluate
from emodag.listening import Sound
from emodag.recognition import read
from emodag.synthesis import synthesize


@pytest.fixture(scope="module")
def diarizer(spoken_corpus):
    return for_conversations(spoken_corpus.params.diarize)


@pytest.fixture(scope="module")
def parties(clips):
    """Two speakers in turn, float32 [samples, 2]: one channel each."""
    first, second = (clips[speaker] for speaker in (sorted(clips)[0], sorted(clips)[-1]))
    parts = []
    for pair in zip(first, second, strict=True):
        for channel, samples in enumerate(pair):
            part = np.zeros((len(samples) + 8000, 2), np.float32)
            part[: len(samples), channel] = samples
            parts.append(part)
    return np.concatenate(parts)


def sound(samples, rate=audio.SAMPLE_RATE) -> Sound:
    samples = np.asarray(samples, np.float32)
    return Sound("call.wav", audio.to_pcm16(samples.reshape(len(samples), -1)), rate)


def heard(found, speaker, count) -> np.ndarray:
    """Of so many samples, those in which a speaker speaks."""
    inside = np.zeros(count, bool)
    for segment in found.annotation.label_timeline(speaker):
        inside[round(segment.start * 16_000) : round(segment.end * 16_000)] = True
    return inside


def music(seconds: float = 12.0) -> np.ndarray:
    """Chords of decaying strings, a new one each half a second."""
    time = np.arange(round(0.5 * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]
    notes = [
        sum(np.sin(2 * np.pi * f * h * time) / h**2 for f in chord for h in range(1, 6)) * np.exp(-4 * time)
        for chord in chords
    ]
    return 0.1 * np.concatenate([notes[number % 4] for number in range(round(2 * seconds))])


@pytest.mark.parametrize(
    "samples",
    [np.zeros(10 * 16_000), 0.05 * np.random.default_rng(0).normal(size=10 * 16_000), music(), np.zeros(4800)],
    ids=["silence", "noise", "music", "0.3 s of silence"],
)
def test_where_nobody_speaks_the_timeline_is_empty_and_says_so(samples, diarizer, plain, settings):
    found = voices(sound(samples), diarizer)
    assert summary(found)["speakers"] == {}
    timeline = analyse(found, plain, settings)
    assert timeline.turns == timeline.speakers == ()
    assert "no speech was found" in timeline.notes


def test_0_3_s_of_speech_is_a_turn_too_short_to_judge(clips, diarizer, plain, settings):
    samples = clips[sorted(clips)[0]][0]
    middle = len(samples) // 2
    timeline = analyse(voices(sound(samples[middle - 2400 : middle + 2400]), diarizer), plain, settings)
    assert [turn.feeling for turn in timeline.turns] == [None]


def test_one_voice_is_one_lane_with_all_that_is_said(clips, diarizer, plain, settings):
    samples = np.concatenate([np.concatenate([clip, np.zeros(16_000)]) for clip in clips[sorted(clips)[0]][:4]])
    timeline = analyse(voices(sound(samples), diarizer, speakers=1), plain, settings)
    assert len(timeline.speakers) == 1
    assert timeline.speakers[0].speech > 0.7 * (len(samples) / 16_000 - 4)
    assert sum(timeline.speakers[0].shares.values()) == pytest.approx(1)


def test_a_party_in_each_channel_needs_no_clustering(parties, diarizer, plain, settings):
    found = voices(sound(parties), diarizer)
    assert found.channels == {"SPEAKER_00": 0, "SPEAKER_01": 1}
    for speaker, channel in found.channels.items():
        loud = np.abs(parties[:, channel]) > 0.05
        assert heard(found, speaker, len(parties))[loud].mean() > 0.95
    timeline = analyse(found, plain, settings)
    assert any("each party has a channel of its own" in note for note in timeline.notes)
    assert {turn.speaker for turn in timeline.turns} == {"SPEAKER_00", "SPEAKER_01"}
    for turn in timeline.turns:
        if turn.feeling and not turn.windows:
            own = found.sound.between(turn.start, turn.end, found.channels[turn.speaker])
            np.testing.assert_allclose(turn.feeling.probabilities, plain([own]).probabilities[0], atol=1e-6)


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """Ten voices in turn, three clips each: the samples, and the truth."""
    folder = tmp_path_factory.mktemp("ten") / "raw"
    synthesize("demo_en", folder, speakers=10, takes=1, seed=0, jobs=1)
    said = [sorted(speaker.glob("*.wav"))[:3] for speaker in sorted(folder.iterdir())]
    truth, parts, place = Annotation(), [], 0
    for path in (path for turn in zip(*said, strict=True) for path in turn):
        samples = read(path)
        truth[Segment(place / 16_000, (place + len(samples)) / 16_000)] = path.parent.name
        parts += [samples, np.zeros(6400, np.float32)]
        place += len(samples) + 6400
    return np.concatenate(parts), truth


@pytest.mark.parametrize("speakers", [None, 10])
def test_ten_speakers_are_at_most_ten_and_nobody_is_missed(ten, speakers, diarizer, plain, settings):
    samples, truth = ten
    assert len(truth.labels()) == 10
    found = voices(sound(samples), diarizer, speakers)
    labels = found.annotation.labels()
    assert 1 < len(labels) <= 10
    if speakers:
        assert len(labels) == speakers
    # Clips begin and end with silence: 74 % of one was speech, more of the others.
    heard = found.annotation.get_timeline().support()
    assert all(heard.crop(clip).duration() > 0.6 * clip.duration for clip in truth.itersegments())
    timeline = analyse(found, plain, settings)
    assert {each.name for each in timeline.speakers} == set(labels)
    # In a turn, pauses count as speech.
    said = sum(found.annotation.label_duration(label) for label in labels)
    assert sum(each.speech for each in timeline.speakers) == pytest.approx(said, rel=0.1)
    assert any(turn.feeling for turn in timeline.turns)


def errors(found, truth) -> dict:
    """What is wrong, as shares of the speech, where nothing within 0.1 s of a boundary counts."""
    return evaluate(truth.annotation, found.annotation, collar=0.1).summary()


def crosstalk(samples, decibels):
    """Each of two channels heard in the other, so far below."""
    return samples + np.float32(10 ** (decibels / 20)) * samples[:, ::-1]


@pytest.mark.parametrize("decibels", [-30, -20])
@pytest.mark.parametrize("balance", [1.0, 0.25], ids=["as loud", "12 dB apart"])
def test_what_a_channel_hears_of_the_other_is_no_turn_of_its_party(parties, diarizer, decibels, balance):
    samples = parties * np.array([1, balance], np.float32)
    truth = voices(sound(samples), diarizer)
    found = voices(sound(crosstalk(samples, decibels)), diarizer)
    assert found.channels == truth.channels
    wrong = errors(found, truth)
    assert wrong["false_alarm"] < 0.06  # without a comparison of the channels, 0.4 to 1
    assert wrong["miss"] + wrong["confusion"] < 0.02


@pytest.mark.parametrize("decibels", [-30, -20])
def test_who_speak_at_once_are_both_heard_through_crosstalk(clips, diarizer, decibels):
    first, second = (np.concatenate(clips[speaker][:6]) for speaker in (sorted(clips)[0], sorted(clips)[-1]))
    # The second begins 4 s before the first ends.
    samples = np.zeros((len(first) + len(second) - 64_000, 2), np.float32)
    samples[: len(first), 0] = first
    samples[-len(second) :, 1] = second
    found = voices(sound(crosstalk(samples, decibels)), diarizer)
    assert found.channels == {"SPEAKER_00": 0, "SPEAKER_01": 1}
    at_once = slice(len(samples) - len(second), len(first))
    for speaker, channel in found.channels.items():
        loud = np.abs(samples[at_once, channel]) > 0.05
        assert heard(found, speaker, len(samples))[at_once][loud].mean() > 0.95
    assert errors(found, voices(sound(samples), diarizer))["false_alarm"] < 0.06


def test_both_in_both_channels_are_diarized_as_one_recording(parties, diarizer):
    mix = parties.sum(axis=1)
    both = sound(np.stack([mix, 0.7 * mix], axis=1))
    found = voices(both, diarizer)
    assert found.channels == {}
    assert found.sound.pcm.shape[1] == 1
    mono = voices(both.mixed(), diarizer)
    assert list(found.annotation.itertracks()) == list(mono.annotation.itertracks())


def test_a_given_number_of_speakers_goes_before_channels(parties, diarizer):
    assert voices(sound(parties), diarizer, speakers=1).channels == {}
    assert voices(sound(parties), diarizer, speakers=2).channels == {"SPEAKER_00": 0, "SPEAKER_01": 1}


def test_known_turns_end_with_the_recording(clips):
    known = Annotation()
    known[Segment(0.5, 90)] = "caller"
    known[Segment(80, 90)] = "agent"
    samples = clips[sorted(clips)[0]][0]
    found = told(sound(np.stack([samples, samples], axis=1)), known)
    assert list(found.annotation.itersegments()) == [Segment(0.5, len(samples) / 16_000)]
    assert found.sound.pcm.shape[1] == 1


def test_the_summary_adds_up(diarizer, conversation):
    found = conversation([(0, 0), (1, 1)])
    found.annotation[Segment(0, 0.5), "beside"] = "other"
    facts = summary(found)
    assert facts["overlap"] == pytest.approx(0.5)
    assert sum(facts["speakers"].values()) == pytest.approx(facts["speech"] + facts["overlap"], abs=0.01)
