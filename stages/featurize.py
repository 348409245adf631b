"""featurize: frame features, functionals and embeddings of a corpus and of its augmented copies, computed once."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from _stage import stage
from emodag import layout, sheets
from emodag.features import featurize_corpus
from emodag.features.corpus import read_source
from emodag.files import atomic_directory
from emodag.params import role_named


def featurize(params, run, corpus, role):
    start = time.monotonic()
    sources = [
        read_source(layout.organized(corpus), layout.turns(corpus)),
        read_source(layout.augmented(corpus), layout.augmented(corpus)),
    ]
    with atomic_directory(layout.features(corpus, role_named(role))) as out:
        clips, frames = featurize_corpus(
            sources, out, params.featurize, jobs=params.compute.jobs, description=f"featurize {corpus}"
        )
    seconds = sum(source.manifest["duration"].sum() for source in sources)
    speed = seconds / (time.monotonic() - start)
    print(f"{clips} clips ({seconds / 60:.0f} min), {frames} frames; {speed:.0f} times real time")
    run.log_metrics({"clips": clips, "frames": frames, "seconds_of_audio": seconds, "times_real_time": speed})
    if run.is_tracked:
        with tempfile.TemporaryDirectory() as folder:
            originals = sources[0]
            sheets.write_by_emotion(
                originals.manifest, originals.folder, Path(folder), params.featurize, jobs=params.compute.jobs
            )
            run.log_artifact(folder, "sheets")


if __name__ == "__main__":
    stage(featurize)
