import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiyin.encoders._terms import Fields, Limits, TermSpace, shown, term_lists, tokenize, unit_rows
from zhiyin.errors import DataError

ALL = Limits(min_items=1, max_share=1.0)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The Lord of the Rings", ["the", "lord", "of", "the", "rings"]),
        ("Men's T-shirt, 100% cotton", ["men", "shirt", "100", "cotton"]),
        ("snake_case", ["snake", "case"]),
        ("肖申克的救赎", ["肖申", "申克", "克的", "的救", "救赎"]),
        ("我", ["我"]),
        ("霸王别姬 Farewell 1993年", ["霸王", "王别", "别姬", "farewell", "1993", "年"]),
        ("千と千尋の神隠し", ["千と", "と千", "千尋", "尋の", "の神", "神隠", "隠し"]),
        ("기생충 봉준호", ["기생충", "봉준호"]),
        ("ＦＵＬＬ　ｗｉｄｔｈ", ["full", "width"]),
        ("Crème BRÛLÉE", ["crème", "brûlée"]),
        ("cre\u0300me", ["crème"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("हिन्दी फ़िल्म", ["हिन्दी", "फ़िल्म"]),
        ("العَرَبِيّة كتاب", ["العَرَبِيّة", "كتاب"]),
        ("Война и мир", ["война", "мир"]),
        ("ภาษา", ["ภา", "าษ", "ษา"]),
        ("🎬 🍿!?", []),
        ("", []),
    ],
)
def test_words_of_many_languages(text: str, tokens: list[str]) -> None:
    import unicodedata

    assert tokenize(text) == [unicodedata.normalize("NFKC", token) for token in tokens]


@given(st.text())
def test_any_text_gives_plain_tokens(text: str) -> None:
    for token in tokenize(text):
        assert token
        assert not any(letter.isspace() or letter in ":,.!_" for letter in token)


def table() -> pa.Table:
    return pa.table(
        {
            "item_id": ["1", "2", "3", "4"],
            "title": ["red red shoe", "red hat", "blue hat", None],
            "categories": [["Shoes"], ["Hats", "Hats"], ["Hats", " "], None],
            "brand": ["Acme", None, "Acme", ""],
            "price": [1.0, 2.0, 3.0, 4.0],
            "url": ["x/1", "x/2", "x/3", "x/4"],
        }
    )


def test_fields_are_found_by_their_types() -> None:
    assert Fields.of(table()) == Fields(("title",), ("categories", "brand"))
    assert Fields.of(table(), text=["url"], categories=[]) == Fields(("url",), ())


def test_dictionary_and_large_columns_are_text_too() -> None:
    rows = {"a": ["x", "y"], "b": ["x", "y"], "c": [["x"], ["y"]]}
    kinds = (pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.large_list(pa.large_string()))
    found = pa.table({name: pa.array(rows[name], kind) for name, kind in zip(rows, kinds, strict=True)})
    assert Fields.of(found) == Fields(("a", "b"), ("c",))
    assert list(term_lists(found, Fields(("a",), ("c",)))) == [["c:x"], ["c:y"]]


def test_wrong_columns_are_refused() -> None:
    with pytest.raises(DataError, match="did you mean 'title'"):
        Fields.of(table(), text=["titel"])
    with pytest.raises(DataError, match="price holds double"):
        Fields.of(table(), categories=["price"])
    with pytest.raises(DataError, match="no text and no categories, only item_id, price"):
        Fields.of(table().select(["item_id", "price"]))


def test_terms_of_each_item() -> None:
    assert list(term_lists(table(), Fields(("title",), ("categories", "brand")))) == [
        ["red", "red", "shoe", "categories:Shoes", "brand:Acme"],
        ["red", "hat", "categories:Hats"],
        ["blue", "hat", "categories:Hats", "brand:Acme"],
        [],
    ]


def test_weights_by_hand() -> None:
    """4 items; red is in 2 of them, twice in the first; shoe in 1."""
    space, found = TermSpace.fit(table(), Fields(("title",), ()), ALL)
    assert space.terms == ("hat", "red", "blue", "shoe")  # by number of items, then by name
    rare, common = math.log(5 / 2) + 1, math.log(5 / 3) + 1
    red, shoe = (1 + math.log(2)) * common, rare
    length = math.hypot(red, shoe)
    np.testing.assert_allclose(found.toarray()[0], [0, red / length, 0, shoe / length], rtol=1e-6)
    assert found.toarray()[3].tolist() == [0, 0, 0, 0]
    assert found.dtype == np.float32


def test_a_category_has_its_own_weight() -> None:
    fields = Fields(("title",), ("categories",))
    plain, double = (TermSpace.fit(table(), fields, ALL, weight) for weight in (1.0, 2.0))
    place = plain[0].terms.index("categories:Hats")
    word = plain[0].terms.index("hat")
    one, two = (vectors.toarray()[1] for _, vectors in (plain, double))
    np.testing.assert_allclose(two[place] / two[word], 2 * one[place] / one[word], rtol=1e-6)


def test_limits_leave_out_rare_and_common_terms() -> None:
    rows = pa.table(
        {"title": [f"film number{row} {'old' if row % 2 else 'new'} {'cult' * (row < 20)}" for row in range(200)]}
    )
    space, _ = TermSpace.fit(rows, Fields(("title",), ()))
    assert space.terms == ("new", "old", "cult")  # film is on all, each number on one
    space, _ = TermSpace.fit(rows, Fields(("title",), ()), Limits(max_share=0.3))
    assert space.terms == ("cult",)  # old and new are on more than 30 %
    space, _ = TermSpace.fit(rows, Fields(("title",), ()), Limits(max_share=0.5))
    assert space.terms == ("new", "old", "cult")
    space, _ = TermSpace.fit(rows, Fields(("title",), ()), Limits(max_share=0.5, max_terms=2))
    assert space.terms == ("new", "old")


def test_nothing_in_common_is_an_error() -> None:
    rows = pa.table({"title": ["one thing", "another", "else"]})
    with pytest.raises(DataError, match="of 4 terms in title none is shared"):
        TermSpace.fit(rows, Fields(("title",), ()))


def test_other_items_are_encoded_with_the_learnt_terms() -> None:
    space, found = TermSpace.fit(table(), Fields(("title",), ("categories",)), ALL)
    np.testing.assert_array_equal(space.encode(table().slice(1, 1)).toarray(), found.toarray()[1:2])
    other = pa.table({"title": ["red dragon", "green"], "categories": [["Hats"], ["Dragons"]]})
    vectors = space.encode(other).toarray()
    assert {shown(space.terms[place]) for place in np.flatnonzero(vectors[0])} == {"red", "Hats"}
    assert not vectors[1].any()


def test_unit_rows_leaves_empty_rows_alone() -> None:
    _, found = TermSpace.fit(table(), Fields(("title",), ()), ALL)
    lengths = np.linalg.norm(unit_rows(found * 3).toarray(), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 0], rtol=1e-6)
