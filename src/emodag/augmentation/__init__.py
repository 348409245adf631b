"""Training variants of a clip: a chain of transforms whose every drawn value is recorded."""

from emodag.augmentation.chain import augment, carry, replay
from emodag.augmentation.corpus import augment_corpus
from emodag.augmentation.recordings import Recordings

__all__ = ["Recordings", "augment", "augment_corpus", "carry", "replay"]
