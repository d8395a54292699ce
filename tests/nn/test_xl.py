"""Transformer-XL's attention against a loop over segments, and what may and may not reach an event."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zhiyin.nn.batches import Batch
from zhiyin.nn.items import PlainItems
from zhiyin.nn.layout import Layout
from zhiyin.nn.xl import RelativeAttention, TransformerXLEncoder, reach, segments, shift, sinusoids

WIDTH = 8
ITEMS = 100


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lively(net: nn.Module, seed: int = 0) -> nn.Module:
    """Weights so large that whatever reaches an event shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, one in net.named_parameters():
        if "norm" not in name:
            with torch.no_grad():
                one.normal_(std=0.4 if one.dim() > 1 else 0.8, generator=generator)
    return net.eval()


def encoder(segment: int, memory: int, n_layers: int = 3, **options: object) -> TransformerXLEncoder:
    net = TransformerXLEncoder(
        PlainItems(ITEMS, WIDTH), WIDTH, {}, segment=segment, memory=memory, n_layers=n_layers, n_heads=2, **options
    )
    lively(net)
    return net


def batch_of(*sequences: list[int] | np.ndarray) -> Batch:
    flat = torch.as_tensor(np.concatenate(sequences).astype(np.int64))
    layout = Layout.of(np.array([len(one) for one in sequences]))
    order = np.arange(len(sequences), dtype=np.int32)
    return Batch(layout, flat, torch.zeros(len(flat), 0, dtype=torch.int64), None, None, order)


def states(net: nn.Module, *sequences: list[int] | np.ndarray) -> Tensor:
    with torch.inference_mode():
        found: Tensor = net(batch_of(*sequences))
    return found


def draw(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ITEMS, length)


def reached(net: nn.Module, items: np.ndarray, at: int) -> list[int]:
    """The places whose item, when it is another one, changes the state at one place."""
    before, found = states(net, items)[at], []
    for place in range(len(items)):
        changed = items.copy()
        changed[place] = (changed[place] + 1) % ITEMS
        if not torch.equal(states(net, changed)[at], before):
            found.append(place)
    return found


# ---------------------------------------------------------------------- one attention


def by_hand(attention: RelativeAttention, x: Tensor) -> Tensor:
    """(length, d) by the paper's sum, event by event."""
    length, width = x.shape
    heads, size = attention.n_heads, width // attention.n_heads
    query = attention.query(x).view(length, heads, size)
    key, value = (one.view(length, heads, size) for one in attention.key_value(x).chunk(2, -1))
    far = attention.distance(sinusoids(length, width, x).flip(0)).view(length, heads, size)  # by distance
    u, v = attention.content.view(heads, size), attention.place.view(heads, size)
    out = torch.zeros_like(x)
    for i in range(length):
        start = i // attention.segment * attention.segment
        seen = range(max(0, start - attention.memory), i + 1)
        for head in range(heads):
            scores = [
                (query[i, head] + u[head]) @ key[j, head] + (query[i, head] + v[head]) @ far[i - j, head] for j in seen
            ]
            weights = torch.softmax(torch.stack(scores) / math.sqrt(size), 0)
            out[i, head * size : (head + 1) * size] = weights @ torch.stack([value[j, head] for j in seen])
    return attention.out(out)


@pytest.mark.parametrize(("segment", "memory"), [(4, 4), (4, 6), (4, 1), (4, 0), (1, 3), (4, 50), (50, 4), (5, 13)])
def test_attention_is_the_sum_of_the_paper(segment: int, memory: int) -> None:
    attention = RelativeAttention(WIDTH, 2, segment, memory)
    lively(attention)
    lengths = [18, 17, 7, 3, 1]
    layout = Layout.of(np.array(lengths))
    x = torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(3))
    _, size, useful = segments(18, segment, memory)
    with torch.inference_mode():
        found = attention(x, x, layout, sinusoids(size + useful, WIDTH, x))
        right = torch.cat([by_hand(attention, one) for one in x.split(lengths)])
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    net, sequences = encoder(segment=4, memory=6), [draw(30), draw(29, 1), draw(28, 2), draw(3, 3)]
    whole = states(net, *sequences)
    for floats in (1, 2 * 4 * 10 * 3, 2 * 4 * 10 * 8 * 2):  # a segment, three segments, two rows
        monkeypatch.setattr("zhiyin.nn.xl.BLOCK_FLOATS", floats)
        torch.testing.assert_close(states(net, *sequences), whole, rtol=1e-5, atol=1e-5)


def test_shift_brings_distances_under_their_events() -> None:
    size, memory = 3, 4
    distance = torch.arange(size + memory - 1, -1, -1).float().expand(2, size, -1)
    found = shift(distance)
    for row in range(size):
        right = [row + memory - cell for cell in range(row + memory + 1)]
        assert found[1, row, : row + memory + 1].tolist() == right


@pytest.mark.parametrize("width", [1, 5, 8])
def test_sinusoids_tell_distances_apart(width: int) -> None:
    waves = sinusoids(50, width, torch.zeros(1))
    assert waves.shape == (50, width)
    torch.testing.assert_close(waves[-1, 0], torch.tensor(0.0))
    assert (torch.cdist(waves, waves) + torch.eye(50)).min() > 1e-3


# ---------------------------------------------------------------------- the whole encoder


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("segment", [1, 7, 10, 39])
def test_a_memory_of_the_whole_past_equals_one_long_window(segment: int, gated: bool) -> None:
    items = draw(40)
    right = states(encoder(segment=40, memory=0, gated=gated), items)
    torch.testing.assert_close(states(encoder(segment, memory=40, gated=gated), items), right, rtol=0, atol=1e-5)


