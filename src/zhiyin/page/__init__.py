"""Page: self-contained HTML documents with tables and charts, for reports that a person shows to others.

One file, no request to anywhere, no JavaScript; light and dark by the reader's own setting; readable on a phone.

    page = Page("Comparison on movielens-100k", subtitle="global time split, 86 cases")
    page.section("Models", Table(["model", "ndcg@10"], [["ease", 0.22]]), charts.bars(["ease"], [0.22], "ndcg@10"))
    page.write("report.html")
"""

from zhiyin.page.document import (
    Block,
    Cell,
    Columns,
    Details,
    Figure,
    Figures,
    Items,
    Note,
    Page,
    Table,
    Text,
)

__all__ = ["Block", "Cell", "Columns", "Details", "Figure", "Figures", "Items", "Note", "Page", "Table", "Text"]
