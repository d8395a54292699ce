"""The tables of the second stage: rankers, ratings, off-policy estimates, uplift, scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _tables import mean, result, table
from zhiyin.scenarios import available
from zhiyin.scenarios.recipe import recipe_of

OWN = Path(__file__).parents[1] / "recipes" / "scenarios"


def ratings() -> str:
    """RMSE of predicted ratings under each protocol, and how far each model is from `rlfm`."""
    found = result("ratings")
    rows = []
    for protocol in ("time", "live", "random"):
        models = sorted(found[protocol]["models"].items(), key=lambda one: one[1]["rmse"])
        for place, (name, one) in enumerate(models):
            low, high = one["interval of minus rlfm by ratings"]
            least, most = one["interval of minus rlfm by users"]
            by_ratings = f"{one['minus rlfm']:+.4f} ({low:+.4f} to {high:+.4f})" if name != "rlfm" else ""
            by_users = f"{least:+.4f} to {most:+.4f}" if name != "rlfm" else ""
            first = f"**{protocol}**" if place == 0 else ""
            rows.append([first, name, f"{one['rmse']:.4f}", f"{one['mae']:.4f}", by_ratings, by_users])
    header = ["protocol", "model", "RMSE", "MAE", "RMSE minus that of rlfm, 95 % by ratings", "95 % by people"]
    return table(header, rows, text_columns=2)


LESS = ", without"
"""In the names of sets on which a pipeline is measured that lacks something."""


def two_stage() -> str:
    """A pipeline beside the retrievers that it is made of, and its gain over the best of them."""
    rows = []
    for name, found in result("two_stage")["sets"].items():
        models = sorted(found["rows"].items(), key=lambda row: -row[1]["ndcg@10"]["value"])
        if LESS in name:
            models = [row for row in models if row[0] in found["gains"]]
        for place, (label, one) in enumerate(models):
            low, high = one["ndcg@10"]["low"], one["ndcg@10"]["high"]
            gain = found["gains"].get(label)
            told = gain and f"{gain['value']:+.1%} ({gain['low']:+.1%} to {gain['high']:+.1%}), p = {gain['p']:.4f}"
            first = [f"**{name}**, {found['seeds']} seeds" if place == 0 else "", label]
            cells = [f"{one['ndcg@10']['value']:.4f} ({low:.4f} to {high:.4f})", f"{one['recall@10']['value']:.4f}"]
            rows.append([*first, *cells, told or ""])
    return table(["set", "model", "NDCG@10", "Recall@10", "over the best single one"], rows, 2)


def ctr() -> str:
    """Chances of a like or a click: each ranker, and how much better it is than the better of the two opponents."""
    rows = []
    for name, found in result("ctr")["sets"].items():
        models = sorted(found["rows"].items(), key=lambda row: row[1]["log loss"]["value"])
        for place, (label, one) in enumerate(models):
            first = f"**{name}** ({found['cases']:,} rows, {found['happened']:.1%} of them)" if place == 0 else ""
            gains = [_range(one.get(gain), sign="+") for gain in ("auc gain", "gain")]
            errors = f"{one['raw error']:.4f}", f"{one['error']:.4f}"
            rows.append([first, label, _range(one["auc"]), gains[0], _range(one["log loss"]), gains[1], *errors])
    header = ["set", "ranker", "AUC", "over the better", "log loss", "below the better", "raw error", "calibrated"]
    return table(header, rows, 2)


def _range(one: dict[str, float] | None, sign: str = "") -> str:
    """A number and its interval."""
    if one is None:
        return ""
    return f"{one['value']:{sign}.4f} ({one['low']:{sign}.4f} to {one['high']:{sign}.4f})"


def off_policy() -> str:
    """Errors against the truth, and how often intervals held it."""
    rows = []
    for name in ("known", "sharp"):
        for place, (label, one) in enumerate(result("off_policy")[name]["estimators"].items()):
            errors = [f"{100 * one[error]:.1f} %" for error in ("mean error", "largest error")]
            cells = [*errors, *(f"{one[part]:.1%}" for part in ("within 5 %", "coverage"))]
            rows.append([f"**{name}**" if place == 0 else "", label, *cells])
    return table(["new policy", "estimator", "mean error", "largest", "within 5 %", "intervals hold"], rows, 2)


def open_bandit() -> str:
    """What the uniform policy earned, and what was told of it from another log."""
    rows = []
    for name, one in result("off_policy")["open bandit"].items():
        told = [f"{1_000 * one[label]['value']:.2f}" for label in ("ips", "snips", "direct", "doubly_robust")]
        low, high = (1_000 * one["doubly_robust"][side] for side in ("low", "high"))
        apart = f"{one['largest difference to obp']:.0e}" if "obp" in one else "–"
        rows.append([name, f"{1_000 * one['on policy']:.2f}", *told, f"{low:.2f} to {high:.2f}", apart])
    header = ["campaign", "earned", "ips", "snips", "direct", "doubly robust", "its interval", "from obp"]
    return table(header, rows)


def ranking_speed() -> str:
    """Milliseconds of a live query, and what learning from millions of rows takes."""
    found = result("ranking_speed")
    asked, learnt, counted = found["query"], found["learning"], found["counting"]
    rows = [
        [f"500 candidates, {trees}: {part}, 99th percentile", f"{asked[trees][part]['p99']:.1f} ms", target]
        for trees in ("100 trees", "500 trees")
        for part, target in (("features", ""), ("trees", ""), ("both", "≤ 15 ms"))
    ]
    rows += [
        ["learning from 5,000,000 rows of 40 features", f"{learnt['seconds']:.0f} s", "≤ 300 s"],
        ["peak memory of it", f"{learnt['peak mib'] / 1024:.2f} GiB", "≤ 4 GiB"],
        ["counting 5,000,000 events anew (`refresh`)", f"{counted['seconds']:.0f} s", ""],
        ["peak memory of it", f"{counted['peak mib'] / 1024:.2f} GiB", ""],
    ]
    return table(["what", "measured", "target"], rows)


def second_stage() -> str:
    """The second stage in a few numbers."""
    rows = []
    for name, found in result("two_stage")["sets"].items():
        best = found["best single"]
        beside = [f"`{best}`, the best of its retrievers", f"{found['rows'][best]['ndcg@10']['value']:.4f}"]
        for label in () if LESS in name else found["gains"]:
            what = f"two stages, {name}{label.removeprefix('pipeline')}, NDCG@10"
            rows.append([what, f"{found['rows'][label]['ndcg@10']['value']:.4f}", *beside])
    found = result("ctr")["sets"]["movielens-1m"]["rows"]
    aucs = [found[label]["auc"]["value"] for label in ("blend", "trees, raw")]
    rows.append(["a rating of 4 or more, movielens-1m, AUC", f"{aucs[0]:.4f}", "LightGBM on raw ids", f"{aucs[1]:.4f}"])
    for protocol in ("time", "random"):
        models = {name: one["rmse"] for name, one in result("ratings")[protocol]["models"].items()}
        peer = min((name for name in models if ": " in name), key=lambda name: models[name])
        what = f"ratings, movielens-latest-small, {protocol}, RMSE"
        rows.append([what, f"{models['rlfm']:.4f}", peer, f"{models[peer]:.4f}"])
    found = {name: 100 * one["of oracle"]["mean"] for name, one in result("uplift")["one coupon"].items()}
    buyers = f"{found['likely buyers']:.1f} %"
    rows.append(["coupons, of the oracle's Qini", f"{found['x_learner']:.1f} %", "likely buyers", buyers])
    return table(["what", "zhiyin", "beside", "of it"], rows)


def uplift() -> str:
    """How much of the oracle's Qini each order of people has."""
    found = result("uplift")["one coupon"]
    rows = [
        [name, f"{100 * one['of oracle']['mean']:.1f} %", f"{100 * one['of oracle']['deviation']:.1f}"]
        for name, one in sorted(found.items(), key=lambda row: -row[1]["of oracle"]["mean"])
        if name != "oracle"
    ]
    return table(["order of people", "of the oracle's Qini", "deviation over worlds, points"], rows)


