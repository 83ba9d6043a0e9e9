"""The simulated people: who they are and the process each of them follows. This is the truth of the demo."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from perennial.demo import places
from perennial.demo.catalogue import CATEGORIES
from perennial.demo.process import CHUNK, Bools, Floats, Ints, Shop, awake
from perennial.demo.text import Text, choose, digits, join, number, where

NEVER = 10**6  # a day after everything
_HOME_WEST = np.cumsum([place.weight for place in places.WEST]) / sum(place.weight for place in places.WEST)
_HOME_CHINA = np.cumsum([place.weight for place in places.CHINA]) / sum(place.weight for place in places.CHINA)


@dataclass(frozen=True)
class People:
    """A chunk of people, one row each; days as numbers, rates per day."""

    index: Ints  # among all people of the shop, in order of sign-up
    signup_day: Ints
    signup_second: Ints
    dropout_day: Ints  # the first day on which they are lost
    purchase_rate: Floats  # orders a day while not lost, before the season
    browse_rate: Floats
    is_tracked: Bools  # their clicks are recorded
    satisfaction: Floats  # standard normal; the satisfied stay longer
    complaint_day: Ints  # NEVER for most
    is_chinese: Ints  # 0 | 1, also the row of the season
    place: Ints
    gender: Ints
    given: Ints
    family: Ints
    birthday: Ints  # day number; NEVER if unknown
    favourite: Ints  # category
    second_favourite: Ints
    store_share: Floats  # of their orders, 0 for people without a loyalty card
    app_share: Floats  # of their sessions, 0 for people without the app
    social_rate: Floats
    signup_channel: Ints
    acquisition_cents: Ints
    referrer: Ints  # index, -1 for none
    has_phone: Bools
    has_bad_address: Bools
    opens: Floats  # how readily they open mail, 0 to 1
    clicks: Floats
    occupation: Ints
    income: Ints

    def __len__(self) -> int:
        return len(self.index)


def chunks(shop: Shop) -> int:
    return -(-shop.people // CHUNK)


def people(shop: Shop, chunk: int) -> People:
    """Simulate one chunk of the shop's people; always the same for the same shop and chunk."""
    rng = shop.stream("people", chunk)
    index = np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, shop.people))
    size = len(index)
    signup_day, signup_second = _signups(shop, index, rng)

    satisfaction = rng.normal(size=size)
    lifetime = rng.exponential(620 * np.exp(0.35 * satisfaction))
    dropout_day = signup_day + 1 + lifetime.astype(np.int64)
    purchase_rate = shop.activity.pace * rng.gamma(1.3, 0.032, size)
    complains = rng.random(size) < np.where(satisfaction < 0, 0.3, 0.1)
    complaint_day = np.where(complains, np.maximum(dropout_day - rng.integers(1, 20, size), signup_day), NEVER)

    is_chinese = (rng.random(size) < 0.25).astype(np.int64)
    home = rng.random(size)
    place = np.where(
        is_chinese == 1,
        len(places.WEST) + np.searchsorted(_HOME_CHINA, home, side="right").clip(max=len(places.CHINA) - 1),
        np.searchsorted(_HOME_WEST, home, side="right").clip(max=len(places.WEST) - 1),
    )
    age_days = (rng.normal(41, 13, size).clip(18, 86) * 365.25).astype(np.int64)
    channel = np.searchsorted(np.cumsum(places.SIGNUP_WEIGHTS), rng.random(size), side="right").clip(max=5)
    has_app = (rng.random(size) < 0.42) | (channel == places.SIGNUP_CHANNELS.index("app"))
    has_card = (rng.random(size) < 0.45) | (channel == places.SIGNUP_CHANNELS.index("store"))
    favourite = rng.integers(0, len(CATEGORIES), size)
    referred = (channel == places.SIGNUP_CHANNELS.index("referral")) & (index > 0)
    cost = np.array(places.ACQUISITION_CENTS)[channel]

    return People(
        index=index,
        signup_day=signup_day,
        signup_second=signup_second,
        dropout_day=dropout_day,
        purchase_rate=purchase_rate,
        browse_rate=0.6 * purchase_rate + 0.01 * shop.activity.pace,
        is_tracked=shop.stream("tracked", chunk).random(size) < shop.activity.tracked,
        satisfaction=satisfaction,
        complaint_day=complaint_day,
        is_chinese=is_chinese,
        place=place,
        gender=np.searchsorted([0.48, 0.92, 0.98], rng.random(size), side="right"),
        given=rng.integers(0, 32, size),
        family=rng.integers(0, 1 << 20, size),
        birthday=np.where(rng.random(size) < 0.88, shop.first_day - age_days, NEVER),
        favourite=favourite,
        second_favourite=(favourite + rng.integers(1, len(CATEGORIES), size)) % len(CATEGORIES),
        store_share=np.where(has_card, rng.beta(2, 3, size), 0.0),
        app_share=np.where(has_app, rng.beta(3, 2, size), 0.0),
        social_rate=np.where(rng.random(size) < 0.2, rng.gamma(1.0, 0.025, size), 0.0),
        signup_channel=channel,
        acquisition_cents=(cost * rng.uniform(0.6, 1.5, size)).astype(np.int64),
        referrer=np.where(referred, (rng.random(size) * index).astype(np.int64), -1),
        has_phone=rng.random(size) < 0.8,
        has_bad_address=rng.random(size) < shop.dirt.bad_address,
        opens=rng.beta(2.2, 3.2, size),
        clicks=rng.beta(1.6, 7, size),
        occupation=rng.integers(0, len(places.OCCUPATIONS), size),
        income=rng.integers(0, len(places.INCOME_BANDS), size),
    )


