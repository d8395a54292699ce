"""`hosted` asks a real server, which answers well, badly, slowly or not at all."""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("openai")

from zhiyin.cli import main
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.encoders import Hosted, base
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run
from zhiyin.testing.encoders import FILMS, TextEncoderSuite, films

KEY = "sk-very-secret"


def vector_of(text: str, width: int) -> list[float]:
    return np.random.default_rng(list(hashlib.md5(text.encode()).digest())).normal(size=width).round(4).tolist()


class Server(ThreadingHTTPServer):
    """Answers as OpenAI's does, after whatever `script` says is answered first: (status, headers, body) each."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.script: list[tuple[int, dict[str, str], str]] = []
        self.asked: list[dict] = []
        self.keys: list[str] = []
        self.slow = 0.0
        self.times: list[float] = []
        self.drip = 0.0
        """Seconds between one byte of an answer and the next."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append(asked)
        server.keys.append(self.headers["Authorization"])
        server.times.append(time.monotonic())
        time.sleep(server.slow)
        if server.script:
            status, headers, body = server.script.pop(0)
        elif self.path != "/v1/embeddings":
            status, headers, body = 404, {}, "no such place"
        else:
            width = asked.get("dimensions", 8)
            data = [{"index": place, "embedding": vector_of(text, width)} for place, text in enumerate(asked["input"])]
            usage = {"total_tokens": sum(len(text.split()) for text in asked["input"])}
            status, headers, body = 200, {}, json.dumps({"data": data[::-1], "usage": usage})
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # whoever asked has gone
            for byte in body.encode() if server.drip else b"":
                self.wfile.write(bytes([byte]))
                time.sleep(server.drip)
            self.wfile.write(b"" if server.drip else body.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as found:
        threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield found
        finally:
            found.shutdown()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as found:
        yield found


class TestHosted(TextEncoderSuite):
    encoder = Hosted
    understands = False

    @pytest.fixture(autouse=True)
    def _served(self, server: Server) -> Iterator[None]:
        type(self).options = {"url": server.url, "model": "test"}
        yield
        type(self).options = {}


def hosted(server: Server, **options: object) -> Hosted:
    return Hosted(url=server.url, model="test", **options)


def test_vectors_belong_to_their_texts_in_whatever_order_they_come(server: Server) -> None:
    found = hosted(server, batch_size=3, parallel=2).encode_texts(FILMS["space"])
    right = np.array([vector_of(text, 8) for text in FILMS["space"]])
    np.testing.assert_allclose(found, right / np.linalg.norm(right, axis=1, keepdims=True), atol=1e-6)
    assert sorted(len(asked["input"]) for asked in server.asked) == [1, 3]
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_the_wished_length_is_asked_for(server: Server) -> None:
    assert hosted(server, dimensions=5).encode_texts(["a"]).shape == (1, 5)
    assert hosted(server).encode_texts(["a"]).shape == (1, 8)
    assert "dimensions" not in server.asked[-1]


def test_usage_and_cost_are_counted(server: Server) -> None:
    encoder = hosted(server, batch_size=2, price=3.0)
    encoder.encode_texts(["one two", "three", "four five six"], purpose="item")
    assert (encoder.usage.requests, encoder.usage.texts, encoder.usage.tokens) == (2, 3, 6)
    assert encoder.usage.cost == pytest.approx(6 * 3e-6)


Command = Callable[..., tuple[Any, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call `zhiyin ARGUMENTS`; what it left as JSON on standard output, if anything, and what on standard error."""

    def call(*arguments: object) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["zhiyin", *map(str, arguments)])
        with suppress(SystemExit):
            main()
        out, err = capsys.readouterr()
        return json.loads(out) if out.startswith("{") else out, " ".join(err.split())

    return call


@pytest.fixture
def sold(tmp_path: Path) -> Path:
    """A prepared catalogue of sixteen texts of two words."""
    titles = [f"{'red' if row % 2 else 'blue'} {row}" for row in range(16)]
    items = pa.table({"item_id": [f"i{row}" for row in range(16)], "title": titles})
    return Dataset.of(Histories.of_lists([[0, 1, 2], [3, 4, 5]]), items).save(tmp_path / "sold")


def test_the_command_line_tells_what_was_asked_for_and_what_it_cost(
    server: Server, sold: Path, command: Command, tmp_path: Path
) -> None:
    own = [f"url={server.url}", "model=test", "batch_size=8", "parallel=1", "price=250000"]
    ask = ["encode", "hosted", "--data", sold, "--no-keep", *(part for one in own for part in ("-o", one))]
    usage = {"requests": 2, "texts": 16, "tokens": 32, "cost": 8.0}
    assert command(*ask, "--out", tmp_path / "one", "--json")[0]["usage"] == usage
    assert "asked of the server: requests 2, texts 16, tokens 32, cost 8" in command(*ask, "--out", tmp_path / "two")[1]
    found, said = command(*ask, "-o", "most_cost=2", "--out", tmp_path / "three")
    assert not found
    assert "most_cost is 2" in said
    assert "asked of the server: requests 1, texts 8, tokens 16, cost 4" in said  # it was paid for all the same
    assert not (tmp_path / "three").exists()
    ask = ["codes", "residual_kmeans", "--data", sold, "--no-keep", "-o", "levels=2", "-o", "n_codes=2"]
    ask += ["--encoder", "hosted", *(part for one in own for part in ("--encoder-set", one))]
    found, said = command(*ask, "--out", tmp_path / "four", "--json")
    assert found["usage"] == usage, said
    assert "asked of the server: requests 2" in command(*ask, "--out", tmp_path / "five")[1]


def test_what_the_parts_of_an_encoder_asked_for_is_told(
    server: Server, sold: Path, command: Command, tmp_path: Path
) -> None:
    one = {"encoder": "hosted", "settings": {"url": server.url, "model": "test"}}
    parts = json.dumps([one, {**one, "settings": {**one["settings"], "dimensions": 4}}])
    ask = ["encode", "fused", "--data", sold, "--no-keep", "-o", f"parts={parts}"]
    assert command(*ask, "--out", tmp_path / "one", "--json")[0]["usage"]["texts"] >= 2 * 16
    told, said = command("encode", "tfidf", "--data", sold, "-o", "min_items=1", "--out", tmp_path / "two", "--json")
    assert "usage" not in told
    assert "asked" not in said


def test_progress_moves_with_each_answer(server: Server) -> None:
    answered = []

    class Watch:
        def track(self, steps: Iterable[Any], total: int | None, description: str) -> Iterator[Any]:
            assert total == 4
            for step in steps:
                yield step
                answered.append(len(server.asked))

    hosted(server, batch_size=2, parallel=1, requests_per_minute=1_200).encode(
        films(), keep=False, run=Run(progress=Watch())
    )
    assert len(answered) == 4
    assert answered[0] < 4  # and not only when all have come


def test_no_text_is_paid_for_twice(server: Server, tmp_path: Path) -> None:
    first, again = hosted(server), hosted(server)
    first.encode(films(), keep=tmp_path / "kept")
    again.encode(films(), keep=tmp_path / "kept")
    assert first.usage.texts == 8
    assert again.usage.requests == 0


def test_no_more_is_spent_than_allowed(server: Server, tmp_path: Path) -> None:
    encoder = hosted(server, batch_size=1, parallel=1, price=1e6, most_cost=20.0)
    with pytest.raises(DataError, match="most_cost is 20"):
        encoder.encode(films(), keep=tmp_path / "kept")
    assert encoder.usage.requests < 8


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_is_refused_for_the_moment_is_asked_again(server: Server, status: int) -> None:
    server.script = [(status, {"Retry-After": "0.05"}, "later")] * 2
    assert hosted(server).encode_texts(["a"]).any()
    assert len(server.asked) == 2 + 1


def test_the_pause_that_a_server_asks_for_is_kept(server: Server) -> None:
    server.script = [(429, {"Retry-After": "0.4"}, "later")]
    hosted(server).encode_texts(["a"])
    assert server.times[1] - server.times[0] >= 0.4


def test_a_request_that_is_refused_for_good_says_why(server: Server) -> None:
    server.script = [(401, {}, '{"error": "bad key"}')]
    with pytest.raises(DataError, match=r"401 \(the key is wrong\).*bad key") as caught:
        hosted(server).encode_texts(["a"])
    assert KEY not in str(caught.value)
    server.script = [(429, {"Retry-After": "0.01"}, "too many")] * 2
    with pytest.raises(DataError, match=r"429.*requests_per_minute.*too many"):
        hosted(server, retries=1).encode_texts(["a"])
    server.script = [(500, {"Retry-After": "0.01"}, "<html>oops</html>")] * 2
    with pytest.raises(DataError, match=r"500.*its own fault.*oops"):
        hosted(server, retries=1).encode_texts(["a"])
    with pytest.raises(DataError, match=r"404.*no such model or address"):
        Hosted(url=f"{server.url}/elsewhere", model="test").encode_texts(["a"])


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "",
        "[]",
        '"text"',
        "{}",
        '{"data": []}',
        '{"data": [{"index": 0}]}',
        '{"data": [{"index": 0, "embedding": []}]}',
        '{"data": [{"index": 0, "embedding": "AAAA"}]}',
        '{"data": [{"index": 0, "embedding": [1, null]}]}',
        '{"data": [{"index": 0, "embedding": [1, NaN]}]}',
        '{"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1, 2]}]}',
        '{"data": [{"index": 0, "embedding": [1, 2]}], "usage": {"total_tokens": "many"}}',
        '{"data": [{"index": 1, "embedding": [1, 2]}]}',
    ],
)
def test_garbage_is_refused(server: Server, body: str) -> None:
    server.script = [(200, {}, body)]
    with pytest.raises(DataError, match="/embeddings answered"):
        hosted(server).encode_texts(["a"])


@pytest.mark.parametrize("places", [[0, 0], [1, 2], [0, None], ["0", "1"]])
def test_places_that_are_none_are_refused(server: Server, places: list) -> None:
    data = [{"index": place, "embedding": [1, 2]} for place in places]
    server.script = [(200, {}, json.dumps({"data": data}))]
    with pytest.raises(DataError, match="/embeddings answered"):
        hosted(server).encode_texts(["a", "b"])


def test_without_places_the_order_counts(server: Server) -> None:
    server.script = [(200, {}, '{"data": [{"embedding": [1, 0]}, {"embedding": [0, 1]}]}')]
    np.testing.assert_array_equal(hosted(server).encode_texts(["a", "b"]), np.eye(2))


def test_vectors_of_different_lengths_are_refused(server: Server) -> None:
    server.script = [(200, {}, '{"data": [{"embedding": [1, 0]}]}')]
    with pytest.raises(DataError, match=r"different lengths: \[2, 8\]"):
        hosted(server, batch_size=1, parallel=1).encode_texts(["a", "b"])


def test_a_slow_server_is_given_up(server: Server) -> None:
    server.slow = 0.5
    with pytest.raises(DataError, match=r"did not answer within 0.1 s after 1 tries"):
        hosted(server, timeout=0.1, retries=0).encode_texts(["a"])


def test_a_server_that_drips_is_given_up_too(server: Server) -> None:
    server.drip = 0.02  # each byte comes in time, the whole of them would take seconds
    began = time.monotonic()
    with pytest.raises(DataError, match=r"did not answer within 0.2 s after 1 tries"):
        hosted(server, timeout=0.2, retries=0).encode_texts(["a"] * 3)
    assert time.monotonic() - began < 1


def test_an_answer_that_is_cut_off_is_asked_for_again(server: Server) -> None:
    server.script = [(200, {"Content-Length": "1000", "Connection": "close"}, '{"data": [')]
    assert hosted(server).encode_texts(["a"]).any()
    server.script = [(200, {"Content-Length": "1000", "Connection": "close"}, '{"data": [')]
    with pytest.raises(DataError, match="cannot be reached after 1 tries: the answer was cut off"):
        hosted(server, retries=0).encode_texts(["a"])


def test_nobody_at_home() -> None:
    with serving() as gone:
        url = gone.url
    with pytest.raises(DataError, match="cannot be reached"):
        Hosted(url=url, model="test", retries=0).encode_texts(["a"])


def test_requests_are_spread_over_a_minute(server: Server) -> None:
    hosted(server, batch_size=1, requests_per_minute=600).encode_texts(["a", "b", "c", "d"])
    assert max(server.times) - min(server.times) >= 0.25


def test_what_is_sent_again_keeps_the_pace_and_is_counted(server: Server) -> None:
    server.script = [(429, {"Retry-After-Ms": "1"}, "later")] * 3
    encoder = hosted(server, requests_per_minute=600)
    encoder.encode_texts(["a"])
    assert server.times[-1] - server.times[0] >= 0.25
    assert (len(server.times), encoder.usage.requests, encoder.usage.texts) == (4, 4, 1)


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("stop", ["an error", "most_cost", "Ctrl-C"])
def test_what_was_paid_for_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: int, stop: str
) -> None:
    catalogue = films([f"text {number}" for number in range(800)])  # within one window
    spent = {"price": 1e6, "most_cost": 500.0} if stop == "most_cost" else {}  # two tokens a text
    encoder = hosted(server, batch_size=100, parallel=parallel, retries=0, **spent)
    asked, begun = encoder._answer, []

    def fails_later(question: dict) -> object:
        begun.append(question)
        if len(begun) == 7 and stop == "Ctrl-C":
            raise KeyboardInterrupt
        if len(begun) == 7 and stop == "an error":
            server.script = [(400, {}, "too long")]
        return asked(question)

    monkeypatch.setattr(encoder, "_answer", fails_later)
    with pytest.raises(KeyboardInterrupt if stop == "Ctrl-C" else DataError):
        encoder.encode(catalogue, keep=tmp_path / "kept")
    assert 300 <= encoder.usage.texts < 800
    assert len(list((tmp_path / "kept").glob("*.keys.npy"))) == 1
    monkeypatch.undo()
    again = Hosted(url=server.url, model="test", key_in="NONE").encode(catalogue, keep=tmp_path / "kept")
    assert again.kept == encoder.usage.texts
    right = np.array([vector_of(f"text {number}", 8) for number in range(800)])
    np.testing.assert_allclose(again.values, right / np.linalg.norm(right, axis=1, keepdims=True), atol=1e-6)


class SlowConfig(TextConfig):
    """Settings of `Slow`."""

    batch_size: int = 2


class Slow(TextEncoder):
    """Reads, like a language model on a CPU, little by little, until somebody kills it."""

    config: SlowConfig

    def __init__(self, config: SlowConfig | None = None, **options: object) -> None:
        super().__init__(config, **options)
        self.asked: list[int] = []
        self.most = 100

    def _encode(self, contents: Sequence[str], run: Run) -> np.ndarray:
        self.asked.append(len(contents))
        if sum(self.asked) > self.most:
            raise KeyboardInterrupt
        return np.array([vector_of(text, 8) for text in contents], np.float32)


def test_a_slow_encoder_keeps_what_it_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = films([f"text {number}" for number in range(40)])
    killed, again = Slow(), Slow()
    killed.most = 26
    with pytest.raises(KeyboardInterrupt):
        killed.encode(catalogue, keep=tmp_path / "kept")
    assert killed.asked == [2, 8, 8, 8, 8]
    found = again.encode(catalogue, keep=tmp_path / "kept")
    assert (found.encoded, found.kept) == (14, 26)
    assert len(list((tmp_path / "kept").glob("*.keys.npy"))) == 2
    monkeypatch.setattr(base, "MOST_SECONDS", 0.0)
    very = Slow()
    very.encode(catalogue, keep=False)
    assert very.asked == [2] * 20


def test_what_came_before_an_error_is_kept(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "WINDOW", 4)
    server.script = []
    encoder = hosted(server, retries=0)
    encoder.encode_texts(["probe"])
    asked = encoder._ask

    def fails_later(texts: list[str]) -> np.ndarray:
        if any("love" in text for text in texts):
            server.script = [(500, {}, "broken")]
        return asked(texts)

    monkeypatch.setattr(encoder, "_ask", fails_later)
    with pytest.raises(DataError, match="500"):
        encoder.encode(films(), keep=tmp_path / "kept")
    found = hosted(server).encode(films(), keep=tmp_path / "kept")
    assert (found.encoded, found.kept) == (4, 4)


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="begins with http"):
        Hosted(url="ftp://here")
    assert Hosted(url="http://here/v1/embeddings/").config.url == "http://here/v1"
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds no key"):
        Hosted().encode_texts(["a"])


def test_the_key_and_the_pace_are_not_part_of_what_vectors_depend_on() -> None:
    assert Hosted().identity() == Hosted(key_in="OTHER", retries=1, price=2.0, batch_size=7).identity()
    assert Hosted().identity() != Hosted(model="other").identity() != Hosted(url="http://here/v1").identity()


def test_user_and_password_are_never_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = Hosted(url=server.url.replace("://", "://me:hush@"), model="test")
    assert encoder.config.url == server.url
    assert encoder.identity() == hosted(server).identity()
    encoder.encode(films(), keep=tmp_path / "kept")
    encoder.save(tmp_path / "encoder")
    written = b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
    assert b"hush" not in written
    assert "hush" not in caplog.text
    assert "are left out; set key_in" in caplog.text
    monkeypatch.setenv("LOGIN", "Basic me:hush")
    hosted(server, key_in="LOGIN").encode_texts(["a"])
    assert server.keys[-1] == "Basic bWU6aHVzaA=="


def test_pauses_are_those_that_a_server_asks_for() -> None:
    from email.utils import formatdate

    from zhiyin.encoders.hosted import _pause

    class Refused(Exception):
        status_code = 429

        def __init__(self, **headers: str) -> None:
            self.response = type("Response", (), {"headers": headers})

    assert _pause(Refused(**{"retry-after-ms": "50", "retry-after": "9"}), 1) == 0.05
    assert _pause(Refused(**{"retry-after": "9"}), 1) == 9
    assert 5 < _pause(Refused(**{"retry-after": formatdate(time.time() + 8, usegmt=True)}), 1) < 9
    assert _pause(Refused(**{"retry-after": "86400"}), 1) == 60
    for said in ("soon", "-1", "nan", "0"):
        assert 0.3 < _pause(Refused(**{"retry-after": said}), 1) <= 0.5
    assert 3 <= _pause(ConnectionError(), 4) <= 4
