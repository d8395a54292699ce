from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.exposures import Exposures
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError


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
