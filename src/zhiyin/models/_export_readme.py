"""What lies beside an exported graph for people: how to ask it with onnxruntime alone, as code that runs."""

from __future__ import annotations

from typing import Any

HIDDEN_EVENT = """
This model looks at both sides of an event. One more event stands at the end of each history, for the one that is to be
foretold, at the moment of the question; nothing else is known of it, and its item makes no difference.
"""

README = """# {model}, as an ONNX graph

A recommender fitted by zhiyin {zhiyin}: `model.onnx` (opset {opset}) answers histories of any number at once. The ids
of its {n_items} items are in `items.parquet`, in the order of their numbers; all else is in `signature.json`.

| | name | type | shape | what it is |
|---|---|---|---|---|
{rows}

A history is cut to its last {longest} events, and events on items that are not in `items.parquet`, or not `known` there
(training never met them), are left out.
Scores are of all items, those of the history among them.
{hidden}
To ask it, `pip install onnxruntime numpy pyarrow`, and in this folder:

```python
{code}```
"""

CODE = """import json

import numpy as np
import onnxruntime
import pyarrow.parquet as pq

with open("signature.json", encoding="utf-8") as file:
    told = json.load(file)
items = pq.read_table("items.parquet")
ids, known = items["item_id"].to_pylist(), items["known"].to_pylist()
number = {one: place for place, one in enumerate(ids) if known[place]}
session = onnxruntime.InferenceSession("model.onnx")
UNKNOWN = np.iinfo(np.int64).min


def bucket(microseconds):
    with np.errstate(divide="ignore"):
        found = 1 + np.floor(np.log(np.maximum(microseconds, 0) / 1e6) / np.log(1.7))
    return np.clip(found, 0, 39).astype(np.int64)


# The numbers of one feature of the events of a history; None where it is not known, as sessions are not here.
def feature(name, size, place, times, asked, values, kinds):
    if name == "position":
        return np.minimum(place, size - 1)
    if name == "kind" and kinds is not None:
        return np.array([told["kinds"].index(one) for one in kinds])
    if name == "value" and values is not None:
        found = np.searchsorted(np.array(told["edges"], np.float32), values, side="right")
        return np.where(np.isnan(values), size - 1, found)
    if name in ("hour", "weekday") and asked is not None:
        found = asked // 3_600_000_000 % 24 if name == "hour" else (asked // 86_400_000_000 + 3) % 7
        return np.where(asked == UNKNOWN, size - 1, found)
    if name in ("wait", "gap") and times is not None:
        before, first = np.concatenate([times[:1], times[:-1]]), np.arange(len(times)) == 0
        return bucket(asked - times) if name == "wait" else np.where(first, 0, 1 + bucket(times - before))
    return None


# The number of what is known of the user; None where nothing is.
def person(one, user):
    said = (user or {}).get(one["column"])
    if said is None:
        return None
    if one["values"] is None:
        return np.searchsorted(np.array(one["edges"]), float(said), side="left")
    return one["values"].index(said) if said in one["values"] else None


# What the graph is given for one history: item ids, oldest first; times and now in microseconds since 1970; columns
# of the user.
def inputs(items, times=None, values=None, kinds=None, now=None, user=None):
    if times is not None and now is None:
        now = max(times, default=0) + 1
    kept = [at for at, one in enumerate(items) if one in number and (times is None or times[at] <= now)]
    kept = kept[-told["longest"] :]
    if kept and told["hidden_event"]:
        kept.append(kept[-1])
    n = len(kept)
    place = np.arange(n)[::-1] if told["hidden_event"] else np.arange(n)
    times, values = (
        None if column is None else np.array([column[at] for at in kept], kind)
        for column, kind in ((times, np.int64), (values, np.float32))
    )
    kinds = None if kinds is None else [kinds[at] for at in kept]
    asked = None if now is None else np.full(n, UNKNOWN)
    if times is not None:
        asked = times.copy() if told["hidden_event"] else np.append(times[1:], times[-1:])
        if told["hidden_event"]:
            times[-1:] = now
    if asked is not None:
        asked[-1:] = now
    found = {
        "item": np.array([number[items[at]] for at in kept], np.int64),
        "length": np.int64(n),
        "features": np.zeros((n, len(told["features"])), np.int64),
        "seconds": np.full(n, told["unknown_time"], np.int32),
        "asked": np.full(n, told["unknown_time"], np.int32),
    }
    for at, one in enumerate(told["features"]):
        if "column" in one:
            column = person(one, user)
        else:
            column = feature(one["name"], one["size"], place, times, asked, values, kinds)
        found["features"][:, at] = one["unknown"] if column is None else one["start"] + column
        if told["hidden_event"] and one["name"] in ("gap", "kind", "value", "session"):
            found["features"][-1:, at] = one["unknown"]
    if times is not None:
        for name, moments in (("seconds", times), ("asked", asked)):
            found[name] = np.clip((moments - times[:1]) // 1_000_000, 0, told["longest_time"]).astype(np.int32)
    return found


# (n_histories, n_items) float32, for a list of what `inputs` gives.
def scores(histories):
    longest = max(1, *(one["length"] for one in histories))

    def padded(column):
        if column.ndim == 0:
            return column
        return np.pad(column, [(0, longest - len(column)), *[(0, 0)] * (column.ndim - 1)])

    asked_for = [one["name"] for one in told["inputs"]]
    return session.run(["scores"], {name: np.stack([padded(one[name]) for one in histories]) for name in asked_for})[0]


history = list(number)[:3]
found = scores([inputs(history)])[0]
print([ids[one] for one in np.argsort(-found)[:10] if ids[one] not in history and np.isfinite(found[one])])
"""


def readme(told: dict[str, Any]) -> str:
    """How to ask a graph, as Markdown, by its signature."""
    rows = [
        f"| {'input' if one in told['inputs'] else 'output'} | {one['name']} | {one['type']} "
        f"| {', '.join(map(str, one['shape']))} | {one['what']} |"
        for one in (*told["inputs"], *told["outputs"])
    ]
    hidden = HIDDEN_EVENT if told["hidden_event"] else ""
    return README.format(**told, rows="\n".join(rows), hidden=hidden, code=CODE)
