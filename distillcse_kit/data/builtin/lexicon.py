"""The lexicon of the built-in corpus: concepts of everyday topics, each with wordings that mean the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Concept:
    """One meaning and its wordings. Siblings share a ``family``; ``opposite`` is the ``id`` of the antonym, if any.

    Some wordings carry a mark. A noun may begin with ``~`` (mass noun), ``+`` (plural only) or ``=`` (complete phrase).
    In a verb, ``_`` marks where the object goes.
    """

    id: str
    wordings: tuple[str, ...]
    family: str
    topic: str
    opposite: str = ""


@dataclass(frozen=True)
class EventLine:
    """Which agents can do which actions to which objects with which means."""

    agents: tuple[Concept, ...]
    actions: tuple[Concept, ...]
    objects: tuple[Concept, ...]  # empty: intransitive
    means: tuple[Concept, ...]
    kind: str  # of the agents: people, animals, things
    places: tuple[Concept, ...]
    mutual: bool = False  # agents act on agents


@dataclass(frozen=True)
class Topic:
    """Everything that can be said about one topic."""

    name: str
    events: tuple[EventLine, ...]
    states: tuple[tuple[tuple[Concept, ...], tuple[Concept, ...]], ...]  # entities, properties
    uses: tuple[tuple[Concept, Concept, Concept], ...]  # tool, user, purpose
    reasons: tuple[Concept, ...]

    @property
    def people(self) -> tuple[Concept, ...]:
        """Agents who can say something or act on purpose."""
        return tuple(agent for line in self.events if line.kind == "people" for agent in line.agents)


@dataclass(frozen=True)
class Lexicon:
    """All topics, and the words that they share."""

    topics: tuple[Topic, ...]
    times: dict[str, tuple[Concept, ...]]  # by tense
    manners: tuple[Concept, ...]
    qualities: tuple[Concept, ...]
    irregular_verbs: dict[str, tuple[str, str]]
    irregular_plurals: dict[str, str]
    doubling: frozenset[str]


def _concept(text: str, family: str, topic: str, opposite: str = "") -> Concept:
    wordings = tuple(wording.strip() for wording in text.split("|"))
    return Concept(wordings[0].strip("~+="), wordings, family, topic, opposite)


def _antonyms(text: str, family: str, topic: str) -> list[Concept]:
    """Two concepts that are each other's opposite (``"open <> shut"``), or a single one without ``<>``."""
    sides = text.split(" <> ")
    ids = [side.split("|")[0].strip() for side in sides]
    return [_concept(side, family, topic, ids[1 - i] if len(sides) == 2 else "") for i, side in enumerate(sides)]


def _siblings(text: str, family: str, topic: str, separator: str = ",") -> tuple[Concept, ...]:
    return tuple(c for part in text.split(separator) for c in _antonyms(part.strip(), family, topic))


def _classes(text: str, family: str, topic: str) -> tuple[Concept, ...]:
    """Commas separate siblings and semicolons separate classes: ``"onion, carrot; beef"``."""
    return tuple(c for i, part in enumerate(text.split(";")) for c in _siblings(part, f"{family}.{i}", topic))


def _event_lines(
    topic: str, index: int, cast: dict[str, Any], places: str, shared: dict[str, Any]
) -> Iterator[EventLine]:
    """First a cast's own events, then events among its members. Places of the cast replace those of the topic."""
    kind = next(iter(cast))
    places = cast.get("places", places)
    where = _siblings(places, f"{topic}/place", topic) if places else ()
    agents = _classes(cast[kind], f"{topic}/cast {index}", topic)
    for number, line in enumerate(cast["do"]):
        actions, objects, means = (*(part.strip() for part in line.split(" > ")), "")[:3]
        family = f"{topic}/cast {index}/{number}"
        yield EventLine(
            agents,
            _siblings(actions, f"{family}/action", topic, " / "),
            () if objects == "-" else _classes(objects, f"{family}/object", topic),
            _siblings(means, f"{family}/means", topic) if means else (),
            kind,
            where,
        )
    if kind in shared["mutual"] and len(agents) > 1:
        for number, line in enumerate(shared["mutual"][kind]):
            actions = _siblings(line, f"mutual/{kind}/{number}", f"mutual {kind}", " / ")
            yield EventLine(agents, actions, agents, (), kind, where, mutual=True)


def _topic(name: str, data: dict[str, Any], shared: dict[str, Any]) -> Topic:
    events = tuple(
        line for i, cast in enumerate(data["casts"]) for line in _event_lines(name, i, cast, data["places"], shared)
    )
    states = []
    for number, line in enumerate(data["states"]):
        entity, properties = line.split(" > ")
        states.append(
            (_siblings(entity, f"{name}/entity {number}", name), _siblings(properties, f"{name}/state {number}", name))
        )
    uses = []
    for line in data["facts"]:
        tool, user, purpose = (part.strip() for part in line.split(" > "))
        uses.append(
            (
                _concept(tool, f"{name}/tool", name),
                _concept(user, f"{name}/cast 0.0", name),
                _concept(purpose, f"{name}/purpose", name),
            )
        )
    reasons = tuple(_concept(reason, f"{name}/reason", name) for reason in data["because"])
    return Topic(name, events, tuple(states), tuple(uses), reasons)


@cache
def load_lexicon() -> Lexicon:
    """The lexicon that ships with the kit."""
    folder = resources.files("distillcse_kit.data") / "lexicon"
    shared = json.loads((folder / "shared.json").read_text(encoding="utf-8"))
    files = sorted((folder / "topics").iterdir(), key=lambda file: file.name)
    data = {name: topic for file in files for name, topic in json.loads(file.read_text(encoding="utf-8")).items()}
    verbs = (entry.split() for entry in shared["irregular_verbs"].split(", "))
    return Lexicon(
        topics=tuple(_topic(name, topic, shared) for name, topic in data.items()),
        times={
            tense: tuple(_concept(text, f"time/{tense}", "time") for text in texts)
            for tense, texts in shared["times"].items()
        },
        manners=tuple(c for text in shared["manners"] for c in _antonyms(text, "manner", "manner")),
        qualities=tuple(_concept(text, "quality", "quality") for text in shared["qualities"]),
        irregular_verbs={base: (past, participle) for base, past, participle in verbs},
        irregular_plurals=dict(entry.split() for entry in shared["irregular_plurals"].split(", ")),
        doubling=frozenset(shared["doubling"].split()),
    )
