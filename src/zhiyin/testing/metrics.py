"""What every metric of recommended lists must do: subclass it, name the metric, and pytest runs the rest.

class TestRecall(MetricSuite):
    metric = Recall
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, IntMatrix
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError
from zhiyin.metrics import parse
from zhiyin.metrics.base import ListMetric, Lists, World
from zhiyin.testing.recommenders import raises


def random_lists(n: int = 300, seed: int = 0, n_items: int = 40, width: int = 14) -> Lists:
    """Lists as bad as they come: short, empty, with holes, with repeated items; no, repeated or very many targets.

    Many items are equally popular, some unused; some items have no category; some histories are empty and some
    events weigh nothing.
    """
    rng = np.random.default_rng(seed)
    items = rng.integers(0, n_items, (n, width)).astype(np.int32)
    items[np.arange(width) >= rng.integers(0, width + 1, n)[:, None]] = -1
    items[rng.random(n) < 0.1, 0] = -1  # a hole before the first item
    targets = _random_sets(rng, n, n_items, 12)
    histories = _random_sets(rng, n, n_items, 15)
    weight = rng.integers(0, 4, histories.n_events).astype(np.float32)
    categories = rng.random((n_items, 6)) < 0.3
    categories[rng.random(n_items) < 0.2] = False
    world = World(n_items, rng.integers(0, n_items // 3, n_items), n, sparse.csr_array(categories))
    return Lists(items, targets, replace(histories, weight=weight), world)


def _random_sets(rng: np.random.Generator, n: int, n_items: int, most: int) -> Histories:
    lengths = rng.integers(0, most + 1, n)
    return Histories.of_lengths(lengths, item=rng.integers(0, n_items, int(lengths.sum())).astype(np.int32))


def renamed(lists: Lists, new: AnyArray) -> Lists:
    """The same lists with item `i` called `new[i]`."""
    new, old = new.astype(np.int32), np.argsort(new)
    world, categories = lists.world, lists.world.categories
    other = World(world.n_items, world.popularity[old], world.n_users, None if categories is None else categories[old])
    return Lists(
        np.where(lists.items >= 0, new[lists.items], -1).astype(np.int32),
        replace(lists.targets, item=new[lists.targets.item]),
        replace(lists.histories, item=new[lists.histories.item]),
        other,
    )


class MetricSuite:
    """The behaviour contract of a metric of recommended lists."""

    metric: ClassVar[type[ListMetric]]
    options: ClassVar[dict[str, Any]] = {}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The least and the most that a value can be."""
    of_targets: ClassVar[bool] = True
    """Whether the metric looks at the targets: then a query without any has no value, and a hit more does no harm."""

    def made(self, **options: Any) -> ListMetric:
        """The metric with a cut-off of 5, unless the suite's options say another."""
        return self.metric(**{"k": 5, **self.options, **options})

    def values(self, lists: Lists) -> AnyArray:
        """(n,) the values of the queries; for a metric that is one number for all lists, that of each list alone."""
        metric = self.made()
        if metric.is_mean:
            return metric.per_query(lists)
        return np.array([metric.overall(lists.take(np.array([row]))) for row in range(len(lists))])

    def test_values_stay_within_their_bounds(self) -> None:
        lists = random_lists()
        values, (low, high) = self.values(lists), self.bounds
        assert values.shape == (len(lists),)
        assert values.dtype == np.float64
        known = values[~np.isnan(values)]
        assert len(known) > len(lists) / 2
        assert known.min() >= low - 1e-12
        assert known.max() <= high + 1e-12
        assert low - 1e-12 <= self.made().overall(lists) <= high + 1e-12

    def test_only_what_it_looks_at_counts(self) -> None:
        lists = random_lists()
        nothing = replace(
            lists, targets=Histories.of_lengths(np.zeros(len(lists), np.int64), item=np.zeros(0, np.int32))
        )
        if self.of_targets:
            assert np.isnan(self.values(nothing)).all()
            assert (np.isnan(self.values(lists)) >= (lists.n_targets == 0)).all()
        else:
            np.testing.assert_array_equal(self.values(nothing), self.values(lists))

    def test_permuted_queries_permute_the_values(self) -> None:
        lists = random_lists()
        order = np.random.default_rng(1).permutation(len(lists))
        np.testing.assert_allclose(self.values(lists.take(order)), self.values(lists)[order], rtol=1e-12, atol=1e-12)
        again = self.made().overall(lists.take(order))
        assert abs(again - self.made().overall(lists)) < 1e-12

    def test_a_batch_equals_its_parts(self) -> None:
        lists = random_lists()
        parts = [self.values(lists.take(rows)) for rows in np.array_split(np.arange(len(lists)), 7)]
        np.testing.assert_allclose(np.concatenate(parts), self.values(lists), rtol=1e-12, atol=1e-12)

    def test_places_beyond_the_cut_off_change_nothing(self) -> None:
        lists = random_lists()
        k = self.made().config.k
        assert lists.items.shape[1] > k
        self._same(lists, lists.items[:, :k])

    def test_padding_changes_nothing(self) -> None:
        lists = random_lists(width=4)
        self._same(lists, np.pad(lists.items, ((0, 0), (0, 9)), constant_values=-1))

    def _same(self, lists: Lists, items: IntMatrix) -> None:
        other = replace(lists, items=items)
        np.testing.assert_array_equal(self.values(other), self.values(lists))
        assert self.made().overall(other) == self.made().overall(lists)

    def test_renamed_items_change_nothing(self) -> None:
        lists = random_lists()
        other = renamed(lists, np.random.default_rng(2).permutation(lists.world.n_items))
        np.testing.assert_allclose(self.values(other), self.values(lists), rtol=1e-12, atol=1e-12)

    def test_a_hit_more_never_harms(self) -> None:
        if not self.of_targets:
            return
        assert self.metric.higher_is_better
        lists = random_lists()
        better = lists.items.copy()
        rng = np.random.default_rng(3)
        for row in range(len(lists)):
            missed = np.setdiff1d(lists.targets.of(row), better[row])
            places = np.flatnonzero((better[row] >= 0) & ~lists.hits[row])
            if len(missed) and len(places):
                better[row, rng.choice(places)] = rng.choice(missed)
        before, after = self.values(lists), self.values(replace(lists, items=better))
        known = ~np.isnan(before)
        assert (after[known] >= before[known] - 1e-12).all()
        assert (after[known] > before[known]).any()

    def test_a_resample_is_the_value_of_the_drawn_queries(self) -> None:
        lists, metric = random_lists(), self.made()
        rows = np.random.default_rng(4).integers(0, len(lists), len(lists))
        assert abs(metric.resampled(lists, rows) - metric.overall(lists.take(rows))) < 1e-12
        assert abs(metric.resampled(lists, np.arange(len(lists))) - metric.overall(lists)) < 1e-12

    def test_nothing_has_no_value(self) -> None:
        none = random_lists().take(np.zeros(0, np.int64))
        assert np.isnan(self.made().overall(none))
        assert self.values(none).shape == (0,)
        assert np.isnan(self.made().resampled(random_lists(), np.zeros(0, np.int64)))

    def test_lists_without_any_place_are_understood(self) -> None:
        lists = random_lists()
        empty, pads = lists.items[:, :0], np.full_like(lists.items, -1)
        np.testing.assert_array_equal(self.values(replace(lists, items=empty)), self.values(replace(lists, items=pads)))

    def test_asking_twice_gives_the_same(self) -> None:
        lists = random_lists()
        first = self.made().overall(lists), self.values(lists)
        again = self.made().overall(lists), self.values(lists)
        assert first[0] == again[0]
        np.testing.assert_array_equal(first[1], again[1])

    def test_what_comes_in_is_left_alone(self) -> None:
        lists, copy = random_lists(), random_lists()
        self.values(lists)
        self.made().overall(lists)
        np.testing.assert_array_equal(lists.items, copy.items)
        np.testing.assert_array_equal(lists.targets.item, copy.targets.item)
        np.testing.assert_array_equal(lists.histories.item, copy.histories.item)
        np.testing.assert_array_equal(lists.world.popularity, copy.world.popularity)
        assert (lists.world.categories != copy.world.categories).nnz == 0  # type: ignore[union-attr]

    def test_the_label_finds_it_again(self) -> None:
        metric = self.made()
        again = parse(metric.label)
        assert type(again) is type(metric)
        assert again.config == metric.config
        assert again.label == metric.label

    def test_bad_settings_are_refused(self) -> None:
        assert "unknown setting" in raises(ConfigError, lambda: self.made(no_such_setting=1))
        assert "'k'" in raises(ConfigError, lambda: self.made(k=0))

    def test_it_says_its_formula_and_shows_an_example(self) -> None:
        assert "=" in (sys.modules[self.metric.__module__].__doc__ or ""), "the module's docstring has no formula"
        assert ">>>" in (self.metric.__doc__ or ""), "the class's docstring has no example"
