"""One model of another library on histories that zhiyin exported; runs in an environment that has that library.

    python peer.py MODEL IN.npz OUT.npz

IN holds `offsets` and `item` (each user's history, oldest first, items numbered from 0) and `n_items`. The model is
fitted on all histories and recommends 10 new items for each. OUT holds `items` (n, 10), -1 where a list is short, and
the wall and CPU seconds of fitting and recommending. Needs numpy, scipy and, for each library, itself (and pandas).
"""

import os
import sys
import time

if sys.argv[1].startswith("implicit"):
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # implicit warns otherwise: its own threads do the work

import numpy as np
import scipy.sparse as sp


def implicit_model(name, matrix):
    import implicit
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

    folded = name.endswith("_folded")
    made = {
        "cosine": lambda: (CosineRecommender(K=100), 1.0),
        "bm25": lambda: (BM25Recommender(K=100, K1=1.2, B=0.75), 1.0),
        "tfidf": lambda: (TFIDFRecommender(K=100), 1.0),
        "als": lambda: (
            AlternatingLeastSquares(factors=64, regularization=0.05, iterations=15, random_state=0),
            10.0,
        ),
        "bpr": lambda: (
            BayesianPersonalizedRanking(
                factors=64, learning_rate=0.05, regularization=0.01, iterations=100, random_state=0
            ),
            1.0,
        ),
    }
    model, weight = made[name.removesuffix("_folded")]()
    users = np.arange(matrix.shape[0])
    yield f"implicit {implicit.__version__}"
    model.fit(matrix * weight, show_progress=False)
    yield "fitted"
    yield model.recommend(
        users, (matrix * weight)[users], N=10, filter_already_liked_items=True, recalculate_user=folded
    )[0]


def rectools_ease(matrix):
    import pandas as pd
    import rectools
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    users, items = matrix.nonzero()
    frame = pd.DataFrame(
        {Columns.User: users, Columns.Item: items, Columns.Weight: 1.0, Columns.Datetime: pd.Timestamp("2020-01-01")}
    )
    yield f"rectools {rectools.__version__}"
    data = Dataset.construct(frame)
    model = EASEModel(regularization=500.0)
    model.fit(data)
    yield "fitted"
    found = model.recommend(users=np.arange(matrix.shape[0]), dataset=data, k=10, filter_viewed=True)
    lists = np.full((matrix.shape[0], 10), -1)
    lists[found[Columns.User].to_numpy(), found[Columns.Rank].to_numpy() - 1] = found[Columns.Item].to_numpy()
    yield lists


def lenskit_knn(kind, matrix):
    import lenskit
    import pandas as pd
    from lenskit.batch import recommend
    from lenskit.data import from_interactions_df
    from lenskit.knn import ItemKNNScorer, UserKNNScorer
    from lenskit.pipeline import topn_pipeline

    users, items = matrix.nonzero()
    yield f"lenskit {lenskit.__version__}"
    scorer = (ItemKNNScorer if kind == "item" else UserKNNScorer)(feedback="implicit", max_nbrs=100, min_sim=1e-6)
    pipeline = topn_pipeline(scorer, n=10)
    pipeline.train(from_interactions_df(pd.DataFrame({"user_id": users, "item_id": items})))
    yield "fitted"
    lists = np.full((matrix.shape[0], 10), -1)
    for key, found in recommend(pipeline, list(range(matrix.shape[0])), 10, n_jobs=1):
        ids = np.asarray(found.ids())[:10]
        lists[int(key.user_id), : len(ids)] = ids
    yield lists


def main():
    name, source, target = sys.argv[1:]
    data = np.load(source)
    matrix = sp.csr_matrix(
        (np.ones(len(data["item"]), np.float32), data["item"], data["offsets"]),
        shape=(len(data["offsets"]) - 1, int(data["n_items"])),
    )
    matrix.sum_duplicates()
    library, _, model = name.partition("-")
    steps = {
        "implicit": lambda: implicit_model(model, matrix),
        "rectools": lambda: rectools_ease(matrix),
        "lenskit": lambda: lenskit_knn(model.removesuffix("knn"), matrix),
    }[library]()
    version = next(steps)
    moments = [(time.perf_counter(), time.process_time())]
    for _ in range(2):
        lists = next(steps)
        moments.append((time.perf_counter(), time.process_time()))
    (start, fitted, done) = moments
    np.savez(
        target,
        items=lists,
        version=version,
        fit_wall=fitted[0] - start[0],
        fit_cpu=fitted[1] - start[1],
        recommend_wall=done[0] - fitted[0],
        recommend_cpu=done[1] - fitted[1],
    )


main()
