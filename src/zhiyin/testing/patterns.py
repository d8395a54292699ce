"""Worlds with a planted pattern in the order, the times or the columns of events, which a sequence model must find.

In each, the last event of every user is the answer to what comes before it: `asked` cuts it off, and `found` says how
often a model puts the right item (or an item of the right group) first. `PATTERNS` states of each world what decides
the answer, how often the best possible model is right, and how often the control is: a count of what followed the last
item, which reads no sequence and solves `chain` alone. Both are counts by a key, see `counted`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np

from zhiyin.arrays import AnyArray, IntVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.models.base import Recommender
from zhiyin.nn.reading import NEEDS, Feature
from zhiyin.run import Run

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# ---------------------------------------------------------------------- worlds in which the order decides


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


def pairs(n_users: int = 300, n_items: int = 12, ways: int = 3, seed: int = 0) -> Dataset:
    """A second-order chain: the last item leaves `ways` that may follow, the one before it says which of them does.

    It says so by its number modulo `ways`, which divides `n_items`: then every pair occurs as often as any other.
    """
    rng = np.random.default_rng(seed)
    first = rng.permutation(n_items)
    after = np.stack([np.roll(first, way) for way in range(ways)])  # which nowhere agree
    lists = []
    for _ in range(n_users):
        items = [int(rng.integers(n_items))]
        items.append(int(after[rng.integers(ways), items[0]]))
        for _ in range(rng.integers(5, 10)):
            items.append(int(after[items[-2] % ways, items[-1]]))
        lists.append(items)
    return _world(lists, n_items, "pairs")


def copies(n_users: int = 300, n_items: int = 12, lag: int = 3, seed: int = 0) -> Dataset:
    """A copy task: every item is the one `lag` events before, whichever that was."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n_users):
        first = rng.choice(n_items, lag, replace=False)
        lists.append(first[np.arange(rng.integers(2 * lag, 5 * lag)) % lag].tolist())
    return _world(lists, n_items, "copies")


def periods(n_users: int = 200, n_items: int = 30, n_groups: int = 3, stay: int = 2, seed: int = 0) -> Dataset:
    """A periodic taste: groups of items (number modulo `n_groups`) take turns of `stay` events each.

    The item within a group is random, and the last one does not tell whether the turn is over.
    """
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n_users):
        turn = (rng.integers(n_groups * stay) + np.arange(rng.integers(5, 12))) // stay % n_groups
        lists.append(_of_groups(turn, n_items, n_groups, rng))
    return _world(lists, n_items, "periods")


