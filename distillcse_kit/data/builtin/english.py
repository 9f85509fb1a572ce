"""English word forms: articles, plurals and verbs."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from distillcse_kit.data.builtin.lexicon import load_lexicon

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
    """``a`` or ``an``, depending on the first sound."""
    return "an" if VOWEL_SOUND.match(phrase) else "a"


def _ends_in_consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2:-1] not in "aeiou"


def _add_s(word: str) -> str:
    if _ends_in_consonant_y(word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(?:s|x|z|ch|sh|[^aeio]o)$", word) else "s")


def plural(noun: str) -> str:
    """Plural of a noun phrase. Its head changes ("flocks of sheep"); the lexicon lists irregular plurals."""
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
    """The verb phrase with its first word in one form: base, third, past, participle or ing."""
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
    """(the first auxiliary, if there is one; the rest). Each verb of the chain decides the form of the next one."""
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
    words = [finite(chain[0][0], past, many)]
    words += [inflect(word, form) for (_, form), (word, _) in pairwise(chain)]
    if len(words) == 1:
        return "", words[0]
    return words[0], " ".join(words[1:])


def finite(verb: str, past: bool, many: bool) -> str:
    """The verb in the past or present tense, agreeing with a plural (``many``) or singular subject."""
    if verb == "will":
        return verb
    if verb == "be":
        return ("were" if many else "was") if past else ("are" if many else "is")
    return inflect(verb, "past" if past else "base" if many else "third")


def negate(auxiliary: str, contracted: bool) -> str:
    """``is not`` or ``isn't``."""
    if not contracted:
        return f"{auxiliary} not"
    return "won't" if auxiliary == "will" else f"{auxiliary}n't"
