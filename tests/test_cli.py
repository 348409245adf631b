"""The command line as a person meets it: output, exit status, one-line errors."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emodag import cli

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def place(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def emodag(*arguments, cwd):
    code = "from emodag.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)


def tone(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(1600) / 5), 16_000)


def test_help_answers_at_once(place):
    fastest = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        done = emodag("--help", cwd=place)
        fastest = min(fastest, time.perf_counter() - start)
    assert done.returncode == 0
    commands = ("corpora", "check", "predict", "diarize", "analyze", "record", "ui")
    assert all(command in done.stdout for command in commands)
    assert fastest < 0.5


def test_help_imports_nothing_heavy(place):
    code = (
        "import sys, typer.testing\nfrom emodag.cli import app\ntyper.testing.CliRunner().invoke(app, ['--help'])\n"
        "print({'numpy', 'pandas', 'dvc', 'mlflow', 'pydantic', 'soundfile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_list_is_one_plain_line_for_each_corpus(place):
    tone(place / "data/raw/mine/angry/1.wav")
    done = emodag("corpora", "list", cwd=place)
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "1440" in lines["ravdess"]
    assert "CC BY-NC-SA 4.0; Zenodo record 1188976" in lines["ravdess"]
    assert "neutral calm happy sad angry fearful disgust surprised" in lines["ravdess"]
    assert lines["demo_en"].split()[1] == "train"
    assert lines["mine"].split()[1:3] == ["-", "1"]
    assert "\x1b" not in done.stdout


def test_check_params(place):
    done = emodag("check", cwd=place)
    assert (done.returncode, done.stdout) == (
        0, "params.yaml: OK (model mlp; train on demo_en; test on demo_de; conversations: demo_calls)\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model: mlp", "model: mpl", "did you mean 'mlp'?"),
        ("demo_de: test", "demo_de: tset", "'train' or 'test'"),
        ("demo_en: train", "demo_en: test", "none has the role 'train'"),
        ("demo_de: test", "ravdess: test", "emodag corpora add ravdess PATH"),
        ("  folds:", "  fold:", "did you mean 'folds'?"),
    ],
)
def test_bad_params_are_one_clear_error(place, old, new, said):
    content = (place / "params.yaml").read_text()
    assert old in content
    (place / "params.yaml").write_text(content.replace(old, new, 1))
    done = emodag("check", cwd=place)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [[], ["--decode"]])
def test_check_reports_what_is_usable_and_what_is_not(place, options):
    folder = place / "download"
    for name in ("Actor_01/03-01-05-01-01-01-01", "Actor_02/03-01-01-01-01-01-02", "Actor_01/03-02-05-01-01-01-01"):
        tone(folder / f"{name}.wav")
    shutil.copy(folder / "Actor_01/03-01-05-01-01-01-01.wav", folder)
    (folder / "03-01-06-01-01-01-01.wav").write_text("no audio")
    (folder / "03-01-06-01-01-01-02.wav").touch()
    done = emodag("corpora", "check", "ravdess", folder, *options, cwd=place)
    assert done.returncode == 0
    assert "6 files, 2 of 1440 clips, 4 rejected" in done.stdout
    assert "emotions (2): neutral 1, angry 1" in done.stdout
    assert "speakers (2): 01 1, 02 1" in done.stdout
    assert "sexes (2): female 1, male 1" in done.stdout
    for reason in ("song", "not_audio", "empty", "duplicate_name"):
        assert f"rejected as {reason}: 1" in done.stdout


def test_only_decoding_finds_a_broken_body(place):
    path = place / "download/angry/1.flac"
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    path.write_bytes(path.read_bytes()[:8_000])
    assert emodag("corpora", "check", "mine", "download", cwd=place).returncode == 0
    done = emodag("corpora", "check", "mine", "download", "--decode", cwd=place)
    assert done.returncode == 1
    assert "rejected as truncated: 1" in done.stdout


def test_check_counts_rows_without_files(place):
    tone(place / "own/1.wav")
    (place / "own/labels.csv").write_text("path,emotion,speaker\n1.wav,sad,anna\n2.wav,sad,ben\n")
    done = emodag("corpora", "check", "mine", "own", cwd=place)
    assert "1 files, 1 clips, 1 rejected" in done.stdout
    assert "rejected as missing_file: 1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["corpora", "check", "ravdes"], "data/raw/ravdes: no such folder; did you mean 'ravdess'?"),
        (["corpora", "check", "ravdess", "wrong"], "none of its files is a clip of ravdess; the names look like"),
        (["corpora", "check", "ravdess", "empty"], "no recording in this folder"),
        (["corpora", "add", "ravdess"], "Name the folder to bring in"),
        (["corpora", "add", "ravdess", "wrong"], "not inside of a DVC repository"),
        (["corpora", "remove", "ravdess"], "there is no corpus 'ravdess' here"),
        (["corpora", "cite", "emodbb"], "emodbb: no corpus of this name is known or here; did you mean 'emodb'?"),
    ],
)
def test_errors_end_with_one_message_and_status_1(place, arguments, said):
    tone(place / "wrong/03a01Fa.wav")
    (place / "empty").mkdir()
    done = emodag(*arguments, cwd=place)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_plot_draws_beside_the_recording_or_where_it_is_told(place, tmp_path_factory, monkeypatch, capsys):
    tone(place / "greeting.wav")
    done = emodag("plot", "greeting.wav", "--only", "waveform", cwd=place)
    assert (done.returncode, done.stdout) == (0, "greeting_waveform.png\n")
    assert (place / "greeting_waveform.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))  # no checkout
    options = ("--out", "pictures", "--only", "mfcc", "--only", "chroma")
    cli.app(["plot", str(place / "greeting.wav"), *options], standalone_mode=False)
    assert capsys.readouterr().out.split() == ["pictures/greeting_mfcc.png", "pictures/greeting_chroma.png"]


def test_plot_uses_the_params_around_it_or_those_beside_the_library(place, monkeypatch, tmp_path_factory):
    below = place / "recordings" / "mine"
    below.mkdir(parents=True)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    other_project = tmp_path_factory.mktemp("other")
    (other_project / "params.yaml").write_text("train:\n  lr: 0.1\n")
    for folder, expected in ((place, place), (below, place), (elsewhere, ROOT), (other_project, ROOT)):
        monkeypatch.chdir(folder)
        assert cli._params_file() == expected / "params.yaml"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.wav"], "missing.wav: No such file"),
        (["params.yaml"], "params.yaml is no audio that can be decoded"),
        (["greeting.wav", "--only", "mel"], "'mel' is no picture; accepted: sheet, waveform, spectrum, spectrogram"),
        (["greeting.wav", "--out", "params.yaml/below"], "params.yaml/below: cannot be written"),
    ],
)
def test_what_cannot_be_plotted_is_one_clear_error(place, arguments, said):
    tone(place / "greeting.wav")
    done = emodag("plot", *arguments, cwd=place)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_to_write_pictures_into_is_a_usage_error(place):
    tone(place / "greeting.wav")
    done = emodag("plot", "greeting.wav", "--out", "params.yaml", cwd=place)
    assert done.returncode == 2
    assert "is a file" in done.stderr


def test_a_folder_to_plot_is_a_usage_error(place):
    done = emodag("plot", ".", cwd=place)
    assert done.returncode == 2
    assert "is a directory" in done.stderr


def test_a_wrong_role_is_a_usage_error(place):
    done = emodag("corpora", "add", "ravdess", "x", "--role", "validation", cwd=place)
    assert done.returncode == 2
    assert "'train', 'test'" in done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, hearing_bundle):
    """A folder with params.yaml and a model, and two short recordings."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "params.yaml", folder)
    hearing_bundle.save(folder / "models")
    (folder / "calls").mkdir()
    return folder


