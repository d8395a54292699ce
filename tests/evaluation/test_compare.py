import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin import models
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError, DataError, LeakageError, MissingExtra
from zhiyin.evaluation.compare import compare
from zhiyin.evaluation.report import Report
from zhiyin.evaluation.report_page import page_of
from zhiyin.evaluation.significance import Sample, bootstrap, interval, owners
from zhiyin.models.base import RatingPredictor, Recommender
from zhiyin.models.popularity import Popularity
from zhiyin.run import Run
from zhiyin.splitting.global_time import GlobalTime
from zhiyin.splitting.leave_last_out import LeaveLastOut
from zhiyin.testing.worlds import tastes

METRICS = ["ndcg@5", "recall@5", "hit_rate@5", "coverage@5", "novelty@5"]


class GroupConfig(Config):
    """Settings of `Group`."""

    n_groups: int = setting(4, ge=1)
    """How many tastes there are."""


class Group(Recommender):
    """Knows how the world of tastes is made: lists the popular items of the group of the last item."""

    config: GroupConfig

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        self.seen = train.n_events

    def _score(self, queries: Queries) -> np.ndarray:
        items = np.arange(self.n_items)
        owner, group = queries.histories.owner(), queries.histories.item % self.config.n_groups
        counts = np.zeros((len(queries), self.config.n_groups))
        np.add.at(counts, (owner, group), 1)
        match = items % self.config.n_groups == counts.argmax(axis=1)[:, None]
        return (match * 1000.0 - items).astype(np.float32)


class Lottery(Recommender):
    """Lists by chance: another list for each seed."""

    config: Config

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        self.scores = run.generator("lottery").random(train.n_items).astype(np.float32)

    def _score(self, queries: Queries) -> np.ndarray:
        return np.tile(self.scores, (len(queries), 1))


class Stopper(Group):
    """Stops early on validation; remembers what it was fitted on."""

    uses_validation = True

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        assert validation is not None
        super()._fit(train, validation, run)


class Picky(Popularity):
    """Refuses all data."""

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        raise DataError("picky needs texts, which these data have not")


class Bare(Popularity):
    """Lacks a package."""

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        raise MissingExtra("bare", "nothing", "bare")


class Greedy(Popularity):
    """Wants more memory than there is."""

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        raise MemoryError("Unable to allocate 9.3 TiB")


class Broken(Popularity):
    """Has a defect."""

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        raise ZeroDivisionError


class Mean(RatingPredictor):
    """Predicts the mean value of all events."""

    config: Config

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        assert train.histories.value is not None
        self.mean = train.histories.value.mean()

    def _score(self, queries: Queries) -> np.ndarray:
        return np.tile(-np.arange(self.n_items, dtype=np.float32), (len(queries), 1))

    def _predict(self, queries: Queries, items: np.ndarray) -> np.ndarray:
        return np.full(len(items), self.mean, np.float32)


class Moody(Mean):
    """Predicts nearly the mean with one seed, and far too much with the other."""

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        super()._fit(train, validation, run)
        self.mean += 100 * run.seed


def run_small(models: Any = (Group,), **options: Any) -> Report:
    options = {"split": "leave_last_out", "metrics": METRICS, "k": 5, **options}
    return compare(options.pop("data", None) or tastes(), models, **options)


def test_the_best_model_comes_first_and_the_baselines_run_beside() -> None:
    report = run_small({"group": Group})
    assert report.best.name == "group"
    assert {one.name: one.baseline for one in report.models} == {
        "group": False,
        "popularity": True,
        "popularity_30d": True,
    }
    assert report.primary == "ndcg@5"
    assert "group is best on ndcg@5" in report.verdict()
    assert "beyond chance" in report.verdict()
    assert isinstance(report.fitted, Group)
    name, settings = report.best_model()
    assert models.get(name)(**settings).config == Group().config


