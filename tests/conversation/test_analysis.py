"""Who felt what when: through the very steps of a clip, adapted to each voice, smoothed, summed up."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from pyannote.core import Annotation, Segment

from emodag.audio import SAMPLE_RATE
from emodag.conversation.affect import affect
from emodag.conversation.analysis import (
    analyse,
    intervals,
    smoothed,
    speakers_in,
    turning_points,
)
from emodag.conversation.cutting import others_than, turns_in
from emodag.conversation.timeline import Feeling, Turn, TurningPoint
from emodag.conversation.transcripts import Line
from emodag.conversation.voices import Voices
from emodag.files import write_json
from emodag.listening import Sound
from emodag.recognition import UNKNOWN, Recogniser

#: Two speakers in turn, whose clips are all short enough to be judged whole.
TURNS = [(0, 0), (1, 1), (0, 2), (1, 3), (0, 4), (1, 5), (0, 6)]


def cuts(voices: Voices) -> tuple[list[np.ndarray], list[str]]:
    """The samples of each turn, and who speaks."""
    segments = [(segment, label) for segment, _, label in voices.annotation.itertracks(yield_label=True)]
    return [voices.sound.between(segment.start, segment.end) for segment, _ in segments], [who for _, who in segments]


def probabilities(voices, recogniser, settings, **changes) -> np.ndarray:
    return analyse(voices, recogniser, settings.model_copy(update=changes)).probabilities()


def test_a_turn_is_recognised_as_a_clip_of_its_speaker(conversation, adapting, settings):
    voices = conversation(TURNS)
    samples, speakers = cuts(voices)
    timeline = analyse(voices, adapting, settings)
    expected = adapting(samples, speakers)
    np.testing.assert_allclose(timeline.probabilities(), expected.probabilities, atol=1e-6)
    assert tuple(turn.feeling.emotion for turn in timeline.turns) == expected.emotions
    assert [turn.speaker for turn in timeline.turns] == speakers
    assert timeline.duration == len(voices.sound.pcm) / SAMPLE_RATE


def test_without_adaptation_each_turn_is_alone(conversation, adapting, plain, settings):
    voices = conversation(TURNS)
    alone = probabilities(voices, adapting, settings, adaptation="none")
    np.testing.assert_allclose(alone, adapting(cuts(voices)[0]).probabilities, atol=1e-6)
    assert np.abs(alone - probabilities(voices, adapting, settings)).max() > 0.05
    of_plain = [probabilities(voices, plain, settings, adaptation=kind) for kind in ("call", "past", "none")]
    np.testing.assert_allclose(of_plain[0], of_plain[1], atol=1e-12)
    np.testing.assert_allclose(of_plain[0], of_plain[2], atol=1e-6)


def test_as_heard_knows_nothing_of_what_comes(conversation, adapting, settings):
    live = settings.model_copy(update={"adaptation": "past", "smoothing": 5.0})
    whole = analyse(conversation(TURNS), adapting, live).probabilities()
    for count in (1, 4, 6):
        np.testing.assert_allclose(
            whole[:count], analyse(conversation(TURNS[:count]), adapting, live).probabilities(), atol=1e-6
        )
    # By the end all has been heard.
    np.testing.assert_allclose(
        probabilities(conversation(TURNS), adapting, settings, adaptation="past")[-1],
        probabilities(conversation(TURNS), adapting, settings, adaptation="call")[-1],
        atol=1e-6,
    )


def test_frames_and_embeddings_go_the_same_way(conversation, spoken_corpus, settings):
    from emodag import bundle

    folder = spoken_corpus.ship("cnn", adaptation__by="speaker")
    recogniser = Recogniser(bundle.load(folder), spoken_corpus.params.featurize.encoder)
    voices = conversation(TURNS[:4])
    np.testing.assert_allclose(
        probabilities(voices, recogniser, settings), recogniser(*cuts(voices)).probabilities, atol=1e-6
    )
    heard = probabilities(voices, recogniser, settings, adaptation="past")
    np.testing.assert_allclose(heard[-1], recogniser(*cuts(voices)).probabilities[-1], atol=1e-6)


def test_a_long_turn_is_judged_in_windows(conversation, adapting, settings):
    voices = conversation([(0, clip) for clip in range(6)], pause=0.1)
    timeline = analyse(voices, adapting, settings)
    (turn,) = timeline.turns
    starts, ends = ([getattr(each, side) for each in turn.windows] for side in ("start", "end"))
    assert starts[0] == turn.start
    assert ends[-1] == pytest.approx(turn.end)
    assert np.diff(starts).max() <= settings.hop + 1e-9
    np.testing.assert_allclose(np.subtract(ends, starts), settings.window)
    lengths = [part.end - part.start for part in turn.stretches]
    mean = np.average([each.probabilities for each in turn.windows], axis=0, weights=lengths)
    np.testing.assert_allclose(turn.feeling.probabilities, mean, atol=1e-9)
    np.testing.assert_allclose([turn.feeling.valence, turn.feeling.arousal], affect(mean, timeline.classes), atol=1e-9)


def test_windows_that_share_their_sound_count_once_for_a_voice(conversation, adapting, settings):
    voices = conversation([(0, clip) for clip in range(6)], pause=0.1)
    (turn,) = analyse(voices, adapting, settings.model_copy(update={"hop": 4.0, "window": 4.0})).turns
    apart = np.array([each.probabilities for each in turn.windows])
    samples = [voices.sound.between(each.start, each.end) for each in turn.windows]
    # Windows without common sound all count.
    np.testing.assert_allclose(apart, adapting(samples, ["voice"] * len(samples)).probabilities, atol=1e-6)
    (turn,) = analyse(voices, adapting, settings.model_copy(update={"hop": 2.0, "window": 4.0})).turns
    samples = [voices.sound.between(each.start, each.end) for each in turn.windows]
    all_count = adapting(samples, ["voice"] * len(samples)).probabilities
    assert np.abs(np.array([each.probabilities for each in turn.windows]) - all_count).max() > 1e-3


def test_what_the_model_is_not_sure_of_is_unknown(conversation, adapting, settings):
    unsure = Recogniser(replace(adapting.bundle, unknown=1.1))
    timeline = analyse(conversation(TURNS[:3]), unsure, settings)
    assert {turn.feeling.emotion for turn in timeline.turns} == {UNKNOWN}
    assert all(speaker.shares == pytest.approx({UNKNOWN: 1.0}) for speaker in timeline.speakers)
    assert timeline.turning_points == ()


def test_lines_of_a_transcript_come_with_the_turns(conversation, plain, settings):
    voices = conversation(TURNS[:2])
    middles = [segment.middle for segment in voices.annotation.get_timeline()]
    lines = [
        Line(middle, middle + 0.1, text) for middle, text in zip(middles, ("Hello.", "Who is there?"), strict=True)
    ]
    assert [turn.text for turn in analyse(voices, plain, settings, lines=lines).turns] == ["Hello.", "Who is there?"]


def test_scores_come_with_their_intervals_where_these_are_of_the_model(tmp_path, conversation, plain, settings):
    write_json(tmp_path / "evaluate.json", {"demo_en": {"uar": 0.5, "uar_low": 0.4, "uar_high": 0.6}})
    known = intervals(tmp_path / "evaluate.json", plain.bundle)
    model = analyse(conversation(TURNS[:1]), plain, settings, scores=known).model
    assert model["scores"]["demo_en"] == {"chance": 1 / 7, "uar": 0.5, "leaky": False, "low": 0.4, "high": 0.6}
    assert (model["name"], model["adaptation"], model["unknown"]) == ("logistic", "none", 0.0)
    write_json(tmp_path / "evaluate.json", {"demo_en": {"uar": 0.7, "uar_low": 0.6, "uar_high": 0.8}})
    assert intervals(tmp_path / "evaluate.json", plain.bundle) == {}
    assert intervals(tmp_path / "missing.json", plain.bundle) == {}


# --- turns


def annotation(*turns) -> Annotation:
    found = Annotation()
    for number, (start, end, speaker) in enumerate(turns):
        found[Segment(start, end), number] = speaker
    return found


def turns(*parts, pause=0.5):
    found = annotation(*parts)
    return [
        (each.speaker, each.start, each.end, pytest.approx(each.overlap))
        for each in turns_in(found, others_than(found), pause)
    ]


def test_short_pauses_of_a_speaker_do_not_end_a_turn():
    assert turns((0, 1, "a"), (1.4, 2, "a"), (3, 4, "a")) == [("a", 0, 2, 0), ("a", 3, 4, 0)]


def test_a_pause_in_which_another_speaks_ends_a_turn():
    assert turns((0, 1, "a"), (1.1, 1.3, "b"), (1.4, 2, "a")) == [("a", 0, 1, 0), ("b", 1.1, 1.3, 0), ("a", 1.4, 2, 0)]


def test_overlap_is_the_time_that_anybody_else_speaks():
    assert turns((0, 4, "a"), (1, 2, "b"), (1.5, 3, "c")) == [("a", 0, 4, 2), ("b", 1, 2, 1), ("c", 1.5, 3, 1.5)]


def test_others_speak_for_as_long_as_pyannote_counts():
    rng = np.random.default_rng(0)
    starts, lengths = np.cumsum(rng.gamma(2, 0.7, 300)), rng.gamma(2, 0.6, 300)
    speakers = rng.choice(list("abc"), 300)
    found = annotation(*zip(starts, starts + lengths, speakers, strict=True))
    others = others_than(found)
    for speaker in found.labels():
        timeline = found.subset([speaker], invert=True).get_timeline().support()
        edges = [edge for segment in list(timeline)[:20] for edge in segment]
        for start in [*rng.uniform(-5, starts[-1] + 5, 40), *edges]:
            for length in (0.05, 1.0, 30.0, 1e4):
                expected = timeline.crop(Segment(start, start + length)).duration()
                assert others[speaker].between(start, start + length) == pytest.approx(expected, abs=1e-9)
    assert others_than(annotation((0, 1, "alone")))["alone"].between(0, 9) == 0


def test_where_all_talk_at_once_nothing_is_judged_unless_each_has_a_channel(clips, plain, settings):
    samples = [clips[speaker][0] for speaker in sorted(clips)[:2]]
    length = min(map(len, samples))
    both = np.stack([each[:length] for each in samples], axis=1)
    pcm = np.rint(both * 32768).clip(-32768, 32767).astype(np.int16)
    seconds = length / SAMPLE_RATE
    found = annotation((0, seconds, "a"), (0, seconds, "b"))
    mixed = analyse(Voices(found, Sound("call", pcm, 16_000).mixed()), plain, settings)
    assert [turn.feeling for turn in mixed.turns] == [None, None]
    assert any("nothing is judged" in note for note in mixed.notes)
    apart = analyse(Voices(found, Sound("call", pcm, 16_000), {"a": 0, "b": 1}), plain, settings)
    np.testing.assert_allclose(
        apart.probabilities(),
        plain([pcm[:, 0] / np.float32(32768), pcm[:, 1] / np.float32(32768)]).probabilities,
        atol=1e-6,
    )


def test_a_turn_too_short_to_judge_is_there_without_a_feeling(conversation, plain, settings):
    voices = conversation(TURNS[:1])
    short = Voices(annotation((0.2, 0.5, "a")), voices.sound)
    timeline = analyse(short, plain, settings)
    assert [(turn.start, turn.end, turn.feeling) for turn in timeline.turns] == [(0.2, 0.5, None)]
    assert timeline.speakers[0].shares == {}
    assert timeline.speakers[0].speech == pytest.approx(0.3)


def test_a_recording_without_speech_has_an_empty_timeline(plain, settings):
    timeline = analyse(Voices(Annotation(), Sound("s", np.zeros((16_000, 1), np.int16), 16_000)), plain, settings)
    assert (timeline.turns, timeline.speakers, timeline.turning_points) == ((), (), ())
    assert timeline.notes == ("no speech was found",)
    assert timeline.probabilities().shape == (0, 7)


def test_telephone_band_is_said(conversation, plain, settings):
    notes = analyse(conversation(TURNS[:1], rate=8000), plain, settings).notes
    assert notes == ("recorded at 8000 Hz: what models learn above 4 kHz is lost",)


# --- smoothing


def brute_force(likelihoods: np.ndarray, times: np.ndarray, memory: float) -> np.ndarray:
    """Posteriors by adding up all paths through the chain."""
    moments, classes = likelihoods.shape
    found = np.zeros_like(likelihoods)
    for path in product(range(classes), repeat=moments):
        weight = np.prod([likelihoods[moment, state] for moment, state in enumerate(path)]) / classes
        for before, after, gap in zip(path[:-1], path[1:], np.diff(times), strict=True):
            stay = np.exp(-gap / memory)
            weight *= stay * (before == after) + (1 - stay) / classes
        found[np.arange(moments), path] += weight
    return found / found.sum(axis=1, keepdims=True)


def test_smoothing_is_the_posterior_of_the_chain():
    values = np.random.default_rng(0).dirichlet(np.ones(3), size=5)
    times = np.array([0.0, 1.0, 1.5, 9.0, 12.0])
    np.testing.assert_allclose(smoothed(values, times, 4.0, np.ones(5)), brute_force(values, times, 4.0), atol=1e-12)
    heard = smoothed(values, times, 4.0, np.ones(5), ahead=False)
    for count in range(1, 6):
        expected = brute_force(values[:count], times[:count], 4.0)[-1]
        np.testing.assert_allclose(heard[count - 1], expected, atol=1e-12)


def test_smoothing_of_no_memory_and_of_one_moment_changes_nothing():
    values = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    np.testing.assert_allclose(smoothed(values, np.arange(4.0), 0.0, np.ones(4)), values, atol=1e-12)
    np.testing.assert_allclose(smoothed(values[:1], np.zeros(1), 9.0, np.ones(1)), values[:1], atol=1e-12)


def test_to_the_others_evidence_counts_by_its_share():
    values = np.random.default_rng(0).dirichlet(np.ones(3), size=3)
    times, shares = np.arange(3.0), np.array([0.0, 0.5, 1.0])
    # The middle one's own evidence counts whole; that of the first counts nothing to it, that of the last all.
    found = smoothed(values, times, 4.0, shares)[1]
    np.testing.assert_allclose(found, brute_force(values[1:], times[1:], 4.0)[0], atol=1e-12)
    # To the first, the middle one's counts half.
    of_others = np.stack([values[0], values[1] ** 0.5, values[2]])
    np.testing.assert_allclose(smoothed(values, times, 4.0, shares)[0], brute_force(of_others, times, 4.0)[0])


def test_smoothing_survives_hours_and_certainty():
    values = np.tile([[1.0, 0.0], [0.0, 1.0]], (3000, 1))
    found = smoothed(values, np.arange(6000.0), 1e6, np.ones(6000))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_an_outlier_gives_way_to_its_neighbours(conversation, plain, settings):
    voices = conversation([(0, clip) for clip in range(6)], pause=0.1)
    raw, smooth = (probabilities(voices, plain, settings, smoothing=value) for value in (0.0, 60.0))
    windows = [
        np.array([each.probabilities for each in analyse(voices, plain, changed).turns[0].windows])
        for changed in (settings, settings.model_copy(update={"smoothing": 60.0}))
    ]
    jumps = [np.abs(np.diff(each, axis=0)).sum() for each in windows]
    assert jumps[1] < 0.5 * jumps[0]
    assert raw.shape == smooth.shape == (1, 7)


# --- summaries


def turn(start, end, speaker, emotion, valence=0.0) -> Turn:
    return Turn(start, end, speaker, 0.0, Feeling(start, end, (1.0,), emotion, 0.0, valence))


def test_speakers_are_summed_up_by_time():
    said = [turn(0, 1, "b", "happy", 1.0), turn(1, 4, "a", "sad"), turn(4, 7, "b", "angry", -1.0)]
    first, second = speakers_in([*said, Turn(8, 9, "b", 0.0, None)])
    assert (first.name, first.speech, first.turns) == ("b", 5, 3)
    assert first.shares == {"angry": 0.75, "happy": 0.25}
    assert list(first.shares) == ["angry", "happy"]
    assert first.valence == pytest.approx(-0.5)
    assert second.shares == {"sad": 1.0}


def test_a_turning_point_is_an_emotion_that_lasts():
    said = [
        turn(0, 5, "a", "neutral"),
        turn(6, 8, "b", "happy"),
        turn(9, 10, "a", "sad"),  # too short to be one
        turn(11, 16, "a", "neutral"),
        turn(17, 19, "a", "angry"),
        turn(20, 21, "a", UNKNOWN),
        turn(22, 25, "a", "angry"),
        turn(26, 40, "b", "happy"),
    ]
    assert turning_points(said, 4.0) == (TurningPoint(17, "a", "neutral", "angry"),)
    assert turning_points(said, 0.5) == (
        TurningPoint(9, "a", "neutral", "sad"),
        TurningPoint(11, "a", "sad", "neutral"),
        TurningPoint(17, "a", "neutral", "angry"),
    )


def test_a_turn_can_turn_within():
    emotions = ["neutral"] * 3 + ["angry"] * 3
    feelings = [Feeling(2 * number, 2 * number + 4, (1.0,), name, 0.0, 0.0) for number, name in enumerate(emotions)]
    long = Turn(0, 14, "a", 0.0, feelings[0], tuple(feelings))
    assert turning_points([long], 4.0) == (TurningPoint(7, "a", "neutral", "angry"),)
