"""organize_calls: a folder of conversations -> FLAC at 16 kHz, a table, what is known of them, what was rejected."""

from __future__ import annotations

from _stage import stage
from emodag import layout
from emodag.calls.organization import organize_calls as organize
from emodag.files import atomic_directory


def organize_calls(params, run, name):
    with atomic_directory(layout.organized_calls(name)) as out:
        done = organize(layout.raw(name), out, jobs=params.compute.jobs)
    print(done.summary())
    run.log_metrics(
        {
            "recordings": len(done.recordings),
            "rejected": len(done.rejected),
            "seconds_of_audio": done.recordings["duration"].sum(),
            "with_reference": done.referenced,
            "with_transcript": done.transcribed,
        }
    )
    run.log_artifact(layout.organized_calls(name) / "rejected.csv")
    run.log_artifact(layout.organized_calls(name) / "notes.csv")


if __name__ == "__main__":
    stage(organize_calls)
