"""Which runs `make results` makes, and what tells their rows apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from _checkout import ROOT
from emodag import params as parameters
from emodag.corpora import REGISTRY
from emodag.splits import CROSS_CORPUS

#: In place of a model: what validation speakers choose among all.
CHOSEN = "chosen"

#: What tells rows of ``metrics/results.json`` apart.
KEY = ("corpus", "protocol", "model", "adaptation", "encoder", "inputs", "cleaning", "copies", "members", "trained_on")

#: What the committed params do to every clip, and how many augmented copies of it train.
COMMITTED = parameters.load(ROOT / "params.yaml")
DEFAULT_CLEANING, DEFAULT_COPIES = tuple(COMMITTED.featurize.clean.steps), COMMITTED.augment.copies

#: Rows with other cleaning are told of apart: no summary shows them, and they are not chosen among.
SUMMARISED = (DEFAULT_CLEANING, ())


@dataclass(frozen=True)
class Setting:
    """One protocol on one set of corpora; each of the ``scored`` ones becomes a row."""

    scored: tuple[str, ...]
    protocol: str
    corpora: dict[str, str]

    @property
    def trained_on(self) -> list[str]:
        return [corpus for corpus, role in self.corpora.items() if role == "train"]


@dataclass(frozen=True)
class Run:
    """A run of the pipeline: a setting, a model, and what else differs from the committed params."""

    setting: Setting
    model: str
    adaptation: str = "none"
    inputs: str = "functionals"  #: which features models of clips see
    encoder: str = "none"  #: whose embeddings they see, if they see any
    cleaning: tuple[str, ...] = DEFAULT_CLEANING
    copies: int = DEFAULT_COPIES  #: augmented, of each training clip
    members: tuple[str, ...] = ()  #: of an ensemble that is not :data:`ENSEMBLE`

    @property
    def name(self) -> str:
        """As a DVC experiment."""
        setting = self.setting
        parts = ["_".join(setting.trained_on), setting.protocol, self.model, *self.members]
        parts += [self.encoder, self.inputs] if self.encoder != "none" else []
        parts += ["adapted"] if self.adaptation == "speaker" else []
        parts += ["_".join(self.cleaning) or "raw"] if self.cleaning != DEFAULT_CLEANING else []
        parts += [f"copies_{self.copies}"] if self.copies != DEFAULT_COPIES else []
        return re.sub(r"[^\w-]", "_", "-".join(parts))  # the name of a git reference

    def changes(self, encoder: Path | None) -> dict:
        """The params of this run, by dotted key; ``encoder`` is the file of runs that name one."""
        changes = {
            "corpora": self.setting.corpora,
            "calls": {},
            "train.protocol": self.setting.protocol,
            "model": self.model,
            "adaptation.by": self.adaptation,
            "featurize.clean.steps": list(self.cleaning),
            "augment.copies": self.copies,
            "train.inputs": self.inputs,
            # What follows changes no score; it would cost minutes a run.
            "train.keep_folds": False,
            "evaluate.robustness.clips": 0,
            "evaluate.matrix": False,
            "evaluate.importance.clips": 0,
            "evaluate.examples": 0,
        }
        if encoder:  # for all runs, so that features are computed once
            changes |= {"featurize.encoder.kind": "onnx", "featurize.encoder.model": str(encoder)}
        if self.model == "ensemble":
            seen = ("functionals", "embedding") if self.inputs == "all" else (self.inputs,)
            members = [
                {"model": model, "inputs": inputs}
                for inputs in seen
                for model in self.members or ENSEMBLE
                if model not in NETWORKS or inputs == "functionals"  # it sees frames: once is enough
            ]
            changes |= {"models.ensemble.members": members}
            # Networks and models of clips are not equally sure of themselves.
            changes |= {"models.ensemble.temperatures": "validation"} if self.members else {}
        if self.setting in LARGE and self.model in NETWORKS:
            changes |= {"train.neural.max_epochs": EPOCHS_ON_LARGE}
        return changes

    def row_keys(self) -> list[tuple]:
        """What tells its rows from others."""
        setting = self.setting
        told = [
            (corpus, setting.protocol if setting.corpora.get(corpus) != "test" else CROSS_CORPUS)
            for corpus in setting.scored
        ]
        about = (self.model, self.adaptation, self.encoder, self.inputs, self.cleaning, self.copies, self.members)
        return [(*each, *about, tuple(setting.trained_on)) for each in told]


def _alone(corpus: str, protocol: str) -> Setting:
    return Setting((corpus,), protocol, {corpus: "train"})


RAVDESS, EMODB, SAVEE = _alone("ravdess", "emobox"), _alone("emodb", "loso"), _alone("savee", "loso")
CREMA_D, TESS = _alone("crema_d", "speaker_kfold"), _alone("tess", "loso")
POOL = dict.fromkeys(("ravdess", "crema_d", "savee", "tess"), "train")
POOLED = Setting((*POOL, "emodb"), "speaker_kfold", POOL | {"emodb": "test"})
LEAKY = _alone("ravdess", "random")
ADAPTATIONS = ("none", "speaker")

ENSEMBLE = ("logistic", "lda")  # members, on functionals and, with an encoder, again on its embedding
#: A linear model, a perceptron and a network, each calibrated first: of all subsets of seven models, the one whose mean
#: was best on validation speakers of RAVDESS and EmoDB, without adaptation.
MIXED = ("lda", "mlp", "cnn_gru")
NETWORKS = ("cnn", "cnn2d", "lstm", "gru", "cnn_lstm", "cnn_gru", "attention", "multihead")
SMALL, LARGE = (RAVDESS, EMODB, SAVEE, TESS), (CREMA_D, POOLED)
#: Of networks, at most: of five to eight times as many clips, that is more steps than the 40 epochs of RAVDESS.
EPOCHS_ON_LARGE = 12

#: Models, on what, and whether what they see holds embeddings; the cheap ones first, so that a call that is cut short
#: leaves most rows. All networks would take days on the large corpora; SAVEE and TESS have four and two speakers, whose
#: intervals could not tell networks apart.
PLAN = (
    (("ensemble", "mlp"), SMALL, ("functionals", "all")),
    (("svm",), SMALL, ("functionals", "embedding")),
    (("logistic", "lda", "xgboost", "mlp_deep"), SMALL, ("functionals",)),
    (("svm",), LARGE, ("functionals", "embedding")),
    (("ensemble",), LARGE, ("functionals", "all")),
    (("mlp", "logistic", "lda", "mlp_deep", "xgboost"), LARGE, ("functionals",)),
    (NETWORKS, (RAVDESS, EMODB), ("functionals",)),
    (("cnn_gru",), (SAVEE, TESS, *LARGE), ("functionals",)),
)


@dataclass(frozen=True)
class Headline:
    """What others claim of a model on a random split of clips and augmented copies, audited on some folds of ours."""

    setting: Setting
    model: str
    claimed: str  #: accuracy, %
    folds: int
    epochs: int = 16  #: at most; networks that have not learnt their clips by heart by then get more

    @property
    def corpora(self) -> str:
        """The corpora as one, as the claim takes them."""
        return ", ".join(map(title, self.setting.trained_on))

    @property
    def told(self) -> dict:
        """What tells its row from others."""
        return {"corpora": self.corpora, "model": self.model, "epochs": self.epochs}

    def changes(self, encoder: Path | None) -> dict:
        """The params: such work does little that keeps a network from learning its clips by heart."""
        return Run(self.setting, self.model).changes(encoder) | {
            "train.refit": False,
            "train.neural.max_epochs": self.epochs,
            "train.neural.label_smoothing": 0.0,
            "train.neural.weight_decay": 0.0,
            "train.neural.spec_augment.time_masks": 0,
            "train.neural.spec_augment.column_masks": 0,
            f"models.{self.model}.dropout": 0.0,
        }


CLAIMS = (
    Headline(RAVDESS, "cnn2d", "70", 5),
    *(Headline(POOLED, model, "88.0 to 90.9", 1) for model in ("cnn", "attention")),
    *(Headline(POOLED, model, "88.0 to 90.9", 1, epochs=32) for model in ("cnn_lstm", "cnn_gru")),
    Headline(POOLED, "multihead", "88.0 to 90.9", 1, epochs=48),
)


def runs(encoder: Path | None) -> list[Run]:
    """All runs, in the order in which they are made."""

    def seen(inputs: str) -> dict[str, str]:
        """What a model sees, with the encoder that it takes."""
        return {"inputs": inputs, "encoder": encoder.stem if encoder and inputs != "functionals" else "none"}

    # What loudness is worth where all clips were recorded at one gain, what augmented copies are (on EmoDB's validation
    # speakers they help where nothing is adapted, and cost up to a point where it is), and what cleaning costs.
    wanted = [
        Run(setting, "ensemble", adaptation, **seen(inputs), cleaning=(), copies=copies)
        for setting, copies in ((RAVDESS, DEFAULT_COPIES), (EMODB, DEFAULT_COPIES), (EMODB, 0))
        for inputs in ("functionals", "all")
        for adaptation in ADAPTATIONS
    ]
    wanted += [Run(RAVDESS, "mlp", cleaning=steps) for steps in (("gate", "level"), ("denoise", "level"))]
    wanted += [
        Run(setting, "mlp", adaptation, cleaning=()) for setting in (*SMALL, *LARGE) for adaptation in ADAPTATIONS
    ]
    wanted += [
        Run(setting, model, adaptation, **seen(inputs))
        for models, settings, shown in PLAN
        for setting in settings
        for model in models
        for inputs in shown
        for adaptation in ADAPTATIONS
    ]
    wanted += [
        Run(setting, "ensemble", adaptation, **seen(inputs), members=MIXED)
        for inputs in ("functionals", "all")
        for setting in (RAVDESS, EMODB)
        for adaptation in ADAPTATIONS
    ]
    wanted += [Run(LEAKY, model) for model in ("mlp", "xgboost", "cnn2d")]
    return [run for run in wanted if run.inputs == "functionals" or run.encoder != "none"]


def key_of(row: dict) -> tuple:
    """What tells a row from others."""
    return tuple(tuple(row[name]) if isinstance(row[name], list) else row[name] for name in KEY)


def column_of(row: dict) -> tuple[str, str, tuple[str, ...]]:
    """Which of :data:`COLUMNS` it belongs to, if it is of one of them."""
    return row["corpus"], row["protocol"], tuple(row["trained_on"])


def is_shown(row: dict, column: tuple, adaptation: str, *, encoded: bool) -> bool:
    """Whether a row is of a column of the summaries, adapted so, and of models that see an encoder or not."""
    return (
        column_of(row) == tuple(column[:3])
        and (row["adaptation"], row["encoder"] != "none") == (adaptation, encoded)
        and tuple(row["cleaning"]) in SUMMARISED
    )


def title(corpus: str) -> str:
    """The name that the literature uses, which each title has in brackets."""
    return re.search(r"\(([^()]+)\)", REGISTRY[corpus].title)[1]


#: The columns of the summaries: what was tested, after which training -> their title.
COLUMNS = (
    ("ravdess", "emobox", ("ravdess",), "RAVDESS, 8 classes, EmoBox's 6 folds"),
    ("emodb", "loso", ("emodb",), "EmoDB, 7 classes, LOSO"),
    ("savee", "loso", ("savee",), "SAVEE, 7 classes, LOSO"),
    ("crema_d", "speaker_kfold", ("crema_d",), "CREMA-D, 6 classes, 5 folds by speaker"),
    ("tess", "loso", ("tess",), "TESS, 7 classes, one speaker on the other (both ways)"),
    ("emodb", CROSS_CORPUS, tuple(POOL), "EmoDB, 6 shared classes, trained on the four English corpora"),
)
#: Models of all four decide among all 8 classes; UAR is over those that the tested corpus has.
CLASSES = {"ravdess": 8, "crema_d": 6, "savee": 7, "tess": 7}
TOGETHER = tuple((corpus, "speaker_kfold", tuple(POOL), f"{title(corpus)}, {CLASSES[corpus]} of 8") for corpus in POOL)

#: What others report on RAVDESS, 8 classes, speaker-independent: what it is, parameters in millions that were
#: pretrained, UAR and where it is told.
PUBLISHED = (
    ("ResLSTM-SA, from scratch, mean of 10 runs on 5 folds of its own", 0, 0.623, "https://arxiv.org/abs/2606.03359"),
    ("WavLM-large, frozen", 317, 0.720, "https://arxiv.org/abs/2406.07162"),
    ("Whisper-large-v3, frozen", 1550, 0.753, "https://arxiv.org/abs/2406.07162"),
)
#: Parameters of encoders in millions, by the name of their file.
PARAMETERS = {"none": 0, "byol_s_512": 0.6}
