"""Edits of params.yaml change the line that is meant and no other byte."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from emodag import params
from emodag.collection import roles
from emodag.errors import CorpusError, ParamsError

OWN = (Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8")
SECTION = "corpora:\n  demo_en: train\n  demo_de: test\n"


@pytest.fixture
def path(tmp_path):
    assert SECTION in OWN
    (tmp_path / "params.yaml").write_text(OWN, encoding="utf-8")
    return tmp_path / "params.yaml"


def changed(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def test_adding_is_one_line(path):
    assert roles.set_role("ravdess", "train", path)
    assert changed(OWN, path.read_text(encoding="utf-8")) == ["+   ravdess: train\n"]
    assert list(params.load(path).corpora) == ["demo_en", "demo_de", "ravdess"]


def test_a_role_changes_in_its_place(path):
    assert roles.set_role("demo_de", "train", path)
    assert changed(OWN, path.read_text(encoding="utf-8")) == ["-   demo_de: test\n", "+   demo_de: train\n"]


def test_the_same_role_changes_nothing(path):
    stamp = path.stat().st_mtime_ns
    assert not roles.set_role("demo_de", "test", path)
    assert path.stat().st_mtime_ns == stamp


def test_adding_and_removing_gives_the_file_back(path):
    roles.set_role("ravdess", "test", path)
    assert roles.remove("ravdess", path)
    assert path.read_text(encoding="utf-8") == OWN
    assert not roles.remove("ravdess", path)


@pytest.mark.parametrize(
    ("section", "added", "removed"),
    [
        ("corpora: {demo_en: train, demo_de: test}  # here\n",
         "corpora: {demo_en: train, demo_de: test, x: test}  # here\n",
         "corpora: {demo_en: train}  # here\n"),
        ("corpora: {demo_de: test, demo_en: train}\n",
         "corpora: {demo_de: test, demo_en: train, x: test}\n",
         "corpora: {demo_en: train}\n"),
        ("corpora:\n    # 1\n    demo_en:   train   # English\n\n    demo_de: 'test' # German\n    # 2\n",
         "corpora:\n    # 1\n    demo_en:   train   # English\n\n    demo_de: 'test' # German\n    x: test\n    # 2\n",
         "corpora:\n    # 1\n    demo_en:   train   # English\n\n    # 2\n"),
        ("corpora:\r\n  demo_en: train\r\n  demo_de: test\r\n",
         "corpora:\r\n  demo_en: train\r\n  demo_de: test\r\n  x: test\r\n",
         "corpora:\r\n  demo_en: train\r\n"),
    ],
    ids=["flow, last", "flow, first", "comments", "crlf"],
)  # fmt: skip
def test_every_way_to_write_the_section(path, section, added, removed):
    def write(content):
        path.write_bytes(OWN.replace(SECTION, content).encode())

    write(section)
    roles.set_role("x", "test", path)
    assert path.read_bytes() == OWN.replace(SECTION, added).encode()
    write(section)
    roles.remove("demo_de", path)
    assert path.read_bytes() == OWN.replace(SECTION, removed).encode()


def test_the_section_may_end_the_file_without_a_newline(path):
    path.write_text(OWN.replace(SECTION, "") + SECTION.removesuffix("\n"), encoding="utf-8")
    roles.set_role("x", "test", path)
    assert path.read_text(encoding="utf-8").endswith("  demo_de: test\n  x: test\n")


@pytest.mark.parametrize("name", ["no", "on", "null", "1e5", "123", "0x1f"])
def test_names_that_yaml_would_take_for_something_else_are_quoted(path, name):
    roles.set_role(name, "test", path)
    assert params.load(path).corpora[name] == "test"
    roles.remove(name, path)
    assert path.read_text(encoding="utf-8") == OWN


@pytest.mark.parametrize(
    "edit", [lambda path: roles.remove("demo_en", path), lambda path: roles.set_role("demo_en", "test", path)]
)
def test_the_last_training_corpus_stays(path, edit):
    with pytest.raises(CorpusError, match=r"demo_en cannot .* only training corpus"):
        edit(path)
    assert path.read_text(encoding="utf-8") == OWN


def test_an_invalid_file_is_not_touched(path):
    path.write_text(OWN + "typo: 1\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="typo"):
        roles.set_role("ravdess", "test", path)
    assert path.read_text(encoding="utf-8") == OWN + "typo: 1\n"


def test_features_of_the_old_role_go_with_it_and_only_in_the_checkout_of_the_params(path, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for root in (path.parent, elsewhere):
        (root / "data/features/test/demo_de").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    roles.set_role("demo_de", "train", path)
    assert not (path.parent / "data/features/test/demo_de").exists()
    assert (elsewhere / "data/features/test/demo_de").exists()
