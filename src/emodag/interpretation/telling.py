"""The text that is made from the evidence alone: the same evidence gives the same text, on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from emodag.conversation.telling import clock, counted, shortened
from emodag.interpretation.evidence import PLAIN, Evidence, Moment, Voice, telling
from emodag.labels import UNKNOWN
from emodag.params import Interpret

_LONGEST_QUOTE = 80  # characters
_LEAST_TOLD = 0.05  # of a probability or a share; what is less is left out
_LEAST_SECONDS = 0.05  # of speech that was not judged

CAVEAT = "This tells what a model hears in voices, not what anybody feels."


def text_of(evidence: Evidence, settings: Interpret) -> str:
    """The interpretation, in paragraphs: the finding, each voice, words, what was not judged, what it rests on."""
    paragraphs = [
        f"{evidence.finding}." if not evidence.probabilities else "",
        *(_of_voice(voice, evidence, settings) for voice in evidence.voices),
        _of_words(evidence, settings) if evidence.moments else "",
        _of_the_rest(evidence),
        _of_the_model(evidence),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _sentence(told: str) -> str:
    return f"{told[:1].upper()}{told[1:]}."


def _listed(parts: Sequence[str]) -> str:
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else "".join(parts)


def _of_voice(voice: Voice, evidence: Evidence, settings: Interpret) -> str:
    if evidence.probabilities:
        return " ".join(_of_clip(voice, evidence, settings))
    name = shortened(voice.name)
    said = f"{name} speaks {voice.speech:.1f} s in {counted(voice.turns, 'turn').lower()}"
    if not voice.shares:
        return f"{said}, and nothing of it could be judged."
    shares = [f"{_emotion(each)} {share:.0%}" for each, share in voice.shares.items() if share >= _LEAST_TOLD]
    sentences = [f"{said}; of what was judged, {_listed(shares)}."]
    felt = [each for each in evidence.moments if each.speaker == voice.name and each.emotion not in PLAIN]
    strongest = sorted(felt, key=lambda each: (-each.confidence, each.start))[: settings.examples]
    if strongest:
        told = [f"{each.emotion} at {clock(each.start)} ({each.confidence:.0%})" for each in strongest]
        sentences.append(f"Strongest: {', '.join(told)}.")
    sentences.append(_of_affect(voice, settings))
    points = [point for point in evidence.turning_points if point.speaker == voice.name]
    for point in points[: settings.examples]:
        sentences.append(f"At {clock(point.time)} the voice turns from {point.before} to {point.after}.")
    if len(points) > settings.examples:
        more = len(points) - settings.examples
        sentences.append(f"It turns {more} more {'time' if more == 1 else 'times'}.")
    return " ".join(sentences)


def _of_clip(voice: Voice, evidence: Evidence, settings: Interpret) -> Iterator[str]:
    """Of a recording that is one turn, whose probabilities are all there is."""
    (moment,) = evidence.moments
    (first, highest), *rest = evidence.probabilities.items()
    others = [f"{name} {share:.0%}" for name, share in rest if share >= _LEAST_TOLD]
    less = f"; less likely {_listed(others)}" if others else ""
    if moment.emotion == UNKNOWN:
        yield f"The model is not sure what the voice sounds like: most likely {first} ({highest:.0%}){less}."
    else:
        yield f"The voice sounds {moment.emotion} ({highest:.0%}){less}."
    yield _of_affect(voice, settings)


def _emotion(name: str) -> str:
    return "unclear" if name == UNKNOWN else name


def _of_affect(voice: Voice, settings: Interpret) -> str:
    """Arousal and valence: their course where it is known, else their mean."""
    told = []
    for name in ("arousal", "valence"):
        if voice.course is None:
            told.append(f"{name} {_signed(getattr(voice, name))}")
            continue
        first, last = getattr(voice.course, name)
        if abs(last - first) < settings.change:
            told.append(f"{name} stays about {_signed(getattr(voice, name))}")
        else:
            told.append(f"{name} {'rises' if last > first else 'falls'} from {_signed(first)} to {_signed(last)}")
    over = " from the first to the last third of the speech" if voice.course else ""
    return _sentence(f"{', '.join(told)}{over} (from -1 to 1)")


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # what rounds to zero is not negative


def _of_words(evidence: Evidence, settings: Interpret) -> str:
    if evidence.words == "none":
        return "What is said is not known, so only the voice was judged."
    if evidence.words == "other_language":
        return "The words were not judged: the lexicon reads English only."
    judged = [each for each in evidence.moments if each.accord is not None]
    clear = [each for each in judged if each.accord != "unclear"]
    if not clear:
        return "Voice and words could not be set against each other: one of the two is always near neutral or unsure."
    conflicts = [each for each in clear if each.accord == "conflict"]
    both = "in which both are clear"
    if len(clear) == 1:
        where = f"in the one turn {both}"
    elif len(conflicts) in (0, len(clear)):
        where = f"in all {len(clear)} turns {both}"
    else:
        where = f"in {len(conflicts)} of {len(clear)} turns {both}"
    if not conflicts:
        return f"Voice and words agree {where}."
    told = [_conflict(each) for each in telling(conflicts, settings.examples)]
    return f"Voice and words disagree {where}{': ' if told else ''}{'; '.join(told)}."


def _conflict(moment: Moment) -> str:
    tone = "positive" if (moment.sentiment or 0) > 0 else "negative"
    quoted = shortened(moment.text, _LONGEST_QUOTE)
    return f"at {clock(moment.start)} the words are {tone}, “{quoted}”, the voice {moment.emotion}"


def _of_the_rest(evidence: Evidence) -> str:
    """What was not judged."""
    told = []
    if evidence.unjudged >= _LEAST_SECONDS:
        told.append(f"{evidence.unjudged:.1f} s of speech were not judged: too short, or spoken over.")
    unsure = sum(each.emotion == UNKNOWN for each in evidence.moments)
    if unsure and not evidence.probabilities:
        told.append(f"In {unsure} of {len(evidence.moments)} judged turns the model is not sure.")
    # Of a recording without speech, the note says no more than the finding.
    told += [_sentence(note) for note in evidence.notes if note.lower() != evidence.finding.lower()]
    return " ".join(told)


def _of_the_model(evidence: Evidence) -> str:
    rests = f"It rests on: {'; '.join(evidence.context)}. " if evidence.context else ""
    return rests + CAVEAT
