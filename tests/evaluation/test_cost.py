import time

import numpy as np
import pytest

from zhiyin.evaluation import cost
from zhiyin.evaluation.cost import LIFETIME, measured


def test_time_is_that_of_the_block_and_of_its_parts() -> None:
    with measured() as found:
        time.sleep(0.3)
        found.lap()
        sum(range(200_000))
        found.lap()
    assert found.laps[0] >= 0.3
    assert found.seconds == pytest.approx(sum(found.laps), abs=0.01)
    assert 0 < found.cpu_seconds < found.seconds


def test_memory_is_the_peak_above_what_was_there_before() -> None:
    with measured() as found:
        np.ones(2**23).sum()  # 64 MiB
    assert found.memory_method
    assert found.peak_mib >= 55
    with measured() as after:
        pass
    if after.memory_method != LIFETIME:
        assert after.peak_mib < 20


def test_without_permission_the_lifetime_peak_is_used_and_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from pathlib import Path

    monkeypatch.setattr(cost, "_CLEAR", Path(str(tmp_path)) / "no" / "such" / "file")
    with measured() as found:
        np.ones(1000).sum()
    assert found.memory_method == LIFETIME
    assert found.peak_mib >= 0
