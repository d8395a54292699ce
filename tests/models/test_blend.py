from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.models.base import Recommender, load
from zhiyin.models.blend import Blend, BlendConfig, ranks, reciprocal_ranks, standard_scores, unit_range
from zhiyin.models.content import Content
from zhiyin.models.ease import EASE
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import tastes

NOTHING = -np.inf


class TestBlend(RecommenderSuite):
    model = Blend
    options = {"members": "ease,item_knn:0.5"}


class TestBlendOfRanks(RecommenderSuite):
    model = Blend
    options = {"members": "ease,item_knn", "method": "rrf"}


class TestUsualBlend(RecommenderSuite):
    model = Blend


class Fixed(Recommender):
    """Gives every query the same scores, and says that each event brings the same part of them."""

    config: BlendConfig  # of no importance here

    def __init__(self, scores: list[float] | None = None, **options: object) -> None:
        super().__init__(**options)
        scores = [0.0] if scores is None else scores
        self.scores = np.array([scores], np.float32)
        self.items, self.popularity = Vocabulary(range(len(scores))), np.ones(len(scores), np.int64)  # type: ignore[arg-type]

    def _score(self, queries: Queries) -> np.ndarray:
        return np.repeat(self.scores, len(queries), axis=0)

    def _contributions(self, query: Queries, items: np.ndarray) -> np.ndarray:
        n = query.histories.n_events
        return np.repeat(np.where(np.isfinite(self.scores), self.scores, 0)[:, items] / n, n, axis=0)


def scores_of(method: str, members: list[Fixed], weights: list[float], **options: object) -> list[float]:
    blend = Blend.of(members, weights, method=method, **options)
    queries = Queries(Histories.of_lists([[0], []]), blend.vocabulary)
    both = blend._score(queries)
    np.testing.assert_array_equal(both[0], both[1])
    return [float(one) for one in both[0]]


def test_standard_scores_by_hand() -> None:
    """Known scores 1, 3, 5: mean 3, deviation √(8/3); the unknown one gets the least."""
    found = scores_of("zscore", [Fixed([1, 3, NOTHING, 5, NOTHING]), Fixed([0, 0, 0, 10, NOTHING])], [1, 2])
    one = np.array([-2, 0, -2, 2]) / np.sqrt(8 / 3)
    two = np.array([-2.5, -2.5, -2.5, 7.5]) / np.sqrt((3 * 2.5**2 + 7.5**2) / 4)
    np.testing.assert_allclose(found, [*(one + 2 * two), NOTHING], rtol=1e-6)


def test_unit_ranges_by_hand() -> None:
    found = scores_of("minmax", [Fixed([1, 3, NOTHING, 5]), Fixed([4, 4, 4, NOTHING])], [1, 2])
    np.testing.assert_allclose(found, [0, 0.5, 0, 1])  # a member that scores all alike takes no side


def test_ranks_by_hand() -> None:
    found = scores_of("rank", [Fixed([1, 3, NOTHING, 5]), Fixed([NOTHING, NOTHING, 7, NOTHING])], [3, 1])
    np.testing.assert_allclose(found, [1, 2, 1, 3], rtol=1e-6)


def test_reciprocal_ranks_by_hand() -> None:
    found = scores_of("rrf", [Fixed([1, 3, NOTHING, 5]), Fixed([2, 9, 1, NOTHING])], [1, 0.5])
    np.testing.assert_allclose(found, [1 / 63 + 0.5 / 62, 1 / 62 + 0.5 / 61, 0.5 / 63, 1 / 61], rtol=1e-6)
    short = scores_of("rrf", [Fixed([1, 3, NOTHING, 5])], [1], depth=1, rrf_k=1)
    assert short == [0, 0, NOTHING, 0.5]


def test_rows_without_anything_known_are_no_trouble() -> None:
    scores = np.array([[NOTHING, NOTHING, NOTHING], [1, 2, NOTHING], [3, 3, 3]], np.float32)
    known = np.isfinite(scores)
    for way in (standard_scores, unit_range, ranks):
        found = way(scores, known)
        assert np.isfinite(found).all()
        assert not found[0].any()
        assert found[1, 1] > found[1, 0]
    assert not reciprocal_ranks(scores, 2, 60)[0].any()


@pytest.mark.parametrize("method", ["zscore", "minmax", "rank", "rrf"])
def test_contributions_of_a_blend(method: str) -> None:
    world = tastes()
    parts = [EASE(regularization=10.0).fit(world), Content().fit(world)]
    blend = Blend.of(parts, [1.0, 0.5], method=method)
    query, items = world.queries(np.array([2])), np.arange(60, dtype=np.int32)
    found = blend._contributions(query, items)
    assert found.shape == (query.histories.n_events, 60)
    if method in ("rank", "rrf"):  # each member's part of the score is divided among the events, none is lost
        positive = np.abs(found).sum(axis=0)
        assert (positive <= blend._score(query)[0] * (1 + 1e-4)).all()
        return
    first = parts[0]._score(query)[0]
    unit = first.std() if method == "zscore" else np.ptp(first)
    own = parts[1]._score(query)[0]
    own = own[np.isfinite(own)]
    other = own.std() if method == "zscore" else np.ptp(own)
    right = parts[0]._contributions(query, items) / unit + 0.5 * parts[1]._contributions(query, items) / other
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


