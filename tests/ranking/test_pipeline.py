import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from zhiyin.data.dataset import Clock, Dataset
from zhiyin.data.exposures import Exposures
from zhiyin.data.histories import NO_TIME
from zhiyin.data.queries import Queries, Query
from zhiyin.data.recommendations import Recommendations
from zhiyin.data.synthetic import synthetic
from zhiyin.errors import ConfigError, DataError, LeakageError, MissingExtra, NotFittedError
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.models import EASE, Popularity
from zhiyin.models.base import FILLED, load
from zhiyin.ranking.labels import exposed, rated
from zhiyin.ranking.lists import PINNED
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.rankers import InterestAttention
from zhiyin.run import Run
from zhiyin.splitting import GlobalTime, UserHoldout
from zhiyin.testing.recommenders import RecommenderSuite

SMALL = {"sources": "item_knn:20,ease:20", "ranker": {"ranker": "boosted_trees", "settings": {"n_trees": 20}}}


class TestPipeline(RecommenderSuite):
    model = Pipeline
    options = SMALL
    exact = False  # it draws


@pytest.fixture(scope="module")
def world() -> Dataset:
    return synthetic(n_users=400, n_items=120, n_events=16_000, n_groups=5, seed=4)[0]


@pytest.fixture(scope="module")
def fitted(world: Dataset) -> Pipeline:
    split = GlobalTime(quantile=0.9, targets="successive").split(world)
    return Pipeline(**SMALL, cases=2_000, repeats="allow").fit(split.development, run=Run(seed=0, threads=1))


def test_it_is_better_than_what_it_is_made_of(world: Dataset, fitted: Pipeline) -> None:
    split = GlobalTime(quantile=0.9, targets="successive").split(world)
    others = [EASE().fit(split.development), Popularity().fit(split.development)]
    known = world_of(split.development)
    ours, *theirs = (
        evaluate(one, split.test, ["ndcg@10"], known, exclude_seen=False).samples["ndcg@10"].value
        for one in (fitted, *others)
    )
    assert ours > 1.1 * max(theirs), (ours, theirs)


def test_what_retrievers_do_not_find_is_not_listed(fitted: Pipeline, world: Dataset) -> None:
    query = fitted.encode(world.query_of(world.users.decode([3])[0]))
    scores = fitted._score(query)[0]
    found = fitted._retrieved(query, None)
    assert set(np.flatnonzero(np.isfinite(scores))) == set(found.item.tolist())
    assert 20 <= len(found) <= 40


def test_a_saved_pipeline_is_the_same(fitted: Pipeline, world: Dataset, tmp_path) -> None:  # type: ignore[no-untyped-def]
    again = load(fitted.save(tmp_path / "model"))
    assert isinstance(again, Pipeline)
    assert [one.name for one in again.features.families] == [one.name for one in fitted.features.families]
    assert again.ranker.importance() == fitted.ranker.importance()
    ours, theirs = (one.recommend(world.queries(np.arange(40)), k=10) for one in (fitted, again))
    np.testing.assert_array_equal(ours.items, theirs.items)
    (tmp_path / "model" / "ranker" / "texts.json").write_text("{}")
    with pytest.raises(DataError, match="boosted_trees learns"):
        load(tmp_path / "model")


def test_it_says_what_counts(fitted: Pipeline) -> None:
    importance = fitted.ranker.importance()
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_a_query_of_words_people_write_is_answered(fitted: Pipeline, world: Dataset) -> None:
    found = fitted.recommend(Query.of(world.items.decode([0, 1])), k=5, reasons=1)
    assert len(found.ids()) == 5


def test_settings_that_make_no_sense_are_refused() -> None:
    assert [(one.model, one.quota) for one in Pipeline(sources="ease:7, a.b:C").config.sources] == [
        ("ease", 7),
        ("a.b:C", 100),
    ]
    with pytest.raises(ConfigError, match="at least one is expected"):
        Pipeline(sources=[])


