"""Optimizers: AdamW for what is small, and an Adam that touches only the rows of a table that a step has used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.98)
EPSILON = 1e-8


class RowAdam(torch.optim.Optimizer):
    """Adam (Kingma and Ba, ICLR 2015) on the rows of a table that have a gradient, each with a step count of its own.

    A row that comes up seldom is treated as if its steps had followed each other: moments do not fade while it is
    not used (as in torch's SparseAdam), and the correction of the first steps is the row's own.
    """

    def __init__(self, tables: Iterable[nn.Parameter], lr: float, betas: tuple[float, float] = BETAS) -> None:
        super().__init__(tables, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; gradients are sparse, or dense where all rows were used, as by a softmax over all items."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._rows(table, group["lr"], *group["betas"])

    def _rows(self, table: Tensor, rate: float, first: float, second: float) -> None:
        assert table.grad is not None
        rows, values = rows_of(table.grad)
        state = self.state[table]
        if not state:
            state["count"] = torch.zeros(table.shape[0], dtype=torch.float32, device=table.device)
            state["mean"], state["square"] = torch.zeros_like(table), torch.zeros_like(table)
        count = state["count"][rows] + 1
        mean = state["mean"][rows].lerp_(values, 1 - first)
        square = state["square"][rows].mul_(second).addcmul_(values, values, value=1 - second)
        state["count"][rows], state["mean"][rows], state["square"][rows] = count, mean, square
        size = square.div_((1 - second**count)[:, None]).sqrt_().add_(EPSILON)
        table.index_add_(0, rows, mean.div_((1 - first**count)[:, None]).div_(size), alpha=-rate)


def rows_of(grad: Tensor) -> tuple[Tensor, Tensor]:
    """(r,) which rows of a table have a gradient that is not 0, each once, and (r, ...) what it is."""
    sparse = (grad if grad.is_sparse else grad.to_sparse(1)).coalesce()
    rows, values = sparse.indices()[0], sparse.values()
    used = values.flatten(1).any(1)
    return (rows, values) if used.all() else (rows[used], values[used])


class Optimizers:
    """AdamW for matrices (which decay), vectors and small tables, `RowAdam` for tables with sparse gradients.

    Args:
        net: what learns; modules with a true `sparse` have sparse gradients, those with a `pace` learn so many times as
            fast.
        learning_rate: of all the others.
        regularization: the decay of matrices. Tables of items, features and relations, norms and biases do not decay.
    """

    def __init__(self, net: nn.Module, learning_rate: float, regularization: float = 0.0) -> None:
        sparse = {id(one.weight) for one in net.modules() if getattr(one, "sparse", False)}
        tables = {id(one.weight) for one in net.modules() if isinstance(one, (nn.EmbeddingBag, nn.Embedding))}
        tables |= {id(one.weight) for one in net.modules() if hasattr(one, "all") and hasattr(one, "weight")}
        self.sparse = [one for one in net.parameters() if id(one) in sparse]
        self.dense = [one for one in net.parameters() if id(one) not in sparse]
        paced = [module for module in net.modules() if hasattr(module, "pace")]
        paces = {id(one): float(module.pace) for module in paced for one in module.parameters()}  # type: ignore[arg-type]
        decaying = {id(one) for one in self.dense if one.dim() > 1 and id(one) not in tables | paces.keys()}
        kinds: dict[tuple[float, float], list[nn.Parameter]] = {(regularization, 1.0): []}
        for one in self.dense:
            kind = (regularization if id(one) in decaying else 0.0, paces.get(id(one), 1.0))
            kinds.setdefault(kind, []).append(one)
        groups = [{"params": params, "weight_decay": decay, "pace": pace} for (decay, pace), params in kinds.items()]
        self.all: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, learning_rate, BETAS, EPSILON, fused=True)]
        if self.sparse:
            self.all.append(RowAdam(self.sparse, learning_rate))

    def clear(self) -> None:
        """Forget the gradients."""
        for one in self.all:
            one.zero_grad()

    def clip(self, norm: float) -> None:
        """Cut the gradient of the dense part to `norm`. Rows of sparse tables move by at most the learning rate."""
        nn.utils.clip_grad_norm_(self.dense, norm, foreach=True)

    def step(self, learning_rate: float) -> None:
        """One step."""
        for one in self.all:
            for group in one.param_groups:
                group["lr"] = learning_rate * group.get("pace", 1.0)
            one.step()

    def state(self) -> dict[str, Tensor]:
        """What they remember, by name."""
        return {
            f"{place}.{number}.{name}": value
            for place, one in enumerate(self.all)
            for number, entry in one.state_dict()["state"].items()
            for name, value in entry.items()
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` gave.

        Raises:
            ValueError: it is of another net.
        """
        for place, one in enumerate(self.all):
            weights = [weight for group in one.param_groups for weight in group["params"]]
            found: dict[int, dict[str, Tensor]] = {}
            for key, value in state.items():
                owner, number, name = key.split(".")
                if int(owner) == place:
                    found.setdefault(int(number), {})[name] = _fitting(key, value, weights[int(number)])
            one.load_state_dict({"state": found, "param_groups": one.state_dict()["param_groups"]})


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers are; whole numbers are. Nothing as large as a tensor is made on the way."""
    with torch.no_grad():
        some = [one for one in tensors if one.is_floating_point() and one.numel()]
        ends = [end.float() for one in some for end in torch.aminmax(one)]  # NaN if any is
        return not ends or bool(torch.stack(ends).isfinite().all())


def _fitting(key: str, value: Tensor, weight: Tensor) -> Tensor:
    """What is remembered of a weight: an array of its shape, a number for each of its rows, or a count of steps.

    Files know no arrays without an axis: a count comes back as one of length 1.
    """
    if key.endswith(".step"):
        return value.reshape(())
    if value.shape not in (weight.shape, weight.shape[:1]):
        raise ValueError(f"{key} is {tuple(value.shape)}, the weight is {tuple(weight.shape)}")
    return value
