import logging
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.arrays import BoolVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.synthetic import synthetic
from zhiyin.errors import ConfigError, DataError
from zhiyin.ranking.labels import Labelled, exposed, rated, sampled, until
from zhiyin.ranking.rankers import Logistic, MultiTask
from zhiyin.ranking.table import Features
from zhiyin.run import Run

DAY = 86_400_000_000
START = 1_704_067_200_000_000  # 2024-01-01


@pytest.fixture(scope="module")
def world() -> Dataset:
    return synthetic(n_users=60, n_items=50, n_events=2_500, n_groups=4, seed=2)[0]


def tiny() -> Dataset:
    """Two people, four items; ada had a, b, c on days 1, 2, 3, bob had b on day 2."""
    histories = Histories.of_lengths(
        np.array([3, 1]),
        item=np.array([0, 1, 2, 1], np.int32),
        time=np.array([1, 2, 3, 2]) * DAY,
        value=np.array([4, 2, np.nan, 5], np.float32),
    )
    return Dataset.of(histories, ["a", "b", "c", "d"], ["ada", "bob"], clock="time")


def log(**more: list[object]) -> pa.Table:
    columns = {
        "user_id": ["ada", "bob", "ada", "eve"],
        "item_id": ["d", "a", "b", "c"],
        "time": [3 * DAY, 3 * DAY, 3 * DAY, 9 * DAY],
        "clicked": [1, 0, 0, 1],
    }
    return pa.table({**columns, **more})


def had(found: Labelled) -> BoolVector:
    """(n,) whether the item of each row is in the history of its query."""
    past, rows, n_items = found.candidates.queries.histories, found.candidates, len(found.candidates.queries.items)
    known = past.owner().astype(np.int64) * n_items + past.item
    return np.isin(rows.owner().astype(np.int64) * n_items + rows.item, known)


class TestUntil:
    def test_it_is_the_history_strictly_before(self) -> None:
        asked = until(tiny(), np.array([0, 0, 1, -1]), np.array([3, 4, 2, 9]) * DAY)
        assert [asked.histories.of(at).tolist() for at in range(4)] == [[0, 1], [0, 1, 2], [], []]
        assert asked.users == ("ada", "ada", "bob", "")
        np.testing.assert_array_equal(asked.now, np.array([3, 4, 2, 9]) * DAY)

    def test_of_many_events_the_last_are_kept(self, world: Dataset) -> None:
        user = int(np.argmax(world.histories.lengths))
        whole, short = (until(world, np.array([user]), np.array([2**62]), n) for n in (10_000, 7))
        np.testing.assert_array_equal(whole.histories.item, world.histories.of(user))
        np.testing.assert_array_equal(short.histories.item, world.histories.of(user)[-7:])
        for name, column in whole.histories.columns().items():
            np.testing.assert_array_equal(getattr(short.histories, name), column[-7:])


