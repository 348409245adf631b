"""The embedded demo corpora: carrier sentences spoken by eSpeak NG with emotional prosody.

An emotion is a displacement from neutral speech in pitch, range, rate, level, spectral tilt, voice quality and contour,
after published acoustic correlates:

- F. Burkhardt, W. F. Sendlmeier (2000): Verification of acoustical correlates of emotional speech using
  formant-synthesis. ISCA Workshop on Speech and Emotion, 151-156.
- I. R. Murray, J. L. Arnott (1993): Toward the simulation of emotion in synthetic speech. J. Acoust. Soc. Am. 93(2),
  1097-1108, table I.
- K. R. Scherer (2003): Vocal communication of emotion. Speech Communication 40, 227-256, table 2.
- The rules of these and other synthesisers (Cahn 1990 for surprise) side by side: M. Schröder (2001): Emotional speech
  synthesis: a review. Eurospeech, 561-564.

People differ in how, and how strongly, they show what they feel, and one person does from time to time. So each speaker
has a strength and a manner of their own for each emotion, each take varies around them, and some takes are weak or
mixed with another emotion. All is drawn from the seed, and what is heard depends on nothing else: one seed gives
the same bytes on every run and machine. (eSpeak computes in integers. What is done to its samples here is a handful
of IEEE additions and multiplications, rounded to 16 bits.)
"""

from __future__ import annotations

import hashlib
import math
import tempfile
import wave
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from emodag.errors import CorpusError
from emodag.espeak import SAMPLE_RATE, Voice, formants, speak, variant, voices_folder, with_attributes
from emodag.files import atomic_directory
from emodag.parallel import parallel_map


@dataclass(frozen=True)
class Prosody:
    """How speech differs from a speaker's neutral speech."""

    pitch: float = 0.0  # semitones
    range: float = 0.0  # octaves of the ratio of pitch ranges: 1 doubles the range
    rate: float = 0.0  # octaves of the ratio of rates: -1 takes twice as long
    level: float = 0.0  # dB
    tilt: float = 0.0  # dB at 3 kHz against 500 Hz
    breath: float = 0.0  # eSpeak's aspiration noise
    flutter: float = 0.0  # eSpeak's slow, irregular pitch modulation: tremor
    roughness: float = 0.0  # eSpeak's cycle-to-cycle irregularity, 0 to 7: laryngealisation
    formants: float = 0.0  # octaves, of F1 and F2
    slope: float = 0.0  # semitones from the first word to the last
    accent: float = 0.0  # semitones of content words above function words
    pause: float = 0.0  # units of 10 ms between words

    def vector(self) -> np.ndarray:
        """All differences, float64 ``[fields]``."""
        return np.array([getattr(self, field.name) for field in fields(self)])