def first_signup(shop: Shop, chunk: int) -> int:
    """The day on which the first person of a chunk signs up, without simulating it."""
    return int(np.floor(_signup_times(shop, np.array([chunk * CHUNK], dtype=np.float64))[0]))


def _signups(shop: Shop, index: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    times = _signup_times(shop, index + rng.random(len(index)))
    day = np.floor(times).astype(np.int64)
    second = ((times - day) * 86400).astype(np.int64)
    return day, awake(second)


def _signup_times(shop: Shop, position: Floats) -> Floats:
    """When the n-th person signs up, in days: the early ones in the year before the start, then a steady stream."""
    early = shop.customers - shop.newcomers
    opened = float(shop.first_day)
    days = shop.horizon - opened
    late = opened + (position - early) * days / max(1, shop.people - early)
    times = np.where(position < early, opened - 365 + position * 365 / max(1, early), late)
    return np.minimum(times, shop.horizon - 1e-6)


# ---- what is written about them ----


def refs(index: Ints) -> Text:
    """Customer references such as c000123; nothing for an index below zero."""
    return where(index < 0, "", join("c", number(np.abs(index), 6)))


def _names(who: People) -> tuple[Text, Text]:
    """Names as written, and the same in the letters of an e-mail address."""
    chinese, woman = who.is_chinese == 1, who.gender == 0
    written = {
        "west": [n[0] for n in (*places.GIVEN_WEST_WOMEN, *places.GIVEN_WEST_MEN)],
        "china": [n[0] for n in (*places.GIVEN_CHINA_WOMEN, *places.GIVEN_CHINA_MEN)],
    }
    latin = {
        "west": [n[1] for n in (*places.GIVEN_WEST_WOMEN, *places.GIVEN_WEST_MEN)],
        "china": [n[1] for n in (*places.GIVEN_CHINA_WOMEN, *places.GIVEN_CHINA_MEN)],
    }
    west = np.where(chinese, -1, who.given + np.where(woman, 0, len(places.GIVEN_WEST_WOMEN)))
    china = np.where(chinese, who.given % 16 + np.where(woman, 0, len(places.GIVEN_CHINA_WOMEN)), -1)
    family_west = np.where(chinese, -1, who.family % len(places.FAMILY_WEST))
    family_china = np.where(chinese, who.family % len(places.FAMILY_CHINA), -1)
    names = join(
        choose(written["west"], west),
        where(chinese, "", " "),
        choose([n[0] for n in places.FAMILY_WEST], family_west),
        choose([n[0] for n in places.FAMILY_CHINA], family_china),
        choose(written["china"], china),
    )
    local = join(
        choose(latin["west"], west),
        choose(latin["china"], china),
        ".",
        choose([n[1] for n in places.FAMILY_WEST], family_west),
        choose([n[1] for n in places.FAMILY_CHINA], family_china),
        number(who.index),
    )
    return names, local


@dataclass(frozen=True)
class Labels:
    """The text about each person that several files repeat."""

    ref: Text
    name: Text
    email: Text  # empty for people whose address is malformed
    written_email: Text  # what their profile says, malformed or not
    phone: Text
    card: Text
    device: Text  # the phone the app runs on
    cookie: Text  # the browser


def labels(who: People) -> Labels:
    name, local = _names(who)
    email = join(local, "@", choose(places.DOMAINS, who.index % len(places.DOMAINS)))
    ref = refs(who.index)
    return Labels(
        ref=ref,
        name=name,
        email=where(who.has_bad_address, "", email),
        written_email=where(who.has_bad_address, malformed(local, who.index), email),
        phone=where(who.has_phone, _phones(who), ""),
        card=where(who.store_share > 0, join("LC", number(digits(who.index, 9, 1), 9)), ""),
        device=where(who.app_share > 0, join("d", number(digits(who.index, 12, 2), 12)), ""),
        cookie=join("k", number(digits(who.index, 12, 3), 12)),
    )


def malformed(local: Text, index: Ints) -> Text:
    """Addresses as people mistype them."""
    return join(local, choose(["@", "@@example.com", " at example.org", "@example", ""], index % 5))


def _phones(who: People) -> Text:
    phones = pa.array([""] * len(who))
    countries = [place.country for place in places.PLACES]
    for country, (prefix, places_left) in places.DIALLING.items():
        here = np.isin(who.place, [row for row, of in enumerate(countries) if of == country])
        own = join(f"+{prefix}", number(digits(who.index, places_left, 4), places_left))
        phones = where(here, own, phones)
    return phones
