"""A recipe: everything that describes one teacher or student, before it is trained.

The rows of the paper's tables, the presets, the settings of an explorer and the runs of a command are all recipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from distillcse_kit.config import DistillationSettings, TrainingSettings, with_base
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import pairs_fingerprint
from distillcse_kit.store import key_of
from distillcse_kit.training.hidden_words import RULE
from distillcse_kit.training.model_names import encoder_name, run_key
from distillcse_kit.training.training_text import Corpus


@dataclass(frozen=True)
class Own:
    """The student of seed s learns from teacher s alone."""


@dataclass(frozen=True)
class First:
    """The mean of the first ``count`` teachers, seeds 0 to ``count`` - 1 (Eq 7 of the paper).

    Raises:
        KitError: ``count`` is below 1.
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise KitError(f"First({self.count}) names no teacher; give 1 or more.")


@dataclass(frozen=True)
class These:
    """The mean of the teachers named here.

    Attributes:
        models: recipes, run folders, or any other encoders (model folders or hub names).
        weights: one for each model, 0 or more; None gives all of them the same weight.

    Raises:
        KitError: no model, a model named twice, or a number of weights that does not match.
    """

    models: tuple[Recipe | str, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise KitError("A student needs at least one teacher.")
        names = [_spelled(model) for model in self.models]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise KitError(
                f"The teacher {twice} is named twice; name it once, and give it a larger weight to count it more."
            )
        if self.weights is not None and len(self.weights) != len(self.models):
            raise KitError(f"Give one weight per teacher: {len(self.models)} weights instead of {len(self.weights)}.")


Teachers = Own | First | These


@dataclass(frozen=True)
class Inputs:
    """What a run depends on besides its recipe, as fingerprints.

    Attributes:
        corpus: fingerprints of the training sentences and their partners. sentences: how many there are.
        dev: {"name", "fingerprint", "pairs"} of the pairs that choose the checkpoint.
        teacher: training settings of the teachers that ``Own`` and ``First`` stand for.
        known: names of teachers found so far, by their recipe and the name of their base.
    """

    corpus: str
    sentences: int
    dev: Mapping[str, Any]
    teacher: TrainingSettings = field(default_factory=TrainingSettings)
    known: dict[tuple[Recipe, str], str] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, corpus: Corpus, dev: SentencePairs, teacher: TrainingSettings | None = None) -> Inputs:
        """The inputs of runs on this corpus, with these dev pairs."""
        about = {"name": dev.name, "fingerprint": pairs_fingerprint(dev), "pairs": len(dev)}
        return cls(corpus.identity, len(corpus), about, teacher or TrainingSettings())


# Settings that the first stores did not have: at these values, keys are as they were.
_LATER: dict[str, Any] = {"fast": True, "dropout": None, "keep_head": False}


