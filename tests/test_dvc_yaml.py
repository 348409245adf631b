"""dvc.yaml names all that a stage's result depends on: code that is imported, params that are read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

#: How a stage runs and tells about itself, which no output holds.
WITHOUT_EFFECT = {"__init__", "errors", "files", "layout", "parallel", "params", "sheets", "tracking"}


def imports(path: Path) -> set[str]:
    """The modules of emodag that a file imports, anywhere in it, but for annotations."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "emodag":
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.split(".")[0] == "emodag"}
    return found


def file_of(module: str) -> Path | None:
    place = SOURCE / Path(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def is_docstring(path: Path) -> bool:
    """Whether a file holds nothing else, as the ``__init__.py`` of most packages."""
    return all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def closure(script: Path) -> set[Path]:
    """Every file of the library that a script imports, directly or not."""
    seen, waiting = set(), [script]
    while waiting:
        for module in imports(waiting.pop()):
            path = file_of(module)
            name = module.split(".")[1] if "." in module else "__init__"
            if path and path not in seen and name not in WITHOUT_EFFECT and not is_docstring(path):
                seen.add(path)
                waiting.append(path)
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_script_and_on_all_the_code_that_this_imports(stage):
    entry = STAGES[stage].get("do", STAGES[stage])
    script = ROOT / "stages" / f"{stage}.py"
    assert f"python stages/{stage}.py" in entry["cmd"]
    listed = [ROOT / dep for dep in entry["deps"] if dep.startswith(("stages", "src"))]
    assert all(path.exists() for path in listed)
    assert len(listed) == len(set(listed))
    needed = {script, *closure(script)}
    missing = sorted(
        str(path.relative_to(ROOT)) for path in needed if not any(dep in (path, *path.parents) for dep in listed)
    )
    assert missing == []
    unused = sorted(
        str(dep.relative_to(ROOT)) for dep in listed if not any(dep in (path, *path.parents) for path in needed)
    )
    assert unused == []


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "evaluate"])
def test_a_stage_declares_exactly_the_sections_of_params_that_its_script_reads(stage):
    entry = STAGES[stage].get("do", STAGES[stage])
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8"))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    } - {"compute", "tracking"}
    listed = entry.get("params", ())
    # Nothing of it changes a result but the device that trains networks.
    assert [param for param in listed if param.startswith("compute")] == ["compute.device"] * (stage == "train")
    declared = {param.split(".")[0] for param in listed} - {"compute"}
    if stage == "train":  # hands the whole of params to the model and the bundle that it makes
        declared -= {"models", "diarize"}
    assert read == declared
