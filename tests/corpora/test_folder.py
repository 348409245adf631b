"""Folders of users: trees, tables, and what is wrong with them."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest

from emodag.corpora import get
from emodag.corpora.base import NotAClip, files_in
from emodag.errors import CorpusError


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


@pytest.mark.parametrize(
    ("path", "stem", "speaker", "emotion", "native"),
    [
        ("angry/001.wav", "angry__001", "unknown", "angry", "angry"),
        ("Happiness/001.WAV", "Happiness__001", "unknown", "happy", "happiness"),
        ("angry/anna/001.wav", "angry__anna__001", "anna", "angry", "angry"),
        ("anna/angry/001.wav", "anna__angry__001", "anna", "angry", "angry"),
        ("Pleasant Surprise/s 1/a b.mp3", "Pleasant Surprise__s 1__a b", "s 1", "surprised", "pleasant surprise"),
        ("fear/J\u00fcrgen/\u00fcbung \u4e00.flac", "fear__J\u00fcrgen__\u00fcbung \u4e00", "J\u00fcrgen", "fearful",
         "fear"),
        ("train/sad/s1/a.wav", "train__sad__s1__a", "s1", "sad", "sad"),
        ("sad/test/a.wav", "sad__test__a", "unknown", "sad", "sad"),
        ("bored/a.b.c.wav", "bored__a.b.c", "unknown", "bored", "bored"),
    ],
)  # fmt: skip
def test_a_tree_tells_emotion_and_speaker(tmp_path, path, stem, speaker, emotion, native):
    touch(tmp_path, path)
    (found,) = files_in(tmp_path)
    clip = get("mine").parser(tmp_path)(found)
    assert (clip.stem, clip.speaker, clip.emotion, clip.native_label) == (stem, speaker, emotion, native)
    assert (clip.language, clip.sex) == ("und", None)


@pytest.mark.parametrize(
    ("path", "reason", "said"),
    [
        ("furious/001.wav", "unknown_emotion", "accepted: neutral, calm, happy"),
        ("001.wav", "unknown_emotion", "none of its folders"),
        ("angry/happy/001.wav", "label_conflict", "angry, happy"),
        ("angry/site/anna/001.wav", "unknown_layout", "site, anna"),
        ("angry/00\n1.wav", "bad_name", "control characters"),
        ("angry/notes.mat", "not_audio", ".mat"),
        ("angry/a~aug1.wav", "bad_name", "kept for augmented copies"),
    ],
)
def test_what_a_tree_does_not_tell_is_rejected(tmp_path, path, reason, said):
    with pytest.raises(NotAClip) as caught:
        get("mine").parser(tmp_path)(PurePosixPath(path))
    assert caught.value.reason == reason
    assert said in caught.value.detail


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_stem_keeps_the_letters_as_they_are(tmp_path, form):
    name = unicodedata.normalize(form, "angry/caf\u00e9.wav")
    assert get("mine").parser(tmp_path)(PurePosixPath(name)).stem == name.removesuffix(".wav").replace("/", "__")


def test_long_names_stay_apart_and_fit_a_file_system(tmp_path):
    parser = get("mine").parser(tmp_path)
    stems = {parser(PurePosixPath("angry", "\u4e00" * 80, f"{'x' * 200}{number}.wav")).stem for number in range(3)}
    assert len(stems) == 3
    assert all(len(stem.encode()) <= 200 for stem in stems)


TABLE = "path,emotion,speaker,sex,language,text_id,intensity,age\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_tells_everything(tmp_path, encoding, delimiter):
    touch(tmp_path, "wav/a 1.wav", "wav/\u00fc.wav", "wav/c.wav")
    rows = TABLE + (
        "wav/a 1.wav,Anger,anna,F,DE,t1,strong,64\nwav/\u00fc.wav,joy,ben,male,,,,\n.\\wav\\c.wav, sad ,,,,,,\n"
    )
    (tmp_path / "labels.csv").write_bytes(rows.replace(",", delimiter).encode(encoding))
    corpus = get("mine")
    parser = corpus.parser(tmp_path)
    first, last, middle = (parser(path) for path in files_in(tmp_path))
    assert (first.stem, first.speaker, first.sex, first.language) == ("wav__a 1", "anna", "female", "de")
    assert (first.emotion, first.native_label, first.text_id, first.intensity) == ("angry", "anger", "t1", "strong")
    assert (first.age, middle.age, last.age) == (64, None, None)
    assert (middle.emotion, middle.speaker, middle.sex, middle.language) == ("happy", "ben", "male", "und")
    assert (last.emotion, last.speaker, last.sex, last.text_id) == ("sad", "unknown", None, None)
    assert corpus.missing(tmp_path) == []


def test_a_table_without_speakers_is_one_speaker(tmp_path):
    touch(tmp_path, "1.wav", "2.wav")
    (tmp_path / "labels.csv").write_text("path,emotion\n1.wav,happy\n2.wav,sad\n")
    parser = get("mine").parser(tmp_path)
    assert {parser(path).speaker for path in files_in(tmp_path)} == {"unknown"}


def test_columns_without_a_name_do_not_count(tmp_path):
    touch(tmp_path, "1.wav")
    (tmp_path / "labels.csv").write_text("path,emotion,,\n1.wav,sad,,\n")
    assert get("mine").parser(tmp_path)(PurePosixPath("1.wav")).emotion == "sad"


def test_of_two_links_to_a_folder_the_first_is_followed(tmp_path):
    touch(tmp_path / "elsewhere", "1.wav")
    for name in ("sad", "happy", "calm", "bored"):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        (tmp_path / "corpus" / name).symlink_to(tmp_path / "elsewhere")
    assert list(files_in(tmp_path / "corpus")) == [PurePosixPath("bored/1.wav")]


def test_composed_and_decomposed_letters_meet(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFD", "caf\u00e9.wav"))
    (tmp_path / "labels.csv").write_text("path,emotion\ncaf\u00e9.wav,happy\n", encoding="utf-8")
    (path,) = files_in(tmp_path)
    assert get("mine").parser(tmp_path)(path).emotion == "happy"
    assert get("mine").missing(tmp_path) == []


def test_rows_and_files_without_their_partner_are_reported(tmp_path):
    touch(tmp_path, "1.wav", "2.wav", "notes.txt")
    (tmp_path / "labels.csv").write_text("path,emotion\n1.wav,happy\n\ngone.wav,sad\nnotes.txt,sad\n")
    corpus = get("mine")
    missing = corpus.missing(tmp_path)
    assert [(path, reason) for path, reason, _ in missing] == [
        ("gone.wav", "missing_file"),
        ("notes.txt", "missing_file"),
    ]
    assert "row 4 of labels.csv" in missing[0][2]
    with pytest.raises(NotAClip) as caught:
        corpus.parser(tmp_path)(PurePosixPath("2.wav"))
    assert caught.value.reason == "not_in_table"


@pytest.mark.parametrize(
    ("row", "reason", "said"),
    [
        ("1.wav,furious,,,,,,", "unknown_emotion", "row 2 of labels.csv"),
        ("1.wav,,,,,,,", "unknown_emotion", "accepted"),
        ("1.wav,sad,,x,,,,", "bad_value", "sex 'x'"),
        ("1.wav,sad,,,german,,,", "bad_value", "language 'german'"),
        ("1.wav,sad,,,,,,adult", "bad_value", "age 'adult'"),
        ("1.wav,sad,,,,,,120", "bad_value", "from 0 to 119"),
        ("1.wav,sad,,,,,,30.5", "bad_value", "whole years"),
    ],
)
def test_a_bad_cell_rejects_its_file(tmp_path, row, reason, said):
    touch(tmp_path, "1.wav")
    (tmp_path / "labels.csv").write_text(TABLE + row + "\n")
    with pytest.raises(NotAClip) as caught:
        get("mine").parser(tmp_path)(PurePosixPath("1.wav"))
    assert caught.value.reason == reason
    assert said in caught.value.detail


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("path,emotion\n../secret.wav,sad\n", "'../secret.wav'"),
        ("path,emotion\na/../../secret.wav,sad\n", "paths below the folder"),
        ("path,emotion\n/etc/passwd,sad\n", "'/etc/passwd'"),
        ("path,emotion\nC:\\a.wav,sad\n", "paths below the folder"),
        ("path,emotion\n..\\a.wav,sad\n", "paths below the folder"),
        ("path,emotion\n,sad\n", "path ''"),
        ("path,emotion\n1.wav,sad\n./1.wav,happy\n", "told twice"),
        ("path,emotion\n1.wav,sad,more\n", "row 2 has 3 cells"),
        ("file,emotion\n1.wav,sad\n", "no column path"),
        ("path,label\n1.wav,sad\n", "no column emotion"),
        (b"path,emotion\n\xff.wav,sad\n", "not UTF-8"),
        ("path,emotion,speaker,Emotion\n1.wav,sad,a,happy\n", "names emotion more than once"),
        (f"path,emotion\n1.wav,{'x' * 200_000}\n", "not a CSV table that can be read: field larger"),
    ],
)
def test_a_table_that_cannot_be_trusted_ends_with_an_error(tmp_path, table, said):
    (tmp_path / "labels.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(CorpusError, match=r"labels\.csv") as caught:
        get("mine").parser(tmp_path)
    assert said in str(caught.value)


def test_two_tables_are_one_too_many_but_other_csv_files_do_not_count(tmp_path):
    (tmp_path / "votes.csv").write_text("clip,votes\n1,2\n")
    (tmp_path / "empty.csv").touch()
    touch(tmp_path, "angry/1.wav")
    assert get("mine").parser(tmp_path)(PurePosixPath("angry/1.wav")).emotion == "angry"
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path,emotion\nangry/1.wav,sad\n")
    with pytest.raises(CorpusError, match=r"a\.csv, b\.csv"):
        get("mine").parser(tmp_path)
