"""Ratings predicted by LensKit, for `ratings.py`.

    python lenskit_ratings.py IN.npz OUT.npz

Run by the Python of an environment that has lenskit 2025.2.0. IN.npz holds the ratings to learn from (`user`, `item`,
`value`), the queries (`query_user`, and their histories as `offsets`, `history_item`, `history_value`), and the pairs
of which ratings are asked (`asked_query`, rising, and `asked_item`); OUT.npz gets a prediction of each pair by each
model. The models have LensKit's defaults; where one says nothing its bias model answers, as in LensKit's own pipeline
for ratings.
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import warnings

import numpy as np
import pandas as pd
import structlog
import torch
from lenskit.als import BiasedMFScorer
from lenskit.basic import BiasScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import ItemKNNScorer, UserKNNScorer

DAMPING = 5.0
"""Of biases: the default of its matrix factorisation."""


def scored(scorer: object, queries: list[tuple[RecQuery, ItemList]]) -> np.ndarray:
    return np.concatenate([np.asarray(scorer(*one).scores("numpy"), np.float64) for one in queries])


def asked(given: dict[str, np.ndarray]) -> list[tuple[RecQuery, ItemList]]:
    """Each query with the items of its pairs."""
    found, offsets = [], given["offsets"]
    ends = np.searchsorted(given["asked_query"], np.arange(len(given["query_user"]) + 1))
    for row, user in enumerate(given["query_user"].tolist()):
        past = slice(offsets[row], offsets[row + 1])
        rated = ItemList(given["history_item"][past].tolist(), rating=given["history_value"][past].astype(np.float64))
        items = given["asked_item"][ends[row] : ends[row + 1]].tolist()
        found.append((RecQuery(user_id=user, user_items=rated if len(rated) else None), ItemList(items)))
    return found


def main() -> None:
    given = dict(np.load(sys.argv[1]))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    frame = pd.DataFrame({"user_id": given["user"], "item_id": given["item"], "rating": given["value"]})
    data, queries = from_interactions_df(frame), asked(given)
    bias = BiasScorer(damping=DAMPING)
    bias.train(data)
    found = {"bias": scored(bias, queries)}
    for name, scorer in (("biased mf", BiasedMFScorer()), ("item knn", ItemKNNScorer()), ("user knn", UserKNNScorer())):
        scorer.train(data)
        said = scored(scorer, queries)
        found[name] = np.where(np.isnan(said), found["bias"], said)
    np.savez(sys.argv[2], version=f"LensKit {importlib.metadata.version('lenskit')}", **found)


if __name__ == "__main__":
    main()
