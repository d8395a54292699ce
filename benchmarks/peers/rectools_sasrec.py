"""RecTools' SASRec on histories that zhiyin exported, measured after every epoch; runs in an environment that has it.

    python rectools_sasrec.py IN.npz OUT.npz OPTIONS

IN holds `offsets`, `item` (training histories, oldest first), `full_offsets`, `full_item` (what is known at test time),
`validation` (the item that followed each training history) and `n_items`. OPTIONS is JSON: length, batch, blocks,
heads, dropout, seed, and when to stop: epochs, CPU seconds, measurements without a better one (patience). OUT holds
`items` (n, 10), `curve` (training seconds, CPU seconds, validation NDCG@10), seconds of an epoch, and users a second of
its own `recommend`.

RecTools learns from the last `length` + 1 events of each user and knows no items but theirs: others count as missed.
"""

import json
import logging
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import rectools
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

OPTIONS = json.loads(sys.argv[3])
given = dict(np.load(sys.argv[1]))
N = len(given["offsets"]) - 1


def frame(offsets, item):
    lengths = np.diff(offsets)
    place = np.arange(len(item)) - np.repeat(offsets[:-1], lengths)
    time_ = pd.to_datetime(place, unit="s")
    user = np.repeat(np.arange(len(lengths)), lengths)
    return pd.DataFrame({Columns.User: user, Columns.Item: item, Columns.Weight: 1.0, Columns.Datetime: time_})


class Watch(pl.Callback):
    """Validation after each epoch by the model's own modules; the clock stands still meanwhile."""

    def __init__(self):
        self.curve, self.best, self.kept = [], -1.0, None
        self.spent, self.used, self.stopped = 0.0, 0.0, ""
        self.since = time.perf_counter(), time.process_time()

    def __deepcopy__(self, memo):
        return self  # RecTools copies the trainer with its callbacks

    def on_train_epoch_end(self, trainer, module):
        """Measure, and say when it is time to stop."""
        self.spent += time.perf_counter() - self.since[0]
        self.used += time.process_time() - self.since[1]
        module.torch_model.eval()
        value = ndcg(module)
        module.torch_model.train()
        self.curve.append((self.spent, self.used, value))
        print(f"rectools: {self.spent:.0f} s, {self.used:.0f} CPU s, validation {value:.4f}", flush=True)
        if value > self.best:
            self.best = value
            self.kept = {name: one.clone() for name, one in module.torch_model.state_dict().items()}
        best = max(range(len(self.curve)), key=lambda place: self.curve[place][2])
        if len(self.curve) - 1 - best >= OPTIONS["patience"]:
            self.stopped = "no better measurement"
        elif self.used > OPTIONS["seconds"]:
            self.stopped = f"{OPTIONS['seconds']:g} CPU seconds"
        trainer.should_stop = bool(self.stopped)
        self.since = time.perf_counter(), time.process_time()


def ndcg(module):
    data = module.data_preparator
    known = np.asarray(data.item_id_map.external_ids)
    inside = {item: place for place, item in enumerate(known.tolist())}
    extra, gains = data.n_item_extra_tokens, []
    with torch.no_grad():
        vectors = module.torch_model.item_model.get_all_embeddings()
        for start in range(0, N, 256):
            past = [
                [inside[one] for one in given["item"][low:high].tolist() if one in inside]
                for low, high in zip(
                    given["offsets"][start : start + 256], given["offsets"][start + 1 : start + 257], strict=False
                )
            ]
            batch = data._collate_fn_recommend([(one, None, {}) for one in past])
            scores = module.torch_model.encode_sessions(batch, vectors)[:, -1, :] @ vectors.T
            scores[:, :extra] = -torch.inf
            for row, one in enumerate(past):
                scores[row, one] = -torch.inf
            for row, target in enumerate(given["validation"][start : start + 256].tolist()):
                if target not in inside:
                    gains.append(0.0)
                    continue
                rank = int((scores[row] > scores[row, inside[target]]).sum())
                gains.append(1 / np.log2(rank + 2) if rank < 10 else 0.0)
    return float(np.mean(gains))


def main():
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    pl.seed_everything(OPTIONS["seed"], verbose=False)
    watch = Watch()

    def trainer():
        return pl.Trainer(
            max_epochs=OPTIONS["epochs"],
            callbacks=[watch],
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    model = SASRecModel(
        n_blocks=OPTIONS["blocks"],
        n_heads=OPTIONS["heads"],
        n_factors=64,
        dropout_rate=OPTIONS["dropout"],
        session_max_len=OPTIONS["length"],
        batch_size=OPTIONS["batch"],
        lr=1e-3,
        get_trainer_func=trainer,
        recommend_torch_device="cpu",
        **{name: OPTIONS[name] for name in ("loss", "n_negatives", "gbce_t") if name in OPTIONS},
    )
    model.fit(Dataset.construct(frame(given["offsets"], given["item"])))
    model.torch_model.load_state_dict(watch.kept)
    full = Dataset.construct(frame(given["full_offsets"], given["full_item"]))
    start = time.perf_counter()
    found = model.recommend(users=np.arange(N), dataset=full, k=10, filter_viewed=True)
    spent = time.perf_counter() - start
    lists = np.full((N, 10), -1)
    lists[found[Columns.User].to_numpy(), found[Columns.Rank].to_numpy() - 1] = found[Columns.Item].to_numpy()
    curve = np.array(watch.curve)
    np.savez(
        sys.argv[2],
        items=lists,
        curve=curve,
        epoch_seconds=curve[-1, 0] / len(curve),
        epoch_cpu=curve[-1, 1] / len(curve),
        users_a_second=N / spent,
        stopped=watch.stopped,
        version=f"rectools {rectools.__version__}",
    )


main()