def test_candidates_that_never_hold_what_is_wanted_are_an_error(world: Dataset) -> None:
    with pytest.raises(DataError, match="raise their quotas"):
        Pipeline(sources="random:1", cases=10, features={"families": "pair"}).fit(world)


# ---------------------------------------------------------------------- from ranked candidates to a list


def like(fitted: Pipeline, world: Dataset, **settings: Any) -> Pipeline:
    """A pipeline with other settings of what makes a list, that has learnt what `fitted` has."""
    made = Pipeline(**SMALL, **settings)
    for name in ("items", "kinds", "kind_weights", "popularity", "trained_on", "retrievers", "features", "ranker"):
        setattr(made, name, getattr(fitted, name))
    made.rules.fit(world)
    if made.value is not None:
        made.value.fit(world.item_table, made.ranker.foretold)
    for one in made.rerankers:
        one.fit(world)
    return made


def listed(found: Recommendations) -> list[list[int]]:
    return [row[row >= 0].tolist() for row in found.items]


def some(world: Dataset, n: int = 40) -> Queries:
    return world.queries(np.arange(n))


def categories(world: Dataset) -> list[list[str]]:
    found: list[list[str]] = world.item_table["categories"].to_pylist()
    return found


class TestList:
    def test_without_anything_it_is_in_the_order_of_worth(self, fitted: Pipeline, world: Dataset) -> None:
        found = fitted.recommend(some(world), k=10, exclude_seen=False, fill=False)
        scores = fitted._score(fitted.encode(some(world)))
        for row, items in enumerate(listed(found)):
            assert items == np.lexsort((np.arange(world.n_items), -scores[row]))[: len(items)].tolist()
        assert found.notes is None
        assert found.propensity is None

    def test_what_rules_take_away_is_in_no_list_and_completes_none(self, fitted: Pipeline, world: Dataset) -> None:
        """Lists of 100 of 120 items are longer than what retrievers find, so they are completed."""
        kind = categories(world)[0][0]
        gone = {item for item, one in enumerate(categories(world)) if kind in one}
        model = like(fitted, world, rules=[{"rule": "never", "column": "categories", "values": [kind]}])
        found = model.recommend(some(world), k=100, exclude_seen=False)
        assert {FILLED, model.name} == {found.source_of(0, place) for place in range(len(found.ids(0)))}
        for items in listed(found):
            assert len(items) == len(set(items)) == min(100, world.n_items - len(gone))
            assert not set(items) & gone
        assert found.notes is None

    def test_retrievers_look_among_what_rules_leave(self, fitted: Pipeline, world: Dataset) -> None:
        """Of a category of few items all are candidates, however far behind they are."""
        kind = categories(world)[0][-1]
        kept = {item for item, one in enumerate(categories(world)) if kind in one}
        assert len(kept) < 40
        model = like(fitted, world, rules=[{"rule": "only", "column": "categories", "values": [kind]}])
        found = model.recommend(some(world), k=20, exclude_seen=False, fill=False)
        assert {len(set(items) & kept) for items in listed(found)} == {20}

    @pytest.mark.parametrize("k", [10, 60])
    def test_caps_hold_for_what_completes_a_list_too(self, k: int, fitted: Pipeline, world: Dataset) -> None:
        creator = world.item_table["creator"].to_pylist()
        model = like(fitted, world, rules=[{"rule": "cap", "column": "creator", "most": 1}])
        plain, found = (one.recommend(some(world), k=k, exclude_seen=False) for one in (fitted, model))
        for items in listed(found):
            assert len({creator[item] for item in items}) == len(items) == min(k, len(set(creator)))
        assert max(len(items) - len({creator[item] for item in items}) for items in listed(plain)) > 1
        assert found.notes is not None
        assert any("at most 1 of one creator: " in note for row in found.notes for place in row for note in place)

    def test_a_pinned_item_has_its_place_and_says_so(self, fitted: Pipeline, world: Dataset) -> None:
        name = world.items.decode([77])[0]
        model = like(
            fitted,
            world,
            rules=[{"rule": "pin", "item": name, "place": 3}, {"rule": "pin", "item": "i00005", "place": 30}],
        )
        plain, found = (one.recommend(some(world), k=5, exclude_seen=False, reasons=1) for one in (fitted, model))
        for row, items in enumerate(listed(found)):
            assert items[2] == 77
            assert found.source_of(row, 2) == PINNED
            assert found.source_of(row, 1) == model.name
            assert [one for one in items if one != 77] == [one for one in listed(plain)[row] if one != 77][:4]
        assert found.notes is not None
        assert found.notes[0][2][-1] == "pinned at place 3"

    def test_a_pin_gives_way_to_a_filter_and_to_the_history(
        self, fitted: Pipeline, world: Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        name = world.items.decode([77])[0]
        late = pa.array([10**18 if item == 77 else None for item in range(world.n_items)], pa.int64())
        items = world.item_table.append_column("from", late)
        shop = Dataset(world.histories, items, world.user_table, world.manifest)
        rules = [{"rule": "available", "start": "from"}, {"rule": "pin", "item": name}]
        model = like(fitted, shop, rules=rules)
        found = model.recommend(some(world), k=5)
        assert not any(77 in one for one in listed(found))
        assert f"'{name}' is pinned, but not for 40 of 40 queries: available (40)" in caplog.text
        assert model.against(some(world, 2), name) == [["available"]] * 2
        seen = Query.of([name])
        assert name not in like(fitted, world, rules=rules[1:]).recommend(seen, k=5).ids()

    def test_where_nothing_is_left_the_list_is_empty_and_the_log_says_why(
        self, fitted: Pipeline, world: Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = like(fitted, world, rules=[{"rule": "fits", "column": "creator", "says": "who", "unknown": "drop"}])
        found = model.recommend([Query.of([], context={"who": one}) for one in (None, "jazz maker 0")], k=5)
        assert found.ids(0) == []
        assert "rules leave nothing for 1 of 2 queries: in the mean fits creator takes 120" in caplog.text

    def test_the_value_orders_and_shows_its_terms(self, fitted: Pipeline, world: Dataset) -> None:
        price = np.array(world.item_table["price"].to_pylist())
        model = like(fitted, world, value="100 * price + worth / 1000")
        found = model.recommend(some(world), k=8, exclude_seen=False, fill=False)
        plain = fitted._score(fitted.encode(some(world)))
        for row, items in enumerate(listed(found)):
            wanted = 100 * price[items] + plain[row, items] / 1000
            np.testing.assert_allclose(found.scores[row], wanted, rtol=1e-5)
            candidates = np.flatnonzero(np.isfinite(plain[row]))
            assert price[items].min() >= np.sort(price[candidates])[-8]
        assert found.notes is not None
        first = listed(found)[0][0]
        assert found.notes[0][0][0] == f"value: 100 * price = {100 * price[first]:.6g}"
        assert found.notes[0][0][1].startswith("value: worth / 1000 = ")

    def test_re_rankers_come_one_after_the_other_and_leave_notes(self, fitted: Pipeline, world: Dataset) -> None:
        choices = [
            {"reranker": "diversity", "settings": {"strength": 0.4}},
            {"reranker": "novelty", "settings": {"strength": 0.3}},
        ]
        model = like(fitted, world, rerankers=choices)
        plain, found = (one.recommend(some(world), k=10, exclude_seen=False) for one in (fitted, model))
        assert found.notes is not None
        said = {note.partition(":")[0] for row in found.notes for place in row for note in place}
        assert said == {"diversity", "novelty"}
        assert model.popularity[found.items].mean() < fitted.popularity[plain.items].mean()
        np.testing.assert_array_equal(  # scores are still what each item is worth
            found.scores, np.take_along_axis(fitted._score(fitted.encode(some(world))), found.items, 1)
        )
        narrow = like(fitted, world, rerankers=choices, pool=12).recommend(some(world), k=10, exclude_seen=False)
        best = fitted.recommend(some(world), k=12, exclude_seen=False)
        assert all(set(ours) <= set(theirs) for ours, theirs in zip(listed(narrow), listed(best), strict=True))

    def test_what_is_drawn_depends_on_the_query_and_the_seed_alone(self, fitted: Pipeline, world: Dataset) -> None:
        model = like(fitted, world, rerankers=[{"reranker": "exploration", "settings": {"epsilon": 0.5}}])
        queries = some(world, 60)
        found = model.recommend(queries, k=6, run=Run(seed=5))
        assert found.propensity is not None
        assert found.propensity.shape == (60, 6)
        assert set(found.propensity.round(6)[:, 0].tolist()) == {0.025, 0.525}
        again = model.recommend(queries, k=6, run=Run(seed=5, threads=1, memory_mib=1))
        np.testing.assert_array_equal(again.items, found.items)
        np.testing.assert_array_equal(again.propensity, found.propensity)  # type: ignore[arg-type]
        assert (model.recommend(queries, k=6, run=Run(seed=6)).items != found.items).mean() > 0.3
        one = model.recommend(queries.slice(7, 8), k=6, run=Run(seed=5))
        assert one.ids() == found.ids(7)
        assert found.to_arrow()["propensity"].to_pylist() == found.propensity.ravel().tolist()

    def test_what_completes_an_explored_list_was_not_left_to_chance(self, fitted: Pipeline, world: Dataset) -> None:
        model = like(fitted, world, rerankers="exploration")
        found = model.recommend(some(world), k=100, exclude_seen=False)
        assert found.propensity is not None
        assert found.source is not None
        filled = (found.source == 1) & (found.items >= 0)
        assert filled.any()
        assert (found.propensity[filled] == 1).all()
        assert (found.propensity[found.items >= 0] > 0).all()
        assert np.isnan(found.propensity[found.items < 0]).all()

    def test_click_rates_are_observed_without_learning_anew(self, fitted: Pipeline, world: Dataset) -> None:
        thompson = [{"reranker": "exploration", "settings": {"method": "thompson", "prior": 1}}]
        model = like(fitted, world, rerankers=thompson)
        with pytest.raises(NotFittedError, match="observe"):
            model.recommend(some(world), k=5)
        n = world.n_items
        item = np.repeat(np.arange(n, dtype=np.int32), 200)
        model.observe(Exposures(item, np.ones(len(item)), (item % 2 == 0).astype(float), n))
        found = model.recommend(some(world), k=5)
        assert (found.items[:, 0] % 2 == 0).mean() > 0.95
        with pytest.raises(ConfigError, match="learns from exposures"):
            fitted.observe(Exposures(item, np.ones(len(item)), np.ones(len(item)), n))

    def test_a_newer_item_table_changes_stock_and_prices(self, fitted: Pipeline, world: Dataset) -> None:
        shop = Dataset(
            world.histories,
            world.item_table.append_column("stock", pa.array(np.ones(world.n_items))),
            world.user_table,
            world.manifest,
        )
        model = like(fitted, shop, rules=[{"rule": "stock"}], value="price")
        before = listed(model.recommend(some(world), k=5))
        sold = {one for items in before for one in items[:1]}
        gone = np.isin(np.arange(world.n_items), list(sold))
        newer = shop.item_table.set_column(
            shop.item_table.column_names.index("stock"), "stock", pa.array(np.where(gone, 0, 1))
        )
        order = np.random.default_rng(0).permutation(world.n_items)
        model.update_items(newer.take(pa.array(order)))
        after = model.recommend(some(world), k=5)
        assert not {one for items in listed(after) for one in items} & sold
        price = np.array(world.item_table["price"].to_pylist())
        np.testing.assert_allclose(after.scores[0], price[after.items[0]], rtol=1e-6)
        with pytest.raises(ConfigError, match="unknown item feature 'stock'"):
            model.update_items(world.item_table)


EVERYTHING = {
    **SMALL,
    "cases": 500,
    "value": "worth + price / 100",
    "rerankers": [
        {"reranker": "calibration"},
        {"reranker": "exploration", "settings": {"method": "plackett_luce", "pool": 10}},
    ],
    "rules": [
        {"rule": "available"},
        {"rule": "cap", "column": "creator", "most": 2},
        {"rule": "pin", "item": "i00003", "place": 2},
    ],
}


@pytest.fixture(scope="module")
def whole(world: Dataset) -> Pipeline:
    return Pipeline(**EVERYTHING).fit(world, run=Run(seed=0, threads=1))


class TestWhole:
    """Learnt, saved and evaluated with everything at once."""

    def test_a_saved_one_is_the_same(self, whole: Pipeline, world: Dataset, tmp_path: Path) -> None:
        again = load(whole.save(tmp_path / "model"))
        assert again.config == whole.config
        ours, theirs = (one.recommend(some(world), k=10) for one in (whole, again))
        np.testing.assert_array_equal(ours.items, theirs.items)
        np.testing.assert_array_equal(ours.propensity, theirs.propensity)  # type: ignore[arg-type]
        assert ours.notes == theirs.notes

    def test_a_batch_equals_its_parts(self, whole: Pipeline, world: Dataset) -> None:
        found = whole.recommend(some(world), k=10)
        for row in (0, 11, 39):
            one = whole.recommend(world.queries(np.array([row])), k=10)
            assert one.ids() == found.ids(row)
            assert one.notes is not None
            assert found.notes is not None
            assert one.notes[0] == found.notes[row]

    def test_it_is_evaluated_as_any_other(self, whole: Pipeline, world: Dataset) -> None:
        split = GlobalTime(quantile=0.9, targets="successive").split(world)
        result = evaluate(whole, split.test, ["ndcg@10"], world_of(split.development), exclude_seen=False)
        assert 0 < result.samples["ndcg@10"].value < 1
        assert result.recommendations.propensity is not None

    def test_no_query_is_no_trouble(self, whole: Pipeline, world: Dataset) -> None:
        assert len(whole.recommend(some(world, 0), k=3)) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rerankers": "exploration, novelty"}, "put it last"),
        ({"rerankers": "diversty"}, "did you mean 'diversity'"),
        ({"rerankers": [{"reranker": "novelty", "settings": {"strength": 2}}]}, "strength"),
        ({"value": "click +"}, "is no formula"),
        ({"rules": [{"rule": "stok"}]}, "stok"),
        ({"rules": "no_such.toml"}, "no TOML or JSON"),
        ({"pool": 0}, "pool"),
    ],
)
def test_settings_of_lists_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Pipeline(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"value": "click + price"}, "unknown name in value 'click'"),
        ({"rules": [{"rule": "stock"}]}, "unknown item feature 'stock'"),
        ({"rerankers": [{"reranker": "calibration", "settings": {"columns": "colour"}}]}, "colour"),
    ],
)
def test_what_the_data_lack_is_said_before_anything_is_learnt(
    settings: dict[str, Any], message: str, world: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EASE, "_fit", lambda *_: pytest.fail("a retriever learns"))
    with pytest.raises(ConfigError, match=message):
        Pipeline(sources="ease", **settings).fit(world)


