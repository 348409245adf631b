"""Whether words are positive or negative, by a lexicon, and whether they agree with the voice that says them.

VADER (Hutto and Gilbert 2014, "VADER: A parsimonious rule-based model for sentiment analysis of social media text",
ICWSM; doi 10.1609/icwsm.v8i1.14550) adds up ratings of some 7500 English words, with rules for negation and emphasis.
It knows what people rated words as, not what a speaker means: irony, context and words outside the lexicon are lost on
it, it takes "nobody helped" for neutral, and it knows English only.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from emodag.conversation.timeline import Feeling
from emodag.labels import UNKNOWN
from emodag.params import Interpret

LANGUAGE = "en"

Accord = Literal["agree", "conflict", "unclear"]


def reads(language: str) -> bool:
    """Whether the lexicon knows a language, as ``en-US``."""
    return language.lower().split("-")[0] == LANGUAGE


def sentiment(text: str) -> float:
    """VADER's compound score of a text, from -1 (negative) to 1 (positive); 0 where no word of it is known."""
    return float(_analyser().polarity_scores(text)["compound"])


@cache
def _analyser():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def accord(feeling: Feeling, words: float, settings: Interpret) -> Accord:
    """Whether voice and words point the same way.

    ``unclear`` where either is near the middle, or the voice is :data:`~emodag.labels.UNKNOWN`.

    Args:
        feeling: what is heard in the voice.
        words: of :func:`sentiment`.
        settings: whose ``valence`` and ``sentiment`` say what is near the middle.
    """
    if feeling.emotion == UNKNOWN or abs(feeling.valence) <= settings.valence or abs(words) <= settings.sentiment:
        return "unclear"
    return "agree" if (feeling.valence > 0) == (words > 0) else "conflict"
