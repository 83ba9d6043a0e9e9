"""In which columns the values of others can be seen, and that headers say so where these are personal."""

import pytest

from perennial.foundation.errors import BadConfig
from perennial.warehouse import read_models, written_model

PERSONAL = {"raw.people": ["email", "born"], "raw.calls": ["email"]}


def model(select, pii=(), table="core.x"):
    return written_model(table, select, "x.sql", "One row per thing.", ("a",), pii=pii)


@pytest.mark.parametrize(
    "select",
    [
        "select 1 as a, email as b from raw.people",
        "select 1 as a, people.email as b from raw.people as people",
        "select 1 as a, lower(email) || '!' as b from raw.people",
        "select 1 as a, max(coalesce(nick, email)) as b from raw.people",
        "select 1 as a, case when nick is null then email else nick end as b from raw.people",
        "select 1 as a, first_value(email) over (partition by nick order by nick) as b from raw.people",
        "select 1 as a, (select max(email) as m from raw.calls) as b from raw.people",
        "select 1 as a, cast(email as text) as b from (select email from raw.people) as people",
        "with found as (select nick, email as mail from raw.people) select 1 as a, mail as b from found",
        "select 1 as a, nick as b from raw.people union all select 2 as a, email as b from raw.calls",
        "with x as (select 1 as c from raw.people union all select email from raw.calls) select 1 as a, c as b from x",
        "select 1 as a, email as b from raw.calls inner join raw.people on raw.calls.nick = raw.people.nick",
    ],
)
def test_a_value_that_can_be_seen_is_found(select):
    with pytest.raises(BadConfig, match=r"x.sql: pii: b shows personal data, raw\.(people|calls).email"):
        read_models([], [model(select)], PERSONAL)
    assert read_models([], [model(select, pii=("b",))], PERSONAL)


@pytest.mark.parametrize(
    "select",
    [
        "select 1 as a, nick as b from raw.people where email is not null order by email",
        "select 1 as a, email is not null as b from raw.people",
        "select 1 as a, email = 'x' and born > '2000-01-01' as b from raw.people",
        "select 1 as a, count(distinct email) as b from raw.people",
        "select 1 as a, md5(email) as b from raw.people",
        "select 1 as a, address_hash(email) as b from raw.people",
        "select 1 as a, case when email is null then 'none' else 'some' end as b from raw.people",
        "select 1 as a, row_number() over (partition by email order by born) as b from raw.people",
        "select 1 as a, 2 as email from raw.people",
        "select 1 as a, x.nick as b from raw.people as x inner join raw.calls as y on x.email = y.email",
    ],
)
def test_what_only_decides_or_is_hidden_is_not(select):
    assert read_models([], [model(select)], PERSONAL)


def test_it_is_followed_from_table_to_table_until_one_says_that_nobody_is_seen_any_more(tmp_path):
    def sql(table, select, pii):
        path = tmp_path / f"{table.replace('.', '/')}.sql"
        path.parent.mkdir(exist_ok=True)
        header = f"-- One row per thing.\n-- grain: a\n-- refresh: rebuild\n-- pii: {pii}\n\n"
        path.write_text(header + select + "\n")
        return path

    first = sql("core.first", "select 1 as a, born from raw.people", "born")
    second = sql("core.second", "select a, born as b, extract(year from born) as c from core.first", "b, not c")
    third = sql("core.third", "select a, c as d from core.second", "none")
    found = read_models([first, second, third], personal=PERSONAL)
    assert [(table, found[table].pii, found[table].not_personal) for table in found] == [
        ("core.first", ("born",), ()), ("core.second", ("b",), ("c",)), ("core.third", (), ()),
    ]  # fmt: skip

    sql("core.second", "select a, born as b, extract(year from born) as c from core.first", "b")
    with pytest.raises(BadConfig, match=r"second.sql: pii: c shows personal data, core.first.born"):
        read_models([first, second, third], personal=PERSONAL)
    sql("core.third", "select a, c as d from core.second", "not d")
    sql("core.second", "select a, born as b, extract(year from born) as c from core.first", "b, not c")
    with pytest.raises(BadConfig, match=r"third.sql: pii: `not d`, and nothing personal is seen in it anyway"):
        read_models([first, second, third], personal=PERSONAL)
