"""The truth of a synthetic world: tastes, items, seasons, friends, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import model_validator
from scipy import sparse

from zhiyin.arrays import AnyArray, DoubleVector, FloatMatrix, IntVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.data._synthetic_shop import Shop
from zhiyin.data._synthetic_text import group_names, item_table
from zhiyin.errors import ConfigError
from zhiyin.run import Run

if TYPE_CHECKING:
    from zhiyin.data._synthetic_coupons import Past

SECOND = 1_000_000
HOUR = 3_600


class SyntheticConfig(Config):
    """Settings of a synthetic world."""

    n_users: int = setting(1_000, ge=1)
    """How many users there are; with few events some have none."""
    n_items: int = setting(500, ge=1)
    """The size of the catalogue."""
    n_events: int = setting(50_000, ge=1)
    """Events of all kinds together, exactly."""
    n_groups: int = setting(8, ge=1, le=512)
    """Taste groups, each with a category and words of its own."""
    taste: float = setting(2.0, ge=0)
    """How much tastes differ: 0 for users who like all groups alike, 3 for users who use nearly one group alone."""
    mixed_items: float = setting(0.3, ge=0, le=1)
    """Share of items that belong to a second group too (by a quarter)."""
    popularity: float = setting(0.8, ge=0, le=3)
    """Exponent of the Zipf law of item popularity; 0 for items that are equally popular."""
    activity: float = setting(1.0, ge=0, le=3)
    """Spread of the users' activity (sigma of a log-normal); 0 for users who are equally active."""
    drift: float = setting(0.3, ge=0, le=1)
    """How far tastes move from first to last day: 1 ends in a taste that has nothing to do with the first one."""
    season: float = setting(0.5, ge=0, le=0.95)
    """How much activity and the appeal of groups follow hour, weekday and time of the year."""
    new_items: float = setting(0.2, ge=0, le=0.95)
    """Share of items that appear in the course of the time; the others are there from the start."""
    cart_rate: float = setting(0.1, ge=0, le=1)
    """Share of views by a user of mean taste that lead to a cart; 0 for views alone."""
    purchase_rate: float = setting(0.4, ge=0, le=1)
    """Share of carts by a user of mean taste that lead to a purchase."""
    friends: float = setting(5.0, ge=0)
    """Friends that each user names, in the mean; friendship is mutual."""
    homophily: float = setting(0.8, ge=0, le=1)
    """Share of friends that are chosen among users of the same main group; the others are anybody."""
    days: int = setting(365, ge=1, le=20_000)
    """Length of time."""
    start: int = setting(1_704_067_200, ge=0)
    """The first moment, in seconds since 1970 (by default 2024-01-01 UTC, a Monday)."""
    seed: int = setting(0, ge=0)
    """Seed of the whole world."""

    @model_validator(mode="after")
    def _every_group_has_items(self) -> Self:
        if self.n_items < self.n_groups:
            raise ValueError(f"{self.n_items} items are too few for {self.n_groups} groups; each group needs one")
        return self


