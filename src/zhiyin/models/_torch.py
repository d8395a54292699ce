"""Torch for models: whether it is there, and the device that a run asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import TYPE_CHECKING

from zhiyin.errors import ConfigError, MissingExtra
from zhiyin.run import Run

if TYPE_CHECKING:
    import torch


def torch_of(name: str) -> None:
    """See that torch is there, and let it have large pages where the system gives them: steps of one speed, not of two.

    Raises:
        MissingExtra: it is not.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read once, when torch first takes memory
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("sequence", "torch", name) from None


def device_of(run: Run, name: str) -> torch.device:
    """The device of a run.

    Raises:
        ConfigError: it is not there.
    """
    import torch

    from zhiyin.nn.distributed import own_device

    try:
        device = own_device(torch.device(run.device))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise ConfigError(
            f"{name} was asked to run on {run.device!r}, which is not there ({said}); use 'cpu'"
        ) from None
    return device


class _Threads:
    """How many threads torch had before anybody asked for another number: whoever leaves goes back to it.

    The number belongs to the process. One who came while others were inside has seen theirs, and must not restore it.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.before, self.own = Lock(), 0, 0, local()


_THREADS = _Threads()


@contextmanager
def torch_threads(run: Run) -> Iterator[None]:
    """Torch works with the threads of a run, or its share of them beside other processes, and then as before."""
    import torch

    from zhiyin.nn.distributed import neighbours

    all_, own = _THREADS, _THREADS.own
    outer = getattr(own, "threads", None)  # of this very thread, around this one
    with all_.lock:
        if not all_.inside:
            all_.before = torch.get_num_threads()
        all_.inside += 1
    own.threads = max(1, run.threads // neighbours())
    torch.set_num_threads(own.threads)
    try:
        yield
    finally:
        own.threads = outer
        with all_.lock:
            all_.inside -= 1
            torch.set_num_threads(outer or all_.before)
