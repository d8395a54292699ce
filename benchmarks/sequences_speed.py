"""What sequence models cost: a training step, a query, all users, a million items, memory.

    python benchmarks/sequences_speed.py --data FOLDER [--parts NAME ...] [--rectools PYTHON]

FOLDER holds sets of uniform Parquet, PYTHON is of an environment with RecTools. Parts: step, loss, pieces, query,
users, long, million, memory. Run it on a quiet machine: every figure is of one process on all cores. The operations of
a step are those that its sums need (forward once, backward twice; causal attention over the lower half), not those that
are performed; the machine's rate is that of a product of two large float32 matrices, measured beside.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from _common import RESULTS, child, peer, write_results
from classics import load
from zhiyin import splitting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.models.gru4rec import GRU4Rec
from zhiyin.models.sasrec import SASRec
from zhiyin.models.transformer_xl import TransformerXL
from zhiyin.models.zhiyin import Zhiyin
from zhiyin.nn.attention import attend
from zhiyin.nn.blocks import Dropout
from zhiyin.nn.layout import Layout
from zhiyin.nn.losses import Negatives, sampled_loss, softmax_loss
from zhiyin.nn.training import Training
from zhiyin.retrieval.exact import search
from zhiyin.run import Run

WIDTH, ITEMS = 64, 3416
MODELS = {
    "sasrec": (SASRec, {"max_length": 200, "loss": "sampled_softmax", "n_negatives": 512}),
    "sasrec softmax": (SASRec, {"max_length": 200, "loss": "softmax"}),
    "zhiyin": (Zhiyin, {"max_length": 200}),
}


def best(action: Callable[[], object], times: int = 10) -> float:
    """Seconds of the fastest run."""
    action()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return min(found)


def machine_rate() -> float:
    """GFLOP/s of a product of two float32 matrices of 2,048 rows and columns."""
    left, right = torch.randn(2048, 2048), torch.randn(2048, 2048)
    return 2 * 2048**3 / best(lambda: left @ right) / 1e9


def operations(model: Any, lengths: np.ndarray, n_answers: int, n_items: int) -> float:
    """Necessary operations of a training step."""
    own, events = model.config, float(lengths.sum())
    hidden = own.hidden_size or own.embedding_size * (2 if own.block == "ligr" else 4)
    gated = own.block == "ligr"
    matrices = (4 + 2 * gated) * own.embedding_size**2 + (2 + gated) * own.embedding_size * hidden
    pairs = float((lengths * (lengths + 1) / 2).sum())
    candidates = n_items if own.loss_for(n_items) == "softmax" else min(own.n_negatives, n_items)
    forward = own.n_layers * (events * matrices + 2 * pairs * own.embedding_size)
    forward += n_answers * candidates * own.embedding_size
    return 3 * 2 * forward


def step(folder: Path) -> dict[str, Any]:
    """Training steps on movielens-1m: the rate over the necessary operations, and what padding adds to attention."""
    split = splitting.get("leave_last_out")().split(load("movielens-1m", folder))
    return {name: step_of(split, kind, settings) for name, (kind, settings) in MODELS.items()}


def step_of(split: Any, kind: Any, settings: dict[str, Any]) -> dict[str, float]:
    """An epoch of one model, with a clock on every step."""
    model, taken, one_step = kind(**{**settings, "epochs": 1}), [], Training._step

    def timed(self: Any, windows: Any, generator: Any, done: float) -> Any:
        start = time.perf_counter()
        result = one_step(self, windows, generator, done)
        lengths = windows[:, 1]
        taken.append((time.perf_counter() - start, operations(model, lengths, int(lengths.sum()), ITEMS)))
        return result

    Training._step = timed  # type: ignore[method-assign]
    model.fit(split.train, None, Run())
    Training._step = one_step  # type: ignore[method-assign]
    maker, generator, histories = model._maker(), np.random.default_rng(0), split.train.histories
    some = maker.epoch(histories, model.config.batch_size, generator)[:50]
    padded = [maker.training(histories, windows, generator).layout.padded for windows in some]
    seconds, needed = np.array(taken).T
    rate, own = machine_rate(), float(np.median(needed / seconds)) / 1e9
    return {
        "milliseconds": 1e3 * float(np.median(seconds)),
        "events_a_second": model.config.batch_size / float(np.median(seconds)),
        "gflops": own,
        "machine_gflops": rate,
        "share_of_machine": own / rate,
        "attention_padding": float(np.mean(padded)),
    }


def loss(folder: Path) -> dict[str, Any]:
    """Forward and backward of the loss for 6,400 answers: all items against 512 negatives that all answers share."""
    return {str(n_items): loss_of(n_items) for n_items in (ITEMS, 20_000)}


def loss_of(n_items: int) -> dict[str, float]:
    """Both losses in a catalogue of so many items."""
    states = torch.randn(6400, WIDTH, requires_grad=True)
    items = torch.randn(n_items, WIDTH, requires_grad=True)
    targets = torch.randint(0, n_items, (6400,))
    drawn = Negatives(torch.randperm(n_items)[:512])

    def full() -> None:
        softmax_loss(states, items, targets).backward()

    def shared() -> None:
        sampled_loss(states, items[targets], items[drawn.items], targets, drawn).backward()

    whole, some = best(full, 3), best(shared, 20)
    return {"full_ms": 1e3 * whole, "shared_ms": 1e3 * some, "times_faster": whole / some}


def pieces(folder: Path) -> dict[str, Any]:
    """Parts of a step beside torch's own, forward and backward: 32 sequences of 200 events, 2 heads of 32 numbers."""
    layout = Layout.of(np.full(32, 200))
    qkv = torch.randn(6400, 3 * WIDTH, requires_grad=True)
    apart = [one.detach().requires_grad_() for one in qkv.unflatten(0, (32, 200)).unflatten(2, (3, 2, -1)).unbind(2)]
    came, fused = torch.randn(6400, WIDTH), torch.nn.functional.scaled_dot_product_attention
    states = torch.randn(6400, WIDTH)
    ours, theirs = Dropout(0.2).train(), torch.nn.Dropout(0.2).train()

    def torchs() -> None:
        mixed = fused(*(one.transpose(1, 2) for one in apart), is_causal=True)
        mixed.transpose(1, 2).flatten(0, 1).flatten(1).backward(came)

    found: dict[str, tuple[float, float | None]] = {
        "attention": (best(lambda: attend(qkv, layout, 2).backward(came), 20), best(torchs, 20)),
        "dropout": (best(lambda: ours(states), 50), best(lambda: theirs(states), 50)),
        "product of 6,400 x 64 and 64 x 64": (best(lambda: states @ states[:64], 50), None),
    }
    return {name: {"ms": 1e3 * one, "torch_ms": two and 1e3 * two} for name, (one, two) in found.items()}


