"""Ratings predicted by Surprise, for `ratings.py`.

    python surprise_ratings.py IN.npz OUT.npz

Run by the Python of an environment that has scikit-surprise 1.1.5 and pandas. IN.npz holds the ratings to learn from
(`user`, `item`, `value`) and the pairs of which ratings are asked (`asked_user`, `asked_item`); OUT.npz gets a
prediction of each pair by each model. The models have Surprise's defaults; the neighbourhoods compare by
`pearson_baseline`, which its documentation recommends for them.
"""

from __future__ import annotations

import importlib.metadata
import sys

import numpy as np
import pandas as pd
import surprise


def models() -> dict[str, surprise.AlgoBase]:
    item, user = ({"name": "pearson_baseline", "user_based": by_user} for by_user in (False, True))
    return {
        "baseline": surprise.BaselineOnly(verbose=False),
        "svd": surprise.SVD(random_state=0),
        "svd++": surprise.SVDpp(random_state=0, cache_ratings=True),
        "item knn": surprise.KNNBaseline(sim_options=item, verbose=False),
        "user knn": surprise.KNNBaseline(sim_options=user, verbose=False),
    }


def main() -> None:
    given = np.load(sys.argv[1])
    frame = pd.DataFrame({name: given[name] for name in ("user", "item", "value")})
    scale = surprise.Reader(rating_scale=tuple(given["scale"].tolist()))
    train = surprise.Dataset.load_from_df(frame, scale).build_full_trainset()
    pairs = list(zip(given["asked_user"].tolist(), given["asked_item"].tolist(), strict=True))
    found = {}
    for name, model in models().items():
        model.fit(train)
        found[name] = np.array([model.predict(user, item).est for user, item in pairs])
    np.savez(sys.argv[2], version=f"Surprise {importlib.metadata.version('scikit-surprise')}", **found)


if __name__ == "__main__":
    main()
