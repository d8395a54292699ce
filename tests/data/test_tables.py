from __future__ import annotations

import csv
import datetime as dt
import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import zhiyin
from zhiyin.data.tables import Catalogue, EventLog, Users
from zhiyin.errors import ConfigError, DataError, ZhiyinError


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_the_tables_stand_at_the_front_door() -> None:
    assert (zhiyin.EventLog, zhiyin.Catalogue, zhiyin.Users) == (EventLog, Catalogue, Users)


def test_tables_are_frozen_and_know_their_settings(tmp_path: Path) -> None:
    log = EventLog.read(
        write(tmp_path / "a.b.csv", "u,i\n1,2\n"), roles={"user_id": "u"}, time_unit="ms", context=["x"]
    )
    assert (log.name, log.roles, log.time_unit, log.context) == ("a", {"user_id": "u"}, "ms", ("x",))
    with pytest.raises(AttributeError):
        log.name = "b"  # type: ignore[misc]
    assert EventLog.of({"a": [1]}, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roles": {"usr": "a"}}, "unknown role for events 'usr'"),
        ({"time_unit": "fortnights"}, "unknown time unit 'fortnights'"),
    ],
)
def test_wrong_settings_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ZhiyinError, match=message):
        EventLog.of({"a": [1]}, **options)


# ---- recipes


def test_recipes_are_relative_to_themselves(tmp_path: Path, read_log: Any) -> None:
    write(tmp_path / "logs" / "2.txt", "c|d|13/01/2020 10:00\n")
    write(tmp_path / "logs" / "1.txt", "a|b|13/01/2020 09:00\n")
    write(tmp_path / "items.csv", "sku,name\n1,One\n")
    recipe = write(
        tmp_path / "shop.toml",
        """
        [events]
        path = "logs/*.txt"
        name = "my shop"
        header = false
        time_format = "%d/%m/%Y %H:%M"
        [events.roles]
        user_id = 0
        item_id = "1"
        time = 2
        [items]
        path = "items.csv"
        [steps]
        whatever = true
        """,
    )
    log = EventLog.from_recipe(recipe)
    assert log.name == "my shop"
    found = read_log(log)
    assert found.pairs == [("a", "b"), ("c", "d")]
    assert found.column("time") == [1_578_906_000_000_000, 1_578_909_600_000_000]
    assert Catalogue.from_recipe(recipe).to_arrow().to_pylist() == [{"item_id": "1", "title": "One"}]
    with pytest.raises(ConfigError, match=r"no section \[users\].*events, items, steps"):
        Users.from_recipe(recipe)


def test_recipes_may_name_a_database(tmp_path: Path, read_log: Any) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE log AS SELECT 'u' AS user_id, 'i' AS item_id")
    connection.close()
    for place in ('path = "sqlite:///shop.db"\ntable = "log"', 'path = "shop.db"\nquery = "SELECT * FROM log"'):
        recipe = write(tmp_path / "shop.toml", f"[events]\n{place}\n")
        assert read_log(EventLog.from_recipe(recipe)).pairs == [("u", "i")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[events]\npth = 'a.csv'\n", "unknown setting of .events. in .*'pth'; did you mean 'path'"),
        ("[events]\nroles = {}\n", "setting 'path'"),
        ("[events\n", "is not TOML"),
        ("[events]\npath = 'missing.csv'\n", r"missing\.csv is not there"),
        ("[events]\npath = 'a.csv'\ntime_unit = 'weeks'\n", "unknown time unit"),
    ],
)
def test_wrong_recipes_say_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    write(tmp_path / "a.csv", "user_id,item_id\na,b\n")
    with pytest.raises(ZhiyinError, match=message):
        EventLog.from_recipe(write(tmp_path / "r.toml", content))


def test_a_missing_recipe_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "shop.toml", "")
    with pytest.raises(DataError, match=r"did you mean 'shop\.toml'"):
        EventLog.from_recipe(tmp_path / "shp.toml")
    with pytest.raises(DataError, match="is a folder"):
        EventLog.from_recipe(tmp_path)


# ---- catalogues and users


