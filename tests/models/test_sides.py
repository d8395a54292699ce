import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.artifacts import load_arrays, save_arrays
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError
from zhiyin.models import _columns, _sides
from zhiyin.models._columns import BUCKETS, Column
from zhiyin.models._sequences import WEIGHTS, SequenceRecommender
from zhiyin.models._sides import ItemSides, UserSides, saved_item_sides
from zhiyin.models.base import load
from zhiyin.models.gru4rec import GRU4Rec
from zhiyin.models.sasrec import SASRec
from zhiyin.models.transformer import Transformer
from zhiyin.models.transformer_xl import TransformerXL
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite

# ---------------------------------------------------------------------- columns


def items(**columns: Any) -> pa.Table:
    n = len(next(iter(columns.values())))
    return pa.table({"item_id": [f"i{number}" for number in range(n)], **columns})


def shares(table: pa.Table, *names: str) -> list[list[float]]:
    return ItemSides.fit(table, names).of(table).toarray().tolist()


def test_the_values_of_items_by_hand() -> None:
    """Values of most items first, then by name, then what is not known; rare ones (`e`) and nulls are not."""
    table = items(genres=[["b", "a"], ["a"], None, ["e"], ["e ", "b", " a"], ["c", "c", "", None, "a"], ["c"]])
    assert table.num_rows == 7
    third = np.float32(1 / 3).item()
    # a: 4 items; b, c, e: 2 each ("e " is "e")
    assert shares(table, "genres") == [
        [0.5, 0.5, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [third, third, 0, third, 0],
        [0.5, 0, 0.5, 0, 0],
        [0, 0, 1, 0, 0],
    ]


def test_a_value_of_one_item_is_not_told_apart() -> None:
    assert shares(items(kind=["a", "b", "a", "c"]), "kind") == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_words_by_hand() -> None:
    """Of a title each word that another title has too; the fewer titles have one, the more of the title it is."""
    table = items(title=["Blue lamp", "the BLUE chair", "The lamp; the blue one", None, "chair 椅子", "椅子 7"])
    sides = ItemSides.fit(table, (), ["title"])
    (column,) = sides.columns
    assert column.values == ("blue", "chair", "lamp", "the", "椅子")
    assert column.words
    blue, rare, silent = np.log1p(6 / 3), np.log1p(6 / 2), 1.0
    right = [
        [blue, 0, rare, 0, 0, 0],
        [blue, rare, 0, rare, 0, 0],
        [blue, 0, rare, rare, 0, 0],
        [0, 0, 0, 0, 0, silent],
        [0, rare, 0, 0, rare, 0],
        [0, 0, 0, 0, rare, 0],
    ]
    np.testing.assert_allclose(sides.of(table).toarray(), np.array(right) / np.sum(right, 1, keepdims=True), rtol=1e-6)
    new = items(title=["a lamp", "nothing known"])
    np.testing.assert_allclose(sides.of(new).toarray(), [[0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]])


def test_of_a_text_unknown_words_are_no_part() -> None:
    table = items(title=["blue lamp", "the blue chair", "a lamp", "the chair"], kind=["x", "x", "y", "y"])
    sides = ItemSides.fit(table, ["kind"], ["title"])
    assert sides.columns[1].values == ("blue", "chair", "lamp", "the")
    found = sides.of_texts(["a lamp", "something blue for the evening", "unheard of", ""]).toarray()
    assert found.shape == (4, 3 + 5)
    np.testing.assert_allclose(found[0], [0, 0, 0, 0, 0, 1, 0, 0])
    np.testing.assert_allclose(found[1], [0, 0, 0, 0.2, 0, 0, 0.2, 0], rtol=1e-6)
    assert not found[2:].any()


def test_words_come_back_from_files_and_damage_is_refused(tmp_path: Path) -> None:
    table = items(title=["blue lamp", "blue chair", "a lamp"], kind=["x", "x", "y"])
    sides = ItemSides.fit(table, ["kind"], ["title"])
    sides.write(tmp_path)
    again = ItemSides.read(tmp_path, ["kind"], ["title"])
    assert again.of(table).toarray().tolist() == sides.of(table).toarray().tolist()
    for names, words in ((["title"], ["kind"]), (["kind"], []), (["kind", "title"], [])):
        with pytest.raises(DataError, match="damaged"):
            ItemSides.read(tmp_path, names, words)
    told = json.loads((tmp_path / _sides.ITEM_COLUMNS).read_text())
    for weights in ([1.0], [0.0] * len(told[1]["weights"]), "much"):
        (tmp_path / _sides.ITEM_COLUMNS).write_text(json.dumps([told[0], {**told[1], "weights": weights}]))
        with pytest.raises(DataError, match="damaged"):
            ItemSides.read(tmp_path, ["kind"], ["title"])


def test_numbers_have_no_words() -> None:
    with pytest.raises(ConfigError, match="words of item column 'price' were asked for, but it holds double, not text"):
        ItemSides.fit(items(price=[1.0, 2.0]), (), ["price"])
    with pytest.raises(ConfigError, match="it holds bool, not text"):
        ItemSides.fit(items(sold=[True, False]), (), ["sold"])
    with pytest.raises(DataError, match="no two items share a word of 'title'"):
        ItemSides.fit(items(title=["blue lamp", "red chair"]), (), ["title"])


def test_columns_stand_side_by_side_and_count_once() -> None:
    table = items(kind=["a", "b", "a", "b"], price=[1.0, 2.0, None, 2.0])
    right = [[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0]]
    assert shares(table, "kind", "price") == right
    assert shares(table, "kind", "price", "kind") == right
    sides = ItemSides.fit(table, ["kind", "price"])
    found, silent = sides.of(table), sides.silent
    assert found.data.dtype == np.float32
    assert (found.sum(1) == 2).all()
    assert silent.tolist() == [2, 5]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x", None, "y", "x", "y"]).dictionary_encode(),
        pa.array(["x", None, "y", "x", "y"], pa.string_view()),
        pa.chunked_array([["x", None], [], ["y", "x", "y"]]),
        pa.array([["x", "x"], None, ["y", None], [" ", "x"], ["y", "y"]], pa.list_(pa.string(), 2)),
        pa.array([["x"], [], ["y"], ["x"], ["y"]], pa.large_list(pa.dictionary(pa.int8(), pa.string()))),
        pa.array([["?"], ["x"], None, ["y"], ["x"], ["y"]], pa.list_(pa.string())).slice(1),
        pa.array([False, None, True, False, True]),
        pa.array([1, None, 9, 1, 9]),
        pa.array([1.5, float("nan"), 2.5, 1.5, 2.5]),
        pa.array([1.5, float("inf"), 2.5, 1.5, 2.5], pa.float32()),
    ],
    ids=str,
)
def test_columns_of_any_type_say_the_same(column: Any) -> None:
    assert shares(items(it=column), "it") == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]]


