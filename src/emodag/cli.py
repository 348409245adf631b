"""The command line: ``emodag corpora ...``, ``emodag check``, ``emodag plot``, ``emodag compare`` and others.

Each command imports what it needs when it runs, so that ``emodag --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emodag.errors import AudioError, CorpusError, DataError, EmodagError, ParamsError
from emodag.interpreter import collect_seldom

if TYPE_CHECKING:
    from emodag.params import Diarize

app = typer.Typer(
    help="Speech emotion recognition that can be trusted and reproduced. The pipeline itself runs by `dvc repro`.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
corpora = typer.Typer(help="The corpora: what is known, what is here, what is used.", no_args_is_help=True)
app.add_typer(corpora, name="corpora")
calls = typer.Typer(help="Folders of conversations, for the pipeline.", no_args_is_help=True)
app.add_typer(calls, name="calls")

Name = Annotated[str, typer.Argument(metavar="NAME", help="a published corpus, or your own name for a folder")]

#: Files of a kind are named up to so many.
_NAMED = 5


def _folder(content: str) -> typer.models.OptionInfo:
    """An option for a folder to write to; a file, or a folder that cannot be written, is refused before any work."""
    return typer.Option(metavar="FOLDER", file_okay=False, writable=True, help=content)


@corpora.command("list")
def list_corpora() -> None:
    """Show every corpus: its role in params.yaml, the files here, what to expect and where to get it."""
    from emodag.collection.management import presences
    from emodag.corpora import get

    rows = []
    for presence in presences():
        corpus = get(presence.name)
        here = "-" if presence.files is None else str(presence.files)
        rows.append(
            {
                "name": presence.name,
                "role": presence.role or "-",
                "here": "absent" if presence.is_tracked and presence.files is None else here,
                "clips": str(corpus.clips or "-"),
                "speakers": str(corpus.speakers or "-"),
                "languages": " ".join(corpus.languages),
                "emotions": " ".join(corpus.emotions),
                "licence, where to get it": [corpus.licence, corpus.source],
            }
        )
    _print_table(rows)
    print("Any other name stands for a folder of your own: <emotion>/<file>, <emotion>/<speaker>/<file>,")
    print("<speaker>/<emotion>/<file>, or a CSV file with the columns path, emotion and speaker.")
    if any(row["here"] == "absent" for row in rows):
        print("absent: DVC tracks it, but its files are not here; `dvc checkout` or `dvc pull` fetches them.")


def _print_table(rows: list[dict[str, str | list[str]]]) -> None:
    """A table that wraps to the terminal; elsewhere one line for each row, columns apart by two spaces."""
    from rich.box import HORIZONTALS
    from rich.console import Console
    from rich.table import Table

    is_terminal = sys.stdout.isatty()
    table = Table(box=HORIZONTALS if is_terminal else None, show_lines=True, pad_edge=False, padding=(0, 1, 0, 0))
    for column in rows[0]:
        table.add_column(column, no_wrap=column != "emotions" and not column.startswith("licence"), overflow="fold")
    for row in rows:
        between = "\n" if is_terminal else "; "
        table.add_row(*(cell if isinstance(cell, str) else between.join(cell) for cell in row.values()))
    Console(width=None if is_terminal else 1000, highlight=False).print(table)


@corpora.command("check")
def check_corpus(
    name: Name,
    path: Annotated[Path | None, typer.Argument(help="its folder; data/raw/NAME if left out")] = None,
    decode: Annotated[bool, typer.Option("--decode", help="decode all audio, not only the headers")] = False,
) -> None:
    """Read every file of a folder as a clip of a corpus and report what is usable and what is not."""
    from emodag import layout
    from emodag.collection.inspection import inspect, likely_corpora
    from emodag.collection.management import near
    from emodag.corpora import get

    if path is None and not layout.raw(name).is_dir():
        raise CorpusError(f"{layout.raw(name)}: no such folder{near(name) or '.'} Name the folder to check")
    folder = path or layout.raw(name)
    report = inspect(get(name), folder, decode=decode)
    print(report)
    if not decode:
        print("names and headers only: --decode reads all audio; organize also judges duration and silence")
    if not report.is_usable:
        likely = [other for other in likely_corpora(folder) if other != name]
        hint = f"; the names look like those of {likely[0]}" if likely else ""
        raise CorpusError(f"{folder}: none of its files is a clip of {name}{hint}")


@corpora.command("cite")
def cite_corpora(names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None) -> None:
    """Show how to cite corpora, where to get them and under which licence; those of params.yaml if none is named."""
    from emodag import layout, params
    from emodag.collection.management import near
    from emodag.corpora import get

    for name in names or params.load().corpora:
        if (hint := near(name)) and not layout.raw(name).is_dir():
            raise CorpusError(f"{name}: no corpus of this name is known or here{hint}")
        corpus = get(name)
        print(
            f"{name}: {corpus.title}\n  cite: {corpus.citation}\n  licence: {corpus.licence}\n  from: {corpus.source}"
        )
        if corpus.instructions:
            print(f"  how: {corpus.instructions}")


@corpora.command("add")
def add_corpus(
    name: Name,
    path: Annotated[Path | None, typer.Argument(help="its folder; may be left out if it is in data/raw")] = None,
    role: Annotated[Literal["train", "test"] | None, typer.Option(help="what it is used for in params.yaml")] = None,
) -> None:
    """Check a folder, copy it to data/raw/NAME under DVC's tracking and, with --role, put it into params.yaml."""
    from emodag.collection import management

    report = management.add(name, path, role)
    _tell_added(name, report)
    if path and report is None:
        print(f"{name} is there already, with the same files")
    _tell_use(name, role)


