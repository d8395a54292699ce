"""Metrics: one file each, pure functions of lists and what really happened. `available()` lists them.

>>> from zhiyin import metrics
>>> metrics.parse("recall@20").label
'recall@20'
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from zhiyin._rooms import open_room
from zhiyin.errors import ConfigError

if TYPE_CHECKING:
    from zhiyin.metrics.base import Metric

available, get, __getattr__ = open_room(__name__, "metric")

DEFAULT: tuple[str, ...] = (
    "ndcg@10",
    "recall@10",
    "precision@10",
    "hit_rate@10",
    "mrr@10",
    "map@10",
    "coverage@10",
    "gini@10",
    "novelty@10",
    "popularity_share@10",
    "intra_list_diversity@10",
    "serendipity@10",
    "calibration@10",
)
"""The metrics of recommended lists that are shown when nobody asks for others."""

_LABEL = re.compile(r"(?P<name>[^@\[\]]+)(@(?P<k>\d+))?(?P<settings>(\[\w+=[^\[\]]+\])*)")


def parse(label: str) -> Metric:
    """The metric of a label: "ndcg@10", "rmse", "recall@5[truncated=true]".

    A label is a name, perhaps a cut-off, perhaps settings. `parse` takes back what `Metric.label` says,
    and `package.module:Class@10` for somebody else's metric.

    Raises:
        ConfigError: the label is not of that form, or the metric or setting is unknown (with the nearest names).
    """
    found = _LABEL.fullmatch(label.strip())
    if found is None:
        raise ConfigError(f'metric {label!r} was not understood; write "ndcg@10", "rmse" or "recall@5[truncated=true]"')
    name = found["name"]
    kind: type[Metric] = get(name if ":" in name else name.lower().replace("-", "_"))
    options: dict[str, Any] = dict(re.findall(r"\[(\w+)=([^\[\]]+)\]", found["settings"]))
    if found["k"] is not None:
        options["k"] = found["k"]
        if "k" not in kind.settings().model_fields:
            raise ConfigError(f"{name} has no cut-off, {label!r} came; write {name!r}")
    return kind(**options)
