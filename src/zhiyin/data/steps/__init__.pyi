# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.data.steps.bots import Bots as Bots
from zhiyin.data.steps.exact_duplicates import ExactDuplicates as ExactDuplicates
from zhiyin.data.steps.minimum_counts import MinimumCounts as MinimumCounts
from zhiyin.data.steps.near_duplicates import NearDuplicates as NearDuplicates
from zhiyin.data.steps.one_per_pair import OnePerPair as OnePerPair
from zhiyin.data.steps.outliers import Outliers as Outliers
from zhiyin.data.steps.repeats import Repeats as Repeats
from zhiyin.data.steps.sample_users import SampleUsers as SampleUsers
from zhiyin.data.steps.sessions import Sessions as Sessions
from zhiyin.data.steps.time_window import TimeWindow as TimeWindow
from zhiyin.data.steps.weights import Weights as Weights

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
