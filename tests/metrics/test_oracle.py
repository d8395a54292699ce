"""Agreement to 1e-9 with the brute-force oracle on 10,000 random cases of the worst kind."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from zhiyin import metrics
from zhiyin.metrics.base import CorpusMetric, ListMetric, Lists, ProbabilityMetric, ValueMetric
from zhiyin.testing.metrics import random_lists

from . import oracle

N = 10_000
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "precision": [{}, {"by": "length"}],
    "recall": [{}, {"truncated": True}],
    "map": [{}, {"truncated": False}],
    "serendipity": [{}, {"against": "rank"}],
    "intra_list_diversity": [{}, {"similarity": "jaccard"}],
    "calibration": [{}, {"divergence": "js"}, {"alpha": 0.3}],
    "popularity_share": [{}, {"head": 0.01}, {"head": 1.0}],
    "gauc": [{}, {"weight": "clicks"}, {"weight": "equal"}],
    "calibration_error": [{}, {"n_bins": 3}, {"bins": "width"}, {"bins": "width", "n_bins": 1}],
    "log_loss": [{}, {"clip": 0.01}],
    "normalised_entropy": [{}, {"clip": 0.01}],
}


def of_kind(kind: type) -> list[Any]:
    names = [name for name in metrics.available() if issubclass(metrics.get(name), kind)]
    return [pytest.param(name, one, id=f"{name}{one or ''}") for name in names for one in SETTINGS.get(name, [{}])]


@cache
def batch(n: int = N) -> tuple[Lists, list[oracle.Case]]:
    lists = random_lists(n, seed=7)
    return lists, oracle.cases_of(lists)


def close(ours: float, theirs: float) -> bool:
    return bool(np.isclose(ours, theirs, rtol=1e-9, atol=1e-9, equal_nan=True))


@pytest.mark.parametrize("k", [1, 5, 10, 30])
@pytest.mark.parametrize(("name", "settings"), of_kind(ListMetric))
def test_lists(name: str, settings: dict[str, Any], k: int) -> None:
    metric = metrics.get(name)(k=k, **settings)
    right = getattr(oracle, name)
    # all 10,000 at k = 10; fewer at the other cut-offs, for the sake of time
    lists, cases = batch() if k == 10 else batch(1_000)
    if isinstance(metric, CorpusMetric):
        assert close(metric.overall(lists), right(cases, k))
        for rows in (np.arange(3), np.array([5, 5, 9])):
            assert close(metric.resampled(lists, rows), right([cases[row] for row in rows], k))
        return
    wanted = np.array([right(case, k, **settings) for case in cases])
    np.testing.assert_allclose(metric.per_query(lists), wanted, rtol=1e-9, atol=1e-9)
    known = wanted[~np.isnan(wanted)]
    assert close(metric.overall(lists), float(known.mean()) if len(known) else oracle.NAN)


def outcomes(rng: np.random.Generator) -> tuple[list[int], list[float], list[int]]:
    """Few cases with few different probabilities (ties), 0 and 1 among them, sometimes all of one outcome."""
    n = int(rng.integers(1, 12))
    happened = (rng.random(n) < rng.choice([0.0, 0.2, 0.5, 1.0], p=[0.1, 0.4, 0.4, 0.1])).astype(int)
    steps = int(rng.integers(1, 9))
    probability = rng.integers(0, steps + 1, n) / steps if rng.random() < 0.7 else rng.random(n)
    return happened.tolist(), probability.tolist(), rng.integers(0, 3, n).tolist()


@pytest.mark.parametrize(("name", "settings"), of_kind(ProbabilityMetric))
def test_probabilities(name: str, settings: dict[str, Any]) -> None:
    metric, right, rng = metrics.get(name)(**settings), getattr(oracle, name), np.random.default_rng(11)
    for _ in range(N // 10 if settings else N):
        happened, probability, group = outcomes(rng)
        groups = (group,) if name == "gauc" else ()
        assert close(metric(happened, probability, group), right(happened, probability, *groups, **settings))


@pytest.mark.parametrize(("name", "settings"), of_kind(ProbabilityMetric))
def test_probabilities_of_many_cases(name: str, settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(12)
    probability = np.round(rng.beta(1, 4, 1_200), 2)
    happened = (rng.random(1_200) < probability).astype(int).tolist()
    group = rng.integers(0, 40, 1_200).tolist()
    groups = (group,) if name == "gauc" else ()
    ours = metrics.get(name)(**settings)(happened, probability, group)
    assert close(ours, getattr(oracle, name)(happened, probability.tolist(), *groups, **settings))


@pytest.mark.parametrize(("name", "settings"), of_kind(ValueMetric))
def test_values(name: str, settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(13)
    for n in rng.integers(1, 60, 500):
        truth, predicted = rng.integers(1, 6, n).tolist(), rng.normal(3, 2, n).tolist()
        assert close(metrics.get(name)(**settings)(truth, predicted), getattr(oracle, name)(truth, predicted))
