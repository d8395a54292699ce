"""MovieLens: ratings of films (GroupLens, University of Minnesota)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import ID, TIME, VALUE, delimited, films, rows, table_of
from zhiyin.data.catalog.base import Download, Licence, Parser, PublicSet, Source, Tables, Wheel

CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19. https://doi.org/10.1145/2827872"
)
PLACE = "https://files.grouplens.org/datasets/movielens"
EVENTS = {"user_id": ID, "item_id": ID, "value": VALUE, "time": TIME}
USERS = {"user_id": ID, "age": pa.int16(), "gender": pa.string(), "occupation": pa.string()}
GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
OCCUPATIONS = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)
STRICT = "research use with acknowledgement; no commercial use and no redistribution without GroupLens' permission"
LATEST = "research use with acknowledgement; redistribution under the same terms; no commercial use without permission"


def parse_100k(files: Files) -> Tables:
    """The official files of 1998: tab and bar separated, Latin 1. Zip codes are left out."""
    return {
        "events": delimited(files, "u.data", EVENTS, delimiter="\t", header=False, quoted=False),
        "items": films(
            (one[0], one[1], [genre for genre, flag in zip(GENRES[1:], one[6:], strict=True) if flag == "1"])
            for one in rows(files, "u.item", "|", "latin1")
        ),
        "users": _people(rows(files, "u.user", "|", "latin1")),
    }


def parse_recbole(files: Files) -> Tables:
    """RecBole's atomic files: tab separated, with `name:type` headers."""
    named = {"user_id:token": "user_id", "item_id:token": "item_id", "rating:float": "value", "timestamp:float": "time"}
    types = {"user_id:token": ID, "item_id:token": ID, "rating:float": VALUE, "timestamp:float": pa.int64()}
    return {
        "events": delimited(files, "ml-100k.inter", types, delimiter="\t", quoted=False, rename=named),
        "items": films(
            (one[0], f"{one[1]} ({one[2]})" if one[2] else one[1], [g for g in one[3].split() if g != GENRES[0]])
            for one in rows(files, "ml-100k.item", "\t", skip=1)
        ),
        "users": _people(rows(files, "ml-100k.user", "\t", skip=1)),
    }


def parse_1m(files: Files) -> Tables:
    """The files of 2003: fields between `::`, Latin 1; ages are the lower ends of ranges. Zip codes are left out."""
    users = rows(files, "users.dat", "::", "latin1")
    return {
        "events": delimited(files, "ratings.dat", EVENTS, delimiter="::", header=False, quoted=False),
        "items": films(
            (one, title, genres.split("|")) for one, title, genres in rows(files, "movies.dat", "::", "latin1")
        ),
        "users": _people([one[0], one[2], one[1], OCCUPATIONS[int(one[3])]] for one in users),
    }


def _people(users: Iterable[list[str]]) -> pa.Table:
    """A table of users from fields that begin with id, age, gender and occupation."""
    records = [{"user_id": one[0], "age": int(one[1]), "gender": one[2], "occupation": one[3]} for one in users]
    return table_of(records, USERS)


def parse_csv(files: Files) -> Tables:
    """The files since 2013: CSV, UTF-8, without users."""
    types = {"userId": ID, "movieId": ID, "rating": VALUE, "timestamp": TIME}
    named = {"userId": "user_id", "movieId": "item_id", "rating": "value", "timestamp": "time"}
    return {"events": delimited(files, "ratings.csv", types, rename=named), "items": films(_films_of_csv(files))}


def _films_of_csv(files: Files) -> Iterator[tuple[str, str, list[str]]]:
    for table in delimited(files, "movies.csv", {"movieId": ID, "title": pa.string(), "genres": pa.string()}):
        for one in table.to_pylist():
            genres = one["genres"] or ""
            yield one["movieId"], one["title"] or "", [] if genres.startswith("(no") else genres.split("|")


def _movielens(
    size: str,
    counts: tuple[int, int, int],
    years: str,
    terms: str,
    parse: Parser,
    files: tuple[str, ...],
    *others: Source,
) -> PublicSet:
    archive = f"ml-{size}"
    official = Source(parse, files, (Download(f"{PLACE}/{archive}.zip", MD5.get(size)),))
    return PublicSet(
        name=f"movielens-{size}",
        title=f"MovieLens {size}",
        about=f"Film ratings of the MovieLens site, {years}, with exact times, titles and genres.",
        licence=Licence(terms, f"{PLACE}/{archive}-README.{'txt' if terms == STRICT else 'html'}"),
        citation=CITATION,
        homepage="https://grouplens.org/datasets/movielens/",
        sources=(official, *others),
        counts=dict(zip(("users", "items", "events"), counts, strict=True)),
    )


RECBOLE = Source(
    parse_recbole,
    ("ml-100k.inter", "ml-100k.item", "ml-100k.user"),
    wheel=Wheel(
        "recbole==1.2.1",
        {
            "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
        },
    ),
)
OF_100K, OF_1M = ("u.data", "u.item", "u.user"), ("ratings.dat", "movies.dat", "users.dat")
OF_CSV = ("ratings.csv", "movies.csv")
MD5 = {
    "100k": "md5:0e33842e24a9c977be4e0107933c0723",
    "1m": "md5:c4d9eecfca2ab87c1945afe126590906",
    "20m": "md5:cd245b17a1ae2cc31bb14903e1204af3",
    "25m": "md5:6b51fb2759a8657d3bfcbfc42b592ada",
}
"""What the publisher states; the latest set changes, so none is stated for it."""

SETS = (
    _movielens("100k", (943, 1_682, 100_000), "1997 to 1998", STRICT, parse_100k, OF_100K, RECBOLE),
    _movielens("1m", (6_040, 3_883, 1_000_209), "2000 to 2003", STRICT, parse_1m, OF_1M),
    _movielens("20m", (138_493, 27_278, 20_000_263), "1995 to 2015", LATEST, parse_csv, OF_CSV),
    _movielens("25m", (162_541, 62_423, 25_000_095), "1995 to 2019", LATEST, parse_csv, OF_CSV),
    _movielens("latest-small", (610, 9_742, 100_836), "1996 to 2018", LATEST, parse_csv, OF_CSV),
)