def query(folder: Path) -> dict[str, Any]:
    """One query of 200 events through `recommend`: 2 layers of 64 numbers, 3,416 items."""
    rng = np.random.default_rng(0)
    lists = [rng.choice(ITEMS, 200, replace=False) for _ in range(60)]
    histories = Histories.of_lists([*(one.tolist() for one in lists), list(range(ITEMS))])
    world = Dataset.of(histories, [f"i{number}" for number in range(ITEMS)])
    found = {}
    for threads in (1, 2):
        run = Run(threads=threads)
        model = SASRec(epochs=1, n_negatives=64, loss="sampled_softmax").fit(world, run=run)
        asked = [Query.of(world.items.decode(one)) for one in lists]
        spent = []
        for turn in range(1200):
            start = time.perf_counter()
            model.recommend(asked[turn % len(asked)], k=10, run=run)
            spent.append(1e3 * (time.perf_counter() - start))
        live = model.live(asked[0])
        live.recommend(10)
        grown = []
        for turn in range(150):
            live = live if turn % 50 else model.live(Query.of(asked[0].items[:140]))
            live.add([asked[1].items[turn]])
            start = time.perf_counter()
            live.recommend(10)
            grown.append(1e3 * (time.perf_counter() - start))
        low, high = np.percentile(spent[200:], [50, 99])
        found[f"{threads} threads"] = {"p50_ms": low, "p99_ms": high, "live_p50_ms": float(np.median(grown[1:]))}
    return found


