"""An interrupted training that is taken up equals one that was not; what does not fit is refused, and left alone."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zhiyin.artifacts import load_arrays, save_arrays
from zhiyin.errors import ConfigError, DataError
from zhiyin.nn.blocks import Dropout
from zhiyin.nn.checkpoints import MARK, WEIGHTS
from zhiyin.nn.items import PlainItems
from zhiyin.nn.training import Plan, Trained, Training
from zhiyin.run import Run

ITEMS, WIDTH, STEPS = 30, 4, 5
LOSSES = STEPS + 1
"""Of an epoch: the last batch is looked at once more when it is over."""
PLAN = Plan(epochs=6, learning_rate=0.05, schedule="cosine", warmup=1.5, average=0.9, regularization=0.01)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Toy(nn.Module):
    """Items, of which a step uses a few rows, and what is made of them."""

    def __init__(self, width: int = WIDTH, sparse: bool = True) -> None:
        super().__init__()
        self.items, self.drop, self.out = PlainItems(ITEMS, width, sparse), Dropout(0.3), nn.Linear(width, 1)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for one in self.parameters():
                one.normal_(generator=generator)

    def forward(self, rows: Tensor) -> Tensor:
        found: Tensor = self.out(self.drop(self.items(rows)))[:, 0]
        return found


class Interrupted(Exception):
    """As if somebody had pressed Ctrl-C."""


class Job:
    """One training, which may break off."""

    def __init__(
        self,
        checkpoint: Path | None,
        plan: Plan = PLAN,
        *,
        stop: int | None = None,
        seed: int = 0,
        measured: bool = True,
        purpose: dict[str, Any] | None = None,
        net: Toy | None = None,
    ) -> None:
        self.net, self.stop, self.losses = net or Toy(), stop, 0
        self.training = Training(
            self.net,
            lambda generator: list(generator.integers(0, ITEMS, (STEPS, 7))),
            self.loss,
            self.measure if measured else None,
            plan,
            Run(seed=seed, threads=1, checkpoint=checkpoint),
            "toy",
            {"settings": {"n_layers": 2}, "data": "abc"} if purpose is None else purpose,
        )

    def loss(self, batch: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, int]:
        self.losses += 1
        if self.losses == self.stop:
            raise Interrupted
        aim = torch.as_tensor(generator.normal(size=len(batch)), dtype=torch.float32)
        return (self.net(torch.as_tensor(batch)) - aim).square().mean(), len(batch)

    def measure(self) -> float:
        """Best in the middle, and in truth of the weights."""
        with torch.no_grad():
            return -abs(float(self.net(torch.arange(ITEMS)).mean()) - 0.1)

    def go(self) -> Trained:
        return self.training.go()

    def everything(self) -> dict[str, Tensor]:
        """The net, what the optimizers remember, and the means."""
        means = {f"mean {place}": one for place, one in enumerate(self.training.average.means)}
        return {**self.net.state_dict(), **self.training.optimizers.state(), **means}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    assert one.keys() == two.keys()
    return all(torch.equal(one[name], two[name]) for name in one)


def without_clock(trained: Trained) -> list[tuple[int, float, int, float | None]]:
    return [(one.epoch, one.loss, one.events, one.measured) for one in trained.epochs]


@pytest.fixture
def whole() -> Job:
    job = Job(None)
    job.go()
    return job


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A checkpoint of two epochs."""
    path = tmp_path / "checkpoint"
    with pytest.raises(Interrupted):
        Job(path, stop=2 * LOSSES + 3).go()
    return path


# ---------------------------------------------------------------------- going on


PLANS = [
    PLAN,
    replace(PLAN, average=0.0),
    replace(PLAN, schedule="constant", warmup=0.0),
    replace(PLAN, measure_every=4),
    replace(PLAN, epochs=30, patience=2),
]


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("plan", PLANS)
def test_a_training_that_is_taken_up_ends_as_if_nothing_had_happened(
    plan: Plan, measured: bool, tmp_path: Path
) -> None:
    whole = Job(None, plan, measured=measured)
    right = whole.go()
    path = tmp_path / "checkpoint"
    for stop in (2 * LOSSES + 3, 1):  # in the third epoch, and once more at once
        with pytest.raises(Interrupted):
            Job(path, plan, stop=stop, measured=measured).go()
    job = Job(path, plan, measured=measured)
    trained = job.go()
    assert job.losses == whole.losses - 2 * LOSSES  # two epochs were not made again
    assert same(job.everything(), whole.everything())
    assert without_clock(trained) == without_clock(right)
    assert (trained.best, trained.best_epoch, trained.stopped) == (right.best, right.best_epoch, right.stopped)


