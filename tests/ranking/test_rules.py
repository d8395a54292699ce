import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_KIND, NO_TIME, Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.ranking._cells import Cells, aligned, times_of
from zhiyin.ranking.rules import Rules

DAY = 86_400_000_000
KINDS = ("view", "purchase")
ITEMS = pa.table(
    {
        "item_id": ["a", "b", "c", "d", "e"],
        "available_from": pa.array([None, 10, 20, None, 0], pa.int64()),
        "available_until": pa.array([None, 30, None, 20, 5], pa.int64()),
        "stock": [3, 0, None, 1, 2],
        "price": [1.0, 2.0, 3.0, None, 9.0],
        "region": [["de", "fr"], ["fr"], [], None, ["de"]],
        "language": ["de", "fr", " ", None, "de "],
        "creator": ["ann", "ann", "bob", None, "bob"],
        "adult": [True, False, None, False, True],
        "year": [1990, 1991, 1990, None, 2000],
    }
)
USERS = pa.table({"user_id": ["u0", "u1", "u2"], "region": ["de", None, "fr"]})


@pytest.fixture(scope="module")
def world() -> Dataset:
    past = Histories.of_lists([[0, 1, 1], [2], []])
    past = replace(past, time=np.array([1, 5, 9, 3]) * DAY, kind=np.array([0, 1, 0, NO_KIND], np.uint8))
    return Dataset.of(past, ITEMS, USERS, kinds=KINDS)


def left(world: Dataset, rule: dict[str, Any], queries: Queries | None = None) -> list[str]:
    """Per query, the ids of what a rule leaves."""
    asked = world.queries() if queries is None else queries
    found = Rules([rule]).fit(world).lets(asked, world.n_items)
    assert found.shape == (len(asked), world.n_items)
    return ["".join(np.array(list("abcde"))[row]) for row in found]


def at(world: Dataset, *now: int) -> Queries:
    return replace(world.queries(), now=np.array(now, np.int64))


def saying(*context: Any, users: tuple[str, ...] = ("who", "who", "who"), name: str = "region") -> Queries:
    asked = [Query.of([], context={name: one}, user_id=user) for one, user in zip(context, users, strict=True)]
    return Queries.encode(asked, Dataset.of(Histories.of_lists([[]]), ITEMS).items)


