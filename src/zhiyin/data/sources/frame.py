"""Dataframes: pandas, polars, Arrow, and anything that narwhals or the Arrow PyCapsule interface takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zhiyin.data.sources.base import Column, Header, Staged, copies, distinct, numbered, rows_of
from zhiyin.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from zhiyin.data.engine import DuckDBEngine


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A dataframe in memory."""

    table: pa.Table
    notes: tuple[str, ...] = ()
    label: str = "the dataframe"

    @classmethod
    def of(cls, frame: Any) -> Frame:
        """Take a dataframe of any library.

        Raises:
            DataError: it is none, or it cannot be turned into Arrow.
        """
        import pyarrow as pa

        notes: list[str] = []
        try:
            table = _to_arrow(frame, notes)
            names = [str(name) for name in table.column_names]
            table = table.rename_columns(distinct(names))
            return cls(table, (*notes, *copies(names, table.column_names)))
        except (pa.ArrowException, TypeError, ValueError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"this {type(frame).__name__} cannot be read as a table: {first}") from error

    def look(self, engine: DuckDBEngine, mapping: Mapping[str, str | int]) -> Header:
        """The columns with the types that the engine gives them."""
        names = self.table.column_names
        if not names:
            raise DataError("the dataframe has no columns")
        empty = self._renamed(range(len(names))).schema.empty_table()
        engine.register("zhiyin_glance", empty)
        found = rows_of(engine, "DESCRIBE SELECT * FROM zhiyin_glance")
        engine.drop("zhiyin_glance")
        return Header(numbered(names, (str(kind) for _, kind, *_ in found)), self.notes)

    def stage(self, engine: DuckDBEngine, header: Header, wanted: Sequence[Column], table: str) -> Staged:
        """Register the wanted columns, without copying them, beside their row numbers."""
        import numpy as np
        import pyarrow as pa

        places = [header.names.index(column.name) for column in wanted]
        shown = self._renamed(places).append_column("row_number", pa.array(np.arange(self.table.num_rows)))
        engine.register(f"{table}_frame", shown)
        return Staged(f"{table}_frame", "row_number", ({"name": self.label, "rows": self.table.num_rows},))

    def _renamed(self, places: Sequence[int]) -> pa.Table:
        import pyarrow as pa

        columns = [_plain_type(self.table.column(place)) for place in places]
        return pa.table(columns, names=[f"c{place}" for place in places])


def _to_arrow(frame: Any, notes: list[str]) -> pa.Table:
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if isinstance(frame, Mapping):
        return pa.table({str(name): _column(values, str(name), notes) for name, values in frame.items()})
    if type(frame).__module__.partition(".")[0] == "pandas" and hasattr(frame, "columns"):
        return pa.table(
            [_column(frame.iloc[:, place], str(name), notes) for place, name in enumerate(frame.columns)],
            names=[str(name) for name in frame.columns],
        )
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    return _by_narwhals(frame)


def _by_narwhals(frame: Any) -> pa.Table:
    import narwhals as nw

    try:
        native = nw.from_native(frame)
    except TypeError:
        raise DataError(
            f"a {type(frame).__name__} came; expected a dataframe (pandas, polars, Arrow, ...) or a mapping of column "
            "names to values; pyarrow.Table.from_pylist(rows) takes dictionaries, EventLog.read(path) files"
        ) from None
    eager = native.collect(backend="pyarrow") if isinstance(native, nw.LazyFrame) else native
    return eager.to_arrow()


def _column(values: Any, name: str, notes: list[str]) -> Any:
    """One column; values of mixed types become text, as ids are text anyway."""
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        kinds = sorted({type(one).__name__ for one in values if one is not None})
        notes.append(f"column {name!r} mixes {', '.join(kinds)}; its values were read as text")
        return pa.array([None if one is None or one != one else str(one) for one in values], pa.large_string())


def _plain_type(column: Any) -> Any:
    """The column in a type that the engine knows."""
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    if pa.types.is_float16(column.type):
        return column.cast(pa.float32())
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    return column
