"""Recommendations: per query a ranked list, where each item came from, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, FloatMatrix, IntMatrix
from zhiyin.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

SHOWN = 5
"""Lists that are written out where many are shown."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for one item: usually an item of the history and the part of the score that it brought.

    `kind` says what supports it: "history" (with `item_id`), "sequence" (the history as a whole),
    "text" (what the query asks for in words), "popularity", "content" or "chance".
    """

    kind: str
    weight: float
    item_id: str | None = None
    text: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without what is not there."""
        fields = {
            "kind": self.kind,
            "item_id": self.item_id,
            "weight": round(self.weight, 6),
            "text": self.text,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Recommendations:
    """Ranked lists, one row per query.

    `items` (n, k) int32, -1 where a list is shorter than k; `scores` (n, k) float32, NaN where there is none; `source`
    (n, k) uint8, a number in `sources`: which model (or fallback) put the item there. `notes`: per row and place, what
    was done to the item on its way to this place (a formula's terms, re-rankers, rules). `propensity` (n, k) float64:
    the chance with which the item was drawn for its place, given all earlier places; 1 where it was not left to chance,
    NaN where there is no item; None where nothing was drawn.
    """

    items: IntMatrix
    scores: FloatMatrix
    vocabulary: Vocabulary
    sources: tuple[str, ...]
    source: AnyArray | None = None
    users: tuple[str, ...] | None = None
    reasons: tuple[tuple[tuple[Reason, ...], ...], ...] | None = None
    unknown: AnyArray | None = None
    notes: tuple[tuple[tuple[str, ...], ...], ...] | None = None
    propensity: AnyArray | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        lines = [f"Recommendations: {len(self):,} lists of {self.k} items at most"]
        for row in range(min(len(self), SHOWN)):
            whose = row if self.users is None else self.users[row]
            lines.append(f"  {whose}: {', '.join(self.ids(row))}")
        return "\n".join([*lines, "  ..."] if len(self) > SHOWN else lines)

    @property
    def k(self) -> int:
        """The length of a full list."""
        return int(self.items.shape[1])

    def ids(self, row: int = 0) -> list[str]:
        """The item ids of one list, best first."""
        return self.vocabulary.decode(self.items[row][self.items[row] >= 0])

    def source_of(self, row: int, place: int) -> str:
        """Which model put the item at that place."""
        return self.sources[0 if self.source is None else int(self.source[row, place])]

    def take(self, rows: AnyArray) -> Recommendations:
        """The lists of some queries, in the order of `rows`."""
        rows = np.asarray(rows)
        return replace(
            self,
            items=self.items[rows],
            scores=self.scores[rows],
            source=None if self.source is None else self.source[rows],
            users=None if self.users is None else tuple(self.users[row] for row in rows),
            reasons=None if self.reasons is None else tuple(self.reasons[row] for row in rows),
            unknown=None if self.unknown is None else self.unknown[rows],
            notes=None if self.notes is None else tuple(self.notes[row] for row in rows),
            propensity=None if self.propensity is None else self.propensity[rows],
        )

    @classmethod
    def join(cls, parts: Sequence[Recommendations]) -> Recommendations:
        """The lists of several batches of one model, one after the other."""
        first = parts[0]
        if len(parts) == 1:
            return first

        def rows(name: str) -> Any:
            columns = [getattr(part, name) for part in parts]
            return None if columns[0] is None else np.concatenate(columns)

        def tuples(name: str) -> Any:
            columns = [getattr(part, name) for part in parts]
            return None if columns[0] is None else tuple(one for column in columns for one in column)

        return replace(
            first,
            items=rows("items"),
            scores=rows("scores"),
            source=rows("source"),
            users=tuples("users"),
            reasons=tuples("reasons"),
            unknown=rows("unknown"),
            notes=tuples("notes"),
            propensity=rows("propensity"),
        )

    def to_arrow(self, serving: str | None = None) -> pa.Table:
        """One row per recommended item: `query`, `user_id` (if known), `item_id`, `rank` from 1, `score`, `source`.

        Where there are any, `propensity` and `notes` (a list of texts), too.

        Args:
            serving: a name of this call, such as its moment or a number of your own. `query` counts from 0 in each
                call; with a name it is a text, such as "monday/0", by which lists of several calls stay apart in a log.
        """
        query, place = np.nonzero(self.items >= 0)
        source = np.zeros(len(query), np.int64) if self.source is None else self.source[query, place]
        columns: dict[str, Any] = {"query": pa.array(query.astype(np.int32))}
        if serving is not None:
            columns["query"] = pa.array([f"{serving}/{one}" for one in query.tolist()], pa.string())
        if self.users is not None:
            columns["user_id"] = pa.array(self.users, pa.large_string()).take(pa.array(query))
        columns["item_id"] = self.vocabulary.ids.take(pa.array(self.items[query, place]))
        columns["rank"] = pa.array((place + 1).astype(np.int32))
        columns["score"] = pa.array(self.scores[query, place], from_pandas=True)
        columns["source"] = pa.array(self.sources, pa.string()).take(pa.array(source))
        if self.propensity is not None:
            columns["propensity"] = pa.array(self.propensity[query, place], pa.float64())
        if self.notes is not None:
            said = [self.notes[row][at] for row, at in zip(query.tolist(), place.tolist(), strict=True)]
            columns["notes"] = pa.array(said, pa.list_(pa.string()))
        return pa.table(columns)

    def to_pandas(self) -> pd.DataFrame:
        """The rows of `to_arrow` as a pandas frame."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """The rows of `to_arrow` as a polars frame."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def to_dicts(self) -> list[dict[str, Any]]:
        """One plain dictionary per query, the form that `zhiyin recommend --json` prints."""
        return [self._one(row) for row in range(len(self))]

    def _one(self, row: int) -> dict[str, Any]:
        listed = [self._item(row, place, item_id) for place, item_id in enumerate(self.ids(row))]
        found: dict[str, Any] = {"source": self.sources[0], "items": listed}
        if self.users is not None:
            found["user_id"] = self.users[row]
        if self.unknown is not None and self.unknown[row]:
            found["unknown_history_items"] = int(self.unknown[row])
        return found

    def _item(self, row: int, place: int, item_id: str) -> dict[str, Any]:
        score = float(self.scores[row, place])
        found: dict[str, Any] = {
            "item_id": item_id,
            "rank": place + 1,
            "score": None if np.isnan(score) else round(score, 6),
            "source": self.source_of(row, place),
        }
        if self.propensity is not None:
            found["propensity"] = float(self.propensity[row, place])
        if self.notes is not None and self.notes[row][place]:
            found["notes"] = list(self.notes[row][place])
        if self.reasons is not None:
            found["reasons"] = [reason.to_dict() for reason in self.reasons[row][place]]
        return found
