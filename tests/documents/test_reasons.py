"""Why clips were mistaken: each is explained by the model that tested it, beside the clips it was tested with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from emodag import bundle, layout
from emodag.adaptation import groups_of
from emodag.background import Background
from emodag.documents.reasons import reasons
from emodag.evaluation import tempered
from emodag.predict import prediction_table

#: What a model sees, and whether it adapts to speakers.
MODELS = {
    "features": ("logistic", {}),
    "adapted features": ("logistic", {"adaptation__by": "speaker"}),
    "adapted frames": (
        "ensemble",
        {
            "models__ensemble__members": [{"model": "logistic", "inputs": "all"}, {"model": "cnn", "inputs": "all"}],
            "models__cnn__groups": ["log_mel"],
            "adaptation__by": "speaker",
        },
    ),
}


class Case:
    """Clips of which one was taken for something else, in two folds, the models of which differ."""

    def __init__(self, spoken_corpus, model, changes):
        folder = spoken_corpus.ship(model, **changes)
        keys = {key.replace("__", "."): changes[key] for key in changes}
        self.params = spoken_corpus.params.changed({"model": model} | keys | {"evaluate.explanations": 2})
        self.data = spoken_corpus.data(self.params)
        self.models = {number: bundle.load(folder) for number in (1, 2)}
        self.models[2] = bundle.load(spoken_corpus.ship(model, **changes, seed=1))
        self.background = Background.load(folder, self.models[1])
        index = self.data.index
        self.fold = np.where(index["speaker"] == index["speaker"][0], 1, 2)
        predicted = np.empty((len(index), len(self.data.classes)), np.float32)
        for number, of_fold in self.models.items():
            rows = np.flatnonzero(self.fold == number)
            groups = groups_of(index.iloc[rows], self.params.adaptation)
            predicted[rows] = of_fold.predict_proba(self.data.speech.of(rows), groups)
        table = prediction_table(index, predicted, self.data.classes)
        self.predictions = table.assign(fold=self.fold, temperature=self.models[1].temperature)
        # The models heard these clips, so what was spoken is changed where a mistake is wanted: a clip of each fold.
        self.mistaken = [int(np.flatnonzero(self.fold == number)[3]) for number in (1, 2)]
        for row in self.mistaken:
            others = [emotion for emotion in self.data.classes if emotion != self.guess(row)]
            self.predictions.loc[row, "emotion"] = others[0]

    def guess(self, row: int) -> str:
        return self.data.classes[int(self.predictions.loc[row, list(self.data.classes)].to_numpy(float).argmax())]

    def report(self, rows):
        return SimpleNamespace(
            corpus="demo_en",
            predictions=self.predictions.iloc[rows].reset_index(drop=True),
            scores=SimpleNamespace(classes=self.data.classes),
        )

    def explained(self, **changes):
        right = [row for row in range(len(self.data.index)) if self.predictions["emotion"][row] == self.guess(row)]
        params = self.params.changed({f"evaluate.{key}": value for key, value in changes.items()})
        report = self.report(sorted({*right, *self.mistaken}))
        return reasons(report, self.data, self.models, self.background, params)


@pytest.fixture(scope="module", params=MODELS)
def tested(request, spoken_corpus):
    return Case(spoken_corpus, *MODELS[request.param])


@pytest.fixture(autouse=True)
def here(spoken_corpus, tmp_path, monkeypatch):
    """Sound and turns are looked for in the checkout."""
    monkeypatch.chdir(tmp_path)
    for place, folder in ((layout.organized("demo_en"), "organized"), (layout.turns("demo_en"), "turns")):
        place.parent.mkdir(parents=True)
        place.symlink_to(spoken_corpus.folder / folder)


def test_the_model_that_made_a_mistake_explains_it_as_it_heard_it(tested):
    found = tested.explained()
    assert {each.clip_id for each in found} == set(tested.predictions["clip_id"][tested.mistaken])
    classes = list(tested.data.classes)
    for each in found:
        row = tested.predictions.set_index("clip_id").loc[each.clip_id]
        raw = row[classes].to_numpy(np.float32)[None]
        expected = tempered(raw, tested.models[1].temperature)[0]
        told = each.explanation
        np.testing.assert_allclose([told.probabilities[name] for name in classes], expected, atol=2e-4)
        assert (each.spoken, told.explained) == (row["emotion"], classes[int(expected.argmax())])
        # What lies between training clips and this one is told whole.
        whole = told.base + sum(evidence.points for evidence in told.groups)
        assert whole == pytest.approx(told.probabilities[told.explained], abs=1e-4)


def test_as_many_are_explained_as_asked_for(tested):
    assert len(tested.explained(explanations=1)) == 1
    assert tested.explained(explanations=0) == []


def test_without_the_models_that_made_them_mistakes_are_not_explained(tested, monkeypatch):
    monkeypatch.setattr(tested, "models", {})
    assert tested.explained() == []
