"""The eGeMAPS option: openSMILE's own values where the package is installed, a clear error where it is not."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from emodag import audio
from emodag.errors import ParamsError
from emodag.features import egemaps

RATE = audio.SAMPLE_RATE


def test_values_are_those_of_opensmile(opensmile, shared):
    samples = audio.load(sorted((shared / "corpora/emodb").rglob("*.flac"))[0])
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    expected = smile.process_signal(samples, RATE)
    assert egemaps.names() == tuple(f"egemaps_{name}" for name in expected.columns)
    found = egemaps.functionals(samples)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.to_numpy(np.float32)[0])


def test_a_higher_voice_has_a_higher_f0(opensmile):
    time = np.arange(RATE) / RATE

    def mean_f0(f0: float) -> float:
        voice = sum(0.1 * np.sin(2 * np.pi * f0 * number * time) / number for number in range(1, 9))
        values = dict(zip(egemaps.names(), egemaps.functionals(voice.astype(np.float32)), strict=True))
        return values["egemaps_F0semitoneFrom27.5Hz_sma3nz_amean"]

    assert mean_f0(220) - mean_f0(110) == pytest.approx(12, abs=0.2)


@pytest.mark.parametrize("length", [1, 100, 800, 961, 1600, RATE])
def test_degenerate_clips_have_finite_values(opensmile, degenerate, length):
    samples = degenerate(length)
    found = egemaps.functionals(samples)
    assert found.shape == (len(egemaps.names()),) == (88,)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, egemaps.functionals(samples))


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    egemaps._smile.cache_clear()
    monkeypatch.setitem(sys.modules, "opensmile", None)
    for call in (egemaps.names, lambda: egemaps.functionals(np.zeros(RATE, np.float32))):
        with pytest.raises(ParamsError, match=r"pip install -r requirements-options\.txt.*research only"):
            call()


def test_nothing_imports_it_by_default():
    code = (
        "import sys, numpy; from emodag import params; from emodag.features import extract; "
        "settings = params.load('params.yaml').featurize; extract(numpy.zeros(1600, 'f'), settings); "
        "print('opensmile' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_tensorflow_in_the_same_process_does_not_crash_it(opensmile):
    """Its C++ symbols have the names of some of openSMILE's."""
    code = (
        "import numpy as np, keras; from emodag.features import egemaps;"
        "model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]); model.compile(loss='mse');"
        "model.fit(np.zeros((8, 4)), np.zeros((8, 2)), verbose=0);"
        "sound = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32);"
        "print(np.isfinite(egemaps.functionals(sound)).all())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["True"]), done.stderr[-2000:]
