from typing import Any

import numpy as np
import pytest

from zhiyin.data.trials import Trial
from zhiyin.errors import DataError


def test_a_trial_by_lot_has_the_chances_that_were_seen() -> None:
    found = Trial.of([0, 1, 2, 1], [0.0, 1.0, 0.0, 1.0])
    assert found.propensity.tolist() == [0.25, 0.5, 0.25, 0.5]
    assert found.counts.tolist() == [1, 2, 1]
    assert found.n_arms == 3
    assert len(found) == 4
    assert found.is_binary
    assert not Trial.of([0, 1], [0.5, 1.0]).is_binary


def test_one_number_is_the_chance_of_the_only_arm() -> None:
    assert Trial.of([False, True, True], [1, 0, 1], 0.8).propensity == pytest.approx([0.2, 0.8, 0.8])


def test_the_people_of_an_arm_stand_for_all() -> None:
    """By hand: 1 / propensity is 2 and 4 in arm 0, which is scaled to 5 people; 2, 2 and 5 in arm 1."""
    found = Trial.of([0, 0, 1, 1, 1], np.zeros(5), np.array([0.5, 0.25, 0.5, 0.5, 0.2])).weight
    assert found == pytest.approx([5 / 3, 10 / 3, 10 / 9, 10 / 9, 25 / 9])
    assert Trial.of([0, 1, 1], [0, 0, 1], 0.9).weight == pytest.approx([3, 1.5, 1.5])


@pytest.mark.parametrize(
    ("arm", "outcome", "propensity", "message"),
    [
        ([], [], None, "no people came"),
        ([0, 0], [0, 1], None, "arm 1 has nobody"),
        ([1, 1], [0, 1], None, "arm 0 has nobody"),
        ([0, 2, 2], [0, 1, 1], None, "arm 1 has nobody"),
        ([0, 2], [0, 1], None, "arm 2 came in row 1 .* without a gap, so each is below the number of people, 2"),
        ([0, 300_000_000], [0, 1], None, r"arm 3e\+08 came in row 1"),
        ([0, 3e9], [0, 1], 0.5, r"arm 3e\+09 came in row 1"),
        ([0, np.inf], [0, 1], None, "arm inf came in row 1"),
        ([0, 1.5], [0, 1], None, "arm 1.5 came in row 1"),
        ([0, -1], [0, 1], None, "arm -1 came in row 1"),
        ([0, np.nan], [0, 1], None, "arm nan came in row 1"),
        ([[0, 1]], [0, 1], None, "arms of shape"),
        ([0, 1], [0, np.nan], None, "outcome nan came in row 1"),
        ([0, 1], [0, 1, 1], None, "2 arms came with outcome of shape"),
        ([0, 1], [0, 1], np.array([0.5]), "2 arms came with propensity of shape"),
        ([0, 1], [0, 1], 1.0, "propensity 0 came in row 0"),
        ([0, 1], [0, 1], np.array([0.5, 1.0]), "propensity 1 came in row 1"),
        ([0, 1], [0, 1], np.array([np.nan, 0.5]), "propensity nan came in row 0"),
        ([0, 1, 2], [0, 1, 0], 0.5, "came for 2 arms"),
        (["0", "1"], [0, 1], None, r"arm: \['0', '1'\] came; numbers are expected"),
        ([0, 1], ["no", "yes"], None, "outcome: .* came; numbers are expected"),
        ([0, 1], [0, 1], "half", "propensity: the text 'half' came; numbers are expected"),
    ],
)
def test_what_is_no_trial_is_refused(arm: Any, outcome: Any, propensity: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Trial.of(arm, outcome, propensity)


def test_one_that_is_built_by_hand_is_looked_at_too() -> None:
    half = np.full(2, 0.5)
    for arm in ([0, 300_000_000], [0, -1]):
        with pytest.raises(DataError, match="arms are numbered without a gap"):
            Trial(np.array(arm, np.int32), half, half)
