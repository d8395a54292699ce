import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from zhiyin.artifacts import to_json
from zhiyin.data.dataset import Dataset
from zhiyin.errors import ConfigError, DataError, LeakageError
from zhiyin.evaluation.compare import compare
from zhiyin.evaluation.report import Report
from zhiyin.evaluation.report_details import _again
from zhiyin.evaluation.report_page import _headline
from zhiyin.splitting.global_time import GlobalTime
from zhiyin.splitting.leave_last_out import LeaveLastOut
from zhiyin.testing.worlds import tastes

METRICS = ["ndcg@5", "recall@5", "coverage@5", "intra_list_diversity@5", "popularity_share@5"]


def report(models: Any = ("ease",), **options: Any) -> Report:
    options = {"split": "leave_last_out", "metrics": METRICS, "k": 5, **options}
    return compare(options.pop("data", None) or tastes(), models, **options)


def test_the_document_has_its_stable_keys() -> None:
    document = json.loads(to_json(report().to_dict()))
    assert {"protocol", "models"} <= document.keys()
    assert {"hash", "split", "ties", "k"} <= document["protocol"].keys()
    for one in document["models"]:
        assert {"name", "metrics", "fit_seconds", "recommend_seconds", "peak_mib"} <= one.keys()
        assert {"value", "low", "high"} <= one["metrics"]["ndcg@5"].keys()
    assert isinstance(document["models"][0]["metrics"]["ndcg@5"]["value"], float)
    assert document["verdict"]


def test_all_files_are_there_and_hold_what_they_say(tmp_path: Path) -> None:
    made = report()
    folder = made.write(tmp_path / "out")
    names = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    assert names == {
        "report.html",
        "report.json",
        "per_query.parquet",
        "targets.parquet",
        "recommendations/ease.parquet",
        "recommendations/popularity.parquet",
        "recommendations/popularity_30d.parquet",
    }
    lists = pq.read_table(folder / "recommendations" / "ease.parquet")
    assert lists.column_names == ["query", "item_id", "rank", "score"]
    assert pq.read_table(folder / "targets.parquet").column_names == ["query", "item_id"]
    values = pq.read_table(folder / "per_query.parquet").to_pandas()
    assert values.columns.tolist() == ["query", "user_id", "model", "ndcg@5", "recall@5", *METRICS[3:]]
    means = values.groupby("model")["ndcg@5"].mean()
    for one in made.models:
        assert means[one.name] == pytest.approx(one.metrics["ndcg@5"].value)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    made = report(["ease"])
    again = Report.read(made.write(tmp_path / "out"))
    assert to_json(again.to_dict()) == to_json(made.to_dict())
    assert again.tests == made.tests
    assert again.per_query.equals(made.per_query)
    assert again.recommendations["ease"].equals(made.recommendations["ease"])
    assert again.verdict() == made.verdict()


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = report(out=tmp_path / "out")
    with pytest.raises(DataError, match="there already"):
        made.write(tmp_path / "out")
    made.write(tmp_path / "out", overwrite=True)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zhiyin.evaluation.report.pq.write_table", full)
    with pytest.raises(DataError, match="No space left"):
        made.write(tmp_path / "other")
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_damage_is_told(tmp_path: Path) -> None:
    folder = report().write(tmp_path / "out")
    (folder / "targets.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged"):
        Report.read(folder)
    with pytest.raises(DataError, match="missing"):
        Report.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": [{"name": "ease"}]}, "damaged"),
        ({"models": None}, "damaged"),
        ({"protocol": None}, "damaged"),
        ({"protocol": ...}, "'protocol' is missing"),
        ({"slices": ...}, "'slices' is missing"),
    ],
    ids=str,
)
def test_a_document_that_was_cut_is_told(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    folder = report().write(tmp_path / "out")
    content = {**json.loads((folder / "report.json").read_text()), **change}
    left = {name: value for name, value in content.items() if value is not ...}
    (folder / "report.json").write_text(json.dumps(left))
    with pytest.raises(DataError, match=said):
        Report.read(folder)


def test_reports_of_one_protocol_merge_into_what_one_run_would_have_said(tmp_path: Path) -> None:
    decay = ("popularity", {"fade": "decay"})
    whole = report({"ease": "ease", "decay": decay})
    first, second = report({"ease": "ease"}), report({"decay": decay})
    second = Report.read(second.write(tmp_path / "second"))
    merged = first.merge(second)
    assert [one.name for one in merged.models] == [one.name for one in whole.models]
    assert [one.metrics for one in merged.models] == [one.metrics for one in whole.models]
    assert set(merged.tests) == set(whole.tests)
    assert merged.verdict() == whole.verdict()
    for ours, theirs in zip(merged.slices, whole.slices, strict=True):
        assert ours.values.keys() == theirs.values.keys()
        for name, values in ours.values.items():
            assert {label: one.value for label, one in values.items()} == {
                label: one.value for label, one in theirs.values[name].items()
            }
    assert merged.examples[0].lists.keys() == whole.examples[0].lists.keys()
    merged.write(tmp_path / "merged")
    assert first.merge(first) is first


def test_costs_that_were_measured_elsewhere_are_told() -> None:
    first, second = report({"ease": "ease"}), report({"item_knn": "item_knn"})
    assert first.merge(second).warnings == first.warnings
    other = replace(second, environment={**second.environment, "cores": 128})
    (said,) = set(first.merge(other).warnings) - set(first.warnings)
    assert "item_knn were measured elsewhere (cores 128" in said


def test_reports_of_different_protocols_do_not_merge() -> None:
    with pytest.raises(LeakageError, match="cannot be compared"):
        report().merge(report(exclude_seen=False))
    with pytest.raises(LeakageError, match="content_hash"):
        report().merge(report(data=tastes(seed=3)))


def test_two_different_models_of_one_name_do_not_merge() -> None:
    with pytest.raises(ConfigError, match="rename"):
        report({"mine": "ease"}).merge(report({"mine": ("ease", {"regularization": 5.0})}))


def test_an_unknown_model_is_told_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="'ease'"):
        report().model("eas")


