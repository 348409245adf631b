"""How the processes of this project run Python."""

from __future__ import annotations

import atexit
import gc


def collect_seldom() -> None:
    """Let Python search for garbage cycles less often, and not once more for each module when the process ends.

    The large libraries make some hundred thousand objects as they are imported, and none of them is garbage: searching
    them again and again takes a third of the time of an import, and one more time at the end.
    """
    gc.set_threshold(20_000, 50, 100)
    atexit.register(gc.freeze)
