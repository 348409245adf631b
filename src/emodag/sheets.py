"""What a recording looks like: waveform, spectra, cepstrum, chroma and contours, as one sheet and one by one.

The values are those that :mod:`emodag.features` computes under the same settings. Levels are in dB relative to a
full-scale sine (dBFS). A recording of any length is drawn: it is analysed in stretches (F0 and MFCC, which depend on
its loudest moment, at once), and what falls into one column of a picture is averaged (amplitudes by their power).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from emodag import audio, plots
from emodag.audio import SAMPLE_RATE
from emodag.errors import DataError
from emodag.parallel import parallel_map
from emodag.params import Featurize, FrameGroups

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3000  # of a picture at most; more would be finer than its pixels
STRETCH = 6000  # frames analysed at a time, since the spectra of hours are large
FLOOR_DB = -120.0

_PITCH_CLASSES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
_MAP, _DIVERGING = "magma", "RdBu_r"  # both safe for the colour blind, the first perceptually uniform
_LINE, _SECOND = "#0072b2", "#d55e00"  # Okabe and Ito's blue and vermilion
_SHEET, _PICTURE = (14.0, 10.5), (10.0, 4.6)  # inches
_LEFT, _RIGHT, _BELOW, _ABOVE = 0.8, 0.85, 0.47, 0.3  # inches around each picture of a sheet, for labels and title
_SECONDS_AXIS = 180.0  # a longer recording is told in minutes


class Analysis(NamedTuple):
    """A recording as its pictures need it, in at most :data:`COLUMNS` columns of a picture.

    ``envelope`` [columns, 2]: lowest and highest sample; ``amplitude`` [columns, bins]: of sines, 1 is full scale;
    ``mel`` [columns, bands]: power in dB; ``mfcc`` [columns, coefficients]; ``chroma`` [columns, 12]; ``f0`` [columns]
    in Hz, NaN where unvoiced; ``energy`` [columns] in dBFS.
    """

    settings: Featurize
    seconds: float
    envelope: np.ndarray
    amplitude: np.ndarray
    mel: np.ndarray
    mfcc: np.ndarray
    chroma: np.ndarray
    f0: np.ndarray
    energy: np.ndarray


def analyse(samples: np.ndarray, settings: Featurize) -> Analysis:
    """Analyse a recording, float32 [samples] at 16 kHz, at least one."""
    hop = settings.hop_length
    count = 1 + len(samples) // hop
    pooled = -(-count // COLUMNS)
    step = max(1, STRETCH // pooled) * pooled
    # Stretches meet at frames. A frame where two meet sees silence beyond: one in thousands, lost in its column.
    stretches = [
        _analyse_stretch(samples[first * hop : (first + step) * hop], settings, min(step, count - first), pooled)
        for first in range(0, count, step)
        if first * hop < len(samples)
    ]
    power, mel, chroma, energy = (np.concatenate(each) for each in zip(*stretches, strict=True))
    wide = -(-len(samples) // COLUMNS)
    starts = np.arange(0, len(samples), wide)
    return Analysis(
        settings=settings,
        seconds=len(samples) / SAMPLE_RATE,
        envelope=np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)], axis=1),
        amplitude=np.sqrt(power),
        mel=_decibels(mel),
        mfcc=_means(_groups(samples, settings, "mfcc")["mfcc"], pooled)[: len(energy)],
        chroma=chroma,
        f0=_voiced_means(_f0(samples, settings), pooled)[: len(energy)],
        energy=_decibels(2 * energy),  # a sine's mean square is half its squared amplitude
    )


def _analyse_stretch(samples: np.ndarray, settings: Featurize, count: int, pooled: int) -> tuple[np.ndarray, ...]:
    """Power [columns, bins], mel power, chroma and mean square of the first ``count`` frames."""
    of = _groups(samples, settings, "mel", "chroma", "rms")
    return (
        _means(_power(samples, settings)[:count], pooled),
        _means(of["mel"][:count], pooled),
        _means(of["chroma"][:count], pooled),
        _means(np.square(of["rms"][:count]), pooled)[:, 0],
    )


def _groups(samples: np.ndarray, settings: Featurize, *wanted: str) -> dict[str, np.ndarray]:
    """Groups of spectral features [frames, features]."""
    from emodag.features import spectral

    groups = FrameGroups(**{group: group in wanted for group in FrameGroups.model_fields})
    pictured = settings.model_copy(update={"frames": groups})
    names = spectral.names(pictured)
    ends = np.cumsum([len(columns) for columns in names.values()])
    return dict(zip(names, np.split(spectral.frames(samples, pictured), ends[:-1], axis=1), strict=True))


def _power(samples: np.ndarray, settings: Featurize) -> np.ndarray:
    """The spectra of :mod:`emodag.features.spectral` [frames, bins], where a full-scale sine has power 1."""
    import scipy.fft

    from emodag.features.spectral import hann

    window = hann(settings.win_length).astype(np.float32)
    padded = np.pad(samples, settings.win_length // 2)
    windows = sliding_window_view(padded, settings.win_length)[:: settings.hop_length]
    spectrum = scipy.fft.rfft(windows * (2 * window / window.sum()), settings.n_fft)
    return spectrum.real**2 + spectrum.imag**2


def _f0(samples: np.ndarray, settings: Featurize) -> np.ndarray:
    """F0 in Hz, 0 where unvoiced: float [frames]."""
    from emodag.features import prosody

    groups = FrameGroups(**{group: group == "f0" for group in FrameGroups.model_fields})
    only = {"voice_quality": False, "rhythm": False}
    settings = settings.model_copy(
        update={"frames": groups, "functionals": settings.functionals.model_copy(update=only)}
    )
    found = prosody.analyse(samples, settings, 1 + len(samples) // settings.hop_length)
    return np.where(found.voiced, prosody.SEMITONE_REFERENCE * 2 ** (found.frames[:, 0] / 12), 0)


def _means(values: np.ndarray, pooled: int) -> np.ndarray:
    """Means of ``pooled`` rows at a time; the last may be of fewer."""
    if pooled == 1:
        return values
    starts = np.arange(0, len(values), pooled)
    counts = np.diff(np.append(starts, len(values)))
    return np.add.reduceat(values, starts, axis=0) / counts.reshape(-1, *[1] * (values.ndim - 1))


def _voiced_means(f0: np.ndarray, pooled: int) -> np.ndarray:
    """F0 averaged over the voiced frames of a column; NaN where there is none."""
    share = _means((f0 > 0).astype(np.float64), pooled)
    return np.where(share > 0, _means(f0, pooled) / np.where(share > 0, share, 1), np.nan)


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))


def sheet(found: Analysis, title: str, colour: str = plots.INK) -> Figure:
    """All pictures of a recording on one page."""
    figure = _figure(_SHEET)
    depth = _head(figure, title, found, colour, size=15)
    # Fixed, because a search for the best layout takes longer than the drawing.
    width, height = _SHEET
    grid = figure.add_gridspec(
        4,
        2,
        left=_LEFT / width,
        right=1 - _RIGHT / width,
        bottom=_BELOW / height,
        top=1 - (depth + _ABOVE) / height,
        wspace=(_LEFT + _RIGHT) / ((width - 2 * (_LEFT + _RIGHT)) / 2),
        hspace=(_BELOW + _ABOVE) / ((height - depth - 4 * (_BELOW + _ABOVE)) / 4),
    )
    for axes, kind in zip(grid.subplots().flat, KINDS, strict=True):
        _draw(axes, kind, found, size=10)
    return figure


def picture(found: Analysis, kind: str, title: str) -> Figure:
    """One of the :data:`KINDS` by itself."""
    figure = _figure(_PICTURE, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.07)
    _draw(figure.subplots(), kind, found, size=12)
    _head(figure, title, found, plots.INK, size=13)
    return figure


def write(path: Path, out: Path, settings: Featurize, kinds: Sequence[str] = ()) -> Iterator[Path]:
    """Draw a recording of any format into ``<out>/<stem>_sheet.png`` and ``<out>/<stem>_<kind>.png``; yields the files.

    Args:
        path: the recording.
        out: a folder; made if it is missing.
        settings: the ``featurize`` section of the params.
        kinds: of :data:`KINDS` or ``sheet``; all where none is named.

    Raises:
        AudioError: the file is missing, is no audio or is far beyond full scale.
        DataError: a kind is unknown, nothing is left of the sound at 16 kHz, or the folder cannot be written.
    """
    every = ("sheet", *KINDS)
    unknown = [kind for kind in kinds if kind not in every]
    if unknown:
        raise DataError(f"{unknown[0]!r} is no picture; accepted: {', '.join(every)}")
    recording = audio.read(path)
    try:
        out.mkdir(parents=True, exist_ok=True)
        found = analyse(audio.resample(recording.samples, recording.rate), settings)
        for kind in [kind for kind in every if kind in (kinds or every)]:
            drawn = sheet(found, path.name) if kind == "sheet" else picture(found, kind, path.name)
            file = out / f"{path.stem}_{kind}.png"
            plots.save(drawn, file)
            yield file
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{error.filename or out}: cannot be written: {error.strerror}") from None


def write_by_emotion(manifest: pd.DataFrame, folder: Path, out: Path, settings: Featurize, *, jobs: int = 0) -> None:
    """Draw the sheet of one clip of each emotion, the first by ``clip_id``, as ``<out>/<emotion>.png``.

    Args:
        manifest: by :data:`emodag.schema.MANIFEST`, paths relative to ``folder``.
        folder: of the clips.
        out: a folder that exists.
        settings: the ``featurize`` section of the params.
        jobs: processes; 0 for one per core.
    """
    first = manifest.sort_values("clip_id").drop_duplicates("emotion")
    tasks = list(zip(first["emotion"], first["clip_id"], first["path"], strict=True))
    drawn = parallel_map(
        partial(_sheet_of, folder=folder, settings=settings), tasks, jobs=jobs, description="sheets", batch=1
    )
    for (emotion, _, _), png in zip(tasks, drawn, strict=True):
        (out / f"{emotion}.png").write_bytes(png)


def _sheet_of(clip: tuple[str, str, str], *, folder: Path, settings: Featurize) -> bytes:
    """A clip's sheet as PNG; bytes, because a worker may run where ``out`` is not."""
    emotion, clip_id, path = clip
    figure = sheet(analyse(audio.load(folder / path), settings), f"{emotion} · {clip_id}", plots.COLOURS[emotion])
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "sheet.png"
        plots.save(figure, file)
        return file.read_bytes()


