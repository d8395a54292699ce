"""Cost: what a piece of work took, in seconds and in memory."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")

RESET = "peak of the resident set during the work, above the resident set before it (VmHWM, reset before each model)"
LIFETIME = (
    "growth of the process's lifetime peak of the resident set (ru_maxrss): a lower bound, 0 for a model that stays "
    "below the peak of an earlier one"
)
UNKNOWN = "not measured: this system does not tell"


@dataclass(slots=True)
class Cost:
    """Filled in when the work is over: wall-clock and processor seconds of all threads, and the memory that it took."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    memory_method: str = ""
    laps: list[float] = field(default_factory=list)
    """Wall-clock seconds of each part that `lap` ended."""
    _started: float = 0.0

    def lap(self) -> None:
        """End one part of the work and begin the next."""
        self.laps.append(time.perf_counter() - self._started - sum(self.laps))


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block. Memory is that of this process, so run nothing else in it meanwhile."""
    cost = Cost()
    before, cost.memory_method = _begin()
    cost._started, processor = time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - cost._started
        cost.cpu_seconds = time.process_time() - processor
        cost.peak_mib = max(0.0, _peak_kib(cost.memory_method) - before) / 1024


def _begin() -> tuple[float, str]:
    """The memory before the work in KiB, and how its peak will be read: Linux can forget the old peak where allowed."""
    _give_back()
    try:
        _CLEAR.write_text("5")
        return _status("VmRSS:"), RESET
    except OSError:
        method = LIFETIME if find_spec("resource") else UNKNOWN
        return _peak_kib(method), method


def _give_back() -> None:
    """Return freed memory to the system, so that work is not spared the memory that earlier work left behind."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _peak_kib(method: str) -> float:
    if method == RESET:
        return _status("VmHWM:")
    if method == UNKNOWN:
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else float(peak)


def _status(name: str) -> float:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name):
            return float(line.split()[1])
    raise OSError(f"{_STATUS} has no {name}")
