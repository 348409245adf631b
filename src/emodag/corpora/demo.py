"""The embedded demo corpora: English and German carrier sentences, spoken by eSpeak NG in seven emotions.

File names: ``<speaker>/<speaker>_<emotion>_<text>_<take>.wav``, for instance ``f01/f01_angry_t03_02.wav``. The first
letter of a speaker is the sex.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from emodag.corpora.base import Clip, Corpus, NotAClip
from emodag.labels import NATIVE_LABELS, emotion_of

_NAME = re.compile(r"(?P<speaker>(?P<sex>[fm])\d{2})_(?P<emotion>[a-z]+)_(?P<text>t\d{2})_(?P<take>\d{2})")
_SEX = {"f": "female", "m": "male"}


def _corpus(name: str, language: str, spoken: str) -> Corpus:
    def parse(path: PurePosixPath) -> Clip:
        match = _NAME.fullmatch(path.stem)
        if path.suffix.lower() != ".wav" or match is None:
            raise NotAClip("unknown_name", f"{path}: expected a name like f01_angry_t03_02.wav")
        if match["emotion"] not in NATIVE_LABELS[name]:
            raise NotAClip(
                "unknown_emotion", f"{path}: {match['emotion']!r} is none of {', '.join(NATIVE_LABELS[name])}"
            )
        return Clip(
            stem=path.stem,
            speaker=match["speaker"],
            sex=_SEX[match["sex"]],
            emotion=emotion_of(name, match["emotion"]),
            native_label=match["emotion"],
            language=language,
            text_id=match["text"],
        )

    return Corpus(
        name=name,
        title=f"emodag demo corpus, {spoken} (synthetic)",
        languages=(language,),
        emotions=tuple(NATIVE_LABELS[name].values()),
        licence="CC0-1.0",
        citation="None needed: synthetic speech by eSpeak NG, with prosody after Burkhardt and Sendlmeier (2000)",
        source="made by the synthesize stage",
        parse=parse,
    )


CORPORA = {
    "demo_en": _corpus("demo_en", "en", "English"),
    "demo_de": _corpus("demo_de", "de", "German"),
}
