"""Pictures of recordings: what they show is what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emodag import params, plots, sheets
from emodag.audio import SAMPLE_RATE
from emodag.errors import AudioError, DataError
from emodag.features import extract, names

SETTINGS = params.load(Path(__file__).resolve().parents[1] / "params.yaml").featurize


def tone(hertz: float, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype("f4")


def voice(hertz: float, seconds: float = 1.0) -> np.ndarray:
    """Harmonics up to 4 kHz, falling by 6 dB an octave."""
    harmonics = range(1, int(4000 / hertz))
    return sum(tone(hertz * harmonic, seconds, 0.2 / harmonic) for harmonic in harmonics).astype("f4")


def peak_band(values: np.ndarray) -> int:
    return int(values.mean(axis=0).argmax())


@pytest.fixture(scope="module")
def spoken() -> sheets.Analysis:
    return sheets.analyse(np.concatenate([voice(150), np.zeros(SAMPLE_RATE // 2, "f4")]), SETTINGS)


def test_a_sine_has_its_frequency_and_level_in_every_picture():
    found = sheets.analyse(tone(1000, amplitude=0.5), SETTINGS)
    middle = found.amplitude[20:-20]
    assert peak_band(middle) == 1000 / SAMPLE_RATE * SETTINGS.n_fft
    np.testing.assert_allclose(middle.max(axis=1), 0.5, rtol=1e-3)
    np.testing.assert_allclose(found.energy[20:-20], 20 * np.log10(0.5), atol=0.05)
    np.testing.assert_allclose(np.abs(found.envelope[1:-1]).max(), 0.5, rtol=1e-3)
    assert peak_band(found.chroma) == 11  # 1 kHz lies next to B


def test_f0_is_that_of_the_voice_and_absent_in_silence(spoken):
    voiced = np.isfinite(spoken.f0)
    np.testing.assert_allclose(spoken.f0[voiced], 150, rtol=0.01)
    assert voiced[10:90].all()
    assert not voiced[110:].any()


@pytest.mark.parametrize(
    "samples",
    [
        np.full(1, 0.5, "f4"),
        np.zeros(SAMPLE_RATE, "f4"),
        np.full(SAMPLE_RATE, 0.7, "f4"),
        np.sign(tone(100)),
        np.random.default_rng(0).normal(size=4000).astype("f4"),
    ],
    ids=["one sample", "silence", "dc", "square wave", "noise"],
)
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
def test_any_samples_can_be_drawn(samples, tmp_path):
    found = sheets.analyse(samples, SETTINGS)
    assert all(np.isfinite(getattr(found, name)).all() for name in ("amplitude", "mel", "mfcc", "chroma", "energy"))
    plots.save(sheets.sheet(found, "any"), tmp_path / "any.png")


def test_a_long_recording_has_as_many_columns_as_a_picture_and_the_same_content(monkeypatch):
    samples = np.concatenate([tone(500, 20), tone(2000, 20), voice(150, 20)])
    whole = sheets.analyse(samples, SETTINGS)
    monkeypatch.setattr(sheets, "COLUMNS", 100)
    monkeypatch.setattr(sheets, "STRETCH", 700)
    found = sheets.analyse(samples, SETTINGS)
    assert found.seconds == 60
    assert 95 <= len(found.energy) <= 100
    assert all(len(values) == len(found.energy) for values in (found.amplitude, found.mel, found.mfcc, found.f0))
    assert [peak_band(part) for part in np.array_split(found.amplitude, 3)[:2]] == [16, 64]
    np.testing.assert_allclose(np.nanmean(found.f0[70:]), 150, rtol=0.01)
    power = [np.square(analysis.amplitude, dtype=float).mean() for analysis in (whole, found)]
    np.testing.assert_allclose(*power, rtol=0.02)


def test_a_sheet_holds_every_picture_with_title_and_units(spoken):
    figure = sheets.sheet(spoken, "somebody.wav")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert len(titles) == len(set(titles)) == len(sheets.KINDS) == 8
    every = [each for axes in figure.axes for each in (axes, *axes.child_axes)]
    labels = {axes.get_xlabel() for axes in every} | {axes.get_ylabel() for axes in every}
    assert {"time (s)", "frequency (kHz)", "F0 (Hz)", "energy (dBFS)", "level (dBFS)"} <= labels
    assert figure.get_suptitle().strip() == "somebody.wav"
    assert any("1.5 s" in text.get_text() for text in figure.texts)


def test_stretches_of_a_long_recording_are_analysed_as_parts_of_it(monkeypatch):
    monkeypatch.setattr(sheets, "STRETCH", 100)
    hum = 1e-3 * voice(200, 2.0)  # by itself a voice, beside the other one silence
    samples = np.concatenate([voice(150, 2.0), hum])
    found = sheets.analyse(samples, SETTINGS)
    assert sheets.analyse(hum, SETTINGS).f0[20] == pytest.approx(200, rel=0.01)
    assert np.isfinite(found.f0[20:180]).all()
    assert not np.isfinite(found.f0[220:]).any()
    # A sheet shows the recording as it is, features come of what cleaning made of it.
    as_it_is = SETTINGS.model_copy(update={"clean": SETTINGS.clean.model_copy(update={"steps": []})})
    frames = extract(samples, as_it_is).frames
    columns = [names(SETTINGS).columns.index(name) for name in names(SETTINGS).frames["mfcc"]]
    np.testing.assert_allclose(found.mfcc, frames[: len(found.mfcc), columns], rtol=1e-4, atol=1e-3)


def test_a_name_with_dollar_signs_is_no_formula(spoken):
    figure = sheets.sheet(spoken, r"cost$\frac{$.wav")
    figure.canvas.draw()
    assert figure.get_suptitle().strip() == r"cost$\frac{$.wav"


@pytest.mark.parametrize("title", ["short.wav", "a very long name " * 12])
def test_nothing_is_drawn_outside_the_sheet(spoken, title):
    figure = sheets.sheet(spoken, title)
    figure.canvas.draw()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


@pytest.fixture
def recording(tmp_path) -> Path:
    """Not the pipeline's own form: 44.1 kHz, two channels."""
    path = tmp_path / "greeting.wav"
    soundfile.write(path, np.stack([voice(150), voice(150)], axis=1), 44_100)
    return path