def test_the_numbers_are_those_of_an_independent_loop() -> None:
    """Recompute everything from the written lists and targets, in plain Python."""
    report = run_small({"group": Group})
    targets: dict[int, set[str]] = {}
    for row in report.targets.to_pylist():
        targets.setdefault(row["query"], set()).add(row["item_id"])
    for name, table in report.recommendations.items():
        lists: dict[int, list[str]] = {query: [] for query in targets}
        for row in sorted(table.to_pylist(), key=lambda one: (one["query"], one["rank"])):
            lists[row["query"]].append(row["item_id"])
        ndcg = [
            sum(1 / np.log2(place + 2) for place, one in enumerate(lists[query][:5]) if one in wanted)
            / sum(1 / np.log2(place + 2) for place in range(min(5, len(wanted))))
            for query, wanted in targets.items()
        ]
        recall = [len(wanted & set(lists[query][:5])) / len(wanted) for query, wanted in targets.items()]
        listed = {one for query in lists for one in lists[query][:5]}
        found = report.model(name).metrics
        assert found["ndcg@5"].value == pytest.approx(np.mean(ndcg), abs=1e-12)
        assert found["recall@5"].value == pytest.approx(np.mean(recall), abs=1e-12)
        assert found["coverage@5"].value == pytest.approx(len(listed) / 60, abs=1e-12)
        np.testing.assert_allclose(report.values(name)["ndcg@5"], ndcg)


def test_every_value_lies_in_its_interval_and_corpus_metrics_have_none() -> None:
    for one in run_small().models:
        for label, found in one.metrics.items():
            if label.startswith("coverage"):
                assert (found.low, found.high) == (None, None)
            elif found.value is not None and found.low is not None and found.high is not None:
                assert found.low <= found.value <= found.high


def test_models_without_early_stopping_learn_from_train_and_validation_together() -> None:
    world = tastes()
    cut = LeaveLastOut().split(world)
    report = run_small({"group": Group, "stopper": Stopper}, split=cut)
    assert report.model("group").fitted_on == "development"
    assert "validation" in report.model("stopper").fitted_on
    assert isinstance(report.fitted, Group)
    assert report.fitted.seen == cut.development.n_events
    stopper = run_small({"stopper": Stopper}, split=cut).fitted
    assert isinstance(stopper, Stopper)
    assert stopper.seen == cut.train.n_events


def test_what_cannot_run_is_skipped_with_its_reason() -> None:
    report = run_small({"picky": Picky, "bare": Bare, "greedy": Greedy, "group": Group})
    assert set(report.skipped) == {"picky", "bare", "greedy"}
    assert "texts" in report.skipped["picky"]
    assert "pip install" in report.skipped["bare"]
    assert "not enough memory" in report.skipped["greedy"]
    assert {one.name for one in report.models} == {"group", "popularity", "popularity_30d"}


def test_the_only_model_must_run() -> None:
    with pytest.raises(MissingExtra, match="pip install"):
        run_small([Bare])
    with pytest.raises(MemoryError):
        run_small([Greedy])
    with pytest.raises(DataError, match=r"none of the models .*texts.*pip install"):
        run_small({"picky": Picky, "bare": Bare})


def test_a_defect_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        run_small([Broken, Group])


def test_wrong_settings_are_told_before_anything_is_fitted() -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        run_small({"good": Broken, "bad": ("popularity", {"day": 3})})
    with pytest.raises(ConfigError, match="unknown model"):
        run_small(["popularitee"])
    with pytest.raises(ConfigError, match="unknown split"):
        run_small(split="global_tim")
    with pytest.raises(ConfigError, match="unknown metric"):
        run_small(metrics=["ndgc@5"])
    with pytest.raises(ConfigError, match="a list of models"):
        run_small("popularity")
    with pytest.raises(ConfigError, match="a model is a name"):
        run_small([3])


@pytest.mark.parametrize("options", [{"k": 61}, {"k": 0}, {"metrics": ["ndcg@61"]}], ids=str)
def test_a_list_longer_than_the_catalogue_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="60"):
        run_small(**options)


def test_a_split_of_other_data_is_refused() -> None:
    with pytest.raises(LeakageError, match="not made from"):
        run_small(split=LeaveLastOut().split(tastes(n_users=50)))


