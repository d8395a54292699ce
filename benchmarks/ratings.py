"""Predicted ratings: RMSE of our models beside those of other libraries, on the same splits of one set.

    python benchmarks/ratings.py --data FOLDER [--peer surprise=PYTHON] [--peer lenskit=PYTHON]

Set: `movielens-latest-small` in FOLDER, all of it. All predictions are cut to the range of the ratings that were learnt
from, and scored by the same code. All models have the defaults of their library, but "svd, tuned" of Surprise, whose
settings are the best of six on a tenth of what it learns from; those of `rlfm` were chosen on ratings held out from
training parts of this set. It reads genres and years of films, which no model of another library does;
"of ratings alone" does not.

"time": ratings in the order of their times, cut into six windows of as many (those of one second stay together). Each
of the last five is foretold by models that learnt from everything before it, and are told nothing of the people beside
what they had said before it began: most of them are new, and are foretold by the item alone.
"live": of each of these windows 1,000 ratings drawn with seed 0, by the same models; but each query holds all that its
user had said before that second. A model that knows people by their ids alone cannot be asked so.
"random": a fifth of all ratings, drawn with seeds 0 to 4, foretold from the others. Ratings that are later than the
foretold one are known here, as nowhere else; it is what is most often reported.

Intervals: 95 %, 2,000 resamples of the ratings, those of all windows or seeds together, one rating under several seeds
being one witness; and of the people, with all their ratings. Differences are paired, model minus `rlfm`: above 0,
`rlfm` is nearer to what people said.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from _common import write_results
from zhiyin import models
from zhiyin.arrays import AnyArray, offsets_of
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.prepare import prepare
from zhiyin.data.queries import Queries
from zhiyin.data.sources.folder import open_folder
from zhiyin.evaluation.significance import Sample, bootstrap, interval
from zhiyin.run import Run

WINDOWS, LIVE, SEEDS, TESTED = 6, 1_000, 5, 0.2
MEAN_CENTRED = {"signal": "deviation", "similarity": "cosine", "centred": True}
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "rlfm": ("rlfm", {}),
    "rlfm of ratings alone": ("rlfm", {"item_features": ()}),
    "svd": ("svd", {}),
    "item_knn": ("item_knn", MEAN_CENTRED),
    "user_knn": ("user_knn", MEAN_CENTRED),
}
REFERENCE = "rlfm"


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """All ratings of a set, in the order of their times."""

    user: AnyArray
    item: AnyArray
    time: AnyArray
    value: AnyArray
    dataset: Dataset

    @classmethod
    def of(cls, dataset: Dataset) -> Ratings:
        """Those of a dataset with times and values."""
        histories = dataset.histories
        assert histories.time is not None
        assert histories.value is not None
        order = np.argsort(histories.time, kind="stable")
        parts = (histories.owner(), histories.item, histories.time, histories.value)
        return cls(*(one[order] for one in parts), dataset)

    def histories(self, rows: AnyArray, owner: AnyArray, n: int) -> Histories:
        """(n) Some ratings, in the order of `rows`, as the histories of their owners (0 to n - 1)."""
        order = np.argsort(owner, kind="stable")
        taken, lengths = rows[order], np.bincount(owner, minlength=n)
        return Histories(offsets_of(lengths), self.item[taken], time=self.time[taken], value=self.value[taken])


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What is learnt from, and what is asked: pair `i` is query `query[i]` (rising) and rating `row[i]`."""

    learnt: AnyArray
    histories: Histories
    user: AnyArray
    """(n_queries,)."""
    query: AnyArray
    row: AnyArray


def by_user(ratings: Ratings, learnt: AnyArray, tested: AnyArray) -> Part:
    """A query a person, with what the person said among the ratings that are learnt from."""
    tested = tested[np.argsort(ratings.user[tested], kind="stable")]
    user, query = np.unique(ratings.user[tested], return_inverse=True)
    known = learnt[np.isin(ratings.user[learnt], user)]
    histories = ratings.histories(known, np.searchsorted(user, ratings.user[known]), len(user))
    return Part(learnt, histories, user, query, tested)


