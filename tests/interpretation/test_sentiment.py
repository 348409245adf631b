"""Words by a lexicon, and whether they go with the voice."""

from __future__ import annotations

import pytest

from emodag.conversation.timeline import Feeling
from emodag.interpretation.sentiment import accord, reads, sentiment


@pytest.mark.parametrize(("language", "is_read"), [("en-US", True), ("EN", True), ("de", False), ("auto", False)])
def test_the_lexicon_reads_english(language, is_read):
    assert reads(language) is is_read


def test_it_rates_words_and_sees_negation():
    assert sentiment("thank you, this is great") > 0.6
    assert sentiment("this is not great, it is terrible") < -0.5
    assert sentiment("kids are talking by the door") == 0
    assert sentiment("") == 0


def test_it_cannot_tell_what_is_meant():
    """What the documentation says of it: a limit, not a wish."""
    assert sentiment("this is the third time that i call and nobody helped") >= 0
    assert sentiment("das ist schrecklich") == 0


@pytest.mark.parametrize(
    ("emotion", "valence", "words", "expected"),
    [
        ("angry", -0.5, 0.8, "conflict"),
        ("happy", 0.7, -0.8, "conflict"),
        ("happy", 0.7, 0.8, "agree"),
        ("sad", -0.6, -0.4, "agree"),
        ("neutral", 0.1, 0.8, "unclear"),
        ("angry", -0.5, 0.1, "unclear"),
        ("unknown", -0.5, 0.8, "unclear"),
    ],
)
def test_voice_and_words(settings, emotion, valence, words, expected):
    assert accord(Feeling(0, 1, (0.6, 0.4), emotion, 0.0, valence), words, settings) == expected
