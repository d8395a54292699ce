"""Fine-tuning of a whole text encoder of sentence-transformers on texts of items that are used together.

What its MultipleNegativesRankingLoss does (Henderson et al., 2017), with the corrections of `_aligning`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, IntMatrix
from zhiyin.artifacts import read_json, to_json
from zhiyin.encoders._aligning import Learning
from zhiyin.encoders._company import Company
from zhiyin.encoders._folders import weights_hash
from zhiyin.encoders.base import Encoder
from zhiyin.encoders.sentence import Sentence
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run

FOLDER, SEAL = "tuned", "tuned.json"
"""The model, and the hash of its files beside that of its weights."""
DECAY = 0.01


def check(encoder: Encoder, name: str) -> None:
    """Refuse an encoder that cannot be tuned.

    Raises:
        ConfigError: it is no `sentence`.
    """
    if not isinstance(encoder, Sentence):
        raise ConfigError(
            f"{name}: tune=True tunes a model of sentence-transformers, but the encoder is {encoder.name}; take "
            'encoder="sentence", or tune=False'
        )


def tuned(
    encoder: Encoder,
    texts: Sequence[str],
    company: Company,
    held: IntMatrix,
    options: Any,
    run: Run,
    name: str,
) -> DoubleVector:
    """Tune the model of an encoder in place; return the losses on held-out pairs, the first one before.

    Args:
        encoder: a `sentence`, whose model is changed.
        texts: (n_items,) what each item says.
        company: where pairs come from.
        held: (n, 2) pairs that are measured.
        options: the settings of `aligned`.
        run: device, threads, seed.
        name: of who asks, for people.

    Raises:
        ConfigError: the device is not there.
    """
    assert isinstance(encoder, Sentence)
    import torch

    from zhiyin._torch import torch_threads

    net: Any = encoder._net
    prepare = net.preprocess if hasattr(net, "preprocess") else net.tokenize

    def encode(items: AnyArray) -> Any:
        features = {key: _placed(value, net.device) for key, value in prepare([texts[item] for item in items]).items()}
        return torch.nn.functional.normalize(net(features)["sentence_embedding"].float(), dim=1)

    settings = (options.tune_batch_size, options.tune_pairs, options.temperature)
    learning = Learning(net, encode, company, held, len(texts), *settings)
    with torch_threads(run.threads), torch.random.fork_rng():
        torch.manual_seed(int(run.generator(f"{name}: tuning").integers(2**31)))
        try:
            net.to(run.device or "cpu")
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"{name}: the device {run.device!r} is not there: {error}") from None
        optimizer = torch.optim.AdamW(net.parameters(), lr=options.tune_learning_rate, weight_decay=DECAY)
        losses = learning.learn(optimizer, options.tune_epochs, run, f"{name}: tune")
    encoder.__dict__["_hash"] = state_hash(net)
    encoder.__dict__.pop("_width", None)
    return losses


def _placed(value: Any, device: Any) -> Any:
    return value.to(device) if hasattr(value, "to") else value


def state_hash(net: Any) -> str:
    """A hash of the weights of a net."""
    total = hashlib.blake2b(digest_size=16)
    for name, value in sorted(net.state_dict().items()):
        total.update(name.encode())
        total.update(np.ascontiguousarray(value.detach().float().cpu().numpy()).data)
    return total.hexdigest()


def write(encoder: Encoder, folder: Path) -> None:
    """Save the tuned model of an encoder, in safetensors, with a hash by which `read` knows it again."""
    assert isinstance(encoder, Sentence)
    encoder._net.save_pretrained(str(folder / FOLDER), create_model_card=False, safe_serialization=True)
    seal = {"files": weights_hash(folder / FOLDER), "weights": encoder._hash}
    (folder / SEAL).write_text(to_json(seal), encoding="utf-8")


def read(encoder: Encoder, folder: Path, weights: str) -> None:
    """Let an encoder read the tuned model that `write` wrote.

    Args:
        encoder: a `sentence`.
        folder: of the encoder that was tuned.
        weights: their hash, as what was learnt says it.

    Raises:
        DataError: the model is not there, or is not the one that was tuned.
    """
    assert isinstance(encoder, Sentence)
    place = folder / FOLDER
    if not place.is_dir():
        raise DataError(f"{folder} is damaged: the tuned model {place} is missing; save the encoder anew")
    encoder.__dict__.update(_folder=place, _hash=weights)
    if (folder / SEAL).is_file():
        same = read_json(folder / SEAL) == {"files": weights_hash(place), "weights": weights}
    else:  # older ones do not say: then the weights themselves do, which takes longer
        same = state_hash(encoder._net) == weights
    if not same:
        raise DataError(
            f"{place} is not the model that was tuned: its files were altered since they were saved, and their vectors "
            "would not go with those from before; put the files back, or fit the encoder anew"
        )
