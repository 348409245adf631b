"""The demo corpora: the same bytes everywhere, and emotions that sound as the literature says."""

from __future__ import annotations

import wave
from collections import Counter, defaultdict
from pathlib import PurePosixPath

import numpy as np
import pytest

from emodag import params
from emodag.corpora.demo import CORPORA
from emodag.errors import CorpusError
from emodag.espeak import SAMPLE_RATE, EspeakError
from emodag.synthesis import EMOTIONS, SCRIPTS, plan, synthesize

# Of the corpora that the default params make. Made alike on every machine: a difference means that a machine or a
# release of eSpeak NG or numpy computes differently, or that the prosody was changed on purpose.
DIGESTS = {
    "demo_en": "b6f123759e05cb85c210685823b40eb6f8790181c8f91c82b38fafa1f1cdec44",
    "demo_de": "9b0e37ec63244d99265fcc0ec4e62e894b92726c6a3ebb94948a9f25e1ccf7ae",
}
SMALL = {"speakers": 2, "takes": 1}


@pytest.fixture(scope="module")
def defaults():
    return params.load()


@pytest.fixture(scope="module")
def made(tmp_path_factory, defaults):
    """Both corpora by the default params: name -> (folder, summary)."""
    root = tmp_path_factory.mktemp("raw")
    settings = {"speakers": defaults.synthesize.speakers, "takes": defaults.synthesize.takes, "seed": defaults.seed}
    return {name: (root / name, synthesize(name, root / name, jobs=0, **settings)) for name in SCRIPTS}


def samples_of(path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SAMPLE_RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@pytest.mark.parametrize("corpus", SCRIPTS)
def test_the_default_corpus_is_the_same_on_every_machine(made, corpus):
    assert made[corpus][1].digest == DIGESTS[corpus]


@pytest.mark.parametrize("corpus", SCRIPTS)
def test_every_file_is_a_clip_of_the_corpus(made, corpus):
    folder, summary = made[corpus]
    names = [PurePosixPath(path.relative_to(folder).as_posix()) for path in folder.rglob("*.*")]
    clips = [CORPORA[corpus].parse(name) for name in names]
    assert len(clips) == summary.clips >= 420
    assert len({clip.stem for clip in clips}) == len(clips)
    assert set(Counter(clip.emotion for clip in clips).values()) == {len(clips) // 7}
    assert set(Counter(clip.speaker for clip in clips).values()) == {35}
    sexes = dict.fromkeys((clip.speaker, clip.sex) for clip in clips)
    assert Counter(sex for _, sex in sexes) == {"female": 6, "male": 6}
    assert len({clip.text_id for clip in clips}) == 10


@pytest.mark.parametrize("corpus", SCRIPTS)
def test_every_clip_is_audible_unclipped_and_of_a_sentence_s_length(made, corpus):
    folder, summary = made[corpus]
    lengths = []
    for path in folder.rglob("*.wav"):
        samples = samples_of(path)
        lengths.append(len(samples) / SAMPLE_RATE)
        assert 500 < np.max(np.abs(samples.astype(int))) < 32767, path.name
    assert sum(lengths) == pytest.approx(summary.seconds)
    assert min(lengths) > 1.2
    assert max(lengths) < 5.0
    assert 2.0 < np.median(lengths) < 3.0


@pytest.mark.parametrize("corpus", SCRIPTS)
def test_words_do_not_give_the_emotion_away(corpus):
    texts = defaultdict(lambda: defaultdict(list))
    for take in plan(corpus, speakers=12, takes=5, seed=0):
        speaker, emotion, text, _ = PurePosixPath(take.path).stem.split("_")
        texts[speaker][emotion].append(text)
    for by_emotion in texts.values():
        assert len(by_emotion) == 7
        assert len({tuple(sorted(said)) for said in by_emotion.values()}) == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_number_of_processes_and_what_stood_there_do_not_matter(tmp_path, jobs, reference):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "stale.wav").write_bytes(b"of an earlier run")
    assert synthesize("demo_de", tmp_path / "corpus", seed=3, jobs=jobs, **SMALL) == reference
    assert not (tmp_path / "corpus" / "stale.wav").exists()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return synthesize("demo_de", tmp_path_factory.mktemp("reference") / "corpus", seed=3, **SMALL)


def test_another_seed_speaks_differently(tmp_path, reference):
    assert synthesize("demo_de", tmp_path / "corpus", seed=4, **SMALL).digest != reference.digest


def test_speakers_and_takes_differ():
    takes = plan("demo_en", speakers=12, takes=5, seed=0)
    assert len({take.speaker.pitch for take in takes}) == 12
    assert len({take.delivery for take in takes}) == len(takes)
    assert len({take.seed for take in takes}) == len(takes)


def test_more_speakers_leave_the_first_ones_as_they_are():
    few, many = (plan("demo_en", speakers=speakers, takes=2, seed=0) for speakers in (10, 12))
    assert many[: len(few)] == few


def test_an_unknown_corpus_is_named_with_those_there_are(tmp_path):
    with pytest.raises(CorpusError, match=r"'demo_fr'.*demo_en, demo_de"):
        synthesize("demo_fr", tmp_path / "corpus")


def test_a_failure_leaves_what_stood_there(tmp_path, monkeypatch):
    import espeakng_loader

    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "old.wav").write_bytes(b"old")
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "missing.so"))
    with pytest.raises(EspeakError, match=r"missing\.so"):
        synthesize("demo_en", tmp_path / "corpus", **SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["corpus", "old.wav"]


def fundamental(speech: np.ndarray) -> float:
    """Median F0 in Hz, by the highest peak of the normalised autocorrelation of 46 ms frames."""
    frame, hop = 1024, 3072
    low, high = SAMPLE_RATE // 500, SAMPLE_RATE // 60
    found = []
    for start in range(0, len(speech) - frame - high, hop):
        fixed = speech[start : start + frame]
        moved = np.lib.stride_tricks.sliding_window_view(speech[start : start + frame + high], frame)
        energy = fixed @ fixed
        similarity = (moved @ fixed) / np.sqrt(energy * np.einsum("lf,lf->l", moved, moved) + 1e-9)
        # The shortest of the lags that are about as good as the best, lest a period counts twice.
        best = similarity[low:high].max()
        if best > 0.7 and energy / frame > 0.02 * np.mean(speech**2):
            peaks = np.flatnonzero(
                (similarity[low:high] > 0.9 * best)
                & (similarity[low:high] >= similarity[low - 1 : high - 1])
                & (similarity[low:high] >= similarity[low + 1 : high + 1])
            )
            found.append(SAMPLE_RATE / (low + peaks[0]) if len(peaks) else np.nan)
    return float(np.nanmedian(found))


@pytest.fixture(scope="module")
def heard(made):
    """corpus -> emotion -> what is measured of it against the same speakers' neutral speech, means over speakers."""
    result = {}
    for corpus, (folder, _) in made.items():
        measured = defaultdict(dict)
        for emotion in EMOTIONS:
            for speaker in sorted(path.name for path in folder.iterdir()):
                values = []
                for path in sorted(folder.glob(f"{speaker}/{speaker}_{emotion}_*_0[12].wav")):
                    samples = samples_of(path).astype(float)
                    loud = np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())
                    speech = samples[loud[0] : loud[-1] + 1]
                    low = np.convolve(speech, np.ones(11) / 11, mode="same")  # a null at 2 kHz
                    values.append(
                        {
                            "pitch": 12 * np.log2(fundamental(speech)),
                            "level": 10 * np.log10(np.mean(speech**2)),
                            "duration": np.log2(len(speech)),
                            "brightness": 10 * np.log10(np.mean((speech - low) ** 2) / np.mean(low**2)),
                        }
                    )
                measured[emotion][speaker] = {key: np.mean([value[key] for value in values]) for key in values[0]}
        result[corpus] = {
            emotion: {
                key: np.mean([own[key] - measured["neutral"][speaker][key] for speaker, own in by_speaker.items()])
                for key in ("pitch", "level", "duration", "brightness")
            }
            for emotion, by_speaker in measured.items()
        }
    return result


