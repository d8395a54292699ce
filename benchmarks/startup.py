"""How long it takes to start: importing the front door, listing what exists, showing the help.

    python benchmarks/startup.py

Each command runs in a process of its own, once to warm the file cache and then ten times; the bare interpreter runs
beside.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from _common import write_results

RUNS = 10
COMMANDS = {
    "python (nothing)": ["-c", "pass"],
    "import zhiyin": ["-c", "import zhiyin"],
    "zhiyin.models.available()": ["-c", "import zhiyin.models; zhiyin.models.available()"],
    "zhiyin --help": ["-m", "zhiyin", "--help"],
}
TARGETS = {"import zhiyin": 150, "zhiyin --help": 400}


def milliseconds(arguments: list[str]) -> float:
    """The wall time of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    found = {}
    for name, arguments in COMMANDS.items():
        times = [milliseconds(arguments) for _ in range(RUNS + 1)][1:]
        found[name] = {"median_ms": median(times), "min_ms": min(times), "max_ms": max(times)}
        target = f"   target {TARGETS[name]} ms" if name in TARGETS else ""
        print(f"{name:28s} median {median(times):6.0f} ms   {min(times):.0f} to {max(times):.0f}{target}")
    write_results("startup", {"runs": RUNS, "commands": found, "targets_ms": TARGETS})


if __name__ == "__main__":
    main()
