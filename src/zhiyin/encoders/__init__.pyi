# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.encoders.aligned import Aligned as Aligned
from zhiyin.encoders.audio import Audio as Audio
from zhiyin.encoders.causal_lm import CausalLM as CausalLM
from zhiyin.encoders.fused import Fused as Fused
from zhiyin.encoders.hosted import Hosted as Hosted
from zhiyin.encoders.image import Image as Image
from zhiyin.encoders.multilingual import Multilingual as Multilingual
from zhiyin.encoders.sentence import Sentence as Sentence
from zhiyin.encoders.tfidf import TFIDF as TFIDF

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
from collections.abc import Sequence
from pathlib import Path
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries, Query
from zhiyin.encoders.base import Encoder
def load(path: str | Path) -> Encoder: ...
def describe_history(history: Query | Queries | Sequence[str], dataset: Dataset, most: int=20, newest_first: bool=False, most_letters: int=4000) -> str: ...
