"""Scores against scipy and against plain counting, and samples of pairs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.data import sts
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.sts import load_sts
from distillcse_kit.data.tasks import Task
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import evaluate_sts, pair_cosines, score_pairs, spearman
from distillcse_kit.evaluation.scoring import first_pairs, pairs_fingerprint


class Letters:
    """An encoder that counts letters, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, sentences: list[str]) -> np.ndarray:
        self.asked += sentences
        return np.array([[text.count(letter) + 0.1 for letter in "aeioust"] for text in sentences])


PAIRS = SentencePairs(
    "p",
    ["a cat sat", "the sun is out", "a cat sat", "oats", "tea", "use it"],
    ["a sea", "it is hot", "a cat sat", "tea", "oats", "is it so"],
    [1.0, 2.5, 5.0, 2.5, 2.5, 3.0],
)


def test_scores_are_scipys_with_ties_and_repeated_sentences() -> None:
    encoder = Letters()
    expected = []
    for first, second in zip(PAIRS.first, PAIRS.second, strict=True):
        a, b = Letters().encode([first, second])
        expected.append(a @ b / np.sqrt((a @ a) * (b @ b)))
    np.testing.assert_allclose(pair_cosines(encoder, PAIRS), expected)
    assert len(encoder.asked) == len(set(encoder.asked)) == 8
    assert score_pairs(Letters(), PAIRS) == pytest.approx(100 * stats.spearmanr(expected, PAIRS.score).statistic)


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_a_constant_encoder_has_no_score() -> None:
    class Constant:
        def encode(self, sentences: list[str]) -> np.ndarray:
            return np.ones((len(sentences), 3))

    assert math.isnan(score_pairs(Constant(), PAIRS))


def ranks(values: list[float]) -> np.ndarray:
    """The rank of each value by counting; ties share the mean of their ranks."""
    smaller = [sum(other < value for other in values) for value in values]
    equal = [sum(other == value for other in values) for value in values]
    return np.array(smaller) + (np.array(equal) + 1) / 2


def random_pairs(seed: int, n: int = 60) -> SentencePairs:
    """Short words in which sentences, pairs and scores come up again and again."""
    draw = np.random.default_rng(seed)
    first, second = (["".join(draw.choice(list("aeiou"), draw.integers(1, 4))) for _ in range(n)] for _ in range(2))
    return SentencePairs("r", first, second, draw.integers(0, 6, n).astype(float).tolist())


@pytest.mark.parametrize("seed", range(3))
def test_a_score_with_many_ties_is_pearsons_of_counted_ranks(seed: int) -> None:
    class Turns:
        """Quarter turns of one vector by the number of letters: cosines of exactly -1, 0 and 1."""

        def encode(self, sentences: list[str]) -> np.ndarray:
            return np.array([[(3.0, 0.0), (0.0, 2.0), (-5.0, 0.0)][len(text) - 1] for text in sentences])

    pairs = random_pairs(seed)
    turns = [abs(len(a) - len(b)) for a, b in zip(pairs.first, pairs.second, strict=True)]
    cosines = [(1.0, 0.0, -1.0)[turn] for turn in turns]
    expected = 100 * np.corrcoef(ranks(cosines), ranks(pairs.score))[0, 1]
    assert score_pairs(Turns(), pairs) == pytest.approx(expected, abs=1e-9)
    assert spearman(np.exp(cosines) - 7, pairs.score) == pytest.approx(expected, abs=1e-9)
    assert spearman(np.negative(cosines), pairs.score) == pytest.approx(-expected, abs=1e-9)


def test_the_length_of_an_embedding_does_not_count_and_a_zero_one_is_no_error() -> None:
    class Scaled(Letters):
        def encode(self, sentences: list[str]) -> np.ndarray:
            lengths = np.array([[10.0 ** (len(text) % 5)] for text in sentences])
            return (super().encode(sentences) * lengths).astype(np.float32)

    class Nothing(Letters):
        def encode(self, sentences: list[str]) -> np.ndarray:
            return super().encode(sentences) * np.array([[text != "oats"] for text in sentences])

    np.testing.assert_allclose(pair_cosines(Scaled(), PAIRS), pair_cosines(Letters(), PAIRS), atol=1e-6)
    cosines = pair_cosines(Nothing(), PAIRS)
    zero = ["oats" in pair for pair in zip(PAIRS.first, PAIRS.second, strict=True)]
    assert cosines.dtype == np.float64 and (cosines[zero] == 0).all() and (cosines[np.invert(zero)] > 0).all()


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_constant_gold_scores_have_no_correlation() -> None:
    same = SentencePairs("s", list(PAIRS.first), list(PAIRS.second), [2.0] * len(PAIRS))
    assert math.isnan(score_pairs(Letters(), same)) and math.isnan(spearman([1.0, 1.0], [1.0, 2.0]))


