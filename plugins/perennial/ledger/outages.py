"""Providers in trouble, and what was meant for them: another may stand in for what they provably did not take."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select

from perennial.ledger.states import State
from perennial.ledger.store import Store, insert_new
from perennial.ledger.tables import messages, provider_outages

ATTEMPTS = 3  # of which nothing came, before another provider stands in
_FORGOTTEN_AFTER = timedelta(hours=4)  # without an attempt: what was then says nothing about now


@dataclass(frozen=True)
class Outage:
    """A provider that cannot be reached or refuses us, and how often it was tried `since`. `error` holds no address."""

    provider: str
    since: datetime
    last_at: datetime
    attempts: int
    error: str


class Outages(Store):
    """The ledger's part about providers."""

    def outages(self) -> list[Outage]:
        """The providers whose last attempt came to nothing."""
        with self._reading() as connection:
            rows = connection.execute(select(provider_outages).order_by(provider_outages.c.provider)).mappings()
            return [Outage(**row) for row in rows]

    def note_trouble(self, provider: str, error: str) -> None:
        """An attempt to send by `provider` came to nothing, whatever the letters."""
        now = self._now()
        row = {"provider": provider, "since": now, "last_at": now, "attempts": 1, "error": error}
        mine = provider_outages.c.provider == provider
        with self._writing() as connection:
            if insert_new(connection, provider_outages, [row]):
                return
            if connection.execute(select(provider_outages.c.last_at).where(mine)).scalar_one() < now - _FORGOTTEN_AFTER:
                again = row
            else:
                again = {"last_at": now, "attempts": provider_outages.c.attempts + 1, "error": error}
            connection.execute(provider_outages.update().where(mine).values(again))

    def note_working(self, provider: str) -> None:
        """`provider` took or refused letters one by one: its trouble is over."""
        if any(outage.provider == provider for outage in self.outages()):
            with self._writing() as connection:
                connection.execute(provider_outages.delete().where(provider_outages.c.provider == provider))

    def fail_over(self, provider: str, fallback: str, after: timedelta) -> int:
        """
        Give what waits for `provider` to `fallback`, once its trouble lasts `after` and ATTEMPTS; returns how many.

        Only what was provably not taken and is due moves: `retry`, and `queued` whose time has come. What is being
        sent or `unknown` stays where it is.
        """
        now = self._now()
        outage = next((outage for outage in self.outages() if outage.provider == provider), None)
        if outage is None or outage.attempts < ATTEMPTS or outage.since > now - after:
            return 0
        is_due = or_(
            messages.c.state == State.RETRY.value,
            and_(messages.c.state == State.QUEUED.value, messages.c.next_attempt_at <= now),
        )
        with self._writing(newest=True) as connection:
            moving = messages.update().where(messages.c.provider == provider, is_due)
            moved = connection.execute(
                moving.values(provider=fallback, attempts=0, next_attempt_at=now, updated_at=now)
            ).rowcount
            if moved:
                details = {"since": outage.since.isoformat(), "attempts": outage.attempts, "error": outage.error}
                self._audit(
                    connection, "fail_over", f"{moved} messages from {provider} to {fallback}", "perennial", **details
                )
        return moved
