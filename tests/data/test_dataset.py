from pathlib import Path

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import DataError
from zhiyin.testing.worlds import tastes


def test_a_saved_dataset_comes_back_memory_mapped(tmp_path: Path) -> None:
    world = tastes()
    loaded = Dataset.load(world.save(tmp_path / "d"))
    assert isinstance(loaded.histories.item, np.memmap)
    assert loaded.content_hash == world.content_hash
    assert loaded.items == world.items
    assert loaded.users == world.users
    assert loaded.item_table.equals(world.item_table)
    for name, column in world.histories.columns().items():
        np.testing.assert_array_equal(column, loaded.histories.columns()[name])


def test_the_content_hash_sees_every_part() -> None:
    world = tastes()
    seen = {world.content_hash}
    for name, column in world.histories.columns().items():
        changed = column.copy()
        changed[0] += 1
        seen.add(
            world.with_histories(
                Histories(world.histories.offsets, **{**world.histories.columns(), name: changed})
            ).content_hash
        )
    seen.add(
        Dataset.of(
            world.histories, world.item_table.slice(0, world.n_items), [f"x{one}" for one in range(world.n_users)]
        ).content_hash
    )
    seen.add(Dataset.of(world.histories, world.item_table, world.user_table, clock="position").content_hash)
    assert len(seen) == 6
    assert tastes().content_hash == world.content_hash


def test_keep_shares_users_and_items() -> None:
    world = tastes()
    half = world.keep(np.arange(world.n_events) % 2 == 0)
    assert half.n_events == (world.n_events + 1) // 2
    assert half.items is world.items
    assert half.n_users == world.n_users


def test_what_is_not_known_of_time_is_said() -> None:
    world = Dataset.of(Histories.of_lists([[0, 1]]), ["a", "b"], clock="position")
    world.need("position", "this")
    with pytest.raises(DataError, match="only the order inside each history"):
        world.need("time", "this")
    with pytest.raises(DataError, match="not even the order"):
        Dataset.of(Histories.of_lists([[0]]), ["a"], clock="none").need("time", "this")


def test_wrong_folders_and_users_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a prepared dataset"):
        Dataset.load(tmp_path)
    with pytest.raises(DataError, match="did you mean 'u0001'"):
        tastes().query_of("u00001")
    with pytest.raises(DataError, match="without times"):
        Dataset.of(Histories.of_lists([[0]]), ["a"], clock="time")
    with pytest.raises(DataError, match="1 histories came with 2 users"):
        Dataset.of(Histories.of_lists([[0]]), ["a"], ["x", "y"])


@pytest.mark.parametrize("damage", ["manifest.json", "events/item.npy", "events/offsets.npy"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    folder = tastes().save(tmp_path / "d")
    (folder / damage).write_bytes(b"broken")
    with pytest.raises(DataError, match="damaged"):
        Dataset.load(folder)


def test_a_memory_mapped_dataset_works_like_one_in_memory(tmp_path: Path) -> None:
    world = tastes()
    loaded = Dataset.load(world.save(tmp_path / "d"))
    ours, theirs = world.histories.matrix(world.n_items), loaded.histories.matrix(world.n_items)
    np.testing.assert_array_equal(ours.toarray(), theirs.toarray())
    assert loaded.queries(np.array([3])).histories.item.tolist() == world.histories.of(3).tolist()


@pytest.mark.parametrize("table", ["items.parquet", "users.parquet"])
def test_a_lost_or_damaged_table_is_named(tmp_path: Path, table: str) -> None:
    folder = tastes().save(tmp_path / "d")
    (folder / table).write_bytes((folder / table).read_bytes()[:60])
    with pytest.raises(DataError, match=f"{table} is damaged"):
        Dataset.load(folder)
    (folder / table).unlink()
    with pytest.raises(DataError, match=f"{table} is missing; prepare the dataset anew"):
        Dataset.load(folder)


def test_a_manifest_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = tastes().save(tmp_path / "d")
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(DataError, match="format None"):
        Dataset.load(folder)


def test_queries_of_users_by_number_and_by_id() -> None:
    dataset = Dataset.of(Histories.of_lists([[0], [1, 0], [1]]), ["a", "b"], ["u", "v", "w"])
    assert dataset.queries(["w", "v"]).histories.of(1).tolist() == [1, 0]
    assert dataset.queries([2, 1]).users == dataset.queries(["w", "v"]).users == ("w", "v")
    assert len(dataset.queries([])) == 0
    with pytest.raises(DataError, match="did you mean"):
        dataset.queries(["u", "vv"])
    with pytest.raises(DataError, match="users 1 to 3 came"):
        dataset.queries([1, 3])
