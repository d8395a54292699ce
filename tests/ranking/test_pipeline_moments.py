"""A ranker learns from what it will be asked: as long histories, candidates that rules leave, nothing of today."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_TIME
from zhiyin.data.queries import Queries
from zhiyin.data.synthetic import synthetic
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.models import ItemKNN
from zhiyin.models.base import load
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.table import DEFAULT, Features, FeatureTable
from zhiyin.run import Run
from zhiyin.splitting import GlobalTime

QUICK: dict[str, Any] = {
    "sources": "item_knn:15, popularity:15",
    "ranker": {"ranker": "logistic"},
    "cases": 200,
    "repeats": "allow",
}


@pytest.fixture(scope="module")
def world() -> Dataset:
    """Few people of many events."""
    found = synthetic(n_users=25, n_items=40, n_events=6_000, n_groups=4, seed=4)[0]
    table = found.item_table.append_column("stock", pa.array(np.arange(40) % 4))
    return Dataset(found.histories, table, found.user_table, found.manifest)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Candidates]:
    """All candidates of which features are made."""
    found: list[Candidates] = []
    made = Features.table

    def table(self: Features, candidates: Candidates) -> FeatureTable:
        found.append(candidates)
        return made(self, candidates)

    monkeypatch.setattr(Features, "table", table)
    return found


def test_answers_look_at_as_long_histories_as_learning(world: Dataset, asked: list[Candidates]) -> None:
    pipeline = Pipeline(**QUICK, max_history=60).fit(world, run=Run(threads=1))
    learnt = max(int(one.queries.histories.lengths.max()) for one in asked)
    asked.clear()
    queries = world.queries()
    found = pipeline.recommend(queries, 5, exclude_seen=False)
    assert learnt == 60 < int(queries.histories.lengths.max())
    assert max(int(one.queries.histories.lengths.max()) for one in asked) == 60
    short = pipeline.recommend(replace(queries, histories=queries.histories.last(60)), 5, exclude_seen=False)
    np.testing.assert_array_equal(found.items, short.items)
    np.testing.assert_array_equal(found.scores, short.scores)


def test_what_was_long_ago_is_still_hidden_and_owned(world: Dataset) -> None:
    owned = [{"rule": "not_owned", "kinds": [world.kinds[0]]}]
    plain = Pipeline(**QUICK, max_history=5).fit(world, run=Run(threads=1))
    ruled = Pipeline(**QUICK, max_history=5, rules=owned).fit(world, run=Run(threads=1))
    queries = world.queries()
    had = np.zeros((len(queries), world.n_items), bool)
    had[queries.histories.owner(), queries.histories.item] = True
    of_kind = queries.histories.keep(queries.histories.kind == 0)
    mine = np.zeros_like(had)
    mine[of_kind.owner(), of_kind.item] = True
    for model, exclude, gone in ((plain, True, had), (ruled, False, mine)):
        lists = model.recommend(queries, 5, exclude_seen=exclude, fill=False).items
        row, place = np.nonzero(lists >= 0)
        assert len(row)
        assert not gone[row, lists[row, place]].any()


def test_the_ranker_learns_from_what_rules_leave_at_that_moment(world: Dataset, asked: list[Candidates]) -> None:
    category = [str(one[-1]) for one in world.item_table["categories"].to_pylist()]
    rules = [{"rule": "never", "column": "categories", "values": [category[0]]}, {"rule": "stock"}]
    Pipeline(**QUICK, rules=rules).fit(world, run=Run(threads=1))
    met = np.unique(np.concatenate([one.item for one in asked]))
    cells = world.item_table["categories"].to_pylist()
    assert not any(category[0] in cells[at] for at in met.tolist())
    stock = world.item_table["stock"].to_numpy()
    assert (stock[met] == 0).any()  # nobody knows what was out of stock then


def test_stock_of_today_is_no_feature(world: Dataset) -> None:
    names = Features().fit(world).table(Candidates(world.queries(), np.arange(26), np.zeros(25, np.int32))).names
    assert any("price" in one for one in names)
    assert not any("stock" in one for one in names)


def test_threads_ask_it_at_once_only_if_all_sources_allow_it(
    world: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Pipeline(**QUICK).fit(world).threaded
    monkeypatch.setattr(ItemKNN, "threaded", False)
    fitted = Pipeline(**QUICK).fit(world, run=Run(threads=1))
    assert not fitted.threaded
    fitted.save(tmp_path / "kept")
    assert not load(tmp_path / "kept").threaded


def test_what_is_misspelt_is_said_before_anything_learns(world: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a retriever learns")

    monkeypatch.setattr(ItemKNN, "_fit", never)
    with pytest.raises(ConfigError, match="did you mean 'popularity'"):
        Pipeline(**QUICK, features={"families": "popularty"}).fit(world)
    wrong = {"family": "attributes", "settings": {"most_values": 1}}
    with pytest.raises(ConfigError, match="most_values"):
        Pipeline(**QUICK, features={"families": [wrong]}).fit(world)


def test_a_value_of_a_category_is_refused(world: Dataset) -> None:
    with pytest.raises(ConfigError, match="categor"):
        Pipeline(**QUICK, value="chance * `region of the person`").fit(world, run=Run(threads=1))


def learnt(world: Dataset, features: Sequence[str] = DEFAULT) -> Pipeline:
    """From the first three quarters of the log."""
    assert world.histories.time is not None
    before = world.keep(world.histories.time < np.quantile(world.histories.time, 0.75))
    return Pipeline(**QUICK, features=features).fit(before, run=Run(threads=1))


def latest(world: Dataset) -> Queries:
    return GlobalTime(quantile=0.9, targets="successive").split(world).test.queries


def pairs(queries: Queries) -> Candidates:
    """Every item for every query."""
    n = len(queries.items)
    return Candidates(queries, np.arange(len(queries) + 1) * n, np.tile(np.arange(n, dtype=np.int32), len(queries)))


def turned(world: Dataset) -> Dataset:
    """The same log with items and users in another order, and one item more in the midst, that nobody has used."""
    rng = np.random.default_rng(0)
    order, users = rng.permutation(world.n_items), rng.permutation(world.n_users)
    table = world.item_table.take(pa.array([*order[:20], None, *order[20:]]))
    table = table.set_column(0, "item_id", table.column(0).fill_null("new"))
    past = world.histories.take(users)
    place = np.argsort(order)
    past = replace(past, item=(place + (place >= 20))[past.item].astype(np.int32))
    return Dataset(past, table, world.user_table.take(pa.array(users)), world.manifest)


class TestRefresh:
    @pytest.fixture
    def fitted(self, world: Dataset) -> Pipeline:
        return learnt(world)

    def test_features_count_what_happened_since(
        self, world: Dataset, fitted: Pipeline, asked: list[Candidates]
    ) -> None:
        fitted.recommend(latest(world), 5)
        candidates = asked[-1]
        old = fitted.features.table(candidates)
        fitted.refresh(world)
        new, whole = fitted.features.table(candidates), Features(fitted.features.config).fit(world).table(candidates)
        assert new.names == old.names == whole.names
        changed = {
            name for at, name in enumerate(new.names) if not np.array_equal(old.values[:, at], new.values[:, at])
        }
        assert {"events of the item", "events of the item, last 7 days", "lift after the last item, log"} <= changed
        for name in new.names:
            np.testing.assert_allclose(new.column(name), whole.column(name), err_msg=name)

    def test_another_order_of_items_and_users_changes_nothing(self, world: Dataset) -> None:
        """Users have the ids of items here, so that links between them, which go by ids, are told too."""
        people = world.user_table.set_column(0, "user_id", world.items.ids.slice(0, world.n_users))
        log = Dataset(world.histories, world.item_table, people, world.manifest)
        fitted, asked = learnt(log, [*DEFAULT, "links"]), pairs(latest(log).slice(0, 100))
        fitted.refresh(log)
        want = fitted.features.table(asked)
        assert {"mutual friends", "mean value of the item", "days since the item's first event"} <= set(want.names)
        assert {"price of the item", "interest in its categories", "region of the person"} <= set(want.names)
        fitted.refresh(turned(log))
        found = fitted.features.table(asked)
        assert found.names == want.names
        for name in want.names:
            np.testing.assert_array_equal(found.column(name), want.column(name), err_msg=name)

    def test_the_past_stays_what_it_was_and_it_is_saved(self, world: Dataset, fitted: Pipeline, tmp_path: Path) -> None:
        """Queries of moments that were known at first have the lists that they had."""
        assert world.histories.time is not None
        early = GlobalTime(quantile=0.6, targets="successive").split(
            world.keep(world.histories.time < np.quantile(world.histories.time, 0.7))
        )
        before = fitted.recommend(early.test.queries, 5)
        fitted.refresh(world)
        again = load(fitted.save(tmp_path / "it"))
        assert isinstance(again, Pipeline)
        np.testing.assert_array_equal(before.items, again.recommend(early.test.queries, 5).items)
        asked = pairs(latest(world).slice(0, 1))
        np.testing.assert_array_equal(again.features.table(asked).values, fitted.features.table(asked).values)

    def test_the_card_says_until_when_features_count(self, world: Dataset, fitted: Pipeline, tmp_path: Path) -> None:
        assert world.histories.time is not None
        assert "features_count_until" not in fitted.trained_on
        fitted.refresh(world)
        until = str(np.datetime64(int(world.histories.time.max()), "us"))
        card = (fitted.save(tmp_path / "it") / "card.md").read_text(encoding="utf-8")
        assert f"| features_count_until | {until} |" in card
        assert load(tmp_path / "it").trained_on["features_count_until"] == until

    def test_a_log_that_lacks_events_of_then_is_warned_of(
        self, world: Dataset, fitted: Pipeline, caplog: pytest.LogCaptureFixture
    ) -> None:
        time = world.histories.time
        assert time is not None
        fitted.refresh(world)
        assert not caplog.text
        kept = np.arange(world.n_events) % 3 > 0
        kept[[np.argmin(time), np.argmax(time)]] = True
        there = np.count_nonzero(kept & (time <= fitted.until[0]))
        fitted.refresh(world.keep(kept))
        assert f"was fitted on 4500 events, and until the last of them the log 'synthetic' has {there};" in caplog.text

    def test_items_count_by_their_ids(self, world: Dataset, fitted: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
        """Another order of the catalogue changes nothing, and what is new is left out."""
        turned = np.arange(world.n_items)[::-1]
        past = replace(world.histories, item=turned[world.histories.item].astype(np.int32))
        table = world.item_table.take(pa.array(turned))
        renamed = table.column("item_id").to_pylist()
        renamed[-1] = "never seen"
        table = table.set_column(table.column_names.index("item_id"), "item_id", pa.array(renamed, pa.large_string()))
        asked = pairs(latest(world).slice(0, 1))
        fitted.refresh(world)
        counts = fitted.features.table(asked)
        fitted.refresh(Dataset(past, table, world.user_table, world.manifest))
        again = fitted.features.table(asked)
        one, two = counts.column("events of the item"), again.column("events of the item")
        np.testing.assert_array_equal(one[1:], two[1:])  # item 0 is the one that was renamed
        assert one[0] > two[0] == 0
        assert "are on items that were not fitted on" in caplog.text

    def test_mistakes_are_told(self, world: Dataset, fitted: Pipeline) -> None:
        untimed = Dataset.of(world.histories.without("time"), world.item_table, world.user_table)
        with pytest.raises(DataError, match="has no times"):
            fitted.refresh(untimed)
        time = world.histories.time
        assert time is not None
        for part in (time > np.quantile(time, 0.9), time < np.quantile(time, 0.5)):
            with pytest.raises(DataError, match="give the whole log until now, not only what is new"):
                fitted.refresh(world.keep(part))
        late = world.histories.keep(time > np.quantile(time, 0.1))
        assert late.time is not None
        late.time[0] = NO_TIME  # of which nothing is known, so that it is not the first one
        with pytest.raises(DataError, match=r"has those from \d.* give the whole log until now"):
            fitted.refresh(Dataset(late, world.item_table, world.user_table, world.manifest))
        seconds = replace(world.histories, time=time // 1_000_000)
        with pytest.raises(DataError, match=r"times of the log came as .* multiply them by 1,000,000"):
            fitted.refresh(Dataset(seconds, world.item_table, world.user_table, world.manifest))
        others = world.item_table.set_column(
            world.item_table.column_names.index("item_id"),
            "item_id",
            pa.array([f"other {at}" for at in range(world.n_items)], pa.large_string()),
        )
        with pytest.raises(DataError, match="has no events on any item that it was fitted on"):
            fitted.refresh(Dataset(world.histories, others, world.user_table, world.manifest))
        with pytest.raises(DataError, match="was fitted without times"):
            Pipeline(**QUICK).fit(untimed, run=Run(threads=1)).refresh(world)
        bare = Dataset(world.histories.without("value"), world.item_table, world.user_table, world.manifest)
        with pytest.raises(DataError, match="has not all that the features 'values' count"):
            fitted.refresh(bare)
        with pytest.raises(NotFittedError):
            Pipeline(**QUICK).refresh(world)
