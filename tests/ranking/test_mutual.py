"""People who are offered to people: both must want it, whoever asks."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import ConfigError
from zhiyin.ranking._cells import aligned
from zhiyin.ranking.rules import Rules

TEXTS = pa.list_(pa.string())
AGES = {"rule": "mutual", "column": "age", "seeks": "seeks"}
FULL = {**AGES, "blocks": "blocked"}


def people(rows: list[dict[str, Any]], id_column: str) -> pa.Table:
    return pa.table(
        {
            id_column: pa.array([row["id"] for row in rows], pa.string()),
            "age": pa.array([row.get("age") for row in rows], pa.string()),
            "seeks": pa.array([row.get("seeks") for row in rows], TEXTS),
            "blocked": pa.array([row.get("blocked") for row in rows], TEXTS),
        }
    )


ROWS = [
    {"id": "a", "age": "20s", "seeks": ["20s", "30s"]},
    {"id": "b", "age": "30s", "seeks": ["20s"]},
    {"id": "c", "age": "30s"},  # seeks anyone
    {"id": "d", "seeks": ["20s"]},  # does not tell
    {"id": "e", "age": "20s", "seeks": [], "blocked": ["a"]},
]
GUEST = {"id": "guest", "age": "30s", "seeks": ["30s"], "blocked": ["c"]}


@pytest.fixture(scope="module")
def world() -> Dataset:
    users = people([*ROWS[:4], GUEST], "user_id")
    return Dataset.of(Histories.of_lists([[]] * 5), people(ROWS, "item_id"), users)


def left(world: Dataset, rule: dict[str, Any], *queries: Query) -> list[str]:
    """Per query, the ids of whom a rule leaves."""
    found = Rules([rule]).fit(world).lets(Queries.encode(queries, world.items), world.n_items)
    return ["".join(np.array(world.items.ids.to_pylist())[row]) for row in found]


def ask(*users: str | None, **context: Any) -> list[Query]:
    return [Query.of([], user_id=user, context=context) for user in users]


def test_both_are_asked(world: Dataset) -> None:
    # b and d seek 20s, which a and e are; b and c are 30s, which a and e take; d does not tell, and is kept for those
    # who seek anything that d may be
    assert left(world, AGES, *ask("a", "b", "c", "d", "e")) == ["bcde", "ae", "ae", "ae", "abcd"]
    assert left(world, {**AGES, "unknown": "drop"}, *ask("a", "b", "c", "d", "e")) == ["bce", "ae", "ae", "e", "abcd"]


def test_nobody_is_offered_to_themselves_unless_it_is_said(world: Dataset) -> None:
    assert left(world, {"rule": "mutual"}, *ask("a", "guest", None)) == ["bcde", "abcde", "abcde"]
    assert left(world, {**AGES, "not_self": False}, *ask("a", "b")) == ["abcde", "ae"]


def test_one_block_parts_both(world: Dataset) -> None:
    only = {"rule": "mutual", "blocks": "blocked"}
    assert left(world, only, *ask("a", "e", "b", "guest")) == ["bcd", "bcd", "acde", "abde"]
    assert left(world, only, *ask("b", blocked=["c", "e", "who?"])) == ["ad"]
    assert left(world, only, *ask("e", blocked="b")) == ["cd"]  # a is blocked by the catalogue as before
    assert left(world, FULL, *ask("a", "e")) == ["bcd", "bcd"]


def test_strangers_and_people_beside_the_catalogue_ask_too(world: Dataset) -> None:
    assert left(world, AGES, *ask("guest")) == ["c"]  # by the table of users: 30s, seeks 30s
    assert left(world, AGES, *ask(None)) == ["abcde"]  # of whom nothing is known
    assert left(world, {**AGES, "unknown": "drop"}, *ask(None)) == ["ce"]  # who seek anyone
    assert left(world, AGES, *ask(None, age="20s", seeks="30s")) == ["bcd"]
    assert left(world, AGES, *ask("a", seeks=["30s"])) == ["bcd"]  # the context comes first
    assert left(world, AGES, *ask("a", seeks="90s")) == ["d"]  # which nobody is


def test_what_is_missing_is_told(world: Dataset) -> None:
    for rule, message in (
        ({**AGES, "column": "agee"}, "unknown item feature 'agee'; did you mean 'age'"),
        ({**AGES, "seeks": "seek"}, "did you mean 'seeks'"),
        ({"rule": "mutual", "blocks": "blocks"}, "did you mean 'blocked'"),
        ({"rule": "mutual", "column": "age"}, "has `column` and no `seeks`"),
        ({"rule": "mutual", "seeks": "age"}, "has `seeks` and no `column`"),
        ({"rule": "mutual", "not_self": False}, "forbids nothing"),
    ):
        with pytest.raises(ConfigError, match=message):
            Rules([rule]).fit(world)


def test_it_is_saved_and_read_anew(world: Dataset, tmp_path: Path) -> None:
    rules, asked = Rules([FULL, {"rule": "mutual"}]).fit(world), Queries.encode(ask("a", "guest", "e"), world.items)
    rules.save(tmp_path / "rules")
    again = Rules([FULL, {"rule": "mutual"}]).load(tmp_path / "rules")
    np.testing.assert_array_equal(again.lets(asked, 5), rules.lets(asked, 5))
    newer = people([{**ROWS[0], "blocked": ["b", "e"]}, {**ROWS[4], "blocked": []}, {"id": "new"}], "item_id")
    anew = again.update(aligned(newer, world.items), world.items).lets(asked, 5)
    # of b, c and d nothing is told in the new table; a blocks b and e now, and the guest is known as before
    assert anew.tolist()[0] == [False, False, True, True, False]
    assert anew.tolist()[2] == [False, True, True, True, False]
    assert anew.tolist()[1] == [False, True, False, True, False]


def test_the_label_says_what_took_somebody_away(world: Dataset) -> None:
    rules = Rules([{"rule": "mutual"}, AGES]).fit(world)
    assert list(rules.removed(Queries.encode(ask("a"), world.items), 5)) == ["mutual", "mutual age"]


AGE = st.sampled_from(["20s", "30s", "40s"])
PERSON = st.fixed_dictionaries(
    {
        "age": st.none() | AGE,
        "seeks": st.none() | st.lists(AGE, max_size=2),
        "blocked": st.lists(st.sampled_from("012")),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PERSON, min_size=2, max_size=6), st.sampled_from(["keep", "drop"]), st.randoms(use_true_random=False))
def test_who_is_offered_to_whom_is_the_same_both_ways(rows: list[dict[str, Any]], unknown: str, random: Any) -> None:
    named = [{**row, "id": str(at)} for at, row in enumerate(rows)]
    told = random.sample(named, len(named))  # the table of users in another order
    world = Dataset.of(Histories.of_lists([[]] * len(rows)), people(named, "item_id"), people(told, "user_id"))
    rules = Rules([{**FULL, "unknown": unknown}]).fit(world)
    asked = Queries.encode(ask(*(row["id"] for row in named)), world.items)
    found = rules.lets(asked, len(rows))
    np.testing.assert_array_equal(found, found.T)
    for row in range(len(rows)):  # as a person would say it, and alone as in the batch
        np.testing.assert_array_equal(rules.lets(asked.slice(row, row + 1), len(rows))[0], found[row])
        for other in range(len(rows)):
            assert found[row, other] == plainly(named[row], named[other], unknown == "keep")


def plainly(one: dict[str, Any], other: dict[str, Any], keeps: bool) -> bool:
    def takes(a: dict[str, Any], b: dict[str, Any]) -> bool:
        return not a["seeks"] or (keeps if b["age"] is None else b["age"] in a["seeks"])

    blocked = other["id"] in one["blocked"] or one["id"] in other["blocked"]
    return takes(one, other) and takes(other, one) and not blocked and one["id"] != other["id"]
