"""organize: every file ends in the manifest or among the rejected, in one form, with nothing skipped in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emodag import audio, corpora, params, schema
from emodag.errors import CorpusError
from emodag.organization import organize_corpus

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def settings() -> params.Organize:
    return params.load(ROOT / "params.yaml").organize


def voice(seed: int, seconds: float = 0.4, rate: int = 16000) -> np.ndarray:
    """A harmonic sound that differs with the seed."""
    time = np.arange(int(seconds * rate)) / rate
    return sum(0.2 / k * np.sin(2 * np.pi * (110 + seed) * k * time) for k in range(1, 6)).astype(np.float32)


def write(folder: Path, name: str, samples: np.ndarray, rate: int = 16000, **options) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def organized(name: str, raw: Path, out: Path, settings: params.Organize, jobs: int = 1):
    out.mkdir(exist_ok=True)
    done = organize_corpus(corpora.get(name), raw, out, settings, jobs=jobs)
    on_disk = schema.read(out / "manifest.parquet", schema.MANIFEST)
    told, kept = (table.astype(object).fillna("none") for table in (done.manifest, on_disk))
    pd.testing.assert_frame_equal(kept, told, check_dtype=False)
    return done


def reasons(done) -> dict[str, str]:
    return dict(zip(done.rejected["path"], done.rejected["reason"], strict=True))


def test_clips_are_sorted_by_emotion_in_one_form(tmp_path, settings):
    raw = tmp_path / "raw"
    write(raw, "Actor_01/03-01-05-02-01-01-01.wav", voice(1, rate=48000), 48000, subtype="PCM_24")
    write(raw, "Actor_02/03-01-02-01-02-02-02.wav", np.tile(voice(2)[:, None], 2))
    done = organized("ravdess", raw, tmp_path / "out", settings)
    rows = done.manifest.set_index("clip_id")
    angry, calm = rows.loc["ravdess/03-01-05-02-01-01-01"], rows.loc["ravdess/03-01-02-01-02-02-02"]
    assert (angry["path"], angry["speaker"], angry["sex"]) == (
        "clips/angry/03-01-05-02-01-01-01.flac",
        "ravdess/01",
        "male",
    )
    assert (calm["emotion"], calm["native_label"], calm["sex"]) == ("calm", "02", "female")
    assert (angry["source_rate"], calm["source_rate"]) == (48000, 16000)
    for row in done.manifest.itertuples():
        samples = audio.load(tmp_path / "out" / row.path)
        assert row.duration == pytest.approx(len(samples) / 16000) == pytest.approx(0.4, abs=0.001)
        assert audio.md5(audio.to_pcm16(samples)) == row.md5
    assert list(done.notes["note"]) == ["mixed_to_mono"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "clips",
        "manifest.parquet",
        "notes.csv",
        "rejected.csv",
    ]


BAD = {
    "Actor_01/03-01-01-01-01-01-01.wav": ("not_audio", lambda path: path.write_text("no waveform at all\n" * 99)),
    "Actor_01/03-01-02-01-01-01-01.wav": ("empty", lambda path: path.write_bytes(b"")),
    "Actor_01/03-01-03-01-01-01-01.wav": (
        "truncated",
        lambda path: path.write_bytes(write(path.parent, path.name, voice(3)).read_bytes()[:4000]),
    ),
    "Actor_01/03-01-04-01-01-01-01.wav": ("silent", lambda path: write(path.parent, path.name, np.zeros(8000))),
    "Actor_01/03-01-05-01-01-01-01.wav": ("too_short", lambda path: write(path.parent, path.name, voice(5, 0.01))),
    "Actor_01/03-01-06-01-01-01-01.wav": (
        "not_finite",
        lambda path: write(path.parent, path.name, np.full(8000, np.nan), subtype="FLOAT"),
    ),
    "Actor_01/03-01-07-01-01-01-01.wav": (
        "lfs_pointer",
        lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
    ),
    "Actor_01/03-01-08-01-01-01-01.wav": ("too_long", lambda path: write(path.parent, path.name, voice(8, 61.0))),
    # Resampled, it would take 8 GB.
    "Actor_01/03-01-08-02-01-01-01.wav": ("too_long", lambda path: write(path.parent, path.name, voice(8, 8.0), 1)),
    "Actor_01/03-01-08-02-02-01-01.wav": (
        "too_loud",
        lambda path: write(path.parent, path.name, 1e5 * voice(8), subtype="FLOAT"),
    ),
    "Actor_01/03-01-09-01-01-01-01.wav": (
        "unknown_emotion",
        lambda path: write(path.parent, path.name, voice(9)),
    ),
    "Actor_01/03-02-03-01-01-01-01.wav": ("song", lambda path: write(path.parent, path.name, voice(10))),
    "Actor_01/notes about the takes.wav": ("unknown_name", lambda path: write(path.parent, path.name, voice(11))),
}


def test_every_bad_file_is_rejected_with_its_reason(tmp_path, settings):
    raw = tmp_path / "raw"
    write(raw, "Actor_24/03-01-05-02-01-01-24.wav", voice(0))
    for name, (_, make) in BAD.items():
        (raw / name).parent.mkdir(exist_ok=True)
        make(raw / name)
    done = organized("ravdess", raw, tmp_path / "out", settings)
    assert reasons(done) == {name: reason for name, (reason, _) in BAD.items()}
    assert len(done.manifest) == 1
    assert done.files == len(BAD) + 1
    assert done.rejected["detail"].str.len().gt(10).all()
    on_disk = pd.read_csv(tmp_path / "out" / "rejected.csv")
    pd.testing.assert_frame_equal(on_disk, done.rejected, check_dtype=False)
    for reason in ("song", "silent", "truncated"):
        assert f"rejected as {reason}: 1" in done.summary()


def test_float_samples_that_are_clipped_are_noted(tmp_path, settings):
    write(tmp_path / "raw", "angry/a.wav", 4 * voice(1), subtype="FLOAT")
    done = organized("my_voices", tmp_path / "raw", tmp_path / "out", settings)
    assert list(done.notes["note"]) == ["full_scale"]


def test_spaces_and_letters_beyond_ascii_are_kept(tmp_path, settings):
    raw = tmp_path / "raw"
    write(raw, "angry/Zoë Müller/schöner Tag, 1.wav", voice(1))
    write(raw, "happy/Zoë Müller/schöner Tag, 1.wav", voice(2))
    done = organized("my_voices", raw, tmp_path / "out", settings)
    assert len(done.manifest) == 2
    assert set(done.manifest["speaker"]) == {"my_voices/Zoë Müller"}
    assert all((tmp_path / "out" / path).is_file() for path in done.manifest["path"])


def test_a_name_that_is_no_utf8_is_rejected_not_fatal(tmp_path, settings):
    raw = tmp_path / "raw"
    write(raw, "angry/a.wav", voice(1))
    try:
        (raw / "angry" / b"caf\xe9.wav".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    done = organized("my_voices", raw, tmp_path / "out", settings)
    assert list(done.rejected["reason"]) == ["bad_name"]
    assert "caf" in done.rejected["path"][0]


def test_a_second_file_of_the_same_name_is_rejected(tmp_path, settings):
    raw = tmp_path / "raw"
    name = "03-01-05-02-01-01-24.wav"
    write(raw, f"Actor_24/{name}", voice(0))
    write(raw, f"nested/copy/Actor_24/{name}", voice(0))
    write(raw, f"other/Actor_24/{name}", voice(1))
    done = organized("ravdess", raw, tmp_path / "out", settings)
    assert len(done.manifest) == 1
    assert reasons(done) == {
        f"nested/copy/Actor_24/{name}": "duplicate_file",
        f"other/Actor_24/{name}": "duplicate_name",
    }


def test_equal_audio_under_two_names_is_kept_and_noted(tmp_path, settings):
    raw = tmp_path / "raw"
    write(raw, "1006_TIE_HAP_XX.wav", audio.to_pcm16(voice(0)))
    write(raw, "1006_TIE_NEU_XX.flac", audio.to_pcm16(voice(0)))
    write(raw, "1006_TIE_SAD_XX.wav", voice(1))
    done = organized("crema_d", raw, tmp_path / "out", settings)
    assert len(done.manifest) == 3
    noted = done.notes[done.notes["note"] == "same_audio_other_label"]
    assert list(noted["clip_id"]) == ["crema_d/1006_TIE_HAP_XX", "crema_d/1006_TIE_NEU_XX"]
    assert "crema_d/1006_TIE_NEU_XX (neutral)" in noted["detail"].iloc[0]


def test_what_is_known_beside_the_names_comes_into_the_manifest(tmp_path, settings):
    raw = tmp_path / "raw"
    write(raw, "1001_TIE_HAP_XX.wav", audio.to_pcm16(voice(0)))
    write(raw, "1002_TIE_SAD_XX.wav", voice(1))
    (raw / "VideoDemographics.csv").write_text("ActorID,Age\n1001,51\n")
    done = organized("crema_d", raw, tmp_path / "out", settings)
    rows = done.manifest.set_index("clip_id")
    assert rows.loc["crema_d/1001_TIE_HAP_XX", "age"] == 51
    assert rows["age"].isna().tolist() == [False, True]
    assert rows["perceived"].isna().all()
    assert done.notes[done.notes["note"] == "missing_table"]["detail"].str.contains("summaryTable.csv").tolist() == [
        True
    ]

    (raw / "summaryTable.csv").write_text("FileName,VoiceVote\n1001_TIE_HAP_XX,N\n1002_TIE_SAD_XX,S:N\n")
    done = organized("crema_d", raw, tmp_path / "again", settings)
    assert done.manifest["perceived"].fillna("none").tolist() == ["neutral", "none"]
    assert "missing_table" not in set(done.notes["note"])


def test_an_unusable_first_copy_gives_way_to_a_good_one(tmp_path, settings):
    raw = tmp_path / "raw"
    write(raw, "b/03-01-05-02-01-01-24.wav", voice(0))
    (raw / "a").mkdir()
    (raw / "a" / "03-01-05-02-01-01-24.wav").write_bytes(b"")
    done = organized("ravdess", raw, tmp_path / "out", settings)
    assert len(done.manifest) == 1
    assert reasons(done) == {"a/03-01-05-02-01-01-24.wav": "empty"}


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda raw: None, "no such folder"),
        (lambda raw: raw.mkdir(), "no recording in this folder"),
        (lambda raw: write(raw, "song.wav", voice(1)), "none of 1 files is a usable clip.*unknown_name: 1"),
    ],
)
def test_a_folder_without_a_usable_clip_ends_in_an_error(tmp_path, settings, prepare, told):
    prepare(tmp_path / "raw")
    with pytest.raises(CorpusError, match=told):
        organized("ravdess", tmp_path / "raw", tmp_path / "out", settings)


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path, settings):
    raw = tmp_path / "raw"
    for number in range(1, 9):
        write(raw, f"03-01-0{number}-01-01-01-01.wav", voice(number))
    (raw / "03-01-01-01-02-01-01.wav").write_text("no waveform at all")
    for jobs in (1, 2):
        organized("ravdess", raw, tmp_path / f"out{jobs}", settings, jobs=jobs)
    files = sorted(path.relative_to(tmp_path / "out1") for path in (tmp_path / "out1").rglob("*") if path.is_file())
    assert len(files) == 11
    for file in files:
        assert (tmp_path / "out1" / file).read_bytes() == (tmp_path / "out2" / file).read_bytes()


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "folder", "files", "rejected", "speakers"),
    [
        ("ravdess", "ravdess", 1440, {}, 24),
        ("crema_d", "cremad", 7442, {"1076_MTI_SAD_XX.ogg": "silent"}, 91),
        ("savee", "savee", 480, {}, 4),
        ("tess", "tess", 2800, {}, 2),
        ("emodb", "emodb", 535, {}, 10),
    ],
)
def test_every_file_of_the_real_corpora_is_accounted_for(
    shared, tmp_path, settings, name, folder, files, rejected, speakers
):
    done = organized(name, shared / "corpora" / folder, tmp_path / "out", settings, jobs=2)
    assert done.files == files
    assert reasons(done) == rejected
    assert len(done.manifest) == files - len(rejected)
    assert done.manifest["speaker"].nunique() == speakers
    shared_audio = done.notes[done.notes["note"].str.startswith("same_audio")]
    assert len(shared_audio) == {"ravdess": 2, "crema_d": 6}.get(name, 0)
