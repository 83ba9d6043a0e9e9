"""What people choose to hear about: topics chosen from a mail, and double opt-in for an address typed in."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select
from uuid6 import uuid7

from perennial.foundation.days import Run
from perennial.foundation.errors import Retryable
from perennial.ledger.decisions import NewTemplate
from perennial.ledger.messages import NewMessage, message_id_of
from perennial.ledger.permissions import EVERY_TOPIC, NewConsent, Permissions, address_hash
from perennial.ledger.store import Row, insert_new
from perennial.ledger.tables import campaign_runs, consents, messages, subscriptions, suppressions, templates

CAMPAIGN = "confirm_subscription"
CONFIRM_WITHIN = timedelta(days=7)
_USEFUL_FOR = timedelta(hours=1)  # a mail that is waited for
_PER_ADDRESS = (3, timedelta(days=1))  # mails to one address, whoever asks for them
_PER_CLIENT = (10, timedelta(hours=1))


@dataclass(frozen=True)
class NewSubscription:
    """Somebody typed in `address`. `client` is a keyed hash of who; `text_version` of what they were shown."""

    address: str
    topic: str
    client: str
    text_version: str
    template: NewTemplate
    context: Mapping[str, Any]


class TooMany(Retryable):
    """A client asks too often."""


class Subscriptions(Permissions):
    """The ledger's part about what people choose."""

    def request_subscription(self, run: Run, wanted: NewSubscription) -> NewMessage | None:
        """
        Note the request and return the mail by which the owner of the address confirms, for `queue`.

        None where the address was written to often enough. Raises TooMany for a client that asks too often. The mail
        is of a campaign that decides nothing, and transactional; like all mail it obeys suppressions of every topic.
        """
        now, hashed = self._now(), address_hash(wanted.address)
        occurrence = str(uuid7())
        customer_id = f"subscription:{occurrence}"
        with self._writing() as connection:
            if self._asked(connection, subscriptions.c.client == wanted.client, *_PER_CLIENT):
                raise TooMany("Too many subscriptions were asked for from one place: try again in an hour.")
            if self._asked(connection, subscriptions.c.address_hash == hashed, *_PER_ADDRESS):
                return None
            insert_new(connection, templates, [wanted.template.row(now)])
            insert_new(connection, campaign_runs, [_run_without_decisions(run, now)])
            row = {"address_hash": hashed, "topic": wanted.topic, "client": wanted.client, "requested_at": now}
            message_id = message_id_of(CAMPAIGN, occurrence, customer_id)
            connection.execute(
                subscriptions.insert().values(**row, message_id=message_id, text_version=wanted.text_version)
            )
        return NewMessage(
            occurrence=occurrence,
            customer_id=customer_id,
            address=wanted.address,
            locale=wanted.template.locale,
            purpose="transactional",
            topic=CAMPAIGN,  # whoever left a topic may come back to it
            template_hash=wanted.template.hash,
            context=wanted.context,
            not_before=now,
            expires_at=now + _USEFUL_FOR,
        )

    def subscription(self, message_id: str) -> Row | None:
        """What was asked for by the mail `message_id`: `topic`, `requested_at`, `confirmed_at`, `is_open`."""
        query = select(subscriptions).where(subscriptions.c.message_id == message_id)
        with self._reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        return {**row, "is_open": self._now() < row["requested_at"] + CONFIRM_WITHIN}

    def confirm_subscription(self, message_id: str, *, text_version: str) -> bool:
        """
        The owner of the address confirms: consent with its proof, durable when it returns; again changes nothing.

        False where nothing was asked for, or too long ago.
        """
        now = self._now()
        with self._writing() as connection:
            query = select(subscriptions).where(subscriptions.c.message_id == message_id)
            wanted = connection.execute(query.with_for_update()).mappings().one_or_none()
            if wanted is None:
                return False
            if wanted["confirmed_at"] is None:
                if now >= wanted["requested_at"] + CONFIRM_WITHIN:
                    return False
                proof = {
                    "message_id": message_id,
                    "requested_at": wanted["requested_at"].isoformat(),
                    "requested_text_version": wanted["text_version"],
                    "text_version": text_version,
                }
                statement = NewConsent(
                    channel="email",
                    state="granted",
                    recorded_at=now,
                    address_hash=wanted["address_hash"],
                    topic=wanted["topic"],
                    method="double_opt_in",
                    proof=json.dumps(proof, sort_keys=True),
                )
                self._grant(connection, statement)
                its = subscriptions.update().where(subscriptions.c.message_id == message_id)
                connection.execute(its.values(confirmed_at=now))
        return True

    def topics_of(self, message_id: str, topics: Collection[str]) -> dict[str, bool] | None:
        """
        Which of `topics` the receiver of a message hears about; None where the ledger knows no such message.

        As far as the ledger knows: what was said last, and of a topic never spoken of, whether this message is of it.
        """
        with self._reading() as connection:
            return self._topics_of(connection, message_id, topics)

    def choose_topics(self, message_id: str, chosen: Mapping[str, bool], *, text_version: str) -> bool:
        """
        What the receiver of a message wants to hear about, by topic: consents granted and withdrawn, with proof.

        Durable when it returns; only what changes is noted. False where the ledger knows no such message.
        """
        with self._writing() as connection:
            present = self._topics_of(connection, message_id, chosen)
            if present is None:
                return False
            query = select(messages.c.address_hash, messages.c.customer_id).where(messages.c.message_id == message_id)
            hashed, customer_id = connection.execute(query).one()
            for topic, wants in chosen.items():
                if wants == present[topic]:
                    continue
                statement = NewConsent(
                    channel="email",
                    state="granted" if wants else "denied",
                    recorded_at=self._now(),
                    address_hash=hashed,
                    customer_ref=customer_id,
                    topic=topic,
                    method="preferences",
                    proof=json.dumps({"message_id": message_id, "text_version": text_version}, sort_keys=True),
                )
                if wants:
                    self._grant(connection, statement)
                else:
                    self._withdraw(connection, statement, message_id)
        return True

    def _topics_of(self, connection: Connection, message_id: str, topics: Collection[str]) -> dict[str, bool] | None:
        query = select(messages.c.address_hash, messages.c.topic).where(messages.c.message_id == message_id)
        message = connection.execute(query).one_or_none()
        if message is None:
            return None
        statements = (
            select(consents.c.topic, consents.c.state)
            .where(consents.c.address_hash == message.address_hash, consents.c.channel == "email")
            .order_by(consents.c.recorded_at, consents.c.state.desc())  # at the same moment, denied wins
        )
        hears = {topic: topic == message.topic for topic in topics}
        for row in connection.execute(statements):
            for topic in topics if row.topic is None else [row.topic] if row.topic in hears else []:
                hears[topic] = row.state == "granted"
        barred = select(suppressions.c.topic).where(
            suppressions.c.address_hash == message.address_hash,
            or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > self._now()),
        )
        for barred_topic in connection.scalars(barred):
            hears |= dict.fromkeys(hears if barred_topic == EVERY_TOPIC else {barred_topic} & set(hears), False)
        return hears

    def _asked(self, connection: Connection, who: Any, at_most: int, within: timedelta) -> bool:
        query = select(func.count()).select_from(subscriptions).where(who)
        return (connection.scalar(query.where(subscriptions.c.requested_at > self._now() - within)) or 0) >= at_most


def _run_without_decisions(run: Run, now: datetime) -> Row:
    """What the messages of a day hang on."""
    return {
        "campaign": CAMPAIGN,
        "send_day": run.send_day,
        "occurrence": run.send_day.isoformat(),
        "origin": run.origin.value,
        **dict.fromkeys(("decisions_file", "decisions_sha256", "outbox_file", "outbox_sha256"), ""),
        "counts": {},
        "state": "queued",
        "frozen_at": now,
        "queued_at": now,
    }
