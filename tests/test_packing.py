"""The packed forward pass gives the states of the whole model, and cheap dropout is a dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.fast.dropout import CheapDropout, dropout_mask, use_cheap_dropout
from distillcse_kit.fast.packing import ROUND, Layout, cls_state, hidden_states, is_like_bert
from distillcse_kit.fast.switches import Switches
from distillcse_kit.fast.threads import sharing

SHAPE = {
    "vocab_size": 90,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}


def model_of(kind: str, **changes: Any) -> Any:
    torch.manual_seed(3)
    if kind == "bert":
        return BertModel(BertConfig(**SHAPE, **changes), add_pooling_layer=False).eval()
    return RobertaModel(RobertaConfig(**SHAPE, pad_token_id=1, **changes), add_pooling_layer=False).eval()


def batch() -> dict[str, torch.Tensor]:
    lengths = torch.tensor([9, 4, 12, 1, 12])
    mask = (torch.arange(12) < lengths[:, None]).long()
    ids = torch.randint(5, 90, (5, 12), generator=torch.Generator().manual_seed(1))
    return {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}


def same_gradients(model: Any, whole: Any) -> None:
    of_whole = dict(whole.named_parameters())
    for name, weight in model.named_parameters():
        # A missing gradient counts as 0: the last layer's key bias has no influence.
        found = torch.zeros_like(weight) if weight.grad is None else weight.grad
        torch.testing.assert_close(found, of_whole[name].grad, atol=2e-4, rtol=1e-4)


KINDS = pytest.mark.parametrize("kind", ["bert", "roberta"])


@KINDS
@pytest.mark.parametrize("cheap", [False, True])
def test_cls_states_and_gradients_are_those_of_the_whole_model(kind: str, cheap: bool) -> None:
    model, whole = model_of(kind), model_of(kind)
    if cheap:
        use_cheap_dropout(model)
    assert is_like_bert(model)
    expected = whole(**batch()).last_hidden_state[:, 0]
    found = cls_state(model, batch())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    found.pow(3).sum().backward()
    expected.pow(3).sum().backward()
    same_gradients(model, whole)


@KINDS
def test_all_hidden_states_and_their_gradients_are_those_of_the_whole_model(kind: str) -> None:
    model, whole = model_of(kind), model_of(kind)
    tokens = batch()["attention_mask"].bool()
    expected = [states[tokens] for states in whole(**batch(), output_hidden_states=True).hidden_states]
    found = [states[tokens] for states in hidden_states(model, batch())]
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    for states in (found, expected):
        torch.cat([(number + 1) * part.pow(3) for number, part in enumerate(states)]).sum().backward()
    same_gradients(model, whole)


@KINDS
def test_training_with_dropout_near_0_is_the_same_too(kind: str) -> None:
    """With dropout, attention is written out; with a share near 0 it must give what the fused one gives."""
    model = model_of(kind, attention_probs_dropout_prob=1e-9, hidden_dropout_prob=0.0).train()
    whole = model_of(kind)
    use_cheap_dropout(model)
    torch.testing.assert_close(
        cls_state(model, batch()), whole(**batch()).last_hidden_state[:, 0], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("multiple", [1, 16, 50, 64])
def test_the_layout_puts_each_token_into_its_place(multiple: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each multiple that is rounded up to: 38 tokens and 22 of padding stay 38, or become 48, 50 or 60."""
    monkeypatch.setattr("distillcse_kit.fast.packing.ROUND", multiple)
    mask = batch()["attention_mask"]
    layout = Layout(mask, heads=3)
    count = {1: 38, 16: 48, 50: 50, 64: 60}[multiple]
    packed = torch.arange(count * 6, dtype=torch.float64).view(-1, 6).requires_grad_()
    places = layout.spread(packed)
    assert places.shape == (5, 3, 12, 2)
    real = mask.flatten()[layout.places].bool()
    rows = iter(packed.detach()[real])
    for i, length in enumerate(mask.sum(1).tolist()):
        for column in range(length):
            assert torch.equal(places[i, :, column].flatten(), next(rows))
    assert next(rows, None) is None
    assert torch.equal(layout.gather(places)[real], packed[real])
    assert layout.first.tolist() == [k for k, place in enumerate(layout.places.tolist()) if place % 12 == 0]
    # As in attention: the values at padding do not count.
    cubed = (places**3 * mask[:, None, :, None]).sum()
    cubed.backward()
    assert torch.allclose(packed.grad[real], 3 * packed.detach()[real] ** 2) and not packed.grad[~real].any()
    padded = torch.rand(5, 3, 12, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layout.gather, padded)


def test_batches_of_many_lengths_have_few_numbers_of_tokens() -> None:
    """Otherwise the matrix library would prepare a kernel for each of them."""
    draw = torch.Generator().manual_seed(0)
    sizes = set()
    for _ in range(50):
        lengths = torch.randint(5, 33, (64,), generator=draw)
        sizes.add(len(Layout((torch.arange(32) < lengths[:, None]).long(), 2).places))
    assert len(sizes) < 15 and all(size % ROUND == 0 for size in sizes)


