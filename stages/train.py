"""train: features of the train corpora -> out-of-fold predictions, checked for leaks, and the model that ships."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from _stage import stage
from emodag import bundle, datasets, layout, models, schema, tracking, training
from emodag.adaptation import TOLD, groups_of
from emodag.background import Background
from emodag.files import atomic_directory
from emodag.leakage import check_leakage
from emodag.predict import corpora_of, prediction_table, uar_by
from emodag.splits import describe, split

CHECKED = 100  # clips on which evaluate compares the shipped model with the trained one


def train(params, run):
    corpora = datasets.corpora_with(params, "train")
    data = datasets.load(corpora, "train", models.needs(params), inputs=params.train.inputs)
    data = data.with_calm(params.train.calm)
    folds = split(data.index, params.train, params.seed)
    print(datasets.describe(data))
    print(describe(folds, data.index, params.train))
    if params.compute.device == "gpu" and not models.on_gpu(params):
        print(f"compute.device: gpu is for networks; {params.model} trains on the processor")
    if params.adaptation.by != "none":
        print(f"every score below is {TOLD[params.adaptation.by]}")

    done = training.cross_validate(data, folds, params, tracking.home() / layout.TRAINING)
    check_leakage(folds, done.predictions, data.index, params.train.protocol)
    scores = uar_by(done.predictions, done.predictions["fold"], data.classes)
    for (seed, fold), outcome in done.outcomes.items():
        decided = models.told(outcome.chosen | {"temperature": round(outcome.temperature, 2)})
        print(f"seed {seed}, fold {fold}: {decided}")
    print(", ".join(f"fold {fold}: UAR {uar:.1%}" for fold, uar in scores.items()))
    by_corpus = uar_by(done.predictions, corpora_of(done.predictions), data.classes)
    print(", ".join(f"{corpus}: UAR {uar:.1%}" for corpus, uar in by_corpus.items()))

    final = training.fit_final(data, params, done.chosen)
    shipped = bundle.make(final, data, params, done, by_corpus)
    originals = data.originals()
    some = np.unique(np.linspace(0, len(originals.index) - 1, CHECKED).round().astype(int))
    adapted = final.adapter(originals.speech, groups_of(originals.index, params.adaptation))
    background = Background.of(adapted, originals.labels)
    adapted = adapted.of(some)
    expected = final.model.predict_proba(adapted)
    difference = bundle.check_export(shipped, adapted, expected)

    contract = schema.predictions(data.classes)
    with atomic_directory(layout.MODELS) as folder, atomic_directory(layout.PREDICTIONS) as predictions:
        shipped.save(folder)
        background.save(folder)
        reference = prediction_table(originals.index.iloc[some], expected, data.classes, seed=params.seed)
        schema.write(reference, contract, folder / bundle.REFERENCE)
        for (_, fold), outcome in done.outcomes.items():
            if outcome.onnx:
                of_fold = {"temperature": outcome.temperature, "chosen": outcome.chosen, "onnx": outcome.onnx}
                replace(shipped, adaptation=outcome.adaptation, **of_fold).save(folder / bundle.FOLDS / str(fold))
        schema.write(folds, schema.FOLDS, predictions / "folds.parquet")
        schema.write(done.predictions, contract, predictions / "predictions.parquet")
        schema.write(done.validation, contract, predictions / "validation.parquet")
        schema.write(done.curves, schema.CURVES, predictions / "curves.parquet")
    done.checkpoints.close()
    decided = models.told(shipped.chosen | {"temperature": round(shipped.temperature, 2)})
    print(f"{params.model} shipped, {decided}; its ONNX export differs by at most {difference:.1g}")

    run.log_metrics({f"uar_fold_{fold}": uar for fold, uar in scores.items()})
    run.log_metrics({f"uar_{corpus}": uar for corpus, uar in by_corpus.items()})
    run.log_metrics({"uar": float(np.mean(list(by_corpus.values()))), "onnx": difference})
    run.log_curves(done.curves)


if __name__ == "__main__":
    stage(train)
