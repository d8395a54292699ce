"""The numbers of LensKit that tests/models/test_item_knn.py and test_user_knn.py are held to.

LensKit does not live in this project's environment (it pins other versions). Install it in one of its own, and run this
file there; it prints the constants:

    python -m venv lk && lk/bin/pip install lenskit==2025.2.0 && lk/bin/python benchmarks/lenskit_reference.py

LensKit's scorers centre the ratings by item (or user) mean, take the cosine of whole vectors, and average deviations
of the nearest neighbours among those with a rating: here `signal=deviation, similarity=cosine, centred=True`.
"""

from __future__ import annotations

import numpy as np

N_USERS, N_ITEMS, NEIGHBOURS = 40, 25, 5
PAIRS = [(user, item) for user in (0, 7, 21, 39) for item in range(N_ITEMS)]


def ratings() -> np.ndarray:
    """(N_USERS, N_ITEMS) ratings between 1 and 5 with two decimals, NaN where there is none (six in ten)."""
    rng = np.random.default_rng(20)
    taste = rng.normal(size=(N_USERS, 2)) @ rng.normal(size=(2, N_ITEMS))
    values = np.round(np.clip(3 + taste + rng.normal(0, 0.5, taste.shape), 1, 5), 2)
    return np.where(rng.random(values.shape) < 0.4, values, np.nan)


def main() -> None:
    import pandas as pd
    from lenskit.data import ItemList, RecQuery, from_interactions_df
    from lenskit.knn import ItemKNNScorer, UserKNNScorer

    matrix = ratings()
    user, item = np.nonzero(~np.isnan(matrix))
    frame = pd.DataFrame({"user_id": user, "item_id": item, "rating": matrix[user, item]})
    data = from_interactions_df(frame)
    for scorer in (ItemKNNScorer(max_nbrs=NEIGHBOURS), UserKNNScorer(max_nbrs=NEIGHBOURS)):
        scorer.train(data)
        found = []
        for one in sorted({pair[0] for pair in PAIRS}):
            missing = np.flatnonzero(np.isnan(matrix[one]))
            history = frame[frame.user_id == one]
            rated = ItemList(history.item_id.to_list(), rating=history.rating.to_numpy())
            scores = scorer(RecQuery(user_id=one, user_items=rated), ItemList(missing.tolist())).scores("numpy")
            found += [(one, int(place), round(float(score), 4)) for place, score in zip(missing, scores, strict=True)]
        print(type(scorer).__name__, found)


if __name__ == "__main__":
    main()
