"""Evaluation: protocols, honest numbers, comparisons and reports.

A number belongs to a protocol; the modules of this room:

protocol       how a number was made, with a hash
evaluate       one model on test cases: per-query values
compare        several models under one protocol, beside simple baselines
significance   intervals and paired tests
slices         for whom and on what a model is good
report         what came out: JSON, Parquet, one HTML page
tune           search settings on the validation part only
uplift         how good the order is in which people should get a coupon
off_policy     what a policy would earn that never ran, from the log of one that did
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "Protocol": "protocol",
    "Report": "report",
    "Tuning": "tune",
}

__all__ = ["Protocol", "Report", "Tuning"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
