"""The profile and consent files: who the people are, and what they have agreed to."""

import numpy as np

from perennial.demo import places
from perennial.demo.block import Block
from perennial.demo.catalogue import CATEGORIES
from perennial.demo.files import Spool
from perennial.demo.people import NEVER, refs
from perennial.demo.process import EVENINGS, Ints, times_of_day
from perennial.demo.text import choose, clocks, dates, join, member, moments, money, separated, where

_COUNTRIES = np.array([place.country for place in places.PLACES])
GRANTED, DENIED, NOT_ASKED = range(3)


def spool_customers(spool: Spool, block: Block) -> None:
    """Profiles: everybody on the first day, then who signs up and who has moved."""
    rng, who, label = block.stream("customers"), block.who, block.label
    begins, ends = block.alive
    moved, moved_day = block.occurrences(rng, 0.0006, (np.maximum(begins, who.signup_day + 1), ends), seasonal=False)
    signed_up = np.concatenate([_here_before(block), block.newcomers])
    person = np.concatenate([signed_up, moved])
    day = np.concatenate([who.signup_day[signed_up], moved_day])
    second = np.concatenate([who.signup_second[signed_up], times_of_day(rng, EVENINGS, len(moved))])
    place = np.concatenate([who.place[signed_up], _another_city(who.place[moved], rng)])
    born = who.birthday[person]
    columns = [
        choose(label.ref, person),
        choose(label.written_email, person),
        choose(label.phone, person),
        choose(label.card, person),
        choose(label.device, person),
        choose(label.name, person),
        where(born == NEVER, "", dates(np.where(born == NEVER, 0, born))),
        choose(places.GENDERS, who.gender[person]),
        choose([f"{p.country},{p.region},{p.city},{p.postcode}" for p in places.PLACES], place),
        choose(["en", "zh-CN"], who.is_chinese[person]),
        choose([p.timezone for p in places.PLACES], place),
        choose(places.OCCUPATIONS, who.occupation[person]),
        choose(places.INCOME_BANDS, who.income[person]),
        join(choose(CATEGORIES, who.favourite[person]), ";", choose(CATEGORIES, who.second_favourite[person])),
        join(dates(who.signup_day[person]), " ", clocks(who.signup_second[person])),
        choose(places.SIGNUP_CHANNELS, who.signup_channel[person]),
        money(who.acquisition_cents[person]),
        refs(who.referrer[person]),
        join(dates(day), " ", clocks(second)),
    ]
    exported = np.maximum(day, block.shop.first_day)
    lines = join(*separated(columns, ","), "\n")
    spool.add("customers", exported, lines, {"bad_address": exported[who.has_bad_address[person]]})


def _here_before(block: Block) -> Ints:
    """Rows of the people who were there when the shop opened; nobody in later months."""
    return np.flatnonzero(block.is_opening & (block.who.signup_day < block.shop.first_day))


def _another_city(place: Ints, rng: np.random.Generator) -> Ints:
    """Within the same country; half of the time it is only another street."""
    moved = np.where(
        place < len(places.WEST),
        rng.integers(0, len(places.WEST), len(place)),
        len(places.WEST) + rng.integers(0, len(places.CHINA), len(place)),
    )
    return np.where(_COUNTRIES[moved] == _COUNTRIES[place], moved, place)


def spool_consents(spool: Spool, block: Block) -> None:
    """What was ticked at sign-up, with its proof, and what was withdrawn or given again later."""
    rng, who, label = block.stream("consents"), block.who, block.label
    asked = np.concatenate([_here_before(block), block.newcomers])
    answer = np.searchsorted([0.86, 0.95], rng.random(len(asked)), side="right")
    by_mail = asked[answer < NOT_ASKED]
    by_text = asked[(rng.random(len(asked)) < 0.22) & who.has_phone[asked]]
    later = np.maximum(who.signup_day + 30, block.first_day), np.full(len(who), block.month.end)
    withdrawn, withdrawn_day = block.occurrences(rng, 0.00015, later, seasonal=False)
    given, given_day = block.occurrences(rng, 0.00004, later, seasonal=False)

    sizes = [len(by_mail), len(by_text), len(withdrawn), len(given)]
    person = np.concatenate([by_mail, by_text, withdrawn, given])
    day = np.concatenate([who.signup_day[by_mail], who.signup_day[by_text], withdrawn_day, given_day])
    at_signup = np.repeat([True, True, False, False], sizes)
    second = np.where(at_signup, who.signup_second[person], times_of_day(rng, EVENINGS, len(person)))
    granted = np.concatenate([answer[answer < NOT_ASKED] == GRANTED, np.repeat([True, False, True], sizes[1:])])
    when = moments(day, second)
    lines = join(
        '{"customer": "',
        choose(label.ref, person),
        '"',
        member("email", choose(label.email, person)),
        member("channel", where(np.repeat([False, True, False, False], sizes), "sms", "email")),
        member("state", where(granted, "granted", "denied")),
        member("at", when),
        member("method", where(at_signup, where(granted, "double_opt_in", "sign_up_form"), "preference_page")),
        member("proof", join(where(at_signup, "sign-up form v3, ", "preference page v2, "), when)),
        "}\n",
    )
    spool.add("consents", np.maximum(day, block.shop.first_day), lines)
