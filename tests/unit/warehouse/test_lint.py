"""The portable subset: each refusal with a planted violation, and what is let through."""

import pytest
import sqlglot
from sqlglot import exp

from perennial.warehouse.lint import lint
from perennial.warehouse.model import DIALECT


def told(sql):
    query = sqlglot.parse_one(sql, read=DIALECT)
    assert isinstance(query, exp.Query)
    return list(lint(query))


@pytest.mark.parametrize(
    "sql",
    [
        "select a, count(*) as n from core.x where day <= $day group by a having count(*) > 1 order by a limit 3",
        "with y as (select a from core.x) select y.a from y union all select a from core.z",
        "select a from core.x where not exists (select 1 from core.y where y.a = x.a)",
        "select row_number() over (partition by a order by b desc, c) as place from core.x",
        "select sum(n) over (order by day rows between 6 preceding and current row) as n from core.x",
        "select count(*) filter (where b > 0) as n, string_agg(a, ',' order by a) as list from core.x group by c",
        "select cast(a / nullif(b, 0) as decimal(12, 2)) as r, date_diff('day', d, $day) as days from core.x",
        "select bucket(a, 100) as b, address_hash(e) as h from core.x cross join core.y",
        "select x.a from core.x as x full outer join core.y as y on x.a = y.a",
        "select extract(year from $day) as y, starts_with(a, 'ref:') as s, a like '%@%' as l from core.x",
    ],
)
def test_the_portable_subset_passes(sql):
    assert told(sql) == []


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select hash(a) as h from core.x", "hash"),
        ("select median(a) as m from core.x", "Median"),
        ("select arg_max(a, b) as m from core.x", "ArgMax"),
        ("select count_if(a) as n from core.x", "CountIf"),
        ("select regexp_replace(a, 'x', 'y') as r from core.x", "RegexpReplace"),
        ("select try_cast(a as int) as r from core.x", "TryCast"),
        ("select a from core.x where now() > day", "now()"),
        ("select current_date as today", "CurrentDate"),
        ("select random() as r", "Rand"),
        ("select unnest([1, 2]) as n", "Explode"),
        ("select first_value(a ignore nulls) over (order by b) as f from core.x", "IgnoreNulls"),
        ("select some_new_function(a) as r from core.x", "some_new_function() is not in the portable subset"),
        ("select x -> 'a' as a from core.x", "JSON"),
    ],
)
def test_what_engines_do_differently_is_refused(sql, word):
    problems = told(sql)
    assert problems
    assert any(word in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("select * from core.x", "`*` outside count(*): name the columns."),
        ("select x.* from core.x", "`*` outside count(*): name the columns."),
        ("select a from x", "table 'x' is written without its schema."),
        ("with y as (select a from z) select a from y", "table 'z' is written without its schema."),
        ("select a from core.x where a = $limit", "parameter $limit: models know $day only."),
        ("select x.a from core.x semi join core.y on x.a = y.a", "semi join: use exists / not exists."),
        ("select x.a from core.x anti join core.y on x.a = y.a", "anti join: use exists / not exists."),
        ("select x.a from core.x, core.y", "a join without a condition"),
        ("select x.a from core.x inner join core.y", "a join without a condition"),
        ("select a from read_csv('/etc/passwd')", "is a table function; models read tables."),
        ("select a from 'file.parquet'", "is written without its schema."),
        ("select distinct on (a) a, b from core.x order by a, b", "distinct on: use row_number()."),
        ("select a, count(*) as n from core.x group by all", "group by all: name the expressions."),
        ("select a from core.x order by all", "order by all: name the columns."),
        ("select a from core.x union by name select a from core.y", "union by name"),
        ("select a from core.x limit 3", "limit without `order by`"),
        ("select string_agg(a, ',') as list from core.x", "without `order by`: the order of its items"),
        ("select row_number() over (partition by a) as n from core.x", "without `order by`: which row comes first"),
        ("select first_value(a) over (partition by b) as f from core.x", "without `order by`: which row comes first"),
    ],
)
def test_each_rule_tells_what_is_wrong(sql, problem):
    assert any(problem in found for found in told(sql)), told(sql)


def test_every_problem_is_told_and_long_excerpts_are_cut():
    sum_of_many = " + ".join(["d"] * 50)
    problems = told(f"select median(a) as m, hash(b) as h from x where c = {sum_of_many} and try_cast(e as int) = 1")
    assert len(problems) == 4
    assert all(len(problem) < 150 for problem in problems)
