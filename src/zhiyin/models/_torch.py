"""Torch for models: whether it is there, and the device that a run asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def torch_threads(run: Run) -> Iterator[None]:
    """Torch works with the threads of a run, or its share of them beside other processes, and then as before."""
    import torch

    from zhiyin.nn.distributed import neighbours

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, run.threads // neighbours()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
