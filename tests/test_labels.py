"""The vocabulary and what is shared."""

from __future__ import annotations

import pytest

from emodag import labels
from emodag.errors import DataError


def test_every_native_label_means_an_emotion_of_the_vocabulary():
    for corpus, mapping in labels.NATIVE_LABELS.items():
        assert set(mapping.values()) <= set(labels.EMOTIONS), corpus


@pytest.mark.parametrize(
    ("corpus", "native", "emotion"),
    [("emodb", "W", "angry"), ("emodb", "L", "bored"), ("ravdess", "02", "calm"), ("tess", "PS", "surprised")],
)
def test_native_labels(corpus, native, emotion):
    assert labels.emotion_of(corpus, native) == emotion


def test_an_unknown_native_label_names_what_is_accepted():
    with pytest.raises(DataError, match=r"ravdess has no label '09'; accepted: 01, 02"):
        labels.emotion_of("ravdess", "09")


@pytest.mark.parametrize(
    ("word", "emotion"),
    [
        ("angry", "angry"),
        ("Anger", "angry"),
        (" JOY ", "happy"),
        ("Pleasant Surprise", "surprised"),
        ("fear", "fearful"),
    ],
)
def test_words_of_users(word, emotion):
    assert labels.emotion_named(word) == emotion


def test_an_unknown_word_suggests_the_closest():
    with pytest.raises(DataError, match=r"unknown emotion 'angri'; accepted: neutral, .*; did you mean 'angry'"):
        labels.emotion_named("angri")


@pytest.mark.parametrize(("policy", "becomes"), [("keep", "calm"), ("neutral", "neutral"), ("drop", None)])
def test_what_becomes_of_calm(policy, becomes):
    assert labels.apply_calm("calm", policy) == becomes
    assert labels.apply_calm("sad", policy) == "sad"


def test_shared_classes_keep_the_order_of_the_vocabulary():
    assert labels.shared_classes(["sad", "neutral", "calm"], ["bored", "sad", "neutral"]) == ("neutral", "sad")


def test_no_shared_class_is_an_error_that_names_both_sides():
    with pytest.raises(DataError, match="knows calm and the test corpus has bored"):
        labels.shared_classes(["calm"], ["bored"])


def test_one_shared_class_is_an_error_too():
    with pytest.raises(DataError, match=r"only happy is in both \(the model knows happy, sad\)"):
        labels.shared_classes(["sad", "happy"], ["bored", "happy"])