def test_re_rankers_are_named_in_text(tmp_path: Path) -> None:
    assert [one.name for one in Pipeline(rerankers="novelty, diversity").rerankers] == ["novelty", "diversity"]
    (tmp_path / "rules.toml").write_text('[[rule]]\nrule = "cap"\ncolumn = "creator"\n')
    made = Pipeline(rerankers='[{"reranker": "novelty"}]', rules=str(tmp_path / "rules.toml"))
    assert [one.name for one in made.rerankers] == ["novelty"]
    assert made.config.rules[0].label == "at most 2 of one creator"


class TestRankersInAPipeline:
    QUICK: ClassVar[dict[str, Any]] = {"epochs": 3, "batch_size": 512, "hidden": [16], "learning_rate": 0.01}

    def made(self, world: Dataset, ranker: str, sources: str = "item_knn:20,ease:20", **more: Any) -> Pipeline:
        settings = {**self.QUICK, **more.pop("settings", {})}
        choice = {"ranker": ranker, "settings": settings}
        split = GlobalTime(quantile=0.9, targets="successive").split(world)
        options = {"sources": sources, "ranker": choice, "cases": 1_000, "repeats": "allow", **more}
        return Pipeline(**options).fit(split.development, run=Run(seed=0, threads=1))

    def test_one_that_reads_histories_gets_them_and_the_vectors_of_a_model(
        self, world: Dataset, tmp_path: Path
    ) -> None:
        found = self.made(world, "interest_attention", "bpr:20,ease:20", settings={"interest_size": 8})
        assert isinstance(found.ranker, InterestAttention)
        assert found.ranker.vectors.shape[0] == world.n_items
        assert found.ranker.vectors.shape[1] > 1
        again = load(found.save(tmp_path / "model"))
        ours, theirs = (one.recommend(world.queries(np.arange(5)), k=5, exclude_seen=False) for one in (found, again))
        np.testing.assert_array_equal(ours.items, theirs.items)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)

    def test_kinds_of_events_are_outcomes_and_a_value_weighs_them(self, world: Dataset) -> None:
        settings = {"tasks": "view, cart, purchase", "chain": False}
        assert world.kinds == ("view", "cart", "purchase")
        found = self.made(world, "multi_task", settings=settings, value="view + 100 * purchase * price")
        asked = world.queries(np.arange(50))
        candidates = found._retrieved(asked, None)
        told = found.ranker.outcomes(found.features.table(candidates))
        assert told["view"].mean() > told["cart"].mean() > told["purchase"].mean()
        price = np.array(world.item_table["price"].to_pylist())[candidates.item]
        want = told["view"] + 100 * told["purchase"] * price
        np.testing.assert_allclose(found._score(asked)[candidates.owner(), candidates.item], want, rtol=1e-4)

    def test_it_learns_from_exposures_that_are_later_than_its_events(self) -> None:
        """Clicks fall with the place; a ranker that is taught by what was shown knows."""
        world, truth = synthetic(n_users=200, n_items=60, n_events=8_000, n_groups=4, seed=1)
        shown = truth.exposures(n_lists=3_000, length=4, click_rate=0.4, position_bias=1.5, policy="uniform")
        kept = shown.select(["query", "user_id", "item_id", "time", "position", "clicked"])
        cut = int(np.quantile(world.histories.time, 0.6))  # type: ignore[arg-type]
        early = world.keep(world.histories.time < cut)  # type: ignore[operator]
        later = kept.filter(pc.greater(kept["time"], cut))
        families = [{"family": "popularity"}, {"family": "context", "settings": {"numbers": "position"}}]
        choice = {"ranker": "boosted_trees", "settings": {"objective": "chance", "n_trees": 60}}
        options = {"features": {"families": families}, "ranker": choice, "cases": 500, "repeats": "allow"}
        found = Pipeline(sources="item_knn:20,popularity:20", **options).fit(early, run=Run(threads=1))
        before = found.ranker
        found.teach(exposed(later, world), Run(threads=1))
        assert found.ranker is not before
        assert found.ranker.importance()["position"] > 0.2
        with pytest.raises(LeakageError, match="retrievers know what is to be foretold; fit it on what is before"):
            found.teach(exposed(kept, world))


