import logging
from decimal import Decimal

import pyarrow as pa

from perennial.flows.outbox import best_sold
from perennial.foundation.settings import load_settings


class Warehouse:
    def __init__(self, *rows):
        self.rows = rows

    def query(self, _):
        return pa.Table.from_pylist(list(self.rows))


def product(place, **told):
    usual = {"category": "plants", "sku": f"s{place}", "name": "Fern", "price": Decimal("3.00"), "url": None}
    return usual | {"place": place, "image_url": None} | told


def test_a_product_that_no_mail_can_show_is_left_out_and_told(caplog):
    """The gate takes it: what it sold is sold. It stopped all campaigns of the day."""
    warehouse = Warehouse(
        product(1, url="https://example.com/{fern}"),
        product(2, name="Fern " * 200),
        product(3, image_url="https://example.com/a.png"),
    )
    with caplog.at_level(logging.WARNING):
        found = best_sold(warehouse, load_settings())
    assert [shown.image_url for shown in found["plants"]] == ["https://example.com/a.png"]
    assert [record.args[0] for record in caplog.records] == ["s1", "s2"]
    assert "url" in caplog.text
    assert "name" in caplog.text
