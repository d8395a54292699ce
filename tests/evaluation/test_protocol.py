from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.errors import DataError, LeakageError
from zhiyin.evaluation.protocol import Protocol, split_hash
from zhiyin.splitting.leave_last_out import LeaveLastOut
from zhiyin.testing.worlds import tastes


def protocol(**changes: Any) -> Protocol:
    world = changes.pop("world", None) or tastes()
    split = changes.pop("cut", None) or LeaveLastOut().split(world)
    made = Protocol.of(world, split, ("ndcg@10", "recall@10"), 10, True, (0,))
    return replace(made, **changes)


def test_equal_ingredients_have_equal_hashes() -> None:
    assert protocol().hash == protocol().hash
    assert len(protocol().hash) == 12


@pytest.mark.parametrize(
    "change",
    [
        {"content_hash": "other"},
        {"split": "global_time"},
        {"settings": {"quantile": 0.8}},
        {"split_hash": "other"},
        {"ties": "shuffle"},
        {"k": 20},
        {"exclude_seen": False},
        {"metrics": ("ndcg@10",)},
        {"metrics": ("recall@10", "ndcg@10")},
        {"fitted_on": "train"},
        {"seeds": (1,)},
        {"seeds": (0, 1)},
        {"version": 2},
    ],
    ids=str,
)
def test_every_ingredient_changes_the_hash(change: dict[str, Any]) -> None:
    assert protocol(**change).hash != protocol().hash


def test_the_name_of_the_data_does_not_change_the_hash() -> None:
    assert protocol(data="another name").hash == protocol().hash


def test_the_data_and_the_split_change_the_hash() -> None:
    assert protocol(world=tastes(seed=1)).hash != protocol().hash
    other = LeaveLastOut(minimum_history=8).split(tastes())
    assert protocol(cut=other).hash != protocol().hash


def test_a_split_made_by_hand_is_told_apart_though_its_name_and_settings_are_the_same() -> None:
    split = LeaveLastOut().split(tastes())
    fewer = replace(split, test=split.test.take(np.arange(50)))
    less = replace(split, development=split.train)
    assert len({split_hash(one) for one in (split, fewer, less)}) == 3


def test_it_survives_json_and_tells_when_it_was_changed() -> None:
    made = protocol()
    assert Protocol.from_dict(made.to_dict()) == made
    with pytest.raises(DataError, match="edited"):
        Protocol.from_dict({**made.to_dict(), "k": 5})
    with pytest.raises(DataError, match="lacks seeds"):
        Protocol.from_dict({name: value for name, value in made.to_dict().items() if name != "seeds"})


def test_numbers_of_different_protocols_are_refused_and_the_difference_is_named() -> None:
    protocol().require(protocol(data="renamed"))
    with pytest.raises(LeakageError, match="k: 10 against 5"):
        protocol().require(protocol(k=5))


def test_the_sentence_names_what_matters() -> None:
    said = protocol().sentence()
    for part in ("tastes", "leave_last_out", "ties stable", "top 10", "left out", "development", protocol().hash):
        assert part in said


def test_a_saved_dataset_has_the_hash_of_the_one_in_memory(tmp_path: Any) -> None:
    world = tastes()
    again = Dataset.load(world.save(tmp_path / "data"))
    assert protocol(world=again).hash == protocol().hash
