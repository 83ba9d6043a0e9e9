"""The year of Online Retail as the shop lived it: a file a day, and homes into which the year came in some way."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Self

import duckdb

from contents import tables
from homes import run_day
from perennial.foundation.days import Origin, run_of
from perennial.foundation.settings import REPOSITORY, Settings, load_settings

EXAMPLE = REPOSITORY / "examples" / "online_retail"
YEAR = REPOSITORY.parent / "shared/data/online_retail_2009_2010/online_retail_2009-12_2010-11.csv.gz"
FIRST, LAST = date(2009, 12, 1), date(2010, 11, 30)
MORNING = time(6)  # of the day after: files have arrived, the day is run

sys.path.append(str(EXAMPLE))
from split import split  # noqa: E402 - the example's own script

NewSettings = Callable[..., Settings]

# What the tables hold of the way in which the year came in; everything else is a function of the last day alone.
HISTORIES = {  # by day: what each day that was run found, against the run before
    "churn.risk_changes",
    "core.customer_merges",
    "loyalty.tier_changes",
    "marts.segment_daily",
    "segments.membership_changes",
}
OF_THE_WAY = HISTORIES | {
    "campaigns.candidates",  # who changed tier since the run before, and who was decided about
    "campaigns.occasions",
    "campaigns.tier_occasions",
    "campaigns.plan",
    "marts.data_health",  # by the day on which files were taken
    "raw.checks",  # by batch
}
COLUMNS_OF_THE_WAY = {
    "campaigns.audience": {"previous_tier", "tier_change"},
    "quarantine.rows": {"day"},
    "raw.files": {"day"},
}


def settings_of(home: Path, now: datetime, **overrides: object) -> Settings:
    """The example's settings, as its README says them."""
    given = {"include": EXAMPLE, "timezone": "Europe/London", "currency": "GBP"}
    return load_settings(**given | {"home": home, "now": now} | overrides)


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(n) for n in range((last - first).days + 1)]


def quarter_ends(first: date, last: date) -> list[date]:
    """The last day of each third month of the shop's year, which begins in December, and `last`."""
    ends = (day for day in days_between(first, last) if (day + timedelta(1)).day == 1 and day.month % 3 == 2)
    return sorted({*ends, last})


def files_by_day(folder: Path) -> dict[date, Path]:
    """The year split into one file a day; there is none for days on which nothing was invoiced."""
    return {date.fromisoformat(path.stem): path for path in split(YEAR, folder)}


def state(settings):
    """The tables that are a function of the last day, each with rows and checksum."""
    return {table: found for table, found in tables(settings, COLUMNS_OF_THE_WAY).items() if table not in OF_THE_WAY}


@dataclass
class Shop:
    """
    A home in which days go by: the day's file arrives, then the day is run.

    `new_settings` makes the settings of a moment: `new_settings(home=…, now=…)`; another warehouse is set there.
    """

    home: Path
    files: dict[date, Path]
    new_settings: NewSettings = settings_of
    arrived: set[date] = field(default_factory=set)

    def on(self, day: date) -> Settings:
        """The settings of the morning on which `day` is run."""
        return self.new_settings(home=self.home, now=datetime.combine(day + timedelta(1), MORNING, tzinfo=UTC))

    def arrive(self, days: Iterable[date]) -> None:
        """Put the files of these days into the inbox."""
        inbox = self.home / "inbox" / "invoices"
        inbox.mkdir(parents=True, exist_ok=True)
        for day in days:
            if day in self.files and day not in self.arrived:
                os.link(self.files[day], inbox / self.files[day].name)
                self.arrived.add(day)

    def run(self, day: date) -> None:
        """Run the day as a backfill: nothing is planned or sent."""
        settings = self.on(day)
        run_day(run_of(day, settings, Origin.BACKFILL), settings)

    def live_through(self, days: Iterable[date], late: dict[date, date] | None = None) -> None:
        """Run these days, each with every file up to it; a file of `late` comes only with the day it is mapped to."""
        late = late or {}
        for day in days:
            self.arrive(one for one in days_between(FIRST, day) if late.get(one, one) <= day)
            self.run(day)

    def copy(self, home: Path) -> Self:
        shutil.copytree(self.home, home, symlinks=True)
        return replace(self, home=home, arrived=set(self.arrived))

    def look(self, sql: str) -> list[tuple]:
        """What a query finds in the warehouse, a DuckDB file."""
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()

    def accounts(self) -> dict[str, int]:
        """Where the rows of all files are; on each day of landing they add up."""
        columns = ["landed", "current", "superseded", "duplicate", "quarantined", "held", "refused"]
        rows = self.look(f"select {', '.join(columns)} from marts.data_health")
        for landed, *fates in rows:
            assert landed == sum(fates)
        return dict(zip(columns, map(sum, zip(*rows, strict=True)), strict=True))


def live_by_quarter(
    home: Path, files: dict[date, Path], until: date = LAST, new_settings: NewSettings = settings_of
) -> Shop:
    """The year up to a day, loaded and run at the end of each quarter; `new_settings` as of Shop."""
    shop = Shop(home, files, new_settings)
    shop.live_through(quarter_ends(FIRST, until))
    return shop
