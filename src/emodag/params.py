"""``params.yaml`` as typed, validated models: one section per stage, plus what several stages share.

Every stage loads the whole file, so a key that no stage reads is an error too, named with its place and with what is
accepted there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from emodag import layout
from emodag.errors import ParamsError, did_you_mean
from emodag.labels import CalmPolicy

Role = Literal["train", "test"]
Inputs = Literal["all", "functionals", "embedding"]
Pooling = Literal["mean_std", "max_plus_mean", "mean"]

#: What a model of frames names to see the frames of the pretrained encoder.
EMBEDDING = "embedding"

CorpusName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Speakers = Literal["auto"] | Annotated[int, Field(ge=1, le=20)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Protocol = Literal["speaker_kfold", "emobox", "loso", "holdout", "random"]
ClassWeights = Literal["balanced", "none"]


class Section(BaseModel):
    """A section of ``params.yaml``: immutable, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Synthesize(Section):
    """The embedded demo corpora."""

    speakers: int = Field(ge=10, le=40, description="speakers in each demo corpus, half of them female")
    takes: int = Field(ge=1, le=20, description="recordings of each emotion by each speaker")
    seed: int = Field(ge=0, lt=2**32, description="its own, so that repeating training with another keeps the data")


class Organize(Section):
    """What becomes of raw files. Clips outside these limits are rejected, with the reason."""

    min_duration: float = Field(gt=0, description="seconds")
    max_duration: float = Field(gt=0, description="seconds")
    silence_db: float = Field(lt=0, description="a clip whose peak lies below this level (dBFS) is silent")

    @model_validator(mode="after")
    def _ordered(self) -> Organize:
        if self.min_duration >= self.max_duration:
            raise ValueError(
                f"min_duration ({self.min_duration} s) must be less than max_duration ({self.max_duration} s)"
            )
        return self


class VoiceActivity(Section):
    """Hysteresis over silero-vad's speech probabilities."""

    onset: Fraction = Field(description="speech starts where the probability rises above this")
    offset: Fraction = Field(description="and ends where it falls below this")
    min_on: float = Field(ge=0, description="shorter speech is dropped; seconds")
    min_off: float = Field(ge=0, description="shorter pauses are filled; seconds")
    pad: float = Field(ge=0, description="speech is widened by this much at both ends; seconds")

    @model_validator(mode="after")
    def _hysteresis(self) -> VoiceActivity:
        if self.offset > self.onset:
            raise ValueError(f"offset ({self.offset}) must not exceed onset ({self.onset})")
        return self


class Diarize(Section):
    """Who speaks when."""

    backend: Literal["bundled", "pyannote"]
    speakers: Literal["one", "auto"] | Annotated[int, Field(ge=1, le=20)] = Field(
        description="'one' per clip (acted corpora), 'auto', or how many"
    )
    vad: VoiceActivity
    pipeline: str = Field(description="of the pyannote backend: a pretrained pipeline's name or folder")


class Noise(Section):
    """Noise at a signal-to-noise ratio drawn uniformly."""

    kind: Literal["noise"]
    p: Probability = Field(description="probability that the transform is applied")
    source: Literal["white", "pink", "recordings"] = Field(
        default="white", description="of the noise; `recordings`: a stretch of a file in augment.recordings/noise"
    )
    min_snr: float = Field(description="dB")
    max_snr: float = Field(description="dB")


class TimeStretch(Section):
    """Slower or faster at the same pitch; the whole clip is kept, so its length changes."""

    kind: Literal["time_stretch"]
    p: Probability
    # Below half speed the stretcher turns phases by a generator of its own that cannot be seeded.
    min_rate: float = Field(ge=0.5, le=4, description="below 1 is slower")
    max_rate: float = Field(ge=0.5, le=4)


class Speed(Section):
    """Played slower or faster: length and pitch change together, as on a tape."""

    kind: Literal["speed"]
    p: Probability
    min_rate: float = Field(ge=0.5, le=2, description="below 1 is slower and lower")
    max_rate: float = Field(ge=0.5, le=2)


class PitchShift(Section):
    """Higher or lower at the same speed."""

    kind: Literal["pitch_shift"]
    p: Probability
    min_semitones: float = Field(ge=-24, le=24)
    max_semitones: float = Field(ge=-24, le=24)


class TimeShift(Section):
    """The clip moved in time, silence filling the gap."""

    kind: Literal["time_shift"]
    p: Probability
    min_shift: float = Field(ge=-1, le=1, description="fraction of the clip's length")
    max_shift: float = Field(ge=-1, le=1)


class Echo(Section):
    """One delayed, weaker copy of the clip added to it."""

    kind: Literal["echo"]
    p: Probability
    min_delay: float = Field(gt=0, le=2, description="seconds")
    max_delay: float = Field(gt=0, le=2)
    min_db: float = Field(ge=-60, le=0, description="level of the echo beside the sound itself")
    max_db: float = Field(ge=-60, le=0)


