"""Aggregates of a group, worked out by hand and against plain loops."""

import numpy as np
import pytest

from zhiyin.errors import ConfigError, DataError
from zhiyin.scenarios.aggregate import aggregate, as_places

RULES = {"mean": np.mean, "least_misery": np.min, "most_pleasure": np.max}


@pytest.mark.parametrize("rule", RULES)
def test_it_is_what_plain_loops_say(rule: str) -> None:
    rng = np.random.default_rng(0)
    scores, members = rng.random((9, 7)), [[0, 3, 8], [5], [1, 2], [8, 0]]
    found = aggregate(scores, members, rule)  # type: ignore[arg-type]
    for row, group in zip(found, members, strict=True):
        np.testing.assert_allclose(row, RULES[rule](scores[group], axis=0))


@pytest.mark.parametrize("rule", RULES)
def test_what_one_member_may_not_have_the_group_may_not(rule: str) -> None:
    scores = np.array([[0.2, -np.inf, 0.4], [0.6, 0.9, 0.1]])
    found = aggregate(scores, [[1, 0], [1]], rule)  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.isneginf(found), [[False, True, False], [False, False, False]])


def test_wrong_groups_and_rules_are_refused() -> None:
    scores = np.zeros((2, 3))
    assert aggregate(scores, []).shape == (0, 3)
    with pytest.raises(DataError, match="1 of 2 groups have no members"):
        aggregate(scores, [[0], []])
    with pytest.raises(DataError, match="people are 0 to 1"):
        aggregate(scores, [[0, 2]])
    with pytest.raises(ConfigError, match="least_misery"):
        aggregate(scores, [[0]], "median")  # type: ignore[arg-type]


def test_places_do_not_care_for_the_scale_of_a_person() -> None:
    scores = np.random.default_rng(1).random((4, 6))
    np.testing.assert_allclose(as_places(scores * np.array([[1], [10], [0.1], [3]]) + 5), as_places(scores))
    assert as_places(np.array([[1.0, 1.0, 3.0]])).tolist() == [[0.25, 0.25, 1.0]]
