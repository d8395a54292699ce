"""Training: epochs of batches with a schedule, averaged weights, early stopping, checkpoints and a stop on divergence.

The loop knows nothing of models or data: it is given the batches of an epoch, the loss of one, and a function that
measures the net as it is. Everything random in an epoch is drawn from the seed and the epoch's number, so that a run
that is taken up from a checkpoint goes on exactly as if it had not been interrupted.

What the last step of an epoch made is looked at before anything is measured, kept or written: weights that are not
finite, or with which the loss of the last batch has blown up, end the training, and the best weights so far stay.

Under torchrun, each process works on a share of the windows of every batch, and all make the update of the whole
batch (see `zhiyin.nn.distributed`); the first one measures, shows progress and keeps the checkpoint.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
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
from zhiyin.nn.optimizers import Optimizers, are_finite
from zhiyin.nn.telling import Telling, elapsed
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
    clip: float | None = 1.0
    """The norm to which a larger gradient is cut; None for none."""
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
    wall_seconds: float = 0.0
    """Since the beginning, measuring included; 0 where it was not written down."""


@dataclass(slots=True)
class Trained:
    """How a training went; the net has the best weights."""

    epochs: list[Epoch] = field(default_factory=list)
    best: float = -math.inf
    best_epoch: int = 0
    stopped: str = ""
    """Why it ended before the last epoch; empty where it did not."""
    diverged: bool = False
    metric: str = "validation"
    """What was measured."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "best": self.best if self.best_epoch else None,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "diverged": self.diverged,
            "metric": self.metric,
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
        metric = told.get("metric", "validation")  # older ones did not say
        return cls(epochs, best, told["best_epoch"], told["stopped"], told["diverged"], metric)

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
            weights are kept, or those of the last sound epoch.
        plan: how to train.
        run: seed, progress, and the folder of the checkpoint.
        name: for progress and messages.
        purpose: what a checkpoint must have been of to be taken up: the settings and the data, in plain values.
        watch: told of each epoch when it is over, in the first process alone: to write a log, say.
        metric: what `measure` gives, in a word.
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
        metric: str = "validation",
    ) -> None:
        self.net, self.batches, self.loss, self.measure = net, batches, loss, measure
        self.plan, self.run, self.name, self.watch = plan, run, name, watch
        self.world = world(next((one.device for one in net.parameters()), None))
        self.purpose = {"seed": run.seed, **(purpose or {})}
        self.optimizers = Optimizers(net, plan.learning_rate, plan.regularization)
        self.average = Average(self.optimizers.dense, plan.average)
        self.trained = Trained(metric=metric)
        self.began = time.perf_counter()
        self.telling = Telling(Silent() if self.world.rank else run.progress, name, plan.epochs)
        self.best_weights: dict[str, Tensor] = {}
        self.last_weights: dict[str, Tensor] = {}
        """Of the last sound epoch, as long as none is the best; the two are never both there."""

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
        self.began = time.perf_counter() - elapsed(self.trained)
        self._hold()
        with torch.random.fork_rng(devices=[]):
            while len(self.trained.epochs) < self.plan.epochs and not self.trained.stopped:
                self._epoch(len(self.trained.epochs) + 1)
                if not self.trained.diverged:
                    self.world.first(self._after)
        if self.best_weights or self.trained.diverged:
            self.net.load_state_dict(self.best_weights or self.last_weights)
        else:
            self.average.swap()
        self.net.eval()
        return self.trained

    def _after(self) -> None:
        """What the first process does after an epoch."""
        self.telling.epoch(self.trained)
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
        losses: list[float] = []
        self.net.train()
        with closing(self.telling.track(batches, self.trained)) as tracked:
            for place, batch in enumerate(tracked):
                loss, n = self._step(batch, generator, number - 1 + place / len(batches))
                if not math.isfinite(loss):
                    self._diverge(f"the loss of step {place + 1} of epoch {number} is {loss}")
                    return
                losses.append(loss)
                self.telling.step(loss, n)
        seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
        mean, events = self.telling.total / max(1, self.telling.events), self.telling.events
        if losses and (reason := self._astray(number, mean, losses, batches[-1], generator)):
            self._diverge(reason)
            return
        measured = self._measure(number)
        own = Epoch(number, before.seconds + seconds, before.cpu_seconds + cpu_seconds, mean, events, measured)
        self.trained.epochs.append(replace(own, wall_seconds=time.perf_counter() - self.began))
        self._wait()
        self._hold()

    def _astray(
        self, number: int, mean: float, losses: Sequence[float], batch: Any, generator: np.random.Generator
    ) -> str:
        """Why the weights after an epoch of some losses are no good, empty if they are; `batch` was the last one."""
        first = self.trained.epochs[0].loss if self.trained.epochs else losses[0]
        if mean > BLOWN_UP * first + 1:
            return f"the loss of epoch {number} is {mean:.3g}, at first it was {first:.3g}"

        def look() -> str:
            if not are_finite([*self.net.state_dict().values(), *self.average.means]):
                return f"the weights after epoch {number} are not finite"
            with self.average.instead():
                loss, *counts = self.loss(self.world.share(batch), generator)
            after = float(loss.detach()) if counts[-1] else 0.0
            usual = max(first, mean, losses[-1])
            if after <= BLOWN_UP * usual + 1:  # false for NaN
                return ""
            return f"the loss after epoch {number} is {after:.3g}, before it was {usual:.3g}"

        return self.world.first(look)

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
        advice = "try a smaller learning_rate"
        if not (self.best_weights or self.last_weights):
            raise DataError(f"{self.name} diverged: {reason}, and no epoch before it was sound; {advice}")
        kept = f"the best weights, of epoch {self.trained.best_epoch}"
        if not self.best_weights:
            kept = f"the weights of epoch {len(self.trained.epochs)}, the last sound one"
        logger.warning("%s diverged: %s; %s, are kept; %s", self.name, reason, kept, advice)

    def _measure(self, number: int) -> float | None:
        """Measure the net as it will be used, if it is time to, and keep the weights if they are the best."""
        measure = self.measure
        if measure is None or (number % self.plan.measure_every and number < self.plan.epochs):
            return None
        self.net.eval()
        with self.average.instead():
            found = self.world.first(lambda: float(measure()))
            if found > self.trained.best:
                self.trained.best, self.trained.best_epoch = found, number
                self.best_weights = self._copied(self.best_weights or self.last_weights)
                self.last_weights = {}
        return found

    def _wait(self) -> None:
        """Stop if too many measurements were no better than the best."""
        waited = sum(one.measured is not None for one in self.trained.epochs[self.trained.best_epoch :])
        if waited >= self.plan.patience:
            self.trained.stopped = f"{waited} measurements without a better one than {self.trained.best:.4f}"

    def _hold(self) -> None:
        """Keep the weights of an epoch for the case that the next one diverges; nothing better is known as yet."""
        done = len(self.trained.epochs)
        if done and done < self.plan.epochs and not self.best_weights:
            with self.average.instead():
                self.last_weights = self._copied(self.last_weights)

    def _copied(self, place: dict[str, Tensor]) -> dict[str, Tensor]:
        """A copy of the weights, in the memory of an older one if there is one."""
        for name, one in self.net.state_dict().items():
            place[name] = place[name].copy_(one) if name in place else one.detach().clone()
        return place


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

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Put the means in place of the weights, in the block of a `with`."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the weights and their means."""
        for own, mean in zip(self.weights, self.means, strict=True) if self.means else ():
            kept = own.clone()
            own.copy_(mean)
            mean.copy_(kept)


def rate(plan: Plan, done: float) -> float:
    """The share of the learning rate after `done` epochs (a fraction)."""
    rise = min(1.0, (done + 1e-3) / plan.warmup) if plan.warmup else 1.0
    if plan.schedule == "constant":
        return rise
    return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done / plan.epochs))))