def _tell_added(name: str, report) -> None:
    """What was brought in below data/raw, if anything."""
    from emodag.collection import management

    if report:
        print(report)
        tracking = management.tracking_file(name)
        print(f"added and staged in git; `git commit {tracking}` keeps it there for every later experiment")


def _tell_use(name: str, role: str | None) -> None:
    if role:
        print(f"params.yaml: corpora: {name}: {role}")
    else:
        print(
            f"To use it, `emodag corpora add {name} --role train` (or test) edits params.yaml;\n"
            f"`dvc exp run -S +corpora.{name}=test` tries it for one experiment."
        )


@corpora.command("fetch")
def fetch_corpus(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a published corpus")],
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="keep the download in FOLDER/NAME; if left out, it is deleted once in"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="accept the licence without being asked")] = False,
    role: Annotated[Literal["train", "test"] | None, typer.Option(help="what it is used for in params.yaml")] = None,
) -> None:
    """Download a corpus from its publisher, verify it, and bring it in as `add` does; goes on after an interruption."""
    from emodag.collection import fetching

    def accept(terms: str) -> None:
        if not yes and not sys.stdin.isatty():
            raise CorpusError(f"{terms}\n{name}: there is nobody here to accept the licence; --yes accepts it")
        print(terms)
        if not yes and not typer.confirm("Do you accept the licence?"):
            raise CorpusError(f"{name}: the licence was not accepted; nothing was fetched")

    try:
        report = fetching.fetch(name, to, role, accept=accept)
    except fetching.RegistrationNeeded as error:
        print(error)
        raise typer.Exit(2) from None
    _tell_added(name, report)
    if report is None:
        print(f"{name} is there already")
    _tell_use(name, role)


@corpora.command("remove")
def remove_corpus(name: Name) -> None:
    """Take a corpus out of params.yaml and DVC's tracking; delete its files here and what was made of them."""
    from emodag.collection import management

    _tell_removed(name, management.remove(name))


def _tell_removed(name: str, deleted: list[Path]) -> None:
    for folder in deleted:
        print(f"deleted {folder}")
    print(
        f"{name} is removed"
        + ("; `dvc gc --workspace --all-experiments` frees its space in DVC's cache" if deleted else "")
    )


@calls.command("list")
def list_calls() -> None:
    """Show the folders of conversations of params.yaml: how many speak in each recording, and how many are here."""
    from emodag.collection.calls import presences

    found = presences()
    for each in found:
        here = "absent" if each.recordings is None else f"{each.recordings} recordings"
        print(f"{each.name}  speakers: {each.speakers}  {here}")
    if not found:
        print("params.yaml names none; `emodag calls add NAME PATH` brings one in")


