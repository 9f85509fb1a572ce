"""The Group-P explorer says what the library computes, for values in and at the ends of each trait's range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from distillcse_kit.errors import KitError
from distillcse_kit.explorers import GroupPExplorer
from distillcse_kit.method.losses import distillation_loss
from distillcse_kit.method.shuffling import group_p_assignments, group_p_shuffle

N = 12
SENTENCES = [f"sentence {i} costs $5 & <b>more</b>" for i in range(N)]


@pytest.fixture(scope="module")
def cosines() -> np.ndarray:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(N, 6)) + 0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


@pytest.fixture
def explorer(cosines: np.ndarray) -> GroupPExplorer:
    return GroupPExplorer(torch.from_numpy(cosines), SENTENCES, p=0.2)


def expected(cosines: np.ndarray, state: dict[str, Any]) -> list[str]:
    """The numbers in the words, by hand. The batch: the anchor, then those after it; after the last, the first."""
    rows = [(state["row"] + i) % N for i in range(state["batch_size"])]
    batch = torch.from_numpy(cosines[np.ix_(rows, rows)]).float()
    groups = group_p_assignments(batch, state["p"], state["temperature"])[0, 1:]
    sizes = [int((groups == group).sum()) for group in sorted(set(groups.tolist()))]
    shuffled = group_p_shuffle(batch, state["p"], state["temperature"], torch.Generator().manual_seed(state["seed"]))
    before, after = (torch.softmax(t[0, 1:].double() / 0.01, dim=0) for t in (batch, shuffled))
    order = torch.argsort(-batch[0, 1:], stable=True)
    chosen = int(order[state["rank"] - 1])
    loss = float(distillation_loss(batch, shuffled, 0.02, 0.01))
    others = ~np.eye(len(rows), dtype=bool)
    ranks = [
        stats.spearmanr(a, b).statistic
        for a, b in zip(
            batch.numpy()[others].reshape(len(rows), -1), shuffled.numpy()[others].reshape(len(rows), -1), strict=True
        )
    ]
    return [
        f"{len(sizes)} group{'s' * (len(sizes) > 1)} of {', '.join(map(str, sizes))} logits, cut by a softmax at "
        f"temperature {state['temperature']:g} (",
        f"moves {float((after - before).abs().sum()) / 2:.0%} of",
        f"cross-entropy {loss:.2f} nats",
        f"Rank correlation with the unshuffled logits: {np.mean(ranks):.2f}.",
        f"Bar {state['rank']} (grey band): cosine {batch[0, 1 + chosen]:.3f}, target {before[chosen]:.2g} before, "
        f"{after[chosen]:.2g} after",
        f"on average. Its sentence: sentence {rows[1 + chosen]} costs $5",
    ]


@pytest.mark.parametrize(
    ("control", "values"),
    [
        ("p", [0.01, 0.35, 1.0]),
        ("row", list(range(N))),
        ("seed", [0, 25, 9_999]),
        ("temperature", [0.01, 0.2, 1.0, 2.0]),
        ("batch_size", [4, 7, N]),
        ("rank", [1, 6, N - 1]),
    ],
)
def test_words_and_picture_follow_each_control(
    explorer: GroupPExplorer, cosines: np.ndarray, control: str, values: list[Any]
) -> None:
    pictures = []
    for value in values:
        explorer.controls[control].value = value
        assert explorer.state[control] == value
        words = explorer.words.value.replace("&amp;", "&")
        for phrase in expected(cosines, explorer.state):
            assert phrase in words, (phrase, words)
        pictures.append(explorer.image.value)
    assert len(set(pictures)) == len(values)


def test_the_button_takes_the_next_seed_and_starts_over_after_the_last(explorer: GroupPExplorer) -> None:
    before = explorer.image.value
    explorer.buttons["shuffle"].click()
    assert explorer.seed == 1 and explorer.image.value != before
    explorer.seed = 9_999
    explorer.buttons["shuffle"].click()
    assert explorer.seed == 0


def test_a_smaller_batch_moves_the_bar_to_its_last(explorer: GroupPExplorer, cosines: np.ndarray) -> None:
    explorer.rank = N - 1
    explorer.batch_size = 5
    assert explorer.rank == 4 == explorer.controls["rank"].max
    assert all(phrase in explorer.words.value.replace("&amp;", "&") for phrase in expected(cosines, explorer.state))


def test_values_of_p_that_shuffle_nothing_or_everything_are_explained(explorer: GroupPExplorer) -> None:
    explorer.p = 0.01
    assert "nothing can be shuffled" in explorer.words.value
    explorer.p = 1.0
    assert "All logits are in one group" in explorer.words.value and "1 group of 11 logits" in explorer.words.value


@pytest.mark.parametrize(
    ("trait", "value"),
    [
        ("p", 0.0),
        ("p", 1.01),
        ("row", N),
        ("row", -1),
        ("batch_size", 3),
        ("batch_size", N + 1),
        ("rank", 0),
        ("rank", N),
        ("seed", -1),
        ("temperature", 0.03),
    ],
)
def test_a_trait_outside_its_range_is_refused_and_changes_nothing(
    explorer: GroupPExplorer, trait: str, value: Any
) -> None:
    before = explorer.state
    with pytest.raises(KitError, match=f"{trait} is {value}"):
        setattr(explorer, trait, value)
    assert explorer.state == before and explorer.controls[trait].value == before[trait]


def test_sentences_are_text(explorer: GroupPExplorer) -> None:
    assert "<b>more" not in explorer.words.value and "&lt;b&gt;more" in explorer.words.value


def test_sentences_of_another_batch_are_refused(cosines: np.ndarray) -> None:
    with pytest.raises(KitError, match="11 sentences, but cosines of 12"):
        GroupPExplorer(cosines, SENTENCES[:11])