def test_a_year_has_one_correlation_and_not_the_mean_of_its_subsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each subset is in perfect order, but one of them lies lower: over all pairs the order is far from perfect."""
    year = Task("sts13", "STS13", {"test": 6}, frozenset({"sts13"}), subsets={"one": 3, "two": 3})
    monkeypatch.setitem(sts.TASKS, "sts13", year)
    (tmp_path / "sts13").mkdir()
    for subset, gold in (("one", "0\n0.5\n1\n"), ("two", "4\n4.5\n5\n")):
        (tmp_path / "sts13" / f"STS.gs.{subset}.txt").write_text(gold, encoding="utf-8")
        lines = [f"{subset} {n}\tx\n" for n in range(3)]
        (tmp_path / "sts13" / f"STS.input.{subset}.txt").write_text("".join(lines), encoding="utf-8")

    class Angles:
        """The cosine with "x" rises within each subset; subset one lies above two, against the gold scores."""

        def encode(self, sentences: list[str]) -> np.ndarray:
            cosine = [
                1.0 if text == "x" else int(text[-1]) / 10 + (0.5 if text.startswith("one") else 0.0)
                for text in sentences
            ]
            return np.array([[c, math.sqrt(1 - c * c)] for c in cosine])

    expected = 100 * stats.spearmanr([0.5, 0.6, 0.7, 0.0, 0.1, 0.2], [0, 0.5, 1, 4, 4.5, 5]).statistic
    assert evaluate_sts(Angles(), ["sts13"], tmp_path) == {"sts13": pytest.approx(expected)}
    assert expected < 0  # the mean of the subsets is 100


def test_several_sets_are_scored_by_name(tmp_path: Path) -> None:
    own = tmp_path / "own.tsv"
    rows = zip(PAIRS.first, PAIRS.second, PAIRS.score, strict=True)
    own.write_text("".join(f"{first}\t{second}\t{score}\n" for first, second, score in rows), encoding="utf-8")
    found = evaluate_sts(Letters(), [str(own), "kit"])
    assert list(found) == [str(own), "kit"]
    for task, score in found.items():
        pairs = load_sts(task)
        first, second = Letters().encode(list(pairs.first)), Letters().encode(list(pairs.second))
        cosines = (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1))
        assert score == pytest.approx(100 * stats.spearmanr(cosines, pairs.score).statistic, abs=0.1)
    with pytest.raises(KitError, match="sts99: there is no such set"):
        evaluate_sts(Letters(), ["sts99"])


def test_a_sentence_transformers_model_is_an_encoder(tiny: Path, dev: SentencePairs) -> None:
    """With the same weights and pooling, both libraries give the same cosines."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    bert = Transformer(str(tiny))
    theirs = SentenceTransformer(modules=[bert, Pooling(32, pooling_mode="cls")], device="cpu")
    ours = SentenceEncoder.load(tiny, "cls")
    np.testing.assert_allclose(pair_cosines(theirs, dev), pair_cosines(ours, dev), atol=1e-5)
    assert score_pairs(theirs, dev) == pytest.approx(score_pairs(ours, dev), abs=0.1)
    assert score_pairs(ours, dev) != pytest.approx(score_pairs(SentenceEncoder.load(tiny, "avg"), dev), abs=0.1)


# ---------------------------------------------------------------- samples and fingerprints


def test_a_sample_of_pairs_keeps_pairs_together() -> None:
    some = first_pairs(PAIRS, 4)
    assert len(some) == 4 and some.name == "p (4 of 6)"
    rows = list(zip(PAIRS.first, PAIRS.second, PAIRS.score, strict=True))
    chosen = [rows.index(row) for row in zip(some.first, some.second, some.score, strict=True)]
    assert chosen == sorted(chosen) and len(set(chosen)) == 4
    assert first_pairs(PAIRS, 0) is PAIRS is first_pairs(PAIRS, 6)
    assert pairs_fingerprint(some) != pairs_fingerprint(PAIRS) == pairs_fingerprint(SentencePairs("q", *columns(PAIRS)))


def columns(pairs: SentencePairs) -> tuple[list[str], list[str], list[float]]:
    return list(pairs.first), list(pairs.second), list(pairs.score)


def test_a_sample_is_decided_by_its_seed_and_fair() -> None:
    assert first_pairs(PAIRS, 3) == first_pairs(PAIRS, 3)
    first = [f"s{n}" for n in range(6)]
    pairs = SentencePairs("p", first, first, [float(n) for n in range(6)])
    drawn = np.zeros(6)
    for seed in range(600):
        drawn[np.array(first_pairs(pairs, 2, seed).score, dtype=int)] += 1
    assert stats.chisquare(drawn).pvalue > 0.001 and drawn.sum() == 1_200
    assert first_pairs(pairs, 7) is pairs is first_pairs(pairs, -1)


def test_a_fingerprint_sees_sentences_scores_order_and_sides() -> None:
    def fingerprint(first: list[str], second: list[str], score: list[float]) -> str:
        return pairs_fingerprint(SentencePairs("p", first, second, score))

    rows = (["a", "b"], ["c", "d"], [1.0, 2.0])
    others = [
        (["a", "x"], ["c", "d"], [1.0, 2.0]),
        (["a", "b"], ["c", "d"], [1.0, 2.5]),
        (["b", "a"], ["d", "c"], [2.0, 1.0]),
        (["c", "b"], ["a", "d"], [1.0, 2.0]),
        (["a"], ["c"], [1.0]),
    ]
    assert len({fingerprint(*rows), *(fingerprint(*other) for other in others)}) == 6
    assert fingerprint(*rows) == fingerprint(*rows)
