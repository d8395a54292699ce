"""Hosted: the embeddings of any server that speaks the protocol of OpenAI's `/v1/embeddings`, far away or beside you.

    encoder = encoders.Hosted(model="text-embedding-3-small", price=0.02)            # the key is in OPENAI_API_KEY
    encoder = encoders.Hosted(url="http://localhost:11434/v1", model="bge-m3")       # a server of your own

Texts leave this machine: see that they may. What was answered is kept on the disk by the hash of its text, so that no
text is paid for twice, and what came before an error is not lost.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

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


class HostedConfig(TextConfig):
    """Settings of `hosted`."""

    model: str = "text-embedding-3-small"
    """The name that the server knows."""
    url: str = "https://api.openai.com/v1"
    """Where the server is, up to and without `/embeddings`."""
    dimensions: int | None = setting(None, ge=1)
    """The length of a vector that is asked for; None for the model's own, and for servers that do not take a wish."""
    key_in: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; a server that wants none takes any."""
    item_prefix: str = ""
    """Put before the text of an item."""
    query_prefix: str = ""
    """Put before what a person asks for."""
    batch_size: int = setting(128, ge=1, le=2048)
    """Texts in one request."""
    parallel: int = setting(4, ge=1, le=64)
    """Requests that are under way at once."""
    requests_per_minute: float | None = setting(None, gt=0)
    """At most so many requests are begun in a minute; None for no limit but the server's own."""
    retries: int = setting(5, ge=0, le=20)
    """How often a request is sent again that was refused for the moment (408, 409, 429, 500 and above) or lost; each
    time after a longer pause, or the one that the server asks for."""
    timeout: float = setting(60.0, gt=0)
    """Seconds until an answer must be there."""
    price: float = setting(0.0, ge=0)
    """What a million tokens cost, in whatever money, for `usage`."""
    most_cost: float | None = setting(None, gt=0)
    """No request is begun once so much was spent by this encoder."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("a URL that begins with http:// or https:// is expected")
        return value.rstrip("/").removesuffix("/embeddings")


@dataclass(slots=True)
class Usage:
    """What a server was asked for so far."""

    requests: int = 0
    texts: int = 0
    tokens: int = 0
    """As the server counts them; 0 for one that does not."""
    cost: float = 0.0
    """Tokens times the price."""
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, texts: int, tokens: int, price: float) -> None:
        """Count one answer."""
        with self.lock:
            self.requests += 1
            self.texts += texts
            self.tokens += tokens
            self.cost += tokens * price / 1e6


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
        size = self.config.batch_size
        _ = self._client, self._pace  # made once, before several threads want them
        batches = [list(contents[start : start + size]) for start in range(0, len(contents), size)]
        pool = ThreadPoolExecutor(min(self.config.parallel, len(batches)))
        try:
            parts = list(pool.map(self._ask, batches))
        finally:
            pool.shutdown(cancel_futures=True)
        if len(widths := {part.shape[1] for part in parts}) > 1:
            raise DataError(f"{self._place} answered with vectors of different lengths: {sorted(widths)}")
        return np.concatenate(parts)

    def _ask(self, texts: list[str]) -> FloatMatrix:
        """(n, d) the vectors of some texts."""
        settings = self.config
        if settings.most_cost is not None and self.usage.cost >= settings.most_cost:
            raise DataError(
                f"{self.usage.cost:.4f} was spent on {self._place}, most_cost is {settings.most_cost}; what was "
                "encoded is kept, and a higher most_cost goes on from there"
            )
        self._pace.wait()
        asked: dict[str, Any] = {"model": settings.model, "input": texts, "encoding_format": "float"}
        if settings.dimensions is not None:
            asked["dimensions"] = settings.dimensions
        answer = self._answer(asked)
        vectors, tokens = _read(answer, len(texts), self._place)
        self.usage.add(len(texts), tokens, settings.price)
        return vectors

    def _answer(self, asked: dict[str, Any]) -> Any:
        from openai import APIConnectionError, APIResponseValidationError, APIStatusError, APITimeoutError

        tries = f"after {self.config.retries + 1} tries"
        try:
            answer = self._client.embeddings.with_raw_response.create(**asked)
            return answer.http_response.json()
        except APITimeoutError:
            raise DataError(
                f"{self._place} did not answer within {self.config.timeout:g} s {tries}; raise timeout or ask for less "
                "at once (batch_size)"
            ) from None
        except APIConnectionError as error:
            raise DataError(f"{self._place} cannot be reached {tries}: {error.__cause__ or error}") from None
        except APIStatusError as error:
            said = shortened(" ".join(error.response.text.split()), 200)
            raise DataError(
                f"{self._place} refused with {error.status_code} {_meaning(error.status_code)}: {said}"
            ) from None
        except (APIResponseValidationError, ValueError) as error:
            raise DataError(f"{self._place} answered what is no JSON: {shortened(str(error), 200)}") from None

    @property
    def _place(self) -> str:
        return f"{self.config.url}/embeddings"

    @cached_property
    def _pace(self) -> _Pace:
        return _Pace(self.config.requests_per_minute)

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
        return OpenAI(
            base_url=settings.url, api_key=key or "none", max_retries=settings.retries, timeout=settings.timeout
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


def _read(answer: Any, n: int, place: str) -> tuple[FloatMatrix, int]:
    """The vectors (n, d) and the tokens of an answer.

    Raises:
        DataError: it is not what the protocol says.
    """
    try:
        entries = sorted(answer["data"], key=lambda one: one.get("index", 0))
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
