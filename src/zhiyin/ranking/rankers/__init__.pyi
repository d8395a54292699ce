# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.ranking.rankers.blend import Blend as Blend
from zhiyin.ranking.rankers.boosted_trees import BoostedTrees as BoostedTrees
from zhiyin.ranking.rankers.deep_cross import DeepCross as DeepCross
from zhiyin.ranking.rankers.interest_attention import InterestAttention as InterestAttention
from zhiyin.ranking.rankers.logistic import Logistic as Logistic
from zhiyin.ranking.rankers.multi_task import MultiTask as MultiTask

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
