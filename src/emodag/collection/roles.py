"""Editing ``corpora:`` of ``params.yaml`` so that every other byte of the file stays as its owner wrote it."""

from __future__ import annotations

from pathlib import Path

import yaml

from emodag import layout, params
from emodag.errors import CorpusError, ParamsError
from emodag.files import atomic_file
from emodag.params import Role

_SECTION = "corpora"


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
    _write(path, _with_role(_read(path), name, role), after)
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
    _write(path, _without(_read(path), name), after)
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


def _with_role(text: str, name: str, role: Role) -> str:
    section = _section(text)
    key = name if isinstance(yaml.safe_load(name), str) else f"'{name}'"
    for found, value in section.value:
        if found.value == name:
            return text[: value.start_mark.index] + role + text[value.end_mark.index :]
    if section.flow_style:
        at = section.value[-1][1].end_mark.index if section.value else section.start_mark.index + 1
        return f"{text[:at]}{', ' if section.value else ''}{key}: {role}{text[at:]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    at = _line_after(text, section.value[-1][1].end_mark.index)
    before = text[:at] if text[:at].endswith("\n") else text[:at] + newline
    return f"{before}{' ' * section.value[0][0].start_mark.column}{key}: {role}{newline}{text[at:]}"


def _without(text: str, name: str) -> str:
    section = _section(text)
    index = next(i for i, (key, _) in enumerate(section.value) if key.value == name)
    key, value = section.value[index]
    start, end = key.start_mark.index, value.end_mark.index
    if not section.flow_style:
        start, end = start - key.start_mark.column, _line_after(text, end)
    elif index + 1 < len(section.value):
        end = section.value[index + 1][0].start_mark.index
    elif index:
        start = section.value[index - 1][1].end_mark.index
    return text[:start] + text[end:]


def _section(text: str) -> yaml.MappingNode:
    """The node of ``corpora``, which knows where in the text each of its keys and values stands."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return next(value for key, value in root.value if key.value == _SECTION)


def _line_after(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end + 1


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _write(path: Path, text: str, expected: dict[str, Role]) -> None:
    """Replace the file, once it is sure that the edit did what was meant and nothing else."""
    meant = yaml.safe_load(_read(path)) | {_SECTION: expected}
    if yaml.safe_load(text) != meant:
        raise ParamsError(f"{path}: cannot be edited safely; write there by hand: corpora: {expected}")
    with atomic_file(path) as partial:
        partial.write_bytes(text.encode("utf-8"))
    layout.prune(expected, path.parent)
