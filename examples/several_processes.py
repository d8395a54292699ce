"""One training, by one process or by several that share its work.

    python examples/several_processes.py
    torchrun --nproc-per-node 2 examples/several_processes.py

Needs torch: pip install "zhiyin[sequence]".
"""

import zhiyin
from zhiyin import models
from zhiyin.nn.distributed import world
from zhiyin.run import Run
from zhiyin.splitting import LeaveLastOut
from zhiyin.testing.worlds import tastes

# 1. Every process makes the same data, with the same seed.
split = LeaveLastOut().split(tastes(n_users=300, n_items=90))

# 2. Every process calls fit; each works on its share of every batch, and all end with the same weights.
model = models.SASRec(embedding_size=32, n_layers=1, max_length=20, epochs=4, learning_rate=0.01)
model.fit(split.train, split.validation, Run(seed=1, threads=1))

# 3. One of them speaks, and would save.
if world().rank == 0:
    print(f"processes: {world().size}, NDCG@10 {model.trained.best:.4f} after epoch {model.trained.best_epoch}")
    print(model.recommend(zhiyin.Query.of(["i0000", "i0004"]), k=3).ids())
