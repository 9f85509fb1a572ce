"""Alignment, uniformity and anisotropy against plain loops over pairs; dropout views leave no trace."""

from __future__ import annotations

from itertools import permutations
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SENTENCES

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import geometry
from distillcse_kit.evaluation.geometry import alignment, dropout_views, mean_cosine, measure_geometry, uniformity


def _unit(row: np.ndarray) -> np.ndarray:
    wide = row.astype(np.float64)
    return wide / np.sqrt((wide**2).sum())


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32) + 0.5


def test_against_loops_over_pairs(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "_BLOCK", 7)  # several blocks, the last one smaller
    pairs = list(permutations(range(len(vectors)), 2))
    units = [_unit(row) for row in vectors]
    distances = [float(((units[i] - units[j]) ** 2).sum()) for i, j in pairs]
    assert uniformity(vectors) == pytest.approx(log(sum(exp(-2 * d) for d in distances) / len(pairs)), abs=1e-9)
    assert uniformity(vectors, 0.5) == pytest.approx(log(sum(exp(-0.5 * d) for d in distances) / len(pairs)), abs=1e-9)
    assert mean_cosine(vectors) == pytest.approx(np.mean([units[i] @ units[j] for i, j in pairs]), abs=1e-9)
    second = vectors[::-1]
    wanted = np.mean([((_unit(a) - _unit(b)) ** 2).sum() for a, b in zip(vectors, second, strict=True)])
    assert alignment(vectors, second) == pytest.approx(wanted, abs=1e-9)


def test_known_shapes() -> None:
    one_point = np.ones((4, 3))
    assert uniformity(one_point) == pytest.approx(0) and mean_cosine(one_point) == pytest.approx(1)
    cross = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])  # per point: two at distance^2 2, one at 4
    assert uniformity(cross) == pytest.approx(log((2 * exp(-4) + exp(-8)) / 3))
    assert mean_cosine(cross) == pytest.approx(-1 / 3)
    assert alignment(cross, -3 * cross) == pytest.approx(4) and alignment(cross, 2 * cross) == pytest.approx(0)


def test_measured_on_pairs(tiny: Path) -> None:
    encoder = SentenceEncoder.load(tiny)
    pairs = SentencePairs("p", SENTENCES[:4], SENTENCES[1:5], [5.0, 4.0, 3.9, 0.0])
    found = measure_geometry(encoder, pairs)
    vectors = encoder.encode(SENTENCES[:5])  # four of them occur twice and count once
    assert (found.positives, found.sentences) == (2, 5)
    assert found.alignment == pytest.approx(alignment(vectors[:2], vectors[1:3]), abs=1e-6)
    assert found.uniformity == pytest.approx(uniformity(vectors), abs=1e-6)
    assert found.mean_cosine == pytest.approx(mean_cosine(vectors), abs=1e-6)


def test_mistakes_are_one_sentence(vectors: np.ndarray, tiny: Path) -> None:
    with pytest.raises(KitError, match="at least two"):
        uniformity(vectors[:1])
    with pytest.raises(KitError, match="greater than 0"):
        uniformity(vectors, 0)
    with pytest.raises(KitError, match="as many"):
        alignment(vectors, vectors[1:])
    with pytest.raises(KitError, match="lower positive_from"):
        measure_geometry(SentenceEncoder.load(tiny), SentencePairs("p", ["a"], ["b"], [1.0]))


def test_dropout_views_differ_by_the_seed_only_and_leave_no_trace(tiny: Path) -> None:
    encoder = SentenceEncoder.load(tiny).eval()
    state = torch.get_rng_state()
    first, second = dropout_views(encoder, SENTENCES[:6], seed=1)
    assert torch.equal(torch.get_rng_state(), state) and not encoder.training
    assert first.shape == second.shape == (6, encoder.width)
    assert np.allclose(np.linalg.norm(first, axis=1), 1)
    assert not np.allclose(first, second)  # two masks
    again, _ = dropout_views(encoder, SENTENCES[:6], seed=1)
    assert np.array_equal(first, again)
    assert not np.allclose(first, dropout_views(encoder, SENTENCES[:6], seed=2)[0])
