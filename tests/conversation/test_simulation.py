"""Simulated conversations: what is said is where the turns say, and chance follows the settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from emodag import audio, espeak
from emodag.conversation.simulation import Simulation, Utterance, simulate, speech_in, utterances
from emodag.errors import DataError

RATE = audio.SAMPLE_RATE


@pytest.fixture(scope="module")
def settings() -> Simulation:
    return Simulation(
        speakers=2,
        min_duration=20.0,
        max_duration=25.0,
        hold=0.3,
        pause=0.4,
        overlap=0.3,
        overlap_length=0.4,
        gap=0.4,
        persistence=0.0,
        level_spread=6.0,
        telephone=False,
        min_snr=None,
        max_snr=None,
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Utterance]:
    """Eight sentences by each of three voices of eSpeak NG, in turn angry and sad; 0.2 s of silence at both ends."""
    voice = espeak.Voice("en-us", "gmw/en-US", "en_dict")
    found = []
    with espeak.voices_folder(tmp_path_factory.mktemp("espeak"), voice) as folder:
        for name, variant in (("anna", "f3"), ("bert", "m3"), ("carl", "m7")):
            for take, word in enumerate(["seven", "eleven", "twelve", "twenty", "thirty", "forty", "fifty", "ninety"]):
                text = f"My sister said {word} people would come to the house."
                pcm = espeak.speak(text, voice, espeak.variant(variant), folder)
                samples = audio.resample(pcm.astype(np.float32) / 32768, espeak.SAMPLE_RATE)
                emotion = ("angry", "sad")[take % 2]
                found.append(Utterance(name, emotion, f"{name}/{take}", np.pad(samples, round(0.2 * RATE))))
    return found


def changed(settings: Simulation, **values) -> Simulation:
    return Simulation(**(settings.model_dump() | values))


def together(turns: pd.DataFrame, duration: float) -> np.ndarray:
    """How many speak in each millisecond: int64 ``[milliseconds]``."""
    count = np.zeros(round(duration * 1000) + 1, np.int64)
    for turn in turns.itertuples():
        count[round(turn.start * 1000) : round(turn.end * 1000)] += 1
    return count


def test_speech_is_found_to_a_hundredth_of_a_second(clips):
    spoken = clips[0].source[speech_in(clips[0].source)[0, 0] :][:RATE]
    silence = np.zeros(RATE, np.float32)
    found = speech_in(np.concatenate([silence, spoken, silence]))
    assert found[0, 0] == pytest.approx(RATE, abs=0.015 * RATE)
    assert found[-1, 1] == pytest.approx(2 * RATE, abs=0.1 * RATE)


def test_a_pause_within_a_clip_is_no_speech(clips):
    pause = np.zeros(RATE, np.float32)
    found = speech_in(np.concatenate([clips[0].source, pause, clips[1].source]))
    gaps = (found[1:, 0] - found[:-1, 1]) / RATE
    assert gaps.max() > 1


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(100), np.zeros(RATE), np.full(RATE, 0.3)])
def test_nothing_is_found_where_nobody_speaks(samples):
    assert speech_in(samples.astype(np.float32)).shape == (0, 2)


def test_turns_are_where_the_sound_is(clips, settings):
    conversation = simulate(clips, settings, seed=1)
    assert list(conversation.turns.columns) == ["start", "end", "speaker", "emotion", "clip_id"]
    assert conversation.turns["start"].is_monotonic_increasing
    assert conversation.duration >= conversation.turns["end"].max()
    anyone = together(conversation.turns, conversation.duration) > 0
    milliseconds = conversation.samples[: len(conversation.samples) // 16 * 16].reshape(-1, 16)
    energy = np.square(milliseconds).sum(axis=1)
    assert energy[anyone[: len(energy)]].sum() > 0.995 * energy.sum()


def test_the_sum_of_what_is_said_is_what_is_heard(clips, settings):
    # With one voice and no level offset, each stretch is the clip's own sound, scaled.
    conversation = simulate(clips[:8], changed(settings, speakers=1, level_spread=0.0), seed=3)
    sources = {clip.clip_id: clip.source for clip in clips}
    for turn in conversation.turns.itertuples():
        heard = conversation.samples[round(turn.start * RATE) : round(turn.end * RATE)]
        likeness = np.correlate(sources[turn.clip_id], heard).max()
        assert likeness > 0.7 * np.linalg.norm(heard) * np.linalg.norm(sources[turn.clip_id])


def test_the_seed_decides(clips, settings):
    noisy = changed(settings, telephone=True, min_snr=10.0, max_snr=20.0)
    first, again, other = (simulate(clips, noisy, seed) for seed in (7, 7, 8))
    assert np.array_equal(first.samples, again.samples)
    pd.testing.assert_frame_equal(first.turns, again.turns)
    assert not first.turns.equals(other.turns)


@pytest.mark.parametrize("speakers", [1, 2, 3])
def test_as_many_speak_as_asked_for(clips, settings, speakers):
    conversation = simulate(clips, changed(settings, speakers=speakers), seed=5)
    assert conversation.turns["speaker"].nunique() == speakers
    assert set(conversation.annotation().labels()) == set(conversation.turns["speaker"])


def test_at_most_two_speak_at_once_and_nobody_over_themselves(clips, settings):
    for seed in range(5):
        conversation = simulate(
            clips, changed(settings, speakers=3, overlap=1.0, overlap_length=2.0, hold=0.0), seed=seed
        )
        assert together(conversation.turns, conversation.duration).max() == 2
        for _, own in conversation.turns.groupby("speaker"):
            assert together(own, conversation.duration).max() == 1


def test_overlap_follows_its_settings(clips, settings):
    never = simulate(clips, changed(settings, overlap=0.0, max_duration=60.0, min_duration=60.0), seed=2)
    often = simulate(clips, changed(settings, overlap=1.0, hold=0.0, max_duration=60.0, min_duration=60.0), seed=2)
    assert together(never.turns, never.duration).max() == 1
    two = (together(often.turns, often.duration) == 2).mean()
    assert 0.05 < two < 0.4


def test_gaps_have_the_mean_asked_for(clips, settings):
    long = changed(settings, overlap=0.0, hold=0.0, gap=0.8, min_duration=400.0, max_duration=400.0)
    turns = simulate(clips, long, seed=11).turns
    changes = turns["speaker"].ne(turns["speaker"].shift())[1:].to_numpy()
    gaps = (turns["start"].to_numpy()[1:] - turns["end"].to_numpy()[:-1])[changes]
    assert gaps.min() > -0.01
    assert gaps.mean() == pytest.approx(0.8, abs=4 * 0.8 / np.sqrt(len(gaps)))


def test_emotions_persist_where_asked_for(clips, settings):
    def changes(persistence: float) -> float:
        turns = simulate(
            clips, changed(settings, persistence=persistence, min_duration=120.0, max_duration=120.0), 4
        ).turns
        per_speaker = [own["emotion"].ne(own["emotion"].shift())[1:].mean() for _, own in turns.groupby("speaker")]
        return float(np.mean(per_speaker))

    assert changes(1.0) < 0.4 < changes(0.0) + 0.15


def test_noise_has_the_ratio_asked_for(clips, settings):
    clean = simulate(clips, settings, seed=9)
    noisy = simulate(clips, changed(settings, min_snr=10.0, max_snr=10.0), seed=9)
    pd.testing.assert_frame_equal(clean.turns, noisy.turns)
    noise = noisy.samples - clean.samples
    ratio = 10 * np.log10(np.mean(clean.samples**2) / np.mean(noise**2))
    assert ratio == pytest.approx(10, abs=0.1)


def test_a_telephone_keeps_nothing_above_its_band(clips, settings):
    for telephone in (False, True):
        samples = simulate(clips, changed(settings, telephone=telephone), seed=9).samples
        power = np.abs(np.fft.rfft(samples)) ** 2
        frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
        above = power[frequency > 4100].sum() / power.sum()
        assert (above < 1e-5) == telephone


def test_too_few_speakers_are_refused(clips, settings):
    with pytest.raises(DataError, match="4 speakers needs clips of so many; got 3"):
        simulate(clips, changed(settings, speakers=4), seed=0)


def test_a_speaker_without_speech_is_refused(clips, settings):
    silent = [Utterance("mute", "sad", "mute/0", np.zeros(RATE, np.float32))]
    with pytest.raises(DataError, match="no clip of mute holds speech"):
        simulate(silent, changed(settings, speakers=1), seed=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_duration": 30.0}, "must not exceed max_duration"),
        ({"min_snr": 3.0}, "both numbers or both null"),
        ({"min_snr": 9.0, "max_snr": 3.0}, "must not exceed max_snr"),
        ({"speakers": 0}, "speakers"),
    ],
)
def test_settings_that_contradict_each_other(settings, values, message):
    with pytest.raises(ValidationError, match=message):
        changed(settings, **values)


def test_clips_of_an_organized_corpus_are_read_from_its_folder(clips, settings, tmp_path):
    rows = []
    for number, clip in enumerate(clips[:8]):
        path = f"clips/{number}.flac"
        (tmp_path / "clips").mkdir(exist_ok=True)
        audio.write_flac(tmp_path / path, audio.to_pcm16(clip.source))
        rows.append((clip.clip_id, path, clip.speaker, clip.emotion, None if number else "anna/parent"))
    manifest = pd.DataFrame(rows, columns=["clip_id", "path", "speaker", "emotion", "parent_id"])
    found = utterances(manifest, tmp_path)
    assert [each.clip_id for each in found] == [clip.clip_id for clip in clips[1:8]]
    from_files = simulate(found, changed(settings, speakers=1), seed=0)
    in_memory = [replace(clip, source=audio.as_kept(clip.source)) for clip in clips[1:8]]
    assert np.array_equal(from_files.samples, simulate(in_memory, changed(settings, speakers=1), seed=0).samples)