class TestFilters:
    def test_windows_hold_their_first_moment_and_not_their_last(self, world: Dataset) -> None:
        assert left(world, {"rule": "available"}, at(world, 9, 10, 20)) == ["ad", "abd", "abc"]
        assert left(world, {"rule": "available"}, at(world, 30, 5, 4)) == ["ac", "ad", "ade"]

    def test_a_moment_that_is_not_known(self, world: Dataset) -> None:
        assert left(world, {"rule": "available"}, at(world, NO_TIME, 9, 9))[0] == "abcde"
        assert left(world, {"rule": "available", "unknown": "drop"}, at(world, NO_TIME, 9, 9))[0] == ""
        assert left(world, {"rule": "available"}, replace(world.queries(), now=None)) == ["abcde"] * 3

    @pytest.mark.parametrize(
        ("rule", "kept", "dropped"),
        [
            ({"rule": "stock"}, "acde", "ade"),
            ({"rule": "stock", "above": 1}, "ace", "ae"),
            ({"rule": "between", "most": 3}, "abcd", "abc"),
            ({"rule": "between", "least": 2, "most": 3}, "bcd", "bc"),
            ({"rule": "between", "least": 2}, "bcde", "bce"),
            ({"rule": "only", "column": "region", "values": "de, es"}, "acde", "ae"),
            ({"rule": "never", "column": "region", "values": ["de"]}, "bcd", "b"),
            ({"rule": "never", "column": "adult", "values": "true"}, "bcd", "bd"),
            ({"rule": "only", "column": "year", "values": ["1990"]}, "acd", "ac"),
        ],
    )
    def test_what_is_told_of_items_is_the_same_for_all(
        self, rule: dict[str, Any], kept: str, dropped: str, world: Dataset
    ) -> None:
        assert left(world, {**rule, "unknown": "keep"}) == [kept] * 3
        assert left(world, {**rule, "unknown": "drop"}) == [dropped] * 3

    def test_what_is_not_told_is_kept_by_all_but_only(self, world: Dataset) -> None:
        assert left(world, {"rule": "stock"}) == ["acde"] * 3
        assert left(world, {"rule": "only", "column": "region", "values": "de"}) == ["ae"] * 3

    def test_an_item_fits_by_what_the_context_says_else_by_the_table(self, world: Dataset) -> None:
        fits = {"rule": "fits", "column": "region"}
        assert left(world, fits) == ["acde", "abcde", "abcd"]
        assert left(world, {**fits, "unknown": "drop"}) == ["ae", "", "ab"]
        assert left(world, fits, saying("fr", None, None, users=("u0", "u0", "u1"))) == ["abcd", "acde", "abcde"]

    def test_a_context_may_say_several_values_or_what_no_item_has(self, world: Dataset) -> None:
        fits = {"rule": "fits", "column": "region", "unknown": "drop"}
        several = np.array([["fr", "de"], "es", np.nan], object)
        assert left(world, fits, replace(saying("", "", ""), context={"region": several})) == ["abe", "", ""]
        assert left(world, fits, saying(["de", "fr"], ["es", "fr"], ["", ""])) == ["abe", "ab", ""]
        assert left(world, {**fits, "says": "where"}, saying("de", " fr ", None, name="where")) == ["ae", "ab", ""]
        adult = {"rule": "fits", "column": "adult", "says": "is"}
        assert left(world, adult, saying(True, False, True, name="is")) == ["ace", "bcd", "ace"]

    def test_a_number_is_what_it_says_whatever_its_type(self, world: Dataset) -> None:
        year = {"rule": "fits", "column": "year", "unknown": "drop"}
        said = np.array([1990, 1990.0, "1990"], object)
        assert left(world, year, replace(saying(0, 0, 0), context={"year": said})) == ["ac"] * 3
        assert left(world, year, saying(1990, 2000.5, np.nan, name="year")) == ["ac", "", ""]  # a column of floats

    def test_who_asks_is_found_in_a_table_in_any_order(self) -> None:
        """With ids of other letters, one of which is a number to whoever asks, and one that stands there twice."""
        users = pa.table({"user_id": ["z", "é", "12", "a", None, "a"], "region": ["de", "fr", "fr", "de", "de", "fr"]})
        rules = Rules([{"rule": "fits", "column": "region", "unknown": "drop"}]).read(ITEMS, users, ())
        ids: list[Any] = ["a", "é", 12, "z", "b", "~", ""]
        lets = rules.lets(saying(*[None] * 7, users=tuple(ids)), 5)
        assert ["".join(np.array(list("abcde"))[row]) for row in lets] == ["ab", "ab", "ab", "ae", "", "", ""]

    def test_what_is_owned_is_by_the_kind_of_an_event(self, world: Dataset) -> None:
        assert left(world, {"rule": "not_owned"}) == ["acde", "abcde", "abcde"]
        assert left(world, {"rule": "not_owned", "kinds": "view, purchase"}) == ["cde", "abcde", "abcde"]

    def test_what_was_met_often_of_late_rests(self, world: Dataset) -> None:
        now = at(world, 10 * DAY, 10 * DAY, NO_TIME)
        assert left(world, {"rule": "frequency", "most": 2, "days": 7}, now) == ["acde", "abcde", "abcde"]
        assert left(world, {"rule": "frequency", "most": 2, "days": 4}, now) == ["abcde"] * 3
        assert left(world, {"rule": "frequency", "most": 1, "days": 9, "kinds": "view"}, now)[0] == "cde"
        by_creator = {"rule": "frequency", "most": 3, "days": 9, "column": "creator"}
        assert left(world, by_creator, now) == ["cde", "abcde", "abcde"]
        assert left(world, {**by_creator, "days": 8.9}, now)[0] == "abcde"

    def test_events_of_unknown_times_count_where_they_must(self, world: Dataset) -> None:
        bare = replace(world.queries(), histories=world.histories.without("time"))
        often = {"rule": "frequency", "most": 2, "days": 1}
        assert left(world, often, bare)[0] == "abcde"
        assert left(world, {**often, "unknown": "drop"}, bare)[0] == "acde"


