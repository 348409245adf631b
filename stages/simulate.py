"""simulate: clips of a demo corpus -> the embedded demo conversations, with turns and emotions known."""

from __future__ import annotations

from _stage import stage
from emodag import layout
from emodag.calls import demo
from emodag.calls.contracts import DEMO_CALLS
from emodag.files import atomic_directory


def simulate(params, run):
    with atomic_directory(layout.raw(DEMO_CALLS)) as out:
        made = demo.simulate_calls(layout.raw(demo.CORPUS), out, params.simulate)
    seconds = sum(talk.duration for talk in made)
    print(f"{len(made)} conversations, {seconds / 60:.1f} min, {sum(len(talk.turns) for talk in made)} turns")
    run.log_metrics({"conversations": len(made), "seconds_of_audio": seconds})


if __name__ == "__main__":
    stage(simulate)