class Reverb(Section):
    """A room: simulated, or measured as an impulse response."""

    kind: Literal["reverb"]
    p: Probability
    source: Literal["room", "recordings"] = Field(
        default="room", description="`recordings`: an impulse response from augment.recordings/impulse_responses"
    )
    min_rt60: float = Field(default=0.2, ge=0.1, le=3, description="seconds in which a simulated room decays by 60 dB")
    max_rt60: float = Field(default=0.6, ge=0.1, le=3)


class Gain(Section):
    """Louder or softer."""

    kind: Literal["gain"]
    p: Probability
    min_db: float = Field(ge=-60, le=60)
    max_db: float = Field(ge=-60, le=60)


class Telephone(Section):
    """A narrow-band call: 300 to 3400 Hz, sampled at 8 kHz, through the mu-law codec (ITU-T G.711)."""

    kind: Literal["telephone"]
    p: Probability


class Denoise(Section):
    """Noise reduction by spectral gating, as a device or a call centre applies it."""

    kind: Literal["denoise"]
    p: Probability
    min_strength: float = Field(ge=0, le=1, description="share by which noise is reduced")
    max_strength: float = Field(ge=0, le=1)


TRANSFORMS = (Noise, TimeStretch, Speed, PitchShift, TimeShift, Echo, Reverb, Gain, Telephone, Denoise)
Transform = Annotated[
    Noise | TimeStretch | Speed | PitchShift | TimeShift | Echo | Reverb | Gain | Telephone | Denoise,
    Field(discriminator="kind"),
]


class Augment(Section):
    """Training variants of each clip of the corpora whose role is ``train``."""

    copies: int = Field(ge=0, le=20, description="variants of each clip; 0 for none")
    chain: list[Transform]
    recordings: str = Field(
        min_length=1, description="the folder with noise/ and impulse_responses/, where the chain draws from them"
    )

    @model_validator(mode="after")
    def _ranges(self) -> Augment:
        for transform in self.chain:
            values = transform.model_dump()
            for key in values:
                low, high = key, f"max_{key.removeprefix('min_')}"
                if key.startswith("min_") and values[low] > values[high]:
                    raise ValueError(f"{transform.kind}: {low} ({values[low]}) exceeds {high} ({values[high]})")
        if self.copies and not self.chain:
            raise ValueError("copies are asked for, but the chain is empty: set copies to 0 or name transforms")
        if self.copies and not any(transform.p for transform in self.chain):
            raise ValueError("copies are asked for, but every p of the chain is 0: set copies to 0, or a p above 0")
        return self


class Clean(Section):
    """Optional cleaning of a clip before anything is computed from it."""

    steps: list[Literal["gate", "denoise", "level"]] = Field(description="in this order; [] for none")
    gate_db: float = Field(gt=0, le=120, description="the gate closes this far below the clip's loudest moment; dB")
    gate_window: float = Field(gt=0, le=1, description="of the envelope; seconds")
    denoise_strength: float = Field(ge=0, le=1, description="share by which noise is reduced")
    level_db: float = Field(ge=-60, le=-6, description="root mean square of a levelled clip; dB of full scale")

    @model_validator(mode="after")
    def _once(self) -> Clean:
        if len(set(self.steps)) < len(self.steps):
            raise ValueError(f"steps: {self.steps} names a step twice")
        return self


class FrameGroups(Section):
    """Which groups of frame features are computed and stored."""

    log_mel: bool
    mel: bool
    mfcc: bool
    mfcc_delta: bool
    mfcc_delta2: bool
    chroma: bool
    rms: bool
    zero_crossing_rate: bool
    band_energy_ratio: bool
    centroid: bool
    bandwidth: bool
    rolloff: bool
    flatness: bool
    flux: bool
    contrast: bool
    tonnetz: bool
    f0: bool
    intensity: bool
    hnr: bool
    formants: bool

    @model_validator(mode="after")
    def _any(self) -> FrameGroups:
        if not any(self.model_dump().values()):
            raise ValueError(f"at least one group of frames is needed: {', '.join(type(self).model_fields)}")
        return self


def _known_groups(groups: list[str]) -> list[str]:
    accepted = [*FrameGroups.model_fields, EMBEDDING]
    for group in groups:
        if group not in accepted:
            raise ValueError(
                f"{group!r} is no group of frames; accepted: {', '.join(accepted)}{did_you_mean(group, accepted)}"
            )
    if EMBEDDING in groups and len(groups) > 1:
        raise ValueError("embedding has frames of its own rate, so it stands alone; an ensemble joins it with others")
    return groups


