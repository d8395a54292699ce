"""Torch for models: whether it is there, and the device that a run asks for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from zhiyin._torch import torch_threads as lent_threads
from zhiyin.errors import ConfigError, MissingExtra
from zhiyin.run import Run

if TYPE_CHECKING:
    import torch

NO_SLOWER = 1.1
"""bfloat16 is refused where its products take so many times as long as those of float32: less than that is noise."""


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
    """The device on which a run makes a net.

    Raises:
        ConfigError: it is not there.
    """
    import torch

    from zhiyin.nn.distributed import own_device

    try:
        device = own_device(torch.device(run.device or "cpu"))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0].partition(". ")[0]
        raise ConfigError(
            f"{name} was asked to run on {run.device!r}, which is not there ({said}); use 'cpu'"
        ) from None
    return device


def precision_of(run: Run, device: torch.device, name: str) -> Callable[[], AbstractContextManager[Any]]:
    """What surrounds the work of a net so that it has the precision of a run.

    Raises:
        ConfigError: bfloat16 was asked for, and products of it are slower than those of float32 on this device.
    """
    import torch

    if run.precision == "float32":
        return nullcontext
    times = bfloat16_seconds(device) / product_seconds(device, torch.float32)
    if times > NO_SLOWER:
        raise ConfigError(
            f"{name} was asked to learn with bfloat16, but its products take {times:.1f} times as long as those of "
            f"float32 on {device}; leave precision at 'float32'"
        )
    return partial(torch.autocast, device.type, dtype=torch.bfloat16)


def bfloat16_seconds(device: torch.device) -> float:
    """`product_seconds` of bfloat16; endless where a device has no such products."""
    import torch

    try:
        return product_seconds(device, torch.bfloat16)
    except RuntimeError:
        return float("inf")


def product_seconds(device: torch.device, kind: torch.dtype) -> float:
    """Seconds of a product of two square matrices, large ones where small ones take no time; the fastest of a few."""
    import torch

    size = 512 if device.type == "cpu" else 4096
    one = torch.ones(size, size, dtype=kind, device=device)
    found = []
    for _ in range(6):
        start = time.perf_counter()
        (one @ one)[0, 0].item()  # waits for a device that works beside
        found.append(time.perf_counter() - start)
    return min(found)


def torch_threads(run: Run) -> AbstractContextManager[None]:
    """Torch works with the threads of a run, or its share of them beside other processes, and then as before."""
    from zhiyin.nn.distributed import neighbours

    return lent_threads(run.threads // neighbours())
