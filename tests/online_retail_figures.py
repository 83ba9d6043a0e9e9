"""
What the year of Online Retail amounts to, computed with pandas from the definitions in the example's README.

Written beside the pipeline, not from it: nothing here reads its SQL or its mapping. Money is whole pence.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

CARRIAGE = {"POST", "DOT", "C2", "C3"}
BOOKKEEPING = {"B", "S", "ADJUST", "ADJUST2", "AMAZONFEE", "BANK CHARGES"}
TESTS = {"TEST001", "TEST002"}


@dataclass(frozen=True)
class Figures:
    """The same figures at every grain. Columns of money are pence, days are dates."""

    landed: int
    refused: pd.DataFrame  # lines with a negative price
    repeated: int  # lines that say what an earlier line of the invoice says
    lines: (
        pd.DataFrame
    )  # every line that is left: order, day, customer ("" for guests), sold, gross, refund, net, units
    orders: pd.DataFrame  # by order
    days: pd.DataFrame  # by day
    customers: pd.DataFrame  # by customer

    @property
    def current(self) -> int:
        return len(self.lines)


def figures_of(file: Path, until: date) -> Figures:
    """The figures of all invoices of `file` up to and with a day."""
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    rows.columns = ["order", "sku", "name", "quantity", "moment", "price", "customer", "country"]
    rows["day"] = pd.to_datetime(rows["moment"]).dt.date
    rows = rows[rows["day"] <= until]
    landed = len(rows)

    for column in ("sku", "name", "customer"):
        rows[column] = rows[column].str.strip()
    rows["sku"] = rows["sku"].str.upper()
    rows["customer"] = rows["customer"].str.removesuffix(".0")
    rows["units"] = rows["quantity"].astype(int)
    rows["mills"] = (rows["price"].astype(float) * 1000).round().astype(int)  # prices have three decimals at most
    assert (rows["mills"] / 1000 == rows["price"].astype(float)).all()

    is_refused = rows["mills"] < 0
    refused, rows = rows[is_refused], rows[~is_refused]
    # The country is not part of a line: an invoice has one.
    is_repeat = rows.duplicated(["order", "sku", "name", "units", "moment", "mills", "customer"])
    lines = rows[~is_repeat].copy()

    is_stock_movement = (lines["mills"] == 0) & (lines["customer"] == "")
    counts = ~(lines["sku"].isin(CARRIAGE | BOOKKEEPING | TESTS) | is_stock_movement)
    amount = lines["units"] * lines["mills"]
    pence = (amount.abs() + 5) // 10  # half a penny is rounded up
    lines["sold"] = counts & (lines["units"] > 0)
    lines["returned"] = counts & (lines["units"] < 0)
    lines["gross"] = pence.where(lines["sold"], 0)
    lines["refund"] = pence.where(lines["returned"], 0)
    lines["net"] = lines["gross"] - lines["refund"]
    lines["units"] = lines["units"].where(lines["sold"], 0)
    return Figures(landed, refused, int(is_repeat.sum()), lines, _orders(lines), _days(lines), _customers(lines, until))


def _orders(lines: pd.DataFrame) -> pd.DataFrame:
    return lines.groupby("order").agg(
        customer=("customer", "first"),
        day=("day", "first"),
        completed=("sold", "any"),
        lines=("sold", "size"),
        units=("units", "sum"),
        gross=("gross", "sum"),
        refund=("refund", "sum"),
        net=("net", "sum"),
    )


def _days(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per calendar day from the first invoice on, with days on which nothing happened."""
    money = lines.groupby("day")[["gross", "refund", "net", "units"]].sum()
    bought = _orders(lines)
    bought = bought[bought["completed"]]
    known = bought[bought["customer"] != ""]
    ordinal = known.sort_values(["customer", "day"]).groupby("customer").cumcount()
    found = money.join(
        [
            bought.groupby("day").size().rename("orders"),
            bought[bought["customer"] == ""].groupby("day").size().rename("guest_orders"),
            known.groupby("day")["customer"].nunique().rename("active_customers"),
            known.groupby("customer")["day"].min().value_counts().rename("new_customers"),
            known.loc[ordinal[ordinal == 1].index].groupby("day").size().rename("second_orders"),
        ]
    )
    calendar = pd.date_range(lines["day"].min(), lines["day"].max()).date
    return found.reindex(calendar).fillna(0).astype(int)


def _customers(lines: pd.DataFrame, until: date) -> pd.DataFrame:
    known = lines[lines["customer"] != ""]
    found = known.groupby("customer")[["gross", "refund", "net", "units"]].sum()
    bought = _orders(known)
    days = bought[bought["completed"]].groupby("customer")["day"]
    found["orders"] = days.size().reindex(found.index).fillna(0).astype(int)
    found["first_day"], found["last_day"] = days.min(), days.max()
    buyers = found[found["orders"] > 0]
    scores = pd.DataFrame(
        {
            "recency": _fifths(-buyers["last_day"].map(lambda day: (until - day).days)),
            "frequency": _fifths(buyers["orders"]),
            "monetary": _fifths(buyers["net"]),
        }
    )
    found["rfm_code"] = scores.astype(str).agg("".join, axis=1)
    return found


def _fifths(values: pd.Series) -> pd.Series:
    """1 to 5, by the fifth of all values in which one lies; equal values share the lower fifth."""
    return 1 + 5 * (values.rank(method="min").astype(int) - 1) // len(values)