@calls.command("add")
def add_calls(
    name: Annotated[str, typer.Argument(metavar="NAME", help="your own, for the folder")],
    path: Annotated[Path | None, typer.Argument(help="the folder; may be left out if it is in data/raw")] = None,
    speakers: Annotated[str, typer.Option(help="in each recording: auto, or a number")] = "auto",
) -> None:
    """Copy a folder of recordings to data/raw/NAME under DVC's tracking, and enter it in params.yaml.

    RTTM and UEM files, transcripts named as their recording, and emotions.csv are taken along.
    """
    from emodag.collection import calls as folders
    from emodag.params import speakers_named

    found = folders.add(name, path, speakers_named(speakers) or "auto")
    _tell_added(name, found)
    if path and found is None:
        print(f"{name} is there already, with the same files")
    print(f"params.yaml: calls: {name}: {speakers}\n`dvc repro` writes who felt what when to timelines/{name}/")


@calls.command("remove")
def remove_calls(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Take a folder of conversations out of params.yaml and DVC's tracking; delete it and what was made of it."""
    from emodag.collection import calls as folders

    _tell_removed(name, folders.remove(name))


@app.command()
def check() -> None:
    """Validate params.yaml, and that the corpora and conversations which it names are here."""
    from emodag import params
    from emodag.collection import calls as folders
    from emodag.collection import management

    valid = params.load()
    management.require_present()
    folders.require_present()
    print(
        f"params.yaml: OK (model {valid.model}; train on {', '.join(valid.with_role('train'))}; "
        f"test on {', '.join(valid.with_role('test')) or 'none'}; conversations: {', '.join(valid.calls) or 'none'})"
    )


@app.command()
def plot(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="a recording of any format and length")],
    out: Annotated[Path | None, _folder("for the pictures; FILE's own if left out")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="this picture only; may be given again (an unknown one lists them all)"),
    ] = None,
) -> None:
    """Draw a recording: waveform, spectra, MFCC, chroma, F0 and energy, on one sheet and one by one, as PNG."""
    from emodag import params, sheets

    settings = params.load(_params_file()).featurize
    for picture in sheets.write(file, file.parent if out is None else out, settings, only or ()):
        print(picture)


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="a recording of any format")],
    models: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="of the model; models/ of this checkout if left out")
    ] = None,
    out: Annotated[Path | None, _folder("for the picture and the JSON; FILE's own if left out")] = None,
) -> None:
    """Recognise the emotion of a recording and say what speaks for it and against it: printed, as PNG and as JSON."""
    from emodag import explanation
    from emodag.background import Background

    if out is not None:
        _made(out)
    recogniser = _recogniser(models)
    background = Background.load(_models(models), recogniser.bundle)
    found, written = explanation.write(file, recogniser, background, file.parent if out is None else out)
    print("\n".join([str(file), *found.told(), *map(str, written)]))


Recordings = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="recordings of any format, folders of them, or - for standard input"),
]
Models = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="of the model; models/ of this checkout if left out")
]
Speakers = Annotated[str, typer.Option(metavar="N", help="how many speak, from 1 to 20; auto finds it out")]


@app.command()
def predict(
    files: Recordings,
    models: Models = None,
    one_voice: Annotated[
        bool, typer.Option("--one-voice", help="all are of one speaker: adapt to it, if the model adapts to speakers")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of words")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV instead of words")] = False,
) -> None:
    """Say how probable each emotion is in recordings, in per cent, the most probable first."""
    import json

    from emodag import hearing

    if as_json and as_csv:
        raise typer.BadParameter("give either --json or --csv")
    names, failed = _recordings(files)
    recogniser = _recogniser(models)
    answers = []

    def left_out(name: str, error: EmodagError) -> None:
        nonlocal failed
        print(f"error: {name}: {error}", file=sys.stderr)
        failed += 1

    for group in [names] if one_voice else [[name] for name in names]:
        try:
            found = hearing.hear(recogniser, group, left_out)
        except EmodagError as error:
            left_out(", ".join(group), error)
            continue
        answers += found
        if found and not (as_json or as_csv):
            print("\n".join(line for answer in found for line in answer.told()))
    if as_json:
        print(json.dumps([answer.described() for answer in answers], indent=2, ensure_ascii=False))
    elif as_csv:
        print(hearing.as_csv(answers, recogniser.bundle.classes), end="")
    if failed:
        raise typer.Exit(1)


