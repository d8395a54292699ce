from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.artifacts import read_json
from zhiyin.config import Config
from zhiyin.data import writer
from zhiyin.data.dataset import Dataset
from zhiyin.data.engine import DuckDBEngine
from zhiyin.data.parts import number
from zhiyin.data.prepare import Preparation, prepare
from zhiyin.data.queries import Queries, Query
from zhiyin.data.steps.base import Events, PreparationStep, listed, next_table
from zhiyin.data.tables import Catalogue, EventLog, Users
from zhiyin.data.writer import count_sessions
from zhiyin.errors import ConfigError, DataError
from zhiyin.ranking.rules import Rules
from zhiyin.run import Run

START = 1_600_000_000  # Unix seconds
US = 1_000_000


def frame(*rows: tuple[Any, ...], names: str = "user_id item_id time") -> pa.Table:
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names.split())})


def timed(*rows: tuple[str, str, int]) -> pa.Table:
    """Events whose third cell is seconds after START."""
    return frame(*[(user, item, START + second) for user, item, second in rows])


def lists(dataset: Dataset) -> dict[str, list[str]]:
    """The item ids of each user, oldest first."""
    ids = dataset.users.ids.to_pylist()
    return {one: dataset.items.decode(dataset.histories.of(row)) for row, one in enumerate(ids)}


# ---------------------------------------------------------------------- what comes out


def test_events_are_sorted_by_user_time_and_place_in_the_log_and_ids_by_their_bytes() -> None:
    events = timed(("b", "10", 5), ("a", "2", 9), ("é", "10", 1), ("b", "9", 5), ("a", "2", 3), ("a", "é", 3))
    dataset = prepare(events)
    assert dataset.users.ids.to_pylist() == ["a", "b", "é"]
    assert dataset.items.ids.to_pylist() == ["10", "2", "9", "é"]
    assert lists(dataset) == {"a": ["2", "é", "2"], "b": ["10", "9"], "é": ["10"]}
    seconds = [3, 3, 9, 5, 5, 1]
    assert dataset.histories.time.tolist() == [(START + one) * US for one in seconds]  # type: ignore[union-attr]
    assert dataset.histories.item.dtype == np.int32
    assert sorted(dataset.histories.columns()) == ["item", "time"]


def test_kinds_values_weights_and_sessions_are_kept_where_they_say_something() -> None:
    names = "user_id item_id time kind value session_id"
    events = frame(
        ("u", "a", START, "view", None, "s9"),
        ("u", "b", START + 1, "purchase", 3.5, "s9"),
        ("u", "c", START + 2, "view", None, "s1"),
        ("v", "c", START + 3, None, None, "s1"),
        names=names,
    )
    dataset = prepare(events)
    histories = dataset.histories
    assert dataset.kinds == ("purchase", "unknown", "view")
    assert histories.kind.tolist() == [2, 0, 2, 1]  # type: ignore[union-attr]
    assert histories.weight.tolist() == [1, 5, 1, 1]  # type: ignore[union-attr]
    np.testing.assert_array_equal(histories.value, np.array([np.nan, 3.5, np.nan, np.nan], np.float32))
    assert histories.session.tolist() == [0, 0, 1, 0]  # type: ignore[union-attr]
    plain = prepare(frame(("u", "a", START, "view"), ("u", "b", START, "view"), names="user_id item_id time kind"))
    assert plain.histories.weight is None
    assert plain.kinds == ("view",)


def test_only_the_order_may_be_known_or_not_even_that() -> None:
    ordered = prepare(frame(("u", "a", 7), ("u", "b", 2), names="user_id item_id position"))
    assert ordered.clock == "position"
    assert lists(ordered) == {"u": ["b", "a"]}
    assert ordered.histories.time.tolist() == [2, 7]  # type: ignore[union-attr]
    bag = prepare(frame(("u", "b"), ("u", "a"), ("t", "a"), names="user_id item_id"))
    assert bag.clock == "none"
    assert bag.histories.time is None
    assert lists(bag) == {"t": ["a"], "u": ["b", "a"]}


