"""What people do and say in a month besides buying: browsing, tickets, surveys, social media."""

from dataclasses import dataclass, fields

import numpy as np

from perennial.demo.block import Block
from perennial.demo.catalogue import A_CATEGORY
from perennial.demo.people import People
from perennial.demo.process import EVENINGS, OFFICE_HOURS, Floats, Ints, times_of_day
from perennial.demo.purchases import APP, GUEST, STORE, WEB, Lines, Orders, products_for

PRODUCT_VIEW, PAGE_VIEW, SEARCH, ADD_TO_CART, CHECKOUT, APP_OPEN, RETURN_REQUESTED = range(7)
CLICK_KINDS = ("product_view", "page_view", "search", "add_to_cart", "checkout", "app_open", "return_requested")
TICKET, CLOSED, COMPLAINT, CALL, CHAT, CSAT, NPS = range(7)
SUPPORT_KINDS = ("ticket_opened", "ticket_closed", "complaint", "call", "chat", "survey_csat", "survey_nps")
LIKE, COMMENT, REFERRAL = range(3)
SOCIAL_KINDS = ("social_like", "social_comment", "referral")
OPENING = {WEB: PAGE_VIEW, APP: APP_OPEN}
FADING_DAYS = 120  # how long the lost still look around, now and then


@dataclass(frozen=True)
class Events:
    """One row an event. `kind` is a row of the kinds of the file it goes to; -1 where a column does not apply."""

    person: Ints
    day: Ints
    second: Ints
    kind: Ints
    product: Ints
    rating: Ints
    ticket: Ints
    text: Ints

    def __len__(self) -> int:
        return len(self.day)

    def take(self, rows: Ints) -> "Events":
        return Events(**{name: values[rows] for name, values in vars(self).items()})


def events(person: Ints, day: Ints, second: Ints, kind: Ints | int, **others: Ints) -> Events:
    size = len(person)
    columns = {name: others.get(name, np.full(size, -1)) for name in ("product", "rating", "ticket", "text")}
    kinds = np.full(size, kind) if isinstance(kind, int) else kind
    return Events(person=person, day=day, second=second.clip(0, 86399), kind=kinds, **columns)


def stack(*parts: Events) -> Events:
    """All of them, in order of time."""
    whole = Events(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Events)})
    return whole.take(np.lexsort((whole.second, whole.day)))


def clicks_of(block: Block, orders: Orders, lines: Lines) -> tuple[Events, Events]:
    """What happens in the web shop, and in the app."""
    rng, who, month = block.stream("clicks"), block.who, block.month
    visits = {channel: _before_an_order(orders, lines, channel, rng) for channel in (WEB, APP)}

    person, day = block.occurrences(rng, who.browse_rate, block.alive)
    fading = np.maximum(who.dropout_day, block.first_day), np.minimum(who.dropout_day + FADING_DAYS, month.end)
    lost, lost_day = block.occurrences(rng, who.browse_rate * 0.06, fading)
    person, day = np.concatenate([person, lost]), np.concatenate([day, lost_day])
    in_app = rng.random(len(person)) < who.app_share[person]
    second = times_of_day(rng, EVENINGS, len(person), block.shift(person))
    for channel, here in ((WEB, ~in_app), (APP, in_app)):
        visits[channel] += _visits(who, events(person[here], day[here], second[here], OPENING[channel]), rng)

    wanted = np.flatnonzero((orders.return_day > 0) & (orders.person != GUEST) & (orders.channel != STORE))
    visits[WEB].append(
        events(
            orders.person[wanted],
            np.maximum(orders.return_day[wanted] - 2, orders.day[wanted]),
            np.maximum(orders.return_second[wanted], orders.second[wanted]),
            RETURN_REQUESTED,
        )
    )
    return _recorded(who, visits[WEB]), _recorded(who, visits[APP])


def _recorded(who: People, visits: list[Events]) -> Events:
    seen = stack(*visits)
    return seen.take(np.flatnonzero(who.is_tracked[seen.person]))


def _before_an_order(orders: Orders, lines: Lines, channel: int, rng: np.random.Generator) -> list[Events]:
    known = (orders.person != GUEST) & (orders.channel == channel)
    of = lines.order[known[lines.order]]
    product = lines.product[known[lines.order]]
    seen = orders.second[of] - rng.integers(90, 1200, len(of))
    carted = rng.random(len(of)) < 0.5
    started = np.flatnonzero(known)
    opening = APP_OPEN if channel == APP else SEARCH
    begun = started if channel == APP else started[rng.random(len(started)) < 0.4]
    paid = started[rng.random(len(started)) < 0.5]
    cart = of[carted]
    category = lines.product[lines.line == 1] // A_CATEGORY
    return [
        events(orders.person[of], orders.day[of], seen, PRODUCT_VIEW, product=product),
        events(orders.person[cart], orders.day[cart], seen[carted] + 60, ADD_TO_CART, product=product[carted]),
        events(
            orders.person[begun],
            orders.day[begun],
            orders.second[begun] - 1260,
            opening,
            **({} if channel == APP else {"text": category[begun]}),
        ),
        events(orders.person[paid], orders.day[paid], orders.second[paid] - 20, CHECKOUT),
    ]


