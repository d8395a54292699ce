import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Query
from zhiyin.data.synthetic import synthetic
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.models import EASE, Popularity
from zhiyin.models.base import load
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.run import Run
from zhiyin.splitting import GlobalTime
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
    found = fitted._retrieved(query, False, None)
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
