"""The simulated people behave as the truth says they do."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from perennial.demo import Dirt, build_shop
from perennial.foundation.settings import load_settings

CLEAN = Dirt(**dict.fromkeys(Dirt.__dataclass_fields__, 0.0))


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> duckdb.DuckDBPyConnection:
    """Eighteen months of a clean shop of 3,000 as tables: orders (web and store), clicks, support, truth."""
    home: Path = tmp_path_factory.mktemp("shop")
    settings = load_settings(home=home, now="2026-02-01T09:30:00+01:00")
    build_shop(settings, 3000, seed=11, dirt=CLEAN)
    connection = duckdb.connect()
    inbox = settings.inbox_dir
    connection.execute(f"create table truth as from '{home}/demo_truth/customers.parquet'")
    connection.execute(f"""
        create table orders as
        select order_no, customer_ref, created::timestamp as ordered_at, status, sku, qty::int as qty,
            returns_order_no, 'web' as source
        from read_csv('{inbox}/web_orders/*.csv', all_varchar = true)
        union all
        select Bonnummer, Kundennr, strptime(Datum, '%d.%m.%Y %H:%M'),
            if(Vorgang = 'Retoure', 'returned', 'completed'), Artikel, Menge::int, Ursprungsbon, 'store'
        from read_csv('{inbox}/store_tills/*.csv', delim = ';', all_varchar = true)
    """)
    connection.execute(f"create table clicks as from read_json('{inbox}/web_interactions/*.jsonl')")
    connection.execute(f"create table support as from read_json('{inbox}/support_desk/*.jsonl')")
    connection.execute(f"create table consents as from read_json('{inbox}/consents/*.jsonl')")
    connection.execute(f"create table profiles as from read_csv('{inbox}/customers/*.csv', all_varchar = true)")
    return connection


def one(shop, query: str):
    return shop.execute(query).fetchone()[0]


def test_nobody_orders_before_signing_up_or_after_dropping_out(shop):
    wrong = """
        select count(*) from orders join truth on customer_id = customer_ref
        where status in ('completed', 'cancelled', 'pending')
            and (ordered_at::date < signup_date or ordered_at::date >= dropout_date)
    """
    assert one(shop, wrong) == 0
    assert one(shop, "select count(*) from truth where dropout_date between '2024-09-01' and '2026-01-01'") > 500


def test_those_who_stay_order_at_their_own_rate(shop):
    expected = """
        select sum(
            purchases_per_day * (least(dropout_date, date '2026-02-01') - greatest(signup_date, date '2024-08-01'))
        )
        from truth where dropout_date > '2024-08-01' and signup_date < '2026-02-01'
    """
    placed = "select count(distinct order_no) from orders where status <> 'returned' and customer_ref is not null"
    ratio = one(shop, placed) / one(shop, expected)
    assert 0.95 < ratio < 1.35  # seasons, first purchases and birthdays add some, logged-out orders are missing
    correlation = one(
        shop,
        """
        select corr(orders, purchases_per_day) from truth join (
            select customer_ref, count(distinct order_no) as orders from orders group by 1
        ) on customer_ref = customer_id
        where signup_date < '2024-08-01' and dropout_date > '2026-02-01'
        """,
    )
    assert correlation > 0.9


@pytest.mark.parametrize(
    ("locale", "high", "low"),
    [
        ("en", ("2024-11-25", "2024-12-21"), ("2025-06-25", "2025-07-21")),  # Christmas against summer
        ("zh-CN", ("2025-01-09", "2025-01-29"), ("2025-01-29", "2025-02-06")),  # before and in the Spring Festival
    ],
)
def test_seasons_are_visible(shop, locale, high, low):
    def orders_a_day(first: str, end: str) -> float:
        return one(
            shop,
            f"""
            select count(distinct order_no) / date_diff('day', date '{first}', date '{end}')
            from orders join truth on customer_id = customer_ref
            where locale = '{locale}' and status <> 'returned' and ordered_at >= '{first}' and ordered_at < '{end}'
            """,
        )

    assert orders_a_day(*high) > 1.3 * orders_a_day(*low)


def test_stores_are_closed_on_sundays(shop):
    assert one(shop, "select count(*) from orders where source = 'store' and dayofweek(ordered_at) = 0") == 0
    assert one(shop, "select count(*) from orders where source = 'web' and dayofweek(ordered_at) = 0") > 1000


def test_a_return_refers_to_an_order_and_comes_later(shop):
    returns, matched = shop.execute("""
        select count(*), count(sale.order_no) from orders as back
        left join (select distinct order_no, ordered_at from orders where status = 'completed') as sale
            on sale.order_no = back.returns_order_no and sale.ordered_at < back.ordered_at
        where back.status = 'returned'
    """).fetchone()
    assert returns == matched > 1000
    assert one(shop, "select count(*) from orders where (status = 'returned') <> (qty < 0)") == 0


def test_people_buy_from_their_favourite_categories(shop):
    share = one(
        shop,
        "select avg((sku[:3] = upper(favourite[:3]))::int) from orders join truth on customer_id = customer_ref",
    )
    assert 0.5 < share < 0.75


def test_the_dissatisfied_complain_answer_low_and_leave_earlier(shop):
    assert one(shop, "select corr(satisfaction, date_diff('day', signup_date, dropout_date)) from truth") > 0.2
    assert (
        one(shop, "select corr(score, satisfaction) from support join truth using (email) where kind = 'survey_nps'")
        > 0.4
    )
    left_soon = """
        select avg((dropout_date - created_at::date between 0 and 21)::int)
        from support join truth using (email) where kind = 'complaint'
    """
    assert one(shop, left_soon) > 0.95


def test_everybody_has_one_profile_in_one_of_two_languages(shop):
    assert one(shop, "select count(distinct customer_ref) from profiles") == 3000
    assert one(shop, "select count(*) from profiles where locale not in ('en', 'zh-CN')") == 0
    assert one(shop, "select count(distinct country) from profiles where locale = 'en'") >= 6
    not_chinese = """
        select count(*) from profiles
        where locale = 'zh-CN'
            and not (country = 'CN' and coalesce(phone, '+86') like '+86%' and regexp_matches(name, '^\\p{Han}+$'))
    """
    assert one(shop, not_chinese) == 0
    assert 600 < one(shop, "select count(distinct customer_ref) from profiles where locale = 'zh-CN'") < 900
    assert one(shop, "select count(*) from profiles where not regexp_matches(email, '@example\\.(com|org|net)$')") == 0
    for column in ("email", "phone", "loyalty_card", "device_id"):
        shared = f"""
            select count(*) from (
                select {column} from profiles group by {column}
                having {column} is not null and count(distinct customer_ref) > 1
            )
        """
        assert one(shop, shared) == 0, column


def test_most_have_agreed_to_offers_by_mail_with_proof_and_some_withdraw(shop):
    latest = """
        select avg((state = 'granted')::int) from (
            select arg_max(state, "at") as state from consents where channel = 'email' group by customer
        )
    """
    assert 0.75 < one(shop, latest) < 0.95
    assert one(shop, "select count(*) from consents where method is null or proof is null") == 0
    assert one(shop, "select count(*) from consents where state = 'denied' and method = 'preference_page'") > 50


def test_a_birthday_brings_orders(shop):
    nearby, otherwise = shop.execute("""
        with gaps as (
            select order_no,
                birthday - (ordered_at::date - interval (year(ordered_at) - year(birthday)) year)::date as days
            from truth join orders on customer_id = customer_ref
            where birthday is not null and status <> 'returned'
        )
        select count(distinct order_no) filter (where days between 0 and 6) / 7,
            count(distinct order_no) filter (where days between 20 and 89) / 70
        from gaps
    """).fetchone()
    assert nearby > 1.3 * otherwise


def test_a_shop_of_one_month_starts_with_its_customers(tmp_path):
    settings = load_settings(home=tmp_path, now="2026-02-01T09:30:00+01:00")
    figures = build_shop(settings, 2000, date(2026, 1, 1), date(2026, 1, 31), dirt=CLEAN)
    assert figures["rows"]["customers"] >= 2000
    assert figures["files"] < 31 * 9
