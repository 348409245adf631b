"""What is said of recordings that people hand over."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from emodag import bundle, hearing
from emodag.recognition import Recogniser, read


@pytest.fixture(scope="module")
def adapting(spoken_corpus):
    folder = spoken_corpus.ship("logistic", train__inputs="functionals", adaptation__by="speaker")
    return Recogniser(bundle.load(folder))


def hear(recogniser, name):
    """What is said of one recording."""
    (answer,) = hearing.hear(recogniser, [name])
    return answer


@pytest.fixture
def place(tmp_path):
    """``place(name, samples, rate)`` writes a recording and names it."""

    def write(name, samples, rate=16_000):
        soundfile.write(tmp_path / name, samples, rate)
        return str(tmp_path / name)

    return write


def test_probabilities_are_those_of_the_recogniser_most_probable_first(adapting, spoken_corpus):
    name = str(spoken_corpus.clips[3])
    answer = hear(adapting, name)
    expected = adapting([read(name)])
    assert answer.emotion == expected.emotions[0]
    assert list(answer.probabilities.values()) == sorted(expected.probabilities[0].tolist(), reverse=True)
    assert dict(zip(adapting.bundle.classes, expected.probabilities[0], strict=True)) == answer.probabilities
    assert answer.told()[1].split() == [
        next(iter(answer.probabilities)), f"{100 * expected.probabilities[0].max():.1f}", "%"
    ]  # fmt: skip


def test_recordings_of_one_voice_adapt_the_model_to_it(adapting, spoken_corpus, place):
    names = [str(path) for path in spoken_corpus.clips[:4]]
    silence = place("silence.wav", np.zeros(16_000))
    answers = hearing.hear(adapting, [names[0], silence, *names[1:]])
    expected = adapting([read(name) for name in names], ["voice"] * 4).probabilities
    found = [[each.probabilities[name] for name in adapting.bundle.classes] for each in answers if each.emotion]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert answers[1].emotion is None
    assert np.abs(expected[0] - adapting([read(names[0])]).probabilities[0]).max() > 0.01


def noise(seconds):
    return 0.1 * np.random.default_rng(0).normal(size=round(16_000 * seconds))


@pytest.mark.parametrize(
    "sound",
    [np.zeros(32_000), noise(3.0), 0.2 * np.sin(np.arange(48_000) * 0.05), np.zeros(4800)],
    ids=["silence", "noise", "tone", "0.3 s of silence"],
)
def test_without_speech_no_emotion_is_made_up(adapting, place, sound):
    answer = hear(adapting, place("a.wav", sound))
    assert answer.emotion is None
    assert answer.probabilities == {}
    assert answer.told()[0].endswith("a.wav: no speech")
    assert any("nothing to judge" in line for line in answer.told())


def test_0_3_s_of_speech_8_khz_and_stereo_are_answered(adapting, spoken_corpus, place):
    samples = read(spoken_corpus.clips[3])
    middle = len(samples) // 2
    short = hear(adapting, place("short.wav", samples[middle - 2400 : middle + 2400]))
    assert sum(short.probabilities.values()) == pytest.approx(1)
    stereo = hear(adapting, place("stereo.wav", np.stack([samples, samples], axis=1)))
    assert stereo.probabilities == hear(adapting, place("mono.wav", samples)).probabilities
    narrow = hear(adapting, place("narrow.wav", samples[::2], 8000))
    assert sum(narrow.probabilities.values()) == pytest.approx(1)


def test_a_damaged_recording_is_judged_by_what_is_left(adapting, spoken_corpus, place, tmp_path):
    name = place("a.wav", read(spoken_corpus.clips[3]))
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) * 2 // 3])
    answer = hear(adapting, name)
    assert answer.probabilities
    assert "damaged" in answer.notes[0]


def test_a_long_recording_is_pointed_to_analyze(adapting, spoken_corpus, place):
    samples = np.tile(read(spoken_corpus.clips[3]), 40)
    assert any("emodag analyze" in note for note in hear(adapting, place("long.flac", samples)).notes)


def test_csv_keeps_the_models_order(adapting, spoken_corpus, place):
    names = [str(spoken_corpus.clips[0]), place("silence, 1 s.wav", np.zeros(16_000))]
    answers = [hear(adapting, name) for name in names]
    rows = list(csv.DictReader(io.StringIO(hearing.as_csv(answers, adapting.bundle.classes))))
    assert list(rows[0])[3:-1] == list(adapting.bundle.classes)
    assert sum(float(rows[0][name]) for name in adapting.bundle.classes) == pytest.approx(1, abs=1e-3)
    assert (rows[1]["file"], rows[1]["emotion"], rows[1]["angry"]) == (names[1], "", "")
    assert rows[1]["notes"]


def test_unknown_is_said_where_the_model_is_not_sure(adapting, spoken_corpus):
    unsure = Recogniser(replace(adapting.bundle, unknown=1.1))
    answer = hear(unsure, str(spoken_corpus.clips[0]))
    assert answer.emotion == "unknown"
    assert answer.described()["probabilities"]
