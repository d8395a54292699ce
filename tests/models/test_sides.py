import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.histories import Histories, Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError
from zhiyin.models import _sides
from zhiyin.models._sides import BUCKETS, Column, UserSides, item_sides, saved_item_sides

# ---------------------------------------------------------------------- columns


def items(**columns: Any) -> pa.Table:
    n = len(next(iter(columns.values())))
    return pa.table({"item_id": [f"i{number}" for number in range(n)], **columns})


def shares(table: pa.Table, *names: str) -> list[list[float]]:
    return item_sides(table, names).toarray().tolist()


def test_the_values_of_items_by_hand() -> None:
    """Values of most items first, then by name, then what is not known; rare ones (`e`) and nulls are not."""
    table = items(genres=[["b", "a"], ["a"], None, ["e"], ["e ", "b", " a"], ["c", "c", "", None, "a"], ["c"]])
    assert table.num_rows == 7
    third = np.float32(1 / 3).item()
    # a: 4 items; b, c, e: 2 each ("e " is "e")
    assert shares(table, "genres") == [
        [0.5, 0.5, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [third, third, 0, third, 0],
        [0.5, 0, 0.5, 0, 0],
        [0, 0, 1, 0, 0],
    ]


def test_a_value_of_one_item_is_not_told_apart() -> None:
    assert shares(items(kind=["a", "b", "a", "c"]), "kind") == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_columns_stand_side_by_side_and_count_once() -> None:
    table = items(kind=["a", "b", "a", "b"], price=[1.0, 2.0, None, 2.0])
    right = [[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0]]
    assert shares(table, "kind", "price") == right
    assert shares(table, "kind", "price", "kind") == right
    found = item_sides(table, ["kind", "price"])
    assert found.data.dtype == np.float32
    assert (found.sum(1) == 2).all()


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x", None, "y", "x", "y"]).dictionary_encode(),
        pa.array(["x", None, "y", "x", "y"], pa.string_view()),
        pa.chunked_array([["x", None], [], ["y", "x", "y"]]),
        pa.array([["x", "x"], None, ["y", None], [" ", "x"], ["y", "y"]], pa.list_(pa.string(), 2)),
        pa.array([["x"], [], ["y"], ["x"], ["y"]], pa.large_list(pa.dictionary(pa.int8(), pa.string()))),
        pa.array([["?"], ["x"], None, ["y"], ["x"], ["y"]], pa.list_(pa.string())).slice(1),
        pa.array([False, None, True, False, True]),
        pa.array([1, None, 9, 1, 9]),
        pa.array([1.5, float("nan"), 2.5, 1.5, 2.5]),
        pa.array([1.5, float("inf"), 2.5, 1.5, 2.5], pa.float32()),
    ],
    ids=str,
)
def test_columns_of_any_type_say_the_same(column: Any) -> None:
    assert shares(items(it=column), "it") == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]]


def test_permuted_items_have_permuted_values() -> None:
    rng = np.random.default_rng(0)
    lists = [rng.choice(list("abcdefg"), rng.integers(0, 4)).tolist() for _ in range(40)]
    table = items(genres=lists, price=rng.normal(size=40))
    order = rng.permutation(40)
    ours, theirs = (item_sides(one, ["genres", "price"]).toarray() for one in (table, table.take(pa.array(order))))
    np.testing.assert_array_equal(theirs, ours[order])


@pytest.mark.parametrize("seed", range(5))
def test_no_bucket_of_numbers_is_empty_and_quantiles_are_about_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.choice([0.0, *rng.normal(size=200)], 3000, p=[0.5, *np.full(200, 0.0025)])
    column = Column.fit(items(it=numbers), "it", "item")
    rows, buckets = column.entries(items(it=numbers), "item")
    counts = np.bincount(buckets, minlength=column.size)
    assert rows.tolist() == list(range(3000))
    assert counts[-1] == 0
    assert (counts[:-1] > 0).all()
    assert BUCKETS // 3 <= column.size - 1 <= BUCKETS
    assert np.sort(counts)[-2] < 3 * 3000 / BUCKETS  # beside the one that half of them share
    assert (np.diff(buckets[np.argsort(numbers)]) >= 0).all()


