"""Each kind of transform: which clips it can change, what it draws, and what it does to the sound.

Where audiomentations has a transform, it is used with both ends of its range at the value drawn here: left to itself it
draws from Python's and NumPy's global generators.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.augmentation.recordings import Recordings
from emodag.augmentation.rooms import Room, convolve, from_direct_sound
from emodag.cleaning import FRAME, denoise
from emodag.params import Denoise, Echo, Gain, Noise, PitchShift, Reverb, Speed, TimeShift, TimeStretch, Transform

#: What a transform did: its ``kind`` and the values drawn.
Setting = dict[str, Any]

#: Below this (64 ms, in samples) vocoders, filters and noise reduction have no frame to work on.
SHORTEST = FRAME


def applies(transform: Transform, samples: np.ndarray) -> bool:
    """Whether a transform can change a clip, whatever it draws.

    What filters or relates to the signal needs one; what works by frames needs some length; an echo must come before
    the clip ends.
    """
    if transform.kind in _NEED_SOUND and not np.any(samples):
        return False
    if transform.kind == "echo":
        return len(samples) > max(transform.max_delay * SAMPLE_RATE, SHORTEST)
    return transform.kind in _ANY_LENGTH or len(samples) >= SHORTEST


_NEED_SOUND = frozenset({"noise", "echo", "reverb", "gain", "telephone", "denoise"})
_ANY_LENGTH = frozenset({"noise", "gain", "time_shift"})


def draw(transform: Transform, samples: np.ndarray, generator: np.random.Generator, recordings: Recordings) -> Setting:
    """The values with which a transform is applied to a clip, float32 ``[samples]``; as plain JSON values."""
    return {"kind": transform.kind} | _KINDS[transform.kind].draw(transform, samples, generator, recordings)


def apply(setting: Setting, samples: np.ndarray, recordings: Recordings) -> np.ndarray:
    """A transform's effect, float32 ``[samples']``; it depends on nothing but what is given here."""
    return _KINDS[setting["kind"]].apply(samples, setting, recordings)


def limit(samples: np.ndarray) -> Setting | None:
    """How far a clip must be turned down to lie within full scale, where it exceeds that.

    What noise, interpolation or gain push beyond would be clipped when written; scaling keeps the waveform.
    """
    peak = float(np.max(np.abs(samples), initial=0.0))
    # Rounded down, so that the value recorded is the one applied; the last bit of float32 must not exceed 1 either.
    return {"kind": "scale", "db": math.floor(-20e4 * math.log10(peak * 1.000001)) / 1e4} if peak > 1 else None


def _uniform(generator: np.random.Generator, low: float, high: float) -> float:
    # Rounded so that the recorded value is exactly the applied one.
    return round(float(generator.uniform(low, high)), 6)


def _seed(generator: np.random.Generator) -> int:
    return int(generator.integers(2**32))


def _chosen(generator: np.random.Generator, recordings: Recordings, kind: str) -> str:
    names = recordings.names(kind)
    return names[generator.integers(len(names))]


def _draw_noise(
    transform: Noise, samples: np.ndarray, generator: np.random.Generator, recordings: Recordings
) -> Setting:
    setting = {"source": transform.source, "snr": _uniform(generator, transform.min_snr, transform.max_snr)}
    if transform.source != "recordings":
        return setting | {"seed": _seed(generator)}
    name = _chosen(generator, recordings, "noise")
    sound = recordings.load("noise", name)
    # A file longer than the clip is not looped, so a stretch starts where the rest of the file is long enough.
    spare = len(sound) - len(samples)
    start = int(generator.integers(spare + 1 if spare >= 0 else len(sound)))
    if not _looped(sound, start, len(samples)).any():
        # A pause in the recording is no noise: its next sound is.
        start = (start + int(np.flatnonzero(np.roll(sound, -start))[0])) % len(sound)
    return setting | {"file": name, "offset": start / SAMPLE_RATE}


def _noise(samples: np.ndarray, setting: Setting, recordings: Recordings) -> np.ndarray:
    # Not audiomentations' AddGaussianSNR and AddColorNoise: they draw from the global generators, and they scale the
    # noise by its expected level, which on a clip of 10 ms misses the ratio by more than half a decibel.
    if setting["source"] == "recordings":
        start = round(setting["offset"] * SAMPLE_RATE)
        noise = _looped(recordings.load("noise", setting["file"]), start, len(samples))
        # A stretch that is all but silent would need more gain than float32 holds.
        noise = noise / np.abs(noise).max()
    else:
        generator = np.random.default_rng(setting["seed"])
        noise = {"white": _white, "pink": _pink}[setting["source"]](len(samples), generator)
    wanted = _level(samples) * 10 ** (-setting["snr"] / 20)
    return samples + noise * np.float32(wanted / _level(noise))


def _looped(sound: np.ndarray, start: int, length: int) -> np.ndarray:
    if start + length <= len(sound):
        return sound[start : start + length]
    return np.resize(np.concatenate((sound[start:], sound[:start])), length)


def _white(length: int, generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal(length, dtype=np.float32)


def _pink(length: int, generator: np.random.Generator) -> np.ndarray:
    """Power falls by 3 dB an octave from 20 Hz up; below, where nothing is heard, there is none."""
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    # A clip of a few samples has no frequency to shape; the first samples of longer noise have.
    size = next_fast_len(max(length, SAMPLE_RATE), real=True)
    frequency = rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float32)
    shape = np.where(frequency >= 20, 1 / np.sqrt(np.maximum(frequency, 1)), np.float32(0))
    return irfft(rfft(_white(size, generator)) * shape, size)[:length]


def _level(samples: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _draw_rate(transform: TimeStretch | Speed, _samples, generator: np.random.Generator, _recordings) -> Setting:
    return {"rate": _uniform(generator, transform.min_rate, transform.max_rate)}


def _time_stretch(samples: np.ndarray, setting: Setting, _recordings) -> np.ndarray:
    from audiomentations import TimeStretch

    # Its default keeps the length, which would cut the end off a slowed clip.
    stretch = TimeStretch(min_rate=setting["rate"], max_rate=setting["rate"], leave_length_unchanged=False, p=1.0)
    return stretch(samples, SAMPLE_RATE)


def _speed(samples: np.ndarray, setting: Setting, _recordings) -> np.ndarray:
    # audiomentations has none. What was recorded at the rate times 16 kHz is played at 16 kHz.
    import soxr

    return soxr.resample(samples, SAMPLE_RATE * setting["rate"], SAMPLE_RATE, quality="HQ")


def _draw_pitch_shift(transform: PitchShift, _samples, generator: np.random.Generator, _recordings) -> Setting:
    return {"semitones": _uniform(generator, transform.min_semitones, transform.max_semitones)}


def _pitch_shift(samples: np.ndarray, setting: Setting, _recordings) -> np.ndarray:
    from audiomentations import PitchShift

    semitones = setting["semitones"]
    return PitchShift(min_semitones=semitones, max_semitones=semitones, p=1.0)(samples, SAMPLE_RATE)


def _draw_time_shift(transform: TimeShift, _samples, generator: np.random.Generator, _recordings) -> Setting:
    return {"shift": _uniform(generator, transform.min_shift, transform.max_shift)}


def _time_shift(samples: np.ndarray, setting: Setting, _recordings) -> np.ndarray:
    from audiomentations import Shift

    return Shift(min_shift=setting["shift"], max_shift=setting["shift"], rollover=False, fade_duration=0.0, p=1.0)(
        samples, SAMPLE_RATE
    )


def _draw_echo(transform: Echo, _samples, generator: np.random.Generator, _recordings) -> Setting:
    delay = max(1, round(_uniform(generator, transform.min_delay, transform.max_delay) * SAMPLE_RATE))
    return {"delay": delay / SAMPLE_RATE, "db": _uniform(generator, transform.min_db, transform.max_db)}


def _echo(samples: np.ndarray, setting: Setting, _recordings) -> np.ndarray:
    # audiomentations has none. The clip keeps its length: what echoes beyond its end is not speech to be learnt from.
    delay = round(setting["delay"] * SAMPLE_RATE)
    echoed = samples.copy()
    echoed[delay:] += samples[:-delay] * np.float32(10 ** (setting["db"] / 20))
    return echoed


def _draw_reverb(transform: Reverb, _samples, generator: np.random.Generator, recordings: Recordings) -> Setting:
    if transform.source == "recordings":
        return {"source": "recordings", "file": _chosen(generator, recordings, "reverb")}
    rt60 = _uniform(generator, transform.min_rt60, transform.max_rt60)
    return {"source": "room"} | asdict(Room.drawn(rt60, generator)) | {"seed": _seed(generator)}


def _reverb(samples: np.ndarray, setting: Setting, recordings: Recordings) -> np.ndarray:
    # Not audiomentations' RoomSimulator and ApplyImpulseResponse: both keep the delay of the direct sound, which moves
    # speech away from its turns, and the simulator's few reflections end long before the decay that was asked for.
    if setting["source"] == "recordings":
        response = from_direct_sound(recordings.load("reverb", setting["file"]))
    else:
        room = Room(setting["rt60"], setting["size"], setting["talker"], setting["microphone"])
        response = room.impulse_response(setting["seed"])
    return convolve(samples, response)


def _draw_gain(transform: Gain, _samples, generator: np.random.Generator, _recordings) -> Setting:
    return {"db": _uniform(generator, transform.min_db, transform.max_db)}


def _gain(samples: np.ndarray, setting: Setting, _recordings) -> np.ndarray:
    from audiomentations import Gain

    return Gain(min_gain_db=setting["db"], max_gain_db=setting["db"], p=1.0)(samples, SAMPLE_RATE)


def _scale(samples: np.ndarray, setting: Setting, _recordings) -> np.ndarray:
    return samples * np.float32(10 ** (setting["db"] / 20))


def _draw_nothing(_transform, _samples, _generator, _recordings) -> Setting:
    return {}


def _telephone(samples: np.ndarray, _setting, _recordings) -> np.ndarray:
    # audiomentations has no codec. The filter is symmetric and centred, and soxr makes up for its own delay, so nothing
    # moves in time.
    import soundfile
    import soxr
    from scipy.signal import fftconvolve, firwin

    line = 8000
    narrow = soxr.resample(samples, SAMPLE_RATE, line, quality="HQ")
    band = firwin(161, (300, 3400), pass_zero=False, fs=line).astype(np.float32)
    # The codec saturates; libsndfile's table would be left.
    narrow = np.clip(fftconvolve(narrow, band, mode="same"), -1, 1)
    coded = io.BytesIO()
    soundfile.write(coded, narrow, line, format="RAW", subtype="ULAW")
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32", samplerate=line, channels=1, format="RAW", subtype="ULAW")
    wide = soxr.resample(decoded, line, SAMPLE_RATE, quality="HQ")
    return np.pad(wide, (0, max(0, len(samples) - len(wide))))[: len(samples)]


def _draw_denoise(transform: Denoise, _samples, generator: np.random.Generator, _recordings) -> Setting:
    return {"strength": _uniform(generator, transform.min_strength, transform.max_strength)}


def _denoise(samples: np.ndarray, setting: Setting, _recordings) -> np.ndarray:
    return denoise(samples, setting["strength"])


class _Kind(NamedTuple):
    draw: Callable[[Any, np.ndarray, np.random.Generator, Recordings], Setting]
    apply: Callable[[np.ndarray, Setting, Recordings], np.ndarray]


_KINDS = {
    "noise": _Kind(_draw_noise, _noise),
    "time_stretch": _Kind(_draw_rate, _time_stretch),
    "speed": _Kind(_draw_rate, _speed),
    "pitch_shift": _Kind(_draw_pitch_shift, _pitch_shift),
    "time_shift": _Kind(_draw_time_shift, _time_shift),
    "echo": _Kind(_draw_echo, _echo),
    "reverb": _Kind(_draw_reverb, _reverb),
    "gain": _Kind(_draw_gain, _gain),
    "telephone": _Kind(_draw_nothing, _telephone),
    "denoise": _Kind(_draw_denoise, _denoise),
    "scale": _Kind(_draw_nothing, _scale),
}
