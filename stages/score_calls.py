"""score_calls: features of conversations and the model -> who felt what when; errors where the truth is known."""

from __future__ import annotations

from _stage import stage
from emodag import bundle, layout
from emodag.calls.scoring import metrics
from emodag.calls.scoring import score_calls as score
from emodag.conversation.analysis import intervals
from emodag.conversation.telling import finding
from emodag.files import atomic_directory, write_json
from emodag.params import flatten


def score_calls(params, run, name):
    model = bundle.load(layout.MODELS)
    with atomic_directory(layout.timelines(name)) as out:
        found = score(
            layout.organized_calls(name),
            layout.turns_of_calls(name),
            layout.features_of_calls(name),
            out,
            model,
            params.analyze,
            scores=intervals(layout.METRICS / "evaluate.json", model),
            jobs=params.compute.jobs,
        )
    told = metrics(found)
    write_json(layout.metrics_of_calls(name), told)
    for each in found:
        print(f"{each.timeline.recording}: {finding(each.timeline)}")
    print(f"open {layout.timelines(name)}/*.html")
    run.log_metrics(flatten(told))
    run.log_artifact(layout.timelines(name), "timelines")


if __name__ == "__main__":
    stage(score_calls)
