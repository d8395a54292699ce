"""Ratings predicted by Surprise, for `ratings.py`.

    python surprise_ratings.py IN.npz OUT.npz

Run by the Python of an environment that has scikit-surprise 1.1.5 and pandas. IN.npz holds the ratings to learn from
(`user`, `item`, `value`) and the pairs of which ratings are asked (`asked_user`, `asked_item`); OUT.npz gets a
prediction of each pair by each model. The models have Surprise's defaults; the neighbourhoods compare by
`pearson_baseline`, which its documentation recommends for them. "svd, tuned" has the one of
`TUNED` that foretells best a tenth of what it may learn from, drawn at random.
"""

from __future__ import annotations

import importlib.metadata
import sys

import numpy as np
import pandas as pd
import surprise

TUNED = [
    {"n_factors": factors, "n_epochs": rounds, "reg_all": weight}
    for factors, rounds in ((50, 50), (100, 100), (200, 200))
    for weight in (0.05, 0.1)
]


def models() -> dict[str, surprise.AlgoBase]:
    item, user = ({"name": "pearson_baseline", "user_based": by_user} for by_user in (False, True))
    return {
        "baseline": surprise.BaselineOnly(verbose=False),
        "svd": surprise.SVD(random_state=0),
        "svd++": surprise.SVDpp(random_state=0, cache_ratings=True),
        "item knn": surprise.KNNBaseline(sim_options=item, verbose=False),
        "user knn": surprise.KNNBaseline(sim_options=user, verbose=False),
    }


def tuned(frame: pd.DataFrame, scale: surprise.Reader) -> surprise.AlgoBase:
    """The best of some settings, yet to learn."""
    held = np.random.default_rng(0).random(len(frame)) < 0.1
    train = surprise.Dataset.load_from_df(frame[~held], scale).build_full_trainset()
    asked = list(frame[held].itertuples(index=False, name=None))
    made = [surprise.SVD(**one, random_state=0).fit(train) for one in TUNED]
    losses = [np.mean([(one.predict(user, item).est - value) ** 2 for user, item, value in asked]) for one in made]
    return surprise.SVD(**TUNED[int(np.argmin(losses))], random_state=0)


def main() -> None:
    given = np.load(sys.argv[1])
    frame = pd.DataFrame({name: given[name] for name in ("user", "item", "value")})
    scale = surprise.Reader(rating_scale=tuple(given["scale"].tolist()))
    train = surprise.Dataset.load_from_df(frame, scale).build_full_trainset()
    pairs = list(zip(given["asked_user"].tolist(), given["asked_item"].tolist(), strict=True))
    found = {}
    for name, model in {**models(), "svd, tuned": tuned(frame, scale)}.items():
        model.fit(train)
        found[name] = np.array([model.predict(user, item).est for user, item in pairs])
    np.savez(sys.argv[2], version=f"Surprise {importlib.metadata.version('scikit-surprise')}", **found)


if __name__ == "__main__":
    main()