class Statistics(Section):
    """Which functionals are computed over the frames of a clip."""

    mean: bool
    std: bool
    skewness: bool
    percentiles: list[Annotated[int, Field(ge=0, le=100)]] = Field(description="in percent; none if empty")
    range: bool = Field(description="from the lowest to the highest value")
    slope: bool = Field(description="of a line over time, per second")
    deltas: bool = Field(description="spread of the first difference and of the slopes over 5 and 17 frames")
    voiced: bool = Field(description="mean and std over the voiced frames alone")
    voice_quality: bool = Field(description="jitter and shimmer of the clip")
    rhythm: bool = Field(description="speech rate, voiced stretches, and pauses after the turns")

    @model_validator(mode="after")
    def _consistent(self) -> Statistics:
        if not any(self.model_dump().values()):
            raise ValueError(f"at least one statistic is needed: {', '.join(type(self).model_fields)}")
        if self.percentiles != sorted(set(self.percentiles)):
            raise ValueError(f"percentiles must ascend, each once; found {self.percentiles}")
        return self


class FrontEnd(Section):
    """The log-mel input of an ONNX encoder, as the encoder was trained on it; lengths in samples at 16 kHz."""

    n_fft: int = Field(ge=64, le=8192)
    win_length: int = Field(ge=64, le=8192)
    hop_length: int = Field(ge=16, le=8192)
    n_mels: int = Field(ge=8, le=256)
    fmin: float = Field(ge=0, description="Hz")
    fmax: float = Field(gt=0, le=8000, description="Hz")
    mean: float = Field(description="of the natural logarithm of the power; subtracted")
    std: float = Field(gt=0, description="of the same; divided by")

    @model_validator(mode="after")
    def _consistent(self) -> FrontEnd:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length ({self.win_length}) must not exceed n_fft ({self.n_fft})")
        if self.win_length % 2:
            raise ValueError(f"win_length ({self.win_length}) must be even, so that a frame has a centre")
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin ({self.fmin} Hz) must be less than fmax ({self.fmax} Hz)")
        return self


class Encoder(Section):
    """A frozen pretrained encoder whose embeddings are stored beside the other features."""

    kind: Literal["none", "onnx", "transformers"]
    model: str = Field(description="a file (onnx) or folder (transformers) in `folder`, a path, or a name on the hub")
    folder: str = Field(min_length=1, description="where local encoders lie; DVC watches it")
    layer: int | Literal["average"] = Field(
        description="of transformers: a hidden state (0 enters the first layer, -1 is the last) or `average`"
    )
    pooling: Pooling = Field(description="how the frames of a clip become its embedding")
    batch_seconds: float = Field(gt=0, description="audio in a batch of clips of like length")
    front_end: FrontEnd = Field(description="of onnx; transformers models bring their own")

    def below(self, root: Path) -> Encoder:
        """The same, with its folder found from any working directory; ``root`` is the checkout."""
        return self.model_copy(update={"folder": str(root / self.folder)})


class Featurize(Section):
    """What is computed of a clip. Lengths in samples at 16 kHz."""

    clean: Clean
    trim: bool = Field(description="only from the first speech to the last, after the turns")
    n_fft: int = Field(ge=64, le=8192)
    win_length: int = Field(ge=64, le=8192)
    hop_length: int = Field(ge=16, le=8192)
    n_mels: int = Field(ge=8, le=256)
    fmin: float = Field(ge=0, description="Hz")
    fmax: float = Field(gt=0, le=8000, description="Hz")
    top_db: float = Field(gt=0, le=120, description="log-mel reaches this far below the loudest band of a clip; dB")
    n_mfcc: int = Field(ge=2, le=128)
    band_split: float = Field(gt=0, lt=8000, description="of the band energy ratio; Hz")
    rolloff: Fraction = Field(description="share of the magnitude below the spectral rolloff")
    f0_min: float = Field(ge=40, description="Hz")
    f0_max: float = Field(le=1500, description="Hz")
    max_formant: float = Field(ge=3000, le=8000, description="formants are sought below it; Hz")
    frames: FrameGroups
    functionals: Statistics
    egemaps: bool = Field(
        description="the eGeMAPS functionals of the opensmile package, whose licence is research only"
    )
    encoder: Encoder

    @model_validator(mode="after")
    def _consistent(self) -> Featurize:
        for name in ("n_fft", "win_length"):
            if getattr(self, name) % 2:
                raise ValueError(f"{name} ({getattr(self, name)}) must be even, so that a frame has a centre")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length ({self.win_length}) must not exceed n_fft ({self.n_fft})")
        if self.hop_length > self.win_length:
            raise ValueError(f"hop_length ({self.hop_length}) must not exceed win_length ({self.win_length})")
        for low, high in (("fmin", "fmax"), ("f0_min", "f0_max")):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"{low} ({getattr(self, low)} Hz) must be less than {high} ({getattr(self, high)} Hz)")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc ({self.n_mfcc}) must not exceed n_mels ({self.n_mels})")
        return self


