"""`zhiyin fit` of a model that learns for long: what it says, how it is taken up, what it holds out, where it runs."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from zhiyin.artifacts import load_arrays
from zhiyin.data.dataset import Dataset

from .conftest import Zhiyin

torch = pytest.importorskip("torch")

SMALL = ("-o", "max_length=10", "-o", "embedding_size=16", "-o", "n_layers=1")
TWO = ("-o", "epochs=2", *SMALL)
HELD_OUT = "each user's last event is held out to see when sasrec has learnt enough (--all-events: learn from it)\n"


def trained(model: Path) -> Any:
    """How the training of a saved model went."""
    return json.loads((model / "training.json").read_text(encoding="utf-8"))


def learnt_from(model: Path) -> int:
    """So many events."""
    return int(json.loads((model / "config.json").read_text(encoding="utf-8"))["trained_on"]["events"])


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_arrays(model / "weights.safetensors") for model in (one, other))
    return first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)


def content(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def one_line(zhiyin: Zhiyin, *arguments: object) -> str:
    """The message of a command that must fail; it may say beforehand what is held out."""
    done = zhiyin(*arguments)
    assert (done.code, done.out) == (1, "")
    said = done.err.removeprefix(HELD_OUT)
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "fault of zhiyin" not in said
    return said


@pytest.fixture(scope="session")
def kept(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and the checkpoint of its training, of two epochs."""
    from zhiyin import models
    from zhiyin.run import Run
    from zhiyin.splitting import LeaveLastOut

    folder = tmp_path_factory.mktemp("kept")
    split = LeaveLastOut().split(Dataset.load(prepared))
    model = models.get("sasrec")(epochs=2, max_length=10, embedding_size=16, n_layers=1)
    model.fit(split.development, split.test, Run(checkpoint=folder / "checkpoint")).save(folder / "model")
    return folder


@pytest.fixture
def own(kept: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(kept, tmp_path / "own"))