# --- the pictures


def _waveform(axes: Axes, found: Analysis) -> list[Axes]:
    low, high = found.envelope.T
    times = np.linspace(0, _in_axis_units(found.seconds), len(low), endpoint=False)
    if np.array_equal(low, high):
        axes.plot(times, low, color=_LINE, linewidth=0.8)
    else:
        axes.fill_between(times, low, high, color=_LINE, linewidth=0.6)
    reach = max(float(np.abs(found.envelope).max()) * 1.08, 1e-3)
    axes.set_ylim(-reach, reach)
    axes.axhline(0, color=plots.FAINT, linewidth=0.5)
    axes.set_ylabel("amplitude (full scale 1)")
    return []


def _spectrum(axes: Axes, found: Analysis) -> list[Axes]:
    level = _decibels(np.mean(np.square(found.amplitude, dtype=np.float64), axis=0))
    axes.plot(np.linspace(0, SAMPLE_RATE / 2000, len(level)), level, color=_LINE, linewidth=1.3)
    axes.fill_between(np.linspace(0, SAMPLE_RATE / 2000, len(level)), FLOOR_DB, level, color=_LINE, alpha=0.15)
    axes.set_xlim(0, SAMPLE_RATE / 2000)
    axes.set_ylim(max(FLOOR_DB, level.min() - 3), max(level.max() + 5, FLOOR_DB + 10))
    axes.set_xlabel("frequency (kHz)")
    axes.set_ylabel("magnitude (dBFS)")
    axes.grid(True, color="#eceef1")
    axes.set_axisbelow(True)
    return []


