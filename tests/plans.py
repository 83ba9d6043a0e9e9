"""A warehouse whose tables are as a day's run leaves them, made of a few people, to plan campaigns by."""

import shutil
from datetime import UTC, datetime, time

from sqlalchemy import update

from perennial.contracts import load_contracts
from perennial.flows import campaigns
from perennial.flows.day_order import newest_day, open_day
from perennial.flows.mirror import create_mirrors
from perennial.flows.raw_tables import create_raw_tables
from perennial.flows.tables import open_tables, rule_tables
from perennial.foundation.days import current_time, run_of, yesterday
from perennial.foundation.settings import SHIPPED
from perennial.ledger import open_ledger
from perennial.ledger.tables import messages
from perennial.warehouse import open_warehouse
from table_bench import insert

BODY = """{% extends "_shared/layout.mjml.j2" %}
{% block content %}
<mj-section><mj-column><mj-text>Hello {{ first_name }} {{ coupon_code }}</mj-text></mj-column></mj-section>
{% endblock %}
"""
FILE = {
    "name": "Hello",
    "purpose": "promotional",
    "topic": "offers",
    "audience": "{where: orders >= 0}",
    "repeat": "{at_most: 9, every_days: 1}",
    "goal": "{within_days: 14}",
}


def make_tables(homes, home):
    """Settings of a home in which every table is there, and empty."""
    settings = homes.settings(home, now="2026-03-02T09:30:00+01:00")
    run = run_of(yesterday(settings), settings)
    with open_tables(run, settings) as (warehouse, materializer):
        create_raw_tables(warehouse, load_contracts(settings).values())
        create_mirrors(warehouse)
        newest_day(warehouse)
        for table, rows in rule_tables(run, settings).items():
            materializer.load_rules(table, rows)
        materializer.build_all(materializer.models.values())
    with open_ledger(settings):
        pass
    return settings


class Plans:
    """A home with campaigns of its own, in which days are planned without being run."""

    def __init__(self, homes, made, home, campaigns, **rules):
        """made: of `make_tables`. campaigns: name -> what its file says over FILE. rules: rule book -> its text."""
        include = home / "include"
        self.settings = homes.copy(made, home, include=SHIPPED, now="2026-03-02T09:30:00+01:00")
        shutil.copytree(SHIPPED / "templates" / "_shared", include / "templates" / "_shared")
        (include / "rules").mkdir()
        for name, text in rules.items():
            (include / "rules" / f"{name}.yaml").write_text(text)
        for name, said in campaigns.items():
            folder = include / "templates" / name
            (folder / "en").mkdir(parents=True)
            lines = [f"{field}: {value}" for field, value in (FILE | said).items()]
            (folder / "campaign.yaml").write_text("\n".join(lines))
            (folder / "en" / "subject.txt.j2").write_text(f"{name} {{{{ coupon_code }}}}")
            (folder / "en" / "body.mjml.j2").write_text(BODY)
        self.settings = self.settings.model_copy(update={"include": include})

    def on(self, day):
        """Let it be the morning of a day, and the tables be those of the day before."""
        self.settings = self.settings.model_copy(update={"now": datetime.combine(day, time(8, 30), UTC)})
        with open_warehouse(self.settings) as warehouse:
            open_day(self.run, warehouse, self.settings)
        return self

    @property
    def run(self):
        return run_of(yesterday(self.settings), self.settings)

    def insert(self, **tables):
        """Put rows into tables: `schema__table=[…]`."""
        with open_warehouse(self.settings) as warehouse:
            for name, rows in tables.items():
                table = name.replace("__", ".")
                insert(warehouse, table, warehouse.columns(table), rows)

    def people(self, **known):
        """Customers who consented to everything: number -> what is known of them."""
        rows = [{"customer_id": who, "email": f"{who}@example.com", "locale": "en", **of} for who, of in known.items()]
        profiles = [
            {"customer_id": row["customer_id"], "locale": row["locale"], "timezone": row.get("timezone"), "orders": 1}
            for row in rows
        ]
        self.insert(
            core__customers=rows,
            customers__profile=profiles,
            loyalty__tiers=[{"customer_id": who, "tier": "seed"} for who in known],
            segments__by_customer=[{"customer_id": who, "segments": ""} for who in known],
            core__consents=[
                {"customer_id": who, "channel": "email", "topic": "all", "state": "granted"} for who in known
            ],
        )

    def plan(self, *, queued=True):
        """Plan the clock's send day, and queue it: decisions by campaign and reason."""
        decided = campaigns.plan(self.run, self.settings)
        for campaign in decided if queued else ():
            campaigns.queue(campaign, self.run, self.settings)
        return decided

    def accept(self):
        """Every message that waits is accepted now."""
        now = current_time(self.settings)
        with open_ledger(self.settings) as ledger, ledger._writing() as connection:
            accepted = {"state": "accepted", "accepted_at": now, "handed_at": now, "updated_at": now}
            connection.execute(update(messages).where(messages.c.state == "queued").values(accepted))

    def decisions(self):
        """(campaign, occurrence, customer, reason) of every decision in the ledger's files, in order."""
        with open_ledger(self.settings) as ledger:
            rows = [row for run in ledger.campaign_runs() for row in ledger.read_frozen(run.decisions).to_pylist()]
        return sorted((row["campaign"], row["occurrence"], row["customer_id"], row["reason"]) for row in rows)

    def messages(self):
        """Every message of the ledger."""
        with open_ledger(self.settings) as ledger:
            return [row for rows in ledger.changes("messages", None) for row in rows]
