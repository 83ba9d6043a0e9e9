"""
Two years of a real marketplace, whose exports are tables: every row of every file is accounted for, and the figures
are those that pandas finds.
"""

import gzip
import json
import shutil

import duckdb
import pytest

from contents import messages
from homes import run_newest_day
from olist_figures import figures_of, table
from perennial.flows.validate import checks
from perennial.foundation.settings import REPOSITORY, load_settings

EXAMPLE = REPOSITORY / "examples" / "olist"
DATA = REPOSITORY.parent / "shared/data/olist_subset"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason=f"no data set at {DATA} (examples/olist/README.md)"),
]


@pytest.fixture(scope="module")
def figures():
    return figures_of(DATA)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """The example's settings, as its README says them, on the day after the last one."""
    return load_settings(
        home=tmp_path_factory.mktemp("marketplace"),
        include=EXAMPLE,
        timezone="America/Sao_Paulo",
        currency="BRL",
        now="2018-10-23T12:00:00-03:00",
    )


@pytest.fixture(scope="module")
def look(settings):
    """The last day run, campaigns and all: what a query finds in the warehouse."""
    shutil.copytree(DATA, settings.inbox_dir)
    run_newest_day(settings)
    with duckdb.connect(str(settings.home / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield lambda sql: connection.execute(sql).fetchall()


def rows(frame, *columns):
    """The rows as tuples, null for what is blank."""
    plain = frame[list(columns)].astype(object)
    return list(plain.where(plain != "", None).itertuples(index=False, name=None))


def test_every_file_of_the_example_is_right(settings):
    for _, check in checks(settings):
        assert check()


def test_the_data_set_is_what_the_readme_counts(figures):
    assert (len(figures.lines), len(figures.orders), len(figures.without_articles)) == (8_365, 7_360, 775)
    assert figures.without_articles["order_status"].value_counts().to_dict() == {
        "unavailable": 603,
        "canceled": 164,
        "created": 5,
        "invoiced": 2,
        "shipped": 1,
    }
    orders = figures.lines.drop_duplicates("order")
    assert orders["status"].value_counts().to_dict() == {"completed": 6_278, "pending": 615, "cancelled": 467}
    reviews = figures.reviews
    assert (len(reviews), reviews["review"].duplicated().sum()) == (8_225, 34)
    assert (reviews["review_comment_message"].str.contains("\n").sum(), reviews["text"].str.contains("\n").sum()) == (
        436,
        1_120,
    )
    assert reviews.drop_duplicates(["review", "person", "moment", "score", "text"])["review"].is_unique
    category = figures.products["category"]
    assert [len(category), (category == "").sum()] == [5_460, 111]
    assert category.isin(["pc_gamer", "portateis_cozinha_e_preparadores_de_alimentos"]).sum() == 5


def test_vouchers_pay_and_take_nothing_off(figures):
    """What was paid in all ways together is what was asked for, freight included."""
    asked = figures.orders["price"] + figures.orders["freight"]
    paid = figures.payments.groupby("order")["value"].sum()[asked.index]
    assert ((asked == paid).sum(), len(asked)) == (7_318, 7_360)
    vouchers = figures.payments[figures.payments["kind"] == "voucher"]
    by_voucher = asked.index.isin(vouchers["order"])
    assert ((asked == paid)[by_voucher].sum(), by_voucher.sum()) == (308, 309)


def test_every_row_is_somewhere_once(look, settings, figures):
    found = look(
        "select source, landed, current, superseded, duplicate, quarantined, held, refused from marts.data_health"
    )
    newest = figures.addresses.drop_duplicates("person", keep="last")
    people = len(newest)
    same_moment = len(figures.addresses.merge(newest)) - people
    assert sorted(found) == [
        ("customers", 8_135, people, 8_135 - people - same_moment, same_moment, 0, 0, 0),
        ("order_lines", 8_365 + 775, 8_365, 0, 0, 775, 0, 0),
        ("products", 5_460, 5_460, 0, 0, 0, 0, 0),
        ("reviews", 8_225, 8_191, 0, 34, 0, 0, 0),
    ]
    assert (people, same_moment) == (8_016, 7)
    for source, contract, landed in (
        ("customers", "customers", 8_135),
        ("order_lines", "order_lines", 9_140),
        ("products", "products", 5_460),
        ("reviews", "interactions", 8_225),
    ):
        numbers = look(
            f"select _row from staging.{contract} where _source = '{source}'"
            f" union all select row from quarantine.rows where source = '{source}' order by 1"
        )
        assert numbers == [(row,) for row in range(1, landed + 1)]
        [copy] = (settings.landing_dir / source).glob("1-*.jsonl.gz")
        lines = gzip.decompress(copy.read_bytes()).decode().split("\n")[:-1]
        assert len(lines) == landed
        keys = {"customers": "order_id", "products": "product_id"}.get(source, "order_id")
        files = {"products": "olist_products_dataset", "reviews": "olist_order_reviews_dataset"}
        all_keys = {json.loads(line)[keys] for line in lines}
        assert all_keys == set(table(DATA, files.get(source, "olist_orders_dataset"))[keys])


def test_orders_without_articles_are_refused_by_name(look, figures):
    found = look("select reasons, content->>'order_id', content->>'order_status' from quarantine.rows order by 2")
    assert {reasons for reasons, *_ in found} == {'["quantity_present","unit_price_present"]'}
    assert [tuple(row) for _, *row in found] == rows(figures.without_articles, "order", "order_status")


def test_every_line_is_taken_to_the_cent(look, figures):
    found = look(
        "select order_id, line_no, ordered_at, ordered_date, customer_ref, sku, category, quantity::int,"
        " (100 * unit_price)::int, (100 * shipping)::int, status, currency, channel from staging.order_lines"
        " where fate = 'current' order by order_id, line_no"
    )
    expected = figures.lines.assign(quantity=1, currency="BRL", channel="marketplace")
    columns = ("order", "line", "moment", "day", "person", "sku", "category", "quantity", "price", "freight", "status")
    assert found == rows(expected, *columns, "currency", "channel")


def test_the_totals_are_those_of_the_files(look, figures):
    (found,) = look(
        "select count(*), sum(lines), sum(is_completed::int), (100 * sum(gross_revenue))::bigint,"
        " (100 * sum(net_revenue))::bigint, (100 * sum(refunds + discounts))::bigint from core.orders"
    )
    assert found == (7_360, 8_365, 6_278, 87_384_620, 87_384_620, 0)
    assert figures.orders["revenue"].sum() == 87_384_620
    assert look("select (100 * sum(shipping))::bigint from core.order_lines") == [(figures.orders["freight"].sum(),)]


def test_orders_days_and_people_are_those_of_an_independent_computation(look, figures):
    found = look(
        "select order_id, customer_id, ordered_date, lines, is_completed, (100 * net_revenue)::bigint from core.orders"
        " order by order_id"
    )
    orders = figures.orders.reset_index()
    assert found == rows(orders, "order", "person", "day", "lines", "is_sold", "revenue")

    found = look(
        "select day, orders, (100 * net_revenue)::bigint from marts.daily_kpis where orders > 0 and guest_orders = 0"
        " order by day"
    )
    assert found == rows(figures.days.reset_index(), "day", "orders", "revenue")

    found = look(
        "select customer_id, (100 * net_revenue)::bigint, orders, first_order_date, last_order_date"
        " from marts.customer_360 where orders > 0 order by customer_id"
    )
    assert found == rows(figures.people.reset_index(), "person", "revenue", "orders", "first", "last")
    everybody = {person for (person,) in look("select customer_id from marts.customer_360")}
    assert everybody == set(figures.addresses["person"])


def test_people_live_where_their_newest_order_went(look, figures):
    found = look(
        "select customer_ref, updated_at, postcode, city, region, country from staging.customers"
        " where fate = 'current' order by customer_ref"
    )
    newest = figures.addresses.drop_duplicates("person", keep="last").assign(country="BR")
    assert found == rows(newest, "person", "moment", "zip", "city", "state", "country")


def test_articles_have_their_category_in_english_where_there_is_one(look, figures):
    found = look("select sku, category from core.products where is_active order by sku")
    assert found == rows(figures.products, "product_id", "category")


def test_reviews_are_with_their_people_word_by_word(look, figures):
    found = look(
        "select event_id, customer_id, occurred_at, rating::int, comment from core.interactions"
        " where kind = 'survey_csat' and channel = 'email' order by event_id"
    )
    once = figures.reviews.drop_duplicates("review")
    assert found == rows(once, "review", "person", "moment", "score", "text")
    assert sum("\n" in (row[-1] or "") for row in found) > 1_000


def test_nobody_is_written_to_and_it_says_why(look, settings):
    found = look("select campaign, reason, count(*) from campaigns.decisions group by all order by all")
    assert found == [("win_back", "no_address", 23)]
    assert messages(settings) == {}