def test_seconds_go_on_from_the_checkpoint(left: Path) -> None:
    epochs = Job(left).go().epochs
    for seconds in ([one.seconds for one in epochs], [one.wall_seconds for one in epochs]):
        assert (np.diff([0.0, *seconds]) > 0).all()


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, epochs=30, patience=1)])
@pytest.mark.parametrize("measured", [True, False])
def test_a_training_that_is_over_returns_at_once(plan: Plan, measured: bool, tmp_path: Path) -> None:
    first = Job(tmp_path / "checkpoint", plan, measured=measured)
    right = first.go()
    again = Job(tmp_path / "checkpoint", plan, measured=measured)
    trained = again.go()
    assert again.losses == 0
    assert same(again.net.state_dict(), first.net.state_dict())
    assert trained == right
    assert not again.net.training


def test_a_checkpoint_changes_nothing(whole: Job, tmp_path: Path) -> None:
    job = Job(tmp_path / "deep" / "checkpoint")
    job.go()
    assert same(job.everything(), whole.everything())


def test_one_folder_is_left_and_nothing_beside_it(left: Path) -> None:
    assert [one.name for one in left.parent.iterdir()] == [left.name]
    assert sorted(one.name for one in left.iterdir()) == sorted([MARK, WEIGHTS])
    assert len(json.loads((left / MARK).read_text())["epochs"]) == 2


def test_a_diverged_epoch_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    job = Job(path)
    loss = job.training.loss
    job.training.loss = lambda batch, generator: (
        loss(batch, generator)[0] * (float("nan") if job.losses > 2 * LOSSES + 1 else 1.0),
        len(batch),
    )
    assert job.go().diverged
    content = json.loads((path / MARK).read_text())
    assert (len(content["epochs"]), content["stopped"]) == (2, "")
    again = Job(path)
    assert len(again.go().epochs) == PLAN.epochs  # whoever mends the cause goes on from there


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("rate", [1e38, 1e25])
def test_what_the_last_step_of_an_epoch_spoils_is_not_written(rate: float, measured: bool, tmp_path: Path) -> None:
    path, right = tmp_path / "checkpoint", Job(None, replace(PLAN, epochs=2, schedule="constant"), measured=measured)
    right.go()
    job, steps = Job(path, replace(PLAN, schedule="constant"), measured=measured), list[int]()
    step = job.training.optimizers.step
    job.training.optimizers.step = lambda one: (steps.append(1), step(rate if len(steps) == 3 * STEPS else one))[1]
    assert job.go().diverged
    assert same(job.net.state_dict(), right.net.state_dict())
    content, arrays = json.loads((path / MARK).read_text()), load_arrays(path / WEIGHTS)
    assert len(content["epochs"]) == 2
    assert all(np.isfinite(one).all() for one in arrays.values())


def test_a_training_that_is_taken_up_falls_back_to_the_checkpoint_when_it_diverges(left: Path) -> None:
    """Nothing is measured before the fourth epoch."""
    shutil.rmtree(left)
    plan = replace(PLAN, measure_every=4)
    with pytest.raises(Interrupted):
        Job(left, plan, stop=2 * LOSSES + 1).go()
    job = Job(left, plan)
    loss = job.training.loss
    job.training.loss = lambda batch, generator: (loss(batch, generator)[0] * float("nan"), len(batch))
    assert job.go().diverged
    again = Job(left, plan, stop=1)
    with pytest.raises(Interrupted):
        again.go()
    again.training.average.swap()
    assert same(job.net.state_dict(), again.net.state_dict())


def test_unnamed_measurements_before_a_best_one(tmp_path: Path) -> None:
    """Nothing is best yet: minus infinity, which JSON does not know."""
    path, plan = tmp_path / "checkpoint", replace(PLAN, measure_every=4)
    with pytest.raises(Interrupted):
        Job(path, plan, stop=LOSSES + 1).go()
    assert json.loads((path / MARK).read_text())["best"] is None
    job = Job(path, plan, stop=1)
    with pytest.raises(Interrupted):
        job.go()
    assert job.training.trained.best == -float("inf")


