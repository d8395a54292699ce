import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiyin.encoders._terms import Fields
from zhiyin.encoders._texts import _BLANK, cleaned, item_texts


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", ""),
        ("  a \n\t b  ", "a b"),
        ("<p>a</p><br/>b <b>b</b>ig", "a b big"),
        ("<!-- <b> secret --> a", "a"),
        ("a <STYLE type='x'>p { color: red }</Style > b", "a b"),
        ("a <script>if (a < b) alert('</p>')</script> b", "a b"),
        ("Tom &amp; Jerry &lt;3 &#39;hi&#39; &nbsp; x", "Tom & Jerry <3 'hi' x"),
        ("2 < 3 and 5 > 4", "2 < 3 and 5 > 4"),
        ("I <3 you", "I <3 you"),
        ("a\x00b\x1b[0m\u200bc\ufeff", "a b [0m c"),
        ("e\u0301", "é"),
        ("a\ud800b", "ab"),
        ("中文\u3000标题", "中文 标题"),
        ("half <b", "half <b"),
        ("&lt;b&gt;once&lt;/b&gt;", "once"),
        ("&amp;lt;b&amp;gt;twice&amp;lt;/b&amp;gt; R&amp;amp;D", "twice R&D"),
        ("&amp;amp;lt;p&amp;amp;gt;thrice", "thrice"),
        ("&amp;amp;amp;lt;p&amp;amp;amp;gt;four times", "&lt;p&gt;four times"),
        ("&lt;script&gt;alert(1)&lt;/script&gt; a &lt;!-- b --&gt; c", "a c"),
        ('&lt;a title="x &amp;gt; y"&gt;z&lt;/a&gt;', "z"),
        ('<a title="x &gt; y">z</a>', "z"),
        ("a < b, b &lt; c and c &amp;lt; d > e", "a < b, b < c and c < d > e"),
        ("R&D, AT&T &c &;", "R&D, AT&T &c &;"),
    ],
)
def test_cleaned(text: str, clean: str) -> None:
    assert cleaned(text) == clean


@given(st.text(), st.integers(1, 50))
def test_a_clean_text_is_short_one_line_and_encodable(text: str, most: int) -> None:
    found = cleaned(text, most)
    assert len(found) <= most
    assert found == found.strip()
    assert not any(ord(letter) < 32 for letter in found)
    found.encode()


def test_a_text_without_blanks_but_single_spaces_needs_no_cleaning_of_them() -> None:
    """`cleaned` skips the search for blanks in printable texts: all others of them must be unprintable."""
    letters = map(chr, range(0x110000))
    assert [one for one in letters if one.isprintable() and _BLANK.fullmatch(one)] == [" "]
    assert not any(chr(one).isprintable() for one in range(0xD800, 0xE000))


@pytest.mark.parametrize(
    "text", ["<" * 50_000, "<a" * 50_000, "<!--" * 25_000, "<script" * 15_000, "&" * 100_000, "&amp;lt;" * 20_000]
)
def test_cleaning_takes_no_longer_for_bad_texts(text: str) -> None:
    import time

    start = time.process_time()
    cleaned(text, 2_000)
    assert time.process_time() - start < 1.0


def test_item_texts() -> None:
    table = pa.table(
        {
            "item_id": ["1", "2", "3", "4"],
            "description": ["It is red.", None, "Blue!", ""],
            "title": ["Shoe", "Hat", None, ""],
            "genres": [["A", "B", "A"], [], None, [None, " "]],
            "brand": ["Acme", None, "Bolt", ""],
            "price": [1.0, 2.0, 3.0, 4.0],
        }
    )
    fields = Fields.of(table)
    assert item_texts(table, fields, 100) == ["Shoe. A, B. Acme. It is red.", "Hat", "Bolt. Blue!", ""]
    assert item_texts(table, fields, 7) == ["Shoe. A", "Hat", "Bolt. B", ""]
    assert item_texts(table, Fields(("description",), ()), 100) == ["It is red.", "", "Blue!", ""]