def _number(speakers: str) -> int | None:
    """How many speak, as the option says; None to find out."""
    from emodag.params import speakers_named

    try:
        return speakers_named(speakers)
    except ParamsError as error:
        raise typer.BadParameter(str(error), param_hint="--speakers") from None


def _recordings(arguments: list[str]) -> tuple[list[str], int]:
    """What to read, and how many arguments stand for nothing; both these and what lies beside are told on stderr."""
    from emodag import listening

    found = listening.recordings(arguments)
    for error in found.errors if found.names else found.errors[:-1]:
        print(f"error: {error}", file=sys.stderr)
    if not found.names:
        raise found.errors[-1]
    if found.left_out:
        more = f" and {len(found.left_out) - _NAMED} others" if len(found.left_out) > _NAMED else ""
        print(f"not read, because of their suffixes: {', '.join(found.left_out[:_NAMED])}{more}", file=sys.stderr)
    return found.names, len(found.errors)


def _recogniser(models: Path | None):
    """The model of a folder, or of the checkout; whoever has but one of demo corpora is told what it is worth."""
    from emodag import bundle
    from emodag.corpora.demo import CORPORA as SYNTHETIC
    from emodag.recognition import Recogniser

    shipped = bundle.load(_models(models))
    if set(shipped.corpora) <= set(SYNTHETIC):
        print(
            "mind: this model has heard nothing but a synthesiser, and is sure of itself where it should not be; "
            "for real voices, train it on real corpora (`emodag corpora list`)",
            file=sys.stderr,
        )
    return Recogniser(shipped, None if shipped.encoder == "none" else _encoder())


@app.command()
def diarize(
    files: Recordings,
    rttm: Annotated[Path | None, typer.Option(metavar="OUT", dir_okay=False, help="write the turns of all")] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(metavar="RTTM", exists=True, help="true turns, or a folder of them; repeatable")
    ] = None,
    uem: Annotated[
        list[Path] | None, typer.Option(metavar="UEM", exists=True, dir_okay=False, help="what is scored; repeatable")
    ] = None,
    speakers: Speakers = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of words")] = False,
) -> None:
    """Say who speaks when; with --reference, how far that is from the truth."""
    import json

    from emodag import listening, params
    from emodag.conversation import references
    from emodag.conversation.voices import summary, voices
    from emodag.diarization.base import for_conversations
    from emodag.diarization.turns import write_rttm

    number = _number(speakers)
    names, failed = _recordings(files)
    titles = references.names_of(names) if rttm or reference else names
    known, scopes = references.references(reference or []), references.scopes(uem or [])
    diarizer = for_conversations(params.load(_params_file()).diarize)
    found, content = [], []
    errors: dict[float, list] = {collar: [] for collar in references.COLLARS}
    for name, title in zip(names, titles, strict=True):
        try:
            heard = voices(listening.read(name), diarizer, number)
        except EmodagError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            failed += 1
            continue
        heard.annotation.uri = title
        found.append(heard.annotation)
        content.append({"file": name} | summary(heard))
        if not as_json:
            print("\n".join(_told(content[-1])))
        if not reference:
            continue
        try:
            truth, scope = (references.of_recording(title, each, only=len(names) == 1) for each in (known, scopes))
        except DataError as error:
            print(f"error: {name}: not scored: {error}", file=sys.stderr)
            failed += 1
            continue
        if truth is None:
            print(f"{name}: not scored, for no reference is called {title}", file=sys.stderr)
            continue
        truth.uri = title
        if uem and scope is None:
            print(f"{name}: scored as a whole, for no UEM is of {title}", file=sys.stderr)
        scores = references.errors(truth, heard.annotation, scope)
        content[-1]["errors"] = {f"{collar:g}": each.summary() for collar, each in scores.items()}
        for collar, each in scores.items():
            errors[collar].append(each)
    if rttm:
        with _writing(rttm):
            write_rttm(rttm, found)
    if as_json:
        print(json.dumps(content, indent=2, ensure_ascii=False))
    elif errors[references.COLLARS[0]]:
        print("\n".join(references.table(errors)))
    if failed:
        raise typer.Exit(1)


