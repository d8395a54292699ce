import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhiyin.data.engine import DuckDBEngine, open_engine
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run


def test_tables_are_made_counted_read_in_batches_and_dropped(tmp_path: Path) -> None:
    with DuckDBEngine(folder=tmp_path) as engine:
        engine.register("numbers", pa.table({"n": list(range(10_000))}))
        assert engine.materialise("even", "SELECT n FROM numbers WHERE n % 2 = 0") == 5_000
        assert engine.scalar("SELECT MAX(n) FROM even") == 9_998
        assert engine.fetch("SELECT n FROM even WHERE n < 5 ORDER BY n").to_pylist() == [{"n": 0}, {"n": 2}, {"n": 4}]
        batches = list(engine.batches("SELECT n FROM even ORDER BY n", rows=2_048))
        assert len(batches) > 1
        assert pa.Table.from_batches(batches).column("n").to_pylist() == list(range(0, 10_000, 2))
        engine.drop("even", "never made")
        with pytest.raises(DataError, match="even"):
            engine.scalar("SELECT COUNT(*) FROM even")
    assert list(tmp_path.iterdir()) == []


def test_a_table_may_be_replaced_by_a_query_on_itself() -> None:
    with DuckDBEngine() as engine:
        engine.materialise("t", "SELECT 1 AS n")
        assert engine.materialise("t", "SELECT n FROM t UNION ALL SELECT n + 1 FROM t") == 2


def test_what_is_written_can_be_scanned_also_where_the_path_has_a_quote(tmp_path: Path) -> None:
    path = tmp_path / "it's.parquet"
    with DuckDBEngine() as engine:
        engine.materialise("t", "SELECT 7 AS n UNION ALL SELECT NULL")
        engine.write("t", path)
        engine.scan("again", path)
        assert engine.scalar("SELECT SUM(n) FROM again") == 7
        engine.drop("again")
    assert pq.read_table(path).num_rows == 2


def test_more_than_the_memory_spills_instead_of_failing(tmp_path: Path) -> None:
    with DuckDBEngine(Run(threads=1), memory_mib=32, folder=tmp_path) as engine:
        rows = engine.materialise("big", "SELECT i, i * 7 AS a, i * 11 AS b FROM range(2000000) AS t(i)")
        total = sum(batch.num_rows for batch in engine.batches("SELECT * FROM big ORDER BY a % 100003, b"))
        assert rows == total == 2_000_000


def test_a_result_that_was_not_read_to_its_end_does_not_block_the_next() -> None:
    with DuckDBEngine() as engine:
        engine.execute("SELECT * FROM range(1000000)").fetchone()
        assert engine.fetch("SELECT 1 AS n").to_pylist() == [{"n": 1}]
        next(engine.batches("SELECT * FROM range(1000000)", rows=2_048))
        assert engine.scalar("SELECT 2") == 2
        assert engine.materialise("t", "SELECT 3 AS n") == 1


def test_failures_of_the_engine_are_data_errors_of_one_line() -> None:
    with DuckDBEngine() as engine:
        for ask in (engine.scalar, engine.fetch, lambda sql: list(engine.batches(sql))):
            with pytest.raises(DataError) as caught:
                ask("SELECT nothing FROM nowhere")
            assert "\n" not in str(caught.value)
        with pytest.raises(DataError, match="Conversion"):
            list(engine.batches("SELECT CAST(s AS INT) FROM (SELECT 'x' || i AS s FROM range(9) AS t(i)) AS q"))


def test_a_query_that_nobody_waits_for_does_not_hold_up_the_end(tmp_path: Path) -> None:
    endless = "SELECT COUNT(*) FROM range(3000000) AS a, range(3000000) AS b WHERE (a.range * b.range) % 7 = 3"
    engine = DuckDBEngine(folder=tmp_path)
    doing = engine._thread.submit(engine.connection.execute, endless)
    while not doing.running():
        time.sleep(0.01)
    time.sleep(0.1)
    engine.close()
    assert isinstance(doing.exception(), duckdb.Error | RuntimeError)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_before_anybody_waits_for_the_query_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes when the query is handed over and has not begun, so that an interrupt of it alone would be lost."""
    endless = "SELECT COUNT(*) FROM range(3000000) AS a, range(3000000) AS b WHERE (a.range * b.range) % 7 = 3"
    engine = DuckDBEngine(folder=tmp_path)
    engine._thread.submit(time.sleep, 0.5)
    submit = engine._thread.submit

    def interrupted(work: Any) -> None:
        submit(work)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._thread, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.scalar(endless)
    start = time.monotonic()
    engine.close()
    assert time.monotonic() - start < 20
    assert list(tmp_path.iterdir()) == []


def test_engines_are_found_by_name_and_those_of_the_caller_stay_open(tmp_path: Path) -> None:
    with open_engine("local", folder=tmp_path) as engine:
        assert engine.scalar("SELECT 1") == 1
    with DuckDBEngine() as mine:
        with open_engine(mine) as engine:
            assert engine is mine
        assert mine.scalar("SELECT 2") == 2
    with pytest.raises(ConfigError, match="did you mean 'local'"), open_engine("locale"):
        pass


def test_a_folder_that_is_not_there_is_said() -> None:
    with pytest.raises(DataError, match="temporary folder"):
        DuckDBEngine(folder=Path("no such folder"))
