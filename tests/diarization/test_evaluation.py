"""Scores of diarization against cases worked out by hand."""

from __future__ import annotations

import pytest
from pyannote.core import Annotation, Segment, Timeline

from emodag.diarization.evaluation import evaluate, overall, read_rttm
from emodag.diarization.turns import write_rttm
from emodag.errors import DataError


def turns(*rows: tuple[float, float, str], uri: str = "x") -> Annotation:
    annotation = Annotation(uri=uri)
    for track, (start, end, speaker) in enumerate(rows):
        annotation[Segment(start, end), track] = speaker
    return annotation


REFERENCE = turns((0, 10, "anna"), (10, 20, "bert"))


@pytest.mark.parametrize(
    ("found", "false_alarm", "miss", "confusion", "count_error"),
    [
        (turns((0, 10, "1"), (10, 20, "2")), 0, 0, 0, 0),
        (turns((0, 10, "2"), (10, 20, "1")), 0, 0, 0, 0),
        (turns((0, 20, "1")), 0, 0, 10, -1),
        (turns((0, 12, "1"), (12, 20, "2")), 0, 0, 2, 0),
        (turns((0, 8, "1"), (10, 20, "2")), 0, 2, 0, 0),
        (turns((0, 10, "1"), (10, 25, "2")), 5, 0, 0, 0),
        (turns((0, 12, "1"), (10, 20, "2")), 2, 0, 0, 0),
        (turns(), 0, 20, 0, -2),
        (turns((0, 10, "1"), (10, 15, "2"), (15, 20, "3")), 0, 0, 5, 1),
    ],
)
def test_the_parts_of_the_error_rate(found, false_alarm, miss, confusion, count_error):
    errors = evaluate(REFERENCE, found)
    assert (errors.false_alarm, errors.miss, errors.confusion) == pytest.approx((false_alarm, miss, confusion))
    assert errors.speech == 20
    assert errors.rate == pytest.approx((false_alarm + miss + confusion) / 20)
    assert errors.speaker_count_error == count_error


def test_overlap_counts_once_for_each_speaker():
    reference = turns((0, 10, "anna"), (5, 10, "bert"))
    errors = evaluate(reference, turns((0, 10, "1")))
    assert (errors.speech, errors.miss) == (15, 5)


def test_a_speaker_s_own_overlapping_turns_count_once():
    assert evaluate(turns((0, 10, "anna"), (5, 10, "anna")), turns((0, 10, "1"))).speech == 10


def test_the_collar_is_what_is_left_out_on_each_side():
    found = turns((0, 10.2, "1"), (10.2, 20, "2"))
    assert evaluate(REFERENCE, found).confusion == pytest.approx(0.2)
    with_collar = evaluate(REFERENCE, found, collar=0.25)
    assert with_collar.confusion == 0
    assert with_collar.speech == pytest.approx(20 - 4 * 0.25)
    assert evaluate(REFERENCE, found, collar=0.1).confusion == pytest.approx(0.1)


def test_only_what_is_annotated_is_scored():
    errors = evaluate(REFERENCE, turns((0, 20, "1")), uem=Timeline([Segment(0, 12)]))
    assert (errors.speech, errors.confusion) == pytest.approx((12, 2))


def test_who_says_little_weighs_as_much_in_the_jaccard_error_rate():
    # anna: 18 of 20 s; bert: none of 2 s.
    errors = evaluate(turns((0, 18, "anna"), (18, 20, "bert")), turns((0, 20, "1")))
    assert errors.jaccard == pytest.approx(((20 - 18) / 20 + 1) / 2)


def test_rates_of_silence():
    assert evaluate(turns(), turns()).rate == 0
    assert evaluate(turns(), turns((0, 1, "1"))).rate == 1


def test_overall_sums_times_not_rates():
    errors = [evaluate(REFERENCE, turns((0, 20, "1"))), evaluate(turns((0, 60, "anna")), turns((0, 60, "1")))]
    total = overall(errors)
    assert total["der"] == pytest.approx(10 / 80)
    assert total["speaker_count_right"] == 0.5
    assert total["speaker_count_error"] == 0.5
    assert total["jer"] == pytest.approx((errors[0].jaccard + 0) / 2)
    with pytest.raises(DataError, match="no recording"):
        overall([])


def test_a_negative_collar_is_refused():
    with pytest.raises(DataError, match="collar of -1"):
        evaluate(REFERENCE, REFERENCE, collar=-1)


def test_rttm_comes_back_as_it_was_written(tmp_path):
    write_rttm(tmp_path / "x.rttm", [turns((0.5, 2, "anna b"), (1, 3, "bert"), uri="c/ü 1")])
    [(uri, annotation)] = read_rttm(tmp_path / "x.rttm").items()
    assert uri == "c/ü 1"
    assert list(annotation.itertracks(yield_label=True)) == [
        (Segment(0.5, 2), annotation.get_tracks(Segment(0.5, 2)).pop(), "anna b"),
        (Segment(1, 3), annotation.get_tracks(Segment(1, 3)).pop(), "bert"),
    ]


def test_two_who_speak_in_the_very_same_stretch_are_both_read(tmp_path):
    (tmp_path / "x.rttm").write_text(
        ";; a comment\nSPEAKER x 1 0 2 <NA> <NA> a <NA> <NA>\nSPEAKER x 1 0 2 <NA> <NA> b <NA> <NA>\n"
    )
    assert read_rttm(tmp_path / "x.rttm")["x"].labels() == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("SPEAKER x 1 zero 2 <NA> <NA> a", "line 1: .*expected SPEAKER uri"),
        ("\nSPEAKER x 1 0", "line 2"),
        ("SPEAKER x 1 0 -2 <NA> <NA> a", "for -2.0 s"),
        ("SPEAKER x 1 nan 2 <NA> <NA> a", "from nan s"),
    ],
)
def test_lines_that_are_no_turns(tmp_path, content, message):
    (tmp_path / "bad.rttm").write_text(content)
    with pytest.raises(DataError, match=message):
        read_rttm(tmp_path / "bad.rttm")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read as RTTM"):
        read_rttm(tmp_path / "none.rttm")
