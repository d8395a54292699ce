"""Hosted: the embeddings of any server that speaks the protocol of OpenAI's `/v1/embeddings`, far away or beside you.

    encoder = encoders.Hosted(model="text-embedding-3-small", price=0.02)            # the key is in OPENAI_API_KEY
    encoder = encoders.Hosted(url="http://localhost:11434/v1", model="bge-m3")       # a server of your own

Texts leave this machine: see that they may. What was answered is kept on the disk by the hash of its text, so that no
text is paid for twice: each answer is kept as it comes, also before an error and those that were under way then.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import random
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import numpy as np
from pydantic import field_validator

from zhiyin.arrays import FloatMatrix
from zhiyin.config import setting
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.errors import ConfigError, DataError, MissingExtra, shortened
from zhiyin.run import Run

if TYPE_CHECKING:
    from openai import OpenAI

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds before a request is sent again, at most; also where the server asks for more."""
BASIC = "Basic "


class HostedConfig(TextConfig):
    """Settings of `hosted`."""

    model: str = "text-embedding-3-small"
    """The name that the server knows."""
    url: str = "https://api.openai.com/v1"
    """Where the server is, up to and without `/embeddings`; a user and a password in it are left out, see `key_in`."""
    dimensions: int | None = setting(None, ge=1)
    """The length of a vector that is asked for; None for the model's own, and for servers that do not take a wish."""
    key_in: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; a server that wants none takes any. `Basic user:password` in it logs
    in where a user and a password are wanted."""
    item_prefix: str = ""
    """Put before the text of an item."""
    query_prefix: str = ""
    """Put before what a person asks for."""
    batch_size: int = setting(128, ge=1, le=2048)
    """Texts in one request."""
    parallel: int = setting(4, ge=1, le=64)
    """Requests that are under way at once."""
    requests_per_minute: float | None = setting(None, gt=0)
    """At most so many requests are begun in a minute, also those that are sent again; None for no limit but that of the
    server."""
    retries: int = setting(5, ge=0, le=20)
    """How often a request is sent again that was refused for the moment (408, 409, 429, 500 and above) or lost; each
    time after a longer pause, or the one that the server asks for."""
    timeout: float = setting(60.0, gt=0)
    """Seconds until an answer must be there, whole."""
    price: float = setting(0.0, ge=0)
    """What a million tokens cost, in whatever money, for `usage`."""
    most_cost: float | None = setting(None, gt=0)
    """No request is begun once so much was spent by this encoder."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("a URL that begins with http:// or https:// is expected")
        place = urlsplit(value)
        if "@" in place.netloc:  # it would be written to disk with the settings
            value = place._replace(netloc=place.netloc.rpartition("@")[2]).geturl()
            logger.warning("the user and password of the url of %s are left out; set key_in instead", value)
        return value.rstrip("/").removesuffix("/embeddings")


