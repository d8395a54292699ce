from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.arrays import AnyArray
from zhiyin.data.dataset import Clock, Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.data.synthetic import synthetic
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.ranking import features
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.context import hashed
from zhiyin.ranking.table import DEFAULT, Features, FeatureTable
from zhiyin.splitting import GlobalTime

DAY = 86_400_000_000
OF_ANY = DEFAULT
"""Families for which any data will do."""


@pytest.fixture(scope="module")
def world() -> Dataset:
    return synthetic(n_users=60, n_items=50, n_events=2_500, n_groups=4, seed=2)[0]


@pytest.fixture(scope="module")
def asked(world: Dataset) -> Candidates:
    """Candidates of cases, each with a moment of its own in the last fifth of the log."""
    cases = GlobalTime(quantile=0.8, targets="successive").split(world).test
    cases = cases.take(np.arange(0, len(cases), 7))
    rng = np.random.default_rng(0)
    items = np.stack([rng.permutation(world.n_items)[:12] for _ in range(len(cases))]).astype(np.int32)
    items[3, 5:] = -1  # lists need not be of one length
    scores = {f"score of {name}": rng.random(items.shape).astype(np.float32) for name in ("ease", "item_knn")}
    scores["score of ease"][:, 4] = np.nan
    return Candidates.of_lists(cases.queries, items, **scores)


def columns(family: str, world: Dataset, candidates: Candidates, **settings: Any) -> dict[str, AnyArray]:
    found: dict[str, AnyArray] = features.get(family)(**settings).fit(world).columns(candidates)
    return found


def test_no_family_is_without_a_place_here() -> None:
    assert set(features.available()) == {*OF_ANY, "context", "freshness", "links"}


@pytest.mark.parametrize("family", OF_ANY)
def test_nothing_that_comes_after_the_moment_changes_a_feature(family: str, world: Dataset, asked: Candidates) -> None:
    """Of each candidate, the features by the whole log are those by a log that ends at its moment."""
    whole = columns(family, world, asked)
    time = world.histories.time
    assert time is not None
    for row in (0, 5, len(asked.queries) - 1):
        one = asked.slice(row, row + 1)
        before = world.keep(time < one.now()[0])
        assert before.n_events < world.n_events
        for name, column in columns(family, before, one).items():
            np.testing.assert_array_equal(column, whole[name][asked.offsets[row] : asked.offsets[row + 1]], name)