def test_the_catalogue_brings_cold_items_and_the_tables_describe_every_id() -> None:
    events = timed(("u", "b", 0), ("v", "x", 1))
    items = Catalogue.of({"item_id": ["c", "b"], "title": ["Cold", "Beta"], "price": [1.5, None]})
    users = Users.of({"user_id": ["w", "v"], "age": [7, 8]})
    dataset = prepare(events, items, users)
    assert dataset.item_table.to_pylist() == [
        {"item_id": "b", "title": "Beta", "price": None},
        {"item_id": "c", "title": "Cold", "price": 1.5},
        {"item_id": "x", "title": None, "price": None},
    ]
    assert dataset.user_table.to_pylist() == [{"user_id": "u", "age": None}, {"user_id": "v", "age": 8}]
    assert lists(dataset) == {"u": ["b"], "v": ["x"]}
    warm = prepare(events, items, catalogue="with_events")
    assert warm.items.ids.to_pylist() == ["b", "x"]
    assert warm.item_titles() == ["Beta", "x"]


def test_strange_ids_survive() -> None:
    strange = ["a,b", 'quo"te', "new\nline", "🎻 知音", "x" * 300, "'; DROP TABLE events_0; --", "007", " pad"]
    dataset = prepare(timed(*[(one, strange[-place], place) for place, one in enumerate(strange, 1)]))
    assert set(dataset.users.ids.to_pylist()) == set(strange)
    assert set(dataset.items.ids.to_pylist()) == set(strange)
    assert dataset.users.ids.to_pylist() == sorted(strange, key=str.encode)


def test_one_user_with_one_event_is_enough() -> None:
    dataset = prepare(timed(("u", "a", 0)))
    assert (dataset.n_users, dataset.n_items, dataset.n_events) == (1, 1, 1)


events_strategy = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 5)), min_size=1, max_size=20
)


@settings(max_examples=8, deadline=None)
@given(events_strategy, st.randoms())
def test_against_a_plain_oracle_and_whatever_the_order_of_the_rows(rows: list[Any], random: Any) -> None:
    """With all moments different, the order of the source means nothing."""
    unique = [(user, item, 100 * second + place) for place, (user, item, second) in enumerate(rows)]
    dataset = prepare(timed(*unique))
    expected = {
        one: [item for user, item, _ in sorted(unique, key=lambda row: row[2]) if user == one]
        for one in sorted({user for user, _, _ in unique})
    }
    assert lists(dataset) == expected
    assert dataset.manifest.counts["events"] == len(unique)
    random.shuffle(unique)
    assert prepare(timed(*unique)).content_hash == dataset.content_hash


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 3), max_size=8), min_size=1, max_size=4))
def test_sessions_are_counted_by_their_first_event(histories: list[list[int]]) -> None:
    expected = [list(dict.fromkeys(one)).index(session) for one in histories for session in one]
    offsets = np.cumsum([0, *map(len, histories)])
    flat = np.array([session for one in histories for session in one], np.int64)
    assert count_sessions(flat, offsets).tolist() == expected


def test_sessions_are_counted_alike_in_blocks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(user, str(n), START + n, session) for user in "abc" for n, session in enumerate("7377"[: ord(user) - 95])]
    events = frame(*rows, names="user_id item_id time session_id")
    whole = prepare(events)
    assert whole.histories.session.tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 0]  # type: ignore[union-attr]
    monkeypatch.setattr(writer, "ROWS", 2)
    assert prepare(events, out=tmp_path / "out").content_hash == whole.content_hash
    assert sorted(one.name for one in (tmp_path / "out" / "events").iterdir()) == [
        "item.npy", "offsets.npy", "session.npy", "time.npy",
    ]  # fmt: skip


# ---------------------------------------------------------------------- the folder and its manifest


