from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from zhiyin.data.sources.dialect import Wish, newline_of, sniff, split
from zhiyin.data.tables import EventLog
from zhiyin.errors import ConfigError, DataError

HEADER = "user_id,item_id,value,time\n"
ROW = "u,i,3,1600000000\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_csv_becomes_raw_events(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "shop.csv", 'uid,movieId,rating,ts\n007,"a, ""b""\nc",4.5,1600000000\nü😀,x,,1600000001\n')
    log = EventLog.read(path)
    found = read_log(log)
    assert log.name == "shop"
    assert found.events == [
        {"row_number": 0, "user_id": "007", "item_id": 'a, "b"\nc', "time": 1_600_000_000_000_000, "position": None,
         "kind": None, "value": 4.5, "session_id": None},
        {"row_number": 1, "user_id": "ü😀", "item_id": "x", "time": 1_600_000_001_000_000, "position": None,
         "kind": None, "value": None, "session_id": None},
    ]  # fmt: skip
    assert found.facts.clock == "time"
    assert {str(one) for one in found.facts.columns} >= {"user_id is column 'uid' (by alias)"}
    (source,) = found.facts.sources
    assert (source["name"], source["size"], source["rows"]) == ("shop.csv", path.stat().st_size, 2)
    assert len(source["blake2b"]) == 32


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|", "::", "\x01", " "])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_found_out(tmp_path: Path, read_log: Any, delimiter: str, newline: str) -> None:
    rows = [("user_id", "item_id", "value"), ("a", "b", "1"), ("c", "d", "2.5")]
    path = write(tmp_path / "log.txt", newline.join(delimiter.join(row) for row in rows) + newline)
    found = read_log(EventLog.read(path))
    assert found.pairs == [("a", "b"), ("c", "d")]
    assert found.column("value") == [1.0, 2.5]
    assert f"delimiter {delimiter!r}" in found.facts.notes


