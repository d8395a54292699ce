"""Recommender: a query (a bare history) goes in, scores over items come out; the base class does the rest.

A model writes `_fit` and `_score` (or, for vector models, `_encode` and `item_vectors`) and names what it learnt in
`learns`. Ids, exclusion, allow-lists, top-k, blocks of bounded memory, fallbacks, reasons, checks, saving and loading
are here, once; how lists are made of scores is in `_listing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import pyarrow as pa

from zhiyin.arrays import BoolVector, FloatMatrix, FloatVector, IntMatrix, IntVector, LongVector
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.data.moments import first_of
from zhiyin.data.queries import Queries, Query
from zhiyin.data.recommendations import Reason, Recommendations
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.models._filling import FILLED as FILLED
from zhiyin.models._given import check_fit, check_k, given_queries
from zhiyin.models._listing import Listing
from zhiyin.models._reasons import leave_one_out, reasons_for
from zhiyin.models._saved import load as load
from zhiyin.models._saved import save
from zhiyin.models._weights import check_weights, kind_weights
from zhiyin.models._wishes import TOLD
from zhiyin.models._wishes import check as check_words
from zhiyin.retrieval.exact import ITEMS_AT_ONCE, NOTHING, SCORE_BYTES, allowed_mask, search
from zhiyin.run import Run

Asked: TypeAlias = Query | Sequence[Query] | Queries
"""What `recommend` takes: one query, several, or a batch that is encoded already."""


class Recommender(Listing):
    """Base of every model. Its settings are `config`; what it learnt is in the attributes of `learns`."""

    config: Config
    room = "zhiyin.models"
    learns: ClassVar[tuple[str, ...]] = ()
    """Names of attributes to save: numpy arrays, scipy CSR matrices, or lists of text."""
    uses_validation: ClassVar[bool] = False
    """Whether `_fit` stops early on the validation part. If not, evaluation fits it on train and validation."""
    needs: ClassVar[str] = "none"
    """What the model must know of when: "time", "position" (the order), or "none"."""
    threaded: ClassVar[bool] = True
    """Whether several threads may call `_score` at once; off for a model that has threads of its own."""

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.items: Vocabulary | None = None
        self.kinds: tuple[str, ...] = ()
        self.kind_weights: tuple[float, ...] = ()
        self.popularity: LongVector = np.zeros(0, np.int64)
        self.trained_on: Mapping[str, Any] = {}

    # ------------------------------------------------------------------ what a model writes

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        raise NotImplementedError

    def _score(self, queries: Queries) -> FloatMatrix:
        """(n_queries, n_items) float32; -inf where the model has nothing to say about an item. Owned by the caller."""
        raise NotImplementedError

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """(n_events, n_items) how much each event of one query's history adds to the score of each item.

        Here: leave one out. It is right for any model; one whose score is a sum over the history returns the summands.
        """
        return leave_one_out(self, query, items)

    def _worth_of_words(self, query: Queries, items: IntVector) -> FloatVector:
        """(n_items,) how much what one query asks for in words adds to the score of each item."""
        return np.zeros(len(items), np.float32)

    def _evidence(self, queries: Queries, items: IntVector) -> FloatMatrix:
        """(n_queries, len(items)) what a reason is a difference of: here the scores."""
        return self._score_of(queries, items)

    def _knows(self, items: IntVector) -> BoolVector:
        """(n,) of which items of a history the model knows anything."""
        return np.ones(len(items), bool)

    def _general_reason(self, item: int, query: Queries) -> Reason | None:
        """What to say for an item to which nothing of one query contributed; None for nothing."""
        return None

    def _common(self, item: int, other: int) -> str | None:
        """In words, what an item has in common with an item of the history that speaks for it; None for nothing."""
        return None

    # ------------------------------------------------------------------ what everybody inherits

    @property
    def n_items(self) -> int:
        """The size of the catalogue that the model was fitted on."""
        return len(self.vocabulary)

    @property
    def vocabulary(self) -> Vocabulary:
        """The items' ids.

        Raises:
            NotFittedError: before `fit`.
        """
        if self.items is None:
            raise NotFittedError(f"{self.name} is not fitted yet; call fit(dataset) first, or load a saved model")
        return self.items

    @property
    def reads_text(self) -> bool:
        """Whether a query may say in words what is asked for, as `context={"text": ...}`."""
        return False

    def hears(self, text: str) -> bool:
        """Whether a text, as what a query asks for, says anything to the model."""
        return False

    def with_items(self, items: pa.Table | Dataset, run: Run | None = None) -> Self:
        """The model with new items in its catalogue; see `zhiyin.models._sequences.SequenceRecommender.with_items`.

        Raises:
            ConfigError: the model knows items by their use alone.
        """
        raise ConfigError(
            f"{self.name} can say nothing of new items without learning anew; take a sequence model that was fitted "
            f"{TOLD}, or fit it on the new catalogue"
        )

    def fit(self, train: Dataset, validation: Any = None, run: Run | None = None) -> Self:
        """Learn from a dataset; `validation` (cases of a split) only for models that stop early on it.

        Raises:
            DataError: no dataset came, or it is empty, lacks what the model needs (times, values, text, ...), or has
                weights that are no numbers.
        """
        check_fit(self.name, train, validation)
        if not train.n_events:
            raise DataError(f"{self.name} cannot learn from {train.name!r}: it has no events")
        check_weights(train)
        if self.needs != "none":
            train.need(self.needs, self.name)  # type: ignore[arg-type]
        self.items, self.kinds, self.kind_weights = train.items, train.kinds, kind_weights(train)
        self.popularity = train.popularity
        self.trained_on = {
            "data": train.name,
            "content_hash": train.content_hash,
            "events": train.n_events,
            "users": train.n_users,
            "items": train.n_items,
            "clock": train.clock,
            "since": first_of(train.histories) if train.clock == "time" else None,
        }
        try:
            self._fit(train, validation, run or Run())
        except BaseException:
            self.items = None  # half a model is none
            raise
        return self

    def recommend(
        self,
        queries: Asked,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[str] = (),
        allow: Sequence[str] | None = None,
        reasons: int = 0,
        fill: bool = True,
        run: Run | None = None,
    ) -> Recommendations:
        """The `k` best items for each query.

        Args:
            queries: bare histories; no user needs to have been seen in training.
            k: the length of a list, at most the size of the catalogue.
            exclude_seen: leave out the items of each query's own history.
            exclude: item ids that must not appear.
            allow: item ids that alone may appear; None for the whole catalogue.
            reasons: how many reasons to give for each item, at most.
            fill: complete lists that the model leaves short with the most popular items, and say so in `source`.
            run: threads and memory of this call.

        Raises:
            ConfigError: `k` is not between 1 and the size of the catalogue.
            DataError: something else than queries came, or `exclude` or `allow` holds an unknown id.
        """
        run = run or Run()
        k = check_k(k, self.n_items)
        batch = self.encode(queries)
        allowed = allowed_mask(
            self.n_items,
            None if allow is None else self._numbers(allow),
            self._numbers(exclude) if len(exclude) else None,
        )
        order = self._by_popularity(allowed) if fill else None

        def block(start: int, stop: int) -> Recommendations:
            return self._recommend_block(batch.slice(start, stop), k, exclude_seen, allowed, order, run)

        parts = self._in_blocks(block, len(batch), run, "recommend", self._list_bytes())
        if not parts:
            parts = [self._lists(np.zeros((0, k), np.int32), np.zeros((0, k), np.float32), batch)]
        found = Recommendations.join(parts)
        return replace(found, reasons=reasons_for(self, found, batch, reasons)) if reasons else found

    def score(self, queries: Asked, items: Sequence[str], run: Run | None = None) -> FloatMatrix:
        """(n_queries, len(items)) the scores of given items; -inf where the model has nothing to say."""
        batch, numbers = self.encode(queries), self._numbers(items)

        def block(start: int, stop: int) -> FloatMatrix:
            return self._score_of(batch.slice(start, stop), numbers)

        parts = self._in_blocks(block, len(batch), run or Run(), "score")
        return np.concatenate(parts) if parts else np.zeros((0, len(items)), np.float32)

    def _score_of(self, queries: Queries, items: IntVector) -> FloatMatrix:
        """(n_queries, len(items)) the scores of some items."""
        return self._score(queries)[:, items]

    def score_pairs(self, queries: Asked, items: Sequence[str] | IntVector, run: Run | None = None) -> FloatVector:
        """(n,) the score of pair `i`: query `i` and item `i` (ids, or numbers of the model's vocabulary).

        Raises:
            DataError: there is not one item for each query, or an item is unknown.
        """
        batch = self.encode(queries)
        numbers = self._paired(batch, items)

        def block(start: int, stop: int) -> FloatVector:
            return self._score_pairs(batch.slice(start, stop), numbers[start:stop])

        parts = self._in_blocks(block, len(batch), run or Run(), "score pairs")
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _score_pairs(self, queries: Queries, items: IntVector) -> FloatVector:
        """(n,) the score of each pair."""
        return self._score(queries)[np.arange(len(items)), items]

    def encode(self, queries: Asked) -> Queries:
        """Queries in the numbers of the model's own vocabulary, without events that are later than their moment.

        Raises:
            DataError: something else than queries came, or times of another unit than microseconds.
        """
        asked = given_queries(self.name, queries)
        if isinstance(asked, Queries):
            found = asked.translate(self.vocabulary).in_kinds(self.kinds)
        else:
            found = Queries.encode(asked, self.vocabulary, self.kinds, self.kind_weights)
        found = found.in_unit(self.trained_on.get("since"), self.name).until_now()
        if not self.reads_text:
            check_words(self.name, found)
        return found

    # ------------------------------------------------------------------ saved form

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the model to a folder, whole or not at all; nothing in it is ever unpickled.

        Raises:
            NotFittedError: before `fit`.
            DataError: the folder is taken, or the disk refuses to write.
        """
        return save(self, path, overwrite)

    def _write(self, folder: Path) -> None:
        """Write what the saved form holds beside `learns`."""

    def _read(self, folder: Path) -> None:
        """Read what `_write` wrote, and derive what is not saved; `learns` are there already."""


class VectorRecommender(Recommender):
    """A model whose score is the product of a query vector and an item vector (plus an optional item bias)."""

    item_vectors: FloatMatrix
    """(n_items, d) float32; NaN for an item about which the model has nothing to say."""

    def _encode(self, queries: Queries) -> FloatMatrix:
        """(n_queries, d) float32; NaN for a query about which the model has nothing to say."""
        raise NotImplementedError

    @property
    def _plain(self) -> bool:
        """Whether scores are the products and no more: nothing is added to them or hidden from them."""
        return type(self)._score is VectorRecommender._score

    def _list_bytes(self) -> int:
        never_held = max(0, self.n_items - ITEMS_AT_ONCE) if self._plain else 0
        return self._row_bytes() - SCORE_BYTES * never_held

    def _score(self, queries: Queries) -> FloatMatrix:
        return _products(self._encode(queries), self.item_vectors)

    def _score_of(self, queries: Queries, items: IntVector) -> FloatMatrix:
        if not self._plain:
            return super()._score_of(queries, items)
        return _products(self._encode(queries), self.item_vectors[items])

    def _score_pairs(self, queries: Queries, items: IntVector) -> FloatVector:
        if not self._plain:
            return super()._score_pairs(queries, items)
        found = np.einsum("qd,qd->q", self._encode(queries), self.item_vectors[items])
        return np.where(np.isnan(found), NOTHING, found)

    def _best(
        self, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        if not self._plain:
            return super()._best(block, k, exclude_seen, allowed)
        return self._nearest(self._encode(block), block, k, exclude_seen, allowed)

    def _nearest(
        self, vectors: FloatMatrix, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        """The best items for the vectors (n_queries, d) of some queries."""
        seen = block.histories if exclude_seen else None
        return search(vectors, self.item_vectors, k, seen=seen, allowed=allowed, run=Run(threads=1))


def _products(queries: FloatMatrix, items: FloatMatrix) -> FloatMatrix:
    """(n_queries, n_items) the products of vectors; `NOTHING` where one of the two is NaN."""
    scores: FloatMatrix = queries @ items.T
    scores[np.isnan(queries[:, 0])] = NOTHING
    scores[:, np.isnan(items[:, 0])] = NOTHING
    return scores


class RatingPredictor(Recommender):
    """A model that also predicts the value (rating) that a user would give to an item."""

    def predict(self, queries: Asked, items: Sequence[str] | IntVector) -> FloatVector:
        """(n,) the predicted value of pair `i`: query `i` and item `i` (ids, or numbers of the model's vocabulary).

        Raises:
            DataError: there is not one item for each query, an item is unknown, or values are not known.
        """
        batch = self.encode(queries)
        return self._predict(batch, self._paired(batch, items))

    def _predict(self, queries: Queries, items: IntVector) -> FloatVector:
        raise NotImplementedError