def test_only_the_most_frequent_texts_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sides, "MOST", 2)
    column = Column.fit(items(it=["d", "b", "a", "a", "b", "c", "c", "c", "d"]), "it", "item")
    assert column.values == ("c", "a")


def test_columns_that_say_nothing_are_refused() -> None:
    table = items(kind=["a", "b"], genres=[["a"], ["b"]], price=[1.0, None], nothing=[None, None], deep=[[[1]], []])
    for name, wrong, said in (
        ("kinds", ConfigError, "unknown item feature 'kinds'; did you mean 'kind'"),
        ("item_id", ConfigError, "unknown item feature 'item_id'; known"),
        ("deep", ConfigError, "text, lists of text, true or false, or numbers"),
        ("nothing", ConfigError, "holds null"),
        ("kind", DataError, "no two items have the same 'kind'"),
        ("genres", DataError, "no two items have the same 'genres'"),
        ("price", DataError, "no two different numbers"),
    ):
        with pytest.raises(wrong, match=said.replace("?", r"\?")):
            item_sides(table, [name])


def test_what_a_query_says() -> None:
    text = Column("city", ("3", "oslo", "true"))
    for came, given, buckets in (
        (["oslo", " oslo ", "rome", "3"], [1, 1, 1, 1], [1, 1, 3, 0]),
        ([3, None, True, float("nan")], [1, 0, 1, 0], [0, 3, 2, 3]),
        ([3, 4], [1, 1], [0, 3]),
    ):
        ours = text.told(np.array(came))
        assert (ours[0].tolist(), ours[1].tolist()) == (list(map(bool, given)), buckets)
    age = Column("age", edges=np.array([20.0, 40.0]))
    for came, given, buckets in (
        ([19, 20, 21, 41], [1, 1, 1, 1], [0, 0, 1, 2]),
        ([19.5, np.nan, np.inf], [1, 0, 1], [0, 3, 3]),
        (["21", None, "old", 10**400], [1, 0, 1, 1], [1, 3, 3, 3]),
    ):
        ours = age.told(np.array(came))
        assert ours[0].tolist() == list(map(bool, given))
        np.testing.assert_array_equal(ours[1][ours[0]], np.array(buckets)[ours[0]])
    with pytest.raises(DataError, match="one text or number for each query"):
        text.told(np.array([["a", "b"]]))


# ---------------------------------------------------------------------- users


def people() -> pa.Table:
    return pa.table(
        {
            "user_id": ["ada", "bob", "cid", "dan", "eve"],
            "city": ["oslo", "rome", "oslo", None, "bonn"],
            "age": [20, 40, None, None, 40],
        }
    )


EVERY = np.ones(5, bool)


def asked(users: Sequence[str] | None, n: int, **context: Any) -> Queries:
    empty = Histories.of_lists([[] for _ in range(n)])
    told = {name: np.array(column) for name, column in context.items()}
    return Queries(empty, Vocabulary(["i"]), None, None if users is None else tuple(users), told)


def test_the_buckets_of_users_by_hand() -> None:
    sides, every = UserSides.fit(people(), ["city", "age"], EVERY)
    assert sides.sizes == {"user: city": 2, "user: age": 3}
    assert sides.nobody.tolist() == [1, 4]
    assert every.tolist() == [[0, 2], [1, 3], [0, 4], [1, 4], [1, 3]]
    assert sides.ids.ids.to_pylist() == ["ada", "bob", "cid", "eve"]  # of dan nothing is known
    found = sides.asked(asked(["eve", "", "ada", "who", "dan"], 5))
    assert found.tolist() == [[1, 3], [1, 4], [0, 2], [1, 4], [1, 4]]
    assert sides.asked(asked(None, 2)).tolist() == [[1, 4], [1, 4]]


