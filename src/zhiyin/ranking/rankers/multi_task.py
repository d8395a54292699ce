"""Click, then conversion: several outcomes of one candidate, each chance on the way to the next.

ESMM (Ma et al., SIGIR 2018): conversions are only known of clicks, and a model that learns from clicks alone is asked
for what nobody clicked. Here all exposures teach: the chance of a conversion is that of the click times that after a
click, and both products are held against what happened. Below is one net for all (`n_experts` = 1: shared bottom), or
experts of which each task takes its own mixture (MMoE: Ma et al., KDD 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import field_validator

from zhiyin.config import names, setting
from zhiyin.errors import DataError
from zhiyin.ranking.rankers._nets import NetConfig, NetRanker
from zhiyin.ranking.rankers.base import Rows

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zhiyin.nn.fields import Told


class MultiTaskConfig(NetConfig):
    """Settings of `multi_task`."""

    objective: Literal["chance"] = "chance"
    """What is learnt."""
    tasks: tuple[str, ...] = ("click", "conversion")
    """The names of outcomes of the rows; the last one is what a candidate is worth."""
    chain: bool = True
    """Whether each outcome needs the one before: its chance is then the product of both."""
    n_experts: int = setting(1, ge=1)
    """Of which each task takes its own mixture; 1 for one bottom that all share."""
    tower: int = setting(32, ge=1)
    """Size of the last layer, of which each task has its own."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)

    @field_validator("tasks")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError(f"tasks {', '.join(value) or 'none'} came; at least one is expected, each once")
        return value


class MultiTask(NetRanker):
    """Chances of several outcomes of a candidate; see `outcomes`."""

    config: MultiTaskConfig

    @property
    def foretold(self) -> tuple[str, ...]:
        """The tasks."""
        return self.config.tasks

    @property
    def learnt_outcomes(self) -> tuple[str, ...]:
        """The tasks."""
        return self.config.tasks

    def _check(self, rows: Rows, what: str) -> None:
        super()._check(rows, what)
        for name in self.config.tasks:
            if not np.isin(rows.outcomes[name], (0, 1)).all():
                raise DataError(
                    f"outcomes {name!r} of the {what} are not all 0 or 1, which is what {self.name} learns from; say "
                    "what happened, and not how much"
                )
        if self.config.chain:
            self._check_chain(rows, what)

    def _check_chain(self, rows: Rows, what: str) -> None:
        for before, name in zip(self.config.tasks, self.config.tasks[1:], strict=False):
            wrong = int((rows.outcomes[name] > rows.outcomes[before]).sum())
            if wrong:
                raise DataError(
                    f"{wrong:,} {what} have a {name} without a {before}; in a chain each outcome needs the one before: "
                    "leave such rows out, or set chain=false"
                )

    def _made(self) -> nn.Module:
        import torch
        from torch import nn

        from zhiyin.nn import crossing
        from zhiyin.nn.fields import Fields

        own = self.config
        fields = Fields(torch.from_numpy(self.knots), self.widths.tolist(), own.embedding_size)
        width = fields.n * own.embedding_size
        tasks = crossing.Tasks(width, own.hidden, own.tower, own.n_experts, len(own.tasks), own.dropout)
        return nn.Sequential(fields, nn.Flatten(1), tasks)

    def _logs(self, said: Tensor) -> Tensor:
        """(n, n_tasks) logarithms of chances."""
        from torch.nn import functional

        found = functional.logsigmoid(said)
        return found.cumsum(1) if self.config.chain else found

    def _loss(self, told: Told, label: Tensor, weight: Tensor, owner: Tensor) -> Tensor:
        logs = self._logs(self.net(told)).clamp(max=-1e-7)
        each = -(label * logs + (1 - label) * (-logs.expm1()).log())
        return (each.sum(1) * weight).mean()

    def _answer(self, said: Tensor) -> Tensor:
        return self._logs(said).exp()
