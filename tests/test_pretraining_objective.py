"""What pretraining minimises: hidden words, and the two objectives that only [CLS] can answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from scipy.special import log_softmax
from torch import Tensor
from transformers import BertForMaskedLM

from distillcse_kit.data.tokens import pad_rows
from distillcse_kit.training.masked_lm import mask_tokens, new_micro_encoder
from distillcse_kit.training.pretraining_objective import PretrainingObjective
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.sentence_objectives import COMMON, word_weights
from distillcse_kit.training.word_pieces import learn_vocabulary, new_tokenizer

SMALL = PretrainingSettings(vocabulary_size=120, hidden_size=16, layers=1, heads=2, max_tokens=24)
TOKENIZER = new_tokenizer(learn_vocabulary(SENTENCES, 120), 24)
IDS = pad_rows(TOKENIZER(SENTENCES[:6])["input_ids"] + [[2, 9, 3]], 0, 24)
COUNTS = torch.from_numpy(np.bincount(np.concatenate(TOKENIZER(SENTENCES)["input_ids"]), minlength=120))


def model() -> BertForMaskedLM:
    vectors = np.random.default_rng(0).normal(0, 0.5, (120, 16)).astype(np.float32)
    return new_micro_encoder(SMALL, TOKENIZER, vectors).eval()


def objective(**settings: float) -> PretrainingObjective:
    return PretrainingObjective(model(), replace(SMALL, **settings), COUNTS).eval()  # type: ignore[arg-type]


def drawn(share: float, seed: int = 2) -> tuple[Tensor, ...]:
    return mask_tokens(IDS, share, 4, 120, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.2, 0.9])  # the second is larger than the share of ordinary tokens
def test_the_loss_of_hidden_words_is_that_of_transformers(share: float) -> None:
    """Its own forward pass over all positions, with the labels laid out on them."""
    ours, (masked, places, labels) = objective(), drawn(share)
    grid = torch.full(IDS.shape, -100).flatten().index_copy(0, places, labels).view_as(IDS)
    expected = ours.model(input_ids=masked, attention_mask=(IDS != 0).long(), labels=grid).loss
    found = ours(IDS, masked, places, labels)
    assert found[0].item() == pytest.approx(expected.item(), rel=1e-5)
    assert found[1:].tolist() == [0.0, 0.0]


def test_a_bag_of_words_is_the_mean_over_its_words_one_by_one() -> None:
    ours, (masked, places, labels) = objective(bag_weight=1.0), drawn(0.2)
    found = ours(IDS, masked, places, labels)[1]
    states = ours.model.bert(input_ids=masked, attention_mask=(IDS != 0).long()).last_hidden_state[:, 0]
    vectors = ours.model.get_input_embeddings().weight.detach().numpy()
    share = COUNTS.numpy() / COUNTS.numpy().sum()
    total = weight = 0.0
    for cls, row in zip(states, IDS.tolist(), strict=True):
        log_p = log_softmax(vectors @ ours.bag.transform(cls).detach().numpy())  # type: ignore[union-attr]
        for token in row:
            if token >= 5:
                counted = min(1.0, (COMMON / max(share[token], 1e-12)) ** 0.5)
                total, weight = total - counted * log_p[token], weight + counted
    assert found.item() == pytest.approx(total / weight, rel=1e-4)


def test_common_words_count_less_and_special_tokens_not_at_all() -> None:
    counts = torch.tensor([10**6] * 5 + [1, 10**4, 10**6, 0])
    weights = word_weights(counts)
    assert weights[:5].tolist() == [0.0] * 5
    assert weights[5] == weights[8] == 1.0
    assert weights[6] / weights[7] == pytest.approx(10.0)  # the root of a hundred


def test_a_bag_of_words_reads_nothing_but_cls() -> None:
    """Its gradient reaches the last layer's states at the first place alone."""
    ours, (masked, places, labels) = objective(bag_weight=1.0), drawn(0.2)
    states: list[Tensor] = []
    ours.model.bert.register_forward_hook(lambda *a: states.append(a[2].last_hidden_state))
    losses = ours(IDS, masked, places, labels)
    (gradient,) = torch.autograd.grad(losses[1], states[0])
    assert gradient[:, 0].any(dim=-1).all() and not gradient[:, 1:].any()


def test_the_decoder_needs_cls_and_sees_only_the_words_that_are_left() -> None:
    ours = objective(decoder_weight=1.0)
    arguments = ours.draw(IDS, torch.Generator().manual_seed(0))
    masked, positions, _ = arguments[4:]
    assert len(positions) == len(arguments[2])  # as many guesses as the encoder makes
    chosen = min(int((IDS >= 5).sum()), round(0.5 * IDS.numel()))
    assert 0.75 * chosen <= (masked != IDS).sum() <= chosen
    cls = torch.randn(len(IDS), 16, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = ours.decoder(ours.model, cls, *arguments[4:])  # type: ignore[misc]
    (gradient,) = torch.autograd.grad(loss, cls)
    rows = torch.unique(positions // IDS.shape[1])
    assert gradient[rows].any(dim=-1).all()
    hidden = masked.flatten()[positions[0]]
    other = masked.clone()
    other.view(-1)[positions[0]] = 20 if hidden != 20 else 21
    assert ours.decoder(ours.model, cls, other, *arguments[5:]) != loss  # type: ignore[misc]
    longest = int((IDS != 0).sum(dim=1).max())
    assert longest < 24
    narrower = positions // 24 * longest + positions % 24
    again = ours.decoder(ours.model, cls, masked[:, :longest], narrower, arguments[6])  # type: ignore[misc]
    assert again.item() == pytest.approx(loss.item(), rel=1e-5)


def test_parts_of_weight_zero_are_not_built_and_draw_nothing() -> None:
    plain, both = objective(), objective(bag_weight=0.3, decoder_weight=0.5)
    assert plain.bag is None and plain.decoder is None
    assert {name.split(".")[0] for name, _ in plain.named_parameters()} == {"model"}
    assert {name.split(".")[0] for name, _ in both.named_parameters()} == {"model", "bag", "decoder"}
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    first, second = (one.draw(IDS, generator) for one, generator in zip((plain, both), generators, strict=True))
    assert len(first) == 4 and len(second) == 7
    assert all(torch.equal(a, b) for a, b in zip(first, second[:4], strict=True))


def test_new_heads_depend_on_the_seed_alone() -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first = objective(bag_weight=1.0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(10)
    second, other = objective(bag_weight=1.0), objective(bag_weight=1.0, seed=1)
    weights = [one.bag.transform.weight for one in (first, second, other)]  # type: ignore[union-attr]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
