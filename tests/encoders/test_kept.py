import json
from pathlib import Path

import numpy as np
import pytest

from zhiyin.encoders import _kept
from zhiyin.encoders._kept import KeptVectors, digest
from zhiyin.errors import DataError

ABOUT = {"encoder": "test", "settings": {"size": 4}}


def keys_of(numbers: list[int]) -> list[bytes]:
    return [digest(str(number).encode()) for number in numbers]


def vectors_of(numbers: list[int], width: int = 4) -> np.ndarray:
    return np.array([[number + place / 10 for place in range(width)] for number in numbers], np.float32)


def filled(folder: Path | None, numbers: list[int]) -> KeptVectors:
    kept = KeptVectors(ABOUT, folder)
    kept.add(keys_of(numbers), vectors_of(numbers))
    kept.write()
    return kept


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_kept_is_found(tmp_path: Path, on_disk: bool) -> None:
    kept = filled(tmp_path if on_disk else None, [3, 1, 2])
    kept.add(keys_of([9]), vectors_of([9]))  # not written yet
    assert kept.missing(keys_of([1, 7, 9, 7, 3, 8])) == [1, 5]
    np.testing.assert_array_equal(kept.get(keys_of([2, 9, 3, 2])), vectors_of([2, 9, 3, 2]))
    if on_disk:
        again = KeptVectors(ABOUT, tmp_path)
        assert again.missing(keys_of([1, 2, 3, 9])) == [3]
        np.testing.assert_array_equal(again.get(keys_of([1, 2, 3])), vectors_of([1, 2, 3]))


def test_many_parts_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kept, "MOST_ROWS", 7)
    kept = KeptVectors(ABOUT, tmp_path)
    order = np.random.default_rng(0).permutation(200).tolist()
    for start in range(0, 200, 5):
        kept.add(keys_of(order[start : start + 5]), vectors_of(order[start : start + 5]))
    kept.write()
    assert len(list(tmp_path.glob("*.keys.npy"))) > 10
    for one in (kept, KeptVectors(ABOUT, tmp_path)):
        assert one.missing(keys_of([*range(200), 777])) == [200]
        np.testing.assert_array_equal(one.get(keys_of(list(range(200)))), vectors_of(list(range(200))))


def test_two_writers_share_a_folder(tmp_path: Path) -> None:
    one, other = KeptVectors(ABOUT, tmp_path), KeptVectors(ABOUT, tmp_path)
    for kept, numbers in ((one, [1, 2]), (other, [2, 3])):
        kept.add(keys_of(numbers), vectors_of(numbers))
        kept.write()
    np.testing.assert_array_equal(KeptVectors(ABOUT, tmp_path).get(keys_of([1, 2, 3])), vectors_of([1, 2, 3]))


@pytest.mark.parametrize("part", ["keys", "vectors"])
def test_damaged_files_are_left_out(tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, [1, 2])
    filled(tmp_path, [3])
    first = sorted(tmp_path.glob(f"*.{part}.npy"))[0]
    first.write_bytes(first.read_bytes()[:-8])
    again = KeptVectors(ABOUT, tmp_path)
    assert again.missing(keys_of([1, 2, 3])) == [0, 1]
    assert "damaged" in caplog.text


def test_a_half_written_pair_is_not_seen(tmp_path: Path) -> None:
    filled(tmp_path, [1])
    next(tmp_path.glob("*.keys.npy")).unlink()
    assert KeptVectors(ABOUT, tmp_path).missing(keys_of([1])) == [0]


def test_vectors_of_another_length_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, [1])
    other = KeptVectors(ABOUT, tmp_path)
    other._width = None
    other.add(keys_of([2]), vectors_of([2], width=5))
    other.write()
    assert KeptVectors(ABOUT, tmp_path).missing(keys_of([1, 2])) == [1]
    assert "length 5" in caplog.text


def test_the_vectors_of_another_encoder_are_refused(tmp_path: Path) -> None:
    filled(tmp_path, [1])
    with pytest.raises(DataError, match=r"another encoder.*settings.*'size': 4.*'size': 5"):
        KeptVectors({**ABOUT, "settings": {"size": 5}}, tmp_path)


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds no kept vectors"):
        KeptVectors(ABOUT, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DataError, match="cannot write"):
        filled(tmp_path / "thesis.txt" / "kept", [1])


def test_no_text_is_kept(tmp_path: Path) -> None:
    filled(tmp_path, [1])
    assert json.loads((tmp_path / "encoder.json").read_text()) == ABOUT
