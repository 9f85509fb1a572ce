"""Scenes, which are meanings that sentences can state, and the gold similarity of two scenes.

**Gold similarity** of scenes a and b (:func:`gold_similarity`), on the 0 to 5 scale of STS::

    gold(a, b) = 5 * (sum_r w_r s_r / sum_r w_r)^1.5 * prod_m (1 - p_m (1 - s_m)) * (1/2 if one of the two is negated)

    r: the main roles that a or b fills: action (w = 4), object (4), agent (3)
    m: the minor roles: means, reason, place, time, manner, the agent's quality, the counts; p_m is in MINOR_PENALTIES
       (COUNT_PENALTY for the counts)
    s: 1 for the same concept, 0.45 for siblings (onion, carrot), 0.3 for other concepts of the topic, 0.1 for opposites
       (open, close), 0 otherwise. If agent and object have changed places, s = 0.5 for each. If only one scene fills a
       minor role, s = 0.5.

Minor roles can only lower the score: two events are not alike because both happened on a Monday. The exponent makes
differences in several main roles count more than their sum, as the rubric of STS does: with one of three different,
two sentences are "roughly equivalent"; with two, they "share some details"; with three, they have the "same topic".
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from distillcse_kit.data.builtin.lexicon import Concept, Topic, load_lexicon

SIBLING, SAME_TOPIC, OPPOSITE, SWAPPED, ONE_SIDED = 0.45, 0.3, 0.1, 0.5, 0.5

MAIN_WEIGHTS = {"action": 4.0, "object": 4.0, "agent": 3.0}

MINOR_PENALTIES = {"means": 0.15, "reason": 0.15, "place": 0.12, "time": 0.10, "manner": 0.10, "quality": 0.08}

COUNT_PENALTY = 0.15

NEGATION_FACTOR = 0.5

EXPONENT = 1.5

SHARES = 5

MUTUAL = 0.1  # chance of an event in which one agent acts on another


@dataclass(frozen=True)
class Scene:
    """A meaning: the concepts that fill the roles. ``kind`` is "event", "state" or "use".

    In a state, the agent says something of the object, and the action is the property ("The cook says that the soup is
    hot"). In a use, the agent is the user, the object is the tool and the action is the purpose.
    """

    topic: str
    kind: str
    action: Concept
    agent: Concept | None = None
    object: Concept | None = None
    means: Concept | None = None
    reason: Concept | None = None
    place: Concept | None = None
    time: Concept | None = None
    manner: Concept | None = None
    quality: Concept | None = None  # of the agent
    agent_count: int = 1  # 0: several
    object_count: int = 1
    tense: str = "past"  # past, present, habit or future
    negated: bool = False
    question: bool = False

    @property
    def core(self) -> str:
        """Identifies the event; swapping agent and object does not change it. The event's share depends on it alone."""
        participants = sorted(concept.id for concept in (self.agent, self.object) if concept)
        return "|".join([self.action.id, *participants])

    @property
    def share(self) -> int:
        """0..4, a hash of the event, so that dev, test and corpus have no event in common, whatever their seeds."""
        return zlib.crc32(self.core.encode()) % SHARES


def concept_similarity(a: Concept | None, b: Concept | None, one_sided: float = 0.0) -> float:
    """s in the module's equation; ``one_sided`` if only one of the two is given."""
    if a is None or b is None:
        return 1.0 if a is b else one_sided
    if a.id == b.id:
        return 1.0
    if b.id == a.opposite or a.id == b.opposite:
        return OPPOSITE
    if a.family == b.family:
        return SIBLING
    return SAME_TOPIC if a.topic == b.topic else 0.0


def _count_similarity(a: int, b: int) -> float:
    """1 if equal. "Several" (0) and an exact number above 1 agree by half."""
    if a == b:
        return 1.0
    return 0.5 if 0 in (a, b) and 1 not in (a, b) else 0.0


def _is_swapped(a: Scene, b: Scene) -> bool:
    """Whether agent and object have changed places: man bites dog, dog bites man."""
    if not (a.agent and a.object and b.agent and b.object) or a.agent.id == a.object.id:
        return False
    return a.agent.id == b.object.id and a.object.id == b.agent.id


def _main_share(a: Scene, b: Scene) -> float:
    total = weight_sum = 0.0
    for role, weight in MAIN_WEIGHTS.items():
        first, second = getattr(a, role), getattr(b, role)
        if first is None and second is None:
            continue
        swapped = role != "action" and _is_swapped(a, b)
        total += weight * (SWAPPED if swapped else concept_similarity(first, second))
        weight_sum += weight
    return total / weight_sum


def _time_similarity(a: Scene, b: Scene) -> float:
    """The tense is part of the time: "chopped" and "will chop" differ, although neither says when."""
    if a.time and b.time:
        return concept_similarity(a.time, b.time) if a.tense == b.tense else 0.0
    same_tense = a.tense == b.tense
    return 1.0 if same_tense and a.time is b.time else ONE_SIDED if same_tense else 0.0


def gold_similarity(a: Scene, b: Scene) -> float:
    """Similarity in meaning, 0 to 5, by the equation in the module's docstring; 5 for equal scenes."""
    score: float = 5.0 * _main_share(a, b) ** EXPONENT
    for role, penalty in MINOR_PENALTIES.items():
        if role == "time":
            same = _time_similarity(a, b)
        else:
            same = concept_similarity(getattr(a, role), getattr(b, role), ONE_SIDED)
        score *= 1.0 - penalty * (1.0 - same)
    for first, second in ((a.agent_count, b.agent_count), (a.object_count, b.object_count)):
        score *= 1.0 - COUNT_PENALTY * (1.0 - _count_similarity(first, second))
    return score * (NEGATION_FACTOR if a.negated != b.negated else 1.0)


def _maybe(rng: random.Random, chance: float, options: Sequence[Concept]) -> Concept | None:
    return rng.choice(options) if options and rng.random() < chance else None


def _count(rng: random.Random) -> int:
    return 1 if rng.random() < 0.72 else rng.choice((0, 0, 0, 2, 2, 3, 4, 5, 6, 8, 10, 12))


def _sample_event(topic: Topic, rng: random.Random) -> Scene:
    mutual = rng.random() < MUTUAL
    line = rng.choice([line for line in topic.events if line.mutual == mutual] or topic.events)
    agent = rng.choice(line.agents)
    objects = [concept for concept in line.objects if concept.id != agent.id]
    person = line.kind == "people"
    tense = rng.choice(("past", "past", "past", "present", "present", "habit", "future"))
    negated = rng.random() < 0.06
    question = not negated and rng.random() < 0.04
    time = _maybe(rng, 1.0 if tense in ("habit", "future") else 0.35, load_lexicon().times[tense])
    means = _maybe(rng, 0.45, line.means)
    place = _maybe(rng, 0.45, line.places)
    return Scene(
        topic=topic.name,
        kind="event",
        action=rng.choice(line.actions),
        agent=agent,
        object=rng.choice(objects) if objects else None,
        means=means,
        reason=_maybe(rng, 0.2 if person and not (time or negated or question) else 0.0, topic.reasons),
        place=place,
        time=time,
        manner=_maybe(rng, 0.12 if person else 0.0, load_lexicon().manners),
        quality=_maybe(rng, 0.15 if person else 0.0, load_lexicon().qualities),
        agent_count=_count(rng),
        object_count=_count(rng),
        tense=tense,
        negated=negated,
        question=question,
    )


def _sample_state(topic: Topic, rng: random.Random) -> Scene:
    entities, properties = rng.choice(topic.states)
    tense = rng.choice(("past", "present"))
    return Scene(
        topic=topic.name,
        kind="state",
        action=rng.choice(properties),
        agent=rng.choice(topic.people),
        object=rng.choice(entities),
        time=_maybe(rng, 0.2, load_lexicon().times[tense]),
        agent_count=rng.choice((1, 0)),
        tense=tense,
        negated=rng.random() < 0.05,
    )


def _sample_use(topic: Topic, rng: random.Random) -> Scene:
    tool, user, purpose = rng.choice(topic.uses)
    return Scene(topic.name, "use", purpose, user, tool, tense="habit")


def sample_scene(rng: random.Random, topic: Topic | None = None, kind: str | None = None) -> Scene:
    """A random scene: mostly events, some states and uses."""
    topic = topic or rng.choice(load_lexicon().topics)
    kind = kind or rng.choices(("event", "state", "use"), (88, 10, 2))[0]
    return {"event": _sample_event, "state": _sample_state, "use": _sample_use}[kind](topic, rng)