def _visits(who: People, openings: Events, rng: np.random.Generator) -> list[Events]:
    """Sessions without an order: an opening, then some products; now and then something is left in the cart."""
    clicks = rng.geometric(0.55, len(openings))
    session = np.repeat(np.arange(len(openings)), clicks)
    person, day = openings.person[session], openings.day[session]
    later = openings.second[session] + rng.integers(15, 600, len(session))
    product = products_for(who, person, rng)
    left = np.flatnonzero(rng.random(len(session)) < 0.12)
    return [
        openings,
        events(person, day, later, PRODUCT_VIEW, product=product),
        events(person[left], day[left], later[left] + 30, ADD_TO_CART, product=product[left]),
    ]


def support_of(block: Block, orders: Orders) -> Events:
    """Tickets about orders, complaints of those about to leave, calls and chats, and the answers to surveys."""
    rng, who = block.stream("support"), block.who
    known = orders.person != GUEST
    trouble = np.where(known, 0.05 - 0.015 * who.satisfaction[orders.person], 0.0)
    about = np.flatnonzero(rng.random(len(orders)) < trouble)
    person = orders.person[about]
    opened, asked = orders.day[about] + rng.integers(1, 8, len(about)), times_of_day(rng, OFFICE_HOURS, len(about))
    angry = np.flatnonzero((who.complaint_day >= block.first_day) & (who.complaint_day < block.month.end))
    person, opened = np.concatenate([person, angry]), np.concatenate([opened, who.complaint_day[angry]])
    asked = np.concatenate([asked, times_of_day(rng, OFFICE_HOURS, len(angry))])
    ticket = np.arange(len(person))
    is_complaint = ticket >= len(about)
    closed = opened + rng.integers(0, 5, len(person)) + 1
    answers = rng.random(len(person)) < 0.45
    happy = 3.9 + 0.8 * who.satisfaction[person] - 1.8 * is_complaint + rng.normal(0, 0.7, len(person))

    begins, ends = block.alive
    surveyed, survey_day = block.occurrences(rng, 0.0006, (begins, ends + 60), seasonal=False)
    talked, talk_day = block.occurrences(rng, 0.0004, block.alive, seasonal=False)
    loyal = survey_day < who.dropout_day[surveyed]
    score = 7.9 + 1.7 * who.satisfaction[surveyed] - 2.5 * ~loyal + rng.normal(0, 1.2, len(surveyed))
    return stack(
        events(
            person,
            opened,
            asked,
            np.where(is_complaint, COMPLAINT, TICKET),
            ticket=ticket,
            text=np.where(is_complaint, 8, 0) + ticket % 4,
        ),
        events(person, closed, times_of_day(rng, OFFICE_HOURS, len(person)), CLOSED, ticket=ticket),
        events(
            person[answers],
            closed[answers] + 1,
            times_of_day(rng, EVENINGS, int(answers.sum())),
            CSAT,
            ticket=ticket[answers],
            rating=_rounded(happy[answers], 1, 5),
        ),
        events(
            surveyed,
            survey_day,
            times_of_day(rng, EVENINGS, len(surveyed)),
            NPS,
            rating=_rounded(score, 0, 10),
        ),
        events(
            talked,
            talk_day,
            times_of_day(rng, OFFICE_HOURS, len(talked)),
            np.where(rng.random(len(talked)) < 0.6, CHAT, CALL),
        ),
    )


def social_of(block: Block) -> Events:
    rng, who = block.stream("social"), block.who
    person, day = block.occurrences(rng, who.social_rate, block.alive)
    kind = np.searchsorted([0.68, 0.94], rng.random(len(person)), side="right")
    mood = who.satisfaction[person] + rng.normal(0, 0.8, len(person)) > -0.4
    said = np.where(mood, 4, 8) + rng.integers(0, 4, len(person))
    second = times_of_day(rng, EVENINGS, len(person), block.shift(person))
    return stack(events(person, day, second, kind, text=np.where(kind == COMMENT, said, -1)))


def _rounded(values: Floats, low: int, high: int) -> Ints:
    return np.asarray(np.rint(values).clip(low, high), dtype=np.int64)
