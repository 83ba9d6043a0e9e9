"""Phone numbers in one form, so that the same number is the same text in every source."""

from functools import lru_cache
from zoneinfo import ZoneInfo

import phonenumbers
from babel.core import get_global


@lru_cache(maxsize=1 << 16)  # the lines of an order repeat it
def e164(written: str, country: str) -> str:
    """
    `030 1234567` of `DE` as `+49301234567`; as written where it is no number that the country's plan allows.

    `country` (ISO 3166) counts where the number has no country code; "" or an unknown one leaves such a number alone.
    """
    try:
        number = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        return written
    if not phonenumbers.is_possible_number(number):
        return written
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def country_of(zone: ZoneInfo) -> str:
    """The country that a time zone lies in (Unicode CLDR), "" or a code of no country where it lies in none."""
    country: str = get_global("zone_territories").get(zone.key, "")
    return country
