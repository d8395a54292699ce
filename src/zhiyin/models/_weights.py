"""The weights of training events: whether they are numbers, and what an event of each kind weighs."""

from __future__ import annotations

import numpy as np

from zhiyin.data.dataset import Dataset
from zhiyin.errors import DataError


def check_weights(train: Dataset) -> None:
    """Refuse events whose weight is no number.

    Raises:
        DataError: some weight is NaN or infinite.
    """
    weight = train.histories.weight
    wrong = 0 if weight is None else int(np.count_nonzero(~np.isfinite(weight)))
    if wrong:
        raise DataError(
            f"{wrong:,} of {train.n_events:,} events of {train.name!r} have a weight that is NaN or infinite; give "
            "each a number, or leave such events out"
        )


def kind_weights(train: Dataset) -> tuple[float, ...]:
    """What an event of each kind weighs on average, 1 where there is none; empty where nothing is weighed by kind."""
    kind, weight = train.histories.kind, train.histories.weight
    if kind is None or weight is None:
        return ()
    count = np.bincount(kind, minlength=len(train.kinds))
    total = np.bincount(kind, weight, len(train.kinds))
    mean = np.divide(total, count, out=np.ones_like(total), where=count > 0)
    return tuple(mean.tolist())
