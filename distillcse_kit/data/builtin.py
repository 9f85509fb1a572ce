"""The built-in corpus: sentences that state generated scenes, and pairs whose gold similarity follows from the scenes.

Nothing is downloaded. A lexicon (``lexicon/``, plain JSON) holds concepts of everyday topics, each with wordings that
mean the same. A :class:`Scene` picks concepts for its roles (who does what to whom, with what, where, when, how, why);
:func:`realise` words a scene in one of many ways. Two wordings of one scene are paraphrases although they may share no
content word, and two scenes that differ in one role can be worded almost alike: overlap misleads, meaning does not.

**Gold similarity** of scenes a and b (:func:`gold_similarity`), on the 0..5 scale of the STS rubric::

    gold(a, b) = 5 * (sum_r w_r s_r / sum_r w_r)^1.5 * prod_m (1 - p_m (1 - s_m)) * (1/2 if one of the two is negated)

    r: the main roles that a or b fills: action (w = 4), object (4), agent (3)
    m: the minor roles: means, reason, place, time, manner, the agent's quality, the counts; p_m is in MINOR_PENALTIES
    s: 1 same concept; 0.45 siblings (onion, carrot); 0.3 other concept of the topic; 0.1 opposites (open, close);
       0 otherwise. Agent and object that changed places have s = 0.5 each. A minor role that only one scene fills: 0.5.

Minor roles only ever subtract: that two things happened on a Monday does not make them alike. The exponent makes
differences in several main roles count more than their sum, as the rubric does: one detail of three is "roughly
equivalent", two are "share some details", three are "same topic".
"""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from importlib import resources
from itertools import pairwise
from typing import Any

from distillcse_kit.data.pairs import SentencePairs
from distillcse_kit.errors import KitError

SIBLING, SAME_TOPIC, OPPOSITE, SWAPPED, ONE_SIDED = 0.45, 0.3, 0.1, 0.5, 0.5
MAIN_WEIGHTS = {"action": 4.0, "object": 4.0, "agent": 3.0}
MINOR_PENALTIES = {"means": 0.15, "reason": 0.15, "place": 0.12, "time": 0.10, "manner": 0.10, "quality": 0.08}
COUNT_PENALTY = 0.15
NEGATION_FACTOR = 0.5
EXPONENT = 1.5

MOST_SENTENCES = 1_000_000  # a promise that generation ends; far more distinct sentences exist
MOST_PAIRS = 50_000
SHORTEST, LONGEST = 5, 25  # words a sentence
SPLITS = {"dev": 0, "test": 1}  # of the five shares of all scenes; the corpus uses the other three
SHARES = 5
MUTUAL = 0.1  # chance of an event in which one agent acts on another


# ---------------------------------------------------------------- lexicon


@dataclass(frozen=True)
class Concept:
    """One meaning with its wordings. Siblings share a ``family``; ``opposite`` names the antonym's ``id``, if any.

    Nouns carry a mark: ``~`` mass noun, ``+`` plural only, ``=`` complete phrase. ``_`` in a verb: the object's place.
    """

    id: str
    wordings: tuple[str, ...]
    family: str
    topic: str
    opposite: str = ""


@dataclass(frozen=True)
class EventLine:
    """Which agents do which actions to which objects with which means: one row of selectional restrictions."""

    agents: tuple[Concept, ...]
    actions: tuple[Concept, ...]
    objects: tuple[Concept, ...]  # empty: intransitive
    means: tuple[Concept, ...]
    kind: str  # of the agents: people, animals, things
    places: tuple[Concept, ...]
    mutual: bool = False  # agents act on agents


@dataclass(frozen=True)
class Topic:
    """All that can be said about one field of life."""

    name: str
    events: tuple[EventLine, ...]
    states: tuple[tuple[tuple[Concept, ...], tuple[Concept, ...]], ...]  # entities, properties
    uses: tuple[tuple[Concept, Concept, Concept], ...]  # tool, user, purpose
    reasons: tuple[Concept, ...]

    @property
    def people(self) -> tuple[Concept, ...]:
        """Those who can say or do something on purpose."""
        return tuple(agent for line in self.events if line.kind == "people" for agent in line.agents)


