"""Run every benchmark, one after the other, on an otherwise idle machine; takes about half an hour on two cores.

python benchmarks/run.py --data FOLDER [--peer rectools=PYTHON] [--peer lenskit=PYTHON]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def commands(data: Path, peers: list[str]) -> list[list[str]]:
    """Each script with its arguments."""
    sets = [str(data / name) for name in ("movielens-1m", "amazon-beauty")]
    return [
        ["startup.py"],
        ["classics.py", "--data", str(data), *(part for peer in peers for part in ("--peer", peer))],
        ["neighbours.py", *sets],
        ["bpr_reading.py", "--data", str(data)],
        ["defaults.py", "--data", str(data)],
        ["evaluation_speed.py", "--data", str(data)],
        ["prepare_scale.py"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of uniform Parquet sets")
    parser.add_argument("--peer", action="append", default=[], help="library=PYTHON")
    chosen = parser.parse_args()
    for script, *arguments in commands(chosen.data, chosen.peer):
        print(f"\n== {script} {' '.join(arguments)}", flush=True)
        subprocess.run([sys.executable, str(HERE / script), *arguments], check=True)


if __name__ == "__main__":
    main()