@pytest.fixture(scope="module")
def call(checkout, spoken_corpus):
    """Clips of two synthesised speakers in turn; and ``call.rttm`` says who speaks when."""
    from emodag.recognition import read

    first, second = spoken_corpus.clips[:3], spoken_corpus.clips[-3:]
    gap, parts, lines, time = np.zeros(16_000), [], [], 0.0
    for number, path in enumerate([clip for pair in zip(first, second, strict=True) for clip in pair]):
        samples = read(path)
        duration = len(samples) / 16_000
        lines.append(f"SPEAKER call 1 {time:.3f} {duration:.3f} <NA> <NA> {'ab'[number % 2]} <NA> <NA>")
        parts += [samples, gap]
        time += duration + 1
    soundfile.write(checkout / "calls/call.flac", np.concatenate(parts), 16_000)
    (checkout / "call.rttm").write_text("\n".join(lines) + "\n")
    return checkout / "calls/call.flac"


def run(checkout, monkeypatch, capsys, *arguments):
    """Run a command in this process, in the checkout: exit status, stdout and stderr."""
    monkeypatch.chdir(checkout)
    monkeypatch.setattr(sys, "argv", ["emodag", *map(str, arguments)])
    try:
        cli.main()
        status = 0
    except SystemExit as ended:
        status = ended.code
    return status, *capsys.readouterr()


