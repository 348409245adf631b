"""Who speaks when in a recording of one or more channels, and where each voice is heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emodag.listening import Sound

if TYPE_CHECKING:
    from pyannote.core import Annotation

    from emodag.diarization.base import Diarizer


@dataclass(frozen=True)
class Voices:
    """Speakers of a recording."""

    annotation: Annotation  #: who speaks when, s
    sound: Sound
    channels: dict[str, int] = field(default_factory=dict)  #: of each speaker, where each has one; else all share it

    @property
    def apart(self) -> bool:
        """Whether each speaker has a channel, in which nobody else is heard."""
        return bool(self.channels)

    def notes(self) -> tuple[str, ...]:
        """What people should know of it."""
        if not self.annotation:
            return ("no speech was found",)
        if self.apart:
            told = ", ".join(f"{speaker} in channel {channel + 1}" for speaker, channel in self.channels.items())
            return (f"each party has a channel of its own: {told}",)
        return ()


def summary(voices: Voices) -> dict[str, Any]:
    """Durations (s), for people and JSON: ``speech`` is when anybody speaks, ``overlap`` when several do."""
    annotation = voices.annotation
    said = {str(label): round(annotation.label_timeline(label).duration(), 3) for label in annotation.labels()}
    return {
        "duration": round(voices.sound.duration, 3),
        "speech": round(annotation.get_timeline().support().duration(), 3),
        "overlap": round(annotation.get_overlap().duration(), 3),
        "speakers": said,
        "notes": [*voices.sound.notes, *voices.notes()],
    }


def told(sound: Sound, annotation: Annotation) -> Voices:
    """Who speaks when, where that is known (s); what lies beyond the recording is left out."""
    from pyannote.core import Segment

    return Voices(annotation.crop(Segment(0, sound.duration)), sound.mixed())


def voices(sound: Sound, diarizer: Diarizer, speakers: int | None = None) -> Voices:
    """Find who speaks when.

    Where each channel holds one party, voice activity in each tells all but what is heard of the others, which goes by
    level, and the parties are labelled in the order of the channels. Other recordings are diarized as the mean of their
    channels.

    Args:
        sound: the recording.
        diarizer: by :func:`emodag.diarization.base.create`.
        speakers: how many there are; None to let the diarizer find out. Channels are taken for parties only where as
            many speakers are expected.
    """
    from pyannote.core import Annotation

    from emodag.diarization.base import speaker_name
    from emodag.diarization.tracks import separate_tracks, without_crosstalk

    channels = sound.pcm.shape[1]
    if channels > 1 and speakers in (None, channels) and separate_tracks(sound.pcm):
        found = Annotation(uri=sound.name)
        speech = [diarizer.diarize(sound.pcm[:, channel], speakers=1) for channel in range(channels)]
        heard_in = [each.get_timeline().support() for each in speech]
        for channel, segments in enumerate(without_crosstalk(sound.pcm, heard_in)):
            for segment in segments:
                found[segment, channel] = speaker_name(channel)
        heard = {speaker_name(channel): channel for channel in range(channels)}
        return Voices(found, sound, {speaker: heard[speaker] for speaker in found.labels()})
    # The same name, so that the channels are let go, unless the caller holds them.
    sound = sound.mixed()
    return Voices(diarizer.diarize(sound.pcm[:, 0], speakers=speakers, uri=sound.name), sound)
