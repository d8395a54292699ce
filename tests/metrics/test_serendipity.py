import pytest

from zhiyin.metrics import Serendipity
from zhiyin.testing.metrics import MetricSuite


class TestSerendipity(MetricSuite):
    metric = Serendipity


class TestSerendipityAgainstRank(MetricSuite):
    metric = Serendipity
    options = {"against": "rank"}


def of(listed: list[str], wanted: list[str], past: list[str], **settings: object) -> float:
    """The value of one list in a world where a is used three times, b twice, c once, d and e never."""
    others = [["a", "b"], ["a", "b", "c"], ["a"]]
    spare: list[list[str]] = [[] for _ in others]
    return Serendipity(k=2, **settings)([listed, *spare], [wanted, *spare], [past, *others], catalogue="abcde")


def test_hits_that_popularity_would_have_given_count_nothing() -> None:
    assert of(["a", "b"], ["a", "b"], []) == 0
    assert of(["a", "d"], ["a", "d"], []) == 0.5


def test_the_popularity_list_leaves_out_what_the_query_knows() -> None:
    assert of(["c"], ["c"], []) == 0.5
    assert of(["c"], ["c"], ["a"]) == 0  # after a come b and c


def test_items_tied_at_the_end_of_the_popularity_list_are_on_it_by_chance() -> None:
    assert of(["d"], ["d"], ["a", "b"]) == 0.25  # after c, d and e share the second place
    assert of(["d"], ["d"], ["a", "b", "e"]) == 0


def test_a_known_item_is_no_surprise() -> None:
    assert of(["d"], ["d"], ["d"]) == 0


def test_against_the_rank_it_counts_how_much_higher_the_list_puts_the_item() -> None:
    # place 1: d, of rank 4.5 (tied with e) by popularity; place 2: a, of rank 1, which the list puts lower
    assert of(["d", "a"], ["a", "d"], [], against="rank") == pytest.approx((3.5 / 5 + 0) / 2)