def users(folder: Path, rectools: str | None = None) -> dict[str, Any]:
    """Ten items for all users of movielens-1m, whether the lists are those of brute force, and RecTools beside.

    Both are SASRec with two blocks and two heads, after an epoch; theirs is timed between two runs of ours.
    """
    split = splitting.get("leave_last_out")().split(load("movielens-1m", folder))
    found: dict[str, Any] = {}
    for length in (50, 200):
        model = SASRec(max_length=length, epochs=1, loss="sampled_softmax").fit(split.train)
        seconds = best(lambda: model.recommend(split.test.queries, k=10), 3)  # noqa: B023 - called at once
        theirs = None if rectools is None else rectools_rate(split, length, rectools)
        seconds = min(seconds, best(lambda: model.recommend(split.test.queries, k=10), 3))  # noqa: B023
        some = split.test.queries.take(np.arange(500))
        scores = model._score(some)
        scores[some.histories.owner(), some.histories.item] = -np.inf
        brute = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        same = float(np.mean(model.recommend(some, k=10).items == brute))
        rate = len(split.test) / seconds
        found[f"length {length}"] = {"users_a_second": rate, "same_as_brute_force": same}
        if theirs is not None:
            found[f"length {length}"] |= {"rectools_users_a_second": theirs, "times_rectools": rate / theirs}
    return found


def rectools_rate(split: Any, length: int, python: str) -> float:
    """Users a second of RecTools' own `recommend`."""
    options = {"length": length, "batch": 128, "blocks": 2, "heads": 2, "dropout": 0.2, "seed": 0}
    options |= {"epochs": 1, "patience": 1, "seconds": 3600}
    return float(peer(split, "rectools", python, options)["users_a_second"])


def long(folder: Path) -> dict[str, Any]:
    """One query of up to 10,000 events: to `transformer_xl` the last 2,000 matter, to `gru4rec` all of them.

    Then one more event of a live history of that length, where there is such a thing.
    """
    rng, found = np.random.default_rng(0), {}
    histories = Histories.of_lists([rng.integers(0, ITEMS, 500).tolist(), list(range(ITEMS))])
    world = Dataset.of(histories, [f"i{number}" for number in range(ITEMS)])
    for kind in (TransformerXL, GRU4Rec):
        model = kind(max_length=10_001, epochs=1, n_negatives=64, loss="sampled_softmax").fit(world)
        took = {}
        for length in (200, 1_000, 10_000):
            asked = Query.of(world.items.decode(rng.integers(0, ITEMS, length)))
            seconds = best(lambda: model.recommend(asked, k=10, exclude_seen=False), 10)  # noqa: B023 - called at once
            took[f"ms_{length}"] = 1e3 * seconds
        if kind is GRU4Rec:
            live = model.live(asked)
            live.recommend(10)
            live.add(world.items.decode(rng.integers(0, ITEMS, 1)))
            start = time.perf_counter()
            live.recommend(10)
            took["live_ms_10000"] = 1e3 * (time.perf_counter() - start)
        found[model.name] = took
    return found


