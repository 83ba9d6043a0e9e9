"""Which identifiers a chain of pairs connects."""

from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.warehouse.connect import connected

SCHEMA = pa.schema({"identity": pa.string(), "component": pa.string(), "first_day": pa.int32()})


def components(pairs):
    rows = [{"identity": one, "component": other, "first_day": number} for number, (one, other) in enumerate(pairs)]
    return connected(pa.Table.from_pylist(rows, SCHEMA)).to_pylist()


def plainly(pairs):
    """Identifier -> the smallest that is reached from it by following pairs until nothing changes."""
    smallest = {name: name for pair in pairs for name in pair}
    changed = True
    while changed:
        changed = False
        for one, other in pairs:
            least = min(smallest[one], smallest[other])
            changed |= smallest[one] != least or smallest[other] != least
            smallest[one] = smallest[other] = least
    return smallest


NAMES = st.sampled_from(["a", "b", "c", "d", "é", "ж", "ref:1", "ref:10", "ref:2"])


@hypothesis_settings(deadline=None)
@given(links=st.lists(st.tuples(NAMES, NAMES)), own=st.sets(NAMES))
def test_is_what_following_pairs_gives(links, own):
    pairs = [*{(one, other) for one, other in links if one != other}, *((name, name) for name in own)]
    found = {row["identity"]: row["component"] for row in components(pairs)}
    assert found == {name: smallest for name, smallest in plainly(pairs).items() if name in own}


def test_other_columns_are_those_of_the_identifier_itself():
    assert components([("b", "a"), ("b", "b"), ("c", "c"), ("c", "a")]) == [
        {"identity": "b", "component": "a", "first_day": 1},
        {"identity": "c", "component": "a", "first_day": 2},
    ]


def test_no_pairs_connect_nothing():
    assert components([]) == []


def test_a_long_chain_and_a_large_hub():
    names = [f"{number:06}" for number in range(60_000)]
    chain = list(pairwise(names[:10_001]))
    hub = [(name, "hub") for name in names[20_000:]]
    own = [(name, name) for name in names]
    found = {row["identity"]: row["component"] for row in components([*chain, *hub, *own])}
    assert {found[name] for name in names[:10_001]} == {"000000"}
    assert {found[name] for name in names[20_000:]} == {"020000"}
    assert all(found[name] == name for name in names[10_001:20_000])
