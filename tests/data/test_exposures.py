from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from zhiyin.data.exposures import Exposures
from zhiyin.data.synthetic import synthetic
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError
from zhiyin.evaluation.off_policy import value_of
from zhiyin.ranking.pipeline import Pipeline


def test_a_table_becomes_a_log() -> None:
    table = pa.table(
        {
            "item_id": ["b", "a", "b", "a"],
            "propensity": [0.5, 0.25, 0.75, 1.0],
            "clicked": [True, False, True, True],
            "margin": [1, 0, 3, 2],
            "position": [1, 2, 1, 2],
            "user_id": ["x", None, "x", None],
        }
    )
    found = Exposures.of(table, Vocabulary(["a", "b"]))
    assert found.item.tolist() == [1, 0, 1, 0]
    assert found.reward.tolist() == [1, 0, 1, 1]
    assert found.position is not None
    assert found.position.tolist() == [1, 2, 1, 2]
    assert found.owner is not None
    assert found.owner[0] == found.owner[2]
    assert len(set(found.owner.tolist())) == 3, "two strangers are two"
    bare = Exposures.of(table.drop_columns(["position", "user_id"]), Vocabulary(["a", "b"]), reward="margin")
    assert bare.reward.tolist() == [1, 0, 3, 2]
    assert bare.position is bare.owner is None
    assert len(bare) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": np.array([0.5, 0.0, 0.5])}, "propensity 0 came in row 1"),
        ({"propensity": np.array([0.5, 0.2, 1.5])}, "propensity 1.5 came in row 2"),
        ({"propensity": np.array([np.nan, 0.2, 0.5])}, "propensity nan came in row 0"),
        ({"propensity": np.array([0.5])}, "3 items came with 1 values of propensity"),
        ({"reward": np.array([0, 1, np.inf])}, "reward inf came in row 2"),
        ({"item": np.array([0, 5, 1], np.int32)}, "item 5 came in row 1"),
        ({"item": np.zeros(0, np.int32)}, "no exposures came"),
        ({"position": np.array([0, 1, 2], np.int32)}, "position 0 came in row 0"),
    ],
)
def test_a_log_that_is_none_is_refused(change: dict[str, Any], message: str) -> None:
    right = {"item": np.array([0, 1, 2], np.int32), "propensity": np.full(3, 0.5), "reward": np.ones(3)}
    with pytest.raises(DataError, match=message):
        Exposures(**{**right, **change}, n_items=3)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"item_id": ["a"], "propensity": [0.5]}, "clicked"),
        ({"item_id": ["a"], "propensity": [None], "clicked": [True]}, "1 empty cells"),
        ({"item_id": ["a"], "propensity": ["often"], "clicked": [True]}, "numbers are expected"),
        ({"item_id": ["z"], "propensity": [0.5], "clicked": [True]}, "'z' in row 0"),
    ],
)
def test_a_table_that_is_no_log_is_refused(table: dict[str, Any], message: str) -> None:
    columns = {"propensity": pa.float64(), "clicked": pa.bool_()}
    given = {name: pa.array(values, None if values[0] is not None else columns[name]) for name, values in table.items()}
    with pytest.raises(DataError, match=message):
        Exposures.of(pa.table(given), Vocabulary(["a", "b"]))


def test_the_place_is_the_position_or_else_the_rank() -> None:
    log = pa.table({"item_id": ["b", "a"], "propensity": [0.5, 1.0], "clicked": [True, False], "rank": [2, 3]})
    found = Exposures.of(log, Vocabulary(["a", "b"]))
    assert found.position is not None
    assert found.position.tolist() == [2, 3]
    both = Exposures.of(log.append_column("position", pa.array([1, 2])), Vocabulary(["a", "b"]))
    assert both.position is not None
    assert both.position.tolist() == [1, 2]


def test_what_was_recommended_and_clicked_is_a_log_of_exposures() -> None:
    """The whole way: recommend twice, put the tables together, join with clicks, and judge policies by the log."""
    world, _ = synthetic(n_users=60, n_items=20, n_events=1_500, n_groups=3, seed=3)
    drawing = {"reranker": "exploration", "settings": {"method": "plackett_luce", "temperature": 2.0}}
    pipeline = Pipeline(sources="popularity:10", cases=100, rerankers=[drawing], ranker="logistic").fit(world)
    calls = [pipeline.recommend(world.queries(np.arange(30)), k=3, exclude_seen=False) for _ in range(2)]
    shown = pa.concat_tables([one.to_arrow(serving=name) for one, name in zip(calls, ("mon", "tue"), strict=True)])
    clicks = shown.filter(pc.equal(shown["rank"], 1)).select(["query", "item_id"])  # whatever comes first is clicked
    clicks = clicks.slice(0, 50).append_column("clicked", pa.array([True] * 50))

    log = shown.drop_columns("notes").join(clicks, keys=["query", "item_id"])
    log = log.set_column(log.column_names.index("clicked"), "clicked", log["clicked"].fill_null(False))
    exposures = Exposures.of(log, world.items, owner="user_id")

    assert len(exposures) == 180
    assert len(set(log["query"].to_pylist())) == 60  # lists of two calls are not one
    assert exposures.position is not None
    assert exposures.reward[exposures.position == 1].sum() == exposures.reward.sum() == 50
    assert exposures.owner is not None
    assert len(np.unique(exposures.owner)) == 30
    assert ((exposures.propensity > 0) & (exposures.propensity < 1)).any()
    same = value_of(exposures, exposures.propensity)  # the policy of the log itself
    assert same.ips.value == same.logged.value == pytest.approx(50 / 180)
    assert same.covered == 1