def test_permuted_items_have_permuted_values() -> None:
    rng = np.random.default_rng(0)
    lists = [rng.choice(list("abcdefg"), rng.integers(0, 4)).tolist() for _ in range(40)]
    table = items(genres=lists, price=rng.normal(size=40))
    order = rng.permutation(40)
    ours, theirs = (
        ItemSides.fit(one, ["genres", "price"]).of(one).toarray() for one in (table, table.take(pa.array(order)))
    )
    np.testing.assert_array_equal(theirs, ours[order])


@pytest.mark.parametrize("seed", range(5))
def test_no_bucket_of_numbers_is_empty_and_quantiles_are_about_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.choice([0.0, *rng.normal(size=200)], 3000, p=[0.5, *np.full(200, 0.0025)])
    column = Column.fit(items(it=numbers), "it", "item")
    rows, buckets = column.entries(items(it=numbers), "item")
    counts = np.bincount(buckets, minlength=column.size)
    assert rows.tolist() == list(range(3000))
    assert counts[-1] == 0
    assert (counts[:-1] > 0).all()
    assert BUCKETS // 3 <= column.size - 1 <= BUCKETS
    assert np.sort(counts)[-2] < 3 * 3000 / BUCKETS  # beside the one that half of them share
    assert (np.diff(buckets[np.argsort(numbers)]) >= 0).all()