def drift(n_users: int = 600, n_items: int = 12, n_groups: int = 4, length: int = 12, seed: int = 0) -> Dataset:
    """A drifting taste with accidents: a user has had most events in one group, and has moved to another.

    An accident is of any other group. The two events after one are none, of the others chance makes every second one:
    most of the last three tell the taste, the last one does not, and a quarter of the answers are accidents as well.
    """
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n_users):
        old, new = rng.choice(n_groups, 2, replace=False)
        before = rng.integers(length // 2 - 1, length - 3)
        groups = np.repeat([old, new], [before, length + 1 - before])
        accidents = np.cumsum(2 + rng.geometric(0.5, length)) - rng.integers(2, 5)
        accidents = accidents[(accidents >= 0) & (accidents <= length)]
        groups[accidents] = (groups[accidents] + rng.integers(1, n_groups, len(accidents))) % n_groups
        lists.append(_of_groups(groups, n_items, n_groups, rng))
    return _world(lists, n_items, "drift")


# ---------------------------------------------------------------------- worlds in which something else decides


def weekdays(n_users: int = 200, n_items: int = 30, n_groups: int = 2, seed: int = 0) -> Dataset:
    """A taste of the calendar: group 0 from Monday to Friday, group 1 at the weekend; nothing else tells which."""
    rng = np.random.default_rng(seed)
    lists, times = [], []
    for _ in range(n_users):
        day = np.cumsum(rng.integers(1, 10, rng.integers(5, 12)))
        group = ((day + 3) % 7 >= 5).astype(int)  # day 0 is a Thursday
        lists.append(_of_groups(group, n_items, n_groups, rng))
        times.append(day * DAY + DAY // 2)
    return _world(lists, n_items, "weekdays", time=np.concatenate(times))


Teller: TypeAlias = Literal["wait", "gap", "hour", "kind", "value", "session"]
"""What may decide in `forks`: a feature of `zhiyin.nn.reading.Feature`."""


def forks(by: Teller, n_users: int = 200, n_items: int = 12, seed: int = 0) -> Dataset:
    """After each item comes one of two; chance says which, and a single column tells it.

    `wait`: a minute or a day passes until the answer. `hour`: it comes in the morning or in the evening. The others are
    of the last event. `gap`: it came a minute or a day after the one before it. `session`: it began a session or not.
    `kind`, `value`: it had one of two.
    """
    rng = np.random.default_rng(seed)
    first = rng.permutation(n_items)
    after = np.stack([first, np.roll(first, 1)])  # which nowhere agree
    lists, told = [], []
    for _ in range(n_users):
        ways = rng.integers(0, 2, rng.integers(5, 12))  # from each event to the one after it
        items = [int(rng.integers(n_items))]
        for way in ways[:-1]:
            items.append(int(after[way, items[-1]]))
        lists.append(items)
        told.append(_told(by, ways, rng))
    kinds = ("view", "buy") if by == "kind" else ()
    return _world(lists, n_items, f"forks by {by}", kinds, **{NEEDS[by]: np.concatenate(told)})


def _told(by: Teller, ways: AnyArray, rng: np.random.Generator) -> AnyArray:
    """(n,) the column that tells which way each of n events goes on."""
    came = np.roll(ways, 1)
    days = np.cumsum(rng.integers(1, 10, len(ways))) * DAY
    columns: dict[Teller, AnyArray] = {
        "wait": np.cumsum(np.where(came, DAY, MINUTE)),
        "gap": np.cumsum(np.where(ways, DAY, MINUTE)),
        "hour": days + np.where(came, 20, 8) * HOUR,
        "session": np.cumsum(ways).astype(np.int32),
        "kind": ways.astype(np.uint8),
        "value": np.where(ways, 5, 1).astype(np.float32),
    }
    return columns[by]


def _of_groups(groups: AnyArray, n_items: int, n_groups: int, rng: np.random.Generator) -> list[int]:
    """A random item of each of the groups."""
    found: list[int] = (rng.integers(n_items // n_groups, size=len(groups)) * n_groups + groups).tolist()
    return found


def _world(
    lists: list[list[int]], n_items: int, name: str, kinds: tuple[str, ...] = (), **columns: AnyArray
) -> Dataset:
    flat = Histories.of_lists(lists)
    full = Histories(flat.offsets, flat.item, **columns)
    return Dataset.of(full, [f"i{number:03d}" for number in range(n_items)], kinds=kinds, name=name)


# ---------------------------------------------------------------------- what is asked, and how often it is found


def without_answers(world: Dataset) -> Dataset:
    """The world as it was before each user's last event: what a model may learn from."""
    return world.keep(world.histories.from_end() > 0)


def asked(world: Dataset) -> tuple[Queries, IntVector]:
    """What comes before the last event of each user, asked at its moment, and the item that it was on."""
    histories = world.histories
    last = histories.offsets[1:] - 1
    before = histories.keep(histories.from_end() > 0)
    now = None if histories.time is None else histories.time[last]
    return Queries(before, world.items, now, kinds=world.kinds), histories.item[last]


def found(model: Recommender, world: Dataset, n_groups: int | None = None) -> float:
    """How often the first item that `model` lists is the right one, or of the right group; repeats may be listed."""
    queries, answers = asked(world)
    first = model.recommend(queries, 1, exclude_seen=False, run=Run(threads=1)).items[:, 0]
    right = first == answers if n_groups is None else first % n_groups == answers % n_groups
    return float(np.mean(right))


Key: TypeAlias = Callable[[Histories, int], Hashable]
"""Of what came before event `place` of a world's histories, and of its moment: what a count goes by."""


def counted(world: Dataset, key: Key, n_groups: int | None = None) -> float:
    """How often the answer (or its group) is the one that came most often after the same `key`.

    Counted are the events that `without_answers` leaves and that have three before them.
    """
    histories, answers = world.histories, world.histories.item % (n_groups or world.n_items)
    counts: dict[Hashable, Counter[int]] = defaultdict(Counter)
    for start, stop in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        for place in range(start + 3, stop - 1):
            counts[key(histories, place)][answers[place]] += 1
    right = 0
    for place in histories.offsets[1:] - 1:
        likely = counts[key(histories, place)].most_common(1)
        right += bool(likely) and likely[0][0] == answers[place]
    return right / len(histories)


def last(n: int = 1, n_groups: int | None = None) -> Key:
    """The key of the last `n` items, or of their groups; of one, it is the control."""

    def key(histories: Histories, place: int) -> Hashable:
        items = histories.item[place - n : place]
        return tuple(items if n_groups is None else items % n_groups)

    return key


def _third_last(histories: Histories, place: int) -> Hashable:
    return int(histories.item[place - 3])


def _most_of_three(histories: Histories, place: int) -> Hashable:
    """The group of most of the last three events of `drift`."""
    return int(np.bincount(histories.item[place - 3 : place] % 4).argmax())


def _weekday(histories: Histories, place: int) -> Hashable:
    assert histories.time is not None
    return int(histories.time[place] // DAY % 7)


def _fork(by: Teller) -> Key:
    def key(histories: Histories, place: int) -> Hashable:
        previous, before, now = map(float, histories.columns()[NEEDS[by]][place - 2 : place + 1])
        told = {
            "wait": now - before > HOUR,
            "gap": before - previous > HOUR,
            "hour": now // HOUR % 24,
            "session": before != previous,
        }.get(by, before)
        return int(histories.item[place - 1]), told

    return key


@dataclass(frozen=True, slots=True)
class Pattern:
    """A world, and what is known of it before any model has seen it."""

    make: Callable[[], Dataset]
    decides: Key
    """What the answer depends on: a count by it is the best possible model."""
    control: float
    """How often a count by the last item (or its group) finds the answer."""
    n_groups: int | None = None
    """An answer is right when it is of the right group, the number of an item modulo this; None: the item itself."""
    ceiling: float = 1.0
    """How often the best possible model finds the answer."""
    feature: Feature | None = None
    """What a model must be told of events, or of the moment, beside items and their order."""


TELLERS: tuple[Teller, ...] = get_args(Teller)

PATTERNS: Mapping[str, Pattern] = {
    "chain": Pattern(chain, last(), control=1.0),
    "pairs": Pattern(pairs, last(2), control=0.36),
    "copies": Pattern(copies, _third_last, control=0.15),
    "periods": Pattern(periods, last(2, n_groups=3), control=0.5, n_groups=3),
    "drift": Pattern(drift, _most_of_three, control=0.53, n_groups=4, ceiling=0.77),
    "weekdays": Pattern(weekdays, _weekday, control=0.74, n_groups=2, feature="weekday"),
    **{f"forks by {by}": Pattern(partial(forks, by), _fork(by), control=0.49, feature=by) for by in TELLERS},
}
"""All of them, by name."""
