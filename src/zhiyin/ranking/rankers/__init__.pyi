# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.ranking.rankers.boosted_trees import BoostedTrees as BoostedTrees

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
