"""
RFM, points and daily figures of a shop in pandas, written from the definitions and not from our SQL.

It reads what passed the gate as Parquet (one file a contract) and makes everything anew, as a nightly pandas job would.
Money is whole cents, so its sums are exact and must equal ours.
"""

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

LINES = (
    "order_id", "customer_ref", "email", "phone", "sku", "category", "quantity", "unit_price", "discount", "status",
    "returns_order_id", "ordered_date",
)  # fmt: skip
EVENTS = ("occurred_date", "customer_ref", "email", "phone", "kind", "value")
PROFILES = ("customer_ref", "email", "phone")
_SCALES = {"quantity": 4, "unit_price": 4, "discount": 2}


def compute(folder: Path, loyalty: Path, day: date) -> dict[str, pd.DataFrame]:
    """`rfm`, `balances` and `days` as of the end of `day`, from the Parquet files in `folder` and the rule book."""
    profiles = _current(folder, "customers", PROFILES, day)
    categories = _current(folder, "products", ("sku", "category"), day).set_index("sku")["category"]
    lines = _lines(_current(folder, "order_lines", LINES, day), profiles, categories)
    events = _current(folder, "interactions", EVENTS, day)
    events["customer_id"] = _persons(events, profiles)
    orders = (
        lines.groupby("order_id")
        .agg(
            customer_id=("customer_id", "min"), day=("day", "min"), is_completed=("is_sale", "max"), net=("net", "sum")
        )
        .reset_index()
    )
    return {
        "rfm": _rfm(orders, day),
        "balances": _balances(lines, events, yaml.safe_load(loyalty.read_text())["earning"]),
        "days": _days(lines, orders, events),
    }


def _current(folder: Path, contract: str, columns: tuple[str, ...], day: date) -> pd.DataFrame:
    """The rows in force: of several that speak of one thing, the last in the last file."""
    table = pq.read_table(folder / f"{contract}.parquet", columns=[*columns, "_key", "_file", "_row", "_day"])
    happened = pc.less_equal(table["_day"], pa.scalar(day))
    table = table.filter(pc.or_kleene(happened, pc.is_null(table["_day"])))
    for name, scale in _SCALES.items():
        if name in columns:
            whole = pc.multiply(pc.fill_null(table[name], 0), pa.scalar(10**scale, pa.int32()))
            table = table.set_column(table.column_names.index(name), name, whole.cast(pa.int64()))
    rows = table.to_pandas()
    rows = rows.sort_values(["_file", "_row"]).drop_duplicates("_key", keep="last")
    return rows.drop(columns=["_file", "_row", "_day"])


def _persons(rows: pd.DataFrame, profiles: pd.DataFrame) -> pd.Series:
    """Who each row is about: its reference, else whoever claims its e-mail or phone, else a person of its own."""
    found = rows["customer_ref"].copy()
    for column in ("email", "phone"):
        open_ones = found.isna() & rows[column].notna()
        if not open_ones.any():
            continue
        value = rows.loc[open_ones, column].str.lower()
        owners = profiles.dropna(subset=[column])
        owner = value.map(owners.groupby(owners[column].str.lower())["customer_ref"].min())
        stranger = value[owner.isna()].map(lambda text, kind=column: _stranger(f"{kind}:{text}"))
        found.loc[open_ones] = owner.fillna(stranger)
    return found


def _stranger(identity: str) -> str:
    return "x-" + hashlib.md5(identity.encode(), usedforsecurity=False).hexdigest()[:16]


