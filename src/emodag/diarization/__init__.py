"""Who speaks when: from a recording to pyannote's ``Annotation``, and from there to the files that are kept.

Two backends stand behind one interface, :class:`Diarizer`: ``bundled`` (its weights are part of the installation) and
``pyannote`` (a pretrained pipeline by name or folder). :func:`create` makes the one that the params ask for.
"""

from emodag.diarization.base import Diarizer, create, speaker_name
from emodag.diarization.corpus import DiarizedCorpus, diarize_corpus
from emodag.diarization.tracks import separate_tracks
from emodag.diarization.turns import rttm_uri, to_turns, write_rttm

__all__ = [
    "DiarizedCorpus",
    "Diarizer",
    "create",
    "diarize_corpus",
    "rttm_uri",
    "separate_tracks",
    "speaker_name",
    "to_turns",
    "write_rttm",
]
