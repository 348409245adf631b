"""featurize_calls: features of each turn of a folder's conversations, computed once for whatever model sees them."""

from __future__ import annotations

import time

from _stage import stage
from emodag import layout
from emodag.calls.featurization import featurize_calls as featurize
from emodag.files import atomic_directory


def featurize_calls(params, run, name):
    start = time.monotonic()
    with atomic_directory(layout.features_of_calls(name)) as out:
        done = featurize(
            layout.organized_calls(name),
            layout.turns_of_calls(name),
            out,
            params.featurize,
            params.diarize,
            params.analyze,
            jobs=params.compute.jobs,
        )
    speed = done.seconds / (time.monotonic() - start)
    print(f"{done.turns} turns, {done.parts} parts of them judged, {done.frames} frames; {speed:.0f} times real time")
    run.log_metrics({"turns": done.turns, "parts": done.parts, "frames": done.frames, "times_real_time": speed})


if __name__ == "__main__":
    stage(featurize_calls)
