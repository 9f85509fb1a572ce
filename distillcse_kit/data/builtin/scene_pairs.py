"""Pairs of scenes: the kinds of change that turn the first scene of a pair into the second."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from distillcse_kit.data.builtin.lexicon import Concept, load_lexicon
from distillcse_kit.data.builtin.scenes import MAIN_WEIGHTS, MINOR_PENALTIES, Scene, sample_scene
from distillcse_kit.data.builtin.wording import Style, realise

SHORTEST, LONGEST = 5, 25  # words in a sentence

SPLITS = {"dev": 0, "test": 1}  # which of the five shares of all scenes; the corpus uses the other three


@cache
def families() -> dict[str, tuple[Concept, ...]]:
    """{family: its concepts, in the lexicon's order}."""
    members: dict[str, dict[str, Concept]] = {}

    def add(concepts: Sequence[Concept]) -> None:
        for concept in concepts:
            members.setdefault(concept.family, {}).setdefault(concept.id, concept)

    lexicon = load_lexicon()
    for topic in lexicon.topics:
        for line in topic.events:
            for concepts in (line.agents, line.actions, line.objects, line.means, line.places):
                add(concepts)
        for state in topic.states:
            for concepts in state:
                add(concepts)
        add(topic.reasons)
    for times in lexicon.times.values():
        add(times)
    add(lexicon.manners)
    add(lexicon.qualities)
    return {family: tuple(concepts.values()) for family, concepts in members.items()}


def sibling_of(concept: Concept, rng: random.Random) -> Concept | None:
    """A random other concept of the family, but not the opposite; None if there is none."""
    others = [other for other in families().get(concept.family, ()) if other.id not in (concept.id, concept.opposite)]
    return rng.choice(others) if others else None


def replace_roles(scene: Scene, roles: Sequence[str], rng: random.Random) -> Scene | None:
    """The scene with siblings in these roles; None if one of them has no sibling."""
    changed: dict[str, Any] = {role: sibling_of(getattr(scene, role), rng) for role in roles}
    if None in changed.values():
        return None
    other = replace(scene, **changed)
    return None if other.agent and other.object and other.agent.id == other.object.id else other


def _filled(scene: Scene, roles: Sequence[str]) -> list[str]:
    return [role for role in roles if getattr(scene, role)]


def _drop_details(scene: Scene, rng: random.Random) -> Scene | None:
    """The scene itself or, sometimes, the scene without one of its minor roles."""
    roles = _filled(scene, ("means", "place", "manner", "quality", "reason"))
    return replace(scene, **{rng.choice(roles): None}) if roles and rng.random() < 0.3 else scene  # type: ignore[arg-type]


def _change_details(scene: Scene, rng: random.Random) -> Scene | None:
    roles = _filled(scene, tuple(MINOR_PENALTIES))
    return replace_roles(scene, rng.sample(roles, min(len(roles), rng.choice((1, 1, 2)))), rng) if roles else None


def _change_main(scene: Scene, rng: random.Random, how_many: int) -> Scene | None:
    if scene.kind == "use":
        return None  # a tool and its purpose belong together
    roles = _filled(scene, tuple(MAIN_WEIGHTS))
    return replace_roles(scene, rng.sample(roles, how_many), rng) if len(roles) >= how_many else None


def _contradict(scene: Scene, rng: random.Random) -> Scene | None:
    """The scene negated, with the opposite action, with agent and object swapped, or with another number of agents."""
    options: list[Scene] = [replace(scene, negated=not scene.negated)] if not scene.reason else []
    if scene.action.opposite:
        opposites = [c for c in families()[scene.action.family] if c.id == scene.action.opposite]
        options += [replace(scene, action=opposite) for opposite in opposites] * 2
    if scene.agent and scene.object and scene.action.topic.startswith("mutual"):
        swapped = replace(scene, agent=scene.object, object=scene.agent)
        options += [replace(swapped, agent_count=scene.object_count, object_count=scene.agent_count)] * 6
    if scene.kind == "event" and scene.agent_count > 1:
        options.append(replace(scene, agent_count=rng.choice([n for n in range(2, 13) if n != scene.agent_count])))
    return rng.choice(options) if options else None


def _same_topic(scene: Scene, rng: random.Random) -> Scene | None:
    topic = next(topic for topic in load_lexicon().topics if topic.name == scene.topic)
    other = sample_scene(rng, topic)
    return other if other.action.id != scene.action.id else None


def _unrelated(scene: Scene, rng: random.Random) -> Scene | None:
    other = sample_scene(rng)
    return other if other.topic != scene.topic else None


def _lure(scene: Scene, rng: random.Random) -> Scene | None:
    """A scene of another topic with the same time, manner and counts: word overlap without a common meaning."""
    other = _unrelated(scene, rng)
    if other is None or scene.time is None or not (scene.kind == other.kind == "event"):
        return None
    shared = {role: getattr(scene, role) for role in ("time", "tense", "agent_count", "object_count", "negated")}
    if scene.manner and other.agent in _topic_people(other.topic):
        shared["manner"] = scene.manner
    return replace(other, **shared)


def _topic_people(name: str) -> tuple[Concept, ...]:
    return next(topic.people for topic in load_lexicon().topics if topic.name == name)


WORDING = ("alike", "free", "fresh")  # same choices; independent choices; other wordings and another form


@dataclass(frozen=True)
class PairKind:
    """A way to make the second scene from the first, its share of all pairs, and the chances of each of WORDING."""

    name: str
    share: float
    change: Callable[[Scene, random.Random], Scene | None]
    wording: tuple[float, float, float]


PAIR_KINDS = (
    PairKind("paraphrase", 0.20, _drop_details, (0.0, 0.7, 0.3)),
    PairKind("detail", 0.11, _change_details, (0.5, 0.5, 0.0)),
    PairKind("one main role", 0.10, lambda scene, rng: _change_main(scene, rng, 1), (0.3, 0.5, 0.2)),
    PairKind("two main roles", 0.12, lambda scene, rng: _change_main(scene, rng, 2), (0.3, 0.5, 0.2)),
    PairKind("three main roles", 0.08, lambda scene, rng: _change_main(scene, rng, 3), (0.5, 0.5, 0.0)),
    PairKind("contradiction", 0.04, _contradict, (0.5, 0.5, 0.0)),
    PairKind("same topic", 0.16, _same_topic, (0.5, 0.5, 0.0)),
    PairKind("lure", 0.12, _lure, (1.0, 0.0, 0.0)),
    PairKind("unrelated", 0.07, _unrelated, (0.3, 0.7, 0.0)),
)


def is_good_length(sentence: str) -> bool:
    """Whether the sentence has 5 to 25 words."""
    return SHORTEST <= len(sentence.split()) <= LONGEST


def _word_pair(first: Scene, second: Scene, seed: str, wording: str) -> tuple[str, str]:
    """Both scenes in words; ``wording``, one of WORDING, says how the second is worded."""
    style = Style(seed)
    sentence = realise(first, style)
    if wording == "alike":
        return sentence, realise(second, Style(seed))
    return sentence, realise(second, Style(seed + "'", frozenset(style.used if wording == "fresh" else ())))


def scene_pairs(split: str, seed: int = 0) -> Iterator[tuple[str, Scene, Scene, str, str]]:
    """Endless pairs of a split: (kind, first scene, second scene, first sentence, second sentence)."""
    rng = random.Random(f"builtin pairs|{split}|{seed}")
    share = SPLITS[split]
    weights = [kind.share for kind in PAIR_KINDS]
    number = 0
    while True:
        kind = rng.choices(PAIR_KINDS, weights)[0]
        while True:  # until a scene comes that this kind can change without leaving the split
            first = sample_scene(rng)
            second = kind.change(first, rng) if first.share == share else None
            if second is None or second.share != share or first.question != second.question:
                continue
            number += 1
            words = _word_pair(first, second, f"{split}|{seed}|{number}", rng.choices(WORDING, kind.wording)[0])
            if words[0] != words[1] and all(map(is_good_length, words)):
                break
        yield kind.name, first, second, *words
