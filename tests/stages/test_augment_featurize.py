"""augment and featurize as stages: what each role gets, and that both repeat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emodag import audio, layout, schema
from emodag import params as parameters
from emodag.errors import DataError, ParamsError
from emodag.features import open_features
from emodag.tracking import Run

ROOT = Path(__file__).resolve().parents[2]
CLIPS = 3


@pytest.fixture
def stage(stage_job):
    """``stage(name, *arguments)``: run a stage's function as its script does, without a tracking store."""

    def run(name: str, *arguments: str) -> None:
        settings = parameters.load(ROOT / "params.yaml")
        settings = settings.model_copy(update={"compute": settings.compute.model_copy(update={"jobs": 1})})
        stage_job(name)(settings, Run(None), *arguments)

    return run


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder with the organized clips and turns of a corpus."""
    monkeypatch.chdir(tmp_path)
    folder, rows, turns = layout.organized("alpha"), [], []
    for number in range(CLIPS):
        path = f"clips/happy/Äpfel {number}.flac"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pcm = audio.to_pcm16(0.1 * np.random.default_rng(number).standard_normal(audio.SAMPLE_RATE))
        audio.write_flac(folder / path, pcm)
        rows.append(
            {
                "clip_id": f"alpha/Äpfel {number}", "corpus": "alpha", "path": path, "speaker": "alpha/a",
                "sex": "female", "age": None, "language": "de", "emotion": "happy", "perceived": None,
                "native_label": "h", "intensity": None, "text_id": None, "duration": 1.0,
                "source_rate": audio.SAMPLE_RATE, "md5": audio.md5(pcm),
                "parent_id": None, "augmentation": None,
            }
        )  # fmt: skip
        turns.append((rows[-1]["clip_id"], 0.25, 0.75, "alpha/a", False))
    schema.write(pd.DataFrame(rows), schema.MANIFEST, folder / "manifest.parquet")
    table = pd.DataFrame(turns, columns=list(schema.TURNS.columns))
    schema.write(table, schema.TURNS, layout.turns("alpha") / "turns.parquet")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_training_corpus_gets_copies_and_features_of_both(capsys, stage):
    stage("augment", "alpha", "train")
    stage("featurize", "alpha", "train")
    index = open_features(layout.features("alpha", "train")).index
    assert index["parent_id"].isna().sum() == CLIPS
    assert set(index["parent_id"].dropna()) == {f"alpha/Äpfel {number}" for number in range(CLIPS)}
    assert f"{CLIPS} copies of {CLIPS} clips" in capsys.readouterr().out


def test_a_test_corpus_gets_none(capsys, stage):
    stage("augment", "alpha", "test")
    stage("featurize", "alpha", "test")
    index = open_features(layout.features("alpha", "test")).index
    assert list(index["clip_id"]) == [f"alpha/Äpfel {number}" for number in range(CLIPS)]
    assert "only training clips are augmented" in capsys.readouterr().out


def test_both_repeat_byte_for_byte_and_leave_the_originals_alone(stage):
    originals = contents(layout.organized("alpha"))
    for name in ("augment", "featurize"):
        stage(name, "alpha", "train")
    first = contents(Path("data"))
    for name in ("augment", "featurize"):
        stage(name, "alpha", "train")
    assert contents(Path("data")) == first
    assert contents(layout.organized("alpha")) == originals


def test_replaced_audio_under_the_same_name_gives_new_copies_and_features(stage):
    for name in ("augment", "featurize"):
        stage(name, "alpha", "train")
    before = contents(Path("data"))
    path = layout.organized("alpha") / "clips/happy/Äpfel 0.flac"
    audio.write_flac(path, audio.to_pcm16(0.1 * np.random.default_rng(99).standard_normal(audio.SAMPLE_RATE)))
    for name in ("augment", "featurize"):
        stage(name, "alpha", "train")
    after = contents(Path("data"))
    for changed in ("augmented/alpha/clips/happy/Äpfel 0~aug1.flac", "features/train/alpha/frames.npy"):
        assert after[changed] != before[changed]
    for same in ("augmented/alpha/clips/happy/Äpfel 1~aug1.flac", "features/train/alpha/features.json"):
        assert after[same] == before[same]


@pytest.mark.parametrize("name", ["augment", "featurize"])
@pytest.mark.parametrize("role", ["trian", "", "Train"])
def test_an_unknown_role_is_named_and_nothing_is_written(name, role, stage):
    stage("augment", "alpha", "test")
    before = contents(Path("data"))
    with pytest.raises(ParamsError, match=r"is no role; accepted: train, test"):
        stage(name, "alpha", role)
    assert contents(Path("data")) == before


@pytest.mark.parametrize("missing", ["organized", "turns", "augmented"])
def test_a_stage_that_has_not_run_is_told(missing, stage):
    stage("augment", "alpha", "train")
    getattr(layout, missing)("alpha").rename("elsewhere")
    with pytest.raises(DataError, match=rf"data/{missing}/alpha.*has the stage that writes it run"):
        stage("featurize", "alpha", "train")
