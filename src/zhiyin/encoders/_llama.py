"""A GGUF file, read by llama.cpp inside this process (package xllamacpp).

llama.cpp's own server does the work and is asked without the network; it also opens a port on 127.0.0.1, behind a key
that nobody else knows, of which only the count of tokens is asked. One text is read at a time: with several in flight
llama.cpp's answers were seen to differ by what stood beside (xllamacpp 2026.10, cosine 0.85 to the text alone).
"""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from zhiyin.arrays import FloatMatrix
from zhiyin.encoders._prompts import Prompt, no_room
from zhiyin.errors import DataError, MissingExtra

MARKS = 4
"""Tokens that a model may put around a text of its own accord."""


class Llama:
    """The pooled states of the last layer of a GGUF file.

    Args:
        file: the model.
        name: of the encoder, for people.
        pooling: "mean" or "last".
        max_tokens: of a prompt.
        threads: how many work.

    Raises:
        MissingExtra: xllamacpp is not installed.
        DataError: llama.cpp cannot read the file.
    """

    def __init__(self, file: Path, name: str, pooling: str, max_tokens: int, threads: int) -> None:
        try:
            import xllamacpp
        except ImportError:
            raise MissingExtra("gguf", "xllamacpp", f"the encoder {name} with a GGUF file") from None
        self.name, self.most, self._key = name, max_tokens, secrets.token_hex(16)
        with file.open("rb") as opened:
            if opened.read(4) != b"GGUF":
                raise DataError(f"{name}: {file} is no GGUF file, whatever its name says; fetch it anew")
        try:
            self._server: Any = xllamacpp.Server(self._settings(xllamacpp, file, pooling, threads))
        except RuntimeError as error:
            raise DataError(
                f"{name}: llama.cpp cannot read {file} ({error}); is it whole, and of a kind it knows?"
            ) from None

    def _settings(self, xllamacpp: Any, file: Path, pooling: str, threads: int) -> Any:
        asked = xllamacpp.CommonParams()
        asked.model.path = str(file)
        asked.embedding = True
        kinds = xllamacpp.llama_pooling_type
        asked.pooling_type = kinds.LLAMA_POOLING_TYPE_MEAN if pooling == "mean" else kinds.LLAMA_POOLING_TYPE_LAST
        asked.n_ctx = asked.n_batch = asked.n_ubatch = self.most  # a prompt is read in one go or not at all
        asked.n_parallel = 1
        asked.cache_prompt, asked.cache_ram_mib = False, 0
        asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = max(1, threads)
        asked.api_keys, asked.offline, asked.warmup, asked.verbosity = [self._key], True, False, -1
        return asked

    def encode(self, prompts: Sequence[Prompt], batch_size: int) -> FloatMatrix:
        """(n, d) the vectors of prompts, of whose texts only so much is read as there is room for.

        Raises:
            ConfigError: an instruction leaves no room for any text.
            DataError: llama.cpp refuses.
        """
        texts = [str(self._that_fits(one)) for one in prompts]
        parts = [self._ask(texts[start : start + batch_size]) for start in range(0, len(texts), batch_size)]
        return np.concatenate(parts)

    def _ask(self, texts: list[str]) -> FloatMatrix:
        answer = self._server.handle_embeddings({"input": texts, "embd_normalize": -1})
        if "error" in answer:
            raise DataError(f"{self.name}: llama.cpp refuses: {answer['error'].get('message', answer['error'])}")
        entries = sorted(answer["data"], key=lambda one: one["index"])
        return np.array([one["embedding"] for one in entries], np.float32)

    def _that_fits(self, prompt: Prompt) -> Prompt:
        """The prompt with so much of its text as there is room for."""
        while len(str(prompt).encode()) + MARKS > self.most:  # else it fits: a token is a byte at least
            n = self._count(str(prompt))
            if n <= self.most:
                break
            if not (letters := min(len(prompt.text) - 1, len(prompt.text) * self.most // n)):
                raise no_room(self.name, self._count(prompt.before + prompt.after), self.most)
            prompt = prompt.cut(letters)
        return prompt

    def _count(self, text: str) -> int:
        """How many tokens a text has, with the model's own marks."""
        to = http.client.HTTPConnection(urlsplit(self._server.listening_address).netloc, timeout=60)
        try:
            asked = json.dumps({"content": text, "add_special": True})
            to.request("POST", "/tokenize", asked, {"Authorization": f"Bearer {self._key}"})
            return len(json.loads(to.getresponse().read())["tokens"])
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            raise DataError(f"{self.name}: llama.cpp counts no tokens: {error!r}") from error
        finally:
            to.close()
