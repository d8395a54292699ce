import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn

from zhiyin.arrays import IntMatrix, IntVector
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError
from zhiyin.nn.batches import Batch, BatchMaker
from zhiyin.nn.items import ItemTable, PlainItems, ProductItems
from zhiyin.nn.optimizers import Optimizers
from zhiyin.nn.reading import Reading
from zhiyin.nn.sides import SideItems

N_ITEMS, WIDTH, N_VALUES = 9, 6, 5


def own(kind: str) -> ItemTable:
    if kind == "product":
        codes = np.random.default_rng(1).integers(0, 4, (N_ITEMS, 3))
        return ProductItems(torch.from_numpy(codes), WIDTH, 4)
    return PlainItems(N_ITEMS, WIDTH, kind == "sparse")


def sides(seed: int = 0) -> sparse.csr_array:
    """Some items have several values, some have none."""
    rng = np.random.default_rng(seed)
    dense = rng.random((N_ITEMS, N_VALUES)) * (rng.random((N_ITEMS, N_VALUES)) < 0.4)
    dense[[0, 5]] = 0
    return sparse.csr_array(dense.astype(np.float32))


def table(kind: str = "plain", weights: sparse.csr_array | None = None) -> SideItems:
    torch.manual_seed(0)
    made = SideItems.of(own(kind), sides() if weights is None else weights, WIDTH)
    for one in made.parameters():
        nn.init.normal_(one)
    return made


def longs(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def test_a_vector_is_the_own_row_and_the_shares_of_values_by_hand() -> None:
    items = SideItems(PlainItems(3, 2), longs(0, 2, 2, 3), longs(0, 2, 1), torch.tensor([0.5, 0.5, 1.0]), 3, 2)
    with torch.no_grad():
        items.own.weight.copy_(torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]))
        items.weight.copy_(torch.tensor([[10.0, 1.0], [20.0, 2.0], [30.0, 4.0]]))
    assert items.all().tolist() == [[21.0, 2.5], [2.0, 0.0], [23.0, 2.0]]
    assert items(longs(2, 0)).tolist() == [[23.0, 2.0], [21.0, 2.5]]


@pytest.mark.parametrize("kind", ["plain", "sparse", "product"])
def test_vectors_are_those_of_a_dense_product(kind: str) -> None:
    items, weights = table(kind), sides()
    right = items.own.all() + torch.from_numpy(weights.toarray()) @ items.weight
    torch.testing.assert_close(items.all(), right)
    asked = torch.tensor([[3, 8, 3, 0], [5, 1, 7, 3]])
    torch.testing.assert_close(items(asked), right[asked])
    assert items(torch.tensor(4)).shape == (WIDTH,)
    assert items(torch.zeros((2, 0), dtype=torch.int64)).shape == (2, 0, WIDTH)
    torch.testing.assert_close(items(longs(0, 5)), items.own(longs(0, 5)))


def test_permuted_items_have_permuted_vectors() -> None:
    order = np.random.default_rng(2).permutation(N_ITEMS)
    first, second = table(), table(weights=sides()[order])
    with torch.no_grad():
        second.own.weight.copy_(first.own.weight[torch.from_numpy(order)])
        second.weight.copy_(first.weight)
    torch.testing.assert_close(second.all(), first.all()[torch.from_numpy(order)])


@pytest.mark.parametrize("kind", ["plain", "sparse"])
def test_gradients_reach_values_by_their_shares_and_rows_by_their_items(kind: str) -> None:
    items = table(kind)
    asked, dense = longs(3, 1, 3), torch.from_numpy(sides().toarray())
    items(asked).sum().backward()
    weight, rows = items.weight.grad, items.own.weight.grad
    assert weight is not None
    assert rows is not None
    torch.testing.assert_close(weight[:, 0], dense[asked].sum(0))
    assert rows.to_dense()[:, 0].tolist() == [0, 1, 0, 2, 0, 0, 0, 0, 0]


def test_an_item_that_nobody_trains_comes_nearer_to_those_of_its_category() -> None:
    """Items 0, 1 and 2 are of one category, 3 and 4 of another; only 0, 1 and 3 are told what they should be."""
    weights = sparse.csr_array(np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]], np.float32))
    torch.manual_seed(0)
    items = SideItems.of(PlainItems(5, 8), weights, 8)
    for one in items.parameters():
        nn.init.normal_(one, std=0.1)
    trained = longs(0, 1, 3)
    goal = torch.nn.functional.one_hot(longs(0, 0, 1), 8).float()

    def likeness() -> Tensor:
        unit = nn.functional.normalize(items.all().detach())
        return unit @ unit.T

    before = likeness()
    descent = torch.optim.SGD(items.parameters(), 0.3)
    for _ in range(100):
        descent.zero_grad()
        ((items(trained) - goal) ** 2).sum().backward()
        descent.step()
    after = likeness()
    for near, far in ((0, 3), (1, 3)):
        assert after[2, near] > max(0.8, float(before[2, near]))
        assert after[2, near] > after[2, far] + 0.5
    assert after[4, 3] > 0.8


