# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.metrics.auc import AUC as AUC
from zhiyin.metrics.calibration import Calibration as Calibration
from zhiyin.metrics.calibration_error import CalibrationError as CalibrationError
from zhiyin.metrics.click_through_rate import ClickThroughRate as ClickThroughRate
from zhiyin.metrics.conversion_rate import ConversionRate as ConversionRate
from zhiyin.metrics.coverage import Coverage as Coverage
from zhiyin.metrics.gauc import GAUC as GAUC
from zhiyin.metrics.gini import Gini as Gini
from zhiyin.metrics.hit_rate import HitRate as HitRate
from zhiyin.metrics.intra_list_diversity import IntraListDiversity as IntraListDiversity
from zhiyin.metrics.log_loss import LogLoss as LogLoss
from zhiyin.metrics.mae import MAE as MAE
from zhiyin.metrics.map import MAP as MAP
from zhiyin.metrics.mrr import MRR as MRR
from zhiyin.metrics.ndcg import NDCG as NDCG
from zhiyin.metrics.normalised_entropy import NormalisedEntropy as NormalisedEntropy
from zhiyin.metrics.novelty import Novelty as Novelty
from zhiyin.metrics.popularity_share import PopularityShare as PopularityShare
from zhiyin.metrics.precision import Precision as Precision
from zhiyin.metrics.recall import Recall as Recall
from zhiyin.metrics.repeat_rate import RepeatRate as RepeatRate
from zhiyin.metrics.rmse import RMSE as RMSE
from zhiyin.metrics.serendipity import Serendipity as Serendipity

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
from zhiyin.errors import ConfigError
from zhiyin.metrics.base import Metric
DEFAULT: tuple[str, ...]
def parse(label: str) -> Metric: ...
