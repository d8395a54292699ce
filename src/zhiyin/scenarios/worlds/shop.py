"""A shop: views, carts and purchases of `zhiyin.data.synthetic`, with seasons, drift and items that appear."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from zhiyin.arrays import AnyArray
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.data.synthetic import SyntheticConfig, Truth, synthetic
from zhiyin.errors import DataError
from zhiyin.scenarios.worlds.base import World


class ShopConfig(SyntheticConfig):
    """Settings of `shop`: those of a synthetic world, of which a small one is the default."""

    n_users: int = 250
    """How many users there are; with few events some have none."""
    n_items: int = 150
    """The size of the catalogue."""
    n_events: int = 12_000
    """Events of all kinds together, exactly."""


class Shop(World):
    """A synthetic world of `zhiyin.data.synthetic`; its truth is `Truth.preferences`."""

    config: ShopConfig

    @cached_property
    def _both(self) -> tuple[Dataset, Truth]:
        return synthetic(SyntheticConfig(**self.config.model_dump()))

    def dataset(self) -> Dataset:
        """The events, items and users."""
        return self._both[0]

    def truth(self, queries: Queries) -> AnyArray:
        """See `World.truth`.

        Raises:
            DataError: queries do not say whose they are, or when.
        """
        if queries.users is None or queries.now is None:
            raise DataError(f"the truth of {self.name} is of its users at a moment; the queries lack a user or a time")
        dataset, truth = self._both
        return truth.preferences(np.array([dataset.users.number(one, "user") for one in queries.users]), queries.now)