def test_only_the_most_frequent_texts_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_columns, "MOST", 2)
    column = Column.fit(items(it=["d", "b", "a", "a", "b", "c", "c", "c", "d"]), "it", "item")
    assert column.values == ("c", "a")


def test_columns_that_say_nothing_are_refused() -> None:
    table = items(kind=["a", "b"], genres=[["a"], ["b"]], price=[1.0, None], nothing=[None, None], deep=[[[1]], []])
    for name, wrong, said in (
        ("kinds", ConfigError, "unknown item feature 'kinds'; did you mean 'kind'"),
        ("item_id", ConfigError, "unknown item feature 'item_id'; known"),
        ("deep", ConfigError, "text, lists of text, true or false, or numbers"),
        ("nothing", ConfigError, "holds null"),
        ("kind", DataError, "no two items have the same 'kind'"),
        ("genres", DataError, "no two items have the same 'genres'"),
        ("price", DataError, "no two different numbers"),
    ):
        with pytest.raises(wrong, match=said.replace("?", r"\?")):
            ItemSides.fit(table, [name])


def test_what_a_query_says() -> None:
    text = Column("city", ("3", "oslo", "true"))
    for came, given, buckets in (
        (["oslo", " oslo ", "rome", "3"], [1, 1, 1, 1], [1, 1, 3, 0]),
        ([3, None, True, float("nan")], [1, 0, 1, 0], [0, 3, 2, 3]),
        ([3, 4], [1, 1], [0, 3]),
    ):
        ours = text.told(np.array(came))
        assert (ours[0].tolist(), ours[1].tolist()) == (list(map(bool, given)), buckets)
    age = Column("age", edges=np.array([20.0, 40.0]))
    for came, given, buckets in (
        ([19, 20, 21, 41], [1, 1, 1, 1], [0, 0, 1, 2]),
        ([19.5, np.nan, np.inf], [1, 0, 1], [0, 3, 3]),
        (["21", None, "old", 10**400], [1, 0, 1, 1], [1, 3, 3, 3]),
    ):
        ours = age.told(np.array(came))
        assert ours[0].tolist() == list(map(bool, given))
        np.testing.assert_array_equal(ours[1][ours[0]], np.array(buckets)[ours[0]])
    several = np.empty(3, object)
    several[:] = [["oslo", "3"], [], "3"]
    assert [one.tolist() for one in text.told(several)] == [[True, False, True], [1, 3, 0]]  # the first one counts
    with pytest.raises(DataError, match="a value for each query"):
        text.told(np.array([["a", "b"]]))


# ---------------------------------------------------------------------- users


def people() -> pa.Table:
    return pa.table(
        {
            "user_id": ["ada", "bob", "cid", "dan", "eve"],
            "city": ["oslo", "rome", "oslo", None, "bonn"],
            "age": [20, 40, None, None, 40],
        }
    )


EVERY = np.ones(5, bool)


def asked(users: Sequence[str] | None, n: int, **context: Any) -> Queries:
    empty = Histories.of_lists([[] for _ in range(n)])
    told = {name: np.array(column) for name, column in context.items()}
    return Queries(empty, Vocabulary(["i"]), None, None if users is None else tuple(users), told)


def test_the_buckets_of_users_by_hand() -> None:
    sides, every = UserSides.fit(people(), ["city", "age"], EVERY)
    assert sides.sizes == {"user: city": 2, "user: age": 3}
    assert sides.nobody.tolist() == [1, 4]
    assert every.tolist() == [[0, 2], [1, 3], [0, 4], [1, 4], [1, 3]]
    assert sides.ids.ids.to_pylist() == ["ada", "bob", "cid", "eve"]  # of dan nothing is known
    found = sides.asked(asked(["eve", "", "ada", "who", "dan"], 5))
    assert found.tolist() == [[1, 3], [1, 4], [0, 2], [1, 4], [1, 4]]
    assert sides.asked(asked(None, 2)).tolist() == [[1, 4], [1, 4]]


