"""Listing: what lies between the scores of a model and its lists, and few models change.

Ids become numbers, queries are answered in blocks of bounded memory, the best items are taken of those that may be
listed, and a list that the model leaves short is completed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np

from zhiyin._parallel import in_blocks, rows_at_once
from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, IntMatrix, IntVector, LongVector
from zhiyin.config import Component
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Recommendations
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError
from zhiyin.models._filling import FILLED, fill
from zhiyin.retrieval.exact import SCORE_BYTES, hide, top_k
from zhiyin.run import Run

T = TypeVar("T")


class Listing(Component):
    """The part of `Recommender` that makes lists of scores."""

    threaded: ClassVar[bool]
    popularity: LongVector

    if TYPE_CHECKING:  # these, too, are in `Recommender`

        @property
        def n_items(self) -> int:
            """The size of the catalogue."""

        @property
        def vocabulary(self) -> Vocabulary:
            """The items' ids."""

        def _score(self, queries: Queries) -> FloatMatrix:
            """(n_queries, n_items) float32."""

    # ------------------------------------------------------------------ items by their ids

    def _numbers(self, ids: Sequence[str] | AnyArray) -> IntVector:
        if isinstance(ids, str):
            raise DataError(f"a list of item ids was expected, but one text came: {ids!r}")
        return np.array([self.vocabulary.number(one, "item") for one in ids], np.int32)

    def _paired(self, batch: Queries, items: Sequence[str] | IntVector) -> IntVector:
        """(n,) the numbers of the items of pairs."""
        given = isinstance(items, np.ndarray) and items.dtype.kind in "iu"
        numbers: AnyArray = np.asarray(items) if given else self._numbers(items)
        if len(numbers) != len(batch):
            raise DataError(f"{len(batch)} queries came with {len(numbers)} items; one item for each query is expected")
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self.n_items:
            raise DataError(
                f"item numbers from {numbers.min()} to {numbers.max()} came, the catalogue has 0 to {self.n_items - 1}"
            )
        return numbers.astype(np.int32)

    # ------------------------------------------------------------------ so many queries at once

    def _rows(self, run: Run) -> int:
        """How many queries to score at once; never a matter of how many threads do it."""
        return rows_at_once(self._row_bytes(), run)

    def _row_bytes(self) -> int:
        """About how much memory one query takes while it is answered, beyond the model itself."""
        return SCORE_BYTES * self.n_items

    def _list_bytes(self) -> int:
        """The same where only its list is wanted."""
        return self._row_bytes()

    def _in_blocks(
        self, task: Callable[[int, int], T], n: int, run: Run, doing: str, row_bytes: int | None = None
    ) -> list[T]:
        """The results of `task` for blocks of the queries, in their order."""
        how = run if self.threaded else replace(run, threads=1)
        return in_blocks(task, n, row_bytes or self._row_bytes(), how, f"{self.name}: {doing}")

    # ------------------------------------------------------------------ their lists

    def _recommend_block(
        self,
        block: Queries,
        k: int,
        exclude_seen: bool,
        allowed: BoolVector | None,
        order: IntVector | None,
        run: Run,
    ) -> Recommendations:
        """The lists of some queries; completed by the first items of `order`, unless that is None."""
        items, values = self._best(block, k, exclude_seen, allowed)
        return self._filled(items, values, block, exclude_seen, order)

    def _filled(
        self, items: IntMatrix, values: FloatMatrix, block: Queries, exclude_seen: bool, order: IntVector | None
    ) -> Recommendations:
        """Lists of the model's own best items, completed from `order` where that is not None."""
        source = None if order is None else fill(items, block.histories, exclude_seen, order, self.n_items)
        return self._lists(items, values, block, source)

    def _best(
        self, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        """(n_queries, k) the model's own best items, padded with -1, and their scores, padded with NaN."""
        return self._best_of(self._score(block), block, k, exclude_seen, allowed)

    def _best_of(
        self, scores: FloatMatrix, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        """The best items by some scores (n_queries, n_items), which may be changed."""
        if exclude_seen:
            hide(scores, block.histories)
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        return top_k(scores, k)

    def _lists(
        self, items: IntMatrix, scores: FloatMatrix, block: Queries, source: AnyArray | None = None
    ) -> Recommendations:
        filled = source if source is not None else np.zeros(items.shape, np.uint8)
        return Recommendations(
            items, scores, self.vocabulary, (self.name, FILLED), filled, block.users, None, block.unknown
        )

    def _by_popularity(self, allowed: BoolVector | None) -> IntVector:
        """The items that may appear, most popular first."""
        kept: tuple[LongVector, IntVector] | None = self.__dict__.get("_popular")
        if kept is None or kept[0] is not self.popularity:
            kept = self.popularity, np.argsort(-self.popularity, kind="stable").astype(np.int32)
            self._popular = kept
        return kept[1] if allowed is None else kept[1][allowed[kept[1]]]
