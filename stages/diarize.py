"""diarize: who speaks when in each clip of a corpus; where one speaker is assumed, this trims the clip to speech."""

from __future__ import annotations

from _stage import stage
from emodag import layout, schema
from emodag.diarization.corpus import diarize_corpus
from emodag.files import atomic_directory


def diarize(params, run, corpus):
    organized = layout.organized(corpus)
    manifest = schema.read(organized / "manifest.parquet", schema.MANIFEST)
    with atomic_directory(layout.turns(corpus)) as out:
        done = diarize_corpus(manifest, organized, out, params.diarize, jobs=params.compute.jobs)
    print(f"{corpus}: {done.summary()}")
    run.log_metrics(
        {
            "clips": done.clips,
            "turns": len(done.turns),
            "seconds_of_speech": done.speech,
            "share_of_speech": done.speech / done.duration,
            "seconds_of_overlap": done.overlap,
            "speakers_per_clip": done.speakers_per_clip,
            "clips_without_speech": len(done.without_speech),
        }
    )
    run.log_artifact(layout.turns(corpus) / "turns.rttm")


if __name__ == "__main__":
    stage(diarize)
