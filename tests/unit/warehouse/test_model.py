"""Model files: what a header must say, what is derived from the SQL, and the order of tables."""

import pytest

from perennial.foundation.errors import BadConfig
from perennial.warehouse import read_model, read_models, written_model

GOOD = """\
-- What each customer did on each day.
-- One row per customer per day.
-- grain:   customer_id, day
-- refresh: replace_days
-- keys:    days = day, customers = customer_id
-- pii:     none

with lines as (
    select customer_id, day, net_revenue from core.order_lines
)

select
    lines.customer_id,  -- who
    lines.day,
    cast(sum(lines.net_revenue) as decimal(12, 2)) as net_revenue  -- money (business currency)
from lines
where lines.day <= $day
group by lines.customer_id, lines.day
"""


@pytest.fixture
def write(tmp_path):
    def write(table, text):
        path = tmp_path / f"{table.replace('.', '/')}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def simple(select, *, grain="a", refresh="rebuild", keys="", pii="none"):
    key_line = f"-- keys: {keys}\n" if keys else ""
    return f"-- One row per thing.\n-- grain: {grain}\n-- refresh: {refresh}\n{key_line}-- pii: {pii}\n\n{select}\n"


def test_a_model_says_what_it_is_and_how_it_is_made(write):
    model = read_model(write("core.customer_days", GOOD))
    assert model.table == "core.customer_days"
    assert model.schema == "core"
    assert model.sentence == "What each customer did on each day. One row per customer per day."
    assert model.grain == ("customer_id", "day")
    assert model.keys == {"days": "day", "customers": "customer_id"}
    assert model.replaces == "days"
    assert model.via == ()
    assert model.pii == ()
    assert model.depends_on == {"core.order_lines"}
    assert model.columns == {"customer_id": "who", "day": "", "net_revenue": "money (business currency)"}


def test_touched_sets_beside_the_replaced_one(write):
    text = simple("select a, b from core.y", refresh="replace_orders via identities, skus", keys="orders = a")
    model = read_model(write("core.x", text))
    assert model.replaces == "orders"
    assert model.via == ("identities", "skus")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("-- grain:   customer_id, day\n", ""), "no `grain:` line"),
        (GOOD.replace("-- refresh: replace_days\n", ""), "no `refresh:` line"),
        (GOOD.replace("-- pii:     none\n", ""), "no `pii:` line"),
        (GOOD.replace("customer_id, day\n-- refresh", "\n-- refresh"), "grain: it names no column"),
        (GOOD.replace("-- pii:", "-- grain: day\n-- pii:"), "`grain:` twice"),
        (GOOD.replace("-- pii:", "-- grian: day\n-- pii:"), "'grian: day' is none of grain, refresh, keys, pii"),
        ("-- grain: a\n-- refresh: rebuild\n-- pii: none\nselect a from core.y", "no sentence"),
        ("select a from core.y", "no sentence"),
        (GOOD.replace("replace_days", "sometimes"), "'sometimes' is not rebuild, history or replace_<keys>"),
        (GOOD.replace("replace_days", "replace_orders"), "needs `orders = <column>` under keys"),
        (GOOD.replace("days = day, ", "days day, "), "'days day' is not of the form"),
        (
            GOOD.replace("-- grain:   customer_id, day", "-- grain:   customer, day"),
            "'customer', which is not a column",
        ),
        (GOOD.replace("days = day", "days = date"), "'date', which is not a column"),
        (GOOD.replace("pii:     none", "pii: email"), "'email', which is not a column"),
        (simple("select a from core.y", refresh="history"), "a history needs `day` in its grain"),
        (simple("select a from core.x"), "only a history may read itself"),
        (simple("select a, cast(b as text) as b from core.x", grain="day, a", refresh="history"), "casts every column"),
        (simple("select a from core.y; select b from core.y"), "exactly one SELECT"),
        (simple("delete from core.y"), "exactly one SELECT"),
        (simple("select a frm core.y where"), "not readable as SQL"),
        (simple("select median(a) as a from core.y"), "not in the portable subset"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_name(write, text, told):
    path = write("core.x", text)
    with pytest.raises(BadConfig) as error:
        read_model(path)
    assert str(path) in str(error.value)
    assert told in str(error.value)


def test_public_columns_are_documented(write):
    path = write("marts.x", simple("select a,  -- known\n    b from core.y"))
    with pytest.raises(BadConfig, match="public columns without a comment: b"):
        read_model(path)
    assert read_model(write("marts.x", simple("select a  -- known\nfrom core.y"))).columns == {"a": "known"}


def test_every_problem_is_told_at_once(write):
    path = write("core.x", simple("select a from core.y", grain="b", refresh="replace_days"))
    with pytest.raises(BadConfig) as error:
        read_model(path)
    assert len(str(error.value).splitlines()) == 2


def test_a_history_may_read_what_it_said_before(write):
    select = "select cast($day as date) as day, cast(x.a as bigint) as a from core.x as x where x.day < $day"
    model = read_model(write("core.x", simple(select, grain="day, a", refresh="history")))
    assert model.reads_itself
    assert model.depends_on == set()
    assert model.cast_columns == {"day": "DATE", "a": "BIGINT"}


class TestFingerprint:
    def test_comments_and_layout_do_not_count(self, write):
        before = read_model(write("core.x", GOOD)).fingerprint
        other = GOOD.replace("  -- who", "").replace("What each", "All that each").replace("\n    ", "\n  ")
        assert read_model(write("core.x", other)).fingerprint == before

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("<= $day", "< $day"),
            ("decimal(12, 2)", "decimal(14, 2)"),
            ("replace_days", "rebuild"),
            ("days = day, customers", "days = day, people"),
        ],
    )
    def test_what_the_table_holds_and_how_it_is_picked_count(self, write, old, new):
        before = read_model(write("core.x", GOOD)).fingerprint
        assert read_model(write("core.x", GOOD.replace(old, new))).fingerprint != before


