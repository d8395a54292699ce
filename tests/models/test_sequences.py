from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.models import _torch, base
from zhiyin.models._answers import learnt_values, uses
from zhiyin.models._measuring import asked_for, measure
from zhiyin.models.base import FILLED, load
from zhiyin.models.bert4rec import BERT4Rec
from zhiyin.models.blend import Blend
from zhiyin.models.gpt4rec import GPT4Rec
from zhiyin.models.gru4rec import GRU4Rec
from zhiyin.models.hstu import HSTU
from zhiyin.models.popularity import Popularity
from zhiyin.models.sasrec import SASRec
from zhiyin.models.transformer import Transformer
from zhiyin.models.transformer_xl import TransformerXL
from zhiyin.models.zhiyin import Zhiyin
from zhiyin.retrieval import exact
from zhiyin.run import Run
from zhiyin.splitting import LeaveLastOut
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import tastes

SMALL = {
    "embedding_size": 16,
    "n_layers": 1,
    "max_length": 12,
    "epochs": 10,
    "batch_size": 64,
    "learning_rate": 0.01,
    "n_negatives": 32,
    "average": 0.0,
}


class TestTransformer(RecommenderSuite):
    model = Transformer
    options = SMALL
    exact = False  # it starts from random vectors


class TestSASRec(RecommenderSuite):
    model = SASRec
    options = {**SMALL, "features": ("position", "wait", "gap", "hour", "weekday", "value"), "block": "ligr"}
    exact = False


class TestBERT4Rec(RecommenderSuite):
    model = BERT4Rec
    options = {
        **SMALL,
        "epochs": 25,
        "dropout": 0.0,
        "learning_rate": 0.02,
    }  # it learns from a part of the events alone
    exact = False


class TestHSTU(RecommenderSuite):
    model = HSTU
    options = SMALL
    exact = False


class TestZhiyin(RecommenderSuite):
    model = Zhiyin
    options = SMALL
    exact = False


class TestGPT4Rec(RecommenderSuite):
    model = GPT4Rec
    options = SMALL
    exact = False


def fitted(model: type = SASRec, world: Dataset | None = None, run: Run | None = None, **options: object):
    return model(**{**SMALL, "epochs": 2, **options}).fit(world or tastes(), run=run or Run(seed=1, threads=1))


def of_lists(*lists: list[int], n_items: int = 5, **columns: np.ndarray) -> Dataset:
    flat = Histories.of_lists(lists)
    kinds = ("view", "buy") if "kind" in columns else ()
    return Dataset.of(
        Histories(flat.offsets, flat.item, **columns), [f"i{item}" for item in range(n_items)], kinds=kinds
    )


class TestBadInput:
    def test_a_history_longer_than_the_window_is_answered_by_its_end(self) -> None:
        model = fitted()
        items = [f"i{number:04d}" for number in range(40)]
        long, short = (model.score(Query.of(one), items[:20]) for one in (items, items[-12:]))
        np.testing.assert_allclose(long, short, rtol=1e-5)

    def test_users_with_one_event_are_no_use_and_no_harm(self) -> None:
        model = fitted(world=of_lists([0, 1, 2, 3], [4], [], [1, 2, 3]), max_length=4)
        assert model.recommend(Query.of(["i4"]), k=2).items.shape == (1, 2)

    def test_without_anybody_to_learn_from_it_says_so(self) -> None:
        with pytest.raises(DataError, match="two events"):
            fitted(world=of_lists([0], [1], [2]))

    def test_a_device_that_is_not_there(self) -> None:
        with pytest.raises(ConfigError, match="'cuda:9', which is not there"):
            fitted(run=Run(device="cuda:9"))

    def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(self, monkeypatch) -> None:
        monkeypatch.setattr("zhiyin.nn.memory.free_bytes", lambda device: 24 * 2**20)
        with pytest.raises(ConfigError, match="batch_size="):
            fitted(world=tastes(n_users=3000), batch_size=100_000)

    def test_heads_that_do_not_divide(self) -> None:
        with pytest.raises(ConfigError, match="not divided by n_heads"):
            SASRec(embedding_size=10, n_heads=4)

    def test_an_unknown_target_kind(self) -> None:
        world = of_lists([0, 1, 2], kind=np.array([0, 1, 0], np.uint8))
        with pytest.raises(ConfigError, match="did you mean"):
            fitted(world=world, target_kind="bu")

    def test_data_without_an_order(self) -> None:
        flat = Histories.of_lists([[0, 1, 2], [1, 2]])
        with pytest.raises(DataError, match="order"):
            fitted(world=Dataset.of(flat, ["a", "b", "c"], clock="none"))


