"""The stability index: what it says of two counts, of what chance makes, and of what a shop gets wrong overnight."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.foundation.settings import load_settings
from perennial.quality import load_intake_rules, mix
from perennial.quality.mix import stability_index

RULES = load_intake_rules(load_settings()).mix
USUAL = [Counter(web=440, store=60)] * 3
few_examples = settings(max_examples=50, deadline=None)
counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10_000), min_size=1).filter(
    lambda found: any(found.values())
)


@few_examples
@given(counts, st.integers(1, 50))
def test_it_is_zero_for_equal_shares(found, times):
    some = {value: rows for value, rows in found.items() if rows}
    assert stability_index(some, {value: rows * times for value, rows in some.items()}) == pytest.approx(0, abs=1e-9)


@few_examples
@given(counts, counts)
def test_it_is_symmetric_and_never_negative(one, other):
    index = stability_index(one, other)
    assert index >= 0
    assert index == pytest.approx(stability_index(other, one))


@few_examples
@given(st.integers(1, 999), st.integers(1, 999), st.integers(1, 999))
def test_it_grows_the_further_shares_move(usual, nearer, further):
    nearer, further = sorted((nearer, further), key=lambda rows: abs(rows - usual))
    if (nearer > usual) is (further > usual):
        found = [{"a": rows, "b": 1000 - rows} for rows in (usual, nearer, further)]
        assert stability_index(found[0], found[1]) <= stability_index(found[0], found[2])


def test_the_figures_of_one_change():
    assert stability_index({"a": 60, "b": 40}, {"a": 50, "b": 50}) == pytest.approx(0.0405, abs=1e-4)
    assert stability_index({"a": 100}, {"a": 50, "b": 50}) == pytest.approx(2.6261, abs=1e-4)  # b stands for half a row


@pytest.mark.parametrize(
    ("today", "told"),
    [
        ({"web": 590, "store": 410}, "store 41% instead of 12%, web 59% instead of 88%; stability index 0.47"),
        ({"web": 1000}, "store 0% instead of 12%, web 100% instead of 88%; stability index 0.67"),
        ({"web": 660, "": 340}, "none 34% instead of 0%, web 66% instead of 88%, store 0% instead of 12%"),
    ],
)
def test_another_mix_is_told_with_the_values_that_moved_most(today, told):
    found = mix("channel", today, USUAL, RULES)
    assert (found.rule, found.severity, found.rows, found.failed, found.passed) == ("mix", "warning", 1000, 1, False)
    assert found.detail.startswith(f"channel: {told}")


def test_the_usual_mix_passes():
    found = mix("channel", {"web": 87, "store": 13}, USUAL, RULES)
    assert (found.failed, found.passed) == (0, True)
    assert found.detail == "channel: as usual; stability index 0.00, to be at most 0.36"


@pytest.mark.parametrize(("today", "before"), [(99, 1000), (1000, 99), (0, 0)])
def test_few_rows_tell_nothing(today, before):
    assert mix("channel", {"web": today}, [], RULES) is None
    assert mix("channel", {"web": today}, [{"store": before}] * 2, RULES) is None


@pytest.mark.parametrize("other", [{"web": 100, "store": 400}, {"app": 50_000}, {}])
def test_a_bad_day_or_a_backlog_is_no_measure(other):
    assert mix("channel", USUAL[0], [*USUAL, other], RULES).passed
    assert not mix("channel", {"web": 500}, [other, *USUAL], RULES).passed


def test_what_stays_becomes_usual():
    new, old = {"web": 300, "store": 200}, USUAL[0]
    assert [mix("channel", new, [new] * weeks + [old] * (8 - weeks), RULES).passed for weeks in range(5)] == [
        *[False] * 2,
        *[True] * 3,
    ]


def test_values_that_are_rare_on_both_sides_count_as_one():
    usual = {"web": 950} | {f"c{number}": 1 for number in range(50)}
    today = {"web": 950} | {f"d{number}": 1 for number in range(50)}
    assert mix("channel", today, [usual] * 2, RULES).detail.startswith("channel: as usual; stability index 0.00")


@pytest.mark.parametrize("size", [1, 3, 4])
def test_chance_does_not_warn_even_where_rows_come_in_groups(size):
    """As lines of an order do, which all have one channel and one status."""
    shop = random.Random(size)

    def rows(number):
        values = shop.choices(["web", "app", "store", "phone"], [60, 25, 10, 5], k=number // size)
        return Counter({value: times * size for value, times in Counter(values).items()})

    judged = [mix("channel", rows(120), [rows(120) for _ in range(8)], RULES) for _ in range(500)]
    assert sum(not found.passed for found in judged) <= 2
