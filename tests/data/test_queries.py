from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiyin.data.histories import NO_KIND, NO_SESSION, NO_TIME, Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError

logs = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=8)


def as_lists(histories: Histories) -> list[list[int]]:
    return [histories.of(row).tolist() for row in range(len(histories))]


def test_queries_by_hand_are_encoded_and_unknown_items_counted() -> None:
    queries = Queries.encode(
        [
            Query.of(["b", "x", "a"], times=[1, 2, 3], user_id="ada", context={"hour": 7}),
            Query.of([]),
            Query.of(["y", "c"], now=99, kinds=["buy", "view"]),
        ],
        Vocabulary(["a", "b", "c"]),
        kinds=("view", "buy"),
    )
    assert as_lists(queries.histories) == [[1, 0], [], [2]]
    assert queries.unknown is not None
    assert queries.unknown.tolist() == [1, 0, 1]
    assert queries.now is not None
    assert queries.now.tolist() == [4, NO_TIME, 99]
    assert queries.users == ("ada", "", "")
    assert queries.histories.kind is not None
    assert queries.histories.kind.tolist() == [NO_KIND, NO_KIND, 0]
    assert queries.context["hour"].tolist() == [7, None, None]
    assert queries.histories.weight is None


def test_events_weigh_what_is_said_else_what_their_kind_weighs() -> None:
    asked = [
        Query.of(["a", "b"], kinds=["buy", "view"]),
        Query.of(["c", "a"]),
        Query.of(["b"], kinds=["buy"], weights=[7]),
    ]
    queries = Queries.encode(asked, Vocabulary(["a", "b", "c"]), ("view", "buy"), (1.0, 5.0))
    assert queries.histories.weight is not None
    assert queries.histories.weight.tolist() == [5, 1, 1, 1, 7]


def test_sessions_are_counted_in_each_history() -> None:
    asked = [
        Query.of(["a", "b", "x", "c"], sessions=["tue", "tue", "wed", "wed"]),
        Query.of(["c"]),
        Query.of(["a", "a"], times=[2, 1], sessions=["late", "early"]),
    ]
    found = Queries.encode(asked, Vocabulary(["a", "b", "c"])).histories.session
    assert found is not None
    assert found.tolist() == [0, 0, 1, NO_SESSION, 1, 0]
    assert Queries.encode(asked[1:2], Vocabulary(["a", "b", "c"])).histories.session is None
    with pytest.raises(DataError, match="2 items came with 1 sessions"):
        Query.of(["a", "b"], sessions=["tue"])


def test_an_unknown_kind_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match="unknown kind of event 'bye'; did you mean 'buy'"):
        Queries.encode([Query.of(["a"], kinds=["bye"])], Vocabulary(["a"]), ("view", "buy"))
    bare = Queries.encode([Query.of(["a"], kinds=["bye"])], Vocabulary(["a"]))
    assert bare.histories.kind is None


def test_queries_translate_to_another_vocabulary() -> None:
    queries = Queries.encode([Query.of(["a", "b", "c"])], Vocabulary(["a", "b", "c"]))
    other = queries.translate(Vocabulary(["c", "a"]))
    assert as_lists(other.histories) == [[1, 0]]
    assert other.unknown is not None
    assert other.unknown.tolist() == [1]


@given(logs.filter(lambda lists: len(lists) > 1))
def test_blocks_join_to_the_whole(lists: list[list[int]]) -> None:
    queries = Queries(Histories.of_lists(lists), Vocabulary(map(str, range(10))))
    parts = [row for block in queries.blocks(2) for row in as_lists(block.histories)]
    assert parts == lists


def test_wrong_queries_are_refused() -> None:
    with pytest.raises(DataError, match="one text came"):
        Query.of("abc")
    with pytest.raises(DataError, match="each must be a number"):
        Query.of(["a"], weights=[float("nan")])
    with pytest.raises(DataError, match="2 items came with 1 times"):
        Query.of(["a", "b"], times=[1])


