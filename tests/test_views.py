"""The two views of a batch: with any number of threads, they and their gradients are those of two ordinary passes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from torch import Tensor, nn

from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.fast.dropout import dropout_mask, mask_stream, use_cheap_dropout
from distillcse_kit.fast.threads import sharing
from distillcse_kit.fast.views import two_views

PATIENCE = 30.0  # seconds after which a wait for another thread has failed; no result depends on it
INNER = "model.encoder.layer.0.intermediate.dense"  # a linear map inside of the encoder
Batch = dict[str, Tensor]
Views = tuple[Tensor, Tensor]

pytestmark = pytest.mark.usefixtures("two_cores")


@pytest.fixture
def encoder(tiny: Path) -> SentenceEncoder:
    """In training, with cheap dropout, one weight that no pass reads, and two that are frozen."""
    encoder = SentenceEncoder.load(tiny)
    use_cheap_dropout(encoder.model)
    encoder.register_parameter("unread", nn.Parameter(torch.ones(3)))
    encoder.get_submodule("model.embeddings.position_embeddings").requires_grad_(False)
    encoder.get_parameter("model.encoder.layer.0.attention.self.value.bias").requires_grad_(False)
    return encoder.train()


@pytest.fixture
def batch(encoder: SentenceEncoder) -> Batch:
    texts = [*SENTENCES[:9], "an apple", "the cook washes a red bowl " * 4]
    return encoder.pad(encoder.tokenize(texts))


def some_loss(first: Tensor, second: Tensor) -> Tensor:
    """A function of both views that treats them differently."""
    weights = torch.linspace(-1, 1, first.numel()).view(first.shape)
    return (weights * first.float()).sum() + (weights.flip(0) * second.float().pow(2)).sum() + (first * second).sum()


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


def computed(encoder: SentenceEncoder, batch: Batch, cores: int, shared: bool, seed: int = 11) -> list[Tensor]:
    """The views and all gradients, computed on so many cores, shared between two threads or not."""
    torch.set_num_threads(cores)
    torch.manual_seed(seed)
    with sharing(2) if shared else nullcontext():
        views = two_views(encoder, batch)
        found = gradients(encoder, some_loss(*views))
    return [*(view.detach() for view in views), *(gradient for gradient in found.values() if gradient is not None)]


def by_hand(encoder: SentenceEncoder, batch: Batch, seed: int) -> Views:
    """Two ordinary passes, one after the other, with the two streams of masks that the seed gives."""
    torch.manual_seed(seed)
    streams = torch.randint(2**63 - 1, (2,)).tolist()
    passes = []
    for stream in streams:
        with mask_stream(stream):
            passes.append(encoder(batch))
    return passes[0], passes[1]


def close(
    found: dict[str, Tensor | None], expected: dict[str, Tensor | None], relative: float = 1e-5, absolute: float = 1e-5
) -> None:
    """Equal to rounding. A missing gradient counts as 0; that of a key's bias is 0 but for rounding."""
    assert found.keys() == expected.keys()
    for name in found:
        one, other = found[name], expected[name]
        if one is None or other is None:
            assert all(gradient is None or not gradient.any() for gradient in (one, other)), name
        else:
            assert (one - other).norm() <= relative * other.norm() + absolute, name


# ---------------------------------------------------------------- any number of threads


@pytest.mark.parametrize("lower", [False, True])
def test_views_and_gradients_do_not_depend_on_the_threads(encoder: SentenceEncoder, batch: Batch, lower: bool) -> None:
    """To the last bit where each pass has one core; to rounding where both cores do one pass after the other."""
    with torch.autocast("cpu", torch.bfloat16, enabled=lower):
        expected = computed(encoder, batch, 1, False)
        for cores, shared in ((1, True), (2, True), (3, True), (2, True), (2, True), (1, False)):
            found = computed(encoder, batch, cores, shared)
            assert len(found) == len(expected) > 20
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True)), (cores, shared)
        for one, other in zip(computed(encoder, batch, 2, False), expected, strict=True):
            tolerance = 0.01 if lower else 1e-5
            assert (one - other).norm() <= tolerance * other.norm() + tolerance
        assert not torch.equal(computed(encoder, batch, 1, False, seed=12)[0], expected[0])


