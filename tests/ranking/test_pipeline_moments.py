"""A ranker learns from what it will be asked: as long histories, candidates that rules leave, nothing of today."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.synthetic import synthetic
from zhiyin.errors import ConfigError
from zhiyin.models import ItemKNN
from zhiyin.models.base import load
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.table import Features, FeatureTable
from zhiyin.run import Run

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
