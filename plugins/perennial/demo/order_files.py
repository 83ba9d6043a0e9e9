"""The order files: what the web shop and the store tills would export about a month."""

import numpy as np

from perennial.demo.block import Block
from perennial.demo.catalogue import A_CATEGORY, CATEGORIES, catalogue
from perennial.demo.files import Spool
from perennial.demo.people import malformed
from perennial.demo.purchases import APP, CAMPAIGNS, COUPONS, GUEST, STORE, Lines, Orders, tax_cents
from perennial.demo.soil import (
    BAD_ADDRESS,
    BROKEN_DATE,
    BROKEN_DATES,
    DUPLICATE,
    LATE,
    NEGATIVE_QUANTITY,
    Soiled,
    soil,
    spool_soiled,
)
from perennial.demo.text import choose, clocks, dates, join, money, number, separated, where

SALE, PENDING, RETURN = range(3)
STATUSES = ("completed", "pending", "returned", "cancelled")
CANCELLED = 3


def spool_web_orders(spool: Spool, block: Block, orders: Orders, lines: Lines) -> None:
    """The web shop and the app: sales, orders first exported as pending, and returns as orders of their own."""
    rng, who, label, goods = block.stream("web_orders"), block.who, block.label, catalogue(block.shop)
    sold = np.flatnonzero(orders.channel[lines.order] != STORE)
    waits, comes_back = orders.is_first_pending[lines.order[sold]], lines.is_returned[sold]
    rows = np.concatenate([sold, sold[waits], sold[comes_back]])
    stage = np.repeat([SALE, PENDING, RETURN], [len(sold), waits.sum(), comes_back.sum()])
    order, product = lines.order[rows], lines.product[rows]
    person = orders.person[order]
    plain = (stage == SALE) & ~orders.is_first_pending[order] & ~lines.is_returned[rows]
    kinds = (DUPLICATE, LATE, BROKEN_DATE, NEGATIVE_QUANTITY)
    dirt = soil(block.shop.dirt, rng, plain & (person == GUEST), kinds)
    of_members = soil(block.shop.dirt, rng, plain & (person != GUEST), (*kinds, BAD_ADDRESS))
    dirt = Soiled(dirt.kind + of_members.kind, dirt.delay + of_members.delay)

    back = stage == RETURN
    day = np.where(back, orders.return_day[order], orders.day[order])
    created = join(dates(day), " ", clocks(np.where(back, orders.return_second[order], orders.second[order])))
    quantity, discount = lines.quantity[rows], lines.discount_cents[rows]
    net = lines.price_cents[rows] * quantity - discount
    # What comes back is paid back at the price after discount, so a return has no discount of its own.
    price = np.where(back, net // quantity, lines.price_cents[rows])
    logged_in = (rng.random(len(orders)) < 0.88)[order] | who.has_bad_address[person]
    email = choose(label.email, person)
    mistyped = malformed(choose(label.ref, person), rows)
    serial = join(block.prefix, number(order + 1, 6))
    columns = [
        join(where(back, "X", "W"), serial),
        number(lines.line[rows]),
        where(dirt.kind == BROKEN_DATE, choose(BROKEN_DATES, rows % len(BROKEN_DATES)), created),
        choose(label.ref, np.where(logged_in, person, GUEST)),
        where(dirt.kind == BAD_ADDRESS, mistyped, email),
        choose(goods.skus, product),
        choose([f'"{name}"' if "," in name else name for name in goods.names], product),
        choose(CATEGORIES, product // A_CATEGORY),
        number(np.where(back | (dirt.kind == NEGATIVE_QUANTITY), -quantity, quantity)),
        money(price),
        money(np.where(back, 0, discount)),
        money(np.where(back, -1, 1) * tax_cents(block.shop, product, net)),
        money(np.where(back, 0, lines.shipping_cents[rows])),
        "EUR",
        choose(STATUSES, np.where((stage == SALE) & orders.is_cancelled[order], CANCELLED, stage)),
        where(back, join("W", serial), ""),
        where(orders.channel[order] == APP, "app", choose(["desktop", "mobile"], order % 2)),
        choose(COUPONS, orders.coupon[order]),
        choose(CAMPAIGNS, orders.campaign[order]),
    ]
    text = join(*separated(columns, ","), "\n")
    exported = day + ((stage == SALE) & orders.is_first_pending[order])  # the outcome is known a day later
    special = {"guest": person == GUEST, "superseded": stage == PENDING, "return": back}
    spool_soiled(spool, "web_orders", exported, text, dirt, **special)


def spool_store_tills(spool: Spool, block: Block, orders: Orders, lines: Lines) -> None:
    """Receipts of the stores. Two equal articles may be scanned one by one: two equal lines, both meant."""
    rng, label, goods = block.stream("store_tills"), block.label, catalogue(block.shop)
    sold = np.flatnonzero(orders.channel[lines.order] == STORE)
    comes_back = lines.is_returned[sold]
    twice = (lines.quantity[sold] == 2) & (lines.discount_cents[sold] == 0) & ~comes_back
    twice &= rng.random(len(sold)) < 0.3
    rows = np.concatenate([np.repeat(sold, twice + 1), sold[comes_back]])
    back = np.arange(len(rows)) >= len(rows) - comes_back.sum()
    twin = np.concatenate([np.repeat(twice, twice + 1), np.zeros(comes_back.sum(), dtype=bool)])
    order, product = lines.order[rows], lines.product[rows]
    person = orders.person[order]
    kinds = (DUPLICATE, LATE, BROKEN_DATE, NEGATIVE_QUANTITY)
    dirt = soil(block.shop.dirt, rng, ~twin & ~lines.is_returned[rows], kinds)

    day = np.where(back, orders.return_day[order], orders.day[order])
    second = np.where(back, orders.return_second[order], orders.second[order])
    stamp = join(dates(day, "%d.%m.%Y"), " ", clocks(second, with_seconds=False))
    quantity, discount = np.where(twin, 1, lines.quantity[rows]), lines.discount_cents[rows]
    net = lines.price_cents[rows] * quantity - discount
    receipt = join("BON-", block.prefix, number(order + 1, 6))
    columns = [
        where(back, join(receipt, "-R"), receipt),
        where(dirt.kind == BROKEN_DATE, choose(BROKEN_DATES, rows % len(BROKEN_DATES)), stamp),
        choose(["BER-01", "LON-02", "SHA-03"], order % 3),
        number(1 + order % 4),
        choose(label.card, person),
        choose(label.ref, person),
        choose(goods.skus, product),
        choose(goods.names, product),
        choose(CATEGORIES, product // A_CATEGORY),
        number(np.where(back | (dirt.kind == NEGATIVE_QUANTITY), -quantity, quantity)),
        money(np.where(back, net // quantity, lines.price_cents[rows]), ","),
        money(np.where(back, 0, discount), ","),
        money(np.where(back, -1, 1) * tax_cents(block.shop, product, net), ","),
        where(back, "Retoure", "Verkauf"),
        where(back, receipt, ""),
        choose(["Karte", "Bar", "Mobil"], order % 3),
    ]
    text = join(*separated(columns, ";"), "\n")
    spool_soiled(spool, "store_tills", day, text, dirt, guest=person == GUEST, **{"return": back})
