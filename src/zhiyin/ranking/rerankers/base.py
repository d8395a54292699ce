"""Re-ranker: candidates in one order go in, the same in another come out; it looks at the list as a whole.

A re-ranker writes `_rerank`, which gives away the places of a `Draft` one after the other, and `_fit` if it learns
something, which it names in `learns`. Three things hold for all of them:

* *Strength is in places.* By default the relevance of a candidate is its place in the pool, 1 for the first and 0
  behind the last, not what a ranker said, whose scale is its own. With a strength s, what a candidate brings is
  (1 - s) * relevance + s * (something from 0 to 1): to have all of it is worth s / (1 - s) of the pool. At 0.1 and a
  pool of 100 those are 11 places. So a strength means the same for any ranker, and re-rankers may follow one another.
* *Only the pool moves.* Those behind it stay where they are, and complete a list.
* *Limits are known.* Caps and pins are held while the list is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from zhiyin.config import Component, Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.exposures import Exposures
from zhiyin.errors import ConfigError, NotFittedError
from zhiyin.ranking.draft import Draft
from zhiyin.ranking.ranked import Ranked
from zhiyin.run import Run


class Weighing(Config):
    """Settings of a re-ranker that weighs something against relevance."""

    strength: float = setting(0.1, ge=0, lt=1)
    """How much it counts beside relevance, 0 for not at all; to have all of it is worth s / (1 - s) of the pool."""
    relevance: Literal["place", "worth"] = "place"
    """Relevance by the place in the pool, or by the worth that the ranker gave, as a part of its range in the pool. By
    worth, what re-rankers before this one did to the order is forgotten."""


class ReRanker(Component):
    """Base of every re-ranker."""

    config: Config
    room = "zhiyin.ranking.rerankers"
    learns: ClassVar[tuple[str, ...]] = ()
    """Names of attributes to save: numpy arrays, scipy CSR matrices, or lists of text."""
    draws: ClassVar[bool] = False
    """Whether it draws, and says with which chance; it must be the last one then."""

    @property
    def saved(self) -> tuple[str, ...]:
        """Names of all attributes to save."""
        return self.learns

    @property
    def query_bytes(self) -> int:
        """What one query takes while it is re-ranked, beside a number for each candidate and place."""
        return 0

    def _fit(self, train: Dataset, run: Run) -> None:
        """Learn what is needed; nothing for a re-ranker that reads the order alone."""

    def _rerank(self, ranked: Ranked, draft: Draft, run: Run) -> None:
        """Give all places of the draft away."""
        raise NotImplementedError

    def _observe(self, exposures: Exposures) -> None:
        raise ConfigError(f"{self.name} learns nothing from exposures; `exploration` with the method thompson does")

    def derive(self) -> None:
        """Make from what was learnt what is not saved."""

    def write(self, folder: Path) -> None:
        """Write what is saved beside `saved`; nothing here."""

    def read(self, folder: Path) -> None:
        """Read what `write` wrote."""

    def fit(self, train: Dataset, run: Run | None = None) -> Self:
        """Learn from a dataset.

        Raises:
            ConfigError, DataError: it lacks what the settings ask for.
        """
        self._fit(train, run or Run())
        return self

    def observe(self, exposures: Exposures) -> Self:
        """Learn from what was shown and what it earned, beside all that was told before.

        Raises:
            ConfigError: this re-ranker has no use for it.
            NotFittedError: before `fit`.
            DataError: the exposures are of other items, or their rewards not between 0 and 1.
        """
        self._ready()
        self._observe(exposures)
        return self

    def rerank(self, ranked: Ranked, k: int, run: Run | None = None) -> Ranked:
        """The same candidates with the list of `k` in front, the others behind it as they were.

        Raises:
            NotFittedError: before `fit`.
        """
        self._ready()
        draft = Draft(ranked, k)
        self._rerank(ranked, draft, run or Run())
        return draft.ranked_as(self.name)

    def _ready(self) -> None:
        if not all(hasattr(self, name) for name in self.learns):
            raise NotFittedError(f"{self.name} is not fitted yet; call fit(dataset) first")
