"""The vocabulary of emotions, each corpus's own labels in it, and the classes that two corpora share.

``EMOTIONS`` fixes the order of classes everywhere: probability columns, confusion matrices, tables and legends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from emodag.errors import DataError, did_you_mean

EMOTIONS: tuple[str, ...] = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "bored",
)

#: What stands for the emotion where a model is not sure enough of any.
UNKNOWN = "unknown"

CalmPolicy = Literal["keep", "neutral", "drop"]

_DEMO = {emotion: emotion for emotion in ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")}

#: corpus -> its native label -> emotion. Native labels are what the file name or folder says, in lower case.
NATIVE_LABELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ravdess": {
            "01": "neutral",
            "02": "calm",
            "03": "happy",
            "04": "sad",
            "05": "angry",
            "06": "fearful",
            "07": "disgust",
            "08": "surprised",
        },
        "crema_d": {
            "neu": "neutral",
            "hap": "happy",
            "sad": "sad",
            "ang": "angry",
            "fea": "fearful",
            "dis": "disgust",
        },
        "savee": {
            "n": "neutral",
            "h": "happy",
            "sa": "sad",
            "a": "angry",
            "f": "fearful",
            "d": "disgust",
            "su": "surprised",
        },
        "tess": {
            "neutral": "neutral",
            "happy": "happy",
            "sad": "sad",
            "angry": "angry",
            "fear": "fearful",
            "disgust": "disgust",
            "ps": "surprised",
            "pleasant_surprise": "surprised",
            "pleasant_surprised": "surprised",
        },
        "esd": {
            "neutral": "neutral",
            "happy": "happy",
            "sad": "sad",
            "angry": "angry",
            "surprise": "surprised",
        },
        "emodb": {
            "n": "neutral",
            "f": "happy",
            "t": "sad",
            "w": "angry",
            "a": "fearful",
            "e": "disgust",
            "l": "bored",
        },
        "demo_en": _DEMO,
        "demo_de": _DEMO,
    }
)

#: Other spellings that folders and tables of users hold, for the ``folder`` corpus.
SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "anger": "angry",
        "boredom": "bored",
        "calmness": "calm",
        "disgusted": "disgust",
        "fear": "fearful",
        "afraid": "fearful",
        "happiness": "happy",
        "joy": "happy",
        "neutrality": "neutral",
        "sadness": "sad",
        "surprise": "surprised",
        "pleasant_surprise": "surprised",
        "pleasant_surprised": "surprised",
    }
)


def emotion_of(corpus: str, native_label: str) -> str:
    """The emotion that a corpus means by one of its own labels.

    Raises:
        DataError: the corpus has no such label; the message lists those it has.
    """
    mapping = NATIVE_LABELS[corpus]
    try:
        return mapping[native_label.lower()]
    except KeyError:
        raise DataError(f"{corpus} has no label {native_label!r}; accepted: {', '.join(mapping)}") from None


def emotion_named(word: str) -> str:
    """The emotion that a user's word stands for: one of ``EMOTIONS`` or a known synonym, in any case.

    Raises:
        DataError: neither; the message lists what is accepted.
    """
    key = word.strip().lower().replace(" ", "_").replace("-", "_")
    if key in EMOTIONS:
        return key
    if key in SYNONYMS:
        return SYNONYMS[key]
    accepted = [*EMOTIONS, *SYNONYMS]
    raise DataError(f"unknown emotion {word!r}; accepted: {', '.join(accepted)}{did_you_mean(key, accepted)}")


def apply_calm(emotion: str, policy: CalmPolicy) -> str | None:
    """What becomes of one label under the policy for ``calm``: the label, ``neutral``, or None where it is dropped."""
    if emotion != "calm" or policy == "keep":
        return emotion
    return "neutral" if policy == "neutral" else None


def in_order(emotions: Iterable[str]) -> tuple[str, ...]:
    """The distinct emotions among ``emotions``, in the order of ``EMOTIONS``."""
    present = set(emotions)
    return tuple(emotion for emotion in EMOTIONS if emotion in present)


def shared_classes(trained: Iterable[str], tested: Iterable[str]) -> tuple[str, ...]:
    """The classes that a model knows and a test corpus has, two at least, in the order of ``EMOTIONS``.

    Raises:
        DataError: there is none, or but one.
    """
    trained, tested = in_order(trained), in_order(tested)
    shared = tuple(emotion for emotion in trained if emotion in tested)
    if not shared:
        raise DataError(
            f"the model knows {', '.join(trained) or 'no class'} and the test corpus has "
            f"{', '.join(tested) or 'no class'}: no class is shared, so nothing can be scored"
        )
    if len(shared) == 1:
        raise DataError(
            f"only {shared[0]} is in both (the model knows {', '.join(trained)}), and one class cannot be told from "
            "itself: every score would be 100 %"
        )
    return shared
