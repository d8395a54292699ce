import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError
from zhiyin.models.transformer_xl import TransformerXL
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite

SMALL = {
    "embedding_size": 16,
    "n_layers": 1,
    "segment": 4,
    "memory": 4,
    "epochs": 10,
    "batch_size": 64,
    "learning_rate": 0.01,
    "n_negatives": 32,
    "average": 0.0,
}


class TestTransformerXL(RecommenderSuite):
    model = TransformerXL
    options = {**SMALL, "epochs": 5, "batch_size": 128, "gated": True, "features": ("value",), "max_length": 12}
    exact = False  # it starts from random vectors


def world(lists: list[list[int]], n_items: int, answers: range = range(0)) -> Dataset:
    """Events on the items `answers` are of a kind of their own."""
    flat = Histories.of_lists(lists)
    kind = np.isin(flat.item, answers).astype(np.uint8)
    return Dataset.of(
        Histories(flat.offsets, flat.item, kind=kind),
        [f"i{item}" for item in range(n_items)],
        kinds=("other", "answer"),
    )


def hits(model: TransformerXL, lists: list[list[int]], n_items: int, answers: range = range(0)) -> float:
    """How often the last item of a list is the first recommendation for the others."""
    queries = world([one[:-1] for one in lists], n_items, answers).queries()
    found = model.recommend(queries, k=1, exclude_seen=False).items[:, 0]
    return float(np.mean(found == [one[-1] for one in lists]))


def fitted(data: Dataset, **options: object) -> TransformerXL:
    settings = {**SMALL, "dropout": 0.0, "loss": "softmax", **options}
    return TransformerXL(**settings).fit(data, run=Run(seed=1, threads=1))


# ---------------------------------------------------------------------- planted worlds


def test_it_learns_a_chain() -> None:
    """The next item is a fixed function of the last one."""
    rng, ring = np.random.default_rng(0), np.random.default_rng(1).permutation(20)
    lists = [[int(ring[(start + step) % 20]) for step in range(15)] for start in rng.integers(0, 20, 60)]
    assert hits(fitted(world(lists, 20)), [one[:8] for one in lists], 20) >= 0.9


def copies(n: int, length: int, seed: int) -> list[list[int]]:
    """Each item is the one three events before it."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 12, 3).tolist() * length)[:length] for _ in range(n)]


@pytest.mark.parametrize(("memory", "solved"), [(4, True), (0, False)])
def test_it_copies_across_the_border_of_a_segment(memory: int, solved: bool) -> None:
    """The queries end with the first event of a segment, which sees no third last event but in the memory."""
    model = fitted(world(copies(150, 25, 0), 12), memory=memory, epochs=20, batch_size=256)
    found = hits(model, copies(100, 10, 9), 12)
    assert found >= 0.9 if solved else found <= 0.3


KEYS, NOISE = 4, 8


def first_decides(n: int, seed: int, every: int = 60) -> list[list[int]]:
    """60 events, noise but for the first one and, each `every` events, a question and its answer, told by the first."""
    rng, question = np.random.default_rng(seed), 2 * KEYS + NOISE
    lists = []
    for key in rng.integers(0, KEYS, n).tolist():
        items = [key, *rng.integers(2 * KEYS, 2 * KEYS + NOISE, 59).tolist()]
        for place in range(every - 1, 60, every):
            items[place - 1 : place + 1] = question, KEYS + key
        lists.append(items)
    return lists


@pytest.mark.parametrize(("memory", "solved"), [(50, True), (40, False)])
def test_it_finds_the_first_of_60_events_if_the_memory_reaches_it(memory: int, solved: bool) -> None:
    """Answers come in the last segment alone, and what is learnt there cannot change what is remembered."""
    answers, n_items = range(KEYS, 2 * KEYS), 2 * KEYS + NOISE + 1
    model = fitted(
        world(first_decides(300, 0), n_items, answers),
        embedding_size=32,
        n_heads=1,
        segment=10,
        memory=memory,
        epochs=14,
        batch_size=900,
        target_kind="answer",
    )
    found = hits(model, first_decides(100, 9), n_items, answers)
    assert found >= 0.9 if solved else found <= 0.4


@pytest.mark.parametrize(("memory", "solved"), [(10, True), (0, False)])
def test_it_hands_the_first_event_on_from_segment_to_segment(memory: int, solved: bool) -> None:
    """Each segment is asked once, and sees the first event, or an answer that it told, in its memory alone."""
    answers, n_items = range(KEYS, 2 * KEYS), 2 * KEYS + NOISE + 1
    model = fitted(
        world(first_decides(200, 0, every=10), n_items, answers),
        embedding_size=32,
        n_heads=2,
        n_layers=2,
        segment=10,
        memory=memory,
        dropout=0.0,
        epochs=25,
        batch_size=600,
        target_kind="answer",
    )
    found = hits(model, first_decides(100, 9, every=10), n_items, answers)
    assert found >= 0.9 if solved else found <= 0.4


# ---------------------------------------------------------------------- settings


def test_a_history_beyond_the_reach_changes_no_answer() -> None:
    rng = np.random.default_rng(0)
    model = fitted(world(rng.integers(0, 12, (20, 25)).tolist(), 12), epochs=1)
    items = rng.integers(0, 12, 40).tolist()
    far = [*((one + 1) % 12 for one in items[:32]), *items[32:]]  # one layer: a memory of 4 before the last segment
    near = [*items[:32], (items[32] + 1) % 12, *items[33:]]
    own, other, changed = (
        model.recommend(world([one], 12).queries(), k=12, exclude_seen=False) for one in (items, far, near)
    )
    np.testing.assert_array_equal(own.scores, other.scores)
    assert (own.scores != changed.scores).any()


def test_settings_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="embedding_size 16 is not divided by n_heads 3"):
        TransformerXL(**{**SMALL, "n_heads": 3})
    with pytest.raises(ConfigError, match="'memory' of transformer_xl: got -1"):
        TransformerXL(memory=-1)
    with pytest.raises(ConfigError, match="'segment' of transformer_xl: got 0"):
        TransformerXL(segment=0)
