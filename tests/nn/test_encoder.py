"""The encoder as a whole: names of items do not matter, hidden items are not seen, later events change nothing."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zhiyin.nn.batches import Batch
from zhiyin.nn.encoder import TransformerEncoder
from zhiyin.nn.items import PlainItems
from zhiyin.nn.layout import Layout

ITEMS, WIDTH, MAX = 40, 8, 10
LENGTHS = (9, 9, 8, 4, 2, 1)
SIZES = {"position": MAX, "hour": 5}
BLOCKS = ["prenorm", "ligr", "hstu"]
KINDS = [*((block, True) for block in BLOCKS), ("prenorm", False), ("ligr", False)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def encoder(
    block: str = "prenorm", causal: bool = True, sizes: dict[str, int] = SIZES, **options: Any
) -> TransformerEncoder:
    """With weights so large that whatever reaches a state shows."""
    torch.manual_seed(0)
    net = TransformerEncoder(
        PlainItems(ITEMS, WIDTH),
        WIDTH,
        sizes,
        block=block,
        max_length=MAX,
        causal=causal,
        **{"relations": ("position", "time"), "convolution": 2, **options},
    )
    generator = torch.Generator().manual_seed(1)
    for name, one in net.named_parameters():
        if "norm" not in name:
            with torch.no_grad():
                one.normal_(std=0.5, generator=generator)
    return net.double().eval()


def batch_of(lengths: tuple[int, ...] = LENGTHS, seed: int = 0, hidden: list[int] | None = None) -> Batch:
    generator = np.random.default_rng(seed)
    layout = Layout.of(np.array(lengths))
    n = layout.n_events
    item = torch.as_tensor(generator.integers(0, ITEMS, n))
    hour = torch.as_tensor(MAX + generator.integers(0, 5, n))
    features = torch.stack([torch.as_tensor(layout.positions()), hour], 1)
    times = [np.cumsum(np.exp(generator.uniform(0, 12, length + 1))).astype(np.int32) for length in lengths]
    seconds, asked = (torch.as_tensor(np.concatenate([one[part] for one in times])) for part in (np.s_[:-1], np.s_[1:]))
    flags = None
    if hidden is not None:
        flags = torch.zeros(n, dtype=torch.bool)
        flags[hidden] = True
    return Batch(layout, item, features, seconds, asked, np.arange(len(lengths), dtype=np.int32), flags)


def part_of(batch: Batch, place: int) -> Batch:
    """One sequence of a batch."""
    own = slice(batch.layout.offsets[place], batch.layout.offsets[place + 1])
    return replace(
        batch,
        layout=Layout.of(batch.layout.lengths[place : place + 1]),
        item=batch.item[own],
        features=batch.features[own],
        seconds=None if batch.seconds is None else batch.seconds[own],
        asked=None if batch.asked is None else batch.asked[own],
        hidden=None if batch.hidden is None else batch.hidden[own],
    )


@pytest.mark.parametrize(("block", "causal"), KINDS)
def test_renamed_items_have_the_same_scores(block: str, causal: bool) -> None:
    net, batch = encoder(block, causal), batch_of(hidden=[3, 17])
    before = net.last(batch) @ net.items.all().T
    name = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(4))  # item i is called name[i]
    assert isinstance(net.items, PlainItems)
    with torch.no_grad():
        net.items.weight[name] = net.items.weight.clone()
    after = net.last(replace(batch, item=name[batch.item])) @ net.items.all().T
    torch.testing.assert_close(after[:, name], before, rtol=1e-12, atol=1e-12)
    assert (after - before).abs().max() > 0.1


@pytest.mark.parametrize(("block", "causal"), KINDS)
def test_packing_equals_each_sequence_alone(block: str, causal: bool) -> None:
    net, batch = encoder(block, causal), batch_of(hidden=[0, 10, 11, 32])
    alone = [net(part_of(batch, place)) for place in range(len(LENGTHS))]
    torch.testing.assert_close(net(batch), torch.cat(alone))
    torch.testing.assert_close(net.last(batch), torch.stack([one[-1] for one in alone]))


@pytest.mark.parametrize("block", BLOCKS)
def test_later_events_change_no_earlier_state(block: str) -> None:
    net, batch = encoder(block), batch_of((7, 6))
    before = net(batch)
    for place in range(1, 7):
        item, features = batch.item.clone(), batch.features.clone()
        item[place:7] = (item[place:7] + 1) % ITEMS
        features[place:7, 1] = MAX + (features[place:7, 1] - MAX + 1) % 5
        assert batch.seconds is not None
        assert batch.asked is not None
        seconds, asked = batch.seconds.clone(), batch.asked.clone()
        seconds[place:7] *= 30
        asked[place:7] *= 30  # that the event before answers at the time of this one is known to it
        after = net(replace(batch, item=item, features=features, seconds=seconds, asked=asked))
        moved = (after - before).abs().amax(1) > 1e-9
        assert moved.tolist() == [place <= one < 7 for one in range(13)]


@pytest.mark.parametrize("block", ["prenorm", "ligr"])
def test_from_both_sides_every_event_reaches_every_state_of_its_sequence(block: str) -> None:
    net, batch = encoder(block, causal=False), batch_of((7, 6), hidden=[2])
    before = net(batch)
    for place in range(7):
        item = batch.item.clone()
        item[place] = (item[place] + 1) % ITEMS
        moved = (net(replace(batch, item=item)) - before).abs().amax(1) > 1e-9
        assert moved.tolist() == [one < 7 and place != 2 for one in range(13)]  # under the mask, it does not matter


def test_a_mask_is_a_vector_of_its_own() -> None:
    net, batch = encoder(causal=False, sizes={}), batch_of((3,))
    assert net.mask is not None
    hidden = torch.tensor([False, True, False])
    entered = net.enter(batch.item, batch.features, hidden)
    torch.testing.assert_close(entered[1], net.mask[0])
    torch.testing.assert_close(entered[[0, 2]], net.items(batch.item)[[0, 2]])
    net(replace(batch, hidden=hidden)).square().mul(torch.arange(WIDTH)).sum().backward()
    assert net.mask.grad is not None
    assert net.mask.grad.any()


def test_a_hidden_item_learns_nothing_as_an_event() -> None:
    net, batch = encoder(causal=False), batch_of((6, 5), hidden=[1, 7])
    item = torch.arange(11)
    (net(replace(batch, item=item)) * torch.arange(1.0, WIDTH + 1)).sum().backward()
    assert isinstance(net.items, PlainItems)
    assert net.items.weight.grad is not None
    moved = net.items.weight.grad.abs().sum(1) > 1e-12
    assert moved.tolist() == [one < 11 and one not in (1, 7) for one in range(ITEMS)]


def test_causal_encoders_have_no_mask() -> None:
    assert encoder().mask is None


def test_features_are_added() -> None:
    net, batch = encoder(), batch_of((3,))
    assert net.features is not None
    right = net.items.all()[batch.item] + net.features.weight[batch.features].sum(1)
    torch.testing.assert_close(net.enter(batch.item, batch.features), right)
    rows = net.enter(batch.item[None], batch.features[None])  # a rectangle enters alike
    torch.testing.assert_close(rows, right[None])


@pytest.mark.parametrize("relations", [(), ("position",), ("time",), ("position", "time")])
def test_times_and_places_matter_where_they_are_asked_for(relations: tuple[str, ...]) -> None:
    net, batch = encoder(relations=relations, sizes={}), batch_of((5,))
    assert batch.seconds is not None
    later = replace(batch, seconds=batch.seconds // 40)
    assert torch.equal(net(batch), net(later)) == ("time" not in relations)
    swapped = batch.item[[1, 0, 2, 3, 4]]
    if relations == ("position",):
        assert (net.last(replace(batch, item=swapped)) - net.last(batch)).abs().max() > 1e-9


def test_without_dropout_nothing_is_random_and_with_it_training_is() -> None:
    net, batch = encoder(dropout=0.5), batch_of()
    assert torch.equal(net(batch), net(batch))
    net.train()
    assert (net(batch) - net(batch)).abs().max() > 0.01


@pytest.mark.parametrize(("block", "causal"), KINDS)
def test_every_weight_learns(block: str, causal: bool) -> None:
    net, batch = encoder(block, causal), batch_of(hidden=[3])
    (net(batch) * torch.randn(batch.n_events, WIDTH, dtype=torch.float64)).sum().backward()
    assert not [name for name, one in net.named_parameters() if one.grad is None or not one.grad.any()]


def test_first_weights() -> None:
    torch.manual_seed(0)
    net = TransformerEncoder(PlainItems(2000, 32), 32, SIZES, relations=("time",), causal=False)
    for name, one in net.named_parameters():
        values: Tensor = one.detach()
        if name.endswith("bias") or name.startswith("relations"):
            assert not values.any(), name
        elif "norm" in name:
            assert (values == 1).all(), name
        else:
            assert 0.01 < float(values.std()) < 0.03, name


@pytest.mark.parametrize("relations", [(), ("position",), ("position", "time")])
@pytest.mark.parametrize(("block", "causal"), KINDS)
def test_the_last_state_alone_is_that_of_all(block: str, causal: bool, relations: tuple[str, ...]) -> None:
    net = encoder(block, causal, relations=relations)
    for lengths in (LENGTHS, (7, 6), (5, 5), (1,)):
        batch = batch_of(lengths, hidden=None if causal else [one - 1 for one in np.cumsum(lengths)])
        torch.testing.assert_close(net.last(batch), net(batch)[batch.layout.last()])
