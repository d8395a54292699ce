from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.ranked import Ranked
from zhiyin.ranking.table import FeatureTable
from zhiyin.ranking.value import Formula, Value

KNOWN = {"click": np.array([0.5, 0.25]), "price": np.array([8.0, 2.0]), "margin": np.array([1.0, -3.0])}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("click", [0.5, 0.25]),
        ("click + 2 * price", [16.5, 4.25]),
        ("price - click * (price - 2) / 4 - 1", [6.25, 1.0]),
        ("-margin + +click", [-0.5, 3.25]),
        ("-(click + price)", [-8.5, -2.25]),
        ("2 - -margin", [3.0, -1.0]),
        ("log(price / 2)", [np.log(4), 0.0]),
        ("min(price, 3, margin) + max(price, 3)", [9.0, 0.0]),
        ("clip(price, 3, 1e1 / 2)", [5.0, 3.0]),
    ],
)
def test_formulas_are_what_arithmetic_says(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(Formula.parse(text).of(KNOWN), expected)


def test_terms_are_those_of_the_sum_with_their_signs() -> None:
    formula = Formula.parse("click - 2 * (price - margin) + `days, last 7`/3")
    assert [one.text for one in formula.terms] == ["click", "2 * (price - margin)", "days, last 7 / 3"]
    assert [one.shown for one in formula.terms] == ["click", "-2 * (price - margin)", "days, last 7 / 3"]
    assert formula.names == ("click", "margin", "price")
    assert formula.features == ("days, last 7",)
    terms = formula.of_terms({**KNOWN, "days, last 7": np.array([3.0, 6.0])})
    np.testing.assert_allclose(terms, [[0.5, 0.25], [-14.0, -10.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("click +", "is no formula"),
        ("", "is no formula"),
        ("click = 3", "is no formula"),
        ("click ** 2", r"holds 'click \*\* 2'"),
        ("click if price else 0", "holds 'click if price else 0'"),
        ("__import__('os').system('true')", "are understood"),
        ("price.__class__", "holds 'price.__class__'"),
        ("[1, 2]", "are understood"),
        ("'text'", "are understood"),
        ("True", "are understood"),
        ("1j * price", "holds '1j'"),
        ("log(price, 2)", r"holds 'log\(price, 2\)'"),
        ("clip(price)", "are understood"),
        ("min(*price)", "are understood"),
        ("log", "holds 'log'"),
        ("exp(price)", r"holds 'exp\(price\)'"),
        ("log(x=price)", "are understood"),
        ("price < 3", "are understood"),
        ("(lambda: 1)()", "are understood"),
        ("1" + " + 1" * 300, "write a shorter one"),
        ("1" + " + 1" * 9_000, "is no formula|write a shorter one"),
        ("(" * 300 + "1" + ")" * 300, "is no formula"),
    ],
)
def test_what_is_no_arithmetic_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Formula.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "divides by '0', which is 0"),
        ("click / (2 - 2)", "divides by '2 - 2', which is 0"),
        ("click + price * stock / 0", "divides by '0'"),
        ("log(0)", r"holds 'log\(0\)', which comes to -inf"),
        ("click * log(1 - 2)", r"holds 'log\(1 - 2\)', which comes to nan"),
        ("1e400 * click", "holds '1e309', which comes to inf"),
        ("1e308 * 1e308", r"holds '1e\+308 \* 1e\+308', which comes to inf"),
        ("9" * 400, "which comes to inf; a finite number is expected"),
        ("min(price, max(3, -log(0)))", r"holds 'log\(0\)'"),
    ],
)
def test_constants_that_are_no_finite_numbers_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Formula.parse(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("log(click) - log(1 - click)", ["log(click)", "-log(1 - click)"]),
        ("click - -2 * price", ["click", "-(-2 * price)"]),
        ("-(price - margin)", ["-price", "margin"]),
    ],
)
def test_what_is_shown_of_a_term_is_what_it_comes_to(text: str, shown: list[str]) -> None:
    formula = Formula.parse(text)
    assert [one.shown for one in formula.terms] == shown
    for found, one in zip(formula.of_terms(KNOWN), formula.terms, strict=True):
        np.testing.assert_allclose(found, Formula.parse(one.shown).of(KNOWN))


@pytest.fixture
def world() -> Dataset:
    items = pa.table({"item_id": ["a", "b", "c", "d"], "price": [1.0, 2.0, None, 0.0], "title": list("abcd")})
    return Dataset.of(Histories.of_lists([[0], [1]]), items)


def pairs(world: Dataset) -> Candidates:
    return Candidates(world.queries(), np.array([0, 4, 6]), np.array([0, 1, 2, 3, 2, 0], np.int32))


def table(**columns: list[float]) -> FeatureTable:
    values = np.array(list(columns.values()), np.float32).T
    return FeatureTable(tuple(columns), values, {}, np.array([0, 4, 6]))


CLICK = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


