"""Which stretches of speech are one speaker's, and how many speakers there are."""

from __future__ import annotations

import numpy as np

#: The most speakers that are looked for where nobody says how many there are.
MOST_SPEAKERS = 10

# Added to the product of two embeddings: above zero, one speaker speaks in both.
OFFSET = -3.2
# How much the second to fourth speaker, and each further one, must raise the mean over all pairs: further ones have
# fewer pairs to themselves. Chosen with the offset on simulated conversations of one to three held-out training actors.
_EACH, _FURTHER = 0.1, 0.03
# Where nobody says how many there are, a speaker has at least so much speech (s): less is an outlier.
_LEAST_SPEECH = 1.0
_STARTS = 10


def cluster(embeddings: np.ndarray, durations: np.ndarray, speakers: int | None = None) -> np.ndarray:
    """The speaker of each stretch, numbered from 0 in the order of appearance.

    k-means for each number of speakers. Where the number is to be found out, it is the one with the best
    :func:`agreement`, of those that leave every speaker 1 s of speech.

    Args:
        embeddings: of :meth:`emodag.diarization.embedding.VoiceEncoder.embeddings`, ``[stretches, dimension]``.
        durations: seconds, ``[stretches]``.
        speakers: how many there are, or None to find out; never more than there are stretches.

    Returns:
        int64 ``[stretches]``.
    """
    if len(embeddings) == 0:
        return np.zeros(0, np.int64)
    if speakers is not None:
        return _in_order(_k_means(embeddings, durations, min(speakers, len(embeddings))))
    candidates = (_k_means(embeddings, durations, count) for count in range(1, min(MOST_SPEAKERS, len(embeddings)) + 1))
    best = max(
        (labels for labels in candidates if labels.max() == 0 or np.bincount(labels, durations).min() >= _LEAST_SPEECH),
        key=lambda labels: agreement(embeddings, durations, labels),
    )
    return _in_order(best)


def agreement(embeddings: np.ndarray, durations: np.ndarray, labels: np.ndarray) -> float:
    """How well labels agree with the log-odds of pairs, as in correlation clustering (Bansal et al. 2004).

    The sum of the log-odds over all pairs of different stretches of one label, over the number of all pairs, each pair
    weighted by the geometric mean of its durations; less a fixed amount for each speaker beyond the first.
    """
    roots = np.sqrt(durations)
    # Over pairs in both orders and each stretch with itself, which is then taken off: linear in the stretches.
    total = -float(np.sum(durations * (np.sum(np.square(embeddings), axis=1) + OFFSET)))
    speakers = np.unique(labels)
    for label in speakers:
        own = labels == label
        total += float(np.sum(np.square(roots[own] @ embeddings[own])) + OFFSET * roots[own].sum() ** 2)
    pairs = float(roots.sum() ** 2 - durations.sum())
    price = _EACH * min(len(speakers) - 1, 3) + _FURTHER * max(0, len(speakers) - 4)
    return total / max(pairs, 1e-9) - price


def _k_means(embeddings: np.ndarray, durations: np.ndarray, count: int) -> np.ndarray:
    if count == 1:
        return np.zeros(len(embeddings), np.int64)
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer distinct embeddings than clusters: digital copies of one sound.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(count, n_init=_STARTS, random_state=0).fit(embeddings, sample_weight=durations)
    return model.labels_.astype(np.int64)


def _in_order(labels: np.ndarray) -> np.ndarray:
    _, first, which = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which].astype(np.int64)