def test_a_query_is_believed_before_the_table() -> None:
    sides, _ = UserSides.fit(people(), ["city", "age"], EVERY)
    queries = asked(
        ["ada", "ada", "", "who"], 4, city=["mars", None, "oslo", None], age=[None, 45, 12, None], zip=[1] * 4
    )
    assert sides.asked(queries).tolist() == [[1, 2], [0, 3], [0, 2], [1, 4]]


def test_what_training_never_sees_is_not_told_apart_but_looked_up() -> None:
    table = people().set_column(1, "city", pa.array(["oslo", "rome", "oslo", "rome", "oslo"]))
    sides, every = UserSides.fit(table, ["city"], np.array([1, 1, 1, 0, 0], bool))
    assert sides.columns[0].values == ("oslo",)
    assert every[:, 0].tolist() == [0, 1, 0, 1, 0]
    assert sides.asked(asked(["eve"], 1)).tolist() == [[0]]


def test_users_come_back_from_files(tmp_path: Path) -> None:
    sides, _ = UserSides.fit(people(), ["age", "city"], EVERY)
    sides.write(tmp_path)
    again = UserSides.read(tmp_path, ["age", "city"])
    queries = asked(["ada", "dan", "eve", "x"], 4, age=[None, 30.0001, None, 29.9999])
    np.testing.assert_array_equal(again.asked(queries), sides.asked(queries))
    assert again.sizes == sides.sizes


def test_damaged_files_of_users_are_refused(tmp_path: Path) -> None:
    sides, _ = UserSides.fit(people(), ["age", "city"], EVERY)
    sides.write(tmp_path)
    content = json.loads((tmp_path / _sides.COLUMNS).read_text())
    for wrong in ([], [{"name": "age"}, content[1]], [content[0], {**content[1], "values": None}], content[:1] * 2, 3):
        (tmp_path / _sides.COLUMNS).write_text(json.dumps(wrong))
        with pytest.raises(DataError, match="save the model anew"):
            UserSides.read(tmp_path, ["age", "city"])
    (tmp_path / _sides.COLUMNS).write_text(json.dumps(content))
    (tmp_path / _sides.TABLE).write_bytes(b"no")
    with pytest.raises(DataError, match="damaged"):
        UserSides.read(tmp_path, ["age", "city"])


def test_columns_of_users_that_do_not_serve_are_refused() -> None:
    table = people().append_column("tags", pa.array([["a"], ["a"], [], [], []]))
    for name, said in (("cty", "did you mean 'city'"), ("tags", "true or false, or numbers"), ("user_id", "unknown")):
        with pytest.raises(ConfigError, match=said):
            UserSides.fit(table, [name], EVERY)


def test_damaged_values_of_items_are_refused() -> None:
    good = {
        "items.offsets": np.array([0, 1, 2], np.int32),
        "items.places": np.array([0, 1], np.int32),
        "items.shares": np.ones(2, np.float32),
        "items.weight": np.zeros((2, 4), np.float32),
    }
    assert saved_item_sides(good, 2, Path("it")).toarray().tolist() == [[1, 0], [0, 1]]
    for name, wrong in (
        ("items.offsets", np.array([0, 1, 2, 2], np.int32)),
        ("items.offsets", np.array([0, 3, 2], np.int32)),
        ("items.places", np.array([0, 2], np.int32)),
        ("items.places", np.array([-1, 1], np.int32)),
        ("items.shares", np.ones(1, np.float32)),
    ):
        with pytest.raises(DataError, match="it is damaged"):
            saved_item_sides({**good, name: wrong}, 2, Path("it"))
    with pytest.raises(DataError, match=r"has no items\.places"):
        saved_item_sides({name: one for name, one in good.items() if name != "items.places"}, 2, Path("it"))


# ---------------------------------------------------------------------- models

SMALL = {
    "embedding_size": 16,
    "max_length": 6,
    "epochs": 20,
    "batch_size": 128,
    "learning_rate": 0.02,
    "n_negatives": 16,
    "average": 0.0,
    "dropout": 0.0,
}
CITIES = ("oslo", "rome", "bonn", "kyiv")
NOISE, N = 8, 12


