"""
What the year of The Complete Journey amounts to, computed with pandas from the definitions in the example's README.

Written beside the pipeline, not from it: nothing here reads its SQL or its mapping. Money is whole cents, units are
thousandths.
"""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import pandas as pd

PETROL = "GASOLINE-REG UNLEADED"


def table(folder: Path, name: str) -> pd.DataFrame:
    """A file of the data set as it is: every value a text, "" where there is none."""
    return pd.read_csv(folder / f"{name}.csv.gz", dtype=str, keep_default_na=False)


@dataclass(frozen=True)
class Figures:
    """The same figures at every grain. Days are New York's."""

    until: date
    refused: pd.DataFrame  # till lines of no pieces
    lines: pd.DataFrame  # till lines that count: order, day, customer, sku, store, units, gross, discount, net, …
    redemptions: pd.DataFrame  # customer, coupon, campaign, day
    sent: pd.DataFrame  # campaign, customer, type, day, ends

    @cached_property
    def orders(self) -> pd.DataFrame:
        first = dict.fromkeys(("customer", "day"), "first")
        return self.lines.groupby("order").agg(
            first | {"sku": "size"} | dict.fromkeys(("units", "gross", "discount", "net"), "sum")
        )

    @cached_property
    def days(self) -> pd.DataFrame:
        """One row per calendar day from the first campaign on, with days on which nothing happened."""
        heard = pd.concat([self.redemptions, self.sent])[["customer", "day"]]
        active = pd.concat([self.lines[["customer", "day"]], heard])
        found = pd.DataFrame(
            {
                "orders": self.orders.groupby("day").size(),
                "active_customers": active.groupby("day")["customer"].nunique(),
                "new_customers": self.lines.groupby("customer")["day"].min().value_counts(),
                **self.lines.groupby("day")[["gross", "discount", "net", "units"]].sum(),
                "interactions": heard.groupby("day").size(),
            }
        )
        return found.reindex(pd.date_range(active["day"].min(), self.until).date).fillna(0).astype(int)

    @cached_property
    def customers(self) -> pd.DataFrame:
        """One row per household that bought."""
        found = self.orders.groupby("customer").agg(
            net=("net", "sum"), orders=("day", "size"), first_day=("day", "min"), last_day=("day", "max")
        )
        found["recency"] = found["last_day"].map(lambda day: (self.until - day).days)
        scores = pd.DataFrame(
            {
                "recency": _fifths(-found["recency"]),
                "frequency": _fifths(found["orders"]),
                "monetary": _fifths(found["net"]),
            }
        )
        found["rfm_code"] = scores.astype(str).agg("".join, axis=1)
        return found


def figures_of(folder: Path, until: date) -> Figures:
    """The figures of the data set in `folder`, as of the end of a day."""
    redemptions = table(folder, "coupon_redemptions").set_axis(["customer", "coupon", "campaign", "day"], axis=1)
    sent = table(folder, "campaigns").merge(table(folder, "campaign_descriptions"), on="campaign_id", validate="m:1")
    sent.columns = ["campaign", "customer", "type", "day", "ends"]
    for told in (redemptions, sent):
        told["day"] = pd.to_datetime(told["day"]).dt.date
    lines = _lines(table(folder, "transactions_sample"), table(folder, "products"))
    has_pieces = lines["units"] > 0
    return Figures(until, lines[~has_pieces], lines[has_pieces].copy(), redemptions, sent)


def _lines(rows: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    rows = rows.rename(
        columns={"basket_id": "order", "household_id": "customer", "product_id": "sku", "store_id": "store"}
    )
    moment = pd.to_datetime(rows["transaction_timestamp"]).dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    rows["day"] = moment.dt.date
    rows["utc_day"] = rows["transaction_timestamp"].str[:10]
    quantity = rows["quantity"].astype(float).astype(int)
    assert (quantity == rows["quantity"].astype(float)).all()
    is_petrol = rows["sku"].isin(products.loc[products["product_type"] == PETROL, "product_id"])
    rows["is_petrol"] = is_petrol
    # Petrol sold for a round sum is one piece; the rest comes by the thousandth of a gallon.
    rows["units"] = quantity.where(is_petrol & (quantity > 1), quantity * 1000)
    rows["received"], rows["coupon"] = _cents(rows["sales_value"]), _cents(rows["coupon_disc"])
    rows["by_card"], rows["matched"] = _cents(rows["retail_disc"]), _cents(rows["coupon_match_disc"])
    rows["gross"] = rows["received"] + rows["by_card"] + rows["matched"]  # the price on the shelf
    rows["net"] = rows["received"]  # of the household and, where it used a coupon, of the makers of the goods
    rows["discount"] = rows["gross"] - rows["net"]
    return rows


def _cents(dollars: pd.Series) -> pd.Series:
    cents = dollars.astype(float) * 100
    assert ((cents - cents.round()).abs() < 1e-9).all()
    return cents.round().astype(int)


def _fifths(values: pd.Series) -> pd.Series:
    """1 to 5, by the fifth of all values in which one lies; equal values share the lower fifth."""
    return 1 + 5 * (values.rank(method="min").astype(int) - 1) // len(values)
