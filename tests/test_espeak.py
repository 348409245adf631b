"""eSpeak NG without its memory, its clock and its silence about missing voices."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from emodag import espeak
from emodag.espeak import EspeakError, Voice, formants, speak, variant, voices_folder, with_attributes

ENGLISH = Voice("en-us", "gmw/en-US", "en_dict")
GERMAN = Voice("de", "gmw/de", "de_dict")
TEXT = "The lamp stands on the table."


@pytest.fixture
def voices(tmp_path):
    with voices_folder(tmp_path / "voices", ENGLISH, GERMAN) as folder:
        yield folder


def loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


@pytest.mark.parametrize("breath", [0, 12])
def test_an_utterance_depends_neither_on_those_before_it_nor_on_the_clock(voices, breath):
    definition = with_attributes(variant("f2"), breath=f"0 {breath} {breath} {breath}", flutter="20")
    first = speak(TEXT, ENGLISH, definition, voices)
    speak("Etwas anderes auf Deutsch.", GERMAN, variant("m3"), voices, rate=260)
    time.sleep(1.1)  # eSpeak seeds its noise by the second
    np.testing.assert_array_equal(speak(TEXT, ENGLISH, definition, voices), first)


def test_the_seed_is_that_of_the_noise(voices):
    definition = with_attributes(variant("f2"), breath="0 12 12 12")
    one, two = (speak(TEXT, ENGLISH, definition, voices, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize(("slow", "fast"), [(100, 150), (150, 250)])
def test_rate_shortens(voices, slow, fast):
    lengths = [len(speak(TEXT, ENGLISH, variant("m1"), voices, rate=rate)) for rate in (slow, fast)]
    assert lengths[0] > 1.2 * lengths[1]


def test_word_gap_lengthens(voices):
    lengths = [len(speak(TEXT, GERMAN, variant("m1"), voices, word_gap=gap)) for gap in (0, 10)]
    assert lengths[1] > 1.2 * lengths[0]


def test_attributes_are_heard(voices):
    plain, quiet = (
        speak(TEXT, ENGLISH, with_attributes(variant("m1"), voicing=voicing), voices) for voicing in ("100", "30")
    )
    assert loudness(quiet) < 0.6 * loudness(plain)


def test_attributes_replace_and_the_rest_stays():
    changed = with_attributes(variant("f1"), pitch="100 120", formant=["1 90 100 100", "2 95 100 100"])
    assert "pitch 100 120" in changed
    assert "pitch 140 200" not in changed
    assert "stressAdd -10 -10 -20 -20 0 0 40 60" in changed
    assert formants(changed) == {1: (90, 100, 100), 2: (95, 100, 100)}
    assert formants(variant("f3"))[2] == (135, 70, 150, -250)


def test_a_missing_variant_is_named_with_those_there_are():
    with pytest.raises(EspeakError, match=r"no voice variant 'f99'.*\bf1\b.*\bm3\b"):
        variant("f99")


@pytest.mark.parametrize("voice", [Voice("xx", "gmw/xx", "en_dict"), Voice("en-us", "gmw/en-US", "xx_dict")])
def test_a_missing_language_is_named(tmp_path, voice):
    with pytest.raises(EspeakError, match=r"xx.* is missing"), voices_folder(tmp_path / "voices", voice):
        pass


def test_a_voice_outside_the_folder_is_named(tmp_path):
    with (
        voices_folder(tmp_path / "voices", GERMAN) as folder,
        pytest.raises(EspeakError, match="no voice 'en-us'"),
    ):
        speak(TEXT, ENGLISH, variant("f1"), folder)


def test_the_folder_is_emptied(tmp_path):
    with voices_folder(tmp_path / "voices", GERMAN) as folder:
        assert (folder / "lang" / "de").is_file()
    assert not (tmp_path / "voices").exists()


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(EspeakError, match="install the package espeakng-loader"):
        variant("f1")


@pytest.mark.parametrize("content", [None, b"no library"])
def test_a_library_that_is_missing_or_broken_is_named(voices, tmp_path, monkeypatch, content):
    library = tmp_path / "libespeak-ng.so"
    if content is not None:
        library.write_bytes(content)
    import espeakng_loader

    definition = variant("f1")
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(library))
    with pytest.raises(EspeakError, match=r"libespeak-ng\.so"):
        speak(TEXT, ENGLISH, definition, voices)
    assert not list((voices / "voices" / "!v").iterdir())


def test_a_library_that_stays_loaded_is_no_silent_matter(voices, monkeypatch):
    kept = espeak.ctypes.CDLL(str(espeak._installation()[0]))
    try:
        with pytest.raises(EspeakError, match="stays loaded"):
            speak(TEXT, ENGLISH, variant("f1"), voices)
    finally:
        espeak._ctypes.dlclose(kept._handle)
    assert len(speak(TEXT, ENGLISH, variant("f1"), voices)) > 0


def test_a_deep_installation_does_not_matter(tmp_path, monkeypatch):
    import shutil

    import espeakng_loader

    deep = tmp_path / ("long " * 20) / ("deep " * 20) / "espeak-ng-data"
    shutil.copytree(Path(espeakng_loader.get_data_path()), deep)
    with voices_folder(tmp_path / "near", ENGLISH) as folder:
        near = speak(TEXT, ENGLISH, variant("m2"), folder)
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep))
    with voices_folder(tmp_path / "far", ENGLISH) as folder:
        np.testing.assert_array_equal(speak(TEXT, ENGLISH, variant("m2"), folder), near)