def test_one_member_alone_gives_its_own_lists() -> None:
    world = tastes()
    ease = EASE(regularization=10.0).fit(world)
    right = ease.recommend(world.queries(), k=10).items
    for method in ("zscore", "minmax", "rank", "rrf"):
        np.testing.assert_array_equal(Blend.of([ease], method=method).recommend(world.queries(), k=10).items, right)


def test_members_from_text() -> None:
    def read(value: object) -> list[tuple[str, float]]:
        return [(member.model, member.weight) for member in BlendConfig.read({"members": value}).members]

    assert read("ease,als") == [("ease", 1), ("als", 1)]
    assert read("ease:2, my.models:Mine , my.models:Mine:0.5") == [
        ("ease", 2),
        ("my.models:Mine", 1),
        ("my.models:Mine", 0.5),
    ]
    assert read('[{"model": "ease", "weight": 3}]') == [("ease", 3)]
    assert read(["ease:0.5", {"model": "als"}]) == [("ease", 0.5), ("als", 1)]


def test_settings_reach_the_members_and_wrong_ones_are_refused_at_once() -> None:
    made = Blend(members=[{"model": "ease", "settings": {"regularization": 7}}])
    assert made.models[0].config.regularization == 7  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="did you mean 'ease'"):
        Blend(members="eaze")
    with pytest.raises(ConfigError, match="regularisation"):
        Blend(members=[{"model": "ease", "settings": {"regularisation": 7}}])
    with pytest.raises(ConfigError, match="weight"):
        Blend(members="ease:-1")


def test_the_usual_members_suit_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def usual(data: Dataset) -> list[str]:
        return [model.name for model in Blend().fit(data).models]

    lists = Histories.of_lists([[0, 1], [1, 2], [0, 2]])
    bare = Dataset.of(lists, ["a", "b", "c"], clock="none")
    strange = Dataset.of(lists, pa.table({"item_id": ["a", "b", "c"], "title": ["one", "two", "three"]}), clock="none")
    assert usual(bare) == usual(strange) == ["item_knn", "ease"]
    assert usual(tastes()) == ["ease", "content"]
    monkeypatch.setattr("zhiyin.models.blend.EASE_ITEMS", 2)
    assert usual(tastes()) == ["item_knn", "popularity", "content"]
    assert usual(bare) == ["item_knn", "popularity"]


def test_a_blend_needs_what_its_members_need(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Blend(members="ease").needs, Blend(members="ease").uses_validation) == ("none", False)
    monkeypatch.setattr(EASE, "needs", "time")
    monkeypatch.setattr(EASE, "uses_validation", True)
    monkeypatch.setattr(Content, "needs", "position")
    blend = Blend(members="content,ease")
    assert (blend.needs, blend.uses_validation) == ("time", True)
    world = Dataset.of(Histories.of_lists([[0, 1]]), ["a", "b"], clock="position")
    with pytest.raises(DataError, match="blend needs the times"):
        blend.fit(world)


def test_members_of_other_items_or_weights_are_refused() -> None:
    one, other = EASE().fit(tastes()), EASE().fit(tastes(n_items=50))
    with pytest.raises(DataError, match="other items"):
        Blend.of([one, other])
    with pytest.raises(ConfigError, match="1 models came with 2 weights"):
        Blend.of([one], [1, 2])
    with pytest.raises(ConfigError, match="at least one"):
        Blend.of([])
    with pytest.raises(NotFittedError):
        Blend.of([EASE()])


def test_a_blend_of_fitted_models_is_saved_whole(tmp_path: Path) -> None:
    world = tastes()
    blend = Blend.of([EASE(regularization=3.0).fit(world), Content().fit(world)], [2.0, 1.0], method="minmax")
    again = load(blend.save(tmp_path / "blend"))
    assert isinstance(again, Blend)
    assert [model.name for model in again.models] == ["ease", "content"]
    assert again.models[0].items is again.items
    assert again.config == blend.config
    np.testing.assert_allclose(again._score(world.queries()), blend._score(world.queries()), rtol=1e-6)


def test_the_reason_without_a_history_is_that_of_a_member() -> None:
    found = Blend(members="ease,popularity").fit(tastes()).recommend(Query.of([]), k=3, reasons=1)
    assert found.reasons is not None
    assert [reasons[0].kind for reasons in found.reasons[0]] == ["popularity"] * 3


def test_each_member_has_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    small = {"embedding_size": 8, "epochs": 1, "n_layers": 1}
    members = [{"model": "sasrec", "settings": small}, {"model": "transformer", "settings": small}]
    run = Run(seed=1, threads=1, checkpoint=tmp_path / "kept")
    Blend(members=members).fit(tastes(), run=run)
    assert sorted(one.name for one in (tmp_path / "kept").iterdir()) == ["0-sasrec", "1-transformer"]