def test_a_query_is_believed_before_the_table() -> None:
    sides, _ = UserSides.fit(people(), ["city", "age"], EVERY)
    queries = asked(
        ["ada", "ada", "", "who"], 4, city=["mars", None, "oslo", None], age=[None, 45, 12, None], zip=[1] * 4
    )
    assert sides.asked(queries).tolist() == [[1, 2], [0, 3], [0, 2], [1, 4]]


def test_what_training_never_sees_is_not_told_apart_but_looked_up() -> None:
    table = people().set_column(1, "city", pa.array(["oslo", "rome", "oslo", "rome", "oslo"]))
    sides, every = UserSides.fit(table, ["city"], np.array([1, 1, 1, 0, 0], bool))
    assert sides.columns[0].values == ("oslo",)
    assert every[:, 0].tolist() == [0, 1, 0, 1, 0]
    assert sides.asked(asked(["eve"], 1)).tolist() == [[0]]


def test_users_come_back_from_files(tmp_path: Path) -> None:
    sides, _ = UserSides.fit(people(), ["age", "city"], EVERY)
    sides.write(tmp_path)
    again = UserSides.read(tmp_path, ["age", "city"])
    queries = asked(["ada", "dan", "eve", "x"], 4, age=[None, 30.0001, None, 29.9999])
    np.testing.assert_array_equal(again.asked(queries), sides.asked(queries))
    assert again.sizes == sides.sizes


def test_damaged_files_of_users_are_refused(tmp_path: Path) -> None:
    sides, _ = UserSides.fit(people(), ["age", "city"], EVERY)
    sides.write(tmp_path)
    content = json.loads((tmp_path / _sides.COLUMNS).read_text())
    for wrong in ([], [{"name": "age"}, content[1]], [content[0], {**content[1], "values": None}], content[:1] * 2, 3):
        (tmp_path / _sides.COLUMNS).write_text(json.dumps(wrong))
        with pytest.raises(DataError, match="save the model anew"):
            UserSides.read(tmp_path, ["age", "city"])
    (tmp_path / _sides.COLUMNS).write_text(json.dumps(content))
    (tmp_path / _sides.TABLE).write_bytes(b"no")
    with pytest.raises(DataError, match="damaged"):
        UserSides.read(tmp_path, ["age", "city"])


def test_columns_of_users_that_do_not_serve_are_refused() -> None:
    table = people().append_column("tags", pa.array([["a"], ["a"], [], [], []]))
    for name, said in (("cty", "did you mean 'city'"), ("tags", "true or false, or numbers"), ("user_id", "unknown")):
        with pytest.raises(ConfigError, match=said):
            UserSides.fit(table, [name], EVERY)


def test_damaged_values_of_items_are_refused() -> None:
    good = {
        "items.offsets": np.array([0, 1, 2], np.int32),
        "items.places": np.array([0, 1], np.int32),
        "items.shares": np.ones(2, np.float32),
        "items.weight": np.zeros((2, 4), np.float32),
    }
    assert saved_item_sides(good, 2, Path("it")).toarray().tolist() == [[1, 0], [0, 1]]
    for name, wrong in (
        ("items.offsets", np.array([0, 1, 2, 2], np.int32)),
        ("items.offsets", np.array([0, 3, 2], np.int32)),
        ("items.places", np.array([0, 2], np.int32)),
        ("items.places", np.array([-1, 1], np.int32)),
        ("items.shares", np.ones(1, np.float32)),
    ):
        with pytest.raises(DataError, match="it is damaged"):
            saved_item_sides({**good, name: wrong}, 2, Path("it"))
    with pytest.raises(DataError, match=r"has no items\.places"):
        saved_item_sides({name: one for name, one in good.items() if name != "items.places"}, 2, Path("it"))
