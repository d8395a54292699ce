"""`zhiyin codes`: the items of a data set as codes of a few digits, with what these are worth and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt
from zhiyin.cli.encode import EncoderName, Keep, fitted, note_usage, usage_of, watched

if TYPE_CHECKING:
    from zhiyin.arrays import IntMatrix
    from zhiyin.data.dataset import Dataset
    from zhiyin.semantic_ids.base import Codebook

MARK = "codes.json"
SHOWN = 8
"""Items that are shown."""
LABELS = "categories"
"""The item column by whose last member, the finest one of a path, purity is measured."""

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--set",
        help="A setting of the codebook, name=value; see `zhiyin list semantic_ids CODEBOOK`. Repeatable.",
    ),
]
EncoderSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder-set", help="A setting of the encoder, name=value; see `zhiyin list encoders ENCODER`. Repeatable."
    ),
]


def codes(
    codebook: Annotated[str, typer.Argument(help="The codebook's name; see `zhiyin list semantic_ids`.")],
    data: opt.Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; whole or not at all.")],
    settings: Settings = None,
    encoder: EncoderName = "multilingual",
    encoder_set: EncoderSettings = None,
    keep: Keep = True,
    device: opt.Device = None,
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Write the codes of a data set's items, their ids and the words of their digits, the codebook and the encoder."""
    from zhiyin import semantic_ids
    from zhiyin.artifacts import check_free, new_folder, to_json
    from zhiyin.cli._terminal import note, say, say_json
    from zhiyin.encoders._kept import identity_hash

    check_free(out, overwrite, MARK)
    run = opt.make_run(seed, threads, device)
    book: Codebook = semantic_ids.get(codebook)(**opt.read_values(opt.settings_of(settings)))
    dataset = opt.open_data(data, run)
    reader = fitted(encoder, encoder_set, dataset, run)
    with watched(reader):
        vectors = reader.encode(dataset, keep=keep, run=run).values
    found = book.fit(vectors, run=run).assign(vectors, run=run)
    labels = _labels(dataset, found)
    worth = semantic_ids.report(found, book.sizes, vectors, book.decode(found), labels)
    rows = _rows(dataset, found, book)
    with new_folder(out, overwrite, MARK) as folder:
        _write(rows, folder / "items.parquet")
        book.save(folder / "codebook")
        reader.save(folder / "encoder")
        told = {
            "codebook": book.name,
            "encoder": reader.name,
            "encoder_hash": identity_hash(reader.identity()),
            "data": dataset.name,
            "content_hash": dataset.content_hash,
            "labels": None if labels is None else LABELS,
            **worth.to_dict(),
        }
        (folder / MARK).write_text(to_json(told), encoding="utf-8")
    if json:
        say_json({"folder": str(out), **told, **usage_of(reader)})
        return
    say(str(worth))
    if labels is not None:
        say(f"purity is that of the last of an item's {LABELS}")
    say(_table(dataset, rows))
    note_usage(reader)
    note(f"saved: {out} (items.parquet, codebook, encoder)   next: {opt.command('list', 'semantic_ids', codebook)}")


def _labels(dataset: Dataset, found: IntMatrix) -> list[str | None] | None:
    """The last category of each item, None for one without; None altogether where no item with a code has any."""
    if LABELS not in dataset.item_table.column_names:
        return None
    labels = [_last(value) for value in dataset.item_table.column(LABELS).to_pylist()]
    there = any(label is not None and code >= 0 for label, code in zip(labels, found[:, 0].tolist(), strict=True))
    return labels if there else None


def _last(value: Any) -> str | None:
    """The last of several categories, or the only one."""
    several = value if isinstance(value, list) else [value]
    named = [text for one in several if one is not None and (text := str(one).strip())]
    return named[-1] if named else None


def _rows(dataset: Dataset, found: IntMatrix, book: Codebook) -> dict[str, list[Any]]:
    """The ids, the codes (the last digit tells items of equal ones apart; None without a code) and their words."""
    from zhiyin import semantic_ids

    whole = [row if row[0] >= 0 else None for row in book.unique(found).tolist()]
    return {
        "item_id": dataset.items.ids.to_pylist(),
        "code": whole,
        "words": semantic_ids.describe(found, dataset),
    }


def _write(rows: dict[str, list[Any]], file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [("item_id", pa.large_string()), ("code", pa.list_(pa.int32())), ("words", pa.large_string())]
    pq.write_table(pa.table(rows, schema=pa.schema(kinds)), file, compression="zstd")


def _table(dataset: Dataset, rows: dict[str, list[Any]]) -> Any:
    """Some items, those that begin alike side by side."""
    from zhiyin.cli._terminal import table
    from zhiyin.errors import shortened

    titles, codes = dataset.item_titles(), rows["code"]
    coded = sorted((code, row) for row, code in enumerate(codes) if code is not None)
    shown = [row for _, row in coded[: len(coded) : max(1, len(coded) // SHOWN)][:SHOWN]]
    lines = [("-".join(map(str, codes[row])), shortened(titles[row], 40), rows["words"][row]) for row in shown]
    return table(["code", "item", "its words"], lines)
