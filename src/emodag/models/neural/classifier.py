"""Training one of the networks, and what comes of it."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any, Self

import numpy as np

from emodag.errors import DataError
from emodag.evaluation import confusion_matrix, unweighted_average_recall
from emodag.models.base import (
    Chosen,
    Clips,
    class_weights,
    require_every_class,
)
from emodag.models.graph import Graph
from emodag.models.neural import batches
from emodag.models.neural.blocks import Block, Flow, Logits
from emodag.models.neural.inputs import Frames, Inputs, Vectors
from emodag.models.neural.networks import NETWORKS
from emodag.models.neural.runtime import forget, keras_ready
from emodag.models.stopping import EarlyStopping
from emodag.params import EMBEDDING, Params
from emodag.params import Neural as Training
from emodag.speech import Speech

_SECONDS_BETWEEN_LOG_LINES = 30


class Neural:
    """One of :data:`~emodag.models.neural.networks.NETWORKS`, stopped early by validation loss.

    Its weights depend on the seed and the kind of machine alone, and not on the number of its cores.
    """

    def __init__(self, name: str, params: Params, *, classes: int, seed: int):
        self.name = name
        self.settings = getattr(params.models, name)
        self.training = params.train.neural
        self.weighting = params.train.class_weights
        self.device = params.compute.device
        self.classes = classes
        self.seed = seed
        self._groups = params.frame_groups(name)
        self._columns = _columns(self._groups, params)

    def fit(self, training: Clips, validation: Clips | None = None, chosen: Chosen | None = None) -> Self:
        """See :meth:`emodag.models.base.Classifier.fit`; ``epochs`` of AdamW are what is chosen.

        A refit, by what was ``chosen``, follows the same schedule of the learning rate and stops where the first did.

        Raises:
            DataError: a class has no training clip, or the loss is no number any more.
        """
        require_every_class(training.labels, self.classes)
        forget()
        with keras_ready(self.device):
            self._build(training.speech)
            self._train(training, validation, chosen["epochs"] if chosen else self.training.max_epochs)
        return self

    def predict_proba(self, speech: Speech) -> np.ndarray:
        """See :meth:`emodag.models.base.Classifier.predict_proba`."""
        with keras_ready(self.device):
            return self._predict(speech)

    def export_onnx(self, path: Path) -> None:
        """See :meth:`emodag.models.base.Classifier.export_onnx`; clips in a batch are of equal length."""
        graph = Graph()
        values = self._inputs.write(graph)
        for block in self._blocks:
            values = block.write(graph, values)
        graph.save(values, self.classes, path)

    def _build(self, speech: Speech) -> None:
        """A network with random weights, and inputs standardised as the training clips say."""
        import keras

        keras.utils.set_random_seed(self.seed)
        parts = [tuple(map(len, self._columns))] if self.name == "cnn2d" else []
        self._blocks: list[Block] = [*NETWORKS[self.name](self.settings, *parts), Logits(self.classes)]
        shortest = math.prod(block.stride for block in self._blocks)
        self._inputs: Inputs = Frames(self._columns, shortest) if self._groups else Vectors()
        self._inputs.fit(speech)
        given = self._inputs.keras()
        flow = Flow(*given)
        for block in self._blocks:
            flow = block(flow)
        self._network = keras.Model(given, flow.values)

    def _train(self, training: Clips, validation: Clips | None, epochs: int) -> None:
        settings = self.training
        rng = np.random.default_rng(self.seed)
        lengths = self._inputs.lengths(training.speech)
        targets = np.eye(self.classes, dtype=np.float32)[training.labels]
        targets *= class_weights(training.labels, self.classes, self.weighting)[:, None]
        self._compile()
        self.chosen, self.history = {"epochs": epochs}, []
        stopping = EarlyStopping(validation, settings.patience) if validation else None
        told = time.monotonic()
        for epoch in range(epochs):
            parts = batches.shuffled(lengths, settings.batch_size, rng)
            losses = []
            for number, rows in enumerate(parts):
                rate = learning_rate(settings, epoch + number / len(parts))
                self._network.optimizer.learning_rate = rate
                losses.append(self._step(training.speech, targets, rows, rng) * len(rows))
            row = {"loss": float(np.sum(losses) / len(lengths)), "learning_rate": rate}
            if not math.isfinite(row["loss"]):
                raise DataError(
                    f"{self.name}: training diverged in epoch {epoch + 1}, its loss is {row['loss']}; lower "
                    f"train.neural.learning_rate ({settings.learning_rate:g}) or train.neural.clip_norm "
                    f"({settings.clip_norm:g})"
                )
            self.history.append(row)
            if stopping is not None:
                probabilities = self._predict(validation.speech)
                if stopping.see(probabilities):
                    best = self._network.get_weights()
                row["validation_loss"] = stopping.loss
                row["validation_uar"] = _uar(probabilities, validation.labels)
                if stopping.over:
                    break
            if time.monotonic() - told >= _SECONDS_BETWEEN_LOG_LINES:
                told = time.monotonic()
                print(_progress(epoch + 1, epochs, row), file=sys.stderr, flush=True)
        if stopping is not None:
            self.chosen["epochs"] = stopping.best
            self._network.set_weights(best)
        self.held_out = stopping.held_out() if stopping else None

    def _compile(self) -> None:
        import keras

        optimizer = keras.optimizers.AdamW(
            self.training.learning_rate,
            weight_decay=self.training.weight_decay,
            global_clipnorm=self.training.clip_norm,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=self.training.label_smoothing)
        # XLA would compile anew for every length of a batch.
        self._network.compile(optimizer, loss, jit_compile=False)

    def _step(self, speech: Speech, targets: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> float:
        """One step of the optimizer; the loss of the batch before it."""
        settings = self.training
        batch, targets = self._inputs.batch(speech, rows), targets[rows]
        if settings.mixup:
            batch, targets = batches.mixup(batch, targets, settings.mixup, rng)
        if batch.mask is not None:
            batch = batches.spec_augment(batch, settings.spec_augment, self._inputs.groups, rng)
        weights = targets.sum(axis=1)
        return float(self._network.train_on_batch(batch.inputs, targets / weights[:, None], weights))

    def _predict(self, speech: Speech) -> np.ndarray:
        from scipy.special import softmax

        probabilities = np.empty((len(speech), self.classes), np.float32)
        for rows in batches.by_length(self._inputs.lengths(speech), self.training.batch_size):
            logits = np.asarray(self._network.predict_on_batch(self._inputs.batch(speech, rows).inputs), np.float32)
            probabilities[rows] = softmax(logits, axis=1)
        return probabilities


def learning_rate(settings: Training, epoch: float) -> float:
    """The learning rate after so many epochs: it rises over the warm-up, and then falls or stays.

    It falls along half a cosine that reaches 0 at ``max_epochs`` (Loshchilov and Hutter 2017, arXiv 1608.03983).
    """
    if epoch < settings.warmup:
        # The first batch learns something, too.
        return settings.learning_rate * max(epoch / settings.warmup, 1e-3)
    if settings.schedule == "constant":
        return settings.learning_rate
    passed = (epoch - settings.warmup) / max(settings.max_epochs - settings.warmup, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(passed, 1)))


def _columns(groups: tuple[str, ...], params: Params) -> list[tuple[str, ...]]:
    """The names of the columns of each group of stored frame features; none for the encoder's."""
    from emodag.features.extraction import names

    stored = names(params.featurize).frames
    return [stored[group] for group in groups if group != EMBEDDING]


def _uar(probabilities: np.ndarray, labels: np.ndarray) -> float:
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    return unweighted_average_recall(confusion)


def _progress(epoch: int, epochs: int, row: dict[str, Any]) -> str:
    line = f"epoch {epoch} of {epochs}: loss {row['loss']:.3f}"
    if "validation_uar" in row:
        line += f", validation loss {row['validation_loss']:.3f}, UAR {100 * row['validation_uar']:.1f} %"
    return line
