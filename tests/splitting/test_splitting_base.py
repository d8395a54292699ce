from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin import splitting
from zhiyin.data.histories import Histories
from zhiyin.splitting.base import break_ties, moments, opens, tied
from zhiyin.testing.splitters import marks, random_log


def test_the_room_lists_every_way_and_each_has_a_test_here() -> None:
    assert splitting.available() == ("cold_items", "global_time", "leave_last_out", "user_holdout")
    assert splitting.GlobalTime is splitting.get("global_time")


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 20))
def test_ties_and_moments_agree_with_a_count(seed: int, n_events: int, days: int) -> None:
    histories = random_log(seed, n_users=7, n_events=n_events, days=days).histories
    assert histories.time is not None
    keys = list(zip(histories.owner().tolist(), histories.time.tolist(), strict=True))
    assert tied(histories).tolist() == [keys.count(key) > 1 for key in keys]
    assert moments(histories).tolist() == [keys.index(key) for key in keys]
    assert np.flatnonzero(opens(histories)).tolist() == sorted(
        {keys.index(next(k for k in keys if k[0] == key[0])) for key in keys}
    )


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 5))
def test_shuffling_permutes_only_ties(seed: int, draw: int) -> None:
    data = random_log(seed, n_users=6, n_events=80, days=6)
    shuffled = break_ties(data, "shuffle", draw).histories
    assert data.histories.time is not None
    assert shuffled.time is not None
    assert shuffled.time.tolist() == data.histories.time.tolist()
    groups = moments(data.histories)
    assert groups[marks(shuffled)].tolist() == groups.tolist()
    assert sorted(marks(shuffled).tolist()) == list(range(80))
    assert shuffled.item.tolist() == data.histories.item[marks(shuffled)].tolist()
    loose = ~tied(data.histories)
    assert (marks(shuffled)[loose] == np.flatnonzero(loose)).all()


def test_every_order_of_a_tie_is_drawn_sometimes() -> None:
    histories = Histories.of_lengths([3], item=np.arange(3, dtype=np.int32), time=np.zeros(3, np.int64))
    data = random_log().with_histories(Histories.of_lengths([3, *[0] * 59], **histories.columns()))
    orders = {tuple(break_ties(data, "shuffle", seed).histories.item.tolist()) for seed in range(60)}
    assert len(orders) == 6


def test_a_split_is_shown_by_its_sizes() -> None:
    split = splitting.get("leave_last_out")().split(random_log())
    train, test = split.train.n_events, len(split.test)
    shown = repr(split)
    assert shown.startswith("Split by leave_last_out: train Dataset")
    assert f"{train:,} events; validation Cases: " in shown
    assert shown.endswith(f"; test Cases: {test:,}, of {split.test.targets.n_events:,} targets")
    assert repr(split.test.queries) == f"Queries: {test:,}, of {split.test.queries.histories.n_events:,} events"
    assert "; no validation; " in repr(replace(split, validation=None))
