"""Folders of conversations are brought in, listed and taken out as corpora are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from emodag import layout, params
from emodag.collection import calls, management, roles
from emodag.errors import CorpusError


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "calls" / "monday"
    place.mkdir(parents=True)
    soundfile.write(place / "one.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 1600), 16_000)
    (place / "one.rttm").write_text("SPEAKER one 1 0.0 0.1 <NA> <NA> A <NA> <NA>\n")
    return place


def test_a_folder_is_tracked_and_entered_in_params(checkout, folder):
    found = calls.add("support", folder, "auto")
    assert (found.recordings, dict(found.others)) == (1, {".rttm": 1})
    assert params.load().calls["support"] == "auto"
    assert (layout.raw("support") / "one.wav").is_file()
    assert management.tracking_file("support").is_file()
    assert {each.name: (each.speakers, each.recordings) for each in calls.presences()} == {
        "demo_calls": (2, None),
        "support": ("auto", 1),
    }
    calls.require_present()
    # No corpus, though it lies among them.
    assert "support" not in {each.name for each in management.presences()}


def test_adding_the_same_again_only_sets_the_number_of_speakers(checkout, folder):
    calls.add("support", folder, "auto")
    assert calls.add("support", folder, 2) is None
    assert calls.add("support", None, 3) is None
    assert params.load().calls["support"] == 3


def test_other_files_under_a_name_that_is_taken(checkout, folder):
    calls.add("support", folder, "auto")
    soundfile.write(folder / "two.wav", np.zeros(1600), 16_000)
    with pytest.raises(CorpusError, match="emodag calls remove support"):
        calls.add("support", folder, "auto")


def test_removing_deletes_what_was_made_of_it(checkout, folder):
    calls.add("support", folder, "auto")
    for place in (layout.organized_calls("support"), layout.timelines("support")):
        place.mkdir(parents=True)
    layout.metrics_of_calls("support").parent.mkdir(parents=True)
    layout.metrics_of_calls("support").write_text("{}")
    deleted = calls.remove("support")
    assert set(deleted) == {layout.raw("support"), layout.organized_calls("support"), layout.timelines("support")}
    assert not any(place.exists() for place in (*deleted, layout.metrics_of_calls("support")))
    assert dict(params.load().calls) == {"demo_calls": 2}


def test_the_last_one_leaves_an_empty_section(checkout):
    before = params.load()
    assert calls.remove("demo_calls") == []
    assert dict(params.load().calls) == {}
    calls.add("demo_calls", None, 2)
    assert dict(params.load().calls) == {"demo_calls": 2}
    assert params.load() == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ravdess", "ravdess is the name of a corpus"),
        ("demo_en", "demo_en is the name of a corpus"),
        ("demo_calls", "made by the simulate stage"),
        ("Über", "will not do as a name"),
    ],
)
def test_names_that_will_not_do(checkout, folder, name, said):
    with pytest.raises(CorpusError, match=said):
        calls.add(name, folder, "auto")


def test_folders_that_will_not_do(checkout, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for place, said in (
        (tmp_path / "absent", "no such folder"),
        (folder / "one.wav", "a file, not a folder"),
        (tmp_path / "empty", "no recording in this folder; looked for"),
    ):
        with pytest.raises(CorpusError, match=said):
            calls.add("support", place, "auto")
    assert "support" not in params.load().calls


def test_what_is_named_and_not_here(checkout):
    roles.set_speakers("support", "auto")
    with pytest.raises(CorpusError, match="Bring it in with `emodag calls add support PATH`"):
        calls.require_present()
    with pytest.raises(CorpusError, match="no conversations 'suport' here; did you mean 'support'"):
        calls.remove("suport")
