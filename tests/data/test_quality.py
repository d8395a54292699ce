"""Worlds in which each defect was planted and must be found, and clean worlds in which nothing may be found."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.artifacts import to_json
from zhiyin.data import quality_measures, quality_twins
from zhiyin.data.dataset import Dataset, Step
from zhiyin.data.histories import Histories
from zhiyin.data.quality import Quality, QualityConfig, assess
from zhiyin.data.quality_facts import concentration
from zhiyin.data.quality_leakage import id_order, ranks, spearman
from zhiyin.data.quality_measures import DAY, HOUR, NEVER, SECOND, measure
from zhiyin.data.quality_twins import near_twins

START = 1_640_995_200 * SECOND  # 2022-01-01
NOW = START + 1000 * DAY
N_USERS, N_ITEMS, N_DAYS = 520, 600, 300


class World:
    """A log as plain columns, free of defects, to plant them in."""

    def __init__(self, seed: int = 0) -> None:
        rng = self.rng = np.random.default_rng(seed)
        lengths = np.clip(rng.lognormal(3.6, 0.5, N_USERS).astype(int), 8, 150)
        appeal = 1 / (10 + np.arange(N_ITEMS))
        lists = [rng.choice(N_ITEMS, n, replace=False, p=appeal / appeal.sum()) for n in lengths]
        self.user = np.repeat(np.arange(N_USERS), lengths)
        self.item = np.concatenate(lists).astype(np.int32)
        self.time = START + rng.integers(0, N_DAYS * DAY // SECOND, len(self.item)) * SECOND
        self.value = rng.choice([1, 2, 3, 4, 5], len(self.item), p=[0.05, 0.1, 0.25, 0.35, 0.25]).astype(np.float32)
        self.ids = [f"p{number:04d}" for number in rng.permutation(N_ITEMS)]
        self.columns: dict[str, Any] = {
            "title": [f"title {number}" for number in range(N_ITEMS)],
            "price": rng.uniform(1, 50, N_ITEMS),
            "year": rng.integers(1990, 2022, N_ITEMS),
        }
        self.user_columns: dict[str, Any] = {"age": rng.integers(18, 80, N_USERS)}
        self.kind: np.ndarray | None = None
        self.clock = "time"

    def add(self, user: int, items: Any, times: Any, value: float = 4.0) -> None:
        """More events of one user, who may be a new one."""
        self.user = np.append(self.user, np.full(len(items), user))
        self.item = np.append(self.item, np.asarray(items, np.int32))
        self.time = np.append(self.time, np.asarray(times, np.int64))
        self.value = np.append(self.value, np.full(len(items), value, np.float32))

    def dataset(self) -> Dataset:
        order = np.lexsort((self.time, self.user))
        n_users = int(self.user.max()) + 1
        histories = Histories.of_lengths(
            np.bincount(self.user, minlength=n_users),
            item=self.item[order],
            time=self.time[order],
            value=self.value[order],
            kind=None if self.kind is None else self.kind[order],
        )
        items = pa.table({"item_id": self.ids, **self.columns})
        users = {name: np.resize(column, n_users) for name, column in self.user_columns.items()}
        people = pa.table({"user_id": [f"u{number}" for number in range(n_users)], **users})
        return Dataset.of(histories, items, people, clock=self.clock, kinds=("view", "buy"), name="world")  # type: ignore[arg-type]

    def assess(self, **options: Any) -> Quality:
        return assess(self.dataset(), now=NOW, **options)


def found(quality: Quality) -> dict[str, Any]:
    return {finding.code: finding for finding in quality.findings}


def bad(quality: Quality) -> set[str]:
    return {finding.code for finding in quality.findings if finding.severity != "good"}


# ---------------------------------------------------------------------- clean worlds


@pytest.mark.parametrize("seed", range(6))
def test_a_clean_world_raises_no_alarm(seed: int) -> None:
    quality = World(seed).assess()
    assert bad(quality) == set()
    assert {"clear_order", "enough"} <= set(found(quality))
    assert quality.verdict.severity == "good"
    assert quality.verdict.title == "Fit for a recommender"


def test_a_world_of_steady_relistening_has_no_bots() -> None:
    world = World(1)
    songs = [world.rng.choice(N_ITEMS, 8, replace=False) for _ in range(N_USERS)]
    world.user = np.repeat(np.arange(N_USERS), 100)
    world.item = np.concatenate([world.rng.choice(mine, 100) for mine in songs]).astype(np.int32)
    world.time = START + world.rng.integers(0, N_DAYS * DAY // SECOND, len(world.item)) * SECOND
    world.value = np.ones(len(world.item), np.float32)
    said = bad(world.assess()) - {"cold_catalogue"}  # one song may really be nobody's
    assert said == {"repeat_use", "consecutive_repeats", "constant_values"}


def test_counts_of_plays_are_not_a_rating_scale_with_errors() -> None:
    world = World(2)
    world.value = world.rng.geometric(0.45, len(world.item)).astype(np.float32)
    assert bad(world.assess()) == set()


def test_rare_half_stars_are_not_off_the_scale() -> None:
    world = World(3)
    world.value[:120] = np.resize([0.5, 1.5, 2.5, 3.5, 4.5], 120)
    assert bad(world.assess()) == set()


def test_times_of_whole_days_accuse_nobody_of_speed() -> None:
    world = World(4)
    world.time = world.time // DAY * DAY
    world.add(7, np.arange(400), np.full(400, START + 5 * DAY))
    quality = world.assess()
    assert quality.facts["time"]["resolution"] == "day"
    assert "rapid_users" not in bad(quality)


# ---------------------------------------------------------------------- planted defects: time


def test_ties_in_time() -> None:
    world = World()
    world.time = START + (world.time - START) // (30 * DAY) * 30 * DAY
    finding = found(world.assess())["tied_times"]
    assert finding.severity == "warning"
    assert "resolution is one day" in finding.detail


def test_tie_share_counts_both_of_a_pair() -> None:
    world = World()
    first = np.flatnonzero(world.user == 3)[:2]
    world.time[first[1]] = world.time[first[0]]
    assert world.assess().facts["time"]["tied_share"] == pytest.approx(2 / len(world.user))


def test_users_of_one_day() -> None:
    world = World()
    begin = START + world.rng.integers(0, N_DAYS, N_USERS) * DAY
    world.time = begin[world.user] + world.rng.integers(0, 20 * HOUR // SECOND, len(world.user)) * SECOND
    quality = world.assess()
    assert "one_day_users" in bad(quality)
    assert quality.facts["time"]["one_day_user_share"] == 1.0


def test_future_ancient_and_disordered_times() -> None:
    world = World()
    world.time[:3] = NOW + DAY
    world.time[50:54] = 0
    quality = world.assess()
    assert found(quality)["future_times"].severity == "problem"
    assert found(quality)["future_times"].detail.startswith("3 events")
    assert found(quality)["ancient_times"].severity == "problem"
    assert quality.verdict.title == "Not fit yet: 2 problems to solve first"
    assert "disordered_times" not in found(quality)
    dataset = World().dataset()
    time = dataset.histories.time.copy()
    time[:2] = time[1::-1]
    columns = {**dataset.histories.columns(), "time": time}
    wrong = dataset.with_histories(Histories(dataset.histories.offsets, **columns))
    assert found(assess(wrong, now=NOW))["disordered_times"].detail.startswith("1 event ")


def test_seconds_that_were_read_as_microseconds() -> None:
    world = World()
    world.time //= SECOND
    finding = found(world.assess())["ancient_times"]
    assert (finding.severity, finding.title) == ("warning", "All times lie before 1990")


def test_a_gap_in_the_log() -> None:
    world = World()
    keep = (world.time < START + 100 * DAY) | (world.time >= START + 110 * DAY)
    for name in ("user", "item", "time", "value"):
        setattr(world, name, getattr(world, name)[keep])
    quality = world.assess()
    assert quality.facts["time"]["longest_gap_days"] == 10
    assert quality.facts["time"]["longest_gap_from"] == "2022-04-11"
    assert "gap" in bad(quality)


def test_a_catalogue_that_turns_over() -> None:
    world = World()
    late = world.time > START + 0.9 * N_DAYS * DAY
    fresh = (world.item % 2 == 0) & late
    world.item[fresh] = N_ITEMS + world.item[fresh] % 60
    world.ids += [f"n{number}" for number in world.rng.permutation(60)]
    world.columns = {name: np.resize(column, N_ITEMS + 60) for name, column in world.columns.items()}
    finding = found(world.assess())["item_drift"]
    assert finding.severity == "warning"
    share = float(finding.detail.split(" %")[0].rpartition(" ")[2]) / 100
    assert share == pytest.approx(fresh.sum() / late.sum(), abs=0.05)


def test_new_users_at_the_end_and_a_short_log() -> None:
    world = World()
    world.user = np.where(world.time > START + 0.9 * N_DAYS * DAY, N_USERS + world.item, world.user)
    assert "user_drift" in bad(world.assess())
    world = World()
    world.time = START + (world.time - START) // 100
    assert "short_span" in bad(world.assess())


@pytest.mark.parametrize(("clock", "code"), [("position", "no_times"), ("none", "no_order")])
def test_logs_without_times_say_what_is_impossible(clock: str, code: str) -> None:
    world = World()
    world.clock = clock
    world.time = np.arange(len(world.time))
    quality = world.assess()
    assert bad(quality) == {code}
    assert quality.facts["time"] is None
    possible = {use.split()[0]: possible for use, possible, _ in quality.uses}
    assert possible["global_time"] is False
    assert possible["leave_last_out"] is (clock == "position")
    assert possible["user_holdout"] is True


# ---------------------------------------------------------------------- planted defects: users and size


def test_a_user_who_is_too_fast() -> None:
    world = World()
    world.add(N_USERS, np.arange(400), START + 10 * DAY + np.arange(400) * SECOND // 2 // SECOND * SECOND)
    world.add(5, np.arange(100), START + 20 * DAY + np.arange(100) * SECOND)  # a short burst is nothing
    finding = found(world.assess())["rapid_users"]
    assert finding.examples == (f"u{N_USERS}",)


def test_the_rate_is_a_setting() -> None:
    world = World()
    world.add(5, np.arange(100), START + 20 * DAY + np.arange(100) * 4 * SECOND)
    assert "rapid_users" not in bad(world.assess())
    assert "rapid_users" in bad(world.assess(config=QualityConfig(rate_per_minute=14, rate_minutes=4)))


def test_a_user_who_repeats_himself() -> None:
    world = World()
    world.add(N_USERS, np.arange(300) % 4, START + np.arange(300) * HOUR)
    finding = found(world.assess())["repetitive_users"]
    assert finding.examples == (f"u{N_USERS}",)


def test_an_extremely_long_history() -> None:
    world = World()
    n = 2_000
    world.add(N_USERS, world.rng.integers(0, N_ITEMS, n), START + np.sort(world.rng.integers(0, N_DAYS * DAY, n)))
    finding = found(world.assess())["long_histories"]
    assert finding.examples == (f"u{N_USERS}",)
    assert "2,000" in finding.detail


def test_a_farm_of_near_identical_users() -> None:
    world = World()
    script = world.rng.choice(N_ITEMS, 40, replace=False)
    for bot in range(12):
        changed = script.copy()
        changed[bot] = (changed[bot] + 1) % N_ITEMS if (changed[bot] + 1) % N_ITEMS not in script else changed[bot]
        times = START + np.sort(world.rng.integers(0, N_DAYS * DAY, 40))
        world.add(N_USERS + bot, world.rng.permutation(changed), times)
    finding = found(world.assess(config=QualityConfig(examples=20)))["twin_users"]
    assert finding.severity == "warning"
    assert set(finding.examples) == {f"u{N_USERS + bot}" for bot in range(12)}


def test_tiny_histories_and_single_events() -> None:
    world = World()
    for user in range(N_USERS, N_USERS + 800):
        world.add(user, [user % N_ITEMS], [START + (user % N_DAYS) * DAY + user])
    assert "tiny_histories" in bad(world.assess())
    world = World()
    for user in range(N_USERS, N_USERS + 100):
        world.add(user, [user % N_ITEMS], [START + (user % N_DAYS) * DAY + user])
    assert "single_events" in bad(world.assess())


def test_few_events_many_rare_items_and_concentration() -> None:
    world = World()
    keep = world.user < 30
    for name in ("user", "item", "time", "value"):
        setattr(world, name, getattr(world, name)[keep])
    assert {"small", "rare_items"} <= bad(world.assess())
    world = World()
    famous = world.rng.random(len(world.item)) < 0.9
    world.item[famous] = world.item[famous] % 20
    assert "concentrated" in bad(world.assess())


# ---------------------------------------------------------------------- planted defects: contents


def test_duplicates_and_consecutive_repeats() -> None:
    world = World()
    for name in ("user", "item", "time", "value"):
        column = getattr(world, name)
        setattr(world, name, np.append(column, column[:40]))
    quality = world.assess()
    assert quality.facts["repeats"]["exact_share"] == pytest.approx(40 / len(world.user))
    assert found(quality)["exact_duplicates"].severity == "warning"
    world = World()
    n = len(world.user)
    world.add(0, world.item, world.time + SECOND)
    world.user[n:] = world.user[:n]
    assert {"repeat_use", "consecutive_repeats"} <= bad(world.assess())


def test_twins_in_time_with_another_value_or_kind_are_no_exact_duplicates() -> None:
    columns = {
        "item": np.array([1, 1, 1, 1, 1], np.int32),
        "time": np.full(5, START),
        "value": np.array([1, 2, 1, np.nan, np.nan], np.float32),
        "kind": np.array([0, 0, 0, 0, 1], np.uint8),
    }
    dataset = Dataset.of(Histories(np.array([0, 5]), **columns), ["a", "b"], kinds=("view", "buy"))
    assert measure(dataset, QualityConfig(), NOW).exact == 1


def test_values_that_are_constant_missing_infinite_or_off_the_scale() -> None:
    world = World()
    world.value[:] = 1
    assert bad(world.assess()) == {"constant_values"}
    world = World()
    world.value[:100] = np.nan
    assert bad(world.assess()) == {"missing_values"}
    world = World()
    world.value[:3] = np.inf
    assert found(world.assess())["infinite_values"].severity == "problem"
    world = World()
    world.value[:30] = -1
    world.value[30:35] = 99
    finding = found(world.assess())["off_scale"]
    assert "35 are not: -1, 99" in finding.detail


def test_a_value_that_is_the_price_of_the_item() -> None:
    world = World()
    world.value = world.columns["price"][world.item].astype(np.float32)
    assert "value_of_item" in bad(world.assess())


def test_unknown_items_cold_items_and_missing_texts() -> None:
    world = World()
    lost = np.unique(world.item)[:5]
    for column in world.columns:
        world.columns[column] = [None if at in lost else one for at, one in enumerate(world.columns[column])]
    quality = world.assess()
    finding = found(quality)["unknown_items"]
    assert set(finding.examples) == {world.ids[at] for at in lost}
    assert quality.facts["catalogue"]["events_without_row"] == np.isin(world.item, lost).sum()
    assert "missing_titles" in bad(quality)
    world = World()
    world.ids += [f"cold{number}" for number in range(N_ITEMS)]
    world.columns = {name: np.resize(column, 2 * N_ITEMS) for name, column in world.columns.items()}
    quality = world.assess()
    assert found(quality)["cold_catalogue"].severity == "warning"
    assert quality.facts["catalogue"]["items_without_events"] == N_ITEMS
    world = World()
    world.columns = {"price": world.columns["price"]}
    assert bad(world.assess()) == {"no_item_text"}
    world = World()
    world.columns["genres"] = [[] if at % 2 else ["jazz"] for at in range(N_ITEMS)]
    assert bad(world.assess()) == {"missing_text"}


def test_users_who_are_not_in_the_table_of_users() -> None:
    world = World()
    lost = np.arange(40)
    world.user_columns = {"age": [None if user in lost else 30 for user in range(N_USERS)]}
    quality = world.assess()
    finding = found(quality)["unknown_users"]
    assert finding.severity == "warning"
    assert finding.detail.startswith("40 users without a row there")
    assert set(finding.examples) <= {f"u{number}" for number in lost}
    assert quality.facts["attributes"]["events_without_row"] == np.isin(world.user, lost).sum()
    world.user_columns = {}
    quality = world.assess()
    assert quality.facts["attributes"]["users_without_row"] is None
    assert "unknown_users" not in bad(quality)


def test_what_the_preparation_removed_and_the_reader_refused() -> None:
    dataset = World().dataset()
    n = dataset.n_events
    steps = (
        Step("ingest", {"refused": {"no time": 900, "no item": 100}}, 4 * n, 4 * n - 1000),
        Step("bots", {}, 4 * n - 1000, n),
    )
    dataset.manifest = replace(dataset.manifest, steps=steps)
    quality = assess(dataset, now=NOW)
    assert "900: no time" in found(quality)["refused_rows"].detail
    assert "`bots`" in found(quality)["much_removed"].detail
    assert quality.facts["preparation"]["steps"][1]["removed"] == 3 * n - 1000
    told = assess(dataset, {"reasons": {"torn": 7}}, now=NOW)
    assert told.facts["preparation"]["quarantine"] == {"torn": 7}


# ---------------------------------------------------------------------- planted defects: leakage


def test_an_item_column_that_counts_the_events() -> None:
    world = World()
    counts = np.bincount(world.item, minlength=N_ITEMS)
    world.columns["heat"] = counts * 3.0 + world.rng.uniform(0, 0.5, N_ITEMS)
    finding = found(world.assess())["leaking_column"]
    assert finding.severity == "problem"
    assert finding.examples == ("heat",)


def test_an_item_column_that_is_the_mean_value_and_a_user_column_that_counts() -> None:
    world = World()
    with np.errstate(invalid="ignore"):
        means = np.bincount(world.item, world.value, N_ITEMS) / np.bincount(world.item, minlength=N_ITEMS)
    world.columns["stars"] = np.where(np.isnan(means), None, means)
    world.user_columns["n_seen"] = np.bincount(world.user) * 2
    columns = {one.examples[0] for one in world.assess().findings if one.code == "leaking_column"}
    assert columns == {"stars", "n_seen"}


@pytest.mark.parametrize("name", ["avg_rating", "rating", "n_reviews", "viewCount", "reviews", "sales_rank"])
def test_a_column_whose_name_says_that_it_sums_up(name: str) -> None:
    world = World()
    world.columns[name] = world.rng.uniform(1, 5, N_ITEMS)
    assert bad(world.assess()) == {"suspicious_column"}


@pytest.mark.parametrize("name", ["age_rating", "n_pages", "year_of_release", "runtime", "discount", "country"])
def test_harmless_names_are_left_alone(name: str) -> None:
    world = World()
    world.columns[name] = world.rng.uniform(1, 5, N_ITEMS)
    assert bad(world.assess()) == set()


def test_items_used_before_they_were_available() -> None:
    world = World()
    first = np.full(N_ITEMS, START)
    np.minimum.at(first, world.item, world.time)
    world.columns["available_from"] = pa.array(first - DAY, pa.timestamp("us"))
    assert bad(world.assess()) == set()
    late = first.copy() - DAY
    late[:50] = START + N_DAYS * DAY
    world.columns["available_from"] = pa.array(late, pa.timestamp("us", "UTC"))
    finding = found(world.assess())["used_before_available"]
    assert finding.examples[0] == world.ids[0]
    world.columns["available_from"] = np.full(N_ITEMS, 2021)
    assert "used_before_available" not in bad(world.assess())


def test_ids_that_grow_with_time() -> None:
    world = World()
    first = np.full(N_ITEMS, NEVER)
    np.minimum.at(first, world.item, world.time)
    place = np.argsort(np.argsort(first))
    world.ids = [f"p{number}" for number in place]
    assert found(world.assess())["ids_tell_time"].severity == "warning"


# ---------------------------------------------------------------------- measures against a slow oracle


def oracle(dataset: Dataset, similarity: float) -> dict[str, Any]:
    histories, counts = dataset.histories, Counter()
    sets = []
    for row in range(len(histories)):
        span = slice(histories.offsets[row], histories.offsets[row + 1])
        items, times = histories.item[span].tolist(), histories.time[span].tolist()
        events = list(zip(items, times, histories.value[span].tolist(), histories.kind[span].tolist(), strict=True))
        counts["repeats"] += len(items) - len(set(items))
        counts["exact"] += len(events) - len(set(events))
        counts["consecutive"] += sum(a == b for a, b in pairwise(items))
        counts["tied"] += sum(times.count(time) > 1 for time in times)
        sets.append(set(items))
    pairs = {
        (a, b)
        for a in range(len(sets))
        for b in range(a)
        if min(len(sets[a]), len(sets[b])) >= 3 and len(sets[a] & sets[b]) >= similarity * len(sets[a] | sets[b])
    }
    return {**counts, "twins": {user for pair in pairs for user in pair}}


@pytest.mark.parametrize("seed", range(12))
def test_measures_agree_with_a_slow_count_whatever_the_blocks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, 40)
    n = int(lengths.sum())
    owner = np.repeat(np.arange(40), lengths)
    time = START + rng.integers(0, 30, n) * HOUR
    histories = Histories.of_lengths(
        lengths,
        item=rng.integers(0, 9, n).astype(np.int32),
        time=time[np.lexsort((time, owner))],
        value=rng.integers(1, 3, n).astype(np.float32),
        kind=rng.integers(0, 2, n).astype(np.uint8),
    )
    dataset = Dataset.of(histories, [f"i{number}" for number in range(100)], kinds=("view", "buy"))
    monkeypatch.setattr(quality_measures.blocks, "__defaults__", (int(rng.integers(1, 60)),))
    config = QualityConfig(similar_items=3, similarity=1.0)
    measured, slow = measure(dataset, config, NOW), oracle(dataset, 1.0)
    for name in ("repeats", "exact", "consecutive", "tied"):
        assert getattr(measured, name) == slow[name], name
    np.testing.assert_array_equal(measured.popularity, np.bincount(histories.item, minlength=100))
    assert measured.days is not None
    assert measured.days.sum() == measured.hours.sum() == n
    twins = near_twins(histories, measured.signed, measured.signatures, 1.0, 100)
    assert set(twins.users.tolist()) == slow["twins"]


def test_near_twins_are_found_among_thousands_and_nobody_else() -> None:
    rng = np.random.default_rng(7)
    lists = [rng.choice(5_000, 30, replace=False) for _ in range(3_000)]
    planted = rng.choice(3_000, 60, replace=False)
    for at in planted[:30]:
        lists[at] = np.append(lists[planted[0]][:29], at)
    for at in planted[30:]:
        lists[at] = lists[planted[30]]
    histories = Histories.of_lists([one.tolist() for one in lists])
    dataset = Dataset.of(histories, [str(number) for number in range(5_000)], clock="none")
    measured = measure(dataset, QualityConfig(), NOW)
    twins = near_twins(histories, measured.signed, measured.signatures, 0.9, 5_000)
    assert set(twins.users.tolist()) == set(planted.tolist())
    assert twins.n_groups == 2
    assert len(twins.largest()) == 30


def test_of_a_huge_farm_only_the_first_pairs_are_checked_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_twins, "CHECKED", 5)
    histories = Histories.of_lists([list(range(20))] * 300 + [list(range(100 * n, 100 * n + 20)) for n in range(1, 9)])
    dataset = Dataset.of(histories, [str(number) for number in range(1_000)], clock="none")
    measured = measure(dataset, QualityConfig(), NOW)
    twins = near_twins(histories, measured.signed, measured.signatures, 0.9, 1_000)
    assert twins.users.tolist() == list(range(300))
    assert twins.n_groups == 1


def test_gini_and_shares_by_hand() -> None:
    assert concentration(np.array([5, 5, 5, 5, 0]))["gini"] == pytest.approx(0)
    one = concentration(np.array([1, 1, 1, 97]))
    assert one["gini"] == pytest.approx(2 * (1 + 2 + 3 + 4 * 97) / (4 * 100) - 5 / 4)
    assert one["top_1"] == one["top_20"] == pytest.approx(0.97)
    assert concentration(np.zeros(3, np.int64))["gini"] == 0


def test_rank_correlation_agrees_with_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 20, 300), rng.integers(0, 20, 300)
    np.testing.assert_allclose(ranks(a), stats.rankdata(a) - 1)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert spearman(a, np.ones(300)) == 0


def test_ids_have_a_natural_order() -> None:
    def order(*ids: str) -> list[int]:
        return np.argsort(id_order(pa.array(ids, pa.large_string()))).tolist()

    assert order("i10", "i9", "i100") == [1, 0, 2]
    assert order("b", "a", "c10", "c9") == [1, 0, 2, 3]
    assert order("x1y2", "x1y1") == [1, 0]


# ---------------------------------------------------------------------- what comes out


def full() -> Quality:
    world = World()
    world.kind = world.rng.integers(0, 2, len(world.item)).astype(np.uint8)
    world.time[:3] = NOW + DAY
    world.ids[0] = "<b>&"
    world.columns["heat"] = np.bincount(world.item, minlength=N_ITEMS) * 3
    return world.assess()


def test_json_has_stable_names_and_plain_values() -> None:
    content = json.loads(to_json(full().to_dict()))
    assert set(content) == {"name", "content_hash", "verdict", "findings", "uses", "facts", "curves"}
    assert set(content["facts"]) == {
        "counts",
        "history_length",
        "events_per_item",
        "concentration",
        "time",
        "repeats",
        "values",
        "kinds",
        "catalogue",
        "attributes",
        "preparation",
    }
    assert set(content["findings"][0]) == {"code", "severity", "title", "detail", "advice", "examples"}
    severities = [finding["severity"] for finding in content["findings"]]
    assert severities == sorted(severities, key=["problem", "warning", "note", "good"].index)
    assert set(content["facts"]["kinds"]) == {"view", "buy"}


def test_every_finding_but_good_news_says_what_to_do() -> None:
    for finding in full().findings:
        assert finding.detail
        assert finding.advice or finding.severity == "good"
        assert len(finding.examples) <= QualityConfig().examples


def test_the_page_answers_first_and_shows_the_curves() -> None:
    html = full().to_page().html()
    answer = html.index("Not fit yet: 2 problems to solve first")
    assert (
        answer < html.index("What to do first") < html.index("<h2>Findings</h2>") < html.index("How active users are")
    )
    for title in (
        "How popular items are",
        "Events per day",
        "When events happen",
        "Values of events",
        "Kinds of events",
    ):
        assert title in html
    assert "<b>&" not in html


def test_the_page_shows_preparation_and_values_of_any_size() -> None:
    world = World()
    world.value = world.rng.lognormal(3, 3, len(world.item)).astype(np.float32)
    dataset = world.dataset()
    steps = (Step("ingest", {"refused": {"torn <row>": 5}}, 10_005, 10_000), Step("bots", {}, 10_000, 9_000, "a & b"))
    dataset.manifest = replace(dataset.manifest, steps=steps)
    quality = assess(dataset, now=NOW)
    curve = quality.curves["values"]
    assert curve["log"]
    assert len(curve["edges"]) == len(curve["counts"]) + 1
    assert sum(curve["counts"]) == dataset.n_events
    html = quality.to_page().html()
    assert html.index("<h2>Preparation</h2>") < html.index("torn &lt;row&gt;", html.index("<h2>Preparation</h2>"))
    assert "a &amp; b" in html
    assert "--part: 10.0%" in html


def test_sessions_are_counted_across_users() -> None:
    histories = Histories(
        np.array([0, 3, 3, 5]), np.arange(5, dtype=np.int32), session=np.array([0, 0, 1, 0, 1], np.int32)
    )
    quality = assess(Dataset.of(histories, list("abcde"), clock="none"))
    assert quality.facts["counts"]["sessions"] == 4


def test_rows_for_the_terminal() -> None:
    rows = full().summary_rows()
    assert rows[0] == ("verdict", "Not fit yet: 2 problems to solve first")
    assert all(isinstance(name, str) and isinstance(text, str) for name, text in rows)
    assert ("users", "520") in rows


@pytest.mark.parametrize("clock", ["time", "position", "none"])
def test_an_empty_log_and_one_event_do_not_break_it(clock: str) -> None:
    empty = Histories(np.zeros(3, np.int64), np.zeros(0, np.int32), time=np.zeros(0, np.int64))
    quality = assess(Dataset.of(empty, ["a", "b"], clock=clock))  # type: ignore[arg-type]
    assert bad(quality) == {"no_events"}
    one = Histories(np.array([0, 1, 1]), np.zeros(1, np.int32), time=np.array([START]), value=np.full(1, np.nan, "f4"))
    for found_one in (quality, assess(Dataset.of(one, ["a", "b"], clock=clock), now=NOW)):  # type: ignore[arg-type]
        assert "Data quality" in found_one.to_page().html()
        to_json(found_one.to_dict())
        assert found_one.summary_rows()


def test_a_broken_clock_of_ages_does_not_break_it() -> None:
    world = World()
    world.time[0] = 4 * 10**18
    quality = world.assess()
    assert "future_times" in bad(quality)
    assert quality.curves["time"] is None
    assert "4000000000000000000" in quality.facts["time"]["last"]
    quality.to_page().html()


def test_a_dataset_on_disk_gives_the_same_report(tmp_path) -> None:
    dataset = World().dataset()
    saved = Dataset.load(dataset.save(tmp_path / "world"))
    ours, theirs = (to_json(assess(one, now=NOW).to_dict()) for one in (dataset, saved))
    assert ours == theirs


def test_a_log_in_which_nobody_has_two_events_is_not_fit() -> None:
    histories = Histories.of_lengths(
        np.ones(300, np.int64), item=np.arange(300, dtype=np.int32) % 50, time=START + np.arange(300) * HOUR
    )
    found = assess(Dataset.of(histories, [f"i{number}" for number in range(50)]), now=NOW)
    codes = {one.code: one.severity for one in found.findings}
    assert codes["no_histories"] == "problem"
    assert "clear_order" not in codes
    assert found.verdict.title.startswith("Not fit")
