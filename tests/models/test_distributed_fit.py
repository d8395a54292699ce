"""The same script under torchrun: a model that two processes fit is the one that one process fits.

torchrun is started once; its two processes work through every scenario below (`work`) and write down what they saw.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zhiyin import models
from zhiyin.errors import ConfigError
from zhiyin.models.sasrec import SASRec
from zhiyin.run import Run
from zhiyin.splitting import LeaveLastOut
from zhiyin.splitting.base import Split
from zhiyin.testing.recommenders import raises
from zhiyin.testing.worlds import tastes

pytest.importorskip("torch")

Seen = dict[str, Any]

SMALL: dict[str, Any] = {
    "embedding_size": 16,
    "n_layers": 1,
    "max_length": 12,
    "epochs": 3,
    "batch_size": 64,
    "learning_rate": 0.01,
    "average": 0.9,
    "dropout": 0.0,
    "blind": 0.0,
}

SCENARIOS: dict[str, dict[str, Any]] = {
    "softmax": {"loss": "softmax"},
    "sampled": {"loss": "sampled_softmax", "n_negatives": 32, "negatives": "mixed"},
    "codes": {"loss": "sampled_softmax", "n_negatives": 32, "codes": 4},
    "generated": {"model": "tiger", "text": "none", "company": 1.0, "loss": "sampled_softmax", "n_negatives": 32},
    "told": {"loss": "softmax", "features": ("position", "wait", "value"), "item_features": ("categories",)},
}
"""Where nothing is drawn event by event."""

DRAWN = {"loss": "softmax", "dropout": 0.3, "blind": 0.2, "features": ("position", "value")}
"""Where each process draws for its own events."""


@cache
def split(seed: int = 0) -> Split:
    return LeaveLastOut().split(tastes(n_users=60, n_items=40, seed=seed))


def learn(run: Run, model: str = "sasrec", **options: Any) -> Any:
    """What a script for torchrun does."""
    return models.get(model)(**{**SMALL, **options}).fit(split().train, split().validation, run)


def outcome(**options: Any) -> Seen:
    """What a fit came to, in plain values."""
    run, queries = Run(seed=3, threads=1), split().development.queries()
    model = learn(run, **options)
    found = model.recommend(queries, k=5, run=run)
    return {
        "losses": [one.loss for one in model.trained.epochs],
        "measured": [one.measured for one in model.trained.epochs],
        "best_epoch": model.trained.best_epoch,
        "items": found.items.tolist(),
        "scores": model.score(queries, model.vocabulary.ids.to_pylist(), run).tolist(),
        "weights": fingerprint(model),
    }


def fingerprint(model: SASRec) -> str:
    """Another one for weights that differ in a single bit."""
    found = hashlib.sha256()
    for one in model.net.state_dict().values():
        found.update(np.ascontiguousarray(one.numpy()).data)
    return found.hexdigest()


def work(folder: Path) -> None:
    """Work through the scenarios as the rank that torchrun says."""
    from zhiyin.nn.distributed import world

    rank = int(os.environ["RANK"])
    seen: Seen = {name: outcome(**options) for name, options in SCENARIOS.items()}
    seen["size"] = world().size
    seen["drawn"] = outcome(**DRAWN)
    seen["kept"] = kept(folder / f"checkpoint{rank}")
    seen["refused"] = {
        "settings": raises(ConfigError, lambda: learn(Run(), epochs=1 + rank)),
        "seed": raises(ConfigError, lambda: learn(Run(seed=rank))),
        "checkpoint": raises(ConfigError, lambda: learn(Run(checkpoint=folder / "lonely" if rank else None))),
        "data": raises(ConfigError, lambda: SASRec(**SMALL).fit(split(rank).train)),
        "validation": raises(
            ConfigError, lambda: SASRec(**SMALL).fit(split().train, split().validation if rank else None)
        ),
    }
    seen["after"] = outcome(**SCENARIOS["softmax"])["weights"]
    (folder / f"{rank}.json").write_text(json.dumps(seen), encoding="utf-8")


def kept(checkpoint: Path) -> Seen:
    """A fit that keeps itself."""
    told: list[int] = []
    model = learn(Run(checkpoint=checkpoint, watch=lambda epoch: told.append(epoch.epoch)))
    return {"told": told, "wrote": checkpoint.exists(), "weights": fingerprint(model)}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the two processes left what they saw."""
    from zhiyin.nn.distributed import TIMEOUT

    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    env = {**os.environ, "OMP_NUM_THREADS": "1", TIMEOUT: "60", "TMPDIR": str(folder)}
    started = subprocess.Popen(
        [*command, str(folder)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = started.communicate(timeout=180)
    finally:
        started.terminate()  # torchrun ends its processes with itself
        started.wait(30)
    assert started.returncode == 0, said
    return folder


@pytest.fixture(scope="module")
def both(ranks: Path) -> list[Seen]:
    """What the two processes saw."""
    return [json.loads((ranks / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


def test_torchrun_starts_two_that_know_of_each_other(both: list[Seen]) -> None:
    assert [one["size"] for one in both] == [2, 2]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_processes_fit_the_model_that_one_fits(both: list[Seen], scenario: str) -> None:
    wanted = outcome(**SCENARIOS[scenario])
    assert wanted["losses"][-1] < wanted["losses"][0]
    assert len(np.unique(wanted["items"])) > 5
    for seen in (one[scenario] for one in both):
        np.testing.assert_allclose(seen["losses"], wanted["losses"], rtol=1e-4)
        np.testing.assert_allclose(seen["measured"], wanted["measured"], atol=0.005)  # near ties may change places
        assert seen["best_epoch"] == wanted["best_epoch"]
        np.testing.assert_allclose(seen["scores"], wanted["scores"], rtol=1e-3, atol=1e-3)
        assert np.equal(seen["items"], wanted["items"]).mean() > 0.98
    assert both[0][scenario] == both[1][scenario]


def test_with_dropout_both_end_with_one_model_that_has_learnt_as_much(both: list[Seen]) -> None:
    first, second = (one["drawn"] for one in both)
    alone = outcome(**DRAWN)
    assert first == second
    assert first["weights"] != alone["weights"]
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=0.1)


def test_what_two_processes_kept_is_taken_up_by_one(both: list[Seen], ranks: Path) -> None:
    first, second = (one["kept"] for one in both)
    assert (first["wrote"], second["wrote"]) == (True, False)
    assert (first["told"], second["told"]) == ([1, 2, 3], [])
    alone = kept(ranks / "checkpoint0")
    assert alone["told"] == []
    assert first["weights"] == second["weights"] == alone["weights"]


@pytest.mark.parametrize("what", ["settings", "seed", "checkpoint", "data", "validation"])
def test_processes_that_were_given_different_things_are_refused(both: list[Seen], what: str) -> None:
    for rank, seen in enumerate(both):
        said = seen["refused"][what]
        assert said.startswith("rank 1 of 2 was given other settings, data, seed or checkpoint than rank")
        assert f"this is rank {rank}" in said


def test_after_a_refusal_both_can_still_train(both: list[Seen]) -> None:
    assert {one["after"] for one in both} == {both[0]["softmax"]["weights"]}


if __name__ == "__main__":
    work(Path(sys.argv[1]))