def budgets() -> str:
    """What coupons bring and cost for each 1,000 people, by who gets them."""
    found = result("uplift")["two coupons"]
    rows = [
        [name, f"{one['added']['mean']:+,.0f}", f"{one['spent']['mean']:,.0f}"]
        for name, one in sorted(found.items(), key=lambda row: -row[1]["added"]["mean"])
    ]
    return table(["who gets a coupon", "profit added", "spent"], rows)


def scenario(name: str) -> str:
    """The metrics of one scenario, by who answers, the worst first; means over worlds."""
    worlds = result("scenarios")["recipes"][name]
    labels = _metrics(name)
    who = sorted(worlds[0]["results"], key=lambda one: _world_mean(worlds, one, labels[0]))
    rows = [[one, *(_of_worlds(worlds, one, label) for label in labels)] for one in who]
    what = "worlds" if "oracle" in worlds[0]["results"] else "seeds"
    return f"{table(['', *labels], rows)}\n\nMeans over {len(worlds)} {what}; {worlds[0]['data']} in the first one."


def scenarios() -> str:
    """The metric that decides, of every scenario."""
    made, real = [], []
    for name, worlds in sorted(result("scenarios")["recipes"].items()):
        sides, label = worlds[0]["test"], _metrics(name)[0]
        told = [_of_worlds(worlds, sides[who], label) for who in ("baseline", "ours")]
        if name not in available():
            real.append([f"`{name}`, real data", label, sides["baseline"], *told, "–", "–"])
            continue
        part = _world_mean(worlds, sides["ours"], label) / _world_mean(worlds, "oracle", label)
        best = _of_worlds(worlds, "oracle", label)
        made.append([f"[`{name}`]({name}.md)", label, sides["baseline"], *told, best, f"{part:.0%}"])
    rows = made + real
    return table(["scenario", "metric", "baseline", "of it", "ours", "oracle", "part of the oracle"], rows, 3)


def _metrics(name: str) -> tuple[str, ...]:
    """What a scenario is measured by, the one that decides first."""
    return recipe_of(name if name in available() else str(OWN / f"{name}.toml")).metrics


def _world_mean(worlds: Sequence[dict[str, Any]], who: str, label: str) -> float:
    return mean([one["results"][who][label] for one in worlds])


def _of_worlds(worlds: Sequence[dict[str, Any]], who: str, label: str) -> str:
    if worlds[0]["results"][who].get(label) is None:
        return "–"
    value = _world_mean(worlds, who, label)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"
