"""The micro encoder's vocabulary, and the vectors with which its word pieces start."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from sklearn.utils.extmath import randomized_svd
from tokenizers import BertWordPieceTokenizer
from transformers import BertTokenizer

from distillcse_kit.data.tokens import TokenizedText

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def learn_vocabulary(sentences: list[str], size: int) -> list[str]:
    """Learn a lower-case word-piece vocabulary of at most ``size`` pieces, special tokens included, in order of id.

    The learner numbers its pieces in random order. They are sorted here, so that the same text gives the same ids,
    unless pieces tie for the last places.
    """
    learner = BertWordPieceTokenizer(lowercase=True)
    learner.train_from_iterator(
        sentences, vocab_size=size, min_frequency=2, special_tokens=SPECIAL_TOKENS, show_progress=False
    )
    return [*SPECIAL_TOKENS, *sorted(set(learner.get_vocab()) - set(SPECIAL_TOKENS))]


def new_tokenizer(pieces: list[str], max_tokens: int) -> BertTokenizer:
    """The tokenizer of a vocabulary that is given in order of id."""
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=max_tokens)


def ppmi_svd_embeddings(
    text: TokenizedText, vocabulary_size: int, dimensions: int, window: int = 5, smoothing: float = 0.75, seed: int = 0
) -> np.ndarray:
    """Word-piece vectors from co-occurrence counts: U sqrt(S) of the truncated SVD of the positive PMI matrix.

        PPMI[w, c] = max(0, ln( p(w, c) / (p(w) p'(c)) ))

        p(w, c) = n(w, c) / n,   p(w) = n(w) / n,   p'(c) = n(c)^smoothing / sum_c n(c)^smoothing

    n(w, c) counts how often c is within ``window`` places of w in a sentence, each time weighted by 1 / distance; n(w),
    n(c) and n are its sums (Levy and Goldberg, NeurIPS 2014; Levy, Goldberg and Dagan, TACL 2015).

    Args:
        text: the corpus as token ids.
        vocabulary_size: number of word pieces.
        dimensions: of the vectors.
        window: largest distance that counts.
        smoothing: exponent of the context's counts; below 1 it weakens rare contexts.
        seed: of the randomised SVD.

    Returns:
        float32 [vocabulary_size, dimensions], scaled to a standard deviation of 0.04, which is common in BERT models.
    """
    sentence = np.repeat(np.arange(len(text.lengths)), text.lengths)
    counts = csr_matrix((vocabulary_size, vocabulary_size), dtype=np.float32)
    for distance in range(1, window + 1):
        inside = sentence[distance:] == sentence[:-distance]
        left, right = text.ids[:-distance][inside], text.ids[distance:][inside]
        weight = np.full(left.size, 1.0 / distance, dtype=np.float32)
        one_sided = csr_matrix((weight, (left, right)), shape=counts.shape)
        counts = counts + one_sided + one_sided.T
    totals = np.asarray(counts.sum(axis=1)).ravel()
    contexts = totals**smoothing
    inverse_context = np.divide(contexts.sum(), contexts, out=np.zeros_like(contexts), where=contexts > 0)
    inverse_total = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
    ratio = (diags(inverse_total) @ counts @ diags(inverse_context)).tocsr()
    ratio.data = np.maximum(0.0, np.log(np.maximum(ratio.data, 1e-12))).astype(np.float32)
    ratio.eliminate_zeros()
    left_vectors, singular, _ = randomized_svd(ratio, dimensions, random_state=seed)
    vectors = left_vectors * np.sqrt(singular)
    return (vectors * (0.04 / vectors.std())).astype(np.float32)