def test_predict_prints_percentages_most_probable_first(checkout, call, monkeypatch, capsys):
    status, out, _ = run(checkout, monkeypatch, capsys, "predict", "calls")
    assert status == 0
    first, *rows = out.splitlines()
    assert first.startswith("calls/call.flac: ")
    shares = [float(row.split()[1]) for row in rows[:2]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.2)


def test_predict_gives_json_csv_and_reads_standard_input(checkout, call, monkeypatch, capsys):
    (from_file,) = json.loads(run(checkout, monkeypatch, capsys, "predict", "--json", call)[1])
    assert set(from_file) == {"file", "duration", "emotion", "probabilities", "notes"}
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(call.read_bytes())))
    (from_stdin,) = json.loads(run(checkout, monkeypatch, capsys, "predict", "-", "--json")[1])
    assert from_stdin == from_file | {"file": "-"}
    header, row = run(checkout, monkeypatch, capsys, "predict", "--csv", call)[1].splitlines()
    assert header == "file,duration,emotion,neutral,angry,notes"
    assert row.split(",")[2] == from_file["emotion"]
    assert run(checkout, monkeypatch, capsys, "predict", "--csv", "--json", call)[0] == 2


def test_predict_answers_the_others_where_some_are_missing(checkout, call, monkeypatch, capsys):
    (checkout / "nothing").mkdir(exist_ok=True)
    status, out, err = run(checkout, monkeypatch, capsys, "predict", "nowhere.wav", call, "nothing", "--json")
    assert status == 1
    assert [each["file"] for each in json.loads(out)] == [str(call)]
    assert "error: unreadable: nowhere.wav: no such file or folder" in err
    assert "error: empty: nothing: no recording in this folder" in err


def test_all_that_is_missing_is_named(checkout, call, monkeypatch, capsys):
    status, out, err = run(checkout, monkeypatch, capsys, "predict", "nowhere.wav", "neither.wav")
    assert (status, out) == (1, "")
    assert err.count("no such file or folder") == 2


def test_of_many_files_that_are_no_recordings_some_are_named(checkout, call, monkeypatch, capsys):
    folder = checkout / "mixed"
    folder.mkdir()
    shutil.copy(call, folder / "call.flac")
    for number in range(9):
        (folder / f"{number}.txt").touch()
    err = run(checkout, monkeypatch, capsys, "predict", "mixed", "--json")[2]
    assert "mixed/4.txt and 4 others" in err
    assert "mixed/5.txt" not in err


@pytest.mark.parametrize("command", [("matrix",), ("audit",), ("explain", "calls/call.flac")])
@pytest.mark.parametrize(("place", "status"), [("params.yaml", 2), ("params.yaml/below", 1)])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    checkout, call, monkeypatch, capsys, command, place, status
):
    found, out, err = run(checkout, monkeypatch, capsys, *command, "--out", place)
    assert (found, out) == (status, "")
    assert f"{place}: cannot be written" in err or "is a file" in " ".join(err.split())


def test_predict_answers_the_others_where_one_is_broken(checkout, call, monkeypatch, capsys):
    status, out, err = run(checkout, monkeypatch, capsys, "predict", "params.yaml", call)
    assert status == 1
    assert out.startswith(f"{call}: ")
    assert err.startswith("error: params.yaml: not_audio: params.yaml")
    assert "Traceback" not in err
    assert run(checkout, monkeypatch, capsys, "predict", "--one-voice", "params.yaml", call) == (status, out, err)


def test_a_model_that_heard_a_synthesiser_alone_is_said_to(checkout, call, monkeypatch, capsys):
    assert "synthesiser" not in run(checkout, monkeypatch, capsys, "predict", call)[2]
    file = checkout / "models" / "bundle.json"
    before = file.read_text()
    try:
        file.write_text(json.dumps(json.loads(before) | {"corpora": ["demo_en"]}))
        status, _, err = run(checkout, monkeypatch, capsys, "predict", call)
    finally:
        file.write_text(before)
    assert status == 0
    assert "nothing but a synthesiser" in err


def test_predict_on_a_clip_is_the_models_answer(checkout, call, hearing_bundle, monkeypatch, capsys):
    from emodag.recognition import Recogniser, read

    (found,) = json.loads(run(checkout, monkeypatch, capsys, "predict", "--json", call)[1])
    expected = Recogniser(hearing_bundle)([read(call)]).probabilities[0]
    assert [found["probabilities"][name] for name in hearing_bundle.classes] == pytest.approx(expected, abs=1e-4)


