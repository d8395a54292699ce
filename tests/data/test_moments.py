import numpy as np
import pytest

from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.data.moments import check_unit, first_of
from zhiyin.errors import DataError

NOW = 1_718_000_000_000_000  # of June 2024


@pytest.mark.parametrize(
    ("came", "message"),
    [
        (1_718_000_000, r"now came as 1718000000, which is of the year 1970 .*since 2021: these look like seconds"),
        (1_718_000_000_000, r"the year 1970 .* these look like milliseconds, multiply them by 1,000"),
        (1_718_000_000_000_000_000, r"the year 56411 .* these look like nanoseconds, divide them by 1,000"),
        (19_884, r"the year 1970 .* give datetimes, or microseconds; where only the order"),
    ],
)
def test_moments_of_another_unit_than_what_is_known_are_refused(came: int, message: str) -> None:
    moments = np.array([NOW, NO_TIME, came])
    known = NOW - 3 * 365 * 86_400 * 1_000_000
    with pytest.raises(DataError, match=f"{message}.*") as told:
        check_unit("now", moments, known, "it has events")
    assert "it has events since 2021" in str(told.value)
    check_unit("now", moments[:2], known, "it has events")
    check_unit("now", np.array([0, 2**62, np.iinfo(np.int64).max]), known, "it has events")  # bounds of no side
    check_unit("now", moments, 5, "a clock of its own")
    check_unit("now", moments, None, "no clock")


def test_the_first_event_is_that_of_a_known_time() -> None:
    past = Histories(np.array([0, 3]), np.arange(3, dtype=np.int32), time=np.array([NO_TIME, 9, 7]))
    assert first_of(past) == 7
    assert first_of(past.keep(np.array([True, False, False]))) is None
    assert first_of(past.without("time")) is None
