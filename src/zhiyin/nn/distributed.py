"""Data-parallel training: several processes, each with a copy of the net, work on shares of every batch.

    torchrun --nproc-per-node=2 script.py        # the script calls model.fit(...) as ever

All processes end with the same model; let the first alone save it: `if world().rank == 0: model.save(...)`.

The update equals that of one process on the whole batch. A loss is a mean over answers, so that the gradient of each
rank counts by its number of answers; what is drawn for the whole batch (windows, negatives) is drawn alike by all.
Negatives `in_batch` are other ones than in one process: those of the rank's own share. What is drawn event by event
(dropout, what `blind` leaves out, what is hidden or how far ahead is asked) is each rank's own draw of the same kind.

Gradients travel in one flat bucket by a plain all-reduce, not by torch's DistributedDataParallel. That wants one
forward of one module, in whose hooks it hides the traffic: our losses call parts of a net (states, rows of a table
twice) and reach gradients in autograd functions of their own, some parameters take part in some steps only, tables of
a million rows have sparse gradients, and it would weigh ranks alike however many answers each of them has.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from zhiyin._processes import number_of, rank_and_size
from zhiyin.errors import ConfigError, ZhiyinError
from zhiyin.nn.optimizers import rows_of

T = TypeVar("T")

TIMEOUT = "ZHIYIN_TIMEOUT"
"""The environment variable that says for how many seconds a rank waits for the others before it gives up."""

WAIT = 1800.0
"""Seconds to wait if nothing else is said; all ranks wait while the first one measures."""

HEAD = 4
"""Numbers before the gradients in a bucket: failed ranks, loss times answers, answers, events."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train together, as one of them sees them; a process on its own is a world of one."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where messages are put together."""

    @property
    def active(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    def share(self, batch: Any) -> Any:
        """This rank's windows of a batch (every `size`-th one); the first one if none is left, see `idle`."""
        if not self.active:
            return batch
        return batch[:1] if self.idle(batch) else batch[self.rank :: self.size]

    def idle(self, batch: Any) -> bool:
        """Whether no window is left for this rank.

        It works through a borrowed one that counts for nothing, so that the draws of all ranks stay in step.
        """
        return self.active and len(batch) <= self.rank

    def own(self, generator: np.random.Generator) -> np.random.Generator:
        """A generator for what is drawn window by window: another one on each rank and at each call.

        The given one is not moved on by it, so that it stays the same on all ranks. Alone, the given one itself.
        """
        if not self.active:
            return generator
        (child,) = generator.spawn(1)
        return np.random.default_rng([*child.integers(2**62, size=2).tolist(), self.rank])

    def first(self, task: Callable[[], T]) -> T:
        """What rank 0 finds, a plain value, on every rank; the others wait.

        Raises:
            ZhiyinError: rank 0 failed; there, its own error.
        """
        if not self.active:
            return task()
        if self.rank:
            answer = json.loads(self.text(""))
            if "failed" in answer:
                raise ZhiyinError(f"rank 0 failed, so rank {self.rank} of {self.size} ends too: {answer['failed']}")
            found: T = answer["found"]
            return found
        try:
            found = task()
        except Exception as error:
            self.text(json.dumps({"failed": f"{type(error).__name__}: {error}"}))
            raise
        self.text(json.dumps({"found": found}))
        return found

    def text(self, text: str) -> str:
        """The text of rank 0, on every rank."""
        content = torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy()).to(self.device)
        size = torch.tensor([len(content)], device=self.device)
        self.same([size])
        if self.rank:
            content = torch.empty(int(size), dtype=torch.uint8, device=self.device)
        self.same([content])
        return bytes(content.cpu().numpy()).decode()

    def same(self, tensors: Iterable[Tensor]) -> None:
        """Give every rank the values of rank 0, in place."""
        if self.active:
            with self._heard():
                for one in tensors:
                    if one.numel():
                        dist.broadcast(one.detach(), 0)

    def add(self, tensor: Tensor) -> None:
        """Make a tensor the sum of those of all ranks, in place."""
        if self.active:
            with self._heard():
                dist.all_reduce(tensor)

    def gather(self, own: Tensor) -> Tensor:
        """(n, ...) the rows of all ranks, rank after rank; each may have another number of them."""
        if not self.active:
            return own
        sizes = torch.zeros(self.size, dtype=torch.int64, device=own.device)
        sizes[self.rank] = len(own)
        self.add(sizes)
        padded = own.new_zeros(int(sizes.max()), *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        if padded.numel():
            with self._heard():
                dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, sizes.tolist(), strict=True)])

    def agree(self, purpose: str) -> None:
        """See that all ranks are about to do the same.

        Raises:
            ConfigError: one of them has other settings, data or seed, or alone a checkpoint or none.
        """
        if not self.active:
            return
        own = np.frombuffer(hashlib.sha256(purpose.encode()).digest()[:8], np.int64)
        found = self.gather(torch.from_numpy(own.copy()).to(self.device)).tolist()
        other = [rank for rank, one in enumerate(found) if one != found[0]]
        if other:
            raise ConfigError(
                f"rank {other[0]} of {self.size} was given other settings, data, seed or checkpoint than rank 0; this "
                f"is rank {self.rank}, with {purpose}; give all processes the same script, data and seed"
            )

    @contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            said = str(error).splitlines()[0]
            raise ZhiyinError(
                f"rank {self.rank} of {self.size} hears nothing of the others any more ({said}); see the messages of "
                f"the other ranks, and give {TIMEOUT} more seconds if they were only slow"
            ) from error


