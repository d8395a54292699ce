"""The exported form: onnxruntime answers what the model answers, also by the words of the README alone."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhiyin import models
from zhiyin.arrays import AnyArray
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import ConfigError, DataError, MissingExtra, NotFittedError
from zhiyin.models import _export
from zhiyin.models._export import export, exportable, query_inputs
from zhiyin.models._sequences import SequenceRecommender
from zhiyin.run import Run
from zhiyin.testing.worlds import DAY, tastes

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

MAX = 8
SMALL = {"embedding_size": 8, "n_layers": 1, "max_length": MAX, "epochs": 1, "n_negatives": 8, "average": 0.0}
KINDS = ("view", "buy")

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "sasrec": ("sasrec", {"codes": 4, "n_layers": 2, "temperature": 0.2}),
    "ligr": (
        "sasrec",
        {"block": "ligr", "features": ("position", "wait", "gap", "hour", "weekday", "kind", "value", "session")},
    ),
    "sides": ("sasrec", {"item_features": ("categories",), "user_features": ("city", "age")}),
    "product sides": ("sasrec", {"item_features": ("categories",), "codes": 4, "features": ("gap",)}),
    "zhiyin": ("zhiyin", {"n_layers": 2}),
    "hstu": ("hstu", {"n_layers": 2}),
    "bert4rec": ("bert4rec", {"features": ("position", "wait", "gap"), "relations": ("position", "time")}),
    "gru4rec": ("gru4rec", {"n_layers": 2, "hidden_size": 12}),
    "transformer_xl": ("transformer_xl", {"segment": 3, "memory": 2, "n_layers": 2, "features": ("hour",)}),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def world() -> Dataset:
    """Tastes, with kinds of events and sessions."""
    found = tastes(40, 30)
    past = found.histories
    kind = (np.arange(past.n_events) % 3 == 0).astype(np.uint8)
    session = np.arange(past.n_events, dtype=np.int32) // 3
    columns = {**past.columns(), "kind": kind, "session": session}
    histories = type(past)(past.offsets, columns.pop("item"), **columns)
    users = found.user_table.append_column("city", pa.array(["oslo", "rome"] * 20))
    users = users.append_column("age", pa.array([20.5, 30, None, 40] * 10))
    return Dataset.of(histories, found.item_table, users, kinds=KINDS, name="kinds of tastes")


def test_what_is_known_of_users_reaches_the_graph(
    folder_of: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = fitted("sides"), folder_of("sides")
    contexts = ({"city": "rome"}, {"city": "oslo", "age": 35}, {"age": 20}, {"age": None, "city": "mars"}, {})
    queries = [Query.of(["i0001", "i0005"], context=one) for one in contexts]
    right = model.score(queries, model.vocabulary.ids.to_pylist())
    assert (np.abs(right[0] - right[1:]).max(1) > 1e-3).all()
    got = session_of(folder).run(["scores"], query_inputs(model, queries))[0]
    np.testing.assert_allclose(got, right, atol=1e-4, rtol=1e-4)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(code_of(folder), "README.md", "exec"), names)
    capsys.readouterr()
    got = names["scores"]([names["inputs"](["i0001", "i0005"], user=one) for one in contexts])
    np.testing.assert_allclose(got, right, atol=1e-4, rtol=1e-4)


@cache
def fitted(name: str) -> SequenceRecommender:
    """With weights so large that whatever reaches a score shows."""
    component, options = MODELS[name]
    model = models.get(component)(**{**SMALL, **options}).fit(world(), run=Run(threads=1))
    assert isinstance(model, SequenceRecommender)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, one in model.net.named_parameters():
            if "norm" not in name:
                one.normal_(std=0.4, generator=generator)
    model._settle()
    return model


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each model is exported once."""
    place = tmp_path_factory.mktemp("exports")
    return cache(lambda name: export(fitted(name), place / name))


def session_of(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options)


def histories(lengths: tuple[int, ...], told: bool = True, seed: int = 0) -> list[dict[str, Any]]:
    """The arguments of `Query.of` for histories of these lengths; not `told` but the items, or all columns."""
    generator, data = np.random.default_rng(seed), world()
    found = []
    for length in lengths:
        items = data.items.decode(generator.integers(0, data.n_items, length).astype(np.int32))
        one: dict[str, Any] = {"items": items}
        if told:
            times = np.cumsum(np.exp(generator.uniform(0, 20, length))).astype(np.int64) * 1_000_000 + 18_000 * DAY
            one |= {
                "times": times.tolist(),
                "values": generator.choice([2.0, 5.0], length).tolist(),
                "kinds": generator.choice(KINDS, length).tolist(),
                "now": int(times.max(initial=0)) + 12_345_678_901,
            }
        found.append(one)
    return found