def _spectrogram(axes: Axes, found: Analysis) -> list[Axes]:
    # The loudest thousandth would leave everything else black.
    loudest = max(float(np.quantile(found.amplitude, 0.999)), 1e-3)
    image = _image(axes, found, found.amplitude, 0, loudest, (0, SAMPLE_RATE / 2000))
    axes.set_ylabel("frequency (kHz)")
    return _bar(axes, image, "amplitude", extend="max")


def _log_spectrogram(axes: Axes, found: Analysis) -> list[Axes]:
    level = _decibels(np.square(found.amplitude))
    image = _image(axes, found, level, *_levels(level, 80), (0, SAMPLE_RATE / 2000))
    axes.set_ylabel("frequency (kHz)")
    return _bar(axes, image, "level (dBFS)", extend="min")


def _mel_spectrogram(axes: Axes, found: Analysis) -> list[Axes]:
    import librosa

    settings = found.settings
    # Bands are normalised by their width, so their power has no full scale.
    level = found.mel - max(found.mel.max(), FLOOR_DB + settings.top_db)
    image = _image(axes, found, level, -settings.top_db, 0, (-0.5, settings.n_mels - 0.5))
    # The centres of the bands: two more points on the mel scale are the ends.
    centres = librosa.mel_frequencies(n_mels=settings.n_mels + 2, fmin=settings.fmin, fmax=settings.fmax)[1:-1]
    marks = [hertz for hertz in (500, 1000, 2000, 4000, 8000) if centres[0] <= hertz <= settings.fmax]
    axes.set_yticks(np.interp(marks, centres, np.arange(settings.n_mels)), [f"{hertz / 1000:g}" for hertz in marks])
    axes.set_ylabel("frequency (kHz, mel scale)")
    return _bar(axes, image, "level (dB re loudest)", extend="min")


