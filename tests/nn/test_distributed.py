"""Two processes that train together give what one gives.

The two are started once, work through every scenario below (`work`), and write down what they saw.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zhiyin.errors import ConfigError, DataError, ZhiyinError
from zhiyin.nn import distributed
from zhiyin.nn.batches import BatchMaker
from zhiyin.nn.distributed import World, own_device, world
from zhiyin.nn.encoder import TransformerEncoder
from zhiyin.nn.items import PlainItems
from zhiyin.nn.losses import sampled_loss
from zhiyin.nn.negatives import NegativeSampler
from zhiyin.nn.reading import Reading
from zhiyin.nn.training import Epoch, Plan, Training
from zhiyin.run import Run
from zhiyin.testing.worlds import tastes

PLAN = Plan(epochs=2, learning_rate=1e-3, schedule="cosine", warmup=0.5, clip=0.5, average=0.9, regularization=0.1)
DATA = tastes(n_users=24, n_items=30)

Seen = dict[str, Any]


# ---------------------------------------------------------------------- what is trained


def real(sparse: bool, plan: Plan = PLAN, **options: Any) -> Training:
    """A transformer without dropout, which answers an uneven part of the events."""
    torch.manual_seed(0)
    reading = Reading.fit(["position"], 8, DATA.histories, 0)
    net = TransformerEncoder(PlainItems(30, 8, sparse), 8, reading.sizes, n_layers=1, dropout=0.0, max_length=8)
    maker = BatchMaker(reading, 8)
    sampler = NegativeSampler("uniform", DATA.popularity, 10)
    answers = DATA.histories.owner() % 3 != 0  # of some windows nothing is asked
    others = world()

    def loss(windows: Any, generator: np.random.Generator) -> tuple[Tensor, int, int]:
        batch = maker.training(DATA.histories, windows, others.own(generator), answers)
        assert batch.target is not None
        assert batch.places is not None
        states, drawn = net(batch).index_select(0, batch.places), sampler.draw(generator, batch.target)
        items = net.items(batch.target), net.items(drawn.items)
        return sampled_loss(states, *items, batch.target, drawn), batch.n_events, len(batch.target)

    return Training(net, lambda g: maker.epoch(DATA.histories, 60, g), loss, None, plan, Run(), **options)


class Toy(nn.Module):
    """A table, of which a step uses what it is asked for, and a weight that nothing uses."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.table = PlainItems(12, 4, sparse)
        self.unused = nn.Parameter(torch.ones(3))
        nn.init.normal_(self.table.weight)


def toy(
    windows: list[np.ndarray],
    run: Run,
    *,
    sparse: bool = False,
    whole: bool = False,
    measure: Callable[[], float] | None = None,
    each: Callable[[np.random.Generator], None] = lambda _: None,
    epochs: int = 3,
    watch: Callable[[Epoch], None] | None = None,
) -> Training:
    """Move rows of a table to 1."""
    torch.manual_seed(1)
    net = Toy(sparse)
    steps: list[int] = []

    def batches(_: np.random.Generator) -> list[np.ndarray]:
        steps.clear()
        return windows

    def loss(batch: Any, generator: np.random.Generator) -> tuple[Tensor, int]:
        if len(steps) < len(windows):  # after them, the first rank alone looks at the last batch once more
            steps.append(1)
            each(generator)
        rows = torch.as_tensor(batch)
        found = net.table.all()[rows] if whole else net.table(rows)
        return (found - 1).square().sum(1).mean(), len(batch)

    plan = Plan(epochs=epochs, learning_rate=0.05, regularization=0.1)
    return Training(net, batches, loss, measure, plan, run, watch=watch)


ROWS = [np.array([1, 2, 2, 3, 9]), np.array([4]), np.array([5, 1, 7])]
"""Batches; the second has nothing for the other rank."""


