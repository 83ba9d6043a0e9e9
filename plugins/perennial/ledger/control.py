"""What people decide about campaigns that are planned: approve or reject, pause and resume, cancel. All is audited."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, select

from perennial.foundation.errors import BadConfig
from perennial.ledger.states import WAITING, State
from perennial.ledger.store import Store, insert_new
from perennial.ledger.tables import campaign_runs, messages, pauses

EVERYTHING = "*"
"""What is paused when all delivery is."""


class Approval(StrEnum):
    """Whether a frozen campaign run may be queued. It belongs to its outbox: decided anew, it is asked for anew."""

    NOT_NEEDED = "not_needed"
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Pause:
    """A campaign, or EVERYTHING, of which nothing is handed over."""

    subject: str
    since: datetime
    by: str
    why: str


class Control(Store):
    """The ledger's part about people who say yes, no, or stop."""

    def decide_approval(
        self, campaign: str, send_day: date, approval: Approval, *, outbox_sha256: str, by: str, why: str
    ) -> bool:
        """
        Approve or reject the outbox that was looked at; returns whether this decided it, False for the same again.

        Raises BadConfig for a run that needs no approval, is decided otherwise, is given up or has another outbox.
        """
        of_run = (campaign_runs.c.campaign == campaign, campaign_runs.c.send_day == send_day)
        with self._writing(newest=True) as connection:
            frozen = connection.execute(select(campaign_runs).where(*of_run)).one_or_none()
            if frozen is None or frozen.outbox_sha256 != outbox_sha256:
                raise BadConfig(
                    f"Campaign {campaign!r} was planned anew for {send_day}: what was shown is not what would be sent."
                )
            if frozen.approval == approval:
                return False
            if frozen.approval != Approval.WAITING:
                raise BadConfig(f"Campaign {campaign!r} for {send_day} does not wait: approval {frozen.approval}.")
            connection.execute(campaign_runs.update().where(*of_run).values(approval=approval.value))
            self._audit(connection, approval, f"{campaign} {send_day}", by, why=why, outbox_sha256=outbox_sha256)
        return True

    def pause(self, subject: str, *, by: str, why: str) -> bool:
        """
        Hand over nothing more of a campaign, or of EVERYTHING, until it is resumed; False where it was paused.

        What a worker has claimed already goes out: one batch for each.
        """
        row = {"subject": subject, "since": self._now(), "paused_by": by, "why": why}
        with self._writing() as connection:
            is_new = bool(insert_new(connection, pauses, [row]))
            if is_new:
                self._audit(connection, "pause", subject, by, why=why)
        return is_new

    def resume(self, subject: str, *, by: str, why: str) -> bool:
        """Go on with what was paused under this name; False where it was not."""
        with self._writing() as connection:
            was_paused = bool(connection.execute(delete(pauses).where(pauses.c.subject == subject)).rowcount)
            if was_paused:
                self._audit(connection, "resume", subject, by, why=why)
        return was_paused

    def pauses(self) -> list[Pause]:
        """What is paused, the oldest first."""
        with self._reading() as connection:
            rows = connection.execute(select(pauses).order_by(pauses.c.since, pauses.c.subject)).all()
        return [Pause(row.subject, row.since, row.paused_by, row.why) for row in rows]

    def cancel(self, campaign: str, send_day: date | None, *, by: str, why: str) -> dict[str, int]:
        """
        Call off what is left of a campaign, of one send day or of all: nothing that waits goes out, or is queued later.

        Returns messages called off, and messages too late for it (`sending`: a worker has them).
        """
        messages_of = [messages.c.campaign == campaign]
        runs_of = [campaign_runs.c.campaign == campaign]
        if send_day is not None:
            messages_of.append(messages.c.send_day == send_day)
            runs_of.append(campaign_runs.c.send_day == send_day)
        now = self._now()
        values = {"state": State.CANCELLED.value, "reason": why, "next_attempt_at": None}
        with self._writing() as connection:
            connection.execute(campaign_runs.update().where(*runs_of).values(state="cancelled"))
            waiting = messages.c.state.in_([state.value for state in WAITING])
            update = messages.update().where(*messages_of, waiting)
            called_off = connection.execute(update.values(**values, settled_at=now, updated_at=now)).rowcount
            sending = messages.c.state == State.SENDING.value
            too_late = connection.scalar(select(func.count()).select_from(messages).where(*messages_of, sending)) or 0
            figures = {"cancelled": called_off, "too_late": too_late}
            self._audit(connection, "cancel", f"{campaign} {send_day or 'all days'}", by, why=why, **figures)
        return figures


def may_queue(connection: Connection, campaign: str, send_day: date) -> bool | None:
    """Whether a campaign run's messages may be queued: frozen, not called off, approved. None: it is not frozen."""
    query = select(campaign_runs.c.state, campaign_runs.c.approval).where(
        campaign_runs.c.campaign == campaign, campaign_runs.c.send_day == send_day
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    return found.state != "cancelled" and found.approval in (Approval.NOT_NEEDED, Approval.APPROVED)


def paused_subjects(connection: Connection) -> set[str]:
    """The campaigns that are paused; EVERYTHING among them when all are."""
    return set(connection.scalars(select(pauses.c.subject)))


def is_called_off() -> ColumnElement[bool]:
    """The condition on messages that their campaign run is cancelled."""
    of_message = and_(campaign_runs.c.campaign == messages.c.campaign, campaign_runs.c.send_day == messages.c.send_day)
    return exists(select(campaign_runs.c.campaign).where(of_message, campaign_runs.c.state == "cancelled"))