def test_a_catalogue_in_one_form(tmp_path: Path) -> None:
    path = write(
        tmp_path / "movies.csv",
        "movieId,year,title,genres,price,release_date,zip\n"
        '007,1995,"Toy ""Story"", The",Animation|Comedy,"$1,299.50",1939-12-15,01234\n'
        "8,,,(no genres listed),free,,99999\n"
        ',1,nobody,,,"",\n'
        "007,1,again,,,,\n",
    )
    parsed = Catalogue.read(path).parsed()
    assert parsed.table.to_pylist() == [
        {"item_id": "007", "title": 'Toy "Story", The', "categories": ["Animation", "Comedy"], "price": 1299.5,
         "available_from": int(dt.datetime(1939, 12, 15, tzinfo=dt.UTC).timestamp()) * 1_000_000,
         "year": 1995, "zip": "01234"},
        {"item_id": "8", "title": None, "categories": [], "price": None, "available_from": None, "year": None,
         "zip": "99999"},
    ]  # fmt: skip
    assert "1 rows repeat an item_id that came before; the first of each was kept" in parsed.notes
    assert "1 rows without a usable item_id were left out" in parsed.notes
    assert [one.role for one in parsed.columns] == ["item_id", "title", "categories", "price", "available_from"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["A|B|C", "D", ""], [["A", "B", "C"], ["D"], []]),
        (["['A', 'B']", '["it\'s"]', "[]"], [["A", "B"], ["it's"], []]),
        (['["A", "B"]', "[broken"], [["A", "B"], ["[broken"]]),
        (["A; B", "C"], [["A", "B"], ["C"]]),
        (["A, B", "C"], [["A", "B"], ["C"]]),
        (["Clothing, Shoes|Toys"], [["Clothing, Shoes", "Toys"]]),
        ([None, "A"], [None, ["A"]]),
        ([["A", "B"], None, []], [["A", "B"], None, []]),
        ([[["A", "B"], ["C"]]], [["A", "B", "C"]]),
        ([[1, 2]], [["1", "2"]]),
    ],
)
def test_categories_are_lists_whatever_they_were(texts: list[Any], expected: list[Any]) -> None:
    table = Catalogue.of({"item_id": list(range(len(texts))), "genres": texts}).to_arrow()
    assert table["categories"].to_pylist() == expected
    assert table.schema.field("categories").type == pa.list_(pa.string())


@pytest.mark.parametrize(
    ("text", "price"),
    [("12", 12.0), ("$1,299.00", 1299.0), ("12,50 €", 12.5), ("1,299", 1299.0), ("USD 5.25", 5.25), ("-3", -3.0),
     ("1.299,00 €", 1299.0), ("1.299.000,5", 1_299_000.5),
     ("5 - 10", None), ("free", None), ("", None)],
)  # fmt: skip
def test_prices(text: str, price: float | None) -> None:
    assert Catalogue.of({"item_id": ["a"], "price": [text]}).to_arrow()["price"].to_pylist() == [price]


def test_a_catalogue_in_json_lines(tmp_path: Path) -> None:
    rows = [
        {"asin": "B0", "title": "A", "categories": [["Beauty", "Nails"]], "description": ["One.", "Two."], "rank": 3},
        {"asin": "B1", "title": "[REC]", "imUrl": "x.jpg", "rank": 10},
    ]
    path = write(tmp_path / "meta.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "broken\n")
    parsed = Catalogue.read(path).parsed()
    assert parsed.table.to_pylist() == [
        {"item_id": "B0", "title": "A", "description": "One., Two.", "categories": ["Beauty", "Nails"], "image": None,
         "rank": 3},
        {"item_id": "B1", "title": "[REC]", "description": None, "categories": None, "image": "x.jpg", "rank": 10},
    ]  # fmt: skip
    assert "1 rows could not be taken apart and were left out" in parsed.notes


# ---- columns of several values

PEOPLE = [
    {"sku": "1", "region": ["north", "south"], "language": ["de", "en"], "creator": ["Ann"], "blocked": [2, 3]},
    {"sku": "2", "region": ["south"], "language": ["de"], "creator": ["Ann", "Bo, J."], "blocked": []},
    {"sku": "3", "region": None, "language": None, "creator": None, "blocked": None},
]
READ = [
    {"item_id": "1", "language": ["de", "en"], "creator": ["Ann"], "region": ["north", "south"], "blocked": ["2", "3"]},
    {"item_id": "2", "language": ["de"], "creator": ["Ann", "Bo, J."], "region": ["south"], "blocked": []},
    {"item_id": "3", "language": None, "creator": None, "region": None, "blocked": None},
]


def jsonl(path: Path) -> Path:
    return write(path, "".join(json.dumps(one) + "\n" for one in PEOPLE))


def parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(PEOPLE), path)
    return path