def _mfcc(axes: Axes, found: Analysis) -> list[Axes]:
    spread = found.mfcc.std(axis=0)
    # The first coefficient (level) is many times the last: each is shown against its own spread.
    relative = (found.mfcc - found.mfcc.mean(axis=0)) / np.where(spread > 1e-6, spread, 1)
    image = _image(axes, found, relative, -3, 3, (-0.5, found.mfcc.shape[1] - 0.5), _DIVERGING)
    axes.set_yticks(np.arange(0, found.mfcc.shape[1], 4 if found.mfcc.shape[1] > 8 else 1))
    axes.set_ylabel("coefficient")
    return _bar(axes, image, "standard deviations", extend="both")


def _chroma(axes: Axes, found: Analysis) -> list[Axes]:
    image = _image(axes, found, found.chroma, 0, 1, (-0.5, 11.5))
    axes.set_yticks(range(12), [name if len(name) == 1 else "" for name in _PITCH_CLASSES])
    axes.set_ylabel("pitch class")
    return _bar(axes, image, "share of the strongest")


def _contours(axes: Axes, found: Analysis) -> list[Axes]:
    times = _times(found)
    energy = axes.twinx()
    energy.plot(times, found.energy, color=_SECOND, linewidth=1.0, alpha=0.85)
    energy.set_ylim(max(FLOOR_DB, found.energy.max() - 70), max(found.energy.max() + 4, FLOOR_DB + 10))
    energy.set_ylabel("energy (dBFS)", color=_SECOND)
    energy.tick_params(axis="y", colors=_SECOND)
    line = {"linestyle": "none", "markersize": 1.2} if found.seconds > _SECONDS_AXIS else {"markersize": 2.2}
    axes.plot(times, found.f0, color=_LINE, linewidth=2.0, marker="o", **line)
    voiced = found.f0[np.isfinite(found.f0)]
    if len(voiced):
        margin = max(10.0, 0.1 * np.ptp(voiced))
        axes.set_ylim(max(0, voiced.min() - margin), voiced.max() + margin)
    else:
        axes.set_ylim(found.settings.f0_min, found.settings.f0_max)
        axes.text(0.5, 0.5, "nothing voiced", transform=axes.transAxes, ha="center", va="center", color=plots.FAINT)
    axes.set_ylabel("F0 (Hz)", color=_LINE)
    axes.tick_params(axis="y", colors=_LINE)
    # F0 above the energy, whose axes come second.
    axes.set_zorder(energy.get_zorder() + 1)
    axes.patch.set_visible(False)
    return [energy]


#: Each kind of picture and what draws it (and returns the axes beside its own), in the order of the sheet.
KINDS: Mapping[str, Callable[[Axes, Analysis], list[Axes]]] = MappingProxyType(
    {
        "waveform": _waveform,
        "spectrum": _spectrum,
        "spectrogram": _spectrogram,
        "log_spectrogram": _log_spectrogram,
        "mel_spectrogram": _mel_spectrogram,
        "mfcc": _mfcc,
        "chroma": _chroma,
        "contours": _contours,
    }
)