@dataclass(slots=True)
class Usage:
    """What a server was asked for so far."""

    requests: int = 0
    """All that were sent, also those that were refused or lost."""
    texts: int = 0
    """Those that were answered."""
    tokens: int = 0
    """As the server counts them; 0 for one that does not."""
    cost: float = 0.0
    """Tokens times the price."""
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def begin(self) -> None:
        """Count one request."""
        with self.lock:
            self.requests += 1

    def add(self, texts: int, tokens: int, price: float) -> None:
        """Count one answer."""
        with self.lock:
            self.texts += texts
            self.tokens += tokens
            self.cost += tokens * price / 1e6

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, under stable names."""
        with self.lock:
            return {"requests": self.requests, "texts": self.texts, "tokens": self.tokens, "cost": self.cost}


class Hosted(TextEncoder):
    """The vector of a text is what the server answers; `usage` says what was asked for and what it cost."""

    config: HostedConfig
    about_contents = (
        *TextEncoder.about_contents,
        *("key_in", "item_prefix", "query_prefix", "batch_size", "parallel", "requests_per_minute"),
        *("retries", "timeout", "price", "most_cost"),
    )

    @cached_property
    def usage(self) -> Usage:
        """What the server was asked for so far."""
        return Usage()

    def _said(self, text: str, purpose: Literal["query", "item"]) -> str:
        prefix = self.config.query_prefix if purpose == "query" else self.config.item_prefix
        return prefix + text if text else ""

    def _encode(self, contents: Sequence[str], run: Run) -> FloatMatrix:
        found = {places[0]: vectors for places, vectors in self._steps(contents, run)}
        return np.concatenate([found[place] for place in sorted(found)])

    def _steps(self, contents: Sequence[str], run: Run) -> Generator[tuple[list[int], FloatMatrix]]:
        """Each answer as it comes; after an error no more is asked, but what was under way then comes too."""
        size, n = self.config.batch_size, len(contents)
        _ = self._client, self._pace, self._widths, self.usage  # made once, before several threads want them
        pool = ThreadPoolExecutor(self.config.parallel)
        asked: dict[Future[FloatMatrix], list[int]] = {}
        for start in range(0, n, size):
            places = list(range(start, min(start + size, n)))
            asked[pool.submit(self._ask, [contents[place] for place in places])] = places
        came = set()
        try:
            for one in as_completed(asked):
                vectors = one.result()
                came.add(one)
                yield asked[one], vectors
        except (Exception, KeyboardInterrupt):
            pool.shutdown(cancel_futures=True)
            for one in asked.keys() - came:
                if not one.cancelled() and one.exception() is None:
                    yield asked[one], one.result()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, texts: list[str]) -> FloatMatrix:
        """(n, d) the vectors of some texts."""
        settings = self.config
        asked: dict[str, Any] = {"model": settings.model, "input": texts, "encoding_format": "float"}
        if settings.dimensions is not None:
            asked["dimensions"] = settings.dimensions
        vectors, tokens = _read(self._answer(asked), len(texts), self._place)
        self.usage.add(len(texts), tokens, settings.price)
        self._widths.add(vectors.shape[1])
        if len(self._widths) > 1:
            raise DataError(f"{self._place} answered with vectors of different lengths: {sorted(self._widths)}")
        return vectors

    def _answer(self, asked: dict[str, Any]) -> Any:
        """What the server answers, at the first try or a later one."""
        from openai import APIConnectionError, APIStatusError

        tries = self.config.retries + 1
        for number in range(1, tries + 1):
            self._check_cost()
            self._pace.wait()
            self.usage.begin()
            try:
                return self._sent(asked)
            except (APIConnectionError, APIStatusError, TimeoutError, ConnectionError) as error:
                if number == tries or not _passes(error):
                    raise DataError(f"{self._place} {self._fault(error)}") from None
                time.sleep(_pause(error, number))
        raise AssertionError("one try at least")

    def _check_cost(self) -> None:
        most = self.config.most_cost
        if most is not None and self.usage.cost >= most:
            raise DataError(
                f"{self.usage.cost:.4f} was spent on {self._place}, most_cost is {most}; what was encoded is kept, and "
                "a higher most_cost goes on from there"
            )

    def _sent(self, asked: dict[str, Any]) -> Any:
        """The answer to one request.

        Raises:
            TimeoutError: it took too long to come, though some of it may have.
            ConnectionError: it was cut off.
            DataError: it is no JSON.
        """
        ends = time.monotonic() + self.config.timeout
        with self._client.embeddings.with_streaming_response.create(**asked) as answer:
            body = _whole(answer, ends)
        try:
            return json.loads(body)
        except ValueError as error:
            raise DataError(f"{self._place} answered what is no JSON: {shortened(str(error), 200)}") from None

    def _fault(self, error: Exception) -> str:
        """Why a request failed, and what a person can do about it."""
        from openai import APIStatusError, APITimeoutError

        tries = f"after {self.config.retries + 1} tries"
        if isinstance(error, APITimeoutError | TimeoutError):
            return (
                f"did not answer within {self.config.timeout:g} s {tries}; raise timeout or ask for less at once "
                "(batch_size)"
            )
        if isinstance(error, APIStatusError):
            said = shortened(" ".join(error.response.text.split()), 200)
            return f"refused with {error.status_code} {_meaning(error.status_code)}: {said}"
        return f"cannot be reached {tries}: {error.__cause__ or error}"

    @property
    def _place(self) -> str:
        return f"{self.config.url}/embeddings"

    @cached_property
    def _pace(self) -> _Pace:
        return _Pace(self.config.requests_per_minute)

    @cached_property
    def _widths(self) -> set[int]:
        """How long vectors were so far."""
        return set()

    @cached_property
    def _client(self) -> OpenAI:
        try:
            from openai import OpenAI
        except ImportError:
            raise MissingExtra("llm", "openai", f"the encoder {self.name}") from None
        settings = self.config
        key = os.environ.get(settings.key_in, "")
        if not key and settings.url == type(settings).model_fields["url"].default:
            raise ConfigError(
                f"{self.name}: the environment variable {settings.key_in} holds no key for {settings.url}; set it, or "
                "name another variable with key_in"
            )
        login = {"Authorization": BASIC + base64.b64encode(key.removeprefix(BASIC).encode()).decode()}
        return OpenAI(
            base_url=settings.url,
            api_key=key or "none",
            max_retries=0,  # `_answer` sends again, at the pace that is set
            timeout=settings.timeout,
            default_headers=login if key.startswith(BASIC) else None,
        )


class _Pace:
    """Lets callers begin at most so many times a minute, evenly."""

    def __init__(self, per_minute: float | None) -> None:
        self.pause = 60 / per_minute if per_minute else 0.0
        self.lock, self.next = Lock(), 0.0

    def wait(self) -> None:
        """Return when it is one's turn."""
        with self.lock:
            begins = max(time.monotonic(), self.next)
            self.next = begins + self.pause
        time.sleep(max(0.0, begins - time.monotonic()))


