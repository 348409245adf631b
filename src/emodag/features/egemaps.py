"""The eGeMAPS functionals (version 02) by the opensmile package: 88 acoustic parameters chosen for affective computing.

An option (``featurize.egemaps``): opensmile's licence allows research and education only, so nothing imports it by
default.

F. Eyben et al. (2016): The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for voice research and affective
computing. IEEE Transactions on Affective Computing 7(2), 190-202.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.errors import ParamsError

if TYPE_CHECKING:
    import opensmile

#: openSMILE computes nothing from less than one of its longest windows (60 ms); shorter clips are padded with silence.
SHORTEST = SAMPLE_RATE // 10  # samples


def names() -> tuple[str, ...]:
    """The 88 functionals under openSMILE's names, with ``egemaps_`` before each.

    Raises:
        ParamsError: the opensmile package is not installed.
    """
    return tuple(f"egemaps_{name}" for name in _smile().feature_names)


def functionals(samples: np.ndarray) -> np.ndarray:
    """The eGeMAPS functionals of a clip, float32 [88], in the order of :func:`names`.

    Values that openSMILE leaves undefined (statistics of voice where nothing is voiced) are 0.

    Args:
        samples: float32 [samples] at 16 kHz.

    Raises:
        ParamsError: the opensmile package is not installed.
    """
    smile = _smile()
    padded = np.pad(samples, (0, max(0, SHORTEST - len(samples))))
    values = smile(padded, SAMPLE_RATE).reshape(-1)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)


@lru_cache(maxsize=1)
def _smile() -> opensmile.Smile:
    _load_apart()
    try:
        import opensmile
    except ImportError:
        raise ParamsError(
            "featurize.egemaps: the opensmile package is not installed; install it by "
            "`pip install -r requirements-options.txt` (its licence allows research only) or set egemaps: false"
        ) from None
    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)


def _load_apart() -> None:
    """Load openSMILE's library so that its own C++ symbols win.

    Where TensorFlow was loaded before, openSMILE would else call functions of TensorFlow's that have the same names,
    and crash the process. What ``import opensmile`` loads afterwards is the library that is there already.
    """
    found = find_spec("opensmile")
    if found is None or not hasattr(os, "RTLD_DEEPBIND"):  # only glibc has it
        return
    for library in Path(found.origin).parent.glob("core/bin/*/libSMILEapi.so"):
        ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_DEEPBIND)
