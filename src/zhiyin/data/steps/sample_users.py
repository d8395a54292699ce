"""Sample users: keep a seeded random part of the users with all of their events.

Who is drawn is worked out with integers alone, so that every engine draws the same users: x -> a x + b, x -> x^5 and
x -> c x + d, modulo the prime p = 2^31 - 1. All three are permutations of 0 .. p - 1 (the second because 5 does not
divide p - 1), so no two users get the same place, and no product exceeds 2^62.
"""

from __future__ import annotations

import numpy as np
from pydantic import model_validator

from zhiyin.config import Config, setting
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, Scratch, listed, next_table

PRIME = 2**31 - 1


class SampleUsersConfig(Config):
    """Settings of `sample_users`: one of `users` and `share`."""

    users: int | None = setting(None, ge=1)
    """How many users to keep."""
    share: float | None = setting(None, gt=0, le=1)
    """Which share of the users to keep."""
    seed: int = setting(0, ge=0)
    """Seed of the draw."""

    @model_validator(mode="after")
    def _one_of_two(self) -> SampleUsersConfig:
        if (self.users is None) == (self.share is None):
            raise ValueError("give one of `users` (how many) and `share` (between 0 and 1)")
        return self


class SampleUsers(PreparationStep):
    """Keep a seeded random part of the users."""

    config: SampleUsersConfig

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        with Scratch(engine) as scratch:
            users, before = scratch.table("users", f"SELECT DISTINCT user_number FROM {events.table}")
            wanted = self.config.users or max(1, round((self.config.share or 0) * before))
            drawn, kept = scratch.table("drawn", _draw(users, min(wanted, before), self.config.seed))
            after = next_table(
                engine,
                events,
                f"SELECT {listed(events.columns, 'e.')} FROM {events.table} AS e "
                f"SEMI JOIN {drawn} AS d ON e.user_number = d.user_number",
            )
        return after, f"kept {kept:,} of {before:,} users"


def _draw(users: str, wanted: int, seed: int) -> str:
    a, b, c, d = (int(one) for one in np.random.default_rng(seed).integers(1, PRIME, 4))
    return f"""
        SELECT user_number FROM (
            SELECT user_number, ROW_NUMBER() OVER (ORDER BY place) AS nth FROM (
                SELECT user_number, ((x4 * x) % {PRIME} * {c} + {d}) % {PRIME} AS place FROM (
                    SELECT user_number, x, (x2 * x2) % {PRIME} AS x4 FROM (
                        SELECT user_number, x, (x * x) % {PRIME} AS x2 FROM (
                            SELECT user_number, (CAST(user_number AS BIGINT) * {a} + {b}) % {PRIME} AS x FROM {users}
                        ) AS once
                    ) AS squared
                ) AS fourth
            ) AS placed
        ) AS ranked WHERE nth <= {wanted}"""
