# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.models.als import ALS as ALS
from zhiyin.models.blend import Blend as Blend
from zhiyin.models.bpr import BPR as BPR
from zhiyin.models.content import Content as Content
from zhiyin.models.ease import EASE as EASE
from zhiyin.models.item_knn import ItemKNN as ItemKNN
from zhiyin.models.popularity import Popularity as Popularity
from zhiyin.models.random import Random as Random
from zhiyin.models.svd import SVD as SVD
from zhiyin.models.user_knn import UserKNN as UserKNN

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
