"""What the models see: frame features from one transform per clip, and functionals over them."""

from emodag.features.corpus import featurize_corpus
from emodag.features.extraction import ClipFeatures, FeatureNames, extract, names
from emodag.features.store import open_features

__all__ = ["ClipFeatures", "FeatureNames", "extract", "featurize_corpus", "names", "open_features"]
