"""What the kit calls: the built-in corpus, its topics, and the built-in pairs."""

from __future__ import annotations

import random
from collections.abc import Iterator

from distillcse_kit.data.builtin.scene_pairs import SPLITS, is_good_length, scene_pairs
from distillcse_kit.data.builtin.scenes import gold_similarity, sample_scene
from distillcse_kit.data.builtin.wording import Style, realise
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError

MOST_SENTENCES = 1_000_000  # a promise that generation ends; far more distinct sentences exist

MOST_PAIRS = 50_000

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
        if is_good_length(sentence) and sentence not in seen:
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
