"""Running recipes: what comes along is good, what is broken is not; and the parts of a report are right."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhiyin import scenarios
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.models.popularity import Popularity
from zhiyin.ranking.rules import Rules
from zhiyin.run import Run
from zhiyin.scenarios import worlds
from zhiyin.scenarios.opening import opened, weighed
from zhiyin.scenarios.recipe import DataChoice, Good, Recipe
from zhiyin.scenarios.run import run
from zhiyin.scenarios.tasks.lists import Told
from zhiyin.splitting.global_time import GlobalTime

LISTS = [name for name in scenarios.available() if Recipe.named(name).task.task == "lists"]

QUICK = {
    "sources": "ease:20, popularity:20",
    "features": {"families": "retrieval, popularity"},
    "ranker": {"ranker": "boosted_trees", "settings": {"n_trees": 15, "n_leaves": 7}},
    "cases": 300,
}


def quick(**changes: Any) -> Recipe:
    """A recipe that takes a second."""
    told = {
        "title": "quick",
        "family": "content",
        "purpose": "tests",
        "data": {"world": "books", "settings": {"n_users": 80, "n_items": 60, "n_events": 2_000}},
        "split": {"settings": {"targets": "successive", "repeats": "drop"}},
        "pipeline": QUICK,
        "good": {"gain": 0.1, "oracle": 0.3},
    }
    return Recipe.read({**told, **changes})


@pytest.mark.parametrize("name", LISTS)
def test_every_scenario_is_good_and_below_its_oracle(name: str) -> None:
    recipe = Recipe.named(name)
    assert recipe.good.oracle is not None
    found = run(recipe, run=Run(threads=1))
    assert found.passed, str(found)
    first = recipe.metrics[0]
    assert found.value("popularity", first) < found.value("pipeline", first) <= found.value("oracle", first)


@pytest.mark.parametrize("name", LISTS)
def test_a_pipeline_that_lists_at_random_is_not_good(name: str) -> None:
    recipe = Recipe.named(name)
    broken = {
        "sources": [{"model": "random", "quota": 20}],
        "features": {"families": ["activity"]},
        "ranker": {"ranker": "boosted_trees", "settings": {"n_trees": 1}},
        "value": None,
        "cases": 500,
    }
    found = run(recipe.but(pipeline=recipe.pipeline.but(**broken)), run=Run(threads=1))
    assert not found.passed, str(found)
    failed = [check.what for check in found.checks if not check.passed]
    assert any("oracle" in what for what in failed), failed


def test_the_same_seed_is_the_same_report() -> None:
    one, two = (run(quick(), run=Run(seed=3, threads=1)).to_dict() for _ in range(2))
    for found in (one, two):
        found.pop("seconds")
    assert one == two


def test_popularity_is_that_of_the_plain_evaluation() -> None:
    recipe = quick()
    found = run(recipe, run=Run(threads=1))
    dataset = worlds.get("books")(**recipe.data.settings).dataset()
    split = GlobalTime(targets="successive", repeats="drop").split(dataset)
    plain = evaluate(Popularity().fit(split.development), split.test, ["ndcg@10"], world_of(split.development))
    assert found.value("popularity", "ndcg@10") == pytest.approx(plain.overall["ndcg@10"])
    assert found.test.difference == pytest.approx(found.value("pipeline", "ndcg@10") - plain.overall["ndcg@10"])


def test_what_is_told_keeps_to_filters_and_lists_nothing_that_cannot_be() -> None:
    dataset = worlds.get("cross_border")(n_users=30, n_items=60, n_events=600).dataset()
    rules = Rules([{"rule": "only", "column": "language", "values": ["zh"]}])
    told = Told(lambda queries: np.tile(np.arange(60.0), (len(queries), 1)), rules).fit(dataset)
    found = told.recommend(dataset.queries(), 5, exclude_seen=False, fill=False)
    chinese = np.flatnonzero(np.array(dataset.item_table["language"].to_pylist()) == "zh")
    assert found.items[0].tolist() == sorted(chinese.tolist(), reverse=True)[:5]


def test_only_what_is_wanted_is_asked_for() -> None:
    recipe = Recipe.named("video")
    world = worlds.get("video")(n_users=80, n_items=60, n_events=2_000)
    value = GlobalTime(targets="successive", repeats="drop").split(world.dataset()).test.targets.value
    assert value is not None
    short = recipe.but(pipeline=QUICK, good=Good(gain=0))
    assert run(short, world, Run(threads=1)).cases == int((value >= 0.5).sum())
    with pytest.raises(DataError, match="lower `wanted`"):
        run(short.but(wanted=1.5), world, Run(threads=1))
    with pytest.raises(DataError, match="have no values"):
        run(quick(wanted=0.5), run=Run(threads=1))


def test_bounds_decide_too() -> None:
    metrics = ["ndcg@10", "coverage@10"]
    for bound, passed in (({"least": 0.01}, True), ({"most": 0.01}, False)):
        good = {"gain": 0, "bounds": {"coverage@10": bound}}
        check = run(quick(metrics=metrics, good=good), run=Run(threads=1)).checks[-1]
        assert (check.what, check.passed) == ("coverage@10", passed)


def test_a_metric_of_all_lists_together_cannot_decide() -> None:
    with pytest.raises(ConfigError, match="begin with ndcg@10"):
        run(quick(metrics=["coverage@10"]), run=Run(threads=1))


def test_weights_are_those_of_kinds() -> None:
    past = Histories.of_lengths(np.array([3]), item=np.array([0, 1, 0], np.int32), kind=np.array([0, 1, 255], np.uint8))
    dataset = Dataset.of(past, ["a", "b"], kinds=("view", "cart"))
    assert weighed(dataset, {"cart": 4}).histories.strength().tolist() == [1, 4, 1]
    told = dataset.with_histories(replace(past, weight=np.array([2, 2, 2], np.float32)))
    assert weighed(told, {"view": 3}).histories.strength().tolist() == [3, 2, 2]
    with pytest.raises(ConfigError, match="did you mean 'view'"):
        weighed(dataset, {"views": 1})


def test_raw_tables_are_read_by_their_roles(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("who,what,at\nu,a,1500000000\nu,b,1500000100\nv,a,1500000200\n")
    roles = {"user_id": "who", "item_id": "what", "time": "at"}
    found = opened(DataChoice(events=str(tmp_path / "log.csv"), roles=roles), Run(threads=1))
    assert isinstance(found, Dataset)
    assert (found.n_users, found.n_items, found.n_events) == (2, 2, 3)
    found.save(tmp_path / "prepared")
    assert opened(DataChoice(table=str(tmp_path / "log.csv")), Run(threads=1)).column_names == ["who", "what", "at"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="no file is at"):
        opened(DataChoice(table=str(tmp_path / "no.csv")), Run(threads=1))
    again = opened(DataChoice(source=str(tmp_path / "prepared")), Run(threads=1))
    assert isinstance(again, Dataset)
    assert again.content_hash == found.content_hash


def test_columns_of_several_values_are_read_as_the_data_say(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\nu,a\n")
    (tmp_path / "items.csv").write_text("item_id,blocked\na,b|c\n")
    (tmp_path / "users.csv").write_text("user_id,speaks\nu,de/en\n")
    files = {
        name: str(tmp_path / f"{file}.csv")
        for name, file in (("events", "log"), ("items", "items"), ("users", "users"))
    }
    found = opened(DataChoice(**files, item_lists=["blocked"], user_lists={"speaks": "/"}), Run(threads=1))
    assert isinstance(found, Dataset)
    assert found.item_table["blocked"].to_pylist() == [["b", "c"]]
    assert found.user_table["speaks"].to_pylist() == [["de", "en"]]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_plain_table_with_a_column_twice_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"trial.{suffix}"
    if suffix == "csv":
        path.write_text("got,age,age\nnothing,1,2\n")
    else:
        pq.write_table(pa.table([["nothing"], [1], [2]], names=["got", "age", "age"]), path)
    with pytest.raises(DataError, match="several columns named 'age'; one of each name is expected"):
        opened(DataChoice(table=str(path)), Run(threads=1))


def test_other_data_have_no_oracle_and_are_not_held_against_one() -> None:
    dataset = worlds.get("books")(n_users=80, n_items=60, n_events=2_000).dataset()
    found = run(quick(), dataset, Run(threads=1))
    assert set(found.results) == {"popularity", "pipeline"}
    assert not any("oracle" in check.what for check in found.checks)
