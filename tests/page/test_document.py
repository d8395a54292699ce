import re
from html.parser import HTMLParser

import numpy as np
import pytest

from zhiyin.errors import ConfigError, DataError
from zhiyin.page import Cell, Columns, Details, Figure, Figures, Items, Note, Page, Table, Text, charts

EVIL = "<script>alert(\"x\")</script> & 'co'"
VOID = {"meta", "link"}


class Reader(HTMLParser):
    """Checks that tags are balanced and collects what a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def full_page(word: str) -> Page:
    """A page with every block and chart, whose every text is `word`."""
    table = Table([word, word], [[word, 1], [Cell(word, title=word, strong=True, bar=0.5), None]], caption=word)
    page = Page(word, subtitle=word, footer=word)
    page.section(word, word, Text(word), Items(word, (word, word)), Figures(Figure(word, word, word)), table)
    page.section(word, Note(word, "warning", word, table), Columns(word, Text(word)), Details(word, table))
    page.section(
        word,
        charts.line({word: ([1, 2], [3, 4]), "b": ([1, 2], [1, 2])}, word, word, word, caption=word),
        charts.bars([word], [1.0], word, word, low=[0.5], high=[2.0]),
        charts.intervals([word], [1.0], [0.5], [2.0], word, word, reference=0.0),
        charts.histogram([1, 2, 4], [3, 4], word, word),
        charts.scatter([charts.Point(1, 2, word, word), charts.Point(2, 1, "b", "g")], word, word, word),
        charts.heatmap([word], [word, "b"], [[1.0, -2.0]], word),
    )
    return page


def test_every_text_is_escaped_and_every_tag_closed() -> None:
    html = full_page(EVIL).html()
    seen = Reader(html)
    assert {"script", "co"}.isdisjoint(tag for tag, _ in seen.tags)
    assert "<script" not in html
    assert seen.text.count(EVIL) > 20
    assert all(not name.startswith("on") for _, attributes in seen.tags for name in attributes)


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    html = full_page("word").html()
    seen = Reader(html)
    for tag, attributes in seen.tags:
        assert tag not in ("script", "img", "iframe", "object", "embed")
        assert all(attributes.get(name, "#").startswith(("#", "data:")) for name in ("href", "src", "srcset"))
    assert "@import" not in html
    assert "url(" not in html
    assert any(attributes.get("http-equiv") == "Content-Security-Policy" for _, attributes in seen.tags)


def test_headings_language_and_contents() -> None:
    page = Page("Title", lang="zh")
    for title in ("One", "", "Two", "Three"):
        page.section(title, "text")
    html = page.html()
    seen = Reader(html)
    assert ("html", {"lang": "zh"}) in seen.tags
    assert [tag for tag, _ in seen.tags if tag in ("h1", "h2", "h3")] == ["h1", "h2", "h2", "h2"]
    targets = [attributes["href"] for tag, attributes in seen.tags if tag == "a"]
    ids = {f"#{attributes['id']}" for _, attributes in seen.tags if "id" in attributes}
    assert targets == ["#section-1", "#section-3", "#section-4"]
    assert set(targets) <= ids
    assert "<nav" not in Page("Short").section("One", "text").html()


def test_cells_are_written_by_their_kind() -> None:
    row = ["ease", 12345, 0.25, None, float("nan"), np.float32(0.5), np.int64(7), float("-inf"), True]
    html = Table([str(place) for place in range(len(row))], [row], digits=2).html()
    cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", html.split("<tbody>")[1])
    dash = '<span class="nothing">–</span>'
    assert cells == ["ease", "12,345", "0.25", dash, dash, "0.50", "7", "−∞", "1"]
    assert 'th scope="row"' in html
    assert html.count('th scope="col"') == len(row)


def test_numbers_stand_right_unless_told_otherwise() -> None:
    rows = [["ease", 0.2, "a"], ["als", None, "b"]]
    assert Table(["model", "ndcg", "note"], rows).sides == ["", "right", ""]
    assert Table(["model", "ndcg", "note"], rows, align="rcl").sides == ["right", "centre", ""]


def test_a_bar_is_a_share_of_the_cell() -> None:
    html = Table(
        ["a", "b"], [["x", Cell(1, bar=0.25)], ["y", Cell(1, bar=7.0)], ["z", Cell(1, bar=float("nan"))]]
    ).html()
    assert re.findall(r"--part: ([\d.]+)%", html) == ["25.0", "100.0"]


def test_a_crooked_table_is_refused() -> None:
    with pytest.raises(DataError, match="row 1 of a table has 1 cells"):
        Table(["a", "b"], [["x", 1], ["y"]])
    with pytest.raises(DataError, match="one of l, r, c"):
        Table(["a", "b"], [["x", 1]], align="lx")
    with pytest.raises(ConfigError, match="did you mean 'warning'"):
        Note("text", kind="warnin")  # type: ignore[arg-type]


def test_text_has_paragraphs_and_code() -> None:
    assert Text("a\n\nb `x < y`").html() == '<div class="text"><p>a</p><p>b <code>x &lt; y</code></p></div>'


def test_a_page_is_written_whole_or_not_at_all(tmp_path) -> None:
    page = Page("知音").section("One", "text")
    path = page.write(tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == page.html()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        page.write(tmp_path / "file" / "report.html")