class Adaptation(Section):
    """By whose unlabelled speech features are normalised: nobody's, the clip's own frames, or all of a speaker's."""

    by: Literal["none", "recording", "speaker"]
    prior: float = Field(ge=0, description="clips; how many of its own outweigh the training statistics")


class Mlp(Section):
    """Multilayer perceptron on standardised functionals (scikit-learn)."""

    hidden: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="units of each hidden layer")
    alpha: float = Field(ge=0, description="L2 penalty")
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    max_epochs: int = Field(ge=1)
    patience: int = Field(ge=1, description="epochs without a better validation loss before training stops")


class Xgboost(Section):
    """Gradient-boosted trees on functionals."""

    max_rounds: int = Field(ge=1)
    patience: int = Field(ge=1, description="rounds without a better validation loss before boosting stops")
    max_depth: int = Field(ge=1, le=20)
    learning_rate: float = Field(gt=0, le=1)
    subsample: float = Field(gt=0, le=1)
    colsample_bytree: float = Field(gt=0, le=1)
    min_child_weight: float = Field(ge=0)
    reg_lambda: float = Field(ge=0)


class MlpDeep(Section):
    """Multilayer perceptron with several hidden layers on standardised features (Keras)."""

    hidden: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="units of each hidden layer")
    dropout: Share


class Svm(Section):
    """Support vector machine on standardised features, with probabilities (scikit-learn)."""

    kernel: Literal["linear", "rbf"]
    C: float = Field(gt=0, description="the larger, the less a clip may lie on the wrong side")
    gamma: Annotated[float, Field(gt=0)] | Literal["scale"] = Field(
        description="width of rbf; scale: 1 / (features * their variance)"
    )


class Logistic(Section):
    """Multinomial logistic regression on standardised features (scikit-learn)."""

    C: float = Field(gt=0, description="the smaller, the stronger the L2 penalty")


FrameInputs = Annotated[
    list[str],
    Field(min_length=1, description="groups of featurize.frames; or `embedding` alone, the encoder's frames"),
    AfterValidator(_known_groups),
]


class Lda(Section):
    """Linear discriminant analysis of standardised features (scikit-learn)."""

    shrinkage: Fraction = Field(description="of the covariance, towards a multiple of the identity")


class Cnn(Section):
    """Temporal convolutions over frames (Keras)."""

    groups: FrameInputs
    filters: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="of each block, which halves time")
    kernel: int = Field(ge=1, description="frames")
    dropout: Share


class Cnn2d(Section):
    """Convolutions over time and frequency of two channels, MFCC and log-mel (Keras)."""

    groups: ClassVar[tuple[str, ...]] = ("mfcc", "log_mel")

    stride: int = Field(ge=1, description="frames that are averaged before the first layer")
    filters: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="of each block, which halves both axes"
    )
    kernel: int = Field(ge=1, description="of both axes")
    dropout: Share


class Recurrent(Section):
    """A recurrent layer or several over frames (Keras)."""

    groups: FrameInputs
    stride: int = Field(ge=1, description="frames that are averaged before the first layer")
    units: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="of each layer and direction")
    dropout: Share


class CnnRecurrent(Section):
    """Temporal convolutions, then bidirectional recurrent layers (Keras)."""

    groups: FrameInputs
    filters: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="of each block, which halves time")
    kernel: int = Field(ge=1, description="frames")
    units: int = Field(ge=1, description="of each recurrent layer and direction")
    dropout: Share


class Multihead(CnnRecurrent):
    """Temporal convolutions, multi-head attention, then bidirectional recurrent layers (Keras)."""

    heads: int = Field(ge=1)


class Member(Section):
    """One model of an ensemble."""

    model: str
    inputs: Inputs = Field(description="what it sees, if it is a model of clips")


class Ensemble(Section):
    """The weighted mean of the probabilities of several models, each with its own section."""

    members: list[Member] = Field(min_length=2)
    temperatures: Literal["validation", "none"] = Field(
        description="members are made as sure of themselves as validation clips say, or left as they are"
    )
    weights: Literal["validation", "equal"] = Field(description="fitted to the validation clips, or all the same")


class Models(Section):
    """The settings of every model; ``model`` chooses one."""

    mlp: Mlp
    mlp_deep: MlpDeep
    svm: Svm
    logistic: Logistic
    lda: Lda
    xgboost: Xgboost
    cnn: Cnn
    cnn2d: Cnn2d
    lstm: Recurrent
    gru: Recurrent
    cnn_lstm: CnnRecurrent
    cnn_gru: CnnRecurrent
    attention: CnnRecurrent
    multihead: Multihead
    ensemble: Ensemble

    @model_validator(mode="after")
    def _consistent(self) -> Models:
        single = [name for name in type(self).model_fields if name != "ensemble"]
        for member in self.ensemble.members:
            if member.model not in single:
                raise ValueError(
                    f"ensemble.members: {member.model!r} is no model; accepted: {', '.join(single)}"
                    f"{did_you_mean(member.model, single)}"
                )
        return self


