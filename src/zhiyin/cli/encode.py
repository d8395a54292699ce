"""`zhiyin encode` and `zhiyin search`: the items of a data set as vectors, and those nearest to a text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.encoders.base import Encoder, TextEncoder, Vectors
    from zhiyin.run import Run

MARK = "vectors.json"
Keep = Annotated[
    bool, typer.Option("--keep/--no-keep", help="Keep vectors in the cache folder, and take from there what is kept.")
]
Most = Annotated[
    int | None, typer.Option("-k", "--k", min=1, help="Length of a list; 10, or all items if there are fewer.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "-o", "--set", help="A setting of the encoder, name=value; see `zhiyin list encoders ENCODER`. Repeatable."
    ),
]
EncoderName = Annotated[str, typer.Option("--encoder", help="Who reads the items; see `zhiyin list encoders`.")]


def encode(
    encoder: Annotated[str, typer.Argument(help="The encoder's name; see `zhiyin list encoders`.")],
    data: opt.Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; whole or not at all.")],
    settings: Settings = None,
    keep: Keep = True,
    device: opt.Device = None,
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Write the vectors of a data set's items, with their ids and the encoder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from zhiyin.artifacts import check_free, new_folder, to_json
    from zhiyin.cli._terminal import note, say_json

    check_free(out, overwrite, MARK)
    run = opt.make_run(seed, threads, device)
    dataset = opt.open_data(data, run)
    reader = fitted(encoder, settings, dataset, run)
    with new_folder(out, overwrite, MARK) as folder:
        with watched(reader):
            found = reader.encode(dataset, keep=keep, out=folder / "vectors.npy", run=run)
        pq.write_table(pa.table({"item_id": dataset.items.ids}), folder / "items.parquet", compression="zstd")
        reader.save(folder / "encoder")
        told = {**reader.identity(), "data": dataset.name, "content_hash": dataset.content_hash, **_counts(found)}
        (folder / MARK).write_text(to_json(told), encoding="utf-8")
    if json:
        say_json({"folder": str(out), **told, **usage_of(reader)})
        return
    note(_summary(reader, found))
    note_usage(reader)
    note(f"saved: {out} (vectors.npy, items.parquet)   next: {opt.command('search', 'a text', '--data', data)}")


def search(
    text: Annotated[str, typer.Argument(help="What is looked for, in plain words.")],
    data: opt.Data,
    encoder: EncoderName = "multilingual",
    settings: Settings = None,
    k: Most = None,
    keep: Keep = True,
    device: opt.Device = None,
    json: opt.Json = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Find the items of a data set that say what a text asks for; those that say nothing are left out."""
    import numpy as np

    from zhiyin.cli._terminal import note, plain, say, say_json, table
    from zhiyin.encoders.base import TextEncoder
    from zhiyin.errors import ConfigError, DataError, shortened
    from zhiyin.retrieval.exact import search as nearest

    run = opt.make_run(seed, threads, device)
    dataset = opt.open_data(data, run)
    if k is not None and k > dataset.n_items:
        raise ConfigError(f"k = {k} came; a list has between 1 and {dataset.n_items} items (the size of the catalogue)")
    reader = fitted(encoder, settings, dataset, run)
    if not isinstance(reader, TextEncoder):
        raise ConfigError(f"{encoder} does not read texts; take tfidf, multilingual, sentence or hosted")
    asked = reader.encode_texts([text], run=run)
    if not asked.any():
        raise DataError(f"{text!r} says nothing to {encoder}; use words that items use, or another encoder")
    vectors = reader.encode(dataset, keep=keep, run=run)
    speak = np.flatnonzero(vectors.speaks)
    if not len(speak):
        raise DataError(f"no item of {dataset.name} says anything to {encoder}; name other columns with -o text=...")
    places, cosines = nearest(asked, vectors.values[speak], min(k or 10, len(speak)))
    items, titles = speak[places[0]], dataset.item_titles()
    told = zip(dataset.items.decode(items), [titles[item] for item in items], cosines[0].tolist(), strict=True)
    rows = [(rank, *one) for rank, one in enumerate(told, 1)]
    if json:
        keys = ("rank", "item_id", "title", "score")
        say_json({"text": text, "encoder": reader.name, "items": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    say(f"[bold]{plain(shortened(text))}[/]", wrap=False)
    say(table(["#", "item", "title", "cosine"], [(row[0], row[1], shortened(row[2], 60), row[3]) for row in rows]))
    note(_summary(reader, vectors))


def fitted(name: str, settings: list[str] | None, dataset: Dataset, run: Run) -> Encoder | TextEncoder:
    """The encoder of that name, fitted on the items if it learns from them."""
    from zhiyin import encoders

    made: Encoder = encoders.get(name)(**opt.read_values(opt.settings_of(settings)))
    return made.fit(dataset, run) if made.learns else made


@contextmanager
def watched(reader: Encoder) -> Iterator[None]:
    """Say how far an encoder is where no bars are drawn; and if it fails, what was asked for by then."""
    from zhiyin.cli._terminal import logged

    try:
        with logged("zhiyin.encoders._ticks"):
            yield
    except BaseException:
        note_usage(reader)
        raise


def usage_of(reader: Encoder) -> dict[str, dict[str, Any]]:
    """As `usage`, what an encoder and its parts asked of servers and what it cost; nothing where none asks any."""
    found: dict[str, Any] = {}
    for usage in _usages(reader):
        for name, value in usage.to_dict().items():
            found[name] = found.get(name, 0) + value
    return {"usage": found} if found else {}


def _usages(reader: Encoder) -> Iterator[Any]:
    if (own := getattr(reader, "usage", None)) is not None:
        yield own
    for part in getattr(reader, "parts", {}).values():
        yield from _usages(part)


def note_usage(reader: Encoder) -> None:
    """A line on what was asked of servers, where an encoder asks any."""
    from zhiyin.cli._terminal import note

    for spent in usage_of(reader).values():
        counts = ", ".join(f"{name} {spent[name]:,}" for name in ("requests", "texts", "tokens"))
        note(f"asked of the server: {counts}, cost {spent['cost']:.4g}")


def _counts(found: Vectors) -> dict[str, Any]:
    return {
        "shape": found.values.shape,
        "encoded": found.encoded,
        "kept": found.kept,
        "silent": len(found.silent),
        "unreadable": len(found.unreadable),
        "refused": len(found.refused),
    }


def _summary(reader: Encoder, found: Vectors) -> str:
    parts = [f"{len(found):,} items by {reader.name}: {found.encoded:,} read, {found.kept:,} kept from before"]
    parts += [f"{len(found.silent):,} say nothing"] if len(found.silent) else []
    parts += [f"{len(found.unreadable):,} cannot be read"] if len(found.unreadable) else []
    parts += [f"{len(found.refused):,} {reader.refuses}"] if len(found.refused) else []
    return ", ".join(parts)
