"""organize: the files of a corpus -> mono 16 kHz FLAC by emotion, a manifest, and the list of what was rejected."""

from __future__ import annotations

from _stage import stage
from emodag import corpora, layout
from emodag.files import atomic_directory
from emodag.organization import organize_corpus


def organize(params, run, corpus):
    with atomic_directory(layout.organized(corpus)) as out:
        done = organize_corpus(corpora.get(corpus), layout.raw(corpus), out, params.organize, jobs=params.compute.jobs)
    print(done.summary())
    run.log_metrics(
        {
            "files": done.files,
            "clips": len(done.manifest),
            "rejected": len(done.rejected),
            "speakers": done.manifest["speaker"].nunique(),
            "seconds_of_audio": done.manifest["duration"].sum(),
        }
    )
    run.log_artifact(layout.organized(corpus) / "rejected.csv")
    run.log_artifact(layout.organized(corpus) / "notes.csv")


if __name__ == "__main__":
    stage(organize)
