from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.evaluation.evaluate import evaluate, lists_of, parse_metrics, world_of
from zhiyin.evaluation.significance import Sample
from zhiyin.evaluation.slices import Slice, slice_samples, slices_of, summarise
from zhiyin.models.popularity import Popularity
from zhiyin.splitting.base import Split
from zhiyin.splitting.leave_last_out import LeaveLastOut
from zhiyin.testing.worlds import tastes


def described() -> Dataset:
    """The world of tastes, whose users have a sex, a number of children, an age and a name."""
    world = tastes(n_users=200)
    n = np.arange(world.n_users)
    users = world.user_table
    users = users.append_column("sex", pa.array(np.where(n % 3 == 0, "f", "m")))
    users = users.append_column("children", pa.array(n % 4, mask=n % 10 == 0))
    users = users.append_column("age", pa.array(n))
    users = users.append_column("height", pa.array(n / 2))
    return Dataset(world.histories, world.item_table, users, world.manifest)


def split() -> Split:
    return LeaveLastOut().split(described())


def test_each_kind_of_query_slice_is_a_partition() -> None:
    parts = slices_of(split())
    assert {one.kind for one in parts} == {"history length", "target popularity", "sex", "children"}
    for kind in ("history length", "sex", "children"):
        masks = [one.rows for one in parts if one.kind == kind]
        assert np.sum(masks, axis=0).tolist() == [1] * len(split().test), kind


def test_target_groups_are_a_partition_of_the_targets_by_training_events() -> None:
    cut = split()
    groups = [one for one in slices_of(cut) if one.kind == "target popularity"]
    assert np.sum([one.targets for one in groups], axis=0).tolist() == [1] * cut.test.targets.n_events
    events = [cut.development.popularity[cut.test.targets.item[one.targets]] for one in groups]
    for more, less in pairwise(events):
        assert more.min() >= less.max()


def test_history_bins_say_what_they_hold_and_cold_users_stand_apart() -> None:
    cut = split()
    histories = cut.test.queries.histories
    empty = histories.keep(~np.isin(histories.owner(), [0, 1, 2]))
    cold = replace(cut, test=replace(cut.test, queries=replace(cut.test.queries, histories=empty)))
    parts = [one for one in slices_of(cold) if one.kind == "history length"]
    assert parts[0].name == "no history (cold user)"
    assert np.flatnonzero(parts[0].rows).tolist() == [0, 1, 2]
    for part in parts[1:]:
        low, high = (int(text) for text in part.name.replace(" events", "").split(" to "))
        lengths = empty.lengths[part.rows]
        assert low <= lengths.min()
        assert lengths.max() == high


def test_unknown_attributes_are_a_group_of_their_own() -> None:
    names = [one.name for one in slices_of(split()) if one.kind == "children"]
    assert names == ["0", "1", "2", "3", "unknown"]


def test_items_without_training_events_are_cold() -> None:
    cut = split()
    item = int(cut.test.targets.item[0])
    development = cut.development.keep(cut.development.histories.item != item)
    groups = [one for one in slices_of(replace(cut, development=development)) if one.kind == "target popularity"]
    assert groups[-1].name.startswith("cold")
    assert (cut.test.targets.item[groups[-1].targets] == item).all()


def test_kinds_of_targets_make_slices() -> None:
    histories = Histories(
        np.array([0, 3, 6]), np.array([0, 1, 2, 1, 2, 0], np.int32), kind=np.array([0, 0, 1, 0, 0, 0], np.uint8)
    )
    world = Dataset.of(histories, ["a", "b", "c"], clock="position", kinds=["view", "buy"])
    parts = [one for one in slices_of(LeaveLastOut().split(world)) if one.kind == "event kind"]
    assert [(one.name, one.targets.tolist()) for one in parts if one.targets is not None] == [
        ("view", [False, True]),
        ("buy", [True, False]),
    ]


def test_values_on_a_slice_equal_those_of_its_queries_alone() -> None:
    cut = split()
    metrics = parse_metrics(["ndcg@10", "recall@10"])
    world = world_of(cut.development)
    model = Popularity().fit(cut.development)
    whole = evaluate(model, cut.test, metrics, world)
    lists = lists_of(whole.recommendations, cut.test, world)
    for part in slices_of(cut):
        found = slice_samples(part, lists, whole.samples, metrics)
        if part.rows is not None:
            alone = evaluate(model, cut.test.take(part.rows), metrics, world).overall
        else:
            targets = cut.test.targets.keep(part.targets)
            alone = evaluate(model, replace(cut.test, targets=targets), metrics, world).overall
        assert {label: sample.value for label, sample in found.items()} == pytest.approx(alone)


def test_small_slices_have_no_interval() -> None:
    values = np.random.default_rng(0).random(40)
    for n, known in ((29, False), (30, True)):
        sample = {"m": {"ndcg@10": Sample.of(values[:n])}}
        found = summarise(Slice("kind", "name", rows=np.arange(40) < n), sample)
        assert found.n == n
        assert (found.values["m"]["ndcg@10"].low is not None) is known


def test_a_slice_of_few_users_has_no_interval_however_many_their_queries() -> None:
    sample = {"m": {"ndcg@10": Sample.of(np.random.default_rng(0).random(300))}}
    for users, known in ((29, False), (30, True)):
        owner = (np.arange(300) % users).astype(np.int32)
        found = summarise(Slice("kind", "name", rows=np.ones(300, bool)), sample, owner=owner)
        assert found.n == 300
        assert (found.values["m"]["ndcg@10"].low is not None) is known
