"""Copies of a corpus: named after their parents, with what was drawn, the same bytes every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import audio, params, schema
from emodag.augmentation import Recordings, augment_corpus, replay
from emodag.errors import ParamsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings() -> params.Augment:
    return params.load(ROOT / "params.yaml").augment


@pytest.fixture
def organized(tmp_path) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    folder = tmp_path / "organized"
    clips, turns = [], []
    for number in range(4):
        path = f"clips/angry/{number}.flac"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        seconds = np.arange(16000) / 16000
        pcm = audio.to_pcm16(0.3 * np.sin(2 * np.pi * (200 + 50 * number) * seconds))
        audio.write_flac(folder / path, pcm)
        clips.append(
            {
                "clip_id": f"x/{number}", "corpus": "x", "path": path, "speaker": "x/a", "sex": None, "age": 30,
                "language": "en", "emotion": "angry", "perceived": None, "native_label": "a", "intensity": None,
                "text_id": None, "duration": 1.0,
                "source_rate": 16000, "md5": audio.md5(pcm), "parent_id": None, "augmentation": None,
            }
        )  # fmt: skip
        turns.append((f"x/{number}", 0.2, 0.8, "x/a", False))
    manifest = schema.validate(pd.DataFrame(clips), schema.MANIFEST, "manifest")
    table = pd.DataFrame(turns, columns=list(schema.TURNS.columns))
    return folder, manifest, table


def made(organized, out: Path, settings: params.Augment, *, seed: int = 0, jobs: int = 1) -> dict[str, bytes]:
    folder, manifest, turns = organized
    out.mkdir()
    augment_corpus(manifest, turns, folder, out, settings, seed=seed, jobs=jobs)
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_copies_carry_parent_settings_and_turns(organized, tmp_path, settings):
    settings = settings.model_copy(update={"copies": 2})
    made(organized, tmp_path / "out", settings)
    copies = schema.read(tmp_path / "out" / "manifest.parquet", schema.MANIFEST)
    turns = schema.read(tmp_path / "out" / "turns.parquet", schema.TURNS)
    assert list(copies["clip_id"][:3]) == ["x/0~aug1", "x/0~aug2", "x/1~aug1"]
    assert list(copies["parent_id"][:3]) == ["x/0", "x/0", "x/1"]
    assert copies["md5"].is_unique
    for copy in copies.itertuples():
        samples = audio.load(tmp_path / "out" / copy.path)
        assert copy.duration == pytest.approx(len(samples) / 16000)
        rates = [setting["rate"] for setting in json.loads(copy.augmentation) if setting["kind"] == "time_stretch"]
        assert copy.duration == pytest.approx(1 / np.prod(rates), rel=0.01)
        (turn,) = turns[turns["clip_id"] == copy.clip_id].itertuples()
        assert 0 <= turn.start < turn.end <= copy.duration


def test_bytes_depend_on_the_seed_and_not_on_the_number_of_processes(organized, tmp_path, settings):
    one = made(organized, tmp_path / "one", settings)
    assert one == made(organized, tmp_path / "two", settings, jobs=2)
    assert one != made(organized, tmp_path / "other", settings, seed=1)


def test_every_transform_gives_the_same_bytes_in_any_number_of_processes(
    organized, tmp_path, settings, every_transform, recordings_folder
):
    often = [transform.model_copy(update={"p": 0.5}) for transform in every_transform]
    settings = settings.model_copy(update={"chain": often, "copies": 2, "recordings": str(recordings_folder)})
    one = made(organized, tmp_path / "one", settings)
    assert one == made(organized, tmp_path / "two", settings, jobs=2)
    copies = schema.read(tmp_path / "one" / "manifest.parquet", schema.MANIFEST)
    drawn = [setting["kind"] for copy in copies["augmentation"] for setting in json.loads(copy)]
    assert {transform.kind for transform in often} <= set(drawn)


def test_a_copy_can_be_made_again_from_its_parent_and_its_settings(
    organized, tmp_path, settings, every_transform, recordings_folder
):
    settings = settings.model_copy(update={"chain": every_transform, "recordings": str(recordings_folder)})
    made(organized, tmp_path / "out", settings)
    recordings = Recordings.of(every_transform, recordings_folder)
    for copy in schema.read(tmp_path / "out" / "manifest.parquet", schema.MANIFEST).itertuples():
        parent = audio.load(organized[0] / f"clips/angry/{copy.parent_id.removeprefix('x/')}.flac")
        variant = replay(parent, json.loads(copy.augmentation), recordings)
        assert audio.md5(audio.to_pcm16(variant)) == copy.md5


def test_missing_recordings_are_told_before_any_clip_is_made(organized, tmp_path, settings, every_transform):
    settings = settings.model_copy(update={"chain": every_transform, "recordings": str(tmp_path / "absent")})
    with pytest.raises(ParamsError, match="absent/noise, which does not exist"):
        made(organized, tmp_path / "out", settings)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("case", ["no copies", "no clips"])
def test_nothing_to_copy_gives_empty_tables_and_needs_no_recordings(
    organized, tmp_path, settings, every_transform, case
):
    folder, manifest, turns = organized
    settings = settings.model_copy(update={"chain": every_transform, "recordings": str(tmp_path / "absent")})
    if case == "no copies":
        settings = settings.model_copy(update={"copies": 0})
    else:
        manifest = manifest.head(0)
    files = made((folder, manifest, turns), tmp_path / "out", settings)
    assert sorted(files) == ["manifest.parquet", "turns.parquet"]
    assert schema.read(tmp_path / "out" / "manifest.parquet", schema.MANIFEST).empty
    assert schema.read(tmp_path / "out" / "turns.parquet", schema.TURNS).empty
