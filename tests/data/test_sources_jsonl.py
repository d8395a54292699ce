from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from zhiyin.data.tables import EventLog
from zhiyin.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


REVIEWS = lines(
    {"reviewerID": "007", "asin": 1, "overall": 5.0, "unixReviewTime": 1_400_000_000, "reviewText": "a\nb"},
    {"asin": "ü😀", "reviewerID": 7, "overall": None, "unixReviewTime": "1400000001", "extra": {"deep": [1]}},
)


def test_fields_may_come_in_any_order_and_type(tmp_path: Path, read_log: Any) -> None:
    found = read_log(EventLog.read(write(tmp_path / "a.jsonl", REVIEWS)))
    assert found.pairs == [("007", "1"), ("7", "ü😀")]
    assert found.column("time") == [1_400_000_000_000_000, 1_400_000_001_000_000]
    assert found.column("value") == [5.0, None]
    assert "columns that were not read: reviewText, extra" in found.facts.notes


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json", "a.txt"])
def test_the_form_is_told_by_content(tmp_path: Path, read_log: Any, name: str) -> None:
    content = gzip.compress(REVIEWS.encode()) if name.endswith("gz") else REVIEWS
    assert read_log(EventLog.read(write(tmp_path / name, content))).facts.rows_kept == 2


def test_broken_lines_cost_only_themselves(tmp_path: Path, read_log: Any) -> None:
    good = '{"user_id": "u", "item_id": "i"}'
    bad = ["broken", "[1]", "{'user_id': 'u'}", '"text"', '{"user_id": "u"', "null"]
    content = "\n\n".join(f"{good}\n{one}" for one in bad) + "\r\n"
    found = read_log(EventLog.read(write(tmp_path / "a.jsonl", content)))
    assert [one["raw"].strip() for one in found.quarantine] == bad
    assert set(found.reasons) == {"not a JSON object"}
    assert [one["row_number"] for one in found.quarantine] == [1, 3, 5, 7, 9, 11]


def test_bytes_that_are_no_text_cost_only_their_line(tmp_path: Path, read_log: Any) -> None:
    content = '{"user_id": "é", "item_id": "ü"}\n'.encode() + b'{"user_id": "\xff", "item_id": "b"}\n'
    found = read_log(EventLog.read(write(tmp_path / "a.jsonl", content)))
    assert found.pairs == [("é", "ü")]
    assert found.reasons == ["not a JSON object"]
    latin = '{"user_id": "é", "item_id": "ü"}\n'.encode("latin-1")
    assert read_log(EventLog.read(write(tmp_path / "b.jsonl", latin))).pairs == [("é", "ü")]


def test_row_faults(tmp_path: Path, read_log: Any) -> None:
    content = lines(
        {"user_id": "u", "item_id": "i", "value": 1},
        {"user_id": None, "item_id": "i", "value": 1},
        {"item_id": "i", "value": 1},
        {"user_id": "u\0", "item_id": "i"},
        {"user_id": "u", "item_id": "i", "value": "many"},
    )
    found = read_log(EventLog.read(write(tmp_path / "a.jsonl", content)))
    assert found.reasons == [
        "user_id is empty",
        "user_id is empty",
        "user_id holds a null byte",
        "value is not a number",
    ]


def test_names_of_fields_may_hold_any_letter(tmp_path: Path, read_log: Any) -> None:
    content = lines({"a/b~c": "u", 'the "item".0': "i", "": 1, "0": 2})
    log = EventLog.read(write(tmp_path / "a.jsonl", content), roles={"user_id": "a/b~c", "item_id": 'the "item".0'})
    assert read_log(log).pairs == [("u", "i")]


def test_several_files_and_mixed_line_ends(tmp_path: Path, read_log: Any) -> None:
    one = '{"user_id": "%s", "item_id": "x"}'
    write(tmp_path / "b.jsonl", one % "c" + "\r\n" + one % "d" + "\n" + one % "e")
    write(tmp_path / "a.jsonl", one % "a" + "\nbad\n" + one % "b" + "\n")
    found = read_log(EventLog.read(tmp_path))
    assert found.column("user_id") == ["a", "b", "c", "d", "e"]
    assert [(one["source"], one["row_number"]) for one in found.quarantine] == [("a.jsonl", 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ('[{"user_id": 1}]', "looks like one JSON array"),
        ("{'user_id': 'u', 'item_id': 'i'}\n", "looks like Python dictionaries"),
        ("{}\n{}\n", "have no fields"),
        ('{"user_id": "u"}\n', "no column for the role 'item_id'; the columns are 'user_id'"),
        ('{"user_id": "", "item_id": ""}\n', "1 of 1 rows are unusable"),
    ],
)
def test_faults_of_the_whole_file_are_errors(tmp_path: Path, read_log: Any, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_log(EventLog.read(write(tmp_path / "a.jsonl", content)))


def test_an_object_is_no_id(tmp_path: Path, read_log: Any) -> None:
    nested = lines({"user": {"id": "ada"}, "item": "tea"}, {"user": None, "item": "cup"})
    with pytest.raises(DataError, match=r"column 'user' holds STRUCT.*map the role to another column"):
        read_log(EventLog.read(write(tmp_path / "a.jsonl", nested)))
    mixed = lines({"user": "ada", "item": "tea"}, {"user": {"id": "bob"}, "item": "cup"})
    assert read_log(EventLog.read(write(tmp_path / "b.jsonl", mixed))).pairs[0] == ("ada", "tea")