@dataclass(frozen=True)
class Lexicon:
    """The topics, and what all topics share."""

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
    """``"open <> shut"``: two concepts that are each other's opposite; without ``<>``: one concept."""
    sides = text.split(" <> ")
    ids = [side.split("|")[0].strip() for side in sides]
    return [_concept(side, family, topic, ids[1 - i] if len(sides) == 2 else "") for i, side in enumerate(sides)]


def _siblings(text: str, family: str, topic: str, separator: str = ",") -> tuple[Concept, ...]:
    return tuple(c for part in text.split(separator) for c in _antonyms(part.strip(), family, topic))


def _classes(text: str, family: str, topic: str) -> tuple[Concept, ...]:
    """``"onion, carrot; beef"``: siblings are separated by commas, classes by semicolons."""
    return tuple(c for i, part in enumerate(text.split(";")) for c in _siblings(part, f"{family}.{i}", topic))


def _event_lines(
    topic: str, index: int, cast: dict[str, Any], places: str, shared: dict[str, Any]
) -> Iterator[EventLine]:
    """A cast's own events, then those of its members with each other. Its own places, if any, replace the topic's."""
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


# ---------------------------------------------------------------- scenes and their similarity


@dataclass(frozen=True)
class Scene:
    """A meaning: the concepts that fill the roles. ``kind`` is "event", "state" or "use".

    A state is said of its object by its agent ("The cook says that the soup is hot", the action is the property); in a
    use the agent is the user, the object the tool and the action the purpose.
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
        """Which event it is, whoever is its agent and whoever its object; decides the share of the scenes it is in."""
        participants = sorted(concept.id for concept in (self.agent, self.object) if concept)
        return "|".join([self.action.id, *participants])

    @property
    def share(self) -> int:
        """0..4; hashed, so that dev, test and corpus have no event in common, whatever their seeds."""
        return zlib.crc32(self.core.encode()) % SHARES


def concept_similarity(a: Concept | None, b: Concept | None, one_sided: float = 0.0) -> float:
    """s in the module's equation; ``one_sided`` if only one of the two is there."""
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
    """One, several or exactly n: "several" agrees with any n > 1, half."""
    if a == b:
        return 1.0
    return 0.5 if 0 in (a, b) and 1 not in (a, b) else 0.0


def _is_swapped(a: Scene, b: Scene) -> bool:
    """Man bites dog, dog bites man."""
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
    """The tense is part of the time: "chopped" and "will chop" differ though neither says when."""
    if a.time and b.time:
        return concept_similarity(a.time, b.time) if a.tense == b.tense else 0.0
    same_tense = a.tense == b.tense
    return 1.0 if same_tense and a.time is b.time else ONE_SIDED if same_tense else 0.0


def gold_similarity(a: Scene, b: Scene) -> float:
    """Similarity in meaning, 0..5, by the equation in the module's docstring; 5 for a scene and itself."""
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


# ---------------------------------------------------------------- English word forms

VOWEL_SOUND = re.compile(
    r"(?!uni(?!n|m)|us[aeu]|eu|ewe|one\b|once|u-|ub)[aeiou]|hou?r\b|hour|heir|honor|honest|x-|ATM|8|11\b|18\b",
    re.IGNORECASE,
)
HEAD_END = re.compile(
    r" (?:of|in|with|for|from|without|on|at|to|who|whom|after|getting|by|above|below|near|behind|against|down)\b"
)
NUMBER_WORDS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
PARTICLES = frozenset({"up", "out", "off", "down", "away", "back", "over", "apart", "together", "in", "on"})


def article(phrase: str) -> str:
    """``a`` or ``an``, by the first sound."""
    return "an" if VOWEL_SOUND.match(phrase) else "a"


def _ends_in_consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2:-1] not in "aeiou"