class TestWhatIsTold:
    def test_a_query_that_tells_less_is_answered_alike_alone_and_among_others(self) -> None:
        world = of_lists(
            *([0, 1, 2, 3, 4] * 3 for _ in range(8)),
            kind=np.arange(120, dtype=np.uint8) % 2,
            time=np.tile(np.arange(15), 8) * 86_400_000_000,
        )
        model = fitted(world=world, features=("position", "kind", "wait"), relations=("time",))
        bare = Query.of(["i1", "i2"])
        told = Query.of(["i1", "i2"], times=[5, 9], kinds=["buy", "view"])
        items = [f"i{number}" for number in range(5)]
        both = model.score([bare, told], items)
        np.testing.assert_allclose(both[:1], model.score(bare, items), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(both[1:], model.score(told, items), rtol=1e-4, atol=1e-6)
        assert not np.allclose(both[0], both[1])

    def test_times_that_are_only_places_are_not_read_as_times(self) -> None:
        flat = Histories.of_lists([[0, 1, 2, 3]] * 6)
        time = np.tile(np.arange(4), 6).astype(np.int64)
        world = Dataset.of(
            Histories(flat.offsets, flat.item, time), [f"i{number}" for number in range(4)], clock="position"
        )
        model = fitted(HSTU, world, features=("wait", "hour"))
        assert model.read == []
        assert model.net.relations.time is None

    def test_kinds_are_known_by_their_names(self) -> None:
        kind = np.arange(120, dtype=np.uint8) % 2
        world = of_lists(*([0, 1, 2, 3, 4] * 3 for _ in range(8)), kind=kind)
        model = fitted(world=world, features=("kind",))
        asked = world.queries(np.arange(3))
        turned = replace(
            asked, histories=replace(asked.histories, kind=1 - asked.histories.kind), kinds=("buy", "view")
        )
        more = replace(asked, kinds=("view", "buy", "never met"))
        for other in (turned, more):
            np.testing.assert_array_equal(model._score(model.encode(other)), model._score(model.encode(asked)))
        strange = replace(asked, histories=replace(asked.histories, kind=kind[: asked.histories.n_events] * 0 + 2))
        unknown = replace(asked, histories=asked.histories.without("kind"))
        found = model._score(model.encode(replace(strange, kinds=("view", "buy", "never met"))))
        np.testing.assert_array_equal(found, model._score(unknown))

    def test_kinds_without_names_are_refused(self) -> None:
        flat = Histories.of_lists([[0, 1, 2]] * 3)
        world = Dataset.of(Histories(flat.offsets, flat.item, kind=np.full(9, 3, np.uint8)), ["a", "b", "c"])
        with pytest.raises(DataError, match="kind number 3, and 0 kinds have names"):
            fitted(world=world, features=("kind",))

    def test_a_hidden_event_tells_nothing_that_comes_with_it(self) -> None:
        """Values give items away; who is asked for an item does not have its value, in training as in a query."""
        rng = np.random.default_rng(0)
        lists = [np.roll(np.arange(5), -rng.integers(5)).tolist() for _ in range(60)]
        flat = Histories.of_lists(lists)
        time = np.tile(np.arange(5), 60) * 86_400_000_000
        world = of_lists(*lists, value=flat.item.astype(np.float32), time=time, kind=(flat.item % 2).astype(np.uint8))
        told = ("position", "value", "kind", "gap", "wait", "weekday")
        model = fitted(BERT4Rec, world, features=told, epochs=1, blind=0.0)
        maker, generator = model._maker(), np.random.default_rng(1)
        windows = maker.epoch(world.histories, 100, generator)[0]
        training, asked = maker.training(world.histories, windows, generator), maker.queries(world.queries())
        last = np.cumsum(list(maker.reading.sizes.values())) - 1
        for batch in (training, asked):
            hidden = batch.features.numpy()[batch.hidden.numpy()]
            for name in ("value", "kind", "gap"):
                place = told.index(name)
                assert (hidden[:, place] == last[place]).all(), name
            wait = told.index("wait")
            assert (hidden[:, wait] == last[wait - 1] + 1).all()  # it is asked for at its own moment


class TestRepeats:
    def test_excluded_repeats_teach_nothing(self) -> None:
        """0 is always followed by itself or by 1; without repeats, by 1 alone."""
        lists = [[0, 0, 0, 0, 1] for _ in range(60)]
        asked = Query.of(["i0"])
        scores = {
            how: fitted(world=of_lists(*lists), epochs=30, repeats=how).score(asked, ["i0", "i1"])[0]
            for how in ("exclude", "predict")
        }
        assert scores["exclude"][1] > scores["exclude"][0]
        assert scores["predict"][0] > scores["predict"][1]

    def test_only_repeats(self) -> None:
        with pytest.raises(DataError, match="no repeat"):
            fitted(world=of_lists([0, 0, 0]), repeats="exclude")


class TestTargetKind:
    def test_only_events_of_the_kind_are_foretold(self) -> None:
        """Views of 0 and 1 take turns, and every third event buys 4."""
        lists = [[0, 1, 4] * 4 for _ in range(40)]
        kind = np.tile(np.array([0, 0, 1], np.uint8), 160)
        model = fitted(world=of_lists(*lists, kind=kind), epochs=30, target_kind="buy")
        assert model.recommend(Query.of(["i4", "i0"], kinds=["buy", "view"]), k=1, exclude_seen=False).ids() == ["i4"]


def test_training_that_is_taken_up_equals_one_that_was_not_interrupted(tmp_path, monkeypatch) -> None:
    from zhiyin.nn.training import Training

    options = {"epochs": 4, "average": 0.9, "block": "ligr"}
    whole = fitted(**options)
    epoch = Training._epoch

    def interrupted(self, number: int) -> None:
        if number == 3:
            raise KeyboardInterrupt
        epoch(self, number)

    run = Run(seed=1, threads=1, checkpoint=tmp_path / "kept")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(run=run, **options)
    again = fitted(run=run, **options)
    np.testing.assert_array_equal(again.item_vectors, whole.item_vectors)
    assert len(again.trained.epochs) == 4


def test_a_checkpoint_is_of_its_validation_part(tmp_path) -> None:
    split = LeaveLastOut().split(tastes())
    options = {**SMALL, "epochs": 2}
    run = Run(seed=1, threads=1, checkpoint=str(tmp_path / "kept"))
    SASRec(**options).fit(split.train, None, run)
    with pytest.raises(ConfigError, match="validation"):
        SASRec(**options).fit(split.train, split.validation, run)


def test_several_models_have_a_checkpoint_each(tmp_path) -> None:
    from zhiyin.evaluation.compare import fit

    split = LeaveLastOut().split(tastes())
    run = Run(seed=1, threads=1, checkpoint=tmp_path / "kept")
    for model in (SASRec(**SMALL), SASRec(**{**SMALL, "epochs": 2}), HSTU(**{**SMALL, "epochs": 1})):
        fit(model, split, run)
    assert sorted(one.name.partition("-")[0] for one in run.checkpoint.iterdir()) == ["hstu", "sasrec", "sasrec"]


def test_validation_asks_for_the_target_kind_alone() -> None:
    world = of_lists(*([0, 1, 2, 3] for _ in range(20)), kind=np.tile(np.array([0, 1, 0, 1], np.uint8), 20))
    split = LeaveLastOut().split(world)  # validation targets are views, test targets purchases
    model = SASRec(**{**SMALL, "epochs": 1, "target_kind": "buy"})
    with pytest.raises(DataError, match="no validation case"):
        model.fit(split.train, split.validation, Run(seed=1, threads=1))
    model.fit(split.train, split.test, Run(seed=1, threads=1))
    assert len(asked_for(model, split.test)) == 20


def test_a_fit_that_fails_leaves_no_half_model() -> None:
    model = fitted()
    with pytest.raises(DataError):
        model.fit(of_lists([0], [1]))
    with pytest.raises(NotFittedError):
        model.recommend(Query.of(["i0001"]))


def test_validation_stops_training_and_keeps_the_best(tmp_path) -> None:
    split = LeaveLastOut().split(tastes())
    model = SASRec(**{**SMALL, "epochs": 40, "patience": 2, "schedule": "constant"})
    model.fit(split.train, split.validation, Run(seed=1, threads=1))
    measured = [one.measured for one in model.trained.epochs]
    assert len(measured) < 40
    assert model.trained.best == max(measured)
    assert measure(model, split.validation, Run(seed=1))() == pytest.approx(model.trained.best)


def test_codes_that_do_not_divide_the_vectors_are_refused_before_anything_is_learnt() -> None:
    with pytest.raises(ConfigError, match="embedding_size 10 is not divided by codes 4"):
        SASRec(embedding_size=10, codes=4)


def test_scores_of_a_few_items_are_made_of_their_vectors_alone(monkeypatch) -> None:
    model = fitted()
    ids, queries = model.vocabulary.ids.to_pylist(), tastes().queries()
    some = ids[7::-3]
    whole = model.score(queries, ids)
    monkeypatch.setattr(model, "_score", lambda queries: pytest.fail("all items were scored"))
    np.testing.assert_allclose(model.score(queries, some), whole[:, 7::-3], rtol=1e-5, atol=1e-6)


def test_product_codes_take_less_and_are_saved(tmp_path) -> None:
    model = fitted(codes=4)
    assert sum(one.numel() for one in model.net.items.parameters()) == 256 * 16
    again = load(model.save(tmp_path / "model"))
    asked = tastes().queries(np.arange(5))
    np.testing.assert_array_equal(again._score(asked), model._score(asked))


def test_an_empty_history_is_filled_by_popularity() -> None:
    found = fitted().recommend([Query.of([]), Query.of(["i0001"])], k=3)
    assert {found.source_of(0, place) for place in range(3)} == {FILLED}
    assert {found.source_of(1, place) for place in range(3)} == {"sasrec"}


def test_settings_of_presets_can_be_told_apart() -> None:
    assert SASRec(block="ligr").config.block == "ligr"
    with pytest.raises(ConfigError):
        HSTU(block="ligr")
    with pytest.raises(ConfigError):
        Transformer(block="hstu", objective="masked")


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "gbce"])
def test_with_a_temperature_scores_are_cosines_divided_by_it(loss: str, tmp_path) -> None:
    model = fitted(loss=loss, temperature=0.1)
    asked = tastes().queries(np.arange(20))
    scores = model._score(asked)
    assert np.abs(scores).max() <= 10 + 1e-4
    np.testing.assert_allclose(np.linalg.norm(model.item_vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(load(model.save(tmp_path / "model"))._score(asked), scores)
    live = model.live(Query.of(["i0001", "i0005"]))
    whole = model.recommend(Query.of(["i0001", "i0005"]), k=5)
    assert live.recommend(5).ids() == whole.ids()


def test_a_compiled_net_learns_the_same_and_epochs_can_be_watched(monkeypatch) -> None:
    """Compiling takes a minute, so that here torch only says what it was asked to compile."""
    asked, seen = [], []
    monkeypatch.setattr("torch.compile", lambda part, dynamic: asked.append(part.__name__) or part)
    model = fitted(run=Run(seed=1, threads=1, compile=True, watch=seen.append), n_layers=2)
    assert sorted(asked) == ["mix", "mix", "project", "project"]
    assert [one.epoch for one in seen] == [1, 2]
    np.testing.assert_array_equal(model.item_vectors, fitted(n_layers=2).item_vectors)


@pytest.mark.parametrize(
    ("model", "options", "names"),
    [
        (Transformer, {"loss": "softmax", "n_negatives": 99, "negatives": "mixed"}, ["n_negatives", "negatives"]),
        (Transformer, {"loss": "gbce", "calibration": 0.5, "negatives": "mixed"}, []),
        (Transformer, {"loss": "bce", "calibration": 0.5, "horizon": 3, "masked": 0.3}, None),
        (Transformer, {"objective": "all_action", "horizon": 3}, []),
        (BERT4Rec, {"masked": 0.4, "loss": "softmax"}, []),
        (HSTU, {"hidden_size": 32}, ["hidden_size"]),
        (SASRec, {}, []),
    ],
)
def test_settings_that_do_nothing_beside_others_are_named(model: type, options: dict, names: list | None) -> None:
    expected = ["calibration", "horizon", "masked"] if names is None else names
    assert list(model(**options).config.idle(1000)) == expected


def test_what_has_no_effect_is_said(caplog) -> None:
    world = tastes()
    timeless = Dataset.of(world.histories.without("time"), world.item_table, world.user_table, clock="position")
    fitted(Transformer, timeless, relations=("time",), horizon=3, epochs=1)
    assert "no times, so relations in time are left out" in caplog.text
    assert "horizon has no effect, as objective next looks no further than one event" in caplog.text


def test_threads_are_those_of_the_run_and_then_as_before() -> None:
    before, seen = torch.get_num_threads(), []
    model = fitted(epochs=1, run=Run(seed=1, threads=before + 1))
    assert torch.get_num_threads() == before
    encode = model._encode
    model._encode = lambda queries: seen.append(torch.get_num_threads()) or encode(queries)
    model.recommend([Query.of(["0"])], k=1, run=Run(threads=before + 2))
    assert seen == [before + 2]
    assert torch.get_num_threads() == before


def test_users_of_one_event_are_not_learnt_from_and_do_no_harm() -> None:
    world = tastes()
    lonely = Histories.of_lists([*map(list, np.split(world.histories.item, world.histories.offsets[1:-1])), [0], [1]])
    plain = world.histories.without(*(set(world.histories.columns()) - {"item"}))
    one = fitted(world=Dataset.of(plain, world.item_table, world.user_table, clock="position"), epochs=1)
    users = pa.table({"user_id": [*world.users.ids.to_pylist(), "lonely", "lonelier"]})
    two = fitted(world=Dataset.of(lonely, world.item_table, users, clock="position"), epochs=1)
    assert one.trained.epochs[0].events == two.trained.epochs[0].events == world.n_events - world.n_users


def test_lists_of_a_large_catalogue_take_the_memory_of_a_part_of_it(monkeypatch) -> None:
    model = fitted(epochs=1)
    whole, lists = model._list_bytes(), model.recommend([Query.of(["i0001"])], k=5).ids()
    monkeypatch.setattr(base, "ITEMS_AT_ONCE", 10)
    monkeypatch.setattr(exact, "ITEMS_AT_ONCE", 10)
    assert model._list_bytes() * model.n_items == whole * 10
    assert model.recommend([Query.of(["i0001"])], k=5).ids() == lists
    assert model._row_bytes() == whole  # scores are still of all items


def test_the_only_event_of_a_history_is_a_reason() -> None:
    """Each event is followed by its neighbour, so that what is proposed owes all to it."""
    model = fitted(world=of_lists(*[[0, 1]] * 60, *[[2, 3]] * 60), epochs=20)
    found = model.recommend(Query.of(["i2"]), k=1, reasons=1).to_dicts()[0]["items"][0]
    assert found["item_id"] == "i3"
    assert [one["item_id"] for one in found["reasons"]] == ["i2"]


def test_threads_are_given_back_by_the_last_who_leaves() -> None:
    from zhiyin.models._torch import torch_threads

    before, inside, may_leave = torch.get_num_threads(), Event(), Event()

    def other() -> None:
        with torch_threads(Run(threads=3)):
            inside.set()
            may_leave.wait(10)

    try:
        torch.set_num_threads(2)
        thread = Thread(target=other)
        with torch_threads(Run(threads=1)):
            thread.start()
            assert inside.wait(10)
            with torch_threads(Run(threads=4)):
                assert torch.get_num_threads() == 4
            assert torch.get_num_threads() == 1
        may_leave.set()
        thread.join()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_small_log_has_steps_enough() -> None:
    world = of_lists(*[[0, 1, 2, 3]] * 2_000)
    assert SASRec(batch_size=6400)._batch_events(world.histories) == 500
    assert SASRec(batch_size=100)._batch_events(world.histories) == 100
    assert SASRec(batch_size=6400)._batch_events(tastes().histories) == 256


def test_what_does_not_fit_is_refused_before_it_is_made(monkeypatch) -> None:
    monkeypatch.setattr("zhiyin.nn.memory.free_bytes", lambda device: 2**30)
    monkeypatch.setattr(SASRec, "_made", lambda *_: pytest.fail("the net was made"))
    with pytest.raises(ConfigError, match="n_layers=64"):
        SASRec(embedding_size=4096, n_layers=64, hidden_size=1_000_000).fit(tastes())


@pytest.mark.parametrize("given", ["value, gap", ("value", "gap"), ["value", "gap"]])
def test_names_may_come_as_text(given) -> None:
    assert SASRec(features=given).config.features == ("value", "gap")
    assert SASRec(relations="position").config.relations == ("position",)


def test_nothing_is_said_of_items_without_events(tmp_path) -> None:
    """i4 occurs nowhere: no opinion of it, in lists, scores, pairs, live histories and the saved model."""
    model = fitted(world=of_lists([0, 1, 2, 3], [1, 2, 3, 0]))
    again = load(model.save(tmp_path / "model"))
    assert again.trained == model.trained
    for one in (model, again):
        query = Query.of(["i0", "i4"])
        assert one.recommend(query, k=5, exclude_seen=False, fill=False).items[0].tolist().count(-1) == 1
        assert 4 not in one.recommend(query, k=5, exclude_seen=False, fill=False).items
        assert one.live(query).recommend(5, exclude_seen=False).source_of(0, 4) == FILLED
        scores = one.score(query, [f"i{item}" for item in range(5)])
        assert np.isfinite(scores).tolist() == [[True] * 4 + [False]]
        assert scores[0, 4] == -np.inf
        assert one.score_pairs(query, ["i4"]).tolist() == [-np.inf]
        alone = one.score(Query.of(["i0"]), ["i1", "i2", "i3"])
        np.testing.assert_array_equal(one.score(query, ["i1", "i2", "i3"]), alone)
        assert one.recommend(Query.of(["i4"]), k=2, fill=False).items.tolist() == [[-1, -1]]
        for _ in range(3):
            query = Query.of([*query.items, "i1", "i4", "i2"])
            events = np.array(query.items) == "i4"
            shares = one._contributions(one.encode(query), np.arange(3, dtype=np.int32))
            assert not shares[events].any()
            assert shares[~events].any()
    filled = model.recommend(Query.of(["i0", "i4"]), k=3, reasons=2)
    assert all(filled.reasons[0]), "each item has a reason"


def test_items_of_lonely_events_are_unknown() -> None:
    model = fitted(world=of_lists([0, 1, 2], [3], [1, 0]))
    assert model.known.tolist() == [True, True, True, False, False]


def test_what_items_share_makes_them_known() -> None:
    """Items 3 to 6 have no events: 3 shares a genre with another, 4 has one of its own, 5 none, 6 a rare one."""
    histories = Histories.of_lists([[0, 1, 2], [1, 0]])
    genres = ["a", "b", "c", "a", "d", None, "e"]
    values = sorted({one for one in genres if one} - {"e"})
    places = [values.index(one) if one in values else len(values) for one in genres]
    sides = sparse.csr_array((np.ones(7, np.float32), (np.arange(7), places)))
    met = uses(histories, 7) > 0
    assert met.tolist() == [True] * 3 + [False] * 4
    learnt = learnt_values(met, sides, np.array([len(values)], np.int32))
    assert (met | (sides @ learnt > 0)).tolist() == [True, True, True, True, False, False, False]


def test_a_blend_does_not_tell_a_stranger_of_a_history() -> None:
    world = tastes()
    blend = Blend.of([fitted(world=world, epochs=1), Popularity().fit(world)])
    found = blend.recommend([Query.of([]), Query.of(["i0001"])], k=5, reasons=1)
    assert found.reasons is not None
    assert {one.kind for reasons in found.reasons[0] for one in reasons} == {"popularity"}
    assert {one.kind for reasons in found.reasons[1] for one in reasons} <= {"history", "sequence", "popularity"}
    assert all(found.reasons[1])


def test_bfloat16_is_refused_where_it_is_slower_and_learns_about_the_same_where_it_is_not(monkeypatch) -> None:
    monkeypatch.setattr(_torch, "bfloat16_seconds", lambda device: 30 * _torch.product_seconds(device, torch.float32))
    with pytest.raises(ConfigError, match=r"products take .* times as long as those of float32 on cpu"):
        fitted(run=Run(seed=1, threads=1, precision="bfloat16"))
    monkeypatch.setattr(_torch, "bfloat16_seconds", lambda device: 0.0)
    for kind, options in (
        (SASRec, {}),
        (Zhiyin, {}),
        (HSTU, {}),
        (BERT4Rec, {}),
        (GRU4Rec, {}),
        (TransformerXL, {"segment": 4, "memory": 4}),
    ):
        exact, rough = (
            fitted(kind, **options, run=Run(seed=1, threads=1, precision=one)).trained.epochs
            for one in ("float32", "bfloat16")
        )
        assert [one.loss for one in rough] == pytest.approx([one.loss for one in exact], rel=0.02)
        assert [one.loss for one in rough] != [one.loss for one in exact]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_when_answering_too() -> None:
    model = fitted()
    with pytest.raises(ConfigError, match="sasrec was asked to run on 'cuda', which is not there"):
        model.recommend(Query.of(["i0001"]), run=Run(device="cuda"))
    assert model.recommend(Query.of(["i0001"]), k=3, run=Run(device="cpu")).items.shape == (1, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("model", [SASRec, Zhiyin, HSTU, BERT4Rec, GRU4Rec, GPT4Rec, TransformerXL])
def test_a_gpu_learns_and_answers_as_the_cpu(model: type) -> None:
    options = {"segment": 4, "memory": 4} if model is TransformerXL else {}
    here, there = (fitted(model, dropout=0.0, **options, run=Run(seed=1, device=one)) for one in ("cpu", "cuda"))
    assert [one.loss for one in there.trained.epochs] == pytest.approx(
        [one.loss for one in here.trained.epochs], rel=1e-3
    )
    ids = [f"i{number:04d}" for number in range(20)]
    query = Query.of(ids[:5])
    np.testing.assert_allclose(there.score(query, ids), there.score(query, ids, Run(device="cpu")), atol=1e-3)