def _told(found: dict) -> list[str]:
    """What :func:`emodag.conversation.voices.summary` found in a recording, as lines for people."""
    several = f", {found['overlap']:.1f} s of it overlapped" if found["overlap"] else ""
    lines = [
        f"{found['file']}: {found['duration']:.1f} s, speakers: {len(found['speakers'])}, speech: "
        f"{found['speech']:.1f} s{several}"
    ]
    lines += [f"  {name}  {seconds:.1f} s" for name, seconds in found["speakers"].items()]
    return lines + [f"  {note}" for note in found["notes"]]


@app.command()
def analyze(
    call: Annotated[
        str, typer.Argument(metavar="CALL", help="a recording of any format, a folder of them, or - for standard input")
    ],
    models: Models = None,
    speakers: Speakers = "auto",
    reference: Annotated[
        Path | None, typer.Option(metavar="RTTM", exists=True, help="who speaks when, if known; else it is diarized")
    ] = None,
    transcript: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="what is said: .srt, .vtt, .json or .csv")
    ] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="OUT", help="write JSON; - prints it")] = None,
    csv_file: Annotated[str | None, typer.Option("--csv", metavar="OUT", help="write CSV; - prints it")] = None,
    rttm: Annotated[Path | None, typer.Option(metavar="OUT", help="write who speaks when")] = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="write a page that plays it")] = None,
    png: Annotated[Path | None, typer.Option(metavar="OUT", help="write a picture")] = None,
) -> None:
    """Say who felt what, when: the emotions of each turn of a conversation, of each speaker, and where they turn.

    Of a folder, each recording is analysed, and every OUT is a folder.
    """
    from emodag import layout, params
    from emodag.conversation import analysis, references, tables, transcripts
    from emodag.documents import timelines

    folder = Path(call).is_dir()
    wanted = {".json": json_file, ".csv": csv_file, ".rttm": rttm, ".html": html, ".png": png}
    wanted = {suffix: place for suffix, place in wanted.items() if place is not None}
    _check_outputs(wanted, folder=folder)
    if folder and transcript:
        raise typer.BadParameter("a transcript is of one recording", param_hint="--transcript")
    root, number = _params_file(), _number(speakers)
    names, failed = _recordings([call]) if folder else ([call], 0)
    titles = references.names_of(names) if folder else [Path(call).stem]
    recogniser = _recogniser(models)
    settings = params.load(root)
    lines = transcripts.read(transcript) if transcript else []
    known = references.references([reference]) if reference else None
    scores = analysis.intervals(root.parent / layout.METRICS / "evaluate.json", recogniser.bundle)
    for name, title in zip(names, titles, strict=True):
        try:
            heard = _voices_in(name, title, known, number, settings.diarize, only=not folder)
            timeline = analysis.analyse(heard, recogniser, settings.analyze, lines=lines, scores=scores)
        except EmodagError as error:
            if not folder:
                raise
            print(f"error: {name}: {error}", file=sys.stderr)
            failed += 1
            continue
        places = {suffix: Path(place) / f"{title}{suffix}" if folder else place for suffix, place in wanted.items()}
        for form, place in places.items():
            if str(place) == "-":
                print(timelines.as_text(timeline, form), end="")
                continue
            with _writing(place):
                timelines.write(timeline, heard.sound.pcm, form, Path(place))
        if "-" not in map(str, places.values()):
            print("\n".join(tables.told(timeline)))
    if failed:
        raise typer.Exit(1)