@pytest.mark.parametrize("family", OF_ANY)
def test_the_candidates_of_a_query_are_what_they_are_in_a_batch(family: str, world: Dataset, asked: Candidates) -> None:
    fitted = features.get(family)().fit(world)
    whole = fitted.columns(asked)
    for row in (0, 3, 4):
        for name, column in fitted.columns(asked.slice(row, row + 1)).items():
            part = whole[name][asked.offsets[row] : asked.offsets[row + 1]]
            np.testing.assert_allclose(column, part, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("family", OF_ANY)
def test_a_query_that_says_less_has_the_same_columns(family: str, world: Dataset) -> None:
    fitted = features.get(family)().fit(world)
    bare = Queries.encode([Query.of(world.items.decode([1, 2])), Query.of([])], world.items)
    told = world.queries(np.array([0, 1]))
    pairs = [Candidates(one, np.array([0, 1, 2]), np.array([0, 1], np.int32)) for one in (bare, told)]
    less, more = (fitted.columns(one) for one in pairs)
    assert list(less) == list(more) == fitted.names
    assert [one.dtype for one in less.values()] == [one.dtype for one in more.values()]


def test_a_query_that_a_person_writes_has_the_features_of_the_same_case(world: Dataset, asked: Candidates) -> None:
    made = Features().fit(world)
    offline = made.table(asked)
    assert "times it followed the last item" in offline.names
    past = asked.queries.histories
    assert past.time is not None
    assert past.value is not None
    assert past.kind is not None
    assert asked.queries.users is not None
    assert asked.queries.now is not None
    for row in (0, 2, 8):
        start, stop = past.offsets[row : row + 2]
        query = Query.of(
            world.items.decode(past.of(row)),
            times=past.time[start:stop].tolist(),
            values=past.value[start:stop].tolist(),
            kinds=[world.kinds[one] for one in past.kind[start:stop]],
            now=int(asked.queries.now[row]),
            user_id=asked.queries.users[row],
        )
        part = slice(asked.offsets[row], asked.offsets[row + 1])
        scores = {name: column[part] for name, column in asked.columns.items()}
        encoded = Queries.encode([query], world.items, world.kinds)
        items = asked.item[part]
        online = made.table(Candidates(encoded, np.array([0, len(items)]), items, scores))
        assert online.names == offline.names
        np.testing.assert_array_equal(online.values, offline.values[part])


def test_a_log_of_which_less_can_be_told_is_no_newer_one(world: Dataset) -> None:
    """Without times there are no windows, and a ranker has learnt from what is in them."""
    made = Features(families="popularity").fit(world)
    before = made.families
    untimed = Dataset.of(world.histories.without("time"), world.item_table, world.user_table)
    with pytest.raises(DataError, match="has not all that the features 'popularity' count"):
        made.refresh(untimed)
    assert made.families is before


class TestPopularity:
    def test_it_counts_as_a_person_would(self, world: Dataset, asked: Candidates) -> None:
        found = columns("popularity", world, asked, windows=[2.0, 20.0])
        time, item = world.histories.time, world.histories.item
        assert time is not None
        now = asked.now()[asked.owner()]
        for at in range(0, len(asked), 17):
            own = time[(item == asked.item[at]) & (time < now[at])]
            assert found["events of the item"][at] == len(own)
            assert found["events of the item, last 2 days"][at] == np.count_nonzero(own >= now[at] - 2 * DAY)
            assert found["events of the item, last 20 days"][at] == np.count_nonzero(own >= now[at] - 20 * DAY)
            age = found["days since the item's first event"][at]
            assert np.isnan(age) if not len(own) else age == pytest.approx((now[at] - own.min()) / DAY, rel=1e-5)

    def test_without_a_moment_all_that_is_known_counts(self, world: Dataset) -> None:
        query = Queries.encode([Query.of(world.items.decode([0]))], world.items)
        pairs = Candidates(query, np.array([0, world.n_items]), np.arange(world.n_items, dtype=np.int32))
        found = columns("popularity", world, pairs)
        np.testing.assert_array_equal(found["events of the item"], world.popularity)
        assert found["events of the item, last 30 days"].sum() > 0


class TestAffinity:
    def test_it_is_what_the_definition_says(self, world: Dataset, asked: Candidates) -> None:
        found = columns("affinity", world, asked, columns="categories", half_life=10)
        kinds = [set(one) for one in world.item_table.column("categories").to_pylist()]
        past, owner, now = asked.queries.histories, asked.owner(), asked.now()
        assert past.time is not None
        assert past.value is not None
        for at in range(0, len(asked), 23):
            events = range(past.offsets[owner[at]], past.offsets[owner[at] + 1])
            mine = kinds[asked.item[at]]
            tie = [len(mine & kinds[past.item[e]]) / len(kinds[past.item[e]]) / len(mine) for e in events]
            age = [(now[owner[at]] - past.time[e]) / DAY for e in events]
            fresh = 0.5 ** (np.array(age) / 10)
            assert found["interest in its categories"][at] == pytest.approx(np.mean(tie), rel=1e-5)
            recent = found["recent interest in its categories"][at]
            assert recent == pytest.approx((fresh * tie).sum() / fresh.sum(), rel=1e-4)
            shared = [one for one, t in zip(age, tie, strict=True) if t > 0]
            days = found["days since its categories"][at]
            assert np.isnan(days) if not shared else days == pytest.approx(min(shared), rel=1e-5)
            value = np.array([past.value[e] for e in events])
            told = ~np.isnan(value)
            above = np.where(told, value - value[told].mean(), 0) if told.any() else np.zeros(len(value))
            opinion = (above * tie).sum() / (np.sum(tie) + 2)
            assert found["opinion of its categories"][at] == pytest.approx(opinion, rel=1e-3, abs=1e-5)

    def test_a_stranger_has_no_interests(self, world: Dataset) -> None:
        query = Queries.encode([Query.of([])], world.items)
        pairs = Candidates(query, np.array([0, 3]), np.arange(3, dtype=np.int32))
        assert np.isnan(columns("affinity", world, pairs)["interest in its categories"]).all()


class TestPair:
    def test_it_knows_what_was_had(self, world: Dataset, asked: Candidates) -> None:
        found = columns("pair", world, asked)
        past, owner = asked.queries.histories, asked.owner()
        assert past.time is not None
        had = found["times that the person had the item"]
        assert had.max() > 1
        for at in range(0, len(asked), 11):
            start, stop = past.offsets[owner[at] : owner[at] + 2]
            mine = past.item[start:stop] == asked.item[at]
            assert had[at] == mine.sum()
            days = found["days since the person had the item"][at]
            if mine.any():
                last = past.time[start:stop][mine].max()
                assert days == pytest.approx((asked.now()[owner[at]] - last) / DAY, rel=1e-4)
            else:
                assert np.isnan(days)


class TestTransitions:
    def test_it_counts_as_a_person_would(self, world: Dataset, asked: Candidates) -> None:
        found = columns("transitions", world, asked, steps=2, recent=3, prior=4)
        past, owner = world.histories, asked.owner()
        assert past.time is not None
        for row in (0, 40, 77, len(asked) - 1):
            query = owner[row]
            now, own = asked.now()[query], asked.queries.histories.of(query)[-3:][::-1]
            before = past.item[past.time < now]
            usual = ((before == asked.item[row]).sum() + 1) / (len(before) + world.n_items)
            shares, counts = [], []
            for source in own:
                went = [
                    past.of(user)[at + ahead]
                    for user in range(len(past))
                    for ahead in (1, 2)
                    for at in range(past.lengths[user] - ahead)
                    if past.of(user)[at] == source and past.time[past.offsets[user] + at + ahead] < now
                ]
                counts.append(went.count(asked.item[row]))
                shares.append((counts[-1] + 4 * usual) / (len(went) + 4))
            weights = 1 / np.arange(1, len(own) + 1)
            lifts = np.log(np.array(shares) / usual)
            assert {name: column[row] for name, column in found.items()} == pytest.approx(
                {
                    "times it followed the last item": counts[0],
                    "share of what followed the last item, log": np.log(shares[0]),
                    "lift after the last item, log": lifts[0],
                    "share of what followed the last 3 items, log": np.log(np.average(shares, weights=weights)),
                    "lift after the last 3 items, log": np.average(lifts, weights=weights),
                },
                rel=1e-5,
            )
        assert found["times it followed the last item"].max() > 0

    def test_of_the_last_item_alone_nothing_is_told_twice(self, world: Dataset, asked: Candidates) -> None:
        alone, more = (columns("transitions", world, asked, recent=recent) for recent in (1, 2))
        assert len(alone) == 3
        assert list(alone) == list(more)[:3]

    def test_an_item_may_follow_itself(self, world: Dataset) -> None:
        """Where things are used again and again, that is what follows most."""
        past = Histories.of_lists([[0, 0, 0, 1], [0, 0]])
        data = Dataset.of(past, ["milk", "bread"])
        asked = Candidates(
            Queries.encode([Query.of(["milk"])], data.items), np.array([0, 2]), np.array([0, 1], np.int32)
        )
        assert columns("transitions", data, asked)["times it followed the last item"].tolist() == [3, 1]

    def test_places_are_no_moments(self, world: Dataset) -> None:
        """Where only the order is known, a query counts all that is known, whatever it says of when."""
        data = Dataset.of(
            replace(Histories.of_lists([[0, 1], [0, 1]]), time=np.array([0, 1, 0, 1])), ["a", "b"], None, "position"
        )
        for now in (None, 1):
            query = Queries.encode([Query.of(["a"], now=now)], data.items)
            asked = Candidates(query, np.array([0, 1]), np.array([1], np.int32))
            assert columns("transitions", data, asked)["times it followed the last item"].tolist() == [2]

    def test_nothing_followed_the_last_item_of_a_stranger(self, world: Dataset) -> None:
        stranger = Candidates(Queries.encode([Query.of([])], world.items), np.array([0, 2]), np.array([0, 1], np.int32))
        assert all(np.isnan(column).all() for column in columns("transitions", world, stranger).values())

    def test_it_needs_an_order(self, world: Dataset) -> None:
        past = world.histories.without("time")
        clocks: list[tuple[Clock, bool]] = [("none", False), ("position", True)]
        for clock, suits in clocks:
            told = Dataset.of(past, world.item_table, world.user_table, clock)
            assert features.get("transitions")().suits(told) == suits


class TestRetrieval:
    def test_places_and_standard_scores_are_of_the_query(self, world: Dataset, asked: Candidates) -> None:
        found = columns("retrieval", world, asked)
        for row in range(len(asked.queries)):
            part = slice(asked.offsets[row], asked.offsets[row + 1])
            score = asked.columns["score of ease"][part].astype(np.float64)
            known = ~np.isnan(score)
            order = (-score[known]).argsort().argsort() + 1
            np.testing.assert_array_equal(found["place by ease"][part][known], order)
            assert np.isnan(found["place by ease"][part][~known]).all()
            want = (score[known] - score[known].mean()) / score[known].std()
            np.testing.assert_allclose(found["standard score of ease"][part][known], want, rtol=1e-4, atol=1e-5)


class TestSemantic:
    def test_an_item_is_like_itself_and_more_like_its_own_kind(self, world: Dataset) -> None:
        history = Query.of(world.items.decode([0, 1, 2]))
        pairs = Candidates(
            Queries.encode([history], world.items),
            np.array([0, world.n_items]),
            np.arange(world.n_items, dtype=np.int32),
        )
        found = columns("semantic", world, pairs)
        assert found["likeness to the last item"][2] == pytest.approx(1, abs=1e-5)
        assert found["likeness to the nearest of 10 items"][[0, 1, 2]] == pytest.approx(1, abs=1e-5)
        kinds = [set(one) for one in world.item_table.column("categories").to_pylist()]
        same = np.array([kinds[2] == one for one in kinds])
        like = found["likeness to the last item"]
        assert like[same].mean() > like[~same].mean() + 0.1


class TestAttributes:
    def test_people_are_known_by_id_or_by_what_a_query_says(self, world: Dataset) -> None:
        age = world.user_table.column("age").to_pylist()
        known = Query.of(world.items.decode([0]), user_id=world.users.decode([4])[0])
        told = Query.of(world.items.decode([0]), context={"age": 77})
        nobody = Query.of(world.items.decode([0]))
        pairs = Candidates(
            Queries.encode([known, told, nobody], world.items), np.arange(4), np.array([0, 0, 0], np.int32)
        )
        found = columns("attributes", world, pairs, items="price")
        np.testing.assert_array_equal(found["age of the person"], np.array([age[4], 77, np.nan], np.float32))
        regions = found["region of the person"]
        assert regions.dtype == np.int32
        assert regions[0] >= 0
        assert regions[1] == regions[2] == -1
        price = world.item_table.column("price").to_pylist()[0]
        np.testing.assert_allclose(found["price of the item"], np.float32(price))


class TestContext:
    def test_it_reads_queries_and_candidates(self, world: Dataset) -> None:
        queries = [Query.of([], context={"device": "phone", "age": 3}), Query.of([], context={"device": None})]
        encoded = Queries.encode(queries, world.items)
        place = np.array([1, 2, 1], np.int32)
        pairs = Candidates(encoded, np.array([0, 2, 3]), np.array([0, 1, 2], np.int32), {"position": place})
        found = columns("context", world, pairs, numbers="position, age", texts="device")
        assert found["position"].tolist() == [1, 2, 1]
        assert found["age"][:2].tolist() == [3, 3]
        assert np.isnan(found["age"][2])
        assert found["device"].tolist() == [*hashed(np.array(["phone", "phone"]), 1024), -1]
        with pytest.raises(DataError, match="'device' is read as a number"):
            columns("context", world, pairs, numbers="device")

    def test_what_nobody_says_is_not_known(self, world: Dataset, asked: Candidates) -> None:
        found = columns("context", world, asked, numbers="position", texts="device")
        assert np.isnan(found["position"]).all()
        assert (found["device"] == -1).all()

    def test_a_category_is_what_it_says_whatever_its_type(self, world: Dataset) -> None:
        """A column of whole numbers comes as floats where one is not known; a query says an integer, or a text."""
        said = [3, 3.0, "3", np.int8(3), np.float32(3), Decimal("3.00"), 2.5, True, np.False_, None]
        queries = Queries.encode([Query.of([], context={"slot": None})] * len(said), world.items)
        queries = replace(queries, context={"slot": np.array(said, object)})
        n = np.arange(len(said) + 1)
        pairs = Candidates(queries, n, np.zeros(len(said), np.int32))
        found = columns("context", world, pairs, texts="slot")["slot"]
        wanted = hashed(np.array(["3"] * 6 + ["2.5", "true", "false"]), 1024)
        assert found.tolist() == [*wanted, -1]
        for row in range(len(said)):
            assert columns("context", world, pairs.slice(row, row + 1), texts="slot")["slot"][0] == found[row]

    @pytest.mark.parametrize("live", [[3], [3.0], [3, 2.5], [3, None], ["3"]])
    def test_what_a_log_with_gaps_taught_is_found_when_a_query_says_it(self, live: list[Any], world: Dataset) -> None:
        log = pa.table({"slot": pa.array([3, None, 4])})["slot"].to_numpy()
        asked = Queries.encode([Query.of([], context={"slot": one}) for one in live], world.items)
        pairs = Candidates(asked, np.arange(len(live) + 1), np.zeros(len(live), np.int32))
        assert columns("context", world, pairs, texts="slot")["slot"][0] == hashed(log, 1024)[0]


class TestTable:
    def test_objects_that_are_numbers_are_numbers(self) -> None:
        told = [30, None, 40.5, True, np.float32(2), np.int64(7), np.nan, np.True_, Decimal("1.5")]
        table = FeatureTable.of({"age": np.array(told, object), "plain": np.arange(9)})
        assert not table.sizes
        assert table.values.dtype == np.float32
        np.testing.assert_array_equal(table.column("age"), [30, np.nan, 40.5, 1, 2, 7, np.nan, 1, 1.5])

    def test_objects_of_which_one_is_a_text_or_that_say_nothing_are_categories(self) -> None:
        mixed = {"mixed": np.array([3, "3", None], object), "nothing": np.array([None] * 3, object)}
        table = FeatureTable.of({**mixed, "number": np.array([3.0, 4.0, np.nan])}, texts=["number"], buckets=1_000)
        assert table.sizes == {"mixed": 1_000, "nothing": 1_000, "number": 1_000}
        three = hashed(np.array(["3"]), 1_000)[0]
        np.testing.assert_array_equal(table.column("mixed"), [three, three, np.nan])
        assert np.isnan(table.column("nothing")).all()
        assert table.column("number")[0] == three

    def test_lists_are_columns_as_arrays_are(self) -> None:
        lists = {"age": [30, None, 40.5], "kind": ["a", None, "b"], "old": (True, False, True)}
        arrays = {name: np.array(column, object) for name, column in lists.items()}
        ours, theirs = FeatureTable.of(lists), FeatureTable.of(arrays)
        np.testing.assert_array_equal(ours.values, theirs.values)
        assert ours.sizes == theirs.sizes == {"kind": 2**18}

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"x": [[1], [1, 2]]}, r"column 'x' holds \[1\], and 2 such cells; one value in each is expected"),
            ({"x": [[1, 2], [3, 4]]}, r"column 'x' holds \[1, 2\]"),
            ({"x": np.zeros((2, 2))}, r"column 'x' is float64 of shape \(2, 2\)"),
            ({"x": np.array(["2024-01-01"], "datetime64[D]")}, r"column 'x' is datetime64\[D\]"),
            ({"x": "abc"}, "column 'x' came as str; an array or a list of values is expected"),
            ({"x": 3}, "column 'x' came as int"),
            ([np.arange(3)], "columns by their names are expected, .* list came"),
            (pa.table({"x": [1]}), "Table came"),
            ({"x": [1], "y": [1, 2]}, r"columns of \[1, 2\] rows came"),
        ],
    )
    def test_what_is_no_column_is_refused(self, columns: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            FeatureTable.of(columns)

    def test_columns_stand_in_one_table_with_the_sizes_of_categories(self, world: Dataset, asked: Candidates) -> None:
        table = Features().fit(world).table(asked)
        assert table.values.shape == (len(asked), len(table.names))
        assert table.values.dtype == np.float32
        assert len(set(table.names)) == len(table.names)
        for name, size in table.sizes.items():
            told = table.column(name)
            assert np.nanmax(told) < size
        assert [table.names[at] for at in table.categories] == [name for name in table.names if name in table.sizes]

    def test_blocks_change_nothing(self, world: Dataset, asked: Candidates, monkeypatch: pytest.MonkeyPatch) -> None:
        made = Features().fit(world)
        whole = made.table(asked)
        monkeypatch.setattr("zhiyin.ranking.table.PAIRS_AT_ONCE", 30)
        np.testing.assert_allclose(made.table(asked).values, whole.values, rtol=1e-6, atol=1e-6)

    def test_a_table_can_be_put_in_the_order_that_was_learnt(self, world: Dataset, asked: Candidates) -> None:
        table = Features(families="pair, retrieval").fit(world).table(asked)
        turned = table.as_named(table.names[::-1])
        np.testing.assert_array_equal(turned.values, table.values[:, ::-1])
        with pytest.raises(DataError, match="1 features that are not there now: weather"):
            table.as_named((*table.names, "weather"))

    def test_a_family_for_which_the_data_have_nothing_is_left_out(self) -> None:
        bare = synthetic(n_users=20, n_items=20, n_events=300, n_groups=2, seed=1)[0]
        bare = Dataset(
            bare.histories, bare.item_table.select(["item_id"]), bare.user_table.select(["user_id"]), bare.manifest
        )
        made = Features().fit(bare)
        names = {one.name for one in made.families}
        assert {"affinity", "semantic", "attributes"}.isdisjoint(names)
        with pytest.raises(DataError, match="nothing for any of the features"):
            Features(families="affinity").fit(bare)

    def test_mistakes_are_told(self, world: Dataset, asked: Candidates) -> None:
        with pytest.raises(ConfigError, match="popularty"):
            Features(families="popularty").fit(world)
        with pytest.raises(NotFittedError):
            features.get("pair")().columns(asked)
        with pytest.raises(DataError, match="two features have the name"):
            Features(families="pair, pair").fit(world).table(asked)


class TestCandidates:
    def test_lists_are_parted_and_joined(self, asked: Candidates) -> None:
        assert asked.lengths[3] == 5
        assert sum(len(block) for block in asked.blocks(30)) == len(asked)
        assert all(len(block) <= 30 for block in asked.blocks(30))
        np.testing.assert_array_equal(np.concatenate([one.item for one in asked.blocks(5)]), asked.item)

    def test_what_does_not_fit_together_is_refused(self, asked: Candidates) -> None:
        with pytest.raises(DataError, match="offsets"):
            Candidates(asked.queries, np.array([0, 1]), asked.item)
        with pytest.raises(DataError, match="column 'x' has 1 values"):
            asked.with_columns(x=np.zeros(1))

    def test_a_query_without_a_moment_is_asked_at_the_end_of_time(self, world: Dataset) -> None:
        pairs = Candidates(Queries.encode([Query.of([])], world.items), np.array([0, 1]), np.array([0], np.int32))
        assert pairs.now()[0] == np.iinfo(np.int64).max


def test_hashes_are_the_same_on_any_machine() -> None:
    found = hashed(np.array(["phone", "tablet", None, "phone"], object), 50)
    assert found[0] == found[3] != found[1]
    assert found[2] == -1
    assert pa.array(found).type == pa.int32()


def test_a_context_of_several_values_is_of_its_first_and_text_is_no_number(world: Dataset) -> None:
    age, region = world.user_table["age"].to_pylist(), world.user_table["region"].to_pylist()
    features = Features(families="attributes").fit(world)

    def said(**context: object) -> dict[str, float]:
        asked = Queries.encode([Query.of([], context=context)], world.items)
        table = features.table(Candidates(asked, np.array([0, 1]), np.zeros(1, np.int32)))
        return {name: float(table.column(f"{name} of the person")[0]) for name in ("age", "region")}

    several = said(region=[region[0], "nowhere"], age=[age[0]])
    assert several == said(region=region[0], age=age[0])
    assert not np.isnan(several["region"])
    assert np.isnan(said(region=[])["region"])
    with pytest.raises(DataError, match="context 'age' says 'old'; a number"):
        said(age="old")
