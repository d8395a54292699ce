"""Run every benchmark, one after the other, on an otherwise idle machine.

python benchmarks/run.py --data FOLDER [--only SCRIPT ...] [--peer rectools=PYTHON] [--peer lenskit=PYTHON]

On two cores, the scripts of sequence models (`sequences*.py`) take most of a day, `semantics.py` and `two_stage.py`
half a day each, all others an hour or two together.
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
        ["sequences_speed.py", "--data", str(data)],
        ["sequences_switches.py", "--data", str(data)],
        ["sequences_time.py", "--data", str(data)],
        ["sequences.py", "--data", str(data), *(part for peer in peers for part in ("--peer", peer))],
        ["encoders.py"],
        ["semantics.py", "--data", str(data), "--work", str(HERE / ".semantics")],
        ["curves.py"],
        ["ratings.py", "--data", str(data), *_of(peers, "surprise", "lenskit")],
        ["off_policy.py", "--data", str(data), *_of(peers, "obp")],
        ["uplift.py"],
        ["two_stage.py", "--data", str(data)],
        ["ranking_speed.py", "--data", str(data)],
        ["ctr.py", "--data", str(data)],
    ]


def _of(peers: list[str], *names: str) -> list[str]:
    """Those of the other libraries that a script can run."""
    return [part for peer in peers if peer.partition("=")[0] in names for part in ("--peer", peer)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of uniform Parquet sets")
    parser.add_argument("--only", nargs="*", default=[], help="the names of some scripts")
    parser.add_argument("--peer", action="append", default=[], help="library=PYTHON")
    chosen = parser.parse_args()
    for script, *arguments in commands(chosen.data, chosen.peer):
        if chosen.only and script not in chosen.only:
            continue
        print(f"\n== {script} {' '.join(arguments)}", flush=True)
        subprocess.run([sys.executable, str(HERE / script), *arguments], check=True)


if __name__ == "__main__":
    main()