def test_files_are_named_after_the_recording_and_the_picture(recording, tmp_path):
    files = list(sheets.write(recording, tmp_path / "new" / "folder", SETTINGS))
    assert [file.name for file in files] == [f"greeting_{kind}.png" for kind in ("sheet", *sheets.KINDS)]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_only_the_pictures_asked_for_are_drawn_each_time_with_the_same_bytes(recording, tmp_path):
    first = [file.read_bytes() for file in sheets.write(recording, tmp_path, SETTINGS, ["mfcc", "contours"])]
    again = [file.read_bytes() for file in sheets.write(recording, tmp_path, SETTINGS, ["contours", "mfcc"])]
    assert len(first) == 2
    assert first == again
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_drawing_leaves_matplotlib_as_it_was(spoken, tmp_path):
    import matplotlib

    def settings() -> dict:
        # Comparing the backend would choose one.
        return {name: value for name, value in dict.items(matplotlib.rcParams) if not name.startswith("backend")}

    before = settings()
    plots.save(sheets.sheet(spoken, "any"), tmp_path / "any.png")
    assert settings() == before
    assert (
        "matplotlib.pyplot" not in __import__("sys").modules or not __import__("matplotlib.pyplot").pyplot.get_fignums()
    )


def test_what_cannot_be_drawn_is_a_clear_error(recording, tmp_path):
    with pytest.raises(AudioError, match=r"missing\.wav"):
        list(sheets.write(tmp_path / "missing.wav", tmp_path, SETTINGS))
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(AudioError, match=r"text\.wav"):
        list(sheets.write(tmp_path / "text.wav", tmp_path, SETTINGS))
    soundfile.write(tmp_path / "loud.wav", 1000 * voice(150), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"loud\.wav: samples reach .* up to 100 is accepted"):
        list(sheets.write(tmp_path / "loud.wav", tmp_path, SETTINGS))
    with pytest.raises(DataError, match="'mel' is no picture; accepted: sheet, waveform"):
        list(sheets.write(recording, tmp_path, SETTINGS, ["mel"]))
    with pytest.raises(DataError, match=r"text\.wav.*cannot be written"):
        list(sheets.write(recording, tmp_path / "text.wav", SETTINGS, ["waveform"]))


def test_one_clip_of_each_emotion_is_drawn_the_same_by_any_number_of_processes(tmp_path):
    manifest = pd.DataFrame(
        {"clip_id": ["c/2", "c/1", "c/3"], "emotion": ["sad", "sad", "angry"], "path": ["2.flac", "1.flac", "3.flac"]}
    )
    for number, path in enumerate(manifest["path"]):
        soundfile.write(tmp_path / path, voice(100 + 50 * number, 0.5), SAMPLE_RATE)
    drawn = []
    without_the_second = manifest[manifest["clip_id"] != "c/2"]
    for jobs, clips in ((1, manifest), (2, without_the_second)):
        out = tmp_path / f"out{jobs}"
        out.mkdir()
        sheets.write_by_emotion(clips, tmp_path, out, SETTINGS, jobs=jobs)
        drawn.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert set(drawn[0]) == {"sad.png", "angry.png"}
    assert drawn[0] == drawn[1]