def test_diarize_writes_turns_and_scores_them(checkout, call, monkeypatch, capsys):
    from emodag.diarization.evaluation import read_rttm

    options = ("--rttm", "found.rttm", "--reference", "call.rttm")
    status, out, _ = run(checkout, monkeypatch, capsys, "diarize", "calls", *options)
    assert status == 0
    assert out.startswith("calls/call.flac: ")
    assert "DER" in out
    found = read_rttm(checkout / "found.rttm")["call"]
    # Scored against itself nothing is wrong.
    options = ("--json", "--reference", "found.rttm")
    (scored,) = json.loads(run(checkout, monkeypatch, capsys, "diarize", call, *options)[1])
    assert scored["errors"]["0"]["der"] == pytest.approx(0, abs=0.01)
    assert list(scored["speakers"]) == sorted(found.labels())


def test_the_only_recording_is_scored_where_the_only_uem_says_whatever_it_is_called(
    checkout, call, monkeypatch, capsys
):
    (checkout / "scope.uem").write_text("another 1 0.000 2.000\n")
    options = ("--json", "--reference", "call.rttm", "--uem", "scope.uem")
    (scored,) = json.loads(run(checkout, monkeypatch, capsys, "diarize", call, *options)[1])
    (checkout / "scope.uem").write_text("one 1 0.000 2.000\ntwo 1 0.000 2.000\n")
    _, out, err = run(checkout, monkeypatch, capsys, "diarize", call, *options)
    (whole,) = json.loads(out)
    assert "scored as a whole, for no UEM is of call" in err
    assert scored["errors"]["0"]["speech"] <= 2.01 < whole["errors"]["0"]["speech"]


def test_diarize_with_one_speaker_finds_one(checkout, call, monkeypatch, capsys):
    (found,) = json.loads(run(checkout, monkeypatch, capsys, "diarize", call, "--speakers", 1, "--json")[1])
    assert len(found["speakers"]) == 1
    assert 0.5 * found["duration"] < found["speech"] < found["duration"]


def test_diarize_says_which_recording_has_no_reference(checkout, call, monkeypatch, capsys):
    (checkout / "other.rttm").write_text("SPEAKER one 1 0 1 <NA> <NA> x\nSPEAKER two 1 0 1 <NA> <NA> x\n")
    status, out, err = run(checkout, monkeypatch, capsys, "diarize", call, "--reference", "other.rttm")
    assert status == 0
    assert "DER" not in out
    assert "not scored, for no reference is called call" in err
    (checkout / "other.rttm").write_text("SPEAKER CALL 1 0 1 <NA> <NA> x\nSPEAKER Call 1 0 1 <NA> <NA> x\n")
    status, out, err = run(checkout, monkeypatch, capsys, "diarize", call, "--reference", "other.rttm")
    assert status == 1
    assert "calls/call.flac: not scored: call: CALL, Call differ from it by accents or case alone" in err
    assert "SPEAKER_01" in out


def test_analyze_prints_and_writes_everything(checkout, call, monkeypatch, capsys):
    (checkout / "said.csv").write_text("start,end,text\n0.2,1,Good morning <b>\n")
    written = {kind: checkout / f"out/call.{kind}" for kind in ("json", "csv", "rttm", "html", "png")}
    options = [part for kind, path in written.items() for part in (f"--{kind}", path)]
    status, out, _ = run(
        checkout, monkeypatch, capsys, "analyze", call, "--reference", "call.rttm", "--transcript", "said.csv", *options
    )
    assert status == 0
    assert out.startswith("call.flac: ")
    found = json.loads(written["json"].read_text())
    assert [turn["speaker"] for turn in found["turns"]] == list("ababab")
    assert found["turns"][0]["text"] == "Good morning <b>"
    assert len(written["csv"].read_text().splitlines()) > 6
    assert written["rttm"].read_text().startswith("SPEAKER call 1 0.000")
    assert written["png"].read_bytes().startswith(b"\x89PNG")
    page = written["html"].read_text()
    assert "Good morning" in page
    assert "Good morning <b>" not in page
    assert run(checkout, monkeypatch, capsys, "analyze", call, "--json", "-")[1].startswith("{")