#: Full expression of each emotion. What the sources give in % is in octaves or semitones here. A wider range lifts the
#: mean by itself, so joy and surprise need less of ``pitch`` to reach the published level. Fear is held to two thirds
#: of the published interval, which would take high voices beyond 500 Hz.
EMOTIONS: Mapping[str, Prosody] = MappingProxyType(
    {
        "neutral": Prosody(),
        # Burkhardt and Sendlmeier: F0 +50 %, range +100 %, tempo +30 %, formants +10 % (spread lips), stressed
        # syllables raised and those between lowered. Murray and Arnott: intensity higher, smooth upward inflections.
        "happy": Prosody(
            pitch=5.5, range=1.0, rate=0.38, level=4.0, tilt=2.0, formants=0.14, slope=1.5, accent=2.0, pause=-1.0
        ),
        # Murray and Arnott: pitch slightly lower, range slightly narrower, slower, intensity lower, downward
        # inflections. Scherer: less energy at high frequencies. Burkhardt and Sendlmeier: breathy. Cahn: pauses.
        "sad": Prosody(
            pitch=-2.0, range=-1.5, rate=-0.35, level=-7.0, tilt=-8.0, breath=7.0, flutter=2.0, slope=-1.0, pause=2.0
        ),
        # Murray and Arnott: pitch very much higher, range much wider, slightly faster, +6 dB, abrupt changes on
        # stressed syllables; their synthesiser's laryngealisation. Scherer: more energy at high frequencies.
        "angry": Prosody(
            pitch=4.5, range=0.8, rate=0.25, level=8.0, tilt=7.0, roughness=3.0, slope=-1.0, accent=3.0, pause=-1.0
        ),
        # Burkhardt and Sendlmeier: F0 +150 %, range +20 %, tempo +30 %, falsetto. Murray and Arnott: intensity normal,
        # irregular voicing.
        "fearful": Prosody(
            pitch=11.0, range=0.26, rate=0.45, level=1.0, tilt=-2.0, breath=5.0, flutter=30.0, slope=1.0
        ),
        # Murray and Arnott: pitch very much lower, range slightly wider, very much slower, intensity lower, grumbled
        # chest tone, wide downward terminal inflections.
        "disgust": Prosody(
            pitch=-4.0,
            range=0.3,
            rate=-0.5,
            level=-3.0,
            tilt=-4.0,
            roughness=5.0,
            formants=-0.12,
            slope=-5.0,
            accent=1.5,
        ),
        # Cahn: steeply rising contour, much wider range, louder, less brilliance, somewhat faster. Pitch level and
        # breath as in joy, its neighbour.
        "surprised": Prosody(pitch=7.0, range=1.3, rate=0.1, level=4.0, tilt=-3.0, breath=5.0, slope=9.0, accent=1.0),
    }
)

#: Standard deviations of a speaker's own manner in each emotion, and again of each take around it.
SPREAD = Prosody(
    pitch=0.6,
    range=0.1,
    rate=0.04,
    level=0.7,
    tilt=0.7,
    breath=0.6,
    flutter=2.0,
    roughness=0.4,
    formants=0.01,
    slope=0.6,
    accent=0.4,
    pause=0.4,
)

_WEAK_TAKES = 0.1  # of all takes
_MIXED_TAKES = 0.12


class Script(NamedTuple):
    """What a demo corpus says, and in which language: sentences that fit any emotion."""

    voice: Voice
    sentences: tuple[str, ...]


SCRIPTS: Mapping[str, Script] = MappingProxyType(
    {
        "demo_en": Script(
            Voice("en-us", "gmw/en-US", "en_dict"),
            (
                "The blue folder is lying on the second shelf",
                "They will deliver the table on Thursday afternoon",
                "The train to the coast is leaving from platform nine",
                "She has put the letter next to the window",
                "We have moved the meeting to the other building",
                "The keys are hanging behind the kitchen door",
                "He has walked along the river to the station",
                "There are four more chairs in the garden",
                "My brother is coming back with the car at seven",
                "The new number is written under the map",
            ),
        ),
        "demo_de": Script(
            Voice("de", "gmw/de", "de_dict"),
            (
                "Der blaue Ordner steht auf dem zweiten Regal",
                "Am Donnerstag wird der neue Tisch geliefert",
                "Der Zug an die Küste fährt von Gleis neun",
                "Sie hat den Brief neben das Fenster gelegt",
                "Wir haben das Treffen in das andere Haus verlegt",
                "Die Schlüssel hängen hinter der Küchentür",
                "Er ist am Fluss entlang zum Bahnhof gegangen",
                "Im Garten stehen noch vier weitere Stühle",
                "Mein Bruder kommt um sieben mit dem Auto zurück",
                "Die neue Nummer steht unter der Landkarte",
            ),
        ),
    }
)

_VARIANTS = {"f": ("f1", "f2", "f3", "f4", "f5"), "m": ("m1", "m2", "m3", "m4", "m6", "m5", "m8", "m7")}
_NEUTRAL_PITCH = {"f": 195.0, "m": 110.0}  # Hz

