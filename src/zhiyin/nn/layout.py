"""Layout: how the sequences of a batch lie in one flat row of events, so that nothing but attention ever sees padding.

A batch of sequences with N events together is a tensor (N, d), longest sequence first. Whatever works event by event
(products, norms, gates, losses) works on it as it is. Attention looks at groups of sequences of about equal length,
each a rectangle; where all sequences of a group are equally long, the rectangle is a mere view of the flat tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zhiyin.arrays import LongVector

SLACK = 0.2
"""A group may hold sequences that are shorter than its longest by this share."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Sequences that attend as rows of one rectangle (rows, length)."""

    rows: slice
    """Which sequences of the batch."""
    events: slice
    """Which events of the flat row."""
    length: int
    """Of the longest sequence."""
    shown: Tensor | None
    """(rows * length,) the event of the flat row that each cell shows, padding shows some event of the same sequence;
    None where nothing is padded."""
    cell: Tensor | None
    """(n_events,) the cell of each event; None where nothing is padded."""

    @property
    def n_rows(self) -> int:
        """The number of sequences."""
        return self.rows.stop - self.rows.start

    def spread(self, flat: Tensor) -> Tensor:
        """(rows, length, ...) the group's part of a flat tensor (N, ...); padding holds copies of real events."""
        own = flat[self.events] if self.shown is None else flat.index_select(0, self.shown)
        return own.unflatten(0, (self.n_rows, self.length))

    def gather(self, spread: Tensor) -> Tensor:
        """(n_events, ...) the real cells of a rectangle (rows, length, ...)."""
        flat = spread.flatten(0, 1)
        return flat if self.cell is None else flat.index_select(0, self.cell)

    def put(self, flat: Tensor, spread: Tensor) -> None:
        """Write the real cells of a rectangle (rows, length, ...) to the group's part of a flat tensor (N, ...).

        What the dimensions after the second hold goes to those after the first, in their order, however they are cut.
        """
        own = flat[self.events]
        if self.cell is None:
            own.view(spread.shape).copy_(spread)
        else:
            torch.index_select(spread.flatten(2).flatten(0, 1), 0, self.cell, out=own)

    def real(self) -> Tensor:
        """(rows, length) bool: which cells are no padding."""
        if self.cell is None:
            return torch.ones(self.n_rows, self.length, dtype=torch.bool)
        flags = torch.zeros(self.n_rows * self.length, dtype=torch.bool, device=self.cell.device)
        flags[self.cell] = True
        return flags.unflatten(0, (self.n_rows, self.length))


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the sequences of a batch lie in its flat row of events."""

    lengths: LongVector
    """(n,) of each sequence, longest first."""
    offsets: LongVector
    """(n + 1,) where each begins."""
    groups: tuple[Group, ...]

    @property
    def n_events(self) -> int:
        """N, the events of all sequences together."""
        return int(self.offsets[-1])

    @property
    def padded(self) -> float:
        """The share of attention's cells that are padding."""
        cells = sum(group.n_rows * group.length for group in self.groups)
        return 1 - self.n_events / cells if cells else 0.0

    def last(self, device: torch.device | None = None) -> Tensor:
        """(n,) the place of the last event of each sequence."""
        return torch.as_tensor(self.offsets[1:] - 1, device=device)

    def positions(self) -> LongVector:
        """(N,) the place of each event in its own sequence, from 0."""
        return np.arange(self.n_events) - np.repeat(self.offsets[:-1], self.lengths)

    @classmethod
    def of(cls, lengths: LongVector, device: torch.device | None = None, slack: float = SLACK) -> Layout:
        """Lay out sequences of these lengths, longest first.

        Raises:
            ValueError: they are not in falling order, or one is empty.
        """
        lengths = np.asarray(lengths, np.int64)
        if len(lengths) and (lengths[-1] < 1 or (np.diff(lengths) > 0).any()):
            raise ValueError("lengths of at least 1, in falling order, are expected")
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        groups = tuple(_group(lengths, offsets, first, stop, device) for first, stop in _cuts(lengths, slack))
        return cls(lengths, offsets, groups)


def _cuts(lengths: LongVector, slack: float) -> Iterator[tuple[int, int]]:
    """Where groups begin and end: each as long as its shortest sequence is not too short."""
    first = 0
    while first < len(lengths):
        least = lengths[first] * (1 - slack)
        stop = first + int(np.searchsorted(-lengths[first:], -least, side="right"))
        yield first, stop
        first = stop


def _group(lengths: LongVector, offsets: LongVector, first: int, stop: int, device: torch.device | None) -> Group:
    own, length = lengths[first:stop], int(lengths[first])
    events = slice(int(offsets[first]), int(offsets[stop]))
    if own[-1] == length:
        return Group(slice(first, stop), events, length, None, None)
    column = np.arange(length)
    shown = offsets[first:stop, None] + np.minimum(column, own[:, None] - 1)
    cell = np.flatnonzero((column < own[:, None]).ravel())
    return Group(
        slice(first, stop),
        events,
        length,
        torch.as_tensor(shown.ravel(), device=device),
        torch.as_tensor(cell, device=device),
    )
