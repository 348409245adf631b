"""augment: variants of the clips of a corpus that is trained on; an empty table for one that is only tested."""

from __future__ import annotations

from _stage import stage
from emodag import layout, schema
from emodag.augmentation import augment_corpus
from emodag.files import atomic_directory
from emodag.params import role_named


def augment(params, run, corpus, role):
    manifest = schema.read(layout.organized(corpus) / "manifest.parquet", schema.MANIFEST)
    turns = schema.read(layout.turns(corpus) / "turns.parquet", schema.TURNS)
    if role_named(role) != "train":
        manifest = manifest.head(0)
    with atomic_directory(layout.augmented(corpus)) as out:
        copies = augment_corpus(
            manifest,
            turns,
            layout.organized(corpus),
            out,
            params.augment,
            seed=params.seed,
            jobs=params.compute.jobs,
            description=f"augment {corpus}",
        )
    why = "" if role == "train" else f": the role of {corpus} is {role}, and only training clips are augmented"
    print(f"{len(copies)} copies of {len(manifest)} clips{why}")
    run.log_metrics({"copies": len(copies), "seconds_of_audio": copies["duration"].sum()})


if __name__ == "__main__":
    stage(augment)