@pytest.mark.parametrize("pooling", ["cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last"])
def test_an_encoder_that_is_not_fast_goes_through_transformers_with_the_same_result(tiny: Path, pooling: Any) -> None:
    encoder, plain = SentenceEncoder.load(tiny, pooling), SentenceEncoder.load(tiny, pooling, fast=False)
    calls: list[Any] = []
    plain.model.encoder.register_forward_hook(lambda *seen: calls.append(seen))
    encoder.model.encoder.register_forward_hook(lambda *seen: pytest.fail("not packed"))
    text = ["the cook washes a red bowl", "two letters", "a pilot forgets the garden gate and an apple"]
    found = encoder.encode(text)
    expected = plain.encode(text)
    assert len(calls) == 1 and plain.fast is False and encoder.fast is True
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


def test_a_decoder_is_not_taken_for_an_encoder() -> None:
    assert not is_like_bert(model_of("bert", is_decoder=True))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.03])
def test_the_mask_drops_a_share_p_independently_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    mask = dropout_mask(torch.Size([400, 501]), p)
    dropped = (mask == 0).numpy()
    assert stats.binomtest(int(dropped.sum()), dropped.size, p).pvalue > 0.001
    assert mask[mask > 0].unique().tolist() == pytest.approx([1 / (1 - round(p * 65536) / 65536)])
    # Four elements come from one draw: neighbours at every distance up to four must still be independent.
    flat = dropped.ravel()
    for distance in (1, 2, 3, 4):
        both = int((flat[:-distance] & flat[distance:]).sum())
        assert stats.binomtest(both, len(flat) - distance, p * p).pvalue > 0.001
    # Every place within a draw drops the same share.
    for place in range(4):
        assert stats.binomtest(int(flat[place::4].sum()), len(flat[place::4]), p).pvalue > 0.001


def test_the_mask_follows_the_global_seed() -> None:
    torch.manual_seed(5)
    first = dropout_mask(torch.Size([7, 3]), 0.5)
    second = dropout_mask(torch.Size([7, 3]), 0.5)
    torch.manual_seed(5)
    assert torch.equal(dropout_mask(torch.Size([7, 3]), 0.5), first) and not torch.equal(first, second)


def test_cheap_dropout_is_off_in_evaluation_and_at_p_0_and_all_at_p_1() -> None:
    states = torch.rand(6, 5)
    assert torch.equal(CheapDropout(0.5).eval()(states), states)
    assert torch.equal(CheapDropout(0.0).train()(states), states)
    assert torch.equal(CheapDropout(1.0).train()(states), torch.zeros(6, 5))


@KINDS
def test_training_views_have_the_spread_of_torchs_own_dropout(kind: str) -> None:
    """Mean and standard deviation over masks of each state, against nn.Dropout in the whole model."""
    plain, cheap = model_of(kind).train(), model_of(kind).train()
    use_cheap_dropout(cheap)
    assert not any(type(module) is torch.nn.Dropout for module in cheap.modules())
    torch.manual_seed(0)
    repeats = 300
    with torch.no_grad():
        expected = torch.stack([plain(**batch()).last_hidden_state[:, 0] for _ in range(repeats)])
        found = torch.stack([cls_state(cheap, batch()) for _ in range(repeats)])
    error = (expected.var(0) / repeats + found.var(0) / repeats).sqrt()
    assert ((expected.mean(0) - found.mean(0)) / error).abs().mean() < 1.0  # 0.8 for equal distributions
    assert (found.std(0) / expected.std(0)).mean() == pytest.approx(1, abs=0.03)


def test_saved_files_do_not_mention_cheap_dropout(tiny: Path, tmp_path: Path) -> None:
    encoder = SentenceEncoder.load(tiny)
    before = encoder.save(tmp_path / "before")
    use_cheap_dropout(encoder.model)
    after = encoder.save(tmp_path / "after")
    assert (before / "config.json").read_text() == (after / "config.json").read_text()
    assert sorted(file.name for file in before.iterdir()) == sorted(file.name for file in after.iterdir())


@pytest.mark.parametrize("fast", [False, True])
def test_encode_takes_threads_only_if_it_is_fast(tiny: Path, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []

    def noted(count: int) -> Any:
        pieces.append(count)
        return sharing(count)

    monkeypatch.setattr("distillcse_kit.encoder.sentence_encoder.sharing", noted)
    SentenceEncoder.load(tiny, fast=fast).encode(["a pilot", "two letters", "an apple"], batch_size=1)
    assert pieces == ([3] if fast else [1])


def test_switches_are_all_on_or_all_off() -> None:
    assert Switches() == Switches.of(True) == Switches(packing=True, dropout=True, threads=True, sorting=True)
    assert Switches.of(False) == Switches(packing=False, dropout=False, threads=False, sorting=False)


def test_a_switch_is_off_without_the_one_that_it_needs() -> None:
    assert Switches(packing=False) == Switches(False, False, False, True)
    assert Switches(dropout=False) == Switches(True, False, False, True)
    assert Switches(threads=False) == Switches(True, True, False, True)
    assert Switches(sorting=False) == Switches(True, True, True, False)