def test_the_folder_is_memory_mapped_and_remembers_how_it_was_made(tmp_path: Path) -> None:
    rows = [(f"u{n % 4}", f"i{n % 3}", n) for n in range(24)] + [("u0", "i0", 0), ("rare", "i0", 50)]
    steps = ["exact_duplicates", {"name": "minimum_counts", "users": 2, "items": 2}]
    dataset = prepare(timed(*rows), out=tmp_path / "shop", steps=steps)
    assert isinstance(dataset.histories.item, np.memmap)
    assert dataset.name == "shop"
    ingest, duplicates, core = dataset.manifest.steps
    assert (ingest.name, ingest.rows_before, ingest.rows_after) == ("ingest", 26, 26)
    assert (duplicates.rows_before, duplicates.rows_after) == (26, 25)
    assert (core.name, core.rows_after) == ("minimum_counts", 24)
    assert "1 users and 0 items" in core.note
    assert dataset.manifest.recipe["steps"][1] == {"name": "minimum_counts", "users": 2, "items": 2, "count": "events"}
    assert dataset.manifest.counts == {"users": 4, "items": 3, "events": 24}
    assert dataset.content_hash == prepare(timed(*rows), steps=steps).content_hash
    assert sorted(one.name for one in tmp_path.iterdir()) == ["shop"]
    assert sorted(one.name for one in (tmp_path / "shop").iterdir()) == [
        "events", "ingested", "items.parquet", "manifest.json", "users.parquet",
    ]  # fmt: skip


def test_the_hash_of_the_manifest_is_that_of_the_contents(tmp_path: Path) -> None:
    dataset = prepare(timed(("u", "a", 0), ("v", "b", 1)), out=tmp_path / "d")
    assert Dataset.load(tmp_path / "d").with_histories(dataset.histories).content_hash == dataset.content_hash
    assert read_json(tmp_path / "d" / "manifest.json")["content_hash"] == dataset.content_hash


