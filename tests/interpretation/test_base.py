"""The text that is made from the evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emodag.conversation.timeline import Timeline, TurningPoint
from emodag.interpretation.base import Interpretation, interpret
from emodag.interpretation.evidence import clip
from emodag.interpretation.telling import CAVEAT

CLASSES = ("neutral", "happy", "angry")
MODEL = {
    "name": "mlp",
    "adaptation": "none",
    "protocol": "speaker_kfold",
    "unknown": 0.4,
    "scores": {"ravdess": {"uar": 0.62, "low": 0.57, "high": 0.66, "chance": 0.125}},
}


def test_a_clip(settings):
    told = interpret(clip("a.wav", 3.0, CLASSES, (0.1, 0.06, 0.84), "angry", model=MODEL), settings, "en-US")
    assert told.source == "evidence"
    assert told.fallback == ""
    assert told.told() == told.text
    assert told.text.startswith("The voice sounds angry (84%); less likely neutral 10% and happy 6%. Arousal +0.53")
    assert "What is said is not known" in told.text
    assert "UAR 62% (57% to 66%) on ravdess" in told.text
    assert told.text.endswith(CAVEAT)


def test_a_clip_of_which_the_model_is_not_sure(settings):
    told = interpret(clip("a.wav", 3.0, CLASSES, (0.4, 0.3, 0.3), "unknown"), settings, "en-US").text
    assert told.startswith("The model is not sure what the voice sounds like: most likely neutral (40%)")


def test_voice_and_words_in_conflict(settings):
    said = "thank you that is great"
    told = interpret(clip("a.wav", 3.0, CLASSES, (0.1, 0.06, 0.84), "angry", said), settings, "en-US").text
    assert f"at 0:00 the words are positive, “{said}”, the voice angry" in told


def test_voice_and_words_that_agree(settings):
    told = interpret(clip("a.wav", 3.0, CLASSES, (0.1, 0.84, 0.06), "happy", "this is great"), settings, "en").text
    assert "Voice and words agree in the one turn in which both are clear." in told


def test_words_of_another_language_are_not_judged(settings):
    told = interpret(clip("a.wav", 3.0, CLASSES, (0.1, 0.06, 0.84), "angry", "danke"), settings, "de").text
    assert "the lexicon reads English only" in told
    assert "danke" not in told


def test_a_conversation(settings, conversations):
    timeline = replace(conversations(120, 30, 2), notes=("the file is damaged: 120.0 of 300.0 s could be read",))
    told = interpret(timeline, settings, "en-US").text
    assert told.startswith("speaker_1 turns from neutral to angry at 0:50")
    for part in (
        "Arousal rises from +0.10 to +0.65",
        "valence falls from",
        "Strongest: angry at 1:22 (98%)",
        "At 0:50 the voice turns from neutral to angry.",
        "Voice and words disagree in all 2 turns",
        "0.2 s of speech were not judged",
        "In 2 of 29 judged turns the model is not sure.",
        "The file is damaged: 120.0 of 300.0 s could be read.",
    ):
        assert part in told
    assert interpret(timeline, settings, "en-US").text == told
    steady = interpret(timeline, settings.model_copy(update={"change": 1.9}), "en-US").text
    assert "rises" not in steady
    assert "arousal stays about" in steady.lower()


@pytest.mark.parametrize(("number", "more"), [(5, "2 more times"), (4, "1 more time")])
def test_many_turning_points_are_counted(settings, conversations, number, more):
    timeline = conversations(120, 30, 2)
    points = tuple(TurningPoint(10.0 * at, "speaker_2", "neutral", "happy") for at in range(1, number + 1))
    told = interpret(replace(timeline, turning_points=points), settings, "en-US").text
    assert told.count("the voice turns from neutral to happy") == 3
    assert f"It turns {more}." in told


def test_no_speech(settings):
    timeline = Timeline("silence.wav", 5.0, CLASSES, (), (), (), ("no speech was found",))
    told = interpret(timeline, settings, "en-US").text
    assert told == f"No speech was found.\n\n{CAVEAT}"


def test_a_conversation_in_which_nothing_was_judged(settings, conversations):
    from emodag.conversation.analysis import speakers_in

    timeline = conversations(60, 6, 2)
    turns = tuple(replace(turn, feeling=None, windows=()) for turn in timeline.turns)
    told = interpret(
        replace(timeline, turns=turns, speakers=speakers_in(turns), turning_points=()), settings, "en-US"
    ).text
    assert "no turn could be judged" in told
    assert "nothing of it could be judged" in told
    spoken = sum(turn.end - turn.start for turn in turns)
    assert f"{spoken:.1f} s of speech were not judged" in told


@pytest.mark.parametrize(
    ("interpretation", "ending"),
    [
        (Interpretation("Calm.", "evidence"), "Calm."),
        (Interpretation("Calm.", "llm", "tiny"), "Written by the language model tiny, which may be wrong."),
        (
            Interpretation("Calm.", "evidence", fallback="no answer within 2 s"),
            "Made without the language model that is configured: no answer within 2 s.",
        ),
    ],
)
def test_it_says_who_wrote_it(interpretation, ending):
    assert interpretation.told().startswith("Calm.")
    assert interpretation.told().endswith(ending)