class TestRules:
    ALL = [
        {"rule": "available"},
        {"rule": "stock"},
        {"rule": "fits", "column": "region"},
        {"rule": "only", "column": "creator", "values": ["ann", "bob"], "unknown": "keep"},
        {"rule": "never", "column": "language", "values": "es"},
        {"rule": "between", "most": 100},
        {"rule": "not_owned"},
        {"rule": "frequency", "column": "creator", "most": 3, "days": 9},
        {"rule": "cap", "column": "creator", "most": 1},
        {"rule": "pin", "item": "d", "place": 2},
    ]

    def test_what_each_takes_away_is_counted_in_their_order(self, world: Dataset) -> None:
        rules = Rules(self.ALL).fit(world)
        asked = at(world, 25, 15, 25)
        lets, removed = rules.lets(asked, 5), rules.removed(asked, 5)
        np.testing.assert_array_equal(lets, np.array([[1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 1, 0, 0]], bool))
        assert removed["available"].tolist() == [2, 2, 2]
        assert removed["stock"].tolist() == [1, 1, 1]
        np.testing.assert_array_equal(5 - np.sum(list(removed.values()), 0), lets.sum(1))
        against = rules.against(asked, 1)
        assert [label for label, gone in against.items() if gone[0]] == ["stock", "fits region", "not owned"]

    def test_a_batch_equals_its_parts(self, world: Dataset) -> None:
        rules, asked = Rules(self.ALL).fit(world), at(world, 25, 15, 10 * DAY)
        whole = rules.lets(asked, 5)
        for row in range(3):
            np.testing.assert_array_equal(rules.lets(asked.slice(row, row + 1), 5), whole[row : row + 1])
        assert rules.lets(asked.slice(0, 0), 5).shape == (0, 5)

    def test_caps_and_pins_are_limits(self, world: Dataset) -> None:
        limits = Rules(self.ALL).fit(world).limits
        assert [(pin.item, pin.place) for pin in limits.pins] == [(3, 2)]
        assert limits.caps[0].label == "at most 1 of one creator"
        np.testing.assert_array_equal(limits.caps[0].values.toarray(), [[1, 0], [1, 0], [0, 1], [0, 0], [0, 1]])

    def test_they_are_read_from_files_and_text(self, world: Dataset, tmp_path: Path) -> None:
        toml = tmp_path / "rules.toml"
        toml.write_text('[[rule]]\nrule = "stock"\n[[rule]]\nrule = "cap"\ncolumn = "creator"\nmost = 3\n')
        said = [{"rule": "stock"}, {"rule": "cap", "column": "creator", "most": 3}]
        (tmp_path / "rules.json").write_text(json.dumps(said))
        wanted = Rules(said).rules
        for one in (toml, str(toml), tmp_path / "rules.json", json.dumps(said), json.dumps({"rule": said}), wanted):
            assert Rules(one).rules == wanted
        (tmp_path / "other.toml").write_text("[events]\nrule = 3")
        (tmp_path / "damaged.toml").write_text("[[rule")
        for name, message in (
            ("none.toml", "no TOML or JSON"),
            ("other.toml", r"list of \[\[rule"),
            ("damaged.toml", "read"),
        ):
            with pytest.raises(ConfigError, match=message):
                Rules(tmp_path / name)

    def test_they_are_saved(self, world: Dataset, tmp_path: Path) -> None:
        rules, asked = Rules(self.ALL).fit(world), at(world, 25, 15, 10 * DAY)
        rules.save(tmp_path / "rules")
        again = Rules(self.ALL).load(tmp_path / "rules")
        np.testing.assert_array_equal(again.lets(asked, 5), rules.lets(asked, 5))
        assert again.limits.pins == rules.limits.pins
        np.testing.assert_array_equal(again.limits.caps[0].values.toarray(), rules.limits.caps[0].values.toarray())
        with pytest.raises(DataError, match="is damaged"):
            Rules(self.ALL[:3]).load(tmp_path / "rules")
        with pytest.raises(DataError, match="is damaged"):
            Rules(self.ALL[::-1]).load(tmp_path / "rules")

    def test_a_newer_table_is_read_in_any_order(self, world: Dataset) -> None:
        rules = Rules([{"rule": "stock", "unknown": "drop"}, {"rule": "fits", "column": "region"}]).fit(world)
        newer = pa.table({"item_id": ["e", "b", "new"], "stock": [0, 7, 9], "region": [["fr"], ["fr"], ["de"]]})
        anew = rules.update(aligned(newer, world.items), world.items)
        assert anew.lets(world.queries(), 5).tolist()[2] == [False, True, False, False, False]
        assert rules.lets(world.queries(), 5).tolist()[2] == [True, False, False, True, False]
        with pytest.raises(DataError, match="needs a column item_id"):
            aligned(newer.drop_columns("item_id"), world.items)

    def test_two_of_one_name_are_told_apart(self, world: Dataset) -> None:
        rules = Rules([{"rule": "stock"}, {"rule": "stock", "column": "price"}]).fit(world)
        assert list(rules.removed(world.queries(), 5)) == ["stock (1)", "stock (2)"]


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "fits", "column": "region"},
        {"rule": "mutual", "column": "region", "seeks": "language", "blocks": "creator"},
    ],
)
def test_the_table_of_users_is_not_read_for_a_query(rule: dict[str, Any], tmp_path: Path) -> None:
    """Of 20,000 users one is found by halving: a few dozen ids are looked at, also after saving and with new items."""

    class Counted(list[str]):
        looked = 0

        def __getitem__(self, at: Any) -> Any:
            self.looked += 1
            return super().__getitem__(at)

        def __iter__(self) -> Any:
            raise AssertionError("all users are read")

    n = 20_000
    columns = {name: pa.array(["de", "fr"] * (n // 2)) for name in ("region", "language", "creator")}
    users = pa.table({"user_id": [f"u{at}" for at in range(n)], **columns})
    rules = Rules([rule]).read(ITEMS, users, ())
    rules.save(tmp_path / "rules")
    asked = saying(None, users=("u7777",))
    wanted = rules.lets(asked, 5)
    assert not wanted.all()
    for one in (rules, Rules([rule]).load(tmp_path / "rules"), rules.update(ITEMS, asked.items)):
        one.held[0]["ids"] = Counted(one.held[0]["ids"])
        np.testing.assert_array_equal(one.lets(asked, 5), wanted)
        assert 0 < one.held[0]["ids"].looked < 100


class TestContradictions:
    @pytest.mark.parametrize(
        ("rules", "message"),
        [
            ([{"rule": "stocks"}], "stocks"),
            ([{"rule": "stock", "abov": 1}], "abov"),
            ([{"rule": "stock", "column": "stok"}], "did you mean 'stock'"),
            ([{"rule": "stock", "column": "creator"}], "numbers are expected"),
            ([{"rule": "fits", "column": "price"}], "equal or not"),
            ([{"rule": "available", "start": "x", "end": "y"}], "unknown item column 'x'.*nor is 'y'"),
            ([{"rule": "available", "start": "creator"}], "times are expected"),
            ([{"rule": "between"}], "neither `least` nor `most`"),
            ([{"rule": "not_owned", "kinds": "purchas"}], "did you mean 'purchase'"),
            ([{"rule": "frequency", "kinds": "exposure"}], "unknown kind of events 'exposure'"),
            ([{"rule": "pin", "item": "f"}], "pin at 1: unknown item 'f'"),
            ([{"rule": "pin", "item": "a"}, {"rule": "pin", "item": "b"}], "two pins have the place 1"),
            ([{"rule": "pin", "item": "a"}, {"rule": "pin", "item": "a", "place": 2}], "two pins have the item 'a'"),
            (
                [{"rule": "pin", "item": "a"}, {"rule": "never", "column": "creator", "values": "ann"}],
                "'a' is pinned, but never creator ann takes it away",
            ),
            (
                [
                    {"rule": "between", "most": 2, "unknown": "drop"},
                    {"rule": "only", "column": "creator", "values": "bob"},
                ],
                "leave none of 5 items: price to 2 takes 3, only creator bob takes 2",
            ),
            (
                [
                    {"rule": "cap", "column": "creator", "most": 1},
                    {"rule": "pin", "item": "a"},
                    {"rule": "pin", "item": "b", "place": 3},
                ],
                "2 pinned items share a value, but at most 1 of one creator",
            ),
        ],
    )
    def test_what_cannot_be_is_refused(self, rules: list[dict[str, Any]], message: str, world: Dataset) -> None:
        with pytest.raises(ConfigError, match=message):
            Rules(rules).fit(world)


class TestCells:
    def test_values_are_trimmed_and_none_is_too_rare(self) -> None:
        table = pa.table({"item_id": ["a", "b", "c"], "kind": [[" x", "y", "x"], [""], ["z"]]})
        cells = Cells.read(table.take([2, 0, 1]), "kind", "item")
        assert cells.names == ["x", "y", "z"], "in the order of letters"
        np.testing.assert_array_equal(cells.of.toarray(), [[0, 0, 1], [1, 1, 0], [0, 0, 0]])
        cells = Cells.read(table, "kind", "item")
        np.testing.assert_array_equal(cells.of.toarray(), [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
        assert cells.known().tolist() == [True, False, True]
        assert cells.having(("z", "no such")).tolist() == [False, False, True]
        assert cells.having(("no such",)).tolist() == [False] * 3

    def test_times_are_microseconds_however_they_are_kept(self) -> None:
        seconds = pa.array([1, None], pa.timestamp("s"))
        table = pa.table({"item_id": ["a", "b"], "from": seconds, "until": pa.array([1, None], pa.int64())})
        assert times_of(table, "from", -1).tolist() == [1_000_000, -1]
        assert times_of(table, "until", 7).tolist() == [1, 7]
        assert times_of(table, "none", 7).tolist() == [7, 7]


NOW = 1_700_000_000_000_000
"""In microseconds since 1970."""


def shifted(column: pa.ChunkedArray) -> pa.Array:
    """Moments near `NOW`, as newer tables are refused that have none of our time."""
    return pa.array([None if one is None else NOW + one for one in column.to_pylist()], pa.int64())


SHOP = pa.table(
    {name: shifted(ITEMS[name]) if name.startswith("available") else ITEMS[name] for name in ITEMS.column_names}
)


class TestNewerTables:
    """What an hourly table may do to rules, and what it must not do in silence."""

    RULES = [{"rule": "stock"}, {"rule": "available"}, {"rule": "never", "column": "language", "values": "fr"}]

    @pytest.fixture
    def rules(self, world: Dataset) -> Rules:
        return Rules(self.RULES).fit(world)

    def newer(self, world: Dataset, items: pa.Table) -> pa.Table:
        return aligned(items, world.items)

    def test_a_table_of_what_changed_is_told(
        self, rules: Rules, world: Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Of all five items some rule knew something; b is in the table, and of the others nothing is known now."""
        part = SHOP.take([1])
        anew = rules.update(self.newer(world, part), world.items)
        assert anew.lets(at(world, NOW + 15, NOW, NOW), 5)[0].tolist() == [True, False, True, True, True]
        assert [one.levelno for one in caplog.records] == [logging.WARNING]
        assert "4 of 5 items are not in this table: nothing is known of them now" in caplog.text

    def test_what_was_not_known_before_is_not_lost(self, world: Dataset, caplog: pytest.LogCaptureFixture) -> None:
        """Of c no stock is known: a table without it takes nothing away."""
        Rules([{"rule": "stock"}]).fit(world).update(self.newer(world, SHOP.take([0, 1, 3, 4])), world.items)
        Rules(self.RULES).fit(world).update(self.newer(world, SHOP), world.items)
        Rules([{"rule": "not_owned"}]).fit(world).update(self.newer(world, SHOP.take([0])), world.items)
        assert not caplog.records

    def test_a_few_of_many_are_told_quietly(self, caplog: pytest.LogCaptureFixture) -> None:
        n = 200
        items = pa.table({"item_id": [f"{at:03d}" for at in range(n)], "stock": [1] * n})
        many = Dataset.of(Histories.of_lists([[0]]), items)
        with caplog.at_level(logging.INFO):
            Rules([{"rule": "stock"}]).fit(many).update(aligned(items.slice(1), many.items), many.items)
        assert [one.levelno for one in caplog.records] == [logging.INFO]
        assert "1 of 200 items are not in this table" in caplog.text

    @pytest.mark.parametrize("table", [{"item_id": ["A", "B"], "stock": [1, 2]}, {"item_id": ["a", "b"]}])
    def test_a_table_that_says_nothing_is_refused(self, table: dict[str, Any], world: Dataset) -> None:
        for rules in ([], [{"rule": "stock"}]):
            with pytest.raises(DataError, match="says nothing of any of the 5 items, such as 'a'"):
                Rules(rules).fit(world).update(self.newer(world, pa.table(table)), world.items)

    @pytest.mark.parametrize(
        ("column", "message"),
        [
            ("stock", "stock: unknown item feature 'stock'"),
            ("language", "never language fr: unknown item feature 'language'"),
            ("available_until", "available: unknown item column 'available_until'.*it was there before"),
            ("available_from", "available: unknown item column 'available_from'.*it was there before"),
        ],
    )
    def test_a_column_that_is_gone_is_refused(self, column: str, message: str, rules: Rules, world: Dataset) -> None:
        with pytest.raises(ConfigError, match=message):
            rules.update(self.newer(world, SHOP.drop_columns(column)), world.items)

    @pytest.mark.parametrize("unit", [10**6, 10**3, 1, 10**-3])
    def test_moments_of_another_unit_are_refused(self, unit: float, world: Dataset) -> None:
        """Seconds, milliseconds and nanoseconds; microseconds are right."""
        rules = Rules([{"rule": "available"}]).fit(world)
        moment = int(NOW / unit)
        until = pa.array([moment, None, moment + 1, None, moment], pa.int64())
        place = ITEMS.column_names.index("available_until")
        items = ITEMS.set_column(ITEMS.column_names.index("available_from"), "available_from", pa.nulls(5, pa.int64()))
        items = self.newer(world, items.set_column(place, "available_until", until))
        if unit == 1:
            anew = rules.update(items, world.items)
            assert anew.lets(at(world, NOW, NOW - 1, NOW), 5).sum(1).tolist() == [3, 5, 3]
        else:
            with pytest.raises(DataError, match=r"available: item column 'available_until' holds .* moments"):
                rules.update(items, world.items)

    def test_times_say_what_they_are_and_the_end_of_all_days_is_one(self, world: Dataset) -> None:
        rules, last = Rules([{"rule": "available"}]).fit(world), 253_402_214_400  # the last day of the year 9999
        for until in (pa.array([last] * 5, pa.timestamp("s")), pa.array([last * 10**6] * 5)):
            start = pa.array([0] * 5, pa.timestamp("s"))
            items = pa.table({"item_id": ITEMS["item_id"], "available_from": start, "available_until": until})
            assert rules.update(items, world.items).lets(at(world, NOW, NOW, NOW), 5).all()


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        ("rules", "message"),
        [
            (
                [{"rule": "capp", "column": "creator"}],
                "unknown rule 'capp'; did you mean 'cap'.*there are available, stock",
            ),
            (
                [{"column": "creator"}],
                "entry 1 of the rules is .* does not say which rule it is; .*available, stock, fits",
            ),
            ([{"rule": "stock"}, "cap"], "entry 2 of the rules is 'cap'"),
            ({"rule": "stock"}, r"a list of rules is expected, such as .*'rule': 'stock'.*; a dict came"),
            (None, "a list of rules is expected, .*; a NoneType came"),
            ('{"rule": {"rule": "stock"}}', r"or \[\[rule\]\] in a TOML file; a dict came"),
        ],
    )
    def test_what_is_no_rule_comes_with_those_there_are(self, rules: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            Rules(rules)
        assert "discriminator" not in str(caught.value)
        assert "tuple" not in str(caught.value)

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ({"rule": "fits", "column": "town"}, "^fits town: unknown item feature 'town'"),
            ({"rule": "cap", "column": "town"}, "^at most 2 of one town: unknown item feature 'town'"),
            ({"rule": "not_owned", "kinds": "buy"}, "^not owned: unknown kind of events 'buy'"),
            ({"rule": "pin", "item": "z"}, "^pin at 1: unknown item 'z'"),
        ],
    )
    def test_errors_name_their_rule_once(self, rule: dict[str, Any], message: str, world: Dataset) -> None:
        with pytest.raises(ConfigError, match=message):
            Rules([rule]).fit(world)

    @pytest.mark.parametrize("rule", ["never", "only"])
    def test_values_that_no_item_has_are_told(
        self, rule: str, world: Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        misspelt = {"rule": rule, "column": "creator", "values": "ann, Bob", "unknown": "keep"}
        fitted = Rules([misspelt]).fit(world)
        assert [one.levelno for one in caplog.records] == [logging.WARNING]
        assert (
            f"{rule} creator ann, Bob: no item has 1 of the 2 values: unknown value of 'creator' 'Bob'" in caplog.text
        )
        assert "did you mean 'bob'" in caplog.text
        caplog.clear()
        Rules([{**misspelt, "values": "ann, bob"}]).fit(world)
        fitted.update(aligned(SHOP, world.items), world.items)  # it has been said
        assert not caplog.records


def test_a_column_of_users_that_is_almost_named_is_asked_about(caplog: pytest.LogCaptureFixture) -> None:
    items = pa.table({"item_id": ["a"], "region": ["north"]})
    users = pa.table({"user_id": ["u"], "region": ["north"]})
    for says, warned in (("regoin", True), ("device", False), (None, False)):
        caplog.clear()
        Rules([{"rule": "fits", "column": "region", "says": says}]).read(items, users, ())
        assert ("did you mean 'region'" in caplog.text) is warned
