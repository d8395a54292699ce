from __future__ import annotations

import pytest

from zhiyin.data.schema import EVENTS, ITEMS, USERS, Match, column_number, is_known, match_roles, plain
from zhiyin.errors import DataError


def found(columns: list[str], mapping: dict[str, str | int] | None = None) -> dict[str, tuple[str, str]]:
    return {one.role: (one.column, one.how) for one in match_roles(columns, mapping or {}, EVENTS, "a.csv")}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("userId movieId rating timestamp", "user_id=userId item_id=movieId value=rating time=timestamp"),
        (
            "reviewerID asin overall unixReviewTime reviewTime",
            "user_id=reviewerID item_id=asin value=overall time=unixReviewTime",
        ),
        (
            "timestamp visitorid event itemid transactionid",
            "user_id=visitorid item_id=itemid kind=event time=timestamp",
        ),
        ("userID artistID weight", "user_id=userID item_id=artistID value=weight"),
        ("User-ID ISBN Book-Rating", "user_id=User-ID item_id=ISBN value=Book-Rating"),
        (
            "user_id:token item_id:token rating:float timestamp:float",
            "user_id=user_id:token item_id=item_id:token value=rating:float time=timestamp:float",
        ),
        (
            "event_time event_type product_id category_id brand price user_id user_session",
            "user_id=user_id item_id=product_id kind=event_type session_id=user_session time=event_time",
        ),
        ("user_id business_id stars date", "user_id=user_id item_id=business_id value=stars time=date"),
        ("customer_id product_id qty datetime", "user_id=customer_id item_id=product_id value=qty time=datetime"),
        ("uid iid position", "user_id=uid item_id=iid position=position"),
    ],
)
def test_headers_of_well_known_logs_are_understood(columns: str, expected: str) -> None:
    assert {f"{role}={column}" for role, (column, _) in found(columns.split()).items()} == set(expected.split())


def test_the_exact_name_beats_an_alias_and_a_mapping_beats_both() -> None:
    columns = ["user_id", "customer_id", "item_id", "when", "time"]
    assert found(columns)["user_id"] == ("user_id", "named")
    mapped = found(columns, {"user_id": "customer_id", "time": "when"})
    assert mapped["user_id"] == ("customer_id", "mapping")
    assert mapped["time"] == ("when", "mapping")


def test_a_stronger_alias_wins_without_a_quarrel() -> None:
    assert found(["uid", "iid", "unixReviewTime", "reviewTime", "date"])["time"] == ("unixReviewTime", "alias")


def test_two_equally_good_columns_compete() -> None:
    with pytest.raises(DataError, match=r"'track_id', 'artist_id' compete for the role 'item_id'.*roles=\{"):
        found(["user_id", "track_id", "artist_id"])
    assert found(["user_id", "track_id", "artist_id"], {"item_id": "track_id"})["item_id"] == ("track_id", "mapping")


def test_a_missing_role_names_the_columns_and_the_way_out() -> None:
    with pytest.raises(
        DataError, match=r"no column for the role 'item_id'; the columns are 'uid', 'thing'.*\[events.roles\]"
    ):
        found(["uid", "thing"])


def test_anonymous_sessions_get_a_hint() -> None:
    with pytest.raises(DataError, match="let the session play the user"):
        found(["session_id", "item_id", "timestamp"])
    assert found(["session_id", "item_id"], {"user_id": "session_id"})["user_id"] == ("session_id", "mapping")


def test_a_file_without_header_asks_for_numbers() -> None:
    with pytest.raises(DataError, match=r"no header.*from 0 to 2"):
        found(["column0", "column1", "column2"])


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"user_id": "usr"}, "did you mean 'user'"),
        ({"user_id": 7}, "column number 7, but there are 3"),
        ({"usr_id": "user"}, "unknown role for events 'usr_id'; did you mean 'user_id'"),
        ({"user_id": "user", "item_id": "user"}, "two roles"),
    ],
)
def test_wrong_mappings_are_refused(mapping: dict[str, str | int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        found(["user", "item", "time"], mapping)


def test_mapping_by_number_also_as_text_and_by_name_in_other_capitals() -> None:
    assert found(["a", "b"], {"user_id": 1, "item_id": "0"}) == {
        "user_id": ("b", "mapping"),
        "item_id": ("a", "mapping"),
    }
    assert found(["UserName", "Thing"], {"user_id": "username", "item_id": "thing"})["user_id"][0] == "UserName"
    assert found(["1", "0"], {"user_id": "0", "item_id": "1"})["user_id"][0] == "0"  # a name beats a number
    assert column_number("x1") is None


def test_in_a_catalogue_the_first_alias_wins_and_only_the_id_is_needed() -> None:
    matches = match_roles(["movieId", "abstract", "plot", "genres", "category"], {}, ITEMS, "items")
    assert [str(one) for one in matches] == [
        "item_id is column 'movieId' (by alias)",
        "description is column 'plot' (by alias)",
        "categories is column 'genres' (by alias)",
    ]
    assert match_roles(["id", "age"], {}, USERS, "users") == (Match("user_id", "id", "alias"),)
    with pytest.raises(DataError, match="no column for the role 'item_id'"):
        match_roles(["title"], {}, ITEMS, "items")


def test_every_alias_is_in_plain_letters_and_belongs_to_one_role() -> None:
    for schema in (EVENTS, ITEMS, USERS):
        owners: dict[str, str] = {}
        for role in schema.roles:
            for alias in (one for tier in schema.tiers(role) for one in tier):
                assert plain(alias) == alias
                assert owners.setdefault(alias, role) == role, f"{alias} stands for {owners[alias]} and {role}"
                assert is_known(alias)


def test_nobody_plays_a_role_that_is_mapped_to_nothing() -> None:
    columns = ["user_id", "item_id", "event"]
    assert found(columns)["kind"] == ("event", "alias")
    assert "kind" not in found(columns, {"kind": ""})
    with pytest.raises(DataError, match="no column for the role 'item_id'"):
        found(columns, {"item_id": ""})


def test_the_way_out_is_said_for_python_the_prompt_and_recipes() -> None:
    with pytest.raises(DataError) as error:
        found(["uid", "odd name"])
    assert 'roles={"item_id": "odd name"}' in str(error.value)
    assert "--role 'item_id=odd name'" in str(error.value)
    with pytest.raises(DataError, match=r"--role items\.item_id=code"):
        match_roles(["code"], {}, ITEMS, "goods.csv")
