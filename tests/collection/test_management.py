"""Corpora in and out of a small checkout, with real git and DVC."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from emodag import params
from emodag.collection import management
from emodag.errors import CorpusError, ParamsError

ROOT = Path(__file__).resolve().parents[2]


def make(folder: Path, *paths: str, seed: int = 0) -> Path:
    """Short noises under the given names; each has its own content."""
    rng = np.random.default_rng(seed)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / path, rng.uniform(-0.1, 0.1, 1600), 16_000)
    return folder


EMODB = ("wav/03a01Fa.wav", "wav/08a01Wa.wav", "wav/16b10Lb.wav")


@pytest.fixture
def emodb(tmp_path):
    folder = make(tmp_path / "downloads" / "emodb", *EMODB)
    (folder / "erkennung.txt").write_text("votes")
    (folder / ".DS_Store").write_text("junk")
    (folder / "wav.zip").write_bytes(b"the same files again")
    return folder


def state(folder: Path) -> dict[str, tuple]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.stat().st_nlink, path.read_bytes()) for path in files
    }


def staged() -> list[str]:
    done = subprocess.run(["git", "diff", "--cached", "--name-only"], capture_output=True, text=True, check=True)
    return [path for path in done.stdout.split() if path.startswith("data")]


def tracked() -> list[str]:
    from dvc.repo import Repo

    with Repo() as repository:
        return [out.fspath for stage in repository.index.stages for out in stage.outs]


def test_add_links_the_files_to_one_copy_in_the_cache(checkout, emodb):
    before = state(emodb)
    report = management.add("emodb", emodb, "test")
    assert len(report.clips) == 3
    assert state(emodb) == before
    raw = checkout / "data/raw/emodb"
    assert sorted(str(path.relative_to(raw)) for path in raw.rglob("*") if path.is_file()) == ["erkennung.txt", *EMODB]
    cached = {path.stat().st_ino for path in (checkout / ".dvc/cache").rglob("*") if path.is_file()}
    for path in (path for path in raw.rglob("*") if path.is_file()):
        assert path.stat().st_ino in cached
        assert not path.stat().st_mode & 0o222
    assert staged() == ["data/raw/emodb.dvc"]
    assert tracked() == [str(raw)]
    assert params.load().corpora == {"demo_en": "train", "demo_de": "test", "emodb": "test"}
    assert "hardlink" not in (checkout / ".dvc/config").read_text()


@pytest.fixture
def other_file_system(checkout):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == checkout.stat().st_dev:
        pytest.skip("no second file system at /dev/shm")
    place = memory / f"emodag-test-{os.getpid()}"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def test_a_source_on_another_file_system(checkout, emodb, other_file_system):
    source = other_file_system / "emodb"
    shutil.copytree(emodb, source)
    before = state(source)
    management.add("emodb", source)
    assert state(source) == before
    assert {path.stat().st_nlink for path in (checkout / "data/raw/emodb/wav").iterdir()} == {2}


def test_a_cache_on_another_file_system(checkout, emodb, other_file_system):
    with (checkout / ".dvc/config").open("a") as file:
        file.write(f"[cache]\n    dir = {other_file_system}\n")
    management.add("emodb", emodb)
    assert len([path for path in other_file_system.rglob("*") if path.is_file()]) == 5  # four files and their list
    assert tracked() == [str(checkout / "data/raw/emodb")]


def test_add_without_a_role_leaves_params_alone(checkout, emodb):
    before = (checkout / "params.yaml").read_bytes()
    management.add("emodb", emodb)
    assert (checkout / "params.yaml").read_bytes() == before
    assert management.add("emodb", role="train") is None
    assert params.load().corpora["emodb"] == "train"


def test_adding_the_same_again_only_sets_the_role(checkout, emodb):
    management.add("emodb", emodb)
    before = state(checkout / "data")
    assert management.add("emodb", emodb, "test") is None
    assert state(checkout / "data") == before
    assert params.load().corpora["emodb"] == "test"


@pytest.mark.parametrize("change", ["more", "fewer", "other"])
def test_adding_other_files_under_a_name_that_is_taken(checkout, emodb, change):
    management.add("emodb", emodb)
    if change == "fewer":
        (emodb / EMODB[0]).unlink()
    else:
        make(emodb, "wav/09a01Fa.wav" if change == "more" else EMODB[0], seed=1)
    before = state(checkout / "data")
    with pytest.raises(CorpusError, match="emodag corpora remove emodb"):
        management.add("emodb", emodb, "test")
    assert state(checkout / "data") == before
    assert "emodb" not in params.load().corpora


def test_a_clone_without_the_cache_gets_its_files_from_the_user(checkout, emodb):
    management.add("emodb", emodb)
    tracking = (checkout / "data/raw/emodb.dvc").read_bytes()
    shutil.rmtree(checkout / "data/raw/emodb")
    shutil.rmtree(checkout / ".dvc/cache")
    make(emodb, "wav/09a01Fa.wav", seed=1)
    with pytest.raises(CorpusError, match="is not what lies in"):
        management.add("emodb", emodb)
    assert (checkout / "data/raw/emodb.dvc").read_bytes() == tracking
    (emodb / "wav/09a01Fa.wav").unlink()
    management.add("emodb", emodb)
    assert (checkout / "data/raw/emodb.dvc").read_bytes() == tracking
    assert (checkout / "data/raw/emodb" / EMODB[0]).stat().st_nlink == 2


@pytest.mark.parametrize("leftover", ["partial folder", "some files", "all files"])
def test_an_interrupted_add_can_be_repeated(checkout, emodb, leftover):
    raw = checkout / "data/raw"
    if leftover == "partial folder":
        make(raw / ".emodb.123.partial", "wav/half.wav")
    else:
        shutil.copytree(emodb, raw / "emodb", ignore=shutil.ignore_patterns(".DS_Store", "wav.zip"))
        if leftover == "some files":
            (raw / "emodb" / EMODB[1]).unlink()
    management.add("emodb", emodb, "test")
    assert len(list((raw / "emodb/wav").iterdir())) == 3
    assert not (raw / ".emodb.123.partial").exists()
    assert tracked() == [str(raw / "emodb")]


def test_killed_at_any_moment_add_can_be_repeated(checkout, tmp_path):
    codes = itertools.product(range(3, 9), (1, 2), (1, 2), (1, 2), range(1, 13))
    source = make(tmp_path / "source", *("03-01-{:02}-{:02}-{:02}-{:02}-{:02}.wav".format(*code) for code in codes))
    files = len(list(source.iterdir()))
    command = [sys.executable, "-c", "from emodag.cli import main; main()", "corpora", "add", "ravdess", str(source)]
    raw = checkout / "data/raw"
    for sign in (raw / ".ravdess.partial", raw / "ravdess", checkout / ".dvc/cache/files", raw / "ravdess.dvc"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not sign.exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    management.add("ravdess", source, "train")
    assert len(list((raw / "ravdess").iterdir())) == files
    assert {path.stat().st_nlink for path in (raw / "ravdess").iterdir()} == {2}
    assert staged() == ["data/raw/ravdess.dvc"]


def test_files_already_below_data_raw_are_tracked_in_place(checkout):
    make(checkout / "data/raw/emodb", *EMODB)
    management.add("emodb", Path("data/raw/emodb"))
    assert tracked() == [str(checkout / "data/raw/emodb")]
    assert {path.stat().st_nlink for path in (checkout / "data/raw/emodb/wav").iterdir()} == {2}


def test_untracked_files_of_the_user_are_not_overwritten(checkout, emodb):
    make(checkout / "data/raw/emodb", "wav/10a01Fa.wav", seed=2)
    with pytest.raises(CorpusError, match="untracked"):
        management.add("emodb", emodb)
    assert (checkout / "data/raw/emodb/wav/10a01Fa.wav").is_file()


@pytest.mark.parametrize(
    ("name", "paths", "said"),
    [
        ("emodb", (), "no recording in this folder"),
        ("ravdes", EMODB, "these look like the files of emodb"),
        ("ravdes", ("a/x.wav",), "did you mean 'ravdess'?"),
        ("ravdess", ("a/x.wav",), r"none of 1 files is a clip of ravdess \(unknown_name: 1\)"),
        ("ravdess", ("03-02-01-01-01-01-01.wav",), "channel 02 is song"),
        ("tess", EMODB, "emodag corpora add emodb"),
        ("Emodb", EMODB, "'Emodb' will not do as a name"),
        ("my-own", EMODB, "will not do as a name"),
        ("../escape", EMODB, "will not do as a name"),
        ("_x", EMODB, "will not do as a name"),
        ("demo_en", EMODB, "made by the synthesize stage"),
    ],
)
def test_what_cannot_be_added(checkout, tmp_path, name, paths, said):
    (tmp_path / "source").mkdir()
    make(tmp_path / "source", *paths)
    with pytest.raises(CorpusError, match=said):
        management.add(name, tmp_path / "source", "test")
    assert not list((checkout / "data/raw").glob("*"))
    assert (checkout / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_a_name_near_a_known_one_is_fine_for_a_folder_corpus(checkout, tmp_path):
    management.add("emodb2", make(tmp_path / "source", "angry/1.wav", "sad/1.wav"), "test")
    assert params.load().corpora["emodb2"] == "test"


@pytest.mark.parametrize(
    ("place", "said"), [("nowhere", "no such folder"), ("file", "a file, not a folder"), (".", "holds data/raw/emodb")]
)
def test_places_that_are_no_folder_of_a_corpus(checkout, place, said):
    (checkout / "file").write_text("x")
    with pytest.raises(CorpusError, match=said):
        management.add("emodb", Path(place))


def test_a_name_that_is_not_utf8_is_named(checkout, tmp_path):
    folder = make(tmp_path / "source", "angry/1.wav")
    shutil.copy(folder / "angry/1.wav", os.fsencode(folder) + b"/angry/\xff.wav")
    with pytest.raises(CorpusError, match=r"rename angry/\\udcff\.wav"):
        management.add("mine", folder)
    assert not (checkout / "data/raw/mine").exists()


def test_names_with_spaces_and_letters_of_any_kind(checkout, tmp_path):
    folder = make(tmp_path / "so urce", "angry/a b \u4e00.wav", "sad/\u00fc.wav", "sad/u\u0308.wav")
    management.add("mine", folder, "test")
    assert {path.name for path in (checkout / "data/raw/mine").rglob("*.wav")} == {
        "a b \u4e00.wav", "\u00fc.wav", "u\u0308.wav"
    }  # fmt: skip


def test_files_that_are_no_audio_are_not_usable(checkout, tmp_path):
    folder = tmp_path / "cloned"
    folder.mkdir()
    (folder / "1001_DFA_ANG_XX.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (folder / "1001_DFA_HAP_XX.wav").touch()
    with pytest.raises(CorpusError, match=r"empty: 1, lfs_pointer: 1.*\n.*git lfs pull"):
        management.add("crema_d", folder)


def test_outside_a_dvc_checkout(tmp_path, emodb, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="not inside of a DVC repository"):
        management.add("emodb", emodb)


def test_invalid_params_stop_before_anything_is_copied(checkout, emodb):
    with (checkout / "params.yaml").open("a") as file:
        file.write("typo: 1\n")
    with pytest.raises(ParamsError, match="typo"):
        management.add("emodb", emodb, "test")
    assert not (checkout / "data").exists()


def test_the_last_training_corpus_keeps_its_role(checkout):
    with pytest.raises(CorpusError, match="only training corpus"):
        management.add("demo_en", role="test")


def test_remove_takes_everything_but_the_cache(checkout, emodb):
    other = checkout / "data/organized/demo_en"
    other.mkdir(parents=True)
    management.add("emodb", emodb, "test")
    products = [
        checkout / "data" / place
        for place in (
            "organized/emodb",
            "turns/emodb",
            "augmented/emodb",
            "features/test/emodb",
            "features/train/emodb",
        )
    ]
    for product in products:
        make(product, "x.wav")
    before = yaml.safe_load((checkout / "data/raw/emodb.dvc").read_text())["outs"][0]["md5"]
    deleted = management.remove("emodb")
    assert {checkout / folder for folder in deleted} == {*products, checkout / "data/raw/emodb"}
    assert not any(product.exists() for product in products)
    assert not list((checkout / "data/raw").iterdir())
    assert other.is_dir()
    assert staged() == tracked() == []
    assert (checkout / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert (checkout / ".dvc/cache/files/md5" / before[:2] / before[2:]).is_file()
    management.add("emodb", emodb)
    assert {path.stat().st_nlink for path in (checkout / "data/raw/emodb/wav").iterdir()} == {2}


def test_remove_is_staged_in_git(checkout, emodb):
    management.add("emodb", emodb)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, "commit", "--quiet", "-m", "x"], check=True)
    management.remove("emodb")
    assert staged() == ["data/raw/emodb.dvc"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("demo_en", "only training corpus"), ("ravdess", "no corpus 'ravdess' here"), ("demo_ed", "did you mean")],
)
def test_what_cannot_be_removed(checkout, name, said):
    with pytest.raises(CorpusError, match=said):
        management.remove(name)
    assert (checkout / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_the_only_training_corpus_keeps_its_files(checkout, emodb):
    management.add("emodb", emodb, "train")
    management.remove("demo_en")
    before = state(checkout / "data")
    with pytest.raises(CorpusError, match="only training corpus"):
        management.remove("emodb")
    assert state(checkout / "data") == before


def test_a_demo_corpus_is_only_taken_out_of_params(checkout):
    make(checkout / "data/raw/demo_de", "f01/f01_angry_t03_02.wav")
    assert management.remove("demo_de") == []
    assert params.load().corpora == {"demo_en": "train"}
    assert (checkout / "data/raw/demo_de").is_dir()
    management.add("demo_de", role="test")
    assert params.load().corpora == {"demo_en": "train", "demo_de": "test"}


@pytest.mark.parametrize("tracked_first", [True, False])
def test_remove_never_deletes_what_the_cache_lacks(checkout, emodb, tracked_first):
    if tracked_first:
        management.add("emodb", emodb)
    make(checkout / "data/raw/emodb", "wav/10a01Fa.wav", seed=3)
    with pytest.raises(CorpusError, match="has changed since" if tracked_first else "not under DVC's tracking"):
        management.remove("emodb")
    assert (checkout / "data/raw/emodb/wav/10a01Fa.wav").is_file()


def test_presences(checkout, emodb):
    management.add("emodb", emodb, "test")
    management.add("mine", make(checkout.parent / "own", "angry/1.wav"))
    shutil.rmtree(checkout / "data/raw/mine")
    found = {presence.name: presence for presence in management.presences()}
    assert (found["emodb"].role, found["emodb"].files, found["emodb"].is_tracked) == ("test", 3, True)
    assert (found["mine"].role, found["mine"].files, found["mine"].is_tracked) == (None, None, True)
    assert (found["ravdess"].role, found["ravdess"].files, found["ravdess"].is_tracked) == (None, None, False)
    assert found["demo_en"].role == "train"


def test_params_that_name_a_corpus_which_is_not_here(checkout):
    from emodag.collection import roles

    management.require_present()
    roles.set_role("ravdes", "test")
    with pytest.raises(CorpusError, match="ravdes is not in data/raw; did you mean 'ravdess'"):
        management.require_present()


def test_a_copy_in_the_cache_that_was_written_through_a_link_is_not_handed_out_again(checkout, emodb):
    management.add("emodb", emodb)
    name = EMODB[1]
    linked = checkout / "data/raw/emodb" / name
    linked.chmod(0o644)
    with linked.open("r+b") as file:  # as root may do without the chmod
        file.write(b"damaged")
    shutil.rmtree(checkout / "data/raw/emodb")
    subprocess.run(["git", "rm", "-f", "--cached", "-q", "data/raw/emodb.dvc"], cwd=checkout, check=True)
    (checkout / "data/raw/emodb.dvc").unlink()
    management.add("emodb", emodb)
    assert linked.read_bytes() == (emodb / name).read_bytes()