def test_it_says_what_it_holds_out_and_what_to_do_next(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    model, checkpoint = tmp_path / "m", tmp_path / "c"
    plain = ("-o", "epochs=2", "-o", "max_length=10")
    done = zhiyin("fit", "sasrec", "--data", prepared, "--out", model, *plain, "--checkpoint", checkpoint)
    assert (done.code, done.out) == (0, ""), done.err
    held, first, second, ended, saved = done.err.splitlines(keepends=True)
    assert held == HELD_OUT
    assert saved.startswith(f"saved: {model}   next: zhiyin recommend ")
    how = trained(model)
    assert [one["epoch"] for one in how["epochs"]] == [1, 2]
    for line, one in zip((first, second), how["epochs"], strict=True):
        assert line.startswith(f"sasrec: epoch {one['epoch']} of 2: ")
        assert f"events/s, loss {one['loss']:.3f}, NDCG@10 {one['measured']:.4f} (best " in line
    assert ended.startswith(
        f"sasrec: best NDCG@10 {how['best']:.4f}, in epoch {how['best_epoch']} of 2; all epochs were"
    )
    assert all(0 <= one["measured"] <= 1 for one in trained(model)["epochs"])
    assert (checkpoint / "checkpoint.json").is_file()
    settings = json.loads((model / "config.json").read_text(encoding="utf-8"))["config"]
    assert (settings["epochs"], settings["max_length"], settings["embedding_size"]) == (2, 10, 64)

    again = zhiyin(*shlex.split(done.err.rpartition("next: zhiyin ")[2]))
    assert again.code == 0, again.err
    assert "unknown" not in again.out
    assert "work" in again.out, "titles were expected"
    asked = zhiyin("recommend", "--model", model, "--user", "u0001", "--data", prepared, "-k", 5, "--json")
    (listed,) = asked.json["recommendations"]
    assert [one["source"] for one in listed["items"]] == ["sasrec"] * 5
    seen = Dataset.load(prepared).query_of("u0001").histories.item
    assert not {one["item_id"] for one in listed["items"]} & set(Dataset.load(prepared).items.decode(seen))


def test_the_same_command_again_takes_all_from_the_checkpoint(
    zhiyin: Zhiyin, prepared: Path, kept: Path, own: Path
) -> None:
    command = ("fit", "sasrec", "--data", prepared, "--out", own / "model", *TWO, "--checkpoint", own / "checkpoint")
    before = content(own)
    assert "is there already" in one_line(zhiyin, *command)
    assert content(own) == before

    (own / "model" / "mine").write_text("", encoding="utf-8")
    done = zhiyin(*command, "--overwrite")
    assert done.code == 0, done.err
    assert not (own / "model" / "mine").exists()
    assert trained(own / "model") == trained(kept / "model"), "also in its seconds: no epoch was trained again"
    assert same_weights(own / "model", kept / "model")

    anew = zhiyin("fit", "sasrec", "--data", prepared, "--out", own / "anew", *TWO)
    assert anew.code == 0, anew.err
    assert trained(own / "anew") != trained(kept / "model")
    assert same_weights(own / "anew", kept / "model")


def test_an_interrupted_training_goes_on_where_it_stood(
    zhiyin: Zhiyin, prepared: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zhiyin.nn import checkpoints

    keep = checkpoints.keep

    def keep_and_stop(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    model, checkpoint = tmp_path / "m", tmp_path / "c"
    command = ("fit", "sasrec", "--data", prepared, "--out", model, *TWO, "--checkpoint", checkpoint)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "keep", keep_and_stop)
        stopped = zhiyin(*command)
    assert stopped.code == 130
    assert "nothing was left half-written" in stopped.err
    assert f"the checkpoint {checkpoint} stands; the same command goes on from there\n" in stopped.err
    assert [one.name for one in tmp_path.iterdir()] == ["c"]
    (first,) = json.loads((checkpoint / "checkpoint.json").read_text(encoding="utf-8"))["epochs"]

    done = zhiyin(*command)
    assert done.code == 0, done.err
    assert trained(model)["epochs"][0] == first
    assert len(trained(model)["epochs"]) == 2
    assert same_weights(model, kept / "model")


def test_a_stopped_training_without_a_checkpoint_says_what_would_have_kept_it(
    zhiyin: Zhiyin, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zhiyin.nn.training import Training

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "_step", stop)
    command = ("fit", "sasrec", "--data", prepared, "--out", tmp_path / "m", *TWO)
    alone, early = zhiyin(*command), zhiyin(*command, "--checkpoint", tmp_path / "c")
    assert (alone.code, early.code) == (130, 130)
    assert "what was learnt is lost; --checkpoint FOLDER would have kept each epoch that was done\n" in alone.err
    assert f"no epoch was done, so that {tmp_path / 'c'} is not there yet; the same command begins anew\n" in early.err
    assert not list(tmp_path.iterdir())


def test_a_model_without_epochs_has_no_more_to_say_when_it_is_stopped(
    zhiyin: Zhiyin, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zhiyin.models.item_knn import ItemKNN

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ItemKNN, "_fit", stop)
    done = zhiyin("fit", "item_knn", "--data", prepared, "--out", tmp_path / "m")
    assert (done.code, done.err) == (130, "error: stopped; nothing was left half-written\n")


def test_divergence_keeps_the_last_sound_epoch_and_says_why(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    wild = (*SMALL, "-o", "epochs=3", "-o", "learning_rate=1e38", "-o", "warmup=0", "--all-events")
    message = one_line(zhiyin, "fit", "sasrec", "--data", prepared, "--out", tmp_path / "m", *wild)
    assert "sasrec diverged: the loss of step 2 of epoch 1 is nan, and no epoch before it was sound" in message
    assert not list(tmp_path.iterdir())


def test_epochs_are_logged_elsewhere(
    zhiyin: Zhiyin, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    module = types.ModuleType("mlflow")
    module.set_tracking_uri = told.append  # type: ignore[attr-defined]
    module.log_metrics = lambda values, step: told.append((step, values["loss"]))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    model = tmp_path / "m"
    done = zhiyin("fit", "sasrec", "--data", prepared, "--out", model, *TWO, "--log-to", "mlflow:http://here:5000")
    assert done.code == 0, done.err
    assert told == ["http://here:5000", *((one["epoch"], one["loss"]) for one in trained(model)["epochs"])]


def test_a_place_for_the_log_that_nobody_knows_is_refused(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    command = ("fit", "sasrec", "--data", prepared, "--out", tmp_path / "m", *TWO, "--log-to")
    for text in ("wandb:here", "tensorboard", "tensorboard:"):
        assert f"'{text}' came; to log epochs, write tensorboard:FOLDER" in one_line(zhiyin, *command, text)
    assert not list(tmp_path.iterdir())


def test_a_net_is_compiled_if_that_is_asked_for(
    zhiyin: Zhiyin, prepared: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("torch.compile", lambda part, dynamic: asked.append(part.__name__) or part)
    done = zhiyin("fit", "sasrec", "--data", prepared, "--out", tmp_path / "m", *TWO, "--compile")
    assert done.code == 0, done.err
    assert sorted(asked) == ["mix", "project"]
    assert same_weights(tmp_path / "m", kept / "model")


def test_a_precision_is_that_of_the_run(
    zhiyin: Zhiyin, prepared: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("fit", "sasrec", "--data", prepared, "--out", tmp_path / "m", *TWO, "--precision")
    assert zhiyin(*command, "float16").code == 2
    from zhiyin.models import _torch

    monkeypatch.setattr(_torch, "bfloat16_seconds", lambda device: 1e9)
    assert "asked to learn with bfloat16, but its products take" in one_line(zhiyin, *command, "bfloat16")
    monkeypatch.setattr(_torch, "bfloat16_seconds", lambda device: 0.0)
    done = zhiyin(*command, "bfloat16")
    assert done.code == 0, done.err
    assert not same_weights(tmp_path / "m", kept / "model")


def test_gradients_are_not_clipped_if_so_asked(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    done = zhiyin("fit", "sasrec", "--data", prepared, "--out", tmp_path / "m", *TWO, "-o", "clip=none")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))["config"]["clip"] is None


OTHERS: dict[str, tuple[tuple[object, ...], str]] = {
    "a setting": (("-o", "learning_rate=0.01"), "learning_rate = 0.001, this training has 0.01"),
    "more epochs": (("-o", "epochs=3"), "epochs = 2, this training has 3"),
    "a seed": (("--seed", 5), "seed = 0, this training has 5"),
    "all events": (("--all-events",), "validation = "),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_training_is_refused(zhiyin: Zhiyin, prepared: Path, own: Path, other: str) -> None:
    arguments, said = OTHERS[other]
    before = content(own)
    where = ("--data", prepared, "--out", own / "model", "--checkpoint", own / "checkpoint", "--overwrite")
    message = one_line(zhiyin, "fit", "sasrec", *where, *TWO, *arguments)
    assert f"{own / 'checkpoint'} is a checkpoint with" in message
    assert said in message
    assert "name another folder" in message
    assert content(own) == before


def test_a_checkpoint_of_other_data_and_of_another_model_is_refused(
    zhiyin: Zhiyin, shop: Path, prepared: Path, own: Path
) -> None:
    lines = (shop / "events.csv").read_text(encoding="utf-8").splitlines()
    (own / "events.csv").write_text("\n".join(lines[:-7]), encoding="utf-8")
    assert zhiyin("prepare", "--events", own / "events.csv", "--out", own / "fewer").code == 0
    where = ("--out", own / "m", "--checkpoint", own / "checkpoint")
    assert "data = " in one_line(zhiyin, "fit", "sasrec", "--data", own / "fewer", *where, *TWO)
    message = one_line(zhiyin, "fit", "gru4rec", "--data", prepared, *where, "--all-events", *TWO)
    assert "model = 'sasrec'" in message
    assert "'gru4rec'" in message
    assert not (own / "m").exists()


def test_a_folder_that_is_no_checkpoint_is_refused_and_left_alone(
    zhiyin: Zhiyin, prepared: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine").write_text("", encoding="utf-8")
    where = ("--data", prepared, "--out", tmp_path / "m", "--checkpoint", tmp_path / "photos")
    assert "holds no checkpoint" in one_line(zhiyin, "fit", "sasrec", *where, *TWO)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["mine", "photos"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    where = ("--data", prepared, "--out", tmp_path / "m", "--checkpoint", tmp_path / "c")
    for device in ("cuda", "cuda:1"):
        message = one_line(zhiyin, "fit", "sasrec", *where, *TWO, "--device", device)
        assert f"sasrec was asked to run on '{device}', which is not there" in message
        assert "use 'cpu'" in message
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_none_is_refused(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    where = ("--data", prepared, "--out", tmp_path / "m")
    assert "'gpu'" in one_line(zhiyin, "fit", "sasrec", *where, *TWO, "--device", "gpu")
    assert not list(tmp_path.iterdir())


def test_all_events_are_learnt_from_if_none_is_to_be_held_out(
    zhiyin: Zhiyin, prepared: Path, kept: Path, tmp_path: Path
) -> None:
    dataset, model = Dataset.load(prepared), tmp_path / "m"
    assert learnt_from(kept / "model") == dataset.n_events - dataset.n_users
    done = zhiyin("fit", "sasrec", "--data", prepared, "--out", model, *TWO, "--all-events")
    assert done.code == 0, done.err
    assert "held out" not in done.err
    assert learnt_from(model) == dataset.n_events
    assert [one["measured"] for one in trained(model)["epochs"]] == [None, None]
    assert not same_weights(model, kept / "model")

    said = zhiyin("fit", "sasrec", "--data", prepared, "--out", tmp_path / "held", *TWO, "--hold-out")
    assert said.err.startswith(HELD_OUT)
    assert same_weights(tmp_path / "held", kept / "model")


def test_training_stops_early_by_what_is_held_out(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    hasty = (*SMALL, "-o", "epochs=12", "-o", "patience=1", "-o", "learning_rate=0.05", "-o", "warmup=0")
    for name, choice in (("held", "--hold-out"), ("all", "--all-events")):
        done = zhiyin("fit", "sasrec", "--data", prepared, "--out", tmp_path / name, *hasty, choice)
        assert done.code == 0, done.err
    held, every = trained(tmp_path / "held"), trained(tmp_path / "all")
    assert len(held["epochs"]) < 12
    assert "without a better one" in held["stopped"]
    assert held["best"] == max(one["measured"] for one in held["epochs"])
    assert (len(every["epochs"]), every["stopped"], every["best"]) == (12, "", None)


@pytest.mark.parametrize("choice", ["--hold-out", "--all-events"])
def test_a_model_that_does_not_stop_early_learns_from_all_events(
    zhiyin: Zhiyin, prepared: Path, tmp_path: Path, choice: str
) -> None:
    done = zhiyin("fit", "item_knn", "--data", prepared, "--out", tmp_path / "m", choice)
    assert done.code == 0, done.err
    assert "held out" not in done.err
    assert learnt_from(tmp_path / "m") == Dataset.load(prepared).n_events


@pytest.mark.parametrize("inside", ["", "training"])
def test_a_checkpoint_in_the_folder_of_the_model_is_refused(
    inside: str, zhiyin: Zhiyin, prepared: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    said = one_line(zhiyin, "fit", "sasrec", *TWO, "--data", prepared, "--out", out, "--checkpoint", out / inside)
    assert "would lie in the folder of the model" in said
    assert not out.exists()


def test_options_that_do_nothing_for_a_model_are_named(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    command = ("fit", "item_knn", "--data", prepared, "--out")
    given = ("--device", "cuda", "--checkpoint", tmp_path / "c", "--precision", "bfloat16", "--log-to", "mlflow")
    one, all_of_them = (
        zhiyin(*command, tmp_path / "a", *given[:2]),
        zhiyin(*command, tmp_path / "b", *given, "--compile"),
    )
    said = "note: item_knn is no neural model: without effect are "
    assert f"{said}--device\n" in one.err
    assert f"{said}--device, --checkpoint, --precision, --compile, --log-to\n" in all_of_them.err
    assert "without effect" not in zhiyin(*command, tmp_path / "d").err


def test_users_too_short_to_hold_anything_out_are_told_what_to_do(zhiyin: Zhiyin, tmp_path: Path) -> None:
    rows = "".join(f"u{user},i{(user + place) % 7},{1_600_000_000 + place}\n" for user in range(40) for place in (0, 1))
    (tmp_path / "events.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    assert zhiyin("prepare", "--events", tmp_path / "events.csv", "--out", tmp_path / "d").code == 0
    command = ("fit", "sasrec", *TWO, "--data", tmp_path / "d", "--out", tmp_path / "m")
    assert "; --all-events holds nothing out" in one_line(zhiyin, *command)
    assert zhiyin(*command, "--all-events").code == 0


def test_words_and_new_items(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    """A model that reads titles is asked in words, and lists an item that was not there when it learnt."""
    settings = ("text=null_space", "encoder=tfidf", "text_size=8", "epochs=1", "max_length=10")
    told = [part for one in settings for part in ("-o", one)]
    assert zhiyin("fit", "sasrec", "--data", prepared, "--out", tmp_path / "m", *told).code == 0
    words = Dataset.load(prepared).item_titles()[3]
    new = tmp_path / "new.csv"
    new.write_text(f"item_id,title\nbrand-new,{words}\n", encoding="utf-8")
    ask = ("recommend", "--model", tmp_path / "m", "-k", 20)
    (listed,) = zhiyin(*ask, "--text", words, "--items", new, "--json").json["recommendations"]
    assert "brand-new" in [one["item_id"] for one in listed["items"]]
    assert listed["items"][0]["reasons"][0]["kind"] == "text"
    shown = zhiyin(*ask, "--user", "u0001", "--data", prepared, "--text", words, "--text-weight", 9, "--items", new)
    assert shown.code == 0, shown.err
    assert words in shown.out
    assert f"near to what was asked for: {words}" in shown.out
    silent = zhiyin(*ask, "--history", "i0001", "--text", "xyzzy")
    assert "'xyzzy' says nothing to the model and changes nothing" in silent.err
    assert "says nothing" not in shown.err
    assert "--text came empty" in one_line(zhiyin, *ask, "--history", "i0001", "--text", " ")
    plain = zhiyin(*ask, "--history", "i0001", "--text-weight", 2, "--json").json
    assert plain == zhiyin(*ask, "--history", "i0001", "--json").json
    assert zhiyin("fit", "popularity", "--data", prepared, "--out", tmp_path / "p").code == 0
    ask = ("recommend", "--model", tmp_path / "p")
    assert "reads no text" in one_line(zhiyin, *ask, "--text", words)
    assert "without learning anew" in one_line(zhiyin, *ask, "--history", "i0001", "--items", new)
