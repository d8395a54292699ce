"""Small worlds whose right answer is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories

DAY = 86_400_000_000


def checkerboard(n: int = 20) -> Dataset:
    """`n` users and `n` items: even users use the even items, odd users the odd ones, but each leaves out one of them.

    The one right recommendation for user `u` is item `u`. Every event has a time, a value (4, or 5 for low items), and
    items have a title and a category ("even" or "odd").
    """
    lists = [[item for item in range(n) if item % 2 == user % 2 and item != user] for user in range(n)]
    histories = Histories.of_lists(lists)
    place = np.concatenate([np.arange(len(one)) for one in lists])
    start = np.repeat(np.arange(n), [len(one) for one in lists])
    full = Histories(
        histories.offsets,
        histories.item,
        time=((place * n + start) * DAY).astype(np.int64),
        value=np.where(histories.item < n // 2, 5, 4).astype(np.float32),
    )
    sides = ["even", "odd"]
    items = pa.table(
        {
            "item_id": [f"i{number:03d}" for number in range(n)],
            "title": [f"{sides[number % 2]} thing {number}" for number in range(n)],
            "categories": [[sides[number % 2]] for number in range(n)],
        }
    )
    return Dataset.of(full, items, [f"u{number:03d}" for number in range(n)], name="checkerboard")


def tastes(n_users: int = 120, n_items: int = 60, n_groups: int = 4, seed: int = 0) -> Dataset:
    """Users of `n_groups` tastes who mostly use the items of their own group, popular ones more; 5 to 25 events."""
    rng = np.random.default_rng(seed)
    group_of_item = np.arange(n_items) % n_groups
    appeal = 1 / (1 + np.arange(n_items) // n_groups)
    lists = []
    for user in range(n_users):
        chance = appeal * np.where(group_of_item == user % n_groups, 1.0, 0.05)
        size = int(rng.integers(5, min(26, n_items // 2)))
        lists.append(rng.choice(n_items, size, replace=False, p=chance / chance.sum()).tolist())
    flat = Histories.of_lists(lists)
    time = np.concatenate([np.sort(rng.integers(0, 1000 * DAY, len(one))) for one in lists]).astype(np.int64)
    value = np.where(group_of_item[flat.item] == flat.owner() % n_groups, 5.0, 2.0).astype(np.float32)
    names = [f"taste{number}" for number in range(n_groups)]
    items = pa.table(
        {
            "item_id": [f"i{number:04d}" for number in range(n_items)],
            "title": [f"{names[group_of_item[number]]} work {number}" for number in range(n_items)],
            "categories": [[names[group_of_item[number]]] for number in range(n_items)],
        }
    )
    histories = Histories(flat.offsets, flat.item, time=time, value=value)
    return Dataset.of(histories, items, [f"u{number:04d}" for number in range(n_users)], name="tastes")
