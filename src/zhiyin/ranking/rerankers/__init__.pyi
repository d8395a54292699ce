# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.ranking.rerankers.calibration import Calibration as Calibration
from zhiyin.ranking.rerankers.diversity import Diversity as Diversity
from zhiyin.ranking.rerankers.exploration import Exploration as Exploration
from zhiyin.ranking.rerankers.novelty import Novelty as Novelty

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
