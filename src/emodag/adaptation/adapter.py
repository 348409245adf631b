"""Normalisation of all that a model sees of clips, as one thing that is fitted, applied and kept with the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from emodag.adaptation.features import Normaliser
from emodag.adaptation.frames import FrameNormaliser
from emodag.adaptation.groups import Groups
from emodag.errors import DataError
from emodag.params import Adaptation
from emodag.speech import Speech

_PARTS = ("features", "frames", "embedding_frames")


@dataclass(frozen=True)
class Adapter:
    """The normaliser of each part of speech that a model sees; made by :meth:`fit`."""

    settings: Adaptation
    features: Normaliser | None = None
    frames: FrameNormaliser | None = None
    embedding_frames: FrameNormaliser | None = None

    @classmethod
    def fit(cls, speech: Speech, groups: Groups, settings: Adaptation) -> Self:
        """Learn the statistics of training clips, augmented copies left out.

        Args:
            speech: the training clips.
            groups: of these clips.
            settings: the section ``adaptation`` of the params.

        Raises:
            DataError: there is no original clip; or ``recording`` finds no functionals among the names of features.
        """
        return cls(
            settings,
            None if speech.features is None else Normaliser.fit(speech.features, groups, settings, speech.names),
            *(
                None if sequences is None else FrameNormaliser.fit(sequences, groups, settings)
                for sequences in (speech.frames, speech.embedding_frames)
            ),
        )

    def __call__(self, speech: Speech, groups: Groups) -> Speech:
        """The clips as they are, or normalised.

        Args:
            speech: all clips that are known of the groups: their statistics come from here.
            groups: of these clips; they only matter to ``speaker``.
        """
        parts = {part: (getattr(self, part), getattr(speech, part)) for part in _PARTS}
        return replace(
            speech,
            **{
                part: normaliser(values, groups)
                for part, (normaliser, values) in parts.items()
                if normaliser is not None and values is not None
            },
        )

    def describe(self) -> dict[str, Any]:
        """What a bundle keeps; :meth:`from_description` makes the same adapter of it, bit by bit."""
        parts = {part: getattr(self, part) for part in _PARTS}
        return self.settings.model_dump() | {
            part: normaliser.describe() for part, normaliser in parts.items() if normaliser is not None
        }

    @classmethod
    def from_description(cls, description: dict[str, Any], names: tuple[str, ...], columns: dict[str, int]) -> Self:
        """The adapter that :meth:`describe` described.

        Args:
            description: as JSON.
            names: of the features, if the model sees any.
            columns: how many ``frames`` and ``embedding_frames`` have, where the model sees them.

        Raises:
            DataError: a key is missing, unknown or holds what it cannot, or statistics do not fit what they are of.
        """
        given = dict(description)
        parts = {part: given.pop(part) for part in _PARTS if part in given}
        try:
            settings = Adaptation(**given)
            statistics = {
                part: tuple(np.array(values[key], np.float64) for key in ("mean", "std"))
                for part, values in parts.items()
            }
        except KeyError as error:
            raise DataError(f"adaptation has no {error}") from None
        except (TypeError, ValueError) as error:
            raise DataError(f"adaptation: {' '.join(str(error).split())}") from None
        sizes = ({"features": len(names)} if names else {}) | columns
        if parts.keys() != sizes.keys():
            raise DataError(f"adaptation describes {', '.join(parts) or 'nothing'}, the model sees {', '.join(sizes)}")
        for part, pair in statistics.items():
            _check(part, *pair, expected=sizes[part] if settings.by == "speaker" else 0)
        made: dict[str, Any] = {
            part: Normaliser.of(settings, *pair, names) if part == "features" else FrameNormaliser(settings, *pair)
            for part, pair in statistics.items()
        }
        return cls(settings, **made)


def _check(part: str, mean: np.ndarray, std: np.ndarray, *, expected: int) -> None:
    for key, values in (("mean", mean), ("std", std)):
        if values.shape != (expected,) or not np.isfinite(values).all():
            raise DataError(
                f"adaptation.{part}.{key}: {list(values.shape)} values, or some that are not finite; needed are "
                f"{expected} finite ones"
            )
    if not (std > 0).all():
        raise DataError(f"adaptation.{part}.std: {std.min()} is no standard deviation; all must be above 0")