def csv_of_json(path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(PEOPLE[0])
        rows.writerows([one if isinstance(one, str | None) else json.dumps(one) for one in row.values()]
                       for row in PEOPLE)  # fmt: skip
    return path


@pytest.mark.parametrize("form", [jsonl, parquet, csv_of_json])
def test_lists_of_a_source_stay_lists_also_of_languages_and_creators(tmp_path: Path, form: Any) -> None:
    table = Catalogue.read(form(tmp_path / "things")).to_arrow()
    assert table.to_pylist() == READ
    assert set(table.schema.types[1:]) == {pa.list_(pa.string())}
    people = Users.read(tmp_path / "things", roles={"user_id": "sku"}).to_arrow().to_pylist()
    assert people == [{"user_id" if name == "item_id" else name: one for name, one in row.items()} for row in READ]


@pytest.mark.parametrize("frame", [pa.Table.from_pylist(PEOPLE), pd.DataFrame(PEOPLE), pl.DataFrame(PEOPLE)])
def test_lists_of_a_frame_stay_lists(frame: Any) -> None:
    assert Catalogue.of(frame).to_arrow().to_pylist() == READ


def test_lists_of_numbers_are_ids_or_vectors(tmp_path: Path) -> None:
    frame = pa.table({
        "user_id": ["a", "b"], "friends": [[1, 2], []], "halves": [[0.5], [1.0]],
        "bytes": pa.array([[1], [2]], pa.list_(pa.int8())),
        "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)),
    })  # fmt: skip
    assert Users.of(frame).to_arrow().to_pylist()[0] == {
        "user_id": "a", "friends": ["1", "2"], "halves": [0.5], "bytes": [1], "fixed": [1, 2]
    }  # fmt: skip
    path = write(tmp_path / "a.jsonl", '{"user_id": 1, "a": [1, 0.5], "b": [1]}\n{"user_id": 2, "a": [2], "b": null}\n')
    table = Users.read(path).to_arrow()
    assert table.to_pylist()[0] == {"user_id": "1", "a": [1.0, 0.5], "b": ["1"]}
    assert table["b"].to_pylist()[1] is None


def test_a_value_alone_among_lists_is_a_list_of_one_and_brackets_alone_are_no_list(tmp_path: Path) -> None:
    rows = '{"item_id": 1, "creator": "Bo, J.", "a": "[REC]"}\n{"item_id": 2, "creator": ["x", "y"], "a": "[1]"}\n'
    table = Catalogue.read(write(tmp_path / "a.jsonl", rows)).to_arrow()
    assert table["creator"].to_pylist() == [["Bo, J."], ["x", "y"]]
    assert table["a"].to_pylist() == ["[REC]", "[1]"]
    halves = Catalogue.of({"item_id": [1], "a": [r'["\ud800x", "\ud83d\ude00"]']}).to_arrow()
    assert halves["a"].to_pylist() == [["?x", "😀"]]
    nested = {"item_id": [1, 2], "a": ['[{"b": 1}]', '["c"]']}
    assert Catalogue.of(nested).to_arrow()["a"].to_pylist() == nested["a"]


def test_declared_columns_are_split_at_what_is_there_or_told(tmp_path: Path) -> None:
    text = 'user_id,seeks,blocked,way,likes\n1,a; b,2|3,n/s,\n2,a,3,n,"Tea, hot"\n3,,,,Cup\n'
    path = write(tmp_path / "people.csv", text)
    lists = {"seeks": None, "blocked": None, "way": "/", "likes": ""}
    assert Users.read(path, lists=lists).to_arrow().to_pylist() == [
        {"user_id": "1", "seeks": ["a", "b"], "blocked": ["2", "3"], "way": ["n", "s"], "likes": None},
        {"user_id": "2", "seeks": ["a"], "blocked": ["3"], "way": ["n"], "likes": "Tea, hot"},
        {"user_id": "3", "seeks": None, "blocked": None, "way": None, "likes": "Cup"},
    ]
    assert Users.read(path, lists=["seeks", "blocked"]).to_arrow()["seeks"].to_pylist()[0] == ["a", "b"]
    assert Users.read(path, lists="seeks, blocked").lists == {"seeks": None, "blocked": None}
    commas = Catalogue.of({"item_id": ["1"], "author": ["Ann, Bo"]}, lists=["creator"]).parsed()
    assert commas.table["creator"].to_pylist() == [["Ann", "Bo"]]
    assert "author were split at commas" in commas.notes
    genres = Catalogue.of({"item_id": [1], "genres": ["A, B|C"]}, lists={"genres": ","}).to_arrow()
    assert genres["categories"].to_pylist() == [["A", "B|C"]]
    mixed = Users.of({"user_id": [1, 2, 3], "n": [2.0, None, 3.0]}, lists=["n"]).to_arrow()["n"].to_pylist()
    assert mixed == [["2"], None, ["3"]]


def test_bars_between_values_that_recur_are_split_and_others_said(caplog: pytest.LogCaptureFixture) -> None:
    frame = {"item_id": list("abcd"), "region": ["north|south", "north", "south", ""], "code": ["x|y", "z", "w", "v"],
             "friends": ["b|c", "c|d", "", None], "language": ["de|en", "de", "en", None]}  # fmt: skip
    parsed = Catalogue.of(frame).parsed()
    assert parsed.table.to_pylist()[0] == {
        "item_id": "a", "language": ["de", "en"], "region": ["north", "south"], "code": "x|y", "friends": ["b", "c"]
    }  # fmt: skip
    assert "column 'region': 1 cells were split at '|'; lists={'region': ''} keeps them whole" in parsed.notes
    (doubt,) = (note for note in parsed.notes if "code" in note)
    assert doubt.startswith("column 'code' holds '|' in 1 cells, and each was read as one text; if they are several")
    assert "say lists=['code'] (at the prompt --read 'items.lists=code')" in doubt
    assert [one.levelname for one in caplog.records if doubt in one.message] == ["WARNING"]
    whole = Catalogue.of(frame, lists={"region": "", "code": "", "language": "", "friends": ""}).parsed()
    assert whole.table["region"].to_pylist() == ["north|south", "north", "south", None]
    assert whole.table["language"].to_pylist() == ["de|en", "de", "en", None]
    assert not any("'|'" in note for note in whole.notes)


def test_commas_and_semicolons_between_values_that_recur_are_said_and_not_split() -> None:
    frame = {"item_id": list("abc"), "tongue": ["de, en", "de", "en"], "weight": ["1,5", "5,1", "1"],
             "said": ["Well, no", "Oh, well", "Hm"], "land": ["DE;FR", "FR", "DE"]}  # fmt: skip
    parsed = Catalogue.of(frame).parsed()
    assert parsed.table.to_pylist()[0] == {name: one[0] for name, one in frame.items()}
    assert [note.split()[1] for note in parsed.notes if " holds " in note] == ["'tongue'", "'land'"]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (["regio"], "lists names a column that is not there.*did you mean 'region'"),
        (["title"], "lists names 'title', which is the title of each, and has one value"),
        (["sku"], "lists names 'sku', which is the item_id of each"),
        ({"region": 3}, "names of columns are expected"),
        (3, "names of columns are expected"),
    ],
)
def test_wrong_lists_are_refused(lists: Any, message: str) -> None:
    with pytest.raises(ZhiyinError, match=message):
        Catalogue.of({"sku": ["a"], "title": ["A"], "region": ["n"]}, lists=lists).to_arrow()