def _check_outputs(wanted: dict[str, str | Path], *, folder: bool) -> None:
    """Refuse places that what is analysed cannot be written to, before it is."""
    printed = [suffix for suffix, place in wanted.items() if str(place) == "-"]
    if len(printed) > 1:
        raise typer.BadParameter("only one of --json and --csv can be printed")
    if folder and printed:
        raise typer.BadParameter("a folder holds many recordings: name a folder to write to")
    for suffix, place in wanted.items():
        if folder and Path(place).exists() and not Path(place).is_dir():
            raise typer.BadParameter(f"{place} is no folder", param_hint=f"--{suffix[1:]}")
        if not folder and Path(place).is_dir():
            raise typer.BadParameter(f"{place} is a folder; name a file", param_hint=f"--{suffix[1:]}")


def _voices_in(name: str, title: str, known: dict | None, speakers: int | None, settings: Diarize, *, only: bool):
    """Who speaks when in a recording: by what is known of it, else found out."""
    from emodag import listening
    from emodag.conversation import references
    from emodag.conversation.voices import told, voices
    from emodag.diarization.base import for_conversations

    # The recording as read is let go where its channels are mixed: no name may hold it.
    if known is None:
        return voices(listening.read(name), for_conversations(settings), speakers)
    annotation = references.of_recording(title, known, only=only)
    if annotation is None:
        raise DataError(f"no turns of {title} are known; those are of {', '.join(sorted(known))}")
    return told(listening.read(name), annotation)


def _made(folder: Path) -> None:
    """Make a folder to write to, before the work whose findings it is for."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _writing(place: str | Path) -> Iterator[None]:
    """Say in one line that a place cannot be written."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{place}: cannot be written: {error.strerror}") from None


@app.command()
def record(
    models: Models = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="stop after; else Ctrl-C stops")] = None,
    device: Annotated[str | None, typer.Option(metavar="D", help="number or part of the name of a microphone")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", dir_okay=False, help="keep the sound as FLAC")] = None,
) -> None:
    """Listen to the microphone: its level, and the emotion of the voice while it speaks."""
    from emodag import params
    from emodag.conversation import live

    microphone = live.Microphone(device)  # whoever has none learns it before the model is loaded
    recogniser = _recogniser(models)
    listener = live.Listener(recogniser, params.load(_params_file()).analyze)
    in_place = sys.stdout.isatty()
    show = (lambda line: print(f"\r\x1b[K{line}", end="", flush=True)) if in_place else None
    with live.keeping(out) as keep:
        heard, feelings = live.listen(listener, microphone.blocks(seconds), recogniser.bundle.classes, show, keep)
    print("\n".join(["" if in_place else "heard", *live.summary(heard, feelings)]))
    if microphone.overflows:
        lost = f"mind: sound was lost in between (overflows: {microphone.overflows}): this computer was too slow"
        print(lost, file=sys.stderr)
    if microphone.failure:
        kept = f"; what was heard until then is in {out}" if out else ""
        raise AudioError("microphone_lost", f"the microphone failed after {heard:.1f} s ({microphone.failure}){kept}")


def _models(folder: Path | None) -> Path:
    """The folder of the model: the one that is named, or the checkout's."""
    from emodag import layout

    return _params_file().parent / layout.MODELS if folder is None else folder


def _encoder():
    """The section ``featurize.encoder`` of the params; its folder is the checkout's, wherever the command runs."""
    from emodag import params

    place = _params_file()
    return params.load(place).featurize.encoder.below(place.parent)


def _params_file() -> Path:
    """The ``params.yaml`` of the checkout around the working directory, else of the one that this library lies in.

    Other projects have files of that name: ours are known by the section ``featurize``.
    """
    from emodag import layout

    here, library = Path.cwd(), Path(__file__).resolve().parents[2]
    found = (place / layout.PARAMS for place in (here, *here.parents, library))
    ours = (path for path in found if path.is_file() and b"\nfeaturize:" in b"\n" + path.read_bytes())
    return next(ours, layout.PARAMS)


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="a DVC experiment, git revision, MLflow run or `workspace`")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="the other one; differences are B less A")],
    corpus: Annotated[
        str | None, typer.Option(metavar="C", help="this one only; all that both predicted if left out")
    ] = None,
    out: Annotated[Path, _folder("for comparison.json and the pictures")] = Path("comparison"),
    as_json: Annotated[bool, typer.Option("--json", help="print comparison.json instead of words")] = False,
) -> None:
    """Say whether B recognises more than A on the same clips, by how much, and whether that may be chance."""
    import json

    from emodag import comparing, params, revisions

    settings = params.load()
    runs = revisions.read(first), revisions.read(second)
    found = comparing.pairs(*runs, settings.evaluate, settings.seed, corpus)
    with _writing(out):
        content = comparing.write(found, *runs, out)
    print(json.dumps(content, indent=2, ensure_ascii=False) if as_json else comparing.describe(found, *runs))


