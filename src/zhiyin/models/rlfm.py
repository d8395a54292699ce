"""RLFM: factors of ratings that begin where content and company put them (Agarwal and Chen, KDD 2009).

A rating is predicted as μ + b_u + b_i + p_u·q_i, as by `svd`, with two differences. What an item or a person is
expected to be before anything was rated is read from features by regression: of an item from what its columns say and
who used it, of a person from which items the history holds, whatever was said of them (as in constrained matrix
factorisation: Salakhutdinov and Mnih, NIPS 2007). And a vector is no point: how unsure it is counts wherever it is
used, and how much to trust features, vectors and single ratings is learnt, not set (variational Bayes: Lim and Teh,
KDD Cup 2007).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import field_validator
from scipy import sparse

from zhiyin._svd import right_vectors
from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatMatrix, FloatVector, IntVector, LongVector
from zhiyin.config import Config, Search, names, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._beliefs import Beliefs, Known, Met, believe, learn
from zhiyin.models._columns import Column
from zhiyin.models._neighbourhoods import distinct
from zhiyin.models.base import RatingPredictor
from zhiyin.retrieval.exact import NOTHING
from zhiyin.run import Run

TEXTS = ("title", "text", "description", "abstract", "image", "audio", "url")
NO_FEATURES = ("item_id", *TEXTS, "available_from", "available_until")
"""Columns that are not read unless they are named."""

FIRST = 0.3
"""The deviation of the vectors that items begin with."""


class RLFMConfig(Config):
    """Settings of `rlfm`."""

    embedding_size: int = setting(10, ge=1, le=128, search=Search(4, 32, log=True))
    """The length of a vector; what the data do not bear out is drawn to nothing."""
    epochs: int = setting(30, ge=1, search=Search(10, 60))
    """How often users, items and what is expected of them are solved in turn."""
    item_features: tuple[str, ...] | None = None
    """The item columns that tell what to expect of an item: by default all whose values several items share, but for
    texts. Numbers are read in steps, lists and texts by value."""
    most_values: int = setting(100, ge=1)
    """So many values of such a column are told apart at most, those of the most items."""
    directions: int = setting(10, ge=0, le=512, search=Search(0, 40))
    """By so many main directions of who used what an item and a history are described beside; 0 for none."""
    feature_regularization: float = setting(10.0, gt=0, search=Search(1, 100, log=True))
    """L2 weight on the weights of features, as against one item or user."""

    @field_validator("item_features", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)


class RLFM(RatingPredictor):
    """Predict values by μ + b_u + b_i + p_u·q_i, and score by the prediction.

    A history is folded in as training folds in its users: exactly, given the items. Events without a value count among
    those that the history holds, and say no more. Who has no history is expected to be like the mean of all users; an
    item that nobody rated is what its features say, and is not listed where they say nothing.
    """

    config: RLFMConfig
    learns = (
        *("scale", "limits", "noise", "rated", "told", "profiles"),
        *("item_means", "item_spreads", "user_weights", "user_precision"),
    )
    scale: FloatVector
    """(2,) the mean and the standard deviation of all values; within, values are in deviations from the mean."""
    limits: FloatVector
    """(2,) the least and the greatest value; a prediction stays between them."""
    noise: FloatVector
    """(1,) σ², the variance of what is left open, as a part of that of the values."""
    rated: LongVector
    """(n_items,) how many values are known of each item."""
    told: BoolVector
    """(n_items,) whether features say anything of it."""
    profiles: FloatMatrix
    """(n_items, f) what each item adds to the features of a history."""
    item_means: FloatMatrix
    """(n_items, 1 + d) the bias and the vector of each item."""
    item_spreads: FloatMatrix
    """(n_items, 1 + d, 1 + d) how unsure they are, as covariances."""
    user_weights: FloatMatrix
    """(1 + f, 1 + d) what the features of a history let expect of its owner."""
    user_precision: FloatMatrix
    """(1 + d, 1 + d) how surely."""
    _met: Met

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        histories, n_items = train.histories, train.n_items
        value = _values(histories)
        if np.isnan(value).all():
            raise DataError(
                f"rlfm learns from values (ratings), and {train.name!r} has none; give its events a column `value`, or "
                "take a model of implicit feedback such as als"
            )
        self.scale = np.array([np.nanmean(value), np.nanstd(value) or 1], np.float32)
        self.limits = np.array([np.nanmin(value), np.nanmax(value)], np.float32)
        self.rated = np.bincount(histories.item[~np.isnan(value)], minlength=n_items).astype(np.int64)
        content, self.told = self._content(train.item_table)
        directions = self._directions(histories, n_items, run)
        blocks = (content, False), (directions / _root(histories, n_items), True)
        self.profiles = np.hstack([_profiles(histories, one, each) for one, each in blocks])
        met = self.rated > 0
        company = _even(directions, met) * met[:, None]
        self._learn(histories, _with_one(np.hstack([content, company])), run)

    def _content(self, table: pa.Table) -> tuple[FloatMatrix, BoolVector]:
        """(n_items, c) what the columns say of each item, less the mean, and (n_items,) whether they say anything."""
        told, parts = np.zeros(table.num_rows, bool), [np.zeros((table.num_rows, 0), np.float32)]
        for column in _columns(table, self.config.item_features):
            rows, numbers, shares = column.shares(table, "item")
            told[rows[numbers < column.size - 1]] = True
            if column.edges is None:
                parts.append(_parts(rows, numbers, shares, (table.num_rows, self.config.most_values)))
            else:
                parts.append(_steps(numbers, len(column.edges) + 1))
        values = np.hstack(parts)
        return values - values[self.rated > 0].mean(0), told

    def _directions(self, histories: Histories, n_items: int, run: Run) -> FloatMatrix:
        """(n_items, s) the main directions of who used what, long histories and popular items counting less."""
        used = _used(histories, n_items)
        if not self.config.directions:
            return np.zeros((n_items, 0), np.float32)
        lengths = np.maximum(np.diff(used.indptr), 1)
        used.data /= np.sqrt(np.repeat(lengths, np.diff(used.indptr))).astype(np.float32)
        used.data /= _root(histories, n_items)[used.indices, 0]
        return right_vectors(used, self.config.directions, run.generator("rlfm: directions"))

    def _learn(self, histories: Histories, features: FloatMatrix, run: Run) -> None:
        """Learn from values and the features of items (n_items, 1 + c)."""
        own = self.config
        first = run.generator("rlfm").normal(0, FIRST, (len(features), 1 + own.embedding_size))
        first[:, 0] = 0
        people = self._features(histories)
        rounds = run.progress.track(range(own.epochs), own.epochs, "rlfm: fit")
        items, users, noise = learn(self._known(histories), people, features, first, own.feature_regularization, rounds)
        self.noise = np.array([noise], np.float32)
        self.item_means, self.item_spreads = items.mean, items.spread
        self.user_weights, self.user_precision = users.weights, users.precision
        self._prepare()

    def _prepare(self) -> None:
        self._met = Beliefs(self.item_means, self.item_spreads).met()

    def _read(self, folder: Path) -> None:
        self._prepare()

    def _known(self, histories: Histories) -> Known:
        """The values of histories, in deviations from the mean."""
        rated = histories.keep(~np.isnan(_values(histories)))
        return Known(rated.offsets, rated.item, (_values(rated) - self.scale[0]) / self.scale[1])

    def _features(self, histories: Histories) -> FloatMatrix:
        """(n, 1 + f) a 1, and what the items of each history say of its owner."""
        used = _used(histories, len(self.profiles))
        length = np.sqrt(np.maximum(np.diff(used.indptr), 1))
        return _with_one((used @ self.profiles) / length[:, None])

    def _encode(self, queries: Queries) -> Beliefs:
        """What is believed of the owner of each history."""
        expected = self._features(queries.histories) @ self.user_weights
        known = self._known(queries.histories)
        return believe(known, self._met, expected, self.user_precision, float(self.noise[0]))[0]

    def _row_bytes(self) -> int:
        return super()._row_bytes() + 24 * self.user_precision.size

    def _score(self, queries: Queries) -> FloatMatrix:
        scores: FloatMatrix = self._encode(queries).mean @ self._met.seen.T.astype(np.float32)
        scores += self.item_means[:, 0]
        scores *= self.scale[1]
        scores += self.scale[0]
        scores[:, (self.rated == 0) & ~self.told] = NOTHING
        return scores

    def _predict(self, queries: Queries, items: IntVector) -> FloatVector:
        first, like = distinct(queries)
        users = self._encode(queries.take(first)).mean[like]
        found = np.einsum("nk,nk->n", users, self._met.seen[items]) + self.item_means[items, 0]
        clipped: FloatVector = np.clip(self.scale[0] + self.scale[1] * found, *self.limits).astype(np.float32)
        return clipped

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """Event j adds a_iᵀ C (P Wᵀ e_j / √n + (y_j E[a_j] - E[a_j b_j]) / σ²): by being there, and by its value."""
        history = query.histories
        taken, inverse = history.item, self._encode(query).spread[0].astype(np.float64)
        value = (_values(history) - self.scale[0]) / self.scale[1]
        said = value[:, None] * self._met.seen[taken] - self._met.products[taken]
        moved = np.where(np.isnan(value)[:, None], 0, said) / self.noise[0]
        _, place, times = np.unique(taken, return_inverse=True, return_counts=True)
        there = self.profiles[taken] @ self.user_weights[1:] / (np.sqrt(len(times)) * times[place])[:, None]
        shares = (moved + there @ self.user_precision) @ inverse @ self._met.seen[items].T
        found: FloatMatrix = (self.scale[1] * shares).astype(np.float32)
        return found

    def _general_reason(self, item: int, query: Queries) -> Reason:
        value = float(self.scale[0] + self.scale[1] * self.item_means[item, 0])
        return Reason("popularity", value, text=f"valued at {value:.1f} by {int(self.rated[item]):,} events")


def _columns(table: pa.Table, wanted: tuple[str, ...] | None) -> list[Column]:
    """The columns that are read: those that are named, or all that several items share."""
    if wanted is not None:
        return [Column.fit(table, name, "item") for name in dict.fromkeys(wanted)]
    found = []
    for name in table.column_names:
        if name not in NO_FEATURES:
            with suppress(ConfigError, DataError):  # holds something else, or tells no two items apart
                found.append(Column.fit(table, name, "item"))
    return found


def _parts(rows: LongVector, numbers: IntVector, shares: FloatVector, shape: tuple[int, int]) -> FloatMatrix:
    """(n, at most m) how much of each row of a table each value is, those from the m-th on left out; m in `shape`."""
    kept = numbers < shape[1]
    width = int(numbers[kept].max(initial=-1)) + 1
    found: FloatMatrix = np.zeros((shape[0], width), np.float32)
    found[rows[kept], numbers[kept]] = shares[kept]
    return found


def _steps(buckets: IntVector, missing: int) -> FloatMatrix:
    """(n, m) whether a number is above each border, or missing and then as likely as others; and whether it is missing.

    In a regression these are the steps from a bucket to the next, so that a number beyond all others is like the last.
    """
    known = buckets < missing
    above = (buckets[:, None] > np.arange(missing - 1)).astype(np.float32)
    above[~known] = above[known].mean(0)
    found: FloatMatrix = np.hstack([above, ~known[:, None]]).astype(np.float32)
    return found


def _values(histories: Histories) -> DoubleVector:
    """(n_events,) the values, NaN where there is none."""
    if histories.value is None:
        return np.full(histories.n_events, np.nan)
    return np.asarray(histories.value, np.float64)


def _used(histories: Histories, n_items: int) -> sparse.csr_array:
    """(n, n_items) float32, 1 where a history holds an item."""
    found = histories.matrix(n_items, np.ones(histories.n_events, np.float32))
    found.data[:] = 1
    return found


def _root(histories: Histories, n_items: int) -> FloatMatrix:
    """(n_items, 1) the fourth root of how often each item was used, 1 for one that was not."""
    counts = np.bincount(histories.item, minlength=n_items)
    return (np.maximum(counts, 1) ** 0.25).astype(np.float32)[:, None]


def _profiles(histories: Histories, items: FloatMatrix, each: bool) -> FloatMatrix:
    """(n_items, f) the same, so that the features of training histories have mean 0 and deviation 1, `each` or all."""
    used = _used(histories, len(items))
    root = np.sqrt(np.diff(used.indptr))[:, None]
    some = root[:, 0] > 0
    sums = (used @ items)[some] / root[some]
    middle = sums.mean(0) / root[some].mean()
    spread = (sums - root[some] * middle).std(0)
    if not each:
        spread = np.full(len(middle), np.sqrt((spread**2).mean()) if len(middle) else 1)
    found: FloatMatrix = ((items - middle) / np.where(spread > 1e-6, spread, np.inf)).astype(np.float32)
    return found


def _even(values: AnyArray, rows: BoolVector) -> FloatMatrix:
    """The same columns with mean 0 and deviation 1 over some rows; 0 for one that says the same of all of them."""
    middle, spread = values[rows].mean(0), values[rows].std(0)
    found: FloatMatrix = ((values - middle) / np.where(spread > 1e-6, spread, np.inf)).astype(np.float32)
    return found


def _with_one(features: AnyArray) -> FloatMatrix:
    """(n, 1 + f) float32 the features after a column of ones."""
    found: FloatMatrix = np.hstack([np.ones((len(features), 1)), features]).astype(np.float32)
    return found
