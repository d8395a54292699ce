"""RecBole's SASRec on histories that zhiyin exported, measured by slices of time; runs in an environment that has it.

    python recbole_sasrec.py IN.npz OUT.npz OPTIONS

As `rectools_sasrec.py`. RecBole learns from every prefix of a history as a sample of its own, so that an epoch takes
far longer than a budget: the curve is taken every `slice` CPU seconds of training. Its own loader, split and loss are
used, in its trainer's order; validation and lists are by its `full_sort_predict`.
"""

import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import recbole
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, init_seed

OPTIONS, given = json.loads(sys.argv.pop()), dict(np.load(sys.argv[1]))  # RecBole reads what is left of the arguments
TARGET = sys.argv[2]
sys.argv = sys.argv[:1]
N, LENGTH = len(given["offsets"]) - 1, OPTIONS["length"]


def lists_of(offsets, item):
    return [item[low:high] for low, high in pairwise(offsets)]


def events():
    """All that is known at test time and, for its split to leave out, the last event once more."""
    known = [np.append(one, one[-1]) for one in lists_of(given["full_offsets"], given["full_item"])]
    user = np.repeat(np.arange(N), [len(one) for one in known])
    when = np.concatenate([np.arange(len(one)) for one in known])
    return pd.DataFrame(
        {"user_id:token": user, "item_id:token": np.concatenate(known), "timestamp:float": when.astype(float)}
    )


def configured(work):
    (Path(work) / "log").mkdir()
    events().to_csv(Path(work) / "log" / "log.inter", sep="\t", index=False)
    told = {
        "data_path": work,
        "checkpoint_dir": work,
        "use_gpu": False,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "MAX_ITEM_LIST_LENGTH": LENGTH,
        "hidden_size": 64,
        "inner_size": 256,
        "n_layers": OPTIONS["blocks"],
        "n_heads": OPTIONS["heads"],
        "hidden_dropout_prob": OPTIONS["dropout"],
        "attn_dropout_prob": OPTIONS["dropout"],
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "train_batch_size": OPTIONS["batch"],
        "learning_rate": 1e-3,
        "seed": OPTIONS["seed"],
        "show_progress": False,
        "state": "WARNING",
    }
    return Config(model="SASRec", dataset="log", config_dict=told)


def best_items(model, number, histories, k=10):
    """(n, k) the items of the highest scores, none of the history, in RecBole's numbers."""
    found = []
    model.eval()
    with torch.no_grad():
        for start in range(0, len(histories), 512):
            some = [number[one] for one in histories[start : start + 512]]
            item = torch.zeros((len(some), LENGTH), dtype=torch.long)
            for row, one in enumerate(some):
                item[row, : len(one[-LENGTH:])] = torch.as_tensor(one[-LENGTH:])
            length = torch.as_tensor([min(len(one), LENGTH) for one in some])
            asked = Interaction({"item_id_list": item, "item_length": length})
            scores = model.full_sort_predict(asked).view(len(some), -1)
            scores[:, 0] = -torch.inf
            for row, one in enumerate(some):
                scores[row, one] = -torch.inf
            found.append(scores.topk(k).indices.numpy())
    return np.concatenate(found)


def main():
    with tempfile.TemporaryDirectory() as work:
        config = configured(work)
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
    token = dataset.field2id_token["item_id"]
    raw = np.array([-1, *(int(one) for one in token[1:])])
    number = np.zeros(int(given["n_items"]), np.int64)
    number[raw[1:]] = np.arange(1, len(raw))
    model = get_model("SASRec")(config, train.dataset)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    histories, target = lists_of(given["offsets"], given["item"]), number[given["validation"]]
    curve, best, kept, done, share = [], -1.0, None, 0, 0.0
    spent = used = 0.0

    def measure():
        nonlocal best, kept
        hit = best_items(model, number, histories) == target[:, None]
        value = float((hit / np.log2(np.arange(2, 12))).sum(1).mean())
        curve.append((spent, used, value))
        print(f"recbole: {spent:.0f} s, {used:.0f} CPU s, {share:.1%} of an epoch, validation {value:.4f}", flush=True)
        if value > best:
            best, kept = value, {name: one.clone() for name, one in model.state_dict().items()}
        model.train()

    model.train()
    while used < OPTIONS["seconds"]:
        for batch in train:
            since = time.perf_counter(), time.process_time()
            optimizer.zero_grad()
            loss = model.calculate_loss(batch)
            loss.backward()
            optimizer.step()
            spent, used = spent + time.perf_counter() - since[0], used + time.process_time() - since[1]
            done += 1
            share = done / len(train)
            if used > (len(curve) + 1) * OPTIONS["slice"]:
                measure()
            if used >= OPTIONS["seconds"]:
                break
    measure()
    model.load_state_dict(kept)
    start = time.perf_counter()
    found = raw[best_items(model, number, lists_of(given["full_offsets"], given["full_item"]))]
    per_second = N / (time.perf_counter() - start)
    np.savez(
        TARGET,
        items=found,
        curve=np.array(curve),
        epoch_seconds=spent / share,
        epoch_cpu=used / share,
        users_a_second=per_second,
        stopped=f"{OPTIONS['seconds']:g} CPU seconds",
        version=f"recbole {recbole.__version__}",
    )


main()
