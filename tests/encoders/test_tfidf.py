from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.encoders import TFIDF, load
from zhiyin.errors import DataError
from zhiyin.testing.encoders import FILMS, TextEncoderSuite, films


class TestTFIDF(TextEncoderSuite):
    encoder = TFIDF
    options = {"embedding_size": 8}

    def test_all_directions_keep_the_cosines_of_the_terms(self) -> None:
        texts = ["red red shoe", "red hat", "blue hat", "blue red shoe"]
        encoder = TFIDF(embedding_size=100, max_share=1.0).fit(films(texts))
        found = encoder.encode(films(texts), keep=False).values
        assert encoder.terms == ["red", "blue", "hat", "shoe"]
        idf = np.log(5 / np.array([4, 3, 3, 3])) + 1
        counts = np.array([[2, 0, 0, 1], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 1]])
        right = np.where(counts, 1 + np.log(np.maximum(counts, 1)), 0) * idf
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        np.testing.assert_allclose(found @ found.T, right @ right.T, atol=1e-5)

    def test_a_new_item_has_a_vector_without_fitting_anew(self) -> None:
        encoder = self.made()
        new = encoder.encode(films(["A love story of two astronauts in space"]), keep=False).values
        assert (new @ encoder.encode(films(), keep=False).values.T).max() > 0.3

    def test_words_that_nobody_used_say_nothing(self) -> None:
        found = self.made().encode(films(["Quetzalcoatl Popocatepetl", FILMS["love"][0]]), keep=False)
        assert found.unreadable.tolist() == [0]
        assert found.speaks.tolist() == [False, True]

    def test_categories_are_read_too(self) -> None:
        table = pa.table({"item_id": ["1", "2", "3"], "genres": [["Film Noir", "War"], ["Film Noir"], ["War", None]]})
        encoder = TFIDF(max_share=1.0).fit(table)
        assert encoder.terms == ["film", "noir", "war"]
        assert encoder.encode_texts(["a film noir"]).any()

    def test_fitted_anew_it_knows_its_new_width(self) -> None:
        encoder = TFIDF().fit(films())
        wide = encoder.width
        encoder.fit(films(["red shoe", "red hat", "blue shoe", "blue hat"]))
        found = encoder.encode_texts(["red"]).shape[1]
        assert encoder.width == found < wide
        assert encoder.encode_texts([""]).shape == (1, found)

    def test_vectors_are_kept_where_a_folder_is_named_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ZHIYIN_CACHE", str(tmp_path / "cache"))
        items = films([*FILMS["space"], None, FILMS["space"][0]])
        encoder = TFIDF().fit(items)
        plain = encoder.encode(items)
        assert not (tmp_path / "cache").exists()
        encoder.encode(items, keep=tmp_path / "kept")
        again = encoder.encode(items, keep=tmp_path / "kept")
        np.testing.assert_allclose(again.values, plain.values, atol=1e-6)
        assert (again.encoded, plain.encoded) == (0, len(FILMS["space"]))
        assert again.silent.tolist() == plain.silent.tolist() == [len(FILMS["space"])]

    @pytest.mark.parametrize("came", ["[]", '"terms"', "{}"])
    def test_a_damaged_folder_is_refused(self, tmp_path: Path, came: str) -> None:
        folder = TFIDF().fit(films()).save(tmp_path / "encoder")
        (folder / "texts.json").write_text(came)
        with pytest.raises(DataError, match="is damaged: it holds"):
            load(folder)

    def test_nothing_to_read_is_refused(self) -> None:
        with pytest.raises(DataError, match="no text and no categories"):
            TFIDF().fit(pa.table({"item_id": ["1"], "price": [1.0]}))
        with pytest.raises(DataError, match="none is shared"):
            TFIDF().fit(films(["one", "two"]))
        with pytest.raises(DataError, match="1 terms in what items say none is shared by some but not all of 2 items"):
            TFIDF().fit(films(["same", "same"]))
