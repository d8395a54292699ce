# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.ranking.uplift.t_learner import TLearner as TLearner
from zhiyin.ranking.uplift.x_learner import XLearner as XLearner

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
