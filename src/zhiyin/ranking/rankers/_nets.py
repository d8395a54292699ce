"""What rankers that are nets share: how they are made, learn, answer and are kept."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, FloatVector
from zhiyin.config import Search, setting
from zhiyin.errors import DataError
from zhiyin.models._torch import device_of, torch_of, torch_threads
from zhiyin.ranking.rankers._inputs import InputRanker, InputsConfig
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from zhiyin.nn.fields import Told

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 16_384
FEWEST_ROWS, FEWEST_STEPS = 32, 50


class NetConfig(InputsConfig):
    """Settings of rankers that are nets."""

    objective: Literal["chance", "order"] = "chance"
    """What is learnt: the chance of the label 1, or the order inside a query (softmax over its candidates)."""
    embedding_size: int = setting(8, ge=1, search=Search(4, 32, log=True))
    """Of the vector of each feature."""
    hidden: tuple[int, ...] = (128, 64)
    """Sizes of the layers."""
    dropout: float = setting(0.1, ge=0, lt=1, search=Search(0.0, 0.5))
    """Share of a layer that is left out in training."""
    epochs: int = setting(20, ge=1)
    """The most passes over the rows; with a validation part, the weights are those of the best one."""
    batch_size: int = setting(2_048, ge=1)
    """Rows of a step, fewer where a pass would have less than 50 steps; for `order` whole queries of about so many."""
    learning_rate: float = setting(2e-3, gt=0, search=Search(2e-4, 1e-2, log=True))
    """Of AdamW, falling to nearly nothing as a cosine."""
    regularization: float = setting(1e-3, ge=0, search=Search(1e-5, 1e-1, log=True))
    """Weight decay of matrices."""
    patience: int = setting(3, ge=1)
    """Learning stops after so many passes without a better validation."""


class NetRanker(InputRanker):
    """A ranker that is a net: a subclass makes it, and says what its loss is if it is another one."""

    config: NetConfig
    learns: ClassVar[tuple[str, ...]] = (*InputRanker.learns, "weights")
    weights: FloatVector
    """(n,) all weights of the net, in the order of torch."""
    net: nn.Module

    @property
    def says_chances(self) -> bool:
        """Of the objective `chance`."""
        return self.config.objective == "chance"

    @property
    def learns_order(self) -> bool:
        """Of the objective `order`."""
        return self.config.objective == "order"

    def ready(self) -> None:
        """Torch is."""
        torch_of(self.name)

    def _made(self) -> nn.Module:
        """A net that takes what is `Told` and gives (n,) log-odds, or (n, n_outcomes)."""
        raise NotImplementedError

    def _begin(self, rows: Rows) -> None:
        """Learn what the net is made by, beside the inputs."""

    # ------------------------------------------------------------------ learning

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        torch_of(self.name)
        import torch

        from zhiyin.nn.training import Plan, Training

        self.learn_inputs(rows.features)
        self._begin(rows)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(run.generator(self.name).integers(2**62)))
            self.net = self._made().to(device_of(run, self.name))
        own = self.config
        plan = Plan(own.epochs, own.learning_rate, "cosine", 0.5, own.regularization, 1.0, 0.0, own.patience)
        told, *known = self._data(rows)
        held = None if validation is None else self._data(validation)
        training = Training(
            self.net,
            lambda generator: list(self._batches(rows, generator)),
            lambda batch, _: (self._loss(told.take(batch), *(one[batch] for one in known)), len(batch)),
            None if held is None else lambda: -self._held(*held),
            plan,
            run,
            self.name,
            metric="minus the loss",
        )
        with torch_threads(run):
            self.trained = training.go()
        self.net.cpu()
        self.weights = torch.nn.utils.parameters_to_vector(self.net.parameters()).detach().numpy().copy()

    def _check(self, rows: Rows, what: str) -> None:
        super()._check(rows, what)
        if self.learns_order and (rows.label < 0).any():
            raise DataError(
                f"{self.name} learns an order from grades of 0 or more, and the {what} hold {rows.label.min():g}; add "
                "to all grades what makes the least one 0"
            )
        if self.reads_histories and rows.features.history is None:
            raise DataError(
                f"{self.name} reads histories, and these {what} have none; make features with history=50, say, or set "
                "`features` so in a pipeline"
            )

    def _data(self, rows: Rows) -> tuple[Told, Tensor, Tensor, Tensor]:
        """What is told, (n, n_outcomes) what came of it, (n,) weights and (n,) queries."""
        import torch

        weight = np.ones(len(rows), np.float32) if rows.weight is None else rows.weight / rows.weight.mean()
        device = next(self.net.parameters()).device
        made = (np.stack(self._happened(rows), 1).astype(np.float32), weight.astype(np.float32))
        label, weights = (torch.from_numpy(one).to(device) for one in made)
        owner = torch.from_numpy(rows.features.owner().astype(np.int64)).to(device)
        return self._told(rows.features, device), label, weights, owner

    def _batches(self, rows: Rows, generator: np.random.Generator) -> Iterator[Tensor]:
        """The rows of each step."""
        import torch

        offsets, n = rows.features.offsets, len(rows)
        size = min(self.config.batch_size, max(FEWEST_ROWS, n // FEWEST_STEPS))
        if self.config.objective == "chance":
            order = generator.permutation(n)
            yield from (torch.from_numpy(order[at : at + size]) for at in range(0, n, size))
            return
        order = generator.permutation(np.flatnonzero(np.diff(offsets)))
        lot = np.cumsum(np.diff(offsets)[order]) // size
        for queries in np.split(order, np.flatnonzero(np.diff(lot)) + 1):
            some = np.sort(queries)
            yield torch.from_numpy(np.concatenate([np.arange(offsets[one], offsets[one + 1]) for one in some]))

    def _loss(self, told: Told, label: Tensor, weight: Tensor, owner: Tensor) -> Tensor:
        """The loss of a batch."""
        import torch
        from torch.nn import functional

        from zhiyin.nn.crossing import listwise

        said = self.net(told)
        if self.config.objective == "chance":
            return functional.binary_cross_entropy_with_logits(said, label[:, 0], weight)
        _, place = torch.unique_consecutive(owner, return_inverse=True)
        return listwise(said, label[:, 0], place, weight)

    def _held(self, told: Told, label: Tensor, weight: Tensor, owner: Tensor) -> float:
        """The loss of the validation rows, in blocks of whole queries."""
        import torch

        ends = torch.cat(
            [torch.nonzero(torch.diff(owner)).flatten() + 1, torch.tensor([len(owner)], device=owner.device)]
        )
        total, seen, start = 0.0, 0.0, 0
        while start < len(owner):
            fits = ends[ends <= max(start + ROWS_AT_ONCE, int(ends[ends > start][0]))]
            stop = int(fits[-1])
            rows = torch.arange(start, stop)
            with torch.no_grad():
                loss = float(self._loss(told.take(rows), label[rows], weight[rows], owner[rows]))
            n = self._counts(label[rows], weight[rows])
            total, seen, start = total + n * loss, seen + n, stop
        return total / max(seen, 1e-12)

    def _counts(self, label: Tensor, weight: Tensor) -> float:
        """Of how much a loss is the mean."""
        if self.config.objective == "order":
            return float((label[:, 0] * weight).sum())
        return float(len(label))

    # ------------------------------------------------------------------ answering

    def _told(self, table: FeatureTable, device: Any = None) -> Told:
        import torch

        from zhiyin.nn.fields import Told

        def tensor(column: AnyArray | None) -> torch.Tensor | None:
            return None if column is None else torch.from_numpy(column.astype(np.int64)).to(device)

        numbers = torch.from_numpy(np.ascontiguousarray(self.inputs.numbers(table))).to(device)
        categories = torch.from_numpy(self.inputs.categories(table)).to(device)
        if not self.reads_histories:
            return Told(numbers, categories)
        return Told(numbers, categories, tensor(table.item), tensor(table.history), tensor(table.owner()))

    def _predict(self, features: FeatureTable) -> DoubleVector:
        import torch

        told = self._told(features)
        with torch.no_grad():
            parts = [
                self._answer(self.net(told.take(torch.arange(start, min(len(features), start + ROWS_AT_ONCE)))))
                for start in range(0, len(features), ROWS_AT_ONCE)
            ]
        return torch.cat(parts).double().numpy()

    def _answer(self, said: Tensor) -> Tensor:
        return said.sigmoid() if self.says_chances else said

    def derive(self) -> None:
        """Make the net from what was saved."""
        torch_of(self.name)
        import torch

        super().derive()
        self.net = self._made().eval()
        if len(self.weights) != sum(math.prod(one.shape) for one in self.net.parameters()):
            raise DataError(f"the weights of this {self.name} do not fit its settings; save it anew")
        torch.nn.utils.vector_to_parameters(torch.from_numpy(np.array(self.weights)), self.net.parameters())
