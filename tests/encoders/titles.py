"""Two hundred things by their titles in English and Chinese, and what somebody says who looks for them.

Written by hand for these tests: 80 products, 60 films, 60 books. Whoever looks for a thing says it in other words; a
test holds that to it.
"""

import csv
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("titles.tsv")
COLUMNS = ("en", "zh", "en_asked", "zh_asked")


def titles() -> dict[str, list[str]]:
    """Column -> one text a thing."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: [row[name] for row in rows] for name in COLUMNS}


def recall(asked: np.ndarray, vectors: np.ndarray, k: int) -> float:
    """The share of rows whose own vector is among the `k` nearest; ties count against it."""
    cosines = asked @ vectors.T
    nearer = (cosines >= np.diag(cosines)[:, None]).sum(1) - 1
    return float((nearer < k).mean())
