"""What of a timeline goes into an interpretation."""

from __future__ import annotations

import json

import pytest

from emodag.conversation.timeline import Feeling
from emodag.interpretation.evidence import clip, condensed, course, evidence, telling
from emodag.interpretation.telling import text_of


def feelings(*spans: tuple[float, float, float]) -> list[Feeling]:
    """Stretches (start, end, arousal) whose valence is the negative of their arousal."""
    return [Feeling(start, end, (1.0,), "neutral", arousal, -arousal) for start, end, arousal in spans]


def test_the_course_is_of_the_first_and_last_third_of_the_speech_by_its_duration():
    # 6 s of speech: the first 2 s at 0, of the last 2 s the first at 0.2 and the second at 1.
    found = course(feelings((0, 3, 0.0), (10, 12, 0.2), (20, 21, 1.0)))
    assert found.arousal == pytest.approx((0.0, 0.6))
    assert found.valence == pytest.approx((0.0, -0.6))


def test_little_speech_has_no_course():
    assert course(feelings((0, 3, 0.0), (10, 12, 0.2))) is None
    assert course([]) is None


def test_a_clip_is_a_timeline_of_one_turn(settings):
    found = evidence(clip("a.wav", 3.0, ("neutral", "angry"), (0.2, 0.8), "angry", "thank you"), settings, "en-US")
    assert found.probabilities == {"angry": 0.8, "neutral": 0.2}
    assert found.moments[0].accord == "conflict"
    assert found.voices[0].conflicts == 1
    assert found.moments[0].arousal == pytest.approx(0.8 * 0.59)
    assert found.moments[0].valence == pytest.approx(0.8 * -0.51)


@pytest.mark.parametrize(
    ("text", "language", "words"), [("", "en", "none"), ("gut", "de", "other_language"), ("good", "en", "read")]
)
def test_which_words_were_looked_at(settings, text, language, words):
    found = evidence(clip("a.wav", 3.0, ("neutral", "angry"), (0.2, 0.8), "angry", text), settings, language)
    assert found.words == words
    assert (found.moments[0].accord is None) == (words != "read")


def test_moments_and_what_was_not_judged_add_up(settings, conversations):
    timeline = conversations(120, 30, 3)
    found = evidence(timeline, settings, "en-US")
    unjudged = [turn for turn in timeline.turns if turn.feeling is None]
    assert unjudged
    assert len(found.moments) + len(unjudged) == len(timeline.turns)
    assert sum(voice.unjudged for voice in found.voices) == len(unjudged)
    assert found.unjudged == pytest.approx(sum(turn.end - turn.start for turn in unjudged))
    assert not found.probabilities


def test_the_most_telling_moments_are_conflicts_then_the_surest_emotions(settings, conversations):
    moments = evidence(conversations(300, 80, 2), settings, "en-US").moments
    conflicts = [each for each in moments if each.accord == "conflict"]
    assert conflicts
    chosen = telling(moments, len(conflicts) + 3)
    assert [each.start for each in chosen] == sorted(each.start for each in chosen)
    assert all(each in chosen for each in conflicts)
    others = [each for each in moments if each.accord != "conflict" and each.emotion in ("happy", "angry", "surprised")]
    assert max(others, key=lambda each: each.confidence) in chosen
    assert telling(moments, 0) == []


def test_the_condensed_evidence_stays_small_and_says_what_it_left_out(settings, conversations):
    long = evidence(conversations(7200, 2000, 4), settings, "en-US")
    content = condensed(long, 40)
    assert len(content["moments"]) == 40
    assert content["moments_in_all"] == len(long.moments) > 1000
    assert len(json.dumps(content, allow_nan=False)) < 20_000


def test_all_numbers_of_the_default_text_are_in_the_evidence(settings):
    """One clip, whose numbers can be listed: the text makes none up."""
    found = evidence(clip("a.wav", 3.0, ("neutral", "angry", "sad"), (0.25, 0.65, 0.1), "angry"), settings, "en")
    told = text_of(found, settings)
    for number in ("65%", "25%", "10%", f"{found.voices[0].arousal:+.2f}", f"{found.voices[0].valence:+.2f}"):
        assert number in told
