"""Short lists are filled with the most popular items: against a brute-force oracle."""

from typing import Any

import numpy as np
import pytest

from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.models.base import Recommender, VectorRecommender
from zhiyin.run import Run


class Picky(Recommender):
    """Has an opinion on a few items only, others for each query."""

    config: Config

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None: ...

    def _score(self, queries: Queries) -> np.ndarray:
        draws = np.random.default_rng(7).random((500, self.n_items)).astype(np.float32)
        scores = draws[np.array([int(user[1:]) for user in queries.users or ()], int)]
        return np.where(scores < 0.15, scores, -np.inf).astype(np.float32)


class Impatient(Picky):
    threaded = False


def world() -> Dataset:
    rng = np.random.default_rng(0)
    lists = [rng.choice(30, rng.integers(1, 30), replace=True).tolist() for _ in range(40)]
    return Dataset.of(Histories.of_lists(lists), [f"i{number}" for number in range(30)], clock="none")


def by_hand(model: Recommender, query: Queries, k: int, exclude_seen: bool, allowed: set[int]) -> list[tuple[int, int]]:
    """(item, whether it was filled in) of one list."""
    scores = model._score(query)[0]
    seen = set(query.histories.item.tolist()) if exclude_seen else set()
    able = [item for item in range(30) if item in allowed and item not in seen]
    own = sorted((item for item in able if scores[item] > -np.inf), key=lambda item: (-scores[item], item))[:k]
    others = sorted((item for item in able if item not in own), key=lambda item: (-model.popularity[item], item))
    return [(item, 0) for item in own] + [(item, 1) for item in others[: k - len(own)]]


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("allow", [None, [f"i{number}" for number in range(0, 30, 2)]])
@pytest.mark.parametrize("model", [Picky, Impatient])
def test_lists_are_filled_as_by_hand(model: type[Recommender], exclude_seen: bool, allow: list[str] | None) -> None:
    data = world()
    fitted = model().fit(data)
    queries, k = data.queries(), 9
    run = Run(threads=2, memory_mib=1)
    found = fitted.recommend(queries, k, exclude_seen=exclude_seen, allow=allow, run=run)
    allowed = set(range(30)) if allow is None else set(range(0, 30, 2))
    assert found.source is not None
    for row in range(len(queries)):
        expected = by_hand(fitted, queries.slice(row, row + 1), k, exclude_seen, allowed)
        there = found.items[row] >= 0
        assert found.items[row][there].tolist() == [item for item, _ in expected]
        assert found.source[row][there].tolist() == [filled for _, filled in expected]
        assert np.isnan(found.scores[row][there]).tolist() == [bool(filled) for _, filled in expected]


def test_lists_stay_short_when_filling_is_off_or_nothing_is_left() -> None:
    data = world()
    model = Picky().fit(data)
    bare = model.recommend(data.queries(), 9, fill=False)
    assert (bare.items < 0).any()
    assert not bare.source.any()  # type: ignore[union-attr]
    last = model.recommend(data.queries(np.array([0])), 3, allow=["i0"], exclude=["i0"])
    assert last.ids() == []


class Plain(VectorRecommender):
    """Vectors of whole numbers, so that products are exact."""

    config: Config

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        self.item_vectors = np.random.default_rng(5).integers(-4, 5, (self.n_items, 6)).astype(np.float32)

    def _encode(self, queries: Queries) -> np.ndarray:
        return queries.histories.matrix(self.n_items) @ self.item_vectors


class Biased(Plain):
    def _score(self, queries: Queries) -> np.ndarray:
        return super()._score(queries) + 10_000 * (np.arange(self.n_items) % 2).astype(np.float32)


@pytest.mark.parametrize(
    "options", [{}, {"exclude_seen": False}, {"allow": ["i3", "i4", "i9", "i20"], "exclude": ["i9"]}]
)
def test_vector_models_are_searched_as_they_are_scored(options: dict[str, Any]) -> None:
    data = world()
    model = Plain().fit(data)
    ours = model.recommend(data.queries(), 5, fill=False, **options)
    whole = Recommender._best
    plain = [
        whole(
            model,
            data.queries(),
            5,
            options.get("exclude_seen", True),
            None if "allow" not in options else np.isin(np.arange(30), [3, 4, 20]),
        )
    ]
    np.testing.assert_array_equal(ours.items, plain[0][0])
    np.testing.assert_array_equal(ours.scores, plain[0][1])


def test_a_vector_model_that_adds_to_its_products_is_heard() -> None:
    data = world()
    found = Biased().fit(data).recommend(data.queries(), 3, exclude_seen=False)
    assert (found.items % 2 == 1).all()
