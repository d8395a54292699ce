"""Retailrocket: views, carts and purchases of a web shop."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import ID, delimited, whole
from zhiyin.data.catalog.base import Licence, PublicSet, Source, Tables

KINDS = {"view": "view", "addtocart": "cart", "transaction": "purchase"}


def parse(files: Files) -> Tables:
    """Events in the order of time; an item's category is the last that it had, where the properties are there."""
    types = {"timestamp": pa.int64(), "visitorid": ID, "event": pa.string(), "itemid": ID}
    log = whole(delimited(files, "events.csv", types)).sort_by("timestamp")
    kinds = pc.index_in(log["event"], value_set=pa.array(list(KINDS)))
    tables: Tables = {
        "events": pa.table(
            {
                "user_id": log["visitorid"],
                "item_id": log["itemid"],
                "time": pc.divide(log["timestamp"], 1_000),
                "kind": pa.array(list(KINDS.values())).take(kinds.combine_chunks()),
            }
        )
    }
    if files.has("item_properties_part1.csv"):
        tables = {**tables, "items": whole(_categories(files))}
    return tables


def _categories(files: Files) -> Iterator[pa.Table]:
    types = {"timestamp": pa.int64(), "itemid": ID, "property": pa.string(), "value": pa.string()}
    parts = [f"item_properties_part{number}.csv" for number in (1, 2)]
    found = whole(
        table.filter(pc.equal(table["property"], "categoryid"))
        for name in parts
        if files.has(name)
        for table in delimited(files, name, types)
    )
    last = found.sort_by("timestamp").group_by("itemid", use_threads=False).aggregate([("value", "last")])
    categories = [[one] for one in last["value_last"].to_pylist()]
    yield pa.table({"item_id": last["itemid"], "categories": pa.array(categories, pa.list_(pa.string()))})


SETS = (
    PublicSet(
        name="retailrocket",
        title="Retailrocket e-commerce",
        about="Views, carts and purchases in a web shop over four and a half months of 2015, with exact times.",
        licence=Licence(
            "CC BY-NC-SA 4.0: non-commercial use, share alike",
            "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
        ),
        citation="Retailrocket. 2017. Retailrocket recommender system dataset. Kaggle.",
        homepage="https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
        sources=(Source(parse, ("events.csv",)),),
        counts={"users": 1_407_580, "items": 235_061, "events": 2_756_101},
    ),
)
