"""Every parser over names by hand, generated layouts, and the real trees."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

from emodag.corpora import REGISTRY, crema_d, get
from emodag.corpora.base import NotAClip, all_files, files_in
from emodag.errors import CorpusError
from emodag.labels import EMOTIONS, NATIVE_LABELS


def parse(corpus: str, path: str, folder: Path | None = None):
    return get(corpus).parser(folder or Path(__file__).parent)(PurePosixPath(path))


GOOD = [
    # corpus, path, stem, speaker, sex, emotion, native label, language, intensity, text
    ("ravdess", "Actor_12/03-01-06-01-02-01-12.wav", "03-01-06-01-02-01-12", "12", "female", "fearful", "06", "en",
     "normal", "02"),
    ("ravdess", "03-01-02-02-01-02-01.flac", "03-01-02-02-01-02-01", "01", "male", "calm", "02", "en", "strong", "01"),
    ("ravdess", "a/b/Actor_24/03-01-01-01-01-01-24.WAV", "03-01-01-01-01-01-24", "24", "female", "neutral", "01", "en",
     "normal", "01"),
    ("crema_d", "1001_DFA_ANG_XX.wav", "1001_DFA_ANG_XX", "1001", "male", "angry", "ang", "en", None, "DFA"),
    ("crema_d", "wav/1091_IEO_HAP_LO.wav", "1091_IEO_HAP_LO", "1091", "female", "happy", "hap", "en", "low", "IEO"),
    ("crema_d", "1002_IEO_DIS_MD.ogg", "1002_IEO_DIS_MD", "1002", "female", "disgust", "dis", "en", "medium", "IEO"),
    ("crema_d", "1090_ieo_fea_hi.wav", "1090_IEO_FEA_HI", "1090", "male", "fearful", "fea", "en", "high", "IEO"),
    ("savee", "DC_a01.wav", "DC_a01", "DC", "male", "angry", "a", "en", None, "common1"),
    ("savee", "AudioData/KL/su15.wav", "KL_su15", "KL", "male", "surprised", "su", "en", None, "su15"),
    ("savee", "JE_sa04.flac", "JE_sa04", "JE", "male", "sad", "sa", "en", None, "sa04"),
    ("savee", "jk/N30.wav", "JK_n30", "JK", "male", "neutral", "n", "en", None, "n30"),
    ("tess", "OAF_angry/OAF_back_angry.wav", "OAF_back_angry", "OAF", "female", "angry", "angry", "en", None, "back"),
    ("tess", "YAF_pleasant_surprised/YAF_back_ps.wav", "YAF_back_ps", "YAF", "female", "surprised", "ps", "en", None,
     "back"),
    ("tess", "oaf_Bean_PLEASANT_SURPRISE.wav", "OAF_bean_ps", "OAF", "female", "surprised", "pleasant_surprise", "en",
     None, "bean"),
    ("tess", "YAF_bean_pleasant_surprised.wav", "YAF_bean_ps", "YAF", "female", "surprised", "pleasant_surprised", "en",
     None, "bean"),
    ("tess", "OAF_Fear/OAF_back_fear.wav", "OAF_back_fear", "OAF", "female", "fearful", "fear", "en", None, "back"),
    ("esd", "0011/Angry/0011_000351.wav", "0011_000351", "0011", "male", "angry", "angry", "en", None, "en001"),
    ("esd", "0015/Neutral/train/0015_000350.wav", "0015_000350", "0015", "female", "neutral", "neutral", "en", None,
     "en350"),
    ("esd", "ESD/0001/Surprise/0001_001750.wav", "0001_001750", "0001", "female", "surprised", "surprise", "zh", None,
     "zh350"),
    ("esd", "0020/happy/0020_000701.wav", "0020_000701", "0020", "male", "happy", "happy", "en", None, "en001"),
    ("esd", "0004/0004_001051.wav", "0004_001051", "0004", "male", "sad", "sad", "zh", None, "zh001"),
    ("emodb", "wav/03a01Fa.wav", "03a01Fa", "03", "male", "happy", "f", "de", None, "a01"),
    ("emodb", "16b10Lb.wav", "16b10Lb", "16", "female", "bored", "l", "de", None, "b10"),
    ("emodb", "08A02AC.wav", "08a02Ac", "08", "female", "fearful", "a", "de", None, "a02"),
    ("demo_en", "f01/f01_angry_t03_02.wav", "f01_angry_t03_02", "f01", "female", "angry", "angry", "en", None, "t03"),
    ("demo_de", "m06/m06_sad_t01_01.wav", "m06_sad_t01_01", "m06", "male", "sad", "sad", "de", None, "t01"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("corpus", "path", "stem", "speaker", "sex", "emotion", "native", "language", "intensity", "text"),
    GOOD,
    ids=[f"{row[0]}-{row[2]}" for row in GOOD],
)
def test_a_name_is_read(corpus, path, stem, speaker, sex, emotion, native, language, intensity, text):
    clip = parse(corpus, path)
    assert (clip.stem, clip.speaker, clip.sex, clip.emotion) == (stem, speaker, sex, emotion)
    assert (clip.native_label, clip.language, clip.intensity, clip.text_id) == (native, language, intensity, text)
    assert clip.note is None


@pytest.mark.parametrize(
    ("corpus", "path", "stem", "speaker", "emotion", "said"),
    [
        ("crema_d", "1040_ITH_SAD_X.wav", "1040_ITH_SAD_X", "1040", "sad", "level X"),
        ("tess", "OAF_neutral/OA_bite_neutral.wav", "OA_bite_neutral", "OAF", "neutral", "OA read as speaker OAF"),
    ],
)
def test_an_irregular_name_is_kept_and_noted(corpus, path, stem, speaker, emotion, said):
    clip = parse(corpus, path)
    assert (clip.stem, clip.speaker, clip.emotion) == (stem, speaker, emotion)
    assert said in clip.note
    assert clip.intensity is None


@pytest.mark.parametrize(
    ("corpus", "path", "reason", "said"),
    [
        ("ravdess", "Actor_01/03-02-01-01-01-01-01.wav", "song", "channel 02 is song"),
        ("ravdess", "Actor_01/01-01-01-01-01-01-01.mp4", "video", "03 is accepted"),
        ("ravdess", "Actor_01/02-01-01-01-01-01-01.mp4", "video", "video without sound"),
        ("ravdess", "03-01-09-01-01-01-01.wav", "unknown_emotion", "'09'"),
        ("ravdess", "03-01-01-01-01-01-25.wav", "unknown_name", "expected a name like 03-01-06-01-02-01-12"),
        ("ravdess", "03-01-01-03-01-01-01.wav", "unknown_name", "intensity 03"),
        ("ravdess", "03-01-01-01-01-01.wav", "unknown_name", "expected"),
        ("ravdess", "03-01-01-01-01-01-01 (1).wav", "unknown_name", "expected"),
        ("crema_d", "1001_DFA_BOR_XX.wav", "unknown_emotion", "'BOR'"),
        ("crema_d", "1092_DFA_ANG_XX.wav", "unknown_name", "1001_DFA_ANG_XX"),
        ("crema_d", "1000_DFA_ANG_XX.wav", "unknown_name", "1001_DFA_ANG_XX"),
        ("crema_d", "1001_XYZ_ANG_XX.wav", "unknown_name", "1001_DFA_ANG_XX"),
        ("crema_d", "VideoFlash/1001_DFA_ANG_XX.flv", "not_audio", ".flv"),
        ("savee", "XX_a01.wav", "unknown_speaker", "DC, JE, JK, KL"),
        ("savee", "a01.wav", "unknown_speaker", "accepted"),
        ("savee", "DC_x01.wav", "unknown_emotion", "'x'"),
        ("savee", "DC_a16.wav", "unknown_name", "01 to 15"),
        ("savee", "DC_a00.wav", "unknown_name", "01 to 15"),
        ("tess", "OAF_back_bored.wav", "unknown_emotion", "'bored'"),
        ("tess", "XAF_back_angry.wav", "unknown_name", "OAF_back_angry"),
        ("esd", "0011/Happy/0011_000351.wav", "label_conflict", "folder says happy, the number says angry"),
        ("esd", "0011/Angry/0011_001751.wav", "unknown_name", "1 to 1750"),
        ("esd", "0011/Angry/0011_000000.wav", "unknown_name", "1 to 1750"),
        ("esd", "0021/Angry/0021_000351.wav", "unknown_name", "0011_000351"),
        ("emodb", "04a01Fa.wav", "unknown_name", "03a01Fa"),
        ("emodb", "03a03Fa.wav", "unknown_name", "03a01Fa"),
        ("emodb", "03a01Xa.wav", "unknown_emotion", "'X'"),
        ("demo_en", "f01_bored_t03_02.wav", "unknown_emotion", "bored"),
        *((corpus, "notes.wav", "unknown_name", "expected") for corpus in sorted(REGISTRY)),
        *((corpus, "Thumbs.db", "not_audio", ".db") for corpus in sorted(REGISTRY)),
        ("ravdess", "README", "not_audio", "without suffix"),
    ],
)  # fmt: skip
def test_another_name_is_rejected_with_what_is_accepted(corpus, path, reason, said):
    with pytest.raises(NotAClip) as caught:
        parse(corpus, path)
    assert caught.value.reason == reason
    assert said in caught.value.detail
    assert path in caught.value.detail


def test_both_copies_in_the_doubled_ravdess_archive_are_the_same_clip():
    nested = "audio_speech_actors_01-24/Actor_01/03-01-05-01-01-01-01.wav"
    assert parse("ravdess", nested) == parse("ravdess", "Actor_01/03-01-05-01-01-01-01.wav")


@pytest.mark.parametrize("above", ["", "CREMA-D"])
def test_of_the_three_formats_in_cremad_only_wav_is_read(tmp_path, above):
    (tmp_path / above / "AudioWAV").mkdir(parents=True)
    parser = get("crema_d").parser(tmp_path)
    assert parser(PurePosixPath(above, "AudioWAV", "1001_DFA_ANG_XX.wav")).emotion == "angry"
    with pytest.raises(NotAClip, match="AudioWAV holds the same"):
        parser(PurePosixPath(above, "AudioMP3", "1001_DFA_ANG_XX.mp3"))


def test_mp3_alone_is_read(tmp_path):
    (tmp_path / "AudioMP3").mkdir()
    assert parse("crema_d", "AudioMP3/1001_DFA_ANG_XX.mp3", tmp_path).emotion == "angry"


DEMOGRAPHICS = '"ActorID","Age","Sex"\n1001,51,"Male"\n1040,42,"Male"\n'
VOTES = (
    '"","FileName","VoiceVote","VoiceLevel"\n'
    '"1","1001_DFA_ANG_XX","D","60"\n"2","1001_DFA_SAD_XX","A:F","40:40"\n"3","1040_ITH_SAD_XX","N","46"\n'
)


def with_tables(folder: Path, demographics: str = DEMOGRAPHICS, votes: str = VOTES) -> Path:
    (folder / "processedResults").mkdir(exist_ok=True)
    (folder / "VideoDemographics.csv").write_text(demographics, encoding="utf-8")
    (folder / "processedResults" / "summaryTable.csv").write_text(votes, encoding="utf-8")
    return folder


def test_cremad_tables_tell_ages_and_what_listeners_heard(tmp_path):
    parser = get("crema_d").parser(with_tables(tmp_path))
    found = {
        name: (clip.age, clip.perceived)
        for name in ("1001_DFA_ANG_XX", "1001_DFA_SAD_XX", "1001_DFA_HAP_XX", "1040_ITH_SAD_X", "1002_DFA_ANG_XX")
        for clip in [parser(PurePosixPath(f"AudioWAV/{name}.wav"))]
    }
    assert found == {
        "1001_DFA_ANG_XX": (51, "disgust"),
        "1001_DFA_SAD_XX": (51, None),  # a tie
        "1001_DFA_HAP_XX": (51, None),  # no row
        "1040_ITH_SAD_X": (42, "neutral"),  # misnamed; the table is not
        "1002_DFA_ANG_XX": (None, None),
    }
    assert get("crema_d").notes(tmp_path) == []


def test_cremad_without_its_tables_is_read_and_says_so(tmp_path):
    clip = parse("crema_d", "1001_DFA_ANG_XX.wav", tmp_path)
    assert (clip.age, clip.perceived) == (None, None)
    notes = get("crema_d").notes(tmp_path)
    assert [(place, note) for place, note, _ in notes] == [("crema_d", "missing_table")] * 2
    assert "VideoDemographics.csv" in notes[0][2]
    assert "summaryTable.csv" in notes[1][2]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"demographics": "ActorID,Years\n1001,51\n"}, r"VideoDemographics\.csv: no column Age; found: ActorID, Years"),
        ({"demographics": "ActorID,Age\n1001,old\n"}, r"VideoDemographics\.csv: row 2: Age 'old'"),
        ({"votes": "FileName,VoiceVote\n1001_DFA_ANG_XX,Q\n"}, r"summaryTable\.csv: row 2: VoiceVote 'Q'"),
        ({"votes": "FileName,VoiceVote\n1001_DFA_ANG_XX\n"}, r"summaryTable\.csv: row 2: VoiceVote ''"),
        ({"votes": ""}, r"summaryTable\.csv: no column FileName, VoiceVote"),
    ],
)
def test_a_broken_table_of_cremad_is_an_error(tmp_path, tables, said):
    with pytest.raises(CorpusError, match=said):
        get("crema_d").parser(with_tables(tmp_path, **tables))


@pytest.mark.parametrize(
    ("corpus", "path", "age"),
    [("tess", "OAF_back_angry.wav", 64), ("tess", "YAF_back_angry.wav", 26), ("emodb", "03a01Fa.wav", 31),
     ("emodb", "16b10Lb.wav", 31), ("emodb", "09a01Fa.wav", 21), ("savee", "DC_a01.wav", None),
     ("ravdess", "03-01-02-02-01-02-01.wav", None)],
)  # fmt: skip
def test_ages_are_those_that_were_published(corpus, path, age):
    assert parse(corpus, path).age == age


ESD_LABELS = ("Neutral", "Angry", "Happy", "Sad", "Surprise")


@pytest.mark.parametrize("subsets", [("",), ("evaluation", "test", "train")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "gb18030", None])
def test_esd_layouts(tmp_path, subsets, encoding):
    paths = []
    for speaker in ("0001", "0011", "0019"):
        lines = []
        for index, label in enumerate(ESD_LABELS):
            for number in (1, 175, 350):
                stem = f"{speaker}_{index * 350 + number:06d}"
                path = tmp_path / speaker / label / subsets[number % len(subsets)] / f"{stem}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                paths.append(path)
                lines.append(f"{stem}\tCaf\u00e9, caf\u00e9!\t{label}")
        if encoding:
            (tmp_path / speaker / f"{speaker}.txt").write_bytes("\r\n".join(lines).encode(encoding))
    parser = get("esd").parser(tmp_path)
    found = list(files_in(tmp_path))
    clips = [parser(path) for path in found]
    assert len(clips) == len(paths) == 45
    assert all(clip.note is None for clip in clips)
    assert Counter(clip.emotion for clip in clips) == dict.fromkeys(
        ("neutral", "angry", "happy", "sad", "surprised"), 9
    )
    assert Counter((clip.speaker, clip.sex, clip.language) for clip in clips) == {
        ("0001", "female", "zh"): 15,
        ("0011", "male", "en"): 15,
        ("0019", "female", "en"): 15,
    }
    assert {clip.text_id for clip in clips if clip.language == "en"} == {"en001", "en175", "en350"}


def test_esd_table_against_folder_and_number(tmp_path):
    (tmp_path / "0011").mkdir()
    table = "0011_000001\tOne.\tAngry\n0011_000002 broken line Angry\n\n0011_000003\tThree.\t\u751f\u6c14\n"
    (tmp_path / "0011" / "0011.txt").write_text(table, encoding="utf-8")
    parser = get("esd").parser(tmp_path)
    kept = parser(PurePosixPath("0011/Neutral/0011_000001.wav"))
    assert kept.emotion == "neutral"
    assert "says angry" in kept.note
    with pytest.raises(NotAClip, match="number says neutral, the table of speaker 0011 says angry") as caught:
        parser(PurePosixPath("0011/0011_000001.wav"))
    assert caught.value.reason == "label_conflict"
    for number in (2, 3):
        assert parser(PurePosixPath(f"0011/0011_00000{number}.wav")).note is None


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_facts_are_complete(name):
    corpus = REGISTRY[name]
    assert corpus.name == name
    assert set(corpus.emotions) == set(NATIVE_LABELS[name].values())
    assert all(emotion in EMOTIONS for emotion in corpus.emotions)
    assert corpus.title
    assert corpus.licence
    assert corpus.citation
    assert corpus.source
    if not name.startswith("demo_"):
        assert "doi:10." in corpus.citation
        assert corpus.clips
        assert corpus.speakers
        assert corpus.instructions


def test_any_other_name_is_a_folder():
    corpus = get("my_calls")
    assert corpus.name == "my_calls"
    assert corpus.languages == ("und",)
    assert corpus.parser(Path(__file__).parent)(PurePosixPath("angry/1.wav")).emotion == "angry"


def test_files_are_listed_in_order_without_hidden_and_side_files(tmp_path):
    names = ["b/2.wav", "a/1.wav", "a/1.csv", ".git/x.wav", "__MACOSX/a.wav", "._a.wav", "a.dvc", "c/odd.mat", "r.zip"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path) for path in files_in(tmp_path)] == ["a/1.wav", "b/2.wav", "c/odd.mat"]
    assert [str(path) for path in all_files(tmp_path)] == ["a/1.csv", "a/1.wav", "b/2.wav", "c/odd.mat", "r.zip"]


def test_linked_folders_are_entered_once(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.wav").touch()
    (elsewhere / "loop").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "angry").symlink_to(elsewhere)
    assert [str(path) for path in files_in(tmp_path / "corpus")] == ["angry/1.wav"]


REAL = [
    ("ravdess", "ravdess", 1440, {"female": 12, "male": 12},
     {"neutral": 96} | dict.fromkeys(("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 192)),
    ("crema_d", "cremad", 7442, {"female": 43, "male": 48},
     {"neutral": 1087} | dict.fromkeys(("happy", "sad", "angry", "fearful", "disgust"), 1271)),
    ("savee", "savee", 480, {"male": 4},
     {"neutral": 120} | dict.fromkeys(("happy", "sad", "angry", "fearful", "disgust", "surprised"), 60)),
    ("tess", "tess", 2800, {"female": 2},
     dict.fromkeys(("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 400)),
    ("emodb", "emodb", 535, {"female": 5, "male": 5},
     {"angry": 127, "bored": 81, "disgust": 46, "fearful": 69, "happy": 71, "neutral": 79, "sad": 62}),
]  # fmt: skip


@pytest.mark.corpora
@pytest.mark.parametrize(("name", "folder", "clips", "sexes", "emotions"), REAL, ids=[row[0] for row in REAL])
def test_every_file_of_the_real_corpora_is_read(shared, name, folder, clips, sexes, emotions):
    corpus, place = get(name), shared / "corpora" / folder
    parser = corpus.parser(place)
    found = [parser(path) for path in files_in(place)]
    assert len({clip.stem for clip in found}) == len(found) == clips == corpus.clips
    assert Counter(clip.emotion for clip in found) == emotions
    speakers = {clip.speaker: clip.sex for clip in found}
    assert len(speakers) == corpus.speakers
    assert Counter(speakers.values()) == sexes
    assert {clip.language for clip in found} == set(corpus.languages)


@pytest.mark.corpora
def test_the_female_actors_of_cremad_are_the_published_ones(shared):
    with (shared / "corpora" / "cremad" / "VideoDemographics.csv").open(newline="", encoding="utf-8") as file:
        actors = list(csv.DictReader(file))
    assert len(actors) == 91
    assert {int(actor["ActorID"]) for actor in actors if actor["Sex"] == "Female"} == crema_d.FEMALE_ACTORS


@pytest.mark.corpora
def test_cremad_has_the_ages_and_votes_of_its_tables(shared):
    corpus, place = get("crema_d"), shared / "corpora" / "cremad"
    parser = corpus.parser(place)
    clips = [parser(path) for path in files_in(place)]
    ages = {clip.speaker: clip.age for clip in clips}
    assert len(ages) == 91
    assert (min(ages.values()), max(ages.values())) == (20, 74)
    heard = Counter(clip.perceived for clip in clips)
    assert heard == {
        "neutral": 3897, "angry": 986, "fearful": 645, "disgust": 547, "sad": 370, "happy": 353, None: 644,
    }  # fmt: skip
    assert corpus.notes(place) == []
