"""Synthetic worlds whose truth is known: any size, seeded, for tests and for scale.

Each user has a taste, a mixture of groups θ; each item belongs to one or two groups. An event at time t is made so:

    1. when        activity follows the hour, the weekday and the time of the year
    2. who         users differ in activity by orders of magnitude (log-normal)
    3. which group P(g | u, t) ∝ θ_ug(t) · season_g(t),  where θ_u(t) drifts from an early to a late taste
    4. which item  P(i | g, t) ∝ popularity_i · membership_ig among the items of the group that exist at t (Zipf)

so that P(i | u, t) = Σ_g P(g | u, t) · P(i | g, t) of a view is known exactly (`Truth.preference`). Some views lead to
a cart and some carts to a purchase, more often where the value is high; the value (1 to 5) grows with how well the
taste fits. Friends have like tastes. `Truth.exposures` logs lists that a known policy showed, with clicks under
position bias: P(click) = P(examined | place) · P(attractive | user, item) (Craswell, Zoeter, Taylor & Ramsey, "An
experimental comparison of click position-bias models", WSDM 2008). `Truth.coupons` is a trial of coupons, with the
chance of each person to buy with and without one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zhiyin.artifacts import new_folder
from zhiyin.data._synthetic_coupons import COUPON_FEATURES
from zhiyin.data._synthetic_events import KINDS, EventMaker, Events
from zhiyin.data._synthetic_truth import SECOND, SyntheticConfig, Truth
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError

__all__ = ["COUPON_FEATURES", "KINDS", "SyntheticConfig", "Truth", "synthetic", "write_events", "write_folder"]


def synthetic(config: SyntheticConfig | None = None, **options: Any) -> tuple[Dataset, Truth]:
    """A dataset and the truth behind it; give a config or single settings.

    >>> dataset, truth = synthetic(n_users=50, n_items=30, n_events=600, n_groups=3, seed=1)
    >>> dataset.n_events, dataset.kinds, truth.groups
    (600, ('view', 'cart', 'purchase'), ('jazz', 'opera', 'punk'))
    """
    truth = Truth(_settings(config, options))
    events = Events.join(list(EventMaker(truth).lots()))
    order = np.argsort(events.user, kind="stable")  # events come in the order of time
    histories = Histories.of_lengths(
        np.bincount(events.user, minlength=truth.config.n_users),
        item=events.item[order],
        time=events.time[order] * SECOND,
        value=events.value[order],
        kind=events.kind[order],
    )
    return Dataset.of(histories, truth.items, truth.users, kinds=KINDS, name="synthetic"), truth


def write_events(path: str | Path, config: SyntheticConfig | None = None, **options: Any) -> int:
    """Write the events of a world to one Parquet file, in the order of time; return how many.

    Columns: `user_id, item_id` (text), `time` (seconds since 1970), `kind` (text), `value`. It is written in lots, so
    that memory does not grow with the number of events.

    Raises:
        DataError: the disk refuses to write.
    """
    return _write_events(Path(path), Truth(_settings(config, options)))


def write_folder(path: str | Path, config: SyntheticConfig | None = None, **options: Any) -> Truth:
    """Write a whole world as a folder of Parquet files: `events`, `items`, `users`, `links`; return its truth.

    Raises:
        DataError: the folder is there already, or the disk refuses to write.
    """
    truth = Truth(_settings(config, options))
    with new_folder(path) as folder:
        _write_events(folder / "events.parquet", truth)
        for name in ("items", "users", "links"):
            pq.write_table(getattr(truth, name), folder / f"{name}.parquet", compression="zstd")
    return truth


def _settings(config: SyntheticConfig | None, options: dict[str, Any]) -> SyntheticConfig:
    if config is not None and options:
        raise ConfigError("give either a config or single settings, not both")
    return SyntheticConfig.read(options, "a synthetic world") if config is None else config


def _write_events(path: Path, truth: Truth) -> int:
    work = path.with_name(f".{path.name}.{os.getpid()}")
    schema = pa.schema(
        {"user_id": pa.string(), "item_id": pa.string(), "time": pa.int64(), "kind": pa.string(), "value": pa.float32()}
    )
    users, items, kinds = truth.user_ids(), truth.item_ids(), pa.array(KINDS)
    try:
        with pq.ParquetWriter(work, schema, compression="zstd") as writer:
            for lot in EventMaker(truth).lots():
                texts = [
                    ids.take(pa.array(numbers))
                    for ids, numbers in ((users, lot.user), (items, lot.item), (kinds, lot.kind))
                ]
                columns = [texts[0], texts[1], pa.array(lot.time), texts[2], pa.array(lot.value)]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        work.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; nothing was left half-written") from error
    finally:
        work.unlink(missing_ok=True)
    return truth.config.n_events