_TITLES = {
    "waveform": "Waveform",
    "spectrum": "Magnitude spectrum, mean over time",
    "spectrogram": "Spectrogram, linear amplitude",
    "log_spectrogram": "Spectrogram, logarithmic amplitude",
    "mel_spectrogram": "Mel spectrogram",
    "mfcc": "Mel-frequency cepstral coefficients (MFCC)",
    "chroma": "Chroma",
    "contours": "Fundamental frequency (F0) and energy",
}


def _figure(size: tuple[float, float], layout: str | None = None) -> Figure:
    # Not pyplot: it keeps every figure alive and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _head(figure: Figure, title: str, found: Analysis, colour: str, *, size: float) -> float:
    """The title, and below it how the recording was analysed; returns the depth of both in inches."""
    window, hop = (1000 * samples / SAMPLE_RATE for samples in (found.settings.win_length, found.settings.hop_length))
    notes = f"{_duration(found.seconds)} · mono, 16 kHz · windows of {window:g} ms every {hop:g} ms"
    width = figure.get_figwidth()
    room = int((width - 0.4) * 72 / (0.7 * size))  # characters of the title in bold
    lines = [title[first : first + room] for first in range(0, len(title), room)] or [""]
    text = "\n".join([*lines[:2], ""])
    # A layout engine makes room for a heading that has no place of its own.
    top = None if figure.get_layout_engine() else 1 - 0.1 / figure.get_figheight()
    heading = figure.suptitle(text, x=0.2 / width, y=top, ha="left", va="top", color=colour, weight="bold")
    heading.set(fontsize=size, parse_math=False)  # a name with dollar signs is no formula
    depth = 0.12 + len(lines[:2]) * size * 1.35 / 72
    below = 1 - depth / figure.get_figheight()
    figure.text(0.2 / width, below, notes, ha="left", va="top", color=plots.FAINT, fontsize=0.7 * size)
    return depth + 0.7 * size * 1.35 / 72


def _draw(axes: Axes, kind: str, found: Analysis, *, size: float) -> None:
    """A picture with title, time axis and sizes alike for all kinds."""
    beside = KINDS[kind](axes, found)
    axes.set_title(_TITLES[kind], loc="left", fontsize=size + 1, color=plots.INK, fontweight="bold")
    if kind != "spectrum":
        axes.set_xlim(0, _in_axis_units(found.seconds))
        axes.set_xlabel("time (min)" if found.seconds > _SECONDS_AXIS else "time (s)")
    for each in (axes, *beside):
        each.tick_params(labelsize=size - 1)
        for label in (each.xaxis.label, each.yaxis.label):
            label.set_fontsize(size)
        each.spines[:].set_visible(False)
    axes.spines[["left", "bottom"]].set_visible(True)
    axes.spines[["left", "bottom"]].set_color("#9aa1ab")


def _image(axes: Axes, found: Analysis, values: np.ndarray, low: float, high: float, reach, colours: str = _MAP):
    """Values [columns, rows] over time, ``reach`` being the values of the vertical axis at its ends."""
    extent = (0, _in_axis_units(found.seconds), *reach)
    return axes.imshow(values.T, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap=colours)


def _bar(axes: Axes, image, label: str, extend: str = "neither") -> list[Axes]:
    # Inset, so that it stays beside its picture whatever the other pictures of the sheet have there.
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.015, 0, 0.02, 1)), extend=extend)
    bar.outline.set_visible(False)
    bar.set_label(label)
    return [bar.ax]


def _levels(level: np.ndarray, reach: float) -> tuple[float, float]:
    """Limits of colour: from ``reach`` dB below the loudest, or from the floor."""
    loudest = max(float(level.max()), FLOOR_DB + 1)
    return max(FLOOR_DB, loudest - reach), loudest


def _times(found: Analysis) -> np.ndarray:
    return np.linspace(0, _in_axis_units(found.seconds), len(found.energy))


def _in_axis_units(seconds: float) -> float:
    return seconds / 60 if seconds > _SECONDS_AXIS else seconds


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > _SECONDS_AXIS else f"{seconds:.3g} s"
