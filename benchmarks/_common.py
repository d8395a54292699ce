"""What every benchmark needs: a clock, the machine in words, results written whole."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("zhiyin", "numpy", "scipy", "duckdb", "pyarrow", "torch", "implicit")


class Clock:
    """Wall and CPU seconds of a block; CPU seconds are the fair clock on a shared machine."""

    wall = cpu = 0.0


@contextmanager
def clock() -> Iterator[Clock]:
    found = Clock()
    wall, cpu = time.perf_counter(), time.process_time()
    yield found
    found.wall, found.cpu = time.perf_counter() - wall, time.process_time() - cpu


def machine() -> dict[str, Any]:
    """The machine and the versions, without names or paths."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def kept_file(folder: Path, label: str, seed: int) -> Path:
    """Where it is kept what a run found for each case."""
    return folder / f"{re.sub('[^a-z0-9_]+', '-', label)}-{seed}.npz"


def is_kept(file: Path, settings: str) -> bool:
    """Whether a file keeps what was found with these settings."""
    return file.is_file() and str(np.load(file)["settings"]) == settings


def device_name(device: str | None) -> str:
    """Where a model learns, in words: the CPU, or a GPU with the torch that works on it."""
    if device is None or device == "cpu":
        return "cpu"
    import torch

    return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"


def learning_curve(run: dict[str, Any], cost: float) -> list[tuple[float, float, float]]:
    """(epoch, CPU seconds, validation NDCG@10) of each measurement of a run of `sequences.py`.

    Args:
        run: a row of its results.
        cost: CPU seconds of an epoch, see `sequences_costs.py`.
    """
    if "slice" in run["settings"]:  # measured within an epoch
        epochs = [point[1] / run["epoch_cpu"] for point in run["curve"]]
    else:
        every = run["settings"].get("measure_every", 1)
        epochs = [min(every * (place + 1), epochs_of(run)) for place in range(len(run["curve"]))]
    return [(epoch, cost * epoch, point[2]) for epoch, point in zip(epochs, run["curve"], strict=True)]


def epochs_of(run: dict[str, Any]) -> float:
    """How many epochs a run of `sequences.py` took; those of other libraries may end within one."""
    if "slice" in run["settings"]:
        return float(run["curve"][-1][1] / run["epoch_cpu"])
    return float(run.get("epochs", len(run["curve"])))


def _processor() -> str:
    lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else platform.processor()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def peak_mib() -> float:
    """The most memory that this process has held so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_results(name: str, content: dict[str, Any]) -> Path:
    """Write results/NAME.json with the machine beside them."""
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **content}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")
    return path


def peer(split: Any, library: str, python: str, options: dict[str, Any]) -> dict[str, Any]:
    """What `peers/LIBRARY_sasrec.py` finds on a split, run by the Python of an environment that has the library."""
    asked = split.test.queries.histories
    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work) / "in.npz", Path(work) / "out.npz"
        np.savez(
            source,
            offsets=split.train.histories.offsets,
            item=split.train.histories.item,
            full_offsets=asked.offsets,
            full_item=asked.item,
            validation=split.validation.targets.item,
            n_items=split.train.n_items,
        )
        script = Path(__file__).parent / "peers" / f"{library}_sasrec.py"
        command = [python, str(script), str(source), str(target), json.dumps(options)]
        if subprocess.run(command, text=True, stdout=sys.stderr).returncode:
            raise SystemExit(f"{script.name} failed")
        return dict(np.load(target))


def child(code: str, *arguments: str, python: str = sys.executable) -> dict[str, Any]:
    """Run Python code in a process of its own and read the JSON of its last line."""
    done = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1])
