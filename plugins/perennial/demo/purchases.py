"""What people buy in a month: orders, their lines, and what comes back."""

from dataclasses import dataclass

import numpy as np

from perennial.demo.block import Block
from perennial.demo.catalogue import A_CATEGORY, CATEGORIES, catalogue, prices
from perennial.demo.people import People
from perennial.demo.process import (
    EVENINGS,
    OPENING_HOURS,
    SUNDAY,
    Bools,
    Floats,
    Ints,
    Shop,
    awake,
    times_of_day,
    weekday,
)

WEB, APP, STORE = 0, 1, 2
GUEST = -1
FREE_SHIPPING_CENTS, SHIPPING_CENTS = 5000, 490


@dataclass(frozen=True)
class Orders:
    """One row an order, in order of time."""

    person: Ints  # row of People, GUEST for nobody
    day: Ints
    second: Ints
    channel: Ints
    is_cancelled: Bools
    is_first_pending: Bools  # exported as pending on its day, and with its outcome on the next
    coupon: Ints  # row of COUPONS, -1 for none
    campaign: Ints  # row of CAMPAIGNS, -1 for none
    return_day: Ints  # 0 for orders that stay sold
    return_second: Ints

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True)
class Lines:
    """One row a line of an order, in the order of Orders."""

    order: Ints
    line: Ints  # from 1
    product: Ints
    quantity: Ints
    price_cents: Ints
    discount_cents: Ints
    shipping_cents: Ints
    is_returned: Bools

    def __len__(self) -> int:
        return len(self.order)


COUPONS = ("WELCOME10", "TEATIME", "SPRING15", "FREUNDE")
_COUPON_PERCENT = np.array([10, 10, 15, 20])
CAMPAIGNS = ("newsletter", "search_brand", "social_summer")


def orders_of(block: Block) -> Orders:
    rng, who = block.stream("orders"), block.who
    person, day, at_signup = _purchases(block, rng)
    guest_share = block.shop.dirt.guest
    guests = rng.poisson(len(person) * guest_share / (1 - guest_share)) if len(person) else 0
    day = np.concatenate([day, rng.choice(day, guests) if guests else np.zeros(0, dtype=np.int64)])
    person = np.concatenate([person, np.full(guests, GUEST)])
    at_signup = np.concatenate([at_signup, np.zeros(guests, dtype=bool)])
    size = len(person)

    store_share = np.where(person == GUEST, 0.3, who.store_share[person])
    app_share = np.where(person == GUEST, 0.0, who.app_share[person])
    in_store = (rng.random(size) < store_share) & (weekday(day) != SUNDAY)
    channel = np.where(in_store, STORE, np.where(rng.random(size) < app_share, APP, WEB))
    online = times_of_day(rng, EVENINGS, size, block.shift(person))
    second = np.where(in_store, times_of_day(rng, OPENING_HOURS, size), online)
    after_signup = awake(np.minimum(who.signup_second[person] + 900, 86399))
    second = np.where(at_signup, after_signup, second)
    channel = np.where(at_signup & in_store, WEB, channel)  # at night the stores are closed

    sold = rng.random(size) >= 0.025
    is_cancelled = ~sold & (channel != STORE)
    comes_back = (rng.random(size) < 0.075) & ~is_cancelled
    return_day = np.where(comes_back, day + rng.integers(3, 22, size), 0)
    in_time = np.lexsort((second, day))
    orders = Orders(
        person=person,
        day=day,
        second=second,
        channel=channel,
        is_cancelled=is_cancelled,
        is_first_pending=(rng.random(size) < 0.04) & (channel != STORE),
        coupon=np.where((rng.random(size) < 0.1) & (channel != STORE), rng.integers(0, len(COUPONS), size), -1),
        campaign=np.where((rng.random(size) < 0.09) & (channel != STORE), rng.integers(0, len(CAMPAIGNS), size), -1),
        return_day=return_day + (weekday(return_day) == SUNDAY) * comes_back,
        return_second=times_of_day(rng, OPENING_HOURS, size),
    )
    return Orders(**{name: values[in_time] for name, values in vars(orders).items()})


def _purchases(block: Block, rng: np.random.Generator) -> tuple[Ints, Ints, Bools]:
    """(person, day, is on the day of sign-up): their own rhythm, the first purchase, and something for the birthday."""
    who, month = block.who, block.month
    begins, ends = block.alive
    person, day = block.occurrences(rng, who.purchase_rate, block.alive)
    first = block.newcomers[rng.random(len(block.newcomers)) < 0.6]

    born = who.birthday.astype("datetime64[D]")
    born_month = born.astype("datetime64[M]")
    treat_day = month.first + (born - born_month).astype(np.int64) - rng.integers(0, 7, len(who))
    treated = (born_month.astype(np.int64) % 12 == month.number % 12) & (treat_day >= begins) & (treat_day < ends)
    birthday = np.flatnonzero(treated & (rng.random(len(who)) < 0.25))

    return (
        np.concatenate([person, first, birthday]),
        np.concatenate([day, who.signup_day[first], treat_day[birthday]]),
        np.repeat([False, True, False], [len(person), len(first), len(birthday)]),
    )


def lines_of(block: Block, orders: Orders) -> Lines:
    rng = block.stream("lines")
    count = np.minimum(rng.geometric(0.53, len(orders)), 6)
    order = np.repeat(np.arange(len(orders)), count)
    line = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count) + 1
    person = orders.person[order]
    product = products_for(block.who, person, rng)
    quantity = np.minimum(rng.geometric(0.76, len(order)), 5)
    price = prices(block.shop, block.month)[product]
    amount = price * quantity

    on_sale = np.where(rng.random(len(order)) < 0.08, 15, 0)
    coupon = orders.coupon[order]
    percent = np.maximum(on_sale, np.where(coupon >= 0, _COUPON_PERCENT[coupon], 0))
    totals = np.bincount(order, weights=amount, minlength=len(orders))[order]
    pays_shipping = (line == 1) & (totals < FREE_SHIPPING_CENTS) & (orders.channel[order] != STORE)
    return Lines(
        order=order,
        line=line,
        product=product,
        quantity=quantity,
        price_cents=price,
        discount_cents=amount * percent // 100,
        shipping_cents=np.where(pays_shipping, SHIPPING_CENTS, 0),
        is_returned=(orders.return_day[order] > 0) & ((line == 1) | (rng.random(len(order)) < 0.6)),
    )


def products_for(who: People, person: Ints, rng: np.random.Generator) -> Ints:
    """A product for each of `person` (rows of People or GUEST): mostly from their favourite categories."""
    chance = rng.random(len(person))
    category = np.where(
        (person == GUEST) | (chance > 0.85),
        rng.integers(0, len(CATEGORIES), len(person)),
        np.where(chance < 0.6, who.favourite[person], who.second_favourite[person]),
    )
    return category * A_CATEGORY + popular(rng.random(len(person)))


def popular(chance: Floats) -> Ints:
    """A place within a category; the first products sell best."""
    return np.asarray(A_CATEGORY * chance**1.7, dtype=np.int64)


def tax_cents(shop: Shop, product: Ints, net_cents: Ints) -> Ints:
    return np.asarray(np.rint(net_cents * catalogue(shop).tax_percent[product] / 100), dtype=np.int64)
