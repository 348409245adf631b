"""Why a model says what it says of a recording; :mod:`emodag.importance` tells what it goes by over many.

Everything goes through the exported ONNX model, whatever family it is of: something is taken away, to see what becomes
of the probability of an emotion.

- **groups**: Shapley values (Lundberg and Lee 2017, arXiv 1705.07874) of groups of features, and of bands of frames
  over the whole clip, by sampled permutations (Štrumbelj and Kononenko 2014, doi 10.1007/s10115-013-0679-x). What is
  taken away is replaced by that of training clips (:mod:`emodag.background`). With the mean probability of these
  clips, they add up to the clip's own.
- **features**: the same of each single feature.
- **moments**: how much less probable the emotion is when a stretch of the sound is silent.
- **heat**, of models of frames: how much less probable it is when a stretch of some columns is average, occlusion as of
  Zeiler and Fergus (2014, arXiv 1311.2901).

None of this says what makes speech angry or sad: it says what this model goes by. Correlated groups share what each
could say alone, and what is put in place of something makes sounds that nobody has uttered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emodag.adaptation import Adapter, Groups, each_alone
from emodag.audio import SAMPLE_RATE
from emodag.background import CLIPS_OF_EACH, Background
from emodag.bundle import Bundle
from emodag.cleaning import clean
from emodag.errors import AudioError
from emodag.evaluation.calibration import tempered
from emodag.feature_groups import Part, Player, players_of
from emodag.featurizer import Spoken
from emodag.files import atomic_file, write_json
from emodag.labels import UNKNOWN
from emodag.params import FrameGroups
from emodag.recognition import Recogniser, read
from emodag.speech import Speech, gathered, joined, sequences_of

#: Pairs of permutations that Shapley values are averaged over.
_PERMUTATIONS = 8

#: Coalitions whose values are computed at once, and single features that are kept.
_COALITIONS, _FEATURES = 256, 12

#: Stretches of a clip that are taken away: as long as this (s), and at most so many.
_MOMENT, _MOMENTS, _WINDOWS = 0.2, 12, 24

#: Less is not told: it would be rounded to 0.0 points.
_TOLD = 0.0005

_FADE = 0.01  # s, so that silence does not click


class Evidence(NamedTuple):
    """What something adds to the probability of the explained emotion, or takes from it."""

    name: str
    words: str
    points: float  #: of probability, from -1 to 1


class Moment(NamedTuple):
    """A stretch of a recording, from ``start`` to ``end`` (s), and what it adds."""

    start: float
    end: float
    points: float


class Heat(NamedTuple):
    """What stretches of bands add: ``points`` [stretches, bands] between ``edges`` (s) [stretches + 1]."""

    edges: np.ndarray
    bands: tuple[str, ...]
    points: np.ndarray


@dataclass(frozen=True)
class Explanation:
    """Why a model says what it says of one recording. Evidence comes with the strongest first."""

    probabilities: dict[str, float]  #: calibrated, the most probable emotion first
    emotion: str  #: the most probable, or :data:`~emodag.labels.UNKNOWN`
    explained: str  #: the most probable in any case, or what was asked for
    base: float  #: its mean probability over the background; of models of frames, that of the background's mean
    groups: list[Evidence]  #: they and ``base`` add up to its probability
    features: list[
        Evidence
    ]  #: single ones, in words where the clip's value lies; none where the model sees frames alone
    moments: list[Moment]  #: in order of time
    heat: Heat | None  #: of models of frames
    spoken: Spoken
    log_mel: np.ndarray  #: of what is spoken, float32 [frames, bands], for pictures

    def describe(self) -> dict[str, Any]:
        """As JSON, without the sound."""
        found = {key: getattr(self, key) for key in ("emotion", "explained", "probabilities", "base")}
        for key in ("groups", "features", "moments"):
            found[key] = [each._asdict() for each in getattr(self, key)]
        if self.heat:
            found["heat"] = {
                "edges": self.heat.edges.tolist(),
                "bands": list(self.heat.bands),
                "points": self.heat.points.tolist(),
            }
        return found

    def told(self, most: int = 4) -> list[str]:
        """Lines for people: probabilities, then the strongest evidence for and against."""
        width = max(map(len, self.probabilities))
        lines = [f"  {emotion:{width}}  {100 * value:5.1f} %" for emotion, value in self.probabilities.items()]
        if self.emotion != self.explained:
            lines.append(f"not sure enough to say {self.explained}, so: {self.emotion}")
        base, own = 100 * self.base, 100 * self.probabilities[self.explained]
        others = f"the mean of training clips gets {base:.1f} %" if self.heat else f"training clips get {base:.1f} %"
        lines.append(f"why {self.explained}: {others}, this one {own:.1f} %; in between lie (percentage points)")
        lines += [f"  {100 * each.points:+6.1f}  {each.words} ({each.name})" for each in strongest(self.groups, most)]
        if self.features:
            lines.append("the strongest single features")
            lines += [
                f"  {100 * each.points:+6.1f}  {each.name}: {each.words}" for each in strongest(self.features, most)
            ]
        loudest = max(self.moments, key=lambda moment: moment.points)
        if loudest.points > 0:
            lines.append(
                f"it rests most on the sound from {loudest.start:.2f} to {loudest.end:.2f} s: silence there would cost "
                f"{100 * loudest.points:.1f} points"
            )
        return lines


def strongest(evidence: Sequence[Evidence], most: int) -> list[Evidence]:
    """At most so many that speak for it, then as many that speak against it, each with the strongest first."""
    ordered = sorted((each for each in evidence if abs(each.points) >= _TOLD), key=lambda each: -abs(each.points))
    return [each for each in ordered if each.points > 0][:most] + [each for each in ordered if each.points < 0][:most]


def explain(recogniser: Recogniser, background: Background, samples: np.ndarray) -> Explanation:
    """Explain the most probable emotion of a recording; the same recording gives the same explanation.

    Args:
        recogniser: with the model.
        background: of its bundle.
        samples: float32 [samples] at 16 kHz.

    Raises:
        AudioError: the samples are not one channel of finite numbers, or hold no speech.
        DataError: there is no sample, or some are far beyond full scale.
    """
    spoken = recogniser.spoken(samples)
    if not spoken.is_speech:
        raise AudioError("no_speech", "no speech was found, so there is nothing to explain")
    return explain_speech(recogniser, background, spoken)


def explain_speech(
    recogniser: Recogniser,
    background: Background,
    spoken: Spoken,
    *,
    emotion: str | None = None,
    beside: Speech | None = None,
) -> Explanation:
    """Explain one emotion of a clip whose speech is found.

    Args:
        recogniser: with the model.
        background: of its bundle, or of another that was trained on the same clips.
        spoken: the clip.
        emotion: which is explained; the most probable without it.
        beside: other clips of its voice before adaptation, for a model that adapts to voices; without them, the clip
            stands alone.
    """
    bundle = recogniser.bundle
    speech = recogniser.speech([spoken])
    voice = _Voice(bundle.adapter, beside)
    recognised = recogniser.of_speech(*voice.known(speech))
    probabilities = dict(zip(bundle.classes, recognised.probabilities[0].tolist(), strict=True))
    explained = emotion or max(probabilities, key=probabilities.get)
    adapted = voice.adapted(speech)
    probability = _Probability(bundle, bundle.classes.index(explained))

    players = players_of(bundle)
    points, base = shapley(_Game(probability, adapted, background, players), len(players), _PERMUTATIONS)
    groups = [Evidence(player.name, player.words, value) for player, value in zip(players, points, strict=True)]
    return Explanation(
        probabilities=dict(sorted(probabilities.items(), key=lambda item: -item[1])),
        emotion=recognised.emotions[0],
        explained=explained,
        base=base,
        groups=sorted(groups, key=lambda each: -abs(each.points)),
        features=_single_features(probability, adapted, background),
        moments=_moments(recogniser, probability, voice, spoken, probabilities[explained]),
        heat=_heat(probability, adapted, background, players, spoken, probabilities[explained]),
        spoken=spoken,
        log_mel=_log_mel(recogniser, spoken),
    )


def write(file: Path, recogniser: Recogniser, background: Background, out: Path) -> tuple[Explanation, list[Path]]:
    """Explain a recording; write ``<name>.explanation.png`` and ``<name>.explanation.json`` into a folder.

    Args:
        file: of any format.
        recogniser: with the model.
        background: of its bundle.
        out: is made if it is not there.

    Returns:
        The explanation, and what was written.

    Raises:
        AudioError: the file cannot be decoded, or holds no speech.
    """
    from emodag import plots

    bundle, samples = recogniser.bundle, read(file)
    try:
        explanation = explain(recogniser, background, samples)
    except AudioError as error:
        raise AudioError(error.reason, f"{file}: {error.detail}") from None
    share = f"{explanation.probabilities[explanation.explained]:.0%}"
    verdict = f"{explanation.emotion}; best guess " if explanation.emotion == UNKNOWN else ""
    figure = plots.explanation_figure(
        explanation,
        title=f"{file.name}: {verdict}{explanation.explained}, {share}",
        notes=[
            f"{bundle.model} trained on {', '.join(bundle.corpora)}",
            f"what speaks for {explanation.explained} in its colour, what speaks against it hatched",
            "waveform: what silence there would cost",
        ],
    )
    picture, table = (out / f"{file.name}.explanation.{kind}" for kind in ("png", "json"))
    with atomic_file(picture) as path:
        plots.save(figure, path)
    write_json(table, {"file": file.name} | explanation.describe())
    return explanation, [picture, table]


class _Voice(NamedTuple):
    """A voice of which some clips are known beside the one that is explained."""

    adapter: Adapter
    beside: Speech | None

    def known(self, clip: Speech) -> tuple[Speech, Groups]:
        """A clip, and after it all others that are known."""
        if self.beside is None:
            return clip, each_alone(1)
        count = 1 + len(self.beside)
        return joined([clip, self.beside]), Groups(np.zeros(count, int), np.full(count, True))

    def adapted(self, variants: Speech) -> Speech:
        """Variants of the clip after adaptation, each as if it were the only one."""
        each = (variants.of(slice(number, number + 1)) for number in range(len(variants)))
        return joined([gathered(self.adapter(*self.known(gathered(one))).of(slice(0, 1))) for one in each])


class _Probability(NamedTuple):
    """The calibrated probability of one emotion."""

    bundle: Bundle
    emotion: int

    def __call__(self, adapted: Speech) -> np.ndarray:
        """Of each clip, float64 [clips]."""
        return tempered(self.bundle.run(adapted), self.bundle.temperature)[:, self.emotion]


class _Game:
    """The probability of an emotion when only some players of a clip are there: the value of a coalition.

    Features that are away come from each background clip in turn, and the mean over these counts. Models of frames are
    too slow for that: there, the mean features and the mean frame stand in.
    """

    def __init__(self, probability: _Probability, clip: Speech, background: Background, players: Sequence[Player]):
        self._probability = probability
        self._clip = clip
        self._players = players
        self._means = {"frames": background.frames, "embedding_frames": background.embedding_frames}
        self._only_features = clip.frames is None and clip.embedding_frames is None
        self._features = background.features
        if not self._only_features:
            self._features = background.features.mean(axis=0, keepdims=True)

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        """Values, float64 [coalitions], of who is there, bool [coalitions, players]."""
        present = np.asarray(coalitions, bool)
        values = [
            self._values(block) for block in np.array_split(present, range(_COALITIONS, len(present), _COALITIONS))
        ]
        return np.concatenate(values)

    def _values(self, present: np.ndarray) -> np.ndarray:
        parts: dict[str, Any] = {}
        if self._clip.features is not None:
            there = self._columns(present, "features", self._features.shape[1])
            features = np.where(there[:, None], self._clip.features, self._features)
            parts["features"] = features.reshape(-1, features.shape[2])
        for part, mean in self._means.items():
            if (sequences := getattr(self._clip, part)) is not None:
                there = self._columns(present, part, len(mean))
                parts[part] = sequences_of([np.where(each, sequences[0], mean) for each in there], sequences.columns)
        return self._probability(replace(self._clip, **parts)).reshape(len(present), -1).mean(axis=1)

    def _columns(self, present: np.ndarray, part: Part, columns: int) -> np.ndarray:
        """Which columns of a part are there, bool [coalitions, columns]."""
        there = np.zeros((len(present), columns), bool)
        for number, player in enumerate(self._players):
            if player.part == part:
                there[:, player.columns] = present[:, number, None]
        return there


def shapley(value: Callable[[np.ndarray], np.ndarray], players: int, permutations: int) -> tuple[list[float], float]:
    """The Shapley values of a game's players, and the value of nobody; together they are the value of all.

    Args:
        value: of coalitions, bool [coalitions, players]: float [coalitions].
        players: how many there are.
        permutations: pairs of them, one the other's reverse.
    """
    import shap

    # Who is away is 0. A function, since the masker that shap would make of an array is compiled for seconds.
    explainer = shap.PermutationExplainer(value, lambda mask, clip: (mask * clip)[np.newaxis], seed=0)
    found = explainer(np.ones((1, players)), max_evals=permutations * (2 * players + 1), silent=True)
    return found.values[0].tolist(), float(found.base_values[0])


def _single_features(probability: _Probability, adapted: Speech, background: Background) -> list[Evidence]:
    """The strongest single features by one pair of permutations, against one background clip of each emotion."""
    if adapted.features is None or adapted.frames is not None or adapted.embedding_frames is not None:
        return []
    names = probability.bundle.names
    players = [Player(name, name, "features", np.array([column])) for column, name in enumerate(names)]
    fewer = replace(background, features=background.features[::CLIPS_OF_EACH])
    points, _ = shapley(_Game(probability, adapted, fewer, players), len(players), 1)
    chosen = np.argsort(-np.abs(points), kind="stable")[:_FEATURES]
    places = [_place(adapted.features[0, number], background.features[:, number]) for number in chosen]
    return [
        Evidence(names[number], f"{place} of training clips", points[number])
        for number, place in zip(chosen, places, strict=True)
    ]


def _place(value: float, usual: np.ndarray) -> str:
    """Where a value lies among those of training clips, [clips]."""
    lower, higher = (usual < value).mean(), (usual > value).mean()
    return f"higher than in {lower:.0%}" if lower >= higher else f"lower than in {higher:.0%}"


def _moments(
    recogniser: Recogniser, probability: _Probability, voice: _Voice, spoken: Spoken, whole: float
) -> list[Moment]:
    """What stretches of the sound add; the turns stay where they are."""
    length = len(spoken.samples)
    count = int(np.clip(round(length / (_MOMENT * SAMPLE_RATE)), 1, _MOMENTS))
    edges = np.linspace(0, length, count + 1).round().astype(int)
    silenced = [spoken._replace(samples=_silenced(spoken.samples, *stretch)) for stretch in pairwise(edges)]
    seconds = spoken.start + edges / SAMPLE_RATE
    points = whole - probability(voice.adapted(recogniser.speech(silenced)))
    return [Moment(*map(float, each)) for each in zip(seconds[:-1], seconds[1:], points, strict=True)]


def _silenced(samples: np.ndarray, start: int, end: int) -> np.ndarray:
    """The samples with silence from ``start`` to ``end``, faded inside."""
    fade = min(round(_FADE * SAMPLE_RATE), (end - start) // 2)
    gain = np.zeros(end - start, np.float32)
    gain[:fade] = np.linspace(1, 0, fade, endpoint=False)
    gain[len(gain) - fade :] = gain[:fade][::-1]
    silenced = samples.copy()
    silenced[start:end] *= gain
    return silenced


def _heat(
    probability: _Probability,
    adapted: Speech,
    background: Background,
    players: Sequence[Player],
    spoken: Spoken,
    whole: float,
) -> Heat | None:
    """What stretches of the bands of frames add; nothing for a model that sees none."""
    bands = [player for player in players if player.part != "features"]
    if not bands:
        return None
    seconds = len(spoken.samples) / SAMPLE_RATE
    count = int(np.clip(round(seconds / _MOMENT * 2), 1, _WINDOWS))
    shares = np.linspace(0, 1, count + 1)
    points = np.empty((count, len(bands)))
    for number, band in enumerate(bands):
        sequences, mean = getattr(adapted, band.part), getattr(background, band.part)
        clips = []
        for start, end in pairwise(shares):
            frames = sequences[0].copy()
            rows = slice(round(start * len(frames)), round(end * len(frames)))
            frames[rows, band.columns] = mean[band.columns]
            clips.append(frames)
        repeated = adapted.of(np.zeros(count, int))
        points[:, number] = whole - probability(
            replace(repeated, **{band.part: sequences_of(clips, sequences.columns)})
        )
    return Heat(spoken.start + shares * seconds, tuple(band.name for band in bands), points)


def _log_mel(recogniser: Recogniser, spoken: Spoken) -> np.ndarray:
    """Log-mel of the speech as the model hears it, float32 [frames, bands]."""
    from emodag.features import spectral

    only = FrameGroups(**{group: group == "log_mel" for group in FrameGroups.model_fields})
    samples = clean(spoken.samples, recogniser.featurize.clean)
    return spectral.frames(samples, recogniser.featurize.model_copy(update={"frames": only}))
