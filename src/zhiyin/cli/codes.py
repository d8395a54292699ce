"""`zhiyin codes`: the items of a data set as codes of a few digits, with what these are worth and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt
from zhiyin.cli.encode import EncoderName, Keep, fitted

if TYPE_CHECKING:
    from zhiyin.arrays import IntMatrix
    from zhiyin.data.dataset import Dataset
    from zhiyin.semantic_ids.base import Codebook

MARK = "codes.json"
SHOWN = 8
"""Items that are shown."""


def codes(
    codebook: Annotated[str, typer.Argument(help="The codebook's name; see `zhiyin list semantic_ids`.")],
    data: opt.Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; whole or not at all.")],
    settings: opt.OwnSettings = None,
    encoder: EncoderName = "multilingual",
    keep: Keep = True,
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Write the codes of a data set's items, with their ids, the words of their digits and the codebook."""
    from zhiyin import semantic_ids
    from zhiyin.artifacts import check_free, new_folder, to_json
    from zhiyin.cli._terminal import note, say, say_json

    check_free(out, overwrite, MARK)
    run = opt.make_run(seed, threads)
    book: Codebook = semantic_ids.get(codebook)(**opt.read_values(opt.settings_of(settings)))
    dataset = opt.open_data(data, run)
    vectors = fitted(encoder, None, dataset, run).encode(dataset, keep=keep, run=run).values
    found = book.fit(vectors, run=run).assign(vectors, run=run)
    worth = semantic_ids.report(found, book.sizes, vectors, book.decode(found))
    rows = _rows(dataset, found, book)
    with new_folder(out, overwrite, MARK) as folder:
        _write(rows, folder / "items.parquet")
        book.save(folder / "codebook")
        told = {"codebook": book.name, "encoder": encoder, "data": dataset.name, **worth.to_dict()}
        (folder / MARK).write_text(to_json(told), encoding="utf-8")
    if json:
        say_json({"folder": str(out), **told})
        return
    say(str(worth))
    say(_table(dataset, rows))
    note(f"saved: {out} (items.parquet, codebook)   next: {opt.command('list', 'semantic_ids', codebook)}")


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
