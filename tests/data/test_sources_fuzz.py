"""Whatever is written reads back the same; whatever is broken gives a `DataError` or a quarantine, never a crash."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from zhiyin.data.tables import Catalogue, EventLog
from zhiyin.errors import DataError, ZhiyinError

quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

BLANKS = " \t\n\v\f\r"
ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda one: one.strip(BLANKS) != ""
)
rows = st.lists(
    st.tuples(
        ids,
        ids,
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
        st.integers(31_536_000, 1_700_000_000),
    ),
    min_size=1,
    max_size=12,
)
Row = tuple[str, str, float | None, int]
NAMES = ("user_id", "item_id", "value", "time")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zhiyin-fuzz-") as one:
        yield Path(one)


def whole_numbers_as_floats(table: list[Row]) -> bool:
    """Whether a column of ids looks like 1.0, 2.0: then they are meant to come back as 1, 2."""
    return any(all(row[place].endswith(".0") for row in table) for place in (0, 1))


def check(found: Any, table: list[Row]) -> None:
    assert found.quarantine == []
    assert found.pairs == [(row[0], row[1]) for row in table]
    assert found.column("value") == [row[2] for row in table]
    assert found.column("time") == [row[3] * 1_000_000 for row in table]
    assert found.column("row_number") == list(range(len(table)))


@quick
@given(
    rows,
    st.sampled_from([",", "\t", ";", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.booleans(),
)
def test_csv_reads_back_the_same(
    folder: Path, read_log: Any, table: list[Row], delimiter: str, newline: str, quoting: Any, packed: bool
) -> None:
    assume(not whole_numbers_as_floats(table))
    # Python's writer leaves a lone carriage return bare where it ends no line: such a file means something else.
    assume(quoting != csv.QUOTE_MINIMAL or not any("\r" in cell for row in table for cell in row[:2]))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    writer.writerow(NAMES)
    writer.writerows(["" if cell is None else cell for cell in row] for row in table)
    content = out.getvalue().encode()
    path = folder / "a.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    check(read_log(EventLog.read(path)), table)


@quick
@given(rows, st.booleans(), st.booleans())
def test_json_lines_read_back_the_same(
    folder: Path, read_log: Any, table: list[Row], ascii_only: bool, packed: bool
) -> None:
    assume(not whole_numbers_as_floats(table))
    objects = [dict(zip(NAMES, row, strict=True)) for row in table]
    content = "".join(json.dumps(one, ensure_ascii=ascii_only) + "\n" for one in objects).encode()
    path = folder / "a.jsonl"
    path.write_bytes(gzip.compress(content) if packed else content)
    check(read_log(EventLog.read(path)), table)


@quick
@given(rows, st.integers(1, 5))
def test_parquet_and_frames_read_back_the_same(folder: Path, read_log: Any, table: list[Row], group: int) -> None:
    assume(not whole_numbers_as_floats(table))
    columns = pa.table({name: [row[place] for row in table] for place, name in enumerate(NAMES)})
    columns = columns.set_column(2, "value", columns["value"].cast(pa.float64()))
    path = folder / "a.parquet"
    pq.write_table(columns, path, row_group_size=group)
    check(read_log(EventLog.read(path)), table)
    check(read_log(EventLog.of(columns)), table)


@quick
@given(rows)
def test_sqlite_reads_back_the_same(folder: Path, read_log: Any, table: list[Row]) -> None:
    assume(not whole_numbers_as_floats(table))
    path = folder / "a.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE e (user_id TEXT, item_id TEXT, value REAL, time INTEGER)")
        connection.executemany("INSERT INTO e VALUES (?, ?, ?, ?)", table)
    connection.close()
    check(read_log(EventLog.read(path, table="e")), table)


# ---- broken files


def survives(read_log: Any, make: Callable[[], EventLog]) -> None:
    """Read; a clear refusal is fine, and `read_log` checks that no row is lost or counted twice."""
    with suppress(ZhiyinError):
        read_log(make())


@quick
@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.jsonl", "a.parquet", "a.db", "a.csv.gz", "noname"]))
def test_random_bytes_never_crash(folder: Path, read_log: Any, content: bytes, name: str) -> None:
    path = folder / name
    path.write_bytes(content)
    survives(read_log, lambda: EventLog.read(path, roles={"user_id": 0, "item_id": 1}))


@quick
@given(
    st.binary(max_size=200),
    st.sampled_from([b"user_id,item_id,time\n", b"user_id\titem_id\r\n", b"user_id::item_id\n"]),
)
def test_random_bytes_after_a_header_never_crash(folder: Path, read_log: Any, content: bytes, header: bytes) -> None:
    path = folder / "a.csv"
    path.write_bytes(header + content)
    survives(read_log, lambda: EventLog.read(path))


@quick
@given(st.text(st.sampled_from('ab,"\n\r\\;\t ::1.\0é'), max_size=60))
def test_letters_that_matter_to_csv_never_crash(folder: Path, read_log: Any, content: str) -> None:
    path = folder / "a.csv"
    path.write_bytes(f"user_id,item_id\nx,y\n{content}".encode())
    survives(read_log, lambda: EventLog.read(path))


@quick
@given(st.lists(st.text(st.sampled_from('{}[]:,"ab1\\u0 \n\r\x1f'), max_size=30), max_size=5))
def test_letters_that_matter_to_json_never_crash(folder: Path, read_log: Any, lines: list[str]) -> None:
    path = folder / "a.jsonl"
    path.write_text('{"user_id": "u", "item_id": "i"}\n' + "\n".join(lines), encoding="utf-8")
    survives(read_log, lambda: EventLog.read(path))


def examples(folder: Path) -> dict[str, bytes]:
    """A valid file of each form."""
    table = pa.table({"user_id": ["a", "b"] * 20, "item_id": [str(n) for n in range(40)], "time": [1_600_000_000] * 40})
    pq.write_table(table, folder / "x.parquet")
    (folder / "x.db").unlink(missing_ok=True)
    with sqlite3.connect(folder / "x.db") as connection:
        connection.execute("CREATE TABLE e (user_id TEXT, item_id TEXT)")
        connection.executemany("INSERT INTO e VALUES (?, ?)", [("a", str(n)) for n in range(40)])
    connection.close()
    text = "user_id,item_id\n" + "".join(f'"a","{n}"\n' for n in range(40))
    return {
        "x.parquet": (folder / "x.parquet").read_bytes(),
        "x.db": (folder / "x.db").read_bytes(),
        "x.csv": text.encode(),
        "x.csv.gz": gzip.compress(text.encode()),
    }


@quick
@given(st.data())
def test_cut_off_and_flipped_files_never_crash(folder: Path, read_log: Any, data: st.DataObject) -> None:
    valid = examples(folder)
    name = data.draw(st.sampled_from(sorted(valid)))
    content = bytearray(valid[name])
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for place in data.draw(st.lists(st.integers(0, max(0, len(content) - 1)), max_size=3)):
        if content:
            content[place] = data.draw(st.integers(0, 255))
    path = folder / name
    path.write_bytes(bytes(content))
    survives(read_log, lambda: EventLog.read(path, table="e" if bytes(content[:6]) == b"SQLite" else None))


@quick
@given(st.lists(st.tuples(st.one_of(st.none(), st.text(max_size=5)), st.text(max_size=20)), min_size=1, max_size=8))
def test_catalogues_keep_the_first_of_each_id(table: list[tuple[str | None, str]]) -> None:
    firsts: dict[str, str] = {}
    for one, title in table:
        if one is not None and one.strip(BLANKS) and "\0" not in one:
            firsts.setdefault(one, title)
    assume(not any(one.endswith(".0") for one in firsts))
    catalogue = Catalogue.of({"item_id": pa.array([row[0] for row in table]), "genres": [row[1] for row in table]})
    if not firsts:
        with pytest.raises(DataError):
            catalogue.to_arrow()
        return
    assert catalogue.to_arrow()["item_id"].to_pylist() == list(firsts)
