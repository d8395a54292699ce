import numpy as np
import pytest

from zhiyin.data.recommendations import Recommendations
from zhiyin.data.vocabulary import Vocabulary


@pytest.fixture
def told() -> Recommendations:
    return Recommendations(
        np.array([[2, 0], [1, -1]], np.int32),
        np.array([[2.0, 1.0], [0.5, np.nan]], np.float32),
        Vocabulary(["a", "b", "c"]),
        ("pipeline",),
        users=("ada", "bob"),
        notes=((("novelty: from place 3",), ()), (("pinned at place 1", "value: click = 1"), ())),
        propensity=np.array([[0.25, 1.0], [0.1, np.nan]]),
    )


def test_a_few_lists_are_shown_in_words(told: Recommendations) -> None:
    assert repr(told).splitlines() == ["Recommendations: 2 lists of 2 items at most", "  ada: c, a", "  bob: b"]
    many = Recommendations(np.zeros((7, 1), np.int32), np.zeros((7, 1), np.float32), told.vocabulary, ("it",))
    assert repr(many).splitlines()[-2:] == ["  4: a", "  ..."]


class TestProvenance:
    def test_it_goes_with_its_rows(self, told: Recommendations) -> None:
        part = told.take(np.array([1]))
        assert part.notes == (told.notes or ())[1:]
        assert part.propensity is not None
        np.testing.assert_array_equal(part.propensity, [[0.1, np.nan]])
        again = Recommendations.join([told.take(np.array([0])), part])
        assert again.notes == told.notes
        np.testing.assert_array_equal(again.propensity, told.propensity)  # type: ignore[arg-type]

    def test_it_is_in_the_table(self, told: Recommendations) -> None:
        table = told.to_arrow()
        assert table["propensity"].to_pylist() == [0.25, 1.0, 0.1]
        assert table["notes"].to_pylist() == [["novelty: from place 3"], [], ["pinned at place 1", "value: click = 1"]]
        assert told.to_pandas()["propensity"].tolist() == [0.25, 1.0, 0.1]

    def test_lists_of_several_calls_stay_apart(self, told: Recommendations) -> None:
        assert told.to_arrow()["query"].to_pylist() == [0, 0, 1]
        assert told.to_arrow(serving="monday")["query"].to_pylist() == ["monday/0", "monday/0", "monday/1"]

    def test_it_is_in_the_plain_form(self, told: Recommendations) -> None:
        first, second = (one["items"] for one in told.to_dicts())
        assert [one["propensity"] for one in first] == [0.25, 1.0]
        assert first[0]["notes"] == ["novelty: from place 3"]
        assert "notes" not in first[1]
        assert second[0]["notes"] == ["pinned at place 1", "value: click = 1"]

    def test_without_any_nothing_is_said(self, told: Recommendations) -> None:
        bare = Recommendations(told.items, told.scores, told.vocabulary, told.sources)
        assert bare.to_arrow().column_names == ["query", "item_id", "rank", "score", "source"]
        assert bare.to_dicts()[0]["items"][0].keys() == {"item_id", "rank", "score", "source"}
        joined = Recommendations.join([bare, bare])
        assert joined.notes is None
        assert joined.propensity is None
        assert bare.take(np.array([0])).propensity is None
