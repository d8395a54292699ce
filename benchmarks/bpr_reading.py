"""How to score a history that BPR never saw: two ways, beside the vectors that training gave the same users.

    python benchmarks/bpr_reading.py --data FOLDER [--seeds 5]

One fit for each seed and part; the sides differ only in the users' vectors:

    trained    the library's own, for users that it trained on
    reading    ours: the map M of the sum of a history's item vectors over the root of their number
    optimum    the vector that maximises the objective of training for the history alone, with the item vectors fixed
               (BPR-Opt; against 128 items drawn by popularity), by L-BFGS; on movielens-100k only, as it is slow

Protocol as in classics.py. Each part is judged: validation (fitted on train) is what the choice was made on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from _common import clock, write_results
from classics import PROTOCOL, load
from zhiyin import splitting
from zhiyin.data.dataset import Dataset
from zhiyin.evaluation.evaluate import world_of
from zhiyin.metrics import parse
from zhiyin.metrics.base import Lists
from zhiyin.models._factors import user_items
from zhiyin.models.bpr import BPR, _likes
from zhiyin.retrieval.exact import search
from zhiyin.run import Run
from zhiyin.splitting.base import Cases

SETS = ("movielens-100k", "movietweetings-100k", "amazon-beauty")
SLOW = ("movielens-100k",)
NEGATIVES = 128


def ndcg(users: np.ndarray, model: BPR, cases: Cases, data: Dataset) -> float:
    """NDCG@10 of the lists by the products of (n, d + 1) users with the item vectors."""
    past = cases.queries.histories
    items, _ = search(users.astype(np.float32), model.item_vectors, 10, seen=past, allowed=model._known)
    return parse("ndcg@10").overall(Lists(items, cases.targets, past, world_of(data)))


def optimum(model: BPR, cases: Cases, seed: int) -> np.ndarray:
    """(n, d + 1) for each history the least of mean softplus(s_other - s_like) + regularization / 2 |x|²."""
    chance = model.popularity / model.popularity.sum()
    drawn = np.random.default_rng(seed).choice(model.n_items, NEGATIVES, p=chance)
    found = np.ones((len(cases), model.item_vectors.shape[1]))
    for row in range(len(cases)):
        liked = np.unique(cases.queries.histories.of(row))
        others = np.setdiff1d(drawn, liked)
        if len(others):
            found[row, :-1] = _best(model.item_vectors[liked], model.item_vectors[others], model.config.regularization)
    return found


def _best(liked: np.ndarray, others: np.ndarray, regularization: float) -> np.ndarray:
    size = len(liked) * len(others)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        full = np.append(x, 1)
        gap = (others @ full)[None, :] - (liked @ full)[:, None]
        wrong = 1 / (1 + np.exp(-gap)) / size
        slope = wrong.sum(0) @ others[:, :-1] - wrong.sum(1) @ liked[:, :-1] + regularization * x
        return float(np.logaddexp(0, gap).sum() / size + regularization / 2 * x @ x), slope

    return minimize(loss, np.zeros(liked.shape[1] - 1), jac=True, method="L-BFGS-B").x


def one_fit(data: Dataset, cases: Cases, seed: int, slow: bool) -> dict[str, float]:
    """NDCG@10 by side, and the seconds that reading the histories takes."""
    run = Run(seed=seed)
    model = BPR().fit(data, run=run)
    trained = model._learn(_likes(user_items(data)), run)  # the same seed gives the same vectors again
    rows = data.users.encode(cases.queries.users)
    with clock() as taken:
        read = model._encode(cases.queries)
    found = {
        "trained": ndcg(np.asarray(trained.user_factors)[rows], model, cases, data),
        "reading": ndcg(read, model, cases, data),
        "reading_cpu": taken.cpu,
    }
    return found | ({"optimum": ndcg(optimum(model, cases, seed), model, cases, data)} if slow else {})


def summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    """By side the mean over seeds, their standard deviation and every value, and the mean over that of `trained`."""
    sides = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    means = {name: float(values.mean()) for name, values in sides.items()}
    return {
        "values": {name: values.tolist() for name, values in sides.items()},
        "mean": means,
        "deviation": {name: float(values.std(ddof=1)) for name, values in sides.items()},
        "over_trained": {name: means[name] / means["trained"] for name in ("reading", "optimum") if name in means},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    results: dict[str, Any] = {}
    for name in SETS:
        split = splitting.get("leave_last_out")().split(load(name, chosen.data))
        results[name] = {}
        for part, data in (("validation", split.train), ("test", split.development)):
            cases = getattr(split, part)
            runs = [one_fit(data, cases, seed, name in SLOW) for seed in range(chosen.seeds)]
            results[name][part] = summary(runs)
            print(
                name, part, {side: round(value, 4) for side, value in results[name][part]["mean"].items()}, flush=True
            )
    write_results("bpr_reading", {"protocol": PROTOCOL, "seeds": chosen.seeds, "sets": results})


if __name__ == "__main__":
    main()
