"""Bringing raw corpora under DVC's tracking, and taking them out again.

A corpus is copied once, into ``data/raw/NAME`` (by reference where the file systems can), and DVC's cache then shares
those very bytes through hard links, where it lies on the same file system. Hard links make the raw files read-only,
which is what raw data should be, so only raw corpora are linked so: for everything else DVC keeps its default. Every
step can be repeated after an interruption.
"""

from __future__ import annotations

import filecmp
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import yaml

from emodag import layout, params
from emodag.calls.contracts import DEMO_CALLS
from emodag.collection import roles
from emodag.collection.inspection import Report, inspect, likely_corpora
from emodag.corpora import REGISTRY, get
from emodag.corpora.base import all_files, as_text, files_in, is_text
from emodag.corpora.demo import CORPORA as DEMOS
from emodag.errors import CorpusError, did_you_mean
from emodag.files import atomic_directory
from emodag.params import Role

Found = TypeVar("Found")

_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_ARCHIVES = frozenset({".zip"})


@dataclass(frozen=True)
class Presence:
    """Where a corpus stands in this checkout: its role, if any, and its raw files (None: not fetched)."""

    name: str
    role: Role | None
    is_tracked: bool
    files: int | None


def tracking_file(name: str) -> Path:
    """The file by which git knows what DVC keeps of the corpus."""
    return layout.RAW / f"{name}.dvc"


def presences() -> list[Presence]:
    """Every published corpus, and every other that params.yaml or ``data/raw`` names."""
    with_role = dict(params.load().corpora)
    raw = [path for path in layout.RAW.glob("*") if not path.name.startswith(".")]
    named = {path.name.removesuffix(".dvc") for path in raw if path.is_dir() or path.suffix == ".dvc"}
    others = sorted((named | set(with_role)) - set(REGISTRY) - {*params.load().calls, DEMO_CALLS})
    return [
        Presence(
            name=name,
            role=with_role.get(name),
            is_tracked=tracking_file(name).is_file(),
            files=sum(1 for _ in files_in(layout.raw(name))) if layout.raw(name).is_dir() else None,
        )
        for name in [*REGISTRY, *others]
    ]


def require_present() -> None:
    """Raise CorpusError where params.yaml names a corpus that is not in this checkout."""
    for name in params.load().corpora:
        if name not in DEMOS and not layout.raw(name).is_dir() and not tracking_file(name).is_file():
            raise CorpusError(
                f"{layout.PARAMS}: corpora: {name} is not in {layout.RAW}{near(name) or '.'} "
                f"Bring it in with `emodag corpora add {name} PATH`"
            )


def require_checkout() -> None:
    """Raise CorpusError where :func:`add` could not work: outside the root of a git checkout with DVC."""
    with _repository():
        pass


def add(name: str, source: Path | None = None, role: Role | None = None) -> Report | None:
    """Check a folder, bring it under ``data/raw/NAME`` and DVC's tracking, and give it a role if one is named.

    ``source`` may be left out for a corpus that is there already. The source is only read. The report is None where
    there was nothing to bring in.

    Raises:
        CorpusError: the name or the folder will not do, other files are there under this name, or DVC or git fails.
        ParamsError: ``params.yaml`` is not valid.
    """
    require_name(name)
    params.load()
    if name in DEMOS:
        if source is not None:
            raise CorpusError(f"{name} is made by the synthesize stage; leave PATH out to give it a role")
    elif source is not None:
        report = _bring_in(name, source)
        if role:
            roles.set_role(name, role)
        return report
    elif not tracking_file(name).is_file():
        raise CorpusError(f"{name} is not in {layout.RAW}{near(name) or '.'} Name the folder to bring in")
    if role:
        roles.set_role(name, role)
    return None


def require_name(name: str) -> None:
    """Raise CorpusError where a name will not do for a raw folder."""
    if not _NAME.fullmatch(name):
        raise CorpusError(
            f"{name!r} will not do as a name; accepted: small letters, digits and underscores, not first an underscore"
        )


def _bring_in(name: str, source: Path) -> Report | None:
    return bring_in(name, source, partial(_inspected, name))


def _inspected(name: str, source: Path) -> Report:
    report = inspect(get(name), source)
    if not report.is_usable:
        raise CorpusError(_why_unusable(name, source, report))
    return report


