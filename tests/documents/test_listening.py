"""Which mistakes are chosen to be listened to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emodag.documents.listening import confident_mistakes

CLASSES = ("neutral", "happy", "sad")


def predictions(*rows) -> pd.DataFrame:
    columns = ["clip_id", "emotion", "seed", "temperature", *CLASSES]
    return pd.DataFrame(rows, columns=columns).assign(speaker="alpha/01", fold=1)


def test_the_surest_mistakes_come_first_and_right_clips_never():
    found = confident_mistakes(
        predictions(
            ("alpha/right", "sad", 0, 1.0, 0.0, 0.01, 0.99),
            ("alpha/unsure", "sad", 0, 1.0, 0.5, 0.3, 0.2),
            ("alpha/sure", "sad", 0, 1.0, 0.1, 0.8, 0.1),
        ),
        CLASSES,
        5,
    )
    assert found["clip_id"].tolist() == ["alpha/sure", "alpha/unsure"]
    assert found["predicted"].tolist() == ["happy", "neutral"]
    np.testing.assert_allclose(found["probability"], [0.8, 0.5])
    np.testing.assert_allclose(found["of_spoken"], [0.1, 0.2])
    assert list(found.columns) == ["clip_id", "speaker", "emotion", "predicted", "probability", "of_spoken"]


def test_probabilities_are_calibrated_before_they_are_compared():
    rows = predictions(
        ("alpha/hot", "sad", 0, 4.0, 0.05, 0.9, 0.05),
        ("alpha/cold", "sad", 0, 0.5, 0.1, 0.7, 0.2),
    )
    found = confident_mistakes(rows, CLASSES, 1)
    assert found["clip_id"].tolist() == ["alpha/cold"]
    np.testing.assert_allclose(found["probability"], 0.49 / (0.01 + 0.49 + 0.04))


def test_seeds_that_disagree_are_one_clip_by_their_mean():
    rows = predictions(
        ("alpha/a", "sad", 0, 1.0, 0.0, 0.9, 0.1),
        ("alpha/a", "sad", 1, 1.0, 0.0, 0.3, 0.7),
        ("alpha/b", "sad", 0, 1.0, 0.0, 0.6, 0.4),
        ("alpha/b", "sad", 1, 1.0, 0.0, 0.1, 0.9),
    )
    found = confident_mistakes(rows, CLASSES, 5)
    assert found["clip_id"].tolist() == ["alpha/a"]
    np.testing.assert_allclose(found["probability"], [0.6])
