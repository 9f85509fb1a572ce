"""Masked language modelling: settings, batches, and masking over many draws."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import stats

from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.errors import KitError
from distillcse_kit.training.masked_lm import batches, mask_tokens
from distillcse_kit.training.pretraining_settings import PretrainingSettings


def text_of(rows: list[list[int]]) -> TokenizedText:
    return TokenizedText(np.concatenate(rows).astype(np.int32), np.cumsum([0, *map(len, rows)]))


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("layers", 0),
        ("hidden_size", 0),
        ("hidden_size", -8),
        ("heads", 0),
        ("max_tokens", 2),
        ("vocabulary_sentences", 0),
        ("mask_share", 0.0),
        ("mask_share", 2.0),
        ("decoder_mask_share", 0.0),
        ("bag_weight", -0.5),
        ("decoder_weight", float("nan")),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("seed", -1),
    ],
)
def test_settings_that_cannot_work(name: str, value: float) -> None:
    with pytest.raises(KitError, match=rf"^{name} is {value}; "):
        PretrainingSettings(**{name: value})  # type: ignore[arg-type]


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(KitError, match="hidden_size 192 is not a multiple of heads 7"):
        PretrainingSettings(heads=7)


def test_the_rate_warms_up_stays_and_decays_to_zero() -> None:
    settings = PretrainingSettings(steps=100, learning_rate=2.0, warmup_share=0.1, decay_share=0.5)
    rates = [settings.rate_at(step) for step in range(101)]
    assert rates[:11] == pytest.approx([0.2 * k for k in range(1, 11)] + [2.0])
    assert rates[50] == 2.0 and rates[75] == pytest.approx(1.0) and rates[100] == 0.0


# ---------------------------------------------------------------- batches


def seeded(text: TokenizedText, seed: int) -> Iterator[torch.Tensor]:
    return batches(text, PretrainingSettings(max_tokens=24, tokens_per_batch=480, seed=seed))


def test_the_batches_of_an_epoch_hold_every_sentence_cut_to_its_width() -> None:
    rows = [[2, *([10 + i] * (1 + 2 * (i % 40))), 3] for i in range(100)]  # 3 to 81 tokens
    settings = PretrainingSettings(max_tokens=48, tokens_per_batch=200)
    fits = {24: [r for r in rows if len(r) <= 24], 40: [r for r in rows if 24 < len(r) <= 40]}
    fits[48] = [r for r in rows if len(r) > 40]
    count = sum(-(-len(members) // (200 // width)) for width, members in fits.items())
    stream = batches(text_of(rows), settings)
    for _ in range(2):  # two epochs
        found: dict[int, list[int]] = {}
        for _ in range(count):
            batch = next(stream)
            assert batch.shape in {(200 // width, width) for width in fits}
            for row in batch.tolist():
                kept = [token for token in row if token]
                assert row == kept + [0] * (len(row) - len(kept)) and len(row) in fits
                found[kept[1]] = kept
        assert found == {row[1]: row if len(row) <= 48 else [*row[:47], 3] for row in rows}


def test_an_epoch_reads_every_sentence_and_a_resumed_one_goes_on() -> None:
    rows = [[2, *([10 + i] * (3 + i % 30)), 3] for i in range(50)]
    text, settings = text_of(rows), PretrainingSettings(max_tokens=32, tokens_per_batch=160)
    stream = batches(text, settings)
    first = [next(stream) for _ in range(12)]
    assert {int(row[1]) for batch in first for row in batch} <= set(range(10, 60))
    assert all(batch.numel() <= 160 for batch in first)
    later = batches(text, settings, start_step=7)
    assert all(torch.equal(batch, next(later)) for batch in first[7:])


def test_epochs_and_seeds_have_different_orders() -> None:
    text = text_of([[2, 10 + i, 3] for i in range(60)])
    first, second = ([next(stream).tolist() for _ in range(6)] for stream in (seeded(text, 0), seeded(text, 1)))
    assert first[:3] != first[3:] and first != second
    assert first == [next(stream).tolist() for stream in [seeded(text, 0)] for _ in range(6)]


# ---------------------------------------------------------------- masking and loss


def test_masking_hides_the_share_and_never_a_special_token() -> None:
    ids = torch.randint(5, 100, (40, 25), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1], ids[:5, 15:] = 2, 3, 0
    masked, places, labels = mask_tokens(ids, 0.15, 4, 100, torch.Generator().manual_seed(1))
    assert len(places) == round(0.15 * ids.numel()) == len(set(places.tolist()))
    before, after = ids.flatten()[places], masked.flatten()[places]
    assert torch.equal(labels, before) and (before >= 5).all()
    untouched = torch.ones(ids.numel(), dtype=torch.bool)
    untouched[places] = False
    assert torch.equal(masked.flatten()[untouched], ids.flatten()[untouched])
    assert (after == 4).float().mean() == pytest.approx(0.8, abs=0.1)
    assert (after == before).float().mean() == pytest.approx(0.1, abs=0.08)


def test_a_batch_without_enough_words_has_labels_that_do_not_count() -> None:
    ids = torch.tensor([[2, 7, 3, 0, 0, 0, 0, 0, 0, 0]])
    masked, places, labels = mask_tokens(ids, 0.3, 4, 100, torch.Generator().manual_seed(0))
    assert sorted(labels.tolist()) == [-100, -100, 7]
    assert torch.equal(masked[0, 2:], ids[0, 2:]) and len(places) == 3


@pytest.mark.parametrize("share", [0.05, 0.15, 0.4])
def test_over_many_draws_every_word_is_hidden_equally_often(share: float) -> None:
    ids = torch.full((1, 20), 7)
    ids[0, 0], ids[0, -1], ids[0, 5] = 2, 3, 1  # [CLS], [SEP], [UNK]
    generator, hidden, draws = torch.Generator().manual_seed(0), torch.zeros(20), 2_000
    becomes = torch.zeros(30)
    for _ in range(draws):
        masked, places, labels = mask_tokens(ids, share, 4, 30, generator)
        hidden[places] += 1
        assert (labels == 7).all()
        becomes += torch.bincount(masked.flatten()[places], minlength=30)
    assert hidden[[0, 5, 19]].tolist() == [0, 0, 0]
    chance = round(share * 20) / 17
    words = hidden[hidden > 0] / draws
    assert len(words) == 17 and words.mean().item() == pytest.approx(chance)
    assert (words - chance).abs().max() < 4.5 * np.sqrt(chance * (1 - chance) / draws)
    expected = np.full(26, 0.1 / 25)  # [MASK], then 25 words: 10% at random, and 10% stay what they are
    expected[0], expected[3] = 0.8, 0.1 + 0.1 / 25
    assert not becomes[:4].any()
    assert stats.chisquare(becomes[4:].numpy(), expected * becomes.sum().item()).pvalue > 0.001
