import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import DataError
from zhiyin.models import content as module
from zhiyin.models.base import load
from zhiyin.models.content import Content, product
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import checkerboard, tastes


class TestContent(RecommenderSuite):
    model = Content
    exact = False  # items of one taste say the same, and ties go by the order of items


FILMS = {
    "alien": ("space horror", ["Sci-Fi", "Horror"]),
    "gravity": ("space rescue", ["Sci-Fi"]),
    "psycho": ("motel horror", ["Horror"]),
    "heat": ("city heist", ["Crime"]),
    "ronin": ("city heist", ["Crime"]),
    "fresh": ("space heist", ["Sci-Fi"]),
}


def films(lists: list[list[int]] | None = None, clock: str = "position") -> Dataset:
    table = pa.table(
        {
            "item_id": list(FILMS),
            "title": [text for text, _ in FILMS.values()],
            "genres": [kinds for _, kinds in FILMS.values()],
        }
    )
    return Dataset.of(Histories.of_lists(lists or [[0, 1, 2], [3, 4]]), table, clock=clock)  # type: ignore[arg-type]


def test_the_checkerboard_is_completed() -> None:
    world = checkerboard()
    found = Content(half_life=None).fit(world).recommend(world.queries(), k=1)
    np.testing.assert_array_equal(found.items[:, 0], np.arange(20))


def test_cosine_by_hand() -> None:
    """Titles only, each word once: idf(space) = idf(heist) = ln(7/4) + 1, idf(horror) = idf(city) = ln(7/3) + 1."""
    model = Content(categories=()).fit(films())
    three, two = math.log(7 / 4) + 1, math.log(7 / 3) + 1
    long, short = math.hypot(three, two), math.hypot(three, three)
    found = model.score(Query.of(["alien"]), ["fresh", "psycho", "gravity", "heat", "alien"])[0]
    right = [three / long * three / short, two / long, three / long, -np.inf, 1]
    np.testing.assert_allclose(found, right, rtol=1e-6)


def test_later_events_count_more_where_the_order_is_known() -> None:
    query = Query.of(["heat", "alien"])
    fading = Content(half_life=1.0).fit(films())
    assert fading.recommend(query, 1).ids() == ["psycho"]
    assert fading.recommend(Query.of(["alien", "heat"]), 1).ids() == ["ronin"]
    scores = [Content(half_life=1.0).fit(films(clock="none")), Content(half_life=None).fit(films())]
    ways = [model.score([query, Query.of(["alien", "heat"])], list(FILMS)) for model in scores]
    np.testing.assert_array_equal(ways[0], ways[1])
    np.testing.assert_allclose(ways[0][0], ways[0][1], rtol=1e-6)


def test_an_item_that_nobody_touched_is_recommended() -> None:
    found = Content().fit(films()).recommend(Query.of(["gravity", "heat"]), 2, fill=False)
    assert "fresh" in found.ids()


def test_nothing_in_common_is_no_recommendation() -> None:
    found = Content().fit(films()).recommend(Query.of(["psycho"]), 5, fill=False)
    assert found.ids() == ["alien"]
    assert Content().fit(films()).recommend(Query.of(["psycho"]), 5).source_of(0, 1) == "popularity (fill)"


def test_contributions_add_up_to_the_cosine() -> None:
    world = tastes()
    model = Content(half_life=2.0).fit(world)
    query, items = world.queries(np.array([6])), np.arange(60, dtype=np.int32)
    scores = model._score(query)[0]
    np.testing.assert_allclose(
        model._contributions(query, items).sum(axis=0), np.where(np.isfinite(scores), scores, 0), atol=1e-6
    )


def test_reasons_name_the_shared_terms() -> None:
    found = Content().fit(films()).recommend(Query.of(["alien"]), 2, reasons=1)
    assert found.reasons is not None
    said = {item: reasons[0] for item, reasons in zip(found.ids(), found.reasons[0], strict=True)}
    assert said["psycho"].item_id == "alien"
    assert set(said["psycho"].text.removeprefix("shares: ").split(", ")) == {"horror", "Horror"}  # type: ignore[union-attr]


def test_repeated_items_and_strength_weigh_in() -> None:
    data = films()
    model = Content(half_life=None).fit(data)
    twice = Histories(np.array([0, 3]), np.array([0, 0, 3], np.int32))
    strong = Histories(np.array([0, 2]), np.array([0, 3], np.int32), weight=np.array([2, 1], np.float32))
    profiles = [model._profiles(one).toarray() for one in (twice, strong)]
    np.testing.assert_allclose(profiles[0], profiles[1], rtol=1e-6)


def test_both_ways_to_the_product_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tastes()
    model = Content().fit(world)
    found = []
    for cost in (0.0, 1e12):
        monkeypatch.setattr(module, "SPARSE_COST", cost)
        found.append(product(model._profiles(world.histories), model._term_items, model.item_terms))
        assert found[-1].flags.c_contiguous
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    dense = model._profiles(world.histories).toarray() @ model.item_terms.toarray().T
    np.testing.assert_allclose(found[0], dense, atol=1e-5)


def test_chinese_titles_are_compared() -> None:
    table = pa.table({"item_id": ["a", "b", "c"], "title": ["流浪地球", "流浪地球第二部", "霸王别姬"]})
    model = Content().fit(Dataset.of(Histories.of_lists([[0, 2]]), table, clock="position"))
    assert model.recommend(Query.of(["a"]), 2, fill=False).ids() == ["b"]


def test_items_that_say_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="no text and no categories"):
        Content().fit(Dataset.of(Histories.of_lists([[0, 1]]), ["a", "b"]))
    with pytest.raises(DataError, match="unknown column 'plot'"):
        Content(text=("plot",)).fit(films())


def test_shared_terms_are_known_after_loading(tmp_path: Path) -> None:
    model = load(Content().fit(films()).save(tmp_path / "content"))
    assert isinstance(model, Content)
    assert [model.terms[place] for place in model.shared_terms(3, 4)] == ["city", "genres:Crime", "heist"]
