"""From a scene to an English sentence: the choice of words and of the sentence's form."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from distillcse_kit.data.builtin.english import (
    NUMBER_WORDS,
    PARTICLES,
    article,
    finite,
    inflect,
    negate,
    plural,
    verb_group,
)
from distillcse_kit.data.builtin.lexicon import Concept
from distillcse_kit.data.builtin.scenes import Scene


@dataclass(frozen=True)
class Style:
    """Makes all choices of wording. Each depends on the seed and the choice's name, so one seed words scenes alike."""

    seed: str
    avoid: frozenset[str] = frozenset()  # choices that another sentence has made
    used: set[str] = field(default_factory=set)

    def choose(self, decision: str, options: Sequence[str]) -> str:
        """One of the options, if possible one that is not in ``avoid``."""
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
    """A noun phrase, and whether its verb is plural."""

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
    """The clause with its bracketed verb in the sentence's tense: "the guests [are] hungry" becomes "... were ..."."""

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
    """Puts one event into words. Each form of sentence is a public method; its docstring is an example."""

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
        """Names of the forms that suit the scene; common ones are listed several times."""
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
            auxiliary = negate(auxiliary, self.style.choose("contraction", ("short", "long")) == "short")
        return auxiliary, rest

    def _predicate(self, many: bool) -> str:
        auxiliary, rest = self._verbs(many)
        return f"{auxiliary} {_with_object(rest, self.object.text)}".strip()

    def plain(self) -> str:
        """A cook chopped the onion in the kitchen last night."""
        predicate = self._predicate(self.agent.many)
        return _sentence(self.agent.text, predicate, self.means, self.manner, self.place, self.time, self.reason)

    def fronted(self) -> str:
        """In the kitchen, a cook chopped the onion last night."""
        fillers = {role: text for role in ("time", "place", "reason") if (text := getattr(self, role))}
        front = self.style.choose("front", list(fillers))
        rest = [fillers[role] for role in ("place", "time", "reason") if role in fillers and role != front]
        predicate = self._predicate(self.agent.many)
        return _sentence(fillers[front] + ",", self.agent.text, predicate, self.means, self.manner, *rest)

    def located(self) -> str:
        """A cook in the kitchen chopped the onion last night."""
        predicate = self._predicate(self.agent.many)
        return _sentence(self.agent.text, self.place, predicate, self.means, self.manner, self.time, self.reason)

    def passive(self) -> str:
        """The onion was chopped by a cook in the kitchen last night."""
        auxiliary, rest = self._verbs(self.object.many, passive=True)
        by = f"by {self.agent.text}"
        return _sentence(
            self.object.text, auxiliary, rest, by, self.means, self.manner, self.place, self.time, self.reason
        )

    def cleft(self) -> str:
        """It was a cook that chopped the onion in the kitchen last night."""
        be = "was" if self.scene.tense == "past" else "is"
        predicate = self._predicate(self.agent.many)
        return _sentence("it", be, self.agent.text, "that", predicate, self.means, self.manner, self.place, self.time)

    def there_is(self) -> str:
        """There was a cook in the kitchen chopping the onion."""
        be = finite("be", self.scene.tense == "past", self.new_agent.many)
        doing = _with_object(inflect(self.verb, "ing"), self.object.text)
        return _sentence("there", be, self.new_agent.text, self.place, doing, self.means, self.manner)

    def headline(self) -> str:
        """Cook chops onion in kitchen."""
        many = self.agent.many
        predicate = _with_object(
            finite(self.verb.split()[0], False, many) + self.verb[len(self.verb.split()[0]) :], self.object.text
        )
        words = " ".join(part for part in (self.agent.text, predicate, self.means, self.place) if part)
        return _sentence(re.sub(r"\b(?:the|a|an|several|some) ", "", words))

    def question(self) -> str:
        """Did a cook chop the onion in the kitchen last night?"""
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
    be = finite("be", past, entity.many)
    if scene.negated:
        be = negate(be, style.choose("contraction", ("short", "long")) == "short")
    time = style.word(scene.time) if scene.time else ""
    claim = f"{text} {be} {style.word(scene.action)}"
    speaker = _noun_phrase(style.word(scene.agent), scene.agent_count, "", True, False)
    says = finite(style.choose("says", ("say", "report", "state", "claim")), past, speaker.many)
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