def _lines(rows: pd.DataFrame, profiles: pd.DataFrame, categories: pd.Series) -> pd.DataFrame:
    rows["customer_id"] = _persons(rows, profiles)
    status = rows["status"].fillna("completed")
    given_back = status.isin(["returned", "refunded"])
    counts = status == "completed"
    is_sale = (rows["quantity"] > 0) & (counts | (given_back & rows["returns_order_id"].isna()))
    is_refund = ((rows["quantity"] < 0) & (counts | given_back)) | given_back
    raw = rows["quantity"] * rows["unit_price"]  # millionths of a cent
    amount = np.sign(raw) * ((raw.abs() + 500_000) // 1_000_000)
    discount = rows["discount"].abs()
    refunds = (amount.abs() - discount).where(is_refund, 0)
    sold = (amount - discount).where(is_sale, 0)
    return pd.DataFrame(
        {
            "order_id": rows["order_id"],
            "sale_id": rows["returns_order_id"].fillna(rows["order_id"]),
            "customer_id": rows["customer_id"],
            "day": rows["ordered_date"],
            "category": rows["category"].fillna(rows["sku"].map(categories)),
            "is_sale": is_sale,
            "is_refund": is_refund,
            "units": rows["quantity"].where(is_sale, 0),
            "gross": amount.where(is_sale, 0),
            "discounts": discount.where(is_sale, 0),
            "refunds": refunds,
            "sold": sold,
            "net": sold - refunds,
        }
    )


def _rfm(orders: pd.DataFrame, day: date) -> pd.DataFrame:
    known = orders[orders["customer_id"].notna()]
    completed = known[known["is_completed"]].groupby("customer_id")
    found = pd.DataFrame({"frequency": completed.size(), "last": completed["day"].max()})
    found["monetary"] = known.groupby("customer_id")["net"].sum()
    found["recency_days"] = (pd.Timestamp(day) - pd.to_datetime(found.pop("last"))).dt.days
    for name, column, ascending in (
        ("recency_score", "recency_days", False),
        ("frequency_score", "frequency", True),
        ("monetary_score", "monetary", True),
    ):
        rank = found[column].rank(method="min", ascending=ascending).astype("int64")
        found[name] = 1 + 5 * (rank - 1) // len(found)
    return found.reset_index()


def _balances(lines: pd.DataFrame, events: pd.DataFrame, rules: list[dict]) -> pd.DataFrame:
    lines = lines[lines["customer_id"].notna() & (lines["is_sale"] | lines["is_refund"])].copy()
    first_sale = lines[lines["is_sale"]].groupby(["customer_id", "sale_id"])["day"].min().rename("first_sale")
    lines = lines.join(first_sale, on=["customer_id", "sale_id"])
    sold_day = lines["day"].where(lines["is_sale"], lines["first_sale"].fillna(lines["day"]))
    events = events[events["customer_id"].notna()]
    entries = []
    for rule in rules:
        if rule["event"] == "purchase":
            rate = round(rule["points_per_unit"] * 10_000)
            earned = lines["sold"] * rate // 1_000_000 - lines["refunds"] * rate // 1_000_000
            wanted = _within(sold_day, rule) & (lines["category"].eq(rule["category"]) if "category" in rule else True)
            entries.append(pd.DataFrame({"customer_id": lines["customer_id"], "points": earned})[wanted])
        else:
            wanted = events["kind"].eq(rule["event"]) & _within(events["occurred_date"], rule)
            entries.append(events.loc[wanted, ["customer_id"]].assign(points=rule["points"]))
    redeemed = events[events["kind"].eq("points_redeemed") & events["value"].notna()]
    spent = -np.floor(redeemed["value"].astype("float64").abs()).astype("int64")
    entries.append(redeemed[["customer_id"]].assign(points=spent))
    whole = pd.concat(entries, ignore_index=True)
    return whole[whole["points"] != 0].groupby("customer_id")["points"].sum().rename("points_balance").reset_index()


def _within(days: pd.Series, rule: dict) -> pd.Series:
    begun = days >= rule["from_day"]
    return begun & (days < rule["to_day"]) if rule.get("to_day") else begun


def _days(lines: pd.DataFrame, orders: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    completed = orders[orders["is_completed"]]
    sums = lines.groupby("day")[["gross", "discounts", "refunds", "net", "units"]].sum()
    sums["orders"] = completed.groupby("day").size()
    sums["guest_orders"] = completed[completed["customer_id"].isna()].groupby("day").size()
    sums["interactions"] = events.groupby("occurred_date").size()
    active = pd.concat(
        [
            completed[["customer_id", "day"]],
            events[["customer_id", "occurred_date"]].set_axis(["customer_id", "day"], axis=1),
        ]
    ).dropna()
    sums["active_customers"] = active.drop_duplicates().groupby("day").size()
    buyers = completed[completed["customer_id"].notna()].groupby("customer_id")["day"]
    sums["new_customers"] = buyers.min().value_counts()
    return sums.fillna(0).astype("int64").reset_index()
