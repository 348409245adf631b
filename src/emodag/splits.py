"""The evaluation protocols: who trains, who validates and who is tested in each fold.

Every protocol yields one table (:data:`emodag.schema.FOLDS`) under the same rules:

- only original recordings are validated and tested; augmented copies train, and only where their parent trains;
- validation clips come from speakers held out of the training part, never from the test part;
- where speakers are to stand on one side, a corpus names all of them or none, since clips of which nobody knows who
  speaks may be of a voice that has a name elsewhere;
- audio that is byte-equal to a test clip neither trains nor validates in that fold, and what is byte-equal to a
  validation clip does not train, so that test parts stay complete.

A protocol that lets a speaker stand on both sides is leaky (:func:`is_leaky`); there, validation is by clips too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from emodag import schema
from emodag.adaptation import unnamed
from emodag.errors import DataError, ParamsError, did_you_mean
from emodag.params import Train

#: EmoBox (Ma et al., Interspeech 2024, arXiv 2406.07162): the speakers that each fold tests.
EMOBOX_SPEAKERS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "ravdess": (
            ("01", "11", "20", "21"),
            ("04", "10", "12", "14"),
            ("08", "09", "19", "23"),
            ("03", "05", "07", "24"),
            ("02", "15", "16", "18"),
            ("06", "13", "17", "22"),
        ),
        "savee": (("JE",), ("KL",), ("DC",), ("JK",)),
        "esd": (
            ("0005", "0011", "0016", "0018"),
            ("0012", "0014", "0015", "0019"),
            ("0003", "0004", "0006", "0009"),
            ("0007", "0008", "0013", "0020"),
            ("0001", "0002", "0010", "0017"),
        ),
    }
)

#: Corpora whose EmoBox folds list clips, the same speakers on both sides -> their names in EmoBox.
EMOBOX_CLIPS: Mapping[str, str] = MappingProxyType({"emodb": "emodb", "crema_d": "cremad", "tess": "tess"})

#: What :attr:`emodag.params.Train.emobox_folds` holds where it names a folder.
EMOBOX_FILE = "emobox_folds.json"

#: What scores are called of a corpus that is only ever tested, by a model that was trained on others.
CROSS_CORPUS = "cross_corpus"


def is_leaky(corpus: str, protocol: str) -> bool:
    """Whether the protocol lets speakers of the corpus stand on both sides of a fold."""
    return protocol == "random" or (protocol == "emobox" and corpus in EMOBOX_CLIPS)


def split(index: pd.DataFrame, train: Train, seed: int) -> pd.DataFrame:
    """The folds of a protocol over the clips of an index.

    Args:
        index: clips by :data:`emodag.schema.INDEX`, of one corpus or of several that train together.
        train: the protocol and its settings.
        seed: the same seed gives the same folds, whatever the order of the index.

    Returns:
        A table by :data:`emodag.schema.FOLDS`, sorted by fold and clip. A clip that a fold leaves out has no row there.

    Raises:
        DataError: the protocol cannot be carried out on these clips; the message says why and what would do.
        ParamsError: a param that the protocol needs is missing or names no usable file.
    """
    index = index.sort_values("clip_id", ignore_index=True)
    originals = index[index["parent_id"].isna()]
    if originals.empty:
        raise DataError(f"there is no recording to split: the index holds {len(index)} clips, none of them an original")
    _require_all_names_or_none(originals, train)
    tests = _PROTOCOLS[train.protocol](originals, train, seed)
    tables = [
        _fold(index, originals, tested, number, train, np.random.default_rng([seed, number]))
        for number, tested in tests.items()
    ]
    return schema.validate(pd.concat(tables), schema.FOLDS, "the folds")


def _require_all_names_or_none(originals: pd.DataFrame, train: Train) -> None:
    """Raise :class:`DataError` if speakers are to stand on one side and a corpus names those of some clips alone."""
    for corpus, clips in originals.groupby("corpus", sort=True):
        nobody = unnamed(clips)
        if not is_leaky(corpus, train.protocol) and nobody.any() and not nobody.all():
            raise DataError(
                f"train.protocol {train.protocol} is speaker-independent, and of {nobody.sum()} of the {len(clips)} "
                f"clips of {corpus} nobody knows who speaks, as {clips.loc[nobody, 'clip_id'].iloc[0]}: it may be "
                "somebody who is named elsewhere. Name their speakers, take these clips out of the corpus, or use "
                "train.protocol=random, which is leaky"
            )


def describe(folds: pd.DataFrame, index: pd.DataFrame, train: Train) -> str:
    """A line per fold with its parts and what it leaves out, and one for what EmoBox names and the data lack."""
    rows = folds.merge(index[["clip_id", "speaker"]], on="clip_id")
    counts = rows.groupby(["fold", "part"], sort=True)["speaker"].agg(["size", "nunique"])
    lines = []
    for fold in counts.index.unique("fold"):
        parts = [
            f"{part} {clips} clips of {speakers} speakers"
            for part in ("train", "validation", "test")
            if (fold, part) in counts.index
            for clips, speakers in [counts.loc[(fold, part)]]
        ]
        here = rows.loc[rows["fold"] == fold, "clip_id"]
        left_out = index.loc[~index["clip_id"].isin(here), "parent_id"].isna()
        line = f"fold {fold}: {', '.join(parts)}; left out: {(~left_out).sum()} copies of what is held out"
        if equal := left_out.sum():
            line += f", {equal} clips byte-equal to it"
        lines.append(line)
    if train.protocol == "emobox":
        for corpus, names in _emobox_absent(index, train).items():
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            lines.append(f"EmoBox's folds of {corpus} name {len(names)} that are not in the data: {shown}")
    return "\n".join(lines)


def _emobox_absent(index: pd.DataFrame, train: Train) -> dict[str, list[str]]:
    """What EmoBox's folds name and the clips of an index lack: corpus -> speakers or clips."""
    absent = {}
    for corpus, clips in index.groupby("corpus", sort=True):
        present = set(clips["clip_id"] if corpus in EMOBOX_CLIPS else clips["speaker"])
        named = {item for fold in _emobox_folds(corpus, train).values() for item in fold}
        if named - present:
            absent[corpus] = sorted(named - present)
    return absent