def world(device: torch.device | None = None) -> World:
    """The world of this process: of a process group that is there, or that torchrun's environment tells of.

    The group is made at the first call, by NCCL between CUDA devices and by Gloo else. Calls change nothing afterwards.

    Raises:
        ConfigError: the environment tells of several processes, but not how to find them, or torch was built without.
        ZhiyinError: they cannot be found.
    """
    device = device or torch.device("cpu")
    if not dist.is_available():
        if rank_and_size() is not None:
            raise ConfigError("the environment tells of several processes, but this torch cannot train by several")
        return World()
    if not dist.is_initialized():
        found = rank_and_size()
        if found is None:
            return World()
        _start(*found, device)
    return World(dist.get_rank(), dist.get_world_size(), device)


def own_device(device: torch.device) -> torch.device:
    """The device of this process: under torchrun, "cuda" is the one of its place on the machine."""
    if device.type != "cuda" or device.index is not None or rank_and_size() is None:
        return device
    return torch.device("cuda", number_of("LOCAL_RANK"))


def neighbours() -> int:
    """How many processes of the world share this machine, itself included."""
    return 1 if rank_and_size() is None else max(1, number_of("LOCAL_WORLD_SIZE", 1))


@dataclass(frozen=True, slots=True)
class Tally:
    """What a step was of."""

    loss: float
    """The mean over its answers; 0 where there is none."""
    answers: int
    events: int


def add_gradients(
    others: World, dense: Sequence[nn.Parameter], sparse: Sequence[nn.Parameter], own: Tally | None
) -> Tally:
    """Put the gradients of the whole batch in place of those of the shares, on every rank.

    Args:
        others: the world.
        dense: parameters with dense gradients, or with none in this step.
        sparse: tables with sparse gradients, which travel as the rows that were used.
        own: of this rank's share; None if it failed, which ends the others.

    Returns:
        The tally of the whole batch.

    Raises:
        ZhiyinError: another rank failed.
    """
    total, used, bucket = _reduced(others, dense, own)
    failed = round(float(total[0]))
    if own is None:
        return Tally(0.0, 0, 0)
    if failed:
        raise ZhiyinError(
            f"{failed} of {others.size} ranks failed in a step, so rank {others.rank} ends too; see their messages"
        )
    answers = max(1, round(float(total[2])))
    bucket.div_(answers)
    start = 0
    for one, uses in zip(dense, used, strict=True):
        stop = start + one.numel()
        one.grad = bucket[start:stop].view_as(one).to(one.dtype) if uses else None
        start = stop
    for one in sparse:
        one.grad = _rows_of_all(others, one, own.answers / answers)
    return Tally(float(total[1]) / answers, round(float(total[2])), round(float(total[3])))


def _reduced(others: World, dense: Sequence[nn.Parameter], own: Tally | None) -> tuple[Tensor, list[bool], Tensor]:
    """(HEAD,) the sums of the head, whether any rank has a gradient for each parameter, and their sums, flat.

    A parameter without a gradient travels as zeros: every rank must send the same number of numbers.
    """
    head, sizes = HEAD + len(dense), [one.numel() for one in dense]
    bucket = torch.zeros(head + sum(sizes), device=others.device)
    if own is None:
        bucket[0] = 1
    else:
        bucket[1:HEAD] = torch.tensor([own.loss * own.answers, own.answers, own.events])
        start = head
        for place, (one, size) in enumerate(zip(dense, sizes, strict=True)):
            if one.grad is not None:
                bucket[HEAD + place] = 1
                torch.mul(one.grad.reshape(-1), own.answers, out=bucket[start : start + size])
            start += size
    others.add(bucket)
    return bucket[:HEAD], (bucket[HEAD:head] > 0).tolist(), bucket[head:]


def _rows_of_all(others: World, table: nn.Parameter, weight: float) -> Tensor:
    """The weighted sum of the sparse gradients of all ranks."""
    if table.grad is None:
        rows = torch.zeros(0, dtype=torch.int64, device=table.device)
        values = table.detach().new_zeros(0, *table.shape[1:])
    else:
        rows, values = rows_of(table.grad)
        values = values * weight
    found = torch.sparse_coo_tensor(
        others.gather(rows)[None], others.gather(values), table.shape, check_invariants=False
    )
    return found.coalesce()


def _start(rank: int, size: int, device: torch.device) -> None:
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"the environment tells of rank {rank} of {size}, but not {' and '.join(missing)}; start the script by "
            "torchrun, or remove RANK and WORLD_SIZE to train in one process"
        )
    said = os.environ.get(TIMEOUT, str(WAIT))
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise ConfigError(f"{TIMEOUT}={said!r} came, a number of seconds above 0 is expected")
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(own_device(device))
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=seconds))
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ZhiyinError(
            f"rank {rank} of {size} does not find the others at {where} ({str(error).splitlines()[0]}); see that all "
            "of them are started, and that the address can be reached"
        ) from error
    atexit.register(_end)


def _end() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