def test_the_terminal_table_has_a_row_for_each_model_and_the_interval() -> None:
    header, rows = report().rows()
    assert header[:3] == ["model", "ndcg@5", "95 % interval"]
    assert all(len(row) == len(header) for row in rows)
    assert {row[0] for row in rows} == {"ease", "popularity (baseline)", "popularity_30d (baseline)"}
    assert " to " in rows[0][2]


def test_the_page_says_the_verdict_first_and_needs_no_other_file(tmp_path: Path) -> None:
    made = report({"ease": "ease", "<b>decay</b>": ("popularity", {"fade": "decay"})})
    page = (made.write(tmp_path / "out") / "report.html").read_text(encoding="utf-8")
    assert page.index("ease is best on ndcg@5") < page.index("<table")
    assert made.protocol.hash in page
    assert "<script" not in page
    assert "<b>decay" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    for title in ("Models", "beyond chance?", "For whom", "Example users", "Protocol"):
        assert title in page
    for one in made.examples[0].lists["ease"]:
        assert one.title in page
    files = {one.name for one in (tmp_path / "out" / "recommendations").iterdir()}
    assert "b_decay_b.parquet" in files


def test_the_program_on_the_page_makes_the_same_report() -> None:
    made = report({"it's": ("ease", {"regularization": 5.0})}, baselines={"old": ("popularity", {"fade": "decay"})})
    found: list[Report] = []

    def compared(*given: Any, **options: Any) -> None:
        found.append(compare(*given, **{**options, "out": None}))

    program = _again(made).replace("zhiyin.Dataset.load", "load").replace("zhiyin.compare", "compared")
    exec(program, {"load": lambda _: tastes(), "compared": compared})
    assert found[0].protocol == made.protocol
    assert found[0].tests == made.tests
    assert [one.metrics for one in found[0].models] == [one.metrics for one in made.models]


def test_the_heading_of_the_page_says_what_the_verdict_says() -> None:
    better = report(baselines={"recent": ("popularity", {"fade": "window", "days": 9})})
    assert _headline(better) == "ease is best, and better than recent beyond chance"
    world = tastes()
    plain = Dataset(world.histories, world.item_table.select(["item_id"]), world.user_table, world.manifest)
    undefined = report(data=plain, metrics=["intra_list_diversity@5"])
    assert _headline(undefined) == "No model is best: intra_list_diversity@5 is undefined"
    assert undefined.verdict().startswith("intra_list_diversity@5 is undefined for every model on these test queries")
    level = report({"a": "popularity", "z": "random"}, baselines=["popularity"])
    assert level.best.name == "a"
    assert _headline(level) == "Nothing beats the simple baselines"
    assert _headline(report({"a": "popularity", "b": "popularity"}, baselines=[])) == "No model is better than another"


def test_the_page_of_baselines_alone_claims_nothing() -> None:
    from zhiyin.evaluation.report_page import page_of

    page = page_of(report([], baselines=["popularity"])).html()
    assert "Nothing beats the simple baselines" in page
    assert "nothing to test" in page


def test_examples_are_chosen_by_rule_and_show_history_targets_and_hits() -> None:
    made = report()
    cut = LeaveLastOut().split(tastes())
    assert [one.kind for one in made.examples] == ["short history", "average history", "long history"]
    lengths = [one.history_length for one in made.examples]
    assert lengths == sorted(lengths)
    titles = dict(zip(cut.test.queries.items.ids.to_pylist(), tastes().item_titles(), strict=True))
    for one in made.examples:
        history = cut.test.queries.items.decode(cut.test.queries.histories.of(one.query))
        assert [shown.item_id for shown in one.history] == history[-8:]
        wanted = set(cut.test.queries.items.decode(cut.test.targets.of(one.query)))
        assert {shown.item_id for shown in one.targets} == wanted
        for shown in one.lists["ease"]:
            assert shown.hit == (shown.item_id in wanted)
            assert shown.title == titles[shown.item_id]
            assert shown.item_id not in history
        assert any(shown.reasons for shown in one.lists["ease"])
        assert not any(shown.reasons for shown in one.lists["popularity"])


def test_cold_users_have_an_example_and_a_slice() -> None:
    world = tastes()
    histories = world.histories
    assert histories.time is not None
    newcomer = int(histories.owner()[histories.time.argmax()])
    kept = (histories.owner() != newcomer) | (histories.from_end() == 0)
    data = Dataset(histories.keep(kept), world.item_table, world.user_table, world.manifest)
    made = report(data=data, split=GlobalTime(cold_users="keep"))
    cold = {one.kind: one for one in made.examples}["no history"]
    assert cold.user_id == world.users.decode([newcomer])[0]
    assert (cold.history, cold.history_length) == ((), 0)
    assert len(cold.lists["ease"]) == 5
    (group,) = [one for one in made.slices if one.name.startswith("no history")]
    assert group.n == 1


def test_values_that_are_undefined_are_no_numbers_in_json() -> None:
    world = tastes()
    plain = Dataset(world.histories, world.item_table.select(["item_id"]), world.user_table, world.manifest)
    made = report(data=plain)
    to_json(report(data=plain, seeds=[0, 1]).to_dict())
    assert made.best.metrics["intra_list_diversity@5"].value is None
    assert np.isnan(made.values("ease")["intra_list_diversity@5"]).all()
    to_json(made.to_dict())
