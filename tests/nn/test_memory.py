import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zhiyin.errors import ConfigError
from zhiyin.nn import memory
from zhiyin.nn.memory import Footprint, check_memory, event_bytes, fixed_bytes, free_bytes, needed_bytes

SHAPE = Footprint(width=64, n_layers=2, n_heads=2, max_length=100, n_items=20_000, n_negatives=512)

STEP = """
import numpy as np, torch
from zhiyin.data.histories import Histories
from zhiyin.nn.batches import BatchMaker
from zhiyin.nn.encoder import TransformerEncoder
from zhiyin.nn.items import PlainItems
from zhiyin.nn.losses import sampled_loss
from zhiyin.nn.negatives import NegativeSampler
from zhiyin.nn.reading import Reading
from zhiyin.nn.training import Plan, Training
from zhiyin.run import Run

torch.set_num_threads(1)
LENGTH, WIDTH, N_ITEMS, EVENTS, REACH = {length}, {width}, {n_items}, {events}, {reach}
drawn = np.random.default_rng(0).integers(0, N_ITEMS, (EVENTS // LENGTH, LENGTH + 1))
past = Histories.of_lists(drawn.tolist())
sampler = NegativeSampler("uniform", np.ones(N_ITEMS, np.int64), 512)

def train(width, n_items, histories):
    reading = Reading.fit(["position"], LENGTH, histories, 0)
    table, sizes = PlainItems(n_items, width), reading.sizes
    net = TransformerEncoder(table, width, sizes, dropout=0.2, max_length=LENGTH, convolution=REACH)
    maker = BatchMaker(reading, LENGTH)
    def loss(windows, generator):
        batch = maker.training(histories, windows, generator)
        states, target = net(batch), batch.target
        drawn = sampler.draw(generator, target)
        return sampled_loss(states, net.items(target), net.items(drawn.items), target, drawn), batch.n_events
    plan = Plan(epochs=2, average=0.9)
    whole = np.stack([histories.offsets[:-1], np.full(len(histories), LENGTH)], 1)
    Training(net, lambda g: [whole], loss, lambda: 0.0, plan, Run()).go()

def peak():
    # not getrusage's: that begins with what the process that started this one holds
    status = open("/proc/self/status").read().split()
    return int(status[status.index("VmHWM:") + 1]) * 1024

train(8, N_ITEMS, past.take([0]))  # what is loaded and made on first use
before = peak()
train(WIDTH, N_ITEMS, past)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("length", "width", "n_items", "events", "reach"),
    [(128, 64, 1000, 8192, 0), (16, 64, 60_000, 1024, 0), (128, 64, 1000, 8192, 16)],
    ids=["events", "table", "convolution"],
)
def test_the_estimate_is_near_the_measured_peak(length: int, width: int, n_items: int, events: int, reach: int) -> None:
    code = STEP.format(length=length, width=width, n_items=n_items, events=events, reach=reach)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    measured = int(done.stdout)
    shape = Footprint(
        width=width, n_layers=2, n_heads=2, max_length=length, n_items=n_items, n_negatives=512, convolution=reach
    )
    assert 0.6 < needed_bytes(shape, events) / measured < 1.6, (needed_bytes(shape, events), measured)


@pytest.mark.parametrize(
    ("change", "grows"),
    [
        ({"width": 128}, True),
        ({"n_layers": 4}, True),
        ({"n_heads": 4}, True),
        ({"max_length": 200}, True),
        ({"n_items": 40_000}, True),
        ({"hidden": 512}, True),
        ({"n_negatives": 4096}, True),
        ({"n_negatives": None}, True),
        ({"biased": True}, True),
        ({"gated": True}, True),
        ({"convolution": 3}, True),
        ({"sparse": True}, False),
        ({"average": False}, False),
        ({"measured": False}, False),
    ],
)
def test_the_estimate_follows_each_setting(change: dict[str, int], grows: bool) -> None:
    more = needed_bytes(replace(SHAPE, **change), 6400) > needed_bytes(SHAPE, 6400)
    assert more is grows


def test_product_codes_need_less_than_rows() -> None:
    rows = replace(SHAPE, n_items=1_000_000)
    codes = replace(rows, table_rows=8 * 256, row_width=8)
    assert needed_bytes(codes, 6400) < needed_bytes(rows, 6400) / 2


def free(monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device=None: size)


def test_what_fits_is_let_through_and_what_does_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = needed_bytes(SHAPE, 6400)
    free(monkeypatch, needed)
    check_memory(SHAPE, 6400)
    with pytest.raises(
        ConfigError, match="sasrec with batches of 6,500 events, embedding_size=64, n_layers=2"
    ) as caught:
        check_memory(SHAPE, 6500, name="sasrec")
    assert f"{needed / 2**30:.2f} GiB are free" in str(caught.value)


def test_the_batch_size_of_the_advice_is_the_largest_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    size = needed_bytes(SHAPE, 6400) + 1
    free(monkeypatch, size)
    with pytest.raises(ConfigError, match="batch_size=6400 would fit"):
        check_memory(SHAPE, 64_000)
    assert needed_bytes(SHAPE, 6401) > size


def test_the_advice_is_of_the_batch_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 4 * needed_bytes(SHAPE, 1600) + 4)
    check_memory(SHAPE, 6400, processes=4, sharers=4)
    with pytest.raises(ConfigError, match=r"a process, .* free for each .* batch_size=6400 would fit"):
        check_memory(SHAPE, 6404, processes=4, sharers=4)


def test_where_no_batch_fits_the_advice_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, fixed_bytes(SHAPE) + 10 * round(event_bytes(SHAPE)))
    with pytest.raises(ConfigError, match="no batch_size fits: its 20,000 items"):
        check_memory(SHAPE, 6400)


def test_processes_of_one_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 2 * needed_bytes(SHAPE, 6400))
    check_memory(SHAPE, 6400, sharers=2)
    with pytest.raises(ConfigError):
        check_memory(SHAPE, 6400, sharers=3)
    check_memory(SHAPE, 6400, torch.device("cuda"), sharers=3)  # each has a device of its own


def test_where_nobody_knows_what_is_free_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, None)
    check_memory(SHAPE, 10**12)


def test_free_memory_is_read_from_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 2000 kB\nMemAvailable:    1000 kB\n", encoding="ascii")
    assert free_bytes() == 1000 * 1024
    assert free_bytes(torch.device("cpu")) == 1000 * 1024


@pytest.mark.parametrize(
    ("limit", "left"), [("max", 1_024_000), ("900000", 500_000), ("300000", 0), ("9000000", 1_024_000)]
)
def test_the_limit_of_a_container_counts(
    limit: str, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemAvailable: 1000 kB\n", encoding="ascii")
    (tmp_path / "memory.max").write_text(f"{limit}\n", encoding="ascii")
    (tmp_path / "memory.current").write_text("500000\n", encoding="ascii")
    (tmp_path / "memory.stat").write_text("anon 400000\ninactive_file 100000\n", encoding="ascii")
    assert free_bytes() == left


def test_an_unknown_system_or_device_has_no_known_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: (_ for _ in ()).throw(ValueError(name)))
    assert free_bytes() is None
    assert free_bytes(torch.device("meta")) is None
