"""What is counted while items are encoded, and how far it is: told to whoever watches, and now and then to the log."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Self

from zhiyin.run import Run

logger = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds from one line in the log to the next: quick work leaves none there."""


class Tally:
    """What is counted on the way."""

    def __init__(self) -> None:
        self.silent: list[int] = []
        self.unreadable: list[int] = []
        self.refused: list[int] = []
        self.encoded = 0


class Ticks:
    """Tells how many of some items are done, a step for each batch, while a block of `with` goes on.

    Args:
        n: how many there are.
        size: so many of them are a step.
        run: who watches.
        name: of who encodes.
    """

    def __init__(self, n: int, size: int, run: Run, name: str) -> None:
        self.n, self.size, self.name = n, size, name
        self.total, self.done, self.shown, self.told = -(-n // size), 0, 0, time.monotonic()
        self._steps = iter(run.progress.track(range(self.total), self.total, f"{name}: encode"))

    def __enter__(self) -> Self:
        next(self._steps, None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if hasattr(self._steps, "close"):  # as that of a generator, which takes its bar away
            self._steps.close()

    def to(self, done: int) -> None:
        """So many are done by now."""
        self.done = done
        steps = self.total if done >= self.n else done // self.size
        while self.shown < steps:
            self.shown += 1
            next(self._steps, None)
        now = time.monotonic()
        if done < self.n and now - self.told >= EVERY:
            self.told = now
            logger.info("%s: %s of %s items are done", self.name, f"{done:,}", f"{self.n:,}")
