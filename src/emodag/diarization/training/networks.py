"""The two networks as PyTorch modules, their losses, and their way to ONNX."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor, nn

from emodag.audio import SAMPLE_RATE
from emodag.diarization.embedding import DIMENSION, STATISTICS
from emodag.diarization.segmentation import CHUNK, CLASSES, SPEAKERS
from emodag.files import atomic_file

_MELS = 40


class LogMel(nn.Module):
    """Log-mel energies of a chunk, each band less its mean over the chunk: level and channel are left out.

    Power is raised by -50 dB of the chunk's mean, so that a telephone's empty bands are the same as anybody's quiet
    ones.
    """

    def __init__(self):
        super().__init__()
        from librosa.filters import mel

        bands = mel(sr=SAMPLE_RATE, n_fft=512, n_mels=_MELS, fmin=60, fmax=7600)
        self.register_buffer("mel", torch.tensor(bands.T.copy()))

    def forward(self, power: Tensor) -> Tensor:
        """``[chunks, steps, 257]`` to ``[chunks, steps, 40]``."""
        energy = power @ self.mel
        energy = torch.log(energy + 1e-5 * energy.mean((1, 2), keepdim=True) + 1e-8)
        return energy - energy.mean(1, keepdim=True)


class SegmentationNetwork(nn.Module):
    """Two convolutions to 25 steps a second, two bidirectional LSTM layers, and two frames of answers for each step."""

    def __init__(self, units: int = 80, channels: int = 64):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(_MELS, channels, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.BatchNorm1d(channels),
            nn.Conv1d(channels, channels, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.BatchNorm1d(channels),
        )
        self.lstm = nn.LSTM(channels, units, batch_first=True, bidirectional=True, num_layers=2)
        self.out = nn.Linear(2 * units, 2 * len(CLASSES))

    def forward(self, log_mel: Tensor) -> Tensor:
        """``[chunks, steps, 40]`` to log-probabilities ``[chunks, steps / 2, classes]``."""
        steps = self.conv(log_mel.transpose(1, 2)).transpose(1, 2)
        answers = self.out(self.lstm(steps)[0])
        return torch.log_softmax(answers.reshape(answers.shape[0], -1, len(CLASSES)), -1)


def _renumbered() -> Tensor:
    """Each class under each order of the speakers: int64 ``[orders, classes]``."""
    number = {members: index for index, members in enumerate(CLASSES)}
    return torch.tensor(
        [
            [number[tuple(sorted(order[speaker] for speaker in members))] for members in CLASSES]
            for order in permutations(range(SPEAKERS))
        ]
    )


_RENUMBERED = _renumbered()


def permutation_free_loss(log_probabilities: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy under whichever order of the speakers suits each chunk best (Fujita et al. 2019).

    Args:
        log_probabilities: ``[chunks, frames, classes]``.
        classes: int64 ``[chunks, frames]``.

    Returns:
        The mean over chunks, and each chunk's classes in that order, int64 ``[chunks, frames]``.
    """
    orders = _RENUMBERED[:, classes]
    losses = torch.stack([-log_probabilities.gather(2, each[..., None]).mean((1, 2)) for each in orders])
    lowest, which = losses.min(0)
    return lowest.mean(), orders[which, torch.arange(len(classes))]


class _Block(nn.Module):
    """A layer of a transformer, its normalisation first (Xiong et al. 2020)."""

    def __init__(self, dimension: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mixing = nn.LayerNorm(dimension), nn.LayerNorm(dimension)
        self.project, self.merge = nn.Linear(dimension, 3 * dimension), nn.Linear(dimension, dimension)
        self.mix = nn.Sequential(
            nn.Linear(dimension, 2 * dimension), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * dimension, dimension)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, voices: Tensor) -> Tensor:
        batch, count, dimension = voices.shape
        query, key, value = (
            part.reshape(batch, count, self.heads, -1).transpose(1, 2)
            for part in self.project(self.before_attention(voices)).chunk(3, dim=-1)
        )
        attention = torch.softmax(query @ key.transpose(-1, -2) * (dimension / self.heads) ** -0.5, dim=-1)
        heard = (self.dropout(attention) @ value).transpose(1, 2).reshape(batch, count, dimension)
        voices = voices + self.dropout(self.merge(heard))
        return voices + self.dropout(self.mix(self.before_mixing(voices)))


class VoiceNetwork(nn.Module):
    """From statistics of each stretch of speech to embeddings that know the other stretches of the recording.

    Emotion moves a voice further than most speakers lie apart, but within one conversation everybody's voice moves,
    and beside each other the movements can be told from the voices: that is what attention over all stretches is for.
    """

    def __init__(self, dimension: int = DIMENSION, heads: int = 4, dropout: float = 0.5):
        super().__init__()
        self.register_buffer("mean", torch.zeros(STATISTICS))
        self.register_buffer("deviation", torch.ones(STATISTICS))
        self.reduce = nn.Sequential(nn.Dropout(dropout), nn.Linear(STATISTICS, dimension))
        self.blocks = nn.Sequential(*[_Block(dimension, heads, 0.1) for _ in range(2)])
        self.scale = nn.Parameter(torch.tensor(6.0))
        self.offset = nn.Parameter(torch.tensor(-2.0))

    def forward(self, statistics: Tensor) -> Tensor:
        """``[conversations, stretches, statistics]`` to ``[conversations, stretches, dimension]``.

        The product of two embeddings, plus ``offset``, are the log-odds that one speaker speaks in both stretches.
        """
        voices = nn.functional.normalize(self.reduce((statistics - self.mean) / self.deviation), dim=-1) * 8
        voices = voices + self.blocks(voices)
        return nn.functional.normalize(voices, dim=-1) * torch.sqrt(self.scale)


def same_speaker_loss(embeddings: Tensor, offset: Tensor, speakers: Tensor) -> Tensor:
    """Binary cross entropy over all pairs of different stretches within each conversation.

    Args:
        embeddings: ``[conversations, stretches, dimension]``.
        offset: of the log-odds.
        speakers: int64 ``[conversations, stretches]``.
    """
    odds = embeddings @ embeddings.transpose(-1, -2) + offset
    same = (speakers[:, :, None] == speakers[:, None]).to(odds.dtype)
    pairs = ~torch.eye(speakers.shape[1], dtype=torch.bool)
    return nn.functional.binary_cross_entropy_with_logits(odds[:, pairs], same[:, pairs])


def export_segmentation(network: SegmentationNetwork, path: Path) -> None:
    """Write it as ONNX: ``power`` float32 ``[chunks, 1000, 257]`` to ``log_probabilities`` ``[chunks, 500, 7]``."""
    steps = CHUNK // 160
    _export(nn.Sequential(LogMel(), network), torch.rand(2, steps, 257), path, "power", "log_probabilities", "chunks")


def export_voices(network: VoiceNetwork, path: Path) -> None:
    """Write it as ONNX: ``statistics`` float32 ``[conversations, stretches, 1024]`` to ``embeddings``."""
    statistics = torch.rand(1, 20, STATISTICS)
    _export(network, statistics, path, "statistics", "embeddings", "conversations", "stretches")


def _export(module: nn.Module, example: Tensor, path: Path, given: str, answer: str, *free: str) -> None:
    axes = dict(enumerate(free))
    with atomic_file(path) as partial:
        # The exporter without `dynamo` needs no package beyond PyTorch.
        torch.onnx.export(
            module.eval(),
            (example,),
            str(partial),
            input_names=[given],
            output_names=[answer],
            dynamic_axes={given: axes, answer: axes},
            opset_version=17,
            dynamo=False,
        )