def test_events_have_no_lists() -> None:
    with pytest.raises(ConfigError, match="came for events"):
        EventLog.of({"user_id": [1], "item_id": [1]}, lists=["kind"])
    with pytest.raises(DataError, match=r"a column of struct<.*texts, numbers or lists are expected"):
        Users.of({"user_id": [1], "a": [{"b": 1}]}, lists=["a"]).to_arrow()


def test_a_recipe_names_columns_of_several_values(tmp_path: Path) -> None:
    write(tmp_path / "items.csv", "item_id,region,blocked\na,n/s,b|c\n")
    for lists in ('["region", "blocked"]', '{region = "/", blocked = "|"}', '"region, blocked"'):
        recipe = write(tmp_path / "r.toml", f'[items]\npath = "items.csv"\nlists = {lists}\n')
        (row,) = Catalogue.from_recipe(recipe).to_arrow().to_pylist()
        assert row == {"item_id": "a", "region": ["n", "s"] if "/" in lists else ["n/s"], "blocked": ["b", "c"]}


def test_types_of_a_frame_are_kept() -> None:
    frame = pa.table({
        "item_id": pa.array([1.0, 2.0]), "year": pa.array([1995, None], pa.int16()), "vector": [[1.0], [2.0]],
        "available_from": pa.array([0, None], pa.timestamp("s")), "title": pa.array(["a", "b"]).dictionary_encode(),
    })  # fmt: skip
    table = Catalogue.of(frame).to_arrow()
    assert table.schema.names == ["item_id", "title", "available_from", "year", "vector"]
    assert [str(kind) for kind in table.schema.types][2:4] == ["int64", "int16"]
    assert table.to_pylist()[0] == {"item_id": "1", "title": "a", "available_from": 0, "year": 1995, "vector": [1.0]}


