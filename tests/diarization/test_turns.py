"""Turns as a table and as RTTM."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm

from emodag import schema
from emodag.diarization.turns import rttm_uri, to_turns, write_rttm


def annotate(*turns: tuple[float, float, str], uri: str | None = None) -> Annotation:
    annotation = Annotation(uri=uri)
    for track, (start, end, label) in enumerate(turns):
        annotation[Segment(start, end), track] = label
    return annotation


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([(1, 2, "a"), (3, 4, "b")], [(1, 2, "a", False), (3, 4, "b", False)], id="apart"),
        pytest.param([(1, 2, "a"), (2, 3, "b")], [(1, 2, "a", False), (2, 3, "b", False)], id="touching"),
        pytest.param([(1, 2, "a"), (2, 3, "a")], [(1, 3, "a", False)], id="one speaker, touching"),
        pytest.param([(1, 3, "a"), (2, 4, "a")], [(1, 4, "a", False)], id="one speaker is no overlap"),
        pytest.param(
            [(0, 3, "a"), (2, 5, "b")],
            [(0, 2, "a", False), (2, 3, "a", True), (2, 3, "b", True), (3, 5, "b", False)],
            id="partly",
        ),
        pytest.param(
            [(0, 5, "a"), (2, 3, "b")],
            [(0, 2, "a", False), (2, 3, "a", True), (2, 3, "b", True), (3, 5, "a", False)],
            id="inside",
        ),
        pytest.param([(1, 2, "a"), (1, 2, "b")], [(1, 2, "a", True), (1, 2, "b", True)], id="same"),
        pytest.param(
            [(0, 4, "a"), (1, 3, "b"), (2, 5, "c")],
            [(0, 1, "a", False), (1, 3, "b", True), (1, 4, "a", True), (2, 4, "c", True), (4, 5, "c", False)],
            id="three",
        ),
        pytest.param([(0.1 + 0.2, 0.7 + 0.1, "a")], [(0.3, 0.8, "a", False)], id="microseconds"),
    ],
)
def test_rows_are_overlapped_wholly_or_not_at_all(turns, expected):
    table = schema.validate(to_turns(annotate(*turns), "c/x"), schema.TURNS, "test")
    assert set(table["clip_id"]) <= {"c/x"}
    assert list(table.drop(columns="clip_id").itertuples(index=False, name=None)) == expected


def test_the_order_of_the_annotation_does_not_matter():
    turns = [(0, 3, "a"), (2, 5, "b"), (4, 6, "a")]
    assert to_turns(annotate(*turns), "c/x").equals(to_turns(annotate(*turns[::-1]), "c/x"))


@pytest.mark.parametrize(
    ("clip_id", "written"),
    [
        ("savee/DC_a01", "savee/DC_a01"),
        ("meetings/trñ00", "meetings/tr%C3%B100"),
        ("mine/a b\tc", "mine/a%20b%09c"),
        ("mine/100%;x", "mine/100%25%3Bx"),
        ("mine/\u2028", "mine/%E2%80%A8"),
    ],
)
def test_ids_survive_rttm(tmp_path, clip_id, written):
    assert rttm_uri(clip_id) == written
    assert unquote(written) == clip_id
    write_rttm(tmp_path / "x.rttm", [annotate((0.5, 1.25, "speaker one"), uri=clip_id)])
    [line] = (tmp_path / "x.rttm").read_text().splitlines()
    assert line.split(" ") == ["SPEAKER", written, "1", "0.500", "0.750", *["<NA>"] * 2, "speaker%20one", *["<NA>"] * 2]
    [(uri, annotation)] = load_rttm(tmp_path / "x.rttm").items()
    assert unquote(uri) == clip_id
    assert [unquote(label) for label in annotation.labels()] == ["speaker one"]


def test_an_rttm_holds_every_clip_and_reads_back(tmp_path):
    written = [
        annotate((0, 1, "SPEAKER_00"), (0.5, 2, "SPEAKER_01"), uri="c/one"),
        annotate((0.032, 1.5, "SPEAKER_00"), uri="c/two"),
    ]
    write_rttm(tmp_path / "x.rttm", written)
    read = load_rttm(tmp_path / "x.rttm")
    assert list(read) == ["c/one", "c/two"]
    for annotation in written:
        table, again = to_turns(annotation, "c/x"), to_turns(read[annotation.uri], "c/x")
        assert again.equals(table)
