"""What answers look like, for the OpenAPI; a test asks that the service would answer just so."""

from __future__ import annotations

from typing import Any

_SCORE = {
    "corpus": "ravdess",
    "uar": 0.617,
    "low": 0.571,
    "high": 0.66,
    "chance": 0.125,
    "leaky": False,
    "meaning": "Folds of speakers: every tested voice is new to the model that is tested on it.",
}
_CONTEXT = {
    "name": "mlp",
    "protocol": "speaker_kfold",
    "unknown_below": 0.41,
    "scores": [_SCORE],
    "trained_on": ["ravdess"],
}
_PROBABILITIES = {"angry": 0.81, "surprised": 0.12, "happy": 0.04, "neutral": 0.03}

HEALTH = {"status": "ready", "waiting": 0, "active": 1}

CARD = {
    "name": "mlp",
    "emotions": ["neutral", "happy", "angry", "surprised"],
    "trained_on": [
        {
            "name": "ravdess",
            "title": "Ryerson Audio-Visual Database of Emotional Speech and Song",
            "languages": ["en"],
            "licence": "CC BY-NC-SA 4.0",
            "synthetic": False,
        }
    ],
    "clips": 2880,
    "protocol": "speaker_kfold",
    "adaptation": "Nothing is known of a tested voice before its clip.",
    "encoder": "none",
    "unknown_below": 0.41,
    "confidence": 0.95,
    "transcription": "sphinx",
    "language_model": "",
    "scores": [_SCORE],
    "limits": ["It recognises how emotions are acted or shown in speech. It does not know what anybody feels."],
    "misuse": ["Judging a person."],
    "fingerprint": "5f3c0a5e",
}

PREDICTION = {
    "file": "greeting.wav",
    "duration": 2.338,
    "emotion": "angry",
    "probabilities": _PROBABILITIES,
    "notes": [],
    "model": _CONTEXT,
}

PROCESSED = {
    "Emotion Probabilities": _PROBABILITIES,
    "Transcription": "kids are talking by the door",
    "LLM Interpretation": "The voice sounds angry (81 %).",
    "Details": PREDICTION
    | {
        "transcription": {"text": "kids are talking by the door", "backend": "sphinx", "words": [], "note": ""},
        "interpretation": {"text": "The voice sounds angry (81 %).", "source": "evidence", "model": "", "note": ""},
    },
}

_FEELING = {
    "start": 0.4,
    "end": 2.9,
    "emotion": "angry",
    "probabilities": _PROBABILITIES,
    "valence": -0.33,
    "arousal": 0.58,
}
ANALYSIS = {
    "recording": "call.mp3",
    "duration": 61.2,
    "finding": "speaker_1 turns from neutral to angry at 0:31",
    "speakers": [
        {
            "name": "speaker_1",
            "speech": 2.5,
            "turns": 1,
            "shares": {"angry": 1.0},
            "arousal": 0.58,
            "valence": -0.33,
        }
    ],
    "turning_points": [{"time": 31.5, "speaker": "speaker_1", "before": "neutral", "after": "angry"}],
    "turns": [
        {
            "start": 0.4,
            "end": 2.9,
            "speaker": "speaker_1",
            "overlap": 0.0,
            "text": "",
            "feeling": _FEELING,
            "windows": [],
        }
    ],
    "notes": [],
    "model": {"name": "mlp", "adaptation": "none", "protocol": "speaker_kfold", "unknown": 0.41},
    "interpretation": {"text": "Speaker 1 sounds angry.", "source": "evidence", "model": "", "note": ""},
}


def of(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """An example of the answer of a path, as FastAPI takes it."""
    return {200: {"content": {"application/json": {"example": example}}}}
