"""Training variants of a clip: a chain of transforms whose every drawn value is recorded."""

from emodag.augmentation.chain import augment, carry
from emodag.augmentation.corpus import augment_corpus

__all__ = ["augment", "augment_corpus", "carry"]
