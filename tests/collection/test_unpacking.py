"""Archives as publishers make them, and as those make them who mean harm."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from emodag.collection.unpacking import BadArchive, Limits, unpack
from emodag.errors import CorpusError


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "inner" / "unpacked"
    place.mkdir(parents=True)
    return place


def archive(place: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(place / "corpus.zip", "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return place / "corpus.zip"


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def everything(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def test_an_archive_as_publishers_make_it(tmp_path, folder):
    sound = os.urandom(300_000)
    made = archive(
        tmp_path,
        ("release/", b""),
        ("release/Actor_01/", b""),
        ("release/Actor_01/03-01-01-01-01-01-01.wav", sound),
        ("release/./Actor_02/03-01-01-01-01-01-02.wav", b"second"),
        ("release/Prüfung.txt", b"named in UTF-8"),
        (special("release/LICENSE", stat.S_IFREG | 0o4755), b"terms"),
        ("release/video.flv", b"not wanted"),
    )
    unpack(made, folder, strip=1, keep=lambda path: path.suffix != ".flv")
    assert everything(folder) == {
        "Actor_01/03-01-01-01-01-01-01.wav": sound,
        "Actor_02/03-01-01-01-01-01-02.wav": b"second",
        "Prüfung.txt": b"named in UTF-8",
        "LICENSE": b"terms",
    }
    assert not (folder / "LICENSE").stat().st_mode & (stat.S_ISUID | 0o111)


def test_what_is_kept_is_chosen_by_the_path_that_it_gets(tmp_path, folder):
    made = archive(tmp_path, ("top/wav/a.wav", b"a"), ("top/lab/a.txt", b"b"), ("outside.wav", b"c"))
    unpack(made, folder, strip=1, keep=lambda path: path.parts[0] == "wav")
    assert everything(folder) == {"wav/a.wav": b"a"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../evil.wav", "leads elsewhere"),
        ("Actor_01/../../evil.wav", "leads elsewhere"),
        ("Actor_01/..", "leads elsewhere"),
        ("/tmp/evil.wav", "leads elsewhere"),
        ("//server/evil.wav", "leads elsewhere"),
        ("..\\evil.wav", "leads elsewhere"),
        ("C:evil.wav", "leads elsewhere"),
        (".", "leads elsewhere"),
        ("evil\n.wav", "will not do as the name of a file"),
        ("evil\x1b[2J.wav", "will not do as the name of a file"),
        ("evil\u202ewav.exe", "will not do as the name of a file"),
        ("e" * 256, "will not do as the name of a file"),
        ("ä" * 128, "will not do as the name of a file"),
    ],
)
def test_names_that_lead_elsewhere_or_are_none(tmp_path, folder, name, said):
    made = archive(tmp_path, ("good.wav", b"good"), (name, b"evil"))
    before = everything(tmp_path)
    with pytest.raises(BadArchive, match=said):
        unpack(made, folder)
    assert everything(tmp_path) == before


def test_a_name_with_a_zero_byte(tmp_path, folder):
    made = archive(tmp_path, ("good.wavX.txt", b"evil"))
    made.write_bytes(made.read_bytes().replace(b"good.wavX.txt", b"good.wav\0.txt"))
    with pytest.raises(BadArchive, match="will not do"):
        unpack(made, folder)
    assert everything(folder) == {}


def test_a_name_that_claims_to_be_utf_8_and_is_not(tmp_path, folder):
    made = archive(tmp_path, ("gööd.wav", b"evil"))
    made.write_bytes(made.read_bytes().replace("gööd.wav".encode(), b"g\xff\xff\xff\xffd.wav"))
    with pytest.raises(BadArchive, match="is damaged"):
        unpack(made, folder)
    assert everything(folder) == {}


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (stat.S_IFLNK, "a link"),
        (stat.S_IFCHR, "a device"),
        (stat.S_IFBLK, "a device"),
        (stat.S_IFIFO, "a pipe"),
        (stat.S_IFSOCK, "a socket"),
    ],
)
def test_what_is_neither_file_nor_folder(tmp_path, folder, mode, said):
    made = archive(tmp_path, ("good.wav", b"good"), (special("way", mode | 0o777), b"/etc"), ("way/passwd", b"evil"))
    with pytest.raises(BadArchive, match=f"'way', {said}; accepted: files and folders"):
        unpack(made, folder)
    assert everything(folder) == {}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a/b.wav", "a/b.wav"),
        ("a/b.wav", "a//b.wav"),
        ("a/b.wav", "A/B.WAV"),
        ("é.wav", "e\u0301.wav"),
        ("straße.wav", "STRASSE.wav"),
        ("top/a.wav", "other/a.wav"),  # once the first folder is left out
    ],
)
def test_one_name_twice(tmp_path, folder, first, second):
    made = archive(tmp_path, (f"top/{first}" if "top" not in first else first, b"1"), (
        f"top/{second}" if "other" not in second else second, b"2"
    ))  # fmt: skip
    with pytest.raises(BadArchive, match="twice"):
        unpack(made, folder, strip=1)
    assert everything(folder) == {}


def test_a_file_that_is_another_ones_folder(tmp_path, folder):
    with pytest.raises(BadArchive, match=r"is the folder of 'A/b\.wav'"):
        unpack(archive(tmp_path, ("a", b"1"), ("A/b.wav", b"2")), folder)
    assert everything(folder) == {}


def test_a_file_that_another_archive_holds_too(tmp_path, folder):
    made = archive(tmp_path, ("a.wav", b"1"))
    unpack(made, folder)
    with pytest.raises(BadArchive, match=r"'a\.wav', which is there already"):
        unpack(made, folder)


def test_a_bomb_by_ratio(tmp_path, folder):
    made = archive(tmp_path, ("zeros.wav", bytes(20_000_000)))
    assert made.stat().st_size < 30_000
    with pytest.raises(BadArchive, match=r"would unpack to 20000000 bytes, \d+ times its own"):
        unpack(made, folder)
    assert everything(folder) == {}


@pytest.mark.parametrize(
    ("limits", "said"), [(Limits(size=1999), "up to 1999 bytes"), (Limits(members=1), "2 members; accepted: up to 1")]
)
def test_a_bomb_by_size_or_number(tmp_path, folder, limits, said):
    made = archive(tmp_path, ("a.wav", os.urandom(1000)), ("b.wav", os.urandom(1000)))
    unpack(made, folder, limits=Limits(size=2000, members=2))
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(BadArchive, match=said):
        unpack(made, folder, limits=limits)
    assert everything(folder) == {}


def test_a_bomb_whose_members_overlap(tmp_path, folder):
    """A directory that lists the same data twenty times, under as many names."""
    made = archive(tmp_path, ("00.wav", os.urandom(10_000)), method=zipfile.ZIP_STORED)
    content = made.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"00.wav", f"{number:02d}.wav".encode()) for number in range(20))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 20, 20, len(entries), start, 0)
    made.write_bytes(content[:start] + entries + tail)
    assert len(zipfile.ZipFile(made).infolist()) == 20
    with pytest.raises(BadArchive, match="overlap"):
        unpack(made, folder)
    assert everything(folder) == {}


def test_a_member_that_holds_more_than_it_announces(tmp_path, folder):
    made = archive(tmp_path, ("a.wav", bytes(range(256)) * 8))
    size = struct.pack("<L", 2048)
    assert made.read_bytes().count(size) >= 2
    made.write_bytes(made.read_bytes().replace(size, struct.pack("<L", 100)))
    with pytest.raises(BadArchive, match="is damaged"):
        unpack(made, folder)
    assert sum(map(len, everything(folder).values())) <= 100


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_compression(tmp_path, folder, method):
    with pytest.raises(BadArchive, match="packed by method"):
        unpack(archive(tmp_path, ("a.wav", b"1"), method=method), folder)


def test_encryption(tmp_path, folder):
    made = archive(tmp_path, ("a.wav", b"1"))
    content = bytearray(made.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    made.write_bytes(content)
    with pytest.raises(BadArchive, match="encrypted"):
        unpack(made, folder)


def test_damage_anywhere_is_an_error_and_nothing_but_files_of_the_archive_appears(tmp_path, folder):
    sound = os.urandom(2000)
    whole = archive(tmp_path, ("a/b.wav", sound), ("c.wav", sound[::-1])).read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        (tmp_path / "corpus.zip").write_bytes(damaged)
        try:
            unpack(tmp_path / "corpus.zip", folder)
        except CorpusError:
            refused += 1
        else:
            # Times and attributes may be damaged without harm; contents may not.
            assert sorted(everything(folder).values()) == sorted([sound, sound[::-1]])
        assert {path.name for path in tmp_path.iterdir()} == {"corpus.zip", "inner"}
        assert {path.name for path in (tmp_path / "inner").iterdir()} == {"unpacked"}
        shutil.rmtree(folder)
        folder.mkdir()
    assert refused > 500


@pytest.mark.parametrize("length", [0, 10, 1000, -1])
def test_a_cut_archive_and_one_that_is_none(tmp_path, folder, length):
    made = archive(tmp_path, ("a.wav", os.urandom(2000)))
    made.write_bytes(made.read_bytes()[:length])
    with pytest.raises(BadArchive, match="is damaged"):
        unpack(made, folder)
    made.write_text("<html>not found</html>")
    with pytest.raises(BadArchive, match="is damaged"):
        unpack(made, folder)


def test_paths_are_given_as_they_will_be(tmp_path, folder):
    seen: list[PurePosixPath] = []
    unpack(archive(tmp_path, ("x/e\u0301.wav", b"1")), folder, strip=1, keep=lambda path: seen.append(path) or True)
    assert seen == [PurePosixPath("é.wav")]
    assert everything(folder) == {"é.wav": b"1"}
