"""MovieTweetings: ratings of films that people posted; freely licensed (MIT)."""

from __future__ import annotations

from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import ID, TIME, VALUE, delimited, films, rows
from zhiyin.data.catalog.base import Download, Licence, PublicSet, Source, Tables

PLACE = "https://raw.githubusercontent.com/sidooms/MovieTweetings/master/snapshots/100K"


def parse(files: Files) -> Tables:
    """Ids are texts with leading zeros. The table of account numbers is left out."""
    types = {"user_id": ID, "item_id": ID, "value": VALUE, "time": TIME}
    listed = (
        (one[0], one[1], [genre for genre in one[2].split("|") if genre]) for one in rows(files, "movies.dat", "::")
    )
    return {
        "events": delimited(files, "ratings.dat", types, delimiter="::", header=False, quoted=False),
        "items": films(listed),
    }


SETS = (
    PublicSet(
        name="movietweetings-100k",
        title="MovieTweetings, snapshot of 100,000 ratings",
        about="Film ratings from 0 to 10 that people posted in 2013, with exact times, titles and genres.",
        licence=Licence("MIT: any use, keeping the notice", "https://github.com/sidooms/MovieTweetings"),
        citation=(
            "Simon Dooms, Toon De Pessemier and Luc Martens. 2013. MovieTweetings: a Movie Rating Dataset Collected "
            "From Twitter. CrowdRec at RecSys."
        ),
        homepage="https://github.com/sidooms/MovieTweetings",
        sources=(
            Source(
                parse,
                ("ratings.dat", "movies.dat"),
                (Download(f"{PLACE}/ratings.dat"), Download(f"{PLACE}/movies.dat")),
            ),
        ),
        counts={"users": 16_554, "items": 10_506, "events": 100_000},
    ),
)
