"""
A year of a real grocer's tills, coupons and campaigns: every row of every file is accounted for, and the figures are
those that pandas finds.
"""

import shutil
from datetime import date
from itertools import pairwise

import duckdb
import pytest

from complete_journey_figures import figures_of, table
from contents import messages
from homes import run_newest_day
from perennial.flows.validate import checks
from perennial.foundation.settings import REPOSITORY, load_settings

EXAMPLE = REPOSITORY / "examples" / "complete_journey"
DATA = REPOSITORY.parent / "shared/data/complete_journey"
LAST = date(2017, 12, 31)
FILES = {  # source: contract and file, as landed
    "campaigns": ("interactions", "database/campaigns.jsonl.gz"),
    "demographics": ("customers", "demographics.csv.gz"),
    "products": ("products", "products.csv.gz"),
    "redemptions": ("interactions", "coupon_redemptions.csv.gz"),
    "transactions": ("order_lines", "transactions_sample.csv.gz"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason=f"no data set at {DATA} (examples/complete_journey/README.md)"),
]


@pytest.fixture(scope="module")
def figures():
    return figures_of(DATA, LAST)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """The example's settings, as its README says them, on the first day of 2018."""
    return load_settings(
        home=tmp_path_factory.mktemp("grocer"),
        include=EXAMPLE,
        timezone="America/New_York",
        currency="USD",
        now="2018-01-01T12:00:00-05:00",
    )