BATCHES = [(1,), (5, 1, 3), (MAX, MAX - 1, 2 * MAX, 3, 40), (MAX - 1,) * 3]


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_the_model(name: str, folder_of: Any) -> None:
    model, session = fitted(name), session_of(folder_of(name))
    ids = model.vocabulary.ids.to_pylist()
    for lengths in BATCHES:
        for told in (True, False):
            queries = [Query.of(**one) for one in histories(lengths, told)]
            scores, states = session.run(["scores", "states"], query_inputs(model, queries))
            np.testing.assert_allclose(scores, model.score(queries, ids), atol=1e-4, rtol=1e-4)
            np.testing.assert_allclose(states @ model.item_vectors.T, scores, atol=1e-4, rtol=1e-4)


def test_the_graph_too_says_nothing_of_items_without_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = world()
    more = pa.table({"item_id": [*data.items.ids.to_pylist(), "new"]})
    wider = Dataset.of(data.histories, more, data.user_table, kinds=KINDS, name="one more")
    for item_features in ((), ("genre",)):
        table = more if not item_features else more.append_column("genre", pa.array([*["a", "b"] * 15, "a"]))
        model = models.get("sasrec")(**SMALL, item_features=item_features)
        model.fit(Dataset.of(wider.histories, table, wider.user_table, kinds=KINDS), run=Run(threads=1))
        session = session_of(export(model, tmp_path / f"{len(item_features)}"))
        query = Query.of(["i0001", "new", "i0005"])
        scores = session.run(["scores"], query_inputs(model, query))[0]
        assert np.isfinite(scores[0, :-1]).all()
        assert np.isfinite(scores[0, -1]) == bool(item_features)  # what it has in common with others is known
        np.testing.assert_allclose(scores, model.score(query, table["item_id"].to_pylist()), atol=1e-4, rtol=1e-4)
        monkeypatch.chdir(tmp_path / f"{len(item_features)}")
        names: dict[str, Any] = {}
        exec(compile(code_of(Path()), "README.md", "exec"), names)
        np.testing.assert_allclose(names["scores"]([names["inputs"](query.items)]), scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_queries_of_a_dataset_with_sessions_and_empty_histories(name: str, folder_of: Any) -> None:
    model, data = fitted(name), world()
    queries = data.queries()
    empty = queries.take(np.arange(5))
    cut = Queries(empty.histories.last(0), empty.items)
    for some in (queries, cut):
        scores = session_of(folder_of(name)).run(["scores"], query_inputs(model, some))[0]
        np.testing.assert_allclose(scores, model._score(model.encode(some)), atol=1e-4, rtol=1e-4)


def test_a_batch_with_an_empty_history_among_others(folder_of: Any) -> None:
    model = fitted("ligr")
    queries = [Query.of([]), Query.of(["i0001", "no such item"]), Query.of(["no such item"])]
    scores = session_of(folder_of("ligr")).run(["scores"], query_inputs(model, queries))[0]
    np.testing.assert_allclose(scores, model.score(queries, model.vocabulary.ids.to_pylist()), atol=1e-4)
    assert np.isinf(scores[[0, 2]]).all()
    assert np.isfinite(scores[1]).all()


def code_of(folder: Path) -> str:
    found = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("name", MODELS)
def test_the_readme_asks_it_without_torch_and_zhiyin(
    name: str, folder_of: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = fitted(name), folder_of(name)
    monkeypatch.chdir(folder)
    for other in ("torch", "zhiyin"):
        monkeypatch.setitem(sys.modules, other, None)
    names: dict[str, Any] = {}
    exec(compile(code_of(folder), "README.md", "exec"), names)
    monkeypatch.undo()
    printed = json.loads(capsys.readouterr().out.replace("'", '"'))
    ids = model.vocabulary.ids.to_pylist()
    assert printed == model.recommend(Query.of(ids[:3]), len(printed), fill=False).ids()
    assert len(printed) >= 7
    for told in (True, False):
        asked = histories((4, 1, 3 * MAX, MAX), told, seed=5)
        asked[0]["items"][1] = "no such item"
        asked.append(histories((0,), told=False)[0])
        got = names["scores"]([names["inputs"](**one) for one in asked])
        np.testing.assert_allclose(got, model.score([Query.of(**one) for one in asked], ids), atol=1e-4, rtol=1e-4)
    moment = histories((3,), told=False, seed=7)[0] | {"now": 18_000 * DAY + 12_345_678_901}
    np.testing.assert_allclose(
        names["scores"]([names["inputs"](**moment)]), model.score(Query.of(**moment), ids), atol=1e-4
    )
    late = histories((6,), seed=6)[0]
    late["now"] = late["times"][3]
    np.testing.assert_allclose(
        names["scores"]([names["inputs"](**late)]), model.score(Query.of(**late), ids), atol=1e-4
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_signature_is_that_of_the_graph(name: str, folder_of: Any) -> None:
    folder, model = folder_of(name), fitted(name)
    told, session = json.loads((folder / "signature.json").read_text()), session_of(folder)
    types = {"tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(float)": "float32"}
    for said, real in ((told["inputs"], session.get_inputs()), (told["outputs"], session.get_outputs())):
        assert [(one["name"], one["type"], one["shape"]) for one in said] == [
            (one.name, types[one.type], one.shape) for one in real
        ]
    given = query_inputs(model, [Query.of(**one) for one in histories((3, 5))])
    assert [(one["name"], one["type"]) for one in told["inputs"]] == [(k, str(v.dtype)) for k, v in given.items()]
    assert told["settings"] == model.config.model_dump(mode="json")
    assert told["longest"] == MAX - (name == "bert4rec")
    sizes = model._sizes(model._maker().reading)
    assert {one["name"]: one["size"] for one in told["features"]} == sizes
    assert sum(one["size"] for one in told["features"]) == sum(sizes.values())
    assert pq.read_table(folder / "items.parquet")["item_id"].to_pylist() == model.vocabulary.ids.to_pylist()


def test_a_model_has_the_inputs_that_it_looks_at(folder_of: Any) -> None:
    names = {name: list(query_inputs(fitted(name), Query.of(["i0001"]))) for name in MODELS}
    assert names == {
        "sasrec": ["item", "length", "features"],
        "ligr": ["item", "length", "features"],
        "sides": ["item", "length", "features"],
        "product sides": ["item", "length", "features"],
        "zhiyin": ["item", "length", "features"],
        "hstu": ["item", "length", "seconds", "asked"],
        "bert4rec": ["item", "length", "features", "seconds", "asked"],
        "gru4rec": ["item", "length"],
        "transformer_xl": ["item", "length", "features"],
    }


def test_times_matter_to_the_graph(folder_of: Any) -> None:
    """Or what is told of when could be lost on the way unseen."""
    session, one = session_of(folder_of("hstu")), histories((5,))[0]
    first = session.run(["scores"], query_inputs(fitted("hstu"), Query.of(**one)))[0]
    later = session.run(["scores"], query_inputs(fitted("hstu"), Query.of(**{**one, "now": one["now"] + 900 * DAY})))
    assert np.abs(first - later[0]).max() > 1e-3


def test_the_item_of_the_hidden_event_makes_no_difference(folder_of: Any) -> None:
    given = query_inputs(fitted("bert4rec"), [Query.of(**one) for one in histories((5, 2))])
    assert given["length"].tolist() == [6, 3]
    other: dict[str, AnyArray] = {**given, "item": given["item"].copy()}
    other["item"][[0, 1], [5, 2]] = 17
    session = session_of(folder_of("bert4rec"))
    np.testing.assert_array_equal(session.run(["scores"], given)[0], session.run(["scores"], other)[0])


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_told_of_the_machine_and_no_weights_twice(name: str, folder_of: Any) -> None:
    folder, model = folder_of(name), fitted(name)
    assert {one.name for one in folder.iterdir()} == {"model.onnx", "items.parquet", "signature.json", "README.md"}
    for one in folder.iterdir():
        content = one.read_bytes()
        for secret in (b"site-packages", b'.py"', b"rectangle.py", str(Path(_export.__file__).parents[2]).encode()):
            assert secret not in content, (one.name, secret)
    graph = onnx.load(folder / "model.onnx")
    assert [one.version for one in graph.opset_import] == [_export.OPSET]
    if not model.config.codes:
        tables = [list(one.dims) for one in graph.graph.initializer if model.n_items in one.dims and len(one.dims) > 1]
        assert tables == [[model.n_items, 8]]


def test_large_weights_lie_beside_the_graph_and_only_an_export_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_export, "ONE_FILE", 10)
    out, model = tmp_path / "out", fitted("gru4rec")
    out.mkdir()
    (out / "signature.json").write_text("{}")
    (out / "old").write_text("")
    with pytest.raises(DataError, match="is there already"):
        export(model, out)
    assert export(model, out, overwrite=True) == out
    assert (out / "model.onnx.data").is_file()
    assert not (out / "old").exists()
    queries = [Query.of(**one) for one in histories((4, 2))]
    got = session_of(out).run(["scores"], query_inputs(model, queries))[0]
    np.testing.assert_allclose(got, model.score(queries, model.vocabulary.ids.to_pylist()), atol=1e-4)
    (out / "signature.json").unlink()
    with pytest.raises(DataError, match=r"holds no signature\.json"):
        export(model, out, overwrite=True)


def test_other_models_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ease has no net .*: bert4rec, .*sasrec"):
        export(models.get("ease")().fit(tastes()), tmp_path / "out")
    assert {"sasrec", "hstu", "bert4rec", "gru4rec", "transformer_xl"} <= set(exportable())
    assert "ease" not in exportable()
    assert not (tmp_path / "out").exists()


def test_it_must_be_fitted(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="sasrec is not fitted"):
        export(models.get("sasrec")(), tmp_path / "out")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"zhiyin\[onnx\]"):
        export(fitted("gru4rec"), tmp_path / "out")
    assert not list(tmp_path.iterdir())
