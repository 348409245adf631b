"""How features scale: ``make bench-scale CORPORA=PATH``, with CREMA-D in PATH; the machine should be idle.

- ``dask``: speed of a local Dask cluster of two workers beside one, and whether both and this process give equal bytes;
- ``stage``: time and peak resident memory of each process of the featurize stage over the corpus as the pipeline has
  it, each clip cut to speech;
- ``tenfold``: the same with ten times the clips (each linked ten times), which shows how memory grows.

``--parts`` chooses, ``--clips`` takes only so many, ``--out`` names the file that keeps the figures.
For ``dask``, clips are featurized whole.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
from ruamel.yaml import YAML

from _checkout import ROOT, corpora_in
from emodag import corpora, layout, parallel, schema
from emodag import params as parameters
from emodag.diarization.corpus import diarize_corpus
from emodag.features import featurize_corpus
from emodag.features.corpus import Source
from emodag.files import read_json, write_json
from emodag.organization import organize_corpus
from emodag.params import Compute

CORPUS = "crema_d"
PARTS = ("dask", "stage", "tenfold")
PROCESSES = 2
SECONDS_BETWEEN_LOOKS = 0.2


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("corpora", type=Path, help="a folder that holds CREMA-D")
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments.add_argument("--clips", type=int, help="only the first so many; the dask part takes 2000 at most")
    arguments.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "scale.json")
    chosen = arguments.parse_args()
    raw = corpora_in(chosen.corpora).get(CORPUS)
    if raw is None:
        sys.exit(f"{chosen.corpora}: no folder of {CORPUS} there")
    raw, out = raw.resolve(), chosen.out.resolve()
    settings = parameters.load(ROOT / "params.yaml")
    results = read_json(out) if out.exists() else {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder, working_in(Path(folder)):
        clips = organized(raw, chosen.clips, settings.organize)
        if "dask" in chosen.parts:
            results["dask"] = told(dask(clips.head(2000), settings.featurize))
        if {"stage", "tenfold"} & set(chosen.parts):
            turns = diarized(clips, settings.diarize)
        if "stage" in chosen.parts:
            results["stage"] = told(stage(clips, turns))
        if "tenfold" in chosen.parts:
            results["tenfold"] = told(stage(linked(clips, 10), repeated(turns, 10)))
    write_json(out, results)


def organized(raw: Path, count: int | None, settings: parameters.Organize) -> pd.DataFrame:
    """The corpus, or so many of its files, as the organize stage leaves it; its manifest."""
    if count:
        some = Path("some")
        some.mkdir()
        for path in sorted(raw.iterdir())[:count]:
            (some / path.name).symlink_to(path)
        raw = some.resolve()
    layout.organized(CORPUS).mkdir(parents=True)
    return organize_corpus(corpora.get(CORPUS), raw, layout.organized(CORPUS), settings).manifest


def diarized(clips: pd.DataFrame, settings: parameters.Diarize) -> pd.DataFrame:
    """The turns of the clips, as the diarize stage finds them."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        return diarize_corpus(clips, layout.organized(CORPUS), Path(folder), settings, jobs=PROCESSES).turns


def dask(clips: pd.DataFrame, settings: parameters.Featurize) -> dict:
    """Seconds of one and of two workers over the same clips, started and warm before the clock runs."""
    seconds, digests = {}, set()
    for workers in (1, PROCESSES):
        with parallel.workers(Compute(backend="dask", jobs=workers, address="")):
            featurized(clips.head(50), settings)
            start = time.perf_counter()
            digests.add(featurized(clips, settings))
            seconds[workers] = time.perf_counter() - start
    digests.add(featurized(clips, settings, jobs=1))
    return {
        "clips": len(clips),
        "one_worker_s": round(seconds[1], 1),
        "two_workers_s": round(seconds[PROCESSES], 1),
        "speed_up": round(seconds[1] / seconds[PROCESSES], 2),
        "equal_to_serial": len(digests) == 1,
    }


