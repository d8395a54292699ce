import json
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
        cells = Cells.read(table, "kind", "item")
        assert cells.names == ["x", "y", "z"]
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
