from dataclasses import replace

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.models.base import FILLED
from zhiyin.models.bert4rec import BERT4Rec
from zhiyin.models.gru4rec import GRU4Rec
from zhiyin.models.hstu import HSTU
from zhiyin.models.sasrec import SASRec
from zhiyin.models.transformer_xl import TransformerXL
from zhiyin.models.zhiyin import Zhiyin
from zhiyin.run import Run
from zhiyin.testing.worlds import DAY, tastes

OPTIONS = {"embedding_size": 16, "n_layers": 2, "max_length": 8, "epochs": 2, "batch_size": 256, "learning_rate": 0.02}
KINDS = {
    "sasrec": (SASRec, {}),
    "all that is told": (
        SASRec,
        {"features": ("position", "wait", "gap", "hour", "weekday", "value"), "block": "ligr"},
    ),
    "hstu": (HSTU, {}),
    "zhiyin": (Zhiyin, {}),
    "gru4rec": (GRU4Rec, {"n_layers": 2, "hidden_size": 12, "features": ("wait", "value")}),
}


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    kind, more = KINDS[request.param]
    return kind(**{**OPTIONS, **more}).fit(tastes(), run=Run(seed=1, threads=1))


def events(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    items = [f"i{number:04d}" for number in rng.choice(60, n, replace=False)]
    times = np.sort(rng.integers(0, 50 * DAY, n)).tolist()
    return items, times, rng.choice([2.0, 5.0], n).tolist()


def test_a_growing_history_is_answered_as_one_that_is_asked_whole(model) -> None:
    """Event by event, also beyond max_length, where the window begins to move."""
    items, times, values = events(12)
    live = model.live()
    for n in range(1, 13):
        live.add(items[n - 1 : n], times[n - 1 : n], values[n - 1 : n])
        now = times[n - 1] + n * DAY // 7
        whole = model.recommend(Query.of(items[:n], times[:n], values[:n], now=now), k=5)
        found = live.recommend(5, now)
        assert found.ids() == whole.ids()
        np.testing.assert_allclose(found.scores, whole.scores, rtol=1e-4, atol=1e-5)


def test_sessions_of_a_live_history_are_told() -> None:
    """A query by hand is answered as the same history of the data set, and so is one that grows."""
    plain = tastes()
    session = (np.arange(plain.n_events) // 3).astype(np.int32)
    data = Dataset.of(replace(plain.histories, session=session), plain.item_table)
    model = SASRec(**OPTIONS, features=("position", "session"), blind=0).fit(data, run=Run(seed=1, threads=1))
    assert model.read == ["position", "session"]
    row = data.queries().take(np.array([4]))
    items, said = data.items.decode(row.histories.item), [f"s{one}" for one in row.histories.session]
    by_hand = Query.of(items, sessions=said)
    np.testing.assert_allclose(model._score(model.encode(by_hand)), model._score(model.encode(row)), rtol=1e-5)
    assert not np.allclose(model._score(model.encode(Query.of(items))), model._score(model.encode(row)), rtol=1e-3)
    live = model.live(Query.of(items[:4], sessions=said[:4]))
    live.add(items[4:], sessions=said[4:])
    assert live.recommend(5).ids() == model.recommend(by_hand, 5).ids()
    with pytest.raises(DataError, match="sessions are given for the earlier events alone"):
        live.add(["i0001"])


def test_a_growing_history_without_times_knows_the_moment() -> None:
    items, _, values = events(6)
    model = SASRec(**OPTIONS, features=("position", "hour", "weekday")).fit(tastes(), run=Run(seed=1, threads=1))
    live, moments = model.live(), [n * DAY + n * DAY // 7 for n in range(7)]
    for n in range(1, 7):
        live.add(items[n - 1 : n], None, values[n - 1 : n])
        whole = [model.recommend(Query.of(items[:n], values=values[:n], now=now), k=5) for now in (moments[n], None)]
        assert live.recommend(5, moments[n]).ids() == whole[0].ids()
        np.testing.assert_allclose(live.recommend(5, moments[n]).scores, whole[0].scores, rtol=1e-4, atol=1e-5)
        assert not np.allclose(whole[0].scores, whole[1].scores, rtol=1e-3)


def test_what_is_added_counts_also_after_a_moment_was_given(model) -> None:
    items, times, values = events(6)
    live = model.live(Query.of(items[:3], times[:3], values[:3], now=times[2] + 1))
    live.recommend(5)
    live.add(items[3:], times[3:], values[3:])
    assert live.recommend(5).ids() == model.recommend(Query.of(items, times, values), k=5).ids()


def test_who_cannot_live_says_so(model) -> None:
    with pytest.raises(ConfigError, match="transformer_xl hands its memory on in whole segments; ask"):
        TransformerXL(epochs=1, max_length=8).fit(tastes(), run=Run(threads=1)).live()
    with pytest.raises(NotFittedError):
        SASRec().live()
    with pytest.raises(DataError, match="not with Queries"):
        model.live(tastes().queries().take([0]))


def test_a_history_out_of_order_does_not_live(model) -> None:
    with pytest.raises(DataError, match="oldest first"):
        model.live(Query.of(["i0001", "i0002"], [DAY, 0]))


def test_a_new_event_costs_one_event(model, monkeypatch) -> None:
    items, times, values = events(7)
    live = model.live(Query.of(items[:6], times[:6], values[:6]))
    live.recommend(3)
    seen = []
    if isinstance(model, GRU4Rec):
        unit = type(model.net.units[0])
        forward = unit.forward
        monkeypatch.setattr(unit, "forward", lambda self, x, h: seen.append(len(x)) or forward(self, x, h))
        live.add(items[6:], times[6:], values[6:])
        live.recommend(3)
        assert seen == [
            1,
            1,
            1,
            1,
        ]  # in each unit the event before, which answers at another moment now, and the new one
        return
    block = type(model.net.blocks[0])
    project = block.project
    monkeypatch.setattr(block, "project", lambda self, x: seen.append(len(x)) or project(self, x))
    live.add(items[6:], times[6:], values[6:])
    live.recommend(3)
    assert seen == [2, 2]  # the new event, and the last one before it, which now answers at another moment
    live.recommend(3, times[6] + DAY)
    assert seen[2:] == [1, 1]


def test_a_live_history_begins_empty_and_says_so(model) -> None:
    found = model.live().recommend(4)
    assert {found.source_of(0, place) for place in range(4)} == {FILLED}


def test_unknown_items_are_counted(model) -> None:
    live = model.live(Query.of(["i0001"]))
    live.add(["never heard of"])
    assert live.recommend(3).unknown.tolist() == [1]
    assert len(live) == 2


def test_what_does_not_fit_together_is_refused_and_nothing_is_added(model) -> None:
    live = model.live(Query.of(["i0001", "i0002"], times=[5, 9]))
    with pytest.raises(DataError, match="older than those before"):
        live.add(["i0003"], times=[7])
    with pytest.raises(DataError, match="times are given for the earlier events alone"):
        live.add(["i0003"])
    with pytest.raises(DataError, match="values are given for the new events alone"):
        live.add(["i0003"], times=[12], values=[1.0])
    assert live.query.items == ("i0001", "i0002")


def test_a_kind_that_is_not_known_is_refused_and_nothing_is_added() -> None:
    flat = Histories.of_lists([[0, 1, 2, 3]] * 4)
    kind = np.tile(np.array([0, 1], np.uint8), 8)
    world = Dataset.of(Histories(flat.offsets, flat.item, kind=kind), list("abcd"), kinds=("view", "buy"))
    live = SASRec(**OPTIONS, features=("kind",)).fit(world, run=Run(seed=1, threads=1)).live()
    live.add(["a"], kinds=["view"])
    with pytest.raises(DataError, match="did you mean"):
        live.add(["b"], kinds=["bui"])
    assert len(live.recommend(2).ids()) == 2
    assert len(live) == 1


def test_a_model_of_both_sides_has_no_live_history() -> None:
    model = BERT4Rec(**OPTIONS).fit(tastes(), run=Run(seed=1, threads=1))
    with pytest.raises(ConfigError, match="both sides"):
        model.live()
