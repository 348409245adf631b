"""Train the bundled diarizer's networks: ``python -m emodag.diarization.training CORPORA OUT``.

``CORPORA`` is a folder that holds CREMA-D and whatever else there is of RAVDESS, SAVEE, TESS and EmoDB; CREMA-D's
actors from 1046 on are left out, for ``bench/diarization.py`` to test on. ``OUT`` receives
``segmentation.onnx`` and ``voices.onnx``.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from emodag import audio, corpora
from emodag.corpora import NotAClip, files_in
from emodag.diarization.training import FIRST_TEST_ACTOR
from emodag.diarization.training.fitting import fit_segmentation, fit_voices
from emodag.diarization.training.mixtures import Clip
from emodag.diarization.training.networks import export_segmentation, export_voices
from emodag.errors import AudioError, EmodagError

#: Corpus -> what its folder is called, and every which clip is taken: TESS has two speakers, and as many clips as a
#: third of CREMA-D.
CORPORA = {
    "crema_d": ("cremad", 1),
    "ravdess": ("ravdess", 1),
    "savee": ("savee", 1),
    "emodb": ("emodb", 1),
    "tess": ("tess", 7),
}


def training_clips(place: Path) -> dict[str, list[Clip]]:
    """Clips of the training speakers, trimmed to speech, by ``corpus/speaker``."""
    from emodag.conversation.simulation import speech_in

    found: dict[str, list[Clip]] = defaultdict(list)
    for name, (folder, every) in CORPORA.items():
        if not (place / folder).is_dir():
            print(f"{place / folder}: not there, left out")
            continue
        parse = corpora.get(name).parser(place / folder)
        for path in list(files_in(place / folder))[::every]:
            try:
                clip = parse(path)
                if name == "crema_d" and int(clip.speaker) >= FIRST_TEST_ACTOR:
                    continue
                recording = audio.read(place / folder / path)
            except (NotAClip, AudioError):
                continue  # organize lists them; here one clip of thousands does not matter
            samples = audio.resample(recording.samples, recording.rate)
            speech = speech_in(samples)
            if len(speech):
                first, last = speech[0, 0], speech[-1, 1]
                found[f"{name}/{clip.speaker}"].append(Clip(audio.to_pcm16(samples[first:last]), speech - first))
    return dict(found)


def main() -> None:
    """Read the clips, train both networks and export them."""
    parser = argparse.ArgumentParser(prog="emodag.diarization.training", description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=3200, help="steps of the segmentation network")
    parser.add_argument("--voices", type=int, default=1600, help="steps of the voice network")
    arguments = parser.parse_args()
    try:
        clips = training_clips(arguments.corpora)
        if len(clips) < 10:
            sys.exit(f"{arguments.corpora}: {len(clips)} speakers; expected a folder with cremad/ and others like it")
        print(f"{sum(map(len, clips.values()))} clips of {len(clips)} speakers")
        export_segmentation(
            fit_segmentation(clips, arguments.chunks, arguments.seed), arguments.out / "segmentation.onnx"
        )
        export_voices(fit_voices(clips, arguments.voices, arguments.seed), arguments.out / "voices.onnx")
    except EmodagError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