def test_models_have_the_names_they_were_given_or_tell_their_settings() -> None:
    ways = ["popularity", ("popularity", {"fade": "decay", "days": 9}), Popularity(fade="window", days=3)]
    report = run_small(ways, baselines=[])
    assert {one.name for one in report.models} == {
        "popularity(fade=decay, days=9.0)",
        "popularity(fade=window, days=3.0)",
        "popularity()",
    }
    with pytest.raises(ConfigError, match="came twice"):
        run_small(["popularity", "popularity"])
    with pytest.raises(ConfigError, match="name of a baseline"):
        run_small({"popularity": ("popularity", {"fade": "decay"})})


def test_a_baseline_that_is_asked_for_runs_once() -> None:
    report = run_small(["popularity"])
    assert [one.name for one in report.models].count("popularity") == 1
    assert all(one.baseline for one in report.models)
    assert report.tests == ()


def test_an_instance_is_fitted_anew_so_nothing_it_saw_before_leaks() -> None:
    world = tastes()
    knowing = Popularity(days=5).fit(world)
    report = run_small([knowing], baselines=[])
    assert report.fitted is not knowing
    assert knowing.trained_on["events"] == world.n_events


def test_without_times_there_is_one_baseline() -> None:
    world = tastes()
    untimed = Dataset.of(world.histories.without("time"), world.item_table, world.user_table, clock="position")
    assert [one.name for one in run_small(data=untimed).models if one.baseline] == ["popularity"]


def test_usual_metrics_follow_k() -> None:
    report = run_small(metrics=None, k=7)
    assert report.primary == "ndcg@7"
    assert all(label.endswith("@7") for label in report.protocol.metrics)


def test_the_usual_split_does_not_leak_time() -> None:
    report = compare(tastes(n_users=300), [Group], metrics=METRICS, k=5)
    assert report.protocol.split == "global_time"
    assert report.split["later_train_share"] == 0


def test_several_seeds_give_means_and_their_spread() -> None:
    report = run_small({"lottery": Lottery, "group": Group}, seeds=[0, 1, 2])
    single = [
        run_small({"lottery": Lottery}, seeds=[seed]).model("lottery").metrics["ndcg@5"].value for seed in range(3)
    ]
    found = report.model("lottery").metrics["ndcg@5"]
    assert found.value == pytest.approx(np.mean(single))
    assert found.spread == pytest.approx(np.std(single, ddof=1))
    assert report.model("group").metrics["ndcg@5"].spread == pytest.approx(0, abs=1e-12)
    assert set(report.recommendations["lottery"].column("seed").to_pylist()) == {0, 1, 2}
    assert report.protocol.seeds == (0, 1, 2)
    np.testing.assert_allclose(np.nanmean(report.values("lottery")["ndcg@5"]), found.value)


def test_over_several_seeds_the_interval_is_that_of_the_mean() -> None:
    """The root of the mean of squares over both seeds would be 71, far above the mean of both roots."""
    found = run_small({"moody": Moody}, seeds=[0, 1]).model("moody").metrics["rmse"]
    assert found.value == pytest.approx(50, abs=3)
    assert found.low < found.value < found.high  # type: ignore[operator]


@pytest.mark.parametrize("seeds", [[], [3, 3]], ids=str)
def test_every_seed_runs_once(seeds: list[int]) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        run_small(seeds=seeds)


def test_the_run_changes_nothing_but_its_seed() -> None:
    first, second = (
        run_small([Group], run=Run(threads=threads, memory_mib=mib)) for threads, mib in ((1, 1), (2, 256))
    )
    assert first.protocol.hash == second.protocol.hash
    assert [one.metrics for one in first.models] == [one.metrics for one in second.models]
    assert first.tests == second.tests
    assert run_small([Group], run=Run(seed=5)).protocol.hash != first.protocol.hash


def test_values_are_judged_where_the_data_have_them() -> None:
    report = run_small({"mean": Mean})
    assert report.model("mean").metrics["rmse"].value > 0  # type: ignore[operator]
    assert report.model("mean").metrics["rmse"].low is not None
    assert "rmse" not in report.model("popularity").metrics
    assert not [one for one in report.tests if one.metric == "rmse"]
    bare = tastes()
    unrated = Dataset(bare.histories.without("value"), bare.item_table, bare.user_table, bare.manifest)
    assert "rmse" not in run_small([Group], data=unrated).directions
    with pytest.raises(DataError, match="rmse needs events with values"):
        run_small([Group], data=unrated, metrics=["ndcg@5", "rmse"])


