"""synthesize: the embedded demo corpora, spoken by eSpeak NG with emotional prosody."""

from __future__ import annotations

from _stage import stage
from emodag import layout, synthesis


def synthesize(params, run):
    for corpus in synthesis.SCRIPTS:
        made = synthesis.synthesize(
            corpus,
            layout.raw(corpus),
            speakers=params.synthesize.speakers,
            takes=params.synthesize.takes,
            seed=params.synthesize.seed,
            jobs=params.compute.jobs,
        )
        print(f"{corpus}: {made.clips} clips by {made.speakers} speakers, {made.seconds:.0f} s, {made.digest[:16]}")
        run.log_metrics({f"{corpus}.clips": made.clips, f"{corpus}.seconds_of_audio": made.seconds})
        run.set_tags({f"{corpus}.sha256": made.digest})


if __name__ == "__main__":
    stage(synthesize)
