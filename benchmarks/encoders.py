"""How fast encoders are, how fast kept vectors are found again, what a million items take of memory, what words find.

    python benchmarks/encoders.py                         # all of it: some six minutes
    python benchmarks/encoders.py --items 200 --many 2000 --encoders multilingual --out encoders_smoke

For each encoder: `--items` different texts are encoded by the bare model in batches (its own throughput) and by the
encoder with everything around it (cleaning, hashing, keeping in a new folder of the cache, as by default), in turn,
nine times (those of more than `LONG` CPU seconds, three times); medians count, the share is that of pairs.
Then the second run, which reads what was kept, on `--many` items. Then, in processes of their own, the peak of memory
while an encoder that costs nothing streams `--many` items into a file, beyond that of a process that only holds the
item table. Last, how many of two hundred things (`tests/encoders/titles.tsv`) are among the first ten titles for what
somebody says who looks for them, in other words. Written to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from _common import child, clock, write_results
from zhiyin import encoders
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.run import Run

ENCODERS = ("tfidf", "multilingual", "sentence")
TARGETS = {"share_of_own_throughput": 0.9, "kept_items_per_second": 50_000, "peak_mib": 2_048}
REPEAT, OFTEN, LONG = 3, 9, 15.0
READERS = {"multilingual": ("en", "zh"), "sentence": ("en",)}
"""Encoders, and the languages in which they are asked."""
WIDTH = 384
CHUNK = 10_000
WORDS = (
    "quiet bright small large old new red blue green warm cold soft heavy light wooden silver garden kitchen river "
    "mountain winter summer night morning coffee bread water stone paper glass music story dance travel letter window "
    "bridge forest island market harbour engine camera guitar jacket lantern blanket bicycle notebook planet journey"
)


class HashedConfig(TextConfig):
    """Settings of `Hashed`."""


class Hashed(TextEncoder):
    """An encoder that costs next to nothing, to see what all around it costs."""

    config: HashedConfig

    def _encode(self, contents: Any, run: Run) -> Any:
        numbers = np.array([hash(one) & 0xFFFF for one in contents], np.float32)
        return np.cos(numbers[:, None] * np.arange(1, WIDTH + 1, dtype=np.float32))


def table(n: int) -> pa.Table:
    """Items with a title and a description of about 30 words, all different; made piece by piece."""
    rng, words = np.random.default_rng(0), np.array(WORDS.split())
    starts = range(0, n, CHUNK)
    return pa.concat_tables(
        [_piece(start, words[rng.integers(0, len(words), (min(CHUNK, n - start), 30))]) for start in starts]
    )


def _piece(start: int, drawn: Any) -> pa.Table:
    numbers = [str(start + row) for row in range(len(drawn))]
    titles = [f"{' '.join(row[:5])} {number}" for row, number in zip(drawn.tolist(), numbers, strict=True)]
    return pa.table({"item_id": numbers, "title": titles, "description": [" ".join(row[5:]) for row in drawn.tolist()]})


def own(encoder: TextEncoder, texts: list[str], run: Run) -> Callable[[], Any]:
    """Encode texts by the bare model, in the batches that suit it, longest first."""
    ordered = sorted(texts, key=len, reverse=True)
    return lambda: encoder._encode(ordered, run)


def speed(name: str, items: pa.Table, run: Run) -> dict[str, Any]:
    """CPU seconds of the bare model and of the encoder, in turn, and the share that is left of the model's speed."""
    encoder: TextEncoder = encoders.get(name)()
    if encoder.learns:
        encoder.fit(items, run)
    encoder.encode(items.slice(0, 8), keep=False, run=run)  # reads the model
    texts = encoder._contents(items)
    bare, whole = [], []
    for turn in range(OFTEN):
        if turn >= REPEAT and bare[0] > LONG:
            break
        with clock() as taken:
            own(encoder, texts, run)()
        bare.append(taken.cpu)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["ZHIYIN_CACHE"] = folder
            with clock() as taken:
                encoder.encode(items, run=run)
        whole.append(taken.cpu)
    one, all_ = statistics.median(bare), statistics.median(whole)
    share = [alone / around for alone, around in zip(bare, whole, strict=True)]
    found = {
        "own_per_cpu_second": len(texts) / one,
        "per_cpu_second": len(texts) / all_,
        "share": statistics.median(share),
    }
    print(
        f"{name:14s} {found['own_per_cpu_second']:10.0f}/s bare {found['per_cpu_second']:10.0f}/s {found['share']:.2f}"
    )
    return found


