"""Transcripts of every kind that is accepted, and the turns that their lines belong to."""

from __future__ import annotations

import json

import pytest

from emodag.conversation.timeline import Turn
from emodag.conversation.transcripts import Line, read, with_text
from emodag.errors import DataError

EXPECTED = [Line(1.0, 2.5, "Where is my parcel?"), Line(63.25, 64.0, "One moment & I look.")]

SRT = """1
00:00:01,000 --> 00:00:02,500
Where is
my parcel?

2
00:01:03,250 --> 00:01:04,000
One moment &amp; I look.
"""
VTT = """WEBVTT

NOTE made by hand

caller
00:01.000 --> 00:02.500 align:start
<v Caller>Where is my <i>parcel</i>?</v>

01:03.250 --> 01:04.000
One moment &amp; I look.
"""
WHISPER = {"text": "...", "segments": [
    {"id": 0, "start": 1.0, "end": 2.5, "text": " Where is my parcel?"},
    {"id": 1, "start": 63.25, "end": 64.0, "text": " One moment & I look."},
    {"id": 2, "start": 70.0, "end": 71.0, "text": " "},
]}  # fmt: skip
CSV = 'end,start,text\n64,63.25,One moment & I look.\n2.5,1,"Where is my parcel?"\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.srt", SRT), ("a.srt", "\ufeff" + SRT.replace("\n", "\r\n")), ("a.vtt", VTT), ("A.JSON", json.dumps(WHISPER)),
     ("a.json", json.dumps(WHISPER["segments"])), ("a.csv", CSV)],
)  # fmt: skip
def test_lines_by_start(tmp_path, name, content):
    (tmp_path / name).write_bytes(content.encode())
    assert read(tmp_path / name) == EXPECTED


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.docx", b"x", "one of .srt, .vtt, .json, .csv; found .docx"),
        ("a.json", b"{", "not a transcript"),
        ("a.json", b'{"text": "all"}', "'segments' is missing"),
        ("a.csv", b"from,text\n1,x\n", "'start' is missing"),
        ("a.csv", b"start,end,text\nsoon,2,x\n", "could not convert string to float: 'soon'"),
        ("a.csv", b"start,end,text\n3,2,backwards\n", "from 3.0 to 2.0 s: 'backwards'"),
        ("a.csv", b"start,end,text\nnan,2,never\n", "from nan to 2.0 s"),
        ("a.json", b'[{"start": 0, "end": 1, "text": 7}]', "the text is 7: expected a string"),
        ("a.csv", b"start,end,text\n0,1," + b"x" * 140_000, "field larger than field limit (131072)"),
        ("a.srt", b"just words", "no cue like 00:00:01.000 --> 00:00:02.500"),
        ("a.vtt", b"\xff\xfe", "not UTF-8 at byte 0"),
    ],
)
def test_what_is_no_transcript_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert said in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"missing\.srt: No such file"):
        read(tmp_path / "missing.srt")


def test_a_line_goes_to_the_turn_with_which_it_shares_most():
    turns = [Turn(0, 4, "a", 0, None), Turn(3, 10, "b", 0, None), Turn(20, 25, "a", 0, None)]
    lines = [Line(0, 3, "one"), Line(3, 5, "two"), Line(9, 12, "three"), Line(18, 19, "four"), Line(24, 30, "five")]
    assert [turn.text for turn in with_text(turns, lines)] == ["one", "two three", "four five"]
    assert with_text([], lines) == ()
