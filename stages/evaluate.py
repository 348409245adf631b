"""evaluate: predictions and the shipped model -> scores in and across corpora, with intervals and pictures."""

from __future__ import annotations

from _stage import stage
from emodag import bundle, datasets, layout, plots, reports, schema
from emodag.files import atomic_directory
from emodag.leakage import check_disjoint, check_leakage


def evaluate(params, run):
    shipped = bundle.load(layout.MODELS)
    trained = datasets.load(datasets.corpora_with(params, "train"), "train", shipped.needs, inputs=shipped.inputs)
    trained = trained.with_calm(shipped.calm)
    bundle.check_data(shipped, trained)
    folds = schema.read(layout.PREDICTIONS / "folds.parquet", schema.FOLDS)
    predictions = schema.read(layout.PREDICTIONS / "predictions.parquet", schema.predictions(shipped.classes))
    check_leakage(folds, predictions, trained.index, shipped.protocol)

    found = [
        reports.in_corpus(predictions, trained, corpus, shipped, params.evaluate, params.seed)
        for corpus in shipped.corpora
    ]
    for corpus in datasets.corpora_with(params, "test"):
        data = datasets.load([corpus], "test", shipped.needs, inputs=shipped.inputs)
        check_disjoint(data.index, trained.index, corpus)
        found.append(reports.cross_corpus(data, corpus, shipped, params.evaluate, params.seed))

    with atomic_directory(layout.PLOTS) as out:
        for report in found:
            print(report)
            for name, figure in report.figures().items():
                plots.save(figure, out / name)
    reports.write_metrics(found, layout.METRICS)

    for report in found:
        run.log_metrics({f"{report.corpus}/{name}": value for name, value in report.scores.summary().items()})
    run.log_artifact(layout.MODELS, "bundle")
    run.log_artifact(layout.PLOTS, "plots")
    run.log_artifact(layout.METRICS / "evaluate.json", "metrics")
    run.log_artifact(layout.METRICS / "report.json", "metrics")


if __name__ == "__main__":
    stage(evaluate)
