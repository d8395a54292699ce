import numpy as np
import pytest

from zhiyin.encoders import Multilingual
from zhiyin.encoders._terms import tokenize
from zhiyin.testing.encoders import TextEncoderSuite

from .titles import recall, titles


class TestMultilingual(TextEncoderSuite):
    encoder = Multilingual
    made_before: "Multilingual | None" = None

    def made(self, **changes):
        """One for all tests: it takes seconds to read."""
        if changes:
            return super().made(**changes)
        kind = type(self)
        kind.made_before = kind.made_before or super().made()
        kind.made_before.__dict__.pop("identity", None)
        return kind.made_before


@pytest.fixture(scope="module")
def told() -> dict[str, np.ndarray]:
    encoder = TestMultilingual().made()
    return {
        name: encoder.encode_texts(texts, purpose="query" if name.endswith("asked") else "item")
        for name, texts in titles().items()
    }


def test_a_title_and_its_translation_land_together(told: dict[str, np.ndarray]) -> None:
    """Of 200 pairs, the translation is the nearest of all titles; measured: 1.000 and 0.990."""
    assert recall(told["en"], told["zh"], 1) >= 0.98
    assert recall(told["zh"], told["en"], 1) >= 0.98


@pytest.mark.parametrize(
    ("asked", "title", "measured"),
    [("en_asked", "en", 0.99), ("zh_asked", "zh", 0.97), ("zh_asked", "en", 0.985), ("en_asked", "zh", 0.97)],
)
def test_other_words_find_a_title(told: dict[str, np.ndarray], asked: str, title: str, measured: float) -> None:
    """Recall@10 among 200 titles; 0.9 is the target."""
    found = recall(told[asked], told[title], 10)
    assert found >= 0.9
    assert found == pytest.approx(measured, abs=0.02)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_who_asks_does_not_repeat_the_title(language: str) -> None:
    """Hardly any word of a title stands in what is asked, and never more than half of them."""
    given = titles()
    assert len(set(given[language])) == len(set(given[f"{language}_asked"])) == 200
    pairs = [
        [set(tokenize(one)) for one in pair] for pair in zip(given[language], given[f"{language}_asked"], strict=True)
    ]
    shares = [len(title & asked) / len(title) for title, asked in pairs]
    assert np.mean(shares) < 0.1
    assert max(shares) <= 0.5