@dataclass(frozen=True)
class Recipe:
    """One teacher or student, described before it is trained.

    | field        | what it says                                             | a SimCSE teacher          |
    |--------------|----------------------------------------------------------|---------------------------|
    | training     | base encoder, steps, learning rate, batch size, ...      | ``TrainingSettings()``    |
    | distillation | temperatures, lambda, shuffling: Eq 2 to 6 of the paper  | None                      |
    | teachers     | ``Own()``, ``First(m)`` or ``These((...))``: Eq 7        | not used                  |
    | seed         | order of sentences, dropout, head, shuffling             | 0, 1, ...                 |

    When to use it: to name the run you want; ``Laboratory.run(recipe)`` trains it, or loads it if the store has it.

    Reference: Xu et al., DistillCSE (Findings of EMNLP 2023), Eq 1 to 7.

    >>> teacher = Recipe(TrainingSettings(steps=100), seed=3)
    >>> student = teacher.changed(shuffle="group_p", p=0.1, teachers=First(4))
    >>> student.seed, student.distillation.p, student.teachers
    (3, 0.1, First(count=4))
    >>> teacher.is_student, student.is_student
    (False, True)

    Raises:
        KitError: the seed is negative.
    """

    training: TrainingSettings = field(default_factory=TrainingSettings)
    distillation: DistillationSettings | None = None
    teachers: Teachers = field(default_factory=Own)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise KitError(f"seed is {self.seed}; it must be 0 or more.")

    @property
    def is_student(self) -> bool:
        """Whether it has teachers; a SimCSE teacher has none."""
        return self.distillation is not None

    def changed(self, *, seed: int | None = None, teachers: Teachers | None = None, **settings: Any) -> Recipe:
        """A copy with some settings changed.

        Args:
            seed, teachers: None leaves them as they are.
            settings: fields of ``TrainingSettings`` or ``DistillationSettings``. A field of the latter turns a
                teacher into a student. A base without a learning rate is put in place as ``config.with_base`` does it.

        Raises:
            KitError: an unknown setting (the message lists all of them), a value out of range, or a base without a
                learning rate in the paper where the old base has one.
        """
        of_training = {item.name for item in fields(TrainingSettings)}
        of_distillation = {item.name for item in fields(DistillationSettings)}
        if unknown := sorted(set(settings) - of_training - of_distillation):
            known = ", ".join(sorted({"seed", "teachers"} | of_training | of_distillation))
            raise KitError(f"Unknown setting {unknown[0]!r}; choose among {known}.")
        training = {name: value for name, value in settings.items() if name in of_training}
        distillation = {name: value for name, value in settings.items() if name in of_distillation}
        changed = self.distillation
        if distillation:
            changed = replace(changed or DistillationSettings(), **distillation)
        before = self.training
        if "base" in training and "learning_rate" not in training:
            before = with_base(before, training["base"])
        return Recipe(
            replace(before, **training) if training else before,
            changed,
            self.teachers if teachers is None else teachers,
            self.seed if seed is None else seed,
        )

    @property
    def label(self) -> str:
        """What progress bars call its run."""
        return (
            f"teacher {self.seed}" if self.distillation is None else f"student {self.seed} {self.distillation.shuffle}"
        )

    def settings(self) -> dict[str, Any]:
        """Training and distillation as plain values, as keys and run folders hold them."""
        # ``compile`` was a setting of the first stores; keys keep it.
        training = asdict(self.training) | {"seed": self.seed, "compile": "auto"}
        for name, usual in _LATER.items():
            if training[name] == usual:
                del training[name]
        if training["mlm_weight"]:
            training["mlm_rule"] = RULE  # runs before this rule replaced all hidden words by [MASK]
        found: dict[str, Any] = {"training": training}
        return found if self.distillation is None else found | {"distillation": asdict(self.distillation)}

    def taught_by(self, teacher: TrainingSettings) -> tuple[Recipe | str, ...]:
        """Who teaches it: recipes or names of models; empty for a teacher.

        Args:
            teacher: training settings of the teachers that ``Own`` and ``First`` stand for.
        """
        if not self.is_student:
            return ()
        if isinstance(self.teachers, These):
            return self.teachers.models
        seeds = [self.seed] if isinstance(self.teachers, Own) else range(self.teachers.count)
        return tuple(Recipe(teacher, seed=seed) for seed in seeds)

    def weights(self, teacher: TrainingSettings) -> list[float]:
        """The weight of each model of ``taught_by``; they sum to 1.

        Raises:
            KitError: a negative weight, or all of them 0.
        """
        count = len(self.taught_by(teacher))
        given = self.teachers.weights if isinstance(self.teachers, These) else None
        weights = list(given) if given is not None else [1.0] * count
        if weights and (min(weights) < 0 or not sum(weights) > 0):
            raise KitError("The teachers' weights must be 0 or more, and not all 0.")
        return [weight / sum(weights) for weight in weights]

    def content(self, inputs: Inputs, teachers: list[dict[str, float | str]] | None = None) -> dict[str, Any]:
        """Everything that decides the result; its hash names the run's folder. No model is loaded for it.

        Args:
            inputs: corpus and dev pairs.
            teachers: names and weights, as ``TeacherEnsemble.describe`` gives them; None derives them from the recipe.
        """
        found = self.settings() | {
            "base": encoder_name(self.training.base),
            "corpus": {"fingerprint": inputs.corpus, "sentences": inputs.sentences},
            "dev": dict(inputs.dev),
        }
        if teachers is not None:
            found["teachers"] = teachers
        elif self.is_student:
            names = [teacher_name(model, inputs) for model in self.taught_by(inputs.teacher)]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise KitError(f"Two of the teachers are the same encoder ({twice}); name each one once.")
            found["teachers"] = [
                {"teacher": name, "weight": round(weight, 12)}
                for name, weight in zip(names, self.weights(inputs.teacher), strict=True)
            ]
        return found

    def key(self, inputs: Inputs) -> str:
        """The name of its run's folder: the same settings and inputs give the same key on every machine."""
        return key_of(self.content(inputs))


def teacher_name(model: Recipe | str, inputs: Inputs) -> str:
    """A teacher's name in keys: the key of a run; ``encoder_name`` of any other encoder.

    Raises:
        KitError: a hub model that cannot be reached.
    """
    if isinstance(model, str):
        return run_key(Path(model)) or encoder_name(model)
    # Hundreds of runs share teachers. A base folder that has changed since is another base, with another name.
    place = model, encoder_name(model.training.base)
    if place not in inputs.known:
        inputs.known[place] = model.key(inputs)
    return inputs.known[place]


def _spelled(model: Recipe | str) -> str:
    return repr(model) if isinstance(model, Recipe) else str(Path(model).resolve()) if Path(model).exists() else model