def test_optimizers_know_both_tables_and_let_neither_decay() -> None:
    items = table("sparse")
    found = Optimizers(items, 0.1, 0.5)
    assert [id(one) for one in found.sparse] == [id(items.own.weight)]
    assert [id(one) for one in found.dense] == [id(items.weight)]
    before = items.weight.detach().clone()
    items(longs(1)).sum().backward()
    found.step(0.1)
    still = torch.from_numpy(sides().toarray())[1] == 0
    assert still.any()
    assert torch.equal(items.weight[still], before[still])
    assert not torch.equal(items.weight[~still], before[~still])


@pytest.mark.parametrize("kind", ["plain", "product"])
def test_the_state_holds_the_values_of_items(kind: str) -> None:
    first, other = table(kind), sides()
    other.data[:], other.indices[:] = 0.25, 0
    second = table(kind, other)
    assert not torch.equal(first.all(), second.all())
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.all(), second.all())
    assert {"offsets", "places", "shares", "weight", "own.weight"} <= set(first.state_dict())


@pytest.mark.parametrize("kind", ["plain", "sparse", "product"])
def test_folded_it_is_a_plain_table_of_the_same_vectors(kind: str) -> None:
    items = table(kind)
    plain = items.folded()
    assert torch.equal(plain.all(), items.all())
    assert type(plain) is PlainItems
    assert not plain.all().requires_grad


@pytest.mark.parametrize(
    ("offsets", "places", "shares", "said"),
    [
        (longs(0, 1), longs(0), 1, "describe each item"),
        (longs(0, 1, 2), longs(0, 1).int(), 2, "int32 or int64"),
        (longs(0, 1, 2).double(), longs(0, 1).double(), 2, "int32 or int64"),
        (longs(0, 1, 3), longs(0, 1), 2, "offsets rise"),
        (longs(1, 1, 2), longs(0, 1), 2, "offsets rise"),
        (longs(0, 3, 2), longs(0, 1), 2, "offsets rise"),
        (longs(0, 1, 2), longs(0, 1), 1, "offsets rise"),
        (longs(0, 1, 2), longs(0, 4), 2, "0 to 3 expected"),
        (longs(0, 1, 2), longs(-1, 0), 2, "0 to 3 expected"),
    ],
)
def test_arrays_that_do_not_go_together_are_refused(offsets: Tensor, places: Tensor, shares: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SideItems(PlainItems(2, 3), offsets, places, torch.ones(shares), 4, 3)


class Known:
    """Two columns, of 3 and 4 buckets; a query's user is its row's."""

    sizes = {"a": 3, "b": 4}
    nobody: IntVector = np.array([2, 6], np.int32)

    def asked(self, queries: Queries) -> IntMatrix:
        return people(len(queries))


def people(n: int) -> IntMatrix:
    """(n, 2) buckets by which users can be told apart, up to 6."""
    return np.stack([np.arange(n) % 2, 3 + np.arange(n) % 3], 1).astype(np.int32)


def histories() -> Histories:
    """Item 10 * user + place, so that an event tells whose it is."""
    return Histories.of_lists([[10 * user + place for place in range(n)] for user, n in enumerate((2, 9, 0, 3, 6))])


def told(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    return batch.item.numpy() // 10, batch.features.numpy()


def maker(**options: object) -> BatchMaker:
    return BatchMaker(Reading(("position",), 4), 4, users=Known(), **options)


@pytest.mark.parametrize("objective", ["next", "all_action", "masked"])
def test_each_event_of_a_window_is_told_of_its_own_user(objective: str) -> None:
    past, generator = histories(), np.random.default_rng(0)
    made = maker(objective=objective)
    (windows,) = made.epoch(past, 1000, generator)
    batch = made.training(past, windows, generator, None, people(5))
    owner, features = told(batch)
    if batch.hidden is not None:
        assert batch.hidden.any()
        seen = ~batch.hidden.numpy()
        owner, features = owner[seen], features[seen]
    assert set(owner) >= {1, 3, 4}
    np.testing.assert_array_equal(features[:, 1:], 4 + people(5)[owner])


def test_a_share_of_windows_is_told_of_nobody() -> None:
    past, generator = Histories.of_lists([[10 * user, 10 * user] for user in range(400)]), np.random.default_rng(0)
    made = maker(strangers=0.25)
    windows = np.concatenate(made.epoch(past, 1000, generator))
    _, features = told(made.training(past, windows, generator, None, people(400)))
    strange = (features[:, 1:] == 4 + Known.nobody).all(1)
    assert 0.15 < strange.mean() < 0.35
    assert (features[~strange, 1:] != 4 + Known.nobody).all()


@pytest.mark.parametrize("objective", ["next", "masked"])
def test_queries_are_told_of_their_users_in_the_order_of_the_batch(objective: str) -> None:
    past = histories().take(np.array([0, 1, 3, 4]))
    batch = maker(objective=objective).queries(Queries(past, Vocabulary([f"i{item}" for item in range(50)])))
    whose = np.repeat(batch.order, batch.layout.lengths)
    assert batch.order.tolist() != [0, 1, 2, 3]
    np.testing.assert_array_equal(batch.features.numpy()[:, 1:], 4 + people(4)[whose])