def featurized(clips: pd.DataFrame, settings: parameters.Featurize, jobs: int = 0) -> str:
    """Featurize clips into a folder that is thrown away; the digest of what was stored."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        out = Path(folder)
        featurize_corpus([Source(layout.organized(CORPUS), clips, whole(clips))], out, settings, jobs=jobs)
        digest = hashlib.sha256()
        for name in ("frames.npy", "functionals.npy"):
            with (out / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def stage(clips: pd.DataFrame, turns: pd.DataFrame) -> dict:
    """Run the stage's own script over clips; its seconds, from start to exit, and each process's peak memory."""
    inputs(clips, turns)
    command = [sys.executable, str(ROOT / "stages" / "featurize.py"), CORPUS, "train"]
    start = time.perf_counter()
    with subprocess.Popen(command) as process:
        peaks = peak_memory(process)
    if process.returncode:
        sys.exit(f"featurize ended with status {process.returncode}")
    seconds = time.perf_counter() - start
    return {
        "clips": len(clips),
        "hours_of_audio": round(float(clips["duration"].sum()) / 3600, 2),
        "processes": PROCESSES,
        "seconds": round(seconds, 1),
        "times_real_time": round(clips["duration"].sum() / seconds),
        "peak_rss_mb": {"stage": round(peaks[0]), "workers": [round(peak) for peak in peaks[1:]]},
    }


def inputs(clips: pd.DataFrame, turns: pd.DataFrame) -> None:
    """What the stage finds in a checkout: params, organized clips, their turns, and no copies."""
    yaml = YAML()
    content = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["corpora"] = {CORPUS: "train"}
    content["compute"] = {"backend": "local", "jobs": PROCESSES, "address": ""}
    with layout.PARAMS.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    schema.write(clips, schema.MANIFEST, layout.organized(CORPUS) / "manifest.parquet")
    for folder, table in ((layout.turns(CORPUS), turns), (layout.augmented(CORPUS), turns.head(0))):
        folder.mkdir(parents=True, exist_ok=True)
        schema.write(table, schema.TURNS, folder / "turns.parquet")
    schema.write(clips.head(0), schema.MANIFEST, layout.augmented(CORPUS) / "manifest.parquet")


def whole(clips: pd.DataFrame) -> pd.DataFrame:
    """One turn for each clip, from its start to its end."""
    return pd.DataFrame(
        {
            "clip_id": clips["clip_id"],
            "start": 0.0,
            "end": clips["duration"],
            "speaker_label": "SPEAKER_00",
            "is_overlap": False,
        }
    ).reset_index(drop=True)


def linked(clips: pd.DataFrame, times: int) -> pd.DataFrame:
    """The clips and links to them, so many times in all."""
    tables = [clips]
    organized = layout.organized(CORPUS)
    for number in range(1, times):
        paths = clips["path"].str.removesuffix(".flac") + f"~{number}.flac"
        for path, link in zip(clips["path"], paths, strict=True):
            (organized / link).symlink_to((organized / path).resolve())
        tables.append(clips.assign(clip_id=clips["clip_id"] + f"~{number}", path=paths))
    return pd.concat(tables, ignore_index=True)


def repeated(turns: pd.DataFrame, times: int) -> pd.DataFrame:
    """The turns of clips and of the links to them."""
    links = (turns.assign(clip_id=turns["clip_id"] + f"~{number}") for number in range(1, times))
    return pd.concat([turns, *links], ignore_index=True)


def peak_memory(process: subprocess.Popen) -> list[float]:
    """Peak resident memory of a process and of its largest children, in MB, while it runs (Linux)."""
    peaks: dict[int, float] = {process.pid: 0.0}
    while process.poll() is None:
        try:
            seen = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        except psutil.NoSuchProcess:
            break
        for pid in seen:
            try:
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM"):
                    peaks[pid] = int(line.split()[1]) / 2**10
        time.sleep(SECONDS_BETWEEN_LOOKS)
    process.wait()
    own = peaks.pop(process.pid)
    return [own, *sorted(peaks.values(), reverse=True)[:PROCESSES]]


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """The library keeps everything relative to the working directory."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def told(figures: dict) -> dict:
    print(figures, flush=True)
    return figures


if __name__ == "__main__":
    main()