def bring_in(name: str, source: Path, inspected: Callable[[Path], Found]) -> Found | None:
    """Copy a folder to ``data/raw/NAME`` and bring it under DVC's tracking.

    Args:
        name: of the raw folder.
        source: is only read.
        inspected: what is told of the source; raises where it will not do.

    Returns:
        What was told, or nothing where the same files were there already.

    Raises:
        CorpusError: other files are there under this name, or DVC or git fails.
    """
    target = layout.raw(name)
    in_place = source.resolve() == target.resolve()
    if not in_place and target.resolve().is_relative_to(source.resolve()):
        raise CorpusError(f"{source}: holds {target} itself; name the folder of the recordings")
    with _repository() as repository:
        found = inspected(source)
        if tracking_file(name).is_file():
            if not in_place:
                _require_same(repository, name, source)
            _require_unchanged(repository, name)
            _stage(tracking_file(name))
            return None
        if not in_place:
            _clear_leftover(name, source, target)
            _copy(source, target)
        _drop_damaged(repository, target)
        repository.add([str(target)])
        _stage(tracking_file(name))
    return found


def remove(name: str) -> list[Path]:
    """Take a corpus out of params.yaml and of DVC's tracking; delete its raw files and what was made of them.

    The raw files stay in DVC's cache until ``dvc gc``. Demo corpora are only taken out of params.yaml. Returns the
    folders that were deleted.

    Raises:
        CorpusError: there is no such corpus, it is the only one to train on, or its files are not as DVC knows them.
        ParamsError: ``params.yaml`` is not valid.
    """
    known = {presence.name for presence in presences() if presence.role or presence.is_tracked or presence.files}
    if name not in known:
        hint = did_you_mean(name, known) or "."
        raise CorpusError(f"there is no corpus {name!r} here{hint} Present: {', '.join(sorted(known))}")
    roles.require_removable(name)
    deleted = [] if name in DEMOS else take_out(name, _products(name))
    roles.remove(name)
    return deleted


def take_out(name: str, products: Sequence[Path]) -> list[Path]:
    """Take a raw folder out of DVC's tracking, and delete it and what was made of it; says which folders were deleted.

    Raises:
        CorpusError: it is not under DVC's tracking, or its files are not as DVC knows them.
    """
    deleted = []
    tracked = tracking_file(name)
    if tracked.is_file():
        with _repository() as repository:
            if layout.raw(name).is_dir():
                _require_unchanged(repository, name)
                shutil.rmtree(layout.raw(name))
                deleted.append(layout.raw(name))
            repository.remove(str(tracked))
            _stage(tracked)
    elif layout.raw(name).is_dir():
        raise CorpusError(
            f"{layout.raw(name)} is not under DVC's tracking, so deleting it would lose it; delete it yourself "
            f"or track it first: emodag {_group(name)} add {name} {layout.raw(name)}"
        )
    for product in products:
        shutil.rmtree(product)
        deleted.append(product)
    return deleted


def _group(name: str) -> str:
    """The commands that a raw folder belongs to."""
    return "calls" if name in params.load().calls else "corpora"


def near(name: str) -> str:
    """A hint at the published corpus that an unknown name may mean."""
    return "" if name in REGISTRY else did_you_mean(name, REGISTRY)


def _products(name: str) -> list[Path]:
    """What the stages made of a corpus."""
    places = [layout.organized(name), layout.turns(name), layout.augmented(name), *layout.FEATURES.glob(f"*/{name}")]
    return [place for place in places if place.is_dir()]


