"""``params.yaml`` as typed, validated models: one section per stage, plus what several stages share.

Every stage loads the whole file, so a key that no stage reads is an error too, named with its place and with what is
accepted there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emodag import layout
from emodag.errors import ParamsError, did_you_mean
from emodag.labels import CalmPolicy

Role = Literal["train", "test"]
CorpusName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]


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
    """White Gaussian noise at a signal-to-noise ratio drawn uniformly."""

    kind: Literal["noise"]
    p: float = Field(ge=0, le=1, description="probability that the transform is applied")
    min_snr: float = Field(description="dB")
    max_snr: float = Field(description="dB")


class TimeStretch(Section):
    """Slower or faster at the same pitch; the whole clip is kept, so its length changes."""

    kind: Literal["time_stretch"]
    p: float = Field(ge=0, le=1)
    # Below half speed the stretcher turns phases by a generator of its own that cannot be seeded.
    min_rate: float = Field(ge=0.5, le=4, description="below 1 is slower")
    max_rate: float = Field(ge=0.5, le=4)


class PitchShift(Section):
    """Higher or lower at the same speed."""

    kind: Literal["pitch_shift"]
    p: float = Field(ge=0, le=1)
    min_semitones: float = Field(ge=-24, le=24)
    max_semitones: float = Field(ge=-24, le=24)


class TimeShift(Section):
    """The clip moved in time, silence filling the gap."""

    kind: Literal["time_shift"]
    p: float = Field(ge=0, le=1)
    min_shift: float = Field(ge=-1, le=1, description="fraction of the clip's length")
    max_shift: float = Field(ge=-1, le=1)


Transform = Annotated[Noise | TimeStretch | PitchShift | TimeShift, Field(discriminator="kind")]


class Augment(Section):
    """Training variants of each clip of the corpora whose role is ``train``."""

    copies: int = Field(ge=0, le=20, description="variants of each clip; 0 for none")
    chain: list[Transform]

    @model_validator(mode="after")
    def _ranges(self) -> Augment:
        for transform in self.chain:
            low, high = (value for key, value in transform.model_dump().items() if key.startswith(("min_", "max_")))
            if low > high:
                raise ValueError(f"{transform.kind}: the lower bound {low} exceeds the upper bound {high}")
        if self.copies and not self.chain:
            raise ValueError("copies are asked for, but the chain is empty: set copies to 0 or name transforms")
        return self


class Featurize(Section):
    """One STFT per clip and what is computed from it. Lengths in samples at 16 kHz."""

    trim: bool = Field(description="only from the first speech to the last, after the turns")
    n_fft: int = Field(ge=64, le=8192)
    win_length: int = Field(ge=64, le=8192)
    hop_length: int = Field(ge=16, le=8192)
    n_mels: int = Field(ge=8, le=256)
    fmin: float = Field(ge=0, description="Hz")
    fmax: float = Field(gt=0, le=8000, description="Hz")
    top_db: float = Field(gt=0, le=120, description="log-mel reaches this far below the loudest band of a clip; dB")
    n_mfcc: int = Field(ge=2, le=128)

    @model_validator(mode="after")
    def _consistent(self) -> Featurize:
        for name in ("n_fft", "win_length"):
            if getattr(self, name) % 2:
                raise ValueError(f"{name} ({getattr(self, name)}) must be even, so that a frame has a centre")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length ({self.win_length}) must not exceed n_fft ({self.n_fft})")
        if self.hop_length > self.win_length:
            raise ValueError(f"hop_length ({self.hop_length}) must not exceed win_length ({self.win_length})")
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin ({self.fmin} Hz) must be less than fmax ({self.fmax} Hz)")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc ({self.n_mfcc}) must not exceed n_mels ({self.n_mels})")
        return self


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


class Models(Section):
    """The settings of every model; ``model`` chooses one."""

    mlp: Mlp
    xgboost: Xgboost


class Train(Section):
    """Cross-validation."""

    protocol: Literal["speaker_kfold", "emobox", "loso", "random"]
    folds: int = Field(ge=2, le=100, description="of speaker_kfold and random; emobox and loso have their own")
    validation: Fraction = Field(description="share of a training part's speakers held out for early stopping")
    calm: CalmPolicy = Field(description="what becomes of 'calm', which only RAVDESS has")
    emobox_folds: str = Field(description="EmoBox's folds that list clips: a JSON file, or the folder that holds it")


class Evaluate(Section):
    """Scores."""

    confidence: Fraction = Field(description="of the intervals")
    resamples: int = Field(ge=100, description="bootstrap resamples over speakers")


class Compute(Section):
    """Where the work of a stage runs; never changes a result."""

    jobs: int = Field(ge=0, description="processes; 0 for one per core")


class Tracking(Section):
    """MLflow."""

    experiment: str = Field(min_length=1)


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: int = Field(ge=0, lt=2**32)
    corpora: dict[CorpusName, Role]
    synthesize: Synthesize
    organize: Organize
    diarize: Diarize
    augment: Augment
    featurize: Featurize
    model: str
    models: Models
    train: Train
    evaluate: Evaluate
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
        return self

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


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as one level of dotted keys; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def load(path: str | Path = layout.PARAMS) -> Params:
    """Read and validate ``params.yaml``.

    Raises:
        ParamsError: the file is missing, is no YAML, or holds something that is not accepted; every fault is listed
            with its place, the value found and what is accepted.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the root of the checkout") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected sections, found {type(content).__name__}")
    try:
        # As JSON, because only there do strict types let a mapping stand for a section and a whole number for a float.
        return Params.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        faults = [_describe(fault) for fault in error.errors()]
        raise ParamsError("\n".join(f"{path}: {fault}" for fault in faults)) from None


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
    section: Any = Params
    for part in place:
        if part in {"noise", "time_stretch", "pitch_shift", "time_shift"}:
            kinds = {"noise": Noise, "time_stretch": TimeStretch, "pitch_shift": PitchShift, "time_shift": TimeShift}
            section = kinds[part]
        elif isinstance(section, type) and part in section.model_fields:
            section = section.model_fields[part].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
