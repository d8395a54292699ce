"""Appending gives, to the byte, what preparing everything at once gives."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data.dataset import Dataset
from zhiyin.data.prepare import append, prepare
from zhiyin.data.tables import Catalogue, EventLog, Users
from zhiyin.errors import DataError
from zhiyin.run import Run

START = 1_600_000_000
COLUMNS = {"user_id": pa.string(), "item_id": pa.string(), "time": pa.int64(), "kind": pa.string(),
           "value": pa.float64(), "session_id": pa.string()}  # fmt: skip
STEPS = [
    "exact_duplicates",
    {"name": "near_duplicates", "seconds": 2},
    {"name": "weights", "least": {"rating": 3}},
    {"name": "minimum_counts", "users": 2, "items": 2},
    {"name": "sample_users", "share": 0.8, "seed": 3},
    {"name": "sessions", "gap_minutes": 0.5},
]


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table(
        {name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(COLUMNS.items())}
    )


event = st.tuples(
    st.sampled_from(["b", "a", "é", "10", "9"]),
    st.sampled_from(["x", "y", "ü", "2", "10"]),
    st.integers(START, START + 120),
    st.sampled_from(["view", "rating", "buy", None]),
    st.sampled_from([None, 1.0, 4.5]),
    st.sampled_from(["s1", "s2", None]),
)
core = [(user, item, START + 7 * n, "buy", None, None) for n in range(2) for user in "kl" for item in "mn"]
"""Events that survive every step, so that something is left of each prefix."""


def same(ours: Dataset, theirs: Dataset) -> None:
    assert ours.content_hash == theirs.content_hash
    assert ours.kinds == theirs.kinds
    assert ours.items == theirs.items
    np.testing.assert_array_equal(ours.histories.offsets, theirs.histories.offsets)
    assert list(ours.histories.columns()) == list(theirs.histories.columns())
    for name, column in ours.histories.columns().items():
        np.testing.assert_array_equal(column, theirs.histories.columns()[name])
    assert ours.item_table.equals(theirs.item_table)
    assert [(one.name, one.rows_before, one.rows_after) for one in ours.manifest.steps] == [
        (one.name, one.rows_before, one.rows_after) for one in theirs.manifest.steps
    ]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(event, max_size=40),
    st.lists(st.integers(0, 40), min_size=1, max_size=3),
    st.booleans(),
)
def test_appending_equals_preparing_at_once(rows: list[Any], cuts: list[int], sessions: bool) -> None:
    steps = STEPS if sessions else STEPS[:-1]
    borders = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [rows[low:high] for low, high in pairwise(borders)]
    parts = [core + parts[0], *(part for part in parts[1:] if part)]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "d"
        prepare(table(parts[0]), out=target, steps=steps)
        for part in parts[1:]:
            append(target, table(part))
        whole = prepare(table([row for part in parts for row in part]), steps=steps)
        same(Dataset.load(target), whole)
        assert [one.name for one in Path(folder).iterdir()] == ["d"]
        assert len(list((target / "ingested").iterdir())) == len(parts)


def log(*rows: tuple[str, str, int]) -> pa.Table:
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(["user_id", "item_id", "time"])})


FIRST = log(("u", "a", START), ("u", "b", START + 1), ("v", "a", START + 2))
LATER = log(("u", "c", START + 9), ("t", "a", START + 8))


def test_columns_that_come_later_or_stay_away_are_joined(tmp_path: Path) -> None:
    later = LATER.append_column("kind", pa.array(["buy", "view"])).append_column("value", pa.array([2.0, 3.0]))
    earlier = FIRST.append_column("kind", pa.nulls(3, pa.string())).append_column("value", pa.nulls(3, pa.float64()))
    prepare(FIRST, out=tmp_path / "d")
    ours = append(tmp_path / "d", later)
    same(ours, prepare(pa.concat_tables([earlier, later])))
    assert ours.kinds == ("buy", "unknown", "view")
    again = append(tmp_path / "d", log(("v", "z", START + 50)))
    assert again.histories.kind[again.histories.offsets[-2] :].tolist() == [1, 1]  # type: ignore[index]


def test_events_at_one_moment_keep_the_order_in_which_they_came(tmp_path: Path) -> None:
    prepare(log(("u", "b", START), ("u", "z", START)), out=tmp_path / "d")
    dataset = append(tmp_path / "d", log(("u", "a", START)))
    assert dataset.items.decode(dataset.histories.of(0)) == ["b", "z", "a"]


def test_columns_of_several_values_stay_so_when_rows_are_added(tmp_path: Path) -> None:
    old = pa.table(
        {"item_id": ["a", "b", "c"], "region": ["n|s", "n", "s"], "creator": ["x", "y", "z"], "no": [1, 2, 3]}
    )
    new = pa.table({"item_id": ["d"], "region": ["n|s"], "creator": [["x", "y"]], "no": [["7", "8"]]})
    people, more = pa.table({"user_id": ["u"], "seeks": ["q/r"]}), pa.table({"user_id": ["v"], "seeks": ["r/q"]})
    prepare(FIRST, old, Users.of(people, lists={"seeks": "/"}), out=tmp_path / "d")
    ours = append(tmp_path / "d", LATER, new, more)
    assert ours.item_table.to_pylist()[::3] == [
        {"item_id": "a", "region": ["n", "s"], "creator": ["x"], "no": ["1"]},
        {"item_id": "d", "region": ["n", "s"], "creator": ["x", "y"], "no": ["7", "8"]},
    ]
    assert ours.user_table.to_pylist()[1:] == [
        {"user_id": "u", "seeks": ["q", "r"]},
        {"user_id": "v", "seeks": ["r", "q"]},
    ]


def test_texts_of_which_nobody_knows_whether_they_are_several_values_are_refused(tmp_path: Path) -> None:
    prepare(FIRST, pa.table({"item_id": ["a"], "region": ["n|s"]}), out=tmp_path / "d")
    with pytest.raises(DataError, match=r"'region' holds lists in one table and texts with '\|' in another"):
        append(tmp_path / "d", LATER, pa.table({"item_id": ["b"], "region": [["n"]]}))
    append(tmp_path / "d", LATER, pa.table({"item_id": ["b"], "region": ["n|s"]}))


def test_later_rows_of_the_catalogue_and_the_users_win(tmp_path: Path) -> None:
    old = pa.table({"item_id": ["a", "cold"], "title": ["Old", "Cold"], "price": [1.0, 2.0]})
    new = pa.table({"item_id": ["c", "a"], "title": ["Gamma", "New"], "language": ["zh", None]})
    people, grown = pa.table({"user_id": ["u", "v"], "age": [1, 2]}), pa.table({"user_id": ["v"], "age": [3]})
    prepare(FIRST, old, people, out=tmp_path / "d")
    dataset = append(tmp_path / "d", LATER, new, grown)
    assert dataset.item_table.to_pylist() == [
        {"item_id": "a", "title": "New", "price": None, "language": None},
        {"item_id": "b", "title": None, "price": None, "language": None},
        {"item_id": "c", "title": "Gamma", "price": None, "language": "zh"},
        {"item_id": "cold", "title": "Cold", "price": 2.0, "language": None},
    ]
    assert dataset.user_table.to_pylist() == [
        {"user_id": "t", "age": None}, {"user_id": "u", "age": 1}, {"user_id": "v", "age": 3},
    ]  # fmt: skip


def test_items_without_events_come_back_from_the_catalogue_when_they_get_some(tmp_path: Path) -> None:
    items = pa.table({"item_id": ["a", "b", "c"], "title": ["A", "B", "C"]})
    first = prepare(FIRST, items, out=tmp_path / "d", catalogue="with_events")
    assert first.items.ids.to_pylist() == ["a", "b"]
    assert append(tmp_path / "d", LATER).item_titles() == ["A", "B", "C"]


def test_the_quarantine_grows_and_the_manifest_counts_all(tmp_path: Path) -> None:
    def csv(name: str, bad: int) -> Path:
        good = "".join(f"u{n},a,{START + n}\n" for n in range(40))
        (tmp_path / name).write_text(f"user_id,item_id,time\n{good}" + ",x,1\n" * bad, encoding="utf-8")
        return tmp_path / name

    prepare(csv("one.csv", 1), out=tmp_path / "d", steps=["one_per_pair"])
    append(tmp_path / "d", csv("two.csv", 0))
    dataset = append(tmp_path / "d", csv("three.csv", 2))
    refused = pq.read_table(tmp_path / "d" / "quarantine.parquet").column("source").to_pylist()
    assert [Path(one).name for one in refused] == ["one.csv", "three.csv", "three.csv"]
    ingest = dataset.manifest.steps[0]
    assert (ingest.rows_before, ingest.rows_after) == (123, 120)
    assert sum(ingest.settings["refused"].values()) == 3
    assert len(dataset.manifest.sources) == 3
    assert dataset.n_events == 40


def test_a_frame_is_read_with_the_roles_of_the_first_time(tmp_path: Path) -> None:
    first = EventLog.of(
        FIRST.rename_columns(["who", "what", "when"]), roles={"user_id": "who", "item_id": "what", "time": "when"}
    )
    prepare(first, out=tmp_path / "d")
    ours = append(tmp_path / "d", LATER.rename_columns(["who", "what", "when"]))
    same(ours, prepare(pa.concat_tables([FIRST, LATER])))


def test_what_cannot_be_appended_leaves_the_dataset_as_it_was(tmp_path: Path) -> None:
    before = prepare(FIRST, out=tmp_path / "d").content_hash
    with pytest.raises(DataError, match="know something else of time"):
        append(tmp_path / "d", FIRST.select(["user_id", "item_id"]))
    with pytest.raises(DataError):
        append(tmp_path / "d", pa.table({"nonsense": [1]}))
    with pytest.raises(DataError, match="not a prepared dataset"):
        append(tmp_path / "nowhere", LATER)
    assert Dataset.load(tmp_path / "d").content_hash == before
    assert [one.name for one in tmp_path.iterdir()] == ["d"]
    shutil.rmtree(tmp_path / "d")
    prepare(FIRST, out=tmp_path / "d", appendable=False)
    with pytest.raises(DataError, match="appendable=True"):
        append(tmp_path / "d", LATER)


class Meanwhile:
    """A progress that appends to the same dataset while another append is under way."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def track(self, steps: Iterable[Any], total: int | None, description: str) -> Iterator[Any]:
        if description == "write events":
            append(self.target, log(("winner", "a", START)))
        yield from steps