class TestItemFeatures(RecommenderSuite):
    model = SASRec
    options = {
        **SMALL,
        "n_layers": 1,
        "max_length": 12,
        "epochs": 10,
        "batch_size": 64,
        "learning_rate": 0.01,
        "n_negatives": 32,
        "item_features": ("categories",),
    }
    exact = False


def by_city(n: int = 240, seed: int = 0) -> Dataset:
    """After an item of no meaning, people of a city take the item of their city: 8 + its number.

    Every third user has a single event, from which nothing is learnt; ages tell the same as cities, in bands of 15.
    """
    rng = np.random.default_rng(seed)
    city = rng.integers(0, 4, n)
    lists = [
        [int(rng.integers(0, NOISE)), *([NOISE + one] if user % 3 else [])] for user, one in enumerate(city.tolist())
    ]
    users = pa.table(
        {
            "user_id": [f"u{user}" for user in range(n)],
            "city": [CITIES[one] for one in city],
            "age": city * 15 + rng.integers(20, 35, n),
            "empty": pa.array([None, *["x"] * (n - 1)]),
        }
    )
    return Dataset.of(Histories.of_lists(lists), [f"i{item}" for item in range(N)], users)


def fitted(data: Dataset, model: type[SequenceRecommender] = Transformer, **options: Any) -> SequenceRecommender:
    own = {"n_layers": 1} if issubclass(model, Transformer) else {}
    return model(**{**SMALL, **own, **options}).fit(data, run=Run(seed=1, threads=1))


def firsts(model: SequenceRecommender, queries: Any) -> np.ndarray:
    return model.recommend(queries, k=1, exclude_seen=False).items[:, 0]


def strangers(told: Sequence[Mapping[str, Any]]) -> list[Query]:
    return [Query.of([f"i{place % NOISE}"], context=one) for place, one in enumerate(told)]


@pytest.fixture(scope="module")
def cities() -> SequenceRecommender:
    return fitted(by_city(), user_features=("city",))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (Transformer, {"user_features": ("city",)}),
        (Transformer, {"user_features": ("age",), "features": ()}),
        (Transformer, {"user_features": ("empty", "city"), "objective": "masked", "epochs": 40}),
        (GRU4Rec, {"user_features": ("city",)}),
        (TransformerXL, {"user_features": ("city",), "n_layers": 1}),
    ],
)
def test_what_comes_next_depends_on_the_user_alone(model: type[SequenceRecommender], options: dict[str, Any]) -> None:
    trained = fitted(by_city(), model, **options)
    city = np.random.default_rng(5).integers(0, 4, 80)
    found = firsts(trained, strangers([{"city": CITIES[one], "age": 27 + 15 * one} for one in city.tolist()]))
    assert np.mean(found == NOISE + city) >= 0.9


def test_without_the_feature_nobody_can_tell() -> None:
    city = np.random.default_rng(5).integers(0, 4, 80)
    found = firsts(fitted(by_city()), strangers([{"city": CITIES[one]} for one in city.tolist()]))
    assert np.mean(found == NOISE + city) <= 0.45


def test_known_users_are_looked_up_whatever_their_history_was(cities: SequenceRecommender) -> None:
    """Also those whose history was too short to learn from."""
    world = by_city()
    right = NOISE + np.array([CITIES.index(one) for one in world.user_table.column("city").to_pylist()])
    past = world.histories
    begun = past.keep(np.arange(past.n_events) == np.repeat(past.offsets[:-1], past.lengths))
    found = firsts(cities, world.with_histories(begun).queries())
    assert np.mean((found == right)[::3]) >= 0.9
    assert np.mean(found == right) >= 0.9


def test_strangers_with_a_context_get_what_known_users_of_the_same_kind_get(cities: SequenceRecommender) -> None:
    city = by_city().user_table.column("city").to_pylist()
    known = [Query.of(["i3"], user_id=f"u{user}") for user in range(20)]
    strange = [Query.of(["i3"], context={"city": city[user]}) for user in range(20)]
    turned = [Query.of(["i3"], user_id=f"u{user}", context={"city": city[user + 1]}) for user in range(19)]
    ids = cities.vocabulary.ids.to_pylist()
    scores = cities.score(strange, ids)
    np.testing.assert_allclose(cities.score(known, ids), scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cities.score(turned, ids), scores[1:], rtol=1e-5, atol=1e-6)
    assert np.abs(scores - scores[0]).max() > 0.1


