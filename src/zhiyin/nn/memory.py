"""Memory: what a training step will take, said before the training instead of by the operating system in the middle.

An estimate from the settings alone: the tensors that the blocks of `zhiyin.nn` keep for the backward pass, counted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from zhiyin.errors import ConfigError
from zhiyin.nn.losses import BLOCK_FLOATS

FLOAT = 4
"""Bytes of a number."""

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the memory of a training step depends on, beside the events in a batch."""

    width: int
    """Of a vector (embedding_size)."""
    n_layers: int
    n_heads: int
    max_length: int
    """Of a window; where no history is that long, the longest."""
    n_items: int
    hidden: int | None = None
    """Between the products of a feed-forward part; four times `width` by default."""
    n_negatives: int | None = None
    """None for the softmax over all items."""
    table_rows: int | None = None
    """Rows of the item table; `n_items` by default, parts * n_codes for product codes of rows of `row_width`."""
    row_width: int | None = None
    """Of a row of the item table; `width` by default."""
    sparse: bool = False
    """Whether the item table has sparse gradients."""
    gated: bool = False
    """Whether blocks have gates and a feed-forward part of three products (block ligr)."""
    biased: bool = False
    """Whether each pair of events has a bias of its own (relations in time)."""
    convolution: int = 0
    """Events that are mixed into each ahead of every block."""
    average: bool = True
    """Whether a moving average of the weights is kept."""
    copied: bool = False
    """Whether the item vectors are a copy of the table, as nothing is known of some items."""
    measured: bool = True
    """Whether the best weights are kept."""
    seen: int | None = None
    """Events that one event attends to at most; `max_length` by default."""


def needed_bytes(shape: Footprint, batch_events: int) -> int:
    """About how many bytes a training takes at its peak, in a step of so many events, beyond the data and Python."""
    return fixed_bytes(shape) + round(event_bytes(shape) * batch_events)


def fixed_bytes(shape: Footprint) -> int:
    """About how many bytes a training takes whatever the size of a batch: weights, what belongs to them, candidates."""
    width, hidden = shape.width, shape.hidden or 4 * shape.width
    net = shape.n_layers * (6 * width**2 + 3 * width * hidden)  # the largest kind of block
    rows, row_width = shape.table_rows or shape.n_items, shape.row_width or width
    table = rows * row_width
    composed = (rows, row_width) != (shape.n_items, width)
    kept = 1 + 2 + shape.measured  # the weights, Adam's two moments, the best weights
    dense = kept + 1 + shape.average  # their gradient
    total = dense * net + (kept if shape.sparse else dense) * table
    if not shape.sparse:
        total += 2 * table  # gradients of several uses of the table before they are summed
    if shape.n_negatives is None:
        total += 2 * shape.n_items * width + 2 * max(BLOCK_FLOATS, shape.n_items)
        total += 2 * shape.n_items * width if composed else 0
    else:
        total += 4 * shape.n_negatives * width + 2 * max(BLOCK_FLOATS, shape.n_negatives)
    if shape.copied and not composed:
        total += shape.n_items * width  # all item vectors, without those of which nothing is known
    if composed and shape.measured:
        total += 2 * shape.n_items * width  # all item vectors, when it is measured
    return total * FLOAT


def event_bytes(shape: Footprint) -> float:
    """About how many bytes each event of a batch takes."""
    width, hidden = shape.width, shape.hidden or 4 * shape.width
    pairs = shape.n_heads * (shape.seen or shape.max_length)
    # states before and after each norm and product, queries, keys, values, masks; the feed-forward part; weights
    layer = 10 * width + 2 * hidden + pairs * (1 + shape.biased)
    layer += (4 * width + 2 * hidden) * shape.gated + width * shape.convolution
    backward = 8 * width + 2 * hidden + pairs * shape.biased  # gradients on their way, of one layer at a time
    ends = 12 * width + 16  # what enters, and states, targets and their gradients at the loss
    return float(FLOAT * (shape.n_layers * layer + backward + ends))


def check_memory(
    shape: Footprint,
    batch_events: int,
    device: torch.device | None = None,
    name: str = "training",
    *,
    processes: int = 1,
    sharers: int = 1,
) -> None:
    """Refuse a training that will not fit.

    Args:
        shape: of the net and its loss.
        batch_events: events of a batch, of all processes together.
        device: whose memory; that of the machine by default.
        name: for the message.
        processes: that train together, each on its share of a batch.
        sharers: those of them on this machine, which share its memory.

    Raises:
        ConfigError: less memory is free than needed. Where nobody knows what is free, nothing is raised.
    """
    free = free_bytes(device)
    if free is None:
        return
    needed = needed_bytes(shape, -(-batch_events // processes))
    if device is None or device.type == "cpu":
        free //= max(1, sharers)
    if needed <= free:
        return
    fits = int((free - fixed_bytes(shape)) // event_bytes(shape)) * processes
    if fits >= min(shape.max_length * processes, batch_events):
        advice = f"batch_size={fits} would fit"
    else:
        advice = (
            f"no batch_size fits: its {shape.n_items:,} items and layers alone take about "
            f"{_gib(fixed_bytes(shape))}; take a smaller embedding_size, product codes, n_negatives or fewer layers"
        )
    raise ConfigError(
        f"{name} with batches of {batch_events:,} events, embedding_size={shape.width}, n_layers={shape.n_layers} and "
        f"windows of {shape.max_length} events needs about {_gib(needed)}{' a process' if processes > 1 else ''}, but "
        f"{_gib(free)} are free{' for each' if sharers > 1 else ''} on {device or 'this machine'}; {advice}"
    )


def free_bytes(device: torch.device | None = None) -> int | None:
    """The free memory of a device, or of the machine; None where nobody knows."""
    if device is not None and device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device is not None and device.type != "cpu":
        return None
    known = [one for one in (_available(), _left_of_group()) if one is not None]
    return min(known, default=None)


def _available() -> int | None:
    """What Linux says is available, or else the free pages that the system counts."""
    try:
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on this system
        return None


def _left_of_group() -> int | None:
    """What the limit of a container leaves; None without one. Cached files count as free."""
    try:
        most = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        taken = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        stat = (CGROUP / "memory.stat").read_text(encoding="ascii").split()
        cached = int(stat[stat.index("inactive_file") + 1])
    except (OSError, ValueError):  # no limit is the word "max"
        return None
    return max(0, most - taken + cached)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
