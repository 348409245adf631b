"""The corpora that emodag reads, by name; a name that is none of theirs stands for a user's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from emodag.corpora import crema_d, demo, emodb, esd, folder, ravdess, savee, tess
from emodag.corpora.base import Clip, Corpus, NotAClip, files_in

_PUBLISHED = (ravdess, crema_d, savee, tess, esd, emodb)

REGISTRY: Mapping[str, Corpus] = MappingProxyType(
    demo.CORPORA | {module.CORPUS.name: module.CORPUS for module in _PUBLISHED}
)

__all__ = ["REGISTRY", "Clip", "Corpus", "NotAClip", "files_in", "get"]


def get(name: str) -> Corpus:
    """The corpus of that name, or, for a name that is none in ``REGISTRY``, the ``folder`` reader under that name."""
    return REGISTRY[name] if name in REGISTRY else folder.corpus(name)