#: eSpeak's default tone, Hz -> height, with the share of the tilt that each point takes.
_TONE = {600: (170, 0.0), 1200: (135, 0.5), 2000: (110, 0.8), 3000: (110, 1.0)}

# One step of eSpeak's embedded pitch command (measured), and its value for the voice's own pitch.
_SEMITONES_PER_STEP = 0.18
_PITCH_UNCHANGED = 50

_DISTANCE = 1.5  # dB, standard deviation of the distance to the microphone

_QUESTION_SLOPE = 4.0  # semitones; a steeper rise ends as eSpeak's questions do


@dataclass(frozen=True)
class Speaker:
    """A voice, a room and a temperament.

    Attributes:
        name: ``f01``, ``m02``: the first letter is the sex.
        pitch: in neutral speech, Hz.
        range: of neutral pitch, semitones.
        rate: of neutral speech, words per minute.
        tract: formant frequencies against those of the variant.
        breath, flutter, roughness, tilt: of the neutral voice, as in :class:`Prosody`.
        level: RMS of neutral speech, dBFS.
        noise: of the recording, dBFS.
        level_share: of a difference in level that the recording keeps, because its gain follows the voice.
        microphone: coefficient of a first-order filter, positive for a dull one.
        manner: for each emotion, what the speaker does besides what everybody does.
        strength: for each emotion, 1 for full expression.
    """

    name: str
    variant: str
    pitch: float
    range: float
    rate: float
    tract: float
    breath: float
    flutter: float
    roughness: float
    tilt: float
    level: float
    noise: float
    level_share: float
    microphone: float
    manner: Mapping[str, Prosody]
    strength: Mapping[str, float]


@dataclass(frozen=True)
class Take:
    """One recording to make: who says what, how, and where it goes."""

    path: str
    speaker: Speaker
    voice: Voice
    text: str
    delivery: Prosody
    seed: int


class Summary(NamedTuple):
    """What was made: ``digest`` is the SHA-256 of all file names and contents, ``seconds`` the audio's length."""

    clips: int
    speakers: int
    seconds: float
    digest: str


