"""Agreement with the independent library ir-measures (over pytrec_eval, the code of NIST's trec_eval).

It orders by score and breaks ties by document id, so each place has a score of its own. It knows no repeated items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zhiyin import metrics
from zhiyin.data.histories import Histories
from zhiyin.metrics.base import Lists, World

ir_measures = pytest.importorskip("ir_measures")

N, N_ITEMS, WIDTH = 400, 60, 15


@pytest.fixture(scope="module")
def lists() -> Lists:
    rng = np.random.default_rng(3)
    items = np.stack([rng.permutation(N_ITEMS)[:WIDTH] for _ in range(N)]).astype(np.int32)
    items[np.arange(WIDTH) >= rng.integers(1, WIDTH + 1, N)[:, None]] = -1
    targets = Histories.of_lists([rng.permutation(N_ITEMS)[: rng.integers(1, 25)].tolist() for _ in range(N)])
    nothing = Histories.of_lists([[] for _ in range(N)])
    return Lists(items, targets, nothing, World(N_ITEMS, np.zeros(N_ITEMS, np.int64)))


def theirs(lists: Lists, measure: Any) -> np.ndarray:
    wanted = {str(row): {f"i{item}": 1 for item in lists.targets.of(row)} for row in range(len(lists))}
    ranked = {
        str(row): {f"i{item}": float(-place) for place, item in enumerate(lists.items[row]) if item >= 0}
        for row in range(len(lists))
    }
    values = np.full(len(lists), np.nan)
    for one in ir_measures.iter_calc([measure], wanted, ranked):
        values[int(one.query_id)] = one.value
    return values


@pytest.mark.parametrize("k", [1, 3, 10, 20])
@pytest.mark.parametrize(
    ("label", "measure"),
    [
        ("ndcg@{}", "nDCG"),
        ("precision@{}", "P"),
        ("recall@{}", "R"),
        ("map@{}[truncated=false]", "AP"),
        ("mrr@{}", "RR"),
        ("hit_rate@{}", "Success"),
    ],
)
def test_agreement(lists: Lists, label: str, measure: str, k: int) -> None:
    ours = metrics.parse(label.format(k)).per_query(lists)  # type: ignore[attr-defined]
    np.testing.assert_allclose(ours, theirs(lists, getattr(ir_measures, measure) @ k), rtol=1e-9, atol=1e-9)


def test_average_precision_differs_only_by_its_divisor(lists: Lists) -> None:
    ours = metrics.parse("map@10").per_query(lists)  # type: ignore[attr-defined]
    scale = lists.n_targets / np.minimum(lists.n_targets, 10)
    np.testing.assert_allclose(ours, theirs(lists, ir_measures.AP @ 10) * scale, rtol=1e-9, atol=1e-9)
