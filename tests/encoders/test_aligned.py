"""`aligned` in a world whose answer is known: things of two kinds that share no word, but are used together."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("torch")

import torch

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.encoders import Aligned, load
from zhiyin.encoders._aligning import contrast, head_of, log_shares, through
from zhiyin.encoders._company import Company, split
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run
from zhiyin.testing.encoders import TextEncoderSuite, films

TFIDF = {"encoder": "tfidf", "settings": {"embedding_size": 32, "max_share": 1.0}}
QUICK = {"epochs": 15, "batch_size": 128, "learning_rate": 0.01, "temperature": 0.1}
SCENES = [
    ("espresso grinder filter kettle barista roast", "porcelain cup saucer spoon sugar mug"),
    ("tent rope compass backpack stove lantern", "boots raincoat gloves socks jacket hat"),
    ("violin cello bow rosin sonata strings", "concert ticket opera balcony evening gala"),
]
"""What is used together: the words of one kind of thing, and of another."""
N, UNTOUCHED = 30, 6
"""Items of each kind, the last of which nobody has used."""


@pytest.fixture(scope="module")
def world() -> Dataset:
    """Users of one scene each, who use things of both of its kinds in turn."""
    rng = np.random.default_rng(0)
    kinds = [kind.split() for scene in SCENES for kind in scene]
    titles = [" ".join(rng.choice(kind, 3, replace=False)) for kind in kinds for _ in range(N)]
    lists = []
    for user in range(150):
        kind = 2 * (user % len(SCENES))
        used = rng.choice(N - UNTOUCHED, (2, 5), replace=False) + np.array([[kind * N], [(kind + 1) * N]])
        lists.append(used.T.ravel().tolist())
    items = pa.table({"item_id": [f"i{row}" for row in range(len(titles))], "title": titles})
    return Dataset.of(Histories.of_lists(lists), items, clock="position")


KIND = np.repeat(np.arange(2 * len(SCENES)), N)
TOUCHED = np.tile(np.arange(N) < N - UNTOUCHED, 2 * len(SCENES))


@pytest.fixture(scope="module")
def aligned(world: Dataset) -> Aligned:
    return Aligned(encoder=TFIDF, **QUICK).fit(world)


class TestAligned(TextEncoderSuite):
    encoder = Aligned
    options = {
        "encoder": {"encoder": "tfidf", "settings": {"embedding_size": 8}},
        "epochs": 2,
        "batch_size": 8,
        "hidden": 4,
    }

    def catalogue(self) -> Dataset:
        return Dataset.of(Histories.of_lists([[0, 1, 2, 3], [4, 5, 6, 7]] * 4), films(), clock="position")


def partners(vectors: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """The mean cosine of items to those of the other kind of their scene, and to those of other scenes."""
    cosines, scene = vectors[rows] @ vectors.T, KIND // 2
    same = scene[rows, None] == scene[None]
    return float(cosines[same & (KIND[rows, None] != KIND[None])].mean()), float(cosines[~same].mean())


def test_things_used_together_lie_together_also_new_ones(world: Dataset, aligned: Aligned) -> None:
    (part,) = aligned.parts.values()
    before = part.encode(world, keep=False).values
    after = aligned.encode(world, keep=False).values
    for rows in (np.flatnonzero(TOUCHED), np.flatnonzero(~TOUCHED)):
        (was, others_were), (now, others_now) = partners(before, rows), partners(after, rows)
        assert was < 0.05  # no word in common
        assert now > 0.8
        assert others_now < 0.2
        assert now - others_now > was - others_were + 0.6
    # kinds are still told apart by their words
    own = after @ after.T
    assert own[KIND[:, None] == KIND[None]].mean() > partners(after, np.arange(len(KIND)))[0]


def test_plain_words_find_what_people_use_with_it(world: Dataset, aligned: Aligned) -> None:
    found = aligned.encode(world, keep=False).values
    (part,) = aligned.parts.values()
    plain = part.encode(world, keep=False).values
    new = ~TOUCHED
    for scene, (one, other) in enumerate(SCENES):
        for kind, words in ((2 * scene + 1, one), (2 * scene, other)):
            query = " ".join(words.split()[:2])
            among = new & (np.equal(KIND, kind) | (scene != KIND // 2))  # not of the kind whose words they are
            scores = np.where(among, aligned.encode_texts([query])[0] @ found.T, -2)
            assert (KIND[np.argsort(-scores)[:UNTOUCHED]] == kind).mean() == 1
            assert (part.encode_texts([query])[0] @ plain.T)[np.equal(KIND, kind)].max() < 0.05


def test_losses_tell_what_was_gained_on_items_never_seen(aligned: Aligned) -> None:
    assert len(aligned.losses) > 2
    assert aligned.losses.min() < 0.7 * aligned.losses[0]


def test_without_learning_it_is_its_encoder(world: Dataset) -> None:
    for hidden in (0, 4):
        encoder = Aligned(encoder=TFIDF, epochs=0, hidden=hidden).fit(world)
        (part,) = encoder.parts.values()
        right = part.encode(world, keep=False).values
        np.testing.assert_allclose(encoder.encode(world, keep=False).values, right, atol=1e-6)


def test_behaviour_without_sense_teaches_nothing(world: Dataset) -> None:
    """On pairs at random no epoch helps on items held out, so that the head stays as it began."""
    rng = np.random.default_rng(1)
    lists = [rng.choice(len(KIND), 8, replace=False).tolist() for _ in range(60)]
    senseless = Dataset.of(Histories.of_lists(lists), world.item_table, clock="position")
    encoder = Aligned(encoder=TFIDF, learning_rate=0.01, batch_size=128, temperature=0.5).fit(senseless)
    best = int(encoder.losses.argmin())
    assert len(encoder.losses) <= best + 1 + 3  # patience
    assert encoder.outer.any() == (best > 0)
    assert encoder.losses.min() > 0.9 * encoder.losses[0]


def test_the_order_need_not_be_known(world: Dataset) -> None:
    bag = Dataset.of(world.histories, world.item_table, clock="none")
    encoder = Aligned(encoder=TFIDF, **QUICK).fit(bag)
    now, others = partners(encoder.encode(world, keep=False).values, np.flatnonzero(~TOUCHED))
    assert now > others + 0.4


def test_the_same_seed_gives_the_same_head(world: Dataset) -> None:
    settings = {"encoder": TFIDF, "epochs": 2, "hidden": 8}
    one, same, other = (Aligned(**settings).fit(world, run=Run(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.outer, same.outer)
    assert not np.array_equal(one.outer, other.outer)
    assert one.identity() == same.identity() != other.identity()


def test_its_encoder_keeps_vectors_of_its_own(world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHIYIN_CACHE", str(tmp_path))
    monkeypatch.setattr("zhiyin.encoders.tfidf.TFIDF.worth_keeping", True)
    encoder = Aligned(encoder=TFIDF, epochs=1).fit(world)
    assert encoder.encode(world).encoded == 0  # fitting has read them all
    assert Aligned(encoder=TFIDF, epochs=2).fit(world).encode(world).encoded == 0
    assert len(list((tmp_path / "vectors").iterdir())) == 1


def test_what_says_nothing_stays_zero(aligned: Aligned) -> None:
    found = aligned.encode(films([None, "espresso kettle", "nobody knows"]), keep=False)
    assert found.silent.tolist() == [0]
    assert found.unreadable.tolist() == [2]
    assert found.values.any(1).tolist() == [False, True, False]
    assert found.filled == {"tfidf": 0}


def test_what_teaches_nothing_is_refused(world: Dataset) -> None:
    with pytest.raises(DataError, match=r"zhiyin\.Dataset with histories is expected, but Table came.*tfidf"):
        Aligned(encoder=TFIDF).fit(world.item_table)
    alone = Dataset.of(Histories.of_lists([[0], [1], [2, 2]]), world.item_table)
    with pytest.raises(DataError, match="no history in 'by hand' has two different items"):
        Aligned(encoder=TFIDF).fit(alone)
    with pytest.raises(ConfigError, match="tunes a model of sentence-transformers, but the encoder is tfidf"):
        Aligned(encoder=TFIDF, tune=True).fit(world)
    with pytest.raises(ConfigError, match="unknown encoder 'multilingul'"):
        Aligned(encoder="multilingul").fit(world)
    with pytest.raises(ConfigError, match="is not there"):
        Aligned(encoder=TFIDF).fit(world, run=Run(device="cuda:7"))


def test_a_failed_fit_leaves_no_half_of_an_encoder(world: Dataset) -> None:
    encoder = Aligned(encoder=TFIDF, epochs=1).fit(world)
    with pytest.raises(ConfigError):
        encoder.fit(world, run=Run(device="cuda:7"))
    with pytest.raises(Exception, match="fit"):
        encoder.encode(world)


# ---------------------------------------------------------------------- pairs


def test_pairs_follow_each_other_within_the_window() -> None:
    histories = Histories.of_lists([[0, 1, 2, 3, 4], [], [5], [6, 7]])
    drawn = Company(histories, 2, True).draw(5_000, np.random.default_rng(0))
    assert {tuple(pair) for pair in drawn.tolist()} == {
        (0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (6, 7),
    }  # fmt: skip
    assert Company(histories, 2, True).n_firsts == 5
    firsts = np.bincount(drawn[:, 0], minlength=8) / len(drawn)
    np.testing.assert_allclose(firsts[[0, 1, 2, 3, 6]], 0.2, atol=0.03)


def test_without_order_any_two_of_a_history_are_a_pair() -> None:
    histories = Histories.of_lists([[0, 1, 2], [3], [4, 4], [5, 6]])
    drawn = Company(histories, 1, False).draw(5_000, np.random.default_rng(0))
    right = {(a, b) for a in range(3) for b in range(3) if a != b} | {(5, 6), (6, 5)}
    assert {tuple(pair) for pair in drawn.tolist()} == right
    assert Company(histories, 1, False).n_firsts == 7


def test_held_out_items_are_in_no_pair_that_teaches(world: Dataset) -> None:
    company = Company(world.histories, 5, True)
    rest, held = split(company, 0.2, np.random.default_rng(0))
    taught = np.unique(rest.draw(100_000, np.random.default_rng(0)))
    touched = np.unique(world.histories.item)
    assert len(np.setdiff1d(touched, taught)) == round(0.2 * len(touched))
    assert (~np.isin(held, taught)).any(1).all()


def test_too_few_items_hold_nothing_out() -> None:
    company = Company(Histories.of_lists([[0, 1], [1, 2]]), 5, True)
    rest, held = split(company, 0.1, np.random.default_rng(0))
    assert rest is company
    assert held.shape == (0, 2)


# ---------------------------------------------------------------------- the loss


def test_the_loss_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(4, 3)) for _ in range(2))
    first, second = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (first, second))
    pairs = np.array([[0, 1], [2, 1], [3, 4], [4, 0]])
    shares = log_shares(pairs, 6)
    np.testing.assert_allclose(np.exp(shares), np.array([2, 2, 1, 1, 2, 1]) / 8, rtol=1e-6)
    total = []
    for one, other, ends in ((first, second, pairs), (second, first, pairs[:, ::-1])):
        for row in range(4):
            seen = [
                column for column in range(4) if column == row or ends[column, 1] not in (ends[row, 1], ends[row, 0])
            ]
            logits = np.array([one[row] @ other[column] / 0.3 - shares[ends[column, 1]] for column in seen])
            total.append(np.log(np.exp(logits).sum()) - logits[seen.index(row)])
    given = [torch.tensor(one) for one in (first, second, pairs, shares)]
    np.testing.assert_allclose(float(contrast(*given, 0.3)), np.mean(total), rtol=1e-6)


def test_a_new_head_changes_nothing_and_numpy_equals_torch() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, 6)).astype(np.float32)
    for hidden in (0, 3):
        head = head_of(6, hidden, rng)
        np.testing.assert_array_equal(through(vectors, head, lambda value: np.maximum(value, 0)), vectors)
        head["outer"] += rng.normal(size=head["outer"].shape).astype(np.float32)
        ours = through(vectors, head, lambda value: np.maximum(value, 0))
        torched = {name: torch.from_numpy(value) for name, value in head.items()}
        np.testing.assert_allclose(through(torch.from_numpy(vectors), torched, torch.relu).numpy(), ours, atol=1e-5)


# ---------------------------------------------------------------------- tuning


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small text encoder of sentence-transformers, whose weights are drawn here."""
    library = pytest.importorskip("sentence_transformers")
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted({word for scene in SCENES for kind in scene for word in kind.split()})
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    reads = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    reads.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    folder = tmp_path_factory.mktemp("small") / "bert"
    transformers.BertModel(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=reads, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    net = library.SentenceTransformer(str(folder), device="cpu")
    place = tmp_path_factory.mktemp("small") / "sentence"
    net.save_pretrained(str(place), create_model_card=False)
    return place


def test_a_whole_text_encoder_is_tuned_and_saved(world: Dataset, small: Path, tmp_path: Path) -> None:
    settings = {"encoder": "sentence", "settings": {"model": str(small)}}
    options = {"tune": True, "tune_epochs": 3, "tune_pairs": 640, "tune_learning_rate": 3e-3, "epochs": 0}
    encoder = Aligned(encoder=settings, temperature=0.1, **options).fit(world)
    plain = Aligned(encoder=settings, epochs=0).fit(world)
    now, others = partners(encoder.encode(world, keep=False).values, np.flatnonzero(~TOUCHED))
    was, others_were = partners(plain.encode(world, keep=False).values, np.flatnonzero(~TOUCHED))
    assert now - others > was - others_were + 0.3
    again = load(encoder.save(tmp_path / "encoder"))
    assert (tmp_path / "encoder" / "tuned" / "model.safetensors").is_file()
    assert again.identity() == encoder.identity() != plain.identity()
    np.testing.assert_allclose(
        again.encode(world, keep=False).values, encoder.encode(world, keep=False).values, atol=1e-5
    )
    np.testing.assert_allclose(again.encode_texts(["espresso"]), encoder.encode_texts(["espresso"]), atol=1e-5)
    once_more = load(again.save(tmp_path / "again"))
    assert once_more.identity() == encoder.identity()


@pytest.fixture(scope="module")
def tuned(world: Dataset, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an encoder that was tuned a little."""
    settings = {"encoder": "sentence", "settings": {"model": str(small)}}
    encoder = Aligned(encoder=settings, tune=True, tune_pairs=64, epochs=0).fit(world)
    return encoder.save(tmp_path_factory.mktemp("tuned") / "encoder")


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("change", ["weights", "hash", "gone"])
def test_a_tuned_model_that_was_altered_is_refused(tuned: Path, tmp_path: Path, change: str, sealed: bool) -> None:
    """Also that of a folder from before there was a seal."""
    folder = Path(shutil.copytree(tuned, tmp_path / "encoder"))
    if not sealed:
        (folder / "tuned.json").unlink()
    assert load(folder).encode_texts(["espresso"]).any()
    if change == "weights":
        file = folder / "tuned" / "model.safetensors"
        held = bytearray(file.read_bytes())
        held[-2] ^= 1
        file.write_bytes(held)
    elif change == "hash":
        said = json.loads((folder / "texts.json").read_text())
        said["weights"] = ["0" * 32]
        (folder / "texts.json").write_text(json.dumps(said))
    else:
        shutil.rmtree(folder / "tuned")
    with pytest.raises(DataError, match="is missing" if change == "gone" else "its files were altered"):
        load(folder)