class SpecAugment(Section):
    """Masks over the frames of a clip while it trains (Park et al. 2019, arXiv 1904.08779)."""

    time_masks: int = Field(ge=0)
    time_share: Share = Field(description="the longest mask, as a share of the clip's frames")
    column_masks: int = Field(ge=0)
    column_share: Share = Field(description="the widest mask, as a share of a group's columns")


class Neural(Section):
    """How the Keras models are trained."""

    max_epochs: int = Field(ge=1)
    patience: int = Field(ge=1, description="epochs without a better validation loss before training stops")
    batch_size: int = Field(ge=1, description="clips of like length")
    learning_rate: float = Field(gt=0, description="the highest, of Adam")
    schedule: Literal["constant", "cosine"] = Field(description="of the learning rate, after the warm-up")
    warmup: int = Field(ge=0, description="epochs over which the learning rate rises")
    weight_decay: float = Field(ge=0, description="decoupled from the learning rate's gradient (AdamW)")
    clip_norm: float = Field(gt=0, description="gradients are scaled down to this norm")
    label_smoothing: Share
    mixup: float = Field(ge=0, description="alpha of the Beta distribution of weights; 0 for none")
    spec_augment: SpecAugment


class Train(Section):
    """Cross-validation."""

    protocol: Protocol
    folds: int = Field(ge=2, le=100, description="of speaker_kfold and random; the others have their own")
    holdout: list[str] = Field(description="speakers `<corpus>/<id>` whom holdout tests")
    validation: Fraction = Field(description="share of a training part's speakers held out for early stopping")
    refit: bool = Field(
        description="test and ship models trained again, with the validation speakers, as long as these found good"
    )
    seeds: int = Field(ge=1, le=100, description="how often models are trained, under seeds that follow each other")
    class_weights: ClassWeights = Field(description="balanced: every class weighs the same, however many clips it has")
    coverage: Fraction = Field(description="share of clips that the shipped model answers; the others are `unknown`")
    keep_folds: bool = Field(description="keep the model of each fold, which robustness and explanations ask")
    calm: CalmPolicy = Field(description="what becomes of 'calm', which only RAVDESS has")
    inputs: Inputs = Field(
        description="what models of clips see: functionals, the encoder's embedding, or all that is stored"
    )
    emobox_folds: str = Field(description="EmoBox's folds that list clips: a JSON file, or the folder that holds it")
    neural: Neural

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        if self.protocol == "holdout" and not self.holdout:
            raise ValueError("holdout: names no speaker; protocol holdout tests those named there, as [ravdess/01]")
        return self