def test_moments_may_be_datetimes() -> None:
    day = datetime(2024, 10, 27, tzinfo=UTC)
    given = [day, datetime(2024, 10, 27, 1), np.datetime64("2024-10-27T02:00"), int(day.timestamp()) * 10**6]
    query = Query.of(["a", "b", "c", "d"], given, now=pd.Timestamp("2024-10-28"))
    hours = [(one - int(day.timestamp()) * 10**6) / 3.6e9 for one in query.times or ()]
    assert hours == [0, 1, 2, 0]
    assert query.now == (int(day.timestamp()) + 86_400) * 10**6
    for wrong in ("yesterday", pd.NaT, np.datetime64("NaT"), float("inf"), float("nan"), None):
        with pytest.raises(DataError, match="is no moment"):
            Query.of(["a"], [wrong])  # type: ignore[list-item]


def test_histories_are_put_in_the_order_of_their_times() -> None:
    items = Vocabulary(["a", "b", "c"])
    queries = [Query.of(["c", "x", "a", "b"], [3, 4, 1, 1], [5, 4, 3, 2]), Query.of(["b", "a"]), Query.of([], [])]
    found = Queries.encode(queries, items)
    assert found.histories.item.tolist() == [0, 1, 2, 1, 0]
    assert found.histories.value is not None
    assert found.histories.value[:3].tolist() == [3, 2, 5]
    assert found.now is not None
    assert found.now.tolist()[0] == 5


def test_events_that_are_later_than_now_are_left_out_aloud(caplog: pytest.LogCaptureFixture) -> None:
    found = Queries.encode([Query.of(["a", "b"], [10**15, 2 * 10**15], now=10**9)], Vocabulary(["a", "b"])).until_now()
    assert found.histories.n_events == 0
    assert "2 of 2 events are later than the moment" in caplog.text


NOW = 1_718_000_000_000_000  # of June 2024


def test_a_moment_before_everything_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    queries = Queries.encode([Query.of(["a"], now=0), Query.of(["a"], now=NOW)], Vocabulary(["a"]))
    assert queries.in_unit(5, "a clock of its own") is queries
    assert not caplog.text
    assert queries.in_unit(NOW - 1, "it") is queries
    assert "1 of 2 queries are asked at a moment (now) of 0, before all that it has learnt from" in caplog.text


def test_a_query_of_no_moment_is_not_asked_before_everything(caplog: pytest.LogCaptureFixture) -> None:
    items = Vocabulary(["a"])
    known, unknown, zero = Query.of(["a"], now=NOW), Query.of(["a"]), Query.of(["a"], now=0)
    Queries.encode([known, unknown], items).in_unit(NOW - 1, "it")
    assert not caplog.text
    Queries.encode([known, unknown, zero], items).in_unit(NOW - 1, "it")
    assert "1 of 3 queries are asked at a moment (now) of 0, " in caplog.text


def test_a_context_may_be_of_several_values() -> None:
    items = Vocabulary(["a"])
    said = [["north", "south"], None, "west", ("east",), {"b", "a"}, np.array(["x", "y"])]
    found = Queries.encode([Query.of([], context={"region": one}) for one in said], items)
    assert found.context["region"].tolist() == [["north", "south"], None, "west", ["east"], ["a", "b"], ["x", "y"]]
    same = Queries.encode([Query.of([], context={"region": ["n", "s"]})] * 2, items)
    assert same.context["region"].shape == (2,)
    assert same.slice(0, 1).context["region"].tolist() == [["n", "s"]]


def test_what_one_query_says_does_not_change_what_another_one_does() -> None:
    items = Vocabulary(["a"])
    found = Queries.encode([Query.of([], context={"size": one}) for one in ("x", 3.0, True, None)], items)
    assert found.context["size"].tolist() == ["x", 3.0, True, None]
    assert (
        Queries.encode([Query.of([], context={"size": one}) for one in (1, 2.5)], items).context["size"].dtype == float
    )
