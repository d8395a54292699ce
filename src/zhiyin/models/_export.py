"""The exported form of a sequence model: an ONNX graph that any runtime runs, with what one needs to ask it.

export/
  model.onnx        padded histories in; the scores of all items and the state of each history out
  items.parquet     the items' ids, in the order of their numbers, and whether training met them
  signature.json    the graph's inputs and outputs, how features are numbered, the settings of the model
  README.md         how to ask it with onnxruntime, numpy and pyarrow alone
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zhiyin._version import __version__
from zhiyin.arrays import AnyArray
from zhiyin.artifacts import check_free, new_folder, to_json
from zhiyin.errors import ConfigError, MissingExtra
from zhiyin.models._export_readme import readme
from zhiyin.models._sequences import SequenceRecommender
from zhiyin.models._torch import torch_of
from zhiyin.models.base import Asked, Recommender

if TYPE_CHECKING:
    import torch

    from zhiyin.nn.batches import Batch
    from zhiyin.nn.encoder import Encoder
    from zhiyin.nn.rectangle import Rectangle

FORMAT = 1

OPSET = 20
"""Of ONNX; the first with GELU."""

MARK = "signature.json"
"""The file that tells an exported model from other folders."""

ONE_FILE = 1_500_000_000
"""Bytes of weights that go into `model.onnx` itself, which cannot hold 2 GiB; more go to `model.onnx.data` beside."""

INPUTS = {
    "item": "the number of each event's item, oldest first, then padding (any item)",
    "length": "how many events each history has; 0 for none",
    "features": "what is told of each event, see `features`",
    "seconds": "when each event was, in seconds since the first event that is given of its history",
    "asked": "when each event answers, counted likewise: at the time of the next event; the last one at the present "
    "moment",
}
"""The inputs of a graph, in their order, and what they are; a model has those that it looks at."""

HIDDEN_ASKED = "when each event answers, counted likewise: at its own time; the last one at the present moment"
"""What `asked` is in a model that looks at both sides of an event."""

OUTPUTS = {
    "scores": "of every item; -inf where a history is empty, and for items that training says nothing of",
    "states": "of each history: a score is its product with the vector of an item; NaN where a history is empty",
}

FEATURES = {
    "position": "place of the event in what is given of its history, from 0; with a hidden event, counted from the end",
    "wait": "span from the event to the moment at which it answers",
    "gap": "0 for the first event, else 1 + span since the event before",
    "hour": "of the moment at which the event answers, in UTC",
    "weekday": "of the moment at which the event answers, in UTC; 0 is Monday",
    "kind": "place of the event's kind in `kinds`",
    "value": "how many of `edges` are not above the event's value",
    "session": "0 for a session's first event, then 1 + floor(log2(place in the session))",
}
"""How features are numbered; a span is `1 + floor(log(seconds) / log(1.7))`, from 0 to 39, 0 below a second."""

USER = "what the user says in this column: its place in `values`, or how many of `edges` are below it"
"""How columns of users are numbered; what is missing or not in `values` is unknown."""


def export(model: Recommender, path: str | Path, overwrite: bool = False) -> Path:
    """Write a fitted sequence model as an ONNX graph, in a folder that needs neither zhiyin nor torch; whole or not.

    The scores are those of `model.score` up to rounding. The time and memory of a question grow with the square of the
    longest history of its batch, but for gru4rec.

    Args:
        model: a fitted sequence model.
        path: the folder to write.
        overwrite: replace it if it holds an exported model already.

    Raises:
        ConfigError: the model is none that can be exported.
        NotFittedError: it is not fitted.
        MissingExtra: torch, onnx or onnxscript is not installed.
        DataError: the folder is taken, or the disk refuses to write.
    """
    sequential = _sequential(model)
    ids = sequential.vocabulary
    check_free(path, overwrite, MARK)
    need_onnx()
    import pyarrow as pa
    import pyarrow.parquet as pq

    from zhiyin.nn.rectangle import rectangle

    form = rectangle(_on_cpu(sequential.net), sequential.known)
    program = _graph(form, len(_sizes(sequential)))
    weights = sum(one.numel() * one.element_size() for one in form.parameters())
    with new_folder(path, overwrite, MARK) as folder:
        with _quiet():
            program.save(folder / "model.onnx", external_data=weights > ONE_FILE)
        pq.write_table(pa.table({"item_id": ids.ids, "known": sequential.known}), folder / "items.parquet")
        told = signature(sequential, form)
        (folder / MARK).write_text(to_json(told), encoding="utf-8")
        (folder / "README.md").write_text(readme(told), encoding="utf-8")
    return Path(path)


def query_inputs(model: Recommender, queries: Asked) -> dict[str, AnyArray]:
    """What an exported graph of the model is given to answer some queries, by input.

    Returns:
        item (b, n) int64, length (b,) int64 and, where the model looks at them, features (b, n, n_features) int64,
        seconds (b, n) int32 and asked (b, n) int32; rows in the order of the queries, n that of the longest history.

    Raises:
        ConfigError: the model is none that can be exported.
    """
    sequential = _sequential(model)
    batch = sequential._met(sequential.encode(queries))
    torch_of(model.name)
    from zhiyin.nn.rectangle import rectangle
    from zhiyin.nn.relations import UNKNOWN

    told = np.flatnonzero(batch.histories.lengths)
    flat = sequential._maker().queries(batch.take(told)) if len(told) else None
    n = 1 if flat is None else int(flat.layout.lengths[0])
    shape, n_features = (len(batch), n), len(_sizes(sequential))
    found: dict[str, AnyArray] = {
        "item": np.zeros(shape, np.int64),
        "length": np.zeros(len(batch), np.int64),
        "features": np.zeros((*shape, n_features), np.int64),
        "seconds": np.full(shape, UNKNOWN, np.int32),
        "asked": np.full(shape, UNKNOWN, np.int32),
    }
    if flat is not None:
        _spread(found, flat, told)
    return {name: found[name] for name in input_names(rectangle(sequential.net))}


def _spread(found: dict[str, AnyArray], flat: Batch, told: AnyArray) -> None:
    """Fill rectangles (b, n, ...) with a flat batch of the rows `told`."""
    rows = told[flat.order]
    found["length"][rows] = flat.layout.lengths
    cells = (np.repeat(rows, flat.layout.lengths), flat.layout.positions())
    for name in ("item", "features", "seconds", "asked"):
        column = getattr(flat, name)
        if column is not None:
            found[name][cells] = column.numpy()


def input_names(form: Rectangle) -> list[str]:
    """The inputs of a graph, in their order."""
    absent = set() if form.features is not None else {"features"}
    if not form.timed:
        absent |= {"seconds", "asked"}
    return [name for name in INPUTS if name not in absent]


def need_onnx() -> None:
    """See that what writes ONNX graphs is there.

    Raises:
        MissingExtra: it is not.
    """
    torch_of("export")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtra("onnx", "onnx and onnxscript", "export") from None


def exportable() -> list[str]:
    """The names of the models that can be exported."""
    from zhiyin import models

    known = [(name, models.get(name)) for name in models.available()]
    return [name for name, one in known if issubclass(one, SequenceRecommender) and not one.no_graph]


def _sequential(model: Recommender) -> SequenceRecommender:
    if not isinstance(model, SequenceRecommender):
        raise ConfigError(
            f"{model.name} has no net that an ONNX graph could hold; these models can be exported: "
            f"{', '.join(exportable())}"
        )
    if model.no_graph:
        raise ConfigError(
            f"{model.name} {model.no_graph}, which an ONNX graph cannot hold; these models can be exported: "
            f"{', '.join(exportable())}"
        )
    model.vocabulary  # noqa: B018 - says that it is not fitted
    return model


def _on_cpu(net: Encoder) -> Encoder:
    """The net where graphs are made; a copy if it is elsewhere."""
    return net if next(net.parameters()).device.type == "cpu" else copy.deepcopy(net).cpu()


def _graph(form: Rectangle, n_features: int) -> Any:
    """A `torch.onnx.ONNXProgram` of any number of histories of any length, without traces of the machine it is made on.

    Numbers of both are taken as 2 and 3 here; 0 and 1 would be taken for constants.
    """
    import torch
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    names = input_names(form)
    examples = _examples(2, 3, n_features)
    axes = {name: {0: "batch"} if name == "length" else {0: "batch", 1: "events"} for name in names}
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            form,
            (),
            kwargs={name: examples[name] for name in names},
            dynamic_shapes=axes,
            input_names=names,
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    ClearMetadataAndDocStringPass()(program.model)  # each node tells the paths of the code that it comes from
    return program


def _examples(b: int, n: int, n_features: int) -> dict[str, torch.Tensor]:
    """Inputs of the right types and shapes."""
    import torch

    return {
        "item": torch.zeros(b, n, dtype=torch.int64),
        "length": torch.full((b,), n),
        "features": torch.zeros(b, n, n_features, dtype=torch.int64),
        "seconds": torch.zeros(b, n, dtype=torch.int32),
        "asked": torch.zeros(b, n, dtype=torch.int32),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own inner workings."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [one.level for one in loud]
    try:
        for one in loud:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loud, before, strict=True):
            one.setLevel(level)


# ---------------------------------------------------------------------- what is told of a graph


def signature(model: SequenceRecommender, form: Rectangle) -> dict[str, Any]:
    """What somebody needs to ask a graph, as plain values."""
    from zhiyin.nn.relations import FOREVER, UNKNOWN

    room = int(model.window[0]) - (not form.causal)
    return {
        "room": "exports",
        "format": FORMAT,
        "zhiyin": __version__,
        "opset": OPSET,
        "model": model.name,
        "settings": model.config.model_dump(mode="json"),
        "trained_on": dict(model.trained_on),
        "n_items": model.n_items,
        "inputs": _inputs(model, form),
        "outputs": _outputs(model),
        "longest": room,
        "hidden_event": not form.causal,
        "features": _features(model),
        "edges": [float(one) for one in model.edges],
        "kinds": list(model.kinds),
        "unknown_time": UNKNOWN,
        "longest_time": FOREVER,
    }


def _inputs(model: SequenceRecommender, form: Rectangle) -> list[dict[str, Any]]:
    shapes: dict[str, tuple[str, Sequence[str | int]]] = {
        "item": ("int64", ["batch", "events"]),
        "length": ("int64", ["batch"]),
        "features": ("int64", ["batch", "events", len(_sizes(model))]),
        "seconds": ("int32", ["batch", "events"]),
        "asked": ("int32", ["batch", "events"]),
    }
    what = INPUTS if form.causal else INPUTS | {"asked": HIDDEN_ASKED}
    return [
        {"name": name, "type": shapes[name][0], "shape": list(shapes[name][1]), "what": what[name]}
        for name in input_names(form)
    ]


def _outputs(model: SequenceRecommender) -> list[dict[str, Any]]:
    last = {"scores": model.n_items, "states": model.config.embedding_size}
    return [
        {"name": name, "type": "float32", "shape": ["batch", last[name]], "what": what}
        for name, what in OUTPUTS.items()
    ]


def _features(model: SequenceRecommender) -> list[dict[str, Any]]:
    """Each feature's first number, how many it has, and the one that stands for what is not known."""
    found, start = [], 0
    for name, size in _sizes(model).items():
        unknown = None if name == "position" else start + size - 1
        what = FEATURES.get(name, USER)
        found.append({"name": name, "start": start, "size": size, "unknown": unknown, "what": what})
        start += size
    if model.users is not None:
        for one, column in zip(found[len(model.read) :], model.users.columns, strict=True):
            content = column.to_dict()
            one |= {"column": column.name, "values": content["values"], "edges": content["edges"]}
    return found


def _sizes(model: SequenceRecommender) -> dict[str, int]:
    """How many numbers each feature has, those of events first, then those of users."""
    return model._sizes(model._maker().reading)
