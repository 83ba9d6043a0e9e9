"""Making tables: whole, at touched keys, or a day of a history; safe wherever it is killed."""

from datetime import date

import pytest

from perennial.foundation.errors import Permanent
from visits_shop import Shop

MONDAY, TUESDAY, WEDNESDAY = (date(2026, 3, day) for day in (2, 3, 4))


@pytest.fixture
def shop(warehouses, tmp_path):
    """Visits: raw.visits -> staging.visits -> core.visits (with the person) -> core.days and customers.totals."""
    shop = Shop(warehouses.settings(tmp_path))
    yield shop
    shop.close()


def test_the_first_build_makes_every_table_whole(shop):
    shop.land(("v1", "ref:1", MONDAY, 5))
    builds = shop.run(MONDAY)
    assert {build.how for build in builds} == {"rebuilt"}
    assert shop.rows("core.days") == [(MONDAY, 1, 5)]
    assert shop.rows("customers.totals") == [("1", 5)]


class TestTouched:
    def test_only_what_is_touched_is_made_again(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5), ("v2", "ref:2", TUESDAY, 7))
        shop.run(TUESDAY)
        shop.mark("customers.totals", "total = total + 1000")  # rows that are made again lose the mark
        shop.land(("v3", "ref:2", WEDNESDAY, 1))
        builds = shop.run(WEDNESDAY)
        assert {build.table: build.rows for build in builds if build.how == "replaced"} == {
            "staging.visits": 1,
            "core.visits": 1,
            "core.days": 1,
            "customers.totals": 1,
        }
        assert shop.rows("customers.totals") == [("1", 1005), ("2", 8)]

    def test_a_change_touches_where_a_row_was_and_where_it_is(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5), ("v2", "ref:1", MONDAY, 2))
        shop.run(TUESDAY)
        shop.land(("v1", "ref:2", TUESDAY, 5))  # corrected: another person, another day
        shop.run(TUESDAY)
        assert shop.rows("core.days") == [(MONDAY, 1, 2), (TUESDAY, 1, 5)]
        assert shop.rows("customers.totals") == [("1", 2), ("2", 5)]

    def test_what_is_no_longer_there_is_taken_out(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.land(("v1", None, MONDAY, 5))
        shop.run(TUESDAY)
        assert shop.rows("customers.totals") == []
        assert shop.rows("core.days") == [(MONDAY, 1, 5)]

    def test_a_row_that_comes_out_as_it_was_touches_nobody(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.mark("customers.totals", "total = total + 1000")
        shop.land(("v1", "ref:1", MONDAY, 5))
        builds = {build.table: build.rows for build in shop.run(TUESDAY) if build.how == "replaced"}
        assert builds["core.visits"] == 1
        assert shop.rows("customers.totals") == [("1", 1005)]

    def test_rows_dated_later_are_touched_when_their_day_comes(self, shop):
        shop.land(("v1", "ref:1", WEDNESDAY, 5))
        shop.run(MONDAY)
        shop.run(TUESDAY)
        assert shop.rows("core.days") == []
        shop.run(WEDNESDAY)
        assert shop.rows("core.days") == [(WEDNESDAY, 1, 5)]

    def test_nothing_new_touches_nothing(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        assert [build.rows for build in shop.run(TUESDAY) if build.how == "replaced"] == [0, 0, 0, 0]

    def test_via_carries_a_change_of_one_input_to_the_rows_of_another(self, shop):
        shop.land(("v1", "email:a", MONDAY, 5), ("v2", "ref:2", MONDAY, 7))
        shop.run(MONDAY)
        assert shop.rows("customers.totals") == [("2", 7), ("x", 5)]
        shop.execute("insert into raw.claims values ('email:a', '2')")  # the person behind the e-mail is known now
        shop.run(TUESDAY)
        assert shop.rows("customers.totals") == [("2", 12)]

    def test_a_rebuilt_table_touches_only_the_rows_that_differ(self, shop):
        shop.land(("v1", "email:a", MONDAY, 5), ("v2", "email:b", MONDAY, 7))
        shop.run(MONDAY)
        shop.mark("customers.totals", "total = total + 1000")
        shop.execute("insert into raw.claims values ('email:b', '2')")
        shop.run(TUESDAY)
        assert shop.rows("customers.totals") == [("2", 7), ("x", 5)]  # x had both: made again, as was 2


class TestGrain:
    def test_a_repeated_key_keeps_the_old_table_and_is_named(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.execute("insert into raw.claims values ('ref:1', '1'), ('ref:1', '2')")
        with pytest.raises(Permanent) as error:
            shop.run(TUESDAY)
        message = str(error.value)
        assert "identities.sql" in message
        assert "grain (identity) does not hold" in message
        assert "'identity': 'ref:1', 'copies': 2" in message
        assert shop.rows("core.identities") == [("ref:1", "1")]

    def test_personal_data_is_not_named(self, shop):
        shop.rewrite("core.identities", "-- pii:     none", "-- pii:     identity")
        shop.execute("insert into raw.claims values ('email:anna@shop.example', '1'), ('email:anna@shop.example', '2')")
        with pytest.raises(Permanent, match=r"does not hold, for example \{'copies': 2\}"):
            shop.run(MONDAY)

    def test_a_key_that_is_null_is_refused_too(self, shop):
        shop.execute("insert into raw.claims values (null, '1')")
        with pytest.raises(Permanent, match="'identity': None"):
            shop.run(MONDAY)

    def test_a_replacement_is_checked_before_it_is_let_in(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.land(("v1", "ref:1", MONDAY, 6), ("v1", "ref:1", MONDAY, 7))
        with pytest.raises(Permanent, match=r"visits\.sql: grain \(visit\) does not hold"):
            shop.run(TUESDAY)
        assert shop.rows("staging.visits") == [("v1", "ref:1", MONDAY, 5)]

    def test_corrected_data_heal_it(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.execute("insert into raw.claims values ('ref:1', '2'), ('ref:1', '3')")
        with pytest.raises(Permanent):
            shop.run(TUESDAY)
        shop.execute("delete from raw.claims where customer_id = '3'")
        shop.run(TUESDAY)
        assert shop.rows("customers.totals") == [("2", 5)]


class TestKilled:
    def changes(self, shop):
        shop.land(("v1", "email:a", MONDAY, 5), ("v2", "ref:2", MONDAY, 7))
        shop.run(MONDAY)
        shop.land(("v1", "ref:2", TUESDAY, 3), ("v3", "email:b", TUESDAY, 1))
        shop.execute("insert into raw.claims values ('email:b', '2')")

    @pytest.mark.parametrize("builds", range(6))
    def test_after_any_build_the_next_run_ends_in_the_same_state(self, shop, warehouses, tmp_path, builds):
        self.changes(shop)
        shop.run(TUESDAY, killed_after=builds)
        shop.reopen()
        shop.run(TUESDAY)
        undisturbed = Shop(warehouses.settings(tmp_path / "undisturbed"))
        self.changes(undisturbed)
        undisturbed.run(TUESDAY)
        for table in shop.models:
            assert shop.rows(table) == undisturbed.rows(table), table
        undisturbed.close()

    def test_in_the_middle_of_a_build_nothing_of_it_is_kept(self, shop, monkeypatch):
        self.changes(shop)
        before = {table: shop.rows(table) for table in shop.models}
        monkeypatch.setattr(shop.warehouse, "swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        monkeypatch.setattr(
            type(shop.materializer(TUESDAY)), "_count", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            shop.run(TUESDAY)
        monkeypatch.undo()
        assert {table: shop.rows(table) for table in shop.models} == before
        shop.run(TUESDAY)
        assert shop.rows("customers.totals") == [("2", 11)]

    def test_a_batch_that_comes_during_a_run_is_taken_up_by_the_next(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.land(("v1", "ref:1", MONDAY, 6))
        shop.run(TUESDAY, meanwhile=lambda: shop.land(("v2", "ref:1", TUESDAY, 9)))
        assert shop.rows("customers.totals") == [("1", 6)]
        shop.run(WEDNESDAY)
        assert shop.rows("customers.totals") == [("1", 15)]

    def test_the_same_holds_for_the_first_run_of_all(self, shop):
        shop.run(MONDAY, meanwhile=lambda: shop.land(("v1", "ref:1", MONDAY, 9)))
        shop.run(TUESDAY)
        assert shop.rows("customers.totals") == [("1", 9)]


class TestLineage:
    def how(self, shop, day):
        return {build.table: build.how for build in shop.run(day)}

    def test_changed_sql_makes_a_table_anew_and_what_is_made_from_it_where_it_changed(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.rewrite("core.visits", "visits.spent", "visits.spent * 2")
        how = self.how(shop, TUESDAY)
        assert how["staging.visits"] == "replaced"
        assert how["core.visits"] == "rebuilt"
        assert how["core.days"] == how["customers.totals"] == "replaced"
        assert shop.rows("customers.totals") == [("1", 10)]
        assert self.how(shop, WEDNESDAY)["core.visits"] == "replaced"

    def test_columns_in_another_order_do_so_too(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.rewrite(
            "core.visits",
            "visits.visit, identities.customer_id, visits.day, visits.spent as spent",
            "visits.spent as spent, visits.day, identities.customer_id, visits.visit",
        )
        assert self.how(shop, TUESDAY)["core.visits"] == "rebuilt"
        assert shop.rows("core.visits") == [(5, MONDAY, "1", "v1")]
        assert shop.rows("customers.totals") == [("1", 5)]

    def test_a_changed_comment_changes_nothing(self, shop):
        shop.run(MONDAY)
        shop.rewrite("core.visits", "-- Visits", "-- All the visits")
        assert self.how(shop, TUESDAY)["core.visits"] == "replaced"

    def test_a_changed_rule_book_does_too_and_an_equal_one_does_not(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.book(least=0)
        assert self.how(shop, TUESDAY)["customers.totals"] == "replaced"
        shop.book(least=6)
        how = self.how(shop, WEDNESDAY)
        assert how["customers.totals"] == "rebuilt"
        assert how["core.days"] == "replaced"
        assert shop.rows("customers.totals") == []


class TestHistory:
    def test_it_reads_itself_also_the_first_time(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        assert shop.rows("customers.best_days") == [(MONDAY, "1", 5)]

    def test_earlier_days_stay_and_only_what_beats_them_is_new(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5), ("v2", "ref:2", MONDAY, 5))
        shop.run(MONDAY)
        shop.land(("v3", "ref:1", TUESDAY, 4))
        shop.run(TUESDAY)
        assert shop.rows("customers.best_days") == [(MONDAY, "1", 5), (MONDAY, "2", 5), (TUESDAY, "1", 9)]

    def test_the_same_day_again_replaces_its_rows(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.land(("v1", "ref:2", MONDAY, 6))
        shop.run(MONDAY)
        assert shop.rows("customers.best_days") == [(MONDAY, "2", 6)]

    def test_changed_sql_does_not_take_the_past_away(self, shop):
        shop.land(("v1", "ref:1", MONDAY, 5))
        shop.run(MONDAY)
        shop.rewrite("customers.best_days", "totals.total > ", "totals.total >= ")
        shop.run(TUESDAY)
        assert shop.rows("customers.best_days") == [(MONDAY, "1", 5), (TUESDAY, "1", 5)]


def test_what_each_build_did_is_written_down(shop):
    shop.land(("v1", "ref:1", MONDAY, 5))
    shop.run(MONDAY)
    told = shop.warehouse.query(
        "select day, how, row_count from state.builds where table_name = 'core.days'"
    ).to_pylist()
    assert told == [{"day": MONDAY, "how": "rebuilt", "row_count": 1}]


class TestAllAtOnce:
    def land(self, shop):
        shop.land(("v1", "email:a", MONDAY, 5), ("v2", "ref:2", MONDAY, 7), ("v3", "ref:3", TUESDAY, 1))

    def test_tables_are_made_after_those_they_read(self, shop, warehouses, tmp_path):
        self.land(shop)
        materializer = shop.materializer(TUESDAY)
        materializer.seed()
        rows = materializer.build_all(shop.models.values())
        one_by_one = Shop(warehouses.settings(tmp_path / "one by one"))
        self.land(one_by_one)
        one_by_one.run(TUESDAY)
        for table in shop.models:
            assert shop.rows(table) == one_by_one.rows(table), table
            assert rows[table] == len(shop.rows(table))
        one_by_one.close()

    def test_after_an_error_nothing_new_is_begun(self, shop):
        self.land(shop)
        shop.rewrite(
            "core.visits",
            "person. One row per visit.\n-- grain:   visit",
            "person. One row per visit.\n-- grain:   customer_id",
        )
        shop.land(("v4", "ref:2", TUESDAY, 7))
        with pytest.raises(Permanent, match="grain"):
            shop.materializer(TUESDAY).build_all(shop.models.values())
        assert shop.warehouse.has("staging.visits")
        assert not shop.warehouse.has("customers.totals")