class TestWorth:
    def test_what_is_not_known_counts_as_the_mean_of_the_same_query(self, world: Dataset) -> None:
        """Prices are 1, 2, -, 0 and -, 1: the first is filled with 1, the second with 1."""
        value = Value("click + 10 * price").fit(world.item_table, ("click",))
        worth, remarks = value.worth(pairs(world), table(age=[1.0] * 6), {"click": CLICK})
        np.testing.assert_allclose(worth, CLICK + 10 * np.array([1, 2, 1, 0, 1, 1]))
        notes = Ranked.of(pairs(world), worth, remarks=remarks).notes(np.arange(4)[None])[0]
        assert notes[0] == ("value: click = 0.2", "value: 10 * price = 20")
        assert [one for one in notes if len(one) == 1] == [("value: click = 0.3",)]

    def test_what_is_no_number_is_not_known(self, world: Dataset) -> None:
        value = Value("1 / price + log(price - 1)").fit(world.item_table, ())
        worth, _ = value.worth(pairs(world), table(age=[1.0] * 6), {})
        np.testing.assert_allclose(
            worth, [1, 0.5, 0.75, 0.75, 1, 1]
        )  # log(0), and below, and of null: 0 is all there is

    def test_features_stand_in_backquotes_and_the_ranker_comes_first(self, world: Dataset) -> None:
        value = Value("price + `days, since`").fit(world.item_table, ("price",))
        feature = table(**{"days, since": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
        worth, _ = value.worth(pairs(world), feature, {"price": CLICK})
        np.testing.assert_allclose(worth, CLICK + np.arange(1, 7))

    def test_parts_are_worth_what_they_are_in_a_batch(self, world: Dataset) -> None:
        value = Value("click * price").fit(world.item_table, ("click",))
        whole, _ = value.worth(pairs(world), table(age=[1.0] * 6), {"click": CLICK})
        part, _ = value.worth(pairs(world).slice(1, 2), table(age=[1.0] * 6), {"click": CLICK[4:]})
        np.testing.assert_array_equal(part, whole[4:])

    def test_a_constant_is_worth_the_same_for_all(self, world: Dataset) -> None:
        value = Value("2 + 3").fit(world.item_table, ())
        np.testing.assert_array_equal(value.worth(pairs(world), table(age=[1.0] * 6), {})[0], np.full(6, 5.0))

    def test_nothing_is_worth_nothing(self, world: Dataset) -> None:
        value = Value("price + `age`").fit(world.item_table, ())
        none = Candidates(world.queries(), np.zeros(3, np.int64), np.zeros(0, np.int32))
        assert value.worth(none, table(age=[1.0] * 6), {})[0].shape == (0,)

    def test_unknown_names_come_with_those_there_are(self, world: Dataset) -> None:
        with pytest.raises(
            ConfigError, match=r"unknown name in value 'prise'; did you mean 'price'.*foretells click, chance"
        ):
            Value("prise").fit(world.item_table, ("click", "chance"))
        with pytest.raises(ConfigError, match="the catalogue has the numbers price;"):
            Value("title").fit(world.item_table, ("click",))
        with pytest.raises(ConfigError, match="unknown feature in value 'ages'; did you mean 'age'"):
            Value("`ages`").fit(world.item_table, ()).check(("age",))

    def test_moments_are_no_numbers(self, world: Dataset) -> None:
        items = world.item_table.append_column("available_from", pa.array([1, 2, 3, 4], pa.int64()))
        with pytest.raises(ConfigError, match=r"'available_from'.*the catalogue has the numbers price;"):
            Value("click * available_from").fit(items, ("click",))

    def test_categories_are_no_numbers(self, world: Dataset) -> None:
        value = Value("click * `creator` + `age`").fit(world.item_table, ("click",))
        with pytest.raises(ConfigError, match=r"counts with 'creator', which no number is.*are numbers: age"):
            value.check(("age", "creator"), ("creator",))
        values = np.ones((6, 2), np.float32)
        features = FeatureTable(("age", "creator"), values, {"creator": 64}, np.array([0, 4, 6]))
        with pytest.raises(ConfigError, match="counts with 'creator'"):
            value.worth(pairs(world), features, {"click": CLICK})

    def test_a_column_without_a_number_is_refused_and_one_of_few_is_told(
        self, world: Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        for column in (pa.array([None] * 4, pa.float64()), pa.array([np.nan, None, np.nan, np.inf])):
            with pytest.raises(
                ConfigError, match="'margin', and that column of the catalogue has no number for any of 4"
            ):
                Value("click * margin").fit(world.item_table.append_column("margin", column), ("click",))
        assert not caplog.records
        some = pa.array([None, 2.0, None, None])
        Value("click * margin").fit(world.item_table.append_column("margin", some), ("click",))
        assert "'margin' is known of 1 of 4 items" in caplog.text

    def test_a_term_that_is_known_of_nobody_is_told(self, world: Dataset, caplog: pytest.LogCaptureFixture) -> None:
        value = Value("click - price / (price - price)").fit(world.item_table, ("click",))
        worth, remarks = value.worth(pairs(world), table(age=[1.0] * 6), {"click": CLICK})
        np.testing.assert_array_equal(worth, CLICK)
        assert [one.text for one in remarks] == ["value: click = {}", "value: -price / (price - price) = {}"]
        assert "value: -price / (price - price) is no number for any of 6 candidates" in caplog.text
        caplog.clear()
        Value("1 / price").fit(world.item_table, ()).worth(pairs(world), table(age=[1.0] * 6), {})
        assert not caplog.records

    def test_it_is_saved(self, world: Dataset, tmp_path: Any) -> None:
        value = Value("click * price").fit(world.item_table, ("click",))
        value.save(tmp_path / "value.safetensors")
        again = Value("click * price")
        again.load(tmp_path / "value.safetensors", ("click",))
        ours, theirs = (one.worth(pairs(world), table(age=[1.0] * 6), {"click": CLICK})[0] for one in (value, again))
        np.testing.assert_array_equal(ours, theirs)
        with pytest.raises(DataError, match="is damaged"):
            Value("click").load(tmp_path / "value.safetensors", ("click",))
