"""Adam on rows against torch's own, which parameters decay, and a memory that can be put away and taken up."""

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.nn.encoder import TransformerEncoder
from zhiyin.nn.items import PlainItems
from zhiyin.nn.optimizers import BETAS, EPSILON, Optimizers, RowAdam, are_finite

ROWS, WIDTH, RATE = 9, 4, 0.01


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def table(seed: int = 0) -> nn.Parameter:
    return nn.Parameter(torch.randn(ROWS, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def backward(weight: nn.Parameter, rows: list[int], step: int, sparse: bool = True) -> None:
    """A gradient on some rows, which may be named twice; it depends on the weights."""
    weight.grad = None
    found = F.embedding(torch.tensor(rows), weight, sparse=sparse)
    noise = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
    (found * noise + 0.1 * found.square()).sum().backward()


def test_with_all_rows_in_every_step_it_is_torchs_sparse_adam() -> None:
    own, right = table(), table()
    mine, theirs = RowAdam([own], RATE), torch.optim.SparseAdam([right], RATE, BETAS, EPSILON)
    for step in range(30):
        rows = [*range(ROWS), 3, 3, 5]
        backward(own, rows, step)
        backward(right, rows, step)
        mine.step()
        theirs.step()
        torch.testing.assert_close(own, right, rtol=0, atol=1e-6)
    assert (own - table()).abs().mean() > 0.02


def test_each_row_is_adam_on_the_steps_that_touched_it() -> None:
    """A row that comes up seldom goes as if it were alone, with dense Adam on its own gradients."""
    own, optimizer = table(), None
    optimizer = RowAdam([own], RATE)
    alone = {row: nn.Parameter(table()[row].detach().clone()) for row in range(ROWS)}
    adams = {row: torch.optim.Adam([one], RATE, BETAS, EPSILON) for row, one in alone.items()}
    generator = torch.Generator().manual_seed(1)
    for step in range(40):
        rows = torch.nonzero(torch.rand(ROWS, generator=generator) < 0.05 + torch.arange(ROWS) / ROWS)[:, 0].tolist()
        if not rows:
            continue
        backward(own, rows, step)
        assert own.grad is not None
        dense = own.grad.to_dense()
        optimizer.step()
        for row in rows:
            alone[row].grad = dense[row]
            adams[row].step()
    torch.testing.assert_close(own.detach(), torch.stack([alone[row].detach() for row in range(ROWS)]))


def test_only_rows_with_a_gradient_move() -> None:
    own = table()
    optimizer = RowAdam([own], RATE)
    for step, rows in enumerate([[0, 4], [4], [4, 8, 8]]):
        before = own.detach().clone()
        backward(own, rows, step)
        optimizer.step()
        moved = (own.detach() - before).abs().amax(1) > 0
        assert torch.nonzero(moved)[:, 0].tolist() == sorted(set(rows))
    assert optimizer.state[own]["count"].tolist() == [1, 0, 0, 0, 3, 0, 0, 0, 1]


def test_the_first_step_of_a_row_is_as_long_as_the_rate_whenever_it_comes() -> None:
    own = table()
    optimizer = RowAdam([own], RATE)
    for step in range(20):
        backward(own, [0], step)
        optimizer.step()
    before = own.detach()[7].clone()
    backward(own, [7], 99)
    optimizer.step()
    torch.testing.assert_close((own.detach()[7] - before).abs(), torch.full((WIDTH,), RATE).double(), rtol=1e-4, atol=0)


def test_a_dense_gradient_is_one_on_the_rows_that_are_not_zero() -> None:
    own, right = table(), table()
    mine, theirs = RowAdam([own], RATE), RowAdam([right], RATE)
    for step, rows in enumerate([[1, 2, 2], [2, 5], [1]]):
        backward(own, rows, step, sparse=False)
        backward(right, rows, step)
        mine.step()
        theirs.step()
    torch.testing.assert_close(own, right)
    assert torch.equal(mine.state[own]["count"], theirs.state[right]["count"])


def test_without_a_gradient_nothing_happens() -> None:
    own = table()
    RowAdam([own], RATE).step()
    torch.testing.assert_close(own, table(), rtol=0, atol=0)


# ---------------------------------------------------------------------- the optimizers of a net


def encoder(sparse: bool, seed: int = 0) -> TransformerEncoder:
    torch.manual_seed(seed)
    return TransformerEncoder(
        PlainItems(20, 8, sparse), 8, {"position": 6}, max_length=6, n_layers=1, relations=("time",)
    ).eval()


def names(net: nn.Module, chosen: list[Tensor]) -> set[str]:
    found = {id(one) for one in chosen}
    return {name for name, one in net.named_parameters() if id(one) in found}


@pytest.mark.parametrize("sparse", [False, True])
def test_matrices_decay_and_nothing_else_does(sparse: bool) -> None:
    net = encoder(sparse)
    every = Optimizers(net, RATE, regularization=0.1)
    decaying, *others = every.all[0].param_groups
    assert [one["weight_decay"] for one in (decaying, *others)] == [0.1, 0.0, 0.0]
    kept = {"params": [parameter for one in others for parameter in one["params"]]}
    found = names(net, decaying["params"])
    assert {name for name in found if name.startswith("blocks")} == {
        "blocks.0.qkv.weight",
        "blocks.0.out.weight",
        "blocks.0.feed_forward.up.weight",
        "blocks.0.feed_forward.down.weight",
    }
    assert not found & {"items.weight", "features.weight", "norm.weight", "norm.bias"}
    assert names(net, every.sparse) == ({"items.weight"} if sparse else set())
    assert len(every.all) == 1 + sparse
    together = [*decaying["params"], *kept["params"], *every.sparse]
    assert sorted(map(id, together)) == sorted(map(id, net.parameters()))  # each parameter learns, and once


def test_relations_learn_at_a_pace_of_their_own() -> None:
    net = encoder(sparse=False)
    every = Optimizers(net, RATE)
    for one in net.parameters():
        one.grad = torch.ones_like(one)
    assert net.relations is not None
    assert net.relations.time is not None
    watched = net.relations.time, net.norm.weight
    before = [one.detach().clone() for one in watched]
    every.step(RATE)
    moved = [float((one.detach() - old).abs().max()) for one, old in zip(watched, before, strict=True)]
    assert moved == pytest.approx([8 * RATE, RATE], rel=1e-3)


def test_decay_shrinks_a_matrix_by_the_rate() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Embedding(4, 3))
    before = copy.deepcopy(net.state_dict())
    every = Optimizers(net, RATE, regularization=0.5)
    for one in net.parameters():
        one.grad = torch.zeros_like(one)
    every.step(0.1)
    torch.testing.assert_close(net[0].weight.detach(), before["0.weight"] * (1 - 0.1 * 0.5))
    torch.testing.assert_close(net[0].bias.detach(), before["0.bias"], rtol=0, atol=0)
    torch.testing.assert_close(net[1].weight.detach(), before["1.weight"], rtol=0, atol=0)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_rate_is_that_of_the_step(sparse: bool) -> None:
    net = PlainItems(5, 3, sparse)
    nn.init.zeros_(net.weight)
    every = Optimizers(net, RATE)
    net(torch.arange(5)).sum().backward()
    every.step(0.25)
    torch.testing.assert_close(net.weight.detach(), torch.full((5, 3), -0.25), rtol=1e-4, atol=0)


def test_the_dense_part_is_clipped_and_cleared() -> None:
    net = nn.Sequential(PlainItems(5, 3, sparse=True), nn.Linear(3, 3))
    nn.init.ones_(net[0].weight)
    every = Optimizers(net, RATE)
    (net(torch.tensor([1, 1, 4])).sum() * 100).backward()
    rows = net[0].weight.grad.to_dense().clone()
    every.clip(0.5)
    total = torch.stack([one.grad.norm() for one in every.dense if one.grad is not None]).norm()
    assert float(total) == pytest.approx(0.5, rel=1e-4)
    assert torch.equal(net[0].weight.grad.to_dense(), rows)
    every.clear()
    assert all(one.grad is None for one in net.parameters())


def steps(net: TransformerEncoder, every: Optimizers, numbers: range) -> None:
    for step in numbers:
        generator = torch.Generator().manual_seed(step)
        every.clear()
        states = net.enter(torch.randint(0, 20, (6,), generator=generator), torch.arange(6)[:, None])
        for block in net.blocks:
            states = block.mix(states, states, None)
        net.norm(states).square().mul(torch.rand(6, 8, generator=generator)).sum().backward()
        every.step(RATE)


@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_remembered_can_be_taken_up(sparse: bool) -> None:
    net = encoder(sparse)
    every = Optimizers(net, RATE, 0.1)
    steps(net, every, range(5))
    state = {name: one.clone() for name, one in every.state().items()}
    assert len(state) > 5
    assert any(name.startswith("1.") for name in state) == sparse
    other = encoder(sparse, seed=9)
    other.load_state_dict(net.state_dict())
    taken = Optimizers(other, RATE, 0.1)
    # files know no arrays without an axis
    taken.restore({name: one.reshape(-1) if one.dim() == 0 else one for name, one in state.items()})
    steps(net, every, range(5, 10))
    steps(other, taken, range(5, 10))
    for (name, one), two in zip(net.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two), name
    found, right = taken.state(), every.state()
    assert found.keys() == right.keys()
    assert all(torch.equal(found[name], right[name]) for name in right)


def test_nothing_is_remembered_at_first_and_that_can_be_taken_up_too() -> None:
    every = Optimizers(encoder(True), RATE)
    assert every.state() == {}
    every.restore({})
    assert every.state() == {}


def test_what_another_net_remembered_is_refused() -> None:
    net = encoder(True)
    every = Optimizers(net, RATE)
    steps(net, every, range(1))
    state = every.state()
    for changed in (
        {name: one[:-1] if one.dim() else one for name, one in state.items()},
        {f"{name}": torch.cat([one, one]) if one.dim() else one for name, one in state.items()},
    ):
        with pytest.raises(ValueError, match="the weight is"):
            Optimizers(encoder(True), RATE).restore(changed)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_number_that_is_none_is_found(value: float, kind: torch.dtype) -> None:
    sound = [torch.zeros(0), torch.arange(3), torch.ones(2, 3, dtype=kind), nn.Parameter(torch.full((4,), 1e38))]
    assert are_finite(sound)
    spoilt = torch.ones(2, 3, dtype=kind)
    spoilt[1, 1] = value
    assert not are_finite([*sound, spoilt])
    assert are_finite([])
    assert are_finite([torch.arange(3)])
