"""The rows of `make results` as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from _plan import CHOSEN, COLUMNS, PARAMETERS, POOL, PUBLISHED, SUMMARISED, column_of, is_shown, title
from emodag import params as parameters

_KNOWN = "test-speaker data used"


def cited(scored: list[dict]) -> str:
    """What is chosen on each corpus, as Markdown; corpora whose few speakers leave nobody to choose are left out."""
    found = {(row["encoder"], row["adaptation"], *column_of(row)): row for row in scored if row["model"] == CHOSEN}
    columns = [column for column in COLUMNS if any(key[2:] == column[:3] for key in found)]
    rows = []
    for encoder, adaptation in sorted({key[:2] for key in found}, key=lambda key: (key[0] != "none", key)):
        cells = [found.get((encoder, adaptation, *column[:3])) for column in columns]
        rows.append(
            (*_chosen(encoder, adaptation), *("" if row is None else f"**{interval(row, '-')}**" for row in cells))
        )
    return _markdown(("", _KNOWN, *(told for *_, told in columns)), rows)


def summary(scored: list[dict], adaptation: str, among: tuple[tuple, ...]) -> str:
    """UAR with its interval, models in rows and settings in columns, as Markdown; what is chosen among them is bold."""
    found = {
        (model_of(row), *column_of(row)): row
        for row in scored
        if row["adaptation"] == adaptation and tuple(row["cleaning"]) in SUMMARISED
    }
    columns = [column for column in among if any(key[1:] == column[:3] for key in found)]
    wanted = {column[:3] for column in columns}
    models = list(dict.fromkeys(key[0] for key in found if key[1:] in wanted))
    rows = []
    for model in sorted(models, key=place_of):
        cells = []
        for column in columns:
            row = found.get((model, *column[:3]))
            cell = "" if row is None else interval(row, "-")
            cells.append(f"**{cell}**" if row and row["model"] == CHOSEN else cell)
        rows.append((model, *cells))
    return _markdown(("model", *(told for *_, told in columns)), rows)


def beside_published(scored: list[dict]) -> str:
    """What is chosen on RAVDESS beside what others report, the best last, as Markdown."""
    lines = [(uar, f"[{name}]({source})", millions, "none", percent(uar)) for name, millions, uar, source in PUBLISHED]
    for row in scored:
        if row["model"] == CHOSEN and column_of(row) == COLUMNS[0][:3]:
            name, known = _chosen(row["encoder"], row["adaptation"])
            bold = f"**{name}**", PARAMETERS.get(row["encoder"], ""), known, f"**{interval(row, '-')}**"
            lines.append((row["uar"], *bold))
    head = (
        "RAVDESS, 8 classes, speaker-independent, EmoBox's 6 folds",
        "pretrained parameters, millions",
        _KNOWN,
        "UAR",
    )
    return _markdown(head, (cells for _, *cells in sorted(lines)))


def _chosen(encoder: str, adaptation: str) -> tuple[str, str]:
    """What is chosen among, and what it knows of the tested speaker."""
    name = "emodag, from scratch" if encoder == "none" else f"emodag with {encoder}"
    return name, "all of the speaker's test clips, unlabelled" if adaptation == "speaker" else "none"


def model_of(row: dict) -> str:
    """The model, and what it saw beside or instead of functionals."""
    if row["model"] == CHOSEN:
        return f"chosen among all{' from scratch' if row['encoder'] == 'none' else ' with ' + row['encoder']}"
    model = row["model"]
    if row["members"]:
        model += f" of {', '.join(row['members'][:-1])} and {row['members'][-1]}"
    if row["encoder"] != "none":
        model += f" {'on' if row['inputs'] == 'embedding' else '+'} {row['encoder']}"
    if not row["copies"]:
        model += ", no augmented copies"
    return model if row["cleaning"] else f"{model}, no level normalisation"


def place_of(model: str) -> tuple[int, str]:
    """Where a model stands in a table: with an encoder last, else as in ``params.yaml``."""
    names = [*parameters.Models.model_fields, CHOSEN]
    name = re.match(r"\w+", model)[0]
    encoded = any(word in model for word in ("+", " on ", " with "))
    return len(names) * encoded + names.index(name), model


def whole_table(scored: list[dict]) -> str:
    """Every row as Markdown: speaker-independent ones first, then by what was tested."""
    head = ("corpus", "classes", "protocol", "trained on", "model", "adapted by", "cleaning")
    head += ("UAR, 95 % interval", "UAR, validation", "WA", "ECE", "clips", "speakers", "commit")
    rows = []
    for row in sorted(scored, key=order_of):
        protocol = f"{row['protocol']} (**leaky**: speakers shared)" if row["leaky"] else row["protocol"]
        validation = percent(row["uar_validation"]) if row.get("uar_validation") is not None else ""
        chosen = row["model"] == CHOSEN
        model = model_of(row) + (f": {row['candidates']} of {len(beside(row, scored))} runs" if chosen else "")
        cleaning = "as chosen" if chosen else ", ".join(row["cleaning"]) or "none"
        cells = (
            title(row["corpus"]), row["classes"], protocol, ", ".join(map(title, row["trained_on"])), model,
            row["adaptation"], cleaning, interval(row), validation, percent(row["wa"]),
            "" if row["ece"] is None else percent(row["ece"]), row["clips"], row["speakers"], row["commit"],
        )  # fmt: skip
        rows.append(cells)
    return _markdown(head, rows)


def beside(chosen: dict, scored: list[dict]) -> list[dict]:
    """The rows of which a chosen one is put together once all are known."""
    which = column_of(chosen), chosen["adaptation"]
    encoded = chosen["encoder"] != "none"
    return [row for row in scored if row["model"] != CHOSEN and is_shown(row, *which, encoded=encoded)]


def order_of(row: dict) -> tuple:
    """Where a row stands in the whole table."""
    corpora = [*POOL, "emodb", "esd"]
    tested = corpora.index(row["corpus"]), row["protocol"], len(row["trained_on"])
    return row["leaky"], *tested, row["adaptation"], *place_of(model_of(row))


def cleaning_table(scored: list[dict]) -> str:
    """What cleaning does to RAVDESS, as Markdown."""
    plain = {"corpus": "ravdess", "protocol": "emobox", "model": "mlp", "adaptation": "none", "encoder": "none"}
    rows = [
        (f"`{row['cleaning']}`".replace("'", ""), interval(row), percent(row["wa"]))
        for row in scored
        if plain.items() <= row.items()
    ]
    return _markdown(("`featurize.clean.steps`", "UAR, 95 % interval", "WA"), rows)


def headlines_table(audited: list[dict]) -> str:
    """What a leaky split claims beside what is true, as Markdown."""
    head = (
        "corpora as one",
        "model",
        "claimed elsewhere, accuracy",
        "accuracy, leaky",
        "accuracy, speaker-independent",
    )
    head += ("UAR, leaky", "UAR, speaker-independent", "epochs at most", "folds", "commit")
    rows = []
    for row in audited:
        sides = row["leaky"], row["speakers_apart"]
        cells = (
            row["corpora"], row["model"], row["claimed"], *(percent(side["wa"]) for side in sides),
            *(interval(side) for side in sides), row["epochs"], f"{row['tested']} of {row['folds']}", row["commit"],
        )  # fmt: skip
        rows.append(cells)
    return _markdown(head, rows)


def _markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of the cells of ``rows``."""
    told = [f"| {' | '.join(map(str, cells))} |" for cells in (head, *rows)]
    return "\n".join([told[0], "|---" * len(head) + "|", *told[1:]])


def percent(value: float) -> str:
    """A share of 1."""
    return f"{100 * value:.1f}"


def interval(row: dict, to: str = " to ") -> str:
    """The UAR of a row with its interval; of two speakers, with the worse and the better one's."""
    between = " and " if row["speakers"] == 2 else to
    return f"{percent(row['uar'])} ({percent(row['uar_low'])}{between}{percent(row['uar_high'])})"
