"""How many threads torch works with: a number of the whole process, lent to whoever works and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local


class _Threads:
    """How many threads torch had before anybody asked for another number: whoever leaves goes back to it.

    The number belongs to the process. One who came while others were inside has seen theirs, and must not restore it.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.before, self.own = Lock(), 0, 0, local()


_THREADS = _Threads()


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Torch works with so many threads, and then as before."""
    import torch

    all_, own = _THREADS, _THREADS.own
    outer = getattr(own, "threads", None)  # of this very thread, around this one
    with all_.lock:
        if not all_.inside:
            all_.before = torch.get_num_threads()
        all_.inside += 1
    own.threads = max(1, threads)
    torch.set_num_threads(own.threads)
    try:
        yield
    finally:
        own.threads = outer
        with all_.lock:
            all_.inside -= 1
            torch.set_num_threads(outer or all_.before)
