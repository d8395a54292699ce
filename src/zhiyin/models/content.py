"""Content: items that say the same as the history does, by TF-IDF over texts and categories.

The profile of a history is the mean of its items' vectors, weighted by strength and recency, and the score is its
cosine with an item (Lops, de Gemmis and Semeraro, Recommender Systems Handbook 2011, section 3.3.1). It knows nothing
of what others did, so an item that nobody has touched yet stands the same chance as any other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from zhiyin.arrays import FloatMatrix, FloatVector, IntVector
from zhiyin.config import Config, Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.encoders._terms import Fields, Limits, TermSpace, shown, unit_rows
from zhiyin.models.base import Recommender
from zhiyin.retrieval.exact import NOTHING
from zhiyin.run import Run

SPARSE_COST = 20.0
"""How many times longer one multiplication of a sparse product takes than one with a dense block (measured)."""
SHOWN_TERMS = 4


class ContentConfig(Config):
    """Settings of `content`."""

    text: tuple[str, ...] | None = None
    """The item columns to read as words; all columns of text by default."""
    categories: tuple[str, ...] | None = None
    """The item columns whose values are one term each; all lists of text, creator, brand and type by default."""
    category_weight: float = setting(1.0, ge=0, search=Search(0.1, 5, log=True))
    """Weight of a category, as against a word."""
    min_items: int = setting(2, ge=1)
    """Leave out a term that fewer items have."""
    max_share: float = setting(1.0, gt=0, le=1, search=Search(0.05, 1))
    """Leave out a term that a larger share of the items has, and more than 50 of them."""
    max_terms: int = setting(50_000, ge=1)
    """Keep at most this many terms, those of the most items."""
    half_life: float | None = setting(1.0, gt=0, search=Search(0.5, 100, log=True))
    """After how many later events an event counts half; None, or a dataset without order, for no fading. The shorter,
    the more the list follows what was looked at last."""


class Content(Recommender):
    """Score by cosine(profile of the history, item); what an event adds is its own summand of the cosine."""

    config: ContentConfig
    learns = ("item_terms", "terms")
    item_terms: sparse.csr_array
    """(n_items, n_terms) float32, rows of length 1."""
    terms: list[str]
    """The terms; `column:value` for a category."""
    _term_items: sparse.csr_array

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        settings = self.config
        fields = Fields.of(train.item_table, settings.text, settings.categories)
        limits = Limits(settings.min_items, settings.max_share, settings.max_terms)
        space, self.item_terms = TermSpace.fit(train.item_table, fields, limits, settings.category_weight)
        self.terms = list(space.terms)
        self._prepare()

    def _read(self, folder: Path) -> None:
        self._prepare()

    def _prepare(self) -> None:
        self._term_items = sparse.csr_array(self.item_terms.T)

    def _weights(self, histories: Histories) -> FloatVector:
        """(n_events,) how much each event counts in its history's profile: strength, fading by later events."""
        strength = histories.strength()
        if self.config.half_life is None or self.trained_on.get("clock") == "none":
            return strength
        fading: FloatVector = np.exp2(-histories.from_end() / self.config.half_life).astype(np.float32)
        return strength * fading

    def _profiles(self, histories: Histories) -> sparse.csr_array:
        """(n, n_terms) sparse, rows not scaled."""
        return sparse.csr_array(histories.matrix(self.n_items, self._weights(histories)) @ self.item_terms)

    def _score(self, queries: Queries) -> FloatMatrix:
        scores = product(unit_rows(self._profiles(queries.histories)), self._term_items, self.item_terms)
        scores[scores == 0] = NOTHING
        return scores

    def _row_bytes(self) -> int:
        return super()._row_bytes() + 8 * len(self.terms)

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        history = query.histories
        length = float(np.sqrt(self._profiles(history).power(2).sum()))
        alike = (self.item_terms[history.item] @ self.item_terms[items].T).toarray()
        found: FloatMatrix = (alike * self._weights(history)[:, None] / max(length, 1e-12)).astype(np.float32)
        return found

    def _common(self, item: int, other: int) -> str | None:
        names = [shown(self.terms[place]) for place in self.shared_terms(item, other)[:SHOWN_TERMS]]
        return f"shares: {', '.join(names)}" if names else None

    def shared_terms(self, item: int, other: int) -> IntVector:
        """The terms that two items share, those first that add most to their likeness."""
        both = sparse.csr_array(self.item_terms[[item]].multiply(self.item_terms[[other]]))
        order: IntVector = both.indices[np.argsort(-both.data, kind="stable")]
        return order


def product(profiles: sparse.csr_array, term_items: sparse.csr_array, item_terms: sparse.csr_array) -> FloatMatrix:
    """(n, n_items) float32 profiles @ item_termsᵀ, by the cheaper of two ways.

    With short profiles a sparse product visits only the items of their terms; with long ones it is faster to multiply
    every entry of `item_terms` with a row of the dense (n_terms, n) block.
    """
    visits = float(np.diff(term_items.indptr)[profiles.indices].sum())
    if SPARSE_COST * visits < float(item_terms.nnz) * profiles.shape[0]:
        found: FloatMatrix = (profiles @ term_items).toarray()
        return found
    block = profiles.T.toarray(order="C")
    return np.ascontiguousarray((item_terms @ block).T)