class Robustness(Section):
    """What happens to the sound of tested clips before they are predicted once more."""

    clips: int = Field(ge=0, description="of each corpus, drawn evenly over emotions and speakers; 0 leaves it all out")
    noise: list[float] = Field(description="signal-to-noise ratios of white noise; dB")
    reverb: list[Annotated[float, Field(ge=0.1, le=3)]] = Field(description="reverberation times (RT60) of rooms; s")
    telephone: bool = Field(description="300 to 3400 Hz and mu-law at 8 kHz")
    gain: list[Annotated[float, Field(ge=-60, le=60)]] = Field(description="dB")

    @model_validator(mode="after")
    def _once(self) -> Robustness:
        for key in ("noise", "reverb", "gain"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: {values} names a value twice")
        return self


class Importance(Section):
    """How much UAR falls when the values of a group of features are dealt anew among tested clips."""

    clips: int = Field(ge=0, description="of all corpora together, drawn evenly over emotions and speakers; 0 for none")
    repeats: int = Field(ge=1, description="how often they are dealt anew")


class Evaluate(Section):
    """Scores."""

    confidence: Fraction = Field(description="of the intervals")
    resamples: int = Field(ge=100, description="bootstrap resamples over speakers")
    bins: int = Field(ge=2, le=100, description="of confidence, for the calibration error and its diagram")
    robustness: Robustness
    importance: Importance
    matrix: bool = Field(description="train on each corpus alone too and test on every other")
    examples: int = Field(ge=0, description="misclassified clips of each corpus that the report plays")
    explanations: int = Field(ge=0, description="how many of these, the surest, it explains")


class Simulation(Section):
    """What simulated conversations are like."""

    speakers: int = Field(ge=1, le=20, description="in each conversation")
    min_duration: float = Field(gt=0, description="seconds; the last turn may reach beyond what was drawn")
    max_duration: float = Field(gt=0, description="seconds")
    hold: Probability = Field(description="that after an utterance the same speaker goes on, after a pause")
    pause: float = Field(ge=0, description="between utterances of one speaker; mean, seconds")
    overlap: Probability = Field(description="that the next speaker starts before the last one ends")
    overlap_length: float = Field(gt=0, description="how long before; mean, seconds, at most half of either utterance")
    gap: float = Field(ge=0, description="between speakers otherwise; mean, seconds")
    persistence: Probability = Field(description="that a speaker's next utterance has the emotion of the last one")
    level_spread: float = Field(ge=0, description="speakers are louder or softer by up to this; dB")
    telephone: bool = Field(description="300 to 3400 Hz, sampled at 8 kHz, mu-law (ITU-T G.711)")
    min_snr: float | None = Field(description="speech to pink noise, dB; null for no noise")
    max_snr: float | None

    @model_validator(mode="after")
    def _ordered(self) -> Simulation:
        if self.min_duration > self.max_duration:
            raise ValueError(f"min_duration ({self.min_duration} s) must not exceed max_duration ({self.max_duration})")
        if (self.min_snr is None) != (self.max_snr is None):
            raise ValueError("min_snr and max_snr are both numbers or both null")
        if self.min_snr is not None and self.min_snr > self.max_snr:
            raise ValueError(f"min_snr ({self.min_snr} dB) must not exceed max_snr ({self.max_snr} dB)")
        return self


class Simulate(Section):
    """The embedded demo conversations."""

    conversations: int = Field(ge=1, le=100)
    seed: int = Field(ge=0, lt=2**32)
    conversation: Simulation


class Analyze(Section):
    """The emotions of a conversation over time."""

    pause: float = Field(ge=0, description="a speaker's shorter pauses do not end a turn, if nobody speaks in them; s")
    shortest: float = Field(gt=0, description="shorter speech is not judged; s")
    window: float = Field(ge=1, le=60, description="longer turns are judged in windows of this length; s")
    hop: float = Field(gt=0, description="from one window to the next, about; s")
    overlap: Probability = Field(description="where others speak during a greater share, nothing is judged")
    smoothing: float = Field(
        ge=0, description="how long a speaker's emotion tends to last; 0 takes each window for itself; s"
    )
    adaptation: Literal["call", "past", "none"] = Field(
        description="a model that adapts to speakers does so by all that each says, by what was said so far, or not"
    )
    turning: float = Field(ge=0, description="an emotion that lasts so long is a turning point; s of speech")

    @model_validator(mode="after")
    def _ordered(self) -> Analyze:
        if self.hop > self.window:
            raise ValueError(f"hop ({self.hop} s) must not exceed window ({self.window} s): speech would go unheard")
        if self.shortest > self.window:
            raise ValueError(f"shortest ({self.shortest} s) must not exceed window ({self.window} s)")
        return self


class Sphinx(Section):
    """CMU Sphinx, by the pocketsphinx package."""

    models: str = Field(
        description="a folder with a folder for each further language, as the SpeechRecognition package lays them out; "
        "empty for those that pocketsphinx brings"
    )


class Whisper(Section):
    """Whisper, by the faster-whisper package."""

    model: str = Field(min_length=1, description="a folder with a CTranslate2 model, or a name that is fetched once")
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["default", "int8", "float16", "float32"] = Field(description="in which the network computes")
    beam: int = Field(ge=1, le=20, description="hypotheses that are followed")
    threads: int = Field(ge=0, description="of the processor; 0 for as many as the library chooses")


class Transcribe(Section):
    """What is said."""

    backend: Literal["sphinx", "whisper", "none"]
    language: str = Field(
        pattern=r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*|auto)$",
        description="as en-US or de; `auto` lets whisper find out, piece by piece",
    )
    piece: float = Field(ge=2, le=60, description="longer speech is decoded in pieces, cut where it is softest; s")
    sphinx: Sphinx
    whisper: Whisper


class LanguageModel(Section):
    """An OpenAI-compatible endpoint that may write the interpretation."""

    base_url: str = Field(
        pattern=r"^(https?://\S+)?$", description="as http://127.0.0.1:8080/v1; empty: nothing leaves this machine"
    )
    model: str = Field(description="its name there")
    key_variable: str = Field(
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        description="the environment variable with the key; unset where none is asked",
    )
    timeout: float = Field(gt=0, le=600, description="for the whole answer; s")
    tokens: int = Field(ge=16, description="that the answer may have")

    @model_validator(mode="after")
    def _named(self) -> LanguageModel:
        if self.base_url and not self.model:
            raise ValueError(f"model: is empty; name the model that {self.base_url} shall use")
        return self


