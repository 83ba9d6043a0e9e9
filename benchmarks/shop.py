"""
The shop that is measured, and homes that have seen 6, 12 or 24 months of it.

One shop is simulated. A home of it links the files of its own time: what happened before its history is left out, who
the customers are is not. So the same day comes to the same people in each, and only the past differs.
"""

import os
from datetime import date, datetime, time, timedelta
from pathlib import Path

from perennial.demo import Activity
from perennial.flows import demo
from perennial.foundation.settings import Settings, load_settings

END = date(2026, 1, 31)  # the last day of the first load; the days after it are the increments
ACTIVITY = Activity(pace=0.64, tracked=0.55)  # 10 orders and 30 interactions a customer in two years
_PEOPLE = ("customers", "consents", "products")  # known from the beginning in every home


def start_of(months: int) -> date:
    """The first day of a history of so many months that ends on END."""
    number = END.year * 12 + END.month - months
    return date(number // 12, number % 12 + 1, 1)


def build(home: Path, customers: int, months: int, days: int) -> dict[str, int]:
    """Write the shop's files below `home`, and those of the days after END; the rows of each source."""
    settings = load_settings(home=home)
    rows: dict[str, int] = demo.build(settings, customers, start_of(months), END, activity=ACTIVITY)["rows"]
    from perennial.demo import write_days

    write_days(settings, END + timedelta(days=1), END + timedelta(days=days))
    return rows


def settings_of(home: Path, day: date) -> Settings:
    """The settings of a home at the end of `day`, under a clock of its own."""
    blank = load_settings(home=home)
    return load_settings(home=home, now=datetime.combine(day + timedelta(days=1), time(23), blank.zone))


def bring(shop: Path, home: Path, first: date, last: date) -> int:
    """Link the files of the days first..last of the shop into the inbox of `home`; how many."""
    files = 0
    for source in sorted((shop / "inbox").iterdir()):
        known_since = date.min if source.name in _PEOPLE else first
        for file in source.iterdir():
            if known_since <= date.fromisoformat(file.name[:10]) <= last:
                link = home / "inbox" / source.name / file.name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    os.link(file, link)
                    files += 1
    return files


def write_order_lines(home: Path, first: date, last: date, lines: int) -> None:
    """About so many order lines in all, three an order, as the demo's web shop exports them: a CSV file a day."""
    import duckdb

    folder = home / "inbox" / "web_orders"
    folder.mkdir(parents=True, exist_ok=True)
    days = [first + timedelta(number) for number in range((last - first).days + 1)]
    with duckdb.connect() as connection:
        for day in days:
            connection.execute(
                f"""
                copy (
                    select '{day}-' || n // 3 as order_no, n % 3 + 1 as line,
                        strftime(timestamp '{day}' + interval (n % 86400) second, '%Y-%m-%d %H:%M:%S') as created,
                        'c' || person as customer_ref, 'c' || person || '@example.com' as email,
                        'sku' || article as sku, 'Product number ' || article as product,
                        ['tea', 'cups', 'books'][n % 3 + 1] as category, 1 + n % 4 as qty,
                        cast(5 + article % 9000 / 100 as decimal(10, 2)) as price,
                        case when n % 10 = 0 then 1.50 else 0 end as discount, 0.95 as tax, 0 as shipping,
                        'EUR' as currency, case when n % 50 = 0 then 'cancelled' else 'completed' end as status,
                        null as returns_order_no, case when n % 3 = 0 then 'app' else 'web' end as device,
                        null as coupon, null as campaign
                    from (
                        select n, hash(n // 3, '{day}') % 200000 as person, hash(n) % 3000 as article
                        from range({lines // len(days)}) as numbers(n)
                    )
                ) to '{folder / f"{day}.csv"}' (header)
                """
            )