def _whole(answer: Any, ends: float) -> bytes:
    """The body of an answer that must be there at a time."""
    body = bytearray()
    try:
        for some in answer.iter_bytes():
            body += some
            if time.monotonic() > ends:
                raise TimeoutError
    except TimeoutError:
        raise
    except Exception as error:  # of the library of HTTP, which is another one from version to version
        kind = TimeoutError if "Timeout" in type(error).__name__ else ConnectionError
        raise kind(f"the answer was cut off: {error}") from None
    return bytes(body)


def _passes(error: Any) -> bool:
    """Whether what failed may do better when it is tried again."""
    status = getattr(error, "status_code", None)
    if status is None:
        return True
    said = error.response.headers.get("x-should-retry")
    return said == "true" or (said != "false" and (status in (408, 409, 429) or status >= 500))


def _pause(error: Any, number: int) -> float:
    """Seconds before the next try after so many: what the server asks for, or longer each time."""
    wished = _wished(error.response.headers) if hasattr(error, "status_code") else 0.0
    return min(wished, LONGEST_PAUSE) if wished > 0 else min(0.5 * 2.0 ** (number - 1), 8.0) * random.uniform(0.75, 1)


def _wished(headers: Any) -> float:
    """The pause that a server asks for, in seconds; 0 for none."""
    for name, unit in (("retry-after-ms", 1e3), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return float(headers[name]) / unit
    with suppress(KeyError, ValueError, TypeError):
        return parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
    return 0.0


def _read(answer: Any, n: int, place: str) -> tuple[FloatMatrix, int]:
    """The vectors (n, d) and the tokens of an answer.

    Raises:
        DataError: it is not what the protocol says.
    """
    try:
        entries = answer["data"]
        places = [one.get("index") for one in entries]
        if any(place is not None for place in places):
            if sorted(places) != list(range(len(places))):
                raise ValueError(f"index {shortened(str(places), 60)} where 0 to {n - 1} are expected, each once")
            entries = sorted(entries, key=lambda one: int(one["index"]))
        vectors = np.array([one["embedding"] for one in entries], np.float32)
        tokens = int((answer.get("usage") or {}).get("total_tokens") or 0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        said = shortened(str(answer), 200)
        raise DataError(f"{place} answered what is no list of embeddings ({error!r}): {said}") from None
    if vectors.ndim != 2 or len(vectors) != n or not vectors.shape[1] or not np.isfinite(vectors).all():
        raise DataError(f"{place} answered {n} texts with an array of shape {vectors.shape}; ({n}, d) is expected")
    return vectors, tokens


def _meaning(status: int) -> str:
    """What a person can do about a status of HTTP."""
    known = {
        400: "(a setting or a text that it does not take)",
        401: "(the key is wrong)",
        403: "(the key may not do this)",
        404: "(no such model or address)",
        429: "(too many requests; set requests_per_minute, or more retries)",
    }
    return known.get(status, "(its own fault; try later, or with more retries)" if status >= 500 else "")
