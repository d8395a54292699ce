"""Books: who liked a book reads its author's others, each once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zhiyin.arrays import DoubleMatrix, IntVector
from zhiyin.config import setting
from zhiyin.scenarios.worlds.base import Moment, Tastes, TastesConfig


class BooksConfig(TastesConfig):
    """Settings of `books`."""

    n_items: int = setting(200, ge=1)
    """The size of the catalogue."""
    n_events: int = setting(6_000, ge=1)
    """How many events there are; a few less, where somebody has nothing left to use."""
    authors: int = setting(6, ge=1)
    """So many authors write in each group."""
    loyalty: float = setting(6.0, ge=0)
    """Books of an author of whom one was read are 1 + loyalty times as likely."""


class Books(Tastes):
    """Chances are those of tastes, times loyalty to authors, of books that were not read yet."""

    config: BooksConfig
    author: IntVector
    """(n_items,) the number of the author of each book."""

    def _made(self, rng: np.random.Generator) -> None:
        n, of_group = self.config.n_items, self.config.authors
        self.author = (self.group * of_group + rng.integers(0, of_group, n)).astype(np.int32)
        at = self.items.column_names.index("creator")
        self.items = self.items.set_column(at, "creator", pa.array([f"author {one}" for one in self.author]))

    def chances(self, at: Moment) -> DoubleMatrix:
        """See the class."""
        wrote = self.author[:, None] == np.arange(self.config.n_groups * self.config.authors)
        known = (at.used @ wrote > 0)[:, self.author]
        found: DoubleMatrix = self.likes(at) * np.where(known, 1 + self.config.loyalty, 1) * (at.used == 0)
        return found