@pytest.fixture(scope="module")
def teachable() -> tuple[Pipeline, Dataset, pa.Table]:
    world, truth = synthetic(n_users=60, n_items=40, n_events=6_000, n_groups=4, seed=4)
    early = GlobalTime(quantile=0.8, targets="successive").split(world).development
    options = {"features": {"families": "retrieval, popularity, pair, affinity"}, "ranker": {"ranker": "logistic"}}
    made = Pipeline(sources="item_knn:20, popularity:20", cases=300, repeats="allow", **options)
    log = truth.exposures(n_lists=800, length=5, click_rate=0.4, policy="uniform")
    log = log.select(["query", "user_id", "item_id", "time", "clicked"])
    later = log.filter(pc.greater(log["time"], int(early.histories.time.max())))  # type: ignore[union-attr]
    return made.fit(early, run=Run(threads=1)), world, later


class TestTeach:
    """A log whose dataset numbers its items in another way than the pipeline, and has more of them."""

    def other(self, world: Dataset, ids: list[str]) -> Dataset:
        """The same events of a catalogue in another order."""
        number = np.array([ids.index(one) for one in world.items.ids.to_pylist()], np.int32)
        past = replace(world.histories, item=number[world.histories.item])
        return Dataset.of(past, ids, world.users.ids.to_pylist(), kinds=world.kinds)

    def said(self, pipeline: Pipeline, world: Dataset) -> Any:
        return pipeline._score(pipeline.encode(some(world, 20)))

    def test_ids_count_and_not_numbers(self, teachable: tuple[Pipeline, Dataset, pa.Table]) -> None:
        pipeline, world, log = teachable
        want = self.said(pipeline.teach(exposed(log, world)), world)
        ids = world.items.ids.to_pylist()
        turned = self.other(world, ids[::-1])
        np.testing.assert_allclose(self.said(pipeline.teach(exposed(log, turned)), world), want, rtol=1e-5)
        start = pc.min(log["time"]).as_py()
        ours, theirs = (self.said(pipeline.teach(rated(one, 4, start=start)), world) for one in (turned, world))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)

    def test_items_that_it_does_not_know_are_left_out_and_counted(
        self, teachable: tuple[Pipeline, Dataset, pa.Table], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Two of each list are of new items; one list has nothing else."""
        pipeline, world, log = teachable
        more = self.other(world, ["new", *world.items.ids.to_pylist(), "newer"])
        new = log.filter(pa.array(np.arange(len(log)) % 5 < 2))
        new = new.set_column(2, "item_id", pa.array(["new", "newer"] * (len(new) // 2)))
        alone = new.slice(0, 2).set_column(0, "query", pa.array([10**6] * 2, log["query"].type))
        want = self.said(pipeline.teach(exposed(log, world)), world)
        shown = exposed(pa.concat_tables([log, new, alone]), more)
        caplog.clear()
        np.testing.assert_allclose(self.said(pipeline.teach(shown), world), want, rtol=1e-5)
        assert f"does not know the items of {len(new) + 2} of {len(log) + len(new) + 2} exposures" in caplog.text
        with pytest.raises(DataError, match=f"knows none of the items of all {len(new)} exposures"):
            pipeline.teach(exposed(new, more))


@pytest.mark.parametrize(
    ("ranker", "module"), [("boosted_trees", "lightgbm"), ("deep_cross", "torch"), ("blend", "lightgbm")]
)
def test_a_missing_extra_is_said_before_a_retriever_learns(
    ranker: str, module: str, world: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(*_: object) -> None:
        raise AssertionError("a retriever has learnt")

    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(EASE, "_fit", learn)
    with pytest.raises(MissingExtra, match=module):
        Pipeline(sources="ease:20", ranker={"ranker": ranker}).fit(world)


@pytest.mark.parametrize("clock", ["position", "none"])
def test_without_times_people_are_held_out_for_the_ranker(world: Dataset, clock: Clock) -> None:
    bare = world.histories.without("time") if clock == "none" else world.histories
    known = Dataset.of(bare, world.item_table, world.user_table, clock=clock, kinds=world.kinds)
    split = UserHoldout(test_share=0.3).split(known)
    found = Pipeline(sources=SMALL["sources"], repeats="allow").fit(split.development, run=Run(seed=0, threads=1))
    assert found.until.tolist() == [NO_TIME]
    known_world = world_of(split.development)
    others = [Popularity().fit(split.development), EASE().fit(split.development)]
    ours, popular, best = (
        evaluate(one, split.test, ["ndcg@10"], known_world, exclude_seen=False).samples["ndcg@10"].value
        for one in (found, *others)
    )
    assert ours > 1.1 * popular
    assert ours > 0.95 * best  # a hundred people teach the ranker little
