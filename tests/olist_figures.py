"""
What the Olist orders amount to, computed with pandas from the definitions in the example's README.

Written beside the pipeline, not from it: nothing here reads its SQL or its mapping. Money is whole cents, moments are
UTC, days are São Paulo's.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

SOLD = ("delivered", "shipped")
PENDING = ("created", "approved", "invoiced", "processing")


def table(folder: Path, name: str) -> pd.DataFrame:
    """A file of the data set as it is: every value a text, "" where there is none."""
    return pd.read_csv(folder / f"{name}.csv.gz", dtype=str, keep_default_na=False)


@dataclass(frozen=True)
class Figures:
    """The same figures at every grain."""

    lines: pd.DataFrame  # order, line, moment, day, person, sku, category, price, freight, status
    without_articles: pd.DataFrame  # order, order_status
    addresses: pd.DataFrame  # person, moment, zip, city, state: one per order, in the order of person and time
    products: pd.DataFrame  # sku, category
    reviews: pd.DataFrame  # review, order, person, moment, score, text: one per line of the file
    payments: pd.DataFrame  # order, kind, value

    @cached_property
    def orders(self) -> pd.DataFrame:
        """One row per order with articles. An order has one status, so all its lines count or none."""
        found = self.lines.groupby("order").agg(
            person=("person", "first"),
            day=("day", "first"),
            lines=("sku", "size"),
            is_sold=("status", lambda told: (told == "completed").any()),
            price=("price", "sum"),
            freight=("freight", "sum"),
        )
        found["revenue"] = found["price"].where(found["is_sold"], 0)
        return found

    @cached_property
    def days(self) -> pd.DataFrame:
        """Orders sold, their buyers and their revenue, by the days on which there are any."""
        sold = self.orders[self.orders["is_sold"]]
        return sold.groupby("day").agg(orders=("person", "size"), revenue=("revenue", "sum"))

    @cached_property
    def people(self) -> pd.DataFrame:
        """One row per person who bought."""
        sold = self.orders[self.orders["is_sold"]]
        return sold.groupby("person").agg(
            revenue=("revenue", "sum"), orders=("day", "size"), first=("day", "min"), last=("day", "max")
        )


def figures_of(folder: Path) -> Figures:
    """The figures of the data set in `folder`."""
    names = ("orders", "order_items", "customers", "products", "order_reviews", "order_payments")
    orders, items, customers, products, reviews, payments = (table(folder, f"olist_{name}_dataset") for name in names)
    english = table(folder, "product_category_name_translation").set_index("product_category_name")
    told = products["product_category_name"]
    products["category"] = told.map(english["product_category_name_english"]).fillna(told)

    orders = orders.merge(customers, on="customer_id", validate="1:1").rename(
        columns={"order_id": "order", "customer_unique_id": "person"}
    )
    orders["moment"] = _utc(orders["order_purchase_timestamp"])
    orders["day"] = pd.to_datetime(orders["order_purchase_timestamp"]).dt.date
    lines = items.rename(columns={"order_id": "order", "order_item_id": "line", "product_id": "sku"})
    lines = lines.merge(orders, on="order", validate="m:1")
    lines = lines.merge(products[["product_id", "category"]], left_on="sku", right_on="product_id", validate="m:1")
    lines["price"], lines["freight"] = _cents(lines["price"]), _cents(lines["freight_value"])
    statuses = dict.fromkeys(SOLD, "completed") | dict.fromkeys(PENDING, "pending")
    lines["status"] = lines["order_status"].map(statuses).fillna("cancelled")

    columns = {"customer_zip_code_prefix": "zip", "customer_city": "city", "customer_state": "state"}
    addresses = orders.rename(columns=columns).sort_values(["person", "order_purchase_timestamp", "order"])

    reviews = reviews.rename(columns={"review_id": "review", "order_id": "order"})
    reviews = reviews.merge(orders[["order", "person"]], on="order", validate="m:1")
    reviews["moment"] = _utc(reviews["review_answer_timestamp"])
    reviews["score"] = reviews["review_score"].astype(int)
    parts = zip(reviews["review_comment_title"], reviews["review_comment_message"], strict=True)
    reviews["text"] = ["\n".join(filter(None, (part.strip(" ") for part in both))).strip() for both in parts]

    payments = payments.rename(columns={"order_id": "order", "payment_type": "kind"})
    payments["value"] = _cents(payments["payment_value"])
    return Figures(
        lines=lines.sort_values(["order", "line"]),
        without_articles=orders[~orders["order"].isin(lines["order"])].sort_values("order"),
        addresses=addresses[["person", "moment", "zip", "city", "state"]],
        products=products[["product_id", "category"]].sort_values("product_id"),
        reviews=reviews.sort_values(["review", "order"]),
        payments=payments,
    )


def _utc(local: pd.Series) -> pd.Series:
    """An hour that the clocks went over is the one after it; one that was twice is the second."""
    moments = pd.to_datetime(local).dt.tz_localize(
        "America/Sao_Paulo", ambiguous=[False] * len(local), nonexistent=pd.Timedelta("1h")
    )
    return moments.dt.tz_convert("UTC")


def _cents(reais: pd.Series) -> pd.Series:
    cents = reais.astype(float) * 100
    assert ((cents - cents.round()).abs() < 1e-6).all()
    return cents.round().astype(int)
