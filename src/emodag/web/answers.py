"""What the service answers, typed; its OpenAPI is made of these."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Closed to keys that it does not name."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, protected_namespaces=())


_PROBABILITIES = "calibrated probability of each emotion, the most probable first; empty where there is no speech"


class Corpus(Answer):
    """What a model was trained on."""

    name: str
    title: str
    languages: list[str]
    licence: str
    synthetic: bool = Field(description="whether a synthesiser speaks, so that scores say nothing about people")


class Score(Answer):
    """How well the model does on voices that it was not trained on."""

    corpus: str
    uar: float = Field(description="unweighted average recall: the mean of the recalls of all emotions; 0 to 1")
    low: float | None = Field(description="of its interval, by a bootstrap over speakers; null where not measured")
    high: float | None
    chance: float = Field(description="what guessing would get")
    leaky: bool = Field(description="tested voices were trained on, so that the score is worth little")
    meaning: str


class Card(Answer):
    """The model, what it was trained on, what is known of it, and what it is not for."""

    name: str
    emotions: list[str]
    trained_on: list[Corpus]
    clips: int = Field(description="trained on, augmented copies included")
    protocol: str = Field(description="of the cross-validation that gave the scores")
    adaptation: str
    encoder: str
    unknown_below: float = Field(description="where no emotion is as probable as this, the answer is `unknown`")
    confidence: float = Field(description="of the intervals of the scores")
    transcription: str = Field(description="what writes down what is said; `none` if nothing does")
    language_model: str = Field(description="which is given evidence and words to interpret; empty if none is")
    scores: list[Score]
    limits: list[str]
    misuse: list[str]
    fingerprint: str = Field(description="of the training data")


class Context(Answer):
    """Without which no probability may be read: the whole is at ``/api/model``."""

    name: str
    trained_on: list[str]
    protocol: str
    unknown_below: float
    scores: list[Score]


class Prediction(Answer):
    """The emotions of a recording as one clip."""

    file: str
    duration: float = Field(description="s")
    emotion: str | None = Field(description="the most probable, or `unknown`; null where there is no speech")
    probabilities: dict[str, float] = Field(description=_PROBABILITIES)
    notes: list[str] = Field(description="what to mind")
    model: Context


class Transcription(Answer):
    """What was said."""

    text: str
    backend: str = Field(description="what wrote it; `none` if nothing did")
    words: list[dict[str, Any]] = Field(description="start and end (s) and text of each, where that is known")
    note: str = Field(description="what to know of it")


class Interpretation(Answer):
    """What emotions and words come to."""

    text: str
    source: str = Field(description="`evidence`: made of the evidence by rules; `llm`; `none`: nothing was made")
    model: str = Field(description="the language model that wrote it; empty if none did")
    note: str = Field(description="what to know of it")


class Details(Prediction):
    """What stands behind the three plain answers."""

    transcription: Transcription
    interpretation: Interpretation


class Processed(Answer):
    """A recording as one clip, in three plain answers and their details."""

    probabilities: dict[str, float] = Field(alias="Emotion Probabilities", description=_PROBABILITIES)
    transcription: str = Field(alias="Transcription", description="what was said; empty where nothing transcribes")
    interpretation: str = Field(alias="LLM Interpretation", description="in words; see `Details` for who wrote it")
    details: Details = Field(alias="Details")


class Feeling(Answer):
    """What was heard in a stretch of speech."""

    start: float = Field(description="s")
    end: float = Field(description="s")
    emotion: str
    probabilities: dict[str, float]
    valence: float = Field(description="-1 (unpleasant) to 1")
    arousal: float = Field(description="-1 (calm) to 1")


class Turn(Answer):
    """What one speaker says between pauses or other speakers."""

    start: float = Field(description="s")
    end: float = Field(description="s")
    speaker: str
    overlap: float = Field(description="s of it in which somebody else speaks too")
    text: str
    feeling: Feeling | None = Field(description="null where it is too short, or others speak over it")
    windows: list[Feeling] = Field(description="of a long turn")


class Speaker(Answer):
    """One speaker's part."""

    name: str
    speech: float = Field(description="s")
    turns: int
    shares: dict[str, float] = Field(description="of the judged speech, by emotion")
    arousal: float | None = Field(description="the mean over the judged speech; null where nothing was judged")
    valence: float | None


class TurningPoint(Answer):
    """Where the emotion of a speaker changes for longer than a moment."""

    time: float = Field(description="s")
    speaker: str
    before: str
    after: str


class Analysis(Answer):
    """Who felt what, when: as ``emodag analyze --json`` writes it, and what that comes to."""

    recording: str
    duration: float = Field(description="s")
    finding: str = Field(description="what it comes to, in a sentence")
    speakers: list[Speaker]
    turning_points: list[TurningPoint]
    turns: list[Turn]
    notes: list[str]
    model: dict[str, Any] = Field(description="its family, adaptation, threshold, protocol, and scores by corpus")
    interpretation: Interpretation | None = Field(description="null where no words were asked for")


class Health(Answer):
    """Whether recordings can be judged."""

    status: Literal["ready", "loading"]
    waiting: int = Field(description="clips that wait for a worker")
    active: int = Field(description="clips that are judged")


class Fault(Answer):
    """What was wrong."""

    code: str = Field(description="for programs")
    message: str = Field(description="for people")
    accepted: str = Field(description="what would be accepted instead")


class Refusal(Answer):
    """Any answer that is none."""

    error: Fault