class Truth:
    """What is true in a synthetic world. Users and items are the numbers of its dataset; times are microseconds.

    `early`, `late` (n_users, n_groups): tastes on the first and the last day; `membership` (n_groups, n_items) sparse;
    `weight` (n_items,) popularity; `launch` (n_items,) seconds since 1970; `links` the friends, both ways.
    """

    def __init__(self, config: SyntheticConfig) -> None:
        self.config = config
        run = Run(seed=config.seed)
        rng = run.generator("synthetic tastes")
        self.groups = tuple(group_names(config.n_groups))
        self.early, self.late = (_tastes(config, rng) for _ in range(2))
        self._make_items(run.generator("synthetic items"))
        self.activity = run.generator("synthetic activity").lognormal(0, config.activity, config.n_users)
        self.by_hour, self.by_day = _seasons(config, run.generator("synthetic seasons"))
        self.links = self._make_links(run.generator("synthetic links"))

    def _make_items(self, rng: np.random.Generator) -> None:
        config, n = self.config, self.config.n_items
        self.weight = ((1.0 + rng.permutation(n)) ** -config.popularity).astype(np.float64)
        self.primary = rng.integers(0, config.n_groups, n).astype(np.int32)
        self.primary[: config.n_groups] = np.arange(min(n, config.n_groups))  # no group is empty, if items suffice
        mixed = rng.random(n) < config.mixed_items
        self.secondary = np.where(mixed, rng.integers(0, config.n_groups, n), self.primary).astype(np.int32)
        born = rng.integers(0, config.days * 86_400, n)
        first_of_group = np.arange(n) < config.n_groups
        self.launch = config.start + np.where((rng.random(n) < config.new_items) & ~first_of_group, born, 0)
        share = np.where(mixed & (self.secondary != self.primary), 0.75, 1.0)
        entries = np.concatenate([share, 1 - share])
        places = (np.concatenate([self.primary, self.secondary]), np.tile(np.arange(n), 2))
        membership = sparse.csr_array((entries, places), shape=(config.n_groups, n))
        membership.eliminate_zeros()
        self.membership = membership

    def _make_links(self, rng: np.random.Generator) -> pa.Table:
        """Friends: some of the same main group, some anybody; each pair in both directions, once."""
        n = self.config.n_users
        who = np.repeat(np.arange(n), rng.poisson(self.config.friends / 2, n))
        main = np.argmax(self.early, axis=1)
        order = np.argsort(main, kind="stable")
        sizes = np.bincount(main, minlength=self.config.n_groups)
        starts = np.cumsum(sizes) - sizes
        like = order[starts[main[who]] + (rng.random(len(who)) * sizes[main[who]]).astype(np.int64)]
        friend = np.where(rng.random(len(who)) < self.config.homophily, like, rng.integers(0, n, len(who)))
        pairs = np.concatenate([who * n + friend, friend * n + who])
        pairs = np.unique(pairs[np.tile(who != friend, 2)])
        ids = self.user_ids()
        return pa.table({"user_id": ids.take(pa.array(pairs // n)), "friend_id": ids.take(pa.array(pairs % n))})

    # ------------------------------------------------------------------ what is true

    def group_chances(self, users: AnyArray, time: AnyArray) -> FloatMatrix:
        """(n, n_groups) the chance that an event of each user at each time is in each group."""
        seconds = np.asarray(time, np.int64) // SECOND - self.config.start
        moved = np.clip(seconds / (self.config.days * 86_400), 0, 1)[:, None].astype(np.float32) * self.config.drift
        early, late = self.early[users], self.late[users]
        raw = (early + moved * (late - early)) * self._season(seconds + self.config.start)
        chances: FloatMatrix = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
        return chances

    def _season(self, seconds: LongVector) -> FloatMatrix:
        return self.by_hour[hour_of_week(seconds)] * self.by_day[day_of_year(seconds)]

    def preferences(self, users: AnyArray, time: AnyArray) -> AnyArray:
        """(n, n_items) float64: the chance that an event of each user at each time is on each item; rows sum to 1.

        Items that do not exist yet at that time have 0. Ranking by it is the best that any recommender can do.
        """
        seconds = np.asarray(time, np.int64) // SECOND
        per_group = self.group_chances(users, time) / self.shop.chances_up_to(seconds)  # (n, n_groups)
        scores: AnyArray = (per_group @ self.shop.chances) * self.there(time)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def preference(self, users: AnyArray, items: AnyArray, time: AnyArray) -> DoubleVector:
        """(n,) the chance that an event of each user at each time is on the item beside it."""
        users, items, time = np.broadcast_arrays(users, items, time)
        block = max(1, 4_000_000 // self.config.n_items)
        parts = [
            self.preferences(users[at : at + block], time[at : at + block])[
                np.arange(len(users[at : at + block])), items[at : at + block]
            ]
            for at in range(0, len(users), block)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def affinity(self, users: AnyArray, items: AnyArray, time: AnyArray) -> DoubleVector:
        """(n,) how much each user's taste at that time fits the item beside it: 1 for a user who likes all alike."""
        return self.fit(self.group_chances(users, time), items)

    def affinities(self, users: AnyArray, time: AnyArray) -> FloatMatrix:
        """(n, n_items) float32 how much each user's taste at each time fits each item; see `affinity`."""
        chances = self.group_chances(users, time)
        fits: FloatMatrix = 0.75 * chances[:, self.primary] + 0.25 * chances[:, self.secondary]
        return (fits * self.config.n_groups).astype(np.float32)

    def there(self, time: AnyArray) -> AnyArray:
        """(n, n_items) bool: which items exist at each time."""
        found: AnyArray = self.launch <= (np.asarray(time, np.int64) // SECOND)[:, None]
        return found

    def fit(self, chances: FloatMatrix, items: IntVector) -> DoubleVector:
        """(n,) the affinity of the item beside each row of group chances."""
        rows, first, second = np.arange(len(chances)), self.primary[items], self.secondary[items]
        fit = 0.75 * chances[rows, first] + 0.25 * chances[rows, second]
        return np.asarray(fit * self.config.n_groups, np.float64)

    def attraction(self, affinity: AnyArray, rate: float) -> DoubleVector:
        """(n,) a chance that is `rate` where the affinity is 1 and grows with it: σ(logit(rate) + log(affinity))."""
        odds = rate / max(1e-9, 1 - rate) * np.asarray(affinity, np.float64)
        found: DoubleVector = odds / (1 + odds)
        return found

    def rating(self, affinity: AnyArray) -> DoubleVector:
        """(n,) the expected value (1 to 5) that a user of that affinity gives, before noise and rounding."""
        return 1 + 4 * self.attraction(affinity, 0.5)

    # ------------------------------------------------------------------ tables

    def user_ids(self) -> pa.Array:
        """The users' ids."""
        return _ids("u", self.config.n_users)

    def item_ids(self) -> pa.Array:
        """The items' ids."""
        return _ids("i", self.config.n_items)

    @cached_property
    def items(self) -> pa.Table:
        """The catalogue, with text, categories, price and creator made from the items' groups."""
        launch = pa.array(self.launch * SECOND)
        rng = Run(seed=self.config.seed).generator("synthetic catalogue")
        return item_table(self.item_ids(), self.primary, self.secondary, launch, rng)

    @cached_property
    def users(self) -> pa.Table:
        """The users, with an age (which leans with the main group) and a region (which says nothing)."""
        rng = Run(seed=self.config.seed).generator("synthetic users")
        n, main = self.config.n_users, np.argmax(self.early, axis=1)
        age = np.clip(rng.normal(25 + 30 * main / max(1, self.config.n_groups - 1), 10, n), 16, 90)
        regions = np.array(["north", "east", "south", "west"])[rng.integers(0, 4, n)]
        return pa.table({"user_id": self.user_ids(), "age": age.astype(np.int32), "region": regions})

    @cached_property
    def shop(self) -> Shop:
        """What there is to draw, by group and by moment."""
        return Shop(self.membership, self.weight, self.launch)

    def exposures(
        self,
        n_lists: int = 1_000,
        length: int = 10,
        policy: Literal["uniform", "popular"] = "popular",
        click_rate: float = 0.2,
        conversion_rate: float = 0.1,
        position_bias: float = 1.0,
        seed: int = 0,
    ) -> pa.Table:
        """Lists that a known policy showed, and what people did with them.

        Each place of a list is drawn on its own: `uniform` from all items that exist, `popular` half so and half by
        popularity; so an item can stand twice in a list, and `propensity` (its chance at that place) is exact. Place p
        (from 1) is examined with chance p^-position_bias.

        Columns: `query, user_id, item_id, time` (microseconds), `position, propensity, clicked, converted`, and the
        truth `examination, click_chance` (examined and attractive), `conversion_chance` (once clicked).
        """
        rng = Run(seed=seed).generator("synthetic exposures")
        user = rng.choice(self.config.n_users, n_lists, p=self.activity / self.activity.sum())
        time = np.sort(self.config.start + rng.integers(0, self.config.days * 86_400, n_lists))
        item, propensity = self._shown(np.repeat(time, length), policy, rng)
        examined = np.tile(np.arange(1, length + 1) ** -position_bias, n_lists)
        fit = self.affinity(np.repeat(user, length), item, np.repeat(time, length) * SECOND)
        chance, conversion = examined * self.attraction(fit, click_rate), self.attraction(fit, conversion_rate)
        clicked = rng.random(len(item)) < chance
        converted = clicked & (rng.random(len(item)) < conversion)
        columns = {
            "query": np.repeat(np.arange(n_lists), length),
            "user_id": self.user_ids().take(pa.array(np.repeat(user, length))),
            "item_id": self.item_ids().take(pa.array(item)),
            "time": np.repeat(time, length) * SECOND,
            "position": np.tile(np.arange(1, length + 1, dtype=np.int32), n_lists),
            "propensity": propensity,
            "clicked": clicked,
            "converted": converted,
            "examination": examined,
            "click_chance": chance,
            "conversion_chance": conversion,
        }
        return pa.table(columns)

    def coupons(
        self,
        n: int = 1_000,
        discounts: Sequence[float] = (0.1,),
        lean: float = 0.0,
        hidden: float = 0.3,
        seed: int = 0,
    ) -> pa.Table:
        """A trial of coupons at the end of the world: `n` people, a coupon or none by lot, and who bought then.

        Args:
            n: people, each another user of the world.
            discounts: one for each arm but arm 0, which is no coupon.
            lean: 0 where all arms have the same chance for everybody; above, busy people get a coupon more often, with
                chances that are known.
            hidden: standard deviation of what moves a person's log-odds and nobody can know.
            seed: of the trial; the people are those of the world.

        Columns: `user_id`; what is known then, `age, region, views, purchases, days_since, spending, on_sale, opened`
        (see `COUPON_FEATURES`); `arm, propensity` (the chance of that arm), `bought`; and the truth, `chance_without`,
        `chance_with_1`, ... for each arm.

        Raises:
            ConfigError: more people than the world has, or discounts that are none.
        """
        from zhiyin.data._synthetic_coupons import coupons

        return coupons(self, self._past, n, discounts, lean, hidden, seed)

    @cached_property
    def _past(self) -> Past:
        from zhiyin.data._synthetic_coupons import past

        return past(self)

    def _shown(self, seconds: LongVector, policy: str, rng: np.random.Generator) -> tuple[IntVector, DoubleVector]:
        """(n,) an item for each place and the chance with which the policy shows it there."""
        if policy not in ("uniform", "popular"):
            raise ConfigError(f"policy {policy!r} came; expected 'uniform' or 'popular'")
        by_launch = np.argsort(self.launch, kind="stable")
        summed = np.cumsum(self.weight[by_launch])
        n_known = np.searchsorted(self.launch[by_launch], seconds, side="right")
        total = summed[n_known - 1]
        place = np.minimum((rng.random(len(seconds)) * n_known).astype(np.int64), n_known - 1)
        lean = 0.5 if policy == "popular" else 0.0
        popular = np.minimum(np.searchsorted(summed, rng.random(len(seconds)) * total, side="right"), n_known - 1)
        item = by_launch[np.where(rng.random(len(seconds)) < lean, popular, place)].astype(np.int32)
        return item, (1 - lean) / n_known + lean * self.weight[item] / total


def _tastes(config: SyntheticConfig, rng: np.random.Generator) -> FloatMatrix:
    """(n_users, n_groups) float32 with rows that sum to 1."""
    raw = np.exp(config.taste * rng.standard_normal((config.n_users, config.n_groups), np.float32))
    tastes: FloatMatrix = raw / raw.sum(axis=1, keepdims=True)
    return tastes


def _seasons(config: SyntheticConfig, rng: np.random.Generator) -> tuple[FloatMatrix, FloatMatrix]:
    """((168, n_groups), (366, n_groups)) how much the hour of the week and the day of the year favour each group."""
    phase = rng.random((4, config.n_groups))
    hour, day = np.arange(168)[:, None], np.arange(366)[:, None]
    weekend = np.where(hour >= 120, 1.0, -0.4) * (2 * phase[3] - 1)
    by_hour = np.exp(config.season * (np.cos(2 * np.pi * (hour / 24 - phase[0])) + weekend))
    by_day = np.exp(config.season * np.cos(2 * np.pi * (day / 365.25 - phase[1])))
    return by_hour.astype(np.float32), by_day.astype(np.float32)


def hour_of_week(seconds: LongVector) -> LongVector:
    """(n,) hours since Monday 00:00 UTC; 1970 began on a Thursday."""
    return (seconds // HOUR + 72) % 168


def day_of_year(seconds: LongVector) -> LongVector:
    """(n,) days since the start of a year of 365.25 days."""
    return ((seconds // 86_400) % 365.25).astype(np.int64)


def _ids(letter: str, n: int) -> pa.Array:
    width = max(5, len(str(n - 1)))
    return pa.array([f"{letter}{number:0{width}d}" for number in range(n)])