def test_the_page_shows_ratings_what_was_skipped_and_a_lost_comparison() -> None:
    report = run_small({"mean": Mean, "picky": Picky, "lottery": Lottery})
    page = page_of(report).html()
    assert "Errors of the predicted values" in page
    assert "Not compared" in page
    assert "picky needs texts" in page
    alone = run_small({"lottery": Lottery})
    assert alone.verdict().startswith("No model beats the simple baselines: popularity")
    assert "Nothing beats the simple baselines" in page_of(alone).html()
    unbased = page_of(run_small({"group": Group}, baselines=[])).html()
    assert "group is best" in unbased
    assert "popularity_30d" not in unbased


def test_the_verdict_does_not_call_equal_models_better() -> None:
    level = run_small({"twin": Popularity()}, baselines=["popularity"])
    assert level.verdict().startswith("Every model has ")
    assert "better" not in level.verdict()
    worse = run_small({"twin": Popularity(), "lottery": Lottery}, baselines=["popularity"])
    assert "No model beats the simple baselines" in worse.verdict()
    assert "is better than the best simple baseline" not in worse.verdict()
    named = run_small({"a twin": Popularity(), "lottery": Lottery}, baselines=["popularity"])
    assert "a twin and popularity are level on" in named.verdict()


def verdict_with(report: Report, p: dict[tuple[str, str], float]) -> str:
    """The verdict where corrected p-values are these, by model and reference."""
    tests = [replace(one, p_holm=p.get((one.model, one.reference), one.p_holm)) for one in report.tests]
    return replace(report, tests=tuple(tests)).verdict()


def test_the_verdict_says_over_which_comparisons_its_p_values_are_corrected() -> None:
    report = run_small({"group": Group, "lottery": Lottery, "twin": Popularity()}, baselines=["popularity"])
    against = {name: len(report.tests_of("ndcg@5", name)) for name in ("popularity", "group")}
    assert against == {"popularity": 3, "group": 3}
    (own,) = (one for one in report.tests_of("ndcg@5", "popularity") if one.model == "group")
    assert own.p_holm > own.p  # else the words could be of either
    of_base, of_best = (f"after Holm's correction over the 3 comparisons with {name}" for name in against)
    clear = {("group", "popularity"): 0.012, **dict.fromkeys([("twin", "group"), ("popularity", "group")], 0.001)}
    said = verdict_with(report, {**clear, ("lottery", "group"): 0.02})
    assert f"beyond chance (p = 0.012 {of_base})." in said
    assert f"It is better than every other model, beyond chance {of_best}." in said
    said = verdict_with(report, {**clear, ("popularity", "group"): 0.2, ("lottery", "group"): 0.02})
    assert f"beyond chance (p = 0.012 {of_base})." in said
    assert re.search(rf"Not told apart from it on these [\d,]+ queries {of_best}: popularity\.", said)


def test_the_verdict_speaks_of_no_correction_where_there_is_one_comparison() -> None:
    report = run_small({"group": Group}, baselines=["popularity"])
    assert "Holm" not in report.verdict()
    assert "beyond chance (p < 0.001)." in report.verdict()
    assert report.tests_of("ndcg@5", "popularity")[0].p == report.tests_of("ndcg@5", "popularity")[0].p_holm


def test_the_page_tells_where_the_best_model_loses() -> None:
    class Backwards(Group):
        """Good where its sister is bad: lists the least popular items of the group first."""

        def _score(self, queries: Queries) -> np.ndarray:
            items = np.arange(self.n_items, dtype=np.float32)
            return super()._score(queries) + 2 * items

    world = tastes(n_users=600)
    report = run_small({"group": Group, "backwards": Backwards}, data=world, baselines=[])
    assert report.best.name == "group"
    page = page_of(report).html()
    assert "Where group is not the best" in page
    assert "tail (the last third): backwards has" in page
    assert "head (a third of all events): backwards has" not in page