def test_of_two_appends_at_once_none_is_lost_silently(tmp_path: Path) -> None:
    prepare(FIRST, out=tmp_path / "d")
    with pytest.raises(DataError, match="changed by somebody else"):
        append(tmp_path / "d", LATER, run=Run(progress=Meanwhile(tmp_path / "d")))
    assert Dataset.load(tmp_path / "d").users.ids.to_pylist() == ["u", "v", "winner"]
    assert append(tmp_path / "d", LATER).users.ids.to_pylist() == ["t", "u", "v", "winner"]


def test_a_dataset_that_is_open_survives_an_append(tmp_path: Path) -> None:
    old = prepare(FIRST, out=tmp_path / "d")
    append(tmp_path / "d", LATER)
    assert old.items.decode(old.histories.item) == ["a", "b", "a"]


def test_the_catalogue_is_read_as_the_first_time(tmp_path: Path) -> None:
    log = {"user_id": ["u", "u"], "item_id": ["i", "j"], "time": [START, START + 1]}
    goods = Catalogue.of({"Product Code": ["i"], "Title": ["Tea"]}, roles={"item_id": "Product Code"})
    prepare(log, goods, out=tmp_path / "d")
    later = append(tmp_path / "d", log, {"Product Code": ["j"], "Title": ["Cup"]})
    assert later.item_titles() == ["Tea", "Cup"]
