"""Diarization with weights that come inside installed packages and beside this module: nothing is downloaded.

One speaker: :mod:`emodag.diarization.voice_activity` says when. Several: a segmentation network finds speech, overlap
and changes of speaker (:mod:`emodag.diarization.segmentation`), speech is cut into stretches
(:mod:`emodag.diarization.stretches`), each stretch is described by its voice (:mod:`emodag.diarization.embedding`), and
the descriptions are clustered (:mod:`emodag.diarization.clustering`). Where two speak at once, it is those who speak
before and after.

A recording in which silero-vad hears nothing holds no speech: the segmentation network has learned from a few hours of
voices, silero-vad from thousands, and noise can pass for speech with the one but seldom with both. Within a recording
silero-vad has no say: shouting and bad lines escape it.

pyannote.audio's own pipeline could carry the segmentation, but not embeddings that depend on the rest of the recording,
and importing it takes longer than diarizing a minute.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from pyannote.core import Annotation, Segment, Timeline

from emodag.audio import SAMPLE_RATE
from emodag.diarization.base import as_float, check_samples, pieces, speaker_name
from emodag.diarization.clustering import cluster
from emodag.diarization.embedding import VoiceEncoder
from emodag.diarization.segmentation import FRAME, Segmentation
from emodag.diarization.stretches import Stretch, stretches
from emodag.diarization.voice_activity import VoiceActivityDetector
from emodag.params import VoiceActivity

#: A shorter stretch (frames of 20 ms) says too little of its speaker; it goes to the nearest stretch's.
SHORTEST = 12

#: A speaker's shorter pauses (s) belong to their turn: silence is heard as a pause from 0.12 s on (Heldner 2011,
#: "Detection thresholds for gaps, overlaps, and no-gap-no-overlaps", Journal of the Acoustical Society of America 130).
PAUSE = 0.15

#: Stretches so far below the loud ones (90th percentile; dB) are the other end of the line, heard in one's own channel,
#: or the next room.
_FAR_BELOW = 32.0

#: Root mean square of speech in the training, -26 dBFS.
_LEVEL = 10 ** (-26 / 20)


class BundledDiarizer:
    """silero-vad alone for one speaker; networks of our own and Resemblyzer's where there may be several."""

    def __init__(self, vad: VoiceActivity, speakers: int | None = None):
        """``speakers`` is how many a recording has where ``diarize`` is not told; None to find out."""
        self.vad = VoiceActivityDetector(vad)
        self.speakers = speakers

    def diarize(self, samples: np.ndarray, *, speakers: int | None = None, uri: str | None = None) -> Annotation:
        """See :class:`emodag.diarization.base.Diarizer`. With one speaker this is voice activity alone."""
        check_samples(samples, pcm=True)
        speakers = speakers or self.speakers
        heard = self.vad.detect(samples)
        if speakers == 1 or not heard:
            return _annotation([(segment.start, segment.end, 0) for segment in heard], uri)
        gain = _gain(samples, heard)
        found = _loud_enough(samples, stretches(self._segmentation.frames(samples, gain)))
        telling = [
            index
            for index, stretch in enumerate(found)
            if not stretch.overlap and stretch.end - stretch.start >= SHORTEST
        ]
        places = [(found[index].start * FRAME, min(found[index].end * FRAME, len(samples))) for index in telling]
        durations = np.array([end - start for start, end in places]) / SAMPLE_RATE
        embeddings = self._encoder.embeddings(self._encoder.statistics(samples, places, gain))
        labels = dict(zip(telling, cluster(embeddings, durations, speakers).tolist(), strict=True))
        turns = [
            (stretch.start * FRAME / SAMPLE_RATE, min(stretch.end * FRAME, len(samples)) / SAMPLE_RATE, speaker)
            for index, stretch in enumerate(found)
            for speaker in _speakers(index, found, labels)
        ]
        return _annotation(turns, uri).support(PAUSE)

    @cached_property
    def _segmentation(self) -> Segmentation:
        return Segmentation()

    @cached_property
    def _encoder(self) -> VoiceEncoder:
        return VoiceEncoder()


def _gain(samples: np.ndarray, speech: Timeline) -> float:
    """What brings a recording's speech to the level of the training, so that a soft one gives the same turns."""
    spoken = (samples[round(each.start * SAMPLE_RATE) : round(each.end * SAMPLE_RATE)] for each in speech)
    parts = (as_float(part) for stretch in spoken for part in pieces(stretch))
    energy = sum(float(np.dot(part, part)) for part in parts)
    power = energy / (speech.duration() * SAMPLE_RATE)
    return _LEVEL / float(np.sqrt(power)) if power > 0 else 1.0


def _loud_enough(samples: np.ndarray, found: list[Stretch]) -> list[Stretch]:
    """The stretches that are not far softer than the loud ones."""
    if not found:
        return found
    parts = (as_float(samples[stretch.start * FRAME : stretch.end * FRAME]) for stretch in found)
    level = np.array([10 * np.log10(np.mean(np.square(part, dtype=np.float64)) + 1e-12) for part in parts])
    kept = level > np.percentile(level, 90) - _FAR_BELOW
    return [stretch for stretch, loud in zip(found, kept, strict=True) if loud]


def _speakers(index: int, found: list[Stretch], labels: dict[int, int]) -> list[int]:
    """Who speaks in a stretch: its own label, or where it has none the neighbours'; two where it is overlap."""
    if index in labels:
        return [labels[index]]
    if not labels:
        return [0]
    before = next((labels[i] for i in range(index - 1, -1, -1) if i in labels), None)
    after = next((labels[i] for i in range(index + 1, len(found)) if i in labels), None)
    if not found[index].overlap:
        if before is None or after is None:
            return [after if before is None else before]
        # Gaps to the neighbours themselves, whoever they are.
        gap_before = found[index].start - found[index - 1].end if index > 0 else np.inf
        gap_after = found[index + 1].start - found[index].end if index + 1 < len(found) else np.inf
        return [before if gap_before <= gap_after else after]
    if before is not None and after is not None and before != after:
        return [before, after]
    own = after if before is None else before
    others = [i for i, label in labels.items() if label != own]
    return [own, labels[min(others, key=lambda i: abs(i - index))]] if others else [own]


def _annotation(turns: list[tuple[float, float, int]], uri: str | None) -> Annotation:
    annotation = Annotation(uri=uri)
    for track, (start, end, speaker) in enumerate(turns):
        annotation[Segment(start, end), track] = speaker_name(speaker)
    return annotation
