"""Training: epochs of batches with a schedule, averaged weights, early stopping, checkpoints and a stop on divergence.

The loop knows nothing of models or data: it is given the batches of an epoch, the loss of one, and a function that
measures the net as it is. Everything random in an epoch is drawn from the seed and the epoch's number, so that a run
that is taken up from a checkpoint goes on exactly as if it had not been interrupted.

Under torchrun, each process works on a share of the windows of every batch, and all make the update of the whole
batch (see `zhiyin.nn.distributed`); the first one measures, shows progress and keeps the checkpoint.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from zhiyin.artifacts import read_json, to_json
from zhiyin.errors import DataError
from zhiyin.nn import checkpoints
from zhiyin.nn.distributed import Tally, add_gradients, world
from zhiyin.nn.optimizers import Optimizers
from zhiyin.run import Run, Silent

logger = logging.getLogger(__name__)

T = TypeVar("T")

Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train."""

    epochs: int = 20
    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    warmup: float = 0.0
    """Over so many epochs the learning rate rises from 0."""
    regularization: float = 0.0
    """Decoupled weight decay (AdamW)."""
    clip: float = 1.0
    """The norm to which a larger gradient is cut; 0 for none."""
    average: float = 0.0
    """The decay of the moving average of the weights, which is what is measured and kept; 0 for none."""
    patience: int = 5
    """Stop after so many measurements without a better one."""
    measure_every: int = 1
    """Epochs between measurements."""


BLOWN_UP = 3.0
"""An epoch whose loss is so many times that at first (and 1 more) has gone astray, though it is a number."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What is known of one epoch."""

    epoch: int
    seconds: float
    """Of training alone, since the beginning."""
    cpu_seconds: float
    loss: float
    events: int
    measured: float | None = None


