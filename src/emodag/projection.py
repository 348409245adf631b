"""Where clips lie among each other, as a map in two dimensions and as what their neighbours have in common.

A map by t-SNE (van der Maaten and Hinton 2008, JMLR 9) shows who is near whom; its distances between groups, its areas
and its axes mean nothing. So the shares of neighbours that are alike are counted in the space itself, beside chance.
"""

from __future__ import annotations

import numpy as np

from emodag.speech import Sequences, Speech

#: Principal components that neighbours are sought among: what lies beyond is mostly noise to distances.
_COMPONENTS = 50
_PERPLEXITY = 30.0
NEIGHBOURS = 10


def vectors_of(speech: Speech) -> np.ndarray:
    """One vector for each clip of what a model sees: float64 [clips, features].

    Features as they are; of frames, the mean and the standard deviation over the clip.
    """
    parts = [] if speech.features is None else [np.asarray(speech.features, np.float64)]
    for sequences in (speech.frames, speech.embedding_frames):
        if sequences is not None:
            parts.append(np.stack([_pooled(sequences, clip) for clip in range(len(sequences))]))
    return np.concatenate(parts, axis=1)


def some_of(corpora: np.ndarray, most: int) -> np.ndarray:
    """Positions of at most ``most`` clips, sorted: equally many of each corpus, spread evenly over its clips.

    Args:
        corpora: the corpus of each clip, [clips].
        most: how many are taken; at least as many as there are corpora.
    """
    corpora = np.asarray(corpora, str)
    names, sizes = np.unique(corpora, return_counts=True)
    left, chosen = min(most, len(corpora)), []
    # Smallest first: what a small corpus cannot give goes to the larger ones.
    for to_come, place in zip(range(len(names), 0, -1), np.argsort(sizes, kind="stable"), strict=True):
        share = min(int(sizes[place]), left // to_come)
        left -= share
        positions = np.flatnonzero(corpora == names[place])
        chosen.append(positions[np.linspace(0, len(positions) - 1, share).round().astype(int)])
    return np.unique(np.concatenate(chosen))


def principal(vectors: np.ndarray) -> np.ndarray:
    """The first principal components of vectors [clips, features], each feature standardised: [clips, at most 50]."""
    from sklearn.decomposition import PCA

    if len(vectors) < 2:
        return np.zeros((len(vectors), 1))
    spread = vectors.std(axis=0)
    standardised = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return PCA(min(_COMPONENTS, *vectors.shape), svd_solver="full").fit_transform(standardised)


def project(components: np.ndarray, seed: int) -> np.ndarray:
    """A map of points [clips, components]: float32 [clips, 2]; the same points and seed give the same map."""
    from sklearn.manifold import TSNE

    clips = len(components)
    if clips < 4:
        return np.zeros((clips, 2), np.float32)
    perplexity = min(_PERPLEXITY, (clips - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(components)


def shared_by_neighbours(components: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Of each clip's ten nearest others, the share with the clip's own label; and that of others drawn at random.

    Args:
        components: [clips, components].
        labels: anything that can be equal, [clips].
    """
    from sklearn.neighbors import NearestNeighbors

    clips = len(components)
    if clips < 2:
        return 1.0, 1.0
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, clips - 1), n_jobs=1).fit(components)
    nearest = neighbours.kneighbors(return_distance=False)
    _, codes, counts = np.unique(np.asarray(labels, str), return_inverse=True, return_counts=True)
    chance = float((counts * (counts - 1)).sum() / (clips * (clips - 1)))
    return float((codes[nearest] == codes[:, None]).mean()), chance


def _pooled(sequences: Sequences, clip: int) -> np.ndarray:
    frames = np.asarray(sequences[clip], np.float64)
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
