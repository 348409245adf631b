"""eSpeak NG, spoken so that an utterance depends on nothing but its own arguments.

Three things in the library make the same call sound different from run to run, and each is taken away here:

- its random numbers (breath, flutter) are seeded by the clock: the seed is set for each utterance;
- it carries state from one utterance to the next that no call resets: it is loaded anew for each utterance;
- it looks for voices wherever it is installed: it gets a folder of its own, with just the voices in use. That also
  spares it the path of a deep installation, of which it keeps 160 bytes.

The samples are integers from an integer synthesiser, so they are the same on every machine of the same release.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodag.errors import EmodagError

SAMPLE_RATE = 22_050

# From espeak-ng/speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARACTERS_UTF8 = 1
_POSITION_CHARACTER = 1
_RATE, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7

_PHONEMES = ("phontab", "phonindex", "phondata", "intonations")
_VARIANTS = Path("voices/!v")

_ReceiveSamples = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class EspeakError(EmodagError):
    """eSpeak NG cannot be loaded, or has no such voice."""


@dataclass(frozen=True)
class Voice:
    """A language of eSpeak NG: its file below ``lang/``, its dictionary, and the name to call it by."""

    name: str
    file: str
    dictionary: str


def _installation() -> tuple[Path, Path]:
    """The shared library and the data folder that the ``espeakng-loader`` package brings."""
    try:
        import espeakng_loader

        library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    except (ImportError, RuntimeError) as error:
        raise EspeakError(f"eSpeak NG is missing ({error}): install the package espeakng-loader") from None
    if not library.is_file():
        raise EspeakError(f"{library} is missing: install the package espeakng-loader again")
    return library, data


def variant(name: str) -> str:
    """The definition of one of eSpeak NG's own voice variants (``f1``, ``m3``, ...).

    eSpeak itself accepts any name, and speaks with its default voice where there is no such variant.

    Raises:
        EspeakError: there is no such variant; the message lists those there are.
    """
    folder = _installation()[1] / _VARIANTS
    try:
        return (folder / name).read_text(encoding="utf-8")
    except OSError:
        known = sorted(path.name for path in folder.glob("*"))
        raise EspeakError(
            f"eSpeak NG has no voice variant {name!r} in {folder}; there are: {', '.join(known)}"
        ) from None


@contextmanager
def voices_folder(folder: str | Path, *voices: Voice) -> Iterator[Path]:
    """Fill ``folder`` with eSpeak's data for ``voices`` alone, yield it for :func:`speak`, and empty it again.

    Raises:
        EspeakError: the installed package has no such voice.
    """
    installed, folder = _installation()[1], Path(folder)
    (folder / _VARIANTS).mkdir(parents=True)
    # Under its own name a voice is found without a search, which would read what other processes are writing.
    files = {name: name for name in _PHONEMES}
    for voice in voices:
        files |= {f"lang/{voice.file}": f"lang/{voice.name}", voice.dictionary: voice.dictionary}
    for source, target in files.items():
        if not (installed / source).is_file():
            raise EspeakError(f"{installed / source} is missing: this release of espeakng-loader lacks that voice")
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(installed / source, folder / target)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unload(library: ctypes.CDLL, path: Path) -> None:
    if os.name == "nt":
        _ctypes.FreeLibrary(library._handle)
        return
    _ctypes.dlclose(library._handle)
    try:
        kept = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD)
    except OSError:
        return
    _ctypes.dlclose(kept._handle)
    raise EspeakError(f"{path} stays loaded, so that one utterance would depend on those before it")


def speak(
    text: str,
    voice: Voice,
    definition: str,
    folder: Path,
    *,
    rate: int = 175,
    word_gap: int = 0,
    seed: int = 1,
) -> np.ndarray:
    """Speak ``text`` and return int16 ``[samples]`` at 22.05 kHz. Not for several threads at once.

    Args:
        text: may hold eSpeak's embedded commands (``\\x01`` + value + letter).
        voice: the language, one of those that ``folder`` was made for.
        definition: a voice variant in eSpeak's format: pitch, formants, tone, breath and so on.
        folder: from :func:`voices_folder`.
        rate: words per minute, 80 to 450.
        word_gap: pause between words, in units of 10 ms at the default rate.
        seed: of the noise in the voice.

    Raises:
        EspeakError: the library cannot be loaded, or the voice is missing.
    """
    path, _ = _installation()
    blocks: list[np.ndarray] = []

    @_ReceiveSamples
    def receive(samples, count, _events):
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise EspeakError(f"eSpeak NG cannot be loaded from {path}: {error}") from None
    # Named for this process, because several speak from one folder at a time.
    own = folder / _VARIANTS / f"p{os.getpid()}"
    try:
        own.write_text(definition, encoding="utf-8")
        rate_of_samples = library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(folder), _INITIALIZE_DONT_EXIT
        )
        if rate_of_samples != SAMPLE_RATE:
            raise EspeakError(f"eSpeak NG does not start from {folder}: it answers {rate_of_samples}")
        library.espeak_SetSynthCallback(receive)
        if library.espeak_SetVoiceByName(f"{voice.name}+{own.name}".encode()):
            raise EspeakError(f"eSpeak NG has no voice {voice.name!r} in {folder}")
        for parameter, value in ((_RATE, rate), (_PITCH, 50), (_RANGE, 50), (_WORD_GAP, word_gap)):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        content = text.encode() + b"\0"
        library.espeak_Synth(
            ctypes.c_char_p(content),
            ctypes.c_size_t(len(content)),
            0,
            _POSITION_CHARACTER,
            0,
            _CHARACTERS_UTF8,
            None,
            None,
        )
        library.espeak_Synchronize()
        library.espeak_Terminate()
    finally:
        own.unlink(missing_ok=True)
        _unload(library, path)
    if not blocks:
        raise EspeakError(f"eSpeak NG gives no sound for {text!r}")
    return np.concatenate(blocks)


def formants(definition: str) -> dict[int, tuple[float, ...]]:
    """The formant lines of a voice variant: number -> frequency, height and width in % (and an offset in Hz)."""
    lines = re.findall(r"^formant\s+(\d+)\s+(.+)$", definition, re.MULTILINE)
    return {int(number): tuple(float(value) for value in values.split()) for number, values in lines}


def with_attributes(definition: str, **attributes: str | list[str]) -> str:
    """A voice variant with some attributes replaced; one that takes several lines is given as a list of them."""
    kept = [
        line
        for line in definition.splitlines()
        if line.strip() and line.split()[0] not in {*attributes, "language", "name"}
    ]
    added = [
        f"{name} {value}"
        for name, values in attributes.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return "\n".join(["language variant", "name own", *kept, *added, ""])