class TestExposed:
    def test_rows_of_a_person_and_moment_are_one_list(self) -> None:
        found = exposed(log(position=[1, 1, 2, 1]), tiny())
        assert found.candidates.lengths.tolist() == [2, 1, 1]
        assert found.candidates.queries.users == ("ada", "bob", "")
        assert found.candidates.item.tolist() == [3, 1, 0, 2]
        assert found.label.tolist() == [1, 0, 0, 1]
        assert found.candidates.columns["position"].tolist() == [1, 2, 1, 1]
        assert [found.candidates.queries.histories.of(at).tolist() for at in range(3)] == [[0, 1], [1], []]

    def test_a_query_column_says_what_is_one_list(self) -> None:
        found = exposed(log(query=[7, 5, 8, 6]), tiny())
        assert found.candidates.lengths.tolist() == [1, 1, 1, 1]
        assert "query" not in found.candidates.columns

    def test_a_list_that_is_logged_bit_by_bit_is_one_and_asked_for_at_its_first_moment(self) -> None:
        """Two lists in each other's time, by names; ada used b on day 2, when her list was half told."""
        times = [DAY + DAY // 2, DAY + DAY // 2 + 1, 2 * DAY + 5, 2 * DAY + 6]
        rows = log(query=["x", "y", "x", "y"], user_id=["ada", "bob", "ada", "bob"], time=times)
        found = exposed(rows, tiny())
        assert found.candidates.lengths.tolist() == [2, 2]
        assert found.candidates.item.tolist() == [3, 1, 0, 2]
        assert found.candidates.queries.users == ("ada", "bob")
        assert found.candidates.now().tolist() == times[:2]
        assert [found.candidates.queries.histories.of(at).tolist() for at in range(2)] == [[0], []]
        with pytest.raises(DataError, match="the rows of query 'x' are of several people"):
            exposed(rows.set_column(rows.column_names.index("query"), "query", pa.array(["x"] * 4)), tiny())

    def test_conversions_count_within_the_window_and_when_they_can_be_known(self) -> None:
        when = [5 * DAY, None, 8 * DAY, None]
        found = exposed(
            log(clicked=[1, 0, 1, 1], converted_at=pa.array(when, pa.int64())),
            tiny(),
            converted_at="converted_at",
            window=4,
        )  # type: ignore[arg-type]
        assert found.unripe == 1  # eve's, on the last day
        assert found.candidates.item.tolist() == [3, 1, 0]
        assert found.outcomes["conversion"].tolist() == [1, 0, 0]  # that of b came on the fifth day after
        assert found.outcomes["click"].tolist() == [1, 1, 0]
        later = exposed(
            log(converted_at=pa.array(when, pa.int64())), tiny(), converted_at="converted_at", window=4, ends=13 * DAY
        )  # type: ignore[arg-type]
        assert later.unripe == 0

    @pytest.mark.parametrize("kind", ["s", "ms", "us", "ns", "date32", "date64", "float"])
    @pytest.mark.parametrize("zone", [None, "Asia/Shanghai"])
    def test_times_are_the_same_moments_however_they_are_told(self, kind: str, zone: str | None) -> None:
        plain = log(query=["x", "y", "x", "z"], bought=[5 * DAY, None, 8 * DAY, None])
        types = {"date32": pa.date32(), "date64": pa.date64(), "float": pa.float64()}
        told = types.get(kind) or pa.timestamp(kind, zone)
        rows = plain
        for name in ("time", "bought"):
            times = plain[name] if kind == "float" else plain[name].cast(pa.timestamp("us", zone))
            rows = rows.set_column(rows.column_names.index(name), name, times.cast(told))
        ours, theirs = (exposed(one, tiny(), converted_at="bought", window=4) for one in (rows, plain))
        assert ours.candidates.now().tolist() == theirs.candidates.now().tolist() == [3 * DAY, 3 * DAY]
        assert ours.candidates.queries.histories.item.tolist() == theirs.candidates.queries.histories.item.tolist()
        assert ours.outcomes["conversion"].tolist() == theirs.outcomes["conversion"].tolist() == [1, 0, 0]
        assert ours.unripe == theirs.unripe == 1

    def test_parts_of_a_microsecond_are_left_out(self) -> None:
        rows = log()
        times = [3 * DAY * 1_000 + more for more in (1, 999, 1, 0)]
        rows = rows.set_column(2, "time", pa.array(times, pa.timestamp("ns")))
        assert exposed(rows, tiny()).candidates.now().tolist() == [3 * DAY] * 3

    def test_a_conversion_of_a_day_counts_where_any_moment_of_the_day_does(self) -> None:
        """Of ada's two at noon of day 3, one was bought on that day and one on the day before."""
        noon = 3 * DAY + DAY // 2
        when = pa.array([3, None, 2, None], pa.date32())
        rows = log(time=[noon, noon, noon, noon], bought=when)
        found = exposed(rows, tiny(), converted_at="bought", window=1, ends=9 * DAY)
        assert found.candidates.item.tolist() == [3, 1, 0, 2]
        assert found.outcomes["conversion"].tolist() == [1, 0, 0, 0]

    def test_an_item_twice_in_a_list_stays_and_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        found = exposed(log(item_id=["d", "a", "d", "c"]), tiny())
        assert found.candidates.item.tolist() == [3, 3, 0, 2]
        assert found.label.tolist() == [1, 0, 0, 1]
        assert "1 of 4 exposures are of an item that is in the same list already, and 1 items" in caplog.text
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            exposed(log(item_id=["d", "d", "c", "d"]), tiny())  # in other lists
            exposed(log(item_id=["d", "a", "d", "c"], position=[1, 1, 2, 1]), tiny())  # at other places
        assert not caplog.records
        exposed(log(item_id=["d", "a", "d", "c"], position=[2, 1, 2, 1]), tiny())
        assert len(caplog.records) == 1

    def test_a_part_keeps_what_is_known_of_the_whole(self) -> None:
        rows = log(position=[1, 1, 2, 1], bought=pa.array([5 * DAY, None, None, None], pa.int64()))
        found = exposed(rows, tiny(), converted_at="bought", window=4)
        part = found.between(0, 4 * DAY)
        assert found.unripe == part.unripe == 1
        one = found.keep(np.array([False, True, False]))  # nothing of bob's list
        assert one.candidates.queries.users == ("ada",)
        assert one.candidates.lengths.tolist() == [1]
        assert one.candidates.columns["position"].tolist() == [2]
        assert {name: column.tolist() for name, column in one.outcomes.items()} == {"click": [0], "conversion": [0]}
        with pytest.raises(DataError, match="no rows are there to make features of"):
            found.between(0, 1).rows(Features(families="popularity").fit(tiny()))

    def test_a_ranker_of_clicks_and_conversions_learns_from_it(self) -> None:
        """End to end in a world whose truth is known: conversions are rare, and their order is found."""
        world, truth = synthetic(n_users=200, n_items=80, n_events=8_000, n_groups=4, seed=1)
        shown = truth.exposures(n_lists=1_500, length=4, click_rate=0.4, conversion_rate=0.4, position_bias=0.3)
        kept = [name for name in shown.column_names if name not in ("examination", "click_chance", "conversion_chance")]
        found = exposed(shown.select(kept), world, conversion="converted")
        rows = found.rows(Features(families="popularity, activity, affinity").fit(world))
        assert len(rows) == 6_000
        ranker = MultiTask(epochs=6, batch_size=256, learning_rate=0.01).fit(rows, run=Run(threads=1))
        chance = np.asarray(shown["click_chance"]) * np.asarray(shown["conversion_chance"])
        order = np.lexsort((np.arange(6_000), np.asarray(shown["query"]), np.asarray(shown["time"])))
        assert np.corrcoef(np.log(ranker.predict(rows.features)), np.log(chance[order]))[0, 1] > 0.5

    def test_mistakes(self) -> None:
        with pytest.raises(DataError, match="unknown column of exposures 'shown'"):
            exposed(log(), tiny(), click="shown")
        with pytest.raises(DataError, match="column 'clicked' has 1 empty cells"):
            exposed(log(clicked=[1, None, 0, 0]), tiny())
        with pytest.raises(DataError, match="column 'query' has 2 empty cells"):
            exposed(log(query=["x", None, "x", None]), tiny())
        with pytest.raises(DataError, match="column 'query' has 1 empty cells"):
            exposed(log(query=[1.0, 2.0, 1.0, float("nan")]), tiny())
        with pytest.raises(DataError, match="column 'bought' has 1 empty cells"):
            exposed(log(bought=[1, 0, None, 0]), tiny(), conversion="bought")
        with pytest.raises(DataError, match=r"column 'time' holds string; timestamps, dates, or microseconds"):
            exposed(log(time=["2024-01-01"] * 4), tiny())
        with pytest.raises(DataError, match="column 'time' holds double that are no microseconds"):
            exposed(log(time=[1.0, float("inf"), 2.0, 3.0]), tiny())
        with pytest.raises(DataError, match="column 'when' holds bool"):
            exposed(log(when=[True, False, None, None]), tiny(), converted_at="when")
        with pytest.raises(DataError, match=r"column 'at' holds timestamp\[us\]; true and false"):
            exposed(log(at=pa.array([1, 2, 3, 4], pa.timestamp("us"))), tiny(), click="at")
        for more in ({}, {"converted_at": "time"}):
            with pytest.raises(DataError, match="no exposures came"):
                exposed(log().slice(0, 0), tiny(), **more)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="other numbers than 1 and 0"):
            exposed(log(clicked=[1, 2, 0, 0]), tiny())
        with pytest.raises(DataError, match="1 exposures are of items that are not in the catalogue"):
            exposed(log(item_id=["a", "b", "c", "z"]), tiny())
        with pytest.raises(DataError, match="no conversion can be known yet"):
            exposed(log(converted_at=pa.array([None] * 4, pa.int64())), tiny(), converted_at="converted_at", window=30)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="not both"):
            exposed(log(a=[0] * 4, b=[0] * 4), tiny(), conversion="a", converted_at="b")