@pytest.fixture(scope="module")
def look(settings):
    """The grocer's year run on its last day, campaigns and all: what a query finds in the warehouse."""
    settings.inbox_dir.mkdir(parents=True)
    for file in DATA.glob("*.csv.gz"):
        shutil.copy(file, settings.inbox_dir)
    run_newest_day(settings)
    with duckdb.connect(str(settings.home / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield lambda sql: connection.execute(sql).fetchall()


def test_every_file_of_the_example_is_right(settings):
    for _, check in checks(settings):
        assert check()


def test_the_data_set_is_what_the_readme_counts(figures):
    lines, refused = figures.lines, figures.refused
    assert (len(lines), len(refused)) == (74_584, 416)
    assert (lines["order"].nunique(), lines["customer"].nunique(), lines["store"].nunique()) == (47_034, 2_373, 293)
    assert lines["order"].astype(int).min() > 2**32
    assert (lines["utc_day"] > "2017-12-31").sum() == 22
    petrol = lines[lines["is_petrol"]]
    assert ((petrol["units"] % 1_000 > 0).sum(), len(petrol)) == (693, 764)
    assert (lines["gross"] == 0).sum() == 9
    assert ((lines["received"] == 0) & (lines["gross"] > 0)).sum() == 104
    amounts = lines[["by_card", "matched", "coupon"]]
    assert list((amounts > 0).sum()) == [37_605, 556, 994]
    assert list(amounts.sum()) == [4_018_005, 24_210, 105_435]
    assert (lines["net"] < lines["coupon"]).sum() == 28
    assert lines.loc[~lines["is_petrol"], "units"].max() == 90_000
    known = table(DATA, "products")["product_id"]
    assert [(~told["sku"].isin(known)).sum() for told in (lines, refused)] == [1, 221]


def test_weeks_of_the_till_lines_turn_at_midnight_in_new_york(figures):
    weeks = figures.lines.assign(week=figures.lines["week"].astype(int)).groupby("week")
    ends = list(weeks["day"].agg(["min", "max"]).itertuples(index=False, name=None))
    assert len(ends) == 53
    assert all(last < first for (_, last), (first, _) in pairwise(ends))
    as_utc = list(weeks["utc_day"].agg(["min", "max"]).itertuples(index=False, name=None))
    assert sum(last >= first for (_, last), (first, _) in pairwise(as_utc)) > 50


def test_the_shop_received_the_price_on_the_shelf_but_for_what_it_took_off_itself(figures):
    """By the prices at which the same article was sold without a coupon."""
    lines = figures.lines.assign(pieces=figures.lines["units"] / 1_000)
    plain = lines[lines["coupon"] == 0]
    prices = {sku: set(found) for sku, found in (plain["gross"] / plain["pieces"]).round().groupby(plain["sku"])}
    matched = lines[(lines["matched"] > 0) & lines["sku"].isin(prices)]

    def known(amounts):
        per_piece = (amounts / matched["pieces"]).round()
        return sum(price in prices[sku] for price, sku in zip(per_piece, matched["sku"], strict=True))

    assert len(matched) == 450
    assert known(matched["gross"]) == 413
    assert known(matched["gross"] - matched["matched"]) < 5
    assert known(matched["gross"] + matched["coupon"]) < 5


def test_every_row_is_somewhere_once(look, figures):
    counts = {
        "campaigns": 6_589,
        "demographics": 801,
        "products": 92_331,
        "redemptions": 2_102,
        "transactions": 75_000,
    }
    found = look(
        "select source, landed, current, superseded, duplicate, quarantined, held, refused from marts.data_health"
    )
    refused = {"transactions": len(figures.refused)}
    assert sorted(found) == [
        (source, rows, rows - refused.get(source, 0), 0, 0, refused.get(source, 0), 0, 0)
        for source, rows in counts.items()
    ]
    for source, (contract, file) in FILES.items():
        rows = look(
            f"select _file, _row from staging.{contract} where _source = '{source}'"
            f" union all select file, row from quarantine.rows where source = '{source}' order by 1, 2"
        )
        assert rows == [(file, row) for row in range(1, counts[source] + 1)]


def test_the_refused_lines_are_those_of_no_pieces(look, figures):
    found = look("select reasons, content->>'basket_id', content->>'product_id' from quarantine.rows order by 2, 3")
    assert {reasons for reasons, *_ in found} == {'["quantity_not_zero"]'}
    refused = figures.refused
    assert [line for _, *line in found] == refused[["order", "sku"]].sort_values(["order", "sku"]).to_numpy().tolist()

    assert refused["received"].sum() == 0
    assert ((refused["coupon"] > 0).sum(), refused["coupon"].sum()) == (141, 30_236)
    assert ((refused["coupon"] == 0) & (refused["gross"] == 0)).sum() == 274
    assert len(set(refused["order"]) - set(figures.lines["order"])) == 209
    assert len(set(refused["customer"]) - set(figures.lines["customer"])) == 4


def test_the_totals_are_those_of_the_files(look, figures):
    received = table(DATA, "transactions_sample")["sales_value"].astype(float).sum()
    assert round(100 * received) == figures.lines["received"].sum() == 23_393_524
    (found,) = look(
        "select sum(lines), sum(is_completed::int), (1000 * sum(units))::bigint, (100 * sum(gross_revenue))::bigint,"
        " (100 * sum(discounts))::bigint, (100 * sum(refunds))::bigint, (100 * sum(net_revenue))::bigint"
        " from core.orders"
    )
    assert found == (74_584, 47_034, 105_403_977, 27_435_739, 4_042_215, 0, 23_393_524)
    best = {"1023": 115_605, "400": 69_983, "707": 69_837, "1111": 65_923, "718": 64_125}
    assert figures.customers["net"].nlargest(5).to_dict() == best
    found = look("select customer_id, (100 * net_revenue)::bigint from marts.customer_360 order by 2 desc limit 5")
    assert dict(found) == best


def test_every_till_line_is_taken_to_the_cent(look, figures):
    found = look(
        "select order_id, customer_id, lines.sku, store_id, day, (1000 * lines.quantity)::bigint,"
        " (100 * gross_revenue)::bigint, (100 * discounts)::bigint, (100 * net_revenue)::bigint"
        " from core.order_lines as lines join staging.order_lines as landed using (order_id)"
        " where lines.line_id = landed._key and is_sale order by order_id, lines.sku"
    )
    columns = ["order", "customer", "sku", "store", "day", "units", "gross", "discount", "net"]
    assert found == list(figures.lines[columns].sort_values(["order", "sku"]).itertuples(index=False, name=None))


def test_orders_days_and_households_are_those_of_an_independent_computation(look, figures):
    found = look(
        "select order_id, customer_id, ordered_date, lines, (1000 * units)::bigint, (100 * gross_revenue)::bigint,"
        " (100 * discounts)::bigint, (100 * net_revenue)::bigint from core.orders where is_completed order by order_id"
    )
    assert found == list(figures.orders.sort_index().itertuples(name=None))

    found = look(
        "select day, orders, active_customers, new_customers, (100 * gross_revenue)::bigint, (100 * discounts)::bigint,"
        " (100 * net_revenue)::bigint, (1000 * units)::bigint, interactions from marts.daily_kpis"
        " where guest_orders = 0 and refunds = 0 order by day"
    )
    assert found == list(figures.days.itertuples(name=None))

    found = look(
        "select customer_id, (100 * net_revenue)::bigint, orders, first_order_date, last_order_date, recency_days,"
        " rfm_code from marts.customer_360 where orders > 0 order by customer_id"
    )
    assert found == list(figures.customers.sort_index().itertuples(name=None))
    households = {*figures.customers.index, *figures.redemptions["customer"], *figures.sent["customer"]}
    assert {household for (household,) in look("select customer_id from marts.customer_360")} == households
    assert len(households) == 2_375


def test_articles_and_households_are_described_as_in_the_files(look):
    products = table(DATA, "products")
    parts = zip(products["product_type"], products["package_size"], strict=True)
    names = [", ".join(filter(None, told)) for told in parts]
    assert (names.count(""), (products["product_category"] == "").sum()) == (494, 540)
    categories = products["product_category"].where(products["product_category"] != "", products["department"])
    found = look("select sku, coalesce(name, ''), category, brand from core.products where is_active order by sku")
    assert found == sorted(zip(products["product_id"], names, categories, products["brand"], strict=True))

    people = table(DATA, "demographics")
    found = look("select customer_ref, income_band from staging.customers order by 1")
    assert found == sorted(zip(people["household_id"], people["income"], strict=True))
    assert look("select count(*) from core.profiles") == [(801,)]


def test_redemptions_and_campaigns_are_with_their_households(look, figures):
    told = (
        "select told.customer_id, properties->>'campaign', {more}, told.day, landed._source"
        " from core.interactions as told join staging.interactions as landed on told.event_id = landed._key"
        " where told.kind = '{kind}' order by all"
    )
    found = look(told.format(kind="coupon_redeemed", more="properties->>'coupon'"))
    columns = ["customer", "campaign", "coupon", "day"]
    expected = figures.redemptions[columns].assign(source="redemptions")
    assert found == sorted(expected.itertuples(index=False, name=None))

    found = look(told.format(kind="campaign_received", more="properties->>'type', properties->>'ends'"))
    expected = figures.sent[["customer", "campaign", "type", "ends", "day"]].assign(source="campaigns")
    assert found == sorted(expected.itertuples(index=False, name=None))

    by_campaign = look(
        "select properties->>'campaign', count(*) from staging.interactions where kind = 'coupon_redeemed' group by 1"
    )
    assert dict(by_campaign) == figures.redemptions["campaign"].value_counts().to_dict()
    assert {campaign: rows for campaign, rows in by_campaign if rows > 100} == {"18": 653, "13": 629, "8": 372}
    assert (len(by_campaign), sum(rows for _, rows in by_campaign)) == (26, 2_102)


def test_coupons_say_nothing_that_redemptions_do_not():
    coupons, redemptions = table(DATA, "coupons"), table(DATA, "coupon_redemptions")
    assert (len(coupons), coupons.duplicated().sum()) == (116_204, 4_872)
    known = set(zip(coupons["coupon_upc"], coupons["campaign_id"], strict=True))
    assert set(zip(redemptions["coupon_upc"], redemptions["campaign_id"], strict=True)) <= known


def test_nobody_is_written_to_and_it_says_why(look, settings):
    found = look("select campaign, reason, count(*) from campaigns.decisions group by all order by all")
    assert found == [
        ("post_purchase_survey", "no_address", 378),
        ("tier_upgrade", "no_address", 2),
        ("welcome", "no_address", 3),
        ("win_back", "no_address", 100),
    ]
    assert messages(settings) == {}
