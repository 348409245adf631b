"""What a run of the pipeline left behind, read back without touching the workspace: its params and its predictions.

A run is named as people know it: a DVC experiment, any git revision, ``workspace`` for the files that lie here, or the
id of an MLflow run. Predictions of a revision come from DVC's cache, or from its remote where there is one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from emodag import layout, schema, tracking
from emodag.errors import DataError, did_you_mean
from emodag.labels import EMOTIONS
from emodag.params import flatten, parse
from emodag.predict import corpora_of
from emodag.splits import CROSS_CORPUS, is_leaky

WORKSPACE = "workspace"

OUT_OF_FOLD = layout.PREDICTIONS / "predictions.parquet"
HELD_OUT = layout.PREDICTIONS / "validation.parquet"
_SCORED = layout.REPORT / "predictions.parquet"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_DIGITS = re.compile(r"[0-9a-f]{12,}")
_PARTS = re.compile(r"[^-_/]*[-_/]|[^-_/]+")
_LONGEST_IN_PICTURES = 24
_CHANGES_SHOWN = 5
_LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class Predicted:
    """The predictions of one corpus's clips."""

    table: pd.DataFrame  #: by :func:`emodag.schema.predictions`
    classes: tuple[str, ...]  #: of its probability columns
    protocol: str
    leaky: bool  #: whether tested speakers were trained on


@dataclass(frozen=True)
class Revision:
    """A run of the pipeline, as far as two of them are compared."""

    name: str  #: as the user named it
    told: str  #: what it is: ``the workspace``, ``revision 0c95406``, ``MLflow run ...``
    params: dict[str, str]  #: flat, as text
    corpora: dict[str, Predicted]  #: those of train first
    #: Predictions of the validation clips of each fold, by corpus.
    validation: dict[str, pd.DataFrame] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()  #: what of it is out of date

    @property
    def label(self) -> str:
        """The name as people read it: of a long number the start."""
        return self.name[:8] if _DIGITS.fullmatch(self.name) else self.name

    @property
    def calm(self) -> str:
        """The policy for it, ``train.calm``."""
        return self.params.get("train.calm", "unknown")


def read(name: str) -> Revision:
    """Find a run of the pipeline by its name and read what it left.

    Args:
        name: ``workspace``, a DVC experiment, a git revision, or the id of an MLflow run. Where several fit, the first.

    Raises:
        DataError: nothing is called so, or its predictions cannot be had; the message says what would help.
    """
    if name == WORKSPACE:
        return read_folder(Path(), name, "the workspace")
    if commit := _commit(name):
        missing = (
            "neither DVC's cache nor a remote holds them for this commit: `dvc pull` where they were pushed, or run "
            f"`dvc exp apply {name}` (an experiment) or `git checkout {name}`, and then `dvc repro train`"
        )
        return _from_files(name, f"revision {commit[:7]}", _reader_at(commit), missing)
    if _RUN_ID.fullmatch(name):
        return _from_mlflow(name)
    raise DataError(
        f"{name!r} is no DVC experiment, no git revision and no id of an MLflow run (32 hexadecimal digits); `dvc exp "
        "show` and `git log` list what there is, and `workspace` stands for the files here"
    )


def read_folder(folder: Path, name: str, told: str) -> Revision:
    """What a run left whose ``params.yaml`` and outputs lie in a folder.

    Args:
        folder: laid out as a checkout.
        name: to call the run by.
        told: what it is, in words.

    Raises:
        DataError: there are no params or no predictions.
    """
    return _from_files(name, told, lambda path: (folder / path).read_bytes(), "run `dvc repro train`")


def short_names(first: str, second: str) -> tuple[str, str]:
    """Two names as a picture has room for them: without the parts that both begin with, and no longer than that."""
    if first == second or max(len(first), len(second)) <= _LONGEST_IN_PICTURES:
        return first, second
    parts = [_PARTS.findall(name) for name in (first, second)]
    while min(map(len, parts)) > 1 and parts[0][0] == parts[1][0]:
        parts = [each[1:] for each in parts]
    short = ["".join(each) for each in parts]
    short = [each if len(each) <= _LONGEST_IN_PICTURES else f"{each[: _LONGEST_IN_PICTURES - 1]}…" for each in short]
    return ("the first", "the second") if short[0] == short[1] else tuple(short)


