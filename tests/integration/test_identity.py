"""Who is found to be one person is one everywhere, and two again where a person says so."""

from datetime import date, timedelta

import pytest
import yaml
from intake import Shop

from homes import run_day
from perennial.flows import reading
from perennial.foundation.days import Origin, Run
from perennial.foundation.settings import load_settings

ORDERS = """
source: tills
contract: order_lines
path: tills/*
format: csv
timezone: Europe/Berlin
columns:
  {order_id: order, ordered_at: day, customer_ref: buyer, email: mail, phone: phone, quantity: qty, unit_price: price}
"""
PROFILES = """
source: accounts
contract: customers
path: accounts/*
format: csv
timezone: Europe/Berlin
columns: {customer_ref: id, email: mail, phone: phone, signup_at: since, updated_at: since}
"""
MONDAY = date(2026, 1, 26)
MAIL, PHONE, GUEST = "email#16cf006e0f3a1ede", "phone#47f405e39ddfffd8", "x-47f405e39ddfffd8"
REFRESHED_BY_KEYS = {"core.links", "core.trusted_links", "core.components", "core.identities", "core.orders"}


@pytest.fixture
def shop(homes, tmp_path):
    shop = Shop(tmp_path / "shop", homes.settings(tmp_path / "shop").warehouse)
    (shop.include / "sources" / "shop.yaml").unlink()
    shop.source(ORDERS)
    shop.source(PROFILES)
    return shop


def run(shop, day, **files):
    shop.at(f"{day + timedelta(1)}T09:00:00+01:00")
    for source, rows in files.items():
        header = {"tills": "order,day,buyer,mail,phone,price,qty\n", "accounts": "id,mail,phone,since\n"}[source]
        shop.put(f"{source}/{day}.csv", header + "".join(f"{row}\n" for row in rows))
    run_day(Run(day, Origin.REPLAY), shop.settings)


def orders(shop):
    return dict(shop.rows("select order_id, customer_id from core.orders order by order_id"))


def numbers(shop, customer_id):
    return reading.explain(customer_id, shop.settings)["identity"]["also_known_as"]


def cut(shop, **link):
    rules = yaml.safe_load((load_settings().include / "rules" / "identity.yaml").read_text(encoding="utf-8"))
    (shop.include / "rules").mkdir()
    (shop.include / "rules" / "identity.yaml").write_text(yaml.safe_dump(rules | {"cuts": [link]}), encoding="utf-8")


@pytest.mark.slow
def test_two_customers_are_found_to_be_one_and_taken_apart_again(shop):
    run(
        shop,
        MONDAY,
        accounts=["7,a.da@gmail.com,,2026-01-01", "9,,030 1234567,2026-01-02"],
        tills=["o1,2026-01-20,7,,,10,1", "o2,2026-01-21,9,,,20,1", "o3,2026-01-22,,,+49 30 1234567,5,1"],
    )
    assert orders(shop) == {"o1": "7", "o2": "9", "o3": "9"}
    assert numbers(shop, "7") == []
    assert numbers(shop, "9") == [GUEST]

    tuesday = MONDAY + timedelta(1)
    run(shop, tuesday, tills=["o4,2026-01-27,9,ADA+shop@googlemail.com,,1,1"])
    assert orders(shop) == dict.fromkeys(("o1", "o2", "o3", "o4"), "7")
    assert shop.rows("select customer_id, orders from marts.customer_360") == [("7", 4)]
    found = reading.explain("9", shop.settings)
    assert found["customer_id"] == "7"
    assert found["identity"] == {
        "also_known_as": ["9", GUEST],
        "links": [
            {"identity_name": "ref:7", "linked_name": MAIL, "since": date(2026, 1, 1), "counts": True},
            {"identity_name": "ref:9", "linked_name": PHONE, "since": date(2026, 1, 2), "counts": True},
            {"identity_name": "ref:9", "linked_name": MAIL, "since": tuesday, "counts": True},
        ],
        "changes": [
            {"day": tuesday, "former_id": "9", "customer_id": "7", "change": "merged"},
            {"day": tuesday, "former_id": GUEST, "customer_id": "7", "change": "merged"},
        ],
    }

    cut(shop, between=["ref:9", MAIL], why="his sister's", by="ann", day=tuesday)
    wednesday = tuesday + timedelta(1)
    run(shop, wednesday)
    assert orders(shop) == {"o1": "7", "o2": "9", "o3": "9", "o4": "9"}
    assert shop.rows("select customer_id, orders from marts.customer_360 order by 1") == [("7", 1), ("9", 3)]
    found = reading.explain("9", shop.settings)["identity"]
    assert [(link["linked_name"], link["counts"]) for link in found["links"]] == [(PHONE, True), (MAIL, False)]
    assert found["changes"][-2:] == [
        {"day": wednesday, "former_id": "9", "customer_id": "7", "change": "unmerged"},
        {"day": wednesday, "former_id": GUEST, "customer_id": "9", "change": "merged"},
    ]
    made_anew = "select table_name from state.builds where day = date '2026-01-28' and how = 'rebuilt'"
    assert [name for (name,) in shop.rows(made_anew) if name in REFRESHED_BY_KEYS] == ["core.trusted_links"]