@contextmanager
def _repository() -> Iterator:
    """DVC's view of this checkout, its errors turned into ours, with raw files linked rather than copied."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import NoSCM
    from dvc_objects.fs.generic import test_links

    try:
        # DVC stages the .dvc file itself when told so, which also keeps it from printing how to do that by hand.
        with Repo(config={"core": {"autostage": True}}) as repository:
            if Path(repository.root_dir).resolve() != Path.cwd().resolve() or isinstance(repository.scm, NoSCM):
                raise CorpusError(f"{Path.cwd()}: not the root of a git checkout with DVC; run from there")
            cache = repository.cache.local
            # Alone in the list: DVC takes a copy to be good enough as long as copies are allowed beside links.
            if test_links(["hardlink"], cache.fs, cache.path, cache.fs, str(layout.RAW.resolve() / "link")):
                cache.cache_types = ["hardlink"]
            yield repository
    except DvcException as error:
        raise CorpusError(f"DVC: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise CorpusError(f"{error.filename or 'data/raw'}: {error.strerror or error}") from error


def _stage(path: Path) -> None:
    """Tell git of a file that is new, changed or gone: queued experiments see nothing else."""
    arguments = ["add", "--", str(path)] if path.exists() else ["rm", "--cached", "--quiet", "--ignore-unmatch", path]
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CorpusError(f"git {arguments[0]} {path}: {' '.join(done.stderr.split())}")


def _require_unchanged(repository, name: str) -> None:
    changed = repository.status(targets=[str(tracking_file(name))])
    if changed and layout.raw(name).is_dir():
        raise CorpusError(
            f"{layout.raw(name)} has changed since DVC tracked it; keep the change with `dvc commit "
            f"{tracking_file(name)}` or drop it with `dvc checkout --force {tracking_file(name)}`"
        )


def _drop_damaged(repository, folder: Path) -> None:
    """Delete cached copies of a folder's files that are not what their name says.

    Root can write through a hard link into DVC's cache, and DVC would then hand out the damaged copy for the good file.
    """
    for path in _kept(folder):
        digest = _md5(folder / path)
        cached = Path(repository.cache.local.oid_to_path(digest))
        if cached.is_file() and not cached.samefile(folder / path) and _md5(cached) != digest:
            cached.unlink()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _why_unusable(name: str, source: Path, report: Report) -> str:
    reasons = ", ".join(f"{reason}: {len(details)}" for reason, details in sorted(report.rejected.items()))
    first = next(iter(report.rejected.values()))[0]
    likely = next(iter(likely_corpora(source)), None)
    if likely and likely != name:
        hint = f"; these look like the files of {likely}: emodag corpora add {likely} {source}"
    else:
        hint = near(name)
    return f"{source}: none of {report.files} files is a clip of {name} ({reasons}){hint}\nthe first: {first}"


def _kept(source: Path) -> list[PurePosixPath]:
    """The files of a corpus: recordings and what accompanies them, but no archive of the same files."""
    kept = [path for path in all_files(source) if path.suffix.lower() not in _ARCHIVES]
    unreadable = [as_text(path) for path in kept if not is_text(path)]
    if unreadable:
        raise CorpusError(f"{source}: DVC cannot track names that are not valid UTF-8; rename {', '.join(unreadable)}")
    return kept


def _require_same(repository, name: str, source: Path) -> None:
    """Make sure that the source holds what DVC tracks under this name; fetch it from there if the cache lacks it."""
    from dvc.exceptions import CheckoutError

    target, tracked = layout.raw(name), tracking_file(name)
    try:
        repository.checkout(targets=[str(tracked)])
    except CheckoutError:
        # A clone of somebody else's checkout: git knows of the corpus, but nobody's cache is at hand.
        before = tracked.read_bytes()
        _copy(source, target)
        repository.add([str(target)])
        if _digest(tracked.read_bytes()) != _digest(before):
            tracked.write_bytes(before)
            shutil.rmtree(target)
            raise CorpusError(_differs(name, source)) from None
        return
    there, new = set(_kept(target)), set(_kept(source))
    if there != new or _differing(source, target, new):
        raise CorpusError(_differs(name, source))


def _digest(tracking: bytes) -> str:
    return yaml.safe_load(tracking)["outs"][0]["md5"]


def _differs(name: str, source: Path) -> str:
    return (
        f"{name} is tracked already and is not what lies in {source}; to replace it, first "
        f"`emodag {_group(name)} remove {name}`"
    )


def _clear_leftover(name: str, source: Path, target: Path) -> None:
    """Delete what an interrupted ``add`` left: files that are all in the source, too."""
    if not target.exists():
        return
    there = set(all_files(target))
    if not there <= set(_kept(source)) or _differing(source, target, there):
        raise CorpusError(
            f"{target} is there already, untracked, and is not what lies in {source}; move it away, or bring it in "
            f"itself: emodag {_group(name)} add {name} {target}"
        )
    shutil.rmtree(target)


def _differing(source: Path, target: Path, paths: set[PurePosixPath]) -> list[PurePosixPath]:
    return sorted(path for path in paths if not filecmp.cmp(source / path, target / path, shallow=False))


def _copy(source: Path, target: Path) -> None:
    from emodag.parallel import progress

    paths = _kept(source)
    with atomic_directory(target) as partial:
        copy_file = _copy_function(source / paths[0], partial / "probe")
        for path in progress(paths, total=len(paths), description=f"copy to {target}"):
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            copy_file(source / path, partial / path)


def _copy_function(source: Path, probe: Path) -> Callable[[Path, Path], object]:
    """A copy that shares the bytes, where the file systems of source and target can do that."""
    from dvc_objects.fs.system import reflink

    try:
        reflink(source, probe)
    except OSError:
        return shutil.copyfile
    finally:
        probe.unlink(missing_ok=True)
    return reflink
