"""What judging costs beyond fitting and recommending: seven models on one set, every default metric, intervals, tests.

    python benchmarks/evaluation_speed.py --data FOLDER [--set movielens-1m]

FOLDER holds sets of uniform Parquet. Both splits are run; `beyond` is the wall time of `compare` less the fits and the
recommendations that it reports.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from _common import clock, write_results
from zhiyin.data.prepare import prepare
from zhiyin.data.sources.folder import open_folder
from zhiyin.evaluation.compare import compare

MODELS = ("popularity", "user_knn", "item_knn", "ease", "als", "content", "blend")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", default="movielens-1m")
    chosen = parser.parse_args()
    events, items, users = open_folder(chosen.data / chosen.set)
    dataset = prepare(events, items, users, name=chosen.set)
    found: dict[str, Any] = {}
    for split in ("leave_last_out", "global_time"):
        with clock() as whole:
            report = compare(dataset, MODELS, split=split)
        models = {
            one.name: {"fit": one.fit_seconds, "recommend": one.recommend_seconds, "peak_mib": one.peak_mib}
            for one in report.models
        }
        beyond = whole.wall - sum(one["fit"] + one["recommend"] for one in models.values())
        found[split] = {"wall": whole.wall, "cpu": whole.cpu, "beyond": beyond, "models": models}
        print(f"{split}: {whole.wall:.1f} s, of which {beyond:.1f} s beyond fitting and recommending (target 120 s)")
    write_results("evaluation_speed", {"set": chosen.set, "events": dataset.n_events, "splits": found})


if __name__ == "__main__":
    main()
