"""A saved thing is whole or not there, whatever happens while it is written."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from zhiyin.artifacts import check_free, load_arrays, new_folder, read_json, save_arrays, to_json, write_text
from zhiyin.errors import DataError


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "thing"
    with new_folder(target) as work:
        (work / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert [one.name for one in tmp_path.iterdir()] == ["thing"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_folder_and_no_crumbs(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "thing"
    with new_folder(target) as work:
        (work / "manifest.json").write_text("old")

    def fail() -> None:
        with new_folder(target, overwrite=True) as work:
            (work / "manifest.json").write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert (target / "manifest.json").read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["thing"]


def test_what_is_there_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    target = tmp_path / "thing"
    target.mkdir()
    with pytest.raises(DataError, match="is there already"), new_folder(target):
        pass
    for text in ("new", "newer"):  # first over an empty folder, then over one that holds what zhiyin wrote
        with new_folder(target, overwrite=True, mark="config.json") as work:
            (work / "config.json").write_text(text)
        assert (target / "config.json").read_text() == text


def test_what_zhiyin_did_not_write_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "photos"
    target.mkdir()
    (target / "holiday.jpg").write_text("irreplaceable")
    with pytest.raises(DataError, match=r"holds no manifest\.json"), new_folder(target, overwrite=True):
        pass
    (target / "manifest.json").write_text("a dataset")
    with (
        pytest.raises(DataError, match=r"holds no report\.json"),
        new_folder(target, overwrite=True, mark="report.json"),
    ):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        check_free(tmp_path / "file", overwrite=True)
    assert (target / "holiday.jpg").read_text() == "irreplaceable"


def test_of_two_writers_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    target, barrier, told = tmp_path / "thing", threading.Barrier(2), []

    def write(text: str) -> None:
        try:
            with new_folder(target) as work:
                (work / "a").write_text(text)
                (work / "b").write_text(text)
                barrier.wait()
        except DataError as error:
            told.append(str(error))

    threads = [threading.Thread(target=write, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert "somebody else" in told[0]
    assert (target / "a").read_text() == (target / "b").read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"), new_folder(tmp_path / "file" / "below"):
        pass
    with pytest.raises(DataError, match="cannot write"):
        write_text(tmp_path / "file" / "below", "text")
    for folder in (tmp_path, Path()):
        with pytest.raises(DataError, match="it is a folder; name a file in it"):
            write_text(folder, "text")


def test_ctrl_c_between_the_two_renames_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, usual = tmp_path / "thing", Path.rename
    with new_folder(target) as work:
        (work / "config.json").write_text("old")

    def interrupted(self: Path, to: Path) -> Path:
        if to == target and self.name != "it":
            raise KeyboardInterrupt
        return usual(self, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), new_folder(target, overwrite=True) as work:
        (work / "config.json").write_text("new")
    assert (target / "config.json").read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["thing"]


def test_arrays_that_a_disk_refuses_end_in_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*thing.*half-written"), new_folder(tmp_path / "thing") as work:
        save_arrays(work / "missing" / "arrays.safetensors", {"a": np.ones(3)})
    assert list(tmp_path.iterdir()) == []


def test_json_takes_numpy_and_refuses_nan(tmp_path: Path) -> None:
    text = to_json({"b": np.float32(0.5), "a": np.arange(2), "c": Path("x"), "名": "知音"})
    assert text.startswith('{\n  "a": [')
    assert "知音" in text
    with pytest.raises(ValueError, match="JSON"):
        to_json({"a": float("nan")})
    with pytest.raises(TypeError, match="set"):
        to_json({"a": {1}})
    write_text(tmp_path / "x.json", text)
    assert read_json(tmp_path / "x.json")["b"] == 0.5


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        read_json(tmp_path / "x.json")
    with pytest.raises(DataError, match="missing"):
        load_arrays(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"12345678901234567890")
    with pytest.raises(DataError, match="damaged"):
        load_arrays(tmp_path / "x.safetensors")


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x", {"a": np.arange(6).reshape(2, 3)[:, ::2], "empty": np.zeros((0, 4), np.float32)})
    found = load_arrays(tmp_path / "x")
    np.testing.assert_array_equal(found["a"], [[0, 2], [3, 5]])
    assert found["empty"].shape == (0, 4)


@pytest.mark.skipif(os.name != "posix", reason="there, files have no such permissions")
def test_arrays_may_be_read_by_whom_the_system_lets(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    save_arrays(tmp_path / "arrays", {"a": np.zeros(3)})
    assert (tmp_path / "arrays").stat().st_mode == (tmp_path / "other").stat().st_mode
