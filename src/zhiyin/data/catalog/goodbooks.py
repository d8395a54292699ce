"""goodbooks-10k: ratings of the ten thousand books that were rated most on a readers' site."""

from __future__ import annotations

import pyarrow as pa

from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import ID, VALUE, delimited, positions, whole
from zhiyin.data.catalog.base import Download, Licence, PublicSet, Source, Tables

PLACE = "https://raw.githubusercontent.com/zygmuntz/goodbooks-10k/master"
BOOKS = {
    "book_id": ID,
    "title": pa.string(),
    "authors": pa.string(),
    "original_publication_year": pa.float64(),
    "language_code": pa.string(),
}
NAMES = {
    "book_id": "item_id",
    "authors": "creator",
    "original_publication_year": "year",
    "language_code": "language",
}


def parse(files: Files) -> Tables:
    """Its README says that ratings are sorted by time, so their order is kept as `position`; times are not given."""
    types = {"user_id": ID, "book_id": ID, "rating": VALUE}
    rated = whole(delimited(files, "ratings.csv", types, rename={"book_id": "item_id", "rating": "value"}))
    books = whole(delimited(files, "books.csv", BOOKS, rename=NAMES))
    year = books.column_names.index("year")
    return {
        "events": rated.append_column("position", positions(rated["user_id"])),
        "items": books.set_column(year, "year", books["year"].cast(pa.int16())),
    }


SETS = (
    PublicSet(
        name="goodbooks-10k",
        title="goodbooks-10k",
        about="Ratings of books from one to five, in order of time, with titles, authors and languages.",
        licence=Licence("CC BY-SA 4.0", "https://github.com/zygmuntz/goodbooks-10k"),
        citation="Zygmunt Zając. 2017. Goodbooks-10k: a new dataset for book recommendations. FastML.",
        homepage="https://github.com/zygmuntz/goodbooks-10k",
        sources=(
            Source(
                parse, ("ratings.csv", "books.csv"), (Download(f"{PLACE}/ratings.csv"), Download(f"{PLACE}/books.csv"))
            ),
        ),
        counts={"users": 53_424, "items": 10_000, "events": 5_976_479},
        clock="position",
    ),
)
