"""What every recommender must do: subclass it, name the model, and pytest runs the rest.

class TestEASE(RecommenderSuite):
    model = EASE
    options = {"regularization": 10.0}
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.models.base import FILLED, Recommender, load
from zhiyin.run import Run
from zhiyin.testing.worlds import checkerboard, tastes


def raises(error: type[Exception], action: Any) -> str:
    """The message of the `error` that `action()` must raise."""
    try:
        action()
    except error as caught:
        return str(caught)
    raise AssertionError(f"expected {error.__name__}, nothing was raised")


_KNOWN: dict[type, Recommender] = {}


class RecommenderSuite:
    """The behaviour contract of a recommender."""

    model: ClassVar[type[Recommender]]
    options: ClassVar[dict[str, Any]] = {}
    personal: ClassVar[bool] = True
    """Whether the list depends on the history (not so for popularity)."""
    exact: ClassVar[bool] = True
    """Whether the checkerboard has only one right answer for it, and renaming ids cannot change its lists."""

    def fitted(self, data: Dataset | None = None) -> Recommender:
        """The model, fitted on the world of tastes by default."""
        return self.model(**self.options).fit(tastes() if data is None else data, run=Run(seed=1, threads=1))

    def known(self) -> Recommender:
        """The same, fitted once for all tests that change nothing in it."""
        if type(self) not in _KNOWN:
            _KNOWN[type(self)] = self.fitted()
        return _KNOWN[type(self)]

    def test_finds_the_missing_square_of_the_checkerboard(self) -> None:
        if not (self.personal and self.exact):
            return
        world = checkerboard()
        found = self.fitted(world).recommend(world.queries(), k=1)
        right = np.mean(found.items[:, 0] == np.arange(world.n_users))
        assert right == 1.0, f"only {right:.0%} of the users got their one missing item"

    def test_lists_are_ordered_unique_and_unseen(self) -> None:
        world = tastes()
        found = self.known().recommend(world.queries(), k=10)
        for row in range(len(found)):
            items = found.items[row]
            assert len(set(items.tolist())) == 10
            assert not set(items.tolist()) & set(world.histories.of(row).tolist())
            scores = found.scores[row][~np.isnan(found.scores[row])]
            assert (np.diff(scores) <= 0).all()

    def test_a_stranger_gets_what_their_history_deserves(self) -> None:
        world = tastes()
        model = self.known()
        known = model.recommend(world.queries(np.array([3])), k=5)
        when = None if world.histories.time is None else world.histories.slice(3, 4).time
        value = world.histories.slice(3, 4).value
        stranger = Query.of(
            world.items.decode(world.histories.of(3)),
            times=None if when is None else when.tolist(),
            values=None if value is None else value.tolist(),
            now=None if when is None else int(world.histories.time.max()) + 1,  # type: ignore[union-attr]
        )
        assert model.recommend(stranger, k=5).ids() == known.ids()

    def test_a_batch_equals_its_parts(self) -> None:
        world = tastes()
        model = self.known()
        whole = model.recommend(world.queries(), k=7)
        for row in (0, 5, len(whole) - 1):
            one = model.recommend(world.queries(np.array([row])), k=7)
            assert one.ids() == whole.ids(row)
            np.testing.assert_allclose(one.scores[0], whole.scores[row], rtol=2e-4, atol=1e-5)

    def test_pairs_are_scored_as_lists_are(self) -> None:
        world = tastes()
        model, queries = self.known(), world.queries(np.arange(30))
        items = np.arange(30, dtype=np.int32) * 2
        whole = model._score(model.encode(queries))
        pairs = model.score_pairs(queries, items)
        np.testing.assert_allclose(pairs, whole[np.arange(30), items], rtol=1e-4, atol=1e-5)
        assert "one item for each" in raises(DataError, lambda: model.score_pairs(queries, items[:3]))

    def test_small_blocks_change_nothing(self) -> None:
        world = tastes(n_users=300, n_items=400)
        model = self.fitted(world)
        small, large = (model.recommend(world.queries(), k=5, run=Run(memory_mib=mib)) for mib in (1, 256))
        assert np.mean(small.items == large.items) > 0.999

    def test_same_seed_same_lists(self) -> None:
        world = tastes()
        first, second = (model.recommend(world.queries(), k=5) for model in (self.known(), self.fitted()))
        np.testing.assert_array_equal(first.items, second.items)

    def test_renamed_ids_permute_the_result(self) -> None:
        if not self.exact:
            return
        world = tastes()
        order = np.random.default_rng(5).permutation(world.n_items)
        place = np.argsort(order).astype(np.int32)
        columns = {**world.histories.columns(), "item": place[world.histories.item]}
        renamed = Dataset(
            Histories(world.histories.offsets, **columns),
            world.item_table.take(pa.array(order)),
            world.user_table,
            world.manifest,
        )
        ours, theirs = (self.fitted(data).recommend(data.queries(), k=1) for data in (world, renamed))
        same = np.mean([ours.ids(row) == theirs.ids(row) for row in range(len(ours))])
        assert same > 0.95, f"only {same:.0%} of the users kept their first item when the ids were renamed"

    def test_allow_and_exclude_are_obeyed(self) -> None:
        world = tastes()
        model = self.known()
        allowed = world.items.decode(range(10, 30))
        found = model.recommend(world.queries(), k=5, allow=allowed, exclude=allowed[:5])
        listed = {one for row in range(len(found)) for one in found.ids(row)}
        assert listed <= set(allowed[5:])

    def test_save_and_load_give_the_same_lists(self) -> None:
        world = tastes()
        model = self.known()
        with tempfile.TemporaryDirectory() as folder:
            again = load(model.save(Path(folder) / "model"))
        ours, theirs = model.recommend(world.queries(), k=5), again.recommend(world.queries(), k=5)
        np.testing.assert_array_equal(ours.items, theirs.items)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-6)
        assert again.config == model.config

    def test_unknown_items_are_left_out_and_counted(self) -> None:
        world = tastes()
        model = self.known()
        known = world.items.decode(world.histories.of(0))
        found = model.recommend([Query.of([*known, "never heard of"])], k=3)
        assert found.unknown is not None
        assert found.unknown.tolist() == [1]

    def test_an_empty_history_gets_an_explained_list(self) -> None:
        found = self.known().recommend([Query.of([])], k=5)
        assert len(found.ids()) == 5
        if self.personal:
            assert {found.source_of(0, place) for place in range(5)} <= {FILLED, self.known().name}

    def test_reasons_name_items_of_the_history(self) -> None:
        world = tastes()
        model = self.known()
        found = model.recommend(world.queries(np.arange(8)), k=5, reasons=3)
        assert found.reasons is not None
        with_reasons = 0
        for row in range(8):
            history = set(world.items.decode(world.histories.of(row)))
            for reasons in found.reasons[row]:
                assert len(reasons) <= 3
                with_reasons += bool(reasons)
                assert {one.item_id for one in reasons if one.kind == "history"} <= history
        assert with_reasons >= 36, f"only {with_reasons} of 40 items came with a reason"

    def test_bad_calls_are_refused_with_a_reason(self) -> None:
        world = tastes()
        model = self.known()
        queries = world.queries(np.array([0]))
        assert "between 1 and" in raises(ConfigError, lambda: model.recommend(queries, k=world.n_items + 1))
        assert "did you mean" in raises(DataError, lambda: model.recommend(queries, k=1, allow=["i00"]))
        assert "fit" in raises(NotFittedError, lambda: self.model(**self.options).recommend(queries, k=1))
        assert "unknown setting" in raises(ConfigError, lambda: self.model(no_such_setting=1))

    def test_what_came_after_the_moment_of_a_query_changes_nothing(self) -> None:
        world = tastes()
        model = self.known()
        queries = world.queries(np.arange(20))
        time = queries.histories.time
        assert time is not None
        now = np.array([np.median(times) for times in np.split(time, queries.histories.offsets[1:-1])]).astype(np.int64)
        known = queries.histories.keep(time <= np.repeat(now, queries.histories.lengths))
        assert known.n_events < queries.histories.n_events
        whole, cut = (replace(queries, histories=one, now=now) for one in (queries.histories, known))
        ours, right = (model.recommend(one, k=5) for one in (whole, cut))
        np.testing.assert_array_equal(ours.items, right.items)
        np.testing.assert_array_equal(ours.scores, right.scores)

    def test_answering_others_changes_nothing(self) -> None:
        world = tastes()
        model = self.known()
        before = model.recommend(world.queries(np.array([0])), k=5).ids()
        model.recommend(world.queries(), k=5)
        assert model.recommend(world.queries(np.array([0])), k=5).ids() == before
