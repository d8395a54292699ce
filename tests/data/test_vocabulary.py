import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError

ids = st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True, min_size=1)


@given(ids)
def test_encode_is_the_inverse_of_decode(names: list[str]) -> None:
    vocabulary = Vocabulary(names)
    assert vocabulary.decode(range(len(names))) == names
    assert vocabulary.encode(names).tolist() == list(range(len(names)))
    assert vocabulary.encode(pa.array(names)).tolist() == list(range(len(names)))


def test_hash_depends_on_ids_and_their_borders() -> None:
    assert Vocabulary(["ab", "c"]) != Vocabulary(["a", "bc"])
    assert Vocabulary(["a", "b"]) != Vocabulary(["b", "a"])
    assert Vocabulary(["a", "b"]) == Vocabulary(pa.array(["a", "b"]))


def test_wrong_ids_and_numbers_are_named() -> None:
    with pytest.raises(DataError, match="did you mean 'alien'"):
        Vocabulary(["alien", "matrix"]).number("alein", "item")
    with pytest.raises(DataError, match="1 of 2 ids are empty"):
        Vocabulary(pa.array(["a", None]))
    with pytest.raises(DataError, match="only 1 ids"):
        Vocabulary(["a"]).decode([1])