class TestUnits:
    """Whole numbers that are seconds or milliseconds would be of 1970, before all events."""

    def dated(self) -> Dataset:
        world = tiny()
        assert world.histories.time is not None
        return world.with_histories(replace(world.histories, time=world.histories.time + START))

    def log(self, unit: int) -> pa.Table:
        rows = log()
        times = [(one + START) // unit for one in rows["time"].to_pylist()]
        return rows.set_column(2, "time", pa.array(times))

    @pytest.mark.parametrize("unit", [1_000, 1_000_000])
    def test_of_a_log_they_are_refused(self, unit: int) -> None:
        world, rows = self.dated(), self.log(1)
        assert len(exposed(rows, world)) == 4
        with pytest.raises(DataError, match=r"time came as 17\d+, which is of the year 1970 .*has events since 2024"):
            exposed(self.log(unit), world)
        with pytest.raises(DataError, match="ends came as"):
            exposed(rows, world, ends=(START + 12 * DAY) // unit)
        bought = rows.append_column("bought", pa.array([(START + 5 * DAY) // unit, None, None, None]))
        with pytest.raises(DataError, match="bought came as"):
            exposed(bought, world, converted_at="bought", window=1)

    @pytest.mark.parametrize("unit", [1_000, 1_000_000])
    def test_of_a_start_they_are_refused(self, unit: int) -> None:
        world, start = self.dated(), (START + 2 * DAY) // unit
        for made in (lambda: rated(world, 3, start=start), lambda: sampled(world, 2, start=start)):
            with pytest.raises(DataError, match="start came as"):
                made()
        with pytest.raises(DataError, match="start or stop came as"):
            exposed(self.log(1), world).between(start, START + 9 * DAY)
        with pytest.raises(DataError, match="moments came as"):
            until(world, np.array([0]), np.array([start]))

    def test_a_datetime_says_its_unit_itself(self) -> None:
        world, day = self.dated(), datetime(2024, 1, 3)
        assert len(rated(world, 3, start=day)) == len(rated(world, 3, start=START + 2 * DAY)) == 2
        whole = exposed(self.log(1), world)
        assert len(whole.between(datetime(2024, 1, 9), datetime(2024, 2, 1))) == 1
        assert len(whole.between(0, 2**62)) == 4


class TestRated:
    def test_events_with_values_in_the_order_of_time(self) -> None:
        found = rated(tiny(), 4)
        assert found.candidates.item.tolist() == [0, 1, 1]
        assert found.label.tolist() == [1, 0, 1]
        assert [found.candidates.queries.histories.of(at).tolist() for at in range(3)] == [[], [0], []]
        assert rated(tiny(), 4, start=2 * DAY).candidates.item.tolist() == [1, 1]
        assert found.between(0, 2 * DAY).label.tolist() == [1]

    def test_without_values(self) -> None:
        bare = tiny()
        bare = bare.with_histories(bare.histories.without("value"))
        with pytest.raises(DataError, match=r"has no values \(ratings\)"):
            rated(bare, 4)


class TestSampled:
    def test_what_was_used_by_then_is_no_negative(self, world: Dataset) -> None:
        found = sampled(world, 30, run=Run(seed=0))
        negatives = found.label == 0
        assert not had(found)[negatives].any()
        assert negatives.sum() > 10 * len(found.candidates.queries)

    def test_what_comes_again_is_no_answer_or_what_was_used_may_be_drawn(self, world: Dataset) -> None:
        """Each person uses an item for the first time once; all later events on it are repeats."""
        past = world.histories
        first = len({*zip(past.owner().tolist(), past.item.tolist(), strict=True)})
        assert first < 0.9 * world.n_events
        without, everything = (sampled(world, 10, repeats=how, max_history=10**6) for how in ("exclude", "allow"))  # type: ignore[arg-type]
        assert without.label.sum() == len(without.candidates.queries) == first
        assert everything.label.sum() == len(everything.candidates.queries) == world.n_events
        for found, of_answers, of_drawn in ((without, False, False), (everything, True, True)):
            used = had(found)
            assert used[found.label == 1].any() == of_answers
            assert used[found.label == 0].any() == of_drawn
        answer = np.repeat(
            everything.candidates.item[everything.candidates.offsets[:-1]], everything.candidates.lengths
        )
        assert ((everything.candidates.item == answer) == (everything.label == 1)).all()

    def test_where_repeats_are_drawn_too_what_was_used_is_as_likely_as_it_is(self, world: Dataset) -> None:
        """The share of answers among weighed rows is that among all pairs of an event and an item, used before or not;
        a ranker that is told which were used says it."""
        found = sampled(world, 40, repeats="allow", max_history=10**6)
        assert found.weight is not None
        used, past = had(found), found.candidates.queries.histories
        n_used = sum(len({*past.of(at).tolist()}) for at in range(len(past)))
        again = int((used & (found.label == 1)).sum())
        shares = {
            True: again / n_used,
            False: (world.n_events - again) / (world.n_events * world.n_items - n_used),
        }
        ranker = Logistic().fit(found.rows(Features(families="pair").fit(world)))
        said = ranker.predict(found.rows(Features(families="pair").fit(world)).features)
        for told, share in shares.items():
            rows = used == told
            assert np.average(found.label[rows], weights=found.weight[rows]) == pytest.approx(share, rel=0.02)
            assert np.average(said[rows], weights=found.weight[rows]) == pytest.approx(share, rel=0.15)

    @pytest.mark.parametrize("by", ["uniform", "popularity"])
    def test_weights_stand_for_all_items_but_the_answer_where_repeats_are_allowed(
        self, by: str, world: Dataset
    ) -> None:
        found = sampled(world, 40, by=by, repeats="allow")  # type: ignore[arg-type]
        assert found.weight is not None
        total = np.bincount(found.candidates.owner(), found.weight * (found.label == 0))
        assert total.mean() == pytest.approx(world.n_items - 1, rel=0.02)
        assert (found.weight[found.label == 1] == 1).all()

    @pytest.mark.parametrize("by", ["uniform", "popularity"])
    def test_weights_stand_for_all_that_was_not_used(self, by: str, world: Dataset) -> None:
        found = sampled(world, 40, by=by, max_history=10**6)  # type: ignore[arg-type]
        assert found.weight is not None
        total = np.bincount(found.candidates.owner(), found.weight * (found.label == 0))
        past = found.candidates.queries.histories
        left = [
            world.n_items - len({*past.of(at).tolist(), int(found.candidates.item[found.candidates.offsets[at]])})
            for at in range(len(past))
        ]
        assert total.mean() == pytest.approx(np.mean(left), rel=0.02)
        assert (found.weight[found.label == 1] == 1).all()

    def test_mistakes(self, world: Dataset) -> None:
        with pytest.raises(ConfigError, match="n_negatives=0 came"):
            sampled(world, 0)
        with pytest.raises(ConfigError, match="unknown repeats 'keep'"):
            sampled(world, repeats="keep")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="unknown by 'places'"):
            sampled(world, by="places")  # type: ignore[arg-type]


def test_a_log_of_recommendations_has_places_and_no_scores_as_features() -> None:
    found = exposed(
        log(rank=[1, 1, 2, 1], score=[0.9, 0.1, 0.2, 0.3], source=["ease"] * 4, notes=[""] * 4, device=list("abab")),
        tiny(),
    )
    assert sorted(found.candidates.columns) == ["device", "position"]
    assert sorted(found.candidates.columns["position"].tolist()) == [1, 1, 1, 2]
