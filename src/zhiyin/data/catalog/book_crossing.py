"""Book-Crossing: ratings of books by the members of a community that passes books on."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import ID, VALUE, delimited, table_of, unescaped
from zhiyin.data.catalog.base import Download, Licence, PublicSet, Source, Tables

BOOKS = {
    "ISBN": ID,
    "Book-Title": pa.string(),
    "Book-Author": pa.string(),
    "Year-Of-Publication": pa.string(),
}
ITEMS = {"item_id": ID, "title": pa.string(), "creator": pa.string(), "year": pa.int16()}


def parse(files: Files) -> Tables:
    """Ratings 1 to 10 are of kind `rating`; a 0 says only that the book was read: kind `read`, without a value."""
    types = {"User-ID": ID, "ISBN": ID, "Book-Rating": VALUE}
    form = {"delimiter": ";", "encoding": "latin1", "escaped": True}
    parts = delimited(files, "BX-Book-Ratings.csv", types, **form)  # type: ignore[arg-type]
    books = [
        {
            "item_id": one["ISBN"],
            "title": unescaped(one["Book-Title"]),
            "creator": unescaped(one["Book-Author"]),
            "year": int(year) if (year := one["Year-Of-Publication"]).isdigit() and 0 < int(year) < 2100 else None,
        }
        for table in delimited(files, "BX-Books.csv", BOOKS, **form)  # type: ignore[arg-type]
        for one in table.to_pylist()
    ]
    return {"events": (_events(part) for part in parts), "items": table_of(books, ITEMS)}


def _events(part: pa.Table) -> pa.Table:
    rated = pc.greater(part["Book-Rating"], 0)
    return pa.table(
        {
            "user_id": part["User-ID"],
            "item_id": part["ISBN"],
            "kind": pc.if_else(rated, "rating", "read"),
            "value": pc.if_else(rated, part["Book-Rating"], pa.scalar(None, VALUE)),
        }
    )


SETS = (
    PublicSet(
        name="book-crossing",
        title="Book-Crossing",
        about="Ratings and reads of books by members of the Book-Crossing community in 2004. No times.",
        licence=Licence("research use, with citation", "http://www2.informatik.uni-freiburg.de/~cziegler/BX/"),
        citation=(
            "Cai-Nicolas Ziegler, Sean M. McNee, Joseph A. Konstan and Georg Lausen. 2005. Improving Recommendation "
            "Lists Through Topic Diversification. WWW. https://doi.org/10.1145/1060745.1060754"
        ),
        homepage="http://www2.informatik.uni-freiburg.de/~cziegler/BX/",
        sources=(
            Source(
                parse,
                ("BX-Book-Ratings.csv", "BX-Books.csv"),
                (Download("http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip"),),
            ),
        ),
        counts={"users": 278_858, "items": 271_379, "events": 1_149_780},
        clock="none",
    ),
)