def _fold(
    index: pd.DataFrame,
    originals: pd.DataFrame,
    tested: np.ndarray,
    number: int,
    train: Train,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """One fold's rows, given which originals ``[originals]`` it tests."""
    test = originals[tested]
    rest = originals[~tested]
    validating = _validation(rest, train, rng)
    validation, training = rest[validating], rest[~validating]

    copies = index[index["parent_id"].notna()]
    test_audio = set(test["md5"])
    validation = validation[~validation["md5"].isin(test_audio)]
    forbidden = test_audio | set(validation["md5"])
    training = training[~training["md5"].isin(forbidden)]
    trains = copies["parent_id"].isin(set(training["clip_id"]))
    copies = copies[trains & ~copies["md5"].isin(forbidden)]
    if training.empty:
        cure = "name fewer in train.holdout, " if train.protocol == "holdout" else ""
        cure += "add speakers or a corpus, or choose another train.protocol"
        raise DataError(
            f"fold {number} of {train.protocol} has {len(test)} clips to test and none left to train on "
            f"({len(rest)} other clips, less those held out for validation and those with the same audio as held-out "
            f"ones); {cure}"
        )
    parts = {"train": [training, copies], "validation": [validation], "test": [test]}
    rows = [
        pd.DataFrame({"fold": number, "clip_id": clips["clip_id"], "part": part})
        for part, tables in parts.items()
        for clips in tables
    ]
    return pd.concat(rows).sort_values("clip_id")


def _speaker_kfold(originals: pd.DataFrame, train: Train, seed: int) -> dict[int, np.ndarray]:
    """Speakers dealt to folds one by one, balanced within each corpus and sex, then over corpora and clips."""
    speakers = _speakers(originals, train)
    if len(speakers) < train.folds:
        raise DataError(
            f"train.folds asks for {train.folds} folds by speaker and there are {len(speakers)} speakers "
            f"({', '.join(speakers['speaker'][:10])}{', ...' if len(speakers) > 10 else ''}); "
            f"at most {len(speakers)} folds are possible"
        )
    rng = np.random.default_rng([seed, 0])
    fold_of: dict[str, int] = {}
    clips = np.zeros(train.folds)
    for _, corpus in speakers.groupby("corpus", sort=True):
        in_corpus = np.zeros(train.folds)
        for _, stratum in corpus.groupby("sex", sort=True):
            in_stratum = np.zeros(train.folds)
            for row in rng.permutation(len(stratum)):
                speaker = stratum.iloc[row]
                chosen = np.lexsort((clips, in_corpus, in_stratum))[0]
                fold_of[speaker["speaker"]] = chosen + 1
                in_stratum[chosen] += 1
                in_corpus[chosen] += 1
                clips[chosen] += speaker["clips"]
    return _by_number(originals["speaker"].map(fold_of).to_numpy(), range(1, train.folds + 1))


def _loso(originals: pd.DataFrame, train: Train, _: int) -> dict[int, np.ndarray]:
    """Leave one speaker out: a fold per speaker."""
    speakers = _speakers(originals, train)["speaker"]
    return {number: (originals["speaker"] == speaker).to_numpy() for number, speaker in enumerate(speakers, start=1)}


def _random(originals: pd.DataFrame, train: Train, seed: int) -> dict[int, np.ndarray]:
    """Clips dealt to folds, balanced within each corpus and emotion. Leaky: speakers stand on both sides."""
    if len(originals) < train.folds:
        raise DataError(f"train.folds asks for {train.folds} folds and there are {len(originals)} clips")
    rng = np.random.default_rng([seed, 0])
    fold = np.zeros(len(originals), int)
    dealt = 0
    for rows in originals.groupby(["corpus", "emotion"], sort=True).indices.values():
        fold[rng.permutation(rows)] = (dealt + np.arange(len(rows))) % train.folds + 1
        dealt += len(rows)
    return _by_number(fold, range(1, train.folds + 1))


def _emobox(originals: pd.DataFrame, train: Train, _: int) -> dict[int, np.ndarray]:
    """EmoBox's published folds; fold n tests fold n of each corpus that has one, and trains on the rest."""
    fold = np.zeros(len(originals), int)
    for corpus in sorted(set(originals["corpus"])):
        column = "clip_id" if corpus in EMOBOX_CLIPS else "speaker"
        folds = _emobox_folds(corpus, train)
        number_of = {item: number for number, items in folds.items() for item in items}
        inside = (originals["corpus"] == corpus).to_numpy()
        numbers = originals.loc[inside, column].map(number_of)
        if column == "speaker" and numbers.isna().any():
            strangers = sorted(set(originals.loc[inside, column][numbers.isna()]))
            raise DataError(f"{corpus} has speakers that EmoBox's folds do not know: {', '.join(strangers)}")
        if numbers.isna().all():
            raise DataError(f"no clip that EmoBox's folds test is among the {inside.sum()} clips of {corpus}")
        fold[inside] = numbers.fillna(0)
    # A fold whose speakers a copy of the corpus lacks altogether (ESD's Mandarin half, say) tests nothing.
    return _by_number(fold, sorted(set(fold) - {0}))


def _holdout(originals: pd.DataFrame, train: Train, _: int) -> dict[int, np.ndarray]:
    """One fold, which tests the speakers that the params name."""
    speakers = _speakers(originals, train)["speaker"]
    if strangers := sorted(set(train.holdout) - set(speakers)):
        raise ParamsError(
            f"train.holdout: nobody is called {', '.join(strangers)}; the {len(speakers)} speakers of the train "
            f"corpora are {', '.join(speakers[:10])}{', ...' if len(speakers) > 10 else ''}"
            f"{did_you_mean(strangers[0], speakers)}"
        )
    return {1: originals["speaker"].isin(train.holdout).to_numpy()}


_PROTOCOLS = {
    "speaker_kfold": _speaker_kfold,
    "loso": _loso,
    "holdout": _holdout,
    "random": _random,
    "emobox": _emobox,
}


def _by_number(fold: np.ndarray, numbers: Iterable[int]) -> dict[int, np.ndarray]:
    return {int(number): fold == number for number in numbers}


def _speakers(originals: pd.DataFrame, train: Train) -> pd.DataFrame:
    """Each speaker's corpus, sex and number of clips, sorted.

    Raises:
        DataError: there is one speaker only, so a speaker-independent protocol has nobody to train on.
    """
    speakers = (
        originals.assign(sex=originals["sex"].fillna("unknown"))
        .groupby("speaker", sort=True)
        .agg(corpus=("corpus", "first"), sex=("sex", "first"), clips=("clip_id", "size"))
        .reset_index()
    )
    if len(speakers) == 1:
        raise DataError(
            f"train.protocol {train.protocol} is speaker-independent and needs at least two speakers; "
            f"{', '.join(sorted(set(originals['corpus'])))} has one ({speakers['speaker'][0]}). Add a corpus, or use "
            "train.protocol=random, which is leaky"
        )
    return speakers


def _emobox_folds(corpus: str, train: Train) -> dict[int, list[str]]:
    """Fold number -> the speakers (``<corpus>/<id>``) or clips (``<corpus>/<stem>``) that it tests."""
    if corpus in EMOBOX_SPEAKERS:
        folds = EMOBOX_SPEAKERS[corpus]
        return {number: [f"{corpus}/{name}" for name in names] for number, names in enumerate(folds, start=1)}
    if corpus not in EMOBOX_CLIPS:
        known = ", ".join([*EMOBOX_SPEAKERS, *EMOBOX_CLIPS])
        raise DataError(f"EmoBox has no folds for {corpus}; it has them for {known}. Use train.protocol=speaker_kfold")
    path = Path(train.emobox_folds)
    if path.is_dir():
        path /= EMOBOX_FILE
    if not path.exists():
        raise ParamsError(
            f"train.emobox_folds: {path}: no such file. EmoBox's folds of {corpus} list clips, too many to build in; "
            f'give a JSON that holds {{"corpora": {{"{EMOBOX_CLIPS[corpus]}": {{"folds": {{"1": {{"test_utterances": '
            "[stems]}}}}}, or use train.protocol=loso or speaker_kfold"
        )
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["corpora"][EMOBOX_CLIPS[corpus]]["folds"]
        folds = {int(number): [f"{corpus}/{stem}" for stem in fold["test_utterances"]] for number, fold in told.items()}
    except OSError as error:
        raise ParamsError(f"train.emobox_folds: {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParamsError(
            f"train.emobox_folds: {path} does not list clips under corpora.{EMOBOX_CLIPS[corpus]}.folds.<n>"
            f".test_utterances ({type(error).__name__}: {error})"
        ) from None
    if min(folds, default=1) < 1:
        raise ParamsError(f"train.emobox_folds: {path}: fold {min(folds)} of {corpus}; folds are numbered from 1")
    times = Counter(clip for clips in folds.values() for clip in clips)
    if twice := [clip for clip, count in times.items() if count > 1]:
        raise ParamsError(
            f"train.emobox_folds: {path}: {twice[0]} is tested more than once, as {len(twice)} clips of {corpus} are; "
            "each belongs to one fold"
        )
    return folds


def _validation(rest: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
    """Which of the clips that a fold does not test ``[rest]`` are held out for validation."""
    by_clip = rest["corpus"].map({corpus: is_leaky(corpus, train.protocol) for corpus in set(rest["corpus"])}).eq(True)
    held_speakers = _held_out_speakers(rest[~by_clip], train.validation, rng)
    held_clips = _held_out_clips(rest[by_clip], train.validation, rng)
    return (rest["speaker"].isin(held_speakers) & ~by_clip | rest["clip_id"].isin(held_clips)).to_numpy()


def _held_out_speakers(clips: pd.DataFrame, share: float, rng: np.random.Generator) -> set[str]:
    """A share of the speakers, at least one, in proportion to corpora and sexes.

    The last speaker of a corpus and the last who has some emotion keep training. A lone speaker is never held out, so
    a fold that trains on one speaker has no validation part.
    """
    if clips.empty:
        return set()
    counts = clips.pivot_table(index="speaker", columns="emotion", values="clip_id", aggfunc="size", fill_value=0)
    facts = clips.drop_duplicates("speaker").set_index("speaker")
    stratum_of = facts["corpus"] + "/" + facts["sex"].fillna("unknown")
    wanted = max(1, round(share * len(facts)))

    queues = {
        name: [group.index[row] for row in rng.permutation(len(group))]
        for name, group in stratum_of.sort_index().groupby(stratum_of, sort=True)
    }
    order = [list(queues)[row] for row in rng.permutation(len(queues))]
    quota = {name: wanted * len(queue) / len(facts) for name, queue in queues.items()}
    left = facts["corpus"].value_counts().to_dict()
    remaining = counts.sum()
    held: list[str] = []
    while len(held) < wanted and any(queues.values()):
        name = max((name for name in order if queues[name]), key=quota.__getitem__)
        speaker = queues[name].pop(0)
        corpus = facts.loc[speaker, "corpus"]
        if left[corpus] == 1 or (remaining - counts.loc[speaker] <= 0).any():
            continue
        held.append(speaker)
        quota[name] -= 1
        left[corpus] -= 1
        remaining = remaining - counts.loc[speaker]
    return set(held)


def _held_out_clips(clips: pd.DataFrame, share: float, rng: np.random.Generator) -> set[str]:
    """A share of the clips of each corpus and emotion, of which one at least keeps training; one clip at least."""
    groups = [group["clip_id"].to_numpy() for _, group in clips.groupby(["corpus", "emotion"], sort=True)]
    dealt = [rng.permutation(ids) for ids in groups]
    held = {clip for ids in dealt for clip in ids[: min(round(share * len(ids)), len(ids) - 1)]}
    if not held and dealt and len(largest := max(dealt, key=len)) > 1:
        held.add(largest[0])
    return held
