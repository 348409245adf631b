"""The two training loops."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from emodag.audio import SAMPLE_RATE
from emodag.augmentation import replay
from emodag.diarization.embedding import VoiceEncoder
from emodag.diarization.segmentation import power_spectrum
from emodag.diarization.training.mixtures import Clip, Mixer
from emodag.diarization.training.networks import (
    LogMel,
    SegmentationNetwork,
    VoiceNetwork,
    permutation_free_loss,
    same_speaker_loss,
)

_REPORT_EVERY = 200


def fit_segmentation(clips: dict[str, list[Clip]], steps: int, seed: int) -> SegmentationNetwork:
    """Train on batches of 24 chunks from a store of 5000, of which each step renews four.

    Making a chunk costs twice as much as learning from it, so each is seen six times on average.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    mixer, front, network = Mixer(clips, seed), LogMel(), SegmentationNetwork().train()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    seen: list[torch.Tensor] = []
    wanted: list[torch.Tensor] = []

    def renew(count: int) -> None:
        for _ in range(count):
            samples, classes = mixer.chunk()
            with torch.no_grad():
                features = front(torch.from_numpy(power_spectrum(samples))[None])[0].half()
            if len(seen) == 5000:
                place = int(generator.integers(5000))
                seen[place], wanted[place] = features, torch.from_numpy(classes)
            else:
                seen.append(features)
                wanted.append(torch.from_numpy(classes))

    renew(min(500, 24 * steps))
    losses = []
    for step in range(steps):
        _set_rate(optimizer, 2e-3, step, steps, warmup=150)
        renew(4)
        batch = generator.integers(len(seen), size=24)
        features = torch.stack([seen[index] for index in batch]).float()
        if generator.random() < 0.3:  # SpecAugment's mask over bands (Park et al. 2019)
            band, width = generator.integers(34), generator.integers(1, 6)
            features[:, :, band : band + width] = 0
        loss, _ = permutation_free_loss(network(features), torch.stack([wanted[index] for index in batch]))
        _step(optimizer, loss, network)
        losses.append(loss.item())
        if step % _REPORT_EVERY == _REPORT_EVERY - 1:
            print(f"segmentation {step + 1}: {np.mean(losses[-_REPORT_EVERY:]):.3f}", flush=True)
    return network.eval()


def fit_voices(clips: dict[str, list[Clip]], steps: int, seed: int) -> VoiceNetwork:
    """Train on conversations of 12 to 80 stretches of one to four speakers of one corpus over one kind of line."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    statistics, groups = _stretches(clips, generator)
    network = VoiceNetwork().train()
    network.mean.copy_(statistics.mean(0))
    network.deviation.copy_(statistics.std(0) + 1e-4)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    names = list(groups)
    chances = np.array([min(40, len(groups[name])) for name in names], float)
    losses = []
    for step in range(steps):
        _set_rate(optimizer, 1.5e-3, step, steps, warmup=50)
        length = int(generator.integers(12, 80))
        chosen, speakers = np.zeros((6, length), int), np.zeros((6, length), int)
        for row in range(len(chosen)):
            voices = list(groups[names[generator.choice(len(names), p=chances / chances.sum())]].values())
            count = min(len(voices), int(generator.choice((1, 2, 3, 4), p=(0.2, 0.45, 0.2, 0.15))))
            present = [voices[index] for index in generator.permutation(len(voices))[:count]]
            speakers[row] = generator.choice(count, length, p=generator.dirichlet(np.full(count, 6.0)))
            chosen[row] = [generator.choice(present[speaker]) for speaker in speakers[row]]
        loss = same_speaker_loss(network(statistics[chosen]), network.offset, torch.from_numpy(speakers))
        _step(optimizer, loss, network)
        losses.append(loss.item())
        if step % _REPORT_EVERY == _REPORT_EVERY - 1:
            print(f"voices {step + 1}: {np.mean(losses[-_REPORT_EVERY:]):.3f}", flush=True)
    return network.eval()


def _stretches(clips: dict[str, list[Clip]], generator: np.random.Generator) -> tuple[torch.Tensor, dict]:
    """Statistics of clips and parts of them, and their rows by corpus and line, then voice.

    Three of ten are played at another speed and count as another voice; half go through a telephone; half have noise.
    """
    import soxr

    encoder = VoiceEncoder()
    found, groups = [], defaultdict(lambda: defaultdict(list))
    row = 0
    for speaker in sorted(clips):
        sounds = []
        for clip in (clip for clip in clips[speaker] for _ in range(4)):
            samples, voice = clip.pcm.astype(np.float32) / 32768, speaker
            if generator.random() < 0.6 and len(samples) > SAMPLE_RATE // 2:
                length = min(len(samples), int(generator.uniform(0.35, 1.6) * SAMPLE_RATE))
                start = int(generator.integers(len(samples) - length + 1))
                samples = samples[start : start + length]
            if generator.random() < 0.3:
                speed = float(generator.choice((0.86, 1.16)))
                samples, voice = soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE / speed), f"{speaker} at {speed}"
            changes: list[dict] = []
            if generator.random() < 0.5:
                ratio, source = generator.uniform(8, 35), generator.choice(("white", "pink"))
                changes.append(
                    {"kind": "noise", "source": source, "snr": ratio, "seed": int(generator.integers(2**32))}
                )
            telephone = bool(generator.random() < 0.5)
            if telephone:
                changes.append({"kind": "telephone"})
            sounds.append(replay(samples, changes) if samples.any() else samples)
            groups[speaker.split("/")[0], telephone][voice].append(row)
            row += 1
        ends = np.cumsum([len(sound) for sound in sounds])
        places = list(zip(ends - [len(sound) for sound in sounds], ends, strict=True))
        found.append(encoder.statistics(np.concatenate(sounds), places))
    enough = {
        name: {voice: rows for voice, rows in voices.items() if len(rows) >= 6} for name, voices in groups.items()
    }
    return torch.from_numpy(np.concatenate(found)), {name: voices for name, voices in enough.items() if voices}


def _set_rate(optimizer: torch.optim.Optimizer, highest: float, step: int, steps: int, *, warmup: int) -> None:
    """Linear warm-up, then half a cosine down to nothing."""
    rate = highest * min(1, (step + 1) / warmup) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
    for group in optimizer.param_groups:
        group["lr"] = rate


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, network: torch.nn.Module) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
