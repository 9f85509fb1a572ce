"""Dataclasses for the settings of training, distillation and profiles. They are checked on construction."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from distillcse_kit.errors import KitError

Pooling = Literal["cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last"]
POOLINGS: tuple[str, ...] = get_args(Pooling)

Shuffle = Literal["none", "group_p", "group_mean", "fixed_groups", "rank_band"]
SHUFFLES: tuple[str, ...] = get_args(Shuffle)

Objective = Literal["distillation", "ranking_hinge"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)

Divergence = Literal["cross_entropy", "kl", "js"]
DIVERGENCES: tuple[str, ...] = get_args(Divergence)

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


def choose(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise KitError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise KitError(f"Unknown {name} {value!r}; choose one of {', '.join(choices)}.")


def _positive(settings: Any, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) > 0:
            raise KitError(f"{name} is {getattr(settings, name)}; it must be greater than 0.")


def _share(settings: Any, *names: str) -> None:
    for name in names:
        if not 0 < getattr(settings, name) <= 1:
            raise KitError(f"{name} is {getattr(settings, name)}; it must lie in (0, 1].")


@dataclass(frozen=True)
class TrainingSettings:
    """How any encoder of the kit is trained, teacher or student. The paper's settings are ``PAPER_TRAINING``.

    Attributes:
        base: encoder to start from: "micro" (comes with the kit), a model folder, or a hub name.
        pooling: how token states become a sentence embedding: the [CLS] state (as in the paper), the same without the
            training head, or the mean over tokens of the last layer, the last two, or the first and the last.
        head: train through a Linear + tanh head, which is dropped at evaluation; only the pooling cls has one.
        keep_head: keep that head at evaluation and in the saved model, as SimCSE's supervised models do; off in the
            paper. Without labelled pairs this can cost 20 points.
        temperature: temperature of the contrastive loss (tau, Eq 1), above 0; 0.05 in the paper.
        learning_rate: learning rate of the first step, above 0; it falls linearly to zero. In the paper 3e-5
            for BERT-base, and 1e-5 for BERT-large, RoBERTa-base and RoBERTa-large.
        steps: optimiser steps, 1 or more; 15,625 in the paper. Each epoch reads the corpus in a new order.
        batch_size: sentences in a batch (N), 1 or more; 64 in the paper.
        max_tokens: longest training sentence in word pieces, 3 or more; the rest is cut off. 32 in the paper.
            Evaluation does not use this limit.
        evaluate_every: steps from one dev score to the next, 1 or more; 125 in the paper. The best checkpoint is kept.
        mlm_weight: weight of the auxiliary masked-LM loss, 0 (off) or more. Of the words that it hides, 80% become
            [MASK], 10% a random word, and 10% stay, as in BERT.
        mlm_share: share of tokens that the masked-LM loss hides, above 0 and at most 1.
        gradient_clip: largest gradient norm, above 0; a larger gradient is scaled down to it.
        precision: number format; "auto" is bfloat16 on hardware that computes in it, else float32.
        dropout: share of the encoder's states that training drops at random, at least 0 and below 1. SimCSE's two
            views of a sentence differ by it alone. None keeps what the base's config says.
        fast: use the shortcuts of the package ``fast``; when off, everything is computed the plain way.
    """

    base: str = "micro"
    pooling: Pooling = "cls"
    head: bool = True
    keep_head: bool = False
    temperature: float = 0.05
    learning_rate: float = 4e-4
    steps: int = 150
    batch_size: int = 64
    max_tokens: int = 32
    evaluate_every: int = 50
    mlm_weight: float = 0.0
    mlm_share: float = 0.15
    gradient_clip: float = 1.0
    precision: Precision = "auto"
    dropout: float | None = None
    fast: bool = True

    def __post_init__(self) -> None:
        choose("pooling", self.pooling, POOLINGS)
        choose("precision", self.precision, PRECISIONS)
        _positive(self, "temperature", "learning_rate", "steps", "batch_size", "evaluate_every", "gradient_clip")
        _share(self, "mlm_share")
        if self.max_tokens < 3:
            raise KitError(f"max_tokens is {self.max_tokens}; [CLS], one word and [SEP] need at least 3.")
        if self.keep_head and not (self.head and self.pooling == "cls"):
            raise KitError(
                f"keep_head is on, but there is no head to keep with pooling {self.pooling} and head "
                f"{'on' if self.head else 'off'}; turn keep_head off, or train with pooling cls and head on."
            )
        if self.mlm_weight < 0:
            raise KitError(f"mlm_weight is {self.mlm_weight}; it must be 0 (off) or more.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise KitError(f"dropout is {self.dropout}; it must lie in [0, 1).")


@dataclass(frozen=True)
class DistillationSettings:
    """What a student learns from its teachers (Eq 2 to 7).

    Attributes:
        student_temperature: temperature of the student's softmax (tau_s, Eq 2), above 0; 0.02 in the paper.
        teacher_temperature: temperature of the teacher's softmax (tau_t, Eq 2), above 0; 0.01 in the paper.
        weight: weight of the distillation loss (lambda, Eq 3), above 0; 1 in the paper.
        distil_only: train on the distillation loss alone, without the contrastive loss.
        objective: what the student learns from: "distillation" (Eq 2), or the order of sampled pairs
            ("ranking_hinge", after a description of the authors' code; its numbers cannot be compared with theirs).
        divergence: how the distillation loss compares student and teacher; "cross_entropy" in the paper.
        shuffle: what is done to each row of the teacher's logits: nothing, Group-P shuffling (as in the paper), the
            mean of each Group-P group, shuffling inside groups of equal size, or shuffling one band of ranks.
        p: share of the probability in each group, above 0 and at most 1; 0.1 in the paper. Group-P and the group mean
            use it.
        group_temperature: temperature of the softmax that is cut into groups of p, above 0; 1 in the paper.
        group_size: logits in each group of "fixed_groups", 1 or more.
        band_start: first rank of "rank_band", 0 or more; rank 0 is the largest logit.
        band_end: rank at which "rank_band" ends, above its start; this rank itself stays in place.
        teacher_margin: a pair counts in the ranking hinge if its teacher probabilities differ by more than this, at
            least 0 and below 1.
        student_margin: margin by which the student's cosines should differ in the ranking hinge.
        pairs_per_row: pairs that the ranking hinge draws from each row, 1 or more.
    """

    student_temperature: float = 0.02
    teacher_temperature: float = 0.01
    weight: float = 1.0
    distil_only: bool = False
    objective: Objective = "distillation"
    divergence: Divergence = "cross_entropy"
    shuffle: Shuffle = "none"
    p: float = 0.1
    group_temperature: float = 1.0
    group_size: int = 6
    band_start: int = 0
    band_end: int = 12
    teacher_margin: float = 0.1
    student_margin: float = 0.05
    pairs_per_row: int = 16

    def __post_init__(self) -> None:
        choose("shuffle", self.shuffle, SHUFFLES)
        choose("divergence", self.divergence, DIVERGENCES)
        choose("objective", self.objective, OBJECTIVES)
        _positive(
            self,
            "student_temperature",
            "teacher_temperature",
            "group_temperature",
            "weight",
            "group_size",
            "pairs_per_row",
        )
        _share(self, "p")
        if not 0 <= self.band_start < self.band_end:
            raise KitError(f"The rank band {self.band_start}..{self.band_end} is empty; give 0 <= start < end.")
        if not 0 <= self.teacher_margin < 1:
            raise KitError(f"teacher_margin is {self.teacher_margin}; it must lie in [0, 1).")


# The paper's settings; where its authors' code differs, ``training.named_recipes.PRESETS`` has both.
PAPER_TRAINING = TrainingSettings(
    base="bert-base-uncased", learning_rate=3e-5, steps=15_625, batch_size=64, max_tokens=32, evaluate_every=125
)
PAPER_DISTILLATION = DistillationSettings(shuffle="group_p", p=0.1)

# The paper's four base encoders, by their names on the hub without the owner.
PAPER_LEARNING_RATES = {
    "bert-base-uncased": 3e-5,
    "bert-large-uncased": 1e-5,
    "roberta-base": 1e-5,
    "roberta-large": 1e-5,
}


def with_base(settings: TrainingSettings, base: str) -> TrainingSettings:
    """The settings with another base encoder.

    The paper has a learning rate for each of its four encoders. Settings with that of their base get that of the new
    one; any other learning rate stays.

    Args:
        settings: of a training.
        base: a hub name or a folder; the last part of its name says which encoder it is.

    Raises:
        KitError: the settings have the paper's learning rate, and the paper does not train the new base.
    """
    before, after = (PAPER_LEARNING_RATES.get(_encoder_of(name)) for name in (settings.base, base))
    if settings.learning_rate != before:
        return replace(settings, base=base)
    if after is None:
        raise KitError(
            f"The paper has no learning rate for {base}, only for {', '.join(PAPER_LEARNING_RATES)}; name one with the "
            "base: learning_rate in Python, --learning-rate of teach and distill."
        )
    return replace(settings, base=base, learning_rate=after)


def _encoder_of(base: str) -> str:
    return Path(base.partition("@")[0]).name.lower()


@dataclass(frozen=True)
class Profile:
    """How much work the course does: from minutes on a laptop's processor to the paper's own scale.

    Attributes:
        name: smoke, laptop or paper.
        training: settings of teachers and students alike; the seed comes from the recipe.
        distillation: temperatures, weight and p that the lessons start from.
        sentences: training sentences taken from the corpus, from its beginning.
        teachers: M, how many SimCSE teachers are trained (seeds 0, 1, ...).
        seeds: students trained per setting; every table shows mean and interval over them.
        dev_pairs, test_pairs: the largest number of pairs scored in each set; 0 means all of them.
        rounds: rounds of self-training.
        parallel: train independent runs side by side, in processes that share the cores.
        minutes: expected wall time of the course on two cores, or on a GPU for "paper".
    """

    name: str
    training: TrainingSettings
    distillation: DistillationSettings = field(default_factory=DistillationSettings)
    sentences: int = 40_000
    teachers: int = 16
    seeds: int = 5
    dev_pairs: int = 0
    test_pairs: int = 0
    rounds: int = 2
    parallel: bool = False
    minutes: int = 60

    def __post_init__(self) -> None:
        _positive(self, "sentences", "teachers", "seeds", "rounds")


PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        name="smoke",
        training=TrainingSettings(steps=24, evaluate_every=12),
        sentences=4_000,
        teachers=3,
        seeds=2,
        dev_pairs=300,
        test_pairs=300,
        minutes=4,
    ),
    "laptop": Profile(name="laptop", training=TrainingSettings(), parallel=True, minutes=40),
    "paper": Profile(
        name="paper",
        training=PAPER_TRAINING,
        distillation=PAPER_DISTILLATION,
        sentences=1_000_000,
        minutes=1_200,
    ),
}


def profile_named(name: str) -> Profile:
    """The profile with that name; a KitError lists the choices if there is none."""
    choose("profile", name, tuple(PROFILES))
    return PROFILES[name]


Settings = TypeVar("Settings", TrainingSettings, DistillationSettings, Profile)


def with_changes(settings: Settings, **changes: Any) -> Settings:
    """A copy with some fields changed; an unknown field is a KitError that lists the known ones."""
    known = {item.name for item in fields(settings)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise KitError(f"Unknown parameter {unknown[0]!r}; choose among {', '.join(sorted(known))}.")
    return replace(settings, **changes)


def as_json(settings: Any) -> dict[str, Any]:
    """The settings as plain values, for keys and run folders."""
    return asdict(settings)
