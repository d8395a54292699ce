"""Last.fm: how often people played artists, with friends (HetRec 2011), or of many people (360K)."""

from __future__ import annotations

import pyarrow as pa

from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import ID, VALUE, delimited, rows, table_of
from zhiyin.data.catalog.base import Download, Licence, PublicSet, Source, Tables

HETREC = "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip"
PROFILE = {"user_id": ID, "gender": pa.string(), "age": pa.string(), "country": pa.string(), "signup": pa.string()}


def parse_hetrec(files: Files) -> Tables:
    """Plays are the value; there is no time and no order. Friendships are in both directions."""
    plays = {"userID": ID, "artistID": ID, "weight": VALUE}
    named = {"userID": "user_id", "artistID": "item_id", "weight": "value", "friendID": "friend_id"}
    links = {"userID": ID, "friendID": ID}
    artists = [{"item_id": one[0], "title": one[1]} for one in rows(files, "artists.dat", "\t", skip=1)]
    return {
        "events": delimited(files, "user_artists.dat", plays, delimiter="\t", quoted=False, rename=named),
        "items": table_of(artists, {"item_id": ID, "title": pa.string()}),
        "links": delimited(files, "user_friends.dat", links, delimiter="\t", quoted=False, rename=named),
    }


def parse_360k(files: Files) -> Tables:
    """Plays are the value; there is no time and no order. An artist's id is its name, as a third have no other."""
    types = {"user_id": ID, "artist": pa.string(), "item_id": ID, "value": VALUE}
    plays = delimited(files, "usersha1-artmbid-artname-plays.tsv", types, delimiter="\t", header=False, quoted=False)
    people = delimited(files, "usersha1-profile.tsv", PROFILE, delimiter="\t", header=False, quoted=False)
    return {
        "events": (part.filter(part["item_id"].is_valid()).drop_columns(["artist"]) for part in plays),
        "users": (part.select(["user_id", "gender", "country"]) for part in people),
    }


SETS = (
    PublicSet(
        name="lastfm-hetrec",
        title="Last.fm, HetRec 2011",
        about="Play counts of artists by users of Last.fm, and who is whose friend. No times.",
        licence=Licence("non-commercial use, with citation", "https://grouplens.org/datasets/hetrec-2011/"),
        citation=(
            "Iván Cantador, Peter Brusilovsky and Tsvi Kuflik. 2011. Second Workshop on Information Heterogeneity and "
            "Fusion in Recommender Systems (HetRec 2011). RecSys. https://doi.org/10.1145/2043932.2044016"
        ),
        homepage="https://grouplens.org/datasets/hetrec-2011/",
        sources=(Source(parse_hetrec, ("user_artists.dat", "artists.dat", "user_friends.dat"), (Download(HETREC),)),),
        counts={"users": 1_892, "items": 17_632, "events": 92_834},
        clock="none",
    ),
    PublicSet(
        name="lastfm-360k",
        title="Last.fm 360K",
        about="Play counts of artists by 360,000 users of Last.fm, with gender and country. No times.",
        licence=Licence("non-commercial use, with credit to Last.fm", "https://www.upf.edu/web/mtg/lastfm360k"),
        citation="Òscar Celma. 2010. Music Recommendation and Discovery in the Long Tail. Springer.",
        homepage="https://www.upf.edu/web/mtg/lastfm360k",
        sources=(
            Source(
                parse_360k,
                ("usersha1-artmbid-artname-plays.tsv", "usersha1-profile.tsv"),
                (Download("http://mtg.upf.edu/static/datasets/last.fm/lastfm-dataset-360K.tar.gz"),),
            ),
        ),
        counts={"users": 359_347},
        clock="none",
    ),
)