def test_both_directions_of_both_views_are_in_threads_inside_of_sharing(encoder: SentenceEncoder, batch: Batch) -> None:
    forward: list[int] = []
    backward: list[int] = []

    def note(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        forward.append(threading.get_ident())
        output.register_hook(lambda gradient: backward.append(threading.get_ident()))

    encoder.get_submodule(INNER).register_forward_hook(note)
    some_loss(*two_views(encoder, batch)).backward()
    assert forward == backward == [threading.get_ident()] * 2
    forward.clear()
    backward.clear()
    with sharing(2):
        some_loss(*two_views(encoder, batch)).backward()
    assert len(forward) == len(backward) == 2 and threading.get_ident() not in {*forward, *backward}


# ---------------------------------------------------------------- two ordinary passes


@pytest.mark.parametrize("cores", [1, 2])
def test_views_and_gradients_are_those_of_two_ordinary_passes(
    encoder: SentenceEncoder, batch: Batch, cores: int
) -> None:
    torch.set_num_threads(cores)
    with sharing(2):  # one core is not shared
        first, second = by_hand(encoder, batch, 5)
        expected = gradients(encoder, some_loss(first, second))
        torch.manual_seed(5)
        views = two_views(encoder, batch)
        found = gradients(encoder, some_loss(*views))
    torch.testing.assert_close(views, (first, second), rtol=1e-5, atol=1e-6)
    close(found, expected)
    for frozen in ("embeddings.position_embeddings.weight", "encoder.layer.0.attention.self.value.bias"):
        assert found[f"model.{frozen}"] is None
    assert found["unread"] is None
    assert found["model.embeddings.word_embeddings.weight"].abs().sum() > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("used", [0, 1])
def test_a_loss_of_one_view_has_the_gradient_of_that_pass(encoder: SentenceEncoder, batch: Batch, used: int) -> None:
    with sharing(2):
        expected = gradients(encoder, by_hand(encoder, batch, 5)[used].pow(3).sum())
        torch.manual_seed(5)
        close(gradients(encoder, two_views(encoder, batch)[used].pow(3).sum()), expected)


def test_gradients_add_to_those_of_the_step_before(encoder: SentenceEncoder, batch: Batch) -> None:
    with sharing(2):
        once = gradients(encoder, some_loss(*by_hand(encoder, batch, 5)))
        doubled = {name: None if gradient is None else 2 * gradient for name, gradient in once.items()}
        encoder.zero_grad(set_to_none=True)
        for _ in range(2):
            torch.manual_seed(5)
            some_loss(*two_views(encoder, batch)).backward()
    close({name: weight.grad for name, weight in encoder.named_parameters()}, doubled)


def test_views_differ_by_dropout_in_training_only(encoder: SentenceEncoder, batch: Batch) -> None:
    with sharing(2):
        first, second = two_views(encoder, batch)
        third, _ = two_views(encoder, batch)
        assert (first - second).abs().max() > 0.01 and (first - third).abs().max() > 0.01
        first, second = two_views(encoder.eval(), batch)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, encoder(batch), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize("lower", [False, True])
def test_autocast_goes_into_the_threads(encoder: SentenceEncoder, batch: Batch, lower: bool) -> None:
    seen: list[tuple[torch.dtype, int]] = []
    with sharing(2), torch.autocast("cpu", torch.bfloat16, enabled=lower):
        first, second = by_hand(encoder, batch, 5)
        expected = gradients(encoder, some_loss(first, second))
        encoder.get_submodule(INNER).register_forward_hook(
            lambda _, __, output: seen.append((output.dtype, threading.get_ident()))
        )
        torch.manual_seed(5)
        views = two_views(encoder, batch)
        found = gradients(encoder, some_loss(*views))
    dtypes, idents = zip(*seen, strict=True)
    assert dtypes == (torch.bfloat16 if lower else torch.float32,) * 2 and threading.get_ident() not in idents
    # Ordinary autograd adds the gradients of two passes in bfloat16, the kit in float32 (measured: 0.25% apart).
    tolerance = 0.01 if lower else 1e-5
    torch.testing.assert_close(views, (first, second), rtol=tolerance, atol=tolerance)
    close(found, expected, tolerance, 1e-3 if lower else 1e-5)


# ---------------------------------------------------------------- without cheap dropout


class Counted(nn.Module):
    """A small model that notes the shapes of its inputs."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.dropout = nn.Linear(4, 3), nn.Dropout(dropout)
        self.asked: list[tuple[int, ...]] = []

    def forward(self, batch: Batch) -> Tensor:
        self.asked.append((*batch["numbers"].shape, len(batch["more"])))
        return self.dropout(self.layer(batch["numbers"]) + batch["more"][:, None])


@pytest.mark.parametrize("cheap", [False, True])
def test_without_cheap_dropout_both_views_are_one_pass(cheap: bool) -> None:
    model, batch = Counted(0.5), {"numbers": torch.rand(5, 4), "more": torch.rand(5)}
    if cheap:
        use_cheap_dropout(model)
    with sharing(2):
        views = two_views(model, batch)
    assert model.asked == ([(5, 4, 5)] * 2 if cheap else [(10, 4, 10)])
    assert [tuple(view.shape) for view in views] == [(5, 3)] * 2 and not torch.equal(*views)
    for view in two_views(model.eval(), batch):
        torch.testing.assert_close(view, model(batch))


def test_one_pass_has_the_gradient_of_two() -> None:
    plain, cheap = Counted(0.0), Counted(0.0)
    use_cheap_dropout(cheap)
    batch = {"numbers": torch.rand(5, 4), "more": torch.rand(5)}
    one, two = (gradients(model, some_loss(*two_views(model, batch))) for model in (plain, cheap))
    close(two, one)


# ---------------------------------------------------------------- streams of masks


SHAPE = torch.Size([6, 5])


def drawn(masks: int) -> list[Tensor]:
    return [dropout_mask(SHAPE, 0.5) for _ in range(masks)]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def of_stream(seed: int, masks: int) -> list[Tensor]:
    """By hand: 16 bits of the generator decide an element, dropped if they are in the lower half of their range."""
    stream = np.random.SFC64(seed)
    found = []
    for _ in range(masks):
        levels = stream.random_raw(8).view(np.int16)[:30]
        found.append(torch.from_numpy(np.where(levels >= 0, 2.0, 0.0).astype(np.float32)).view(SHAPE))
    return found


def test_a_seed_decides_the_masks() -> None:
    for seed in (7, 7, 2**63 - 2):
        with mask_stream(seed):
            assert same(drawn(3), of_stream(seed, 3))
    assert not same(of_stream(7, 3), of_stream(8, 3)) and not same(of_stream(7, 1), of_stream(7, 2)[1:])


def test_a_stream_ends_with_its_block_and_the_outer_one_goes_on() -> None:
    torch.manual_seed(3)
    outside = drawn(2)
    with mask_stream(7):
        first = drawn(1)
        with mask_stream(8):
            assert same(drawn(2), of_stream(8, 2))
        with pytest.raises(KeyError), mask_stream(9):
            raise KeyError
        assert same(first + drawn(2), of_stream(7, 3))
    torch.manual_seed(3)
    assert same(drawn(2), outside)
    with pytest.raises(KeyError), mask_stream(7):
        raise KeyError
    torch.manual_seed(3)
    assert same(drawn(2), outside)


def test_a_stream_leaves_torchs_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with mask_stream(7):
        drawn(3)
    assert torch.equal(torch.rand(2), expected)


def in_another_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_threads_do_not_share_a_stream() -> None:
    """Two threads take turns, each with a stream of its own; then another has none while this one has one."""
    theirs: list[Tensor] = []
    go, went = threading.Event(), threading.Event()

    def draw() -> None:
        with mask_stream(8):
            theirs.extend(drawn(1))
            went.set()
            assert go.wait(PATIENCE)
            theirs.extend(drawn(2))

    with mask_stream(7):
        ours = drawn(1)
        thread = in_another_thread(draw)
        assert went.wait(PATIENCE)
        ours += drawn(1)
        go.set()
        thread.join(PATIENCE)
        ours += drawn(1)
    assert same(ours, of_stream(7, 3)) and same(theirs, of_stream(8, 3))

    theirs.clear()
    torch.manual_seed(3)
    expected = drawn(2)
    torch.manual_seed(3)
    with mask_stream(7):
        in_another_thread(lambda: theirs.extend(drawn(2))).join(PATIENCE)
        assert same(theirs, expected) and same(drawn(3), of_stream(7, 3))


class TwoBiases(nn.Module):
    """Autograd hands one and the same tensor to both biases as their gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
        self.dropout = nn.Dropout(0.5)

    def forward(self, batch: Batch) -> Tensor:
        return self.dropout(batch["numbers"] + (self.one + self.other))


def test_weights_that_share_a_gradient_have_it_once_each() -> None:
    model, batch = TwoBiases().eval(), {"numbers": torch.rand(5, 3)}
    use_cheap_dropout(model)
    first, second = two_views(model, batch)
    (first.sum() + 2 * second.sum()).backward()
    for bias in (model.one, model.other):
        assert bias.grad is not None and bias.grad.tolist() == [15, 15, 15]
