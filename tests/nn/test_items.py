from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zhiyin.errors import ConfigError, DataError
from zhiyin.nn.items import SPARSE_FROM, ItemTable, PlainItems, ProductItems
from zhiyin.nn.optimizers import Optimizers
from zhiyin.nn.training import Epoch, Plan, Training
from zhiyin.run import Run

N_ITEMS, WIDTH = 12, 6


def codes(n_codes: int = 4, parts: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, n_codes, (N_ITEMS, parts)))


def table(kind: str) -> ItemTable:
    torch.manual_seed(0)
    made = ProductItems(codes(), WIDTH, 4) if kind == "product" else PlainItems(N_ITEMS, WIDTH, kind == "sparse")
    for one in made.parameters():
        nn.init.normal_(one)
    return made


KINDS = ("plain", "sparse", "product")


@pytest.mark.parametrize("kind", KINDS)
def test_all_vectors_are_those_of_all_items(kind: str) -> None:
    items = table(kind)
    assert items.all().shape == (N_ITEMS, WIDTH)
    assert torch.equal(items.all(), items(torch.arange(N_ITEMS)))


@pytest.mark.parametrize("kind", KINDS)
def test_items_of_any_shape_have_vectors(kind: str) -> None:
    items = table(kind)
    found = items(torch.tensor([[3, 5, 3], [0, 11, 3]]))
    assert found.shape == (2, 3, WIDTH)
    assert torch.equal(found[1, 1], items.all()[11])
    assert items(torch.zeros(0, dtype=torch.int64)).shape == (0, WIDTH)


def test_a_product_vector_is_its_pieces_side_by_side() -> None:
    items = ProductItems(torch.tensor([[0, 1], [1, 1]]), 4, 2)
    with torch.no_grad():
        items.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]))
    assert items.all().tolist() == [[1, 2, 7, 8], [3, 4, 7, 8]]


def test_items_that_share_a_piece_share_its_gradient() -> None:
    items = ProductItems(torch.tensor([[0, 1], [1, 1]]), 4, 2)
    nn.init.ones_(items.weight)
    items(torch.tensor([0, 1, 1])).sum().backward()
    assert items.weight.grad is not None
    assert items.weight.grad[:, 0].tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(("n_codes", "dtype"), [(4, torch.uint8), (256, torch.uint8), (257, torch.int32)])
def test_product_items_learn_pieces_alone_and_keep_small_codes(n_codes: int, dtype: torch.dtype) -> None:
    wide = torch.full((N_ITEMS, 3), n_codes - 1)
    items = ProductItems(wide, WIDTH, n_codes)
    assert sum(one.numel() for one in items.parameters()) == 3 * n_codes * WIDTH // 3
    assert items.codes.dtype == dtype
    assert torch.equal(items.codes.long(), wide)
    nn.init.normal_(items.weight)
    assert torch.equal(items.all()[0, :2], items.weight[n_codes - 1])


def test_large_plain_tables_are_sparse_unless_said_otherwise() -> None:
    assert not PlainItems(SPARSE_FROM - 1, 1).sparse
    assert PlainItems(SPARSE_FROM, 1).sparse
    assert not PlainItems(SPARSE_FROM, 1, sparse=False).sparse


def test_widths_and_codes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"7 numbers .* 3 codes"):
        ProductItems(codes(), 7, 4)
    with pytest.raises(ConfigError, match="0 to 2 are expected"):
        ProductItems(torch.tensor([[0, 3]]), 4, 3)
    with pytest.raises(ConfigError, match="from -1"):
        ProductItems(torch.tensor([[-1, 1]]), 4, 3)


def test_a_sparse_table_that_is_used_whole_steps_as_one_that_is_looked_up() -> None:
    """A softmax over all items gives a table of any kind a dense gradient."""
    rows, found = torch.tensor([1, 4, 4, 7]), []
    for whole in (False, True):
        items = table("sparse")
        start = items.all().detach().clone()
        optimizers = Optimizers(items, 0.1)
        for _ in range(3):
            optimizers.clear()
            (items.all()[rows] if whole else items(rows)).square().sum().backward()
            optimizers.step(0.1)
        moved = (items.all().detach() - start).abs().sum(1).nonzero()[:, 0]
        assert moved.tolist() == [1, 4, 7]
        found.append(items.all().detach())
    assert torch.allclose(*found, atol=1e-6)


