"""The built-in corpus, the topics of its sentences, and the built-in pairs."""

from __future__ import annotations

import random
from collections.abc import Iterator

from distillcse_kit.data.builtin.scene_pairs import SPLITS, is_good_length, scene_pairs
from distillcse_kit.data.builtin.scenes import gold_similarity, sample_scene
from distillcse_kit.data.builtin.wording import Style, realise
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError

MOST_SENTENCES = 1_000_000  # far more distinct sentences exist, so generating this many always ends

MOST_PAIRS = 50_000


def builtin_corpus(size: int = 40_000, seed: int = 0) -> list[str]:
    """``size`` different sentences, the same on every machine. No event of a built-in pair occurs in them.

    Raises:
        KitError: size is not in 1..1,000,000.
    """
    return [sentence for sentence, _ in _corpus(size, seed)]


def builtin_topics(size: int = 40_000, seed: int = 0) -> list[str]:
    """The topic of each sentence of ``builtin_corpus(size, seed)``."""
    return [topic for _, topic in _corpus(size, seed)]


def builtin_pairs(split: str = "test", size: int = 1_500, seed: int = 0) -> SentencePairs:
    """``size`` different pairs. Their gold score, 0 to 5, is ``gold_similarity`` of their scenes.

    The splits dev and test have no event in common.

    Raises:
        KitError: the split is not dev or test, or size is not in 1..50,000.
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


def _corpus(size: int, seed: int) -> Iterator[tuple[str, str]]:
    """(sentence, topic) of ``size`` different sentences; events of the built-in pairs are left out."""
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


def _check_size(size: int, most: int) -> None:
    if not 1 <= size <= most:
        raise KitError(f"The built-in corpus cannot give {size:,} different entries; ask for 1 to {most:,} of them.")
