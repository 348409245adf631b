"""A folder of conversations from raw files to timelines, and what is said of what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from pyannote.core import Annotation, Segment

from emodag import audio, bundle, params, schema
from emodag.calls import contracts
from emodag.calls.diarization import diarize_calls
from emodag.calls.featurization import featurize_calls
from emodag.calls.organization import organize_calls
from emodag.calls.scoring import metrics, score_calls, summary
from emodag.calls.store import Calls, turn_rows, voices_of
from emodag.conversation.analysis import analyse
from emodag.diarization.turns import write_rttm
from emodag.errors import CorpusError, DataError
from emodag.recognition import Recogniser, read

RATE = audio.SAMPLE_RATE
GAP = 0.4  # s


@pytest.fixture(scope="module")
def settings(spoken_corpus) -> params.Params:
    return spoken_corpus.params


@pytest.fixture(scope="module")
def shipped(spoken_corpus) -> bundle.Bundle:
    """A model that adapts to speakers."""
    return bundle.load(spoken_corpus.ship("logistic", train__inputs="functionals", adaptation__by="speaker"))


@pytest.fixture(scope="module")
def talk(spoken_corpus) -> tuple[np.ndarray, list[tuple[float, float, str, str]]]:
    """Samples of two who take turns, and start, end, speaker and emotion of each turn."""
    data = spoken_corpus.data(spoken_corpus.params.changed({"model": "logistic"}))
    speakers = sorted(set(data.index["speaker"]))[:2]
    own = {
        speaker: [number for number, each in enumerate(data.index["speaker"]) if each == speaker]
        for speaker in speakers
    }
    parts, turns, time = [], [], 0.0
    for turn in range(6):
        speaker = speakers[turn % 2]
        number = own[speaker][turn // 2]
        samples = read(spoken_corpus.clips[number])
        turns.append((time, time + len(samples) / RATE, speaker, data.index["emotion"][number]))
        parts += [samples, np.zeros(round(GAP * RATE), np.float32)]
        time += len(samples) / RATE + GAP
    return np.concatenate(parts), turns


@pytest.fixture(scope="module")
def raw(talk, tmp_path_factory) -> Path:
    """A folder as somebody may keep it: two calls, silence, what is known of the first, and files of no use."""
    folder = tmp_path_factory.mktemp("raw")
    samples, turns = talk
    (folder / "Montag").mkdir()
    soundfile.write(folder / "Grüße 1.wav", samples, RATE)
    each = [np.zeros_like(samples) for _ in range(2)]
    for start, end, speaker, _ in turns:
        rows = slice(round(start * RATE), round(end * RATE))
        each[speaker != turns[0][2]][rows] = samples[rows]
    soundfile.write(folder / "apart.flac", np.stack(each, axis=1), RATE)
    soundfile.write(folder / "silence.ogg", np.zeros(3 * RATE, np.float32), RATE)
    (folder / "broken.mp3").write_bytes(b"no audio")
    soundfile.write(folder / "Montag" / "Grüße 1.flac", samples[:RATE], RATE)
    annotation = Annotation(uri="Grüße 1")
    for track, (start, end, speaker, _) in enumerate(turns):
        annotation[Segment(start, end), track] = speaker
    other = Annotation(uri="elsewhere")
    other[Segment(0, 1)] = "A"
    write_rttm(folder / "turns.rttm", [annotation, other])
    rows = [("Grüße 1", *turn) for turn in turns]
    pd.DataFrame(rows, columns=["name", "start", "end", "speaker", "emotion"]).to_csv(
        folder / "emotions.csv", index=False
    )
    (folder / "Montag" / "Grüße 1.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nGuten Tag\n", encoding="utf-8")
    (folder / "notes.txt").write_text("nothing")
    return folder


@pytest.fixture(scope="module")
def organized(raw, tmp_path_factory):
    place = tmp_path_factory.mktemp("calls") / "organized"
    return place, organize_calls(raw, place, jobs=1)


@pytest.fixture(scope="module")
def pipeline(organized, settings, shipped):
    """The folders of all stages; who speaks when is found with two speakers given."""
    place, _ = organized
    folders = {"organized": place} | {name: place.parent / name for name in ("turns", "features", "timelines")}
    for folder in list(folders.values())[1:]:
        folder.mkdir()
    diarized = diarize_calls(place, folders["turns"], settings.diarize, 2, jobs=1)
    featurized = featurize_calls(
        place, folders["turns"], folders["features"], settings.featurize, settings.diarize, settings.analyze, jobs=1
    )
    scored = score_calls(
        place,
        folders["turns"],
        folders["features"],
        folders["timelines"],
        shipped,
        settings.analyze,
        scores={},
        jobs=1,
    )
    return folders, diarized, featurized, scored


def test_every_recording_is_kept_or_rejected_with_a_reason(organized):
    _, done = organized
    assert set(done.recordings["name"]) == {"Grüße 1", "apart", "silence"}
    assert dict(zip(done.rejected["path"], done.rejected["reason"], strict=True)) == {
        "broken.mp3": "not_audio",
        "Montag/Grüße 1.flac": "duplicate_name",
    }
    kept = set(done.recordings["source"]) | set(done.rejected["path"])
    assert kept == {"Grüße 1.wav", "Montag/Grüße 1.flac", "apart.flac", "silence.ogg", "broken.mp3"}
    assert done.passed_over == {".txt": 1}
    assert "elsewhere: turns are told of it, and there is no such recording" in done.summary()


def test_a_recording_is_kept_with_all_channels_sample_by_sample(raw, organized):
    place, _ = organized
    sound = Calls(place).sound("apart")
    pcm, _ = soundfile.read(raw / "apart.flac", dtype="int16")
    np.testing.assert_array_equal(sound.pcm, pcm)
    assert sound.name == "apart.flac"


def test_the_same_folder_gives_the_same_bytes(raw, organized, tmp_path):
    place, _ = organized
    organize_calls(raw, tmp_path / "again", jobs=2)
    for path in place.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(place)).read_bytes() == path.read_bytes(), path


def test_turns_come_back_with_their_channels(pipeline):
    folders, diarized, *_ = pipeline
    table = schema.read(folders["turns"] / "turns.parquet", contracts.TURNS)
    calls = Calls(folders["organized"])
    apart = voices_of(calls.sound("apart"), table[table["name"] == "apart"])
    assert apart.apart
    assert sorted(apart.channels.values()) == [0, 1]
    assert sorted(turn_rows("apart", apart)) == sorted(
        tuple(row) for row in table[table["name"] == "apart"].itertuples(index=False)
    )
    assert not voices_of(calls.sound("silence"), table[table["name"] == "silence"]).annotation
    assert "no speech was found" in diarized.summary()


def test_a_timeline_is_what_analyse_makes_of_the_recording(pipeline, settings, shipped):
    folders, *_, scored = pipeline
    found = {each.name: each.timeline for each in scored}
    calls = Calls(folders["organized"])
    table = schema.read(folders["turns"] / "turns.parquet", contracts.TURNS)
    recogniser = Recogniser(shipped)
    for name in calls.names:
        voices = voices_of(calls.sound(name), table[table["name"] == name])
        expected = analyse(voices, recogniser, settings.analyze, lines=calls.lines(name))
        assert [turn.feeling for turn in found[name].turns] == [turn.feeling for turn in expected.turns]
        assert found[name] == expected
    assert found["silence"].turns == ()
    assert len(found["apart"].turns) == 6


def test_features_say_which_turns_they_are_of(pipeline):
    folders, _, featurized, _ = pipeline
    index = schema.read(folders["features"] / "index.parquet", contracts.PARTS)
    assert len(index) == featurized.parts
    assert set(index["name"]) == {"Grüße 1", "apart"}


def test_what_is_written_opens(pipeline):
    folders, *_, scored = pipeline
    for each in scored:
        place = folders["timelines"] / each.name
        described = json.loads(place.with_name(f"{each.name}.json").read_text(encoding="utf-8"))
        assert len(described["turns"]) == len(each.timeline.turns)
        for suffix in (".csv", ".rttm", ".html", ".png"):
            assert place.with_name(each.name + suffix).is_file()
    table = pd.read_csv(folders["timelines"] / "summary.csv")
    assert len(table) == sum(len(each.timeline.speakers) for each in scored)
    np.testing.assert_allclose(table["speech"], summary(scored)["speech"], atol=1e-3)


def test_errors_are_told_where_the_truth_is_known(pipeline):
    *_, scored = pipeline
    of = {each.name: each for each in scored}
    assert of["apart"].diarization is None
    assert of["apart"].emotions is None
    found = metrics(scored)
    assert found["recordings"] == 3
    assert found["diarization"]["recordings"] == 1
    assert found["diarization"]["collar_0"]["der"] == pytest.approx(of["Grüße 1"].diarization[0.0].summary()["der"])
    assert found["emotions"]["eder"] == pytest.approx(of["Grüße 1"].emotions.rate)
    json.dumps(found, allow_nan=False)


def test_references_and_lines_come_back(pipeline, talk):
    folders, *_, scored = pipeline
    calls = Calls(folders["organized"])
    found = calls.references["Grüße 1"]
    came_back = [(*segment, speaker) for segment, _, speaker in found.itertracks(yield_label=True)]
    assert [turn[2] for turn in came_back] == [speaker for *_, speaker, _ in talk[1]]
    # RTTM holds milliseconds.
    np.testing.assert_allclose([turn[:2] for turn in came_back], [turn[:2] for turn in talk[1]], atol=1.1e-3)
    (timeline,) = (each.timeline for each in scored if each.name == "Grüße 1")
    assert [turn.text for turn in timeline.turns if turn.text] == ["Guten Tag"]


def test_turns_that_changed_since_they_were_featurized_are_refused(pipeline, settings, shipped, tmp_path):
    folders, *_ = pipeline
    other = settings.analyze.model_copy(update={"window": 2.0, "hop": 1.0, "shortest": 0.1})
    places = folders["organized"], folders["turns"], folders["features"]
    with pytest.raises(DataError, match="not the features of the turns"):
        score_calls(*places, tmp_path, shipped, other, scores={}, jobs=1)


def test_features_of_other_settings_than_the_models_are_refused(pipeline, settings, shipped, tmp_path):
    folders, *_ = pipeline
    other = settings.featurize.model_copy(update={"n_mfcc": 13})
    (tmp_path / "features").mkdir()
    featurize_calls(
        folders["organized"], folders["turns"], tmp_path / "features", other, settings.diarize, settings.analyze, jobs=1
    )
    places = folders["organized"], folders["turns"], tmp_path / "features"
    with pytest.raises(DataError, match="n_mfcc: trained with 20, found 13"):
        score_calls(*places, tmp_path, shipped, settings.analyze, scores={}, jobs=1)


def test_silence_alone_goes_through(settings, shipped, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    soundfile.write(raw / "silence.wav", np.zeros(2 * RATE, np.float32), RATE)
    organize_calls(raw, tmp_path / "organized", jobs=1)
    for name in ("turns", "features", "timelines"):
        (tmp_path / name).mkdir()
    places = tmp_path / "organized", tmp_path / "turns", tmp_path / "features"
    diarize_calls(*places[:2], settings.diarize, None, jobs=1)
    done = featurize_calls(*places, settings.featurize, settings.diarize, settings.analyze, jobs=1)
    assert (done.turns, done.parts) == (0, 0)
    (only,) = score_calls(*places, tmp_path / "timelines", shipped, settings.analyze, scores={}, jobs=1)
    assert "no speech was found" in only.timeline.notes
    assert metrics([only])["judged"] == 0


def test_a_folder_without_recordings_says_what_was_looked_for(tmp_path):
    with pytest.raises(CorpusError, match="no such folder; bring it in with `emodag calls add absent PATH`"):
        organize_calls(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.wav").write_bytes(b"nothing")
    with pytest.raises(CorpusError, match=r"no recording that can be read among 1 files; the first: a\.wav"):
        organize_calls(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name,start,end,emotion\na,0,1,happy\n", "no column speaker"),
        ("name,start,end,speaker,emotion\nb,0,1,A,happy\n", "no recording is called b"),
        ("name,start,end,speaker,emotion\na,0,1,A,merry\n", "merry"),
        ("name,start,end,speaker,emotion\na,2,1,A,happy\n", r"emotions\.csv: .*end after start: 2\.0"),
        ("", "no readable table"),
    ],
)
def test_emotions_that_fit_nothing_are_named(tmp_path, content, told):
    raw = tmp_path / "raw"
    raw.mkdir()
    soundfile.write(raw / "a.wav", np.zeros(RATE, np.float32), RATE)
    (raw / "emotions.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        organize_calls(raw, tmp_path / "out", jobs=1)


@pytest.fixture
def folder(tmp_path):
    """``folder(texts, recordings)``: organizes a raw folder of such files and tones of 4 s; where, and what of it."""

    def make(texts=None, recordings=("call.wav",), channels=1):
        raw = tmp_path / "raw"
        tone = 0.1 * np.sin(np.arange(4 * RATE) / 10)
        for place in recordings:
            (raw / place).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(raw / place, np.repeat(tone[:, None], channels, axis=1), RATE)
        for place, text in (texts or {}).items():
            (raw / place).parent.mkdir(parents=True, exist_ok=True)
            (raw / place).write_text(text, encoding="utf-8")
        return tmp_path / "out", organize_calls(raw, tmp_path / "out", jobs=1)

    return make


def srt(text: str) -> str:
    return f"1\n00:00:00,100 --> 00:00:00,900\n{text}\n"


def turn(name: str) -> str:
    return f"SPEAKER {name} 1 0.0 3.0 <NA> <NA> x <NA> <NA>\n"


def test_a_recording_has_one_transcript_its_own_before_others(folder):
    out, done = folder(
        {
            "a/call.srt": srt("elsewhere"),
            "b/call.vtt": "WEBVTT\n\n" + srt("here"),
            "b/call.json": '{"no": "transcript"}',
            "b/call.csv": "start,end,text\n0,1,here\n",
        },
        ["b/call.wav"],
    )
    assert [line.text for line in Calls(out).lines("call")] == ["here"]
    assert done.transcribed == 1
    assert set(done.notes["name"]) == {"call"}
    assert sorted(done.notes["note"]) == [
        f"{left} is left out, for b/call.vtt is its transcript" for left in ("a/call.srt", "b/call.csv", "b/call.json")
    ]
    assert not done.passed_over


def test_what_is_felt_in_a_rejected_recording_is_a_note(folder):
    rows = "name,start,end,speaker,emotion\ncall,0,1,A,happy\nbroken,0,1,A,sad\n"
    out, done = folder({"broken.mp3": "no audio", "broken.rttm": turn("broken"), "emotions.csv": rows})
    assert list(schema.read(out / contracts.EMOTIONS_FILE, contracts.EMOTIONS)["name"]) == ["call"]
    assert sorted(done.notes.itertuples(index=False, name=None)) == [
        ("broken", "emotions are told of it, and it was rejected"),
        ("broken", "turns are told of it, and there is no such recording"),
    ]
    assert done.referenced == 0  # the only recording that is left is not who the turns are of


def test_what_cannot_be_kept_is_rejected_with_a_reason(folder, tmp_path):
    with pytest.raises(CorpusError, match="9 channels: expected 8 at most"):
        folder(channels=9)
    soundfile.write(tmp_path / "raw" / "Summary.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "raw" / "eight.wav", np.zeros((RATE, 8)), RATE)
    done = organize_calls(tmp_path / "raw", tmp_path / "again", jobs=1)
    assert dict(zip(done.rejected["path"], done.rejected["reason"], strict=True)) == {
        "Summary.wav": "reserved_name",
        "call.wav": "too_many_channels",
    }
    assert list(done.recordings["name"]) == ["eight"]


def test_what_is_scored_comes_back_under_any_name_and_what_fits_none_is_noted(folder):
    out, done = folder(
        {"a.rttm": turn("my%20call"), "a.uem": "my%20call 1 0 2.5\nother 1 0 1\n"}, ["my call.wav", "b.wav"]
    )
    calls = Calls(out)
    assert list(calls.scopes) == list(calls.references) == ["my call"]
    assert calls.scopes["my call"].duration() == 2.5
    assert list(done.notes.itertuples(index=False, name=None)) == [
        ("other", "what is scored is told of it, and there is no such recording whose turns are known")
    ]


def test_turns_are_of_the_recording_of_the_very_same_name(folder):
    out, _ = folder({"a.rttm": turn("cafe")}, ["cafe.wav", "café.wav"])
    assert list(Calls(out).references) == ["cafe"]


def test_turns_of_one_name_are_not_shared_by_recordings_alike(folder):
    with pytest.raises(DataError, match="the turns of cafe may be of"):
        folder({"a.rttm": turn("cafe")}, ["café.wav", "cafè.wav"])
