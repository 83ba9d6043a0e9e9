import pytest

from perennial.metrics.dictionary import ColumnEntry, TableEntry, render_dictionary, render_dictionary_markdown

TABLES = [
    TableEntry(
        "marts.daily",
        "What each day sold. One row per day.",
        ("day", "channel"),
        (
            ColumnEntry("day", "DATE", "business day"),
            ColumnEntry("aov", "DECIMAL(12,2)", "net_revenue / orders (business currency)"),
            ColumnEntry("kind", "VARCHAR", "a | b <c>"),
        ),
    )
]


@pytest.mark.parametrize(
    ("documentation", "unit", "meaning"),
    [
        ("completed orders (count)", "count", "completed orders"),
        ("business day", "", "business day"),
        ("gross (before tax) of a day (share)", "share", "gross (before tax) of a day"),
    ],
)
def test_unit_is_what_stands_last_in_brackets(documentation, unit, meaning):
    column = ColumnEntry("x", "BIGINT", documentation)
    assert (column.unit, column.meaning) == (unit, meaning)


def test_markdown():
    text = render_dictionary_markdown(TABLES, shop_name="Shop", currency="EUR")
    assert (
        "## marts.daily\n\nWhat each day sold. One row per day.\nUnique by: day, channel. Parquet: `daily.parquet`."
        in text
    )
    assert "| aov | decimal(12,2) | business currency | net_revenue / orders |" in text
    assert "| kind | varchar |  | a \\| b <c> |" in text
    assert "Money is in EUR" in text


def test_html_is_escaped_and_stands_alone():
    html = render_dictionary(TABLES, shop_name="<b>Shop</b>", currency="EUR")
    assert "<td>a | b &lt;c&gt;</td>" in html
    assert "&lt;b&gt;Shop&lt;/b&gt;" in html
    assert 'id="marts.daily"' in html
    assert "<script" not in html
    assert "http://" not in html
    assert "https://" not in html