def test_files_without_header_take_roles_by_number(tmp_path: Path, read_log: Any) -> None:
    roles = {"user_id": 0, "item_id": 1, "value": 2, "time": 3}
    data = write(tmp_path / "u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    dat = write(tmp_path / "ratings.dat", "1::122::5::838985046\n1::185::5::838983525\n")
    assert read_log(EventLog.read(data, roles=roles)).pairs == [("196", "242"), ("186", "302")]
    found = read_log(EventLog.read(dat, roles=roles))
    assert found.column("time") == [838_985_046_000_000, 838_983_525_000_000]
    texts = write(tmp_path / "pairs.csv", "ada,alien\nbob,brazil\n")
    assert read_log(EventLog.read(texts, roles={"user_id": 0, "item_id": 1})).pairs[0] == ("ada", "alien")
    with pytest.raises(DataError, match=r"has no header.*from 0 to 3"):
        read_log(EventLog.read(dat))


def test_a_header_may_be_said_to_be_there_or_not(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "odd.csv", "1,2\n3,4\n")
    roles = {"user_id": 0, "item_id": 1}
    assert read_log(EventLog.read(path, roles=roles, header=True)).pairs == [("3", "4")]
    assert read_log(EventLog.read(path, roles=roles, header=False)).pairs == [("1", "2"), ("3", "4")]


def test_row_faults_go_to_the_quarantine_with_reason_and_row(tmp_path: Path, read_log: Any) -> None:
    bad = {
        ",i,3,1600000000": "user_id is empty",
        "u,  ,3,1600000000": "item_id is empty",
        "user_id,item_id,value,time": "the header again",
        "u,i,much,1600000000": "value is not a number",
        "u,i,nan,1600000000": "value is not finite",
        "u,i,-inf,1600000000": "value is not finite",
        "u,i,3,": "time is missing",
        "u,i,3,soon": "time is not a number",
        "u,i,3,-1": "time is negative",
        "u,i,3,0": "time is before 1971",
        "u,i,3,9999999999": "time is in the future",
        "u,i": "too few columns",
        "u,i,3,1600000000,x": "too many columns",
        f"{'x' * 2000},i,3,1600000000": "user_id is longer than 1,024 bytes",
        "u,i\0,3,1600000000": "item_id holds a null byte",
        'u,"i"x,3,1600000000': "a quote in the wrong place",
    }
    content = HEADER + "".join(f"{line}\n{ROW}" for line in bad)
    found = read_log(EventLog.read(write(tmp_path / "log.csv", content)))
    assert found.reasons == list(bad.values())
    assert [one["row_number"] for one in found.quarantine] == list(range(0, 2 * len(bad), 2))
    assert [one["row_number"] for one in found.events] == list(range(1, 2 * len(bad), 2))
    assert {one["source"] for one in found.quarantine} == {"log.csv"}
    raw = dict(zip(found.reasons, (one["raw"] for one in found.quarantine), strict=True))
    assert raw["too few columns"] == "u,i"
    assert raw["value is not a number"] == '{"user_id":"u","item_id":"i","time":"1600000000","value":"much"}'
    assert found.facts.reasons["value is not finite"] == 2


def test_long_and_strange_ids_stay_as_they_are(tmp_path: Path, read_log: Any) -> None:
    ids = ["x" * 300, "007", "1e5", "👩‍👩‍👧", "Ω≈ç√", " padded ", "null", "-", "a\tb", "漢字", "‏עברית"]
    content = "user_id,item_id\n" + "".join(f'"{one}",i{place}\n' for place, one in enumerate(ids))
    found = read_log(EventLog.read(write(tmp_path / "ids.csv", content)))
    assert found.column("user_id") == ids
    assert any("'null'" in note and "missing value" in note for note in found.facts.notes)


def test_whole_numbers_that_were_written_as_floats_are_whole_again(tmp_path: Path, read_log: Any) -> None:
    found = read_log(EventLog.read(write(tmp_path / "a.csv", "user_id,item_id\n1.0,1.0\n2.0,1.5\n,3\n")))
    assert found.pairs == [("1", "1.0"), ("2", "1.5")]


def test_latin_1_and_utf_16_are_read_with_a_note(tmp_path: Path, read_log: Any) -> None:
    text = "user_id,item_id\nÀndré,crème brûlée\nfoo,bar\n"
    latin = read_log(EventLog.read(write(tmp_path / "latin.csv", text.encode("latin-1"))))
    assert latin.pairs == [("Àndré", "crème brûlée"), ("foo", "bar")]
    assert "latin.csv is not UTF-8 and was read as latin-1" in latin.facts.notes
    wide = read_log(EventLog.read(write(tmp_path / "wide.csv", text.encode("utf-16"))))
    assert wide.pairs == latin.pairs
    mark = read_log(EventLog.read(write(tmp_path / "mark.csv", text.encode("utf-8-sig"))))
    assert mark.pairs == latin.pairs
    assert not any("UTF-8" in note for note in mark.facts.notes)
    given = read_log(EventLog.read(write(tmp_path / "cp.csv", text.encode("cp1252")), encoding="cp1252"))
    assert given.pairs == latin.pairs


def test_one_broken_byte_costs_one_row(tmp_path: Path, read_log: Any) -> None:
    content = "user_id,item_id\nÀndré,é\n".encode() + b"br\xffken,x\n" + "ünal,ö\n".encode()
    found = read_log(EventLog.read(write(tmp_path / "a.csv", content)))
    assert found.pairs == [("Àndré", "é"), ("ünal", "ö")]
    assert found.reasons == ["bytes that are not UTF-8"]


def test_mixed_line_ends_lose_no_row(tmp_path: Path, read_log: Any) -> None:
    found = read_log(EventLog.read(write(tmp_path / "a.csv", b"user_id,item_id\r\na,b\nc,d\r\ne,f\n\n\r\ng,h")))
    assert found.pairs == [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")]
    assert any("mixes kinds of line ends" in note for note in found.facts.notes)


def test_gzip_is_unpacked_whatever_it_is_called(tmp_path: Path, read_log: Any) -> None:
    packed = gzip.compress((HEADER + ROW * 100).encode())
    for name in ("a.csv.gz", "a.csv"):
        assert read_log(EventLog.read(write(tmp_path / name, packed))).facts.rows_kept == 100
    with pytest.raises(DataError, match="cut off or damaged"):
        read_log(EventLog.read(write(tmp_path / "cut.csv.gz", packed[:-10])))


def test_a_quote_that_never_closes_is_not_swallowed_silently(tmp_path: Path, read_log: Any) -> None:
    lines = [f"u{place},i{place}\n" for place in range(50_000)]
    lines[1_000] = '"u1000,i1000\n'
    path = write(tmp_path / "a.csv", "user_id,item_id\n" + "".join(lines))
    with pytest.raises(DataError, match=r"row 1001 opens a quote.*quote=''"):
        read_log(EventLog.read(path))
    assert read_log(EventLog.read(path, quote="")).column("user_id")[1_000] == '"u1000'


def test_quotes_mean_nothing_where_taking_them_seriously_breaks_rows(tmp_path: Path, read_log: Any) -> None:
    content = "user_id\titem_id\n" + "".join(f'u{n}\t"title {n}\n' for n in range(9))
    assert read_log(EventLog.read(write(tmp_path / "a.tsv", content))).column("item_id")[0] == '"title 0'


def test_rows_keep_their_order_and_their_numbers(tmp_path: Path, read_log: Any) -> None:
    rows = 120_000  # more than one block of the reader
    path = write(tmp_path / "a.csv", "user_id,item_id\n" + "".join(f"u{n % 97},{n}\n" for n in range(rows)))
    found = read_log(EventLog.read(path))
    assert found.column("item_id") == [str(n) for n in range(rows)]
    assert found.column("row_number") == list(range(rows))


def test_several_files_are_read_in_the_order_of_their_paths(tmp_path: Path, read_log: Any) -> None:
    write(tmp_path / "b.csv", "user_id,item_id\nc,3\nbad\nd,4\n")
    write(tmp_path / "a.csv", "item_id,user_id\n1,a\n,a\n2,b\n")  # the columns in another order
    write(tmp_path / "c.csv", "5,e\n")  # a part that only continues
    for where in (str(tmp_path / "*.csv"), tmp_path, [tmp_path / "c.csv", tmp_path / "b.csv", tmp_path / "a.csv"]):
        found = read_log(EventLog.read(where))
        assert found.pairs == [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")]
        assert found.column("row_number") == [0, 2, 3, 5, 6]
        assert [(one["source"], one["row_number"]) for one in found.quarantine] == [("a.csv", 1), ("b.csv", 4)]
        assert [(one["name"], one["rows"]) for one in found.facts.sources] == [("a.csv", 3), ("b.csv", 3), ("c.csv", 1)]
    write(tmp_path / "d.csv", "who,what\nf,6\n")
    with pytest.raises(DataError, match=r"d\.csv has the columns who, what, but a\.csv has item_id, user_id"):
        read_log(EventLog.read(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        (HEADER, "holds no rows, only the columns user_id, item_id, value, time"),
        ("useritem\nab\n", r"only one column was found with the delimiter '::'.*'useritem'"),
        ("user_id,item_id\na,b,c\nd,e,f\n", "the header has 2 columns but the rows have 3"),
        ("user_id,item_id\n,\n,\n", r"2 of 2 rows are unusable: user_id is empty \(2\)"),
        ("user_id,item_id,time\na,b,1\nc,d,2\n", "position"),
        ("PK\x03\x04xxxx", "a zip archive"),
    ],
)
def test_faults_of_the_whole_file_are_errors(tmp_path: Path, read_log: Any, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_log(EventLog.read(write(tmp_path / "a.csv", content)))


def test_a_wrong_delimiter_is_said(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.csv", "user_id#item_id\na#b\n")
    with pytest.raises(DataError, match=r"only one column was found with the delimiter ';'"):
        read_log(EventLog.read(path, delimiter=";"))
    assert read_log(EventLog.read(path, delimiter="#")).pairs == [("a", "b")]


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "ratings.csv", HEADER)
    with pytest.raises(DataError, match=r"did you mean 'ratings\.csv'"):
        EventLog.read(tmp_path / "rating.csv")
    with pytest.raises(DataError, match="there is no folder"):
        EventLog.read(tmp_path / "nowhere" / "a.csv")
    with pytest.raises(DataError, match="no file matches"):
        EventLog.read(str(tmp_path / "*.tsv"))
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match="holds no CSV"):
        EventLog.read(tmp_path / "void")
    with pytest.raises(DataError, match="an empty list"):
        EventLog.read([])


def test_names_with_glob_letters_are_taken_literally(tmp_path: Path, read_log: Any) -> None:
    folder = tmp_path / "it's [1]"
    folder.mkdir()
    write(folder / "a?.csv", "user_id,item_id\na,b\n")
    assert read_log(EventLog.read(folder / "a?.csv")).pairs == [("a", "b")]


def test_context_columns_are_kept_on_demand(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.csv", "user_id,item_id,device,Price Paid\na,b,phone,5\n")
    found = read_log(EventLog.read(path, context=["device"]))
    assert list(found.events[0])[-1] == "device"
    assert found.column("device") == ["phone"]
    assert "columns that were not read: Price Paid" in found.facts.notes
    with pytest.raises(DataError, match="context column 'colour' is not there; free are device, Price Paid"):
        read_log(EventLog.read(path, context=["colour"]))
    with pytest.raises(DataError, match="may not be called 'kind'"):
        read_log(EventLog.read(path, context=["kind"]))


def test_position_and_kind(tmp_path: Path, read_log: Any) -> None:
    content = (
        "user_id,item_id,position,event,session\n" + "a,b,0,view,s1\n" * 5 + "a,c,1.0,buy,\na,d,1.5,view,\na,e,,,\n"
    )
    found = read_log(EventLog.read(write(tmp_path / "a.csv", content)))
    assert found.facts.clock == "position"
    assert found.column("position")[-1] == 1
    assert found.events[-1]["kind"] == "buy"
    assert found.events[-1]["session_id"] is None
    assert found.reasons == ["position is not a whole number", "position is missing"]


def test_a_column_that_holds_nothing_is_as_good_as_none(tmp_path: Path, read_log: Any) -> None:
    found = read_log(EventLog.read(write(tmp_path / "a.csv", "user_id,item_id,time,value\na,b,,\nc,d,,\n")))
    assert found.facts.clock == "none"
    assert "column 'time' holds nothing, so time is unknown" in found.facts.notes


def test_a_backslash_that_ends_a_quoted_cell_is_a_letter(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.csv", '"user_id","item_id"\n"u","\\"\n"\\","i"\n')
    assert read_log(EventLog.read(path)).pairs == [("u", "\\"), ("\\", "i")]


def test_backslashes_before_quotes(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.csv", 'user_id,item_id\n"a","say \\"hi\\", ok"\n"b","c"\n')
    assert read_log(EventLog.read(path)).pairs == [("a", 'say "hi", ok'), ("b", "c")]


def test_sniffing_by_itself() -> None:
    assert newline_of('"a\r\nb",c\n', '"') == "\n"
    assert newline_of("a", '"') == "\n"
    assert split("a::b\n\nc::d", "::", "") == [("a", "b"), ("c", "d")]
    dialect = sniff("name;text\nAda;one, two\nBob;three, four, five\n", "x", Wish(), {})
    assert (dialect.delimiter, dialect.header, dialect.names) == (";", True, ("name", "text"))
    assert sniff("id,id,\n1,2,3\n", "x", Wish(), {}).names == ("id", "id_2", "column2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ""}, "1 to 4 bytes"),
        ({"quote": "''"}, "one ASCII letter"),
        ({"delimiter": "::", "quote": '"'}, "say quote=''"),
        ({"encoding": "utf-99"}, "unknown encoding 'utf-99'"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Wish(**options)


def test_a_second_column_of_one_name_is_told(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.csv", "user_id,item_id,item_id,time\nu,first,second,1600000000\n")
    found = read_log(EventLog.read(path))
    assert found.pairs == [("u", "first")]
    assert "a second column is named 'item_id', called 'item_id_2' here" in found.facts.notes


def test_what_to_say_is_said_for_the_prompt_too(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.csv", "user_id^item_id\nu^i\n")
    with pytest.raises(DataError, match=r"--read 'delimiter=\.\.\.'"):
        read_log(EventLog.read(path))
    assert read_log(EventLog.read(path, delimiter="^")).pairs == [("u", "i")]


@pytest.mark.parametrize("address", ["mysql://db/shop?table=events", "https://shop.example/events.csv", "s3://b/*.csv"])
def test_addresses_that_nobody_reads_are_named(address: str) -> None:
    scheme = address.partition(":")[0]
    with pytest.raises(DataError, match=f"addresses of {scheme}:// cannot be read"):
        EventLog.read(address)
