"""How wrong the default transcriber is: ``python bench/transcription.py CORPORA``.

CORPORA is a folder that holds RAVDESS and CREMA-D. Their actors speak two and twelve known sentences, so every word
can be checked. Of each RAVDESS actor 10 clips are drawn, of each CREMA-D actor 3, by a fixed seed, and decoded with
the section ``transcribe`` of ``params.yaml``. The word error rate is the number of words that are wrong, missing or
added, divided by the number of words that were said (jiwer), in lower case; ``that's`` for ``that is`` is two errors.
Intervals are a bootstrap over speakers. The table is printed and written to ``bench/results/transcription.json``.
"""

from __future__ import annotations

import os
import sys

# Before NumPy reads it: one core means one thread.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

from importlib.metadata import version
from pathlib import Path, PurePosixPath

import jiwer
import numpy as np
import pandas as pd

from _checkout import ROOT, corpora_in
from emodag import audio, corpora, params
from emodag.corpora import NotAClip
from emodag.files import write_json
from emodag.transcription.base import Transcriber, create, transcript

SEED = 0
RESAMPLES = 2000
CLIPS = {"ravdess": 10, "crema_d": 3}  # of each speaker

SENTENCES = {
    "ravdess": {"01": "kids are talking by the door", "02": "dogs are sitting by the door"},
    "crema_d": {
        "IEO": "it's eleven o'clock",
        "TIE": "that is exactly what happened",
        "IOM": "i'm on my way to the meeting",
        "IWW": "i wonder what this is about",
        "TAI": "the airplane is almost full",
        "MTI": "maybe tomorrow it will be cold",
        "IWL": "i would like a new alarm clock",
        "ITH": "i think i have a doctor's appointment",
        "DFA": "don't forget a jacket",
        "ITS": "i think i've seen this before",
        "TSI": "the surface is slick",
        "WSI": "we'll stop in a couple of minutes",
    },
}


def sample(corpus: str, folder: Path) -> pd.DataFrame:
    """The clips that are decoded, with ``path``, ``speaker``, ``emotion`` and what is ``said``."""
    parse = corpora.get(corpus).parser(folder)
    rows = []
    for path in sorted(folder.rglob("*")):
        try:
            clip = parse(PurePosixPath(path.relative_to(folder)))
        except NotAClip:
            continue
        rows.append((path, clip.speaker, clip.emotion, SENTENCES[corpus][clip.text_id]))
    clips = pd.DataFrame(rows, columns=["path", "speaker", "emotion", "said"])
    return clips.groupby("speaker").sample(CLIPS[corpus], random_state=SEED).reset_index(drop=True)


def decoded(clips: pd.DataFrame, transcriber: Transcriber, longest: float) -> pd.DataFrame:
    """The clips with what was ``heard``, how many ``words`` were said, and ``errors``."""
    rows = []
    for clip in clips.itertuples():
        recording = audio.read(clip.path)
        samples = audio.resample(recording.samples, recording.rate)
        heard = transcript(transcriber, samples, longest).text.lower()
        counts = jiwer.process_words(clip.said, heard)
        errors = counts.substitutions + counts.deletions + counts.insertions
        rows.append((heard, len(clip.said.split()), errors))
    return clips.assign(**dict(zip(("heard", "words", "errors"), zip(*rows, strict=True), strict=True)))


def rate(clips: pd.DataFrame) -> dict[str, float]:
    """The word error rate of clips, with its 95 % interval over speakers, and the share of sentences without error."""
    sums = clips.groupby("speaker")[["errors", "words"]].sum().to_numpy()
    drawn = sums[np.random.default_rng(SEED).integers(len(sums), size=(RESAMPLES, len(sums)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return {
        "clips": len(clips),
        "speakers": len(sums),
        "word_error_rate": round(clips["errors"].sum() / clips["words"].sum(), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "sentences_right": round(float((clips["errors"] == 0).mean()), 4),
        "nothing_heard": round(float((clips["heard"] == "").mean()), 4),
    }


def main(place: Path) -> None:
    settings = params.load(ROOT / "params.yaml").transcribe
    transcriber = create(settings)
    if transcriber is None:
        sys.exit("transcribe.backend is none: there is nothing to measure")
    found = corpora_in(place)
    if missing := [corpus for corpus in CLIPS if corpus not in found]:
        sys.exit(f"no {' and no '.join(missing)} in {place}: python bench/transcription.py CORPORA")
    told = {
        "settings": settings.model_dump(mode="json"),
        "pocketsphinx": version("pocketsphinx"),
        "corpora": {},
    }
    for corpus in CLIPS:
        clips = decoded(sample(corpus, found[corpus]), transcriber, settings.piece)
        result = rate(clips) | {
            "emotions": {emotion: rate(own) for emotion, own in clips.groupby("emotion")},
            "sentences": {said: rate(own) for said, own in clips.groupby("said")},
        }
        told["corpora"][corpus] = result
        for name, row in {corpus: result, **result["emotions"], **result["sentences"]}.items():
            print(
                f"{name:<40}{row['clips']:>5} clips  WER {row['word_error_rate']:.3f} "
                f"({row['low']:.3f} to {row['high']:.3f})  right {row['sentences_right']:.0%}",
                flush=True,
            )
    write_json(ROOT / "bench" / "results" / "transcription.json", told)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python bench/transcription.py CORPORA")
    main(Path(sys.argv[1]))