def test_of_whom_nothing_is_known_is_a_stranger(cities: SequenceRecommender) -> None:
    nobody = [
        Query.of(["i3"]),
        Query.of(["i3"], user_id="never seen"),
        Query.of(["i3"], context={"city": "atlantis"}),
        Query.of(["i3"], user_id="u1", context={"city": "atlantis"}),
        Query.of(["i3"], context={"city": None, "town": "oslo"}),
    ]
    scores = cities.score(nobody, cities.vocabulary.ids.to_pylist())
    np.testing.assert_allclose(scores, np.tile(scores[0], (5, 1)), rtol=1e-5, atol=1e-6)
    plain = scores[0][NOISE:] - scores[0][:NOISE].max()
    assert (plain > 0).all()  # in training, a share of the windows were a stranger's


def test_the_vector_of_a_stranger_is_learnt_from_the_blind_share() -> None:
    def size(blind: float) -> float:
        model = fitted(by_city(), user_features=("city",), blind=blind)
        (features,) = (one for name, one in model.net.named_parameters() if name == "features.weight")
        return float(features[-1].detach().abs().max())  # there are no columns after this one

    assert size(0.0) < 0.1 < size(0.3)


def test_a_batch_equals_its_queries_in_any_order(cities: SequenceRecommender) -> None:
    rng = np.random.default_rng(0)
    queries = [
        Query.of(
            [f"i{item}" for item in rng.integers(0, N, rng.integers(1, 9))],
            user_id=f"u{number}" if number % 3 else None,
            context={"city": CITIES[number % 4]} if number % 2 else {},
        )
        for number in range(30)
    ]
    ids = cities.vocabulary.ids.to_pylist()
    whole = cities.score(queries, ids)
    order = rng.permutation(30)
    np.testing.assert_allclose(cities.score([queries[one] for one in order], ids), whole[order], rtol=1e-4, atol=1e-5)
    for number in (0, 1, 2, 3, 29):
        np.testing.assert_allclose(cities.score(queries[number], ids)[0], whole[number], rtol=1e-4, atol=1e-5)


def test_a_live_history_knows_its_user(cities: SequenceRecommender) -> None:
    assert isinstance(cities, Transformer)
    query = Query.of(["i3"], context={"city": "kyiv"})
    live = cities.live(query)
    assert live.recommend(k=3).ids() == cities.recommend(query, k=3).ids()
    live.add(["i2", "i5"])
    right = cities.recommend(Query.of(["i3", "i2", "i5"], context={"city": "kyiv"}), k=3)
    assert live.recommend(k=3).ids() == right.ids()
    np.testing.assert_allclose(live.recommend(k=3).scores, right.scores, rtol=1e-4, atol=1e-5)


def described(n_each: int = 8, seed: int = 0) -> Dataset:
    """People stay in a genre. The last item of each has no event at all; prices tell nothing."""
    rng = np.random.default_rng(seed)
    genre = np.arange(4 * n_each) // n_each
    lists = [
        (one * n_each + rng.choice(n_each - 1, 5, replace=False)).tolist() for one in rng.integers(0, 4, 150).tolist()
    ]
    title = [f"a tale of genre{one}, part {part}" for part, one in enumerate(genre)]
    table = items(genres=[[f"genre{one}"] for one in genre], title=title, price=pa.array(rng.normal(size=4 * n_each)))
    return Dataset.of(Histories.of_lists(lists), table)


SHARED = {"item_features": ("genres", "price")}, {"words": "title"}


@pytest.mark.parametrize("shared", SHARED, ids=str)
@pytest.mark.parametrize("options", [{}, {"codes": 4}, {"loss": "sampled_softmax"}], ids=str)
def test_an_item_without_events_is_found_through_what_it_shares(
    options: dict[str, Any], shared: dict[str, Any]
) -> None:
    world, new = described(), np.arange(7, 32, 8)
    genre = world.histories.item[world.histories.offsets[:-1]] // 8
    allow = [f"i{item}" for item in new]

    def right(**more: Any) -> float:
        model = fitted(world, epochs=15, **options, **more)
        found = model.recommend(world.queries(), k=1, allow=allow).items[:, 0]
        return float(np.mean(found == new[genre]))

    assert right(**shared) >= 0.9
    assert right() <= 0.6


