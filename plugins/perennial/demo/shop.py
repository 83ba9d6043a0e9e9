"""Build a demo shop and write the files of its days."""

import json
import logging
from collections import Counter
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.demo import places
from perennial.demo.block import Block
from perennial.demo.catalogue import CATEGORIES, price_list_days, product_file
from perennial.demo.contacts import clicks_of, social_of, support_of
from perennial.demo.event_files import (
    spool_app_interactions,
    spool_social,
    spool_support,
    spool_web_interactions,
)
from perennial.demo.files import Spool, write_json, write_whole
from perennial.demo.order_files import spool_store_tills, spool_web_orders
from perennial.demo.people import NEVER, People, chunks, first_signup, labels, people
from perennial.demo.process import Activity, Dirt, Ints, Month, Shop, day_number, day_of
from perennial.demo.profile_files import spool_consents, spool_customers
from perennial.demo.purchases import lines_of, orders_of
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

log = logging.getLogger(__name__)

FEWEST, MOST = 500, 2_000_000
DEFAULT_SEED = 20240801
REACH_MONTHS = 2  # how many months after an event its last row may be exported: returns, late rows, closed tickets


def truth_dir(settings: Settings) -> Path:
    """What really happened in the simulation. The pipeline never reads it."""
    return settings.home / "demo_truth"


def build_shop(
    settings: Settings,
    customers: int = 2000,
    start: date = date(2024, 8, 1),
    end: date = date(2026, 1, 31),
    seed: int = DEFAULT_SEED,
    *,
    dirt: Dirt | None = None,
    activity: Activity | None = None,
) -> dict[str, Any]:
    """
    Simulate a shop and write the files of the days start..end into the inbox, and the truth beside it.

    A shop that is there already, made from the same parameters, is left alone (0 files).
    Raises BadConfig for impossible parameters and for another shop in the same home.
    """
    if not FEWEST <= customers <= MOST:
        raise BadConfig(f"Demo customers: {customers} is out of range; choose {FEWEST} to {MOST}.")
    if start > end:
        raise BadConfig(f"Demo days: start {start} is after end {end}.")
    shop = Shop(seed, customers, start, end, dirt or Dirt(), activity or Activity())
    description = truth_dir(settings) / "shop.json"
    if description.exists():
        if read_shop(settings) != shop:
            raise BadConfig(f"{description} describes another demo shop. Choose another home or remove this one.")
        return {"customers": customers, "files": 0, "bytes": 0, "rows": {}}
    _write_truth(shop, truth_dir(settings))
    figures = _write(shop, settings, start, end)
    write_json(description, asdict(shop) | {"start": start.isoformat(), "end": end.isoformat()})
    return {"customers": customers, **figures}


