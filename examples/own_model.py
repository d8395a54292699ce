"""A model of your own: one class with two methods, compared like any other.

    python examples/own_model.py

`Transitions` asks which item follows which (a first-order Markov chain; Rendle et al., WWW 2010, start from the same
counts). It writes `_fit` and `_score`; ids, exclusion, top-k, blocks, fallback, reasons and saving are inherited.
"""

import numpy as np

import zhiyin
from zhiyin.config import Config, Search, setting
from zhiyin.data.synthetic import synthetic
from zhiyin.models.base import Recommender


class TransitionsConfig(Config):
    """Settings of `Transitions`: stated once, checked, shown in reports, searched by `tune`."""

    half_life: float = setting(3.0, gt=0, search=Search(1, 30, log=True))
    """After how many later events an event of the history counts half."""


class Transitions(Recommender):
    """Score an item by how often it followed the last items of the history."""

    config: TransitionsConfig
    learns = ("follows",)
    needs = "position"  # a log without order is refused, with the reason

    def _fit(self, train, validation, run):
        item = train.histories.item
        same_user = train.histories.from_end()[:-1] > 0  # the last event of a history is followed by nothing
        counts = np.zeros((train.n_items, train.n_items), np.float32)
        np.add.at(counts, (item[:-1][same_user], item[1:][same_user]), 1)
        self.follows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def _score(self, queries):
        recency = np.exp2(-queries.histories.from_end() / self.config.half_life).astype(np.float32)
        scores = queries.histories.matrix(self.n_items, recency) @ self.follows
        return np.where(scores > 0, scores, -np.inf).astype(np.float32)  # -inf: nothing to say


dataset, _ = synthetic(n_users=300, n_items=100, n_events=9_000, seed=3)

# Compared beside a model of the library; the class is enough.
report = zhiyin.compare(dataset, [Transitions, "item_knn"], split="global_time")
for result in report.models:
    print(f"{result.name:24} {report.primary} {result.metrics[report.primary]}  filled {result.filled:.0%}")

# Reasons are inherited too: what the score would lose without each event.
model = Transitions(half_life=2).fit(dataset)
query = zhiyin.Query.of(dataset.items.decode(dataset.histories.of(0)[:4]))
for item in model.recommend(query, k=3, reasons=2).to_dicts()[0]["items"]:
    print(item["item_id"], "because of", [reason.get("item_id", reason.get("text")) for reason in item["reasons"]])
