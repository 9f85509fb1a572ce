"""The vocabulary of the micro encoder, and its first vectors against counts by loops and a dense SVD."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SENTENCES

from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.training import word_pieces
from distillcse_kit.training.word_pieces import learn_vocabulary, new_tokenizer, ppmi_svd_embeddings


def text_of(rows: list[list[int]]) -> TokenizedText:
    return TokenizedText(np.concatenate(rows).astype(np.int32), np.cumsum([0, *map(len, rows)]))


# ---------------------------------------------------------------- vocabulary


def test_a_vocabulary_begins_with_the_special_tokens_and_spells_every_word() -> None:
    pieces = learn_vocabulary(SENTENCES, 120)
    assert pieces[:5] == word_pieces.SPECIAL_TOKENS == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert pieces[5:] == sorted(pieces[5:])  # the ids do not depend on the learner's order
    assert len(pieces) == len(set(pieces)) == 120
    tokenizer = new_tokenizer(pieces, 64)
    for sentence in SENTENCES[:20]:
        spelt = tokenizer.convert_ids_to_tokens(tokenizer(sentence.upper())["input_ids"])
        assert (spelt[0], spelt[-1]) == ("[CLS]", "[SEP]") and "[UNK]" not in spelt
        assert "".join(spelt[1:-1]).replace("##", "") == sentence.replace(" ", "")


# ---------------------------------------------------------------- vectors from counts


def test_ppmi_vectors_have_the_products_of_the_plain_computation() -> None:
    """Counts with a loop, numpy's full SVD; with all dimensions kept, inner products are those of U S U'."""
    draw = np.random.default_rng(0)
    size = 12
    rows = [draw.integers(0, size, draw.integers(3, 9)).tolist() for _ in range(40)]
    counts = np.zeros((size, size))
    for row in rows:
        for i, word in enumerate(row):
            for j, context in enumerate(row):
                if i != j and abs(i - j) <= 3:
                    counts[word, context] += 1 / abs(i - j)
    totals = counts.sum(axis=1)
    contexts = totals**0.75 / (totals**0.75).sum()
    with np.errstate(divide="ignore"):
        ppmi = np.maximum(0, np.log(counts / totals[:, None] / contexts))
    left, singular, _ = np.linalg.svd(ppmi)
    expected = left * np.sqrt(singular)
    found = ppmi_svd_embeddings(text_of(rows), size, size, window=3).astype(float)
    assert found.std() == pytest.approx(0.04, rel=1e-4)
    found *= np.linalg.norm(expected) / np.linalg.norm(found)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)


@pytest.mark.parametrize(("window", "smoothing"), [(1, 0.75), (2, 1.0), (5, 0.5)])
def test_truncated_vectors_are_the_largest_part_of_the_dense_svd(window: int, smoothing: float) -> None:
    """PPMI written as probabilities, p(w, c) / (p(w) p'(c)), a pair of places at a time; then numpy's SVD cut to k."""
    draw, size, k = np.random.default_rng(window), 15, 4
    rows = [draw.choice(size - 1, draw.integers(2, 9), p=draw.dirichlet(np.ones(size - 1))).tolist() for _ in range(30)]
    joint = np.zeros((size, size))  # word 14 never occurs
    for row in rows:
        for i in range(len(row)):
            for j in range(i + 1, min(len(row), i + window + 1)):
                joint[row[i], row[j]] += 1 / (j - i)
                joint[row[j], row[i]] += 1 / (j - i)
    joint /= joint.sum()
    word = joint.sum(axis=1)
    context = word**smoothing / np.sum(word**smoothing)
    seen = np.argwhere(joint > 0)
    ppmi = np.zeros((size, size))
    for w, c in seen:
        ppmi[w, c] = max(0.0, np.log(joint[w, c] / (word[w] * context[c])))
    left, singular, _ = np.linalg.svd(ppmi)
    expected = (left[:, :k] * singular[:k]) @ left[:, :k].T
    vectors = ppmi_svd_embeddings(text_of(rows), size, k, window, smoothing).astype(float)
    assert vectors.shape == (size, k) and np.abs(vectors[14]).max() < 1e-6
    gram = vectors @ vectors.T
    np.testing.assert_allclose(gram / np.linalg.norm(gram), expected / np.linalg.norm(expected), atol=1e-4)
    assert np.array_equal(vectors, ppmi_svd_embeddings(text_of(rows), size, k, window, smoothing))


def test_words_in_the_same_company_are_close() -> None:
    """1 and 2 always stand between 5 and 6; 3 between 7 and 8."""
    rows = [[5, word, 6] for word in (1, 2)] * 20 + [[7, 3, 8]] * 20
    vectors = ppmi_svd_embeddings(text_of(rows), 9, 4)
    cosine = np.corrcoef(vectors)
    assert cosine[1, 2] > 0.99 > 0.5 > cosine[1, 3]
