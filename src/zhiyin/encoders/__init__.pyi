# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.encoders.audio import Audio as Audio
from zhiyin.encoders.hosted import Hosted as Hosted
from zhiyin.encoders.image import Image as Image
from zhiyin.encoders.multilingual import Multilingual as Multilingual
from zhiyin.encoders.sentence import Sentence as Sentence
from zhiyin.encoders.tfidf import TFIDF as TFIDF

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
from pathlib import Path
from zhiyin.encoders.base import Encoder
def load(path: str | Path) -> Encoder: ...
