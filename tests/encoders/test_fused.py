"""`fused` of parts whose joint behaviour is known, and of real words and pictures."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.encoders import Fused, load
from zhiyin.encoders._fusion import agreement, best_ridge, prediction, scaling, second_moment, with_ridge
from zhiyin.encoders._parts import parts_of
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run
from zhiyin.testing.encoders import TextEncoderSuite, films


class NumbersConfig(TextConfig):
    """Settings of `Numbers`."""


class Numbers(TextEncoder):
    """The vector of a text is the numbers that stand in it."""

    config: NumbersConfig

    def _encode(self, contents, run):
        return np.array([[float(one) for one in text.split()] for text in contents], np.float32)


@pytest.fixture(scope="module", autouse=True)
def _importable():
    """`numbers_of_tests:Numbers` is an encoder."""
    module = ModuleType("numbers_of_tests")
    module.Numbers = Numbers
    Numbers.__module__ = "numbers_of_tests"
    sys.modules["numbers_of_tests"] = module
    module.NumbersConfig = NumbersConfig
    yield
    del sys.modules["numbers_of_tests"]


def reader(column: str, weight: float = 1.0) -> dict[str, object]:
    return {"encoder": "numbers_of_tests:Numbers", "weight": weight, "settings": {"text": column}}


def table(**columns: np.ndarray) -> pa.Table:
    """Vectors of a row as text; of a row of NaN, none."""
    texts = {
        name: [None if np.isnan(row).any() else " ".join(f"{one:.6f}" for one in row) for row in rows]
        for name, rows in columns.items()
    }
    n = len(next(iter(texts.values())))
    kinds = {name: pa.array(rows, pa.string()) for name, rows in texts.items()}
    return pa.table({"item_id": [f"i{row}" for row in range(n)], **kinds})


def units(n: int, width: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(n, width))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def centred(rows: np.ndarray) -> np.ndarray:
    moved = rows - rows.mean(0)
    return moved / np.sqrt((moved**2).sum(1).mean())


class TestFused(TextEncoderSuite):
    encoder = Fused
    options = {
        "parts": [
            {"encoder": "tfidf", "settings": {"embedding_size": 8}},
            {"encoder": "tfidf", "weight": 0.5, "settings": {"embedding_size": 3}},
        ]
    }


class TestFusedMean(TestFused):
    options = {**TestFused.options, "method": "mean"}


def test_side_by_side_by_hand() -> None:
    one, other = units(40, 3), units(40, 50, seed=1) + 3  # of another width, and far from the middle
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    encoder = Fused(parts=[reader("a", 2), reader("b", 1)])
    found = encoder.fit(table(a=one, b=other)).encode(table(a=one, b=other), keep=False).values
    right = np.concatenate([2 * centred(one), centred(other)], axis=1)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    np.testing.assert_allclose(found, right, atol=1e-4)
    assert encoder.width == 53


def test_no_part_dominates_by_its_width_or_its_spread() -> None:
    one, other = units(200, 3), units(200, 60, seed=1) * 0.02 + 1
    found = Fused(parts=[reader("a"), reader("b")]).fit(table(a=one, b=other)).encode(table(a=one, b=other), keep=False)
    shares = (found.values[:, :3] ** 2).sum(1)
    assert 0.45 < shares.mean() < 0.55


def test_fewer_directions_keep_the_cosines_of_many() -> None:
    base = units(100, 4)
    other = units(4, 30, seed=1)
    both = table(a=base, b=base @ other)
    whole = Fused(parts=[reader("a"), reader("b")]).fit(both).encode(both, keep=False).values
    encoder = Fused(parts=[reader("a"), reader("b")], embedding_size=12).fit(both, run=Run(seed=3))
    found = encoder.encode(both, keep=False).values
    assert found.shape == (100, 12)
    np.testing.assert_allclose(found @ found.T, whole @ whole.T, atol=0.02)
    few = Fused(parts=[reader("a"), reader("b")], embedding_size=2).fit(both).encode(both, keep=False).values
    assert few.shape == (100, 2)


@pytest.fixture(scope="module")
def turned() -> tuple[np.ndarray, np.ndarray]:
    """Vectors of two parts, of which either tells the other one: the second is the first, turned."""
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    one = units(400, 6)
    return one, one @ turn


def test_what_is_missing_is_predicted_from_the_rest(turned, caplog: pytest.LogCaptureFixture) -> None:
    one, other = (part.copy() for part in turned)
    encoder = Fused(parts=[reader("a"), reader("b")]).fit(table(a=one, b=other))
    whole = encoder.encode(table(a=one, b=other), keep=False)
    one[300:350], other[:50], one[399], other[399] = np.nan, np.nan, np.nan, np.nan
    learnt = Fused(parts=[reader("a"), reader("b")]).fit(table(a=one, b=other))
    found = learnt.encode(table(a=one, b=other), keep=False)
    assert (learnt.explained > 0.98).all()
    cosines = (found.values * whole.values).sum(1)
    assert cosines[:399].min() > 0.98
    assert found.filled == {"numbers_of_tests:Numbers": 50, "numbers_of_tests:Numbers 2": 50}
    assert found.silent.tolist() == [399]
    assert not found.values[399].any()
    assert "of 50 of 400 items is predicted from the rest" in caplog.text


def test_what_is_missing_may_stay_zero(turned) -> None:
    one, other = (part.copy() for part in turned)
    other[:50] = np.nan
    encoder = Fused(parts=[reader("a"), reader("b")], missing="zero").fit(table(a=one, b=other))
    found = encoder.encode(table(a=one, b=other), keep=False).values
    assert not found[:50, 6:].any()
    assert found[50:, 6:].any(1).all()
    assert encoder.moment.shape == (0, 0)


def test_what_the_rest_does_not_tell_is_not_made_up() -> None:
    one, other = units(400, 6), units(400, 6, seed=1)
    encoder = Fused(parts=[reader("a"), reader("b")]).fit(table(a=one, b=other))
    assert (encoder.explained < 0.1).all()
    other[:50] = np.nan
    found = encoder.encode(table(a=one, b=other), keep=False).values
    shares = (found[:50, 6:] ** 2).sum(1)
    assert shares.max() < 0.1


def test_averaged_only_what_parts_agree_in_is_left() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(600, 2))
    one, other = (
        np.concatenate([shared, 2 * rng.normal(size=(600, 6))], axis=1) @ rng.normal(size=(8, 8)) for _ in range(2)
    )
    one, other = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (one, other))

    def neighbours(vectors: np.ndarray) -> np.ndarray:
        return (vectors @ vectors.T - 2 * np.eye(600)).argmax(1)

    def near(vectors: np.ndarray) -> float:
        """How near the nearest item lies in what is shared."""
        told = shared / np.linalg.norm(shared, axis=1, keepdims=True)
        return float((told * told[neighbours(vectors)]).sum(1).mean())

    both = table(a=one, b=other)
    made = {
        method: Fused(parts=[reader("a"), reader("b")], method=method, embedding_size=size).fit(both)
        for method, size in (("mean", 2), ("concat", None))
    }
    found = {method: near(encoder.encode(both, keep=False).values) for method, encoder in made.items()}
    assert found["mean"] > 0.8 > found["concat"] + 0.2


def test_whitened_directions_vary_alike() -> None:
    wide = np.random.default_rng(0).normal(size=(2_000, 5)) * [8, 4, 2, 1, 1]
    moment = second_moment(wide)
    for whiten, most in ((0.0, 64), (0.5, 8.5), (1.0, 1.4)):
        by = scaling(moment, whiten)
        seen = second_moment(wide * by if by.ndim == 0 else wide @ by)
        variances = np.linalg.eigvalsh(seen)
        np.testing.assert_allclose(variances.sum(), 1, rtol=1e-6)
        assert variances[-1] / variances[0] < most * 1.15


def test_settings_are_told_apart_and_parts_share_what_is_kept(
    turned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZHIYIN_CACHE", str(tmp_path))
    both = table(a=turned[0], b=turned[1])
    one, other = (Fused(parts=[reader("a", weight), reader("b")]).fit(both) for weight in (1, 2))
    assert one.identity() != other.identity()
    for encoder in (one, other):
        found = encoder.encode(both)
        assert (found.encoded, found.kept) == (0, 400)
    assert len(list((tmp_path / "vectors").iterdir())) == 1  # two readers of one encoder


# ---------------------------------------------------------------------- words and pictures


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Things of three colours with a title and a picture; of every tenth one, the title is missing."""
    pillow = pytest.importorskip("PIL.Image")
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    titles, paths = [], []
    for number in range(90):
        name, colour = [("red", (180, 20, 20)), ("blue", (20, 30, 180)), ("green", (20, 150, 40))][number % 3]
        thing = ["shirt", "scarf", "jacket", "towel"][number // 3 % 4]
        noisy = np.clip(np.array(colour) + rng.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
        paths.append(str(folder / f"{number}.png"))
        pillow.fromarray(noisy).save(paths[-1])
        titles.append(None if number % 10 == 0 else f"{name} {thing} of cotton")
    return pa.table(
        {"item_id": [str(row) for row in range(90)], "title": pa.array(titles, pa.string()), "image": paths}
    )


@pytest.fixture(scope="module")
def seen(shop: pa.Table) -> Fused:
    return Fused(parts=[{"encoder": "tfidf", "settings": {"embedding_size": 16}}, "image"]).fit(shop)


def test_words_find_pictures_without_a_title(shop: pa.Table, seen: Fused) -> None:
    found = seen.encode(shop, keep=False)
    assert found.filled == {"tfidf": 9, "image": 0}
    untitled = np.arange(0, 90, 10)
    for colour, name in enumerate(("red", "blue", "green")):
        scores = seen.encode_texts([f"{name} cotton"])[0] @ found.values.T
        best = untitled[np.argsort(-scores[untitled])[:3]]
        assert (best % 3 == colour).all()


def test_a_text_is_read_by_the_parts_that_read_texts(shop: pa.Table, seen: Fused) -> None:
    asked = seen.encode_texts(["red shirt", "", "unknownwords"])
    assert asked.any(1).tolist() == [True, False, False]
    titled = shop.append_column("x", pa.array([None] * 90, pa.string())).select(["item_id", "title"])
    alone = seen.encode(titled.slice(3, 1), keep=False)  # a table without pictures
    assert alone.filled == {"tfidf": 0, "image": 1}
    np.testing.assert_allclose(
        seen.encode_texts([titled.column("title")[3].as_py()], purpose="item"), alone.values, atol=1e-5
    )
    with pytest.raises(ConfigError, match="none of its parts \\(image, image 2\\) reads texts"):
        Fused(parts="image,image").fit(shop).encode_texts(["red"])


def test_a_part_may_have_parts_itself(shop: pa.Table) -> None:
    pictures = {"encoder": "fused", "settings": {"parts": "image,image"}}
    encoder = Fused(parts=["tfidf", pictures]).fit(shop)
    assert encoder.encode_texts(["red"]).shape == (1, encoder.width)
    assert encoder.encode(shop, keep=False).filled == {"tfidf": 9, "fused": 0}


def test_broken_files_count_as_missing(shop: pa.Table, seen: Fused, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    paths = pa.array([str(tmp_path / "broken.png")] * 2)
    rows = pa.table({"item_id": ["a", "b"], "title": pa.array(["red shirt", None]), "image": paths})
    found = seen.encode(rows, keep=False)
    assert found.filled == {"tfidf": 0, "image": 1}
    assert found.unreadable.tolist() == [1]
    assert found.values.any(1).tolist() == [True, False]


def test_save_and_load_with_all_parts(shop: pa.Table, seen: Fused, tmp_path: Path) -> None:
    again = load(seen.save(tmp_path / "fused"))
    assert again.identity() == seen.identity()
    ours, theirs = (one.encode(shop, keep=False) for one in (seen, again))
    np.testing.assert_array_equal(ours.values, theirs.values)
    np.testing.assert_array_equal(again.encode_texts(["red"]), seen.encode_texts(["red"]))


def test_a_catalogue_that_teaches_nothing_is_refused(shop: pa.Table) -> None:
    empty = shop.set_column(2, "image", pa.array([None] * 90, pa.string()))
    with pytest.raises(DataError, match="no item says anything to image"):
        Fused(parts="tfidf,image").fit(empty)
    with pytest.raises(DataError, match="unknown column 'image'"):
        Fused(parts="tfidf,image").fit(shop.select(["item_id", "title"]))
    same = shop.set_column(2, "image", pa.array([shop.column("image")[0].as_py()] * 90))
    with pytest.raises(DataError, match="all 90 items say the same to image"):
        Fused(parts="tfidf,image").fit(same)
    half = np.arange(90) < 45
    titles = [one if first else None for one, first in zip(shop.column("title").to_pylist(), half, strict=True)]
    paths = [None if first else one for one, first in zip(shop.column("image").to_pylist(), half, strict=True)]
    apart = pa.table({"item_id": shop.column("item_id"), "title": titles, "image": paths})
    with pytest.raises(DataError, match="0 of 90 items say something to all of tfidf, image"):
        Fused(parts="tfidf,image").fit(apart)
    assert Fused(parts="tfidf,image", missing="zero").fit(apart).encode(apart, keep=False).speaks.sum() > 80


# ---------------------------------------------------------------------- settings and algebra


def test_parts_in_one_text() -> None:
    assert parts_of("multilingual:2, image") == [{"encoder": "multilingual", "weight": 2.0}, {"encoder": "image"}]
    assert parts_of("my.encoders:Mine,tfidf") == [{"encoder": "my.encoders:Mine"}, {"encoder": "tfidf"}]
    assert parts_of("my.encoders:Mine:0.5") == [{"encoder": "my.encoders:Mine", "weight": 0.5}]
    assert Fused(parts='[{"encoder": "tfidf", "settings": {"text": "a"}}, "image:3"]').config.parts[1].weight == 3
    for wrong in ("tfidf", "tfidf,image:0", [{"encoder": "tfidf", "wait": 1}, "image"]):
        with pytest.raises(ConfigError, match="parts"):
            Fused(parts=wrong)
    with pytest.raises(ConfigError, match="did you mean 'image'"):
        Fused(parts="tfidf,imag").fit(films())


def test_texts_settings_are_handed_to_the_parts() -> None:
    encoder = Fused(parts=["tfidf", {"encoder": "tfidf", "settings": {"text": "b"}}, "image"], text="a", most_letters=9)
    first, second, third = encoder.parts.values()
    assert (first.config.text, first.config.most_letters) == (("a",), 9)
    assert (second.config.text, second.config.most_letters) == (("b",), 9)
    assert third.config.column == "image"


def test_prediction_is_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 5)) @ rng.normal(size=(5, 5))
    sizes = np.array([2, 3])
    known = np.array([True, True, False, False, False])
    moment = with_ridge(second_moment(x), sizes, 0.1)
    ridge = 0.1 * (x[:, :2] ** 2).mean()
    wide = np.concatenate([x[:, :2], np.sqrt(50 * ridge) * np.eye(2)])
    right = np.linalg.lstsq(wide, np.concatenate([x[:, 2:], np.zeros((2, 3))]), rcond=None)[0]
    np.testing.assert_allclose(prediction(moment, known), right, rtol=1e-6)


def test_the_ridge_is_the_one_that_predicts_best() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(60, 1))
    noisy = np.concatenate([shared + rng.normal(size=(60, 30)), shared + rng.normal(size=(60, 30))], axis=1)
    ridge, explained = best_ridge(noisy.astype(np.float32), np.array([30, 30]))
    assert ridge >= 1
    assert (explained > 0.1).all()  # 0.5 at most: half of what varies is noise
    assert best_ridge(noisy[:5].astype(np.float32), np.array([30, 30]))[0] == 1.0


def test_agreement_of_two_parts_is_canonical_correlation() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 300, 4))
    other[:, 0] += 2 * one[:, 0]
    x = np.concatenate([one, other], axis=1)
    moment = second_moment(x)
    found = agreement(moment, np.array([4, 4]), 1)
    roots = [np.linalg.inv(np.linalg.cholesky(moment[part, part])) for part in (slice(0, 4), slice(4, 8))]
    correlation = np.linalg.svd(roots[0] @ moment[:4, 4:] @ roots[1].T)[1]
    seen_one, seen_other = one @ found[:4, 0], other @ found[4:, 0]
    cosine = seen_one @ seen_other / np.linalg.norm(seen_one) / np.linalg.norm(seen_other)
    np.testing.assert_allclose(cosine, correlation[0], rtol=1e-6)
    blocks = np.where(np.repeat([0, 1], 4)[:, None] == np.repeat([0, 1], 4), moment, 0)
    np.testing.assert_allclose(np.sqrt(found[:, 0] @ blocks @ found[:, 0]), correlation[0], rtol=1e-6)  # its weight
