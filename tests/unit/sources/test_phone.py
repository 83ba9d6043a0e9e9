from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.sources.phone import country_of, e164


@pytest.mark.parametrize(
    ("written", "country", "number"),
    [
        ("030 1234567", "DE", "+49301234567"),
        ("(030) 123 45-67", "DE", "+49301234567"),
        ("0049 30 1234567", "DE", "+49301234567"),
        ("+49 (0)30 1234567", "CN", "+49301234567"),
        ("+490301234567", "", "+49301234567"),
        ("138 1234 5678", "CN", "+8613812345678"),
        ("\N{FULLWIDTH PLUS SIGN}86 138 1234 5678", "", "+8613812345678"),
        ("030 1234567", "", "030 1234567"),
        ("030 1234567", "XX", "030 1234567"),
        ("n/a", "DE", "n/a"),
        ("0", "DE", "0"),
        ("12345678901234567890", "DE", "12345678901234567890"),
    ],
)
def test_a_number_has_one_form_and_what_is_none_stays_as_written(written, country, number):
    assert e164(written, country) == number


@given(st.text(st.sampled_from("+0123456789 -()/x"), max_size=20), st.sampled_from(["", "DE", "US", "CN"]))
@hypothesis_settings(deadline=None)
def test_the_form_is_its_own_form_in_every_country(written, country):
    number = e164(written, country)
    if number.startswith("+") and number != written:
        assert number[1:].isdecimal()
        assert e164(number, "") == e164(number, "FR") == number


@pytest.mark.parametrize(
    ("zone", "country"), [("Europe/Berlin", "DE"), ("Asia/Shanghai", "CN"), ("UTC", ""), ("Etc/GMT+1", "ZZ")]
)
def test_a_zone_lies_in_a_country(zone, country):
    assert country_of(ZoneInfo(zone)) == country