def million(folder: Path) -> dict[str, Any]:
    """Exact top 100 of a million items, and how a training step grows with the catalogue."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1_000_000, WIDTH), np.float32)
    spent = []
    for _ in range(120):
        one = rng.standard_normal((1, WIDTH), np.float32)
        start = time.perf_counter()
        search(one, vectors, 100)
        spent.append(1e3 * (time.perf_counter() - start))
    found: dict[str, Any] = {"top_100_p50_ms": float(np.median(spent[20:]))}
    found["top_100_p95_ms"] = float(np.percentile(spent[20:], 95))
    del vectors
    code = STEP_CODE
    for codes in (0, 8):
        took = {n: child(code, str(n), str(codes)) for n in (100_000, 1_000_000)}
        found[f"codes {codes}"] = {f"step_ms_{n}": one["ms"] for n, one in took.items()}
        found[f"codes {codes}"] |= {f"peak_mib_{n}": one["mib"] for n, one in took.items()}
        found[f"codes {codes}"]["growth"] = took[1_000_000]["ms"] / took[100_000]["ms"]
    return found


PEAK_CODE = """
def peak():  # of this process alone; what getrusage says may be its parent's
    (line,) = [one for one in open("/proc/self/status") if one.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
"""


STEP_CODE = (
    PEAK_CODE
    + """
import json, sys, time
import numpy as np
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.models.sasrec import SASRec
from zhiyin.nn.training import Training
from zhiyin.run import Run
n_items, codes = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
lengths = np.full(6000, 50)
item = np.minimum((n_items * rng.random(lengths.sum()) ** 3).astype(np.int32), n_items - 1)
world = Dataset.of(Histories.of_lengths(lengths, item=item), Vocabulary([f"i{one}" for one in range(n_items)]))
spent, step = [], Training._step
def timed(self, *arguments):
    start = time.perf_counter()
    result = step(self, *arguments)
    spent.append(time.perf_counter() - start)
    return result
Training._step = timed
SASRec(max_length=50, epochs=1, codes=codes, average=0.0, loss="sampled_softmax").fit(world, run=Run())
print(json.dumps({"ms": 1e3 * float(np.median(spent[5:])), "mib": peak()}))
"""
)


MEMORY_CODE = (
    PEAK_CODE
    + """
import json, sys
from zhiyin.data.dataset import Dataset
from zhiyin.models.sasrec import SASRec
from zhiyin.run import Run
from zhiyin.splitting import LeaveLastOut
world = Dataset.load(sys.argv[1])
split = LeaveLastOut().split(world)
SASRec(epochs=1, measured_cases=2000).fit(split.train, split.validation, Run())
print(json.dumps({"mib": peak(), "events": world.n_events}))
"""
)


def memory(folder: Path) -> dict[str, Any]:
    """The most memory of a process that opens a dataset, splits it and trains an epoch with validation."""
    found = {}
    with tempfile.TemporaryDirectory() as work:
        one = Path(work) / "movielens-1m"
        load("movielens-1m", folder).save(one)
        found["movielens-1m"] = child(MEMORY_CODE, str(one))
        two = Path(work) / "synthetic"
        rng = np.random.default_rng(0)
        lengths = rng.geometric(1 / 95, 200_000) + 5
        n = int(lengths.sum())
        item = np.minimum((50_000 * rng.random(n) ** 3).astype(np.int32), 49_999)
        when = np.arange(n, dtype=np.int64) * 1_000_000
        histories = Histories.of_lengths(lengths, item=item, time=when)
        Dataset.of(histories, [f"i{number}" for number in range(50_000)]).save(two)
        del histories, item, when
        found["synthetic"] = child(MEMORY_CODE, str(two))
    return found


PARTS = {
    "step": step,
    "loss": loss,
    "pieces": pieces,
    "query": query,
    "users": users,
    "long": long,
    "million": million,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--rectools", metavar="PYTHON", help="also time RecTools in `users`")
    chosen = parser.parse_args()
    file = RESULTS / "sequences_speed.json"
    results = json.loads(file.read_text(encoding="utf-8"))["parts"] if file.is_file() else {}
    for name in chosen.parts:
        results[name] = users(chosen.data, chosen.rectools) if name == "users" else PARTS[name](chosen.data)
        print(name, json.dumps(results[name], indent=1))
        write_results("sequences_speed", {"parts": results})


if __name__ == "__main__":
    main()
