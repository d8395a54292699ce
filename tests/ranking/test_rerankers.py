from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from zhiyin.arrays import AnyArray
from zhiyin.data.dataset import Dataset
from zhiyin.data.exposures import Exposures
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.evaluation.off_policy import value_of
from zhiyin.metrics import Calibration, IntraListDiversity, Novelty
from zhiyin.ranking import rerankers
from zhiyin.ranking._draws import uniforms
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.draft import Draft
from zhiyin.ranking.limits import Cap, Limits, Pin
from zhiyin.ranking.ranked import Ranked
from zhiyin.ranking.rerankers.base import ReRanker
from zhiyin.run import Run

KINDS = ["jazz", "opera", "punk", "folk"]
N_ITEMS, N_USERS = 24, 9
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def world() -> Dataset:
    rng = np.random.default_rng(0)
    past = Histories.of_lengths(
        np.full(N_USERS, 8),
        item=(rng.pareto(0.7, N_USERS * 8) * 3).astype(np.int32) % N_ITEMS,
        time=np.tile(np.arange(8), N_USERS) * DAY,
    )
    categories = [
        [KINDS[item % 4], KINDS[(item // 3) % 4]] if item % 5 else [KINDS[item % 4]] for item in range(N_ITEMS)
    ]
    categories[23] = []
    titles = [f"{' '.join(one)} {item}" for item, one in enumerate(categories)]
    ids = [f"i{item:02d}" for item in range(N_ITEMS)]
    return Dataset.of(past, pa.table({"item_id": ids, "title": titles, "categories": categories}))


def asked(world: Dataset, users: AnyArray | None = None) -> Queries:
    queries = world.queries(np.arange(N_USERS) if users is None else users)
    return replace(queries, now=np.full(len(queries), 9 * DAY))


def ranked(world: Dataset, pool: int = 100, limits: Limits | None = None, seed: int = 1) -> Ranked:
    """Candidates of all users, not equally many, one of them without any."""
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(N_ITEMS)[:15] for _ in range(N_USERS)]).astype(np.int32)
    items[2, 4:], items[5] = -1, -1
    candidates = Candidates.of_lists(asked(world), items)
    return Ranked.of(candidates, rng.normal(size=len(candidates)), pool, limits)


def made(name: str, world: Dataset, **settings: Any) -> ReRanker:
    found: ReRanker = rerankers.get(name)(**settings).fit(world)
    return found


def lists(found: Ranked, k: int) -> list[list[int]]:
    """The items of the first k rows of each query."""
    return [found.candidates.item[start:stop][:k].tolist() for start, stop in pairwise(found.candidates.offsets)]


PLAIN = [
    ("diversity", {}),
    ("diversity", {"method": "dpp"}),
    ("diversity", {"by": "text", "size": 4}),
    ("calibration", {}),
    ("novelty", {}),
]
ALL = [*PLAIN, ("exploration", {"epsilon": 0.5}), ("exploration", {"method": "plackett_luce"})]


class TestRanked:
    def test_the_best_come_first_and_ties_go_by_item_number(self, world: Dataset) -> None:
        pairs = Candidates(asked(world, np.array([0, 1])), np.array([0, 3, 5]), np.array([7, 2, 4, 1, 3], np.int32))
        found = Ranked.of(pairs.with_columns(score=np.arange(5)), np.array([1.0, 1.0, 2.0, -1.0, 0.0]))
        assert lists(found, 9) == [[4, 2, 7], [3, 1]]
        assert found.candidates.columns["score"].tolist() == [2, 1, 0, 4, 3]
        assert found.place().tolist() == [1, 2, 3, 1, 2]

    def test_what_is_no_worth_is_refused(self, world: Dataset) -> None:
        pairs = Candidates(asked(world, np.array([0])), np.array([0, 2]), np.array([7, 2], np.int32))
        with pytest.raises(DataError, match="of 1 candidates is NaN"):
            Ranked.of(pairs, np.array([1.0, np.nan]))
        with pytest.raises(DataError, match="3 numbers of worth came for 2"):
            Ranked.of(pairs, np.ones(3))

    def test_parts_and_additions_keep_what_belongs_together(self, world: Dataset) -> None:
        whole = ranked(world)
        whole = whole.with_remark("worth {}", whole.worth)
        some = np.arange(N_USERS) % 2 == 0
        part = whole.take(some)
        assert lists(part, 20) == [one for one, kept in zip(lists(whole, 20), some, strict=True) if kept]
        np.testing.assert_array_equal(part.remarks[0].value, part.worth)
        more = np.full((N_USERS, 2), -1, np.int32)
        more[2] = [22, 23]
        grown = whole.with_more(more)
        assert lists(grown, 20)[2] == [*lists(whole, 20)[2], 22, 23]
        assert lists(grown, 20)[3] == lists(whole, 20)[3]
        assert np.isnan(grown.worth).sum() == 2
        np.testing.assert_array_equal(grown.remarks[0].value, grown.worth)


def by_hand(found: Ranked, gain: AnyArray, k: int) -> list[list[int]]:
    """The greedy lists as loops: the best free candidate, pins at their places, caps held."""
    limits, item = found.limits, found.candidates.item
    pins = {pin.place: pin.item for pin in limits.pins if pin.place <= k}
    result = []
    for start, stop in pairwise(found.candidates.offsets):
        rows = list(range(start, stop))
        there = {place: one for place, one in pins.items() if one in item[start:stop]}
        count: list[Counter[int]] = [Counter() for _ in limits.caps]

        def values(row: int, cap: Cap) -> list[int]:
            return cap.values[[item[row]]].indices.tolist()

        def add(row: int) -> None:
            for cap, counted in zip(limits.caps, count, strict=True):  # noqa: B023
                counted.update(values(row, cap))

        for row in rows:
            if item[row] in there.values():
                add(row)
        taken: list[int] = []
        for place in range(1, k + 1):
            if place in there:
                taken.append(there[place])
                continue
            free = [
                row
                for row in rows
                if item[row] not in taken
                and item[row] not in there.values()
                and all(
                    counted[value] < cap.most
                    for cap, counted in zip(limits.caps, count, strict=True)
                    for value in values(row, cap)
                )
            ]
            pool = [row for row in free if row - start < found.pool]
            if free:
                best = max(pool, key=lambda row: (gain[row], -row)) if pool else free[0]
                add(best)
                taken.append(int(item[best]))
        result.append(taken)
    return result


class TestDraft:
    @pytest.mark.parametrize("seed", range(12))
    def test_it_is_the_greedy_list_written_as_loops(self, world: Dataset, seed: int) -> None:
        rng = np.random.default_rng(seed)
        caps = [sparse.csr_array((rng.random((N_ITEMS, n)) < 1.4 / n).astype(bool)) for n in (3, 5)]
        limits = Limits(
            tuple(Cap(f"cap {at}", one, int(rng.integers(1, 4))) for at, one in enumerate(caps)),
            (Pin(int(rng.integers(0, 12)), 2), Pin(int(rng.integers(12, 24)), 5), Pin(3, 40)),
        )
        found = ranked(world, int(rng.integers(3, 20)), limits, seed)
        gain = rng.integers(0, 6, len(found)).astype(float)  # with ties
        draft = Draft(found, 7)
        while draft.unfinished:
            draft.pick(draft.padded(gain))
        result = draft.ranked_as("test")
        k = (draft.chosen >= 0).sum(1)
        ours = [one[:n] for one, n in zip(lists(result, 20), k.tolist(), strict=True)]
        assert ours == by_hand(found, gain, 7)
        assert [sorted(one) for one in lists(result, 20)] == [sorted(one) for one in lists(found, 20)]

    def test_behind_the_list_all_stay_as_they_were(self, world: Dataset) -> None:
        found = ranked(world)
        draft = Draft(found, 3)
        while draft.unfinished:
            draft.pick(draft.padded(-found.worth))
        for before, after in zip(lists(found, 20), lists(draft.ranked_as("test"), 20), strict=True):
            assert after[:3] == before[::-1][:3]
            assert after[3:] == [one for one in before if one not in after[:3]]

    def test_places_that_changed_and_what_a_cap_held_back_are_noted(self, world: Dataset) -> None:
        pairs = Candidates(asked(world, np.array([0])), np.array([0, 4]), np.array([5, 6, 7, 8], np.int32))
        creator = sparse.csr_array(np.array([[1 if item in (5, 6, 7) else 0] for item in range(N_ITEMS)], bool))
        found = Ranked.of(pairs, np.arange(4.0)[::-1], limits=Limits((Cap("at most 2 of one creator", creator, 2),)))
        result = Draft(found, 3).first().ranked_as("rules")
        assert lists(result, 3) == [[5, 6, 8]]
        notes = result.notes(np.array([[0, 1, 2]]))
        assert notes == (((), (), ("rules: from place 4", "at most 2 of one creator: i07 held back")),)


class TestAll:
    def test_none_is_without_a_place_here(self) -> None:
        assert {name for name, _ in ALL} == set(rerankers.available())

    @pytest.mark.parametrize(("name", "settings"), PLAIN)
    def test_without_strength_nothing_changes(self, name: str, settings: dict[str, Any], world: Dataset) -> None:
        found = ranked(world)
        assert lists(made(name, world, strength=0, **settings).rerank(found, 10), 20) == lists(found, 20)

    @pytest.mark.parametrize(("name", "settings"), PLAIN)
    def test_the_scale_of_a_ranker_changes_nothing(self, name: str, settings: dict[str, Any], world: Dataset) -> None:
        found, fitted = ranked(world), made(name, world, strength=0.4, **settings)
        other = Ranked.of(found.candidates, np.exp(7 * found.worth) - 3)
        first = fitted.rerank(found, 6)
        assert lists(first, 6) == lists(fitted.rerank(other, 6), 6)
        assert lists(first, 6) != lists(found, 6)
        by_worth = made(name, world, strength=0.4, relevance="worth", **settings)
        assert lists(by_worth.rerank(found, 6), 6) != lists(by_worth.rerank(other, 6), 6)

    @pytest.mark.parametrize(("name", "settings"), ALL)
    def test_a_batch_equals_its_parts(self, name: str, settings: dict[str, Any], world: Dataset) -> None:
        creator = sparse.csr_array(np.eye(6, dtype=bool)[np.arange(N_ITEMS) % 6])
        found = ranked(world, limits=Limits((Cap("at most 1 of one creator", creator, 1),), (Pin(4, 2),)))
        fitted = made(name, world, **settings)
        whole = fitted.rerank(found, 5)
        for row in range(N_USERS):
            part = fitted.rerank(found.take(np.arange(N_USERS) == row), 5)
            assert lists(part, 20)[0] == lists(whole, 20)[row]
            if part.propensity is not None and whole.propensity is not None:
                start, stop = whole.candidates.offsets[row : row + 2]
                np.testing.assert_allclose(part.propensity, whole.propensity[start:stop], rtol=1e-12)

    @pytest.mark.parametrize(("name", "settings"), ALL)
    def test_a_saved_one_is_the_same(self, name: str, settings: dict[str, Any], world: Dataset, tmp_path: Any) -> None:
        fitted = made(name, world, **settings)
        again = load(save(fitted, tmp_path / "it"), "rerankers", "re-ranker", rerankers.get)
        assert again.config == fitted.config
        assert lists(again.rerank(ranked(world), 5), 20) == lists(fitted.rerank(ranked(world), 5), 20)

    @pytest.mark.parametrize(("name", "settings"), ALL)
    def test_only_the_pool_is_moved(self, name: str, settings: dict[str, Any], world: Dataset) -> None:
        found = ranked(world, pool=6)
        for before, after in zip(
            lists(found, 20), lists(made(name, world, **settings).rerank(found, 4), 20), strict=True
        ):
            assert set(after[:4]) <= set(before[:6])
            assert after[6:] == before[6:]

    @pytest.mark.parametrize(("name", "settings"), ALL)
    def test_before_learning_it_says_so(self, name: str, settings: dict[str, Any], world: Dataset) -> None:
        with pytest.raises(NotFittedError, match="call fit"):
            rerankers.get(name)(**settings).rerank(ranked(world), 3)

    def test_one_after_the_other_goes_on_from_what_came(self, world: Dataset) -> None:
        found = ranked(world)
        first = made("diversity", world, strength=0.5).rerank(found, 6)
        assert lists(made("novelty", world, strength=0).rerank(first, 6), 6) == lists(first, 6)


def greedy(found: Ranked, worth_of: Any, k: int) -> list[list[int]]:
    """For each query the list to which each place adds the candidate with the most of `worth_of(row, list, place)`."""
    result = []
    for row, items in enumerate(lists(found, 99)):
        listed: list[int] = []
        while len(listed) < min(k, len(items)):
            free = [one for one in items if one not in listed]
            listed.append(max(free, key=lambda one: (round(worth_of(row, listed, one), 9), -items.index(one))))
        result.append(listed)
    return result


def relevances(found: Ranked) -> list[dict[int, float]]:
    return [{item: 1 - place / len(one) for place, item in enumerate(one)} for one in lists(found, 99)]


def cosines(world: Dataset) -> AnyArray:
    of = [set(one) for one in world.item_table["categories"].to_pylist()]
    return np.array([[len(a & b) / np.sqrt(len(a) * len(b)) if a and b else 0.0 for a in of] for b in of])


def without_silent(found: Ranked) -> Ranked:
    kept = found.candidates.item != 23
    offsets = np.concatenate([[0], np.cumsum(np.bincount(found.candidates.owner()[kept], minlength=N_USERS))])
    return Ranked.of(
        Candidates(found.candidates.queries, offsets, found.candidates.item[kept]), found.worth[kept], found.pool
    )


class TestDiversity:
    def test_mmr_is_the_formula_written_as_loops(self, world: Dataset) -> None:
        found, near = without_silent(ranked(world)), cosines(world)
        relevant = relevances(found)

        def worth(row: int, listed: list[int], one: int) -> float:
            return 0.63 * relevant[row][one] - 0.37 * max((near[one, other] for other in listed), default=0)

        assert lists(made("diversity", world, strength=0.37).rerank(found, 7), 7) == greedy(found, worth, 7)

    def test_dpp_adds_what_the_determinant_grows_most_by(self, world: Dataset) -> None:
        found = without_silent(ranked(world))
        kernel, relevant = 0.9 * cosines(world), relevances(found)
        np.fill_diagonal(kernel, 1)

        def worth(row: int, listed: list[int], one: int) -> float:
            """The logarithm of det of exp(a r) S exp(a r), with a = (1 - s) / 2 s, times s; as the paper has it."""
            some = [*listed, one]
            scale = np.exp([relevant[row][item] * 0.7 / (2 * 0.3) for item in some])
            return float(0.3 * np.linalg.slogdet(scale[:, None] * kernel[np.ix_(some, some)] * scale)[1])

        ours = lists(made("diversity", world, method="dpp", strength=0.3).rerank(found, 7), 7)
        assert ours == greedy(found, worth, 7)

    @pytest.mark.parametrize("method", ["mmr", "dpp"])
    def test_lists_differ_more_the_stronger_it_is(self, method: str, world: Dataset) -> None:
        found, metric = ranked(world), IntraListDiversity(k=5)
        categories = dict(enumerate(world.item_table["categories"].to_pylist()))
        value = [
            metric(
                lists(made("diversity", world, method=method, strength=one).rerank(found, 5), 5), categories=categories
            )
            for one in (0.0, 0.3, 0.8)
        ]
        assert value[0] < value[1] <= value[2]

    @pytest.mark.parametrize("method", ["mmr", "dpp"])
    def test_an_item_that_says_nothing_is_neither_like_nor_unlike(self, method: str, world: Dataset) -> None:
        """It stands last of four, all others are alike: nothing speaks for it, and nothing against it."""
        alike = [one for one in range(N_ITEMS) if world.item_table["categories"][one].as_py() == ["jazz"]][:2]
        assert len(alike) == 2
        query = asked(world, np.array([0]))
        found = Ranked.of(
            Candidates(query, np.array([0, 3]), np.array([*alike, 23], np.int32)), np.array([3.0, 2.0, 1.0])
        )
        assert lists(made("diversity", world, method=method, strength=0.9).rerank(found, 3), 3) == [[*alike, 23]]

    def test_what_says_the_same_is_alike_by_text(self, world: Dataset) -> None:
        fitted = made("diversity", world, by="text", size=4, strength=0.5)
        told = fitted.told  # type: ignore[attr-defined]
        near, far = told @ told.T, cosines(world)
        known = np.flatnonzero(told.any(1))
        pairs = [(one, other) for one in known for other in known if one < other]
        by_text, by_kind = (np.array([matrix[pair] for pair in pairs]) for matrix in (near, far))
        assert by_text[by_kind > 0.99].mean() > by_text[by_kind == 0].mean() + 0.5

    def test_a_catalogue_that_says_nothing_is_refused(self) -> None:
        bare = Dataset.of(Histories.of_lists([[0, 1]]), ["a", "b"])
        with pytest.raises(DataError, match="no column of which items share values"):
            made("diversity", bare)


class TestCalibration:
    @pytest.mark.parametrize("half_life", [1e12, 1.0])
    def test_each_place_is_the_best_by_the_metric(self, half_life: float, world: Dataset) -> None:
        """An event of a weight 2^-age counts as 2^(9 - age) events of the weight 1."""
        found = ranked(world)
        relevant, metric = relevances(found), Calibration(k=9)
        categories = dict(enumerate(world.item_table["categories"].to_pylist()))
        past = found.candidates.queries.histories
        assert past.time is not None
        copies = 2 ** (past.time // DAY) if half_life == 1 else np.ones(past.n_events, int)
        history = [
            np.repeat(past.item[start:stop], copies[start:stop]).tolist() for start, stop in pairwise(past.offsets)
        ]

        def worth(row: int, listed: list[int], one: int) -> float:
            cost = float(metric([[*listed, one]], histories=[history[row]], categories=categories))
            if np.isnan(cost):  # nothing of the history's mix is there yet
                cost = np.log2(100)
            return 0.5 * relevant[row][one] - 0.5 * cost

        fitted = made("calibration", world, strength=0.5, half_life=half_life)
        assert lists(fitted.rerank(found, 5), 5) == greedy(found, worth, 5)

    def test_a_person_of_one_taste_and_a_half_gets_both(self) -> None:
        """By hand: p = (2/3, 1/3); all by relevance would be love; the third place must be crime."""
        kinds = [["love"]] * 5 + [["crime"]] * 3
        items = pa.table({"item_id": [f"i{at}" for at in range(8)], "categories": kinds})
        world = Dataset.of(Histories.of_lists([[0, 1, 5]]), items)
        pairs = Candidates(world.queries(), np.array([0, 5]), np.array([2, 3, 4, 6, 7], np.int32))
        found = Ranked.of(pairs, np.arange(5.0)[::-1])
        assert lists(made("calibration", world, strength=0.5).rerank(found, 3), 3) in ([[2, 6, 3]], [[2, 3, 6]])
        assert lists(made("calibration", world, strength=0.01).rerank(found, 3), 3) == [[2, 3, 4]]

    def test_without_a_history_the_order_stays(self, world: Dataset) -> None:
        found = ranked(world)
        empty = replace(found.candidates.queries, histories=Histories.of_lists([[]] * N_USERS))
        found = replace(found, candidates=replace(found.candidates, queries=empty))
        assert lists(made("calibration", world, strength=0.9).rerank(found, 6), 20) == lists(found, 20)


class TestNovelty:
    def test_what_is_listed_is_more_of_a_surprise(self, world: Dataset) -> None:
        found, metric = ranked(world), Novelty(k=5)
        history = [past.tolist() for past in np.split(world.histories.item, world.histories.offsets[1:-1])]
        value = [
            metric(lists(made("novelty", world, strength=one).rerank(found, 5), 5), histories=history)
            for one in (0.0, 0.3, 0.9)
        ]
        assert value[0] < value[1] < value[2]

    def test_by_hand(self) -> None:
        """-log2 p is 1, 3 and 3 bits: with a strength of 1/2, (1, 2/3, 1/3) / 2 + (0, 1, 1) / 2."""
        world = Dataset.of(Histories.of_lists([[0, 0, 0]]), ["a", "b", "c"])
        pairs = Candidates(world.queries(), np.array([0, 3]), np.array([0, 1, 2], np.int32))
        found = made("novelty", world, strength=0.5).rerank(Ranked.of(pairs, np.array([3.0, 2.0, 1.0])), 3)
        assert lists(found, 3) == [[1, 2, 0]]
        assert found.notes(np.array([[0, 1, 2]])) == (
            (("novelty: from place 2",), ("novelty: from place 3",), ("novelty: from place 1",)),
        )


def many(n: int, n_items: int = 5, limits: Limits | None = None, k_events: int = 1) -> tuple[Dataset, Ranked]:
    """The same candidates, 0 to n_items - 1 in this order, for n queries that differ in their moment alone."""
    world = Dataset.of(
        Histories.of_lengths(np.ones(1), item=np.zeros(1, np.int32), time=np.zeros(1, np.int64)), n_items_of(n_items)
    )
    queries = replace(world.queries(np.zeros(n, np.int64)), now=np.arange(n, dtype=np.int64))
    item = np.tile(np.arange(n_items, dtype=np.int32), n)
    pairs = Candidates(queries, np.arange(n + 1, dtype=np.int64) * n_items, item)
    return world, Ranked.of(pairs, -item.astype(float), limits=limits)


def n_items_of(n: int) -> list[str]:
    return [f"i{at}" for at in range(n)]


def observed(world: Dataset, **settings: Any) -> ReRanker:
    """Thompson's, with a log of 40 exposures of each item, of which 2, 4, ... were clicked."""
    n = world.n_items
    item = np.repeat(np.arange(n, dtype=np.int32), 40)
    clicked = (np.tile(np.arange(40), n) < 2 * (item + 1)).astype(float)
    fitted = made("exploration", world, method="thompson", **settings)
    return fitted.observe(Exposures(item, np.full(len(item), 1 / n), clicked, n))


class TestExploration:
    N = 20_000

    @pytest.mark.parametrize("method", ["epsilon", "plackett_luce", "thompson"])
    @pytest.mark.parametrize("limited", [False, True])
    def test_lists_come_as_often_as_their_chances_say(self, method: str, limited: bool) -> None:
        creator = sparse.csr_array(np.eye(3, dtype=bool)[[0, 0, 1, 1, 2]])
        limits = Limits((Cap("at most 1 of one creator", creator, 1),), (Pin(4, 2),)) if limited else None
        n = self.N // 4 if method == "thompson" else self.N
        world, found = many(n, limits=limits)
        settings = {"epsilon": 0.4, "temperature": 2.0}
        fitted = observed(world) if method == "thompson" else made("exploration", world, method=method, **settings)
        result = fitted.rerank(found, 3)
        assert result.propensity is not None
        items, propensity = result.candidates.item.reshape(n, 5)[:, :3], result.propensity.reshape(n, 5)
        chance = propensity[:, :3]
        assert np.isnan(propensity[:, 3:]).all()
        if limited:
            assert (items[:, 1] == 4).all()
            assert (chance[:, 1] == 1).all()
        came, first, count = np.unique(items, axis=0, return_index=True, return_counts=True)
        said = chance[first].prod(1)
        assert len(came) > (2 if limited else 20)
        assert said.sum() == pytest.approx(1, abs=0.01)
        off = (count / n - said) / np.sqrt(said * (1 - said) / n)
        assert np.abs(off).max() < 4.5, off
        for one, which in zip(came, first, strict=True):  # the same list has the same chances, whoever got it
            np.testing.assert_allclose(chance[(items == one).all(1)] - chance[which], 0, atol=1e-12)

    def test_the_chances_of_epsilon_by_hand(self) -> None:
        world, found = many(2_000, 4)
        result = made("exploration", world, epsilon=0.2).rerank(found, 2)
        assert result.propensity is not None
        items, chance = result.candidates.item.reshape(-1, 4), result.propensity.reshape(-1, 4)
        assert sorted(set(chance[:, 0].round(9).tolist())) == [0.05, 0.85]
        np.testing.assert_allclose(chance[:, 0], np.where(items[:, 0] == 0, 0.85, 0.05))
        left = np.where(items[:, 0] == 0, 1, 0)  # the first of what is left
        np.testing.assert_allclose(chance[:, 1], np.where(items[:, 1] == left, 0.8 + 0.2 / 3, 0.2 / 3))

    def test_the_chances_of_plackett_luce_by_hand(self) -> None:
        world, found = many(500, 3)
        result = made("exploration", world, method="plackett_luce", temperature=1 / np.log(2)).rerank(found, 1)
        assert result.propensity is not None
        items, chance = result.candidates.item.reshape(-1, 3)[:, 0], result.propensity.reshape(-1, 3)[:, 0]
        np.testing.assert_allclose(chance, np.array([4, 2, 1])[items] / 7)  # twice less often at each place

    def test_the_chances_of_thompson_are_those_of_many_draws(self) -> None:
        world, found = many(2_000)
        result = observed(world, prior=20).rerank(found, 1)
        assert result.propensity is not None
        items, chance = result.candidates.item.reshape(-1, 5)[:, 0], result.propensity.reshape(-1, 5)[:, 0]
        rate = 6 / 40
        clicks = 2.0 * np.arange(1, 6)
        draws = np.random.default_rng(0).beta(20 * rate + clicks, 20 * (1 - rate) + 40 - clicks, (400_000, 5))
        wins = np.bincount(draws.argmax(1), minlength=5) / 400_000
        for one in set(items.tolist()):
            assert chance[items == one][0] == pytest.approx(wins[one], abs=0.003)
        assert wins[4] > 0.5

    def test_two_posteriors_by_hand(self) -> None:
        """P(X > Y) for X of Beta(2, 1) and Y of Beta(1, 1) is the integral of 2x * x: 2/3."""
        from zhiyin.ranking.rerankers.exploration import _curves, _highest

        above, pool = np.array([[2.0, 1.0]]), np.ones((1, 2), bool)
        found = _highest(_curves(above, np.ones((1, 2)), pool), pool)
        np.testing.assert_allclose(found, [[2 / 3, 1 / 3]], atol=2e-3)

    @pytest.mark.parametrize("method", ["epsilon", "plackett_luce", "thompson"])
    def test_another_policy_is_judged_rightly_by_what_it_logs(self, method: str) -> None:
        n = self.N // 2 if method == "thompson" else self.N
        world, found = many(n)
        settings = {"epsilon": 0.5, "temperature": 3.0}
        fitted = observed(world) if method == "thompson" else made("exploration", world, method=method, **settings)
        result = fitted.rerank(found, 1)
        assert result.propensity is not None
        items, chance = result.candidates.item.reshape(-1, 5)[:, 0], result.propensity.reshape(-1, 5)[:, 0]
        rates, new = np.array([0.05, 0.1, 0.4, 0.2, 0.3]), np.array([0.0, 0.1, 0.5, 0.1, 0.3])
        clicked = (np.random.default_rng(1).random(n) < rates[items]).astype(float)
        value = value_of(Exposures(items, chance, clicked, 5), np.tile(new, (n, 1)), clip=np.inf)
        truth = float(new @ rates)
        assert abs(value.logged.value - truth) > 0.03  # the old policy earns something else
        for one in (value.ips, value.snips, value.value):
            assert one.low is not None
            assert one.high is not None
            assert one.low <= truth <= one.high, (method, str(value))
        assert value.covered == pytest.approx(1, abs=0.05)

    def test_the_same_seed_draws_the_same_and_another_does_not(self) -> None:
        world, found = many(300)
        fitted = made("exploration", world, epsilon=1)
        first, again, other = (lists(fitted.rerank(found, 3, Run(seed=seed)), 3) for seed in (1, 1, 2))
        assert first == again
        assert np.mean([one == two for one, two in zip(first, other, strict=True)]) < 0.1

    def test_draws_differ_from_moment_to_moment_person_to_person_and_history_to_history(self, world: Dataset) -> None:
        queries = asked(world)
        first = uniforms(queries, 4, Run(), "test")
        for changed in (
            replace(queries, now=np.full(N_USERS, 9 * DAY + 1)),
            replace(queries, users=tuple(f"{one}!" for one in queries.users or ())),
            replace(queries, histories=queries.histories.keep(queries.histories.from_end() > 0)),
        ):
            assert not (uniforms(changed, 4, Run(), "test") == first).any()
        np.testing.assert_array_equal(uniforms(queries.slice(3, 5), 2, Run(), "test"), first[3:5, :2])

    def test_draws_are_uniform(self) -> None:
        _, found = many(50_000, 1)
        drawn = uniforms(found.candidates.queries, 3, Run(seed=3), "test")
        assert drawn.min() >= 0
        assert drawn.max() < 1
        for column in drawn.T:
            share = np.bincount((column * 20).astype(int), minlength=20) / len(drawn)
            assert np.abs(share - 0.05).max() < 4.5 * np.sqrt(0.05 * 0.95 / len(drawn))
        assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.02

    def test_a_place_that_is_seldom_clicked_speaks_less(self) -> None:
        """Two items of equal clicks: one was always shown at the second place, where half as much is clicked."""
        world, _ = many(1, 3)
        item = np.repeat(np.array([0, 1, 2, 2], np.int32), 1_000)
        place = np.repeat(np.array([1, 2, 1, 2], np.int32), 1_000)
        clicked = np.concatenate([np.arange(1_000) < n for n in (100, 100, 100, 50)]).astype(float)
        log = Exposures(item, np.full(4_000, 0.5), clicked, 3, place)
        fitted = made("exploration", world, method="thompson").observe(log)
        shown, clicks = fitted.shown, fitted.clicked  # type: ignore[attr-defined]
        np.testing.assert_array_equal(clicks, [100, 100, 150])
        assert shown[1] < 0.8 * shown[0]
        assert shown.sum() == pytest.approx(4_000, rel=0.01)
        twice = fitted.observe(log)
        np.testing.assert_allclose(twice.clicked, 2 * clicks)  # type: ignore[attr-defined]

    def test_what_makes_no_sense_is_refused(self, world: Dataset) -> None:
        fitted = made("exploration", world, method="thompson")
        with pytest.raises(NotFittedError, match="observe"):
            fitted.rerank(ranked(world), 3)
        log = Exposures(np.zeros(3, np.int32), np.ones(3), np.array([0.0, 1.0, 2.0]), N_ITEMS)
        with pytest.raises(DataError, match="whether it was clicked"):
            fitted.observe(log)
        with pytest.raises(DataError, match="exposures of 2 items"):
            fitted.observe(Exposures(np.zeros(3, np.int32), np.ones(3), np.ones(3), 2))
        with pytest.raises(ConfigError, match="by epsilon learns nothing"):
            made("exploration", world).observe(log)
        with pytest.raises(ConfigError, match="novelty learns nothing from exposures"):
            made("novelty", world).observe(log)