@app.command()
def choose(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="two or more DVC experiments, git revisions, MLflow runs or `workspace`"),
    ],
    corpus: Annotated[
        str | None, typer.Option(metavar="C", help="this one only; all that every run cross-validated if left out")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", dir_okay=False, help="for the findings")] = Path("choice.json"),
    as_json: Annotated[bool, typer.Option("--json", help="print choice.json instead of words")] = False,
) -> None:
    """Let validation speakers choose among runs, and say what the choice is worth on tested speakers."""
    import json

    from emodag import choosing, params, revisions

    if len(set(runs)) < 2:
        raise typer.BadParameter(
            f"a choice needs two different runs at least; found: {', '.join(runs)}", param_hint="RUN..."
        )
    settings = params.load()
    found = choosing.choices([revisions.read(run) for run in runs], settings.evaluate, settings.seed, corpus)
    with _writing(out):
        content = choosing.write(found, out)
    print(json.dumps(content, indent=2, ensure_ascii=False) if as_json else found)


@app.command()
def matrix(
    adapt: Annotated[
        Literal["none", "recording", "speaker"] | None, typer.Option(help="by whose clips; adaptation.by if left out")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="a model of params.yaml; `model` if left out")
    ] = None,
    out: Annotated[Path, _folder("for the table and the picture")] = Path("matrix"),
) -> None:
    """Train on each corpus of params.yaml and test on every other; within a corpus, cross-validate by speaker."""
    from emodag import matrix as matrices
    from emodag import params
    from emodag.parallel import workers

    changes = {"adaptation.by": adapt, "model": model}
    settings = params.load().changed({key: value for key, value in changes.items() if value is not None})
    _made(out)
    with workers(settings.compute):
        found = matrices.cross(matrices.load(settings), settings)
    matrices.write(found, out)
    print(found)


@app.command()
def audit(
    folds: Annotated[int | None, typer.Option(min=1, metavar="N", help="test so many folds of train.folds")] = None,
    out: Annotated[Path, _folder("for audit.json and the picture")] = Path("audit"),
) -> None:
    """Show how much a leaky split would flatter the model of params.yaml."""
    from emodag import audit as audits
    from emodag import params
    from emodag.parallel import workers

    settings = params.load()
    if folds is not None and folds > settings.train.folds:
        raise typer.BadParameter(f"{folds} is more than train.folds ({settings.train.folds})", param_hint="--folds")
    _made(out)
    with workers(settings.compute):
        found = audits.run(settings, folds)
    audits.write(found, out)
    print(found)


@app.command()
def prune() -> None:
    """Delete features of corpora that params.yaml no longer lists; DVC's cache keeps them."""
    from emodag import layout, params

    for folder in layout.prune(params.load().corpora):
        print(f"deleted {folder}")


@app.command()
def serve(
    models: Models = None,
    host: Annotated[str, typer.Option(help="address to listen on; others than this machine reach only its own")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0 for any that is free")] = 8000,
) -> None:
    """Answer over HTTP: a page, emotions of recordings, conversations over time, voices while they speak."""
    from emodag import params
    from emodag.web import server

    place = _params_file()
    server.run(_models(models), place, params.load(place).serve, host, port)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 5000,
) -> None:
    """Open MLflow on the runs of this checkout."""
    import os

    from emodag import params, tracking

    print(f"open {tracking.page(params.load(), f'http://{host}:{port}')}", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking.store_uri()]
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.execv(sys.executable, [*command, "--host", host, "--port", str(port)])


def main() -> None:
    """Run the command line; an error that the user can mend is one line on stderr and exit status 1."""
    collect_seldom()
    try:
        app()
    except EmodagError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
