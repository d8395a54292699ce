"""How to run, apart from what to learn: device, threads, seed, progress, memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

T = TypeVar("T")


class Progress(Protocol):
    """Somebody who watches long work: a terminal bar, a log, a web page. Who is `Told` too hears more of it."""

    def track(self, steps: Iterable[T], total: int | None, description: str) -> Iterator[T]:
        """Yield every step, and show how far it is."""
        ...


@runtime_checkable
class Told(Protocol):
    """A progress that can also be told, while steps go on, how the work stands: rate, loss, time left."""

    def tell(self, said: str) -> None:
        """Show it beside the description, in place of what was told before."""
        ...


class Silent:
    """Show nothing."""

    def track(self, steps: Iterable[T], total: int | None, description: str) -> Iterator[T]:
        """Yield every step."""
        yield from steps


@dataclass(frozen=True, slots=True)
class Run:
    """Options of one run. They change how fast a result comes, never (but for `seed`) what it is.

    What neural models learn is the exception: `threads`, `device` and `precision` round sums differently, and dropout
    draws other masks on another device.
    """

    seed: int = 0
    threads: int = field(
        default_factory=lambda: (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
    )
    memory_mib: int = 256
    """The most memory that a block of scores may take, in MiB, beyond the model itself."""
    device: str | None = None
    """Where a neural model learns and answers: "cpu", "cuda", "cuda:1". By default where it is; a new one, the CPU."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products inside a net while it learns; weights, losses and, but for `transformer_xl`, attention stay
    float32. bfloat16 is refused where the hardware has no quick products of it."""
    progress: Progress = field(default_factory=Silent)
    checkpoint: Path | None = None
    """Where a long training keeps itself after each epoch, and from where it is taken up."""
    compile: bool = False
    """Let torch compile what a net does between attention. It takes a minute; it pays on a GPU, not on a CPU."""
    watch: Callable[[Any], None] | None = None
    """Called with what is known of each epoch of a training; see `zhiyin.nn.watching` for TensorBoard and MLflow."""

    def __post_init__(self) -> None:
        if self.checkpoint is not None:
            object.__setattr__(self, "checkpoint", Path(self.checkpoint))

    def generator(self, purpose: str) -> np.random.Generator:
        """A random generator of its own for each purpose, so that adding one draw somewhere does not change another.

        >>> a, b = Run(seed=1).generator("split"), Run(seed=1).generator("split")
        >>> bool((a.random(3) == b.random(3)).all())
        True
        """
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def block_rows(self, row_bytes: int) -> int:
        """How many rows of `row_bytes` bytes fit into one block of `memory_mib`; at least one."""
        return max(1, self.memory_mib * 2**20 // max(1, row_bytes))