def read_shop(settings: Settings) -> Shop:
    """The shop of this home. Raises BadConfig if none was built."""
    path = truth_dir(settings) / "shop.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        dates = {name: date.fromisoformat(content[name]) for name in ("start", "end")}
        parts = {"dirt": Dirt(**content["dirt"]), "activity": Activity(**content.get("activity", {}))}
        return Shop(**content | dates | parts)
    except FileNotFoundError as error:
        raise BadConfig(f"{path}: no demo shop here yet. Build one first: perennial demo build.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BadConfig(f"{path}: not the description of a demo shop ({error}). Remove it and build again.") from error


def write_days(settings: Settings, first: date, last: date) -> dict[str, Any]:
    """
    Write the files of the days first..last of the shop, the same bytes as if all days had been written at once.

    Raises BadConfig outside of the shop's first day and its horizon, a year after its end.
    """
    shop = read_shop(settings)
    newest = day_of(shop.horizon) - timedelta(days=1)
    if not shop.start <= first <= last <= newest:
        raise BadConfig(f"Demo days {first} to {last}: this shop has the days {shop.start} to {newest}.")
    return _write(shop, settings, first, last)


def _write(shop: Shop, settings: Settings, first: date, last: date) -> dict[str, Any]:
    begin, end = day_number(first), day_number(last) + 1
    spool = Spool(shop, truth_dir(settings) / ".spool", begin, end)
    oldest = max(Month.of(begin).number - REACH_MONTHS, Month.of(shop.first_day).number)
    months = [Month(number) for number in range(oldest, Month.of(end - 1).number + 1)]
    for chunk in range(chunks(shop)):
        if first_signup(shop, chunk) >= end:
            break
        who = people(shop, chunk)
        label = labels(who)
        log.info("Simulating customers %d to %d, %d months", who.index[0], who.index[-1], len(months))
        for month in months:
            if who.signup_day[0] < month.end:
                _simulate(spool, Block(shop, chunk, month, who, label))
    files, size = spool.finish(settings.inbox_dir)
    for day in price_list_days(shop):
        if first <= day <= last:
            content = product_file(shop, day)
            write_whole(settings.inbox_dir / "products" / f"{day}.csv", content)
            spool.counts["products", day_number(day), "rows"] = content.count(b"\n") - 1
            files, size = files + 1, size + len(content)
    _record_dirt(truth_dir(settings) / "dirt.parquet", spool.counts, begin, end)
    rows: Counter[str] = Counter()
    for (source, _, kind), count in spool.counts.items():
        rows[source] += count if kind == "rows" else 0
    return {"files": files, "bytes": size, "rows": dict(rows)}


def _simulate(spool: Spool, block: Block) -> None:
    """Everything that happens in one block, into the files of its sources."""
    orders = orders_of(block)
    lines = lines_of(block, orders)
    spool_web_orders(spool, block, orders, lines)
    spool_store_tills(spool, block, orders, lines)
    web, app = clicks_of(block, orders, lines)
    spool_web_interactions(spool, block, web)
    spool_app_interactions(spool, block, app)
    spool_support(spool, block, support_of(block, orders))
    spool_social(spool, block, social_of(block))
    spool_customers(spool, block)
    spool_consents(spool, block)


# ---- the truth ----


def _write_truth(shop: Shop, folder: Path) -> None:
    """One row a person, also those who will sign up until the horizon."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / ".customers.parquet.part"
    writer = None
    try:
        for chunk in range(chunks(shop)):
            table = _truth(people(shop, chunk))
            writer = writer or pq.ParquetWriter(partial, table.schema)
            writer.write_table(table)
    finally:
        if writer:
            writer.close()
    partial.replace(folder / "customers.parquet")


def _truth(who: People) -> pa.Table:
    def days(values: Ints) -> pa.Array:
        return pa.array(values.astype(np.int32), pa.int32(), mask=values == NEVER).cast(pa.date32())

    label = labels(who)
    return pa.table(
        {
            "customer_id": label.ref,
            "signup_date": days(who.signup_day),
            "dropout_date": days(who.dropout_day),  # the first day on which the person is lost
            "purchases_per_day": who.purchase_rate,  # while not lost, before the season
            "browses_per_day": who.browse_rate,
            "satisfaction": who.satisfaction,
            "complaint_date": days(who.complaint_day),
            "birthday": days(who.birthday),
            "locale": pa.array(["en", "zh-CN"]).take(pa.array(who.is_chinese)),
            "country": pa.array([place.country for place in places.PLACES]).take(pa.array(who.place)),
            "favourite": pa.array(CATEGORIES).take(pa.array(who.favourite)),
            "second_favourite": pa.array(CATEGORIES).take(pa.array(who.second_favourite)),
            "store_share": who.store_share,
            "app_share": who.app_share,
            "opens": who.opens,
            "clicks": who.clicks,
            "email": pc.if_else(pc.equal(label.email, ""), None, label.email),
            "has_bad_address": who.has_bad_address,
        }
    )


def _record_dirt(path: Path, counts: Counter[tuple[str, int, str]], begin: int, end: int) -> None:
    """Rows by source, day of the file and kind; days written again replace what was recorded for them."""
    keys = sorted(counts)
    table = pa.table(
        {
            "source": pa.array([source for source, _, _ in keys], pa.string()),
            "day": pa.array([day for _, day, _ in keys], pa.int32()).cast(pa.date32()),
            "kind": pa.array([kind for _, _, kind in keys], pa.string()),
            "rows": pa.array([counts[key] for key in keys], pa.int64()),
        }
    )
    if path.exists():
        before = pq.read_table(path)
        kept = pc.or_(pc.less(before["day"], day_of(begin)), pc.greater_equal(before["day"], day_of(end)))
        table = pa.concat_tables([before.filter(kept), table])
    partial = path.with_name(f".{path.name}.part")
    pq.write_table(table, partial)
    partial.replace(path)