def _add_s(word: str) -> str:
    if _ends_in_consonant_y(word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(?:s|x|z|ch|sh|[^aeio]o)$", word) else "s")


def plural(noun: str) -> str:
    """Plural of a noun phrase: of its head ("flocks of sheep"), irregular where the lexicon says so."""
    cut = HEAD_END.search(noun)
    head, tail = (noun[: cut.start()], noun[cut.start() :]) if cut else (noun, "")
    first, _, last = head.rpartition(" ")
    irregular = load_lexicon().irregular_plurals
    compound = next((end for end in ("woman", "man", "child") if last.endswith(end) and last != "human"), "")
    if last in irregular:
        last = irregular[last]
    elif compound:
        last = last[: -len(compound)] + irregular[compound]
    elif re.search(r"[^aeiou]o$", last):
        last += "s"
    else:
        last = _add_s(last)
    return f"{first} {last}".strip() + tail


def inflect(verb: str, form: str) -> str:
    """The first word of a verb phrase in a form: base, third, past, participle or ing."""
    first, space, rest = verb.partition(" ")
    return _inflect_word(first, form) + space + rest


@cache
def _inflect_word(word: str, form: str) -> str:
    lexicon = load_lexicon()
    stem = word + word[-1] if word in lexicon.doubling else word
    if form == "base":
        return word
    if form == "third":
        return {"be": "is", "have": "has"}.get(word) or _add_s(word)
    if form == "ing":
        if word.endswith("ie"):
            return word[:-2] + "ying"
        drops_e = word.endswith("e") and not word.endswith(("ee", "oe", "ye")) and word != "be"
        return (word[:-1] if drops_e else stem) + "ing"
    if word in lexicon.irregular_verbs:
        return lexicon.irregular_verbs[word][form == "participle"]
    if _ends_in_consonant_y(word):
        return word[:-1] + "ied"
    return stem + ("d" if word.endswith("e") else "ed")


def verb_group(
    verb: str,
    tense: str,
    aspect: str,
    *,
    many: bool,
    passive: bool = False,
    negated: bool = False,
    question: bool = False,
) -> tuple[str, str]:
    """The auxiliary that goes first, if any, and the rest: each word of the chain imposes the next one's form."""
    chain: list[tuple[str, str]] = []
    if tense == "future":
        chain.append(("will", "base"))
    if aspect == "perfect":
        chain.append(("have", "participle"))
    if aspect == "progressive":
        chain.append(("be", "ing"))
    if passive:
        chain.append(("be", "participle"))
    if not chain and (negated or question):
        chain.append(("do", "base"))
    chain.append((verb, ""))
    past = tense == "past" and aspect != "perfect"
    words = [_finite(chain[0][0], past, many)]
    words += [inflect(word, form) for (_, form), (word, _) in pairwise(chain)]
    if len(words) == 1:
        return "", words[0]
    return words[0], " ".join(words[1:])


def _finite(verb: str, past: bool, many: bool) -> str:
    if verb == "will":
        return verb
    if verb == "be":
        return ("were" if many else "was") if past else ("are" if many else "is")
    return inflect(verb, "past" if past else "base" if many else "third")


def _negate(auxiliary: str, contracted: bool) -> str:
    if not contracted:
        return f"{auxiliary} not"
    return "won't" if auxiliary == "will" else f"{auxiliary}n't"


# ---------------------------------------------------------------- from scenes to sentences


@dataclass(frozen=True)
class Style:
    """All choices of wording, each drawn from (seed, name of the choice): the same seed words like scenes alike."""

    seed: str
    avoid: frozenset[str] = frozenset()  # wordings and forms that another sentence has used
    used: set[str] = field(default_factory=set)

    def choose(self, decision: str, options: Sequence[str]) -> str:
        """One of the options, if possible one that is not to be avoided."""
        options = [option for option in options if f"{decision}:{option}" not in self.avoid] or list(options)
        digest = blake2b(f"{self.seed}|{decision}".encode(), digest_size=8).digest()
        chosen = options[int.from_bytes(digest, "big") % len(options)]
        self.used.add(f"{decision}:{chosen}")
        return chosen

    def word(self, concept: Concept) -> str:
        """A wording of the concept."""
        return self.choose(concept.id, concept.wordings)


@dataclass(frozen=True)
class Phrase:
    """A noun phrase and whether the verb agrees with it in the plural."""

    text: str
    many: bool


def _noun_phrase(noun: str, count: int, quality: str, definite: bool, digits: bool) -> Phrase:
    mark, bare = (noun[0], noun[1:]) if noun[0] in "~+=" else ("", noun)
    if mark == "=":
        return Phrase(bare, False)
    body = f"{quality} {bare}".strip()
    if mark in ("~", "+"):
        determiner = "the " if definite else "some " if mark == "+" else ""
        return Phrase(determiner + body, mark == "+")
    if count == 1:
        return Phrase(f"{'the' if definite else article(body)} {body}", False)
    body = plural(body)
    if count == 0:
        return Phrase(f"{'the' if definite else 'several'} {body}", True)
    number = str(count) if digits else NUMBER_WORDS[count]
    return Phrase(f"{'the ' if definite else ''}{number} {body}", True)


def _clause_in_tense(clause: str, tense: str) -> str:
    """The bracketed verb of a reason, in the past where the sentence is: "the guests [are] hungry"."""

    def in_tense(match: re.Match[str]) -> str:
        verb = match[1]
        if tense != "past":
            return verb
        known = {"may": "might", "is": "was", "are": "were", "has": "had", "have": "had", "does": "did"}
        if verb in known:
            return known[verb]
        base = verb[:-1] if verb.endswith("s") else verb
        return inflect(base, "past")

    return re.sub(r"\[(\w+)\]", in_tense, clause)


def _aspect(scene: Scene, style: Style) -> str:
    if scene.tense == "present":
        return "progressive"
    if scene.tense == "past" and not scene.time:
        return style.choose("aspect", ("simple", "progressive", "simple"))
    return "simple"


def _can_be_passive(verb: str) -> bool:
    words = verb.split()
    return "_" in words or len(words) == 1 or (len(words) == 2 and words[1] in PARTICLES)


def _with_object(verb: str, noun: str) -> str:
    return verb.replace("_", noun) if "_" in verb else f"{verb} {noun}".strip()


def _sentence(*parts: str, end: str = ".") -> str:
    text = re.sub(r"\s+", " ", " ".join(part for part in parts if part)).strip()
    text = re.sub(r"^\d+", lambda number: NUMBER_WORDS[int(number[0])], text)  # no sentence begins with a digit
    return text[0].upper() + text[1:] + end


class _EventWriter:
    """Words one event; the forms are its public methods' names."""

    def __init__(self, scene: Scene, style: Style) -> None:
        assert scene.agent is not None
        self.scene, self.style = scene, style
        self.verb = style.word(scene.action)
        digits = style.choose("digits", ("digits", "words")) == "digits"
        quality = style.word(scene.quality) if scene.quality else ""
        noun = style.word(scene.agent)
        definite = style.choose("agent's article", ("a", "the", "a")) == "the"
        self.agent = _noun_phrase(noun, scene.agent_count, quality, definite, digits)
        self.new_agent = _noun_phrase(noun, scene.agent_count, quality, False, digits)
        self.object = Phrase("", False)
        if scene.object:
            definite = style.choose("object's article", ("a", "the")) == "the"
            self.object = _noun_phrase(style.word(scene.object), scene.object_count, "", definite, digits)
        self.means, self.place, self.time, self.manner = (
            style.word(concept) if concept else "" for concept in (scene.means, scene.place, scene.time, scene.manner)
        )
        self.reason = ""
        if scene.reason:
            conjunction = style.choose("because", ("because", "since", "as"))
            self.reason = f"{conjunction} {_clause_in_tense(style.word(scene.reason), scene.tense)}"
        self.aspect = _aspect(scene, style)

    def forms(self) -> list[str]:
        """The forms that suit the scene, common ones several times."""
        scene = self.scene
        if scene.question:
            return ["question"]
        forms = ["plain"] * 3
        forms += ["fronted"] * 2 if self.time or self.place or self.reason else []
        forms += ["located"] if self.place else []
        if scene.object and _can_be_passive(self.verb):
            forms += ["passive"] * 3
        if scene.negated or scene.tense == "future":
            return forms
        forms += ["cleft"] if not self.reason else []
        if self.place and not self.reason and scene.tense in ("past", "present") and not self.time:
            forms += ["there_is"] * 2
        if scene.object and not (self.time or self.reason or self.manner) and scene.tense in ("past", "present"):
            forms += ["headline"]
        return forms

    def _verbs(self, many: bool, passive: bool = False) -> tuple[str, str]:
        scene = self.scene
        verb = self.verb.replace(" _", "") if passive else self.verb
        auxiliary, rest = verb_group(
            verb, scene.tense, self.aspect, many=many, passive=passive, negated=scene.negated, question=scene.question
        )
        if scene.negated:
            auxiliary = _negate(auxiliary, self.style.choose("contraction", ("short", "long")) == "short")
        return auxiliary, rest

    def _predicate(self, many: bool) -> str:
        auxiliary, rest = self._verbs(many)
        return f"{auxiliary} {_with_object(rest, self.object.text)}".strip()

    def plain(self) -> str:
        predicate = self._predicate(self.agent.many)
        return _sentence(self.agent.text, predicate, self.means, self.manner, self.place, self.time, self.reason)

    def fronted(self) -> str:
        fillers = {role: text for role in ("time", "place", "reason") if (text := getattr(self, role))}
        front = self.style.choose("front", list(fillers))
        rest = [fillers[role] for role in ("place", "time", "reason") if role in fillers and role != front]
        predicate = self._predicate(self.agent.many)
        return _sentence(fillers[front] + ",", self.agent.text, predicate, self.means, self.manner, *rest)

    def located(self) -> str:
        predicate = self._predicate(self.agent.many)
        return _sentence(self.agent.text, self.place, predicate, self.means, self.manner, self.time, self.reason)

    def passive(self) -> str:
        auxiliary, rest = self._verbs(self.object.many, passive=True)
        by = f"by {self.agent.text}"
        return _sentence(
            self.object.text, auxiliary, rest, by, self.means, self.manner, self.place, self.time, self.reason
        )

    def cleft(self) -> str:
        be = "was" if self.scene.tense == "past" else "is"
        predicate = self._predicate(self.agent.many)
        return _sentence("it", be, self.agent.text, "that", predicate, self.means, self.manner, self.place, self.time)

    def there_is(self) -> str:
        be = _finite("be", self.scene.tense == "past", self.new_agent.many)
        doing = _with_object(inflect(self.verb, "ing"), self.object.text)
        return _sentence("there", be, self.new_agent.text, self.place, doing, self.means, self.manner)

    def headline(self) -> str:
        many = self.agent.many
        predicate = _with_object(
            _finite(self.verb.split()[0], False, many) + self.verb[len(self.verb.split()[0]) :], self.object.text
        )
        words = " ".join(part for part in (self.agent.text, predicate, self.means, self.place) if part)
        return _sentence(re.sub(r"\b(?:the|a|an|several|some) ", "", words))

    def question(self) -> str:
        auxiliary, rest = self._verbs(self.agent.many)
        predicate = _with_object(rest, self.object.text)
        parts = (self.means, self.manner, self.place, self.time)
        return _sentence(auxiliary, self.agent.text, predicate, *parts, end="?")


def _realise_event(scene: Scene, style: Style) -> str:
    writer = _EventWriter(scene, style)
    form: Callable[[], str] = getattr(writer, style.choose("form", writer.forms()))
    return form()


def _realise_state(scene: Scene, style: Style) -> str:
    assert scene.agent is not None and scene.object is not None
    definite = style.choose("entity's article", ("the", "this")) == "the"
    entity = _noun_phrase(style.word(scene.object), 1, "", definite=True, digits=False)
    text = entity.text if definite else re.sub("^the ", "these " if entity.many else "this ", entity.text)
    past = scene.tense == "past"
    be = _finite("be", past, entity.many)
    if scene.negated:
        be = _negate(be, style.choose("contraction", ("short", "long")) == "short")
    time = style.word(scene.time) if scene.time else ""
    claim = f"{text} {be} {style.word(scene.action)}"
    speaker = _noun_phrase(style.word(scene.agent), scene.agent_count, "", True, False)
    says = _finite(style.choose("says", ("say", "report", "state", "claim")), past, speaker.many)
    return {
        "says": _sentence(speaker.text, says, "that", claim, time),
        "according": _sentence(f"according to {speaker.text},", claim, time),
        "as": _sentence("as", speaker.text, f"{says},", claim, time),
        "appended": _sentence(f"{claim} {time}".strip() + ",", speaker.text, says),
    }[style.choose("form", ("says", "according", "as", "appended"))]


def _realise_use(scene: Scene, style: Style) -> str:
    assert scene.agent is not None and scene.object is not None
    tool = _noun_phrase(style.word(scene.object), 1, "", False, False)
    tool = replace(tool, text=tool.text.removeprefix("some "))
    users = plural(style.word(scene.agent).strip("~+="))
    purpose = style.word(scene.action)
    be = "are" if tool.many else "is"
    return {
        "passive": _sentence(tool.text, be, "used by", users, "to", purpose),
        "active": _sentence(users, "use", tool.text, "to", purpose),
        "need": _sentence(users, "need", tool.text, "in order to", purpose),
        "with": _sentence("with", tool.text + ",", users, "can", purpose),
        "if": _sentence("if", users, "want to", purpose + ",", "they use", tool.text),
        "helps": _sentence(tool.text, "help" if tool.many else "helps", users, "to", purpose),
    }[style.choose("form", ("passive", "active", "need", "with", "if", "helps"))]


def realise(scene: Scene, style: Style) -> str:
    """One English sentence that states the scene."""
    return {"event": _realise_event, "state": _realise_state, "use": _realise_use}[scene.kind](scene, style)


# ---------------------------------------------------------------- sampling scenes


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


# ---------------------------------------------------------------- pairs of scenes


@cache
def _families() -> dict[str, tuple[Concept, ...]]:
    """The members of each family, in the lexicon's order."""
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


def _sibling_of(concept: Concept, rng: random.Random) -> Concept | None:
    others = [other for other in _families().get(concept.family, ()) if other.id not in (concept.id, concept.opposite)]
    return rng.choice(others) if others else None


def _replace_roles(scene: Scene, roles: Sequence[str], rng: random.Random) -> Scene | None:
    """The scene with siblings in these roles; None where one has no sibling."""
    changed: dict[str, Any] = {role: _sibling_of(getattr(scene, role), rng) for role in roles}
    if None in changed.values():
        return None
    other = replace(scene, **changed)
    return None if other.agent and other.object and other.agent.id == other.object.id else other


def _filled(scene: Scene, roles: Sequence[str]) -> list[str]:
    return [role for role in roles if getattr(scene, role)]


def _drop_details(scene: Scene, rng: random.Random) -> Scene | None:
    """The scene, or the scene with one minor role left unsaid."""
    roles = _filled(scene, ("means", "place", "manner", "quality", "reason"))
    return replace(scene, **{rng.choice(roles): None}) if roles and rng.random() < 0.3 else scene  # type: ignore[arg-type]


def _change_details(scene: Scene, rng: random.Random) -> Scene | None:
    roles = _filled(scene, tuple(MINOR_PENALTIES))
    return _replace_roles(scene, rng.sample(roles, min(len(roles), rng.choice((1, 1, 2)))), rng) if roles else None


def _change_main(scene: Scene, rng: random.Random, how_many: int) -> Scene | None:
    if scene.kind == "use":
        return None  # a tool and its purpose belong together
    roles = _filled(scene, tuple(MAIN_WEIGHTS))
    return _replace_roles(scene, rng.sample(roles, how_many), rng) if len(roles) >= how_many else None


def _contradict(scene: Scene, rng: random.Random) -> Scene | None:
    """Negated, the opposite done, agent and object swapped, or another number of them."""
    families = _families()
    options: list[Scene] = [replace(scene, negated=not scene.negated)] if not scene.reason else []
    if scene.action.opposite:
        opposites = [c for c in families[scene.action.family] if c.id == scene.action.opposite]
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
    """Another topic, but the same time, manner and counts: overlap without shared meaning."""
    other = _unrelated(scene, rng)
    if other is None or scene.time is None or not (scene.kind == other.kind == "event"):
        return None
    shared = {role: getattr(scene, role) for role in ("time", "tense", "agent_count", "object_count", "negated")}
    if scene.manner and other.agent in _topic_people(other.topic):
        shared["manner"] = scene.manner
    return replace(other, **shared)


def _topic_people(name: str) -> tuple[Concept, ...]:
    return next(topic.people for topic in load_lexicon().topics if topic.name == name)


WORDING = ("alike", "free", "fresh")  # the same choices, independent choices, avoiding the other's wordings and form


@dataclass(frozen=True)
class PairKind:
    """One way to get the second scene from the first, its share of the pairs, and the chances of each WORDING."""

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


def _is_good_length(sentence: str) -> bool:
    return SHORTEST <= len(sentence.split()) <= LONGEST


def _word_pair(first: Scene, second: Scene, seed: str, wording: str) -> tuple[str, str]:
    """Both scenes in words, the second worded as WORDING says."""
    style = Style(seed)
    sentence = realise(first, style)
    if wording == "alike":
        return sentence, realise(second, Style(seed))
    return sentence, realise(second, Style(seed + "'", frozenset(style.used if wording == "fresh" else ())))


def scene_pairs(split: str, seed: int = 0) -> Iterator[tuple[str, Scene, Scene, str, str]]:
    """Endless scenes of a split, two by two, with their sentences."""
    rng = random.Random(f"builtin pairs|{split}|{seed}")
    share = SPLITS[split]
    weights = [kind.share for kind in PAIR_KINDS]
    number = 0
    while True:
        kind = rng.choices(PAIR_KINDS, weights)[0]
        while True:  # a scene that the kind can change, without leaving the split
            first = sample_scene(rng)
            second = kind.change(first, rng) if first.share == share else None
            if second is None or second.share != share or first.question != second.question:
                continue
            number += 1
            words = _word_pair(first, second, f"{split}|{seed}|{number}", rng.choices(WORDING, kind.wording)[0])
            if words[0] != words[1] and all(map(_is_good_length, words)):
                break
        yield kind.name, first, second, *words


# ---------------------------------------------------------------- what the kit calls


def _check_size(size: int, most: int) -> None:
    if not 1 <= size <= most:
        raise KitError(f"The built-in corpus cannot give {size:,} different entries; ask for 1 to {most:,} of them.")


def _corpus(size: int, seed: int) -> Iterator[tuple[str, str]]:
    """(sentence, topic), no sentence twice, of events that no built-in pair states."""
    _check_size(size, MOST_SENTENCES)
    rng = random.Random(f"builtin corpus|{seed}")
    seen: set[str] = set()
    number = 0
    while len(seen) < size:
        number += 1
        scene = sample_scene(rng)
        if scene.share in SPLITS.values():
            continue
        sentence = realise(scene, Style(f"{seed}|{number}"))
        if _is_good_length(sentence) and sentence not in seen:
            seen.add(sentence)
            yield sentence, scene.topic


def builtin_corpus(size: int = 40_000, seed: int = 0) -> list[str]:
    """``size`` different sentences, the same on every machine; none states the event of a built-in pair.

    Raises:
        KitError: size is not within 1..1,000,000.
    """
    return [sentence for sentence, _ in _corpus(size, seed)]


def builtin_topics(size: int = 40_000, seed: int = 0) -> list[str]:
    """The topic of each sentence of ``builtin_corpus(size, seed)``."""
    return [topic for _, topic in _corpus(size, seed)]


def builtin_pairs(split: str = "test", size: int = 1_500, seed: int = 0) -> SentencePairs:
    """Graded pairs; their gold, 0..5, is :func:`gold_similarity` of the scenes they state. dev and test share no event.

    Raises:
        KitError: the split is not dev or test, or size is not within 1..50,000.
    """
    if split not in SPLITS:
        raise KitError(f"The built-in pairs have no split {split!r}; ask for {' or '.join(SPLITS)}.")
    _check_size(size, MOST_PAIRS)
    rows: dict[tuple[str, str], float] = {}
    for _, first, second, *words in scene_pairs(split, seed):
        rows.setdefault((words[0], words[1]), round(gold_similarity(first, second), 3))
        if len(rows) == size:
            break
    return SentencePairs(f"builtin-{split}", [a for a, _ in rows], [b for _, b in rows], list(rows.values()))
