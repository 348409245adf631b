"""train: features of the train corpora -> out-of-fold predictions, checked for leaks, and the model that ships."""

from __future__ import annotations

import numpy as np

from _stage import stage
from emodag import bundle, datasets, layout, schema, training
from emodag.adaptation import TOLD, groups_of
from emodag.files import atomic_directory
from emodag.leakage import check_leakage
from emodag.predict import uar_by
from emodag.splits import describe, split


def train(params, run):
    corpora = datasets.corpora_with(params, "train")
    data = datasets.load(corpora, "train", inputs=params.train.inputs).with_calm(params.train.calm)
    folds = split(data.index, params.train, params.seed)
    print(datasets.describe(data))
    print(describe(folds, data.index, params.train))
    if params.adaptation.by != "none":
        print(f"every score below is {TOLD[params.adaptation.by]}")

    done = training.cross_validate(data, folds, params)
    check_leakage(folds, done.predictions, data.index, params.train.protocol)
    scores = uar_by(done.predictions, done.predictions["fold"], data.classes)
    for fold, uar in scores.items():
        print(f"fold {fold}: UAR {uar:.1%}, {done.rounds[fold]} rounds")
    by_corpus = uar_by(done.predictions, done.predictions["clip_id"].str.split("/").str[0], data.classes)
    print(", ".join(f"{corpus}: UAR {uar:.1%}" for corpus, uar in by_corpus.items()))

    final = training.fit_final(data, params, done.median_rounds)
    with atomic_directory(layout.MODELS) as models, atomic_directory(layout.PREDICTIONS) as predictions:
        shipped = bundle.make(final, data, params, by_corpus)
        originals = data.originals()
        groups = groups_of(originals.index, params.adaptation)
        expected = final.predict_proba(originals.features, groups)
        difference = bundle.check_export(shipped, originals.features, groups, expected)
        shipped.save(models)
        schema.write(folds, schema.FOLDS, predictions / "folds.parquet")
        schema.write(done.predictions, schema.predictions(data.classes), predictions / "predictions.parquet")
    print(f"{params.model} of {final.model.rounds} rounds shipped; its ONNX export differs by at most {difference:.1g}")

    run.log_metrics({f"uar_fold_{fold}": uar for fold, uar in scores.items()})
    run.log_metrics({f"uar_{corpus}": uar for corpus, uar in by_corpus.items()})
    run.log_metrics({"uar": float(np.mean(list(by_corpus.values()))), "rounds": final.model.rounds, "onnx": difference})


if __name__ == "__main__":
    stage(train)
