"""Reference turns find their recordings."""

from __future__ import annotations

import pytest
from pyannote.core import Annotation, Segment, Timeline

from emodag.conversation import references
from emodag.errors import DataError


def rttm(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"SPEAKER {name} 1 0.0 2.0 <NA> <NA> x <NA> <NA>\n" for name in names))
    return path


def test_turns_come_from_files_and_folders(tmp_path):
    rttm(tmp_path / "all/one.rttm", "one")
    rttm(tmp_path / "all/deep/two.rttm", "two", "three")
    single = rttm(tmp_path / "four.rttm", "four")
    assert sorted(references.references([tmp_path / "all", single])) == ["four", "one", "three", "two"]
    with pytest.raises(DataError, match=r"four.rttm: four is in another file too"):
        references.references([single, single])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \.rttm file in this folder"):
        references.references([tmp_path / "empty"])


def test_a_name_is_found_whatever_became_of_its_accents():
    known = {"trn00": "first", "café": "second"}
    assert references.of_recording("trn\u030300", known) == "first"
    assert references.of_recording("cafe\u0301", known) == "second"
    assert references.of_recording("other", known) is None
    assert references.of_recording("other", {"one": "first"}, only=True) == "first"
    assert references.of_recording("other", known, only=True) is None


def test_names_that_differ_by_case_alone_are_not_taken_for_each_other():
    known = {"Anna": "first", "anna": "second", "Café": "third"}
    assert references.of_recording("Anna", known) == "first"
    assert references.of_recording("anna", known) == "second"
    assert references.of_recording("cafe", known) == "third"
    with pytest.raises(DataError, match="ANNA: Anna, anna differ from it by accents or case alone"):
        references.of_recording("ANNA", known)


def test_a_byte_order_mark_hides_no_first_line(tmp_path):
    uem, turns = tmp_path / "a.uem", tmp_path / "a.rttm"
    uem.write_text("one 1 0 5\n", encoding="utf-8-sig")
    turns.write_text("SPEAKER one 1 0.0 2.0 <NA> <NA> x <NA> <NA>\n", encoding="utf-8-sig")
    assert list(references.scopes([uem])) == list(references.references([turns])) == ["one"]


def test_scopes_are_read_from_uem(tmp_path):
    (tmp_path / "a.uem").write_text("; a comment\none NA 0.0 10.0\none 1 20 30\n\nmy%20two 1 0 5\n")
    assert references.scopes([tmp_path / "a.uem"]) == {
        "one": Timeline([Segment(0, 10), Segment(20, 30)]), "my two": Timeline([Segment(0, 5)])
    }  # fmt: skip
    (tmp_path / "b.uem").write_text("one 0 10\n")
    with pytest.raises(DataError, match="line 1: 'one 0 10': expected NAME CHANNEL START END"):
        references.scopes([tmp_path / "b.uem"])


def test_recordings_of_one_name_cannot_be_told_apart():
    assert references.names_of(["x/a.wav", "b.flac"]) == ["a", "b"]
    with pytest.raises(DataError, match="a: 2 recordings have this name"):
        references.names_of(["x/a.wav", "y/a.flac"])


def test_the_table_has_each_recording_and_all():
    truth, found = Annotation(uri="one"), Annotation()
    truth[Segment(0, 4)] = "x"
    found[Segment(0, 3)] = "y"
    scores = references.errors(truth, found)
    assert scores[0.0].rate == pytest.approx(0.25)
    lines = references.table({collar: [each, each] for collar, each in scores.items()})
    assert lines[0] == "collar 0 s on each side"
    assert lines[2].split() == ["one", "25.0", "0.0", "25.0", "0.0", "25.0", "1", "of", "1"]
    assert lines[4].split() == ["all", "25.0", "0.0", "25.0", "0.0", "25.0", "right", "in", "100%"]
    assert lines[5] == "collar 0.25 s on each side"
