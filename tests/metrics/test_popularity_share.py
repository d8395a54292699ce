import pytest

from zhiyin.metrics import PopularityShare
from zhiyin.testing.metrics import MetricSuite


class TestPopularityShare(MetricSuite):
    metric = PopularityShare
    of_targets = False


def share(listed: list[str], head: float) -> float:
    """Of ten items, a is used three times, b and c twice, d to j once."""
    return PopularityShare(k=10, head=head)([listed], histories=[list("aaabbccdefghij")])


def test_the_head_is_a_share_of_the_catalogue() -> None:
    assert share(["a", "b", "c", "d"], head=0.3) == 0.75
    assert share(["a", "b", "c", "d"], head=0.1) == 0.25
    assert share(["d", "e"], head=1.0) == 1.0


def test_items_tied_at_the_end_of_the_head_share_its_last_places() -> None:
    assert share(["b"], head=0.2) == share(["c"], head=0.2) == 0.5
    assert share(["a"], head=0.2) == 1.0
    assert share(["j"], head=0.4) == pytest.approx(1 / 7)


@pytest.mark.parametrize("head", [0.0, 1.5])
def test_a_head_beyond_the_catalogue_is_refused(head: float) -> None:
    from zhiyin.errors import ConfigError

    with pytest.raises(ConfigError, match="'head' of popularity_share"):
        PopularityShare(head=head)
