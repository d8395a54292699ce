import math

import numpy as np
import pytest

from zhiyin.errors import ConfigError, DataError
from zhiyin.metrics import ClickThroughRate
from zhiyin.metrics.base import Interval, wilson

RATE = ClickThroughRate()


def test_single_exposures_and_counts_give_the_same() -> None:
    shown, clicked = [1] * 10, [1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert RATE(shown, clicked) == RATE([7, 3], [2, 0]) == 0.2
    assert RATE.interval(shown, clicked) == RATE.interval([10], [2])


def test_rows_that_were_not_shown_do_not_count() -> None:
    assert RATE.value([1, 0, 1], [1, 0, 0]) == 0.5
    assert math.isnan(RATE.value([0, 0], [0, 0]))
    assert math.isnan(RATE.interval([0], [0]).low)


def test_with_groups_every_user_counts_alike() -> None:
    shown, clicked, user = [90, 10, 10, 0], [0, 1, 10, 0], ["ada", "ada", "bob", "eve"]
    assert RATE.by_group(shown, clicked, None, user) == pytest.approx(
        {"ada": 0.01, "bob": 1, "eve": math.nan}, nan_ok=True
    )
    assert RATE(shown, clicked, group=user) == pytest.approx(0.505)
    assert RATE(shown, clicked) == pytest.approx(0.1)


def test_the_interval_over_users_is_wider_where_clicks_come_from_few() -> None:
    shown, clicked, user = [1] * 100, [1] * 50 + [0] * 50, np.repeat(np.arange(4), 25)
    plain, by_user = RATE.interval(shown, clicked), RATE.interval(shown, clicked, group=user)
    assert by_user.high - by_user.low > 3 * (plain.high - plain.low)
    assert (by_user.low, by_user.high) == (0, 1)
    assert math.isnan(RATE.interval(shown, clicked, group=[1] * 100).low)


def test_students_interval_by_hand() -> None:
    # rates 0.2, 0.4, 0.6: t(2, 97.5 %) = 4.302653, s = 0.2
    found = RATE.interval([10, 10, 10], [2, 4, 6], group=["a", "b", "c"])
    assert found.high == pytest.approx(0.4 + 4.302653 * 0.2 / 3**0.5, abs=1e-6)


def test_wilsons_interval_is_where_the_score_test_is_on_its_edge() -> None:
    for successes, trials in ((1, 10), (7, 20), (399, 400)):
        p, z = successes / trials, 1.959964
        for bound in (wilson(successes, trials).low, wilson(successes, trials).high):
            assert abs(p - bound) / math.sqrt(bound * (1 - bound) / trials) == pytest.approx(z, abs=1e-5)


def test_wilsons_interval_stays_inside_and_covers() -> None:
    assert wilson(0, 5).low == 0
    assert wilson(5, 5).high == 1
    assert wilson(3, 10, level=0.5).low > wilson(3, 10).low
    rng = np.random.default_rng(0)
    draws = [wilson(float(successes), 200) for successes in rng.binomial(200, 0.03, 2_000)]
    assert np.mean([one.low <= 0.03 <= one.high for one in draws]) == pytest.approx(0.95, abs=0.025)
    assert isinstance(draws[0], Interval)


def test_impossible_logs_are_refused() -> None:
    with pytest.raises(DataError, match="row 1 has 3 clicks for 2 exposures"):
        RATE([2, 2], [1, 3])
    with pytest.raises(DataError, match="row 0 has -1 clicks"):
        RATE([2], [-1])
    with pytest.raises(DataError, match="2 exposures came with 1 clicks"):
        RATE([2, 2], [1])
    with pytest.raises(DataError, match="1 exposures came with groups of shape"):
        RATE([2], [1], group=["a", "b"])
    with pytest.raises(DataError, match="groups"):
        RATE([2, 2], [1, 1], group="ab")
    with pytest.raises(ConfigError, match=r"0\.95"):
        RATE.interval([2], [1], level=95)
