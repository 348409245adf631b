"""Folders of conversations in this checkout: bringing them under DVC's tracking, and taking them out again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from emodag import layout, listening, params
from emodag.calls.contracts import DEMO_CALLS
from emodag.collection import management, roles
from emodag.corpora import REGISTRY
from emodag.corpora.base import all_files
from emodag.errors import CorpusError, did_you_mean
from emodag.params import Speakers


@dataclass(frozen=True)
class Folder:
    """What a folder holds."""

    recordings: int
    others: Counter[str]  #: suffixes of what else is there

    def __str__(self) -> str:
        others = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(self.others.items()))
        return f"{self.recordings} recordings" + (f"; beside them {others}" if others else "")


@dataclass(frozen=True)
class Presence:
    """Where a folder of conversations stands in this checkout."""

    name: str
    speakers: Speakers
    recordings: int | None  #: None: not fetched


def inspect(source: Path) -> Folder:
    """What a folder holds.

    Raises:
        CorpusError: it is no folder, or holds no recording.
    """
    if not source.is_dir():
        raise CorpusError(f"{source}: {'a file, not a folder' if source.is_file() else 'no such folder'}")
    files = list(all_files(source))
    recordings = sum(map(listening.is_recording, files))
    if not recordings:
        raise CorpusError(f"{source}: no recording in this folder; looked for {' '.join(sorted(listening.SUFFIXES))}")
    return Folder(recordings, Counter(path.suffix.lower() for path in files if not listening.is_recording(path)))


def presences() -> list[Presence]:
    """Every folder of conversations that params.yaml names."""
    return [
        Presence(name, speakers, inspect(layout.raw(name)).recordings if layout.raw(name).is_dir() else None)
        for name, speakers in params.load().calls.items()
    ]


def require_present() -> None:
    """Raise CorpusError where params.yaml names a folder of conversations that is not in this checkout."""
    for name in params.load().calls:
        if name != DEMO_CALLS and not layout.raw(name).is_dir() and not management.tracking_file(name).is_file():
            raise CorpusError(
                f"{layout.PARAMS}: calls: {name} is not in {layout.RAW}. "
                f"Bring it in with `emodag calls add {name} PATH`"
            )


def add(name: str, source: Path | None, speakers: Speakers) -> Folder | None:
    """Bring a folder under ``data/raw/NAME`` and DVC's tracking, and enter it in ``params.yaml``.

    ``source`` may be left out for the demo conversations, and for a folder that is there already. Nothing is told where
    there was nothing to bring in.

    Raises:
        CorpusError: the name or the folder will not do, other files are there under this name, or DVC or git fails.
        ParamsError: ``params.yaml`` is not valid.
    """
    management.require_name(name)
    if name in {*params.load().corpora, *REGISTRY}:
        raise CorpusError(f"{name} is the name of a corpus; choose another for a folder of conversations")
    found = None
    if name == DEMO_CALLS:
        if source is not None:
            raise CorpusError(f"{name} is made by the simulate stage; leave PATH out")
    elif source is not None:
        found = management.bring_in(name, source, inspect)
    elif not management.tracking_file(name).is_file():
        raise CorpusError(f"{name} is not in {layout.RAW}. Name the folder to bring in")
    roles.set_speakers(name, speakers)
    return found


def remove(name: str) -> list[Path]:
    """Take a folder of conversations out of params.yaml and of DVC's tracking; delete it and what was made of it.

    The recordings stay in DVC's cache until ``dvc gc``. The demo conversations are only taken out of params.yaml.

    Raises:
        CorpusError: there is no such folder, or its files are not as DVC knows them.
        ParamsError: ``params.yaml`` is not valid.
    """
    known = params.load().calls
    if name not in known:
        present = ", ".join(sorted(known)) or "none"
        raise CorpusError(
            f"there are no conversations {name!r} here{did_you_mean(name, known) or '.'} Present: {present}"
        )
    products = [
        place
        for place in (
            layout.organized_calls(name),
            layout.turns_of_calls(name),
            layout.features_of_calls(name),
            layout.timelines(name),
        )
        if place.is_dir()
    ]
    deleted = [] if name == DEMO_CALLS else management.take_out(name, products)
    if name != DEMO_CALLS:
        layout.metrics_of_calls(name).unlink(missing_ok=True)
    roles.remove_calls(name)
    return deleted