def test_bad_rows_go_to_the_quarantine_with_their_reason(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    good = "".join(f"u{n},a,{START + n}\n" for n in range(30))
    path.write_text(f"user_id,item_id,time\n{good},b,{START}\nu,c,never\n", encoding="utf-8")
    dataset = prepare(path, out=tmp_path / "d")
    refused = pq.read_table(tmp_path / "d" / "quarantine.parquet").to_pylist()
    assert [one["row_number"] for one in refused] == [30, 31]
    ingest = dataset.manifest.steps[0]
    assert (ingest.rows_before, ingest.rows_after) == (32, 30)
    assert sum(ingest.settings["refused"].values()) == 2
    assert "refused" in ingest.note
    assert dataset.manifest.sources[0]["rows"] == 32


def test_without_appendable_the_raw_events_are_not_kept(tmp_path: Path) -> None:
    prepare(timed(("u", "a", 0)), out=tmp_path / "d", appendable=False)
    assert not (tmp_path / "d" / "ingested").exists()


def test_an_engine_of_the_caller_stays_open_and_clean(tmp_path: Path) -> None:
    with DuckDBEngine() as engine:
        engine.materialise("mine", "SELECT 1 AS n")
        prepare(timed(("u", "a", 0)), engine=engine)
        assert engine.tables() == ("mine",)
        assert prepare(timed(("v", "b", 0)), engine=engine).users.ids.to_pylist() == ["v"]


# ---------------------------------------------------------------------- recipes


RECIPE = """
name = "little shop"
catalogue = "with_events"
[events]
path = "log.csv"
[events.roles]
user_id = "who"
item_id = "what"
[items]
path = "things.csv"
[[steps]]
name = "time_window"
since = 2020-09-13
[[steps]]
name = "one_per_pair"
keep = "first"
"""


def test_a_recipe_says_it_all(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "log.csv").write_text("who,what,time\nu,a,1600000000\nu,a,1600000009\nu,b,1500000000\n", "utf-8")
    (tmp_path / "things.csv").write_text("item_id,title\na,Alpha\nz,Zeta\n", "utf-8")
    dataset = prepare(steps=tmp_path / "shop.toml")
    assert dataset.name == "little shop"
    assert lists(dataset) == {"u": ["a"]}
    assert dataset.item_table.to_pylist() == [{"item_id": "a", "title": "Alpha"}]
    assert Preparation.read(dataset.manifest.recipe).events["roles"] == {"user_id": "who", "item_id": "what"}


def test_roles_of_a_log_are_remembered(tmp_path: Path) -> None:
    log = EventLog.of(frame(("u", "a"), names="who what"), roles={"user_id": "who", "item_id": "what"})
    assert prepare(log).manifest.recipe["events"] == {"roles": {"user_id": "who", "item_id": "what"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps = 3", "steps"),
        ("[stepz]", "did you mean 'steps'"),
        ("name = ", "not a TOML recipe"),
        ('[[steps]]\nname = "minimum_count"', "did you mean 'minimum_counts'"),
        ('[[steps]]\nname = "minimum_counts"\nuser = 5', "did you mean 'users'"),
        ('[[steps]]\nname = "minimum_counts"\nusers = 0', "greater than or equal to 1"),
        ('catalogue = "some"', "catalogue"),
        ("", "where are the events"),
    ],
)
def test_wrong_recipes_are_refused_with_a_reason(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        prepare(
            None if said == "where are the events" else timed(("u", "a", 0)), steps=_recipe(tmp_path / "r.toml", said)
        )


def _recipe(path: Path, said: str) -> Any:
    return Preparation.load(path) if said == "where are the events" else path


# ---------------------------------------------------------------------- bad luck


def nothing_but(folder: Path, *names: str) -> bool:
    return sorted(one.name for one in folder.iterdir()) == sorted(names)


def test_steps_that_remove_everything_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"minimum_counts .*users = 5.* removed all of the 2 events"):
        prepare(timed(("u", "a", 0), ("v", "b", 0)), out=tmp_path / "d", steps=[{"name": "minimum_counts"}])
    assert nothing_but(tmp_path)


def test_a_folder_that_is_there_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    first = prepare(timed(("u", "a", 0)), out=tmp_path / "d")
    with pytest.raises(DataError, match="there already"):
        prepare(timed(("v", "b", 0)), out=tmp_path / "d")
    assert Dataset.load(tmp_path / "d").content_hash == first.content_hash
    prepare(timed(("v", "b", 0)), out=tmp_path / "d", overwrite=True)
    assert Dataset.load(tmp_path / "d").users.ids.to_pylist() == ["v"]
    assert nothing_but(tmp_path, "d")


class Meanwhile:
    """A progress that does something while another preparation is under way."""

    def __init__(self, action: Any) -> None:
        self.action = action

    def track(self, steps: Iterable[Any], total: int | None, description: str) -> Iterator[Any]:
        if description == "write events":
            self.action()
        yield from steps


def test_of_two_writers_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    def other() -> None:
        prepare(timed(("winner", "a", 0)), out=tmp_path / "d")

    with pytest.raises(DataError, match="somebody else"):
        prepare(timed(("loser", "b", 0)), out=tmp_path / "d", run=Run(progress=Meanwhile(other)))
    assert Dataset.load(tmp_path / "d").users.ids.to_pylist() == ["winner"]
    assert nothing_but(tmp_path, "d")


FULL = """
import resource, sys
import numpy as np, pyarrow as pa
import zhiyin
rng = np.random.default_rng(0)
n = 200_000
events = pa.table({"user_id": rng.integers(0, 5000, n).astype(str), "item_id": rng.integers(0, 900, n).astype(str),
                   "time": rng.integers(1_600_000_000, 1_700_000_000, n)})
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    zhiyin.prepare(events, out=sys.argv[1], appendable=sys.argv[3] == "yes")
except zhiyin.ZhiyinError as error:
    print(error)
"""


def child(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(os.name == "nt", reason="no resource limits")
@pytest.mark.parametrize(("limit", "appendable"), [(20_000, "yes"), (20_000, "no"), (1_000_000, "no")])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, limit: int, appendable: str) -> None:
    """A limit on the size of files stands for the disk: to the writer both are a refused write."""
    done = child(FULL, str(tmp_path / "d"), str(limit), appendable)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert any(word in done.stdout for word in ("cannot write", "too large", "Could not write", "IO Error")), (
        done.stdout
    )
    assert nothing_but(tmp_path)


INTERRUPTED = """
import sys
import zhiyin, zhiyin.data.prepare
from zhiyin.config import Config
from zhiyin.data import writer
from zhiyin.data.steps.base import PreparationStep

class Endless(PreparationStep):
    config: Config
    def _apply(self, engine, events):
        print("begun", flush=True)
        engine.scalar("SELECT COUNT(*) FROM range(3000000) AS a, range(3000000) AS b WHERE (a.range * b.range) % 7 = 3")
        return events, ""

rows = {"user_id": ["u"], "item_id": ["a"], "time": [1_600_000_000]}
zhiyin.prepare(rows, out=sys.argv[1], steps=zhiyin.data.prepare.Preparation(steps=[{"name": "__main__:Endless"}]))
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for child processes")
@pytest.mark.parametrize("delay", [0, 0.01, 0.1])
def test_ctrl_c_in_the_middle_of_a_query_leaves_nothing(tmp_path: Path, delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "d")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            assert not nothing_but(tmp_path)
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said
    assert nothing_but(tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"engine": "sparc"}, ConfigError, "unknown engine"),
        ({"steps": ["bot"]}, ConfigError, "did you mean 'bots'"),
        ({"steps": [{"bots": 3}]}, ConfigError, "a step is a name"),
        ({"catalogue": "none"}, ConfigError, "catalogue"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(options: dict[str, Any], error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        prepare(timed(("u", "a", 0)), **options)


def test_more_kinds_than_can_be_kept_are_refused() -> None:
    rows = [("u", "a", START + n, f"kind {n:03d}") for n in range(256)]
    with pytest.raises(DataError, match="256 kinds"):
        prepare(frame(*rows, names="user_id item_id time kind"))
    assert len(prepare(frame(*rows[:255], names="user_id item_id time kind")).kinds) == 255


def test_events_that_lack_what_all_must_have_are_refused() -> None:
    raw = {"row_number": [0, 1], "user_id": ["u", "u"], "item_id": ["a", None], "time": [1, None]}
    with DuckDBEngine() as engine:
        engine.register("raw", pa.table(raw))
        with pytest.raises(DataError, match="1 of 2 events have no item_id"):
            number(engine, "raw", "time", ["time"])
        engine.register("raw", pa.table({**raw, "item_id": ["a", "a"]}))
        with pytest.raises(DataError, match="1 of 2 events have no time"):
            number(engine, "raw", "time", ["time"])
        with pytest.raises(DataError, match="2 of 2 events have no position"):
            number(engine, "raw", "position", [])
        engine.register("raw", pa.table(raw).slice(0, 0))
        with pytest.raises(DataError, match="there are no events"):
            number(engine, "raw", "none", [])


class Odd(PreparationStep):
    """Keep every other event."""

    config: Config

    def _apply(self, engine: Any, events: Events) -> tuple[Events, str]:
        sql = f"SELECT {listed(events.columns)} FROM {events.table} WHERE row_number % 2 = 1"
        return next_table(engine, events, sql), "every other"


def test_somebody_elses_step_takes_part() -> None:
    dataset = prepare(timed(*[("u", f"i{n}", n) for n in range(6)]), steps=[Odd()])
    assert lists(dataset) == {"u": ["i1", "i3", "i5"]}


def test_context_that_is_not_kept_is_named() -> None:
    events = pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"], "device": ["web", "app"]})
    dataset = prepare(EventLog.of(events, context=["device"]))
    assert "context that a dataset does not keep: device" in dataset.manifest.steps[0].note


def test_how_the_catalogue_and_the_users_were_read_is_noted() -> None:
    items = {"sku": ["x", "x", None], "name": ["A", "B", "C"], "price": ["ask", "1", "2"]}
    dataset = prepare(timed(("a", "x", 0)), items, Users.of({"customerid": ["a"]}))
    note = dataset.manifest.steps[0].note
    assert "items: title is column 'name' (by alias)" in note
    assert "items: 1 rows repeat an item_id that came before; the first of each was kept" in note
    assert "items: 1 rows without a usable item_id were left out" in note
    assert "items: 1 values of 'price' are not a price and were left empty" in note
    assert "users: user_id is column 'customerid' (by alias)" in note


def test_columns_of_several_values_are_remembered_and_may_be_said_in_a_recipe(tmp_path: Path) -> None:
    items = Catalogue.of({"item_id": ["x"], "region": ["n/s"]}, lists={"region": "/"})
    dataset = prepare(timed(("a", "x", 0)), items, {"user_id": ["a"], "region": ["n|s"]})
    assert dataset.item_table["region"].to_pylist() == [["n", "s"]]
    assert dataset.user_table["region"].to_pylist() == ["n|s"]
    assert "users: column 'region' holds '|' in 1 cells" in dataset.manifest.steps[0].note
    assert dataset.manifest.recipe["items"] == {"lists": {"region": "/"}}
    (tmp_path / "log.csv").write_text("user_id,item_id\na,x\n")
    (tmp_path / "goods.csv").write_text("item_id,region\nx,n|s\n")
    (tmp_path / "shop.toml").write_text('[events]\npath = "log.csv"\n[items]\npath = "goods.csv"\nlists = ["region"]\n')
    assert prepare(steps=tmp_path / "shop.toml").item_table["region"].to_pylist() == [["n", "s"]]


def test_rules_look_at_each_of_several_values(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,2\n")
    (tmp_path / "people.csv").write_text(
        "item_id,region,language,blocked\n1,n|s,de,\n2,n,de|en,1|3\n3,s,en,\n4,n,en,\n"
    )
    dataset = prepare(tmp_path / "log.csv", tmp_path / "people.csv")
    query = Queries.encode([Query.of([], context={"region": "s", "language": "en"})], dataset.items)
    for column, fitting in (("region", ["1", "3"]), ("language", ["2", "3", "4"])):
        allowed = Rules([{"rule": "fits", "column": column}]).fit(dataset).lets(query, 4)[0]
        assert dataset.items.decode(np.flatnonzero(allowed)) == fitting
    offered = Rules([{"rule": "mutual", "blocks": "blocked"}]).fit(dataset).lets(dataset.query_of("1"), 4)[0]
    assert dataset.items.decode(np.flatnonzero(offered)) == ["3", "4"]


def test_a_list_of_dictionaries_is_answered_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"a list came.*from_pylist"):
        prepare([{"user_id": "u", "item_id": "i"}])


def test_the_name_of_a_step_is_not_taken_for_a_recipe_in_silence() -> None:
    with pytest.raises(ConfigError, match="names of steps are given in a list"):
        prepare(timed(("u", "i", 0)), steps="bots")


def test_the_catalogue_of_a_recipe_is_read_also_for_other_events(tmp_path: Path) -> None:
    (tmp_path / "goods.csv").write_text("item_id,title\ni,Tea\nj,Cup\n")
    (tmp_path / "shop.toml").write_text('[events]\npath = "nowhere.csv"\n[items]\npath = "goods.csv"\n')
    dataset = prepare(timed(("u", "i", 0)), steps=tmp_path / "shop.toml")
    assert dataset.item_titles() == ["Tea", "Cup"]


def test_what_is_known_of_when_is_noted() -> None:
    bare = {"user_id": ["u", "u"], "item_id": ["i", "j"]}
    assert "no order of events is known" in prepare(bare).manifest.steps[0].note
    ordered = prepare({**bare, "position": [1, 2]}).manifest.steps[0].note
    assert "only the order of events is known, no times" in ordered