def by_rating(ratings: Ratings, learnt: AnyArray, tested: AnyArray) -> Part:
    """A query a rating, with all that its user had said before that second."""
    before = [
        np.flatnonzero((ratings.user == ratings.user[row]) & (ratings.time < ratings.time[row])) for row in tested
    ]
    owner = np.repeat(np.arange(len(tested)), [len(one) for one in before])
    histories = ratings.histories(np.concatenate(before), owner, len(tested))
    return Part(learnt, histories, ratings.user[tested], np.arange(len(tested)), tested)


def windows(ratings: Ratings) -> Iterator[tuple[AnyArray, AnyArray]]:
    """The numbers of the ratings before each window, and of those in it."""
    n = len(ratings.time)
    starts = [int(np.searchsorted(ratings.time, ratings.time[n * k // WINDOWS])) for k in range(1, WINDOWS)]
    for start, stop in zip(starts, [*starts[1:], n], strict=True):
        yield np.arange(start), np.arange(start, stop)


def parts_of(ratings: Ratings) -> dict[str, list[Part]]:
    """The parts of each protocol; "live" has those of "time" in their order."""
    found: dict[str, list[Part]] = {"time": [], "live": [], "random": []}
    for learnt, tested in windows(ratings):
        drawn = np.sort(np.random.default_rng(0).choice(tested, LIVE, replace=False))
        found["time"].append(by_user(ratings, learnt, tested))
        found["live"].append(by_rating(ratings, learnt, drawn))
    for seed in range(SEEDS):
        order = np.random.default_rng(seed).permutation(len(ratings.time))
        n = int(TESTED * len(order))
        found["random"].append(by_user(ratings, np.sort(order[n:]), np.sort(order[:n])))
    return found


def ours(ratings: Ratings, asked: dict[str, Part], seed: int) -> dict[str, dict[str, AnyArray]]:
    """Our models' predictions of each of some parts that are learnt from the same ratings."""
    learnt = next(iter(asked.values())).learnt
    data = ratings.dataset
    train = data.with_histories(ratings.histories(learnt, ratings.user[learnt], data.n_users))
    found: dict[str, dict[str, AnyArray]] = {name: {} for name in asked}
    for label, (name, settings) in OURS.items():
        model = models.get(name)(**settings).fit(train, run=Run(seed=seed, threads=1))
        for which, part in asked.items():
            queries = Queries(part.histories, data.items).take(part.query)
            found[which][label] = model.predict(queries, ratings.item[part.row])
    return found


def theirs(ratings: Ratings, part: Part, library: str, python: str) -> dict[str, AnyArray]:
    """The predictions of another library, by model, each cut to the range of what was learnt from."""
    learnt, histories = part.learnt, part.histories
    value = ratings.value[learnt].astype(np.float64)
    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work) / "in.npz", Path(work) / "out.npz"
        np.savez(
            source,
            user=ratings.user[learnt],
            item=ratings.item[learnt],
            value=value,
            scale=np.array([value.min(), value.max()]),
            query_user=part.user,
            offsets=histories.offsets,
            history_item=histories.item,
            history_value=histories.value,
            asked_query=part.query,
            asked_user=part.user[part.query],
            asked_item=ratings.item[part.row],
        )
        script = Path(__file__).parent / "peers" / f"{library}_ratings.py"
        if subprocess.run([python, str(script), str(source), str(target)], stdout=sys.stderr).returncode:
            raise SystemExit(f"{script.name} failed")
        found = dict(np.load(target))
    version = str(found.pop("version"))
    return {f"{version}: {name}": np.clip(one, value.min(), value.max()) for name, one in found.items()}


def predictions(ratings: Ratings, parts: dict[str, list[Part]], pythons: dict[str, str]) -> dict[str, Any]:
    """For each protocol, a list of the predictions of each of its parts, by model."""
    found: dict[str, list[dict[str, AnyArray]]] = {"time": [], "live": [], "random": []}
    for place, (window, live) in enumerate(zip(parts["time"], parts["live"], strict=True)):
        for name, one in ours(ratings, {"time": window, "live": live}, place).items():
            found[name].append(one)
    for seed, part in enumerate(parts["random"]):
        found["random"].append(ours(ratings, {"random": part}, seed)["random"])
    for name, several in parts.items():
        for part, into in zip(several, found[name], strict=True):
            for library, python in pythons.items():
                if name != "live" or library == "lenskit":
                    into.update(theirs(ratings, part, library, python))
            print(
                name, {label: round(_rmse(one, ratings.value[part.row]), 4) for label, one in into.items()}, flush=True
            )
    return found


def judged(ratings: Ratings, parts: list[Part], predicted: list[dict[str, AnyArray]]) -> dict[str, Any]:
    """Each model's RMSE and MAE, of each part and of all, with intervals and its paired difference to the reference."""
    row = np.concatenate([part.row for part in parts])
    truth = ratings.value[row].astype(np.float64)
    error = {name: np.concatenate([one[name] for one in predicted]) - truth for name in predicted[0]}
    samples = [Sample(one**2, np.ones(len(one)), sqrt) for one in error.values()]
    by = {
        "ratings": bootstrap(samples, 0, owner=_numbers(row)),
        "users": bootstrap(samples, 0, owner=_numbers(ratings.user[row])),
    }
    place = list(error).index(REFERENCE)
    found = {}
    for at, (name, one) in enumerate(error.items()):
        found[name] = {
            "rmse": samples[at].value,
            "rmse of parts": [
                _rmse(some[name], ratings.value[part.row]) for part, some in zip(parts, predicted, strict=True)
            ],
            "mae": float(np.abs(one).mean()),
            "minus rlfm": samples[at].value - samples[place].value,
        }
        for who, replicates in by.items():
            found[name][f"interval by {who}"] = interval(replicates[:, at])
            found[name][f"interval of minus rlfm by {who}"] = interval(replicates[:, at] - replicates[:, place])
    return found


def facts(ratings: Ratings, part: Part) -> dict[str, Any]:
    """What a part asks, and how much of it is about people and items that nothing is known of."""
    strangers = part.histories.lengths[part.query] == 0
    new = ~np.isin(ratings.item[part.row], ratings.item[part.learnt])
    learnt, tested = len(part.learnt), len(part.row)
    return {
        "learnt": learnt,
        "tested": tested,
        "of strangers": float(strangers.mean()),
        "of new items": float(new.mean()),
    }


def _numbers(names: AnyArray) -> AnyArray:
    return np.unique(names, return_inverse=True)[1].astype(np.int32)


def _rmse(predicted: AnyArray, truth: AnyArray) -> float:
    return float(np.sqrt(np.mean((predicted - truth.astype(np.float64)) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", action="append", default=[], help="library=PYTHON")
    chosen = parser.parse_args()
    pythons = dict(one.split("=", 1) for one in chosen.peer)
    events, items, users = open_folder(chosen.data / "movielens-latest-small")
    ratings = Ratings.of(prepare(events, items, users, steps=[], name="movielens-latest-small"))
    parts = parts_of(ratings)
    found = predictions(ratings, parts, pythons)
    results = {
        name: {"parts": [facts(ratings, one) for one in several], "models": judged(ratings, several, found[name])}
        for name, several in parts.items()
    }
    protocol = " ".join((__doc__ or "").split("\n\n", 2)[2].split())
    write_results("ratings", {"protocol": protocol, "content_hash": ratings.dataset.content_hash, **results})


if __name__ == "__main__":
    main()
