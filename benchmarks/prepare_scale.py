"""Preparation at scale: `zhiyin.prepare` beside the raw engine's read + sort + write of the same file, in one run.

    python benchmarks/prepare_scale.py --millions 5 10 20 40

For each size a log with text ids is written to a temporary Parquet file (seeded, in blocks): Zipf items, lognormal
users (one for 40 events), 1 % exact duplicates. Then, each in a process of its own:

    prepare       exact duplicates, 5-core, dense ids, sort, dataset folder; the raw events are kept for `append`
    lean          the same without keeping the raw events (appendable=False)
    raw           DuckDB: COPY (SELECT * FROM file ORDER BY user_id, time) TO Parquet, with the same memory limit
    raw unlimited the same without a memory limit

Wall, CPU seconds and peak memory are those of the whole process, as the system counts them. On a busy machine look at
the CPU seconds. Written to benchmarks/results/prepare_scale.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from _common import RESULTS, machine

N_ITEMS = 100_000
EVENTS_PER_USER = 40
BLOCK = 1_000_000
DUPLICATES = 0.01
YEAR = 365 * 86_400 * 1_000_000
TABLE = {"events": 12, "what": 14, "wall s": 8, "CPU s": 8, "peak MiB": 9, "events/s": 10, "x raw": 6, "x raw CPU": 9}
CHILDREN = {
    "prepare": """
import json, sys, zhiyin
path, out, threads, memory = sys.argv[1:5]
steps = ["exact_duplicates", {"name": "minimum_counts", "users": 5, "items": 5}]
run = zhiyin.Run(threads=int(threads))
made = zhiyin.prepare(path, steps=steps, out=out, run=run, memory_mib=int(memory), appendable=sys.argv[5] == "yes")
print(json.dumps({"counts": made.manifest.counts, "hash": made.content_hash,
                  "steps": [[one.name, one.rows_before, one.rows_after, one.note] for one in made.manifest.steps]}))
""",
    "raw": """
import sys, duckdb
path, out, threads, memory = sys.argv[1:5]
con = duckdb.connect()
con.execute(f"SET threads = {threads}; SET enable_progress_bar = false; SET temp_directory = '{out}.spill'")
if memory != "0":
    con.execute(f"SET memory_limit = '{memory}MiB'")
con.execute(f"COPY (SELECT * FROM read_parquet('{path}') ORDER BY user_id, time) TO '{out}' (FORMAT parquet)")
""",
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument(
        "--millions", type=float, nargs="+", default=[5, 10, 20, 40], help="Sizes, in millions of events."
    )
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument("--memory", type=int, default=2048, help="Memory limit of the engine, MiB.")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--folder", type=Path, help="Where to make the temporary folder.")
    asked.add_argument("--out", type=Path, default=RESULTS / "prepare_scale.json")
    options = asked.parse_args()
    print(" ".join(f"{title:>{width}}" for title, width in TABLE.items()))
    sizes = [measure(round(millions * 1e6), options) for millions in options.millions]
    found = {
        "what": "exact duplicates, 5-core, dense ids, sort: Parquet with text ids in, dataset folder out",
        "threads": options.threads,
        "memory_limit_mib": options.memory,
        "seed": options.seed,
        "machine": machine(),
        "sizes": sizes,
        "growth": growth(sizes),
    }
    if found["growth"] is not None:
        print(f"time grows with the number of events to the power of {found['growth']} (CPU seconds; 1 is linear)")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measure(n: int, options: argparse.Namespace) -> dict[str, Any]:
    """All four programs on one log of `n` events."""
    with tempfile.TemporaryDirectory(prefix="prepare-scale-", dir=options.folder) as name:
        folder = Path(name)
        log = folder / "events.parquet"
        generate(log, n, options.seed)
        threads, memory = str(options.threads), str(options.memory)
        runs = {
            "raw": child("raw", log, folder / "raw.parquet", threads, memory),
            "prepare": child("prepare", log, folder / "kept", threads, memory, "yes"),
            "raw unlimited": child("raw", log, folder / "free.parquet", threads, "0"),
            "lean": child("prepare", log, folder / "lean", threads, memory, "no"),
        }
        size = log.stat().st_size
    for what, run in runs.items():
        run["times_raw_wall"] = round(run["wall_s"] / runs["raw"]["wall_s"], 2)
        run["times_raw_cpu"] = round(run["cpu_s"] / runs["raw"]["cpu_s"], 2)
        run["events_per_s"] = round(n / run["wall_s"])
        print(
            f"{n:12,} {what:>14} {run['wall_s']:8.2f} {run['cpu_s']:8.2f} {run['peak_mib']:9,} "
            f"{run['events_per_s']:10,} {run['times_raw_wall']:6.2f} {run['times_raw_cpu']:9.2f}",
            flush=True,
        )
    return {"events": n, "users": n // EVENTS_PER_USER, "items": N_ITEMS, "parquet_bytes": size, "runs": runs}


def child(what: str, *arguments: str | Path) -> dict[str, Any]:
    """Run a program; what the system says of its time and memory, with what it printed."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", CHILDREN[what], *map(str, arguments)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{what} failed with exit code {process.returncode}")
    found = {
        "wall_s": round(wall, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mib": used.ru_maxrss // 1024,
    }
    return {**found, **(json.loads(said) if said else {})}


def generate(path: Path, n: int, seed: int) -> None:
    """Write the log, in blocks; the same for the same seed."""
    rng = np.random.default_rng(seed)
    users, items = names("user", n // EVENTS_PER_USER), names("item", N_ITEMS)
    of_user = np.cumsum(rng.lognormal(size=len(users)))
    of_item = np.cumsum(1 / np.arange(1, N_ITEMS + 1))
    writer = None
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        user = np.searchsorted(of_user, rng.random(size) * of_user[-1])
        item = np.searchsorted(of_item, rng.random(size) * of_item[-1])
        moment = 1_600_000_000_000_000 + rng.integers(0, YEAR, size)
        copies, originals = rng.random(size) < DUPLICATES, rng.integers(0, size, size)
        for column in (user, item, moment):
            column[copies] = column[originals[copies]]
        block = pa.table(
            {"user_id": users.take(pa.array(user)), "item_id": items.take(pa.array(item)), "time": pa.array(moment)}
        )
        writer = writer or pq.ParquetWriter(path, block.schema, compression="zstd")
        writer.write_table(block)
    assert writer is not None
    writer.close()


def names(stem: str, n: int) -> pa.Array:
    """Ids as a shop would have them: text, in an order that says nothing."""
    numbers = np.random.default_rng(n).permutation(n)
    return pc.binary_join_element_wise(stem, pa.array(numbers).cast(pa.string()), "-")


def growth(sizes: list[dict[str, Any]]) -> float | None:
    """The exponent with which CPU seconds grow between the smallest and the largest log."""
    if len(sizes) < 2:
        return None
    first, last = min(sizes, key=lambda one: one["events"]), max(sizes, key=lambda one: one["events"])
    ratio = last["runs"]["prepare"]["cpu_s"] / first["runs"]["prepare"]["cpu_s"]
    return round(math.log(ratio) / math.log(last["events"] / first["events"]), 3)


if __name__ == "__main__":
    main()
