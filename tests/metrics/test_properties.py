"""Laws that hold for any lists whatever, looked for by hypothesis."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin import metrics
from zhiyin.metrics.base import ListMetric, Lists

ITEMS = list("abcdefgh")
KINDS = {"a": ["x"], "b": ["x", "y"], "c": ["y"], "d": ["z"], "e": ["x", "z"], "f": []}
RANKING = ("precision", "recall", "hit_rate", "mrr", "map", "ndcg", "serendipity")
SHARES = ("precision", "recall", "hit_rate", "mrr", "map", "ndcg", "serendipity", "coverage", "gini")
SHARES += ("popularity_share", "intra_list_diversity", "repeat_rate")

some = st.lists(st.sampled_from(ITEMS), max_size=12)
queries = st.lists(st.tuples(some, some, some), min_size=1, max_size=6)
cut_off = st.integers(1, 8)
fast = settings(max_examples=40, deadline=None)


def made(rows: list[tuple[list[str], list[str], list[str]]]) -> Lists:
    listed, wanted, past = ([row[part] for row in rows] for part in range(3))
    return Lists.of(listed, wanted, past, KINDS, ITEMS)


@pytest.mark.parametrize("name", SHARES)
@given(rows=queries, k=cut_off)
@fast
def test_shares_lie_between_0_and_1(name: str, rows: list, k: int) -> None:
    value = metrics.get(name)(k=k).overall(made(rows))
    assert math.isnan(value) or -1e-12 <= value <= 1 + 1e-12


@pytest.mark.parametrize("name", RANKING)
@given(rows=queries, k=cut_off, data=st.data())
@fast
def test_a_hit_more_never_lowers(name: str, rows: list, k: int, data: st.DataObject) -> None:
    """Put a target that the list lacks into a place that is no hit."""
    listed, wanted, past = rows[0]
    lists = made([rows[0]])
    misses = [place for place in range(len(listed)) if not lists.hits[0, place]]
    missed = sorted(set(wanted) - set(listed))
    if not misses or not missed:
        return
    better = list(listed)
    better[data.draw(st.sampled_from(misses))] = data.draw(st.sampled_from(missed))
    metric = metrics.get(name)(k=k)
    assert metric.overall(made([(better, wanted, past)])) >= metric.overall(lists) - 1e-12


@pytest.mark.parametrize("name", ["mrr", "map", "ndcg"])
@given(rows=queries, k=cut_off, data=st.data())
@fast
def test_a_hit_further_up_never_lowers(name: str, rows: list, k: int, data: st.DataObject) -> None:
    """Swap a hit with the place before it; the set of the list stays the same."""
    listed, wanted, past = rows[0]
    listed = list(dict.fromkeys(listed))
    lists = made([(listed, wanted, past)])
    places = [place for place in range(1, len(listed)) if lists.hits[0, place]]
    if not places:
        return
    at = data.draw(st.sampled_from(places))
    better = [*listed[: at - 1], listed[at], listed[at - 1], *listed[at + 1 :]]
    metric = metrics.get(name)(k=k)
    assert metric.overall(made([(better, wanted, past)])) >= metric.overall(lists) - 1e-12


@pytest.mark.parametrize("name", [name for name in metrics.available() if issubclass(metrics.get(name), ListMetric)])
@given(rows=queries, k=cut_off, more=some, data=st.data())
@fast
def test_what_does_not_matter_does_not_matter(
    name: str, rows: list, k: int, more: list[str], data: st.DataObject
) -> None:
    """The order of the queries, what stands beyond k, targets that occur twice."""
    metric = metrics.get(name)(k=k)
    order = data.draw(st.permutations(range(len(rows))))
    longer = [(listed + more if len(listed) >= k else listed, wanted + wanted, past) for listed, wanted, past in rows]
    lists, other = made(rows), made([longer[row] for row in order])
    np.testing.assert_allclose(other_value := metric.overall(other), metric.overall(lists), rtol=1e-12, atol=1e-12)
    if metric.is_mean:
        np.testing.assert_allclose(metric.per_query(other), metric.per_query(lists)[order], rtol=1e-12, atol=1e-12)
    else:
        assert not math.isnan(other_value) or not any(row[0] for row in rows)


@pytest.mark.parametrize("name", RANKING)
@given(rows=queries, k=cut_off)
@fast
def test_labels_and_directions(name: str, rows: list, k: int) -> None:
    metric = metrics.parse(f"{name}@{k}")
    assert metric.label == f"{name}@{k}"
    assert metric.higher_is_better is True


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=30))
@fast
def test_auc_is_a_chance_and_turns_round_with_the_scores(cases: list[tuple[bool, int]]) -> None:
    happened, score = [one for one, _ in cases], [float(one) for _, one in cases]
    auc = metrics.get("auc")()
    value = auc(happened, score)
    if len(set(happened)) == 1:
        assert math.isnan(value)
        return
    assert 0 <= value <= 1
    assert auc(happened, [-one for one in score]) == pytest.approx(1 - value)
    assert auc(happened, [math.exp(one) for one in score]) == pytest.approx(value)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=30))
@fast
def test_probability_losses_are_not_negative_and_know_no_order(cases: list[tuple[bool, float]]) -> None:
    happened, probability = [one for one, _ in cases], [one for _, one in cases]
    for name in ("log_loss", "calibration_error", "normalised_entropy"):
        metric = metrics.get(name)()
        value = metric(happened, probability)
        assert math.isnan(value) or value >= 0
        again = metric(happened[::-1], probability[::-1])
        assert again == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
@fast
def test_rates_lie_in_their_interval(rows: list[tuple[bool, bool, int]]) -> None:
    shown = [int(one) for one, _, _ in rows]
    clicked = [int(one and other) for one, other, _ in rows]
    rate = metrics.get("click_through_rate")()
    value, interval = rate(shown, clicked), rate.interval(shown, clicked)
    if sum(shown):
        assert 0 <= interval.low <= value <= interval.high <= 1
    else:
        assert math.isnan(value)