def _commit(name: str) -> str | None:
    """The commit of a git revision or DVC experiment; ``None`` if there is none.

    Raises:
        DataError: several experiments have this name.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.experiments.utils import exp_refs_by_names

    try:
        repo = Repo()
    except DvcException as error:
        raise DataError(f"{Path.cwd()}: {error}; run from the root of the checkout") from None
    with repo:
        from dvc.scm import NoSCM, resolve_rev

        if isinstance(repo.scm, NoSCM):
            raise DataError(f"{Path.cwd()}: no git repository; only {WORKSPACE!r} and MLflow runs can be read")
        try:
            return resolve_rev(repo.scm, name)
        except DvcException:
            if same := exp_refs_by_names(repo.scm, {name})[name]:
                found = [f"{repo.scm.get_ref(str(each))[:12]} (of {each.baseline_sha[:7]})" for each in same]
                raise DataError(
                    f"{name!r}: {len(same)} DVC experiments have this name; say which by its commit: {', '.join(found)}"
                ) from None
            return None


def _reader_at(commit: str) -> Callable[[Path], bytes]:
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    files = DVCFileSystem(str(Path.cwd()), rev=commit)

    def read_at(path: Path) -> bytes:
        try:
            with files.open(path.as_posix(), "rb") as file:
                return file.read()
        except (DataIndexDirError, DvcException) as error:
            raise FileNotFoundError(str(error)) from None

    return read_at


def _from_files(name: str, told: str, read_file: Callable[[Path], bytes], missing: str) -> Revision:
    try:
        written = flatten(parse(read_file(layout.PARAMS)))
    except (OSError, yaml.YAMLError, AttributeError):
        raise DataError(f"{name}: {told} holds no {layout.PARAMS} of this project") from None
    # What was predicted is judged by the params that it was predicted under.
    recorded = _recorded(read_file, [key.removeprefix("corpora.") for key in written if key.startswith("corpora.")])
    changed = {key: value for key, value in recorded.items() if value != written.get(key, "absent")}
    trained = {key: str(value) for key, value in (written | changed).items()}
    found = _revision(name, told, trained, read_file, missing)
    if not changed:
        return found
    listed = [f"{key} was {value} and is {written.get(key, 'absent')}" for key, value in changed.items()]
    more = f" and {len(listed) - _CHANGES_SHOWN} others" if len(listed) > _CHANGES_SHOWN else ""
    remark = (
        f"{layout.PARAMS} has changed since train made these predictions ({', '.join(listed[:_CHANGES_SHOWN])}{more}); "
        "they are told by what it was then; `dvc repro` makes new ones"
    )
    return replace(found, remarks=(*found.remarks, remark))


def _recorded(read_file: Callable[[Path], bytes], corpora: Iterable[str]) -> dict[str, Any]:
    """The params under which the stages ran that made the predictions, as far as ``dvc.lock`` says; flat."""
    try:
        stages = parse(read_file(_LOCK))["stages"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return {}
    names = [f"{stage}@{corpus}" for stage in ("augment", "featurize") for corpus in corpora]
    found = {}
    for name in (*names, "train"):
        found |= flatten(stages.get(name, {}).get("params", {}).get(layout.PARAMS.name, {}))
    return found


def _from_mlflow(run_id: str) -> Revision:
    from tempfile import TemporaryDirectory

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=tracking.store_uri())
    try:
        run = client.get_run(run_id)
        # What evaluate logs, and the params, are its parent's.
        run = client.get_run(run.data.tags.get("mlflow.parentRunId", run_id))
    except MlflowException as error:
        raise DataError(f"{run_id}: no such run in MLflow at {tracking.store_uri()} ({error})") from None

    def download(path: Path) -> bytes:
        with TemporaryDirectory() as folder:
            try:
                return Path(client.download_artifacts(run.info.run_id, path.as_posix(), folder)).read_bytes()
            except (MlflowException, OSError) as error:
                raise FileNotFoundError(str(error)) from None

    missing = "the run did not log them; only runs whose evaluate stage has finished did"
    return _revision(run_id, f"MLflow run {run.info.run_name}", dict(run.data.params), download, missing)


def _revision(
    name: str, told: str, params: dict[str, str], read_file: Callable[[Path], bytes], missing: str
) -> Revision:
    try:
        content = read_file(OUT_OF_FOLD)
    except OSError:
        raise DataError(f"{name}: the predictions of {told} ({OUT_OF_FOLD}) are not here; {missing}") from None
    protocol = params.get("train.protocol", "unknown")
    corpora = {
        corpus: Predicted(*table, protocol, is_leaky(corpus, protocol))
        for corpus, table in _by_corpus(content, f"{name}: {OUT_OF_FOLD}").items()
    }
    validation = _validation(name, read_file)
    try:
        content = read_file(_SCORED)
    except OSError:
        # Evaluate did not run, so test corpora were not predicted.
        return Revision(name, told, params, corpora, validation)
    scored = _by_corpus(content, f"{name}: {_SCORED}")
    if any(corpus not in scored or not _same(scored[corpus][0], each.table) for corpus, each in corpora.items()):
        remark = f"{_SCORED} is of an earlier training, so test corpora are left out; run `dvc repro evaluate`"
        return Revision(name, told, params, corpora, validation, (remark,))
    tested = {
        corpus: Predicted(*table, CROSS_CORPUS, False) for corpus, table in scored.items() if corpus not in corpora
    }
    return Revision(name, told, params, corpora | tested, validation)


def _validation(name: str, read_file: Callable[[Path], bytes]) -> dict[str, pd.DataFrame]:
    try:
        content = read_file(HELD_OUT)
    except OSError:
        return {}
    return {corpus: table for corpus, (table, _) in _by_corpus(content, f"{name}: {HELD_OUT}").items()}


def _same(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether two tables hold the same predictions, in whatever order."""
    order = ["clip_id", "seed", "fold"]
    return first.sort_values(order, ignore_index=True).equals(second.sort_values(order, ignore_index=True))


