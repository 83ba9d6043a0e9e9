"""Data that are not fit hold the campaigns that need them, until they are, or until somebody says that they will do."""

import shutil
from datetime import date

import pytest
from intake import SHOP, Shop

from homes import run_day
from perennial.flows import reading
from perennial.flows.campaigns import allow_stale_data
from perennial.foundation.days import run_of, yesterday
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings
from perennial.ledger import open_ledger

SOURCE = SHOP.replace("sku: [sku, article]", "customer_ref: customer\n  sku: [sku, article]")
SEND_DAY = date(2026, 2, 1)


@pytest.fixture
def shop(homes, tmp_path):
    settings = homes.settings(tmp_path / "shop")
    shop = Shop(tmp_path / "shop", settings.warehouse)
    shop.settings = shop.settings.model_copy(update={"ledger": settings.ledger})
    shop.source(SOURCE)
    shutil.copytree(load_settings().include / "templates", shop.include / "templates")
    win_back = shop.include / "templates" / "win_back" / "campaign.yaml"
    win_back.write_text(win_back.read_text(encoding="utf-8").replace("needs: [consents]", "needs: [order_lines]"))
    orders = [(customer, day) for customer in range(5) for day in ("2025-07-01", "2025-07-11", "2025-07-21")]
    shop.put("shop/a.csv", csv(f"{customer}-{day},1,{day} 10:00,{customer},s1,30" for customer, day in orders))
    return shop


def csv(lines):
    return "order_no,line,date,customer,sku,price,qty\n" + "".join(f"{line},1\n" for line in lines)


def run(shop):
    run_day(run_of(yesterday(shop.settings), shop.settings), shop.settings)
    with open_ledger(shop.settings) as ledger:
        return {found.campaign: found.counts for found in ledger.campaign_runs(send_day=SEND_DAY)}


def allow(shop, campaign, send_day=None):
    return allow_stale_data(campaign, send_day, shop.settings, by="ann", why="one till is closed")


@pytest.mark.slow
def test_campaigns_wait_for_data_that_are_fit_or_allowed(shop):
    shop.put("shop/b.csv", csv(["o1,1,soon,9,s1,30"]))  # held whole: no row of it can be read
    assert run(shop)["win_back"] == {"stale_data": 5}
    (decision,) = reading.explain("1", shop.settings)["decisions"]
    assert (decision["reason"], decision["failing_check"]) == ("stale_data", "shop: held")
    assert decision["why"] == "The data it needs is late, unusual or refused"
    assert run(shop)["win_back"] == {"stale_data": 5}

    assert allow(shop, "win_back") == {"campaign": "win_back", "send_day": "2026-02-01", "decided_anew": True}
    assert run(shop)["win_back"] == {"no_address": 5}
    decided = "select reason, failing_check, count(*) from campaigns.decisions group by reason, failing_check"
    assert shop.rows(decided) == [("no_address", None, 5)]
    with open_ledger(shop.settings) as ledger:
        told = [row for rows in ledger.changes("audit_log", None) for row in rows]
    assert [(row["action"], row["subject"]) for row in told] == [("allow_stale_data", "win_back 2026-02-01")]
    with pytest.raises(BadConfig, match=r"'win_back' is decided for 2026-02-01, and not held for its data"):
        allow(shop, "win_back")


@pytest.mark.slow
def test_it_can_be_allowed_before_and_holds_for_one_day(shop):
    shop.put("shop/b.csv", csv(["o1,1,soon,9,s1,30"]))
    assert allow(shop, "win_back", SEND_DAY)["decided_anew"] is False
    assert run(shop)["win_back"] == {"no_address": 5}
    with pytest.raises(BadConfig, match=r"There is no campaign 'win_bakc'. There are: .*win_back"):
        allow(shop, "win_bakc")


@pytest.mark.slow
def test_a_mended_file_sets_campaigns_free(shop):
    shop.put("shop/b.csv", csv(["o1,1,soon,9,s1,30"]))
    shop.ingest()
    shop.put("shop/b.csv", csv(["o1,1,2026-01-30 10:00,9,s1,30"]))
    assert run(shop)["win_back"] == {"no_address": 5}
