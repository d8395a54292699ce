# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.ranking.features.activity import Activity as Activity
from zhiyin.ranking.features.affinity import Affinity as Affinity
from zhiyin.ranking.features.attributes import Attributes as Attributes
from zhiyin.ranking.features.context import Context as Context
from zhiyin.ranking.features.freshness import Freshness as Freshness
from zhiyin.ranking.features.links import Links as Links
from zhiyin.ranking.features.moment import Moment as Moment
from zhiyin.ranking.features.pair import Pair as Pair
from zhiyin.ranking.features.popularity import Popularity as Popularity
from zhiyin.ranking.features.retrieval import Retrieval as Retrieval
from zhiyin.ranking.features.semantic import Semantic as Semantic
from zhiyin.ranking.features.transitions import Transitions as Transitions
from zhiyin.ranking.features.values import Values as Values

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