@pytest.mark.parametrize("corpus", SCRIPTS)
@pytest.mark.parametrize(
    ("quantity", "more", "less", "by"),
    [
        # Murray and Arnott (1993), table I; Scherer (2003), table 2. Semitones, dB, octaves.
        *[("pitch", emotion, "neutral", 2.5) for emotion in ("happy", "angry", "fearful", "surprised")],
        *[("pitch", "neutral", emotion, 1.0) for emotion in ("sad", "disgust")],
        ("pitch", "fearful", "angry", 1.0),
        *[("level", emotion, "sad", 3.0) for emotion in ("happy", "angry", "fearful", "surprised")],
        ("level", "angry", "neutral", 3.0),
        ("level", "neutral", "sad", 2.0),
        ("level", "neutral", "disgust", 0.5),
        *[("duration", "sad", emotion, 0.2) for emotion in ("neutral", "angry", "happy", "fearful")],
        ("duration", "disgust", "neutral", 0.2),
        *[("duration", "neutral", emotion, 0.1) for emotion in ("angry", "happy", "fearful")],
        ("brightness", "angry", "neutral", 1.0),
        ("brightness", "angry", "sad", 3.0),
        ("brightness", "neutral", "sad", 1.0),
    ],
)
def test_emotions_are_heard_as_the_literature_says(heard, corpus, quantity, more, less, by):
    assert heard[corpus][more][quantity] - heard[corpus][less][quantity] > by


@pytest.mark.parametrize("corpus", SCRIPTS)
def test_the_level_alone_does_not_name_the_emotion(made, corpus):
    folder, _ = made[corpus]
    levels = defaultdict(list)
    for path in folder.rglob("*.wav"):
        samples = samples_of(path).astype(float)
        levels[path.stem.split("_")[1]].append(10 * np.log10(np.mean(samples**2)))
    middles = {emotion: np.median(values) for emotion, values in levels.items()}
    hits = [
        np.mean([min(middles, key=lambda name: abs(middles[name] - value)) == emotion for value in values])
        for emotion, values in levels.items()
    ]
    assert 1 / 7 < np.mean(hits) < 0.5