def test_analyze_takes_each_recording_of_a_folder(checkout, call, monkeypatch, capsys):
    (checkout / "calls" / "broken.wav").write_bytes(b"no audio")
    status, out, err = run(
        checkout, monkeypatch, capsys, "analyze", "calls", "--json", "told", "--png", "told", "--speakers", "2"
    )
    assert status == 1
    assert "broken.wav" in err
    assert "call.flac: " in out
    assert {path.name for path in (checkout / "told").iterdir()} == {"call.json", "call.png"}
    single = run(checkout, monkeypatch, capsys, "analyze", call, "--json", "-", "--speakers", "2")[1]
    assert (checkout / "told" / "call.json").read_text() == single


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["predict", "missing.wav"], 1, "missing.wav: no such file or folder"),
        (["predict", "calls", "--models", "nowhere"], 1, "nowhere/bundle.json: no such file"),
        (["diarize", "params.yaml"], 1, "params.yaml is no audio that can be decoded"),
        (["diarize", "calls", "--speakers", "0"], 2, "'0' speakers; accepted: auto, or a number from 1 to 20"),
        (["analyze", "calls", "--speakers", "two"], 2, "--speakers"),
        (["analyze", "calls", "--json", "-"], 2, "name a folder to write to"),
        (["analyze", "calls", "--html", "params.yaml"], 2, "params.yaml is no folder"),
        (["analyze", "calls", "--transcript", "params.yaml"], 2, "a transcript is of one recording"),
        (["analyze", "calls/call.flac", "--png", "calls"], 2, "calls is a folder; name a file"),
        (
            ["analyze", "calls/call.flac", "--html", "params.yaml/page.html"],
            1,
            "params.yaml/page.html: cannot be written",
        ),
        (["diarize", "calls", "--rttm", "params.yaml/x.rttm"], 1, "params.yaml/x.rttm: cannot be written"),
        (["analyze", "calls/call.flac", "--transcript", "params.yaml"], 1, "a transcript is one of .srt, .vtt"),
        (["analyze", "calls/call.flac", "--reference", "params.yaml"], 1, "no turns"),
        (["analyze", "calls/call.flac", "--json", "-", "--csv", "-"], 2, "only one of --json and --csv"),
    ],
)
def test_what_cannot_be_heard_is_one_clear_error(checkout, call, monkeypatch, capsys, arguments, status, said):
    found, _, err = run(checkout, monkeypatch, capsys, *arguments)
    assert found == status
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_record_without_a_microphone_says_so_before_it_loads_a_model(checkout, monkeypatch, capsys):
    class PortAudioError(Exception):
        pass

    def refuse(**_):
        raise PortAudioError("no default input device")

    card = types.SimpleNamespace(check_input_settings=refuse, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    status, out, err = run(checkout, monkeypatch, capsys, "record", "--models", "nowhere")
    assert (status, out) == (1, "")
    assert err.startswith("error: no_microphone: no microphone can be opened (no default input device)")


def sound_card(monkeypatch, samples):
    """Stand in for a sound card whose microphone hears these samples, and is then unplugged."""

    class PortAudioError(Exception):
        pass

    class Stream(contextlib.AbstractContextManager):
        def __init__(self, **_):
            self.at = 0

        def start(self):
            return None

        def __exit__(self, *_):
            return None

        def read(self, count):
            self.at += count
            if self.at > len(samples):
                raise PortAudioError("Device unavailable")
            return samples[self.at - count : self.at, None], self.at == count

    card = types.SimpleNamespace(
        InputStream=Stream, PortAudioError=PortAudioError, check_input_settings=lambda **_: None
    )
    monkeypatch.setitem(sys.modules, "sounddevice", card)


def test_record_listens_and_keeps_the_sound(checkout, spoken_corpus, monkeypatch, capsys):
    from emodag.recognition import read

    samples = np.concatenate([read(path) for path in spoken_corpus.clips[:3]])
    sound_card(monkeypatch, samples)
    status, out, err = run(checkout, monkeypatch, capsys, "record", "--seconds", 4.5, "--out", "kept.flac")
    assert status == 0
    lines = out.splitlines()
    assert sum(line.strip().startswith(("2.0 s", "4.0 s")) for line in lines) == 2
    assert "heard" in lines
    assert "overflows: 1" in err
    np.testing.assert_array_equal(read(checkout / "kept.flac"), samples[:72_000])


def test_record_keeps_what_an_unplugged_microphone_has_heard(checkout, spoken_corpus, monkeypatch, capsys):
    from emodag.recognition import read

    samples = read(spoken_corpus.clips[0])[:8000]
    sound_card(monkeypatch, samples)
    status, out, err = run(checkout, monkeypatch, capsys, "record", "--out", "half.flac")
    assert status == 1
    assert out.splitlines() == ["heard", "0.5 s, no speech was found"]
    assert "error: microphone_lost: the microphone failed after 0.5 s (Device unavailable); what was" in err
    np.testing.assert_array_equal(read(checkout / "half.flac"), samples)
    status, out, err = run(checkout, monkeypatch, capsys, "record", "--out", "params.yaml/half.flac")
    assert (status, out) == (1, "")
    assert "params.yaml/half.flac: cannot be written: " in err
