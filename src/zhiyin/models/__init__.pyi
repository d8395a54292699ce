# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.models.als import ALS as ALS
from zhiyin.models.bert4rec import BERT4Rec as BERT4Rec
from zhiyin.models.blend import Blend as Blend
from zhiyin.models.bpr import BPR as BPR
from zhiyin.models.content import Content as Content
from zhiyin.models.ease import EASE as EASE
from zhiyin.models.gpt4rec import GPT4Rec as GPT4Rec
from zhiyin.models.gru4rec import GRU4Rec as GRU4Rec
from zhiyin.models.hstu import HSTU as HSTU
from zhiyin.models.item_knn import ItemKNN as ItemKNN
from zhiyin.models.popularity import Popularity as Popularity
from zhiyin.models.random import Random as Random
from zhiyin.models.rlfm import RLFM as RLFM
from zhiyin.models.sasrec import SASRec as SASRec
from zhiyin.models.svd import SVD as SVD
from zhiyin.models.tiger import TIGER as TIGER
from zhiyin.models.transformer import Transformer as Transformer
from zhiyin.models.transformer_xl import TransformerXL as TransformerXL
from zhiyin.models.user_knn import UserKNN as UserKNN
from zhiyin.models.zhiyin import Zhiyin as Zhiyin

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
