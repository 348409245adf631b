"""What protocols, adaptation and licences mean, in the words that the report and the model card share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from emodag import models
from emodag.bundle import Bundle
from emodag.corpora import get
from emodag.corpora.demo import CORPORA as SYNTHETIC
from emodag.evaluation import FEWEST_SPEAKERS, Human
from emodag.params import Params
from emodag.splits import CROSS_CORPUS, is_leaky

_MEANINGS = {
    "speaker_kfold": "Folds of speakers: every tested voice is new to the model that is tested on it.",
    "loso": "One speaker is left out at a time: every tested voice is new to the model that is tested on it.",
    "emobox": "The folds that EmoBox published: every tested voice is new to the model that is tested on it.",
    "holdout": "Some speakers were set apart: every tested voice is new to the model.",
    CROSS_CORPUS: "A corpus that the shipped model was never trained on: its voices, rooms and acting are new.",
}
_LEAKY = (
    "The same voices train and are tested. Much of this score is recognising voices; it says little about new ones."
)

_ADAPTATION = {
    "none": "Nothing is known of a tested voice before its clip.",
    "recording": "Each clip is normalised by its own frames; no label and no other clip is needed.",
    "speaker": (
        "Each tested speaker's clips are normalised by all of that speaker's clips, without their labels. Whoever uses "
        "the model has to know who speaks, and needs several clips of each voice, in several emotions, for this score."
    ),
}

_LIMITS = (
    "It recognises how emotions are acted or shown in speech, as listeners or directors named them. It does not know "
    "what anybody feels.",
    "Categories are few and the corpora acted. Everyday speech is milder and more mixed, and scores there are lower.",
    "A score holds for voices, rooms, languages and microphones like those tested. Between corpora it usually drops.",
    f"An interval over fewer than {FEWEST_SPEAKERS} speakers is too narrow; over two, it is no more than their two "
    "scores. It covers the choice of speakers only: not that of rooms, sentences or of the person who labelled.",
)

#: How licences begin that leave the use of a model free, and that of a user's own recordings.
_OPEN, _OWN = ("CC0", "CC BY 4.0", "ODbL", "MIT"), "your own"

#: What the model is not for.
MISUSE = (
    "Judging a person: hiring, policing, border control, schools, insurance, credit, health or truthfulness. In the "
    "European Union, inferring emotions at workplaces and in schools is prohibited but for medical and safety reasons "
    "(Regulation (EU) 2024/1689, article 5).",
    "Deciding about one person by one clip. At such scores, errors are common and differ between groups.",
    "Listening to people who do not know of it or have not agreed.",
)


def meaning(protocol: str, *, leaky: bool) -> str:
    """What a protocol says about new voices."""
    return _LEAKY if leaky else _MEANINGS[protocol]


def adaptation(by: str) -> str:
    """What was known of a tested voice, and what that asks of whoever uses the model."""
    return _ADAPTATION[by]


def limits(corpora: Iterable[str]) -> tuple[str, ...]:
    """What scores of models on these corpora do not say."""
    synthetic = [name for name in corpora if name in SYNTHETIC]
    if not synthetic:
        return _LIMITS
    told = f"A synthesiser speaks in {listed(synthetic)}: scores there show that the pipeline works and say nothing"
    return (f"{told} about people.", *_LIMITS)


def model_settings(params: Params) -> str:
    """The settings of the model that was trained, as ``hidden [300], alpha 10.0``."""
    return models.told(getattr(params.models, params.model).model_dump())


def jury(bundle: Bundle) -> str:
    """Who decides about a model without a look at tested clips: voices that it has not learnt from, unless it leaks."""
    leaky = [is_leaky(corpus, bundle.protocol) for corpus in bundle.corpora]
    if not any(leaky):
        return "validation speakers"
    return "validation clips of known voices" if all(leaky) else "validation clips, some of known voices"


def temperature(validated: Mapping[str, float], bundle: Bundle) -> str:
    """Where the temperature comes from; ``validated`` as :func:`emodag.reports.validated` says."""
    return f"fitted to {jury(bundle)}" if validated else "nobody was held out to fit it to"


def by_corpus(shares: Mapping[str, float]) -> str:
    """Shares of 1 by corpus, as ``ravdess 60.7%, savee 40.1%``."""
    return ", ".join(f"{corpus} {share:.1%}" for corpus, share in shares.items())


def beyond(human: Human, known: Sequence[str]) -> str:
    """That listeners answered emotions which a model that knows others could not; empty if they did not."""
    more = [emotion for emotion in human.heard if emotion not in known]
    if not more:
        return ""
    return f" Listeners also heard {listed(more)}, which the model could not answer here: the fewer, the easier."


def sees(bundle: Bundle) -> str:
    """What of speech a model takes."""
    parts = []
    if bundle.names:
        parts.append(f"{len(bundle.names)} features of a clip ({bundle.inputs})")
    if bundle.columns:
        parts.append(f"{len(bundle.columns)} features of each frame ({', '.join(bundle.groups)})")
    if bundle.embedding_columns:
        parts.append(f"{len(bundle.embedding_columns)} dimensions of the encoder's frames")
    if bundle.encoder != "none":
        parts.append(f"encoder {bundle.encoder}")
    return "; ".join(parts)


def bound_by(corpora: Iterable[str]) -> tuple[str, ...]:
    """What the licences of the training corpora ask of a model, in sentences."""
    found = [get(name) for name in corpora]
    told = [f"{corpus.name}: {corpus.licence}" for corpus in found]
    closed = [corpus.name for corpus in found if not corpus.licence.startswith((*_OPEN, _OWN))]
    own = [corpus.name for corpus in found if corpus.licence.startswith(_OWN)]
    if closed:
        told.append(
            f"The model was trained on {listed(closed)}, whose terms allow research and no commerce. It is bound by "
            "them: use it for research only, unless the publishers have given you more."
        )
    if own:
        told.append(f"Of {listed(own)} only its owner knows what it may be used for.")
    if not closed and not own:
        told.append("None of these licences restricts what the model is used for.")
    return tuple(told)


def citations(corpora: Iterable[str]) -> tuple[str, ...]:
    """How to cite corpora, a line for each."""
    return tuple(f"{name}: {get(name).citation}" for name in corpora)


def listed(words: Sequence[str]) -> str:
    """Words as ``a, b and c``."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