def _by_corpus(content: bytes, source: str) -> dict[str, tuple[pd.DataFrame, tuple[str, ...]]]:
    """Each corpus's rows of a Parquet table of predictions, with the classes that they have probabilities of."""
    try:
        table = pd.read_parquet(io.BytesIO(content))
        corpus_of = corpora_of(table)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{source}: no table of predictions: {error}") from None
    found = {}
    for corpus, rows in table.groupby(corpus_of, sort=True):
        classes = tuple(emotion for emotion in EMOTIONS if emotion in rows and rows[emotion].notna().all())
        contract = schema.predictions(classes)
        if missing := [column for column in contract.columns if column not in rows]:
            raise DataError(
                f"{source}: no column {', '.join(missing)}; another version of emodag wrote this table, and this one "
                "cannot read it: run the pipeline again there"
            )
        found[str(corpus)] = schema.validate(rows[list(contract.columns)], contract, source), classes
    return found


def in_common(listed: Sequence[tuple[str, Iterable[str]]], wanted: str | None, how: str) -> list[str]:
    """The corpora that all of some runs list; of these the wanted one alone, if one is.

    Args:
        listed: the name of each run and its corpora.
        wanted: the value of ``--corpus``.
        how: the runs should have met the wanted one, as ``predicted by both``.

    Raises:
        DataError: not all list the wanted one.
    """
    (_, first), *others = listed
    common = [corpus for corpus in first if all(corpus in corpora for _, corpora in others)]
    if wanted is None:
        return common
    if wanted not in common:
        told = " and ".join(f"{name} ({', '.join(corpora)})" for name, corpora in listed)
        hint = did_you_mean(wanted, common).removeprefix("; ")
        raise DataError(f"--corpus: {wanted!r} was not {how} {told}; {hint}".rstrip("; "))
    return [wanted]


def differing(first: Revision, second: Revision) -> dict[str, tuple[str, str]]:
    """The params in which two runs differ, ``absent`` where one lacks the key; where work runs is left out."""
    keys = sorted(first.params.keys() | second.params.keys())
    pairs = {key: (first.params.get(key, "absent"), second.params.get(key, "absent")) for key in keys}
    return {
        key: pair for key, pair in pairs.items() if not key.startswith(("compute.", "tracking.")) and not _alike(*pair)
    }


def _alike(first: Any, second: Any) -> bool:
    """Whether two values are the same, be they written ``1`` or ``1.0``."""
    try:
        return first == second or float(first) == float(second)
    except ValueError:
        return False
