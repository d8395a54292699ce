"""Opening a pretrained model: what its library stumbles over is told plainly, and nothing is read that was drawn.

For want of weights or of a vocabulary the libraries warn, and go on with some that they draw at random.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zhiyin.encoders._folders import SAFE
from zhiyin.errors import DataError, ZhiyinError

POOLER = re.compile(r"(^|\.)pooler\.")
"""Weights of a head over all states, which many checkpoints leave out: nobody needs it for the states."""


@contextmanager
def opening(name: str, folder: Path) -> Generator[None]:
    """Whatever goes wrong in the library of a model is a `DataError`: what it raises depends on what is in the folder.

    Raises:
        DataError: the folder does not open as a model.
    """
    try:
        yield
    except (ZhiyinError, MemoryError):
        raise
    except Exception as error:
        what = str(error).strip() or type(error).__name__
        raise DataError(f"{name}: {folder} does not open as a model: {what}") from error


def check_weights_are_there(missing: Iterable[str], name: str, folder: Path) -> None:
    """Refuse a model of which weights are missing.

    Raises:
        DataError: some are, a pooler's left aside.
    """
    if lacks := sorted(one for one in missing if not POOLER.search(one)):
        raise DataError(
            f"{name}: {folder} lacks {len(lacks):,} of the model's weights, {lacks[0]} among them, and they would be "
            "drawn at random; copy the whole model anew, or take the class of model that config.json names"
        )


def missing_weights(net: Any) -> list[str]:
    """Which weights of an opened model of transformers its folder lacks."""
    from safetensors import safe_open

    folder = Path(net.name_or_path)
    held: set[str] = set()
    for file in folder.glob(SAFE):
        with safe_open(file, "numpy") as opened:
            held.update(opened.keys())
    if held >= set(net.state_dict()):
        return []
    # Names in files may be others than in the model, as the library knows; it tells only when it reads.
    _, told = type(net).from_pretrained(
        str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    return sorted(told["missing_keys"])


def check_vocabulary(tokenizer: Any, name: str, folder: Path) -> None:
    """Refuse a tokenizer of transformers that knows its marks alone: it makes one token of everything, or none.

    Raises:
        DataError: it does.
    """
    if len(set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids)) < 2:
        raise DataError(
            f"{name}: the tokenizer in {folder} has no vocabulary; its file (tokenizer.json, vocab.txt, *.model) is "
            "missing or broken: copy the whole model anew"
        )
