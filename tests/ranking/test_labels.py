import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.synthetic import synthetic
from zhiyin.errors import ConfigError, DataError
from zhiyin.ranking.labels import exposed, rated, sampled, until
from zhiyin.ranking.rankers import MultiTask
from zhiyin.ranking.table import Features
from zhiyin.run import Run

DAY = 86_400_000_000


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
        with pytest.raises(DataError, match="other numbers than 1 and 0"):
            exposed(log(clicked=[1, 2, 0, 0]), tiny())
        with pytest.raises(DataError, match="1 exposures are of items that are not in the catalogue"):
            exposed(log(item_id=["a", "b", "c", "z"]), tiny())
        with pytest.raises(DataError, match="no conversion can be known yet"):
            exposed(log(converted_at=pa.array([None] * 4, pa.int64())), tiny(), converted_at="converted_at", window=30)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="not both"):
            exposed(log(a=[0] * 4, b=[0] * 4), tiny(), conversion="a", converted_at="b")


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
        past, owner = found.candidates.queries.histories, found.candidates.owner()
        had = {(int(a), int(b)) for a, b in zip(past.owner(), past.item, strict=True)}
        negatives = found.label == 0
        assert not any(
            (int(a), int(b)) in had for a, b in zip(owner[negatives], found.candidates.item[negatives], strict=True)
        )
        assert found.label.sum() == world.n_events
        assert negatives.sum() > 10 * world.n_events

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
