from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

from zhiyin.config import Config, Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError, DataError, MissingExtra
from zhiyin.evaluation.compare import compare
from zhiyin.evaluation.tune import space_of, tune
from zhiyin.models.base import Recommender
from zhiyin.run import Run
from zhiyin.splitting.base import Cases, Split
from zhiyin.splitting.leave_last_out import LeaveLastOut
from zhiyin.testing.worlds import tastes


class DialConfig(Config):
    """Settings of `Dial`."""

    right: float = setting(0.1, ge=0, le=1, search=Search(0.0, 1.0))
    """How far the list is the right one; 1 is best."""
    turns: int = setting(3, ge=1, search=Search(1, 8, log=True))
    """Changes nothing."""
    way: Literal["up", "down"] = "up"
    """Whether the dial works."""
    odd: bool = False
    """Makes the model refuse."""
    name: str = "kept"
    """Not searched."""


class Dial(Recommender):
    """Lists the items of the user's group in as far as `right` is high; remembers what it was shown."""

    config: DialConfig
    fitted_on: list[int] = []

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        if self.config.odd:
            raise DataError("odd refuses these data")
        self.fitted_on.append(train.n_events)

    def _score(self, queries: Queries) -> np.ndarray:
        items = np.arange(self.n_items)
        counts = np.zeros((len(queries), 4))
        np.add.at(counts, (queries.histories.owner(), queries.histories.item % 4), 1)
        match = items % 4 == counts.argmax(axis=1)[:, None]
        power = self.config.right if self.config.way == "up" else 0.0
        noise = np.random.default_rng(0).random(self.n_items)
        return (power * match + (1 - power) * noise).astype(np.float32)


def cut(validation: bool = True) -> Split:
    split = LeaveLastOut().split(tastes())
    return split if validation else replace(split, validation=None)


def test_the_search_space_is_read_from_the_settings() -> None:
    assert space_of(DialConfig) == {
        "right": Search(0.0, 1.0),
        "turns": Search(1, 8, log=True),
        "way": ("up", "down"),
        "odd": (False, True),
    }


def test_better_settings_are_found_and_the_default_is_tried_first() -> None:
    found = tune(Dial, cut(), "ndcg@10", trials=15, seed=1)
    assert found.trials[0].settings == {}
    assert found.trials[0].value == found.default_value
    assert len(found.trials) == 15
    assert found.value > found.default_value
    assert found.best["right"] > 0.1
    assert found.value == max(one.value for one in found.trials if one.value is not None)
    assert "name" not in {name for one in found.trials for name in one.settings}


def test_the_result_is_never_worse_than_the_default() -> None:
    space = {"way": ("down",)}
    found = tune(Dial, cut(), trials=3, space=space)
    assert found.value == found.default_value
    assert found.best == {}


def test_failed_trials_are_kept_with_their_reason() -> None:
    found = tune(Dial, cut(), trials=12, space={"odd": (False, True), "right": Search(0, 1)}, seed=2)
    failed = [one for one in found.trials if one.value is None]
    assert failed
    assert all("refuses" in one.error for one in failed)


def test_a_default_that_cannot_run_is_an_error() -> None:
    with pytest.raises(DataError, match="refuses"):
        tune(Dial, cut(), trials=2, settings={"odd": True})


def test_the_test_part_is_never_touched() -> None:
    """Garbage instead of test cases, and instead of everything that holds them, changes nothing."""
    split = cut()
    n = len(split.test)
    nothing = Cases(split.test.queries.take(np.zeros(n, np.int64)), Histories.of_lists([[0]] * n))
    spoiled = replace(split, test=nothing, development=split.train.keep(np.zeros(split.train.n_events, bool)))
    Dial.fitted_on.clear()
    first, second = (tune(Dial, one, trials=6, seed=3) for one in (split, spoiled))
    assert first == second
    assert set(Dial.fitted_on) == {split.train.n_events}


def test_its_numbers_have_a_protocol_of_their_own() -> None:
    found = tune(Dial, cut(), "ndcg@10", trials=1)
    assert found.to_dict()["protocol"]["hash"] == found.protocol.hash
    assert "validation" in found.protocol.fitted_on
    others = [
        tune(Dial, cut(), "ndcg@5", trials=1),
        tune(Dial, cut(), "ndcg@10", trials=1, exclude_seen=False),
        tune(Dial, cut(), "ndcg@10", trials=1, seed=1),
        tune(Dial, LeaveLastOut(minimum_history=8).split(tastes()), "ndcg@10", trials=1),
    ]
    assert len({one.protocol.hash for one in (found, *others)}) == 5
    assert compare(tastes(), [Dial], cut(), ["ndcg@10"]).protocol.hash != found.protocol.hash


def test_same_seed_same_search_and_threads_change_nothing() -> None:
    first, second = (tune(Dial, cut(), trials=6, seed=4, run=Run(threads=threads)) for threads in (1, 2))
    assert first == second
    assert tune(Dial, cut(), trials=6, seed=5).trials != first.trials


def test_fixed_settings_stay_fixed() -> None:
    found = tune(Dial, cut(), trials=5, settings={"way": "down"})
    assert all(one.settings["way"] == "down" for one in found.trials)
    assert found.best["way"] == "down"


def test_whole_numbers_stay_whole() -> None:
    found = tune(Dial, cut(), trials=6, space={"turns": Search(1, 8, log=True)})
    assert all(isinstance(one.settings["turns"], int) for one in found.trials[1:])


def test_a_real_model_by_name_on_a_dataset() -> None:
    found = tune("ease", tastes(n_users=300), trials=4, metric="recall@5", split="leave_last_out")
    assert found.model == "ease"
    assert found.metric == "recall@5"
    assert found.to_dict()["trials"][0]["settings"] == {}


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ConfigError, match="no validation part"):
        tune(Dial, cut(validation=False))
    with pytest.raises(ConfigError, match="did you mean 'right'"):
        tune(Dial, cut(), space={"rigt": Search(0, 1)})
    with pytest.raises(ConfigError, match="no good direction"):
        tune(Dial, cut(), "popularity_share@10")
    with pytest.raises(ConfigError, match="at least one"):
        tune(Dial, cut(), trials=0)
    with pytest.raises(ConfigError, match="Dial declares no settings to search"):
        tune(Dial, cut(), space={})


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r'pip install "zhiyin\[tune\]"'):
        tune(Dial, cut(), trials=1)


def test_what_cannot_be_tuned_says_why() -> None:
    with pytest.raises(ConfigError, match="Random declares no settings to search"):
        tune("random", tastes(), split="user_holdout")
    with pytest.raises(ConfigError, match="rmse does not judge recommended lists"):
        tune("svd", tastes(), "rmse", split="user_holdout")


def test_settings_that_do_not_go_together_are_no_trials() -> None:
    found = tune("item_knn", tastes(), trials=12, split="user_holdout")
    refused = [one.error for one in found.trials if "weighting" in one.error and "not for" in one.error]
    assert not refused
    assert len(found.trials) == 12