# ---------------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 1}, "seed = 0, this training has 1"),
        ({"purpose": {"settings": {"n_layers": 3}, "data": "abc"}}, "with n_layers = 2, this training has 3; name"),
        ({"purpose": {"settings": {"n_layers": 2}, "data": "abd"}}, "data = 'abc', this training has 'abd'"),
        ({"purpose": {"settings": {"n_layers": 2}, "data": "abc", "more": 1}}, "more = None"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_and_stays(options: dict[str, Any], said: str, left: Path) -> None:
    before = {one.name: one.read_bytes() for one in left.iterdir()}
    with pytest.raises(ConfigError, match="is a checkpoint with") as caught:
        Job(left, **options).go()
    assert said in str(caught.value)
    assert str(left) in str(caught.value)
    assert {one.name: one.read_bytes() for one in left.iterdir()} == before


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def content_of(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / MARK).read_text())
        changed = change(content)
        (folder / MARK).write_text(json.dumps(content if changed is None else changed))

    return spoil


def arrays_of(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        arrays = {name: one.copy() for name, one in load_arrays(folder / WEIGHTS).items()}
        change(arrays)
        save_arrays(folder / WEIGHTS, arrays)

    return spoil


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "half the weights": lambda folder: cut_short(folder / WEIGHTS),
    "no bytes of weights": lambda folder: (folder / WEIGHTS).write_bytes(b""),
    "half the mark": lambda folder: cut_short(folder / MARK),
    "a list": content_of(lambda content: [content]),
    "no purpose": content_of(lambda content: content.pop("purpose") and None),
    "no epochs": content_of(lambda content: content.pop("epochs") and None),
    "epochs that are none": content_of(lambda content: {**content, "epochs": [{"epoch": 1, "colour": "red"}]}),
    "no steps": content_of(lambda content: {name: one for name, one in content.items() if name != "steps"}),
    "a weight is missing": arrays_of(lambda arrays: arrays.pop("net/out.bias")),
    "a weight of another shape": arrays_of(
        lambda arrays: arrays.update({"net/out.weight": np.zeros((2, 2), np.float32)})
    ),
    "a weight too many": arrays_of(lambda arrays: arrays.update({"net/other": np.zeros(2, np.float32)})),
    "a part that nobody knows": arrays_of(lambda arrays: arrays.update({"other/x": np.zeros(2, np.float32)})),
    "a mean is missing": arrays_of(lambda arrays: arrays.pop("mean/0")),
    "a memory of another shape": arrays_of(
        lambda arrays: arrays.update({"optimizer/0.0.exp_avg": np.zeros((2, 2), np.float32)})
    ),
    "a memory is missing": arrays_of(lambda arrays: arrays.pop("optimizer/0.0.exp_avg")),
    "all memory is missing": arrays_of(
        lambda arrays: [arrays.pop(name) for name in list(arrays) if name.startswith("optimizer/")]
    ),
    "a memory of nothing": arrays_of(lambda arrays: arrays.update({"optimizer/0.99.exp_avg": np.zeros(2, np.float32)})),
    "the best weights are missing": arrays_of(
        lambda arrays: [arrays.pop(name) for name in list(arrays) if name.startswith("best/")]
    ),
    "a best weight is missing": arrays_of(lambda arrays: arrays.pop("best/out.bias")),
    "a best weight of another shape": arrays_of(
        lambda arrays: arrays.update({"best/out.weight": np.zeros((2, 2), np.float32)})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_by_name(damage: str, left: Path) -> None:
    DAMAGES[damage](left)
    job = Job(left)
    with pytest.raises(DataError) as caught:
        job.go()
    assert str(left) in str(caught.value)
    assert job.losses == 0


def test_a_checkpoint_of_another_net_is_refused(left: Path) -> None:
    with pytest.raises(DataError, match="damaged"):
        Job(left, net=Toy(width=5)).go()


def test_a_folder_that_is_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "photos"
    path.mkdir()
    (path / "cat.jpg").write_bytes(b"miaow")
    with pytest.raises(DataError, match="holds no checkpoint"):
        Job(path).go()
    assert (path / "cat.jpg").read_bytes() == b"miaow"
    file = tmp_path / "file"
    file.write_text("text")
    with pytest.raises(DataError, match="holds no checkpoint"):
        Job(file).go()
    assert file.read_text() == "text"


def test_what_takes_the_place_of_a_checkpoint_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    job = Job(path)

    def loss(batch: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, int]:
        if job.losses == LOSSES + 1:
            shutil.rmtree(path)
            path.mkdir()
            (path / "cat.jpg").write_bytes(b"miaow")
        return job.loss(batch, generator)

    job.training.loss = loss
    with pytest.raises(DataError, match="not replaced"):
        job.go()
    assert (path / "cat.jpg").read_bytes() == b"miaow"


def test_a_place_that_cannot_be_written_is_told_before_the_first_epoch(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    job = Job(tmp_path / "file" / "checkpoint")
    with pytest.raises(DataError, match="cannot keep a checkpoint in"):
        job.go()
    assert not job.losses
