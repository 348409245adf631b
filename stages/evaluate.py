"""evaluate: predictions and the shipped model -> scores in and across corpora, pictures, a report and a model card."""

from __future__ import annotations

from _stage import stage
from emodag import bundle, datasets, importance, layout, matrix, plots, reports, schema
from emodag.background import Background
from emodag.documents import model_card, page
from emodag.documents.reasons import reasons
from emodag.documents.report import Findings, report_page
from emodag.files import atomic_directory
from emodag.leakage import check_disjoint, check_leakage
from emodag.robustness import with_robustness


def evaluate(params, run):
    shipped = bundle.load(layout.MODELS)
    stored = datasets.load(datasets.corpora_with(params, "train"), "train", shipped.needs, inputs=shipped.inputs)
    trained = stored.with_calm(shipped.calm)
    bundle.check_data(shipped, trained)
    bundle.check_reference(shipped, trained.originals(), layout.MODELS)
    folds = schema.read(layout.PREDICTIONS / "folds.parquet", schema.FOLDS)
    curves = schema.read(layout.PREDICTIONS / "curves.parquet", schema.CURVES)
    contract = schema.predictions(shipped.classes)
    predictions = schema.read(layout.PREDICTIONS / "predictions.parquet", contract)
    validation = schema.read(layout.PREDICTIONS / "validation.parquet", contract)
    check_leakage(folds, predictions, trained.index, shipped.protocol)
    of_folds = bundle.load_folds(layout.MODELS)
    background = Background.load(layout.MODELS, shipped)

    found, tested, why = [], [], {}
    for corpus in shipped.scores:  # under `holdout`, a corpus can train without being tested
        report = reports.in_corpus(predictions, trained, corpus, shipped, params.evaluate, params.seed)
        found.append(with_robustness(report, trained.index, of_folds, params))
        why[corpus] = reasons(report, trained, of_folds, background, params)
    for corpus in sorted(datasets.corpora_with(params, "test")):
        data = datasets.load([corpus], "test", shipped.needs, inputs=shipped.inputs)
        check_disjoint(data.index, trained.index, corpus)
        report = reports.cross_corpus(data, corpus, shipped, params.evaluate, params.seed)
        found.append(with_robustness(report, data.index, {0: shipped}, params))
        why[corpus] = reasons(report, data, {0: shipped}, background, params)
        tested.append(data)
    validated = reports.validated(validation, shipped)
    found = reports.with_validation(found, validated)
    for report in found:
        print(report)
    drops = importance.known(of_folds, trained.originals(), predictions, params)
    crossed = matrix.beside(found, [stored, *tested], shipped, params)

    with atomic_directory(layout.PLOTS) as out:
        figures = {name: figure for report in found for name, figure in report.figures().items()}
        if crossed is not None:
            print(crossed)
            figures["matrix.png"] = crossed.figure()
        for name, figure in figures.items():
            plots.save(figure, out / name)
    with atomic_directory(layout.REPORT) as out:
        findings = Findings(params, shipped, found, [trained, *tested], curves, validated, drops, why, crossed)
        page.write(out / "index.html", report_page(findings))
        model_card.write(out / "model_card.md", model_card.model_card(shipped, found, params, validated))
        scored = reports.scored(found, shipped.classes)
        schema.write(scored, schema.scored(shipped.classes), out / "predictions.parquet")
    reports.write_metrics(found, curves, layout.METRICS)

    for report in found:
        run.log_metrics({f"{report.corpus}/{name}": value for name, value in report.numbers().items()})
    run.log_curves(curves)
    for folder in (layout.PLOTS, layout.REPORT):
        run.log_artifact(folder, folder.name)
    run.log_artifact(layout.PREDICTIONS / "predictions.parquet", "predictions")
    run.log_artifact(layout.PREDICTIONS / "validation.parquet", "predictions")
    run.log_artifact(layout.METRICS / "evaluate.json", "metrics")
    run.log_artifact(layout.METRICS / "report.json", "metrics")
    run.log_artifact(layout.MODELS / bundle.MODEL, "bundle")
    run.log_artifact(layout.MODELS / bundle.DESCRIPTION, "bundle")
    run.log_model(shipped, params, {report.corpus: report.scores.uar for report in found})


if __name__ == "__main__":
    stage(evaluate)
