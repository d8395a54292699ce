"""Worlds with a planted pattern in the order or the times of events, which a sequence model must find.

In each, the last event of every user is the answer to what comes before it: `asked` cuts it off, and `found` says how
often a model puts the right item (or an item of the right group) first.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import IntVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.models.base import Recommender
from zhiyin.run import Run

MINUTE = 60_000_000
DAY = 86_400_000_000


def chain(n_users: int = 150, n_items: int = 30, seed: int = 0) -> Dataset:
    """A Markov chain: each item is always followed by the same other one."""
    rng = np.random.default_rng(seed)
    after = rng.permutation(n_items)
    place = np.argsort(after)  # of each item on one cycle through all of them
    lists = []
    for _ in range(n_users):
        start, length = rng.integers(n_items), rng.integers(4, 12)
        lists.append(after[(place[start] + np.arange(length)) % n_items].tolist())
    return _world(lists, n_items, "chain")


def copies(n_users: int = 300, n_items: int = 12, lag: int = 3, seed: int = 0) -> Dataset:
    """A copy task: every item is the one `lag` events before, whichever that was."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n_users):
        first = rng.choice(n_items, lag, replace=False)
        lists.append(first[np.arange(rng.integers(2 * lag, 5 * lag)) % lag].tolist())
    return _world(lists, n_items, "copies")


def periods(n_users: int = 200, n_items: int = 30, n_groups: int = 3, seed: int = 0) -> Dataset:
    """A periodic taste: groups of items (number modulo `n_groups`) take turns, the item within one is random."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n_users):
        turn = (rng.integers(n_groups) + np.arange(rng.integers(5, 12))) % n_groups
        lists.append((rng.integers(n_items // n_groups, size=len(turn)) * n_groups + turn).tolist())
    return _world(lists, n_items, "periods")


def drift(n_users: int = 200, n_items: int = 40, n_groups: int = 4, seed: int = 0) -> Dataset:
    """A drifting taste: a user has had most events in one group, and has moved to another with the last three."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n_users):
        old, new = rng.choice(n_groups, 2, replace=False)
        groups = np.repeat([old, new], [int(rng.integers(5, 9)), 4])
        lists.append((rng.integers(n_items // n_groups, size=len(groups)) * n_groups + groups).tolist())
    return _world(lists, n_items, "drift")


def weekdays(n_users: int = 200, n_items: int = 30, n_groups: int = 2, seed: int = 0) -> Dataset:
    """A taste of the calendar: group 0 from Monday to Friday, group 1 at the weekend; nothing else tells which."""
    rng = np.random.default_rng(seed)
    lists, times = [], []
    for _ in range(n_users):
        day = np.cumsum(rng.integers(1, 10, rng.integers(5, 12)))
        group = ((day + 3) % 7 >= 5).astype(int)  # day 0 is a Thursday
        lists.append((rng.integers(n_items // n_groups, size=len(day)) * n_groups + group).tolist())
        times.append(day * DAY + DAY // 2)
    return _world(lists, n_items, "weekdays", np.concatenate(times).astype(np.int64))


def pauses(n_users: int = 300, n_items: int = 20, seed: int = 0) -> Dataset:
    """A taste of the clock: after a minute one item follows the last one, after a day another; chance says which it is.

    Each of the two is a fixed one for every item, so the items alone leave two answers.
    """
    rng = np.random.default_rng(seed)
    soon = rng.permutation(n_items)
    after = np.stack([soon, np.roll(soon, 1)])  # which nowhere agree
    lists, times = [], []
    for _ in range(n_users):
        long = rng.integers(0, 2, rng.integers(5, 12))
        items = [int(rng.integers(n_items))]
        for one in long[1:]:
            items.append(int(after[one, items[-1]]))
        lists.append(items)
        times.append(np.cumsum(np.where(long, DAY, MINUTE)))
    return _world(lists, n_items, "pauses", np.concatenate(times).astype(np.int64))


def _world(lists: list[list[int]], n_items: int, name: str, time: np.ndarray | None = None) -> Dataset:
    flat = Histories.of_lists(lists)
    full = Histories(flat.offsets, flat.item, time)
    return Dataset.of(full, [f"i{number:03d}" for number in range(n_items)], name=name)


def without_answers(world: Dataset) -> Dataset:
    """The world as it was before each user's last event: what a model may learn from."""
    return world.keep(world.histories.from_end() > 0)


def asked(world: Dataset) -> tuple[Queries, IntVector]:
    """What comes before the last event of each user, asked at its moment, and the item that it was on."""
    histories = world.histories
    last = histories.offsets[1:] - 1
    before = histories.keep(histories.from_end() > 0)
    return Queries(before, world.items, None if histories.time is None else histories.time[last]), histories.item[last]


def found(model: Recommender, world: Dataset, n_groups: int | None = None) -> float:
    """How often the first item that `model` lists is the right one, or of the right group; repeats may be listed."""
    queries, answers = asked(world)
    first = model.recommend(queries, 1, exclude_seen=False, run=Run(threads=1)).items[:, 0]
    right = first == answers if n_groups is None else first % n_groups == answers % n_groups
    return float(np.mean(right))
