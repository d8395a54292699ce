import numpy as np
import pyarrow as pa
import pytest

from zhiyin.errors import ConfigError, DataError
from zhiyin.semantic_ids import describe, words
from zhiyin.testing.worlds import tastes

TEXTS = [
    "curly shampoo lavender",
    "curly shampoo lemon",
    "straight shampoo lavender",
    "straight shampoo lemon",
    "red lipstick matte",
    "red lipstick gloss",
    "pink lipstick matte",
    "pink lipstick gloss",
]
CODES = np.array([[group, kind, last] for group in (0, 1) for kind in (0, 1) for last in (0, 1)])


def test_each_digit_says_what_sets_its_items_apart() -> None:
    found = words(CODES, TEXTS, n_words=1)
    assert found[(0,)] == ("shampoo",)
    assert found[(1,)] == ("lipstick",)
    assert found[(0, 0)] == ("curly",)
    assert found[(0, 1)] == ("straight",)
    assert found[(1, 0)] == ("red",)
    assert found[(1, 1, 1)] == ("gloss",)
    assert len(found) == 2 + 4 + 8


def test_an_item_is_described_by_the_words_of_its_code() -> None:
    assert describe(CODES, TEXTS, n_words=1)[:2] == ["shampoo > curly > lavender", "shampoo > curly > lemon"]
    assert describe(CODES, TEXTS, levels=1, n_words=1)[4:] == ["lipstick"] * 4
    hidden = CODES.copy()
    hidden[3] = -1
    found = describe(hidden, TEXTS, levels=2, n_words=1)
    assert found[3] == ""
    assert found[2] == "shampoo > straight"


def test_order_of_items_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(8)
    assert describe(CODES[order], [TEXTS[row] for row in order]) == [describe(CODES, TEXTS)[row] for row in order]


def test_a_digit_that_no_word_sets_apart_is_shown_by_its_number() -> None:
    texts = ["one two", "one two", "three four", "three four"]
    codes = np.array([[0, 5], [0, 7], [1, 5], [1, 5]])
    assert describe(codes, texts, n_words=2)[:2] == ["one, two > #5", "one, two > #7"]
    assert describe(codes, texts, n_words=2)[2:] == ["four, three > #5"] * 2


@pytest.mark.parametrize(
    "items",
    [
        ["alpha", "bravo", "charlie", "delta"],
        ["same", "same", "same", "same"],
        pa.table({"item_id": list("abcd"), "image": [f"{name}.png" for name in "abcd"]}),
    ],
)
def test_where_items_share_no_word_codes_are_numbers(items: object) -> None:
    codes = np.array([[0, 5], [0, 7], [1, 5], [-1, -1]])
    assert describe(codes, items) == ["#0 > #5", "#0 > #7", "#1 > #5", ""]
    assert words(codes, items)[(0,)] == ()
    with pytest.raises(DataError, match="nowhere"):
        describe(codes, items, columns=["nowhere"])


def test_things_are_named_that_another_language_takes_for_small_words() -> None:
    texts = ["red hat", "blue hat", "red van", "blue van"]
    found = describe(np.array([[0], [0], [1], [1]]), texts, n_words=1)
    assert found == ["hat", "hat", "van", "van"]


def test_an_only_child_is_set_apart_from_all_others() -> None:
    texts = ["red shoe sale", "red shoe sale", "blue hat sale", "blue hat new", "new coat blue"]
    codes = np.array([[0, 0], [0, 0], [1, 0], [1, 1], [1, 1]])
    found = words(codes, texts, n_words=1)
    assert found[(0,)] == ("red",)
    assert found[(0, 0)] == ("shoe",)  # not "red" again


def test_categories_are_read_and_the_end_of_their_path_is_said() -> None:
    table = pa.table(
        {
            "item_id": list("abcd"),
            "title": ["x1 shampoo", "x2 shampoo", "y1 nail", "y2 nail"],
            "categories": [["Shampoos"], ["Shampoos"], ["Nail Polish"], ["Nail Polish"]],
            "category_paths": [["Hair > Care"], ["Hair > Care"], ["Hands > Polish"], ["Hands > Polish"]],
        }
    )
    codes = np.array([[0], [0], [1], [1]])
    found = words(codes, table, n_words=5)
    assert len(found[(0,)]) == 2  # Shampoos and shampoo are alike
    assert {one.casefold()[:7] for one in found[(0,)]} == {"shampoo", "care"}
    assert set(found[(1,)]) == {"Nail Polish", "Polish", "nail"}
    assert words(codes, table, columns=["title"])[(0,)] == ("shampoo",)
    assert words(codes, table, columns=["categories"])[(1,)] == ("Nail Polish",)


def test_a_dataset_stands_for_its_items() -> None:
    world = tastes()
    codes = np.arange(60)[:, None] % 4
    for item, said in enumerate(describe(codes, world, n_words=1)):
        assert said == f"taste{item % 4}"


def test_bad_calls_are_refused_with_a_reason() -> None:
    with pytest.raises(DataError, match="8 codes came for 7 items"):
        describe(CODES, TEXTS[:7])
    with pytest.raises(DataError, match="an Arrow table"):
        describe(CODES, "a text")
    with pytest.raises(DataError, match="did you mean 'title'"):
        describe(np.zeros((1, 1), int), pa.table({"title": ["a"]}), columns=["titel"])
    with pytest.raises(ConfigError, match="levels=4"):
        words(CODES, TEXTS, levels=4)
    with pytest.raises(ConfigError, match="n_words=0"):
        words(CODES, TEXTS, n_words=0)
    assert words(np.full((8, 2), -1), TEXTS) == {}
    assert describe(np.full((8, 2), -1), TEXTS) == [""] * 8


def test_small_words_are_never_said() -> None:
    """A preposition may set items apart, and yet says nothing of them."""
    texts = ["tea of the mountains", "tea of the sea", "shoe with laces", "shoe with heels"]
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    said = {word for found in words(codes, texts, n_words=9).values() for word in found}
    assert {"tea", "shoe"} <= said
    assert not {"of", "the", "with"} & said
