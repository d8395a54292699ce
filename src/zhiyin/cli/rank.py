"""`zhiyin rank`: two stages on a data set, measured beside each of its retrievers, and saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.ranking.pipeline import Pipeline
    from zhiyin.run import Run

METRICS = ("ndcg@10", "recall@10")
TOLD = 12
"""So many features are shown, those that say the most."""

SAID = {"zhiyin.ranking.pipeline": "first stage learnt", "zhiyin.ranking.rankers": "second stage learnt"}
"""How a line begins that tells what these loggers say."""

Settings = Annotated[
    list[str] | None,
    typer.Option("-o", "--set", help="A setting of the pipeline, name=value; see above. Repeatable."),
]


def rank(
    data: opt.Data,
    out: opt.Out = None,
    settings: Settings = None,
    cases: Annotated[int, typer.Option("--cases", min=10, help="At most so many cases are measured on.")] = 2_000,
    json: opt.Json = False,
    overwrite: opt.Overwrite = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Retrieve with several models and rank what they find; measure it beside each of them, and save it.

    Its settings (sources, features, ranker, value, rules, rerankers and more), and what each is:

    zhiyin list models zhiyin.ranking.pipeline:Pipeline
    """
    from zhiyin.artifacts import check_free
    from zhiyin.cli._terminal import note, say_json, stages
    from zhiyin.ranking.pipeline import Pipeline

    options = opt.read_values(opt.settings_of(settings))
    pipeline = Pipeline(**options)
    if out is not None:
        check_free(out, overwrite, "config.json")
    run = opt.make_run(seed, threads)
    dataset = opt.open_data(data, run)
    with stages(SAID) as tell:
        found = _measured(pipeline, dataset, cases, run, tell)
        if out is not None:
            note(f"learning what is saved from all {dataset.n_events:,} events")
            Pipeline(**options).fit(dataset, run=run).save(out, overwrite=overwrite)
            tell("both stages learnt")
    if json:
        say_json(found)
    else:
        _show(found)
    if out is not None:
        history = opt.csv_line(dataset.items.decode(dataset.histories.of(0)[:2]))
        note(f"saved: {out}   next: {opt.command('recommend', '--model', out, '--data', data, '--history', history)}")
    else:
        note("nothing was saved; --out FOLDER learns from all events and saves that")


def _measured(pipeline: Pipeline, dataset: Dataset, most: int, run: Run, tell: Callable[[str], None]) -> dict[str, Any]:
    """What the pipeline and each of its retrievers come to on the latest events, or on people held out."""
    from zhiyin.cli._terminal import note
    from zhiyin.evaluation.evaluate import evaluate, world_of
    from zhiyin.evaluation.significance import owners
    from zhiyin.ranking._teaching import drawn
    from zhiyin.splitting import GlobalTime, UserHoldout

    timed = dataset.clock == "time"
    split = (GlobalTime(targets="successive") if timed else UserHoldout(seed=run.seed)).split(dataset)
    asked, world = drawn(split.test, most, run), world_of(split.development)
    note(
        f"learning from {split.development.n_events:,} events: retrievers, a ranker of what they find, retrievers anew"
    )
    pipeline.fit(split.development, run=run)
    tell("both stages learnt")
    owner, rows, first = owners(asked.queries.users), [], {}
    for name, model in (("pipeline", pipeline), *zip(pipeline._names(), pipeline.retrievers, strict=True)):
        samples = evaluate(model, asked, METRICS, world, run=run, exclude_seen=pipeline.config.repeats == "exclude")
        rows.append({"name": name, "metrics": {one: _told(samples.samples[one], owner) for one in METRICS}})
        first[name] = samples.samples[METRICS[0]]
        tell(f"judged: {name}")
    importance = dict(list(pipeline.ranker.importance().items())[:TOLD])
    found = {"split": split.name, "cases": len(asked), "models": rows, "importance": importance}
    return found | {"test": _against_best(first, owner)}


def _against_best(first: dict[str, Any], owner: Any) -> dict[str, Any]:
    """The pipeline against the best of its retrievers, on the first metric; the cases of a person are one witness."""
    from zhiyin.evaluation.significance import paired

    best = max((name for name in first if name != "pipeline"), key=lambda name: first[name].value)
    test = paired(METRICS[0], ("pipeline", first["pipeline"]), (best, first[best]), owner=owner)
    told = {"difference": test.difference, "low": test.low, "high": test.high, "p": test.p}
    return {"metric": test.metric, "reference": best, "beyond_chance": test.beyond_chance} | told


def _told(sample: Any, owner: Any) -> dict[str, float]:
    from zhiyin.evaluation.significance import bootstrap, interval

    low, high = interval(bootstrap([sample], owner=owner)[:, 0])
    return {"value": float(sample.value), "low": float(low), "high": float(high)}


def _show(found: dict[str, Any]) -> None:
    from zhiyin.cli._terminal import note, say, table

    def cell(one: dict[str, float]) -> str:
        return f"{one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f})"

    rows = [[row["name"], *(cell(row["metrics"][one]) for one in METRICS)] for row in found["models"]]
    note(f"{found['cases']:,} cases of {found['split']}; 95 % intervals")
    say(table(["model", *METRICS], rows))
    say(_verdict(found["test"]))
    if found["importance"]:
        say(table(["what the ranker looks at", "part"], [[k, f"{v:.0%}"] for k, v in found["importance"].items()]))


def _verdict(test: dict[str, Any]) -> str:
    """Whether the second stage is worth it, in a sentence."""
    gap = f"{test['metric']} {test['difference']:+.4f} ({test['low']:+.4f} to {test['high']:+.4f}), p = {test['p']:.3f}"
    if not test["beyond_chance"]:
        return f"The pipeline is not told apart from {test['reference']}, the best of its retrievers: {gap}."
    better = "better" if test["difference"] > 0 else "worse"
    return f"The pipeline is {better} than {test['reference']}, the best of its retrievers, beyond chance: {gap}."