class Interpret(Section):
    """What a recording's emotions come to, in words."""

    change: float = Field(gt=0, le=2, description="of arousal or valence from the first to the last third that is told")
    valence: float = Field(ge=0, le=1, description="beyond which a voice counts as pleasant or unpleasant")
    sentiment: float = Field(gt=0, le=1, description="beyond which words count as positive or negative")
    examples: int = Field(ge=0, le=20, description="turns of each speaker that are told with their times")
    lines: int = Field(ge=0, description="turns whose words a language model is given, the most telling")
    llm: LanguageModel


class Compute(Section):
    """Where the work of a stage runs; ``device`` moves the last digits of networks, nothing else changes a result."""

    backend: Literal["local", "dask"]
    jobs: int = Field(ge=0, description="processes on this machine; 0 for one per core")
    device: Literal["auto", "cpu", "gpu"] = Field(description="for Keras models; auto takes a GPU where there is one")
    address: str = Field(description="of a Dask scheduler, as tcp://HOST:8786; empty starts a cluster on this machine")


class Job(Section):
    """What one recording may cost a service; a process that goes beyond is ended and replaced."""

    longest: float = Field(gt=0, description="of a recording; s")
    seconds: float = Field(gt=0, description="of the processor; by the clock, three times as long; s")
    memory: float = Field(ge=64, description="beyond what the process holds when idle; MB")


class Serve(Section):
    """The service that ``emodag serve`` starts."""

    token_variable: str = Field(
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        description="the environment variable with the bearer token that clients must send; unset or empty: none",
    )
    workers: int = Field(ge=1, le=64, description="processes that decode and judge clips")
    queue: int = Field(ge=0, description="recordings that wait for one of them; more are refused")
    wait: float = Field(gt=0, description="how long one waits before it is refused; s")
    uploads: int = Field(ge=1, description="at once; more are refused")
    largest: float = Field(gt=0, description="an upload; MB")
    upload: float = Field(gt=0, description="that an upload may take; s")
    stall: float = Field(gt=0, description="without a byte, until an upload or a live client is given up; s")
    clip: Job = Field(description="a recording that is judged as one clip")
    call: Job = Field(description="a recording that is analysed: turns, speakers, emotions over time")
    words: Job = Field(description="a clip that is transcribed and interpreted")
    writers: int = Field(ge=1, le=64, description="clips at once that are transcribed, each by a process of its own")
    calls: int = Field(ge=1, le=64, description="analysed at once, each by a process of its own")
    live: int = Field(ge=0, le=64, description="live clients at once, each with a process of its own")
    live_longest: float = Field(gt=0, description="that a live client is heard; s")

    def job(self, kind: Literal["clip", "words", "call", "live"]) -> Job:
        """What one job of a kind of worker may cost; of a live one, each block of samples."""
        return {"words": self.words, "call": self.call}.get(kind, self.clip)


class Tracking(Section):
    """MLflow."""

    experiment: str = Field(min_length=1)
    model: str = Field(
        pattern="^[^/:]*$", description="the shipped model's name in MLflow's registry; empty registers none"
    )


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: int = Field(ge=0, lt=2**32)
    corpora: dict[CorpusName, Role]
    calls: dict[CorpusName, Speakers]
    synthesize: Synthesize
    simulate: Simulate
    organize: Organize
    diarize: Diarize
    augment: Augment
    featurize: Featurize
    model: str
    models: Models
    adaptation: Adaptation
    train: Train
    evaluate: Evaluate
    analyze: Analyze
    transcribe: Transcribe
    interpret: Interpret
    serve: Serve
    compute: Compute
    tracking: Tracking

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        names = list(Models.model_fields)
        if self.model not in names:
            raise ValueError(
                f"model: {self.model!r} is no model; accepted: {', '.join(names)}{did_you_mean(self.model, names)}"
            )
        if "train" not in self.corpora.values():
            raise ValueError(
                f"corpora: none has the role 'train' (found: {dict(self.corpora) or 'no corpus'}); "
                "nothing could be trained"
            )
        if both := sorted(self.corpora.keys() & self.calls.keys()):
            raise ValueError(f"calls: {both[0]} is a corpus already; the folders of both lie side by side")
        if self.seed + self.train.seeds > 2**32:
            raise ValueError(
                f"seed: {self.seed} and the {self.train.seeds - 1} after it, as train.seeds asks, must be below 2**32"
            )
        for name in self.members():
            self._has_what_it_sees(name)
        of_clips = [name for name in self.members() if not self.frame_groups(name)]
        if of_clips and self.adaptation.by == "recording" and self.train.inputs == "embedding":
            raise ValueError(
                "adaptation.by: recording standardises a clip's functionals, and with train.inputs: embedding "
                f"{of_clips[0]} sees none; accepted: train.inputs functionals or all, or adaptation.by none or speaker"
            )
        return self

    def members(self) -> list[str]:
        """The model, or those that it is an ensemble of."""
        return [member.model for member in self.models.ensemble.members] if self.model == "ensemble" else [self.model]

    def frame_groups(self, model: str) -> tuple[str, ...]:
        """The groups of frames that a model sees, or ``embedding`` alone; none if it sees features of whole clips."""
        return tuple(getattr(getattr(self.models, model), "groups", ()))

    def _has_what_it_sees(self, model: str) -> None:
        if model == "cnn2d" and 2 ** (blocks := len(self.models.cnn2d.filters)) > self.featurize.n_mels:
            raise ValueError(
                f"models.cnn2d.filters: each of {blocks} blocks halves the bands, and featurize.n_mels has "
                f"{self.featurize.n_mels}; accepted: at most {self.featurize.n_mels.bit_length() - 1} blocks"
            )
        for group in self.frame_groups(model):
            if group == EMBEDDING and self.featurize.encoder.kind == "none":
                raise ValueError(f"models.{model}.groups: embedding needs an encoder; featurize.encoder.kind is none")
            if group != EMBEDDING and not getattr(self.featurize.frames, group):
                raise ValueError(f"models.{model} sees {group}, and featurize.frames.{group} is false")

    def changed(self, changes: Mapping[str, Any]) -> Params:
        """These params with other values under some dotted keys, validated as those of the file.

        Raises:
            ParamsError: a value is not accepted.
        """
        content = self.model_dump(mode="json")
        for key, value in changes.items():
            *sections, last = key.split(".")
            reduce(dict.__getitem__, sections, content)[last] = value
        return _validated(content)

    def with_role(self, role: Role) -> list[str]:
        """The corpora that have a role, in the order of the file."""
        return [name for name, its_role in self.corpora.items() if its_role == role]

    def flat(self) -> dict[str, Any]:
        """Every value under its dotted key, as MLflow and ``dvc params`` name them."""
        return flatten(self.model_dump(mode="json"))