def outcome(training: Training) -> Seen:
    """What a training came to, in plain values."""
    trained = training.go()
    weights = {name: one.flatten().tolist() for name, one in training.net.state_dict().items()}
    return {
        "losses": [one.loss for one in trained.epochs],
        "events": [one.events for one in trained.epochs],
        "best": trained.best if trained.best_epoch else None,
        "best_epoch": trained.best_epoch,
        "weights": weights,
    }


# ---------------------------------------------------------------------- what each of the two processes does


def work(folder: Path) -> None:
    """Work through the scenarios as the rank that the environment says."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    seen: Seen = {"rank": world().rank, "size": world().size, "again": world().size}
    seen["dense"], seen["sparse"] = outcome(real(sparse=False)), outcome(real(sparse=True))
    seen["few"] = outcome(toy(ROWS, Run()))
    seen["few sparse"] = outcome(toy(ROWS, Run(), sparse=True))
    seen["few whole"] = outcome(toy(ROWS, Run(), sparse=True, whole=True))
    seen["drawn"] = drawn()
    seen["watched"] = watched(rank)
    seen["resumed"] = resumed(folder / f"checkpoint{rank}", rank)
    seen["failed"] = failure(lambda: toy(ROWS, Run(), each=failing(rank)).go())
    seen["unmeasured"] = failure(lambda: toy(ROWS, Run(), measure=broken).go())
    seen["refused"] = failure(lambda: toy(ROWS, Run(seed=rank)).go())
    seen["damaged"] = failure(lambda: toy(ROWS, Run(checkpoint=no_checkpoint(folder / f"other{rank}"))).go())
    seen["gathered"] = world().gather(torch.arange(3 * rank).reshape(-1, 1) + 1).tolist()
    seen["alone"] = alone(rank)
    (folder / f"{rank}.json").write_text(json.dumps(seen), encoding="utf-8")


def drawn() -> Seen:
    """What is drawn in each step: by all alike, by each rank, and for dropout."""
    found: Seen = {"shared": [], "own": [], "torch": []}

    def draw(generator: np.random.Generator) -> None:
        found["own"].append(world().own(generator).random())
        found["shared"].append(generator.random())
        found["torch"].append(float(torch.rand(1)))

    toy(ROWS, Run(), each=draw).go()
    return found


class Bar:
    """A progress bar that counts what is shown."""

    shown = 0

    def track(self, steps: Iterable[Any], total: int | None, description: str) -> Iterator[Any]:
        for step in steps:
            self.shown += 1
            yield step


def watched(rank: int) -> Seen:
    """Ranks that would measure different things; the second one must not be asked."""
    bar, told, asked = Bar(), [], []

    def measure() -> float:
        asked.append(1)
        return [0.5, 0.7, 0.6][len(asked) - 1] + 100 * rank

    training = toy(ROWS, Run(progress=bar), measure=measure, watch=lambda epoch: told.append(epoch.epoch))
    return {**outcome(training), "shown": bar.shown, "told": told, "asked": len(asked)}


def resumed(path: Path, rank: int) -> Seen:
    """Interrupted after the second of four epochs, and taken up."""

    def interrupt(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise DataError("the light went out")

    run = Run(checkpoint=path)
    said = failure(lambda: toy(ROWS, run, sparse=True, epochs=4, watch=interrupt).go())
    told: list[int] = []
    found = outcome(toy(ROWS, run, sparse=True, epochs=4, watch=lambda epoch: told.append(epoch.epoch)))
    return {**found, "said": said, "told": told, "wrote": path.exists()}


def failing(rank: int) -> Callable[[np.random.Generator], None]:
    """Something that fails on rank 1 in the fourth step."""
    steps: list[int] = []

    def each(_: np.random.Generator) -> None:
        steps.append(1)
        if rank == 1 and len(steps) == 4:
            raise DataError("a bad batch")

    return each


def broken() -> float:
    raise DataError("nothing to measure")


def no_checkpoint(path: Path) -> Path:
    path.mkdir()
    return path


def failure(task: Callable[[], Any]) -> str:
    """The error of a task, as text."""
    try:
        task()
    except ZhiyinError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing failed"


def alone(rank: int) -> str:
    """Rank 1 stops answering, as a machine that hangs does; what rank 0 says to that, after a second."""
    torch.distributed.destroy_process_group()
    os.environ.update({distributed.TIMEOUT: "1", "MASTER_PORT": os.environ["OTHER_PORT"]})
    world()
    if rank:
        time.sleep(2.5)
        return ""
    return failure(lambda: toy(ROWS, Run()).go())


def free_ports(n: int) -> list[str]:
    held = [socket.socket() for _ in range(n)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [str(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """What the two processes saw."""
    folder = tmp_path_factory.mktemp("ranks")
    port, other = free_ports(2)
    started = []
    for rank in range(2):
        told = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OTHER_PORT": other, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, str(folder)]
        env = {**os.environ, **told, **place, distributed.TIMEOUT: "60"}
        started.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    try:
        for one in started:
            assert one.communicate(timeout=120)[1] is not None
            assert one.returncode == 0, one.stderr
    finally:
        for one in started:
            one.kill()
    return [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


# ---------------------------------------------------------------------- what must be true of it


def same_weights(one: Seen, other: Seen, but: str = "nothing") -> None:
    assert one["weights"].keys() == other["weights"].keys()
    for name, values in one["weights"].items():
        if but not in name:
            np.testing.assert_allclose(values, other["weights"][name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_two_ranks_train_a_transformer_as_one_process_does(both: list[Seen], kind: str) -> None:
    wanted = outcome(real(sparse=kind == "sparse"))
    for seen in both:
        np.testing.assert_allclose(seen[kind]["losses"], wanted["losses"], rtol=1e-5)
        assert seen[kind]["events"] == wanted["events"]
        # the gradient of a key's bias is 0 but for rounding, which Adam blows up
        same_weights(seen[kind], wanted, but="qkv.bias")
    assert both[0][kind]["weights"] == both[1][kind]["weights"]


@pytest.mark.parametrize("kind", ["few", "few sparse", "few whole"])
def test_a_rank_without_windows_neither_hangs_nor_counts(both: list[Seen], kind: str) -> None:
    wanted = outcome(toy(ROWS, Run(), sparse=kind != "few"))
    for seen in both:
        np.testing.assert_allclose(seen[kind]["losses"], wanted["losses"], rtol=1e-5)
        assert seen[kind]["events"] == wanted["events"] == [9, 9, 9]
        same_weights(seen[kind], wanted)
        assert seen[kind]["weights"]["unused"] == [1.0] * 3


def test_both_know_the_world(both: list[Seen]) -> None:
    assert [(one["rank"], one["size"], one["again"]) for one in both] == [(0, 2, 2), (1, 2, 2)]


def test_negatives_are_drawn_alike_and_masks_apart(both: list[Seen]) -> None:
    first, second = (one["drawn"] for one in both)
    assert len(first["shared"]) == 9
    assert first["shared"] == second["shared"]
    assert len({*first["own"], *second["own"]}) == 18  # also another one at each step
    assert not {*first["torch"]} & {*second["torch"]}


def test_only_the_first_measures_shows_and_tells(both: list[Seen]) -> None:
    first, second = (one["watched"] for one in both)
    assert (first["asked"], first["shown"], first["told"]) == (3, 9, [1, 2, 3])
    assert (second["asked"], second["shown"], second["told"]) == (0, 0, [])
    assert first["best"] == second["best"] == 0.7
    assert first["best_epoch"] == second["best_epoch"] == 2
    assert first["weights"] == second["weights"]


def test_a_training_is_taken_up_from_the_checkpoint_of_the_first(both: list[Seen]) -> None:
    wanted = outcome(toy(ROWS, Run(), sparse=True, epochs=4))
    first, second = (one["resumed"] for one in both)
    assert first["said"] == "DataError: the light went out"
    assert "rank 0 failed" in second["said"]
    assert "the light went out" in second["said"]
    assert first["told"] == [3, 4]
    assert (first["wrote"], second["wrote"]) == (True, False)
    for seen in (first, second):
        np.testing.assert_allclose(seen["losses"], wanted["losses"], rtol=1e-5)
        same_weights(seen, wanted)


def test_a_failure_of_one_ends_the_others_at_once(both: list[Seen]) -> None:
    assert both[1]["failed"] == "DataError: a bad batch"
    assert both[0]["failed"].startswith("ZhiyinError: 1 of 2 ranks failed")
    assert both[0]["unmeasured"] == "DataError: nothing to measure"
    assert "nothing to measure" in both[1]["unmeasured"]


def test_a_bad_checkpoint_is_told_to_all(both: list[Seen]) -> None:
    assert both[0]["damaged"].startswith("DataError")
    assert "holds no checkpoint" in both[0]["damaged"]
    assert "holds no checkpoint" in both[1]["damaged"]


def test_ranks_with_different_seeds_are_refused(both: list[Seen]) -> None:
    for seen in both:
        assert seen["refused"].startswith("ConfigError: rank 1 of 2 was given other settings")


def test_ranks_gather_different_numbers_of_rows(both: list[Seen]) -> None:
    assert both[0]["gathered"] == both[1]["gathered"] == [[1], [2], [3]]


def test_a_rank_that_hangs_is_not_waited_for_for_ever(both: list[Seen]) -> None:
    assert both[0]["alone"].startswith("ZhiyinError: rank 0 of 2 hears nothing of the others")
    assert distributed.TIMEOUT in both[0]["alone"]


# ---------------------------------------------------------------------- a process on its own


def told(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", distributed.TIMEOUT):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch)
    assert world() == World()
    told(monkeypatch, RANK="0", WORLD_SIZE="1")
    assert not world().active
    assert not torch.distributed.is_initialized()


def test_alone_nothing_is_shared() -> None:
    generator, one = np.random.default_rng(0), World()
    tensor = torch.ones(2)
    one.add(tensor)
    assert one.own(generator) is generator
    assert one.share([1, 2, 3]) == [1, 2, 3]
    assert one.gather(tensor) is tensor
    assert tensor.tolist() == [1, 1]


def test_shares_deal_out_every_window_once() -> None:
    shares = [World(rank, 3).share(list(range(8))) for rank in range(3)]
    assert sorted(one for share in shares for one in share) == list(range(8))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [World(rank, 3).idle([7, 8]) for rank in range(3)] == [False, False, True]
    assert World(2, 3).share([7, 8]) == [7]


def test_a_torch_without_others_does_not_train_alone_by_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    told(monkeypatch)
    assert world() == World()
    told(monkeypatch, RANK="0", WORLD_SIZE="2")
    with pytest.raises(ConfigError, match="several"):
        world()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR and MASTER_PORT"),
        ({"RANK": "a", "WORLD_SIZE": "2"}, "RANK='a'"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 and WORLD_SIZE=2"),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1", distributed.TIMEOUT: "soon"},
            "ZHIYIN_TIMEOUT='soon'",
        ),
    ],
)
def test_an_environment_that_does_not_say_enough_is_refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], said: str
) -> None:
    told(monkeypatch, **values)
    with pytest.raises(ConfigError, match=said):
        world()


def test_each_process_of_a_machine_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, RANK="3", WORLD_SIZE="4", LOCAL_RANK="1", LOCAL_WORLD_SIZE="2")
    assert own_device(torch.device("cuda")) == torch.device("cuda", 1)
    assert own_device(torch.device("cuda", 0)) == torch.device("cuda", 0)
    assert own_device(torch.device("cpu")) == torch.device("cpu")
    assert distributed.neighbours() == 2
    told(monkeypatch)
    assert own_device(torch.device("cuda")) == torch.device("cuda")
    assert distributed.neighbours() == 1


if __name__ == "__main__":
    work(Path(sys.argv[1]))
