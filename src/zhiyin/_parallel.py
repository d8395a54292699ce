"""Work in blocks of rows: bounded memory, several threads, and the same result whatever their number.

Threads pay where the time is spent in numpy, scipy.sparse and BLAS, which let go of the interpreter while they compute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

from zhiyin.run import Run

T = TypeVar("T")

BLOCKS_AT_ONCE = 8
"""One block takes at most this part of the memory of a run, so that as many threads can work at the same time."""


def rows_at_once(row_bytes: int, run: Run) -> int:
    """How many rows one block has. It depends on the memory alone, never on the number of threads."""
    return max(1, run.block_rows(row_bytes) // BLOCKS_AT_ONCE)


def in_blocks(task: Callable[[int, int], T], n_rows: int, row_bytes: int, run: Run, description: str) -> list[T]:
    """The results of `task(start, stop)` for consecutive blocks of rows, in their order.

    Args:
        task: pure: it changes nothing that another block reads.
        n_rows: how many rows there are in all.
        row_bytes: what one row takes while it is worked on.
        run: threads, memory and progress.
        description: what to show beside the progress.
    """
    rows = rows_at_once(row_bytes, run)
    steps = [(start, min(start + rows, n_rows)) for start in range(0, n_rows, rows)]
    fitting = max(1, run.block_rows(row_bytes) // rows)
    results = _ordered(task, steps, min(run.threads, fitting))
    return list(run.progress.track(results, len(steps), description))


def _ordered(task: Callable[[int, int], T], steps: Sequence[tuple[int, int]], threads: int) -> Iterator[T]:
    if len(steps) < 2:  # then the threads of BLAS are the only ones that can help
        yield from (task(*step) for step in steps)
    elif threads < 2:
        with _BLAS.one_thread():
            yield from (task(*step) for step in steps)
    else:
        yield from _pooled(task, steps, threads)


def _pooled(task: Callable[[int, int], T], steps: Sequence[tuple[int, int]], threads: int) -> Iterator[T]:
    pool = ThreadPoolExecutor(threads, "zhiyin")
    try:
        with _BLAS.one_thread():
            yield from _windowed(pool, task, iter(steps), 2 * threads)
    finally:
        pool.shutdown(cancel_futures=True)


def _windowed(
    pool: ThreadPoolExecutor, task: Callable[[int, int], T], steps: Iterator[tuple[int, int]], ahead: int
) -> Iterator[T]:
    """Keep `ahead` tasks given out, so that a slow reader holds back the work and Ctrl-C ends it soon."""
    waiting: deque[Future[T]] = deque(pool.submit(task, *step) for step in islice(steps, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(task, *step) for step in islice(steps, 1))


class _Blas:
    """Holds BLAS to one thread while our own threads work: two kinds of them on the same cores wait for each other.

    The number of BLAS threads belongs to the whole process, so the first who comes sets it and the last who goes sets
    it back. Where `threadpoolctl` is not installed (it comes with implicit and with scikit-learn) BLAS stays as it
    is, and some time is lost.
    """

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._limit: Any = None

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            self._inside += 1
            controller = _controller() if self._inside == 1 else None
            if controller is not None:
                self._limit = controller.limit(limits=1, user_api="blas")

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._limit is not None:
                self._limit.restore_original_limits()
                self._limit = None


_BLAS = _Blas()


def _controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
