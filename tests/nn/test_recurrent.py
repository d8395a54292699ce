"""The recurrence over packed sequences."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zhiyin.nn.batches import Batch
from zhiyin.nn.items import PlainItems
from zhiyin.nn.layout import Layout
from zhiyin.nn.recurrent import GRUEncoder, by_time

WIDTH, ITEMS = 8, 50
LENGTHS = (12, 11, 6, 6, 2, 1)


def encoder(**options: object) -> GRUEncoder:
    torch.manual_seed(0)
    net = GRUEncoder(PlainItems(ITEMS, WIDTH), WIDTH, {}, **options)
    with torch.no_grad():
        for name, one in net.named_parameters():
            if "norm" not in name:
                one.normal_(std=0.5)
    return net.eval()


def batch_of(*sequences: np.ndarray) -> Batch:
    flat = torch.as_tensor(np.concatenate(sequences).astype(np.int64))
    layout = Layout.of(np.array([len(one) for one in sequences]))
    order = np.arange(len(sequences), dtype=np.int32)
    return Batch(layout, flat, torch.zeros(len(flat), 0, dtype=torch.int64), None, None, order)


def states(net: nn.Module, *sequences: np.ndarray) -> Tensor:
    with torch.inference_mode():
        found: Tensor = net(batch_of(*sequences))
    return found


def draw(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ITEMS, length)


def test_order_by_time_is_that_of_a_packed_sequence() -> None:
    layout = Layout.of(np.array(LENGTHS))
    flat = torch.arange(layout.n_events)
    right = nn.utils.rnn.pack_sequence(list(flat.split(LENGTHS)))
    order, counts = by_time(layout)
    assert order.tolist() == right.data.tolist()
    assert counts.tolist() == right.batch_sizes.tolist()


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("hidden", [None, 12])
def test_packing_equals_each_sequence_alone(n_layers: int, hidden: int | None) -> None:
    net = encoder(n_layers=n_layers, hidden=hidden)
    sequences = [draw(length, place) for place, length in enumerate(LENGTHS)]
    packed = states(net, *sequences)
    assert packed.shape == (sum(LENGTHS), WIDTH)
    torch.testing.assert_close(packed, torch.cat([states(net, one) for one in sequences]), rtol=0, atol=1e-5)
    last = torch.stack([states(net, one)[-1] for one in sequences])
    torch.testing.assert_close(net.last(batch_of(*sequences)), last, rtol=0, atol=1e-5)


def test_a_state_is_made_from_the_events_before_it_step_by_step() -> None:
    """By the equations of the unit, with torch's order of the gates: reset, update, new."""
    net, items = encoder(), draw(5)
    unit = net.units[0]
    x, state = net.inward(net.items(torch.as_tensor(items))), torch.zeros(WIDTH)
    for place in range(5):
        inward = (unit.weight_ih_l0 @ x[place] + unit.bias_ih_l0).chunk(3)
        onward = (unit.weight_hh_l0 @ state + unit.bias_hh_l0).chunk(3)
        reset, update = (torch.sigmoid(inward[gate] + onward[gate]) for gate in (0, 1))
        new = torch.tanh(inward[2] + reset * onward[2])
        state = (1 - update) * new + update * state
        right = net.norm(net.out(state))
        torch.testing.assert_close(states(net, items)[place], right.detach(), rtol=0, atol=1e-5)


def test_what_comes_later_changes_nothing_and_what_came_before_does() -> None:
    net, items = encoder(n_layers=2), draw(12)
    whole = states(net, items)
    changed = items.copy()
    changed[6:] = (changed[6:] + 1) % ITEMS
    torch.testing.assert_close(states(net, changed)[:6], whole[:6], rtol=0, atol=1e-6)
    changed = items.copy()
    changed[6] = (changed[6] + 1) % ITEMS
    assert ((states(net, changed) - whole).abs().amax(1)[6:] > 1e-5).all()


def test_dropout_is_for_training_alone() -> None:
    net, items = encoder(dropout=0.5), draw(12)
    torch.testing.assert_close(states(net, items), states(net, items), rtol=0, atol=0)
    net.train()
    assert (states(net, items) - states(net, items)).abs().max() > 0.01


def test_features_are_added() -> None:
    torch.manual_seed(0)
    net = GRUEncoder(PlainItems(ITEMS, WIDTH), WIDTH, {"position": 4, "hour": 3}).eval()
    batch = batch_of(draw(3))
    features = torch.tensor([[0, 4], [1, 5], [2, 6]])
    told = net(Batch(batch.layout, batch.item, features, None, None, batch.order))
    other = net(Batch(batch.layout, batch.item, features.roll(1, 0), None, None, batch.order))
    assert (told - other).abs().max() > 1e-3


def test_every_weight_gets_a_gradient() -> None:
    net = encoder(n_layers=2, hidden=12)
    net(batch_of(draw(12), draw(5, 1))).square().mul(torch.arange(WIDTH)).sum().backward()
    assert not [name for name, one in net.named_parameters() if one.grad is None or not one.grad.any()]
