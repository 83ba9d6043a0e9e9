"""A source that brings fewer rows than usual, or nothing new, is told; nothing is held for it."""

from datetime import date, timedelta

import pytest
from intake import HEADER, SHOP, Shop, line

from homes import run_day
from perennial.flows import ingest
from perennial.foundation.days import Origin, Run

FIRST = date(2026, 1, 6)
STALE = ("max_refused: 0.5", "max_refused: 0.5\nstale_after: 1")


@pytest.fixture
def shop(homes, tmp_path):
    shop = Shop(tmp_path / "shop", homes.settings(tmp_path / "shop").warehouse)
    shop.source(SHOP, stale=STALE)
    return shop


def live(shop, day, rows):
    """A day on which the shop brings a file of so many rows, all of that day; 0 is no file."""
    shop.at(f"{day + timedelta(1)}T09:30:00+01:00")
    if rows:
        lines = [line(f"{day}-{number}", day=f"{day} 09:00") for number in range(rows)]
        shop.put(f"shop/{day}.csv", HEADER + "".join(lines))
    ingest.land("shop", Run(day, Origin.REPLAY), shop.settings)
    ingest.load(Run(day, Origin.REPLAY), shop.settings)


def told(shop, day):
    return shop.rows(
        f"select rule, severity, passed, detail from raw.checks where day = date '{day}' and batch_id = 0 order by rule"
    )


@pytest.mark.slow
@pytest.mark.parametrize("homes", ["duckdb"], indirect=True)  # nothing of it hangs on the engine
def test_what_is_not_usual_is_told_and_stays_told_after_another_run(shop):
    for week in range(5):
        live(shop, FIRST + timedelta(weeks=week), 60)
    fifth = FIRST + timedelta(weeks=4)
    assert told(shop, fifth) == [
        ("fresh", "warning", True, f"the newest row is of {fifth}, 0 days before; stale after 1"),
        ("volume", "warning", True, "60 rows; on 4 Tuesdays before usually 60"),
    ]
    poor = fifth + timedelta(weeks=1)
    live(shop, poor, 5)
    found = ("volume", "warning", False, "5 rows; on 5 Tuesdays before usually 60")
    assert told(shop, poor)[1] == found
    live(shop, poor, 0)  # the same day again
    assert told(shop, poor)[1] == found
    assert len(told(shop, poor)) == 2

    silent = poor + timedelta(2)
    live(shop, silent, 0)
    assert told(shop, silent) == [
        ("fresh", "warning", False, f"the newest row is of {poor}, 2 days before; stale after 1")
    ]
    run_day(Run(silent, Origin.REPLAY), shop.settings)
    assert shop.rows("select day, status, failing_check from marts.data_health order by day desc limit 3") == [
        (silent, "warning", "fresh"),
        (poor, "warning", "volume"),
        (fifth, "ok", None),
    ]
    assert shop.rows("select count(*) from raw.order_lines") == [(305,)]
