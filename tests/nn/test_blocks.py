"""Blocks by their formulas, what reaches an event through them, and the cheap dropout."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.nn.attention import attend
from zhiyin.nn.blocks import HSTU, Block, Dropout, FeedForward, LiGR, PreNorm, Recent
from zhiyin.nn.layout import Layout
from zhiyin.nn.relations import Relations

WIDTH, HEADS, HIDDEN, MAX = 8, 2, 12, 10
LENGTHS = (7, 7, 6, 3, 1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def block_of(name: str, causal: bool = True, dropout: float = 0.0) -> Block:
    """With weights so large that whatever reaches an event shows."""
    block: Block = (
        HSTU(WIDTH, HEADS, dropout, MAX)
        if name == "hstu"
        else {"prenorm": PreNorm, "ligr": LiGR}[name](WIDTH, HEADS, HIDDEN, dropout, causal)
    )
    generator = torch.Generator().manual_seed(0)
    for one in block.parameters():
        with torch.no_grad():
            one.add_(torch.randn(one.shape, generator=generator) * 0.4)
    return block.double()


def draw(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


KINDS = [("prenorm", True), ("prenorm", False), ("ligr", True), ("ligr", False), ("hstu", True)]


# ---------------------------------------------------------------------- formulas


def norm(layer: nn.Module, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    out: Tensor = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias
    return out


def test_prenorm_is_its_formula() -> None:
    block, layout, x = block_of("prenorm"), Layout.of(np.array(LENGTHS)), draw(sum(LENGTHS))
    assert isinstance(block, PreNorm)
    attended = attend(norm(block.norms[0], x) @ block.qkv.weight.T + block.qkv.bias, layout, HEADS)
    middle = x + attended @ block.out.weight.T + block.out.bias
    up, down = block.feed_forward.up, block.feed_forward.down
    raised = F.relu(norm(block.norms[1], middle) @ up.weight.T + up.bias)
    torch.testing.assert_close(block(x, layout), middle + raised @ down.weight.T + down.bias)


def test_ligr_is_its_formula() -> None:
    block, layout, x = block_of("ligr"), Layout.of(np.array(LENGTHS)), draw(sum(LENGTHS))
    assert isinstance(block, LiGR)
    attended = attend(norm(block.norms[0], x) @ block.qkv.weight.T + block.qkv.bias, layout, HEADS)
    gate = torch.sigmoid(x @ block.gates[0].weight.T + block.gates[0].bias)
    middle = x + gate * (attended @ block.out.weight.T + block.out.bias)
    left, right = (norm(block.norms[1], middle) @ block.feed_forward.up.weight.T).chunk(2, -1)
    raised = (left * torch.sigmoid(left) * right) @ block.feed_forward.down.weight.T
    gate = torch.sigmoid(middle @ block.gates[1].weight.T + block.gates[1].bias)
    torch.testing.assert_close(block(x, layout), middle + gate * raised)


def test_hstu_is_its_formula() -> None:
    block, layout, x = block_of("hstu"), Layout.of(np.array(LENGTHS)), draw(sum(LENGTHS))
    assert isinstance(block, HSTU)
    biases = [torch.randn(1, HEADS, one.length, one.length, dtype=torch.float64) for one in layout.groups]
    raised = norm(block.norms[0], x) @ block.inward.weight.T + block.inward.bias
    u, q, k, v = (raised * torch.sigmoid(raised)).chunk(4, -1)
    attended = attend(torch.cat([q, k, v], -1), layout, HEADS, pointwise=float(MAX), biases=biases)
    right = x + (norm(block.norms[1], attended) * u) @ block.out.weight.T + block.out.bias
    torch.testing.assert_close(block(x, layout, biases), right)


def test_feed_forward_biases_are_those_of_the_papers() -> None:
    assert {name for name, _ in FeedForward(4, 6, gated=True).named_parameters()} == {"up.weight", "down.weight"}
    assert len(list(FeedForward(4, 6, gated=False).parameters())) == 4


# ---------------------------------------------------------------------- what reaches what


@pytest.mark.parametrize(("name", "causal"), KINDS)
def test_packing_equals_each_sequence_alone(name: str, causal: bool) -> None:
    block, x = block_of(name, causal), draw(sum(LENGTHS))
    alone = [block(one, Layout.of(np.array([len(one)]))) for one in x.split(LENGTHS)]
    for slack in (0.0, 0.2, 1.0):
        torch.testing.assert_close(block(x, Layout.of(np.array(LENGTHS), slack=slack)), torch.cat(alone))


@pytest.mark.parametrize(("name", "causal"), KINDS)
def test_a_changed_event_changes_later_states_alone_unless_both_sides_are_seen(name: str, causal: bool) -> None:
    block, layout, x = block_of(name, causal), Layout.of(np.array([6, 5])), draw(11)
    before = block(x, layout)
    for place in range(6):
        changed = x.clone()
        changed[place] = draw(1, 2)[0]
        moved = (block(changed, layout) - before).abs().amax(1) > 1e-9
        first = place if causal else 0
        assert moved.tolist() == [first <= one < 6 for one in range(11)]


@pytest.mark.parametrize("name", ["prenorm", "ligr", "hstu"])
def test_a_changed_time_changes_no_earlier_state(name: str) -> None:
    """An event answers at the time of the next one: that much of the next event is known, and no more."""
    block, layout, x = block_of(name), Layout.of(np.array([6])), draw(6)
    relations = Relations(HEADS, MAX, True, True).double()
    for one in relations.parameters():
        with torch.no_grad():
            one.normal_(generator=torch.Generator().manual_seed(1))

    def states(when: list[int]) -> Tensor:
        seconds = torch.tensor(when, dtype=torch.int32)
        found: Tensor = block(x, layout, relations(layout, seconds[:-1], seconds[1:]))
        return found

    when = [0, 3, 50, 700, 9000, 100_000, 2_000_000]
    before = states(when)
    for place in range(1, 7):
        changed = [*when[:place], *(one * 50 for one in when[place:])]
        moved = (states(changed) - before).abs().amax(1) > 1e-9
        assert not moved[: place - 1].any()
        assert moved[max(place - 1, 3) :].all()  # a softmax over events that are all as far away stays what it is


@pytest.mark.parametrize(("name", "causal"), KINDS)
def test_every_weight_learns(name: str, causal: bool) -> None:
    block, layout = block_of(name, causal), Layout.of(np.array(LENGTHS))
    x = draw(sum(LENGTHS)).requires_grad_()
    (block(x, layout) * draw(sum(LENGTHS), 1)).sum().backward()
    assert not [one for one, weight in block.named_parameters() if weight.grad is None or not weight.grad.any()]


@pytest.mark.parametrize(("name", "causal"), KINDS)
def test_gradients_by_differences(name: str, causal: bool) -> None:
    block, layout = block_of(name, causal), Layout.of(np.array([3, 2]), slack=0.5)
    assert torch.autograd.gradcheck(lambda one: block(one, layout), (draw(5).requires_grad_(),))


# ---------------------------------------------------------------------- dropout


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_every_place_is_dropped_alike(rate: float) -> None:
    """Masks are made of random words of eight bytes: each byte must be as random as the others."""
    torch.manual_seed(0)
    drop, n = Dropout(rate), 20_000
    mask = drop.mask(torch.empty(n, 16))
    exact = round(rate * 256) / 256
    noise = 4.5 * (exact * (1 - exact) / n) ** 0.5
    assert ((mask == 0).double().mean(0) - exact).abs().max() < noise
    assert (mask.double().mean(0) - 1).abs().max() < noise / (1 - exact)  # what is expected stays the same
    assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - exact)])
    together = torch.cov((mask == 0).double().T)
    assert (together - together.diag().diag()).abs().max() < 5 * exact * (1 - exact) / n**0.5  # independent


def test_dropout_cuts_the_same_from_the_gradient() -> None:
    torch.manual_seed(0)
    x = torch.ones(50, 7, requires_grad=True)
    out = Dropout(0.3).train()(x)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, out.detach())
    assert 0 < float((out == 0).double().mean()) < 1


def test_no_dropout_when_asked_or_at_rate_zero() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_the_highest_rate_leaves_something() -> None:
    torch.manual_seed(0)
    out = Dropout(0.999).train()(torch.ones(4096, 8))
    assert out.isfinite().all()
    assert 0 < int((out != 0).sum()) < 400


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (3, 5), (2, 3, 7)])
def test_masks_of_any_shape(shape: tuple[int, ...]) -> None:
    mask = Dropout(0.5).mask(torch.empty(shape, dtype=torch.float64))
    assert mask.shape == shape
    assert mask.dtype == torch.float64


def test_dropout_follows_torchs_seed() -> None:
    x, drop = torch.ones(100, 8), Dropout(0.5).train()
    torch.manual_seed(3)
    first = drop(x)
    other = drop(x)
    torch.manual_seed(3)
    assert torch.equal(drop(x), first)
    assert not torch.equal(other, first)


@pytest.mark.parametrize("name", ["prenorm", "ligr", "hstu"])
def test_blocks_drop_in_training_alone(name: str) -> None:
    block, layout, x = block_of(name, dropout=0.5), Layout.of(np.array([9])), draw(9)
    block.eval()
    assert torch.equal(block(x, layout), block(x, layout))
    block.train()
    assert (block(x, layout) - block(x, layout)).abs().max() > 0.01


def test_the_last_events_are_mixed_into_each_of_a_sequence() -> None:
    mixed, layout = Recent(2, 3), Layout.of(np.array([5, 2]))
    with torch.no_grad():
        mixed.weight.copy_(torch.tensor([[1.0, 0.0], [10.0, 0.0], [100.0, 2.0]]))
    x = torch.arange(1.0, 8.0)[:, None].expand(7, 2)
    found = mixed(x, torch.as_tensor(layout.positions()))
    assert found[:, 0].tolist() == [1, 2 + 1, 3 + 2 + 10, 4 + 3 + 20 + 100, 5 + 4 + 30 + 200, 6, 7 + 6]
    assert found[:, 1].tolist() == [1, 2, 3, 4 + 2, 5 + 4, 6, 7]
    torch.testing.assert_close(mixed(x[:5]), found[:5])
    torch.testing.assert_close(mixed(x[:2][None]), found[:2][None])