def role_named(word: str) -> Role:
    """The role that a stage was given on its command line.

    Raises:
        ParamsError: there is no such role.
    """
    accepted = get_args(Role)
    if word not in accepted:
        raise ParamsError(f"{word!r} is no role; accepted: {', '.join(accepted)}{did_you_mean(word, accepted)}")
    return word


def speakers_named(word: str) -> int | None:
    """How many speak, as a stage was given it on its command line; None to find out.

    Raises:
        ParamsError: it is neither ``auto`` nor a number that is accepted.
    """
    if word != "auto" and not (word.isdecimal() and 1 <= int(word) <= 20):
        raise ParamsError(f"{word!r} speakers; accepted: auto, or a number from 1 to 20")
    return None if word == "auto" else int(word)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as one level of dotted keys; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


class _Loader(yaml.SafeLoader):
    """Reads numbers as YAML 1.2 does, which DVC writes: there ``1e-05`` is a number, and PyYAML takes it for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$", re.ASCII), list("-+.0123456789")
)


def parse(text: str | bytes) -> Any:
    """What the text of ``params.yaml`` or of another file of DVC holds, before it is validated.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, Loader=_Loader)


def load(path: str | Path = layout.PARAMS) -> Params:
    """Read and validate ``params.yaml``.

    Raises:
        ParamsError: the file is missing, is no YAML, or holds something that is not accepted; every fault is listed
            with its place, the value found and what is accepted.
    """
    path = Path(path)
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the root of the checkout") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected sections, found {type(content).__name__}")
    return _validated(content, f"{path}: ")


def _validated(content: dict[str, Any], told: str = "") -> Params:
    try:
        # As JSON, because only there do strict types let a mapping stand for a section and a whole number for a float.
        return Params.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise ParamsError("\n".join(f"{told}{_describe(fault)}" for fault in error.errors())) from None


def _describe(fault: dict[str, Any]) -> str:
    # Pydantic names the branches of a union in between; people know only the keys.
    parts = (str(part) for part in fault["loc"])
    place = ".".join(part for part in parts if not part.startswith(("[", "literal[", "constrained-")))
    value, message = fault.get("input"), fault["msg"].removeprefix("Value error, ")
    match fault["type"]:
        case "extra_forbidden":
            accepted = _keys_at(fault["loc"][:-1])
            return (
                f"{place}: unknown key; accepted here: {', '.join(accepted)}{did_you_mean(fault['loc'][-1], accepted)}"
            )
        case "missing":
            return f"{place}: this key is missing"
        case "value_error":
            return f"{place}: {message}" if place else message
        case "literal_error":
            return f"{place}: {value!r} is not accepted; accepted: {fault['ctx']['expected']}"
        case _:
            return f"{place}: {value!r}: {message[0].lower()}{message[1:]}"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at ``place`` accepts."""
    kinds = {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in TRANSFORMS}
    section: Any = Params
    for part in place:
        if part in kinds:
            section = kinds[part]
        elif isinstance(section, type) and part in section.model_fields:
            section = section.model_fields[part].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
