"""Parquet files: read in place, never copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zhiyin.data.sources.base import Column, Header, Staged, quote_name, quote_text, rows_of
from zhiyin.data.sources.files import engine_path, fingerprint, label_of, names_of
from zhiyin.errors import DataError

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine


@dataclass(frozen=True, slots=True)
class Parquet:
    """One or several Parquet files with the same columns."""

    paths: tuple[Path, ...]

    @property
    def label(self) -> str:
        """What to call it in messages."""
        return label_of(self.paths)

    def look(self, engine: DuckDBEngine, mapping: Mapping[str, str | int]) -> Header:
        """The columns with their types; they must be the same in all files."""
        first = _described(engine, self.paths[:1])
        for path in self.paths[1:]:
            other = _described(engine, (path,))
            missing = [name for name in first if name not in other]
            if missing:
                raise DataError(
                    f"{path.name} lacks the columns {', '.join(missing)} that {self.paths[0].name} has; files that are "
                    "read together need the same ones"
                )
            _need_alike(first, other, (self.paths[0].name, path.name))
        types = _described(engine, self.paths)  # those that hold the values of all files
        return Header(tuple(Column(name, quote_name(name), types[name]) for name in first))

    def stage(self, engine: DuckDBEngine, header: Header, wanted: Sequence[Column], table: str) -> Staged:
        """A view of the files; a row's number is its place in its file after the rows of the files before."""
        prints = [fingerprint(path, name) for path, name in zip(self.paths, names_of(self.paths), strict=True)]
        counts = [_count(engine, path) for path in self.paths]
        facts = tuple(seen.fact(rows) for seen, rows in zip(prints, counts, strict=True))
        starts = [sum(counts[:place]) for place in range(len(counts))]
        row = "file_row_number" if len(counts) == 1 else f"({starts}[CAST(file_index AS BIGINT) + 1] + file_row_number)"
        return Staged(_read(self.paths), row, facts)


def _need_alike(first: Mapping[str, str], other: Mapping[str, str], files: tuple[str, str]) -> None:
    """Refuse a column that holds moments in one file and numbers in another: no type holds both."""
    for name, kind in first.items():
        kinds = (kind, other[name])
        moments = [one.startswith(("TIMESTAMP", "DATE")) for one in kinds]
        if any(moments) and not all(moments) and "VARCHAR" not in kinds:
            raise DataError(
                f"column {name!r} holds {kinds[0]} in {files[0]} and {kinds[1]} in {files[1]}; files that are read "
                "together need one type: convert one of them, or append the second file to the prepared first"
            )


def _read(paths: Sequence[Path]) -> str:
    """What stands after FROM for files whose columns may be in any order."""
    listed = ", ".join(quote_text(engine_path(path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name={str(len(paths) > 1).lower()}, binary_as_string=true)"


def _described(engine: DuckDBEngine, paths: Sequence[Path]) -> dict[str, str]:
    """The type of each column."""
    try:
        found = rows_of(engine, f"DESCRIBE SELECT * FROM {_read(paths)}")
    except DataError as error:
        raise DataError(f"cannot read {label_of(paths)}: {error}; is it cut off or damaged?") from error
    return {str(name): str(kind) for name, kind, *_ in found}


def _count(engine: DuckDBEngine, path: Path) -> int:
    return int(engine.scalar(f"SELECT count(*) FROM {_read((path,))}"))
