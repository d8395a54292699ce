"""TIGER: codes of items, foretold digit by digit or at once, and what becomes of items that training never met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import load_file

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._export import export, exportable
from zhiyin.models.base import load
from zhiyin.models.tiger import TIGER
from zhiyin.nn.heads import DepthDecoder
from zhiyin.run import Run
from zhiyin.splitting import LeaveLastOut
from zhiyin.testing.patterns import PATTERNS, found, without_answers
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import tastes

SMALL: dict[str, Any] = {
    "embedding_size": 16,
    "n_layers": 1,
    "max_length": 12,
    "epochs": 8,
    "batch_size": 256,
    "learning_rate": 0.02,
    "average": 0.0,
    "encoder": "tfidf",
    "text_size": 12,
    "company_size": 8,
}
WAYS = [("beam", 0.0), ("beam", 1.0), ("parallel", 0.0), ("parallel", 1.0)]
BARE = {"text": "none", "company": 1.0}
"""Codes of use alone."""


class TestTIGER(RecommenderSuite):
    model = TIGER
    options = {**SMALL, "beams": 60}
    exact = False  # it starts from random vectors


class TestCodesAlone(RecommenderSuite):
    model = TIGER
    options = {**SMALL, "dense": 0.0, "beams": 400, "rows": False, "text": "none"}
    exact = False


class TestParallel(RecommenderSuite):
    model = TIGER
    options = {
        **SMALL,
        "head": "parallel",
        "dense": 0.0,
        "codebook": {"codebook": "product_quantizer", "settings": {"levels": 8, "n_codes": 8}},
    }
    exact = False


def fitted(world: Dataset | None = None, run: Run | None = None, validation: Any = None, **options: Any) -> TIGER:
    return TIGER(**{**SMALL, "epochs": 3, **options}).fit(world or tastes(), validation, run or Run(seed=1, threads=1))


def two_kinds(n_new: int = 0, silent: tuple[int, ...] = ()) -> Dataset:
    """Two kinds of items that take turns of their own; the last `n_new` items have no events, but say their kind."""
    rng = np.random.default_rng(0)
    kinds, n = ["green tea", "red shoe"], 24
    lists = [(2 * rng.choice(n // 2, 8, replace=False) + user % 2).tolist() for user in range(160)]
    titles = [None if item in silent else f"{kinds[item % 2]} number{item}" for item in range(n + n_new)]
    items = pa.table({"item_id": [f"i{item:02d}" for item in range(n + n_new)], "title": titles})
    return Dataset.of(Histories.of_lists(lists), items)


class TestCodes:
    def test_every_item_has_one_of_its_own(self) -> None:
        model = fitted()
        assert model.item_codes.shape == (60, 4)
        assert len(np.unique(model.item_codes, axis=0)) == model.tree.n_leaves == 60
        assert (model.item_codes < np.array(model.codes.sizes)).all()
        assert model.codes.sizes[:3] == (16, 15, 15)  # a quarter of the items, and a first digit for silent ones

    def test_items_that_say_nothing_have_a_branch_of_their_own(self) -> None:
        world = two_kinds(n_new=2, silent=(3, 5, 25))
        model = fitted(world, company=0.0, text="none")
        book = model.codes.book
        apart = np.flatnonzero(model.item_codes[:, 0] == book.sizes[0])
        assert apart.tolist() == [3, 5, 25]
        assert len(np.unique(model.item_codes, axis=0)) == 26
        assert model.known.tolist() == [True] * 25 + [False]  # of the last one nothing is known: no word, no event
        listed = model.recommend(world.queries(), k=26 - 8, fill=False).items
        assert {3, 5} <= set(listed.ravel().tolist())
        assert 25 not in listed

    def test_use_gives_codes_to_items_that_say_nothing(self) -> None:
        model = fitted(two_kinds(silent=(3, 5)), company=0.5)
        assert (model.item_codes[:, 0] < model.codes.book.sizes[0]).all()

    def test_items_that_are_used_alike_begin_alike(self) -> None:
        codes = fitted(two_kinds(), **BARE, codebook={"codebook": "residual_kmeans", "settings": {"n_codes": 2}})
        first = codes.item_codes[:, 0]
        assert len(np.unique(first[::2])) == len(np.unique(first[1::2])) == 1
        assert first[0] != first[1]

    def test_a_catalogue_without_text_is_refused_with_a_way_out(self) -> None:
        bare = Dataset.of(tastes().histories, tastes().items.ids.to_pylist())
        with pytest.raises(DataError, match=r"has no text.*takes text=none and company=1"):
            fitted(bare)
        with pytest.raises(DataError, match="takes text=none and company=1"):
            fitted(bare, text="none")
        assert fitted(bare, **BARE).known.all()

    def test_too_few_items_for_codes(self) -> None:
        world = Dataset.of(Histories.of_lists([[0, 1, 2], [2, 1], [0, 2]]), ["a", "b", "c"])
        with pytest.raises(DataError, match="3 items say anything or are used; codes need at least 8"):
            fitted(world, **BARE)


@pytest.mark.parametrize("pattern", ["chain", "pairs", "copies"])
@pytest.mark.parametrize("head", ["beam", "parallel"])
def test_a_planted_pattern_is_found_by_codes_alone(head: str, pattern: str) -> None:
    options = {
        **BARE,
        "embedding_size": 32,
        "max_length": 20,
        "epochs": 40 if head == "parallel" else 60,
        "batch_size": 300,
        "learning_rate": 5e-3,
        "dropout": 0.0,
        "n_layers": 2,
        "dense": 0.0,
    }
    world = PATTERNS[pattern].make()
    assert found(fitted(without_answers(world), head=head, **options), world) >= 0.85


class TestAnswers:
    @pytest.mark.parametrize(("head", "dense"), WAYS)
    def test_beams_as_wide_as_the_catalogue_find_what_scoring_every_item_finds(self, head: str, dense: float) -> None:
        world = tastes()
        model = fitted(head=head, dense=dense, beams=60)
        queries = model.encode(world.queries(np.arange(20)))
        scores = model._score(queries)
        pairs = np.array([model._score_pairs(queries, np.full(20, item, np.int32)) for item in range(60)]).T
        np.testing.assert_allclose(scores, pairs, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(model._score_of(queries, np.arange(60, dtype=np.int32)), pairs, rtol=1e-4, atol=1e-4)

    def test_probabilities_of_codes_are_those_of_their_digits(self) -> None:
        """By hand: one softmax a digit, each told the digits before it."""
        model = fitted(dense=0.0)
        head, digits = model.net.head, model.net.digits
        assert isinstance(head, DepthDecoder)
        states = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
        codes = digits.codes[:3]
        wanted = torch.zeros(3)
        with torch.inference_mode():
            for level in range(4):
                out = head.outputs(states, codes, digits)[:, level]
                vectors = torch.nn.functional.normalize(digits.of_level(level), dim=-1)
                logits = torch.nn.functional.normalize(out, dim=-1) @ vectors.T / 0.07
                wanted += logits.log_softmax(1)[torch.arange(3), codes[:, level].long()]
            np.testing.assert_allclose(head.log_probs(states, codes, digits), wanted, rtol=1e-4, atol=1e-4)

    def test_few_beams_fill_lists_with_the_likeliest_and_leave_the_rest_unscored(self) -> None:
        world = tastes()
        model = fitted(dense=0.0, beams=5)
        scores = model._score(model.encode(world.queries()))
        assert (np.isfinite(scores).sum(1) == 5).all()
        listed = model.recommend(world.queries(), k=12, fill=False).items  # a longer list takes more beams
        assert (listed >= 0).all()

    @pytest.mark.parametrize(("head", "dense"), WAYS)
    def test_lists_are_full_however_few_items_may_be_listed(self, head: str, dense: float) -> None:
        world = tastes()
        model = fitted(head=head, dense=dense, beams=3)
        allowed = world.items.decode([1, 17, 30, 42, 58])
        listed = model.recommend(world.queries(), k=5, allow=allowed, exclude_seen=False, fill=False).items
        assert (np.sort(listed, axis=1) == [1, 17, 30, 42, 58]).all()
        unseen = model.recommend(world.queries(), k=5, allow=allowed, fill=False).items
        for user, row in enumerate(unseen):
            left = {1, 17, 30, 42, 58} - set(world.histories.of(user).tolist())
            assert set(row[row >= 0].tolist()) == left
        assert (model.recommend(world.queries(), k=2, allow=[], fill=False).items == -1).all()

    def test_an_item_beyond_the_beams_has_a_score_where_it_is_asked_for(self) -> None:
        world = tastes()
        model = fitted(dense=0.0, beams=2)
        assert np.isfinite(model.score(world.queries(np.arange(4)), world.items.decode(range(60)))).all()

    def test_a_little_memory_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model, queries = fitted(beams=10), tastes().queries()
        wanted = model.recommend(queries, k=5)
        monkeypatch.setattr("zhiyin.models.tiger.FLOATS_AT_ONCE", 1)
        again = model.recommend(queries, k=5)
        np.testing.assert_array_equal(again.items, wanted.items)
        np.testing.assert_allclose(again.scores, wanted.scores, rtol=1e-4)

    @pytest.mark.parametrize(("head", "dense"), WAYS)
    def test_live_lists_are_those_of_recommend(self, head: str, dense: float) -> None:
        model = fitted(head=head, dense=dense)
        items = [f"i{number:04d}" for number in (3, 8, 21)]
        live = model.live(Query.of(items[:2]))
        live.add(items[2:])
        assert live.recommend(k=6).ids() == model.recommend(Query.of(items), k=6).ids()


class TestColdItems:
    NEW = frozenset(range(24, 30))

    def listed(self, model: TIGER, k: int = 12) -> list[set[int]]:
        asked = [Query.of([f"i{kind + start:02d}" for start in (0, 4, 8)]) for kind in (0, 1)]
        return [set(row.tolist()) - {-1} for row in model.recommend(asked, k=k, fill=False).items]

    def test_dense_lists_new_items_beside_those_that_say_the_same(self) -> None:
        model = fitted(two_kinds(n_new=6), epochs=15, embedding_size=32)
        assert model.met.tolist() == [True] * 24 + [False] * 6
        assert model.known.all()
        for kind, row in enumerate(self.listed(model)):
            assert all(item % 2 == kind for item in row)
            assert row & self.NEW

    @pytest.mark.parametrize("head", ["beam", "parallel"])
    def test_by_codes_alone_they_can_be_reached_and_do_not_crowd_lists(self, head: str) -> None:
        model = fitted(two_kinds(n_new=6), epochs=15, embedding_size=32, dense=0.0, head=head)
        assert all(len(row & self.NEW) <= 3 for row in self.listed(model, 9))
        assert all(row >= self.NEW for row in self.listed(model, 27))

    def test_an_item_that_was_never_met_has_nothing_of_its_own(self) -> None:
        model = fitted(two_kinds(n_new=6), loss="sampled_softmax", n_negatives=8, neighbours=0)
        own = model.net.digits.own.own.weight.detach()
        assert not own[24:].any()
        assert own[:24].any(1).all()

    @pytest.mark.parametrize("company", [0.5, 1.0])
    def test_who_may_be_expected_to_use_a_new_item_is_in_its_code(self, company: float) -> None:
        """New items say what used ones say, so that they have the first digits of those."""
        titles = [f"{'red shoe' if item % 2 else 'green tea'}" for item in range(30)]
        items = pa.table({"item_id": [f"i{item:02d}" for item in range(30)], "title": titles})
        book = {"codebook": "residual_kmeans", "settings": {"levels": 1, "n_codes": 2}}
        model = fitted(Dataset.of(two_kinds().histories, items), company=company, codebook=book, epochs=1)
        kinds = model.item_codes[:, 0]
        assert kinds[0] != kinds[1]
        np.testing.assert_array_equal(kinds, np.where(np.arange(30) % 2, kinds[1], kinds[0]))
        grown = model.with_items(pa.table({"item_id": ["x", "y"], "title": ["green tea", "red shoe"]}))
        np.testing.assert_array_equal(grown.item_codes[30:, 0], kinds[:2])

    def test_items_that_come_later_get_codes_and_are_listed(self) -> None:
        model = fitted(two_kinds(), epochs=15, embedding_size=32)
        titles = [f"{'red shoe' if item % 2 else 'green tea'} number{item}" for item in range(24, 30)]
        more = model.with_items(pa.table({"item_id": [f"i{item:02d}" for item in range(24, 30)], "title": titles}))
        np.testing.assert_array_equal(more.item_codes[:24], model.item_codes)
        assert (more.item_codes < np.array(model.codes.sizes)).all()
        for kind, row in enumerate(self.listed(more)):
            assert row & self.NEW
            assert all(item % 2 == kind for item in row)
        again = more.recommend(Query.of(["i24", "i26"]), k=3)
        assert again.unknown is not None
        assert again.unknown.tolist() == [0]

    def test_another_catalogue_keeps_the_codes_of_known_items(self) -> None:
        model = fitted(two_kinds(), epochs=2)
        table = two_kinds(n_new=4).item_table.take(pa.array([27, 5, 26, 4, 25, 24]))
        other = model.with_catalogue(table)
        np.testing.assert_array_equal(other.item_codes[[1, 3]], model.item_codes[[5, 4]])
        assert other.met.tolist() == [False, True, False, True, False, False]
        assert other.tree.n_items == 6
        assert set(other.recommend(Query.of(["i05"]), k=5, fill=False).ids()) == {"i27", "i26", "i04", "i25", "i24"}

    @pytest.mark.parametrize("at_once", [True, False])
    def test_after_a_catalogue_shrank_new_items_have_codes_of_their_own(self, at_once: bool) -> None:
        """Of eight items that say the same three stay, whose last digits are not 0, 1, 2; three come again."""
        titles = ["green tea"] * 8 + [f"red shoe number{item}" for item in range(16)]
        items = pa.table({"item_id": [f"i{item:02d}" for item in range(24)], "title": titles})
        book = {"codebook": "residual_kmeans", "settings": {"levels": 1, "n_codes": 4}}
        model = fitted(Dataset.of(two_kinds().histories, items), company=0.0, codebook=book, epochs=1)
        group = np.flatnonzero((model.item_codes[:, :-1] == model.item_codes[0, :-1]).all(1))
        by_digit = group[np.argsort(model.item_codes[group, -1])]
        assert len(group) >= 8
        kept = np.setdiff1d(np.arange(24), by_digit[[0, 2, 3, 5, 6]])
        old = items.take(pa.array(kept))
        new = pa.table({"item_id": ["x", "y", "z"], "title": ["green tea"] * 3})
        if at_once:
            grown = model.with_catalogue(pa.concat_tables([old, new]))
        else:
            grown = model.with_catalogue(old).with_items(new.slice(0, 2)).with_items(new.slice(2))
        assert len(np.unique(grown.item_codes, axis=0)) == grown.n_items
        assert (grown.item_codes < np.array(grown.codes.sizes)).all()
        np.testing.assert_array_equal(grown.item_codes[: len(kept)], model.item_codes[kept])
        back = grown.with_catalogue(items)
        np.testing.assert_array_equal(back.item_codes[kept], model.item_codes[kept])
        assert len(np.unique(back.item_codes, axis=0)) == 24

    def test_more_items_than_last_digits_share_codes_evenly(self) -> None:
        model = fitted(two_kinds(), epochs=1, company=0.0)
        most = int(model.last_digit[0])
        n = 3 * most + 1
        new = pa.table({"item_id": [f"n{item}" for item in range(n)], "title": ["green tea number0"] * n})
        grown = model.with_items(new)
        codes = grown.item_codes[(grown.item_codes[:, :-1] == grown.item_codes[-1, :-1]).all(1), -1]
        counts = np.bincount(codes, minlength=most)
        assert counts.max() - counts.min() <= 1

    def test_a_catalogue_of_no_items_is_refused(self) -> None:
        model = fitted(two_kinds(), epochs=1)
        with pytest.raises(DataError, match="a catalogue of no items came"):
            model.with_catalogue(two_kinds().item_table.slice(0, 0))
        assert model.with_items(two_kinds().item_table.slice(0, 0)) is model

    def test_it_goes_on_learning_with_new_items(self, tmp_path: Path) -> None:
        model, more = fitted(two_kinds(), epochs=2), two_kinds(n_new=4)
        lists = [[24, 25, 26, 27, 0, 1], [27, 26, 3, 25, 24]] * 10
        later = Dataset.of(Histories.of_lists(lists), more.item_table)
        gone_on = model.adapt(later, epochs=2)
        np.testing.assert_array_equal(gone_on.item_codes[:24], model.item_codes)
        assert gone_on.met.all()
        gone_on.save(tmp_path / "model")
        ours, theirs = (one.recommend(later.queries(), k=4).ids() for one in (gone_on, load(tmp_path / "model")))
        assert ours == theirs

    def test_words_find_the_items_that_say_them(self) -> None:
        model = fitted(two_kinds(), epochs=15, embedding_size=32)
        asked = Query.of([], context={"text": "red shoe"})
        assert all(int(one[1:]) % 2 for one in model.recommend(asked, k=6).ids())
        with pytest.raises(ConfigError, match="reads no text"):
            fitted(two_kinds(), dense=0.0).recommend(asked, k=2)


class TestTraining:
    @pytest.mark.parametrize(("head", "dense"), WAYS)
    def test_saved_models_answer_alike(self, head: str, dense: float, tmp_path: Path) -> None:
        world = two_kinds(n_new=4, silent=(3,))
        model = fitted(world, head=head, dense=dense, item_features=())
        model.save(tmp_path / "model")
        again = load(tmp_path / "model")
        assert isinstance(again, TIGER)
        ours, theirs = (one.recommend(world.queries(), k=8) for one in (model, again))
        np.testing.assert_array_equal(ours.items, theirs.items)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)
        np.testing.assert_array_equal(again.item_codes, model.item_codes)
        said = model.said
        assert said is not None
        np.testing.assert_array_equal(again.codes.of(said, Run()), model.codes.of(said, Run()))

    def test_features_of_items_and_shared_rows_go_along(self, tmp_path: Path) -> None:
        world = tastes()
        model = fitted(world, item_features=("categories",), codes=4, epochs=1)
        model.save(tmp_path / "model")
        ours, theirs = (one.recommend(world.queries(), k=5) for one in (model, load(tmp_path / "model")))
        np.testing.assert_array_equal(ours.items, theirs.items)

    @pytest.mark.parametrize("objective", ["all_action", "masked"])
    def test_other_objectives_and_blocks_learn_codes_too(self, objective: str) -> None:
        model = fitted(objective=objective, block="ligr", features=("value", "gap"), relations=("time",), epochs=6)
        assert model.trained.epochs[-1].loss < model.trained.epochs[0].loss
        if objective == "masked":
            with pytest.raises(ConfigError, match="looks at both sides"):
                model.live()

    def test_codes_that_are_not_of_the_codebook_are_refused(self, tmp_path: Path) -> None:
        model = fitted(epochs=1)
        model.item_codes = model.item_codes + 100
        model.save(tmp_path / "model")
        with pytest.raises(DataError, match="damaged: it has codes of shape"):
            load(tmp_path / "model")

    def test_it_stops_early_and_goes_on_from_a_checkpoint(self, tmp_path: Path) -> None:
        split = LeaveLastOut().split(tastes())
        whole = fitted(split.train, validation=split.validation, epochs=4)
        assert all(one.measured is not None for one in whole.trained.epochs)

        class Cut(Exception):
            pass

        def stop(epoch: Any) -> None:
            if epoch.epoch == 2:
                raise Cut

        with pytest.raises(Cut):
            fitted(
                split.train,
                Run(seed=1, threads=1, checkpoint=tmp_path / "kept", watch=stop),
                split.validation,
                epochs=4,
            )
        went_on = fitted(split.train, Run(seed=1, threads=1, checkpoint=tmp_path / "kept"), split.validation, epochs=4)
        for ours, theirs in zip(whole.net.state_dict().values(), went_on.net.state_dict().values(), strict=True):
            assert torch.equal(ours, theirs)

    @pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce", "gbce"])
    def test_every_dense_loss_learns_with_items_that_are_never_met(self, loss: str) -> None:
        model = fitted(two_kinds(n_new=4), loss=loss, n_negatives=8, epochs=6)
        assert model.trained.epochs[-1].loss < model.trained.epochs[0].loss

    @pytest.mark.parametrize("text", ["none", "initial", "frozen", "added", "null_space"])
    def test_every_way_to_tell_what_items_say(self, text: str, tmp_path: Path) -> None:
        world = two_kinds()
        model = fitted(world, text=text, epochs=1)
        model.save(tmp_path / "model")
        ours, theirs = (one.recommend(world.queries(), k=5) for one in (model, load(tmp_path / "model")))
        np.testing.assert_array_equal(ours.items, theirs.items)

    def test_without_rows_a_catalogue_is_a_few_vectors_for_each_digit(self, tmp_path: Path) -> None:
        model = fitted(rows=False, text="none")
        model.save(tmp_path / "model")
        items = {
            name: one for name, one in load_file(tmp_path / "model/weights.safetensors").items() if "items" in name
        }
        assert items.keys() == {"items.weight", "items.codes"}
        assert items["items.weight"].shape == (sum(model.codes.sizes), 16)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"rows": False, "text": "added"}, "text=added gives items rows of their own"),
            ({"head": "tree"}, "'head'"),
            ({"company": 1.5}, "'company'"),
            ({"beams": 0}, "'beams'"),
            ({"codebook": 7}, "'codebook'"),
        ],
    )
    def test_settings_that_do_not_go_together(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            TIGER(**options)

    def test_a_codebook_that_is_not_there_is_named(self) -> None:
        with pytest.raises(ConfigError, match="unknown codebook 'residual_kmean'; did you mean 'residual_kmeans'"):
            fitted(codebook="residual_kmean")

    def test_settings_of_a_codebook_are_its_own(self) -> None:
        with pytest.raises(ConfigError, match="unknown setting"):
            fitted(codebook={"codebook": "residual_kmeans", "settings": {"level": 2}})

    def test_a_search_is_no_graph(self, tmp_path: Path) -> None:
        assert "tiger" not in exportable()
        assert "sasrec" in exportable()
        with pytest.raises(ConfigError, match="tiger searches a tree of codes, which an ONNX graph cannot hold"):
            export(fitted(epochs=1), tmp_path / "graph")

    def test_settings_without_use_are_named(self, caplog: pytest.LogCaptureFixture) -> None:
        fitted(head="parallel", dense=0.0, beams=7, decoder_layers=2, n_negatives=5, company=0.0, epochs=1)
        for said in (
            "beams has no effect, as head parallel scores all items",
            "decoder_layers has no effect, as head parallel has no decoder",
            "n_negatives has no effect, as dense is 0",
            "company_size has no effect, as company is 0",
        ):
            assert said in caplog.text
        assert "encoder has no effect" not in caplog.text


def test_words_without_text_make_no_code_of_a_new_item() -> None:
    model = fitted(two_kinds(), text="none", company=1.0, words="title", epochs=1)
    assert not model.reads_text
    new = pa.table({"item_id": ["new"], "title": ["green tea"]})
    with pytest.raises(ConfigError, match="so it has nothing to say of new ones"):
        model.with_items(new)
