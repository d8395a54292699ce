"""Amazon reviews, 5-core: what people bought and said (McAuley, UCSD), the releases of 2014 and 2018."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import ID, TIME, VALUE, json_lines, table_of, unescaped, whole
from zhiyin.data.catalog.base import Download, Licence, PublicSet, Source, Tables

OF_2014 = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
OF_2018 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"
REVIEWS = {"reviewerID": ID, "asin": ID, "overall": VALUE, "unixReviewTime": TIME}
NAMES = {"reviewerID": "user_id", "asin": "item_id", "overall": "value", "unixReviewTime": "time"}
ITEMS = {
    "item_id": ID,
    "title": pa.string(),
    "text": pa.string(),
    "categories": pa.list_(pa.string()),
    "price": pa.float32(),
    "creator": pa.string(),
}
CITATION_2014 = (
    "Ruining He and Julian McAuley. 2016. Ups and Downs: Modeling the Visual Evolution of Fashion Trends with "
    "One-Class Collaborative Filtering. WWW. https://doi.org/10.1145/2872427.2883037"
)
CITATION_2018 = (
    "Jianmo Ni, Jiacheng Li and Julian McAuley. 2019. Justifying Recommendations using Distantly-Labeled Reviews and "
    "Fine-Grained Aspects. EMNLP-IJCNLP. https://doi.org/10.18653/v1/D19-1018"
)
BOTH = {
    "automotive": "Automotive",
    "books": "Books",
    "cds": "CDs_and_Vinyl",
    "cell-phones": "Cell_Phones_and_Accessories",
    "clothing": "Clothing_Shoes_and_Jewelry",
    "digital-music": "Digital_Music",
    "electronics": "Electronics",
    "garden": "Patio_Lawn_and_Garden",
    "grocery": "Grocery_and_Gourmet_Food",
    "home": "Home_and_Kitchen",
    "instruments": "Musical_Instruments",
    "kindle": "Kindle_Store",
    "movies": "Movies_and_TV",
    "office": "Office_Products",
    "pets": "Pet_Supplies",
    "sports": "Sports_and_Outdoors",
    "tools": "Tools_and_Home_Improvement",
    "toys": "Toys_and_Games",
    "video-games": "Video_Games",
}
"""Categories of both releases by their short names."""
CATEGORIES_2014 = {
    **BOTH,
    "apps": "Apps_for_Android",
    "baby": "Baby",
    "beauty": "Beauty",
    "health": "Health_and_Personal_Care",
    "instant-video": "Amazon_Instant_Video",
}
CATEGORIES_2018 = {
    **BOTH,
    "arts": "Arts_Crafts_and_Sewing",
    "beauty": "All_Beauty",
    "industrial": "Industrial_and_Scientific",
    "luxury-beauty": "Luxury_Beauty",
    "magazines": "Magazine_Subscriptions",
    "pantry": "Prime_Pantry",
    "software": "Software",
}
COUNTS = {
    "beauty": {"users": 22_363, "items": 12_101, "events": 198_502},
    "sports": {"users": 35_598, "items": 18_357, "events": 296_337},
    "toys": {"users": 19_412, "items": 11_924, "events": 167_597},
}


def _parse(files: Files, reviews: str, meta: str) -> Tables:
    """Reviews are events (the stars are their value); of the products only those with reviews are kept."""
    events = whole(json_lines(files, reviews, REVIEWS, NAMES))
    if not files.has(meta):
        return {"events": events}
    reviewed = set(pc.unique(events["item_id"]).to_pylist())
    products = [_product(one) for one in _records(files, meta) if one.get("asin") in reviewed]
    first = {one["item_id"]: one for one in reversed(products)}  # some products are listed twice
    return {"events": events, "items": table_of([first[key] for key in sorted(first)], ITEMS)}


def _records(files: Files, name: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of lines: JSON in 2018, literals of Python in 2014."""
    with files.open(name) as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                yield ast.literal_eval(line.decode())


def _product(one: dict[str, Any]) -> dict[str, Any]:
    text = one.get("description")
    paths = one.get("categories") or [one.get("category") or []]
    return {
        "item_id": one["asin"],
        "title": unescaped(one.get("title")),
        "text": unescaped(" ".join(text) if isinstance(text, list) else text),
        "categories": [name for name in map(unescaped, paths[0]) if name],
        "price": _price(one.get("price")),
        "creator": unescaped(one.get("brand")),
    }


def _price(price: Any) -> float | None:
    """A number of dollars; None for what is none (a range, a text, nothing)."""
    try:
        return float(str(price).strip().removeprefix("$").replace(",", ""))
    except ValueError:
        return None


def _amazon(short: str, category: str, year: int) -> PublicSet:
    reviews = f"reviews_{category}_5.json" if year == 2014 else f"{category}_5.json"
    meta = f"meta_{category}.json"
    first = f"{OF_2014}/{reviews}.gz" if year == 2014 else f"{OF_2018}/categoryFilesSmall/{reviews}.gz"
    second = f"{OF_2014}/{meta}.gz" if year == 2014 else f"{OF_2018}/metaFiles2/{meta}.gz"
    return PublicSet(
        name=f"amazon-{short}" if year == 2014 else f"amazon-2018-{short}",
        title=f"Amazon {category.replace('_', ' ')} {year}, 5-core",
        about="Product reviews with stars, of users and products with at least five; days, titles, texts and prices.",
        licence=Licence(
            "no licence is stated; offered for academic research, with citation",
            "https://cseweb.ucsd.edu/~jmcauley/datasets.html",
        ),
        citation=CITATION_2014 if year == 2014 else CITATION_2018,
        homepage="https://cseweb.ucsd.edu/~jmcauley/datasets.html",
        sources=(
            Source(
                lambda files: _parse(files, reviews, meta),
                (reviews,),
                (Download(first), Download(second, optional=True)),
            ),
        ),
        counts=COUNTS.get(short, {}) if year == 2014 else {},
    )


SETS = (
    *(_amazon(short, category, 2014) for short, category in CATEGORIES_2014.items()),
    *(_amazon(short, category, 2018) for short, category in CATEGORIES_2018.items()),
)
