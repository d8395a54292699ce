"""What every recommender inherits, beside the lists themselves (test_filling.py)."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from zhiyin import models
from zhiyin.arrays import FloatMatrix, IntVector
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.models.base import Recommender, load
from zhiyin.run import Run
from zhiyin.splitting import LeaveLastOut
from zhiyin.testing.worlds import DAY, checkerboard, tastes

START = 1_704_067_200_000_000  # 2024-01-01


class Loyal(Recommender):
    """Scores an item by how often it was used, and by how strongly the context of the query asks for it."""

    config: Config

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        """There is nothing to learn."""

    def _score(self, queries: Queries) -> FloatMatrix:
        scores = queries.histories.matrix(self.n_items).toarray()
        return np.asarray(scores * queries.context["size"][:, None], np.float32)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_leaving_events_out_one_by_one_keeps_the_context(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recommender, "_rows", lambda *_: rows)
    model = Loyal().fit(tastes())
    past = Histories(np.array([0, 5]), np.array([7, 2, 7, 9, 2], np.int32))
    query = Queries(past, model.vocabulary, context={"size": np.array([3.0])})
    items: IntVector = np.array([2, 7, 8], np.int32)
    right = 3.0 * (past.item[:, None] == items)
    np.testing.assert_array_equal(model._contributions(query, items), right)
    assert model._contributions(replace(query, histories=past.keep(np.zeros(5, bool))), items).shape == (0, 3)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("name", models.available())
def test_weights_that_are_no_numbers_are_refused(name: str, wrong: float) -> None:
    world = tastes()
    weight = np.ones(world.n_events, np.float32)
    weight[[3, 5]] = wrong
    bad = world.with_histories(replace(world.histories, weight=weight))
    with pytest.raises(DataError, match=r"2 of [\d,]+ events of 'tastes' have a weight that is NaN or infinite"):
        models.get(name)().fit(bad)


def test_events_at_the_moment_itself_are_known_and_later_ones_are_not() -> None:
    past = Histories(np.array([0, 3, 4]), np.arange(4, dtype=np.int32), time=np.array([1, 2, 3, 9]) * DAY)
    queries = Queries(past, checkerboard().items, np.array([2, 1]) * DAY)
    assert queries.until_now().histories.item.tolist() == [0, 1]
    assert queries.until_now().histories.offsets.tolist() == [0, 2, 2]
    assert replace(queries, now=None).until_now().histories is past
    model = models.Popularity().fit(checkerboard())
    later = Query.of(["i002", "i004"], times=[5, 50], now=10)
    assert "i004" in model.recommend(later, 19, allow=["i004", "i006"]).ids()  # as of then it was not used yet


@pytest.mark.parametrize("unit", [10**6, 10**3])
def test_moments_in_seconds_are_refused_and_not_taken_for_1970(unit: int, tmp_path: Path) -> None:
    world = checkerboard()
    assert world.histories.time is not None
    dated = world.with_histories(replace(world.histories, time=world.histories.time + START))
    model = models.Popularity().fit(dated)
    last = int(dated.histories.time.max())  # type: ignore[union-attr]
    for asked in (model, load(model.save(tmp_path / "model"))):
        assert asked.recommend(Query.of(["i002"], [last], now=last + 1), 3).ids()
        for query in (Query.of(["i002"], now=last // unit), Query.of(["i002"], times=[last // unit])):
            with pytest.raises(DataError, match=r"popularity has learnt from events since 20.*these look like"):
                asked.recommend(query, 3)
        with pytest.raises(DataError, match="now came as"):
            asked.score(dated.queries(np.array([0]), np.array([last // unit])), ["i002"])
    assert models.Popularity().fit(world).recommend(Query.of(["i002"], now=9), 3).ids()  # a clock of its own
    assert model.recommend(Query.of(["i002"], now=datetime(2024, 6, 1)), 3).ids()


@pytest.mark.parametrize("name", ["item_knn", "user_knn", "svd"])
@pytest.mark.parametrize("number", [-1, 60, 1000])
def test_a_value_of_an_item_that_is_not_there_is_not_predicted(name: str, number: int) -> None:
    world = tastes()
    model = models.get(name)().fit(world)
    with pytest.raises(DataError, match="the catalogue has 0 to 59"):
        model.predict(world.queries(np.array([0])), np.array([number]))


@pytest.mark.parametrize("name", ["item_knn", "user_knn", "svd"])
def test_items_may_be_ids_numbers_or_an_array_of_ids(name: str) -> None:
    world = tastes()
    model = models.get(name)().fit(world)
    queries, ids = world.queries(np.array([0, 1])), ["i0003", "i0007"]
    right = model.predict(queries, ids)
    np.testing.assert_array_equal(model.predict(queries, np.array([3, 7])), right)
    np.testing.assert_array_equal(model.predict(queries, np.array(ids)), right)
    assert model.predict([], []).shape == (0,)


@pytest.mark.parametrize("name", ["ease", "als", "bpr", "sasrec"])
def test_a_history_of_items_that_training_never_met_gets_no_arbitrary_list(name: str) -> None:
    world = tastes()
    settings = {"epochs": 1} if name == "sasrec" else {}
    model = models.get(name)(**settings).fit(world.keep(world.histories.item < 40), run=Run(threads=1))
    found = model.recommend(Query.of(["i0045", "i0058"]), 4, fill=False)
    assert found.items.tolist() == [[-1] * 4]
    assert (model.score(Query.of(["i0045", "i0058"]), ["i0000", "i0050"]) == -np.inf).all()
    assert model.recommend(Query.of(["i0045"]), 1).source_of(0, 0) == "popularity (fill)"


def test_a_history_of_dislikes_alone_gets_no_arbitrary_list_of_als() -> None:
    model = models.ALS(embedding_size=8).fit(tastes())
    only = Histories(np.array([0, 2]), np.array([1, 2], np.int32), weight=np.array([-1, -1], np.float32))
    assert (model._score(Queries(only, model.vocabulary)) == -np.inf).all()
    assert (model.recommend(Queries(only, model.vocabulary), 3, fill=False).items == -1).all()


def test_a_stranger_with_kinds_is_weighed_as_the_same_user_of_the_dataset() -> None:
    world = tastes()
    kind = (np.arange(world.n_events) % 2).astype(np.uint8)
    histories = replace(world.histories, kind=kind, weight=np.where(kind == 1, 5, 1).astype(np.float32))
    shop = Dataset.of(histories, world.item_table, world.user_table, kinds=("view", "buy"))
    model = models.EASE().fit(shop)
    assert model.kind_weights == (1.0, 5.0)
    more = Dataset.of(histories, world.item_table, world.user_table, kinds=("view", "buy", "share"))
    assert models.EASE().fit(more).kind_weights == (1.0, 5.0, 1.0)  # of a share nothing is known
    past = shop.histories.slice(2, 3)
    assert past.kind is not None
    stranger = Query.of(shop.items.decode(past.item), kinds=[shop.kinds[number] for number in past.kind])
    known, strange = (model.score(query, ["i0001", "i0002"]) for query in (shop.queries(np.array([2])), stranger))
    np.testing.assert_array_equal(known, strange)


def test_what_is_no_query_is_refused_by_its_name() -> None:
    world = tastes()
    model = models.Popularity().fit(world)
    for wrong, said in {
        "i0001": "the text 'i0001' came",
        ("i0001", "i0002"): "the text 'i0001' came",
        (("i0001", "i0002"),): "tuple of 2 came",
        world: r"give dataset.queries\(\)",
        None: "nothing came",
        7: "int came",
    }.items():
        with pytest.raises(DataError, match=said):
            model.recommend(wrong)  # type: ignore[arg-type]
    asked = (Query.of([one]) for one in ("i0001", "i0002"))
    assert len(model.recommend(asked, k=np.int64(3))) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [0, 61, -1, 5.0, "5", None, True])
def test_a_length_of_lists_that_is_none_is_refused(k: object) -> None:
    with pytest.raises(ConfigError, match=r"a list has between 1 and 60 items"):
        models.Popularity().fit(tastes()).recommend(Query.of([]), k=k)  # type: ignore[arg-type]


def test_what_is_no_data_is_refused_by_its_name() -> None:
    world = tastes()
    model, split = models.Popularity(), LeaveLastOut().split(world)
    for wrong, said in ((split, "give split.train"), ({"user": 1}, "dict came"), (None, "nothing came")):
        with pytest.raises(DataError, match=said):
            model.fit(wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"cases of a split \(split.validation\), but Dataset came"):
        model.fit(world, world)
    assert model.fit(split.train, split.validation).n_items == 60