def test_without_a_memory_segments_are_sequences_of_their_own() -> None:
    net, items = encoder(segment=10, memory=0), draw(25)
    apart = torch.cat([states(net, items[start : start + 10]) for start in (0, 10, 20)])
    torch.testing.assert_close(states(net, items), apart, rtol=0, atol=1e-5)


def test_packing_equals_each_sequence_alone() -> None:
    net = encoder(segment=5, memory=7)
    sequences = [draw(length, length) for length in (43, 41, 36, 20, 20, 6, 5, 2, 1)]
    packed = states(net, *sequences)
    alone = torch.cat([states(net, one) for one in sequences])
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        net.last(batch_of(*sequences)), torch.stack([states(net, one)[-1] for one in sequences]), rtol=0, atol=1e-5
    )


def test_what_comes_later_changes_nothing() -> None:
    net, items = encoder(segment=5, memory=5), draw(23)
    whole = states(net, items)
    for at in (0, 4, 5, 12, 22):
        changed = items.copy()
        changed[at + 1 :] = (changed[at + 1 :] + 7) % ITEMS
        torch.testing.assert_close(states(net, changed)[: at + 1], whole[: at + 1], rtol=0, atol=1e-6)
        torch.testing.assert_close(states(net, items[: at + 1]), whole[: at + 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("segment", "memory", "n_layers"), [(5, 5, 3), (5, 10, 2), (5, 0, 3), (5, 1, 3), (4, 6, 2), (3, 2, 1)]
)
def test_events_beyond_the_reach_do_not_matter_and_those_within_do(segment: int, memory: int, n_layers: int) -> None:
    net, items = encoder(segment, memory, n_layers), draw(segment * 8)
    start = segment * 7
    at = start + segment - 1
    far = reach(n_layers, segment, memory)
    if memory % segment == 0:
        assert far == n_layers * memory
    assert reached(net, items, at) == list(range(start - far, at + 1))


@pytest.mark.parametrize(("segment", "memory", "n_layers"), [(4, 4, 2), (4, 3, 3), (5, 7, 2), (3, 0, 2), (1, 2, 1)])
def test_the_last_state_is_read_from_what_can_matter_alone(
    segment: int, memory: int, n_layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = encoder(segment, memory, n_layers)
    lengths = (97, 96, 95, 60, 31, 12, 3, 1)
    batch = batch_of(*(draw(length, seed=length) for length in lengths))
    whole = net(batch)[batch.layout.last()]
    read = []
    forward = TransformerXLEncoder.forward
    monkeypatch.setattr(
        TransformerXLEncoder, "forward", lambda self, one: read.append(one.n_events) or forward(self, one)
    )
    torch.testing.assert_close(net.last(batch), whole, rtol=1e-4, atol=1e-5)
    assert read[0] <= sum(min(length, n_layers * -(-memory // segment) * segment + segment) for length in lengths)


def test_no_gradient_reaches_earlier_segments() -> None:
    net = encoder(segment=5, memory=10)
    items = np.arange(18)  # each event has a row of its own
    before = states(net, items)
    changed = items.copy()
    changed[3] = 99
    assert not torch.equal(states(net, changed)[17], before[17])  # what is in the memory matters ...
    (net(batch_of(items))[17] @ torch.arange(float(WIDTH))).backward()
    rows = net.items.weight.grad.abs().sum(1)
    assert (rows[15:18] > 1e-6).all()
    assert (rows[:15] == 0).all()  # ... but learns nothing


def test_weights_learn_from_the_memory() -> None:
    """Only what is below is cut off: keys and values of the memory get their gradient, checked by differences."""
    attention = RelativeAttention(4, 2, segment=2, memory=2).double()
    lively(attention)
    layout = Layout.of(np.array([5, 4]))
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    waves, weights = sinusoids(4, 4, x), dict(attention.named_parameters())

    def out(*values: Tensor) -> Tensor:
        return torch.func.functional_call(
            attention, dict(zip(weights, values, strict=True)), (x, x.detach(), layout, waves)
        )

    assert torch.autograd.gradcheck(out, tuple(weights.values()))


def test_a_gradient_changes_no_state() -> None:
    net, items = encoder(segment=5, memory=10), draw(23)
    torch.testing.assert_close(net(batch_of(items)).detach(), states(net, items), rtol=0, atol=1e-6)


def test_features_are_added() -> None:
    net = TransformerXLEncoder(PlainItems(ITEMS, WIDTH), WIDTH, {"position": 4, "hour": 3}, segment=2, memory=2)
    lively(net)
    batch = batch_of([1, 2, 3])
    features = torch.tensor([[0, 4], [1, 5], [2, 6]])
    told = net(Batch(batch.layout, batch.item, features, None, None, batch.order))
    other = net(Batch(batch.layout, batch.item, features.roll(1, 0), None, None, batch.order))
    assert (told - other).abs().max() > 1e-3


def test_weights_begin_small_and_without_bias() -> None:
    torch.manual_seed(0)
    net = TransformerXLEncoder(PlainItems(ITEMS, 32), 32, {}, n_layers=1)
    weights = dict(net.named_parameters())
    assert 0.015 < weights["items.weight"].detach().std() < 0.025
    assert not any(one.any() for name, one in weights.items() if name.endswith(("bias", "content", "place")))


def test_the_cost_is_linear_in_the_length() -> None:
    net = encoder(segment=10, memory=20)

    def products(length: int) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(batch_of(draw(length)))
        return counter.get_total_flops()

    short, middle, long = (products(length) for length in (100, 200, 300))
    assert short > 0
    assert long - middle == middle - short