@dataclass(slots=True)
class Trained:
    """How a training went; the net has the best weights."""

    epochs: list[Epoch] = field(default_factory=list)
    best: float = -math.inf
    best_epoch: int = 0
    stopped: str = ""
    """Why it ended before the last epoch; empty where it did not."""
    diverged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "best": self.best if self.best_epoch else None,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "diverged": self.diverged,
            "epochs": [asdict(one) for one in self.epochs],
        }

    @classmethod
    def of_dict(cls, told: Mapping[str, Any]) -> Trained:
        """The same from plain values.

        Raises:
            LookupError, TypeError: they are not what `to_dict` gives.
        """
        best = -math.inf if told["best"] is None else told["best"]
        epochs = [Epoch(**one) for one in told["epochs"]]
        return cls(epochs, best, told["best_epoch"], told["stopped"], told["diverged"])

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(to_json(self.to_dict()), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Trained:
        """Read what `write` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            return cls.of_dict(read_json(path))
        except (LookupError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error!r}); save the model anew") from None


Batches: TypeAlias = Callable[[np.random.Generator], Sequence[T]]
"""The batches of an epoch."""
Loss: TypeAlias = Callable[[T, np.random.Generator], tuple[Tensor, int] | tuple[Tensor, int, int]]
"""The loss of a batch, the number of its events and, where it is another one, of the answers it is the mean of."""


class Training:
    """One training of a net.

    Args:
        net: what learns.
        batches: of an epoch.
        loss: of a batch.
        measure: what validation says of the net as it is; more is better. None where nothing is measured: the last
            weights are kept.
        plan: how to train.
        run: seed, progress, and the folder of the checkpoint.
        name: for progress and messages.
        purpose: what a checkpoint must have been of to be taken up: the settings and the data, in plain values.
        watch: told of each epoch when it is over, in the first process alone: to write a log, say.
    """

    def __init__(
        self,
        net: nn.Module,
        batches: Batches[Any],
        loss: Loss[Any],
        measure: Callable[[], float] | None,
        plan: Plan,
        run: Run,
        name: str = "model",
        purpose: Mapping[str, Any] | None = None,
        *,
        watch: Callable[[Epoch], None] | None = None,
    ) -> None:
        self.net, self.batches, self.loss, self.measure = net, batches, loss, measure
        self.plan, self.run, self.name, self.watch = plan, run, name, watch
        self.world = world(next((one.device for one in net.parameters()), None))
        self.purpose = {"seed": run.seed, **(purpose or {})}
        self.optimizers = Optimizers(net, plan.learning_rate, plan.regularization)
        self.average = Average(self.optimizers.dense, plan.average)
        self.trained = Trained()
        self.best_weights: dict[str, Tensor] = {}

    def go(self) -> Trained:
        """Train to the end, or to where it is no use to go on; leave the best weights in the net."""
        if self.world.active:
            kept = self.run.checkpoint is not None
            told = {"name": self.name, "purpose": self.purpose, "plan": asdict(self.plan), "checkpoint": kept}
            self.world.agree(to_json(told))
        place = self.run.checkpoint
        if place is not None:
            if self.world.first(place.exists):
                checkpoints.take_up(self, place)
            self.world.first(lambda: checkpoints.check_place(place))
        with torch.random.fork_rng(devices=[]):
            while len(self.trained.epochs) < self.plan.epochs and not self.trained.stopped:
                self._epoch(len(self.trained.epochs) + 1)
                if not self.trained.diverged:
                    self.world.first(self._after)
        if self.best_weights:
            self.net.load_state_dict(self.best_weights)
        else:
            self.average.swap()
        self.net.eval()
        return self.trained

    def _after(self) -> None:
        """What the first process does after an epoch."""
        if self.run.checkpoint is not None:
            checkpoints.keep(self, self.run.checkpoint)
        if self.watch is not None:
            self.watch(self.trained.epochs[-1])

    def _epoch(self, number: int) -> None:
        generator = np.random.default_rng([self.run.seed, zlib.crc32(self.name.encode()), number])
        torch.manual_seed(int(generator.integers(2**62)) + self.world.rank)  # masks of dropout are each rank's own
        self.world.same(self.net.state_dict().values())  # whatever machines round differently
        batches = self.batches(generator)
        before = self.trained.epochs[-1] if self.trained.epochs else Epoch(0, 0.0, 0.0, math.nan, 0)
        clock, cpu = time.perf_counter(), time.process_time()
        total, events = 0.0, 0
        first = self.trained.epochs[0].loss if self.trained.epochs else None
        self.net.train()
        for place, batch in enumerate(self._tracked(batches, number)):
            loss, n = self._step(batch, generator, number - 1 + place / len(batches))
            if not math.isfinite(loss):
                self._diverge(f"the loss of step {place + 1} of epoch {number} is {loss}")
                return
            first = loss if first is None else first
            total, events = total + loss * n, events + n
        seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
        mean = total / max(1, events)
        if first is not None and mean > BLOWN_UP * first + 1:
            self._diverge(f"the loss of epoch {number} is {mean:.3g}, at first it was {first:.3g}")
            return
        self.trained.epochs.append(
            Epoch(number, before.seconds + seconds, before.cpu_seconds + cpu_seconds, mean, events)
        )
        if self.measure is not None and (number % self.plan.measure_every == 0 or number == self.plan.epochs):
            self._measure(number, self.measure)

    def _step(self, batch: Any, generator: np.random.Generator, done: float) -> tuple[float, int]:
        """One step at `done` epochs; its loss and how many events it was of."""
        self.optimizers.clear()
        value, n = self._gradients(batch, generator)
        if not math.isfinite(value):
            return value, n
        if self.plan.clip:
            self.optimizers.clip(self.plan.clip)
        self.optimizers.step(self.plan.learning_rate * rate(self.plan, done))
        self.average.update()
        return value, n

    def _gradients(self, batch: Any, generator: np.random.Generator) -> tuple[float, int]:
        """Leave the gradients of a batch in the net; its loss and how many events it is of."""
        if not self.world.active:
            own = self._share(batch, generator)
            return own.loss, own.events
        parts = self.world, self.optimizers.dense, self.optimizers.sparse
        try:
            own = self._share(self.world.share(batch), generator, self.world.idle(batch))
        except Exception:
            add_gradients(*parts, None)  # the others learn of it, and do not wait for ever
            raise
        total = add_gradients(*parts, own)
        return total.loss, total.events

    def _share(self, batch: Any, generator: np.random.Generator, idle: bool = False) -> Tally:
        """Leave the gradients of a share of a batch in the net, none if it is `idle` or among others has no answer."""
        loss, events, *rest = self.loss(batch, generator)
        answers = rest[0] if rest else events
        if self.world.active and (idle or not answers):
            return Tally(0.0, 0, 0 if idle else events)
        value = float(loss.detach())
        if math.isfinite(value):
            loss.backward()
        return Tally(value, answers, events)

    def _diverge(self, reason: str) -> None:
        self.trained.stopped, self.trained.diverged = reason, True
        kept = f"the best weights, of epoch {self.trained.best_epoch}, are kept" if self.best_weights else ""
        advice = "try a smaller learning_rate"
        if not kept:
            raise DataError(f"{self.name} diverged: {reason}, before anything was measured; {advice}")
        logger.warning("%s diverged: %s; %s; %s", self.name, reason, kept, advice)

    def _tracked(self, batches: Sequence[T], epoch: int) -> Iterator[T]:
        said = f"{self.name}: epoch {epoch} of {self.plan.epochs}"
        if self.trained.epochs:
            last, done = self.trained.epochs[-1], len(self.trained.epochs)
            said += f", loss {last.loss:.3f}, {last.events * done / max(last.seconds, 1e-9):,.0f} events/s"
            said += f", at most {span((self.plan.epochs - done) * last.seconds / done)} more"
        if self.trained.best_epoch:
            said += f", validation {self.trained.best:.4f} at {self.trained.best_epoch}"
        return (Silent() if self.world.rank else self.run.progress).track(batches, len(batches), said)

    def _measure(self, number: int, measure: Callable[[], float]) -> None:
        self.net.eval()
        self.average.swap()
        try:
            found = self.world.first(lambda: float(measure()))
            if found > self.trained.best:
                self.trained.best, self.trained.best_epoch = found, number
                self.best_weights = {name: one.detach().clone() for name, one in self.net.state_dict().items()}
        finally:
            self.average.swap()
        self.trained.epochs[-1] = replace(self.trained.epochs[-1], measured=found)
        waited = sum(one.measured is not None for one in self.trained.epochs[self.trained.best_epoch :])
        if waited >= self.plan.patience:
            self.trained.stopped = f"{waited} measurements without a better one than {self.trained.best:.4f}"


class Average:
    """A moving average of weights, which generalises better than the weights themselves.

    It follows fast at first: step n weighs at least 10 / (10 + n) of what it would in a mean of all.
    """

    def __init__(self, weights: Sequence[Tensor], decay: float) -> None:
        self.weights, self.decay, self.steps = [one.detach() for one in weights], decay, 0
        self.means = [one.clone() for one in self.weights] if decay else []

    def update(self) -> None:
        """Take in the weights as they are."""
        self.steps += 1
        if self.means:
            decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(self.means, self.weights, 1 - decay)

    def swap(self) -> None:
        """Exchange the weights and their means."""
        for own, mean in zip(self.weights, self.means, strict=True) if self.means else ():
            kept = own.clone()
            own.copy_(mean)
            mean.copy_(kept)


def span(seconds: float) -> str:
    """A time to wait, in words.

    >>> span(8.2), span(95), span(7300)
    ('8 s', '1 min 35 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def rate(plan: Plan, done: float) -> float:
    """The share of the learning rate after `done` epochs (a fraction)."""
    rise = min(1.0, (done + 1e-3) / plan.warmup) if plan.warmup else 1.0
    if plan.schedule == "constant":
        return rise
    return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done / plan.epochs))))
