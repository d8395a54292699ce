import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import pytest

from zhiyin import _parallel
from zhiyin._parallel import in_blocks, rows_at_once
from zhiyin.run import Run

T = TypeVar("T")
KIB = 1024


def test_results_come_in_order_from_several_threads() -> None:
    names = set()

    def task(start: int, stop: int) -> tuple[int, int]:
        names.add(threading.current_thread().name)
        time.sleep(0.02 if start == 0 else 0.001)
        return start, stop

    run = Run(threads=4, memory_mib=1)
    found = in_blocks(task, 1000, 2 * KIB, run, "count")  # 64 rows a block
    assert found == [(start, min(start + 64, 1000)) for start in range(0, 1000, 64)]
    assert len(names) > 1


def test_blocks_depend_on_memory_and_never_on_threads() -> None:
    assert rows_at_once(KIB, Run(threads=1, memory_mib=8)) == rows_at_once(KIB, Run(threads=9, memory_mib=8)) == 1024
    assert rows_at_once(2**40, Run()) == 1


def test_no_more_blocks_are_open_than_the_memory_holds() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def task(start: int, stop: int) -> None:
        nonlocal now, most
        with lock:
            now += stop - start
            most = max(most, now)
        time.sleep(0.001)
        with lock:
            now -= stop - start

    in_blocks(task, 60, 700 * KIB, Run(threads=16, memory_mib=3), "watch")  # four rows fit
    assert 1 < most <= 4


def test_no_rows_no_work() -> None:
    assert in_blocks(lambda start, stop: start, 0, 8, Run(), "nothing") == []


def test_an_error_ends_the_work_soon() -> None:
    done = []

    def task(start: int, stop: int) -> None:
        if start == 0:
            raise ValueError("the first block is broken")
        time.sleep(0.005)
        done.append(start)

    with pytest.raises(ValueError, match="broken"):
        in_blocks(task, 10_000, KIB * KIB, Run(threads=2, memory_mib=8), "fail")
    assert len(done) < 100


def test_progress_sees_every_block() -> None:
    class Count:
        steps: int
        total: int | None

        def track(self, steps: Iterable[T], total: int | None, description: str) -> Iterator[T]:
            self.steps, self.total = 0, total
            for step in steps:
                self.steps += 1
                yield step

    progress = Count()
    in_blocks(lambda start, stop: None, 100, 8 * KIB, Run(threads=2, memory_mib=1, progress=progress), "look")
    assert progress.steps == progress.total == 7


def test_blas_has_one_thread_while_ours_work_and_its_own_again_afterwards() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def limits(*_: int) -> set[int]:
        return {one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"}

    np.ones((2, 2)) @ np.ones((2, 2))
    before = limits()
    inside = in_blocks(limits, 40, 64 * KIB, Run(threads=2, memory_mib=1), "look")
    assert set().union(*inside) == {1}
    assert limits() == before
    with pytest.raises(ZeroDivisionError):
        in_blocks(lambda start, stop: 1 // start, 40, 64 * KIB, Run(threads=2, memory_mib=1), "fail")
    assert limits() == before


def test_without_threadpoolctl_the_work_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "threadpoolctl", None)
    assert _parallel._controller() is None
    assert len(in_blocks(lambda start, stop: start, 40, 64 * KIB, Run(threads=2, memory_mib=1), "work")) == 20
