import numpy as np

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.models.gru4rec import GRU4Rec
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite

SMALL = {
    "embedding_size": 16,
    "max_length": 12,
    "epochs": 8,
    "batch_size": 128,
    "learning_rate": 0.02,
    "n_negatives": 32,
    "average": 0.0,
}


class TestGRU4Rec(RecommenderSuite):
    model = GRU4Rec
    options = {**SMALL, "n_layers": 2, "hidden_size": 24, "features": ("wait", "value")}
    exact = False  # it starts from random vectors


def hits(model: GRU4Rec, lists: list[list[int]], n_items: int) -> float:
    """How often the last item of a list is the first recommendation for the others."""
    queries = world([one[:-1] for one in lists], n_items).queries()
    found = model.recommend(queries, k=1, exclude_seen=False).items[:, 0]
    return float(np.mean(found == [one[-1] for one in lists]))


def world(lists: list[list[int]], n_items: int) -> Dataset:
    return Dataset.of(Histories.of_lists(lists), [f"i{item}" for item in range(n_items)])


def fitted(data: Dataset, **options: object) -> GRU4Rec:
    return GRU4Rec(**{**SMALL, "dropout": 0.0, **options}).fit(data, run=Run(seed=1, threads=1))


def test_it_learns_a_chain() -> None:
    """The next item is a fixed function of the last one."""
    rng, ring = np.random.default_rng(0), np.random.default_rng(1).permutation(20)
    lists = [[int(ring[(start + step) % 20]) for step in range(15)] for start in rng.integers(0, 20, 60)]
    assert hits(fitted(world(lists, 20)), [one[:8] for one in lists], 20) >= 0.9


def test_it_remembers_more_than_the_last_item() -> None:
    """What follows an item is told by how the history began: the last item alone leaves two answers."""
    rng = np.random.default_rng(0)

    def draw(n: int) -> list[list[int]]:
        noise = rng.integers(4, 7, (n, 3)).tolist()
        return [[way, *some, 7, 2 + way] for way, some in zip(rng.integers(0, 2, n).tolist(), noise, strict=True)]

    model = fitted(world(draw(200), 8))
    asked = draw(60)
    assert hits(model, asked, 8) >= 0.9
    turned = [[1 - one[0], *one[1:]] for one in asked]
    assert hits(model, turned, 8) <= 0.1