def _generator(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng(
        [seed, int(hashlib.md5("/".join(names).encode(), usedforsecurity=False).hexdigest(), 16)]
    )


def _deviation(draw: np.random.Generator) -> Prosody:
    spread = SPREAD.vector()
    return Prosody(*(draw.normal(size=len(spread)) * spread).tolist())


def _speaker(corpus: str, name: str, seed: int) -> Speaker:
    draw = _generator(seed, corpus, name)
    sex, number = name[0], int(name[1:])
    variants = _VARIANTS[sex]
    expressiveness = draw.uniform(0.9, 1.15)
    return Speaker(
        name=name,
        variant=variants[(number - 1) % len(variants)],
        pitch=_NEUTRAL_PITCH[sex] * 2 ** (draw.normal(0, 1.5) / 12),
        range=draw.uniform(4.0, 7.0),
        rate=draw.uniform(170, 200),
        tract=2 ** draw.normal(0, 0.03),
        breath=draw.uniform(0, 3),
        flutter=draw.uniform(0, 5),
        roughness=draw.uniform(0, 2),
        tilt=draw.normal(0, 0.7),
        level=-26 + draw.normal(0, 1.2),
        noise=draw.uniform(-66, -58),
        level_share=draw.uniform(0.4, 0.8),
        microphone=draw.uniform(-0.05, 0.15),
        manner={emotion: _deviation(draw) for emotion in EMOTIONS},
        strength={emotion: expressiveness * draw.uniform(0.8, 1.1) for emotion in EMOTIONS},
    )


def _delivery(speaker: Speaker, emotion: str, draw: np.random.Generator) -> Prosody:
    target = EMOTIONS[emotion].vector()
    if draw.random() < _MIXED_TAKES:
        other = EMOTIONS[list(EMOTIONS)[draw.integers(len(EMOTIONS))]].vector()
        share = draw.uniform(0.2, 0.5)
        target = (1 - share) * target + share * other
    effort = draw.uniform(0.1, 0.5) if draw.random() < _WEAK_TAKES else draw.uniform(0.8, 1.15)
    difference = effort * speaker.strength[emotion] * target
    return Prosody(*(difference + speaker.manner[emotion].vector() + _deviation(draw).vector()).tolist())


def plan(corpus: str, *, speakers: int, takes: int, seed: int) -> list[Take]:
    """Every recording of a demo corpus: ``takes`` of each emotion by each speaker, every other speaker female.

    A speaker says the same sentences in every emotion, so that words do not give the emotion away.

    Raises:
        CorpusError: there is no such demo corpus.
    """
    if corpus not in SCRIPTS:
        raise CorpusError(f"no demo corpus {corpus!r}; there are: {', '.join(SCRIPTS)}")
    script = SCRIPTS[corpus]
    planned = []
    for index in range(speakers):
        name = f"{'fm'[index % 2]}{index // 2 + 1:02d}"
        speaker = _speaker(corpus, name, seed)
        texts = _generator(seed, corpus, name, "texts").permutation(len(script.sentences))
        for emotion in EMOTIONS:
            for take in range(takes):
                text = int(texts[take % len(texts)])
                stem = f"{name}_{emotion}_t{text + 1:02d}_{take + 1:02d}"
                draw = _generator(seed, corpus, stem)
                planned.append(
                    Take(
                        path=f"{name}/{stem}.wav",
                        speaker=speaker,
                        voice=script.voice,
                        text=script.sentences[text],
                        delivery=_delivery(speaker, emotion, draw),
                        seed=int(draw.integers(1, 2**31)),
                    )
                )
    return planned


def _within(low: float, value: float, high: float) -> int:
    return round(min(max(value, low), high))


def _amplitude(decibels: float) -> float:
    return 10 ** (decibels / 20)


def _with_contour(sentence: str, slope: float, accent: float, draw: np.random.Generator) -> str:
    """The sentence with a pitch command before each word: a straight line, content words raised above the others."""
    words = sentence.split()
    spoken = []
    for index, word in enumerate(words):
        position = index / max(1, len(words) - 1) - 0.5
        stress = 0.5 if len(word) > 3 else -0.5
        semitones = slope * position + accent * stress + draw.normal(0, 0.4)
        step = _within(0, _PITCH_UNCHANGED + semitones / _SEMITONES_PER_STEP, 99)
        spoken.append(f"\x01{step}P{word}")
    return " ".join(spoken) + ("?" if slope > _QUESTION_SLOPE else ".")


def _definition(speaker: Speaker, delivery: Prosody) -> str:
    """The speaker's voice in this delivery, as an eSpeak voice variant."""
    own = variant(speaker.variant)
    lines = []
    for number, (frequency, *rest) in sorted(formants(own).items()):
        scale = speaker.tract * (2**delivery.formants if number in (1, 2) else 1)
        lines.append(" ".join(str(round(value)) for value in (number, frequency * scale, *rest)))
    middle = min(max(speaker.pitch * 2 ** (delivery.pitch / 12), 50), 520)
    half = speaker.range / 24 * 2 ** min(max(delivery.range, -2), 1.5)
    tilt = speaker.tilt + delivery.tilt
    heights = [_within(5, height * _amplitude(share * tilt), 255) for height, share in _TONE.values()]
    breath = _within(0, speaker.breath + delivery.breath, 20)
    return with_attributes(
        own,
        formant=lines,
        pitch=f"{round(middle * 2**-half)} {round(middle * 2**half)}",
        tone=" ".join(f"{frequency} {height}" for frequency, height in zip(_TONE, heights, strict=True)),
        breath=" ".join(str(value) for value in (0, *[breath] * 7)),
        flutter=str(_within(0, speaker.flutter + delivery.flutter, 40)),
        roughness=str(_within(0, speaker.roughness + delivery.roughness, 7)),
    )


def _record(speech: np.ndarray, take: Take, draw: np.random.Generator) -> np.ndarray:
    """What the speaker's microphone makes of the synthesiser's int16 samples: int16 ``[samples]``, with quiet ends."""
    speaker = take.speaker
    voiced = speech[np.flatnonzero(speech)[0] : np.flatnonzero(speech)[-1] + 1].astype(np.float64)
    filtered = voiced.copy()
    filtered[1:] += speaker.microphone * voiced[:-1]
    # Exact in integers, where a sum of floats would depend on its order.
    energy = int(np.sum(np.rint(filtered).astype(np.int64) ** 2))
    distance = draw.normal(0, _DISTANCE)
    target = 32768 * _amplitude(speaker.level + speaker.level_share * take.delivery.level + distance)
    gain = target / math.sqrt(energy / len(filtered))
    gain = min(gain, 32000 / float(np.max(np.abs(filtered))))
    before, after = (round(SAMPLE_RATE * draw.uniform(0.1, 0.35)) for _ in range(2))
    # The sum of two uniform integers from -a to a has the variance 2 a (a + 1) / 3.
    amplitude = max(1, round(32768 * _amplitude(speaker.noise) * math.sqrt(1.5)))
    noise = draw.integers(-amplitude, amplitude, size=(2, before + len(filtered) + after), endpoint=True).sum(axis=0)
    recording = noise.astype(np.float64)
    recording[before : before + len(filtered)] += gain * filtered
    return np.clip(np.rint(recording), -32768, 32767).astype(np.int16)


def render(take: Take, voices: Path) -> np.ndarray:
    """The recording that ``take`` plans: int16 ``[samples]`` at 22.05 kHz.

    ``voices`` comes from :func:`emodag.espeak.voices_folder`.
    """
    draw = np.random.default_rng(take.seed)
    delivery = take.delivery
    speech = speak(
        _with_contour(take.text, delivery.slope, delivery.accent, draw),
        take.voice,
        _definition(take.speaker, delivery),
        voices,
        rate=_within(85, take.speaker.rate * 2**delivery.rate, 330),
        word_gap=_within(0, delivery.pause, 8),
        seed=take.seed,
    )
    return _record(speech, take, draw)


def _write(take: Take, voices: Path, folder: Path) -> tuple[str, int]:
    samples = render(take, voices).astype("<i2")
    # The standard library's writer, because its header does not change from release to release.
    with wave.open(str(folder / take.path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return hashlib.sha256((folder / take.path).read_bytes()).hexdigest(), len(samples)


def synthesize(
    corpus: str, folder: str | Path, *, speakers: int = 12, takes: int = 5, seed: int = 0, jobs: int = 1
) -> Summary:
    """Make a demo corpus in ``folder``, in place of what is there.

    Files are named ``<speaker>/<speaker>_<emotion>_<text>_<take>.wav``.

    Raises:
        CorpusError: there is no such demo corpus.
        EspeakError: eSpeak NG cannot be loaded, or lacks a voice.
    """
    planned = plan(corpus, speakers=speakers, takes=takes, seed=seed)
    with (
        atomic_directory(folder) as partial_folder,
        tempfile.TemporaryDirectory(prefix="emodag-") as temporary,
        voices_folder(Path(temporary) / "voices", SCRIPTS[corpus].voice) as voices,
    ):
        for take in planned:
            (partial_folder / take.path).parent.mkdir(exist_ok=True)
        written = list(
            parallel_map(
                partial(_write, voices=voices, folder=partial_folder), planned, jobs=jobs, description=f"speak {corpus}"
            )
        )
    digest = hashlib.sha256()
    for take, (content, _) in zip(planned, written, strict=True):
        digest.update(f"{take.path} {content}\n".encode())
    return Summary(
        clips=len(planned),
        speakers=speakers,
        seconds=sum(samples for _, samples in written) / SAMPLE_RATE,
        digest=digest.hexdigest(),
    )