class TestOrder:
    def test_every_table_comes_after_what_it_reads(self, write, tmp_path):
        write("core.a", simple("select a from core.b"))
        write("core.b", simple("select a from core.c where exists (select 1 from marts.d where d.a = c.a)"))
        write("core.c", simple("select a from raw.anything"))
        write("marts.d", simple("select a  -- it\nfrom raw.anything"))
        order = list(read_models(tmp_path.glob("*/*.sql")))
        assert order.index("core.c") < order.index("core.b") < order.index("core.a")
        assert order.index("marts.d") < order.index("core.b")

    def test_a_circle_is_refused_by_name(self, write, tmp_path):
        write("core.a", simple("select a from core.b"))
        write("core.b", simple("select a from core.a"))
        with pytest.raises(BadConfig, match=r"in a circle: core\.(a|b) -> core\.(a|b) -> core\.(a|b)"):
            read_models(tmp_path.glob("*/*.sql"))

    def test_a_written_model_takes_its_place(self, write, tmp_path):
        write("core.b", simple("select a from core.written"))
        write("core.c", simple("select a from raw.anything"))
        written = written_model(
            "core.written", "select a from core.c", sentence="s", grain=("a",), path=tmp_path / "rules.yaml"
        )
        order = list(read_models(tmp_path.glob("*/*.sql"), [written]))
        assert order == ["core.c", "core.written", "core.b"]

    def test_sql_written_from_a_rule_book_is_held_to_the_same_rules(self, tmp_path):
        path = tmp_path / "rules.yaml"
        with pytest.raises(BadConfig, match=r"rules\.yaml: .*portable subset"):
            written_model("core.w", "select md5_number(a) as a from core.c", sentence="s", grain=("a",), path=path)


class TestBlindSpots:
    """A table that is refreshed only at touched keys must hear of every change of what it reads."""

    def test_an_input_without_the_key_is_refused(self, write, tmp_path):
        write("core.lines", simple("select a, o from raw.y", keys="orders = o"))
        write("core.products", simple("select a from raw.y"))
        joined = "select l.a, l.o from core.lines as l join core.products as p on l.a = p.a"
        write("core.x", simple(joined, refresh="replace_orders", keys="orders = o"))
        with pytest.raises(BadConfig, match=r"x\.sql: it reads core\.products, which has no key orders"):
            read_models(tmp_path.glob("*/*.sql"))
        write("core.products", simple("select a from raw.y", keys="skus = a"))
        write("core.x", simple(joined, refresh="replace_orders via skus", keys="orders = o"))
        assert "core.x" in read_models(tmp_path.glob("*/*.sql"))

    def test_a_mistyped_key_is_refused(self, write, tmp_path):
        write("core.lines", simple("select a, o from raw.y", keys="orders = o"))
        write("core.x", simple("select a, o from core.lines", refresh="replace_orders via skusses", keys="orders = o"))
        with pytest.raises(BadConfig, match="no table that it reads has the key 'skusses'"):
            read_models(tmp_path.glob("*/*.sql"))

    def test_rule_books_make_a_table_anew_and_raw_rows_are_touched_by_arrival(self, write, tmp_path):
        write("staging.y", simple("select a from raw.y", refresh="replace_things", keys="things = a"))
        ruled = "select y.a from staging.y as y cross join rules.tiers as t"
        write("core.x", simple(ruled, refresh="replace_things", keys="things = a"))
        assert list(read_models(tmp_path.glob("*/*.sql"))) == ["staging.y", "core.x"]
