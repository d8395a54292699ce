"""Telling how a training stands: beside a bar while an epoch goes on, in the log after it, in a sentence at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, TypeVar

from zhiyin.run import Progress, Told

if TYPE_CHECKING:
    from zhiyin.nn.training import Trained

T = TypeVar("T")

logger = logging.getLogger(__name__)

OFTEN = 0.2
"""Seconds between two looks at how an epoch stands."""


class Telling:
    """Tells of one training.

    Args:
        progress: who watches.
        name: of what is trained.
        epochs: as many as there will be at most.
    """

    def __init__(self, progress: Progress, name: str, epochs: int) -> None:
        self.progress, self.name, self.epochs = progress, name, epochs
        self.total, self.events = 0.0, 0

    def track(self, batches: Sequence[T], trained: Trained) -> Generator[T, None, None]:
        """The batches of the next epoch, shown while they are worked on; whoever works tells each `step`."""
        self.total, self.events = 0.0, 0
        listener = self.progress if isinstance(self.progress, Told) else None
        description = f"{self.name}: epoch {len(trained.epochs) + 1} of {self.epochs}"
        if listener is None and trained.epochs:  # one line is all that is shown
            description += f", {self._stands(trained, 0.0, 0.0)}"
        start = time.perf_counter()
        due = start
        for done, batch in enumerate(self.progress.track(batches, len(batches), description), start=1):
            yield batch
            now = time.perf_counter()
            if listener is not None and now >= due:
                listener.tell(self._stands(trained, now - start, done / len(batches)))
                due = now + OFTEN

    def step(self, loss: float, events: int) -> None:
        """A batch of so many events had this loss."""
        self.total, self.events = self.total + loss * events, self.events + events

    def epoch(self, trained: Trained) -> None:
        """Write to the log how the last epoch went."""
        number = len(trained.epochs)
        logger.info("%s: epoch %d of %d: %s", self.name, number, self.epochs, self._stands(trained, 0.0, 0.0))

    def _stands(self, trained: Trained, seconds: float, share: float) -> str:
        """How it stands after so many seconds, in which a share of an epoch was done; or 0.0, 0.0 between two."""
        loss, rate = self._going(trained, seconds)
        said = [f"{rate:,.0f} events/s, loss {loss:.3f}"]
        measured = [one.measured for one in trained.epochs if one.measured is not None]
        if measured:
            best = f" (best {trained.best:.4f} in epoch {trained.best_epoch})" if trained.best_epoch else ""
            said.append(f"{trained.metric} {measured[-1]:.4f}{best}")
        if len(trained.epochs) < self.epochs and not trained.stopped:
            said.append(f"at most {span(self._left(trained, seconds, share))} more")
        return ", ".join(said)

    def _going(self, trained: Trained, seconds: float) -> tuple[float, float]:
        """The loss so far, and the events in a second; between two epochs, of the one that is over."""
        if seconds:
            return self.total / max(1, self.events), self.events / seconds
        last = trained.epochs[-1]
        before = trained.epochs[-2].seconds if len(trained.epochs) > 1 else 0.0
        return last.loss, last.events / max(last.seconds - before, 1e-9)

    def _left(self, trained: Trained, seconds: float, share: float) -> float:
        """Seconds to the end of the last epoch, measuring included."""
        done = len(trained.epochs)
        each = elapsed(trained) / done if done else seconds / share
        return max(0.0, each * (self.epochs - done) - seconds)


def elapsed(trained: Trained) -> float:
    """The seconds of all epochs, measuring included; without it, where that was not written down."""
    last = trained.epochs[-1] if trained.epochs else None
    return 0.0 if last is None else max(last.wall_seconds, last.seconds)


def ending(trained: Trained) -> str:
    """How a training ended: what is kept, why it stopped, how long it took."""
    ran = len(trained.epochs)
    kept = f"loss {trained.epochs[-1].loss:.3f} in epoch {ran}, nothing measured" if ran else "nothing learnt"
    if trained.best_epoch:
        kept = f"best {trained.metric} {trained.best:.4f}, in epoch {trained.best_epoch} of {ran}"
    return f"{kept}; {trained.stopped or 'all epochs were made'}; {span(elapsed(trained))}"


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
