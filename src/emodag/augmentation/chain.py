"""One variant of one clip: which transforms it gets, with which values, and where its speech then lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from emodag.augmentation.recordings import Recordings
from emodag.augmentation.transforms import Setting, applies, apply, draw, limit
from emodag.params import Transform

_NO_RECORDINGS = Recordings()


def augment(
    samples: np.ndarray,
    chain: Sequence[Transform],
    generator: np.random.Generator,
    recordings: Recordings = _NO_RECORDINGS,
) -> tuple[np.ndarray, list[Setting]]:
    """Draw a variant of a clip.

    Each transform of the chain is applied, in order, with its own probability and with values drawn uniformly from its
    range. Where chance would apply none, one whose probability is not 0 is chosen at random, so that a variant
    differs from its parent. What cannot change a clip (noise relative to silence, say) is left out.

    Args:
        samples: float32 ``[samples]`` at 16 kHz; not changed.
        chain: the transforms.
        generator: the source of every draw: the same state gives the same variant.
        recordings: the noises and impulse responses that the chain draws from.

    Returns:
        The variant, float32 ``[samples']`` within [-1, 1], and the settings of what was applied, in order. Wherever a
        transform exceeded full scale, a setting of the kind ``scale`` follows, with the ``db`` that it was turned down.
    """
    possible = [transform for transform in chain if applies(transform, samples)]
    chosen = [transform for transform in possible if generator.random() < transform.p]
    drawable = [transform for transform in possible if transform.p > 0]
    if not chosen and drawable:
        chosen = [drawable[generator.integers(len(drawable))]]
    settings = []
    variant = samples.astype(np.float32, copy=True)
    for transform in chosen:
        # An earlier transform may have left too little for this one.
        if not applies(transform, variant):
            continue
        settings.append(draw(transform, variant, generator, recordings))
        variant = apply(settings[-1], variant, recordings)
        if excess := limit(variant):
            settings.append(excess)
            variant = apply(excess, variant, recordings)
    return variant, settings


def replay(samples: np.ndarray, settings: Iterable[Setting], recordings: Recordings = _NO_RECORDINGS) -> np.ndarray:
    """The variant that :func:`augment` once made with these settings, bit for bit.

    Args:
        samples: its parent, float32 ``[samples]`` at 16 kHz.
        settings: as the manifest of the copies keeps them.
        recordings: the same as then.
    """
    variant = samples.astype(np.float32, copy=True)
    for setting in settings:
        variant = apply(setting, variant, recordings)
    return variant


def carry(
    spans: Iterable[tuple[float, float]], settings: Iterable[Setting], duration: float
) -> list[tuple[float, float]]:
    """Where stretches of a clip lie in its variant.

    Args:
        spans: start and end in the parent, in seconds.
        settings: what was applied to the parent.
        duration: of the parent, in seconds.

    Returns:
        Start and end in the variant, in seconds; what was moved out of it is left out.
    """
    spans = _inside(spans, duration)
    for setting in settings:
        match setting["kind"]:
            case "time_stretch" | "speed":
                duration /= setting["rate"]
                spans = [(start / setting["rate"], end / setting["rate"]) for start, end in spans]
            case "time_shift":
                moved = setting["shift"] * duration
                spans = _inside([(start + moved, end + moved) for start, end in spans], duration)
    return spans


def _inside(spans: Iterable[tuple[float, float]], duration: float) -> list[tuple[float, float]]:
    clipped = ((max(0.0, start), min(duration, end)) for start, end in spans)
    return [(start, end) for start, end in clipped if end > start]