def test_dates_that_cannot_be_read_are_left_empty_and_said() -> None:
    parsed = Catalogue.of({"item_id": ["a", "b"], "release_date": ["long ago", "soon"]}).parsed()
    assert parsed.table["available_from"].to_pylist() == [None, None]
    assert any("such as 'long ago', 'soon'" in note and "left empty" in note for note in parsed.notes)


def test_prices_and_dates_that_are_lost_are_counted() -> None:
    dates = ["2020-01-01", "soon", None]
    parsed = Catalogue.of({"item_id": list("abc"), "price": ["1", "free", "ask"], "release_date": dates}).parsed()
    assert "2 values of 'price' are not a price and were left empty" in parsed.notes
    assert "1 values of 'release_date' are not a time and were left empty" in parsed.notes


def test_a_column_called_like_a_role_that_another_plays_keeps_its_values() -> None:
    parsed = Catalogue.of({"item_id": ["a"], "name": ["N"], "title": ["T"]}, roles={"title": "name"}).parsed()
    assert parsed.table.to_pylist() == [{"item_id": "a", "title": "N", "title_2": "T"}]


def test_users_and_atomic_headers(tmp_path: Path) -> None:
    path = write(tmp_path / "ml.user", "user_id:token\tage:token\tgender:token\n1\t24\tM\n2\t\tF\n")
    assert Users.read(path).to_arrow().to_pylist() == [
        {"user_id": "1", "age": 24, "gender": "M"},
        {"user_id": "2", "age": None, "gender": "F"},
    ]


def test_a_catalogue_without_rows_or_ids(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column for the role 'item_id'"):
        Catalogue.of({"title": ["a"]}).to_arrow()
    with pytest.raises(DataError, match="holds no rows"):
        Catalogue.read(write(tmp_path / "a.csv", "item_id,title\n")).to_arrow()
    with pytest.raises(DataError, match="none of its 2 rows has a usable item_id"):
        Catalogue.of({"item_id": [None, ""], "title": ["a", "b"]}).to_arrow()


def test_columns_that_differ_in_capitals_alone_are_both_kept() -> None:
    table = Catalogue.of({"item_id": ["a"], "Colour": ["red"], "colour": ["blue"], "Title": ["T"]}).to_arrow()
    assert table.to_pylist() == [{"item_id": "a", "title": "T", "Colour": "red", "colour_2": "blue"}]
