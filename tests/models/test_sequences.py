from zhiyin.models.bert4rec import BERT4Rec
from zhiyin.models.gpt4rec import GPT4Rec
from zhiyin.models.hstu import HSTU
from zhiyin.models.sasrec import SASRec
from zhiyin.models.transformer import Transformer
from zhiyin.testing.recommenders import RecommenderSuite

SMALL = {
    "embedding_size": 16,
    "n_layers": 1,
    "max_length": 12,
    "epochs": 10,
    "batch_size": 64,
    "learning_rate": 0.01,
    "n_negatives": 32,
    "average": 0.0,
}


class TestTransformer(RecommenderSuite):
    model = Transformer
    options = SMALL
    exact = False  # it starts from random vectors


class TestSASRec(RecommenderSuite):
    model = SASRec
    options = {**SMALL, "features": ("position", "wait", "gap", "hour", "weekday", "value"), "block": "ligr"}
    exact = False


class TestBERT4Rec(RecommenderSuite):
    model = BERT4Rec
    options = {**SMALL, "epochs": 60, "dropout": 0.0, "batch_size": 128}  # it learns from a part of the events alone
    exact = False


class TestHSTU(RecommenderSuite):
    model = HSTU
    options = SMALL
    exact = False


class TestGPT4Rec(RecommenderSuite):
    model = GPT4Rec
    options = SMALL
    exact = False