def kept(items: pa.Table, run: Run) -> dict[str, Any]:
    """How many items a second are found again, with all that is around it."""
    encoder = Hashed()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "kept"
        encoder.encode(items, keep=place, run=run)
        times = []
        for _ in range(REPEAT):
            with clock() as taken:
                found = encoder.encode(items, keep=place, run=run)
            if found.encoded:
                raise SystemExit(f"{found.encoded} items were encoded anew")
            times.append(taken)
    n = items.num_rows
    rates = {
        "items": n,
        "per_cpu_second": n / statistics.median(one.cpu for one in times),
        "per_wall_second": n / statistics.median(one.wall for one in times),
    }
    print(f"kept           {rates['per_cpu_second']:10.0f}/CPU-s {rates['per_wall_second']:10.0f}/s of {n:,} items")
    return rates


STREAM = """
import json, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import encoders as bench
from _common import clock, peak_mib
items = bench.table(int(sys.argv[2]))
mib = items.nbytes / 2**20
if sys.argv[3] == "stream":
    with tempfile.TemporaryDirectory() as folder, clock() as taken:
        keep = Path(folder) / "kept" if sys.argv[4] == "keep" else False
        found = bench.Hashed().encode(items, keep=keep, out=Path(folder) / "vectors.npy", run=bench.Run())
        assert len(found) == items.num_rows
    print(json.dumps({"peak_mib": peak_mib(), "table_mib": mib, "seconds": taken.wall}))
else:
    print(json.dumps({"peak_mib": peak_mib(), "table_mib": mib}))
"""


def memory(n: int) -> dict[str, Any]:
    """The peak of a process that makes n items and streams their vectors into a file; without and with keeping."""
    here = str(Path(__file__).parent)
    bare = child(STREAM, here, str(n), "table", "")["peak_mib"]
    found: dict[str, Any] = {"items": n, "width": WIDTH, "table_alone_mib": bare}
    for how in ("no_keep", "keep"):
        seen = child(STREAM, here, str(n), "stream", how)
        found[how] = {"peak_mib": seen["peak_mib"], "seconds": seen["seconds"]}
        print(f"stream {n:,} items, {how}: {seen['peak_mib']:.0f} MiB, of which {bare:.0f} to make the items")
    return found


def by_words(run: Run) -> dict[str, dict[str, float]]:
    """Recall@10 of a thing, by words that its title does not have; and of its title by that in the other language."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "encoders"))
    from titles import recall, titles

    found: dict[str, dict[str, float]] = {}
    for name, languages in READERS.items():
        read = encoders.get(name)()
        asked = {one: read.encode_texts(texts, run=run) for one, texts in titles().items() if one.endswith("_asked")}
        told = {
            one: read.encode_texts(texts, purpose="item", run=run)
            for one, texts in titles().items()
            if one in languages
        }
        found[name] = {language: recall(asked[f"{language}_asked"], told[language], 10) for language in languages}
        if len(languages) > 1:
            found[name]["en by zh, first"] = recall(told["zh"], told["en"], 1)
    print(found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2_000, help="texts for the speed of an encoder")
    parser.add_argument("--many", type=int, default=1_000_000, help="items for kept vectors and memory")
    parser.add_argument("--encoders", default=",".join(ENCODERS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="encoders", help="name of the results")
    asked = parser.parse_args()
    run = Run(threads=asked.threads)
    texts = table(asked.items)
    found = {
        "settings": {"items": asked.items, "threads": asked.threads, "repeat": [REPEAT, OFTEN]},
        "targets": TARGETS,
        "speed": {name: speed(name, texts, run) for name in asked.encoders.split(",")},
        "kept": kept(table(min(asked.many, 200_000)), run),
        "memory": memory(asked.many),
        "by words": by_words(run),
    }
    write_results(asked.out, found)


if __name__ == "__main__":
    main()