@pytest.mark.parametrize("options", [{}, {"codes": 4}], ids=str)
def test_items_that_share_a_category_come_nearer(options: dict[str, Any]) -> None:
    """Of each other than of the rest, among items that are never used together."""
    world = described()
    vectors = fitted(world, item_features=("genres",), epochs=15, **options).item_vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness, genre = unit @ unit.T, np.arange(32) // 8
    new = np.arange(7, 32, 8)
    own = genre[new][:, None] == genre[None]
    own[np.arange(4), new] = False
    other = genre[new][:, None] != genre[None]
    assert likeness[new][own].mean() > likeness[new][other].mean() + 0.5


def test_an_item_without_events_stands_exactly_where_its_values_put_it() -> None:
    """Its own row begins at zero, and nothing teaches it; without neighbours, that is all."""
    world = described()
    net = fitted(world, words="title", epochs=2, neighbours=0).net
    own = net.items.own.weight.detach().numpy()
    assert not own[7::8].any()
    assert own[:7].any(1).all()
    assert fitted(world, epochs=2).net.items.weight.detach().numpy()[7::8].any(1).all()


def test_models_that_read_words_come_back_from_files_and_read_new_items(tmp_path: Path) -> None:
    world = described()
    model = fitted(world, words="title", epochs=3)
    again = load(model.save(tmp_path / "model"))
    found = [one.with_items(new_items("a new tale of genre2")) for one in (model, again)]
    vectors = found[0].item_vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (unit[:-1] @ unit[-1]).reshape(4, 8).mean(1).argmax() == 2
    np.testing.assert_allclose(found[1].item_vectors, vectors, rtol=1e-6)
    texts = ["a tale", "genre3", "nothing"]
    np.testing.assert_allclose(again.text_vectors(texts), model.text_vectors(texts), rtol=1e-6)
    (tmp_path / "model" / _sides.LEARNT).unlink()  # as of an older model
    assert load(tmp_path / "model").known.tolist() == model.known.tolist()


def new_items(*titles: str) -> pa.Table:
    ids = pa.array([f"new{number}" for number in range(len(titles))])
    return items(title=list(titles)).set_column(0, "item_id", ids)


def test_what_no_item_taught_says_nothing_and_old_items_stay_as_they_are() -> None:
    """An item that was met taught `blue`; one that shares it has `lamp`, which nobody taught; a third `lamp` alone."""
    table = items(title=["blue chair", "a chair", "blue lamp", "the lamp"])
    model = fitted(Dataset.of(Histories.of_lists([[0, 1], [1, 0]] * 20), table), words="title", epochs=1)
    assert model.known.tolist() == [True, True, True, False]
    grown = model.with_items(new_items("one more lamp", "one more blue thing"))
    assert grown.known.tolist() == [True, True, True, False, False, True]
    np.testing.assert_array_equal(grown.item_vectors[:3], model.item_vectors[:3])
    assert np.isnan(model.text_vectors(["lamp", "blue"])[:, 0]).tolist() == [True, False]
    other = model.with_catalogue(new_items("one more chair", "a lamp"))
    assert other.known.tolist() == [True, False]
    assert other.with_items(items(title=["so blue"])).known.tolist() == [True, False, True]


def test_who_goes_on_is_told_the_same_of_items() -> None:
    world = described()
    model = fitted(world, words="title", epochs=1)
    assert model.adapt(world, epochs=1).known.all()
    for change in ({"words": ()}, {"item_features": ("genres",)}):
        with pytest.raises(ConfigError, match="is not the same"):
            model.adapt(world, epochs=1, **change)


