"""Neighbourhood models beside implicit's, in one process: fit and recommend for everybody, seconds and agreement.

    python benchmarks/neighbours.py ../shared/data/movielens-1m --repeat 5

The folder holds `events.parquet` with user_id, item_id and time or position. The last event of each user is left out;
all items stay. Every repetition runs each library once, in turn, so that a busy machine is busy for both; the medians
of wall and of CPU seconds, and their ratios, are what to look at. Written to benchmarks/results/neighbours.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq
from scipy import sparse

from _common import Clock, clock, write_results
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.models.item_knn import ItemKNN
from zhiyin.models.user_knn import UserKNN
from zhiyin.run import Run

K, NEIGHBOURS = 10, 100


def read(folder: Path) -> Dataset:
    """The histories of a uniform Parquet folder without the last event of each user."""
    table = pq.read_table(folder / "events.parquet")
    users, user = np.unique(table["user_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    items, item = np.unique(table["item_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    columns = [name for name in ("position", "time") if name in table.column_names]
    keys = [table[name].to_numpy(zero_copy_only=False) for name in columns]
    order = np.lexsort((*keys, user))
    histories = Histories.of_lengths(np.bincount(user), item=item[order].astype(np.int32))
    kept = histories.keep(histories.from_end() > 0)
    return Dataset.of(kept, items.tolist(), users.tolist(), clock="position", name=folder.name)


Seconds: TypeAlias = dict[str, list[Clock]]
"""Named steps, one clock for each repetition."""


def timed(seconds: Seconds, name: str, action: Callable[[], Any]) -> Any:
    """Run `action` and note what it took."""
    with clock() as taken:
        result = action()
    seconds.setdefault(name, []).append(taken)
    return result


def medians(seconds: Seconds) -> dict[str, dict[str, float]]:
    """Median wall and CPU seconds by step."""
    return {
        name: {kind: round(statistics.median(getattr(one, kind) for one in taken), 4) for kind in ("wall", "cpu")}
        for name, taken in seconds.items()
    }


def implicit_round(seconds: Seconds, matrix: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=NEIGHBOURS + 1)  # it counts the item itself as its first neighbour
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it converts its own COO matrix to CSR
        timed(seconds, "implicit_item.fit", lambda: model.fit(matrix, show_progress=False))
    everybody = np.arange(matrix.shape[0])
    found: tuple[np.ndarray, np.ndarray] = timed(
        seconds,
        "implicit_item.recommend",
        lambda: model.recommend(everybody, matrix, N=K, filter_already_liked_items=True),
    )
    return found


def our_round(seconds: Seconds, name: str, model: Any, data: Dataset, run: Run) -> tuple[np.ndarray, np.ndarray]:
    timed(seconds, f"{name}.fit", lambda: model.fit(data, run=run))
    queries = data.queries()
    found = timed(seconds, f"{name}.recommend", lambda: model.recommend(queries, K, run=run))
    return found.items, found.scores


def agreement(ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Shares: of their items in our lists, of lists with equal items, and of places with an equal score.

    Among equal scores implicit takes any item, we the first of the catalogue: scores may agree where items do not.
    """
    shared = [len(set(a.tolist()) & set(b.tolist())) / K for a, b in zip(ours[0], theirs[0], strict=True)]
    known = ~np.isnan(ours[1])
    return {
        "mean_overlap": round(float(np.mean(shared)), 6),
        "equal_lists": round(float((ours[0] == theirs[0]).all(axis=1).mean()), 6),
        "equal_scores": round(float(np.isclose(ours[1], theirs[1], rtol=1e-4)[known].mean()), 6),
    }


def measure(data: Dataset, repeat: int, run: Run) -> dict[str, Any]:
    taken: Seconds = {}
    matrix = sparse.csr_matrix(data.histories.matrix(data.n_items))
    everything = None
    for _ in range(repeat):
        theirs = implicit_round(taken, matrix)
        ours = our_round(taken, "item_knn", ItemKNN(neighbours=NEIGHBOURS), data, run)
        our_round(taken, "user_knn", UserKNN(neighbours=NEIGHBOURS), data, run)
        everything = agreement(ours, theirs)
    seconds = medians(taken)
    return {"seconds": seconds, "ratios": ratios(seconds), "agreement": everything}


def ratios(seconds: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Our seconds over implicit's, for fit and recommend together; below 1 is faster."""

    def total(name: str, kind: str) -> float:
        return seconds[f"{name}.fit"][kind] + seconds[f"{name}.recommend"][kind]

    return {
        f"{name} / implicit_item": {
            kind: round(total(name, kind) / total("implicit_item", kind), 3) for kind in ("wall", "cpu")
        }
        for name in ("item_knn", "user_knn")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=Run().threads)
    arguments = parser.parse_args()
    found = {}
    for folder in arguments.folder:
        data = read(folder)
        print(data)
        found[folder.name] = {
            "users": data.n_users,
            "items": data.n_items,
            "events": data.n_events,
            **measure(data, arguments.repeat, Run(threads=arguments.threads)),
        }
        print(json.dumps(found[folder.name], indent=2))
    write_results("neighbours", {"threads": arguments.threads, "repeat": arguments.repeat, "data": found})


if __name__ == "__main__":
    main()
