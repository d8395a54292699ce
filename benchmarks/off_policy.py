"""Off-policy evaluation: how near the truth it comes, how often its intervals hold it, and whether others agree.

    python benchmarks/off_policy.py --data FOLDER [--peer obp=PYTHON]

"known": a synthetic world in which lists of ten are shown by a policy that leans on popularity; the new policy follows
tastes, and what it earns is known. Errors and intervals over 200 seeds, of 100,000 exposures each; owners are lists.
"sharp": a new policy that holds to its favourites, far from the log, whose weights are large.
"open bandit": the logs of the Open Bandit sample (`open-bandit-sample` in FOLDER). What the uniform policy earns, told
from the log of the other one, beside what it did earn; and, no weight cut, the same estimates by the Open Bandit
Pipeline.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from _common import write_results
from zhiyin.arrays import AnyArray
from zhiyin.data.exposures import Exposures
from zhiyin.data.synthetic import Truth, synthetic
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.evaluation.off_policy import item_rates, value_of

ESTIMATORS = ("ips", "snips", "direct", "doubly_robust")
LISTS, LENGTH, SEEDS = 10_000, 10, 200
SHARPNESS = {"known": 1.0, "sharp": 6.0}
"""The new policy shows an item in proportion to this power of its fit with the user's taste."""
RATE = 0.2
CAMPAIGNS = ("all", "men", "women")


def policy_of(truth: Truth, table: pa.Table, sharp: float) -> tuple[AnyArray, float]:
    """(n, n_items) the new policy's chances, and what it earns an exposure."""
    users, time = np.array([int(one[1:]) for one in table["user_id"].to_pylist()]), table["time"].to_numpy()
    fits = truth.affinities(users, time)
    weight = fits**sharp * truth.there(time)
    policy = weight / weight.sum(1, keepdims=True)
    earned = table["examination"].to_numpy()[:, None] * truth.attraction(fits, RATE)
    return policy, float((policy * earned).sum(1).mean())


def known(sharp: float) -> dict[str, Any]:
    """Relative errors of each estimator, and how often its interval held the truth, over seeds."""
    _, truth = synthetic(n_users=2_000, n_items=100, n_events=20_000, n_groups=8, seed=5)
    items = Vocabulary(truth.item_ids())
    errors: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    held: dict[str, list[bool]] = {name: [] for name in ESTIMATORS}
    told: dict[str, list[float]] = {"effective": [], "covered": [], "clipped": []}
    for seed in range(SEEDS):
        table = truth.exposures(LISTS, LENGTH, click_rate=RATE, seed=seed)
        policy, value = policy_of(truth, table, sharp)
        found = value_of(Exposures.of(table, items, owner="query"), policy, seed=seed)
        for name in ESTIMATORS:
            one = getattr(found, name)
            errors[name].append(abs(one.value / value - 1))
            held[name].append(one.low <= value <= one.high)
        for name, values in told.items():
            values.append(getattr(found, name))
    rows = {
        name: {
            "mean error": float(np.mean(errors[name])),
            "largest error": float(np.max(errors[name])),
            "within 5 %": float(np.mean(np.array(errors[name]) <= 0.05)),
            "coverage": float(np.mean(held[name])),
        }
        for name in ESTIMATORS
    }
    return {"estimators": rows, **{name: float(np.mean(values)) for name, values in told.items()}}


def bandit(folder: Path, campaign: str, python: str | None) -> dict[str, Any]:
    """The uniform policy's clicks told from the log of the other one, beside its own log and the other library."""
    logs = {
        one: pq.read_table(folder / "open-bandit-sample" / f"{one}_{campaign}.parquet") for one in ("bts", "random")
    }
    items = Vocabulary(sorted(set(logs["random"]["item_id"].to_pylist()), key=int))
    own = logs["random"]["click"].to_numpy()
    table = logs["bts"].rename_columns(
        ["propensity" if one == "propensity_score" else one for one in logs["bts"].column_names]
    )
    exposures = Exposures.of(table, items, reward="click", owner=None)
    chances = np.full((len(exposures), len(items)), 1 / len(items))
    expected = item_rates(exposures)(slice(0, len(exposures)))
    found = value_of(exposures, chances, expected)
    result = {**found.to_dict(), "on policy": float(own.mean()), "clicks": int(exposures.reward.sum())}
    if python is not None:
        whole = value_of(exposures, chances, expected, clip=np.inf)
        result["obp"] = peer(exposures, chances, expected, python)
        result["largest difference to obp"] = max(
            abs(result["obp"][name] / getattr(whole, name).value - 1) for name in ESTIMATORS
        )
    return result


def peer(exposures: Exposures, chances: AnyArray, expected: AnyArray, python: str) -> dict[str, float]:
    """The same estimates by the Open Bandit Pipeline, no weight cut: its `snips` cuts weights above the line alone."""
    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work) / "in.npz", Path(work) / "out.json"
        given = {"item": exposures.item, "propensity": exposures.propensity, "reward": exposures.reward}
        np.savez(source, chances=chances, expected=expected, **given)
        script = Path(__file__).parent / "peers" / "obp_off_policy.py"
        subprocess.run([python, str(script), str(source), str(target)], check=True)
        found: dict[str, float] = json.loads(target.read_text(encoding="utf-8"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", help="obp=PYTHON")
    chosen = parser.parse_args()
    python = chosen.peer.partition("=")[2] if chosen.peer else None
    results: dict[str, Any] = {"open bandit": {one: bandit(chosen.data, one, python) for one in CAMPAIGNS}}
    for name, sharp in SHARPNESS.items():
        results[name] = known(sharp)
        print(name, json.dumps(results[name]), flush=True)
    write_results("off_policy", {"protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()), **results})


if __name__ == "__main__":
    main()
