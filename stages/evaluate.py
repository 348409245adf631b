"""evaluate: predictions and the shipped model -> scores in and across corpora, with intervals and pictures."""

from __future__ import annotations

from dataclasses import replace

from _stage import stage
from emodag import bundle, datasets, layout, plots, reports, schema
from emodag.adaptation import groups_of
from emodag.files import atomic_directory
from emodag.leakage import check_disjoint, check_leakage
from emodag.robustness import robustness_of


def evaluate(params, run):
    shipped = bundle.load(layout.MODELS)
    trained = datasets.load(datasets.corpora_with(params, "train"), "train", shipped.needs, inputs=shipped.inputs)
    trained = trained.with_calm(shipped.calm)
    bundle.check_data(shipped, trained)
    check_reference(shipped, trained.originals())
    folds = schema.read(layout.PREDICTIONS / "folds.parquet", schema.FOLDS)
    predictions = schema.read(layout.PREDICTIONS / "predictions.parquet", schema.predictions(shipped.classes))
    check_leakage(folds, predictions, trained.index, shipped.protocol)

    of_folds = {int(folder.name): bundle.load(folder) for folder in sorted((layout.MODELS / "folds").glob("*"))}
    found = []
    for corpus in shipped.corpora:
        report = reports.in_corpus(predictions, trained, corpus, shipped, params.evaluate, params.seed)
        found.append(with_robustness(report, trained.index, of_folds, params))
    for corpus in datasets.corpora_with(params, "test"):
        data = datasets.load([corpus], "test", shipped.needs, inputs=shipped.inputs)
        check_disjoint(data.index, trained.index, corpus)
        report = reports.cross_corpus(data, corpus, shipped, params.evaluate, params.seed)
        found.append(with_robustness(report, data.index, {0: shipped}, params))

    with atomic_directory(layout.PLOTS) as out:
        for report in found:
            print(report)
            for name, figure in report.figures().items():
                plots.save(figure, out / name)
    with atomic_directory(layout.REPORT) as out:
        contract = schema.scored(shipped.classes)
        schema.write(reports.scored(found, shipped.classes), contract, out / "predictions.parquet")
    reports.write_metrics(found, schema.read(layout.PREDICTIONS / "curves.parquet", schema.CURVES), layout.METRICS)

    for report in found:
        run.log_metrics({f"{report.corpus}/{name}": value for name, value in report.numbers().items()})
    run.log_artifact(layout.MODELS, "bundle")
    run.log_artifact(layout.PLOTS, "plots")
    run.log_artifact(layout.REPORT, "report")
    run.log_artifact(layout.PREDICTIONS / "predictions.parquet", "predictions")
    run.log_artifact(layout.METRICS / "evaluate.json", "metrics")
    run.log_artifact(layout.METRICS / "report.json", "metrics")


def check_reference(shipped, originals):
    """Make sure that the shipped model says here what the trained one said of some clips when it was exported."""
    reference = schema.read(layout.MODELS / "reference.parquet", schema.predictions(shipped.classes))
    rows = originals.index.reset_index().set_index("clip_id").loc[reference["clip_id"], "index"].to_numpy()
    adapted = shipped.adapter(originals.speech, groups_of(originals.index, shipped.adapter.settings)).of(rows)
    bundle.check_export(shipped, adapted, reference[list(shipped.classes)].to_numpy())


def with_robustness(report, index, models, params):
    """The report with what spoilt sound does to the models, where the params ask for that and models are kept."""
    settings = params.evaluate
    if settings.robustness.clips == 0:
        return report
    if not models:
        print(f"{report.corpus}: train.keep_folds is false, so nobody knows what spoilt sound does to its folds")
        return report
    classes, encoder = report.scores.classes, params.featurize.encoder
    robustness = robustness_of(
        report.predictions, classes, index, models, settings, encoder, seed=params.seed, jobs=params.compute.jobs
    )
    return replace(report, robustness=robustness)


if __name__ == "__main__":
    stage(evaluate)