# ---------------------------------------------------------------------- trained, interrupted, taken up


class Net(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.items, self.scale = table(kind), nn.Linear(WIDTH, 1)
        nn.init.constant_(self.scale.weight, 0.5)


def training(kind: str, checkpoint: Path | None, measured: bool = True, **options: Any) -> Training:
    net = Net(kind)
    target = torch.linspace(-1, 1, N_ITEMS)

    def loss(rows: Tensor, generator: np.random.Generator) -> tuple[Tensor, int]:
        return (net.scale(net.items(rows))[:, 0] - target[rows]).square().mean(), len(rows)

    def batches(generator: np.random.Generator) -> list[Tensor]:
        return [torch.from_numpy(generator.choice(N_ITEMS, 5)) for _ in range(3)]

    def measure() -> float:
        with torch.no_grad():
            return -float((net.scale(net.items.all())[:, 0] - target).square().mean())

    plan = Plan(epochs=5, learning_rate=0.05, average=0.5)
    return Training(net, batches, loss, measure if measured else None, plan, Run(checkpoint=checkpoint), **options)


def weights(one: Training) -> dict[str, list[Any]]:
    return {name: value.tolist() for name, value in one.net.state_dict().items()}


class Dark(Exception):
    pass


def interrupt(epoch: Epoch) -> None:
    if epoch.epoch == 2:
        raise Dark


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(kind: str, tmp_path: Path) -> None:
    whole = training(kind, None)
    wanted = whole.go()
    with pytest.raises(Dark):
        training(kind, tmp_path / "checkpoint", watch=interrupt).go()
    rest: list[Epoch] = []
    again = training(kind, tmp_path / "checkpoint", watch=rest.append)
    found = again.go()
    assert [one.epoch for one in rest] == [3, 4, 5]
    assert [one.loss for one in found.epochs] == [one.loss for one in wanted.epochs]
    assert (found.best, found.best_epoch) == (wanted.best, wanted.best_epoch)
    assert weights(again) == weights(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("measured", [True, False])
def test_a_finished_training_is_not_done_again(kind: str, measured: bool, tmp_path: Path) -> None:
    first = training(kind, tmp_path / "checkpoint", measured)
    wanted = first.go()
    assert (tmp_path / "checkpoint").is_dir()
    told: list[Epoch] = []
    again = training(kind, tmp_path / "checkpoint", measured, watch=told.append)
    assert again.go().epochs == wanted.epochs
    assert not told
    assert weights(again) == weights(first)


def test_a_checkpoint_of_another_table_is_refused(tmp_path: Path) -> None:
    training("product", tmp_path / "checkpoint").go()
    with pytest.raises(DataError, match="damaged"):
        training("plain", tmp_path / "checkpoint").go()


@pytest.mark.parametrize("content", ["[]", "{}", '{"purpose": {"seed": 0}}'])
def test_a_checkpoint_that_says_too_little_is_refused(content: str, tmp_path: Path) -> None:
    training("sparse", tmp_path / "checkpoint").go()
    (tmp_path / "checkpoint" / "checkpoint.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        training("sparse", tmp_path / "checkpoint").go()


def test_what_an_optimizer_remembers_of_another_net_is_refused() -> None:
    one = training("sparse", None)
    one.go()
    state = one.optimizers.state()
    key = next(name for name in state if name.endswith("square"))
    with pytest.raises(ValueError, match="square"):
        one.optimizers.restore({**state, key: state[key][:-1]})


def test_each_epoch_is_told_of_with_what_was_measured() -> None:
    told: list[Epoch] = []
    found = training("plain", None, watch=told.append).go()
    assert told == found.epochs
    assert all(one.measured is not None for one in told)