def test_a_live_history_is_asked_in_words_that_items_share() -> None:
    model = fitted(described(), words="title", epochs=5)
    query = Query.of(["i1", "i2"], context={"text": "genre3"})
    live = model.live(query)
    live.add(["i3"])
    right = model.recommend(Query.of(["i1", "i2", "i3"], context={"text": "genre3"}), k=5)
    assert live.recommend(k=5).ids() == right.ids()


def test_words_alone_answer_what_is_asked_in_words() -> None:
    model = fitted(described(), words="title", item_features="genres", epochs=10)
    queries = [Query.of([], context={"text": f"tales of genre{one}"}) for one in range(4)]
    found = model.recommend(queries, k=7).items // 8
    assert (found == np.arange(4)[:, None]).mean() > 0.9
    assert np.isnan(model.text_vectors(["nothing known"])).all()
    with pytest.raises(ConfigError, match="not told what items say"):
        fitted(described(), item_features="genres", epochs=1).text_vectors(["genre1"])


def test_a_new_item_of_which_nothing_known_is_told_is_not_recommended() -> None:
    model = fitted(described(), words="title", epochs=3)
    table = new_items("genre1 again", "unheard")
    assert model.with_items(table).known[-2:].tolist() == [True, False]
    for other in ({"codes": 4}, {"words": ()}):
        with pytest.raises(ConfigError, match="so it has nothing to say of new ones"):
            fitted(described(), **{"words": "title", "epochs": 1, **other}).with_items(table)


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    world = by_city()
    table = world.item_table.append_column("kind", pa.array(["noise"] * NOISE + ["city"] * 4))
    world = Dataset(world.histories, table, world.user_table, world.manifest)
    for codes in (0, 4):
        model = fitted(world, user_features=("city", "age"), item_features=("kind",), epochs=2, codes=codes)
        again = load(model.save(tmp_path / f"model{codes}"))
        queries = [
            Query.of(["i3"], user_id="u5"),
            Query.of(["i1", "i2"], context={"age": 50}),
            Query.of(["i3"], context={"city": "rome", "age": None}),
        ]
        ids = model.vocabulary.ids.to_pylist()
        np.testing.assert_allclose(again.score(queries, ids), model.score(queries, ids), rtol=1e-6)
        assert again.config == model.config


def test_a_damaged_saved_model_is_refused(tmp_path: Path) -> None:
    model = fitted(described(), item_features=("genres",), epochs=1)
    place = model.save(tmp_path / "model") / WEIGHTS
    arrays = load_arrays(place)
    for change in (
        {"items.places": arrays["items.places"] + 2},
        {"items.offsets": arrays["items.offsets"][:-1]},
        {"items.own.weight": arrays["items.own.weight"][:-1]},
    ):
        save_arrays(place, {**arrays, **change})
        with pytest.raises(DataError, match="save the model anew"):
            load(tmp_path / "model")
    save_arrays(place, {name: one for name, one in arrays.items() if name != "items.shares"})
    with pytest.raises(DataError, match=r"has no items\.shares"):
        load(tmp_path / "model")


def test_settings_that_name_no_column_are_refused_before_training() -> None:
    with pytest.raises(ConfigError, match="unknown item feature 'genre'; did you mean 'genres'"):
        fitted(described(), item_features=("genre",))
    with pytest.raises(ConfigError, match="unknown user feature 'ctiy'; did you mean 'city'"):
        fitted(by_city(), user_features=("ctiy",))
    with pytest.raises(ConfigError, match="unknown user feature 'city'"):
        fitted(described(), user_features=("city",))
    alone = by_city().with_histories(by_city().histories.last(1))
    with pytest.raises(DataError, match="no history has two events"):
        fitted(alone, user_features=("city",))


def test_fitted_anew_it_forgets_the_values_of_before() -> None:
    model = fitted(described(), item_features=("genres",), epochs=1)
    model.fit(described(n_each=12), run=Run(seed=1, threads=1))
    assert model.item_vectors.shape == (48, 16)


def test_the_rows_of_values_count_in_the_memory_of_training() -> None:
    world = described()
    plain, sided = (fitted(world, epochs=1, **one) for one in ({}, {"item_features": ("genres",)}))
    assert plain._footprint(world.histories).table_rows is None
    assert sided._footprint(world.histories).table_rows == 32 + 5
