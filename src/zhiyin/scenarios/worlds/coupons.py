"""Coupons: the people of a shop, a trial in which lots gave some of them a coupon, and what each would have done."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray
from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.synthetic import SyntheticConfig, Truth, synthetic
from zhiyin.scenarios.worlds.shop import Shop, ShopConfig


class CouponsConfig(ShopConfig):
    """Settings of `coupons`: those of a synthetic world with many people of few events, and those of the trial."""

    n_users: int = setting(12_000, ge=1)
    """How many users there are; each is in the trial once."""
    n_items: int = setting(300, ge=1)
    """The size of the catalogue."""
    n_events: int = setting(240_000, ge=1)
    """Events of all kinds together, exactly."""
    cart_rate: float = setting(0.2, ge=0, le=1)
    """Share of views by a user of mean taste that lead to a cart; 0 for views alone."""
    discounts: tuple[float, ...] = setting((0.1,), min_length=1)
    """What each coupon takes off; above 0 and below 1."""
    lean: float = 0.0
    """0 for arms by lot; above, busy people got a coupon more often, with chances that are known."""
    hidden: float = setting(0.3, ge=0)
    """Standard deviation of what moves a person's log-odds and nobody can know."""


class Coupons(Shop):
    """A shop whose people were in a trial of coupons when its log ended; see `zhiyin.data.synthetic.Truth.coupons`.

    Some buy because of a coupon, some anyway, some in no case, and some had better been left alone.
    """

    config: CouponsConfig

    @cached_property
    def _both(self) -> tuple[Dataset, Truth]:
        return synthetic(SyntheticConfig(**self.config.model_dump(include=set(SyntheticConfig.model_fields))))

    @cached_property
    def _whole(self) -> pa.Table:
        own = self.config
        return self._both[1].coupons(own.n_users, own.discounts, own.lean, own.hidden, own.seed)

    def trial(self) -> pa.Table:
        """The log of the trial as a shop would have it, a row for each person; of the truth it holds nothing.

        Columns: `user_id`; what is known of a person when coupons are given, `COUPON_FEATURES`; `arm` (0 for nothing,
        then the coupons), `propensity` (the chance of that arm) and `bought`.

        Raises:
            ConfigError: a discount is none.
        """
        return self._whole.drop_columns(self._true)

    def chances(self) -> AnyArray:
        """(n_users, 1 + n_coupons) the true chance of each person of `trial` to buy with nothing and with each coupon.

        Raises:
            ConfigError: a discount is none.
        """
        return np.stack([self._whole[name].to_numpy() for name in self._true], 1)

    @property
    def _true(self) -> list[str]:
        """The columns that nobody can know."""
        return ["chance_without", *(f"chance_with_{at + 1}" for at in range(len(self.config.discounts)))]
