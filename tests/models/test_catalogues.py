"""Sequence models over other catalogues, and asked in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin import models
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.models.base import load
from zhiyin.models.blend import Blend
from zhiyin.run import Run

pytest.importorskip("torch")

SMALL: dict[str, Any] = {
    "embedding_size": 32,
    "n_layers": 1,
    "max_length": 12,
    "epochs": 12,
    "learning_rate": 0.01,
    "encoder": "tfidf",
    "text_size": 12,
}
JOINED = ("frozen", "added", "null_space")
KINDS = ("green tea", "red shoe")


def catalogue(first: int, n: int, **columns: Any) -> pa.Table:
    """`n` items from number `first` on: even ones are tea, odd ones shoes."""
    numbers = range(first, first + n)
    titles = [f"{KINDS[number % 2]} number{number % 7}" for number in numbers]
    return pa.table({"item_id": [f"i{number:02d}" for number in numbers], "title": titles, **columns})


def world(n: int = 24, first: int = 0, n_users: int = 160, **columns: Any) -> Dataset:
    """Users who keep to tea or to shoes."""
    rng = np.random.default_rng(first)
    lists = [(2 * rng.choice(n // 2, 8, replace=False) + user % 2).tolist() for user in range(n_users)]
    return Dataset.of(Histories.of_lists(lists), catalogue(first, n, **columns))


def fitted(text: str, data: Dataset | None = None, name: str = "sasrec", **options: Any) -> Any:
    return models.get(name)(**{**SMALL, "text": text, **options}).fit(data or world(), run=Run(seed=1, threads=1))


def kinds_of(ids: list[str]) -> set[int]:
    return {int(one[1:]) % 2 for one in ids}


@pytest.fixture(scope="module", params=JOINED)
def model(request: pytest.FixtureRequest) -> Any:
    return fitted(request.param)


TEA, SHOES = Query.of(["i00", "i04", "i08"]), Query.of(["i01", "i05", "i09"])


def test_new_items_are_listed_at_once_where_they_belong(model: Any) -> None:
    grown = model.with_items(catalogue(22, 10))  # of which two are there already
    assert grown.n_items == 32
    assert model.n_items == 24
    for query, kind in ((TEA, 0), (SHOES, 1)):
        ids = grown.recommend(query, k=13).ids()
        assert kinds_of(ids) == {kind}
        assert {f"i{number}" for number in range(24, 32) if number % 2 == kind} & set(ids)


def test_what_was_known_stays_as_it_was(model: Any) -> None:
    grown = model.with_items(catalogue(24, 6))
    old = list(map(str, model.vocabulary.ids.to_pylist()))
    np.testing.assert_allclose(grown.score(TEA, old), model.score(TEA, old), atol=1e-5)
    found = grown.recommend(TEA, k=10, allow=old).ids()
    assert found == model.recommend(TEA, k=10).ids()
    assert model.with_items(catalogue(0, 24)) is model  # there is nothing new


def test_a_history_of_new_items_alone_is_understood(model: Any) -> None:
    grown = model.with_items(catalogue(24, 6))
    for first, kind in ((24, 0), (25, 1)):
        ids = grown.recommend(Query.of([f"i{first}", f"i{first + 2}"]), k=8).ids()
        assert kinds_of(ids) == {kind}


def test_a_grown_model_is_saved_like_any_other(model: Any, tmp_path: Path) -> None:
    grown = model.with_items(catalogue(24, 6))
    grown.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.recommend(TEA, k=12).ids() == grown.recommend(TEA, k=12).ids()
    once_more = again.with_items(catalogue(30, 4))
    assert once_more.n_items == 34
    assert kinds_of(once_more.recommend(SHOES, k=12).ids()) == {1}


def test_a_new_item_without_a_word_is_not_known(model: Any) -> None:
    silent = catalogue(24, 2).set_column(1, "title", pa.array([None, "red shoe"], pa.string()))
    grown = model.with_items(silent)
    assert grown.known.tolist() == [True] * 24 + [False, True]
    assert "i24" not in grown.recommend(TEA, k=20, fill=False).ids()


def test_features_and_codes_of_new_items_go_along(tmp_path: Path) -> None:
    data = world(brand=["a", "b"] * 12)
    model = fitted("null_space", data, codes=4, item_features=("brand",))
    grown = model.with_items(catalogue(24, 4, brand=["a", "b", "a", "never seen"]))
    assert np.isfinite(grown.item_vectors).all()
    assert kinds_of(grown.recommend(TEA, k=10).ids()) == {0}
    grown.save(tmp_path / "model")
    assert load(tmp_path / "model").recommend(TEA, k=10).ids() == grown.recommend(TEA, k=10).ids()
    with pytest.raises(ConfigError, match="brand"):
        model.with_items(catalogue(24, 4))


def test_another_catalogue_in_its_own_order(model: Any) -> None:
    """Known items keep what is theirs, wherever they stand; others are what they say."""
    table = pa.concat_tables([catalogue(30, 6), catalogue(4, 8)])
    other = model.with_catalogue(table)
    assert other.vocabulary.ids.to_pylist() == table.column("item_id").to_pylist()
    both = [f"i{number:02d}" for number in range(4, 12)]
    query = Query.of(both[:2])
    np.testing.assert_allclose(other.score(query, both), model.score(query, both), atol=1e-4)
    assert kinds_of(other.recommend(Query.of(["i30", "i32"]), k=5).ids()) == {0}


def test_it_answers_for_a_set_that_it_never_saw(model: Any) -> None:
    """Other items, other users, and not an id in common: what they say carries over."""
    other = world(first=50)
    moved = model.with_catalogue(other)
    assert not set(moved.vocabulary.ids.to_pylist()) & set(model.vocabulary.ids.to_pylist())
    queries = other.queries()
    ids = moved.recommend(queries, k=4).items % 2
    assert (ids == (np.arange(other.n_users) % 2)[:, None]).mean() > 0.95


@pytest.mark.parametrize("name", ["sasrec", "zhiyin", "gru4rec", "hstu"])
def test_a_few_events_of_another_set_are_enough(name: str) -> None:
    few, rest = world(first=50, n_users=20), world(first=50, n_users=60)
    model = fitted("added", name=name, epochs=20)
    adapted = model.adapt(few, epochs=1, learning_rate=1e-4, run=Run(seed=1, threads=1))
    anew = fitted("added", few, name=name, epochs=1)
    share = [
        (one.recommend(rest.queries(), k=4).items % 2 == (np.arange(rest.n_users) % 2)[:, None]).mean()
        for one in (adapted, anew)
    ]
    assert share[0] > 0.95
    assert share[0] >= share[1]
    assert adapted.config.epochs == 1
    assert adapted.name == name


def test_to_adapt_is_to_go_on() -> None:
    """The losses of a second learning begin where those of the first end."""
    data = world()
    model = fitted("null_space", data)
    adapted = model.adapt(data, epochs=2, run=Run(seed=2, threads=1))
    losses = [one.loss for one in model.trained.epochs]
    assert adapted.trained.epochs[0].loss < losses[0] - 0.5 * (losses[0] - losses[-1])
    assert model.trained.epochs[-1].loss == losses[-1]


def test_words_name_what_is_wanted(model: Any) -> None:
    """Without a history, beside one that says the same, and against one: then the weight decides."""
    for words, kind in (("green tea", 0), ("a red shoe", 1)):
        asked = Query.of([], context={"text": words})
        assert kinds_of(model.recommend(asked, k=6).ids()) == {kind}
    for weight, kind in ((0.0, 0), (20.0, 1)):
        asked = Query.of(TEA.items, context={"text": "red shoe", "text_weight": weight})
        assert kinds_of(model.recommend(asked, k=6).ids()) == {kind}
    plain = model.recommend(TEA, k=6)
    same = model.recommend(Query.of(TEA.items, context={"text": None}), k=6)
    np.testing.assert_array_equal(plain.items, same.items)


def test_words_of_some_queries_leave_the_others_alone(model: Any) -> None:
    queries = [TEA, Query.of(TEA.items, context={"text": "red shoe", "text_weight": 20}), SHOES]
    found = model.recommend(queries, k=5)
    np.testing.assert_array_equal(found.items[[0, 2]], model.recommend([TEA, SHOES], k=5).items)
    assert (found.items[1] % 2 == 1).all()


def test_words_that_say_nothing_change_nothing(model: Any) -> None:
    odd = Query.of(TEA.items, context={"text": "xyzzy"})
    np.testing.assert_array_equal(model.recommend(odd, k=5).items, model.recommend(TEA, k=5).items)


def test_the_reason_for_what_was_asked_in_words(model: Any) -> None:
    found = model.recommend(Query.of([], context={"text": "green tea"}), k=2, reasons=2)
    reasons = found.reasons[0][0]
    assert reasons[0].kind == "text"
    assert "green tea" in reasons[0].text


def test_the_reason_for_what_was_asked_beside_a_history(model: Any) -> None:
    """The words are one reason among the events: first where they bring what the history would not."""
    against = Query.of(TEA.items, context={"text": "red shoe", "text_weight": 20.0})
    for first, *_ in model.recommend(against, k=5, reasons=2).reasons[0]:
        assert first.kind == "text"
        assert first.weight > 1
    beside = Query.of(TEA.items, context={"text": "green tea"})
    for reasons in model.recommend(beside, k=5, reasons=len(TEA.items) + 1).reasons[0]:
        assert [one.weight for one in reasons] == sorted((one.weight for one in reasons), reverse=True)
        assert sum(one.kind == "text" for one in reasons) == 1
    for words in ({"text": "red shoe", "text_weight": 0.01}, {"text": "green tea", "text_weight": 0.0}):
        listed = model.recommend(Query.of(TEA.items, context=words), k=5, reasons=9)
        assert kinds_of(listed.ids()) == {0}
        assert "text" not in {one.kind for reasons in listed.reasons[0] for one in reasons}


def test_a_live_history_is_asked_in_words() -> None:
    model = fitted("added")
    live = model.live(Query.of([], context={"text": "red shoe", "text_weight": 20.0}))
    assert kinds_of(live.recommend(k=5).ids()) == {1}
    live.add(list(TEA.items))
    assert kinds_of(live.recommend(k=5).ids()) == {1}


def test_behaviour_items_and_words_are_of_one_space(model: Any) -> None:
    states = model.behaviour_vectors([TEA, SHOES, Query.of([])])
    words = model.text_vectors(["green tea", "red shoe", ""])
    assert states.shape == words.shape == (3, 32)
    assert np.isnan(states[2]).all()
    assert np.isnan(words[2]).all()
    by_words = words[:2] @ model.item_vectors.T
    assert (by_words.argmax(1) % 2).tolist() == [0, 1]
    assert np.trace(states[:2] @ words[:2].T) > np.trace(states[:2] @ words[1::-1].T)


def test_a_blend_hands_words_to_who_reads_them() -> None:
    data = world()
    members = [{"model": "popularity"}, {"model": "sasrec", "weight": 5, "settings": {**SMALL, "text": "added"}}]
    model = Blend(members=members).fit(data, run=Run(seed=1, threads=1))
    asked = Query.of([], context={"text": "red shoe"})
    found = model.recommend(asked, k=5, reasons=1)
    assert kinds_of(found.ids()) == {1}
    assert {one.kind for (one,) in found.reasons[0]} == {"text"}
    against = Query.of(TEA.items, context={"text": "red shoe", "text_weight": 20.0})
    found = model.recommend(against, k=5, reasons=1)
    assert {one.kind for (one,) in found.reasons[0]} == {"text"}
    assert model.hears("red shoe")
    assert not model.hears("xyzzy")


@pytest.mark.parametrize("name", ["popularity", "item_knn", "sasrec"])
def test_who_reads_no_text_says_so(name: str) -> None:
    model = models.get(name)(**(SMALL | {"epochs": 1} if name == "sasrec" else {})).fit(world())
    assert not model.hears("red shoe")
    with pytest.raises(ConfigError, match="reads no text"):
        model.recommend(Query.of(["i00"], context={"text": "green tea"}), k=2)
    model.recommend(Query.of(["i00"], context={"text": None}), k=2)


def test_bad_calls_are_refused_with_a_reason(model: Any) -> None:
    for text in (7, ["green tea"]):
        with pytest.raises(DataError, match="a text is expected"):
            model.recommend(Query.of(["i00"], context={"text": text}), k=2)
    for weight in (-1, "much", float("nan")):
        with pytest.raises(DataError, match="from 0 on are expected"):
            model.recommend(Query.of(["i00"], context={"text": "tea", "text_weight": weight}), k=2)
    with pytest.raises(DataError, match="no column item_id"):
        model.with_items(pa.table({"title": ["red shoe"]}))
    twice = pa.concat_tables([catalogue(30, 2), catalogue(31, 2)])
    with pytest.raises(DataError, match="such as 'i31'"):
        model.with_items(twice)
    with pytest.raises(DataError, match="Arrow table"):
        model.with_items(["red shoe"])
    with pytest.raises(ConfigError, match="leave its net as it is"):
        model.adapt(world(), embedding_size=16 if model.config.text != "null_space" else 24, epochs=1)


def test_models_of_use_alone_say_that_they_cannot() -> None:
    for text in ("none", "initial"):
        model = fitted(text, epochs=1)
        with pytest.raises(ConfigError, match=rf"knows items by their use \(text={text}\), so it has nothing to say"):
            model.with_items(catalogue(24, 2))
        with pytest.raises(ConfigError, match="not told what items say"):
            model.text_vectors(["green tea"])


def test_data_that_tell_something_else_are_not_gone_on_with() -> None:
    def told(kinds: tuple[str, ...]) -> Dataset:
        data = world()
        kind = (np.arange(data.n_events) % len(kinds)).astype(np.uint8)
        histories = Histories(data.histories.offsets, data.histories.item, kind=kind)
        return Dataset.of(histories, data.item_table, kinds=kinds)

    model = fitted("added", told(("view", "buy")), name="transformer", features=("position", "kind"), epochs=1)
    assert model.adapt(told(("view", "buy")), epochs=1).read == model.read
    for other in (told(("view", "like")), world()):
        with pytest.raises(DataError, match="go on with data that tell the same"):
            model.adapt(other, epochs=1)
