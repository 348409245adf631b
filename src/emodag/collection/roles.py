"""Editing ``corpora:`` and ``calls:`` of ``params.yaml`` so that every other byte stays as its owner wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from emodag import layout, params
from emodag.errors import CorpusError, ParamsError
from emodag.files import atomic_file
from emodag.params import Role, Speakers

_CORPORA, _CALLS = "corpora", "calls"


def set_role(name: str, role: Role, path: Path = layout.PARAMS) -> bool:
    """Give the corpus a role; False where it has that role already.

    Raises:
        ParamsError: ``params.yaml`` is not valid.
        CorpusError: no corpus with the role ``train`` would be left.
    """
    before = dict(params.load(path).corpora)
    after = before | {name: role}
    if after == before:
        return False
    _require_training(after, f"{name} cannot become a {role} corpus")
    _write(path, _CORPORA, _with(_read(path), _CORPORA, name, role), after)
    return True


def remove(name: str, path: Path = layout.PARAMS) -> bool:
    """Take the corpus out; False where it is not there.

    Raises:
        ParamsError: ``params.yaml`` is not valid.
        CorpusError: no corpus with the role ``train`` would be left.
    """
    before = dict(params.load(path).corpora)
    if name not in before:
        return False
    after = {other: role for other, role in before.items() if other != name}
    _require_training(after, f"{name} cannot be removed")
    _write(path, _CORPORA, _without(_read(path), _CORPORA, name), after)
    return True


def set_speakers(name: str, speakers: Speakers, path: Path = layout.PARAMS) -> bool:
    """Say how many speak in each conversation of a folder; False where that stands there already.

    Raises:
        ParamsError: ``params.yaml`` is not valid.
    """
    before = dict(params.load(path).calls)
    after = before | {name: speakers}
    if after == before:
        return False
    _write(path, _CALLS, _with(_read(path), _CALLS, name, str(speakers)), after)
    return True


def remove_calls(name: str, path: Path = layout.PARAMS) -> bool:
    """Take a folder of conversations out; False where it is not there.

    Raises:
        ParamsError: ``params.yaml`` is not valid.
    """
    before = dict(params.load(path).calls)
    if name not in before:
        return False
    after = {other: speakers for other, speakers in before.items() if other != name}
    _write(path, _CALLS, _without(_read(path), _CALLS, name), after)
    return True


def require_removable(name: str, path: Path = layout.PARAMS) -> None:
    """Raise what :func:`remove` would raise, without changing anything."""
    corpora = dict(params.load(path).corpora)
    if corpora.pop(name, None) is not None:
        _require_training(corpora, f"{name} cannot be removed")


def _require_training(corpora: dict[str, Role], what: str) -> None:
    if "train" not in corpora.values():
        raise CorpusError(
            f"{what}: it is the only training corpus in params.yaml; give another one the role first, "
            "for instance `emodag corpora add demo_en --role train`"
        )


def _with(text: str, within: str, name: str, value: str) -> str:
    section = _section(text, within)
    key = name if isinstance(params.parse(name), str) else f"'{name}'"
    for found, old in section.value:
        if found.value == name:
            return text[: old.start_mark.index] + value + text[old.end_mark.index :]
    if section.flow_style:
        at = section.value[-1][1].end_mark.index if section.value else section.start_mark.index + 1
        return f"{text[:at]}{', ' if section.value else ''}{key}: {value}{text[at:]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    at = _line_after(text, section.value[-1][1].end_mark.index)
    before = text[:at] if text[:at].endswith("\n") else text[:at] + newline
    return f"{before}{' ' * section.value[0][0].start_mark.column}{key}: {value}{newline}{text[at:]}"


def _without(text: str, within: str, name: str) -> str:
    section = _section(text, within)
    index = next(i for i, (key, _) in enumerate(section.value) if key.value == name)
    key, value = section.value[index]
    start, end = key.start_mark.index, value.end_mark.index
    if len(section.value) == 1 and not section.flow_style:
        # A section without any line would be null.
        return f"{text[:start]}{{}}{text[end:]}"
    if not section.flow_style:
        start, end = start - key.start_mark.column, _line_after(text, end)
    elif index + 1 < len(section.value):
        end = section.value[index + 1][0].start_mark.index
    elif index:
        start = section.value[index - 1][1].end_mark.index
    return text[:start] + text[end:]


def _section(text: str, within: str) -> yaml.MappingNode:
    """The node of a section, which knows where in the text each of its keys and values stands."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return next(value for key, value in root.value if key.value == within)


def _line_after(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end + 1


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _write(path: Path, within: str, text: str, expected: dict[str, Any]) -> None:
    """Replace the file, once it is sure that the edit did what was meant and nothing else."""
    meant = params.parse(_read(path)) | {within: expected}
    if params.parse(text) != meant:
        raise ParamsError(f"{path}: cannot be edited safely; write there by hand: {within}: {expected}")
    with atomic_file(path) as partial:
        partial.write_bytes(text.encode("utf-8"))
    layout.prune(params.load(path).corpora, path.parent)