def test_repeats_that_cannot_be_found_are_told() -> None:
    lists = [[number % 7, (number + 1) % 7, number % 7] for number in range(200)]
    world = Dataset.of(Histories.of_lists(lists), [f"i{n}" for n in range(7)], clock="position")
    report = compare(world, ["popularity"], "leave_last_out", ["ndcg@3"], 3)
    assert any("100%" in one and "exclude_seen" in one for one in report.warnings)
    assert not any("exclude_seen" in one for one in compare(world, [], "leave_last_out", ["ndcg@3"], 3, False).warnings)


def test_successive_queries_of_one_user_are_no_independent_witnesses() -> None:
    world = tastes(n_users=300)
    report = compare(world, {"group": Group}, GlobalTime(targets="successive"), METRICS, 5)
    users = report.per_query.column("user_id").to_pylist()[: report.split["test_cases"]]
    assert len(set(users)) < len(users)
    sample, owner = Sample.of(report.values("group")["ndcg@5"]), owners(users)
    found = report.model("group").metrics["ndcg@5"]
    assert (found.low, found.high) == pytest.approx(interval(bootstrap([sample], owner=owner)[:, 0]))
    assert (found.low, found.high) != pytest.approx(interval(bootstrap([sample])[:, 0]))


def test_few_users_with_many_queries_are_told() -> None:
    """Twenty users have far more than a hundred queries, which alone would look like enough."""
    split = GlobalTime(targets="successive", quantile=0.3)
    few = compare(tastes(n_users=20), {"group": Group}, split, METRICS, 5)
    assert few.split["test_cases"] > 100
    assert any("come from only 20 users" in one for one in few.warnings)
    many = compare(tastes(n_users=300), {"group": Group}, split, METRICS, 5)
    assert not any("come from only" in one for one in many.warnings)


def test_costs_are_measured_and_say_how() -> None:
    report = run_small({"group": Group})
    for one in report.models:
        assert one.fit_seconds > 0
        assert one.recommend_seconds > 0
        assert one.users_per_second == pytest.approx(120 / one.recommend_seconds)
        assert one.peak_mib >= 0
    assert report.environment["memory"]


def test_progress_is_shown_for_every_model() -> None:
    class Watcher:
        seen: list[str] = []

        def track(self, steps: Iterable[Any], total: int | None, description: str) -> Iterator[Any]:
            for step in steps:
                self.seen.append(description)
                yield step

    watcher = Watcher()
    run_small([Group], run=replace(Run(), progress=watcher))
    assert watcher.seen.count("compare") == 3


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ConfigError, match="no model"):
        run_small([], baselines=[])


def test_a_folder_that_is_there_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there already"):
        run_small([Broken], out=tmp_path)
    run_small([Group], out=tmp_path, overwrite=True)
    assert (tmp_path / "report.html").is_file()


@pytest.mark.slow
def test_seven_models_on_a_million_events_are_judged_in_far_less_than_two_minutes() -> None:
    """6,040 users and 3,416 items, as in movielens-1m; what is beyond fitting and listing counts."""
    rng = np.random.default_rng(0)
    lists = [rng.choice(3416, rng.integers(20, 300), replace=False).tolist() for _ in range(6040)]
    items = pa.table(
        {"item_id": [f"i{n}" for n in range(3416)], "genres": [[f"g{n % 18}", f"g{n % 7}"] for n in range(3416)]}
    )
    world = Dataset.of(Histories.of_lists(lists), items, clock="position")
    started = time.perf_counter()
    report = compare(world, {f"lottery {number}": Lottery for number in range(6)}, "leave_last_out")
    spent = time.perf_counter() - started
    assert len(report.models) == 7
    assert spent - sum(one.fit_seconds + one.recommend_seconds for one in report.models) < 60


def test_each_seed_has_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    small = ("sasrec", {"embedding_size": 8, "epochs": 1, "n_layers": 1})
    report = compare(
        tastes(), {"a": small}, "leave_last_out", ["ndcg@5"], k=5, seeds=[0, 1], run=Run(threads=1, checkpoint=kept)
    )
    assert "a" in [one.name for one in report.models]
    assert len(list(kept.iterdir())) == 2
