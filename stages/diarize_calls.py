"""diarize_calls: who speaks when in each conversation of a folder."""

from __future__ import annotations

from _stage import stage
from emodag import layout
from emodag.calls.diarization import diarize_calls as diarize
from emodag.files import atomic_directory
from emodag.params import speakers_named


def diarize_calls(params, run, name, speakers):
    with atomic_directory(layout.turns_of_calls(name)) as out:
        done = diarize(
            layout.organized_calls(name), out, params.diarize, speakers_named(speakers), jobs=params.compute.jobs
        )
    print(done.summary())
    run.log_metrics(
        {
            "seconds_of_speech": done.total("speech"),
            "seconds_of_overlap": done.total("overlap"),
            "speakers_per_recording": done.speakers,
        }
    )
    run.log_artifact(layout.turns_of_calls(name) / "turns.rttm")


if __name__ == "__main__":
    stage(diarize_calls)
