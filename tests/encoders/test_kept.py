import json
from pathlib import Path

import numpy as np
import pytest

from zhiyin.encoders import _kept
from zhiyin.encoders._kept import KeptVectors, digest
from zhiyin.encoders._places import Index
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


# ---------------------------------------------------------------------- crashes, other processes, disks that refuse


def test_half_written_files_of_others_are_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, [1])
    keys = next(tmp_path.glob("*.keys.npy"))
    (tmp_path / ".9-9.keys.npy").write_bytes(keys.read_bytes()[:-3])
    assert KeptVectors(ABOUT, tmp_path).missing(keys_of([1, 2])) == [1]
    assert not caplog.text


def test_a_folder_of_half_written_files_alone_is_empty(tmp_path: Path) -> None:
    (tmp_path / ".encoder.json.123").write_text("{")
    assert filled(tmp_path, [1]).missing(keys_of([1])) == []
    assert KeptVectors(ABOUT, tmp_path).missing(keys_of([1])) == []


def test_what_another_process_writes_while_the_folder_is_opened_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(folder: Path) -> bool:
        monkeypatch.undo()
        filled(folder, [1])
        return True

    monkeypatch.setattr(_kept, "_holds_something", meanwhile)
    assert KeptVectors(ABOUT, tmp_path).missing(keys_of([1, 2])) == [1]


def test_two_encoders_that_begin_at_once_do_not_mix(tmp_path: Path) -> None:
    other = KeptVectors({**ABOUT, "settings": {"size": 5}}, tmp_path)
    filled(tmp_path, [1])
    with pytest.raises(DataError, match="another encoder"):
        other.add(keys_of([2]), vectors_of([2]))
    assert json.loads((tmp_path / "encoder.json").read_text()) == ABOUT


def test_a_folder_that_is_not_needed_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("mine")
    kept = KeptVectors(ABOUT, tmp_path / "file" / "kept", needed=False)
    for numbers in ([1, 2], [3]):
        kept.add(keys_of(numbers), vectors_of(numbers))
        kept.write()
    np.testing.assert_array_equal(kept.get(keys_of([3, 1, 2])), vectors_of([3, 1, 2]))
    assert caplog.text.count("no vectors are kept on the disk") == 1
    caplog.clear()
    KeptVectors(ABOUT, tmp_path, needed=False)  # which holds something else
    assert "holds no kept vectors" in caplog.text


def test_a_disk_that_is_full_later_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise DataError("cannot keep vectors: no space left on device")

    kept = KeptVectors(ABOUT, tmp_path, needed=False)
    kept.add(keys_of([1]), vectors_of([1]))
    kept.write()
    monkeypatch.setattr(_kept, "_write_pair", full)
    kept.add(keys_of([2]), vectors_of([2]))
    kept.write()
    np.testing.assert_array_equal(kept.get(keys_of([2, 1])), vectors_of([2, 1]))
    assert "no space left" in caplog.text
    needed = KeptVectors(ABOUT, tmp_path)
    needed.add(keys_of([3]), vectors_of([3]))
    with pytest.raises(DataError, match="no space left"):
        needed.write()


def test_files_that_are_taken_away_meanwhile_are_missed(tmp_path: Path) -> None:
    kept = filled(tmp_path, [1, 2])
    for one in tmp_path.glob("*.npy"):
        one.unlink()
    with pytest.raises(DataError, match="not there any more"):
        kept.get(keys_of([1]))


# ---------------------------------------------------------------------- many small files


@pytest.fixture
def crumbs(tmp_path: Path) -> Path:
    """A folder of 29 pairs of 3 vectors each, of the numbers 0 to 59; 0 to 8 are there four times."""
    for start in range(0, 60, 3):
        filled(tmp_path, [start, start + 1, start + 2])
    for _ in range(3):
        for start in range(0, 9, 3):
            one = KeptVectors(ABOUT, tmp_path)
            one._index = Index()  # as if it had not seen them, like a process at the same time
            one.add(keys_of([start, start + 1, start + 2]), vectors_of([start, start + 1, start + 2]))
            one.write()
    return tmp_path


def pairs(folder: Path) -> list[int]:
    """How many vectors each pair has."""
    assert len(list(folder.iterdir())) == 1 + 2 * len(list(folder.glob("*.keys.npy")))
    return [len(np.load(one)) for one in folder.glob("*.keys.npy")]


def test_many_small_pairs_are_merged_when_the_folder_is_opened(crumbs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(pairs(crumbs)) == 29
    before = KeptVectors(ABOUT, crumbs)
    monkeypatch.setattr(_kept, "MOST_SMALL", 10)
    monkeypatch.setattr(_kept, "MERGED_BYTES", 4 * 4 * 24)
    after = KeptVectors(ABOUT, crumbs)
    assert sorted(pairs(crumbs)) == [12, 24, 24]  # each vector once
    order = np.random.default_rng(0).permutation(60).tolist()
    for one in (after, before, KeptVectors(ABOUT, crumbs)):  # also who was there before
        assert one.missing(keys_of([*order, 60])) == [60]
        np.testing.assert_array_equal(one.get(keys_of(order)), vectors_of(order))
    assert sorted(pairs(crumbs)) == [12, 24, 24]  # each vector once


def test_a_folder_that_cannot_be_merged_is_read_all_the_same(crumbs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DataError("the disk is read-only")

    monkeypatch.setattr(_kept, "MOST_SMALL", 10)
    monkeypatch.setattr(_kept, "_write_pair", refuse)
    np.testing.assert_array_equal(KeptVectors(ABOUT, crumbs).get(keys_of([59, 0, 7])), vectors_of([59, 0, 7]))
    assert len(pairs(crumbs)) == 29


def test_keys_are_sorted_once_when_a_folder_is_opened(crumbs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_now, add = [], Index.add

    def seen(index: Index, keys: np.ndarray, places: np.ndarray) -> None:
        sorted_now.append(len(places))
        add(index, keys, places)

    monkeypatch.setattr(Index, "add", seen)
    KeptVectors(ABOUT, crumbs)
    assert sorted_now == [87]


def test_an_index_finds_what_a_dictionary_finds() -> None:
    rng = np.random.default_rng(0)
    index, right = Index(), {}
    for _ in range(40):
        numbers = rng.choice(10**6, int(rng.integers(1, 30)), replace=False)
        new = [number for number in numbers.tolist() if number not in right]
        places = len(right) + np.arange(len(new))
        index.add(np.frombuffer(b"".join(keys_of(new)), np.uint8), places)
        right.update(zip(new, places.tolist(), strict=True))
    assert len(index._runs) <= 12
    asked = [*right, *range(10**6, 10**6 + 50)]
    found = index.find(np.frombuffer(b"".join(keys_of(asked)), np.uint8))
    assert found.tolist() == [right.get(number, -1) for number in asked]
