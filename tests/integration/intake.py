"""A shop with sources of its own, and files made line by line, for tests of the intake."""

import shutil
from datetime import date

from perennial.flows import ingest
from perennial.foundation.days import Origin, Run
from perennial.foundation.settings import load_settings
from perennial.warehouse import open_warehouse

RUN = Run(date(2026, 1, 31), Origin.DEMO)

SHOP = """
source: shop
contract: order_lines
path: shop/*
format: csv
encodings: [utf-8, cp1252]
timezone: America/New_York
columns:
  order_id: order_no
  line_no: line
  ordered_at: date
  sku: [sku, article]
  product_name: name
  quantity: qty
  unit_price: {sql: "replace(price, ',', '.')"}
  status: status
max_refused: 0.5
"""
HEADER = "order_no,line,date,sku,name,qty,price,status\n"


class Shop:
    """A home with sources of its own, and short ways to put files in and look at tables."""

    def __init__(self, home, warehouse=None, ledger=None):
        """warehouse, ledger: their URLs, where they are no files below the home."""
        self.home = home
        self.databases = {"warehouse": warehouse, "ledger": ledger}
        self.include = home / "include"
        (self.include / "sources").mkdir(parents=True)
        shutil.copytree(load_settings().include / "expectations", self.include / "expectations")
        self.source(SHOP)
        self.at("2026-02-01T09:30:00+01:00")

    def at(self, moment):
        self.settings = load_settings(home=self.home, include=self.include, **self.databases, now=moment)

    def source(self, text, **changes):
        for before, after in changes.values():
            assert before in text
            text = text.replace(before, after)
        name = text.split("source: ")[1].split()[0]
        (self.include / "sources" / f"{name}.yaml").write_text(text)

    def put(self, name, content):
        path = self.settings.inbox_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ingest(self, known_at=None):
        for source in ingest.source_names(self.settings):
            ingest.land(source, RUN, self.settings)
        return ingest.load(RUN, self.settings, known_at)

    def rows(self, sql):
        with open_warehouse(self.settings) as warehouse:
            return [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]

    def file(self, name):
        [row] = self.rows(f"select status, rows, accepted, quarantined, reason from raw.files where file = '{name}'")
        return dict(zip(("status", "rows", "accepted", "quarantined", "reason"), row, strict=True))


def line(  # noqa: PLR0917 - a line has as many fields
    order="1", number="1", day="2026-01-05 10:00", sku="s1", name="Tee", qty="1", price="9.90", status="completed"
):
    return f"{order},{number},{day},{sku},{name},{qty},{price},{status}\n"


GOOD = HEADER + line()
